# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of weight_loader.v: jobs, both memory clients, the token, monitor of the writes, predictor, scoreboard."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterable

import numpy as np
from cocotb.triggers import RisingEdge
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_monitor

from gradcore.hardware import LANES
from gradcore.models.convolution.weight_loader import InitialValue, WeightRow, load_weights, requests
from gradcore.models.jobs import WeightLoaderJob
from gradcore.models.numbers import value_format
from tb.support import watched
from tb.support.base import FlowCoverage, Predictor, UnitEnvironment
from tb.support.read_client import WordMemory
from tb.support.read_clients import ReadClientsAgent
from tb.support.uvm import CheckFailure, Coverage, SeenItem, is_active, listen

MEMORY_WORDS = 1 << 16
WIDEST = 1 << 47  # an initial accumulator lies below it
PORTS = (
    "rst", "job_valid", "job_ready", "job", "tiles_computed", "busy", "loaded",
    "weight_write", "weight_address", "weight_data", "initial_write", "initial_address", "initial_data",
)  # fmt: skip


class Host(uvm_component):
    """Raises ``tiles_computed`` to ``wanted``, the token of the jobs that were made; ``slow``: late, at random."""

    slow = True

    def build_phase(self) -> None:
        self.rng = random.Random(random.getrandbits(32))
        self.computed = self.wanted = 0

    def start_of_simulation_phase(self) -> None:
        self.get_parent().dut.tiles_computed.value = 0

    async def run_phase(self) -> None:
        dut = self.get_parent().dut
        while True:
            await RisingEdge(dut.clk)
            if self.computed < self.wanted and (not self.slow or self.rng.random() < 0.03):
                self.computed += 1
                dut.tiles_computed.value = self.computed


class WriteMonitor(uvm_monitor):
    """Publishes what a job has written when it is `loaded`; checks the rules that hold in every cycle."""

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self.cycle = 0
        self.finished_at: list[int] = []
        self.last_token: set[str] = set()
        self._restart()

    def _restart(self) -> None:
        self.jobs: deque[WeightLoaderJob] = deque()  # accepted and not loaded; with the one on the port where that is written already
        self.job: WeightLoaderJob | None = None  # on the port
        self.had = {"job": False, "tiles computed": False}
        self._clear()

    def _clear(self) -> None:
        self.rows: list[dict[str, int]] = []
        self.initial: list[dict[str, int]] = []

    async def run_phase(self) -> None:
        dut = self.get_parent().dut
        ports = {name: getattr(dut, name) for name in PORTS}

        def number(name: str) -> int:
            try:
                return watched.number(ports[name])
            except ValueError as error:
                raise CheckFailure(self, f"{name} is {watched.bits(ports[name])}") from error

        in_reset = True
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if number("rst"):
                if not in_reset:
                    self._restart()
                    self.analysis_port.write(SeenItem(rst=1))
                in_reset = True
                continue
            in_reset = False
            groups, initial_groups, loaded = (number(name) for name in ("weight_write", "initial_write", "loaded"))
            valid = number("job_valid")
            if valid and self.job is None:
                self.job = WeightLoaderJob.unpack(number("job"))
            busy, in_hand = number("busy"), bool(valid or self.jobs or loaded)
            if busy != in_hand:
                raise CheckFailure(self, f"busy is {busy} with {len(self.jobs)} jobs in hand, job_valid {valid}, loaded {loaded}")
            self._check_token(number, groups or initial_groups)
            if groups:
                self.rows.append({"groups": groups, "address": number("weight_address"), "data": number("weight_data")})
            if initial_groups:
                bank, lane = divmod(number("initial_address"), LANES)
                self.initial.append({"groups": initial_groups, "lane": lane, "bank": bank, "data": number("initial_data")})
            if loaded:
                if groups or initial_groups:
                    raise CheckFailure(self, "a write in the cycle of `loaded`")
                if not self.jobs:
                    raise CheckFailure(self, "`loaded`, but no job was taken")
                self.jobs.popleft()
                self.finished_at.append(self.cycle)
                self.analysis_port.write(SeenItem(rows=self.rows, initial=self.initial))
                self._clear()
            if valid and number("job_ready"):
                self.jobs.append(self.job)
                self.job = None

    def _check_token(self, number, writes: int) -> None:
        """No job writes before its token is there; which came last, the job or its token?"""
        if self.job is not None:
            have = {"job": True, "tiles computed": number("tiles_computed") >= self.job.wait_computed}
            if all(have.values()):
                self.last_token |= {name for name in have if not self.had[name]}
            self.had = have
        else:
            self.had = {"job": False, "tiles computed": False}
        if writes and not self.rows and not self.initial:
            job = self.jobs[0] if self.jobs else self.job
            if job is None or number("tiles_computed") < job.wait_computed:
                raise CheckFailure(self, f"wrote before tiles_computed was there: {number('tiles_computed')}, {job}")


