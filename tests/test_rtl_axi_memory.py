# SPDX-License-Identifier: Apache-2.0
"""gradcore/simulation/axi_memory.v: latency, outstanding bursts, bandwidth, order, and the protocol checker."""

from __future__ import annotations

import pytest

from tb.support.runner import ROOT, SIMULATORS, run_bench

SOURCES = [ROOT / "gradcore" / "simulation" / name for name in ("axi_memory.v", "axi_checker.v")]
VIOLATIONS = ("long", "page", "size", "kind", "alignment", "range", "withdrawn", "last")
BEHAVIOUR = (
    "latency_and_data",
    "outstanding_bursts",
    "bandwidth",
    "reads_do_not_see_unanswered_writes",
    "held_beat_stays",
    "no_violation_without_cause",
)
BYTES = 1 << 18


def run(simulator: str, test: str, bytes_per_1024: int = 16384) -> None:
    """Run one test of the bench."""
    run_bench(
        "axi_memory",
        "tb.axi.axi_memory.axi_memory_tests",
        simulator=simulator,
        seed=1,
        sources=SOURCES,
        testcase=test,
        parameters={"BYTES": BYTES, "BYTES_PER_1024": bytes_per_1024, "FATAL": 0},
        extra_env={"BYTES": BYTES, "BYTES_PER_1024": bytes_per_1024},
    )


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_memory_behaviour(simulator: str) -> None:
    """What docs/units/memory_model.md promises."""
    run(simulator, f"({'|'.join(BEHAVIOUR)})")


@pytest.mark.parametrize("bytes_per_1024", [10922, 0])
def test_memory_bandwidth(bytes_per_1024: int) -> None:
    """The share at 150 MHz, and no limit."""
    run("verilator", "bandwidth", bytes_per_1024)


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_checker_bites(violation: str) -> None:
    """Each breach of the protocol is noticed. One simulation each, since violation stays."""
    run("verilator", f"violation_{violation}")
