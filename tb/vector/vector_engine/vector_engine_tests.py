# SPDX-License-Identifier: Apache-2.0
"""Tests of vector_engine.v: every request, every written bit, events, activity; throughput; twins that must fail."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import cocotb
import numpy as np
import pyuvm

from gradcore.models.arithmetic import METHODS
from gradcore.models.jobs import VectorEngineJob
from gradcore.models.numbers import PassFormats
from tb.support.base import UnitTest, must_fail, place
from tb.support.stalls import STALLS
from tb.vector.vector_engine.vector_engine_activity import Activity
from tb.vector.vector_engine.vector_engine_env import Inside, VectorEnvironment, VectorPredictor
from tb.vector.vector_engine.vector_engine_sequences import Corners, Dense, Extremes, JobMaker, RandomJobs, Sizes, Small, VectorJobs


class VectorTest(UnitTest):
    """Base: a maker of jobs for the sequences; ``run`` sends them back to back under a method and waits until all are done."""

    environment_type = VectorEnvironment
    watchdog = 100_000
    covers = False
    stalls = "none"
    latency: int | None = 0  # None: at random
    stores_tiles = True

    def build_phase(self) -> None:
        super().build_phase()
        self.environment.latency = int(self.rng.integers(0, 40)) if self.latency is None else self.latency

    def end_of_elaboration_phase(self) -> None:
        environment = self.environment
        self.maker = environment.jobs.sequencer.maker = JobMaker(environment.memory, self.rng, environment.host)
        environment.host.stores_tiles = self.stores_tiles

    async def run_jobs(self, sequence: type[VectorJobs], method: str = "saliency") -> None:
        environment = self.environment
        await environment.host.set(method=METHODS.index(method))
        await self.send(environment.jobs, sequence)
        await self.drained()

    async def drained(self) -> None:
        """Wait until every job is done."""
        predictor = self.environment.predictor
        while predictor.done < self.maker.made or predictor.pins.get("busy"):
            await self.cycles(1)


@pyuvm.test()
class RandomJobsTest(VectorTest):
    """Jobs of all kinds back to back, tokens that come late; without stalls by one method."""

    latency = None

    async def main(self) -> None:
        self.environment.set_stalls(self.stalls)
        methods = METHODS if self.stalls != "none" else [METHODS[int(self.rng.integers(len(METHODS)))]]
        for method in methods:
            await self.run_jobs(RandomJobs, method)
        assert self.environment.predictor.done == self.maker.made >= len(methods) * RandomJobs.count


@pyuvm.test()
class SlowMemory(RandomJobsTest):
    """The same by all methods, with ports that stall three cycles in four."""

    stalls = "three_of_four"


@pyuvm.test()
class StalledPorts(RandomJobsTest):
    """The same by all methods, with ports that stall at random."""

    stalls = "random"


@pyuvm.test()
class Watched(RandomJobsTest):
    """A second environment, which drives nothing, comes to the same results."""

    def build_phase(self) -> None:
        super().build_phase()
        place(self, "watcher", self.dut)
        self.watcher = VectorEnvironment.create("watcher", self)

    async def main(self) -> None:
        await self.run_jobs(RandomJobs, "guided")
        assert self.watcher.scoreboard.seen == self.environment.scoreboard.seen


@pyuvm.test()
class AllFeatures(VectorTest):
    """Jobs chosen until each feature has been seen, whatever the seed."""

    latency = 10
    covers = True

    async def main(self) -> None:
        environment = self.environment
        for method, stalls in zip(METHODS, STALLS, strict=True):
            environment.set_stalls(stalls)
            await self.run_jobs(Corners, method)
        environment.set_stalls("none")
        await self.run_jobs(Sizes, "guided")
        await self.run_jobs(Small, "deconvnet")
        await self.run_jobs(Extremes)
        assert environment.predictor.work["macs"] > 0


@pyuvm.test()
class ResetInJob(VectorTest):
    """A reset while jobs are in hand, at any moment, leaves nothing behind: the next jobs are right."""

    latency = 3

    async def main(self) -> None:
        environment = self.environment
        clients = (*environment.readers.values(), *environment.writers)
        for stalls, delay in itertools.product(("none", "three_of_four"), (0, 6, 40, int(self.rng.integers(3, 120)))):
            environment.set_stalls(stalls)
            await self.send(environment.jobs, TwoJobs)
            await self.cycles(1 + delay)
            await self.reset(int(self.rng.integers(2, 5)), clients)  # the core's last CLEAR_CYCLES, 4
            self.maker.made = 0
            await self.cycles(2)
            pins = environment.predictor.pins
            assert not any(pins[name] for name in ("busy", "done", "read_request_valid", "write_request_valid", "write_data_valid"))
            await self.run_jobs(TwoJobs, METHODS[delay % len(METHODS)])


class TwoJobs(VectorJobs):
    """Two jobs that wait for nothing, the first in two slices."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        yield from self.sliced(maker, 2)
        yield maker.make(100)


