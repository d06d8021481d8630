# SPDX-License-Identifier: Apache-2.0
"""Tests of seed_unit.v: maps of logits with ties and extremes, all modes, against models/vector/seed_unit.py in fxpmath."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import cocotb
import numpy as np
import pyuvm

from gradcore.models.jobs import SeedUnitJob
from gradcore.models.vector.seed_unit import GIVEN, SeedResult
from tb.support.base import ItemSequence, UnitTest, must_fail, place
from tb.support.read_client import WordMemory
from tb.vector.seed_unit.seed_unit_env import SeedEnvironment, SeedPredictor

# (words per pixel, pixels): one word, the usual ten classes, around the longest request, long pixels
SHAPES = ((1, 1), (3, 1), (1, 3), (2, 7), (2, 1), (63, 1), (64, 1), (1, 65), (32, 4), (13, 10), (200, 1))
SMALL = SHAPES[:5]
DIRECTED = ("two", "first largest", "most")  # of small maps
KINDS = ("random", "tie", "all least", "padding largest", "last largest", "negative", *DIRECTED)


class MapMaker:
    """Makes maps of logits and the jobs that read them."""

    def __init__(self, memory: WordMemory, rng: np.random.Generator) -> None:
        self.memory, self.rng = memory, rng

    def logits(self, kind: str, words: int, pixels: int, channels: int) -> np.ndarray:
        """Values (pixels, 4 * words) int64; what is beyond ``channels`` is rubbish that must not win."""
        rng = self.rng
        values = rng.integers(-32768, 32768, (pixels, 4 * words))
        valid = values[:, :channels]
        if kind == "tie":
            valid[:] = rng.integers(0, 3, valid.shape)
        elif kind == "two":
            valid[:] = np.minimum(valid, 1000)
            for spot in rng.choice(valid.size, min(2, valid.size), replace=False):
                valid[divmod(int(spot), channels)] = 1001
        elif kind == "all least":
            valid[:] = -32768
        elif kind == "padding largest":
            valid[:] = np.minimum(valid, 32766)
            values[:, channels:] = 32767
        elif kind in ("first largest", "last largest"):
            valid[:] = np.minimum(valid, 1000)
            valid[(0, 0) if kind == "first largest" else (-1, -1)] = 1001
        elif kind == "negative":
            valid[:] = -rng.integers(1, 32769, valid.shape)
        elif kind == "most":
            valid[divmod(int(rng.integers(valid.size)), channels)] = 32767
        return values

    def make(self, kind: str, words: int, pixels: int, padding: int | None = None, **given: int) -> SeedUnitJob:
        """A job with its logits in memory."""
        if padding is None:
            padding = int(self.rng.integers(0, min(8, 4 * words)))
        channels = 4 * words - padding
        return self.job(self.logits(kind, words, pixels, channels), channels, **given)

    def job(self, values: np.ndarray, channels: int, **given: int) -> SeedUnitJob:
        """The job for a map (pixels, 4 * words)."""
        settings = {
            "logits_address": self.memory.allocate(values.astype("<i2").view("<u8").reshape(-1)),
            "words_per_pixel": values.shape[1] // 4,
            "pixels": values.shape[0],
            "channels": channels,
            "seed_address": 0x6000_0000 + 8 * int(self.rng.integers(1 << 20)),
            "seed_value": int(self.rng.integers(1, 1 << 16)),
        }
        return SeedUnitJob(**{**settings, **given})


class Maps(ItemSequence):
    """Jobs for maps: ``cases`` are (kind, (words per pixel, pixels)); ``given`` fixes fields of all."""

    cases: Sequence[tuple[str, tuple[int, int]]] = ()
    given: dict[str, int] = {}

    def items(self) -> Iterable[dict[str, int]]:
        for kind, (words, pixels) in self.cases:
            yield asdict(self.sequencer.maker.make(kind, words, pixels, **self.given))


class Paddings(Maps):
    """Every number of padding values of a map of two words, which are larger than the winner."""

    def items(self) -> Iterable[dict[str, int]]:
        for padding in range(8):
            yield asdict(self.sequencer.maker.make("padding largest", 2, 1 + padding % 2, padding))


class OnePlace(Maps):
    """A map of eight values whose largest is at ``spot``, and a seed that is the least number."""

    spot = 0

    def items(self) -> Iterable[dict[str, int]]:
        maker = self.sequencer.maker
        values = maker.rng.integers(-100, 100, (1, 8))
        values[0, self.spot] = 100
        yield asdict(maker.job(values, 8, seed_address=0x7000_0000, seed_value=0x8000))


class SeedTest(UnitTest):
    """Base: a maker of maps for the sequences; ``run_maps`` sets the controls, sends jobs back to back and waits for their end."""

    environment_type = SeedEnvironment
    watchdog = 40_000
    covers = False
    latency: int | None = 0  # None: at random

    def build_phase(self) -> None:
        super().build_phase()
        self.environment.latency = int(self.rng.integers(0, 40)) if self.latency is None else self.latency

    def end_of_elaboration_phase(self) -> None:
        self.environment.jobs.sequencer.maker = MapMaker(self.environment.memory, self.rng)

    async def run_maps(self, sequence: type[Maps] = Maps, mode: int = 0, index: int = 0, explain: int = 1, **settings: object) -> None:
        environment = self.environment
        await environment.set(seed_mode=mode, seed_index=index, explain=explain)
        made = sequence.create("maps")
        for name, value in settings.items():
            setattr(made, name, value)
        await environment.jobs.start(made)
        while environment.predictor.done < environment.predictor.accepted or environment.predictor.pins["busy"]:
            await self.cycles(1)

    async def all_kinds(self, shapes: Sequence[tuple[int, int]]) -> None:
        """Each kind of map in random shapes, in each mode; the given index in, at the end of, and beyond the map."""
        for mode, kind in itertools.product(range(4), KINDS):
            some = SMALL if kind in DIRECTED else shapes
            words, pixels = some[int(self.rng.integers(len(some)))]
            values = 4 * words * pixels
            index = int(
                self.rng.choice([0, values - 1, int(self.rng.integers(values)), values, int(self.rng.integers(values)) + (1 << 28)])
            )
            await self.run_maps(mode=mode, index=index, cases=[(kind, (words, pixels))])


@pyuvm.test()
class AllKinds(SeedTest):
    """Each kind of map and shape in each mode, with and without stalls, until every case has been seen."""

    latency = None
    covers = True

    async def main(self) -> None:
        environment = self.environment
        await self.all_kinds(SHAPES)
        await self.run_maps(cases=[("random", shape) for shape in SHAPES])
        await self.run_maps(Paddings)
        for place_of_index in (0, 5, 11, 12, 12 + (1 << 28)):
            await self.run_maps(mode=GIVEN, index=place_of_index, cases=[("first largest", (3, 1))])
        await self.run_maps(cases=[(kind, (3, 2)) for kind in KINDS])
        await self.run_maps(cases=[("two", (3, 1)), ("all least", (2, 2)), ("tie", (13, 10))])
        for stalls in ("three_of_four", "random"):
            environment.set_stalls(stalls)
            await self.run_maps(cases=[("random", shape) for shape in SHAPES if shape[0] * shape[1] < 70])
        environment.set_stalls("none")
        for mode in range(4):
            await self.run_maps(mode=mode, index=2, explain=0, cases=[("random", (3, 1))])
        for tiles, vectors in itertools.product((0, 1), (0, 1)):
            await environment.set(tiles_stored=tiles, vectors_done=vectors)
            await self.run_maps(cases=[("random", (3, 1))], given={"wait_tiles": tiles, "wait_vectors": vectors})


@pyuvm.test()
class StalledPorts(SeedTest):
    """Each kind in each mode with small maps, while the ports stall; a second environment watches and drives nothing."""

    latency = None

    def build_phase(self) -> None:
        super().build_phase()
        place(self, "watcher", self.dut)
        self.watcher = SeedEnvironment.create("watcher", self)

    async def main(self) -> None:
        for stalls in ("three_of_four", "random"):
            self.environment.set_stalls(stalls)
            await self.all_kinds(SHAPES[:4])
        assert self.watcher.scoreboard.seen == self.environment.scoreboard.seen
        assert self.environment.scoreboard.seen["write"] >= 6 * len(KINDS)


@pyuvm.test()
class InferenceOnly(SeedTest):
    """Without explain nothing is written in any mode, and the class is found all the same."""

    latency = 8

    async def main(self) -> None:
        for mode in range(4):
            await self.run_maps(mode=mode, index=2, explain=0, cases=[("random", (3, 1))])
        assert self.environment.predictor.responses == 0 and self.environment.predictor.done == 4


@pyuvm.test()
class EveryPlace(SeedTest):
    """The winner, and the given index, in each place of a small map."""

    async def main(self) -> None:
        for spot, mode in itertools.product(range(8), (0, GIVEN)):
            await self.run_maps(OnePlace, mode=mode, index=spot, spot=spot if mode == 0 else 7 - spot)
            written = [word for write in self.environment.writer.collector.writes for word in write.data]
            assert written == [0x8000 << 16 * (spot % 4) if word == spot // 4 else 0 for word in range(2)]
            self.environment.writer.collector.writes.clear()
        assert self.environment.predictor.done == 16


@pyuvm.test()
class Tokens(SeedTest):
    """A job waits for its tiles and vectors and reads nothing before."""

    async def main(self) -> None:
        environment, predictor = self.environment, self.environment.predictor
        given = {"wait_tiles": 0x800001, "wait_vectors": 2}
        running = cocotb.start_soon(self.run_maps(cases=[("random", (3, 1))], given=given))
        for tiles, vectors in ((0, 0), (0x800001, 1), (0x800000, 2)):
            await environment.set(tiles_stored=tiles, vectors_done=vectors)
            await self.cycles(30)
            assert not predictor.accepted and not predictor.pins["busy"] and not environment.scoreboard.seen["read"]
        await environment.set(tiles_stored=0x800001)
        await running
        assert predictor.done == 1


@pyuvm.test()
class Latency(SeedTest):
    """Ten classes take at most 12 values' cycles and a few more."""

    async def main(self) -> None:
        predictor = self.environment.predictor
        running = cocotb.start_soon(self.run_maps(explain=0, cases=[("random", (3, 1))]))
        while not predictor.pins.get("busy"):
            await self.cycles(1)
        started = predictor.cycles
        await running
        cycles = predictor.cycles - started
        assert cycles < 12 + 12, f"{cycles} cycles for ten classes"


