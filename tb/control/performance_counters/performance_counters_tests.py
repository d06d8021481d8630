# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/performance_counters.v: random events, runs of random length, carries through all bits."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from gradcore import hardware
from gradcore.models.performance_counters import PerformanceCounters, broken_identities
from tb.support.declaration import parameter
from tb.support.streams import start_clock_and_reset

GROUPS = parameter("GROUPS")
ZERO_WIDTH = parameter("ZERO_WIDTH")
BITS = parameter("BITS")
WIDTHS = {f"{port}_{kind}": 2 for port in ("loader", "vector", "store") for kind in ("active", "blocked")}
WIDTHS |= {"conv_active": 2 * GROUPS, "conv_blocked": 2 * GROUPS, "zeros_skipped": ZERO_WIDTH, "read_beat": 2, "write_beat": 2}


class Bench:
    """Drives events, feeds the model with them, compares all counters."""

    def __init__(self, dut) -> None:
        self.dut, self.model, self.compared = dut, PerformanceCounters(GROUPS, BITS), 0

    async def start(self) -> None:
        for port in (*WIDTHS, "clear", "running"):
            getattr(self.dut, port).value = 0
        await start_clock_and_reset(self.dut)

    async def step(self, running: int, clear: int = 0, density: float = 0.5) -> None:
        """One cycle with random events."""
        events = {}
        for port, width in WIDTHS.items():
            if density in (0.0, 1.0):
                events[port] = ((1 << width) - 1) * int(density)
            elif port == "zeros_skipped":
                events[port] = random.getrandbits(width)
            else:
                events[port] = sum((random.random() < density) << bit for bit in range(width))
            getattr(self.dut, port).value = events[port]
        self.dut.running.value, self.dut.clear.value = running, clear
        await RisingEdge(self.dut.clk)
        if clear:
            self.model.clear()
        elif running:
            self.model.count(events)

    async def compare(self) -> dict[str, int]:
        """Let the pipeline run empty, then compare every counter, the unused bits included."""
        for _ in range(3):
            await self.step(running=0)
        flat = int(self.dut.counters.value)
        actual = {name: flat >> 64 * index & (1 << 64) - 1 for index, name in enumerate(hardware.COUNTERS)}
        assert actual == self.model.values
        self.compared += 1
        return actual


@cocotb.test()
async def random_runs(dut) -> None:
    """Runs and pauses of random length and density; frozen outside of runs; cleared at the start; identities hold."""
    bench = Bench(dut)
    await bench.start()
    await bench.compare()
    for _ in range(14):
        await bench.step(running=random.randrange(2), clear=1)
        for density in random.sample((0.0, 0.1, 0.5, 0.9, 1.0), 3):
            for _ in range(random.randrange(1, 40)):
                await bench.step(running=1, density=density)
            for _ in range(random.choice((0, 1, 7))):
                await bench.step(running=0, density=density)
        values = await bench.compare()
        assert not broken_identities(values, GROUPS)
        assert int(dut.cycle.value) == values["CYCLES"] & 0xFFFFFFFF
        before = await bench.compare()
        for _ in range(20):
            await bench.step(running=0, density=1.0)
        assert await bench.compare() == before
    assert bench.compared == 43


@cocotb.test()
async def time_of_a_cycle(dut) -> None:
    """``cycle`` in the n-th cycle of a run is n - 1, without delay."""
    bench = Bench(dut)
    await bench.start()
    await bench.step(running=0, clear=1)
    for number in range(20):
        await bench.step(running=1)
        assert int(dut.cycle.value) == number


@cocotb.test()
async def carries(dut) -> None:
    """Counters carry through all their bits, and wrap at the last."""
    bench = Bench(dut)
    await bench.start()
    for exponent in (16, 32, 33, BITS):
        await bench.step(running=0, clear=1)
        await bench.step(running=0)
        for index, name in enumerate(hardware.COUNTERS):
            value = (1 << exponent) - random.randrange(1, 9)
            dut.g_counter[index].count.value = value
            bench.model.values[name] = value
        await ClockCycles(dut.clk, 1)
        for _ in range(random.randrange(10, 20)):
            await bench.step(running=1, density=0.9)
        values = await bench.compare()
        carried = sum(value < 1 << 20 if exponent == BITS else value >> exponent == 1 for value in values.values())
        assert carried >= 8, "most counters must have carried"
