# SPDX-License-Identifier: Apache-2.0
"""rtl/vector/seed_unit.v against models/seed_unit.py."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_seed_unit(simulator: str, seed: int) -> None:
    """All kinds of maps and modes under stalls, tokens, latency."""
    run_bench("seed_unit", "tb.vector.seed_unit.seed_unit_tests", simulator=simulator, seed=seed)
