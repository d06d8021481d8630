# SPDX-License-Identifier: Apache-2.0
"""Bench of piece_packer: runs of pieces from every place of a word, with stalls on both sides."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pyuvm

from gradcore.models.convolution.tile_store import pack_pieces
from tb.support.base import FlowCoverage, ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.stalls import STALLS
from tb.support.uvm import Coverage

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 13)
STARTS = range(4)


class PackerPredictor(Predictor):
    """Gathers the pieces of a run; with its last piece it says what must come out."""

    def build_phase(self) -> None:
        self.run: list[dict[str, int]] = []
        self.runs = 0

    def piece(self, fields: dict[str, int]) -> None:
        """One piece."""
        self.run.append(fields)
        if fields["last"]:
            start = self.run[0]["position"]
            for number, (data, strobe) in enumerate(self.words([item["piece"] for item in self.run], start)):
                self.expect("out", {"data": data, "strobe": strobe}, where=f"run {self.runs}, {len(self.run)} from {start}, word {number}")
            self.get_parent().coverage.sample(start=start, length=len(self.run))
            self.run = []
            self.runs += 1

    def words(self, pieces: list[int], start: int) -> list[tuple[int, int]]:
        """(data, strobe) of each word of a run."""
        return pack_pieces(pieces, 2 * start)


class Environment(UnitEnvironment):
    """Both streams, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.input = self.source("in", ("piece", "position", "last"))
        self.output = self.sink("out", ("data", "strobe"))
        self.predictor = PackerPredictor.create("predictor", self)
        points = {"start": STARTS, "length": LENGTHS}
        self.coverage = Coverage("coverage", self, points, {"start_by_length": ("start", "length")})
        self.flow = FlowCoverage("flow", self, {"in": self.input, "out": self.output})

    def connect_phase(self) -> None:
        self.predictor.hear(self.input, self.predictor.piece)
        self.check("out", self.output)


class Runs(ItemSequence):
    """Every length from every start, in random order."""

    lengths = LENGTHS

    def items(self) -> Iterable[dict[str, int]]:
        shapes = list(itertools.product(STARTS, self.lengths))
        random.shuffle(shapes)
        for start, length in shapes:
            for place in range(length):
                piece = random.choice((0, 0xFFFF, random.getrandbits(16)))
                yield {"piece": piece, "position": (start + place) % 4, "last": place == length - 1}


class PackerTest(UnitTest):
    """Base."""

    environment_type = Environment
    watchdog = 30_000


@pyuvm.test()
class EveryStall(PackerTest):
    """Every pair of stall patterns."""

    async def main(self) -> None:
        for source, sink in itertools.product(STALLS, STALLS):
            self.environment.input.set_stalls(source)
            self.environment.output.set_stalls(sink)
            await self.send(self.environment.input, Runs)


@pyuvm.test()
class OnePieceACycle(PackerTest):
    """Full speed."""

    covers = False

    async def main(self) -> None:
        monitor = self.environment.input.monitor.stream
        begin = monitor.cycles
        await self.send(self.environment.input, Runs)
        assert monitor.cycles - begin <= monitor.count + 4, f"{monitor.count} pieces took {monitor.cycles - begin} cycles"


class NextPlace(PackerPredictor):
    """A wrong model: each run begins a place later."""

    def words(self, pieces: list[int], start: int) -> list[tuple[int, int]]:
        return super().words(pieces, (start + 1) % 4)


class ShortRuns(Runs):
    """No run crosses a word."""

    lengths = (1,)


@must_fail("environment.scoreboard", r"out item \d+: expected")
class WrongPlace(PackerTest):
    """Pieces in the wrong place must be noticed."""

    overrides = {PackerPredictor: NextPlace}

    async def main(self) -> None:
        await self.send(self.environment.input, Runs)


@must_fail("environment.coverage", "coverage holes: length=2, length=3")
class LengthsLeftOut(PackerTest):
    """Coverage must see that there were no long runs."""

    overrides = {Runs: ShortRuns}

    async def main(self) -> None:
        await self.send(self.environment.input, Runs)
