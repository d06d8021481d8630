# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of seed_unit.v: agents of its ports, a predictor that knows what the pins show, coverage."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from cocotb.simtime import get_sim_time

from gradcore.models.arithmetic import VALUE_MAX, VALUE_MIN
from gradcore.models.expectation import Checked
from gradcore.models.jobs import SeedUnitJob
from gradcore.models.vector.seed_unit import GIVEN, SUPPLIED, SeedResult, seed_unit
from tb.support.agents import PinsAgent, ReadClientAgent, WriteClientAgent, pins
from tb.support.base import FlowCoverage, Predictor, UnitEnvironment
from tb.support.read_client import WordMemory
from tb.support.seeds import test_rng
from tb.support.uvm import CheckFailure, Coverage, SourceAgent, StreamPort, StreamSequence, is_active, listen
from tb.support.vectors import job_fields

LONGEST_REQUEST = 64  # words
CONTROLS = ("seed_mode", "seed_index", "explain", "tiles_stored", "vectors_done")
PORTS = ("read_request", "read_response", "write_request", "write_data")
OUTPUTS = ("busy", "done", "class_index", "class_value", "write_done", *(f"{port}_{end}" for port in PORTS for end in ("valid", "ready")))
ALL = 0xFF  # strobes of a word that is written as a whole


def stretches(address: int, words: int) -> list[tuple[int, int]]:
    """(address, words) of the requests for so many words."""
    return [
        ((address + 8 * at) & 0xFFFFFFFF, min(LONGEST_REQUEST, words - at)) for at in range(0, words, LONGEST_REQUEST)
    ]  # fmt: skip


class SeedPredictor(Predictor):
    """Follows the jobs from the pins alone: which requests must come, and, from the logits that were read, class and seed.

    The arg-max is computed in fxpmath; the integer twin must agree. A job gives no format: one is drawn at random.
    """

    def build_phase(self) -> None:
        self.rng = test_rng()
        self.cycles = 0
        self.restart()

    def restart(self) -> None:
        """The unit was reset: no job is known."""
        self.accepted = self.done = 0
        self.job_now: SeedUnitJob | None = None
        self.next_job: SeedUnitJob | None = None  # accepted in the cycle in which the other is done
        self.job_time = 0.0
        self.words: list[int] = []
        self.result: SeedResult | None = None  # of the job at work
        self.shown: dict[str, int] | None = None  # what must stay until the next job
        self.due = self.responses = 0  # write requests of all jobs, and their responses
        self.pins: dict[str, int] = dict.fromkeys(CONTROLS, 0)
        self.before = self.pins
        self.pins_time = 0.0

    def job(self, item: dict[str, int]) -> None:
        """A job was accepted: its tokens were there in the cycle before."""
        before = self.pins if self.pins_time < get_sim_time("ns") else self.before
        job = SeedUnitJob(**item)
        assert job.wait_tiles <= before["tiles_stored"], "accepted before its tiles were stored"
        assert job.wait_vectors <= before["vectors_done"], "accepted before the vectors it waits for"
        assert self.next_job is None, "two jobs were accepted at once"
        self.next_job, self.job_time = job, get_sim_time("ns")
        if self.job_now is None:
            self.begin()

    def begin(self) -> None:
        """The job that was accepted is at work: what it must ask for."""
        job = self.job_now = self.next_job
        self.next_job, self.words, self.shown = None, [], None
        self.rules = Checked.of_shift(0, self.rng)
        for address, words in stretches(job.logits_address, job.pixels * job.words_per_pixel):
            self.expect("read", {"address": address, "words": words}, self.where)
        self.accepted += 1

    @property
    def where(self) -> str:
        """The job, for messages."""
        return f"job {self.accepted if self.job_now is None else self.accepted - 1}"

    def read(self, item: dict[str, Any]) -> None:
        """Words of logits; after the last one class and seed are known."""
        job = self.job_now
        assert job is not None, "logits are read for no job"
        self.words += item["data"]
        if len(self.words) < job.pixels * job.words_per_pixel:
            return
        logits = np.array(self.words, dtype=np.uint64)
        self.result = self.compute(job, logits, self.pins)
        self.expect("done", self.class_of(self.result), self.where, {"class_value": self.rules.formats.source})
        if self.result.seed is not None:
            seed = self.result.seed.tolist()
            for number, (address, words) in enumerate(stretches(job.seed_address, len(seed))):
                data = tuple(seed[LONGEST_REQUEST * number :][:words])
                self.expect("write", {"address": address, "data": data, "strobes": (ALL,) * words}, self.where)
                self.due += 1
        self.get_parent().computed(job, logits, self.pins, self.result)

    def compute(self, job: SeedUnitJob, logits: np.ndarray, pins: dict[str, int]) -> SeedResult:
        """What the model says of a job whose logits were read."""

        def read(address: int, words: int) -> np.ndarray:
            assert (address, words) == (job.logits_address, len(logits))
            return logits

        return seed_unit(job, pins["seed_mode"], pins["seed_index"], bool(pins["explain"]), read, rules=self.rules)

    def class_of(self, result: SeedResult) -> dict[str, int]:
        """What must stand with done."""
        return {"class_index": result.class_index, "class_value": result.class_value}

    def cycle(self, pins: dict[str, int]) -> None:
        """Busy, done and its responses; class and value must stay until the next job."""
        if "rst" in pins:
            self.get_parent().scoreboard.forget()
            self.restart()
            return
        self.cycles += 1
        self.before, self.pins, self.pins_time = self.pins, pins, get_sim_time("ns")
        now = {name: pins[name] for name in ("class_index", "class_value")}
        if pins["done"]:
            assert self.job_now is not None, "done without a job"
            assert self.responses == self.due, f"done after {self.responses} of {self.due} write responses"
            self.get_parent().scoreboard.actual("done", now)
            self.job_now, self.result, self.shown = None, None, now
            self.done += 1
            if self.next_job is not None:
                self.begin()
        elif self.shown is not None and self.job_now is None:
            assert now == self.shown, f"{now} after done, not {self.shown}"
        assert self.next_job is None, "a job was accepted during another"
        self.responses += pins["write_done"]
        inside = self.job_now is not None and self.job_time < self.pins_time
        assert pins["busy"] == inside, f"busy is {pins['busy']} {'during a job' if inside else 'without a job'}"