class WritesAgent(uvm_agent):
    """What is written, and the token: the monitor, and while active the host that moves the token."""

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.get_parent().dut
        self.monitor = WriteMonitor("monitor", self)
        if self.active():
            self.host = Host("host", self)


class WeightPredictor(Predictor):
    """Requests and writes of each job that the loader takes, from the words that its clients were seen to read."""

    def build_phase(self) -> None:
        self.restart()
        self.start: set[str] = set()

    def restart(self) -> None:
        """The loader was reset."""
        self.jobs: deque[WeightLoaderJob] = deque()
        self.words: list[deque[tuple[int, int, tuple[int, ...]]]] = [deque(), deque()]
        self.number = 0

    def request(self, item: SeenItem) -> None:
        """A request."""
        fields = item.fields
        self.start.add("overlaps" if self.get_parent().writes.monitor.jobs else "alone")
        self.get_parent().scoreboard.actual(f"request{fields['client']}", {name: fields[name] for name in ("address", "words")})

    def read(self, item: SeenItem) -> None:
        """A request whose words were all taken."""
        self.words[item.fields["client"]].append((item.fields["address"], item.fields["words"], item.fields["data"]))

    def job(self, fields: dict[str, int]) -> None:
        """The loader has taken a job."""
        job = WeightLoaderJob.unpack(fields["job"])
        self.jobs.append(job)
        for port in (0, 1):
            for address, words in requests(job, port):
                self.expect(f"request{port}", {"address": address, "words": words})
        planned = self.get_parent().scoreboard.planned
        planned["loaded"] = planned.get("loaded", 0) + 1

    def loaded(self, fields: dict) -> None:
        """A job is loaded: its rows in order, and its initial accumulators, which come in any order."""
        scoreboard = self.get_parent().scoreboard
        if "rst" in fields:
            scoreboard.forget()
            scoreboard.planned["loaded"] = scoreboard.seen["loaded"]
            self.restart()
            return
        job = self.jobs.popleft()
        content = {}
        for port in (0, 1):
            asked, words = requests(job, port), self.words[port]
            assert len(words) >= len(asked), f"port {port}: {len(words)} of {len(asked)} requests of the job were answered"
            content |= {(address, count): data for address, count, data in (words.popleft() for _ in asked)}

        def read(address: int, count: int) -> np.ndarray:
            assert (address, count) in content, f"{count} words at {address:#x} were not read"
            return np.array(content[address, count], dtype=np.uint64)

        groups, depth = self.get_parent().sizes
        rows, initial = load_weights(job, groups, depth, read)
        rows = self.rows(rows)
        for number, row in enumerate(rows):
            data = int.from_bytes(np.array(row.weights, dtype="<i2").tobytes(), "little")
            where = f"job {self.number}, block {number // job.rows}, row {number % job.rows}, lanes 0 to 15"
            self.expect("row", {"groups": row.groups, "address": row.address, "data": data}, where, {"data": value_format(0)})
        for lane in sorted(initial, key=lambda lane: (lane.groups, lane.lane)):
            data = lane.value & ((1 << 48) - 1)
            where = f"job {self.number}, groups {lane.groups:b}, lane {lane.lane}"
            self.expect("initial", {"groups": lane.groups, "lane": lane.lane, "bank": lane.bank, "data": data}, where)
        self.expect("loaded", {"job": self.number, "rows": len(rows), "initial": len(initial)})
        for row in fields["rows"]:
            scoreboard.actual("row", row)
        for lane in sorted(fields["initial"], key=lambda item: (item["groups"], item["lane"])):
            scoreboard.actual("initial", lane)
        scoreboard.actual("loaded", {"job": self.number, "rows": len(fields["rows"]), "initial": len(fields["initial"])})
        self.number += 1
        self.sample(job, rows, initial, groups, depth)

    def rows(self, rows: Iterable[WeightRow]) -> list[WeightRow]:
        """Rows that are written: those that some group takes."""
        return [row for row in rows if row.groups]

    def sample(self, job: WeightLoaderJob, rows: list[WeightRow], initial: list[InitialValue], groups: int, depth: int) -> None:
        """Which cases a job was."""
        first, end = job.weight_base % depth, job.weight_base % depth + job.rows
        coverage = self.get_parent().coverage
        coverage.sample(
            blocks=job.blocks,
            bank=job.bias_bank,
            place="wraps" if end > depth else "to the last row" if end == depth else "from row 0" if not first else "inside",
            rows={1: "one", 2: "two", depth - 1: "all but one", depth: "all"}.get(job.rows, "some"),
            copies="all groups" if groups % job.blocks == 0 else "some groups",
            diagonal=job.diagonal,
        )
        weights = np.array([row.weights for row in rows])
        values = np.array([lane.value for lane in initial])
        for one in (-32768, 32767):
            coverage.sample(weight=one if (weights == one).any() else None)
        for name, hit in (("least", values == -WIDEST), ("most", values == WIDEST - 1), ("zero", values == 0)):
            coverage.sample(initial=name if hit.any() else None)


