# SPDX-License-Identifier: Apache-2.0
"""Tests of conv_group: each transfer, event and token of directed and random jobs against models/convolution/conv_group.py."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import cocotb
import numpy as np
import pyuvm
from cocotb.triggers import RisingEdge

from gradcore.models.convolution.conv_group import ConvJob
from gradcore.models.convolution.partial_sums import PartialSums
from gradcore.models.expectation import Checked
from gradcore.models.numbers import PassFormats
from tb.convolution.conv_group.conv_group_env import GroupEnvironment, GroupPredictor, SumKeeper, job_item
from tb.convolution.conv_group.conv_group_sequences import (
    GROUPS,
    Chains,
    Corners,
    Dense,
    FewChains,
    FewClips,
    FewJobs,
    FewWindows,
    Fill,
    JobSequence,
    LeavesSums,
    OneJob,
    RandomJobs,
    Rewrite,
    Saturating,
    WholeAndCut,
    Work,
)
from tb.support.base import UnitTest, must_fail, place
from tb.support.stalls import STALLS
from tb.support.uvm import StreamSequence

TRIVIAL = (0, 0xFFFF, 0x7FFF, 0x8000)  # results that a wrong sum may give, too


class GroupTest(UnitTest):
    """Base: fills the weight buffer first."""

    environment_type = GroupEnvironment
    watchdog = 600_000
    settle = 60
    idle: ClassVar = {
        name: 0
        for name in (
            "tile_loaded", "bank_released", "weights_loaded", "job_valid", "entry_write", "count_write", "weight_write", "initial_write",
            "entry_bank", "entry_write_row", "entry_write_data", "count_write_address", "count_write_data",
        )
    }  # fmt: skip

    async def main(self) -> None:
        self.work: list[tuple[ConvJob, np.ndarray]] = []  # all that was sent since the last reset
        await self.environment.memories.start("weights", Fill.create("fill"))
        await self.play()

    async def play(self) -> None:
        """What the test sends."""
        raise NotImplementedError

    async def jobs(self, kind: type[JobSequence], *, wait: bool = True) -> None:
        """Send a sequence's jobs and tiles; wait until they are computed."""
        await self.send_work([(item["job"], item["tile"]) for item in kind.create(kind.__name__).items()], wait=wait)

    async def send_work(self, new: list[Work], *, wait: bool = True, at_once: bool = False) -> None:
        """Send jobs and tiles; with ``at_once`` the first one starts when the second one's tile is loaded, too: so that follows at once."""
        environment, host = self.environment, self.environment.memories.host
        first = host.target + 1
        items = []
        for number, (job, _) in enumerate(new, first):
            fields = {name: getattr(job, name) for name in ConvJob.PLACES} | {"wait_weights": number, "quarters": job.quarters}
            items.append(job_item(ConvJob(**fields)))
        self.work += new
        loader = environment.memories.lanes["tiles"][1]
        both = loader.number + min(2, len(new))
        if not at_once:
            host.target += len(new)
        host.stores.extend(not job.to_partial for job, _ in new)
        tiles = StreamSequence("tiles", [{"job": job, "tile": tile} for job, tile in new])
        loading = cocotb.start_soon(environment.memories.start("tiles", tiles))
        if not wait:
            cocotb.start_soon(environment.job.send(items))
            return
        sending = cocotb.start_soon(environment.job.send(items))
        while at_once and loader.number < both:
            await self.cycles(1)
        host.target = first + len(new) - 1
        await sending
        await loading
        while environment.predictor.computed < len(self.work):
            await self.cycles(10)

    def busy(self) -> list[ConvJob]:
        """The jobs that may be in progress."""
        computed = self.environment.predictor.computed
        return [job for job, _ in self.work[computed : computed + 2]]

    def rewriting(self) -> Rewrite:
        """Start to write weights again, at random times, until its ``stop``."""
        rewrite = Rewrite.create("rewrite")
        rewrite.busy, rewrite.weights = self.busy, self.environment.predictor.weights
        cocotb.start_soon(self.environment.memories.start("weights", rewrite))
        return rewrite


