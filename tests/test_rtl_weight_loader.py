# SPDX-License-Identifier: Apache-2.0
"""rtl/convolution/weight_loader.v against models/weight_loader.py."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, BenchError, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize(("groups", "depth"), [(1, 1024), (2, 64), (4, 1024), (6, 512)])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_weight_loader(simulator: str, seed: int, groups: int, depth: int) -> None:
    """All block counts and their copies, wrapping rows, stalls, reset in a job, throughput."""
    parameters = {"GROUPS": groups, "WEIGHT_DEPTH": depth}
    run_bench(
        "weight_loader",
        "tb.convolution.weight_loader.weight_loader_tests",
        simulator=simulator,
        seed=seed,
        parameters=parameters,
        extra_env=parameters,
    )


@pytest.mark.parametrize("depth", [1, 1000, 2048])
def test_illegal_depth(depth: int, caplog: pytest.LogCaptureFixture) -> None:
    """A depth that is no power of two, or beyond the address, stops at time 0."""
    parameters = {"GROUPS": 4, "WEIGHT_DEPTH": depth}
    with pytest.raises(BenchError):
        run_bench(
            "weight_loader",
            "tb.convolution.weight_loader.weight_loader_tests",
            simulator="icarus",
            seed=1,
            parameters=parameters,
            extra_env=parameters,
        )
    assert f"WEIGHT_DEPTH {depth};" in caplog.text