class SeedEnvironment(UnitEnvironment):
    """Agents, predictor, coverage; while active a memory with the logits."""

    latency = 0

    def build_phase(self) -> None:
        super().build_phase()
        dut = self.dut
        self.memory = WordMemory(0x2000_0000, 1 << 14, test_rng())
        port = StreamPort(dut.clk, dut.job_valid, dut.job_ready, job_fields(dut.job, SeedUnitJob), rst=dut.rst)
        self.jobs = SourceAgent("jobs", self, port)
        self.reader = ReadClientAgent("read", self, dut)
        self.writer = WriteClientAgent("write", self, dut)
        self.reader.memory, self.reader.latency = self.memory, self.latency
        unknown = ("class_index", "class_value")  # until a class is found
        self.pins = PinsAgent("pins", self, pins(dut, CONTROLS, OUTPUTS, signed=("class_value",), unknown=unknown, resets=True))
        self.predictor = SeedPredictor.create("predictor", self)
        self.coverage = seed_coverage(self)
        self.flow = FlowCoverage("flow", self, {"job": self.jobs})
        for stream in ("read", "write", "done"):
            self.scoreboard.add_stream(stream)

    def connect_phase(self) -> None:
        predictor = self.predictor
        predictor.hear(self.jobs, predictor.job)
        self.reader.requests.connect(self.scoreboard.actual_export("read"))
        listen(self.reader.reads, predictor, lambda item: predictor.read(item.fields))
        self.writer.writes.connect(self.scoreboard.actual_export("write"))
        predictor.hear(self.pins, predictor.cycle)
        listen(self.pins.monitor.analysis_port, self, self._ports)

    def set_stalls(self, stalls: str) -> None:
        """Change the stall pattern of all ports of the memory."""
        self.reader.set_stalls(stalls, stalls)
        self.writer.set_stalls(stalls, stalls)

    async def set(self, **values: int) -> None:
        """Put values on the controls."""
        await self.pins.start(StreamSequence("controls", [values]))

    def check_phase(self) -> None:
        for agent in (self.reader, self.writer):
            if is_active(self) and not agent.idle:
                raise CheckFailure(self, f"{agent.get_name()}: words, beats or requests are left over")

    # ---- Coverage, from what was seen ----

    def _ports(self, item: Any) -> None:
        for port in PORTS if "rst" not in item.fields else ():
            if item.fields[f"{port}_valid"] and not item.fields[f"{port}_ready"]:
                self.coverage.sample(waits=port)

    def computed(self, job: SeedUnitJob, words: np.ndarray, pins: dict[str, int], result: SeedResult) -> None:
        """A class was found: which case it was."""
        values = words.view("<i2").astype(np.int64).reshape(job.pixels, -1)
        valid, padding = values[:, : job.channels], values[:, job.channels :]
        winners = np.flatnonzero(valid == valid.max())
        place = "first" if winners[0] == 0 else "last" if winners[0] == valid.size - 1 else "between"
        target = {GIVEN: pins["seed_index"], SUPPLIED: None}.get(pins["seed_mode"], result.class_index)
        index = None
        if pins["seed_mode"] == GIVEN:
            past = pins["seed_index"] - values.size
            known = {0: "first", values.size - 1: "last", values.size: "one beyond"}
            index = known.get(pins["seed_index"], "far beyond" if past >= 1 << 20 else "inside" if past < 0 else None)
        self.coverage.sample(
            mode=(pins["seed_mode"], bool(pins["explain"])),
            words=len(words),
            pixels="one" if job.pixels == 1 else "more",
            pixel_words="one" if job.words_per_pixel == 1 else "more",
            padding=min(values.shape[1] - job.channels, 4),
            winner=place if valid.size > 2 else None,
            tie="none" if len(winners) == 1 else "two" if len(winners) == 2 else "all" if len(winners) == valid.size else "some",
            value={VALUE_MIN: "least", VALUE_MAX: "most"}.get(int(valid.max()), "negative" if valid.max() < 0 else "other"),
            padding_wins=bool(padding.size and padding.max() > valid.max()),
            index=index,
            seed_place=target % 4 if result.seed is not None and target < values.size else None,
            tokens=(job.wait_tiles > 0, job.wait_vectors > 0),
        )


def seed_coverage(parent: SeedEnvironment) -> Coverage:
    """What a complete run must have tried."""
    points = {
        "mode": list(itertools.product(range(4), (False, True))),
        "words": (1, 2, 63, 64, 65, 128, 130),
        "pixels": ("one", "more"),
        "pixel_words": ("one", "more"),
        "padding": range(5),
        "winner": ("first", "between", "last"),
        "tie": ("none", "two", "some", "all"),
        "value": ("least", "negative", "other", "most"),
        "padding_wins": (False, True),
        "index": ("first", "inside", "last", "one beyond", "far beyond"),
        "seed_place": range(4),
        "tokens": list(itertools.product((False, True), (False, True))),
        "waits": PORTS,  # valid and not ready
    }
    return Coverage("coverage", parent, points, {"shape": ("pixels", "pixel_words")})
