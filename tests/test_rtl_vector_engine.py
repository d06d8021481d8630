# SPDX-License-Identifier: Apache-2.0
"""rtl/vector/vector_engine.v against models/vector_engine.py."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_vector_engine(simulator: str, seed: int) -> None:
    """Random jobs under stalls, every feature, extremes, tokens, throughput."""
    run_bench("vector_engine", "tb.vector.vector_engine.vector_engine_tests", simulator=simulator, seed=seed)
