# SPDX-License-Identifier: Apache-2.0
"""rtl/convolution/tile_geometry.v against models/conv_group.py."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_tile_geometry(simulator: str, seed: int) -> None:
    """All origins and kernel widths."""
    run_bench("tile_geometry", "tb.convolution.tile_geometry.tile_geometry_tests", simulator=simulator, seed=seed)
