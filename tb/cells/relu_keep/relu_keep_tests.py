# SPDX-License-Identifier: Apache-2.0
"""Bench of relu_keep.v: every value's rule against models.arithmetic.relu_backward: what is not kept is zero there."""

from __future__ import annotations

import itertools

import cocotb
import numpy as np
from cocotb.triggers import Timer

from gradcore.models import arithmetic
from tb.support.seeds import test_rng

EXTREMES = (-32768, -32767, -1, 0, 1, 32766, 32767)


@cocotb.test()
async def all_rules(dut) -> None:
    """Each method, with and without enable, each mask: extremes of the range and random values."""
    rng = test_rng()
    words = [np.array([EXTREMES[(first + place) % len(EXTREMES)] for place in range(4)]) for first in range(len(EXTREMES))]
    words += list(rng.integers(-32768, 32768, (8, 4)))
    checked = 0
    for method, enable, mask in itertools.product(range(3), range(2), range(16)):
        mask_bits = (mask >> np.arange(4)) & 1
        for values in words:
            dut.negative.value = int(np.sum((values < 0) << np.arange(4)))
            dut.mask.value = mask
            dut.method.value = method
            dut.enable.value = enable
            await Timer(1, "ns")
            want = arithmetic.relu_backward(values, mask_bits, arithmetic.METHODS[method]) if enable else values
            keep = (int(dut.keep.value) >> np.arange(4)) & 1
            got = values * keep
            assert np.array_equal(got, want), f"{arithmetic.METHODS[method]} enable={enable} mask={mask:04b} {values}: {got}"
            checked += 1
    assert checked == 3 * 2 * 16 * len(words)