@pyuvm.test()
class Tokens(VectorTest):
    """A job waits for its tiles and for its vectors, and touches no port before."""

    stores_tiles = False

    async def main(self) -> None:
        environment = self.environment
        environment.host.counts_vectors = False
        predictor, seen = environment.predictor, environment.scoreboard.seen
        await self.run_jobs(OneJob, "guided")
        reads = {name: seen[name] for name in environment.readers}
        sending = cocotb.start_soon(self.send(environment.jobs, Waiting))
        for tiles in (0, 1, 0x800001):
            await environment.host.set(tiles_stored=tiles)
            await self.cycles(30)
            assert predictor.accepted == 1
            assert reads == {name: seen[name] for name in environment.readers}
        await environment.host.set(vectors_done=0, tiles_stored=0x800002)
        await self.cycles(30)
        assert predictor.accepted == 1
        await environment.host.set(vectors_done=1)
        await sending
        await self.drained()
        assert predictor.done == 2


class OneJob(RandomJobs):
    """One job that waits for nothing."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        yield maker.make(50)


class Waiting(VectorJobs):
    """A job that waits for many tiles and for one vector."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        yield maker.make(vector=np.arange(16), wait_tiles=0x800002, wait_vectors=1, destination_words0=4, load_relu=0)


@pyuvm.test()
class Throughput(VectorTest):
    """Dense 64 inputs to 512 outputs, two jobs: 4096 words of weights a half, drains hidden behind the next job's rows."""

    latency = 32
    stores_tiles = False

    async def main(self) -> None:
        predictor = self.environment.predictor
        started = predictor.cycles
        await self.run_jobs(Dense)
        first, second = (time - started for time in predictor.done_times)
        weights, drain = 64 * 64, 256 + 16 + 4
        cocotb.log.info("done after %d and %d cycles", first, second)
        assert first <= weights + drain + 2 * self.latency + 60, f"{first} cycles for a job"
        assert second - first <= weights + 8, f"{second - first} cycles for the next job"


# ---- Twins that must fail ----