class WeightLoaderEnvironment(UnitEnvironment):
    """Jobs, both clients, what is written, predictor, coverage. While active ``memory`` answers the clients."""

    def build_phase(self) -> None:
        super().build_phase()
        self.sizes = self.parameter("GROUPS"), self.parameter("WEIGHT_DEPTH")
        for stream in ("request0", "request1", "row", "initial", "loaded"):
            self.scoreboard.add_stream(stream)
        self.job = self.source("job", {"job": self.dut.job})
        self.reads = ReadClientsAgent("reads", self, self.dut, 2)
        if is_active(self):
            rng = np.random.default_rng(random.getrandbits(32))
            self.reads.memory = self.memory = WordMemory(int(rng.integers((1 << 32) - 8 * MEMORY_WORDS)) & ~7, MEMORY_WORDS, rng)
        self.writes = WritesAgent("writes", self)
        self.predictor = WeightPredictor.create("predictor", self)
        groups, depth = self.sizes
        blocks = range(1, min(groups, 7) + 1)
        kinds = ("back_to_back", "gap", "waited")
        moves = list(itertools.product((0, 1), ("request", "response"), kinds))
        if groups == 1:  # a job has one request then, and the next one's comes later
            moves = [move for move in moves if move[1:] != ("request", "back_to_back")]
        points = {
            "blocks": blocks,
            "bank": (0, 1),
            "place": ("from row 0", "inside", "to the last row", "wraps"),
            "rows": ("one", "two", "some", "all but one", "all"),
            "copies": sorted({"all groups" if groups % count == 0 else "some groups" for count in blocks}),
            "weight": (-32768, 32767),
            "initial": ("least", "most", "zero"),
            "diagonal": (0, 1),
            "last_token": ("job", "tiles computed"),
            "start": ("alone", "overlaps"),
            "moves": moves,
        }
        self.coverage = Coverage(
            "coverage", self, points, {"bank_of_blocks": ("blocks", "bank"), "diagonal_of_place": ("diagonal", "place")}
        )
        self.flow = FlowCoverage("flow", self, {"job": self.job})

    def connect_phase(self) -> None:
        self.predictor.hear(self.job, self.predictor.job)
        self.predictor.hear(self.writes, self.predictor.loaded)
        listen(self.reads.requests, self.predictor, self.predictor.request)
        listen(self.reads.reads, self.predictor, self.predictor.read)

    @property
    def quiet(self) -> bool:
        """True when no job is in hand."""
        return not self.predictor.jobs and not self.writes.monitor.jobs and self.writes.monitor.job is None

    def extract_phase(self) -> None:
        for point, bins in (("last_token", self.writes.monitor.last_token), ("start", self.predictor.start), ("moves", self.reads.moves)):
            for one in bins:
                self.coverage.sample(**{point: one})

    def check_phase(self) -> None:
        if not self.reads.idle:
            raise CheckFailure(self, "words that were read have not been taken")
