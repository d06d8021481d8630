# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of layer_saturation.v: its pins, a predictor that adds up what finishes, coverage."""

from __future__ import annotations

from gradcore.models.control.layer_saturation import LayerSaturation
from tb.support.agents import PinsAgent, pins
from tb.support.base import Predictor, UnitEnvironment
from tb.support.uvm import Coverage
from tb.support.vectors import VectorSlice

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


class LayerSaturationEnvironment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("standing")
        writers = ("tile", "vector")
        ports = pins(self.dut, INPUTS, rest=dict.fromkeys(INPUTS, 0), unknown=(*writers, "tile_saturated", "vector_saturated"))
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
