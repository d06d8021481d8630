# SPDX-License-Identifier: Apache-2.0
"""Tests of tile_loader.v: corners, random tiles under stalls, reset in a job, and throughput."""

from __future__ import annotations

import itertools
import random

import cocotb
import pyuvm
from cocotb.triggers import RisingEdge

from gradcore.models import arithmetic
from gradcore.models.convolution.tile_loader import LoadedTile, TileJob
from tb.convolution.tile_loader.tile_jobs import CornerShapes, FewIndices, FewShapes, RandomShapes, SameShape, Shape, TileSequence
from tb.convolution.tile_loader.tile_loader_env import TileLoaderEnvironment, TilePredictor
from tb.support.base import UnitTest, must_fail, place
from tb.support.stalls import STALLS

LATENCY = 32


class TileTest(UnitTest):
    """Base."""

    environment_type = TileLoaderEnvironment
    watchdog = 400_000

    def build_phase(self) -> None:
        super().build_phase()
        self.waits = [0, 0]

    async def load(self, kind: type[TileSequence], method: str, **settings: object) -> None:
        """Load a sequence's tiles with a method, and wait until they are loaded."""
        environment = self.environment
        self.dut.method.value = arithmetic.METHODS.index(method)
        sequence = kind.create(kind.__name__)
        sequence.memory, sequence.waits = environment.memory, self.waits
        environment.loader.host.wanted = self.waits
        for name, value in settings.items():
            setattr(sequence, name, value)
        await environment.job.start(sequence)
        await self.cycles(2)
        while not environment.quiet:
            await self.cycles(1)


@pyuvm.test()
class EveryTile(TileTest):
    """Directed and random tiles with every method, under all stalls."""

    async def main(self) -> None:
        environment = self.environment
        for method, stalls in zip(arithmetic.METHODS, STALLS, strict=True):
            environment.reads.set_stalls(stalls, stalls if method != "deconvnet" else "random")
            await self.load(CornerShapes, method)
        for method, stalls in itertools.product(arithmetic.METHODS, STALLS):
            environment.reads.set_stalls(stalls, stalls)
            await self.load(RandomShapes, method)


@pyuvm.test()
class Corners(TileTest):
    """The directed shapes, with every method: what is quick enough for a netlist."""

    covers = False

    async def main(self) -> None:
        for method, stalls in zip(arithmetic.METHODS, STALLS, strict=True):
            self.environment.reads.set_stalls(stalls, stalls)
            await self.load(CornerShapes, method)


@pyuvm.test()
class Throughput(TileTest):
    """Back to back tiles cost little more than their words' cycles, one for two values of a list: memory latency is hidden."""

    covers = False
    cases = (
        Shape(10, 10, 8, density=1.0),
        Shape(10, 10, 8, density=0.1),
        Shape(10, 10, 8, density=0.0),
        Shape(10, 10, 8, density=0.5, relu=1, tags=1),
        Shape(16, 32, 1, density=1.0),
        Shape(10, 10, 4, density=1.0, unpool=1, tags=1),
        Shape(5, 5, 16, density=0.5, unpool=1, tags=1, relu=1, crop_row=1, crop_column=1),
        Shape(5, 5, 8, density=0.2, unpool=1, tags=1, relu=1, crop_row=1),
        Shape(12, 12, 4, density=0.5, by_pixel=1, pixel_gap=12, relu=1, tags=1),
    )

    async def main(self) -> None:
        environment, monitor = self.environment, self.environment.loader.monitor
        environment.loader.host.slow = False
        environment.reads.latency = LATENCY
        for shape in self.cases:
            first, start = len(monitor.finished_at), monitor.cycle
            environment.predictor.cycles.clear()
            await self.load(SameShape, "saliency", shape=shape)
            ends, work = monitor.finished_at[first:], environment.predictor.cycles
            cycles = [end - begin for begin, end in itertools.pairwise(ends)]
            cocotb.log.info("%s: first tile %d cycles, next %s, at best and on top %s", shape, ends[0] - start, cycles, work)
            assert ends[0] - start <= work[0][0] + LATENCY + 40
            for spent, (needed, pipeline) in zip(cycles, work[1:], strict=True):
                assert needed <= spent <= needed + pipeline, f"{shape}: {spent} cycles for {needed} and {pipeline} on top"


