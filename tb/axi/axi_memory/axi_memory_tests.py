# SPDX-License-Identifier: Apache-2.0
"""Tests of gradcore/simulator/harness/axi_memory.v: it keeps what docs/units/axi/axi_memory.md promises, and its checker bites."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pyuvm
from cocotb.types import Logic, LogicArray

from gradcore.models.axi.axi_bursts import bursts
from tb.axi.axi_memory.axi_memory_env import BYTES, INPUTS, PORTS, MemoryEnvironment, MemoryPredictor
from tb.support.base import ItemSequence, UnitEnvironment, UnitTest, must_fail
from tb.support.declaration import running
from tb.support.stalls import STALLS
from tb.support.uvm import Coverage

REGION = 0x1000  # bytes that are written before anything is read
Item = dict[str, Any]


def beats_of(count: int, strobes: Iterable[int] = (255,)) -> tuple[tuple[int, int], ...]:
    """Random data of a write."""
    choices = tuple(strobes)
    return tuple((random.getrandbits(64), random.choice(choices)) for _ in range(count))


class Fill(ItemSequence):
    """Writes of a stretch of memory, in whole bursts: ``base``, ``words``."""

    base, words = 0, REGION // 8

    def items(self) -> Iterator[Item]:
        for address, beats in bursts(self.base, self.words):
            yield {"address": address, "beats": beats, "data": beats_of(beats)}


class ReadBack(Fill):
    """Reads of it."""

    def items(self) -> Iterator[Item]:
        for address, beats in bursts(self.base, self.words):
            yield {"address": address, "beats": beats}


class Mixed(ItemSequence):
    """Reads and writes of any length at once, many of them of the same few words; every strobe."""

    count = 24

    def items(self) -> Iterator[Item]:
        for number in range(self.count):
            beats = (1, 2, 15, 16)[number % 4] if number < 8 else random.randrange(1, 17)
            span = 0x100 if random.random() < 0.5 else REGION
            address = 8 * random.randrange(span // 8)
            address -= 8 * max(0, address % 4096 // 8 + beats - 512)  # no burst crosses 4 KiB
            strobes = (255, 255, 0, 3, 0x80, random.getrandbits(8))
            yield {"address": address, "beats": beats, **({"data": beats_of(beats, strobes)} if number // 4 % 2 else {})}


class Single(ItemSequence):
    """One burst after another, of one word each: ``writes``, ``base``, ``count``; ``step`` from one to the next."""

    base, count, writes, step = 0, 40, False, 8

    def items(self) -> Iterator[Item]:
        for number in range(self.count):
            yield {"address": self.base + self.step * number, "beats": 1, **({"data": beats_of(1)} if self.writes else {})}


class MemoryTest(UnitTest):
    """Base: all of the region is written first, by both ports."""

    environment_type = MemoryEnvironment
    watchdog = 20_000
    covers = False
    region = REGION

    async def main(self) -> None:
        self.masters, self.predictor = self.environment.masters, self.environment.predictor
        await self.configure(bytes_per_1024=0, latency=1, write_latency=1)
        await self.ask(Fill, (0,), words=self.region // 16)
        await self.ask(Fill, (1,), base=self.region // 2, words=self.region // 16)
        await self.settled()
        await self.configure(latency=32, write_latency=32, bytes_per_1024=16384)
        await self.directed()

    async def directed(self) -> None:
        """What the test does."""
        raise NotImplementedError

    async def configure(self, **values: int) -> None:
        """Change settings of the memory, which is quiet."""
        self.environment.configure(**values)
        self.predictor.loose = self.predictor.over = True
        await self.cycles(3)
        self.predictor.loose = False

    async def ask(self, kind: type[ItemSequence], ports: Iterable[int] = PORTS, **fields: Any) -> None:
        """Hand the bursts of a sequence, made by the factory, to the masters."""
        for port in ports:
            sequence = kind.create(kind.__name__)
            for name, value in fields.items():
                setattr(sequence, name, value)
            await sequence.start(self.masters[port].sequencer)

    async def settled(self) -> None:
        """Until nothing is in flight."""
        await self.cycles(1)
        while not (self.predictor.quiet and all(master.driver.idle for master in self.masters)):
            await self.cycles(1)

    async def run_all(self, kind: type[ItemSequence], ports: Iterable[int] = PORTS, **fields: Any) -> None:
        """Ask, and wait until all is answered."""
        await self.ask(kind, ports, **fields)
        await self.settled()

    def stalls(self, *kinds: str) -> None:
        """From now on both masters pause after these patterns: one, or one each for ar, aw, w, r, b."""
        for master in self.masters:
            master.driver.set_stalls(*kinds)


@pyuvm.test()
class EveryCase(MemoryTest):
    """Reads and writes of both ports at once under all settings: stalls of both sides, latencies, limits, errors, a share used up."""

    covers = True

    async def directed(self) -> None:
        for port in PORTS:
            await self.run_all(Single, (port,), writes=True, base=0x800 * port)
            await self.run_all(Single, (port,), base=0x800 * port)
        for number in range(9):
            self.stalls(*(random.choice(STALLS) if number else "three_of_four" for _ in range(5)))
            latencies = {name: random.choice((1, 2, 32)) for name in ("latency", "write_latency")}
            await self.configure(**latencies, outstanding=(8, 1, 16)[number % 3], stall=(0, 300, 700)[number % 3])
            limits = {"read_error_base": 0x40, "read_error_limit": 0x80, "write_error_base": 0x60, "write_error_limit": 0xA0}
            await self.configure(**limits if number % 2 else dict.fromkeys(limits, 0))
            await self.run_all(Mixed)
        self.stalls("none")
        await self.configure(stall=0, outstanding=8, latency=32, write_latency=32, bytes_per_1024=2048)
        await self.ask(ReadBack, words=256)
        await self.run_all(Fill, words=256)


@pyuvm.test()
class ReadsDoNotSeeUnansweredWrites(MemoryTest):
    """A write lands with its response, a read takes what is there when its address is accepted; so it may get old words."""

    async def directed(self) -> None:
        await self.ask(Single, (0,), writes=True, base=0x40, count=1)
        await self.run_all(Single, (1,), base=0x40, count=24, step=0)
        seen = self.environment.coverage.hits()["read_of"]
        assert seen["an unanswered write"] and seen["a word"], "all reads were before, or after, the response"


@pyuvm.test()
class Bandwidth(MemoryTest):
    """All four directions busy: no 1,024 cycles carry more than the share, the share is used, and all get their part of it."""

    region = 0x4000

    async def directed(self) -> None:
        for share in (16384, 10922, 0):
            await self.configure(bytes_per_1024=share)
            begin, words, ends = self.predictor.cycles, 1024, {}
            for port in PORTS:
                await self.ask(ReadBack, (port,), base=0x2000 * port, words=words)
                await self.ask(Fill, (port,), base=0x4000 + 0x2000 * port, words=words)
            while not (self.predictor.quiet and all(master.driver.idle for master in self.masters)):
                await self.cycles(1)
                for index, port in enumerate(self.predictor.ports):
                    if port.read_open:
                        ends[index, "read"] = self.predictor.cycles
                    if port.write_bursts:
                        ends[index, "write"] = self.predictor.cycles
            took = max(ends.values()) - begin
            due = -(-4 * 8 * words // share) * 1024 if share else words
            assert took <= due + 200, f"share {share}: {took} cycles; {due} would do"
            assert min(ends.values()) - begin > 0.6 * took, f"share {share}: not all got their part: {ends}"


# ---- The checker of the protocol ----

FOUR_STATES = running()["simulator"] == "icarus"
X = "X"


def breaches() -> Iterator[tuple[str, list[Item], bool]]:
    """(name, inputs in each cycle, whether the memory is ready)."""
    for channel in ("ar", "aw"):
        valid = {f"{channel}valid": 1}
        for name, fields in {
            "long": {"len": 16},
            "page": {"addr": 0xFF8, "len": 1},
            "size": {"size": 2},
            "kind": {"burst": 0},
            "alignment": {"addr": 4},
            "range": {"addr": BYTES},
            **({"unknown": {"addr": X}} if FOUR_STATES else {}),
        }.items():
            yield f"{channel} {name}", [valid | {f"{channel}{field}": value for field, value in fields.items()}], True
        yield f"{channel} withdrawn", [valid, {f"{channel}valid": 0}], False
        yield f"{channel} changed", [valid, {f"{channel}addr": 8}], False
        yield f"{channel} legal", [valid | {f"{channel}addr": BYTES - 128, f"{channel}len": 15}, {f"{channel}valid": 0}], True
    beat = {"wvalid": 1, "wstrb": 255, "wlast": 0}
    address = {"awvalid": 1, "awlen": 3}
    yield "w withdrawn", [beat, {"wvalid": 0}], True
    yield "w changed", [beat, {"wdata": 1}], True
    yield "w last early", [address | beat | {"wlast": 1}], True
    yield "w last late", [address | beat | {"awlen": 0}], True
    if FOUR_STATES:
        yield "w unknown", [beat | {"wdata": X}], True
        yield "ready unknown", [{"rready": X}], True


class BreachEnvironment(UnitEnvironment):
    """The inputs of both ports alone, and the checker's verdict of each breach."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("verdicts")
        self.names = [(port, name) for port in PORTS for name, _, _ in breaches()]
        self.coverage = Coverage("coverage", self, {"breach": self.names})
        self.handles = {(port, name): getattr(self.dut, f"s_axi{port}_{name}") for port in PORTS for name in INPUTS}
        for (_, name), handle in self.handles.items():
            handle.value = {"arsize": 3, "awsize": 3, "arburst": 1, "awburst": 1, "rready": 1, "bready": 1}.get(name, 0)

    def put(self, port: int, **values: Any) -> None:
        """Drive inputs of a port."""
        for name, value in values.items():
            handle = self.handles[port, name]
            width = len(str(handle.value))
            handle.value = value if value != X else Logic(X) if width == 1 else LogicArray(X * width)

    def verdict(self, port: int, name: str) -> None:
        """What is expected of a breach, and what the checker says."""
        found = int(self.dut.violation.value)
        self.scoreboard.expect("verdicts", {"violation": int(not name.endswith("legal"))}, f"port {port}: {name}")
        self.scoreboard.actual("verdicts", {"violation": found})
        self.coverage.sample(breach=(port, name))


