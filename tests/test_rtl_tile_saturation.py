# SPDX-License-Identifier: Apache-2.0
"""rtl/convolution/tile_saturation.v against its model in models/saturation.py, in both simulators."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


def run(simulator: str, seed: int, streams: int, testcase: str) -> None:
    """Run one test of the bench, which reads STREAMS from the environment."""
    run_bench(
        "tile_saturation",
        "tb.convolution.tile_saturation.tile_saturation_tests",
        simulator=simulator,
        parameters={"STREAMS": streams},
        seed=seed,
        testcase=testcase,
        extra_env={"STREAMS": str(streams)},
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_tile_saturation(simulator: str, seed: int) -> None:
    """Tiles that overlap, of all sizes, with the streams of one group and of four."""
    run(simulator, seed, 8 if simulator == "verilator" else 2, "RandomTiles")


@pytest.mark.parametrize("testcase", ["WrongCount", "NeverFull"])
def test_environment_bites(testcase: str) -> None:
    """A wrong count, or a case that never came, fails."""
    run("verilator", 1, 2, testcase)
