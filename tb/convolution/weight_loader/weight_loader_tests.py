# SPDX-License-Identifier: Apache-2.0
"""Tests of weight_loader.v: every weight row and initial accumulator against models/convolution/weight_loader.py; rate; reset in a job."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import cocotb
import numpy as np
import pyuvm
from cocotb.triggers import RisingEdge

from gradcore.hardware import LANES
from gradcore.models.convolution.weight_loader import WeightRow
from gradcore.models.jobs import WeightLoaderJob
from tb.convolution.weight_loader.weight_loader_env import WIDEST, WeightLoaderEnvironment, WeightPredictor
from tb.support.base import ItemSequence, UnitTest, must_fail, place
from tb.support.declaration import parameter
from tb.support.read_client import WordMemory
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS

GROUPS = parameter("GROUPS")
DEPTH = parameter("WEIGHT_DEPTH")
MOST_BLOCKS = min(GROUPS, 7)
LATENCY = 32
EXTREMES = np.array([-32768, -1, 0, 1, 32767])


def make_job(rows: int, blocks: int, memory: WordMemory, rng: np.random.Generator, **fields: int) -> WeightLoaderJob:
    """Lay out two planes in memory: weights and 48-bit initial accumulators, extremes of both ranges among them. Of a ``diagonal`` the
    memory holds half a weight of a row in each plane."""
    addresses = []
    for _ in range(2):
        plane = []
        for _ in range(blocks):
            weights = rng.integers(-32768, 32768, rows // 2 if fields.get("diagonal") else rows * LANES // 2)
            weights = np.where(rng.random(weights.size) < 0.1, rng.choice(EXTREMES, weights.size), weights)
            initial = rng.integers(-WIDEST, WIDEST, LANES // 2)
            initial[:3] = rng.permutation([-WIDEST, WIDEST - 1, -1, 0])[:3]
            plane += [weights.astype("<i2").view("<u8"), initial.view("<u8")]
        addresses.append(memory.allocate(np.concatenate(plane)))
    return WeightLoaderJob(address0=addresses[0], address1=addresses[1], rows=rows, blocks=blocks, **fields)


class WeightSequence(ItemSequence):
    """Base: ``jobs`` says what is sent. ``memory`` takes the data."""

    memory: WordMemory
    waited = 0  # the token of the last job

    def jobs(self, rng: np.random.Generator) -> Iterable[WeightLoaderJob]:
        """The jobs, in order."""
        raise NotImplementedError

    def items(self) -> Iterable[dict[str, int]]:
        rng = test_rng()
        rng = np.random.default_rng([int(rng.integers(1 << 32)), self.memory.used])  # others in each repetition
        yield from ({"job": job.pack()} for job in self.jobs(rng))


class AllBlocks(WeightSequence):
    """All numbers of blocks, one row and more, bases that wrap; corners in turn, so that no seed misses them."""

    def jobs(self, rng: np.random.Generator) -> Iterable[WeightLoaderJob]:
        places = (0, DEPTH - 1, DEPTH - 5, int(rng.integers(1, DEPTH)))
        for index, blocks in enumerate(list(range(1, MOST_BLOCKS + 1)) * max(2, 8 // MOST_BLOCKS)):
            rows = (1, 2, 27, 9, int(rng.integers(1, 40)))[index % 5]
            bank = index // MOST_BLOCKS % 2
            yield make_job(rows, blocks, self.memory, rng, weight_base=places[index % 4], bias_bank=bank, wait_computed=self.token(rng))

    def token(self, rng: np.random.Generator) -> int:
        """The token of the next job: the last one's, or one more."""
        self.waited += int(rng.integers(2))
        return self.waited


