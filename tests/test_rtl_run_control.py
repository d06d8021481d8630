# SPDX-License-Identifier: Apache-2.0
"""Bench of run_control in both simulators."""

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_run_control(simulator: str, seed: int) -> None:
    run_bench("run_control", "tb.control.run_control.run_control_tests", simulator=simulator, parameters={"STOP_LIMIT": 64}, seed=seed)
