# SPDX-License-Identifier: Apache-2.0
"""Bench of requantise.v: every shift, with accumulators on both sides of each edge of the value range, and random ones."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import Timer

from gradcore.models import arithmetic
from gradcore.models.requantise import SHIFTS, requantise
from tb.support.seeds import test_rng

ACCUMULATOR_MAX = (1 << 47) - 1
RANDOM_WIDTHS = range(1, 48, 3)


def accumulators_for(shift: int, rng: np.random.Generator) -> np.ndarray:
    """Signed 48-bit accumulators whose shifted values lie at, inside and outside the edges of 16 bits."""
    unit = 1 << shift
    edges = [edge * unit + offset for edge in (-32769, -32768, -1, 0, 1, 32767, 32768) for offset in (-1, 0, 1)]
    powers = [sign * (1 << bit) for bit in range(47) for sign in (-1, 1)]
    wild = [int(rng.integers(-(1 << width), 1 << width)) for width in RANDOM_WIDTHS for _ in range(2)]
    every = np.array([*edges, *powers, *wild, ACCUMULATOR_MAX, -ACCUMULATOR_MAX - 1], dtype=object)
    return np.array([x for x in every if -ACCUMULATOR_MAX - 1 <= x <= ACCUMULATOR_MAX], dtype=np.int64)


@cocotb.test()
async def every_shift(dut) -> None:
    """Shifts 0 to 47."""
    rng = test_rng()
    checked = saturated = 0
    for shift in SHIFTS:
        dut.shift.value = shift
        for accumulator in accumulators_for(shift, rng):
            dut.accumulator.value = int(accumulator)
            await Timer(1, "ns")
            want, got = int(requantise(accumulator, shift)), dut.value.value.to_signed()
            assert got == want, f"{accumulator} >> {shift}: {got}, expected {want}"
            checked += 1
            saturated += want in (arithmetic.VALUE_MIN, arithmetic.VALUE_MAX)
    assert checked > 48 * 100 and checked > saturated > 48 * 2


@cocotb.test()
async def rounds_half_up(dut) -> None:
    """With the rounding constant added before, the result is that of the golden arithmetic."""
    rng = test_rng()
    for shift in SHIFTS:
        dut.shift.value = shift
        for accumulator in rng.integers(-(1 << 45), 1 << 45, 20) >> int(rng.integers(45)):
            dut.accumulator.value = int(accumulator) + arithmetic.rounding_constant(shift)
            await Timer(1, "ns")
            assert dut.value.value.to_signed() == int(arithmetic.requantise(accumulator, shift)), f"{accumulator}, {shift}"
