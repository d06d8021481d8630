# SPDX-License-Identifier: Apache-2.0
"""Tests of run_control: normal runs, every error, first error wins, watchdog, soft reset in every state, dead memory; random runs.

A model says every output of every cycle. The directed tests say beside each stimulus what must come of it, too.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import pyuvm

from gradcore.hardware import CLEAR_CYCLES, CODES
from gradcore.models.control.run_control import RunControl, first_error
from tb.control.run_control.run_control_env import RunEnvironment, RunPredictor
from tb.control.run_control.run_control_sequences import ADDRESSES, ALL_ADDRESSES, STOP_LIMIT, RandomRuns
from tb.support.base import UnitTest, must_fail
from tb.support.streams import wait_until
from tb.support.uvm import StreamSequence

ILLEGAL, WINDOW, READ, WRITE, WATCHDOG = (
    CODES[name] for name in ("ILLEGAL_DESCRIPTOR", "WINDOW", "READ_RESPONSE", "WRITE_RESPONSE", "WATCHDOG")
)
CASES = (
    [({"error_illegal": 1}, ILLEGAL, 0)]
    + [({"error_window": 1 << port}, WINDOW, ADDRESSES[port]) for port in range(4)]
    + [({"error_read": 1 << port}, READ, ADDRESSES[port]) for port in range(2)]
    + [({"error_write": 1 << port}, WRITE, ADDRESSES[2 + port]) for port in range(2)]
)


class RunTest(UnitTest):
    """Base of the directed tests: all ports idle; ``pulse`` is one cycle, pulses go down after it and levels stay."""

    environment_type = RunEnvironment
    watchdog = 6_000
    covers = False
    limit = 0  # of the watchdog

    async def main(self) -> None:
        await self.pulse(watchdog_limit=self.limit, descriptor_index=7, port_error_address=ALL_ADDRESSES, port_idle=15)
        await self.directed()

    async def directed(self) -> None:
        """What the test does."""
        raise NotImplementedError

    @property
    def counts(self) -> dict[str, int]:
        """Cycles so far in which an output was up: ``interrupt_event``, ``sequencer_start``, ``running``."""
        return self.environment.rules.counts

    async def pulse(self, **values: int) -> None:
        """Inputs for one cycle."""
        await self.environment.pins.start(StreamSequence("pins", [values]))

    def output(self, name: str) -> int:
        """What stands on an output."""
        return int(getattr(self.dut, name).value)

    async def until(self, name: str, value: int = 1, limit: int = 200) -> int:
        """Wait until an output has a value; returns the cycles waited."""
        return await wait_until(self.dut.clk, lambda: self.output(name) == value, limit, f"{name} = {value}")

    async def begin(self, **levels: int) -> None:
        """Start a run and wait until the sequencer has been started."""
        starts = self.counts["sequencer_start"]
        await self.pulse(start=1, **levels)
        await self.cycles(1)
        self.says(clear=1, busy=1, running=1, done=0, error=0)
        await wait_until(self.dut.clk, lambda: self.counts["sequencer_start"] == starts + 1, 50, "sequencer_start")

    def says(self, **values: int) -> None:
        """Compare outputs."""
        got = {name: self.output(name) for name in values}
        assert got == values, f"expected {values}, got {got}"


@pyuvm.test()
class NormalRuns(RunTest):
    """Two runs; the clear phase waits for the ports; the cycle enable spans start to interrupt."""

    async def directed(self) -> None:
        self.says(busy=0, done=0, error=0, code=0, running=0, clear=0)
        for run in range(2):
            cycles = self.counts["running"]
            await self.pulse(start=1, port_idle=0b1011)
            await self.cycles(20)
            assert self.counts["sequencer_start"] == run, "must wait for the ports"
            self.says(clear=1, flush=1, busy=1, done=0)
            await self.pulse(port_idle=15)
            await wait_until(self.dut.clk, lambda run=run: self.counts["sequencer_start"] == run + 1, 20, "sequencer_start")
            await self.pulse(port_idle=random.getrandbits(4))
            await self.cycles(30)
            self.says(busy=1, clear=0, running=1)
            await self.pulse(finished=1)
            await self.pulse(port_idle=15)
            await self.cycles(2)
            self.says(busy=0, done=1, error=0, code=0, running=0, error_index=0, error_address=0)
            assert self.counts["interrupt_event"] == run + 1
            assert 50 <= self.counts["running"] - cycles <= 60
            await self.cycles(10)
        assert self.counts["interrupt_event"] == 2


@pyuvm.test()
class EveryError(RunTest):
    """Each error ends the run with its code, index and address, once the ports are idle; later errors change nothing."""

    async def directed(self) -> None:
        pairs = [(first, second) for first in CASES for second in CASES]
        random.shuffle(pairs)
        checked = 0
        for (inputs, code, address), (second, _, _) in pairs[:40] + [(case, case) for case in CASES]:
            index = random.getrandbits(16)
            await self.begin()
            await self.pulse(port_idle=random.choice((0, 7, 14)))
            await self.cycles(random.randrange(5))
            interrupts = self.counts["interrupt_event"]
            await self.pulse(descriptor_index=index, **inputs)
            await self.pulse(descriptor_index=index ^ 1, **second)
            self.says(error=1, code=code, error_index=index, error_address=address, clear=1, flush=1, busy=1, done=0)
            await self.pulse(finished=1)
            await self.cycles(12)
            self.says(done=0, clear=1, busy=1, running=1)
            await self.pulse(port_idle=15)
            await self.until("done")
            await self.cycles(2)
            self.says(error=1, code=code, error_index=index, error_address=address, clear=0, flush=0, busy=0, done=1, running=0)
            assert self.counts["interrupt_event"] == interrupts + 1
            checked += 1
        assert checked == 40 + len(CASES)


@pyuvm.test()
class ErrorsAtOnce(RunTest):
    """Of errors in one cycle the first of the order wins, and an error beats the end of the program."""

    async def directed(self) -> None:
        for low, (first, code, address) in enumerate(CASES):
            for second, _, _ in CASES[low + 1 :]:
                await self.begin()
                inputs = {name: first.get(name, 0) | second.get(name, 0) for name in {**first, **second}}
                await self.pulse(**inputs, finished=1)
                await self.cycles(1)
                self.says(code=code, error_address=address)
                await self.until("busy", 0)


@pyuvm.test()
class MinimumClear(RunTest):
    """Clear lasts CLEAR_CYCLES although all ports are idle at once."""

    async def directed(self) -> None:
        for inputs in ({"start": 1}, {"soft_reset": 1}):
            await self.pulse(**inputs)
            await self.until("clear")
            cycles = await self.until("clear", 0)
            assert cycles == CLEAR_CYCLES, cycles
            if "start" in inputs:
                await self.cycles(5)
                await self.pulse(error_illegal=1)
                await self.until("clear")
                cycles = await self.until("clear", 0)
                assert cycles == CLEAR_CYCLES, cycles


@pyuvm.test()
class Watchdog(RunTest):
    """Fires after exactly the given number of cycles without progress; 0 is off; progress keeps it quiet."""

    async def directed(self) -> None:
        for limit in (1, 2, 17):
            await self.begin(watchdog_limit=limit, progress=1)
            await self.cycles(3 * limit + 5)
            for _ in range(3):  # one cycle less than the limit is not enough
                for _ in range(limit - 1):
                    await self.pulse(progress=0)
                await self.pulse(progress=1)
            await self.cycles(3)
            self.says(error=0, busy=1)
            for _ in range(limit):
                await self.pulse(progress=0)
            self.says(error=0)
            await self.pulse(progress=1)
            self.says(error=1, code=WATCHDOG, error_index=7, error_address=0)
            await self.until("done")
            await self.until("busy", 0)
        await self.begin(watchdog_limit=0, progress=0)
        await self.cycles(300)
        self.says(error=0, busy=1)


@pyuvm.test()
class DeadMemory(RunTest):
    """A memory that never answers: done and interrupt come after STOP_LIMIT cycles, busy stays; a soft reset does not help until
    the ports are idle."""

    limit = 10

    async def directed(self) -> None:
        await self.begin()
        await self.pulse(port_idle=0b1110)
        await self.until("error")
        cycles = await self.until("done", limit=2 * STOP_LIMIT)
        assert STOP_LIMIT - 2 <= cycles <= STOP_LIMIT + 2, cycles
        await self.cycles(2)
        self.says(busy=1, done=1, error=1, code=WATCHDOG, clear=1, running=0)
        await self.pulse(start=1)
        await self.cycles(2)
        self.says(start_while_busy=1, done=1, busy=1)
        await self.pulse(soft_reset=1)
        await self.cycles(2 * STOP_LIMIT)
        self.says(busy=1, done=0, error=0, code=0, start_while_busy=0, clear=1)
        assert self.counts["interrupt_event"] == 1
        await self.pulse(port_idle=15)
        await self.until("busy", 0)
        await self.begin()
        await self.pulse(finished=1)
        await self.until("done")
        assert self.counts["sequencer_start"] == 2


@pyuvm.test()
class SoftResetAnywhere(RunTest):
    """A soft reset in any cycle of a run that ends well or badly: no interrupt afterwards, and the next run works."""

    async def directed(self) -> None:
        for error in (0, 1):
            for delay in range(1, 30):
                await self.pulse(start=1, port_idle=15)
                for cycle in range(delay):
                    await self.pulse(
                        finished=int(cycle == 15 and not error),
                        error_window=8 * int(cycle == 15 and error),
                        port_idle=7 if cycle > 10 and error and cycle < 24 else 15,
                    )
                await self.pulse(soft_reset=1)
                await self.cycles(1)
                interrupts = self.counts["interrupt_event"]
                self.says(busy=1, clear=1, flush=1, done=0, error=0, code=0, running=0, error_address=0, error_index=0)
                await self.cycles(8)
                await self.pulse(port_idle=15)
                await self.until("busy", 0)
                assert self.counts["interrupt_event"] == interrupts
                self.says(done=0, error=0)
        await self.begin()
        await self.pulse(finished=1)
        await self.until("done")


@pyuvm.test()
class StartWhileBusy(RunTest):
    """A start during a run changes nothing but the sticky bit, which the next start clears."""

    async def directed(self) -> None:
        await self.begin()
        await self.pulse(start=1)
        await self.cycles(20)
        self.says(start_while_busy=1, busy=1, clear=0, running=1)
        assert self.counts["sequencer_start"] == 1
        await self.pulse(finished=1)
        await self.until("done")
        self.says(start_while_busy=1)
        await self.begin()
        self.says(start_while_busy=0)


@pyuvm.test()
class EveryCase(UnitTest):
    """Random runs, until each event was seen in each state, each error alone and with each later one, each kind of stop."""

    environment_type = RunEnvironment
    watchdog = 20_000

    async def main(self) -> None:
        await self.send(self.environment.pins, RandomRuns)


# ---- Twins that must fail ----


class Few(RandomRuns):
    """Some runs."""

    runs = 12


class WrongOrder(RunControl):
    """The model of ``LastErrorWins``."""

    def step(self, pins: Mapping[str, int]) -> None:
        error = first_error(pins, False)
        super().step({**pins, "error_illegal": 0} if error and pins["error_window"] else pins)


class LastErrorWins(RunPredictor):
    """A wrong model: of a window error and an illegal descriptor in one cycle it takes the window's."""

    run_control = WrongOrder


class LostInterrupt(RunPredictor):
    """A model that expects an interrupt more: the module seems to have lost one."""

    def build_phase(self) -> None:
        super().build_phase()
        self.model.outputs["interrupt_event"] = 1


@must_fail("environment.scoreboard", r"outputs item \d+: expected (.|\n)*code: 1 .*, expected 2")
class WrongModel(EveryCase):
    """The wrong one of two errors must be noticed."""

    overrides = {RunPredictor: LastErrorWins}


@must_fail("environment.scoreboard", r"outputs item 0: expected (.|\n)*interrupt_event: 0 .*, expected 1")
class LostItem(EveryCase):
    """An interrupt that never comes must be noticed."""

    overrides = {RunPredictor: LostInterrupt, RandomRuns: Few}


@must_fail("environment.coverage", r"coverage holes: event_in_state=")
class Hole(EveryCase):
    """Coverage must see that most was left out."""

    overrides = {RandomRuns: Few}
