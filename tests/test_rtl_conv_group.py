# SPDX-License-Identifier: Apache-2.0
"""Bench of conv_group in both simulators, for groups that share their work in different ways."""

import pytest

from tb.support.runner import run_bench
from tb.support.seeds import SEEDS


def run(simulator: str, seed: int, groups: int, group: int, testcase: str | None = None) -> None:
    """One bench run; the bench reads GROUPS and GROUP from the environment to know its share of the work."""
    run_bench(
        "conv_group",
        "tb.convolution.conv_group.conv_group_tests",
        simulator=simulator,
        parameters={"GROUPS": groups, "GROUP": group},
        seed=seed,
        testcase=testcase,
        extra_env={"GROUPS": str(groups), "GROUP": str(group)},
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("groups", "group"), [(1, 0), (2, 1), (4, 2), (4, 3)])
def test_conv_group(seed: int, groups: int, group: int) -> None:
    run("verilator", seed, groups, group)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("groups", "group"), [(1, 0), (4, 2)])
def test_conv_group_icarus(seed: int, groups: int, group: int) -> None:
    """Icarus knows X: random stalls only, since it is slow."""
    run("icarus", seed, groups, group, "random_jobs/stalls=2/rewrite=True")
