# SPDX-License-Identifier: Apache-2.0
"""pyuvm bench of rtl/control/layer_saturation.v: jobs of both kinds and seeds finish at random, some as the last of their layer.

A sequence item is a cycle: the jobs that finish in it, and which are their layers' last. The model is fed by a monitor of the
ports; the scoreboard compares what stands for both writers in every cycle after a mark.
"""

from __future__ import annotations

import random

import cocotb
import pyuvm
from cocotb.triggers import RisingEdge
from pyuvm import uvm_analysis_port, uvm_driver, uvm_env, uvm_monitor, uvm_sequence, uvm_sequencer, uvm_test

from gradcore.models.saturation import TILE_VALUES, VECTOR_VALUES, LayerSaturation
from tb.support.streams import start_clock_and_reset
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, StreamItem

CYCLES = 5000
MOST = {"tile": TILE_VALUES, "vector": VECTOR_VALUES}
KINDS = ("tile", "vector", "seed")


class CycleSequence(uvm_sequence):
    """Cycles with jobs that finish; the marks of a writer are two cycles apart or more, a seed's never in a vector's place."""

    def __init__(self, kinds: tuple[str, ...], cycles: int) -> None:
        super().__init__("cycles")
        self.kinds, self.cycles = kinds, cycles

    async def body(self) -> None:
        since = {"tile": 2, "vector": 2}  # cycles since the mark of a writer
        rate, quiet = 0.3, False
        for number in range(self.cycles):
            if number % 200 == 0:  # of 25 stretches every fourth saturates nothing
                rate, quiet = random.choice((0.02, 0.3, 1.0)), number % 800 == 0
                rate = 0.3 if quiet else rate
            fields: dict[str, int] = {"clear": number % 1500 == 1499}
            for kind in ("tile", "vector"):
                done = kind in self.kinds and random.random() < rate
                most = MOST[kind]
                fields[kind] = int(done)
                fields[f"{kind}_count"] = 0 if quiet else random.choice((0, 1, most, random.randrange(most)))
                fields[f"{kind}_last"] = int(done and since[kind] > 1 and random.random() < 0.2)
            fields["seed_last"] = int("seed" in self.kinds and not fields["vector"] and since["vector"] > 1 and random.random() < 0.05)
            since["tile"] = 1 if fields["tile_last"] else since["tile"] + 1
            since["vector"] = 1 if fields["vector_last"] or fields["seed_last"] else since["vector"] + 1
            item = StreamItem(**fields)
            await self.start_item(item)
            await self.finish_item(item)


class CycleDriver(uvm_driver):
    """Drives the jobs of a cycle, and in the next one their marks. Counts without a job are rubbish."""

    async def run_phase(self) -> None:
        dut = cocotb.top
        marks = 0
        while True:
            item = await self.seq_item_port.get_next_item()
            fields = item.fields
            dut.clear.value = fields["clear"]
            dut.tile_stored.value, dut.tile_saturated.value = fields["tile"], fields["tile_count"]
            dut.vector_done.value, dut.vector_saturated.value = fields["vector"], fields["vector_count"]
            dut.mark_valid.value = 0 if fields["clear"] else marks
            marks = 0 if fields["clear"] else fields["tile_last"] | (fields["vector_last"] | fields["seed_last"]) << 1
            await RisingEdge(dut.clk)
            self.seq_item_port.item_done()


class PortMonitor(uvm_monitor):
    """Publishes the ports in each cycle."""

    def build_phase(self) -> None:
        self.cycles = uvm_analysis_port("cycles", self)

    async def run_phase(self) -> None:
        dut = cocotb.top
        names = ("clear", "tile_stored", "tile_saturated", "vector_done", "vector_saturated", "mark_valid")
        marked = 0  # writers that have marked: before, what stands is not defined
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value):
                continue
            fields = {name: int(getattr(dut, name).value) for name in names}
            fields["tile"] = int(dut.mark_saturated.value[31:0]) if marked & 1 else 0
            fields["vector"] = int(dut.mark_saturated.value[63:32]) if marked & 2 else 0
            marked |= fields["mark_valid"]
            self.cycles.write(StreamItem(**fields))