@pyuvm.test()
class EveryJob(GroupTest):
    """Directed jobs, jobs that saturate, and random ones under all stalls, while weights are written and while not: hits all bins."""

    async def play(self) -> None:
        environment = self.environment
        await self.jobs(Corners)
        rewrite = self.rewriting()
        environment.job.set_stalls("random")
        for stalls in STALLS:
            environment.set_stalls(stalls)
            await self.jobs(RandomJobs)
        await self.jobs(Chains)
        for agent in environment.streams:  # so long that the stream itself must wait
            agent.monitor.stream.stalls = itertools.cycle([True] * 100 + [False] * 60)
        await self.jobs(Saturating)
        await self.jobs(WholeAndCut)
        rewrite.stop = True
        for stalls in STALLS:
            environment.set_stalls(stalls)
            await self.jobs(RandomJobs)
        plain = sum(times for value, times in environment.predictor.values.items() if value not in TRIVIAL)
        total = sum(environment.predictor.values.values())
        assert plain > total / 50, f"{plain} of {total} results show what the sum was: most saturate"


@pyuvm.test()
class QuickJobs(GroupTest):
    """Random jobs under random stalls while weights are written: what a slow simulator runs."""

    covers = False

    async def play(self) -> None:
        self.environment.set_stalls("random")
        rewrite = self.rewriting()
        await self.jobs(RandomJobs)
        rewrite.stop = True


@pyuvm.test()
class ChunksEqualOneJob(GroupTest):
    """Whatever a sum is cut in, its job sends the same: compared with what the job sent that made it whole, not with a model."""

    covers = False

    async def play(self) -> None:
        self.environment.set_stalls("random")
        self.environment.memories.host.slow = False
        rewrite = self.rewriting()
        chain: list[Work] = []
        for item in WholeAndCut.create("whole and cut").items():
            chain.append((item["job"], item["tile"]))
            if not item["job"].to_partial:
                await self.send_work(chain, at_once=True)
                chain = []
        rewrite.stop = True
        sent = self.environment.predictor.sent
        assert len(sent) == 2 * WholeAndCut.count and sum(map(len, sent)) > 50
        for number, (whole, cut) in enumerate(zip(sent[::2], sent[1::2], strict=True)):
            assert whole == cut, f"job {number}: in chunks other transfers than whole: {sorted(whole.items() ^ cut.items())[:4]}"


@pyuvm.test()
class OneEntryACycle(GroupTest):
    """A dense job issues one entry a cycle on each stream: the group loses at most 10 % to anything else."""

    covers = False

    async def play(self) -> None:
        self.environment.memories.host.slow = False
        await self.jobs(Dense, wait=False)
        cycles = []
        while len(cycles) < 3:
            await RisingEdge(self.dut.clk)
            if int(self.dut.computed.value):
                cycles.append(self.environment.memories.monitor.cycle)
        entries = 2 * 64 * 9 * 16 // 2 // GROUPS
        spent = cycles[2] - cycles[0]
        assert spent < 1.1 * entries, f"{spent} cycles for {entries} entries a stream"


@pyuvm.test()
class ResetInJob(GroupTest):
    """A reset in the middle of a job, or between chunks, leaves nothing behind but the memories: the same job, loaded again, is right."""

    covers = False

    async def reset_group(self) -> None:
        """For one to three cycles; the next tile is that of job 0."""
        self.dut.rst.value = 1
        await self.cycles(1)
        self.environment.memories.restart()
        await self.cycles(int(self.rng.integers(3)))
        self.dut.rst.value = 0

    async def play(self) -> None:
        environment, dut = self.environment, self.dut
        environment.set_stalls("three_of_four")
        for delay in (0, 7, 25, 60):
            await self.jobs(OneJob, wait=False)
            while not int(dut.event_issue.value):
                await RisingEdge(dut.clk)
            await self.cycles(delay)
            await self.reset_group()
            await self.cycles(1)
            assert not int(dut.transfer_valid.value) and not int(dut.event_issue.value) and not int(dut.computed.value)
            environment.memories.host.stores.append(True)
            job, tile = self.work[-1]
            await environment.memories.start("tiles", StreamSequence("again", [{"job": job, "tile": tile}]))
            while environment.predictor.computed < 1:
                await self.cycles(1)
            await self.reset_group()
        for kind in (LeavesSums, FewChains):
            self.work.clear()
            await self.jobs(kind)
            await self.reset_group()


