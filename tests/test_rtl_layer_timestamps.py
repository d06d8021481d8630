# SPDX-License-Identifier: Apache-2.0
"""rtl/control/layer_timestamps.v against its model on both simulators."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_layer_timestamps(simulator: str, seed: int) -> None:
    """Marks, reads and starts in random order."""
    run_bench("layer_timestamps", "tb.control.layer_timestamps.layer_timestamps_tests", simulator=simulator, seed=seed)