class Environment(uvm_env):
    """Sequencer, driver, monitor, model, scoreboard and coverage."""

    def build_phase(self) -> None:
        self.sequencer = uvm_sequencer("sequencer", self)
        self.driver = CycleDriver("driver", self)
        self.monitor = PortMonitor("monitor", self)
        self.model = LayerSaturation()
        self.scoreboard = Scoreboard("scoreboard", self)
        self.scoreboard.add_stream("standing")
        self.watch = CallbackSubscriber("watch", self, self.cycle)
        self.coverage = Coverage(
            "coverage",
            self,
            points={
                "kind": KINDS,
                "jobs": (1, 2, 3),  # of a marked layer: one, two, more
                "sum": ("none", "some"),
                "both_marks": (True,),
                "job_with_mark": ("tile", "vector"),  # a job of that kind finishes in the cycle of a mark of it
                "seed_between": (True,),  # a seed's mark while vectors have been added up
                "clear_between": (True,),
            },
            crosses={"kind_by_sum": ("jobs", "sum")},
        )
        self.standing = {"tile": 0, "vector": 0}
        self.jobs = {"tile": 0, "vector": 0}
        self.late: dict[str, int] = {}  # the jobs of the cycle before
        self.error = 0

    def connect_phase(self) -> None:
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)
        self.monitor.cycles.connect(self.watch.analysis_export)

    def cycle(self, fields: dict[str, int]) -> None:
        model = self.model
        self.scoreboard.expect("standing", dict(self.standing))
        self.scoreboard.actual("standing", {kind: fields[kind] for kind in self.standing})
        for kind, count in self.late.items():
            model.finish(kind, count)
            self.jobs[kind] += 1
        marks = []
        if fields["mark_valid"] & 1:
            marks.append("tile")
        if fields["mark_valid"] & 2:
            marks.append("vector" if "vector" in self.late else "seed")
        done = {"tile": fields["tile_stored"], "vector": fields["vector_done"]}
        for kind in marks:
            pending = model.sums["vector"]
            total = model.mark(kind) + self.error
            self.standing["tile" if kind == "tile" else "vector"] = total
            if kind == "seed":
                self.coverage.sample(kind=kind, seed_between=pending > 0)
                continue
            self.coverage.sample(
                kind=kind, jobs=min(3, self.jobs[kind]), sum="some" if total else "none", job_with_mark=kind if done[kind] else None
            )
            self.jobs[kind] = 0
        self.coverage.sample(both_marks=len(marks) == 2)
        counts = {"tile": fields["tile_saturated"], "vector": fields["vector_saturated"]}
        self.late = {kind: counts[kind] for kind in counts if done[kind]}
        if fields["clear"]:
            self.coverage.sample(clear_between=any(model.sums.values()))
            model.clear()
            self.late, self.jobs = {}, {"tile": 0, "vector": 0}


class LayersTest(uvm_test):
    """Base: runs a number of cycles."""

    kinds = KINDS
    error = 0

    def build_phase(self) -> None:
        self.environment = Environment("environment", self)

    def end_of_elaboration_phase(self) -> None:
        self.environment.error = self.error

    async def run_phase(self) -> None:
        self.raise_objection()
        dut = cocotb.top
        for name in ("clear", "tile_stored", "tile_saturated", "vector_done", "vector_saturated", "mark_valid"):
            getattr(dut, name).value = 0
        await start_clock_and_reset(dut)
        await CycleSequence(self.kinds, CYCLES).start(self.environment.sequencer)
        assert self.environment.scoreboard.seen["standing"] >= CYCLES
        self.drop_objection()


@pyuvm.test()
class RandomJobs(LayersTest):
    """Jobs of all kinds, layers of one job and of many, starts in between."""


@pyuvm.test(expect_fail=True)
class WrongSum(LayersTest):
    """The scoreboard must see a sum that is one too large."""

    error = 1


@pyuvm.test(expect_fail=True)
class WithoutSeeds(LayersTest):
    """Coverage must see that no seed was marked."""

    kinds = ("tile", "vector")