class Diagonals(AllBlocks):
    """Rows of one weight: of all numbers of blocks, from all places; others between them."""

    def jobs(self, rng: np.random.Generator) -> Iterable[WeightLoaderJob]:
        for index, blocks in enumerate(list(range(1, MOST_BLOCKS + 1)) * max(2, 8 // MOST_BLOCKS)):
            rows, base = ((16, 0), (16, 5), (DEPTH, 0), (32, DEPTH - 16), (48, DEPTH - 7), (16, DEPTH - 16))[index % 6]
            fields = {"bias_bank": index // MOST_BLOCKS % 2, "weight_base": base, "wait_computed": self.token(rng)}
            yield make_job(rows, blocks, self.memory, rng, diagonal=1, **fields)
            if rng.random() < 0.3:
                yield make_job(int(rng.integers(1, 20)), blocks, self.memory, rng, **fields)


class Corners(AllBlocks):
    """The buffer filled to its last row, and over it; one row, and all."""

    def jobs(self, rng: np.random.Generator) -> Iterable[WeightLoaderJob]:
        corners = (
            *((DEPTH - 1, 0), (DEPTH, 0), (1, DEPTH - 1), (2, DEPTH - 2), (2, DEPTH - 1), (2, 0), (1, 0)),
            *((3, min(7, DEPTH - 4)), (3, DEPTH - 3), (3, DEPTH - 2)),
        )
        for index, (rows, base) in enumerate(corners):
            yield make_job(rows, 1, self.memory, rng, weight_base=base, bias_bank=index % 2, wait_computed=self.token(rng))


class Large(WeightSequence):
    """Four jobs of many rows, without tokens."""

    rows, blocks, diagonal = 288, min(GROUPS, 2), 0

    def jobs(self, rng: np.random.Generator) -> Iterable[WeightLoaderJob]:
        return [make_job(self.rows, self.blocks, self.memory, rng, diagonal=self.diagonal) for _ in range(4)]


class LargeDiagonals(Large):
    """Likewise, diagonals."""

    diagonal = 1


class FewJobs(WeightSequence):
    """Two small jobs, for twins."""

    def jobs(self, rng: np.random.Generator) -> Iterable[WeightLoaderJob]:
        return [make_job(5, 1, self.memory, rng) for _ in range(2)]


class WeightTest(UnitTest):
    """Base."""

    environment_type = WeightLoaderEnvironment
    watchdog = 100_000

    async def load(self, kind: type[WeightSequence]) -> None:
        """Load a sequence's jobs, and wait until they are loaded."""
        environment, host = self.environment, self.environment.writes.host
        sequence = kind.create(kind.__name__)
        sequence.memory, sequence.waited = environment.memory, host.wanted
        sent = cocotb.start_soon(environment.job.start(sequence))
        while not sent.done() or not environment.quiet:
            host.wanted = max(host.wanted, sequence.waited)
            await self.cycles(1)


@pyuvm.test()
class EveryJob(WeightTest):
    """All block counts, rows up to the buffer's depth, wrapping bases, under all stalls."""

    async def main(self) -> None:
        environment = self.environment
        await self.load(Corners)
        for stalls in STALLS:
            environment.reads.set_stalls(stalls, stalls)
            environment.job.set_stalls(stalls)
            await self.load(AllBlocks)
            await self.load(Diagonals)


@pyuvm.test()
class Throughput(WeightTest):
    """A row takes two cycles, of a diagonal one, an initial accumulator one; jobs and blocks follow one another almost without a gap."""

    covers = False

    async def main(self) -> None:
        environment = self.environment
        environment.writes.host.slow = False
        environment.reads.latency = LATENCY
        for kind, row in ((Large, 2), (LargeDiagonals, 1)):
            before = len(environment.writes.monitor.finished_at)
            await self.load(kind)
            ends = environment.writes.monitor.finished_at[before:]
            cycles = [end - begin for begin, end in itertools.pairwise(ends)]
            least = kind.blocks * (row * kind.rows + LANES)
            cocotb.log.info("%s: %d blocks of %d rows: %s cycles, at best %d", kind.__name__, kind.blocks, kind.rows, cycles, least)
            assert len(cycles) == 3 and all(least <= spent <= least + 4 for spent in cycles), cycles


@pyuvm.test()
class ResetInJob(WeightTest):
    """A reset in the middle of a job leaves nothing behind; the job on the port is then loaded as if it were the first."""

    covers = False

    async def main(self) -> None:
        dut = self.dut
        written = 0
        quiet = ("weight_write", "initial_write", "loaded")
        for delay in (1, 2, 3, 5, 9, 14, 20, 27, 31, 40):
            sent = cocotb.start_soon(self.load(FewJobs))
            while not int(dut.job_valid.value):
                await RisingEdge(dut.clk)
            for _ in range(delay):
                await RisingEdge(dut.clk)
                written += bool(int(dut.weight_write.value)) + bool(int(dut.initial_write.value))
            dut.rst.value = 1
            await self.cycles(2)
            dut.rst.value = 0
            await RisingEdge(dut.clk)
            for name in (*quiet, "read_request_valid"):
                assert int(getattr(dut, name).value) == 0, f"{name} after reset"
            await sent
            dut.rst.value = 1
            await self.cycles(2)
            dut.rst.value = 0
            for _ in range(10):
                await RisingEdge(dut.clk)
                for name in (*quiet, "busy", "read_request_valid"):
                    assert int(getattr(dut, name).value) == 0, f"{name} after reset"
        assert written, "no job got as far as a write"


@pyuvm.test()
class Watched(WeightTest):
    """A second environment, which drives nothing, comes to the same results."""

    covers = False

    def build_phase(self) -> None:
        super().build_phase()
        place(self, "watcher", self.dut)
        self.watcher = WeightLoaderEnvironment.create("watcher", self)

    async def main(self) -> None:
        self.environment.reads.set_stalls("random", "random")
        await self.load(AllBlocks)
        await self.load(Diagonals)
        await self.cycles(20)
        assert self.watcher.scoreboard.seen == self.environment.scoreboard.seen


class WrongRow(WeightPredictor):
    """A wrong model: a weight of the second row is one off."""

    def rows(self, rows: Iterable[WeightRow]) -> list[WeightRow]:
        first, second, *rest = super().rows(rows)
        return [first, dataclasses.replace(second, weights=(second.weights[0] ^ 1, *second.weights[1:])), *rest]


class LosesRow(WeightPredictor):
    """A wrong model: it has one row less."""

    def rows(self, rows: Iterable[WeightRow]) -> list[WeightRow]:
        return super().rows(rows)[:-1]


class Twin(WeightTest):
    """Base of twins: two jobs."""

    async def main(self) -> None:
        await self.load(FewJobs)


@must_fail("environment.scoreboard", r"row item 1: expected")
class WrongModel(Twin):
    """A wrong weight must be noticed."""

    overrides = {WeightPredictor: WrongRow}


@must_fail("environment.scoreboard", r"loaded item 0: expected")
class LostRow(Twin):
    """A row that is too much must be noticed."""

    overrides = {WeightPredictor: LosesRow}


@must_fail("environment.coverage", "coverage holes: .*bank=1")
class BankLeftOut(Twin):
    """Coverage must see that a bank was left out."""
