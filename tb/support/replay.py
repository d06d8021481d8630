# SPDX-License-Identifier: Apache-2.0
"""The one command that runs a failing test again, with the same seed and with waves."""

from __future__ import annotations

import os
import shlex

from tb.support.seeds import FRESH_SEED

REPLAY = "GRADCORE_REPLAY"  # how the launcher tells the simulator's side


def replay_command() -> str:
    """For the test that runs now, in pytest or in a simulator that pytest started; empty when neither runs."""
    given = os.environ.get(REPLAY)
    if given:
        return given
    nodeid = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    return f"WAVES=1 GRADCORE_SEED={FRESH_SEED} .venv/bin/python -m pytest -s -m '' {shlex.quote(nodeid)}" if nodeid else ""
