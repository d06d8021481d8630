# SPDX-License-Identifier: Apache-2.0
"""rtl/control/layer_saturation.v against its model in models/saturation.py, in both simulators."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


def run(simulator: str, seed: int, testcase: str) -> None:
    """Run one test of the bench."""
    bench = "tb.control.layer_saturation.layer_saturation_tests"
    run_bench("layer_saturation", bench, simulator=simulator, seed=seed, testcase=testcase)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_layer_saturation(simulator: str, seed: int) -> None:
    """Jobs, marks and starts in random order."""
    run(simulator, seed, "RandomJobs")


@pytest.mark.parametrize("testcase", ["WrongSum", "WithoutSeeds"])
def test_environment_bites(testcase: str) -> None:
    """A wrong count, or a case that never came, fails."""
    run("verilator", 1, testcase)
