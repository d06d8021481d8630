# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of tile_loader.v: jobs, memory clients, tokens, monitor of a bank's contents, predictor, scoreboard."""

from __future__ import annotations

import dataclasses
import random
from collections import deque

import numpy as np
from cocotb.triggers import RisingEdge
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_monitor

from gradcore.hardware import TILE_ENTRIES
from gradcore.models import arithmetic
from gradcore.models.convolution.tile_loader import LoadedTile, TileJob, load_tile, of_half, tag_requests, value_requests
from gradcore.models.expectation import Checked
from gradcore.models.numbers import PassFormats
from tb.convolution.tile_loader.tile_loader_coverage import CLIENTS, sample_tile, tile_coverage, word_lists
from tb.support import watched
from tb.support.base import Predictor, UnitEnvironment
from tb.support.entry_writes import entry_writes, ways
from tb.support.read_client import WordMemory
from tb.support.read_clients import ReadClientsAgent
from tb.support.seeds import test_rng
from tb.support.uvm import CheckFailure, SeenItem, is_active, listen

MEMORY_WORDS = 1 << 17
PORTS = (
    "rst", "job_valid", "job_ready", "job", "tiles_stored", "vectors_done", "bank_free", "loaded", "bank", "busy",
    "entry_write", "count_write", "count_address", "count_data", "zeros_dropped",
)  # fmt: skip
STATES = ("active", "waiting_data", "waiting_bank")
IDLE_WHILE_ACTIVE = 4  # cycles: windows of which nothing is inside the buffer
PREPARED = 14  # cycles after which a job at the head, its tokens there, waits for its bank alone


