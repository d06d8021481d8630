# SPDX-License-Identifier: Apache-2.0
"""Tests of tile_store: random shapes and places, stalls everywhere; requests, beats, responses and the memory image against the model."""

from __future__ import annotations

import itertools
import random

import pyuvm
from cocotb.triggers import RisingEdge

from gradcore.models.convolution.tile_store import HalfWrites
from gradcore.models.jobs import TileStoreJob
from tb.convolution.tile_store.tile_store_env import StoreEnvironment, StorePredictor
from tb.convolution.tile_store.tile_store_sequences import EveryKind, FewJobs
from tb.support.base import UnitTest, must_fail, place


class StoreTest(UnitTest):
    """Base: stores jobs of every kind under the stalls of requests, data and done, and of the jobs."""

    environment_type = StoreEnvironment
    watchdog = 100_000
    covers = False
    stalls = ("random", "random", "random")
    job_stalls = "random"

    async def main(self) -> None:
        environment = self.environment
        environment.ports.surroundings.set_stalls(*self.stalls)
        environment.job.set_stalls(self.job_stalls)
        self.begin = environment.ports.monitor.cycle
        sequence = EveryKind.create("jobs")
        await environment.job.start(sequence)
        while environment.predictor.stored < len(sequence.sent):
            await self.cycles(1)
        self.at_end(sequence.sent)

    def at_end(self, jobs: list[TileStoreJob]) -> None:
        """Checks of a special test."""


@pyuvm.test()
class RandomStalls(StoreTest):
    """Random stalls of everything: hits all bins."""

    covers = True


@pyuvm.test()
class LateResponses(StoreTest):
    """Responses come so late, many at a time, that more jobs wait for theirs than the store can remember."""

    stalls = ("none", "none", "late")
    job_stalls = "none"

    def at_end(self, jobs: list[TileStoreJob]) -> None:
        waiting = self.environment.predictor.most_waiting
        assert waiting == 4, f"at most {waiting} jobs waited for responses, 4 can"


@pyuvm.test()
class SlowData(StoreTest):
    """Ports that take a beat in four cycles."""

    stalls = ("none", "three_of_four", "none")


@pyuvm.test()
class FullSpeed(StoreTest):
    """No stalls: a job takes one cycle a word and piece and a few more, in both halves at once."""

    stalls = ("none", "none", "none")
    job_stalls = "none"

    def at_end(self, jobs: list[TileStoreJob]) -> None:
        bound = 100
        for job in jobs:
            rows, tags = (job.unit_rows + 1) // 2, job.store_tags
            runs = 1 if job.contiguous else job.columns_stored
            # Short runs are bound by the requests (one a cycle here).
            items = rows * max(runs, job.columns_stored * job.words_per_pixel_stored)
            items += rows * job.columns_stored * job.pieces_per_pixel * tags
            bound += items + 7 + 3 * tags
        spent = self.environment.ports.monitor.cycle - self.begin
        assert spent <= bound, f"{spent} cycles, at most {bound} expected"


@pyuvm.test()
class ResetInJob(StoreTest):
    """A reset in the middle of a job leaves nothing behind: the job on the port is then stored as if it were the first."""

    async def main(self) -> None:
        environment, dut = self.environment, self.dut
        environment.ports.surroundings.set_stalls("none", "three_of_four", "none")
        for delay in (2, 5, 11, random.randrange(10, 60)):
            sequence = FewJobs.create("jobs")
            items = list(itertools.islice(sequence.items(), 1))
            await RisingEdge(dut.clk)
            environment.job.driver.source.send(items[0])
            while not int(dut.job_valid.value):
                await RisingEdge(dut.clk)
            await self.cycles(delay)
            dut.rst.value = 1
            await self.cycles(2)
            dut.rst.value = 0
            environment.predictor.image = dict(environment.predictor.memory)  # what was begun is in memory
            await self.cycles(1)
            assert not int(dut.write_request_valid.value) and not int(dut.write_data_valid.value) and not int(dut.stored.value)
            await environment.job.driver.source.drain()
            while environment.predictor.stored < environment.predictor.number:
                await self.cycles(1)
            await self.cycles(10)


@pyuvm.test()
class Watched(StoreTest):
    """A second environment, which drives nothing, comes to the same results."""

    covers = False

    def build_phase(self) -> None:
        super().build_phase()
        place(self, "watcher", self.dut)
        self.watcher = StoreEnvironment.create("watcher", self)

    async def main(self) -> None:
        await super().main()
        await self.cycles(20)
        assert self.watcher.scoreboard.seen == self.environment.scoreboard.seen


class WrongBeat(StorePredictor):
    """A wrong model: a bit of the first beat is wrong."""

    def writes(self, job: TileStoreJob, port: int) -> HalfWrites:
        writes = super().writes(job, port)
        (data, strobe), *rest = writes.beats
        return HalfWrites(writes.requests, [(data ^ 1, strobe), *rest])


class LosesRequest(StorePredictor):
    """A wrong model: a half has one request less, with its beats."""

    def writes(self, job: TileStoreJob, port: int) -> HalfWrites:
        writes = super().writes(job, port)
        (_, words), *rest = writes.requests
        return HalfWrites(rest, writes.beats[words:])


class Twin(StoreTest):
    """Base of twins: three jobs."""

    overrides = {EveryKind: FewJobs}


@must_fail("environment.scoreboard", r"beat\d item 0: expected")
class WrongModel(Twin):
    """A wrong bit must be noticed."""

    overrides = {EveryKind: FewJobs, StorePredictor: WrongBeat}


@must_fail("environment.scoreboard", r"request\d item \d: expected")
class LostRequest(Twin):
    """A request that is too much must be noticed."""

    overrides = {EveryKind: FewJobs, StorePredictor: LosesRequest}


@must_fail("environment.coverage", "coverage holes: .*tags=0")
class JobsLeftOut(Twin):
    """Coverage must see that kinds of jobs were left out."""

    covers = True
