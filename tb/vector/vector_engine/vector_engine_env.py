# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of vector_engine.v: agents of its ports, a predictor that knows what the pins show, tokens, coverage."""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cocotb.simtime import get_sim_time
from cocotb.triggers import ClockCycles
from pyuvm import uvm_component

from gradcore.models.arithmetic import METHODS, VALUE_MAX, VALUE_MIN
from gradcore.models.expectation import Checked
from gradcore.models.jobs import VectorEngineJob
from gradcore.models.memory import Write
from gradcore.models.numbers import PassFormats
from gradcore.models.vector.vector_engine import LEAST_ROW_WORDS, half_saturated, half_sums, half_writes, loaded_vector, tag_span
from tb.support.agents import PinsAgent, ReadClientAgent, WriteClientAgent, pins
from tb.support.base import FlowCoverage, Predictor, UnitEnvironment
from tb.support.read_client import WordMemory
from tb.support.seeds import test_rng
from tb.support.uvm import CheckFailure, Coverage, SourceAgent, StreamPort, StreamSequence, is_active, listen
from tb.support.vectors import Client, job_fields
from tb.vector.vector_engine.vector_engine_activity import Activity, Drain

MEMORY_WORDS = 1 << 20
READERS = ("rows0", "rows1", "vector")  # the read clients, in the order of the port
STRETCH = 16  # words of values that one tag word covers
CONTROLS = ("method", "tiles_stored", "vectors_done")
EVENTS = (
    "busy", "active", "waiting_input", "waiting_output", "macs", "zeros", "done", "saturated", "read_request_valid", "read_request_ready",
    "read_response_valid", "read_response_ready", "write_request_valid", "write_request_ready", "write_data_valid", "write_data_ready",
    "write_done",
)  # fmt: skip
OUTCOMES = ("clipped low", "least", "inside", "most", "clipped high")
RECTIFIERS = ("none", "relu", "clip")
NEVER = {("relu", "least"), ("clip", "least"), ("clip", "clipped high")}  # outcomes: what a clip clips does not count