@pyuvm.test()
class EveryBreach(UnitTest):
    """Each breach of the protocol, on each port, is noticed; none is seen before, nor where there is none."""

    environment_type = BreachEnvironment
    watchdog = 5_000

    async def main(self) -> None:
        environment, dut = self.environment, self.dut
        dut.window_beats.value = dut.stall.value = 0
        await self.cycles(3)
        assert not int(dut.violation.value), "a violation without cause"
        for port in PORTS:
            for name, steps, ready in breaches():
                await self.breach(port, steps, ready)
                environment.verdict(port, name)
        await self.restart()

    async def breach(self, port: int, steps: list[Item], ready: bool) -> None:
        """After a reset, the inputs of each cycle; then all as before."""
        await self.restart()
        self.dut.outstanding.value = 8 * ready
        await self.cycles(2)
        assert not int(self.dut.violation.value), "a violation before its cause"
        usual = {"arsize": 3, "awsize": 3, "arburst": 1, "awburst": 1, "rready": 1, "bready": 1}
        for step in steps:
            self.environment.put(port, **step)
            await self.cycles(1)
        await self.cycles(4)
        self.environment.put(port, **dict.fromkeys(INPUTS, 0) | usual)

    async def restart(self) -> None:
        """Reset the memory, and let the checkers forget what they saw."""
        self.dut.rst.value = 1
        await self.cycles(2)
        for checker in (self.dut.checker0, self.dut.checker1):
            checker.violation.value = 0
        self.dut.rst.value = 0
        await self.cycles(1)


