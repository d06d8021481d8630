# SPDX-License-Identifier: Apache-2.0
"""rtl/control/register_file.v against its model on both simulators."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, BenchError, run_bench
from tb.support.seeds import SEEDS

MODULE = "tb.control.register_file.register_file_tests"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("groups", [4, 2])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_register_file(simulator: str, groups: int, seed: int) -> None:
    """All directed tests and the random accesses."""
    environment = {"GROUPS": groups, "ACCESSES": 600 if simulator == "verilator" else 400}
    run_bench("register_file", MODULE, simulator=simulator, seed=seed, parameters={"GROUPS": groups}, extra_env=environment)


@pytest.mark.parametrize("parameters", [{"GROUPS": 16}, {"COUNTER_TOTAL": 16}, {"TILE_ENTRIES": 65536}])
def test_illegal_parameters(parameters: dict[str, int]) -> None:
    """Sizes that do not fit their fields stop the simulation."""
    with pytest.raises(BenchError):
        run_bench("register_file", MODULE, simulator="icarus", parameters=parameters, testcase="reset_values")
