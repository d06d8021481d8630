# SPDX-License-Identifier: Apache-2.0
"""The command line."""

from gradcore.cli import datasets, importing  # noqa: F401 (they add their commands)
from gradcore.cli.commands import app

__all__ = ["app"]
