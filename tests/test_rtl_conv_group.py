# SPDX-License-Identifier: Apache-2.0
"""Bench of conv_group in both simulators, for groups that share their work in different ways."""

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("groups", "group"), [(1, 0), (2, 1), (4, 2), (4, 3)])
def test_conv_group(simulator: str, seed: int, groups: int, group: int) -> None:
    run_bench(
        "conv_group",
        "tb.conv_group.conv_group_tests",
        simulator=simulator,
        parameters={"GROUPS": groups, "GROUP": group},
        seed=seed,
        extra_env={"GROUPS": str(groups), "GROUP": str(group)},
    )
