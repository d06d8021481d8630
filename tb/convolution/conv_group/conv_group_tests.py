# SPDX-License-Identifier: Apache-2.0
"""Bench of conv_group: random tile jobs, several in flight, against models/convolution/conv_group.py, every transfer bit for bit."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import asdict, replace

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from gradcore.models.convolution.conv_group import ConvJob, group_share, output
from tb.support.declaration import parameter
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import start_clock_and_reset, wait_until

GROUPS = parameter("GROUPS")
GROUP = parameter("GROUP")
WEIGHT_DEPTH = 1024
LANES = 16
BESIDE = ("origin_entry", "origin_pixel", "line_entries", "line_pixels", "quarters")  # ports beside the job
TRIVIAL = (0, 0xFFFF, 0x7FFF, 0x8000)  # results that a wrong sum may give, too
EXTREMES = np.array([-32768, 32767, -1, 1])


def random_job(rng: np.random.Generator) -> ConvJob:
    """A small random job within the hardware's limits."""
    pool = bool(rng.integers(2))
    kernel_h = int(rng.choice([1, 3, 3, 5]))
    stride_x = 1 if pool else int(rng.choice([1, 1, 2, 4]))
    kernel_w = kernel_h + stride_x - 1
    unit_rows, unit_columns = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    slot = 4 * int(rng.integers(1, 6))
    origin_row, origin_column = int(rng.integers(-2, 2)), int(rng.integers(-2, 2))
    scale_y, scale_x = (2, 2) if pool else (1, stride_x)
    return ConvJob.tight(
        buffer_rows=max(1, unit_rows * scale_y + int(rng.integers(-1, 3))),
        buffer_columns=max(1, unit_columns * scale_x + int(rng.integers(-1, 3))),
        slot=slot,
        unit_rows=unit_rows,
        unit_columns=unit_columns,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_x=stride_x,
        blocks=int(rng.integers(1, GROUPS + 1)),
        origin_row=origin_row,
        origin_column=origin_column,
        shift=int(rng.choice([0, 14, 18, 20, 22, 24, 47])),
        relu=int(rng.integers(2)),
        pool=int(pool),
        store_tags=int(rng.integers(2)),
        weight_base=int(rng.integers(WEIGHT_DEPTH)),
        tap_rows=slot,
        bias_bank=int(rng.integers(2)),
        quarters=0 if stride_x == 1 else int(rng.integers(stride_x)) * 4 // stride_x,
    )


def job_rows(job: ConvJob) -> list[int]:
    """The rows of the weight buffer that a job reads."""
    return [(job.weight_base + row) % WEIGHT_DEPTH for row in range(job.kernel_h * job.kernel_w * job.tap_rows)]


def random_tile(rng: np.random.Generator, job: ConvJob) -> np.ndarray:
    """Values (rows, columns, slot) of a random density, sometimes extreme ones."""
    shape = (job.buffer_rows, job.buffer_columns, job.slot)
    values = rng.integers(-32768, 32768, shape)
    if rng.random() < 0.2:
        values = rng.choice(EXTREMES, shape)
    return np.where(rng.random(shape) < rng.choice([0.0, 0.05, 0.3, 1.0]), values, 0)


