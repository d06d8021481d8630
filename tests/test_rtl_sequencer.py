# SPDX-License-Identifier: Apache-2.0
"""Bench of sequencer in both simulators."""

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("groups", "limit"), [(4, 65536), (2, 7)])
def test_sequencer(simulator: str, seed: int, groups: int, limit: int) -> None:
    run_bench(
        "sequencer",
        "tb.control.sequencer.sequencer_tests",
        simulator=simulator,
        parameters={"GROUPS": groups, "PROGRAM_LIMIT": limit},
        seed=seed,
        extra_env={"GROUPS": str(groups), "PROGRAM_LIMIT": str(limit)},
    )
