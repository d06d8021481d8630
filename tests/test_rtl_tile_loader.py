# SPDX-License-Identifier: Apache-2.0
"""rtl/convolution/tile_loader.v against models/tile_loader.py."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_tile_loader(simulator: str, seed: int) -> None:
    """Corners, random tiles under stalls, reset in a job, throughput."""
    run_bench("tile_loader", "tb.convolution.tile_loader.tile_loader_tests", simulator=simulator, seed=seed)
