# SPDX-License-Identifier: Apache-2.0
"""rtl/control/performance_counters.v against its model on both simulators."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, BenchError, run_bench
from tb.support.seeds import SEEDS

MODULE = "tb.control.performance_counters.performance_counters_tests"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("parameters", [{}, {"GROUPS": 1, "ZERO_WIDTH": 3, "BITS": 33}, {"GROUPS": 7, "BITS": 64}])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_performance_counters(simulator: str, parameters: dict[str, int], seed: int) -> None:
    """Random runs, carries, time stamps."""
    run_bench("performance_counters", MODULE, simulator=simulator, seed=seed, parameters=parameters, extra_env=parameters)


@pytest.mark.parametrize("parameters", [{"BITS": 32}, {"ZERO_WIDTH": 16}, {"COUNTER_TOTAL": 16}])
def test_illegal_parameters(parameters: dict[str, int]) -> None:
    """Sizes that do not work stop the simulation."""
    with pytest.raises(BenchError):
        run_bench("performance_counters", MODULE, simulator="icarus", parameters=parameters, testcase="time_of_a_cycle")