def vector_requests(job: VectorEngineJob, method: str) -> list[tuple[int, int]]:
    """(address, words) of the read requests for values and tags, in order: a tag word, then the values that it covers."""
    masks = tag_span(job, method) is not None
    skip = job.tag_address % 8 // 2 if masks else 0
    requests, at, stretch = [], 0, STRETCH - 4 * skip
    while at < job.vector_words:
        if masks:
            requests.append((job.tag_address // 8 * 8 + 8 * (len(requests) // 2), 1))
        words = min(stretch, job.vector_words - at)
        requests.append((job.vector_address + 8 * at, words))
        at, stretch = at + words, STRETCH
    return requests


def packed(write: Write) -> dict[str, Any]:
    """A write as an item: its words as one number, the first in the low bits."""
    return {"address": write.address, "data": sum(word << 64 * place for place, word in enumerate(write.data)), "strobes": write.strobes}


class Captured:
    """The words that a job was seen to read, as the memory that its model reads."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}

    def add(self, read: dict[str, Any]) -> None:
        """One request with its words."""
        self.words.update((read["address"] + 8 * place, word) for place, word in enumerate(read["data"]))

    def read(self, address: int, words: int) -> np.ndarray:
        """uint64: words that were read. AssertionError for one that was not."""
        places = [address + 8 * word for word in range(words)]
        missing = [place for place in places if place not in self.words]
        assert not missing, f"the job needs the word at {missing[0]:#x}, which was not read" if missing else ""
        return np.array([self.words[place] for place in places], dtype=np.uint64)


@dataclass
class Inside:
    """A job that was accepted and is not done."""

    number: int
    job: VectorEngineJob
    method: str
    rules: Checked
    vector: Captured = field(default_factory=Captured)
    vector_left: int = 0  # requests
    values: np.ndarray | None = None
    rows: tuple[Captured, Captured] = field(default_factory=lambda: (Captured(), Captured()))
    rows_left: list[int] = field(default_factory=lambda: [0, 0])  # requests
    saturated: list[int | None] = field(default_factory=lambda: [None, None])
    writes: list[int] = field(default_factory=lambda: [0, 0])


class VectorPredictor(Predictor):
    """Follows the jobs from the pins alone: which requests must come, and, from the words that were read, what must be written.

    Everything is computed in fxpmath; the integer twin must agree. A job has a shift and no formats: they are drawn at random such
    that the shift follows from them.
    """

    def build_phase(self) -> None:
        self.rng = test_rng()
        self.done_times: list[int] = []
        self.cycles = 0
        self.restart()

    def restart(self) -> None:
        """The unit was reset: no job is known."""
        self.accepted = self.done = 0
        self.reading: deque[Inside] = deque()  # their vector is not all there
        self.adding: tuple[deque[Inside], deque[Inside]] = (deque(), deque())  # their rows are not all there
        self.early: tuple[deque, deque] = (deque(), deque())  # rows of jobs whose vector is not all there
        self.kept: list[np.ndarray | None] = [None, None]  # sums with which the next job of a half goes on
        self.undone: deque[Inside] = deque()
        self.unannounced: deque[Inside] = deque()  # how many outputs they clip is not known yet
        self.due = [0, 0]  # write responses that must have come before the next done
        self.responses = [0, 0]
        self.work: Counter[str] = Counter()
        self.worked: Counter[str] = Counter()
        self.pins: dict[str, int] = {"method": 0, "tiles_stored": 0, "vectors_done": 0}
        self.pins_before = self.pins
        self.pins_time = 0.0

    def formats(self, shift: int) -> PassFormats:
        """Formats from which the shift follows."""
        return Checked.of_shift(shift, self.rng).formats

    # ---- Jobs, reads ----

    def job(self, item: dict[str, int]) -> None:
        """A job was accepted: its tokens were there in the cycle before."""
        job = VectorEngineJob(**item)
        before = self.pins if self.pins_time < get_sim_time("ns") else self.pins_before
        assert job.wait_tiles <= before["tiles_stored"], f"job {self.accepted} accepted before its tiles were stored"
        assert job.wait_vectors <= before["vectors_done"], f"job {self.accepted} accepted before the vectors it waits for"
        method = METHODS[before["method"]]
        inside = Inside(self.accepted, job, method, Checked(self.formats(job.shift), rng=self.rng))
        self.accepted += 1
        requests = vector_requests(job, method)
        inside.vector_left = len(requests)
        for address, words in requests:
            self.expect("vector", {"address": address, "words": words}, f"job {inside.number}")
        for queue in (self.reading, self.undone, self.unannounced):
            queue.append(inside)
        self.get_parent().in_flight(self.accepted - self.done)

    def vector_read(self, item: dict[str, Any]) -> None:
        """Values or tags of the oldest job whose vector is not all there."""
        assert self.reading, "a vector is read for no job"
        inside = self.reading[0]
        inside.vector.add(item)
        inside.vector_left -= 1
        if not inside.vector_left:
            self.reading.popleft()
            self.loaded(inside)

    def loaded(self, inside: Inside) -> None:
        """The vector is there: what the halves must ask for."""
        job = inside.job
        inside.values = loaded_vector(job, inside.method, inside.vector.read, rules=inside.rules)
        used = np.flatnonzero(inside.values)
        self.work["zeros"] += len(inside.values) - len(used)
        for half in (0, 1):
            words = getattr(job, f"destination_words{half}")
            plane, row = getattr(job, f"matrix_address{half}"), max(LEAST_ROW_WORDS, words)
            requests = [((plane + (int(place) << job.pitch_log2)) & 0xFFFFFFFF, row) for place in used] if words else []
            rows = row * len(requests)
            if words and job.has_bias and not job.keep:
                requests.append((getattr(job, f"bias_address{half}"), 4 * words))
            for address, count in requests:
                self.expect(f"rows{half}", {"address": address, "words": count}, f"job {inside.number}")
            self.work["macs"] += 4 * rows
            inside.rows_left[half] = len(requests)
            self.adding[half].append(inside)
            skip = getattr(job, f"tag_destination{half}") % 8 // 2
            drain = Drain.of(inside.number, words, rows, job.has_bias, job.store_tags, skip, job.keep)
            self.get_parent().activity.plan(half, drain)
            self.advance(half)

    def rows_read(self, half: int, item: dict[str, Any]) -> None:
        """A row, or the bias, of the oldest job whose rows are not all there."""
        self.early[half].append(item)
        self.advance(half)

    def advance(self, half: int) -> None:
        """Give what was read to the jobs; compute those that have all."""
        while self.adding[half]:
            inside = self.adding[half][0]
            while inside.rows_left[half] and self.early[half]:
                inside.rows[half].add(self.early[half].popleft())
                inside.rows_left[half] -= 1
            if inside.rows_left[half]:
                return
            self.adding[half].popleft()
            self.compute(inside, half)

    def compute(self, inside: Inside, half: int) -> None:
        """What one half of a job must write."""
        job, rules = inside.job, inside.rules
        kept = self.kept[half]
        sums = half_sums(job, half, inside.values, inside.rows[half].read, kept=kept, rules=rules)
        self.get_parent().slices(inside, half, kept is not None)
        self.kept[half] = sums if job.keep else None
        clipped = half_saturated(job, sums, rules=rules)
        writes = half_writes(job, half, sums, rules=rules)
        for kind, write in zip(("outputs", "mask pieces"), writes, strict=False):
            formats = {"data": rules.formats.result} if kind == "outputs" else {}
            place = f"job {inside.number} ({inside.method}), half {half}, {kind} of {len(sums)}"
            self.expect(f"write{half}", packed(Write.of(write)), place, formats)
        inside.writes[half] = len(writes)
        inside.saturated[half] = int(clipped.sum())
        while self.unannounced and None not in self.unannounced[0].saturated:
            known = self.unannounced.popleft()
            self.expect("done", {"saturated": sum(known.saturated)}, f"job {known.number}")
        if not job.keep:
            self.get_parent().computed(inside, half, sums, clipped)

    # ---- Every cycle ----

    def cycle(self, pins: dict[str, int]) -> None:
        """Done pulses, which must not come before the responses; work, counted whenever the unit is idle."""
        if "rst" in pins:
            self.get_parent().scoreboard.forget()
            self.restart()
            return
        self.cycles += 1
        self.pins_before, self.pins, self.pins_time = self.pins, pins, get_sim_time("ns")
        for name in ("macs", "zeros"):
            self.worked[name] += pins[name]
        if pins["done"]:
            assert self.undone, "done without a job"
            inside = self.undone.popleft()
            for half in (0, 1):
                self.due[half] += inside.writes[half]
                assert self.responses[half] >= self.due[half], f"done of job {self.done}, half {half}, before its write responses"
            self.done += 1
            self.done_times.append(self.cycles)
            self.get_parent().scoreboard.actual("done", {"saturated": pins["saturated"]})
        for half in (0, 1):
            self.responses[half] += pins["write_done"] >> half & 1
        if self.pins_before.get("busy") and not pins["busy"]:
            self.expect("work", {name: self.work[name] for name in ("macs", "zeros")}, f"after job {self.done - 1}")
            self.get_parent().scoreboard.actual("work", {name: self.worked[name] for name in ("macs", "zeros")})


class Host(uvm_component):
    """What surrounds the engine while it is active: vectors that are done count, tiles get stored now and then."""

    def build_phase(self) -> None:
        self.vectors = self.tiles = 0
        self.stores_tiles = self.counts_vectors = True
        self.waiting: dict[str, int] = {}

    def connect_phase(self) -> None:
        listen(self.get_parent().pins.monitor.analysis_port, self, self._cycle)

    def _cycle(self, item: Any) -> None:
        if item.fields.get("done") and self.counts_vectors:
            self.vectors += 1
            self.waiting["vectors_done"] = self.vectors

    async def run_phase(self) -> None:
        if not is_active(self):
            return
        dut, until = self.get_parent().dut, 20
        while True:
            await ClockCycles(dut.clk, 2)
            until -= 2
            if until <= 0 and self.stores_tiles:
                self.tiles += 1
                self.waiting["tiles_stored"] = self.tiles
                until = random.randrange(20, 200)
            if self.waiting:
                changed, self.waiting = self.waiting, {}
                await self.set(**changed)

    async def set(self, **values: int) -> None:
        """Put values on the pins."""
        await self.get_parent().pins.start(StreamSequence("pins", [values]))


class VectorEnvironment(UnitEnvironment):
    """Agents, predictor, checks of the activity, coverage. While active: a memory, and a host that hands out tokens."""

    latency = 0

    def build_phase(self) -> None:
        super().build_phase()
        dut = self.dut
        self.memory = WordMemory(0x1000_0000, MEMORY_WORDS, test_rng())
        port = StreamPort(dut.clk, dut.job_valid, dut.job_ready, job_fields(dut.job, VectorEngineJob), rst=dut.rst)
        self.jobs = SourceAgent("jobs", self, port)
        self.readers = {name: ReadClientAgent(name, self, Client(dut, number, len(READERS)), "read") for number, name in enumerate(READERS)}
        self.writers = [WriteClientAgent(f"write{half}", self, Client(dut, half, 2), "write") for half in (0, 1)]
        self.pins = PinsAgent("pins", self, pins(dut, CONTROLS, EVENTS, unknown=("saturated",), resets=True))
        self.host = Host("host", self)
        self.predictor = VectorPredictor.create("predictor", self)
        self.activity = Activity.create("activity", self)
        self.coverage = vector_coverage(self)
        self.flow = FlowCoverage("flow", self, {"job": self.jobs})
        for reader in self.readers.values():
            reader.memory, reader.latency = self.memory, self.latency
        for stream in (*READERS, "write0", "write1", "done", "work"):
            self.scoreboard.add_stream(stream)

    def connect_phase(self) -> None:
        predictor, scoreboard = self.predictor, self.scoreboard
        predictor.hear(self.jobs, predictor.job)
        for name, reader in self.readers.items():
            reader.requests.connect(scoreboard.actual_export(name))
        heard = {"vector": predictor.vector_read}
        heard |= {f"rows{half}": lambda item, half=half: predictor.rows_read(half, item) for half in (0, 1)}
        for name, function in heard.items():
            listen(self.readers[name].reads, predictor, lambda item, function=function: function(item.fields))
        for half, writer in enumerate(self.writers):
            listen(writer.writes, self, self._written(half))
        predictor.hear(self.pins, predictor.cycle)
        self.activity.hear(self.pins, self.activity.cycle)
        listen(self.pins.monitor.analysis_port, self, self._ports)

    def set_stalls(self, stalls: str) -> None:
        """Change the stall pattern of all ports of the memory."""
        for reader in self.readers.values():
            reader.set_stalls(stalls, stalls)
        for writer in self.writers:
            writer.set_stalls(stalls, stalls)

    def check_phase(self) -> None:
        for agent in (*self.readers.values(), *self.writers):
            if is_active(self) and not agent.idle:
                raise CheckFailure(self, f"{agent.get_name()}: words, beats or requests are left over")

    def _written(self, half: int) -> Any:
        def seen(item: Any) -> None:
            self.scoreboard.actual(f"write{half}", packed(Write(**item.fields)))

        return seen

    # ---- Coverage, from what was seen ----

    def in_flight(self, jobs: int) -> None:
        """A job was accepted, and so many are inside."""
        self.coverage.sample(in_flight=jobs)

    def _ports(self, item: Any) -> None:
        """How each port waits."""
        pins, cover = item.fields, self.coverage
        if "rst" in pins:
            return
        for stream, clients in (("read_request", READERS), ("read_response", READERS), ("write_request", (0, 1)), ("write_data", (0, 1))):
            valid, ready = pins[f"{stream}_valid"], pins[f"{stream}_ready"]
            if valid == ready:
                continue
            for number, client in enumerate(clients):
                if (valid ^ ready) >> number & 1:
                    kind = "not ready" if valid >> number & 1 else "not valid"
                    if not cover.seen(waits := (stream, client, kind)):
                        cover.sample(waits=waits)

    def slices(self, inside: Inside, half: int, goes_on: bool) -> None:
        """One half of a job was computed: whether it goes on with sums and keeps its own, and has anything to add."""
        self.coverage.sample(keep=(half, goes_on, bool(inside.job.keep), bool(inside.values.any())))

    def computed(self, inside: Inside, half: int, sums: np.ndarray, clipped: np.ndarray) -> None:
        """One half of a job was computed: which cases it was."""
        job, values = inside.job, inside.values
        words, outputs = len(sums) // 4, inside.rules.requantise_rounded(sums, job.shift)
        used = np.count_nonzero(values)
        masks = tag_span(job, inside.method) is not None
        sample = self.coverage.sample
        sample(
            rule=(inside.method, job.load_relu, job.tags),
            kind=(job.has_bias, rectifier(job), job.store_tags),
            shift=job.shift,
            vector_words=job.vector_words,
            words=(half, words),
            rows="tight" if 8 * max(LEAST_ROW_WORDS, words) == 1 << job.pitch_log2 else "apart",
            density="zero" if not used else "full" if used == len(values) else "sparse" if 8 * used <= len(values) else "some",
            mask_skip=job.tag_address % 8 // 2 if masks and job.vector_words > STRETCH else None,
            piece_skip=(half, getattr(job, f"tag_destination{half}") % 8 // 2) if words and job.store_tags else None,
            tokens=(job.wait_tiles > 0, job.wait_vectors > 0),
        )
        for kind in ("least", "most"):
            if np.any(values == (VALUE_MIN if kind == "least" else VALUE_MAX)):
                sample(vector_value=kind)
        products = self._extreme_products(inside, half, words)
        for product in products:
            sample(product=product)
        for name in set(_outcomes(outputs, clipped, bool(job.relu))):
            sample(outcome=(half, rectifier(job), name))
        if job.shift:
            ties = outputs[(sums & ((1 << job.shift) - 1)) == 0]
            for value in {(int(one) & 1, int(one) < 0) for one in ties if VALUE_MIN < one < VALUE_MAX}:
                sample(tie=value)

    def _extreme_products(self, inside: Inside, half: int, words: int) -> list[tuple[str, str]]:
        """Of the values at an end of the range: with weights at which end they were multiplied."""
        ends = {VALUE_MIN: "least", VALUE_MAX: "most"}
        places = [place for place in np.flatnonzero(inside.values) if int(inside.values[place]) in ends] if words else []
        plane = getattr(inside.job, f"matrix_address{half}")
        found = []
        for place in places[:4]:
            row = inside.rows[half].read(plane + (int(place) << inside.job.pitch_log2), words).view("<i2")
            found += [(ends[int(inside.values[place])], ends[int(end)]) for end in ends if np.any(row == end)]
        return found


def rectifier(job: VectorEngineJob) -> str:
    """What follows the requantisation."""
    return RECTIFIERS[job.relu + job.clip]


def _outcomes(outputs: np.ndarray, clipped: np.ndarray, relu: bool) -> list[str]:
    """How each output came to be; with ReLU what is below the range counts as clipped low, too."""
    names = []
    for value, flag in zip(outputs.tolist(), clipped.tolist(), strict=True):
        if value == VALUE_MAX:
            names.append("clipped high" if flag else "most")
        elif value == VALUE_MIN:
            names.append("clipped low" if flag or relu else "least")
        else:
            names.append("inside")
    return names


def vector_coverage(parent: VectorEnvironment) -> Coverage:
    """What a complete run must have tried."""
    both = (0, 1)
    waits = [(stream, client, "not ready") for stream in ("read_request", "read_response") for client in READERS]
    waits += [("read_response", client, "not valid") for client in READERS]
    waits += [(stream, half, "not ready") for stream in ("write_request", "write_data") for half in both]
    points = {
        "rule": list(itertools.product(METHODS, both, both)),
        "kind": list(itertools.product(both, RECTIFIERS, both)),
        "shift": range(48),
        "vector_words": (1, 2, 15, 16, 17, 33),
        "words": list(itertools.product(both, (0, 1, 3, 4, 5, 15, 16, 17, 63, 64))),
        "rows": ("tight", "apart"),
        "density": ("zero", "sparse", "some", "full"),
        "mask_skip": range(4),
        "piece_skip": list(itertools.product(both, range(4))),
        "tokens": list(itertools.product((False, True), (False, True))),
        "vector_value": ("least", "most"),
        "product": list(itertools.product(("least", "most"), ("least", "most"))),
        "outcome": [(half, one, name) for half in both for one in RECTIFIERS for name in OUTCOMES if (one, name) not in NEVER],
        "tie": list(itertools.product(both, (False, True))),
        "keep": list(itertools.product(both, (False, True), (False, True), (False, True))),
        "in_flight": (1, 2, 3, 4),
        "waits": waits,
        "certain": ("active", "waiting_input", "waiting_output"),
    }
    return Coverage("coverage", parent, points)
