# SPDX-License-Identifier: Apache-2.0
"""The command line."""

from gradcore.cli import importing  # noqa: F401 (it adds its commands)
from gradcore.cli.commands import app

__all__ = ["app"]
