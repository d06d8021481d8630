# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/layer_saturation.v: jobs of both kinds and seeds finish at random, some as the last of their layer.

What stands for both writers is compared in every cycle after a mark.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pyuvm

from gradcore.models.control.layer_saturation import VECTOR_VALUES, LayerSaturation
from gradcore.models.convolution.tile_saturation import TILE_VALUES
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.uvm import Coverage
from tb.support.vectors import VectorSlice

CYCLES = 5000
MOST = {"tile": TILE_VALUES, "vector": VECTOR_VALUES}
KINDS = ("tile", "vector", "seed")
INPUTS = ("clear", "tile_stored", "tile_saturated", "vector_done", "vector_saturated", "mark_valid")


class LayerPredictor(Predictor):
    """Sums of the jobs since the last mark of their kind. The mark of a job comes in the cycle after it."""

    def build_phase(self) -> None:
        self.model = LayerSaturation()
        self.standing: dict[str, int] = {}  # of the writers that have marked: before, what stands is not defined
        self.jobs = {"tile": 0, "vector": 0}
        self.late: dict[str, int] = {}  # the jobs of the cycle before

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle."""
        model, coverage = self.model, self.get_parent().coverage
        if self.standing:
            self.expect("standing", dict(self.standing))
            self.get_parent().scoreboard.actual("standing", {writer: pins[writer] for writer in self.standing})
        for kind, count in self.late.items():
            model.finish(kind, count)
            self.jobs[kind] += 1
        marks = []
        if pins["mark_valid"] & 1:
            marks.append("tile")
        if pins["mark_valid"] & 2:
            marks.append("vector" if "vector" in self.late else "seed")
        done = {"tile": pins["tile_stored"], "vector": pins["vector_done"]}
        for kind in marks:
            pending = model.sums["vector"]
            self.standing["tile" if kind == "tile" else "vector"] = total = self.total(kind)
            if kind == "seed":
                coverage.sample(kind=kind, seed_between=pending > 0)
                continue
            size = "some" if total else "none"
            coverage.sample(kind=kind, jobs=min(3, self.jobs[kind]), sum=size, job_with_mark=kind if done[kind] else None)
            self.jobs[kind] = 0
        coverage.sample(both_marks=len(marks) == 2)
        counts = {"tile": pins["tile_saturated"], "vector": pins["vector_saturated"]}
        self.late = {kind: counts[kind] for kind in counts if done[kind]}
        if pins["clear"]:
            coverage.sample(clear_between=any(model.sums.values()))
            model.clear()
            self.late, self.jobs = {}, {"tile": 0, "vector": 0}

    def total(self, kind: str) -> int:
        """What a mark stands for."""
        return self.model.mark(kind)


class Environment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("standing")
        writers = ("tile", "vector")
        ports = pins(self.dut, INPUTS, rest=dict.fromkeys(INPUTS, 0), unknown=writers)
        ports.outputs = dict(zip(writers, VectorSlice.cut(self.dut.mark_saturated, 2, 32), strict=True))
        self.pins = PinsAgent("pins", self, ports)
        self.predictor = LayerPredictor.create("predictor", self)
        points = {
            "kind": KINDS,
            "jobs": (1, 2, 3),  # of a marked layer: one, two, more
            "sum": ("none", "some"),
            "both_marks": (True,),
            "job_with_mark": writers,  # a job of that kind finishes in the cycle of a mark of it
            "seed_between": (True,),  # a seed's mark while vectors have been added up
            "clear_between": (True,),
        }
        self.coverage = Coverage("coverage", self, points, {"jobs_by_sum": ("jobs", "sum")})

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)


class Jobs(ItemSequence):
    """Cycles with jobs that finish; the marks of a writer are two cycles apart or more, a seed's never in a vector's place.

    The mark of a job follows in the cycle after it. Counts without a job are rubbish.
    """

    kinds = KINDS

    def items(self) -> Iterable[dict[str, int]]:
        since = {"tile": 2, "vector": 2}  # cycles since the mark of a writer
        rate, quiet, marks = 0.3, False, 0
        for number in range(CYCLES):
            if number % 200 == 0:  # of 25 stretches every fourth saturates nothing
                rate, quiet = random.choice((0.02, 0.3, 1.0)), number % 800 == 0
                rate = 0.3 if quiet else rate
            clear = number % 1500 == 1499
            done, last, counts = {}, {}, {}
            for kind in ("tile", "vector"):
                most = MOST[kind]
                done[kind] = kind in self.kinds and random.random() < rate
                counts[kind] = 0 if quiet else random.choice((0, 1, most, random.randrange(most)))
                last[kind] = done[kind] and since[kind] > 1 and random.random() < 0.2
            seed = "seed" in self.kinds and not done["vector"] and since["vector"] > 1 and random.random() < 0.05
            since["tile"] = 1 if last["tile"] else since["tile"] + 1
            since["vector"] = 1 if last["vector"] or seed else since["vector"] + 1
            yield {
                "clear": int(clear),
                "tile_stored": int(done["tile"]),
                "tile_saturated": counts["tile"],
                "vector_done": int(done["vector"]),
                "vector_saturated": counts["vector"],
                "mark_valid": 0 if clear else marks,
            }
            marks = 0 if clear else last["tile"] | (last["vector"] or seed) << 1


class LayersTest(UnitTest):
    """Base."""

    environment_type = Environment
    watchdog = 2 * CYCLES

    async def main(self) -> None:
        await self.send(self.environment.pins, Jobs)
        assert self.environment.scoreboard.seen["standing"] > CYCLES - 1000


@pyuvm.test()
class RandomJobs(LayersTest):
    """Jobs of all kinds, layers of one job and of many, starts in between."""


class OneTooMany(LayerPredictor):
    """A wrong model: sums are one too large."""

    def total(self, kind: str) -> int:
        return super().total(kind) + 1


class WithoutSeed(Jobs):
    """No seed is marked."""

    kinds = ("tile", "vector")


@must_fail("environment.scoreboard", r"standing item \d+: expected")
class WrongSum(LayersTest):
    """A sum that is one too large must be noticed."""

    overrides = {LayerPredictor: OneTooMany}


@must_fail("environment.coverage", "coverage holes: kind=seed, seed_between=True")
class WithoutSeeds(LayersTest):
    """Coverage must see that no seed was marked."""

    overrides = {Jobs: WithoutSeed}
