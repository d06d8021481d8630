# SPDX-License-Identifier: Apache-2.0
"""Bench of fifo and skid_buffer: order, nothing lost or repeated, and in every cycle readiness, level and the word in front."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterable

import pyuvm

from tb.support.agents import PinsAgent, pins
from tb.support.base import FlowCoverage, ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.declaration import parameter, running
from tb.support.stalls import STALLS
from tb.support.uvm import Coverage

HAS_LEVEL = running()["toplevel"] == "fifo"
DEPTH = parameter("DEPTH") if HAS_LEVEL else 2  # words that the module holds
WIDTH = parameter("WIDTH")
LEVELS = sorted({0, 1, DEPTH - 1, DEPTH})


class QueuePredictor(Predictor):
    """A queue, fed with what both ports did in each cycle."""

    def build_phase(self) -> None:
        self.held: deque[int] = deque()

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle: what the ports show follows from what is held; then what moves, moves."""
        held = self.held
        if pins["rst"]:
            held.clear()
            self.get_parent().scoreboard.forget()
            return
        assert pins["in_ready"] == (len(held) < DEPTH), f"in_ready is {pins['in_ready']} with {len(held)} words"
        assert pins["out_valid"] == (len(held) > 0), f"out_valid is {pins['out_valid']} with {len(held)} words"
        assert not held or pins["out_data"] == held[0], f"out_data is {pins['out_data']:#x}, in front is {held[0]:#x}"
        assert not HAS_LEVEL or pins["level"] == len(held), f"level is {pins['level']} with {len(held)} words"
        push, pop = pins["in_valid"] and pins["in_ready"], pins["out_valid"] and pins["out_ready"]
        self.get_parent().coverage.sample(moves_at_level=(len(held), (("none", "out"), ("in", "both"))[push][pop]))
        if pop:
            held.popleft()
        if push:
            self.push(pins["in_data"])

    def push(self, word: int) -> None:
        """A word comes in, and must come out."""
        self.held.append(word)
        self.expect("out", {"data": word})


class Environment(UnitEnvironment):
    """Both streams, all ports in each cycle, queue, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.input = self.source("in", ("data",))
        self.output = self.sink("out", ("data",))
        ports = [f"{side}_{name}" for side in ("in", "out") for name in ("valid", "ready", "data")] + ["level"] * HAS_LEVEL
        self.ports = PinsAgent("ports", self, pins(self.dut, (), (*ports, "rst"), rst=None, unknown=ports))
        self.predictor = QueuePredictor.create("predictor", self)
        bins = [(level, moves) for level in LEVELS for moves in ("none", "in", "out", "both")]
        possible = [bin_ for bin_ in bins if bin_[1] not in {0: ("out", "both"), DEPTH: ("in", "both")}.get(bin_[0], ())]
        self.coverage = Coverage("coverage", self, {"moves_at_level": possible})
        self.flow = FlowCoverage("flow", self, {"in": self.input, "out": self.output})

    def connect_phase(self) -> None:
        self.predictor.hear(self.ports, self.predictor.cycle)
        self.check("out", self.output)


class Words(ItemSequence):
    """Random words, zeros and ones among them."""

    count = 4 * DEPTH + 60

    def items(self) -> Iterable[dict[str, int]]:
        choices = (0, (1 << WIDTH) - 1)
        yield from ({"data": random.choice((*choices, random.getrandbits(WIDTH)))} for _ in range(self.count))


MORE, HALF, LESS = (tuple(map(bool, map(int, pattern))) for pattern in ("01001", "001101", "0110111"))  # stalls of a port


class WordsTest(UnitTest):
    """Base."""

    environment_type = Environment
    watchdog = 60 * (4 * DEPTH + 60) * len(STALLS)


@pyuvm.test()
class EveryStall(WordsTest):
    """Every pair of stall patterns; filled to the last place, and drained."""

    async def main(self) -> None:
        environment = self.environment
        for source, sink in itertools.product(STALLS, STALLS):
            environment.input.set_stalls(source)
            environment.output.set_stalls(sink)
            await self.send(environment.input, Words)
        # Filled, then near full, then near empty: the source gives more than the sink takes, and less; every pair of moves occurs.
        sink = environment.output.monitor.stream
        for source, stalls in ((MORE, itertools.chain([True] * (3 * DEPTH + 9), itertools.cycle(HALF))), (LESS, itertools.cycle(HALF))):
            environment.input.driver.source.stalls = itertools.cycle(source)
            sink.stalls = stalls
            await self.send(environment.input, Words)


@pyuvm.test()
class OneWordACycle(WordsTest):
    """Full rate and latency 1: so many words take two cycles more."""

    covers = False

    async def main(self) -> None:
        monitor = self.environment.output.monitor.stream
        begin = monitor.cycles
        await self.send(self.environment.input, Words)
        await monitor.wait_for(Words.count, 10)
        assert monitor.cycles - begin <= Words.count + 4, f"{Words.count} words took {monitor.cycles - begin} cycles"


@pyuvm.test()
class ResetEmpties(WordsTest):
    """After a reset in mid-traffic nothing is left."""

    covers = False

    async def main(self) -> None:
        environment = self.environment
        for held in {1, DEPTH // 2, DEPTH}:
            environment.output.monitor.stream.stalls = itertools.repeat(True)
            await environment.input.send([{"data": random.getrandbits(WIDTH)} for _ in range(held)])
            await self.cycles(2)
            assert len(environment.predictor.held) == held
            self.dut.rst.value = 1
            await self.cycles(2)
            self.dut.rst.value = 0
            await self.cycles(4)  # the predictor checks that the module is empty
            environment.output.set_stalls("none")
            await self.send(environment.input, Words)
            await self.cycles(2 * DEPTH)


class Forgets(QueuePredictor):
    """A wrong model: it expects the tenth word twice."""

    def push(self, word: int) -> None:
        super().push(word)
        if self.get_parent().scoreboard.seen["out"] == 10:
            self.expect("out", {"data": word})


class OneMore(QueuePredictor):
    """A wrong model: it holds a word more."""

    def cycle(self, pins: dict[str, int]) -> None:
        super().cycle({**pins, "in_ready": int(pins["in_ready"] or not pins["rst"] and len(self.held) == DEPTH)})


@must_fail("environment.scoreboard", r"out item \d+: expected")
class LostWord(EveryStall):
    """A word that does not come must be noticed."""

    overrides = {QueuePredictor: Forgets}


@must_fail("environment.predictor", rf"in_ready is 1 with {DEPTH} words")
class WrongDepth(EveryStall):
    """A module that holds too many words must be noticed."""

    overrides = {QueuePredictor: OneMore}
