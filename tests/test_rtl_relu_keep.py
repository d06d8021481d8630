# SPDX-License-Identifier: Apache-2.0
"""rtl/cells/relu_keep.v against the golden arithmetic."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_relu_keep(simulator: str, seed: int) -> None:
    """All methods, masks and extremes."""
    run_bench("relu_keep", "tb.cells.relu_keep.relu_keep_tests", simulator=simulator, seed=seed)
