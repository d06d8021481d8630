# SPDX-License-Identifier: Apache-2.0
"""Bench of piece_packer in both simulators."""

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_piece_packer(simulator: str, seed: int) -> None:
    run_bench("piece_packer", "tb.convolution.piece_packer.piece_packer_tests", simulator=simulator, seed=seed)
