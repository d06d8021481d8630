# SPDX-License-Identifier: Apache-2.0
"""rtl/cells/piece_unpacker.v: every piece of every row once, in order."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("pieces_width", [5, 16])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_piece_unpacker(simulator: str, seed: int, pieces_width: int) -> None:
    """All skips, lengths up to the counter's limit, stalls on every port."""
    run_bench(
        "piece_unpacker",
        "tb.convolution.piece_unpacker.piece_unpacker_tests",
        simulator=simulator,
        seed=seed,
        parameters={"PIECES_WIDTH": pieces_width},
    )