def least_cycles(job: TileJob, tile: LoadedTile) -> int:
    """Cycles that a tile needs at best: of the busier half what its words take, or one for each count.

    A word takes a cycle for each two values, or one, that go to the same list, and one if it has none.
    """
    cycles = []
    for half in (0, 1):
        lists = word_lists(job, tile, half).values()
        words = len(range(half, job.source_rows, 2)) * job.source_columns * job.words_per_pixel
        cycles.append(words - len(lists) + sum((count + 1) // 2 for counts in lists for count in counts))
    return max(*cycles, len(tile.counts[0]) + len(tile.counts[1]))


def pipeline_cycles(job: TileJob) -> int:
    """Cycles at most that a tile needs beyond `least_cycles`, when tile follows tile and the counts do not hold up the words.

    Six from the job's start to `loaded`; two until the first piece of tags has become a block, two more where a block has
    three pieces; then the counts of the last pixel, one a cycle, those of the other half before them if both end at once.
    """
    counts = 4 if job.unpool else 1
    tags = (4 if job.unpool else 2) if job.tags else 0
    return 6 + tags + (counts - 1) + counts


class Host(uvm_component):
    """What surrounds the loader: tokens that go up to what the job waits for, and groups that finish tiles; ``slow``: late, at random."""

    slow = True

    def build_phase(self) -> None:
        self.rng = random.Random(random.getrandbits(32))
        self.tokens = {"tiles_stored": 0, "vectors_done": 0}
        self.wanted = [0, 0]  # by all jobs that were made
        self.restart()

    def restart(self) -> None:
        """The loader was reset: both banks are free."""
        self.accepted = self.loaded = self.computed = 0

    def start_of_simulation_phase(self) -> None:
        dut = self.get_parent().dut
        for name in ("bank_free", "method", *self.tokens):
            getattr(dut, name).value = 0

    async def run_phase(self) -> None:
        dut = self.get_parent().dut
        free = 0
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value):
                self.restart()
                continue
            self.accepted += int(dut.job_valid.value) and int(dut.job_ready.value)
            self.loaded += int(dut.loaded.value)
            if self.computed < self.loaded and (not self.slow or self.rng.random() < 0.02):
                self.computed += 1
            now = int(self.accepted - self.computed < 2)
            if now != free:
                free = dut.bank_free.value = now
            for (name, token), wanted in zip(self.tokens.items(), self.wanted, strict=True):
                if token < wanted and (not self.slow or self.rng.random() < 0.02):
                    self.tokens[name] += 1
                    getattr(dut, name).value = self.tokens[name]


class LoaderMonitor(uvm_monitor):
    """Publishes what is written until `loaded` as one item; checks the rules that hold in every cycle, activity classes among them."""

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self.cycle = 0
        self.finished_at: list[int] = []
        self.states: set[str] = set()
        self.token_seen: set[str] = set()
        self.ways: set[tuple[str, tuple]] = set()  # in which entries were seen written
        self._clear()
        self._restart()

    def _clear(self) -> None:
        self.entries: list[list[tuple[int, int]]] = [[], []]
        self.counts: list[tuple[int, int]] = []
        self.banks: set[int] = set()
        self.dropped = 0

    def _restart(self) -> None:
        self.open = 0  # jobs that were accepted and are not loaded
        self.job: TileJob | None = None  # the one at the head
        self.stood = self.token_cycles = 0  # cycles that it stands, and with its tokens there
        self.free = False  # its bank was free meanwhile
        self.had: dict[str, bool] = {}
        self.active_before = deque([0, 0, 0], 3)  # two cycles ago, one cycle ago, now
        self.counted_before = self.unseen = 0

    def fail(self, text: str) -> None:
        """A rule was broken."""
        raise CheckFailure(self, text)

    async def run_phase(self) -> None:
        dut = self.get_parent().dut
        ports = {name: getattr(dut, name) for name in (*PORTS, *STATES)}

        def number(name: str) -> int:
            try:
                return watched.number(ports[name])
            except ValueError:
                return self.fail(f"{name} is {watched.bits(ports[name])}")

        in_reset = True
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if number("rst"):
                if not in_reset:
                    self._clear()
                    self._restart()
                    self.analysis_port.write(SeenItem(rst=1))
                in_reset = True
                continue
            in_reset = False
            writes, counted, dropped, loaded = (number(name) for name in ("entry_write", "count_write", "zeros_dropped", "loaded"))
            if writes:
                halves = entry_writes(self, writes, str(dut.entry_row.value), str(dut.entry_data.value))
                self.ways |= ways(halves)
                for entries, new in zip(self.entries, halves, strict=True):
                    entries.extend(new)
                    if new and new[-1][0] == TILE_ENTRIES - 1:
                        self.ways.add(("last_entry", "alone" if len(new) == 1 else "with its neighbour"))
            if counted:
                self.counts.append((number("count_address"), number("count_data")))
            if writes or counted or loaded:
                self.banks.add(number("bank"))
            self.dropped += dropped
            self._check_head(number, loaded)
            self._check_work(writes or dropped, counted)
            self.open += bool(self.job and self.taken) - loaded
            if self.job and self.taken:
                self.job, self.stood, self.token_cycles, self.free, self.had = None, 0, 0, False, {}
            if loaded:
                if writes or counted:
                    self.fail("a write in the cycle of `loaded`")
                if len(self.banks) != 1:
                    self.fail(f"wrote banks {self.banks} in one job")
                self.finished_at.append(self.cycle)
                fields = {"entries": self.entries, "counts": self.counts, "dropped": self.dropped, "bank": self.banks.pop()}
                self.analysis_port.write(SeenItem(**fields))
                self._clear()

    def _check_head(self, number, loaded: int) -> None:
        """`busy`, and the classes: with a job exactly one of the three, without one none; it waits for the bank when for nothing else."""
        valid, states = number("job_valid"), [name for name in STATES if number(name)]
        busy, in_hand = number("busy"), bool(valid or self.open or loaded)
        if busy != in_hand:
            self.fail(f"busy is {busy} with {self.open} jobs in hand, job_valid {valid}, loaded {loaded}")
        if len(states) > 1 or (states and not busy) or (busy and not states and not loaded):
            self.fail(f"{states} with busy {busy}, loaded {loaded}: exactly one while a job is in hand")
        self.states |= {*states}
        self.active_before.append("active" in states)
        self.taken = bool(valid and number("job_ready"))
        if not valid:
            return
        if self.job is None:
            self.job = TileJob.unpack(number("job"))
        self.stood += 1
        job = self.job
        have = {"job": True, "tiles": number("tiles_stored") >= job.wait_tiles, "vectors": number("vectors_done") >= job.wait_vectors}
        tokens, free = have["tiles"] and have["vectors"], bool(number("bank_free"))
        self.token_cycles += tokens
        have["bank"] = self.free = self.free or (free and tokens)
        if all(have.values()):
            self.token_seen |= {name for name in have if not self.had.get(name)}
        self.had = have
        if "waiting_bank" in states and (free or not tokens or (self.open and not loaded)):
            self.fail(f"waits for its bank, but bank_free is {free}, tokens {tokens}, {self.open} jobs in hand")
        if self.stood > PREPARED and self.token_cycles > 2 and not self.free and not self.open and "waiting_bank" not in states:
            self.fail(f"waits for its bank alone, and says {states}")

    def _check_work(self, written: int, counted: int) -> None:
        """A half that was active two cycles ago has now written or dropped a value, or a cycle ago a count; or nothing was there."""
        before, just = self.active_before[0], self.active_before[1]
        if written and not before:
            self.fail("values were written or dropped, but it was not active two cycles before")
        if counted and not just:
            self.fail("a count was written, but it was not active the cycle before")
        self.unseen = self.unseen + 1 if before and not written and not self.counted_before else 0
        if self.unseen > IDLE_WHILE_ACTIVE:
            self.fail(f"active for {self.unseen} cycles in which nothing was written or dropped")
        self.counted_before = counted


class LoaderAgent(uvm_agent):
    """Tokens, bank and what is written: the monitor, and while active the host that moves the tokens."""

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.get_parent().dut
        self.monitor = LoaderMonitor("monitor", self)
        if self.active():
            self.host = Host("host", self)


class TilePredictor(Predictor):
    """Requests, entries and counts of each job that the loader takes, from the words that its clients were seen to read."""

    def build_phase(self) -> None:
        self.rules = Checked(PassFormats.of_fractions(source=9, weights=12, result=8), rng=test_rng())
        self.restart()
        self.cycles: list[tuple[int, int]] = []  # of the loaded jobs, in order: at best, and what may come on top
        self.overlap: set[str] = set()

    def restart(self) -> None:
        """The loader was reset."""
        self.jobs: deque[tuple[TileJob, str]] = deque()
        self.words: list[deque[tuple[int, int, tuple[int, ...]]]] = [deque() for _ in CLIENTS]
        self.requests_left = self.number = 0

    def method(self) -> str:
        """The method that the pins say."""
        return arithmetic.METHODS[int(self.get_parent().dut.method.value)]

    def request(self, item: SeenItem) -> None:
        """A request; with a job's first one, which goes out through client 0, its tokens must be there, and its bank free."""
        fields = item.fields
        scoreboard, monitor = self.get_parent().scoreboard, self.get_parent().loader.monitor
        scoreboard.actual(CLIENTS[fields["client"]], {name: fields[name] for name in ("address", "words")})
        if fields["client"]:
            return
        if not self.requests_left:
            job = monitor.job
            if job is None or not monitor.free or not monitor.token_cycles:
                text = f"bank free {monitor.free}, tokens there for {monitor.token_cycles} cycles"
                raise CheckFailure(self, f"the first request of a job that may not start: {text}: {job}")
            self.requests_left = len(of_half(value_requests(job), 0))
            self.overlap.add("overlaps" if monitor.open else "alone")
        self.requests_left -= 1

    def read(self, item: SeenItem) -> None:
        """A request whose words were all taken."""
        self.words[item.fields["client"]].append((item.fields["address"], item.fields["words"], item.fields["data"]))

    def job(self, fields: dict[str, int]) -> None:
        """The loader has requested a job's rows."""
        job, method = TileJob.unpack(fields["job"]), self.method()
        self.jobs.append((job, method))
        for half in (0, 1):
            for request in of_half(value_requests(job), half):
                self.expect(CLIENTS[2 * half], dataclasses.asdict(request))
            for request in of_half(tag_requests(job, method), half):
                self.expect(CLIENTS[2 * half + 1], dataclasses.asdict(request))
        planned = self.get_parent().scoreboard.planned
        planned["job"] = planned.get("job", 0) + 1

    def loaded(self, fields: dict) -> None:
        """A tile is loaded: everything that was written, in order of the addresses (an address written twice shows up twice)."""
        if "rst" in fields:
            scoreboard = self.get_parent().scoreboard
            scoreboard.forget()
            scoreboard.planned["job"] = scoreboard.seen["job"]
            self.restart()
            return
        assert self.jobs, "`loaded`, but no job was taken"
        job, method = self.jobs.popleft()
        requests = [of_half(rows, half) for half in (0, 1) for rows in (value_requests(job), tag_requests(job, method))]
        content = {}
        for client, (words, asked) in enumerate(zip(self.words, requests, strict=True)):
            assert len(words) >= len(asked), f"{CLIENTS[client]}: {len(words)} of {len(asked)} requests of the job were answered"
            content |= {(address, count): data for address, count, data in (words.popleft() for _ in asked)}

        def read(address: int, count: int) -> np.ndarray:
            assert (address, count) in content, f"{count} words at {address:#x} were not read"
            return np.array(content[address, count], dtype=np.uint64)

        tile = self.tile(job, method, read)
        self.cycles.append((least_cycles(job, tile), pipeline_cycles(job)))
        scoreboard = self.get_parent().scoreboard
        place = f"job {self.number}, {method}"
        for half in (0, 1):
            for address, (channel, value) in sorted(tile.entries[half].items()):
                row, rest = divmod(address, job.row_entries)
                where = f"{place}, row {row}, column {rest // job.slot}, channel {channel}"
                word = {"address": address, "channel": channel, "value": value}
                self.expect(f"entry{half}", word, where, {"value": self.rules.formats.source})
            for address, data in sorted(fields["entries"][half]):
                value = (data & 0xFFFF) - ((data & 0x8000) << 1)
                scoreboard.actual(f"entry{half}", {"address": address, "channel": data >> 16, "value": value})
        for address, count in sorted((tile.counts[0] | tile.counts[1]).items()):
            self.expect("count", {"address": address, "count": count}, place)
        for address, count in sorted(fields["counts"]):
            scoreboard.actual("count", {"address": address, "count": count})
        sizes = [len(tile.entries[0]), len(tile.entries[1]), len(tile.counts[0]) + len(tile.counts[1])]
        self.expect(
            "job", dict(zip(("entries0", "entries1", "counts"), sizes, strict=True)) | {"bank": self.number % 2, "dropped": tile.dropped}
        )
        sizes = [len(fields["entries"][0]), len(fields["entries"][1]), len(fields["counts"])]
        got = {name: fields[name] for name in ("bank", "dropped")}
        scoreboard.actual("job", dict(zip(("entries0", "entries1", "counts"), sizes, strict=True)) | got)
        self.number += 1
        sample_tile(self.get_parent().coverage, job, method, tile, read)

    def tile(self, job: TileJob, method: str, read) -> LoadedTile:
        """What the job writes."""
        return load_tile(job, method, read, rules=self.rules)


class TileLoaderEnvironment(UnitEnvironment):
    """Jobs, four read clients, tokens and banks, predictor, coverage. While active ``memory`` answers the clients."""

    def build_phase(self) -> None:
        super().build_phase()
        for stream in (*CLIENTS, "entry0", "entry1", "count", "job"):
            self.scoreboard.add_stream(stream)
        self.job = self.source("job", {"job": self.dut.job})
        self.reads = ReadClientsAgent("reads", self, self.dut, len(CLIENTS))
        if is_active(self):
            rng = np.random.default_rng(random.getrandbits(32))
            base = int(rng.integers((1 << 32) - 8 * MEMORY_WORDS)) & ~7
            self.reads.memory = self.memory = WordMemory(base, MEMORY_WORDS, rng)
        self.loader = LoaderAgent("loader", self)
        self.predictor = TilePredictor.create("predictor", self)
        self.coverage = tile_coverage(self)

    def connect_phase(self) -> None:
        self.predictor.hear(self.job, self.predictor.job)
        self.predictor.hear(self.loader, self.predictor.loaded)
        listen(self.reads.requests, self.predictor, self.predictor.request)
        listen(self.reads.reads, self.predictor, self.predictor.read)

    @property
    def quiet(self) -> bool:
        """True when no job is in hand."""
        return not self.predictor.jobs and not self.loader.monitor.open and self.loader.monitor.job is None

    def extract_phase(self) -> None:
        monitor = self.loader.monitor
        for point, bins in (("activity", monitor.states), ("last_token", monitor.token_seen), ("start", self.predictor.overlap)):
            for one in bins:
                self.coverage.sample(**{point: one})
        for client, port, kind in self.reads.moves:
            self.coverage.sample(moves=(CLIENTS[client], port, kind))
        for point, way in monitor.ways:
            self.coverage.sample(**{point: way})

    def check_phase(self) -> None:
        if not self.reads.idle:
            raise CheckFailure(self, "words that were read have not been taken")