@pyuvm.test()
class ResetInJob(SeedTest):
    """A reset while logits are read, or while the seed is written, leaves nothing behind: the next job is right."""

    latency = 3

    async def main(self) -> None:
        environment = self.environment
        clients = (environment.reader, environment.writer)
        phases = set()
        for stalls, delay in itertools.product(("none", "three_of_four"), (0, 2, 7, 20, 52, 60, int(self.rng.integers(3, 60)))):
            environment.set_stalls(stalls)
            await environment.set(seed_mode=0, explain=1)
            await self.send(environment.jobs, LongMap)
            await self.cycles(1 + delay)
            assert environment.predictor.pins["busy"], "the job was too short"
            phases.add("read" if environment.predictor.result is None else "write")
            await self.reset(int(self.rng.integers(1, 4)), clients)
            await self.cycles(2)
            ports = ("busy", "done", "read_request_valid", "write_request_valid", "write_data_valid")
            assert not any(environment.predictor.pins[port] for port in ports)
            await self.run_maps(cases=[("random", (3, 1)), ("tie", (2, 2))])
        assert phases == {"read", "write"}


class LongMap(Maps):
    """A map that takes long to read and to write."""

    cases = (("random", (3, 4)),)


# ---- Twins that must fail ----


class TwinTest(SeedTest):
    """Base: one map with a tie."""

    covers = True
    watchdog = 400

    async def main(self) -> None:
        await self.run_maps(cases=[("all least", (3, 1))])


