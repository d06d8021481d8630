# SPDX-License-Identifier: Apache-2.0
"""rtl/cells/requantise.v against the golden arithmetic."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_requantise(simulator: str, seed: int) -> None:
    """All shifts, the edges of the value range, rounding half up."""
    run_bench("requantise", "tb.cells.requantise.requantise_tests", simulator=simulator, seed=seed)
