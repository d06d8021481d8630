# SPDX-License-Identifier: Apache-2.0
"""Bench of piece_unpacker.v: rows of pieces with any skip and length, under stalls on each port."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterable

import cocotb
import numpy as np
import pyuvm

from tb.support.base import FlowCoverage, ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.declaration import parameter
from tb.support.stalls import STALLS
from tb.support.uvm import Coverage

MOST = min(31, (1 << parameter("PIECES_WIDTH")) - 1)  # pieces of a row: the limit of a narrow counter
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, MOST - 1, MOST)
SKIPS = range(4)


class UnpackerPredictor(Predictor):
    """Pieces of each row, from the rows and the words that were taken; a word belongs to the oldest row that lacks pieces."""

    def build_phase(self) -> None:
        self.rows: deque[list[int]] = deque()  # skip, pieces left
        self.seen = 0

    def row(self, fields: dict[str, int]) -> None:
        """A row is accepted."""
        self.rows.append([fields["skip"], fields["pieces"]])
        self.get_parent().coverage.sample(skip=fields["skip"], length=fields["pieces"])

    def word(self, fields: dict[str, int]) -> None:
        """A word is accepted, together with the last piece that is wanted from it."""
        assert self.rows, "a word was taken without a row"
        skip, left = self.rows[0]
        pieces = [fields["data"] >> 16 * place & 0xFFFF for place in range(skip, min(4, skip + left))]
        for piece in pieces:
            self.expect("piece", {"data": piece}, where=f"row {self.seen}, {left} pieces to come, from place {skip}")
        self.rows[0] = [0, left - len(pieces)]
        if left == len(pieces):
            self.rows.popleft()
            self.seen += 1


class Environment(UnitEnvironment):
    """Three streams, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.row = self.source("row", ("skip", "pieces"))
        self.word = self.source("word", ("data",))
        self.piece = self.sink("piece", ("data",))
        self.predictor = UnpackerPredictor.create("predictor", self)
        self.coverage = Coverage("coverage", self, {"skip": SKIPS, "length": LENGTHS}, {"skip_by_length": ("skip", "length")})
        self.flow = FlowCoverage("flow", self, {"row": self.row, "word": self.word, "piece": self.piece})

    def connect_phase(self) -> None:
        self.predictor.hear(self.row, self.predictor.row)
        self.predictor.hear(self.word, self.predictor.word)
        self.check("piece", self.piece)

    def check_phase(self) -> None:
        assert not self.predictor.rows, "a row was not completed"


class Rows(ItemSequence):
    """Every length after every skip, in random order."""

    lengths = LENGTHS

    def items(self) -> Iterable[dict[str, int]]:
        shapes = list(itertools.product(SKIPS, self.lengths))
        yield from ({"skip": shapes[index][0], "pieces": shapes[index][1]} for index in random.sample(range(len(shapes)), len(shapes)))


class RowsTest(UnitTest):
    """Base: rows, and the words that hold them, at once."""

    environment_type = Environment
    watchdog = 60_000

    async def rows(self, most: int | None = None) -> int:
        """Send the rows of the sequence, or ``most`` of them, with random words; returns the number of their pieces."""
        rows = list(Rows.create("rows").items())[:most]
        words = [
            int(word) for row in rows for word in self.rng.integers(0, 1 << 64, (row["skip"] + row["pieces"] + 3) // 4, dtype=np.uint64)
        ]
        task = cocotb.start_soon(self.environment.row.send(rows))
        await self.environment.word.send([{"data": word} for word in words])
        await task
        return sum(row["pieces"] for row in rows)


@pyuvm.test()
class EveryStall(RowsTest):
    """Every combination of stall patterns of the three ports, the last with all rows."""

    async def main(self) -> None:
        environment = self.environment
        for row, word, piece in itertools.product(STALLS, repeat=3):
            for agent, stalls in ((environment.row, row), (environment.word, word), (environment.piece, piece)):
                agent.set_stalls(stalls)
            await self.rows(6)
        await self.rows()


@pyuvm.test()
class OnePieceACycle(RowsTest):
    """One piece a cycle, and no gap between rows."""

    covers = False

    async def main(self) -> None:
        monitor = self.environment.piece.monitor.stream
        begin = monitor.cycles
        pieces = await self.rows()
        assert monitor.cycles - begin <= pieces + 4, f"{pieces} pieces took {monitor.cycles - begin} cycles"


class WithoutSkip(UnpackerPredictor):
    """A wrong model: the skip is one less."""

    def row(self, fields: dict[str, int]) -> None:
        super().row({**fields, "skip": max(0, fields["skip"] - 1)})


class ShortRows(Rows):
    """Rows of one length only."""

    lengths = (2,)


@must_fail("environment.scoreboard", r"piece item \d+: expected")
class WrongSkip(RowsTest):
    """Pieces that do not belong to the row must be noticed."""

    overrides = {UnpackerPredictor: WithoutSkip}

    async def main(self) -> None:
        await self.rows()


@must_fail("environment.coverage", "coverage holes: length=1, length=3")
class LengthsLeftOut(RowsTest):
    """Coverage must see that lengths were left out."""

    overrides = {Rows: ShortRows}

    async def main(self) -> None:
        await self.rows()
