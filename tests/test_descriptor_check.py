# SPDX-License-Identifier: Apache-2.0
"""What the compiler makes is legal by the rules of the descriptor check; the same for networks of random shapes."""

from __future__ import annotations

import numpy as np
import pytest

from gradcore.compiler import HardwareConfig, compile_network
from gradcore.hardware import DESCRIPTOR_BYTES, DESCRIPTOR_WORDS
from gradcore.models.control.descriptor_check import Limits, problems
from tb.support.random_networks import random_quantised
from tb.support.seeds import FRESH_SEED


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("seed", [*range(6), FRESH_SEED % 1_000_000])
def test_compiled_programs_are_legal(groups: int, seed: int) -> None:
    hardware = HardwareConfig(groups=groups)
    program = compile_network(random_quantised(seed)[0], hardware)
    limits = Limits(groups, hardware.weight_depth, hardware.tile_pixels, hardware.tile_depth, hardware.output_words)
    start = program.program_address - program.base
    words = program.image[start : start + program.descriptors * DESCRIPTOR_BYTES].view(np.uint32).reshape(-1, DESCRIPTOR_WORDS)
    assert len(words) == program.descriptors > 2
    for index, descriptor in enumerate(words):
        assert not problems(descriptor, limits), f"descriptor {index}"
