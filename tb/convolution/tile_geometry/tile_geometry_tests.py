# SPDX-License-Identifier: Apache-2.0
"""Bench of tile_geometry.v: every origin and kernel width, with random tiles, against models/conv_group.py."""

from __future__ import annotations

import itertools

import cocotb
from cocotb.triggers import RisingEdge

from gradcore.models.conv_group import ConvJob
from tb.support.seeds import test_rng
from tb.support.streams import start_clock_and_reset, wait_until

INPUTS = ("buffer_columns", "slot", "row_entries", "kernel_columns", "origin_row", "origin_column")
OUTPUTS = ("origin_entry", "origin_pixel", "line_entries", "line_pixels")
CYCLES = 6


@cocotb.test()
async def every_origin(dut) -> None:
    """Origins from -8 to 7 in both directions, kernels of 1 to 8 columns, tiles up to the buffer's size."""
    rng = test_rng()
    dut.start.value = 0
    await start_clock_and_reset(dut)
    checked = 0
    for number, (row, column) in enumerate(itertools.product(range(-8, 8), repeat=2)):
        columns = int(rng.choice([1, 255, rng.integers(1, 256)]))
        slot = int(rng.integers(1, min(2047, 8191 // columns) + 1))
        job = ConvJob(1, columns, slot, 1, 1, 1, 1 + number % 8, 1, 1, row, column, 0, False, False, False, 0, slot)
        for name in INPUTS:
            handle = getattr(dut, name)
            handle.value = getattr(job, name) & ((1 << len(handle)) - 1)
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        cycles = await wait_until(dut.clk, lambda: int(dut.done.value), 20, "done")
        assert cycles <= CYCLES and not int(dut.busy.value)
        for _ in range(int(rng.integers(3))):
            await RisingEdge(dut.clk)
        for name in OUTPUTS:
            got, want = int(getattr(dut, name).value), getattr(job, name)
            assert got == want, f"{name} of {job}: {got}, expected {want}"
        checked += 1
    assert checked == 256