@pyuvm.test()
class Watched(GroupTest):
    """A second environment, which drives nothing, comes to the same results."""

    covers = False

    def build_phase(self) -> None:
        super().build_phase()
        place(self, "watcher", self.dut)
        self.watcher = GroupEnvironment.create("watcher", self)

    async def play(self) -> None:
        self.environment.set_stalls("random")
        await self.jobs(FewJobs)
        await self.cycles(20)
        assert self.watcher.scoreboard.seen == self.environment.scoreboard.seen


class WrongFormats(GroupPredictor):
    """The result has one more fraction bit than the shift gives it."""

    def formats(self, shift: int) -> Checked:
        right = super().formats(shift).formats
        return SumKeeper(PassFormats.of_fractions(right.source.fraction, right.weights.fraction, right.result.fraction + 1))


class WrongSum(GroupPredictor):
    """A wrong model: one value of the last unit is one too large."""

    def transfers(self, made: Any) -> dict[tuple[int, int, int], int]:
        transfers = super().transfers(made)
        words = [key for key in transfers if not key[0]]
        return transfers | ({words[-1]: transfers[words[-1]] ^ 1} if words else {})


class StartsAnew(PartialSums):
    """A wrong model: a chunk does not go on with the sums."""

    def take(self, shape: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return 0 * super().take(shape, rows, columns)


class NoPartialSums(GroupPredictor):
    """A wrong model of partial sums."""

    def new_partial(self) -> PartialSums:
        return StartsAnew()


class ClipIsRelu(GroupPredictor):
    """A wrong model: a clip's mask is a ReLU's, and what is clipped counts as saturated."""

    def job(self, fields: dict[str, int]) -> None:
        low, _, _ = ConvJob.PLACES["clip"]
        super().job(fields | {"job": fields["job"] & ~(1 << low)})


class PaddingCounts(SumKeeper):
    """A wrong rule: a pixel outside the picture can win."""

    def winners(self, windows: np.ndarray, outside: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return super().winners(windows)


class PaddingWins(GroupPredictor):
    """A wrong model of windows."""

    def formats(self, shift: int) -> Checked:
        return PaddingCounts.of_shift(shift, self.rng)


class LosesTransfer(GroupPredictor):
    """A wrong model: a job has one transfer more."""

    def transfers(self, made: Any) -> dict[tuple[int, int, int], int]:
        transfers = super().transfers(made)
        return dict(list(transfers.items())[:-1])


class Twin(GroupTest):
    """Base of twins: a few jobs."""

    async def play(self) -> None:
        await self.jobs(RandomJobs)

    overrides = {RandomJobs: FewJobs}


@must_fail("environment.predictor", r"shift \d+ does not follow from the formats")
class WrongFraction(Twin):
    """A wrong fraction must be noticed before anything is compared with the module."""

    overrides = {RandomJobs: FewJobs, GroupPredictor: WrongFormats}


@must_fail("environment.scoreboard", r"transfer item \d+: expected")
class WrongModel(Twin):
    """A wrong bit of a result must be noticed."""

    overrides = {RandomJobs: FewJobs, GroupPredictor: WrongSum}


@must_fail("environment.scoreboard", r"transfer item \d+: expected")
class WrongPartialSums(Twin):
    """A chunk that does not go on with the sums of the one before must be noticed."""

    overrides = {RandomJobs: FewChains, GroupPredictor: NoPartialSums}


@must_fail("environment.scoreboard", r"transfer item \d+: expected")
class WrongClip(Twin):
    """A mask that is 1 where a clip ends must be noticed."""

    overrides = {RandomJobs: FewClips, GroupPredictor: ClipIsRelu}


@must_fail("environment.scoreboard", r"transfer item \d+: expected")
class WrongWindow(Twin):
    """A window whose padding wins must be noticed."""

    overrides = {RandomJobs: FewWindows, GroupPredictor: PaddingWins}


@must_fail("environment.coverage", "coverage holes: kind=")
class JobsLeftOut(Twin):
    """Coverage must see that kinds of jobs were left out."""
