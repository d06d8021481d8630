# SPDX-License-Identifier: Apache-2.0
"""pytest plugin of ``make coverage``: Verilator's builds of the whole core count lines and toggles, too, as those of benches do.

It acts only when ``GRADCORE_COVERAGE`` is set (``tb.support.runner.COVERAGE``); counts go to the folder of the evidence.
"""

from __future__ import annotations

import functools
import os
import uuid
from typing import Any

import pytest

from tb.support.ledger import EVIDENCE
from tb.support.runner import COVERAGE, COVERAGE_OPTIONS


@pytest.hookimpl(trylast=True)  # after the folder of the evidence is known
def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(COVERAGE) and (folder := os.environ.get(EVIDENCE)):
        _instrument(folder)


def _instrument(folder: str) -> None:
    """Let every simulation of the core in Verilator write its counts to a file in ``folder``."""
    from gradcore.simulator import Simulator, build

    build._BUILD_OPTIONS += COVERAGE_OPTIONS
    made = Simulator.__init__

    @functools.wraps(made)
    def instrumented(self: Simulator, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        if self.simulator == "verilator":
            self._plusargs["coverage"] = f"{folder}/{uuid.uuid4().hex}.dat"

    Simulator.__init__ = instrumented
