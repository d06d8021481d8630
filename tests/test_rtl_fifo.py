# SPDX-License-Identifier: Apache-2.0
"""fifo, skid_buffer and round_robin on both simulators."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("width", "depth"), [(64, 16), (5, 2), (12, 64)])
def test_fifo(simulator: str, seed: int, width: int, depth: int) -> None:
    """Several widths and depths."""
    run_bench(
        "fifo",
        "tb.cells.fifo.fifo_tests",
        simulator=simulator,
        seed=seed,
        parameters={"WIDTH": width, "DEPTH": depth},
        extra_env={"DEPTH": depth, "TOPLEVEL_NAME": "fifo"},
    )


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_skid_buffer(simulator: str, seed: int) -> None:
    """The same bench with two places."""
    run_bench(
        "skid_buffer",
        "tb.cells.fifo.fifo_tests",
        simulator=simulator,
        seed=seed,
        parameters={"WIDTH": 73},
        extra_env={"DEPTH": 2, "TOPLEVEL_NAME": "skid_buffer"},
    )


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [1, 3, 8])
def test_round_robin(simulator: str, seed: int, width: int) -> None:
    """Grants and fairness."""
    run_bench("round_robin", "tb.cells.round_robin.round_robin_tests", simulator=simulator, seed=seed, parameters={"WIDTH": width})