class LastWins(SeedPredictor):
    """A wrong model: of equal values the last one wins."""

    def compute(self, job: SeedUnitJob, logits: np.ndarray, pins: dict[str, int]) -> SeedResult:
        values = logits.view("<i2").reshape(job.pixels, -1)[:, : job.channels]
        right = super().compute(job, logits, pins)
        last = int(np.flatnonzero(values == values.max())[-1])
        return SeedResult(last // job.channels * 4 * job.words_per_pixel + last % job.channels, right.class_value, right.seed)


class HalfAsLarge(SeedPredictor):
    """A model whose values have one more fraction bit."""

    def class_of(self, result: SeedResult) -> dict[str, int]:
        return {**super().class_of(result), "class_value": result.class_value >> 1}


class OneWriteMore(SeedPredictor):
    """A model that expects the first write twice: the unit seems to have lost one."""

    def expect(self, stream: str, fields: dict, where: str = "", formats: dict | None = None) -> None:
        for _ in range(2 if stream == "write" else 1):
            super().expect(stream, fields, where, formats)


@must_fail("environment.scoreboard", r"done item 0: expected (.|\n)*class_index: 0 .*, expected \d+")
class WrongModel(TwinTest):
    """The wrong class of two equal ones must be noticed."""

    overrides = {SeedPredictor: LastWins}


@must_fail(
    "environment.scoreboard", r"done item 0: expected (.|\n)*class_value: \S+ \(Q\S+, raw 0x8000\), expected \S+ \(Q\S+, raw 0xC000\)"
)
class WrongFraction(TwinTest):
    """A value that is half as large must be noticed, with both numbers."""

    overrides = {SeedPredictor: HalfAsLarge}


@must_fail("", r"watchdog: not done after 400 cycles; still expected: \{'write': 1\}")
class LostItem(TwinTest):
    """A write that never comes must be noticed."""

    overrides = {SeedPredictor: OneWriteMore}


@must_fail("environment.coverage", r"coverage holes: mode=\(0, False\)")
class Hole(TwinTest):
    """Coverage must see what was left out."""
