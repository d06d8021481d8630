# SPDX-License-Identifier: Apache-2.0
"""Bench of output_buffer in both simulators, for different numbers of sources."""

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_output_buffer(simulator: str, seed: int, groups: int) -> None:
    run_bench(
        "output_buffer",
        "tb.convolution.output_buffer.output_buffer_tests",
        simulator=simulator,
        parameters={"GROUPS": groups},
        seed=seed,
        extra_env={"GROUPS": str(groups)},
    )
