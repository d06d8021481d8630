# SPDX-License-Identifier: Apache-2.0
"""Bench of run_control: normal runs, every error, first error wins, watchdog, soft reset in every state, dead memory.

The expected result of each case is written down beside its stimulus; a checker watches what must hold in every cycle.
"""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import RisingEdge

from tb.support.streams import start_clock_and_reset, wait_until

ILLEGAL, WINDOW, READ, WRITE, WATCHDOG = 1, 2, 3, 4, 5
STOP_LIMIT = 64  # parameter of the build
CLEAR_CYCLES = 4
ADDRESSES = [0x1000_0008, 0x2000_0010, 0x3000_0018, 0x4000_0020]
INPUTS = ("start", "soft_reset", "finished", "progress", "error_illegal", "error_window", "error_read", "error_write")


class Bench:
    """Drives the module and counts its events."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.interrupts = self.starts = self.cycles = self.running_cycles = 0
        self.before: dict[str, int] = {}

    async def begin(self, watchdog: int = 0) -> None:
        """Reset, all ports idle, and the checker at work."""
        for name in INPUTS:
            getattr(self.dut, name).value = 0
        self.dut.watchdog_limit.value = watchdog
        self.dut.descriptor_index.value = 7
        self.dut.port_error_address.value = sum(address << 32 * port for port, address in enumerate(ADDRESSES))
        self.dut.port_idle.value = 15
        await start_clock_and_reset(self.dut)
        cocotb.start_soon(self.watch())

    async def watch(self) -> None:
        """What must hold in every cycle."""
        names = ("busy", "done", "error", "code", "interrupt_event", "running", "clear", "flush", "sequencer_start")
        while True:
            await RisingEdge(self.dut.clk)
            now = {name: int(getattr(self.dut, name).value) for name in names}
            self.cycles += 1
            self.interrupts += now["interrupt_event"]
            self.starts += now["sequencer_start"]
            self.running_cycles += now["running"]
            assert now["clear"] == now["flush"], "both stop the core together"
            assert not (now["sequencer_start"] and now["clear"]), "the sequencer would miss its start"
            assert now["error"] == (now["code"] != 0)
            assert not now["running"] or (now["busy"] and not now["done"])
            assert not now["clear"] or now["busy"]
            if self.before:
                assert now["interrupt_event"] == (now["done"] and not self.before["done"]), "one interrupt a run"
                if self.before["interrupt_event"]:
                    assert not now["interrupt_event"]
            self.before = now

    async def pulse(self, **values: int) -> None:
        """Set inputs for one cycle."""
        for name, value in values.items():
            getattr(self.dut, name).value = value
        await RisingEdge(self.dut.clk)
        for name in values:
            getattr(self.dut, name).value = 0

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def until(self, name: str, value: int = 1, limit: int = 200) -> int:
        """Wait until an output has a value; returns the cycles waited."""
        return await wait_until(self.dut.clk, lambda: int(getattr(self.dut, name).value) == value, limit, f"{name} = {value}")

    async def start(self) -> None:
        """Start a run and wait until the sequencer has been started."""
        starts = self.starts
        await self.pulse(start=1)
        await self.wait(1)
        assert int(self.dut.clear.value) and int(self.dut.busy.value) and int(self.dut.running.value)
        assert not int(self.dut.done.value) and not int(self.dut.error.value)
        await wait_until(self.dut.clk, lambda: self.starts == starts + 1, 50, "sequencer_start")

    def expect(self, **values: int) -> None:
        """Compare outputs."""
        got = {name: int(getattr(self.dut, name).value) for name in values}
        assert got == values, f"expected {values}, got {got}"


@cocotb.test()
async def normal_runs(dut) -> None:
    """Two runs; the clear phase waits for the ports; the cycle enable spans start to interrupt."""
    bench = Bench(dut)
    await bench.begin()
    bench.expect(busy=0, done=0, error=0, code=0, running=0, clear=0)
    for run in range(2):
        dut.port_idle.value = 0b1011
        await bench.pulse(start=1)
        cycles = bench.running_cycles
        await bench.wait(20)
        assert bench.starts == run, "must wait for the ports"
        bench.expect(clear=1, flush=1, busy=1, done=0)
        dut.port_idle.value = 15
        await wait_until(dut.clk, lambda run=run: bench.starts == run + 1, 20, "sequencer_start")
        dut.port_idle.value = random.getrandbits(4)
        await bench.wait(30)
        bench.expect(busy=1, clear=0, running=1)
        await bench.pulse(finished=1)
        dut.port_idle.value = 15
        await bench.wait(2)
        bench.expect(busy=0, done=1, error=0, code=0, running=0, error_index=0, error_address=0)
        assert bench.interrupts == run + 1
        assert 50 <= bench.running_cycles - cycles <= 60
        await bench.wait(10)
    assert bench.interrupts == 2


CASES = (
    [({"error_illegal": 1}, ILLEGAL, 0)]
    + [({"error_window": 1 << port}, WINDOW, ADDRESSES[port]) for port in range(4)]
    + [({"error_read": 1 << port}, READ, ADDRESSES[port]) for port in range(2)]
    + [({"error_write": 1 << port}, WRITE, ADDRESSES[2 + port]) for port in range(2)]
)


@cocotb.test()
async def every_error(dut) -> None:
    """Each error ends the run with its code, index and address, once the ports are idle; later errors change nothing."""
    bench = Bench(dut)
    await bench.begin()
    pairs = [(first, second) for first in CASES for second in CASES]
    random.shuffle(pairs)
    checked = 0
    for (inputs, code, address), (second, _, _) in pairs[:40] + [(case, case) for case in CASES]:
        index = random.getrandbits(16)
        await bench.start()
        dut.port_idle.value = random.choice((0, 7, 14))
        await bench.wait(random.randrange(5))
        dut.descriptor_index.value = index
        interrupts = bench.interrupts
        await bench.pulse(**inputs)
        dut.descriptor_index.value = index ^ 1
        await bench.pulse(**second)
        bench.expect(error=1, code=code, error_index=index, error_address=address, clear=1, flush=1, busy=1, done=0)
        await bench.pulse(finished=1)
        await bench.wait(12)
        bench.expect(done=0, clear=1, busy=1, running=1)
        dut.port_idle.value = 15
        await bench.until("done")
        await bench.wait(2)
        bench.expect(error=1, code=code, error_index=index, error_address=address, clear=0, flush=0, busy=0, done=1, running=0)
        assert bench.interrupts == interrupts + 1
        checked += 1
    assert checked == 40 + len(CASES)


@cocotb.test()
async def errors_at_once(dut) -> None:
    """Of errors in one cycle the first of the order wins, and an error beats the end of the program."""
    bench = Bench(dut)
    await bench.begin()
    for low, (first, code, address) in enumerate(CASES):
        for second, _, _ in CASES[low + 1 :]:
            await bench.start()
            inputs = {name: first.get(name, 0) | second.get(name, 0) for name in {**first, **second}}
            await bench.pulse(**inputs, finished=1)
            await bench.wait(1)
            bench.expect(code=code, error_address=address)
            await bench.until("busy", 0)


@cocotb.test()
async def minimum_clear(dut) -> None:
    """Clear lasts CLEAR_CYCLES although all ports are idle at once."""
    bench = Bench(dut)
    await bench.begin()
    for inputs in ({"start": 1}, {"soft_reset": 1}):
        await bench.pulse(**inputs)
        await bench.until("clear")
        cycles = await bench.until("clear", 0)
        assert cycles == CLEAR_CYCLES, cycles
        if "start" in inputs:
            await bench.wait(5)
            await bench.pulse(error_illegal=1)
            await bench.until("clear")
            cycles = await bench.until("clear", 0)
            assert cycles == CLEAR_CYCLES, cycles


@cocotb.test()
async def watchdog(dut) -> None:
    """Fires after exactly the given number of cycles without progress; 0 is off; progress keeps it quiet."""
    bench = Bench(dut)
    await bench.begin()
    for limit in (1, 2, 17):
        dut.watchdog_limit.value = limit
        dut.progress.value = 1
        await bench.start()
        await bench.wait(3 * limit + 5)
        for _ in range(3):  # one cycle less than the limit is not enough
            dut.progress.value = 0
            await bench.wait(limit - 1)
            dut.progress.value = 1
            await bench.wait(1)
        await bench.wait(3)
        bench.expect(error=0, busy=1)
        dut.progress.value = 0
        await bench.wait(limit)
        bench.expect(error=0)
        dut.progress.value = 1
        await bench.wait(1)
        bench.expect(error=1, code=WATCHDOG, error_index=7, error_address=0)
        await bench.until("done")
        await bench.until("busy", 0)
    dut.watchdog_limit.value = 0
    dut.progress.value = 0
    await bench.start()
    await bench.wait(300)
    bench.expect(error=0, busy=1)


@cocotb.test()
async def dead_memory(dut) -> None:
    """A memory that never answers: done and interrupt come after STOP_LIMIT cycles, busy stays; a soft reset does not help until
    the ports are idle."""
    bench = Bench(dut)
    await bench.begin(watchdog=10)
    await bench.start()
    dut.port_idle.value = 0b1110
    await bench.until("error")
    cycles = await bench.until("done", limit=2 * STOP_LIMIT)
    assert STOP_LIMIT - 2 <= cycles <= STOP_LIMIT + 2, cycles
    await bench.wait(2)
    bench.expect(busy=1, done=1, error=1, code=WATCHDOG, clear=1, running=0)
    await bench.pulse(start=1)
    await bench.wait(2)
    bench.expect(start_while_busy=1, done=1, busy=1)
    await bench.pulse(soft_reset=1)
    await bench.wait(2 * STOP_LIMIT)
    bench.expect(busy=1, done=0, error=0, code=0, start_while_busy=0, clear=1)
    assert bench.interrupts == 1
    dut.port_idle.value = 15
    await bench.until("busy", 0)
    await bench.start()
    await bench.pulse(finished=1)
    await bench.until("done")
    assert bench.starts == 2


@cocotb.test()
async def soft_reset_anywhere(dut) -> None:
    """A soft reset in any cycle of a run that ends well or badly: no interrupt afterwards, and the next run works."""
    bench = Bench(dut)
    await bench.begin()
    for error in (0, 1):
        for delay in range(1, 30):
            dut.port_idle.value = 15
            await bench.pulse(start=1)
            for cycle in range(delay):
                dut.finished.value = int(cycle == 15 and not error)
                dut.error_window.value = 8 * int(cycle == 15 and error)
                dut.port_idle.value = 7 if cycle > 10 and error and cycle < 24 else 15
                await RisingEdge(dut.clk)
            dut.finished.value = dut.error_window.value = 0
            await bench.pulse(soft_reset=1)
            await bench.wait(1)
            interrupts = bench.interrupts
            bench.expect(busy=1, clear=1, flush=1, done=0, error=0, code=0, running=0, error_address=0, error_index=0)
            await bench.wait(8)
            dut.port_idle.value = 15
            await bench.until("busy", 0)
            assert bench.interrupts == interrupts
            bench.expect(done=0, error=0)
    await bench.start()
    await bench.pulse(finished=1)
    await bench.until("done")


@cocotb.test()
async def start_while_busy(dut) -> None:
    """A start during a run changes nothing but the sticky bit, which the next start clears."""
    bench = Bench(dut)
    await bench.begin()
    await bench.start()
    await bench.pulse(start=1)
    await bench.wait(20)
    bench.expect(start_while_busy=1, busy=1, clear=0, running=1)
    assert bench.starts == 1
    await bench.pulse(finished=1)
    await bench.until("done")
    bench.expect(start_while_busy=1)
    await bench.start()
    bench.expect(start_while_busy=0)
