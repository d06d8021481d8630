# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: what simulations of the whole core write beside their results, whichever test starts them.

With ``GRADCORE_COVERAGE`` (``make coverage``) those in Verilator write their counts of lines and toggles to the folder of the evidence.
With ``WAVES=1`` all write waves, and what their engines do, to a folder in build/runs/, which is printed: see ``verification.trace``.
"""

from __future__ import annotations

import functools
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tb.support.ledger import EVIDENCE
from tb.support.runner import COVERAGE, COVERAGE_OPTIONS, RUNS
from verification.waves import CORE, CORE_IN_ICARUS, places


@pytest.hookimpl(trylast=True)  # after the folder of the evidence is known
def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(COVERAGE) and (folder := os.environ.get(EVIDENCE)):
        _count(folder)
    if os.environ.get("WAVES", "0") not in ("", "0"):
        _trace()


def _wrap(change: Callable[[Any, Callable[..., None], tuple, dict[str, Any]], None]) -> None:
    """Let ``change(simulator, original, arguments, named)`` take the place of the set-up of every ``Simulator``."""
    from gradcore.simulator import Simulator

    made = Simulator.__init__

    @functools.wraps(made)
    def instrumented(self: Simulator, *arguments: Any, **named: Any) -> None:
        change(self, made, arguments, named)

    Simulator.__init__ = instrumented


def _count(folder: str) -> None:
    from gradcore.simulator import build

    build._BUILD_OPTIONS += COVERAGE_OPTIONS

    def change(simulator: Any, made: Callable[..., None], arguments: tuple, named: dict[str, Any]) -> None:
        made(simulator, *arguments, **named)
        if simulator.simulator == "verilator":
            simulator._plusargs["coverage"] = f"{folder}/{uuid.uuid4().hex}.dat"

    _wrap(change)


def _trace() -> None:
    def change(simulator: Any, made: Callable[..., None], arguments: tuple, named: dict[str, Any]) -> None:
        if named.get("rtl") is None and not {"waves", "activity"} & set(named):
            RUNS.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="core-", dir=RUNS))
            named = {**named, "waves": folder / "core.fst", "activity": folder / "activity.txt"}
            simulator_name = named.get("simulator") or (arguments[0] if arguments else "verilator")
            view = places()[CORE_IN_ICARUS if simulator_name == "icarus" else CORE]
            print(f"waves: {folder / 'core.fst'}")
            print(f"  gtkwave {folder / 'core.fst'} {view}.gtkw, or surfer {folder / 'core.fst'} --command-file {view}.sucl")
            print(f"jobs of its last run: .venv/bin/python -m verification.trace {folder}")
            simulator.traces = folder
        made(simulator, *arguments, **named)

    _wrap(change)
