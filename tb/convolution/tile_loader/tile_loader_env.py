# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of tile_loader.v: job agent, memory clients, monitor of a bank's contents, predictor, scoreboard."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pyuvm import uvm_analysis_port, uvm_component, uvm_env, uvm_monitor

from gradcore.models import arithmetic
from gradcore.models.convolution.tile_loader import LoadedTile, TileJob, load_tile, tag_requests, value_requests
from tb.support.read_client import ReadClient, WordMemory
from tb.support.stalls import stall_pattern
from tb.support.streams import Item, wait_until
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, SourceAgent, StreamItem, StreamPort
from tb.support.vectors import Client, job_fields

CLIENTS = ("value0", "tag0", "value1", "tag1")
MEMORY_WORDS = 1 << 17
CYCLE_LIMIT = 50_000  # for a batch of jobs


def least_cycles(job: TileJob, tile: LoadedTile) -> int:
    """Cycles that a tile needs at best: of the busier half max(1, non-zeros) for each word, or one for each count."""
    scale = 2 if job.unpool else 1
    cycles = []
    for half in (0, 1):
        picks: Counter[tuple[int, int, int]] = Counter()
        for address, (channel, _) in tile.entries[half].items():
            row, rest = divmod(address, job.row_entries)
            column = rest // job.slot
            source = ((row + job.unpool * job.crop_row) // scale, (column + job.unpool * job.crop_column) // scale)
            picks[*source, channel // 4] += 1
        words = len(range(half, job.source_rows, 2)) * job.source_columns * job.words_per_pixel
        cycles.append(words + sum(count - 1 for count in picks.values()))
    return max(*cycles, len(tile.counts[0]) + len(tile.counts[1]))


class Host(uvm_component):
    """What surrounds the loader: tokens that go up at random, and groups that finish tiles after they are loaded."""

    def __init__(self, name: str, parent: uvm_component, slow: bool) -> None:
        super().__init__(name, parent)
        self.slow = slow

    def build_phase(self) -> None:
        self.rng = random.Random(random.getrandbits(32))
        self.accepted = self.loaded = self.computed = 0
        self.tokens = {"tiles_stored": 0, "vectors_done": 0}
        self.targets = dict(self.tokens)
        self.progress = dict.fromkeys(self.tokens, 0.0)

    def start_of_simulation_phase(self) -> None:
        dut = cocotb.top
        dut.bank_free.value = 0
        dut.method.value = 0
        for name in self.tokens:
            getattr(dut, name).value = 0

    async def run_phase(self) -> None:
        dut = cocotb.top
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value):
                continue
            self.accepted += int(dut.job_valid.value) & int(dut.job_ready.value)
            self.loaded += int(dut.loaded.value)
            if self.computed < self.loaded and (not self.slow or self.rng.random() < 0.02):
                self.computed += 1
            dut.bank_free.value = int(self.accepted - self.computed < 2)
            for name, target in self.targets.items():
                if self.tokens[name] < target and (not self.slow or self.rng.random() < 0.02):
                    self.tokens[name] += 1
                    getattr(dut, name).value = self.tokens[name]


class BankMonitor(uvm_monitor):
    """Collects what is written until `loaded`, publishes it as one item; checks the rules that hold in every cycle."""

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self.cycle = 0
        self.events: Counter[str] = Counter()
        self.finished_at: list[int] = []

    async def run_phase(self) -> None:
        dut = cocotb.top
        self.halves = [Client(dut, half, 2) for half in (0, 1)]
        self._clear()
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if int(dut.rst.value):
                continue
            bank = int(dut.bank.value)
            writes = 0
            for half, entries in enumerate(self.entries):
                port = self.halves[half]
                if int(port.entry_write.value):
                    entries.append((int(port.entry_address.value), int(port.entry_data.value)))
                    writes += 1
            if int(dut.count_write.value):
                self.counts.append((int(dut.count_address.value), int(dut.count_data.value)))
                writes += 1
            if writes:
                self.banks.add(bank)
            self.dropped += int(dut.zeros_dropped.value)
            loaded = int(dut.loaded.value)
            self._check_events(dut, loaded)
            if loaded:
                assert not writes, "a write in the cycle of `loaded`"
                assert self.banks <= {bank}, f"wrote banks {self.banks} in a job of bank {bank}"
                self.finished_at.append(self.cycle)
                self.analysis_port.write(StreamItem(entries=self.entries, counts=self.counts, dropped=self.dropped, bank=bank))
                self._clear()

    def _clear(self) -> None:
        self.entries: list[list[tuple[int, int]]] = [[], []]
        self.counts: list[tuple[int, int]] = []
        self.banks: set[int] = set()
        self.dropped = 0

    def _check_events(self, dut, loaded: int) -> None:
        """With a job exactly one of the three states; without one, none."""
        names = ("active", "waiting_data", "waiting_bank")
        states = [name for name in names if int(getattr(dut, name).value)]
        assert len(states) <= 1, f"{states} at once"
        busy = int(dut.busy.value)
        assert busy or not states and not int(dut.job_valid.value)
        assert states or not busy or loaded
        self.events.update(states)


class TileLoaderEnv(uvm_env):
    """``slow_host``: tokens and banks come late. ``latency``: of the memory clients."""

    slow_host = True
    latency = 0
    memory_stalls = "none"

    def build_phase(self) -> None:
        dut = cocotb.top
        rng = np.random.default_rng(random.getrandbits(32))
        base = int(rng.integers((1 << 32) - 8 * MEMORY_WORDS)) & ~7
        self.memory = WordMemory(base, MEMORY_WORDS, rng)
        self.jobs = SourceAgent(
            "jobs",
            self,
            StreamPort(dut.clk, dut.job_valid, dut.job_ready, job_fields(dut.job, TileJob), rst=dut.rst),
        )
        self.monitor = BankMonitor("monitor", self)
        self.host = Host("host", self, self.slow_host)
        self.scoreboard = Scoreboard("scoreboard", self)
        self.predictor = CallbackSubscriber("predictor", self, self._predict)
        self.collector = CallbackSubscriber("collector", self, self._collect)
        self.method = arithmetic.METHODS[0]
        self.waits: list[dict[str, int]] = []  # tokens of the jobs, in order
        self.requests_started = 0
        self.half0_rows_left = 0
        self.half0_rows: list[int] = []
        self.sent = 0
        self.least_cycles: list[int] = []  # of the jobs, in order

    def connect_phase(self) -> None:
        self.jobs.monitor.analysis_port.connect(self.predictor.analysis_export)
        self.monitor.analysis_port.connect(self.collector.analysis_export)

    def start_of_simulation_phase(self) -> None:
        self.clients = {
            name: ReadClient(
                Client(cocotb.top, number, len(CLIENTS)),
                "read",
                self.memory,
                latency=self.latency,
                request_stalls=self.memory_stalls,
                response_stalls=self.memory_stalls,
            )
            for number, name in enumerate(CLIENTS)
        }
        for name, client in self.clients.items():
            client.requests_sink.callbacks.append(self._request_seen(name))

    def set_stalls(self, kind: str) -> None:
        """Change the stall pattern of all memory ports."""
        for client in self.clients.values():
            client.response.stalls = stall_pattern(kind, random.Random(random.getrandbits(32)))
            client.requests_sink.stalls = stall_pattern(kind, random.Random(random.getrandbits(32)))

    async def idle(self) -> None:
        """Wait until the loader has nothing to do."""
        await wait_until(
            cocotb.top.clk,
            lambda: self.host.loaded == self.sent and not int(cocotb.top.busy.value),
            CYCLE_LIMIT,
            "end of the jobs",
        )

    async def run_jobs(self, jobs: list[TileJob], method: str) -> None:
        """Run jobs with a method and wait until they are loaded."""
        self.method = method
        cocotb.top.method.value = arithmetic.METHODS.index(method)
        for job in jobs:
            self.waits.append({"tiles_stored": job.wait_tiles, "vectors_done": job.wait_vectors})
            self.half0_rows.append((job.source_rows + 1) // 2)
            for name, needed in self.waits[-1].items():
                self.host.targets[name] = max(self.host.targets[name], needed)
        self.sent += len(jobs)
        await self.jobs.send([dataclasses.asdict(job) for job in jobs])
        await self.idle()

    def _request_seen(self, name: str):
        """Compares requests; on port 0 also checks that tokens and bank were there when a job's first one went out."""

        def seen(fields: Item) -> None:
            self.scoreboard.actual(name, fields)
            if name != "value0":
                return
            if not self.half0_rows_left:
                job = self.requests_started
                self.half0_rows_left = self.half0_rows[job]
                self.requests_started += 1
                for token, needed in self.waits[job].items():
                    assert self.host.tokens[token] >= needed, f"job {job} started before {token} was {needed}"
                assert self.host.computed >= job - 1, f"job {job} started while its bank was in use"
            self.half0_rows_left -= 1

        return seen

    def _predict(self, fields: Item) -> None:
        """Golden model, fed with the job that the monitor saw."""
        job = TileJob(**fields)
        tile = load_tile(job, self.method, self.memory.read)
        self.least_cycles.append(least_cycles(job, tile))
        for half in (0, 1):
            for request in value_requests(job, half):
                self.scoreboard.expect(f"value{half}", dataclasses.asdict(request))
            for request in tag_requests(job, half, self.method):
                self.scoreboard.expect(f"tag{half}", dataclasses.asdict(request))
            for address, (channel, value) in sorted(tile.entries[half].items()):
                self.scoreboard.expect(f"entry{half}", {"address": address, "data": channel << 16 | value & 0xFFFF})
        for address, count in sorted((tile.counts[0] | tile.counts[1]).items()):
            self.scoreboard.expect("count", {"address": address, "count": count})
        self.scoreboard.expect(
            "job",
            {
                "bank": self.scoreboard.planned.get("job", 0) % 2,
                "entries0": len(tile.entries[0]),
                "entries1": len(tile.entries[1]),
                "counts": len(tile.counts[0]) + len(tile.counts[1]),
                "dropped": tile.dropped,
            },
        )
        self.scoreboard.planned["job"] = self.scoreboard.planned.get("job", 0) + 1

    def _collect(self, fields: dict) -> None:
        """A loaded tile: its writes, sorted by address (an address written twice shows up twice)."""
        for half, entries in enumerate(fields["entries"]):
            for address, data in sorted(entries):
                self.scoreboard.actual(f"entry{half}", {"address": address, "data": data})
        for address, count in sorted(fields["counts"]):
            self.scoreboard.actual("count", {"address": address, "count": count})
        self.scoreboard.actual(
            "job",
            {
                "bank": fields["bank"],
                "entries0": len(fields["entries"][0]),
                "entries1": len(fields["entries"][1]),
                "counts": len(fields["counts"]),
                "dropped": fields["dropped"],
            },
        )

    def check_phase(self) -> None:
        for name, client in self.clients.items():
            assert client.idle, f"{name}: words that were read have not been taken"


def tile_coverage(parent: uvm_component) -> Coverage:
    """What the random test must have tried."""
    return Coverage(
        "coverage",
        parent,
        {
            "method": arithmetic.METHODS,
            "stalls": ("none", "three_of_four", "random"),
            "unpool": (0, 1),
            "relu": (0, 1),
            "crop": ((0, 0), (0, 1), (1, 0), (1, 1)),
            "skip": (0, 1, 2, 3),
            "density": (0.0, 0.1, 0.5, 1.0),
            "words": (1, 2, 3, 4, 5, 8, 9),
            "odd_rows": (0, 1),
        },
        {"rule": ("method", "unpool", "relu")},
    )
