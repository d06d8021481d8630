# SPDX-License-Identifier: Apache-2.0
"""The proofs of the leaf cells hold, are not empty, and find a planted bug each (see ``verification.formal``)."""

from __future__ import annotations

import re

import pytest

from tb.support.runner import RTL
from verification.formal import FORMAL, PROOF, QUICK, WORK, Bug, NoAnswerError, ProofError, _solve, run, violated

pytestmark = pytest.mark.hardware


def _cells(quick: tuple[str, ...]) -> list:
    """All cells; those that are not ``quick`` run in `make regress` and `make formal` only."""
    return [pytest.param(cell, marks=[] if cell in quick else pytest.mark.regress) for cell in PROOF]


@pytest.mark.parametrize("task", ["prove", "cover"])
@pytest.mark.parametrize("cell", _cells(QUICK))
def test_cell(cell: str, task: str) -> None:
    """Every assertion holds, and every cover statement is reached."""
    run(cell, task)


@pytest.mark.parametrize("cell", _cells(QUICK[:1]))
def test_planted_bug_is_found(cell: str) -> None:
    """A fault in a copy of the cell fails the assertion that is named."""
    run(cell, "bug")


def test_every_harness_is_run_and_covers() -> None:
    """Each file of formal/ is a proof of the list, with assertions and covers; every module of rtl/cells/ has one."""
    harnesses = {path.stem for path in FORMAL.glob("*.v")} - {"memory_probe", "queue_specification"}
    assert harnesses == set(PROOF)
    assert {path.stem for path in (RTL / "cells").glob("*.v")} <= set(PROOF)
    for cell in harnesses:
        text = (FORMAL / f"{cell}.v").read_text()
        assert re.search(r"\w+: assert \(", text) and re.search(r"\w+: cover \(", text), cell


def test_bug_that_is_not_there() -> None:
    """A planted bug whose place is gone is an error, not a bug that was found."""
    with pytest.raises(ProofError, match="is there 0 times"):
        run("relu_keep", "bug", Bug("no such text", "", "rule"))
    with pytest.raises(ProofError, match="was not found"):
        run("relu_keep", "bug", Bug("enable && method != METHOD_SALIENCY", "method != METHOD_SALIENCY && enable", "rule", depth=1))


def test_a_solver_that_takes_too_long_finds_nothing() -> None:
    """And says so where an answer is needed; nothing of it goes on."""
    proof, work = PROOF["fifo"], WORK / "no_answer"  # inside the checkout, as the tools want it
    with pytest.raises(NoAnswerError, match="fifo_bug: no answer in 0.2 s"):
        _solve(proof, "bug", work, seconds=0.2)
    assert violated("fifo", "fifo", next(RTL.rglob("fifo.v")).read_text(), work, seconds=0.2) == []