@pyuvm.test()
class ResetInJob(TileTest):
    """A reset in the middle of a job leaves nothing behind: no request, no write, bank 0; the job on the port then runs as the first."""

    covers = False

    async def main(self) -> None:
        environment, dut = self.environment, self.dut
        environment.loader.host.slow = False
        outputs = [getattr(dut, name) for name in ("entry_write", "count_write", "loaded", "bank", "read_request_valid")]
        written = 0
        shape = Shape(6, 4, 2, relu=1, unpool=1, tags=1, by_pixel=1, pixel_gap=3)
        for delay in (3, 11, 12, 14, 20, 30, random.randrange(20, 60), random.randrange(20, 60)):
            sent = cocotb.start_soon(self.load(OneShape, "saliency", shape=shape))
            while not int(dut.job_valid.value):
                await RisingEdge(dut.clk)
            for _ in range(delay):
                await RisingEdge(dut.clk)
                written += int(dut.entry_write.value) & 3 != 0
            dut.rst.value = 1
            await self.cycles(2)
            dut.rst.value = 0
            for _ in range(8):  # it prepares a job for longer than that
                await RisingEdge(dut.clk)
                for output in outputs:
                    assert int(output.value) == 0, f"{output._path} after reset"
            await sent
            dut.rst.value = 1  # the next round begins with bank 0
            await self.cycles(2)
            dut.rst.value = 0
        assert written, "no job got as far as an entry"


class OneShape(SameShape):
    """One job."""

    def shapes(self, rng):
        return [self.shape]


@pyuvm.test()
class Watched(TileTest):
    """A second environment, which drives nothing, comes to the same results."""

    covers = False

    def build_phase(self) -> None:
        super().build_phase()
        place(self, "watcher", self.dut)
        self.watcher = TileLoaderEnvironment.create("watcher", self)

    async def main(self) -> None:
        self.environment.reads.set_stalls("random", "random")
        await self.load(RandomShapes, "guided")
        await self.cycles(20)
        assert self.watcher.scoreboard.seen == self.environment.scoreboard.seen


class WrongRule(TilePredictor):
    """A wrong model: it takes a guided ReLU for saliency's."""

    def method(self) -> str:
        return {"guided": "saliency"}.get(super().method(), super().method())


class OneValueMore(TilePredictor):
    """A wrong model: it expects a count that is one too large."""

    def tile(self, job: TileJob, method: str, read) -> LoadedTile:
        tile = super().tile(job, method, read)
        tile.counts[0][0] += 1
        return tile


class OtherIndex(TilePredictor):
    """A wrong model: a value's channel has another value's index."""

    def tile(self, job: TileJob, method: str, read) -> LoadedTile:
        tile = super().tile(job, method, read)
        for half in tile.entries:
            half |= {address: (channel ^ 16, value) for address, (channel, value) in half.items()}
        return tile


class Twin(TileTest):
    """Base of twins: a few tiles."""

    overrides = {RandomShapes: FewShapes}

    async def main(self) -> None:
        await self.load(RandomShapes, "guided")


@must_fail("environment.scoreboard", r"entry\d item \d+: expected")
class WrongModel(Twin):
    """A wrong ReLU rule must be noticed."""

    overrides = {RandomShapes: FewShapes, TilePredictor: WrongRule}


@must_fail("environment.scoreboard", r"count item \d+: expected")
class WrongCount(Twin):
    """A wrong length of a list must be noticed."""

    overrides = {RandomShapes: FewShapes, TilePredictor: OneValueMore}


@must_fail("environment.scoreboard", r"entry\d item \d+: expected")
class WrongIndex(Twin):
    """A wrong index in a channel must be noticed."""

    overrides = {RandomShapes: FewIndices, TilePredictor: OtherIndex}


@must_fail("environment.coverage", "coverage holes: method=saliency")
class MethodsLeftOut(Twin):
    """Coverage must see that methods were left out."""
