# SPDX-License-Identifier: Apache-2.0
"""``python -m gradcore``: the command line."""

from gradcore.cli import app

app(prog_name="gradcore")