# ---- Twins that must fail ----


class Short(MemoryTest):
    """Reads of what was written."""

    async def directed(self) -> None:
        await self.run_all(ReadBack, words=64)
        await self.run_all(Single, (0,), writes=True, count=2)


class OneBit(MemoryPredictor):
    """A wrong model: one bit is written otherwise."""

    def store(self, address: int, word: int, strobe: int) -> None:
        super().store(address, word ^ 1, strobe)


class OneCycleLess(MemoryPredictor):
    """A wrong model: a response may come a cycle earlier than it does."""

    def writes(self, index: int, port: Any) -> None:
        super().writes(index, port)
        if port.answers:
            port.answers[-1] = (self.cycles + self.settings.write_latency - 1, *port.answers[-1][1:])


class LostResponse(MemoryPredictor):
    """A model that expects a response more: the memory seems to have lost it."""

    def hear_all(self, environment: MemoryEnvironment) -> None:
        super().hear_all(environment)
        self.expect("responses of port 0", {"response": 3})


class Silent(BreachEnvironment):
    """Takes each breach to be legal."""

    def verdict(self, port: int, name: str) -> None:
        super().verdict(port, f"{name}, which is legal" if name == "ar page" else name)


class Quiet(MemoryTest):
    """A run with most left out."""

    covers = True

    async def directed(self) -> None:
        await self.run_all(ReadBack, words=64)


@must_fail("environment.scoreboard", r"reads of port 0 item 0: expected {'data': \d+, 'response': 0, 'last': 0}")
class WrongModel(Short):
    """Another word must be noticed."""

    overrides = {MemoryPredictor: OneBit}


@must_fail("environment.predictor", r"port 0: no bvalid in cycle \d+, for no reason")
class WrongLatency(Short):
    """A response that comes in another cycle must be noticed."""

    overrides = {MemoryPredictor: OneCycleLess}


@must_fail("environment.scoreboard", r"responses of port 0 item 0: expected {'response': 3}")
class LostItem(Short):
    """A response that never comes must be noticed."""

    overrides = {MemoryPredictor: LostResponse}


@must_fail("environment.scoreboard", r"verdicts item 1: expected {'violation': 0}, got {'violation': 1}")
class WrongVerdict(EveryBreach):
    """A breach that is taken to be legal must be noticed."""

    overrides = {BreachEnvironment: Silent}


@must_fail("environment.coverage", "coverage holes: length=")
class Hole(Quiet):
    """Coverage must see that most was left out."""
