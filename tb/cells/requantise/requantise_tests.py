# SPDX-License-Identifier: Apache-2.0
"""Bench of requantise.v: every shift, with accumulators on both sides of each edge of the value range, and random ones."""

from __future__ import annotations

from collections import Counter

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from gradcore.models import arithmetic
from gradcore.models.requantise import SHIFTS, requantise, saturated
from tb.support.seeds import test_rng

ACCUMULATOR_MAX = (1 << 47) - 1
RANDOM_WIDTHS = range(1, 48, 3)


def accumulators_for(shift: int, rng: np.random.Generator) -> np.ndarray:
    """Signed 48-bit accumulators whose shifted values lie at, inside and outside the edges of 16 bits."""
    unit = 1 << shift
    edges = [edge * unit + offset for edge in (-32769, -32768, -1, 0, 1, 32767, 32768) for offset in (-1, 0, 1)]
    powers = [sign * (1 << bit) for bit in range(47) for sign in (-1, 1)]
    wild = [int(rng.integers(-(1 << width), 1 << width)) for width in RANDOM_WIDTHS for _ in range(2)]
    # Values inside the range, then one or two bits above it inverted: each bit that can be lost must be noticed by itself.
    near = []
    for sign in (0, -1):
        for bit in range(shift + 15, 47):
            inside = (int(rng.integers(0, 1 << 15)) << shift | int(rng.integers(0, unit))) ^ sign
            near += [inside, inside ^ (1 << bit), inside ^ (1 << bit) ^ (1 << int(rng.integers(shift + 15, 47)))]
    every = np.array([*edges, *powers, *wild, *near, ACCUMULATOR_MAX, -ACCUMULATOR_MAX - 1], dtype=object)
    return np.array([x for x in every if -ACCUMULATOR_MAX - 1 <= x <= ACCUMULATOR_MAX], dtype=np.int64)


async def result(dut, accumulator: int, shift: int) -> tuple[int, int]:
    """(value, saturated) for an accumulator: one cycle later, whatever the inputs have become meanwhile."""
    await FallingEdge(dut.clk)
    dut.accumulator.value, dut.shift.value, dut.enable.value = accumulator, shift, 1
    await FallingEdge(dut.clk)
    dut.accumulator.value, dut.shift.value, dut.enable.value = ~accumulator, 47 - shift, 0
    await FallingEdge(dut.clk)
    return dut.value.value.to_signed(), int(dut.saturated.value)


@cocotb.test()
async def every_shift(dut) -> None:
    """Shifts 0 to 47."""
    Clock(dut.clk, 10, "ns").start(start_high=False)
    await RisingEdge(dut.clk)
    rng = test_rng()
    checked = 0
    seen: Counter[tuple[int, int]] = Counter()
    for shift in SHIFTS:
        for accumulator in accumulators_for(shift, rng):
            want = int(requantise(accumulator, shift)), int(saturated(accumulator, shift))
            got = await result(dut, int(accumulator), shift)
            assert got == want, f"{accumulator} >> {shift}: value and saturated are {got}, expected {want}"
            checked += 1
            seen[want] += 1
    ends = [seen[end, clipped] for end in (arithmetic.VALUE_MIN, arithmetic.VALUE_MAX) for clipped in (0, 1)]
    assert checked > 48 * 100 and checked > sum(ends) and min(ends) > 40, f"{ends} values at the ends, fitting and clipped"


@cocotb.test()
async def rounds_half_up(dut) -> None:
    """With the rounding constant added before, the result is that of the golden arithmetic."""
    Clock(dut.clk, 10, "ns").start(start_high=False)
    await RisingEdge(dut.clk)
    rng = test_rng()
    for shift in SHIFTS:
        for accumulator in rng.integers(-(1 << 45), 1 << 45, 20) >> int(rng.integers(45)):
            got = await result(dut, int(accumulator) + arithmetic.rounding_constant(shift), shift)
            want = int(arithmetic.requantise(accumulator, shift)), int(arithmetic.saturated(accumulator, shift))
            assert got == want, f"{accumulator}, {shift}"
