# SPDX-License-Identifier: Apache-2.0
"""pyuvm bench of weight_loader.v: every weight row and initial accumulator against models/convolution/weight_loader.py."""

from __future__ import annotations

import dataclasses
import itertools
import random

import cocotb
import numpy as np
import pyuvm
from cocotb.triggers import ClockCycles, RisingEdge
from pyuvm import uvm_analysis_port, uvm_env, uvm_monitor, uvm_test

from gradcore.hardware import LANES
from gradcore.models.convolution.weight_loader import load_weights, requests
from gradcore.models.jobs import WeightLoaderJob
from tb.support.declaration import parameter
from tb.support.read_client import ReadClient, WordMemory
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import Item, start_clock_and_reset, wait_until
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, SourceAgent, StreamItem, StreamPort
from tb.support.vectors import Client, job_fields

GROUPS = parameter("GROUPS")
DEPTH = parameter("WEIGHT_DEPTH")
LATENCY = 32
MEMORY_WORDS = 1 << 16
CYCLE_LIMIT = 50_000  # for a batch of jobs
EXTREMES = np.array([-32768, -1, 0, 1, 32767])
INITIAL_LIMIT = 1 << 47


def make_job(rows: int, blocks: int, memory: WordMemory, rng: np.random.Generator, **fields: int) -> WeightLoaderJob:
    """Lay out two planes in memory: weights and 48-bit initial accumulators, extremes of both ranges among them."""
    addresses = []
    for _ in range(2):
        plane = []
        for _ in range(blocks):
            weights = rng.integers(-32768, 32768, rows * LANES // 2)
            weights = np.where(rng.random(weights.size) < 0.1, rng.choice(EXTREMES, weights.size), weights)
            initial = rng.integers(-INITIAL_LIMIT, INITIAL_LIMIT, LANES // 2)
            initial[:2] = rng.choice([-INITIAL_LIMIT, INITIAL_LIMIT - 1, -1, 0], 2)
            plane += [weights.astype("<i2").view("<u8"), initial.view("<u8")]
        addresses.append(memory.allocate(np.concatenate(plane)))
    return WeightLoaderJob(address0=addresses[0], address1=addresses[1], rows=rows, blocks=blocks, **fields)


class WriteMonitor(uvm_monitor):
    """Publishes rows, initial accumulators and `loaded` in the order seen; counts the cycles."""

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self.cycle = 0
        self.finished_at: list[int] = []

    async def run_phase(self) -> None:
        dut = cocotb.top
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if int(dut.rst.value):
                continue
            groups, initial_groups, loaded = (int(signal.value) for signal in (dut.weight_write, dut.initial_write, dut.loaded))
            if groups:
                item = {"address": int(dut.weight_address.value), "data": int(dut.weight_data.value)}
                self.analysis_port.write(StreamItem(stream="row", groups=groups, **item))
            if initial_groups:
                bank, lane = divmod(int(dut.initial_address.value), LANES)
                item = {"lane": lane, "bank": bank, "data": int(dut.initial_data.value)}
                self.analysis_port.write(StreamItem(stream="initial", groups=initial_groups, **item))
            if loaded:
                assert not groups and not initial_groups, "a write in the cycle of `loaded`"
                assert int(dut.busy.value), "loaded but not busy"
                self.finished_at.append(self.cycle)
                self.analysis_port.write(StreamItem(stream="loaded", job=len(self.finished_at)))


class WeightLoaderEnv(uvm_env):
    """Job agent, two memory clients, monitor, predictor and scoreboard; tokens rise at random when ``slow_tokens``."""

    slow_tokens = True
    latency = 0

    def build_phase(self) -> None:
        dut = cocotb.top
        rng = np.random.default_rng(random.getrandbits(32))
        self.memory = WordMemory(int(rng.integers((1 << 32) - 8 * MEMORY_WORDS)) & ~7, MEMORY_WORDS, rng)
        self.jobs = SourceAgent(
            "jobs",
            self,
            StreamPort(dut.clk, dut.job_valid, dut.job_ready, job_fields(dut.job, WeightLoaderJob), rst=dut.rst),
        )
        self.monitor = WriteMonitor("monitor", self)
        self.scoreboard = Scoreboard("scoreboard", self)
        self.predictor = CallbackSubscriber("predictor", self, self._predict)
        self.collector = CallbackSubscriber("collector", self, self._collect)
        self.accepted = 0
        self.writes_seen = 0
        self.waits: list[int] = []
        self.computed = 0

    def connect_phase(self) -> None:
        self.jobs.monitor.analysis_port.connect(self.predictor.analysis_export)
        self.monitor.analysis_port.connect(self.collector.analysis_export)

    def start_of_simulation_phase(self) -> None:
        cocotb.top.tiles_computed.value = 0
        self.clients = [ReadClient(Client(cocotb.top, port, 2), "read", self.memory, latency=self.latency) for port in (0, 1)]
        for port, client in enumerate(self.clients):
            client.requests_sink.callbacks.append(lambda fields, port=port: self.scoreboard.actual(f"request{port}", fields))

    def set_stalls(self, kind: str) -> None:
        """Change the stall pattern of all memory ports."""
        for client in self.clients:
            client.response.stalls = stall_pattern(kind, random.Random(random.getrandbits(32)))
            client.requests_sink.stalls = stall_pattern(kind, random.Random(random.getrandbits(32)))

    async def run_phase(self) -> None:
        """Raise tiles_computed towards what the jobs wait for."""
        rng = random.Random(random.getrandbits(32))
        while True:
            await RisingEdge(cocotb.top.clk)
            if self.computed < max(self.waits, default=0) and (not self.slow_tokens or rng.random() < 0.03):
                self.computed += 1
                cocotb.top.tiles_computed.value = self.computed

    async def run_jobs(self, jobs: list[WeightLoaderJob]) -> None:
        """Run jobs and wait until they are loaded."""
        self.waits += [job.wait_computed for job in jobs]
        await self.jobs.send([dataclasses.asdict(job) for job in jobs])
        await wait_until(
            cocotb.top.clk,
            lambda: len(self.monitor.finished_at) == len(self.waits) and not int(cocotb.top.busy.value),
            CYCLE_LIMIT,
            "end of the jobs",
        )

    def _predict(self, fields: Item) -> None:
        """Golden model, fed with the job that the monitor saw."""
        job = WeightLoaderJob(**fields)
        for port in (0, 1):
            for address, words in requests(job, port):
                self.scoreboard.expect(f"request{port}", {"address": address, "words": words})
        rows, initial = load_weights(job, GROUPS, DEPTH, self.memory.read)
        for row in rows:
            if row.groups:
                data = int.from_bytes(np.array(row.weights, dtype="<i2").tobytes(), "little")
                self.scoreboard.expect("row", {"groups": row.groups, "address": row.address, "data": data})
        for lane in sorted(initial, key=self._initial_order):
            if lane.groups:
                data = lane.value & ((1 << 48) - 1)
                self.scoreboard.expect("initial", {"groups": lane.groups, "lane": lane.lane, "bank": lane.bank, "data": data})
        self.accepted += 1
        self.scoreboard.expect("loaded", {"job": self.accepted, "rows": sum(row.groups > 0 for row in rows)})
        self.scoreboard.planned["loaded"] = self.accepted

    @staticmethod
    def _initial_order(lane) -> tuple[int, int]:
        """The lanes of a group come in any order; the scoreboard compares them sorted."""
        return lane.groups, lane.lane

    def _collect(self, fields: dict) -> None:
        stream = fields.pop("stream")
        if stream == "loaded":
            for item in sorted(self.initial, key=lambda item: (item["groups"], item["lane"])):
                self.scoreboard.actual("initial", item)
            self.scoreboard.actual("loaded", fields | {"rows": self.rows})
            self.rows, self.initial = 0, []
            return
        if not self.rows and not self.initial:
            job = len(self.monitor.finished_at)
            assert self.computed >= self.waits[job], f"job {job} wrote before tiles_computed was {self.waits[job]}"
        if stream == "row":
            self.rows += 1
            self.scoreboard.actual(stream, fields)
        else:
            self.initial.append(fields)

    rows = 0

    def end_of_elaboration_phase(self) -> None:
        self.initial: list[dict[str, int]] = []

    def check_phase(self) -> None:
        for client in self.clients:
            assert client.idle, "words that were read have not been taken"


class WeightLoaderTest(uvm_test):
    """Base: environment, clock and reset."""

    slow_tokens = True
    latency = 0

    def build_phase(self) -> None:
        self.env = WeightLoaderEnv("env", self)
        self.env.slow_tokens, self.env.latency = self.slow_tokens, self.latency

    async def run_phase(self) -> None:
        self.raise_objection()
        await start_clock_and_reset(cocotb.top)
        await self.main()
        await ClockCycles(cocotb.top.clk, 8)
        self.drop_objection()

    async def main(self) -> None:
        raise AssertionError("to be overridden")


@pyuvm.test()
class RandomJobs(WeightLoaderTest):
    """All block counts, one row to more than the buffer's depth, wrapping bases, stalls."""

    def build_phase(self) -> None:
        super().build_phase()
        self.coverage = Coverage(
            "coverage",
            self,
            {
                "blocks": range(1, min(GROUPS, 7) + 1),
                "stalls": STALLS,
                "bank": (0, 1),
                "wraps": (0, 1),
                "one_row": (0, 1),
            },
            {"stalled_blocks": ("blocks", "stalls")},
        )

    async def main(self) -> None:
        rng = test_rng()
        wait = 0
        turn = itertools.count()  # corners come in turn, so that no seed misses them
        for stalls in STALLS:
            self.env.set_stalls(stalls)
            jobs = []
            for blocks in list(range(1, min(GROUPS, 7) + 1)) * 2:
                index = next(turn)
                rows = (1, 2, 27, 9, int(rng.integers(1, 40)))[index % 5]
                base = (0, DEPTH - 1, DEPTH - 5, int(rng.integers(DEPTH)))[index % 4]
                wait += int(rng.integers(2))
                fields = {"weight_base": base, "bias_bank": index % 2, "wait_computed": wait}
                jobs.append(make_job(rows, blocks, self.env.memory, rng, **fields))
                self.coverage.sample(
                    blocks=blocks,
                    stalls=stalls,
                    bank=fields["bias_bank"],
                    wraps=int(base + rows > DEPTH),
                    one_row=int(rows == 1),
                )
            await self.env.run_jobs(jobs)


@pyuvm.test()
class Throughput(WeightLoaderTest):
    """A row takes two cycles, an initial accumulator one; jobs and blocks follow one another almost without a gap."""

    slow_tokens = False
    latency = LATENCY

    async def main(self) -> None:
        rng = test_rng()
        rows, blocks = 288, min(GROUPS, 2)
        await self.env.run_jobs([make_job(rows, blocks, self.env.memory, rng) for _ in range(4)])
        ends = self.env.monitor.finished_at
        cycles = [end - begin for begin, end in itertools.pairwise(ends)]
        least = blocks * (2 * rows + LANES)
        cocotb.log.info("%d blocks of %d rows: %s cycles, at best %d", blocks, rows, cycles, least)
        assert all(least <= spent <= least + 4 for spent in cycles), cycles


@cocotb.test()
async def reset_in_job(dut) -> None:
    """A reset in the middle of a job leaves nothing behind."""
    dut.job_valid.value = 0
    dut.tiles_computed.value = 0
    dut.read_request_ready.value = 0b11
    dut.read_response_valid.value = 0
    dut.read_response_data.value = 0
    dut.job.value = 0
    await start_clock_and_reset(dut)
    dut.job.value = WeightLoaderJob(rows=5, blocks=1).pack()
    written = 0
    for delay in (1, 2, 3, 5, 9, 14, 20, 27, 31, 40):
        dut.job_valid.value = 1
        dut.read_response_valid.value = 0b11
        for _ in range(delay):
            await RisingEdge(dut.clk)
            written += int(dut.weight_write.value) + int(dut.initial_write.value)
        dut.rst.value = 1
        dut.job_valid.value = 0
        dut.read_response_valid.value = 0
        await ClockCycles(dut.clk, 2)
        dut.rst.value = 0
        for _ in range(10):
            await RisingEdge(dut.clk)
            for name in (
                "weight_write",
                "initial_write",
                "loaded",
                "busy",
                "read_request_valid",
            ):
                assert int(getattr(dut, name).value) == 0, f"{name} after reset"
    assert written, "no job got as far as a write"