class Bench:
    """Plays loader, weight loader, output buffer and token counters round one group."""

    def __init__(self, dut, jobs: list[ConvJob], stalls: str, rewrite: bool) -> None:
        self.dut, self.jobs, self.rewrite = dut, jobs, rewrite
        rng = test_rng()
        self.tiles = [random_tile(rng, job) for job in jobs]
        self.weights = rng.integers(-32768, 32768, (WEIGHT_DEPTH, LANES))
        # Of all sizes: a large one alone would saturate every result of its lane, whatever is added to it.
        self.initial = rng.integers(-(1 << 46), 1 << 46, (2, LANES)) >> rng.choice([6, 14, 22, 30], (2, LANES))
        self.stalls = [stall_pattern(stalls) for _ in range(2)]
        self.received: list[dict] = [{}, {}]
        self.computed = 0
        self.checked = 0
        self.values: Counter[int] = Counter()  # results, and how often each came
        self.saturated = [0, 0]  # of the tile in each bank
        self.counted: Counter[str] = Counter()

    async def start(self) -> None:
        dut = self.dut
        for name in ("tile_loaded", "bank_released", "weights_loaded", "job_valid", "entry_write", "count_write", "weight_write",
                     "initial_write", "transfer_ready", "entry_bank"):  # fmt: skip
            getattr(dut, name).value = 0
        await start_clock_and_reset(dut)
        for row in range(WEIGHT_DEPTH):
            await self.write_weights(row)
        for bank in (0, 1):
            for lane in range(LANES):
                dut.initial_write.value = 1
                dut.initial_write_address.value = bank * LANES + lane
                dut.initial_write_data.value = int(self.initial[bank, lane]) & ((1 << 48) - 1)
                await RisingEdge(dut.clk)
        dut.initial_write.value = 0
        for task in (self.load_tiles, self.send_jobs, self.take_transfers, self.count_saturated, self.watch_computed):
            cocotb.start_soon(task())
        if self.rewrite:
            cocotb.start_soon(self.rewrite_weights())

    async def write_weights(self, row: int) -> None:
        dut = self.dut
        dut.weight_write.value = 1
        dut.weight_write_address.value = row
        dut.weight_write_data.value = sum((int(w) & 0xFFFF) << (16 * lane) for lane, w in enumerate(self.weights[row]))
        await RisingEdge(dut.clk)
        dut.weight_write.value = 0

    async def rewrite_weights(self) -> None:
        """Write what is there already, so that stream 1 is frozen at random times.

        Not the rows of the two jobs that may be in progress: what a block RAM reads while it is written is undefined. Nor row 0,
        which streams without an entry read: their value of 0 makes 0 of it in hardware, but of an unknown one not in simulation.
        """
        while True:
            for _ in range(random.randrange(6)):
                await RisingEdge(self.dut.clk)
            busy = {0, *(row for job in self.jobs[self.computed : self.computed + 2] for row in job_rows(job))}
            free = [row for row in range(WEIGHT_DEPTH) if row not in busy]
            if free:
                await self.write_weights(random.choice(free))
            else:
                await RisingEdge(self.dut.clk)

    async def load_tiles(self) -> None:
        dut = self.dut
        for number, (job, tile) in enumerate(zip(self.jobs, self.tiles, strict=True)):
            while self.computed + 2 <= number:
                await RisingEdge(dut.clk)
            dut.entry_bank.value = number % 2
            writes: list[list] = [[], []]
            counts = []
            for row in range(job.buffer_rows):
                for column in range(job.buffer_columns):
                    channels = np.flatnonzero(tile[row, column])
                    base = row * job.row_entries + column * job.slot
                    for k, channel in enumerate(channels):
                        value = int(tile[row, column, channel]) & 0xFFFF
                        writes[row % 2].append((base + k, int(channel) << 16 | value))
                    counts.append((row * job.buffer_columns + column, len(channels)))
            while counts or writes[0] or writes[1]:
                enable = address = data = 0
                for half in (0, 1):
                    if writes[half]:
                        where, what = writes[half].pop()
                        enable |= 1 << half
                        address |= where << (13 * half)
                        data |= what << (27 * half)
                dut.entry_write.value, dut.entry_write_address.value, dut.entry_write_data.value = enable, address, data
                dut.count_write.value = int(bool(counts))
                if counts:
                    where, what = counts.pop()
                    dut.count_write_address.value, dut.count_write_data.value = (number % 2) * 512 + where, what
                await RisingEdge(dut.clk)
            dut.entry_write.value = 0
            dut.count_write.value = 0
            dut.tile_loaded.value = 1
            await RisingEdge(dut.clk)
            dut.tile_loaded.value = 0

    async def send_jobs(self) -> None:
        dut = self.dut
        for number, job in enumerate(self.jobs):
            dut.job.value = replace(job, wait_weights=number + 1).pack()
            for name in BESIDE:
                getattr(dut, name).value = getattr(job, name)
            dut.job_valid.value = 1
            for _ in range(random.randrange(30)):
                await RisingEdge(dut.clk)
            dut.weights_loaded.value = number + 1  # the job's token comes late: it must not have started before
            await RisingEdge(dut.clk)
            while not int(dut.job_ready.value):
                await RisingEdge(dut.clk)
            dut.job_valid.value = 0

    async def take_transfers(self) -> None:
        dut = self.dut
        while True:
            ready = sum(int(not next(stalls)) << stream for stream, stalls in enumerate(self.stalls))
            dut.transfer_ready.value = ready
            await ReadOnly()
            taken = ready & int(dut.transfer_valid.value)
            for stream in (0, 1):
                if taken >> stream & 1:
                    bank = self.of_stream(dut.transfer_bank, stream, 1)
                    key = (
                        self.of_stream(dut.transfer_tag, stream, 1),
                        self.of_stream(dut.transfer_parity, stream, 1),
                        self.of_stream(dut.transfer_address, stream, 9),
                    )
                    assert key not in self.received[bank], f"{key} of bank {bank} came twice"
                    self.received[bank][key] = self.of_stream(dut.transfer_data, stream, 64)
            await RisingEdge(dut.clk)

    @staticmethod
    def of_stream(handle, stream: int, width: int) -> int:
        """One stream's share of a flat port; the other stream's may be X while it is not valid."""
        return int(handle.value[width * stream + width - 1 : width * stream])

    async def count_saturated(self) -> None:
        """The events of a cycle, before ``watch_computed`` looks at that cycle."""
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            events = int(dut.event_saturated.value)
            for stream in (0, 1):
                if events >> stream & 1:
                    self.saturated[self.of_stream(dut.event_saturated_bank, stream, 1)] += 1

    async def watch_computed(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if int(dut.computed.value):
                number = self.computed
                job, bank = self.jobs[number], number % 2
                made = output(job, self.tiles[number], self.weights, self.initial[job.bias_bank], GROUPS, GROUP)
                expected = made.transfers
                assert self.saturated[bank] == made.saturated, f"{self.saturated[bank]} saturated of job {number}: {job}"
                self.saturated[bank] = 0
                kind = "pooled" if job.pool else "packed" if job.stride_x > 1 else "plain"
                self.counted[f"{kind}, {'relu' if job.relu else 'no relu'}"] += made.saturated
                self.counted["not stored"] += made.behind
                assert self.received[bank] == expected, f"job {number}: {job}"
                self.checked += len(expected)
                for (tag, _, _), word in expected.items():
                    if not tag:
                        self.values.update(word >> 16 * place & 0xFFFF for place in range(4))
                self.received[bank] = {}
                self.computed += 1
                cocotb.start_soon(self.release())

    async def release(self) -> None:
        for _ in range(random.randrange(40)):
            await RisingEdge(self.dut.clk)
        while int(self.dut.bank_released.value):
            await RisingEdge(self.dut.clk)
        self.dut.bank_released.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.bank_released.value = 0


@cocotb.test()
@cocotb.parametrize(stalls=STALLS, rewrite=(False, True))
async def random_jobs(dut, stalls: str, rewrite: bool) -> None:
    """Random jobs in a row: every transfer of each job, none twice, none else."""
    rng = np.random.default_rng(random.getrandbits(32))
    bench = Bench(dut, [random_job(rng) for _ in range(10)], stalls, rewrite)
    await bench.start()
    await wait_until(dut.clk, lambda: bench.computed == len(bench.jobs), 400_000, "the end of all jobs")
    assert not bench.received[0] and not bench.received[1] and bench.saturated == [0, 0]
    assert bench.checked or all(group_share(job, GROUPS, GROUP) is None for job in bench.jobs)
    plain = sum(times for value, times in bench.values.items() if value not in TRIVIAL)
    total = sum(bench.values.values())
    assert total < 400 or plain > total / 50, f"{plain} of {total} results show what the sum was: most saturate"


@cocotb.test()
async def every_kind_saturates(dut) -> None:
    """Jobs of each kind, chosen so that values saturate: each is counted once, and none of a pixel that is not stored."""
    rng = test_rng()
    jobs = []
    for pool, relu, stride_x in itertools.product((False, True), (False, True), (1, 2, 4)):
        if pool and stride_x > 1:
            continue
        quarters = range(0, 4, 4 // stride_x) if stride_x > 1 else (0,)
        shape = {
            "pool": int(pool),
            "relu": int(relu),
            "stride_x": stride_x,
            "kernel_h": 3,
            "kernel_w": 2 + stride_x,
            "unit_rows": 5,
            "unit_columns": 4,
            "buffer_rows": 8,
            "buffer_columns": 12,
            "slot": 8,
            "tap_rows": 8,
            "blocks": 1,
            "shift": 12,
        }
        jobs += [ConvJob.tight(**{**asdict(random_job(rng)), **shape, "quarters": quarter}) for quarter in quarters]
    bench = Bench(dut, [jobs[place] for place in rng.permutation(len(jobs))], "none", False)
    bench.tiles = [rng.integers(-32768, 32768, (8, 12, 8)) for _ in jobs]
    await bench.start()
    await wait_until(dut.clk, lambda: bench.computed == len(jobs), 400_000, "the end of all jobs")
    kinds = [f"{kind}, {relu}" for kind in ("plain", "packed", "pooled") for relu in ("relu", "no relu")]
    missing = [name for name in (*kinds, "not stored") if not bench.counted[name]]
    assert not missing, f"never saturated: {missing}"


@cocotb.test()
async def one_entry_a_cycle(dut) -> None:
    """A dense job issues one entry a cycle on each stream: the group loses at most 10 % to anything else."""
    job = ConvJob.tight(
        buffer_rows=10,
        buffer_columns=10,
        slot=16,
        unit_rows=8,
        unit_columns=8,
        kernel_h=3,
        kernel_w=3,
        stride_x=1,
        blocks=1,
        shift=14,
        tap_rows=16,
    )
    bench = Bench(dut, [job] * 3, "none", False)
    bench.tiles = [np.ones((10, 10, 16), dtype=np.int64)] * 3
    await bench.start()
    await wait_until(dut.clk, lambda: bench.computed == 1, 100_000)
    cycles = await wait_until(dut.clk, lambda: bench.computed == 3, 100_000)
    entries = 2 * 64 * 9 * 16 // 2 // GROUPS
    assert cycles < 1.1 * entries, f"{cycles} cycles for {entries} entries a stream"
