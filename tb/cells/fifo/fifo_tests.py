# SPDX-License-Identifier: Apache-2.0
"""Bench of fifo and skid_buffer: order, nothing lost or repeated, latency 1, one word a cycle, level, clear."""

from __future__ import annotations

import random
from collections import deque
from itertools import product

import cocotb
from cocotb.triggers import RisingEdge

from tb.support.declaration import parameter, running
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import StreamSink, StreamSource, start_clock_and_reset, wait_until

HAS_LEVEL = running()["toplevel"] == "fifo"
DEPTH = parameter("DEPTH") if HAS_LEVEL else 2  # words that the module holds


def set_inputs(dut) -> None:
    """Quiet inputs before reset."""
    dut.in_valid.value = 0
    dut.in_data.value = 0
    dut.out_ready.value = 0


@cocotb.test()
async def words_arrive_in_order(dut):
    """Every pair of stall patterns."""
    set_inputs(dut)
    await start_clock_and_reset(dut)
    width = len(dut.in_data)
    for source_stalls, sink_stalls in product(STALLS, STALLS):
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        source = StreamSource(dut.clk, dut.in_valid, dut.in_ready, {"data": dut.in_data}, source_stalls)
        sink = StreamSink(dut.clk, dut.out_valid, dut.out_ready, {"data": dut.out_data}, sink_stalls)
        words = [random.getrandbits(width) for _ in range(8 * DEPTH + 50)]
        for word in words:
            source.send({"data": word})
        await sink.wait_for(len(words), 16 * len(words) + 200)
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        assert [item["data"] for item in sink.received] == words
        assert int(dut.out_valid.value) == 0
        source.task.cancel()
        sink.task.cancel()
        dut.in_valid.value = 0


@cocotb.test()
async def fills_and_counts(dut):
    """Holds exactly DEPTH words; level follows; then random traffic against a queue, cycle by cycle."""
    set_inputs(dut)
    await start_clock_and_reset(dut)
    held: deque[int] = deque()
    width = len(dut.in_data)
    valid = ready = 0
    data = 0
    full = empty = 0
    source, sink = stall_pattern("random", random), stall_pattern("random", random)
    for cycle in range(40 * DEPTH + 1500):
        await RisingEdge(dut.clk)
        assert int(dut.in_ready.value) == (len(held) < DEPTH), f"cycle {cycle}: in_ready with {len(held)} words"
        assert int(dut.out_valid.value) == (len(held) > 0), f"cycle {cycle}: out_valid with {len(held)} words"
        if HAS_LEVEL:
            assert int(dut.level.value) == len(held)
        if held:
            assert int(dut.out_data.value) == held[0]
        full += len(held) == DEPTH
        empty += not held
        pop = ready and held
        push = valid and len(held) < DEPTH
        if pop:
            held.popleft()
        if push:
            held.append(data)
        if cycle < 2 * DEPTH:
            valid, ready = 1, 0
        elif cycle < 4 * DEPTH:
            valid, ready = 0, 1
        else:
            valid, ready = int(not next(source)), int(not next(sink))
        data = random.getrandbits(width)
        dut.in_valid.value = valid
        dut.out_ready.value = ready
        dut.in_data.value = data
    assert full and empty


@cocotb.test()
async def one_word_a_cycle(dut):
    """Latency 1 and full rate, with a single word in the buffer."""
    set_inputs(dut)
    await start_clock_and_reset(dut)
    source = StreamSource(dut.clk, dut.in_valid, dut.in_ready, {"data": dut.in_data})
    sink = StreamSink(dut.clk, dut.out_valid, dut.out_ready, {"data": dut.out_data})
    for word in range(100):
        source.send({"data": word & ((1 << len(dut.in_data)) - 1)})
    await wait_until(dut.clk, lambda: int(dut.in_valid.value) == 1, 10)
    cycles = await wait_until(dut.clk, lambda: sink.count == 100, 200)
    assert cycles <= 102, f"100 words took {cycles} cycles"


@cocotb.test()
async def reset_empties(dut):
    """After a reset in mid-traffic nothing is left."""
    set_inputs(dut)
    await start_clock_and_reset(dut)
    dut.in_valid.value = 1
    for _ in range(DEPTH // 2 + 1):
        await RisingEdge(dut.clk)
    dut.rst.value = 1
    dut.in_valid.value = 0
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    assert int(dut.out_valid.value) == 0 and int(dut.in_ready.value) == 1
    if HAS_LEVEL:
        assert int(dut.level.value) == 0
