# SPDX-License-Identifier: Apache-2.0
"""Bench of tile_store in both simulators."""

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_tile_store(simulator: str, seed: int) -> None:
    run_bench("tile_store", "tb.convolution.tile_store.tile_store_tests", simulator=simulator, seed=seed)
