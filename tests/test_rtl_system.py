# SPDX-License-Identifier: Apache-2.0
"""The whole core with the memory model, one group, through the pyuvm environment of tb/system."""

from __future__ import annotations

import pytest

from tb.support.runner import ROOT, SIMULATORS, file_list, module_closure, run_bench
from tb.support.seeds import SEEDS

MODELS = [ROOT / "gradcore" / "simulation" / name for name in ("core_with_memory.v", "axi_memory.v", "axi_checker.v")]


def run(simulator: str, testcase: str, seed: int) -> None:
    """Run one test of the environment."""
    run_bench(
        "system",
        "tb.system.system_tests",
        simulator=simulator,
        seed=seed,
        testcase=testcase,
        parameters={"GROUPS": 1, "MEMORY_BYTES": 1 << 20},
        sources=[*module_closure("gradcore", file_list()), *MODELS, ROOT / "tb" / "system" / "system.v"],
        public=False,
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_every_method(simulator: str, seed: int) -> None:
    """All methods and inference: every region of memory, registers, and coverage without holes."""
    run(simulator, "EveryMethod", seed)


@pytest.mark.parametrize("testcase", ["WrongBit", "WrongCount", "MethodLeftOut"])
def test_environment_bites(testcase: str) -> None:
    """One wrong bit, a wrong count of saturated values, or a method that never ran, fails."""
    run("verilator", testcase, seed=1)
