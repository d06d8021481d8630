# SPDX-License-Identifier: Apache-2.0
"""The command line."""

from gradcore.cli.commands import app

__all__ = ["app"]