class FewJobs(RandomJobs):
    """Some small jobs that store in both halves."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        for _ in range(3):
            fixed = {"blocks": 2, "shift": 4, "destination_words0": 4, "destination_words1": 4, "has_bias": 0, "relu": 0}
            yield maker.make(vector=maker.rng.integers(-9, 9, 8) * 4 + 1, load_relu=0, **fixed)


class TwinTest(VectorTest):
    """Base: a few jobs."""

    covers = True
    watchdog = 5_000

    async def main(self) -> None:
        await self.run_jobs(FewJobs)


class WrongFormats(VectorPredictor):
    """The result has one more fraction bit than the shift gives it."""

    def formats(self, shift: int) -> PassFormats:
        right = super().formats(shift)
        return PassFormats.of_fractions(right.source.fraction, right.weights.fraction, right.result.fraction + 1)


class OtherBit(VectorPredictor):
    """A wrong model: the lowest bit of each input is inverted."""

    def compute(self, inside: Inside, half: int) -> None:
        super().compute(Inside(**{**vars(inside), "values": inside.values ^ 2}), half)


class OneWriteMore(VectorPredictor):
    """A model that expects the first write twice: the engine seems to have lost one."""

    def expect(self, stream: str, fields: dict, where: str = "", formats: dict | None = None) -> None:
        for _ in range(2 if stream == "write1" and not self.get_parent().scoreboard.seen["write1"] else 1):
            super().expect(stream, fields, where, formats)


class SumsForgotten(VectorPredictor):
    """A wrong model: a job begins with no sums, whatever the one before has kept."""

    def compute(self, inside: Inside, half: int) -> None:
        self.kept[half] = None
        super().compute(inside, half)


class ClipIsRelu(VectorPredictor):
    """A wrong model: a clip's mask is a ReLU's, and what is clipped counts as saturated."""

    def compute(self, inside: Inside, half: int) -> None:
        super().compute(Inside(**{**vars(inside), "job": replace(inside.job, clip=0)}), half)


class Exchanged(Activity):
    """Sees waiting for input where the engine waits for output, and the other way round."""

    def classes(self, pins: dict[str, int]) -> list[str]:
        return super().classes({**pins, "waiting_input": pins["waiting_output"], "waiting_output": pins["waiting_input"]})


@must_fail("environment.predictor", r"shift 4 does not follow from the formats")
class WrongFraction(TwinTest):
    """A wrong fraction must be noticed before anything is compared with the module."""

    overrides = {VectorPredictor: WrongFormats}


@must_fail("environment.scoreboard", r"write\d item 0: expected (.|\n)*data, number \d+: \S+ \(Q")
class WrongModel(TwinTest):
    """A wrong input must be noticed, with both numbers."""

    overrides = {VectorPredictor: OtherBit}


class Sliced(RandomJobs):
    """One chunk in slices."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        fixed = {"load_relu": 0, "shift": 4, "relu": 0, "has_bias": 0, "blocks": 2, "destination_words0": 4, "destination_words1": 2}
        yield from self.sliced(maker, 3, vector=np.arange(1, 9), **fixed)


@must_fail("environment.scoreboard", r"write\d item 0: expected (.|\n)*data, number \d+: \S+ \(Q")
class WrongSums(TwinTest):
    """Sums that are not taken over must be noticed."""

    overrides = {VectorPredictor: SumsForgotten, FewJobs: Sliced}


class Clipping(RandomJobs):
    """Clips that are reached."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        fixed = {"blocks": 2, "shift": 0, "relu": 1, "clip": 1, "store_tags": 1, "destination_words0": 4, "destination_words1": 4}
        yield maker.make(vector=maker.rng.integers(20000, 30000, 8), load_relu=0, **fixed)


@must_fail("environment.scoreboard", r"write\d item 1: expected")
class WrongClip(TwinTest):
    """A mask that is 1 where a clip ends must be noticed."""

    overrides = {VectorPredictor: ClipIsRelu, FewJobs: Clipping}


@must_fail("environment.scoreboard", r"write1 item \d+: expected")
class LostItem(TwinTest):
    """A write that never comes must be noticed."""

    overrides = {VectorPredictor: OneWriteMore}


@must_fail("environment.activity", r"waiting_output in a cycle of waiting_input")
class WrongClass(TwinTest):
    """Classes that are one-hot and wrong must be noticed."""

    overrides = {Activity: Exchanged}


@must_fail("environment.coverage", r"coverage holes: rule=\('saliency', 0, 0\)|coverage holes: rule=")
class Hole(TwinTest):
    """Coverage must see what was left out."""
