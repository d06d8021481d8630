# SPDX-License-Identifier: Apache-2.0
"""Bench of seed_unit: maps of logits with ties and extremes, all modes, against models/vector/seed_unit.py."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import asdict
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from gradcore.models.jobs import SeedUnitJob
from gradcore.models.vector.seed_unit import GIVEN, SeedResult, seed_unit
from tb.support.read_client import ReadClient, WordMemory
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS
from tb.support.streams import StreamMonitor, StreamSource, start_clock_and_reset, wait_until
from tb.support.vectors import job_fields
from tb.support.write_client import WriteClient

LONGEST_REQUEST = 64
# (words per pixel, pixels): one word, the usual ten classes, around the longest request, long pixels
SHAPES = ((1, 1), (3, 1), (1, 3), (2, 7), (63, 1), (64, 1), (1, 65), (32, 4), (13, 10), (200, 1))
KINDS = ("random", "tie", "all least", "padding largest", "last largest", "negative")


class Bench:
    """The ports of the seed unit, and the check of each job."""

    def __init__(self, dut: Any, rng: np.random.Generator, stalls: str = "none", *, latency: int = 0) -> None:
        self.dut, self.rng = dut, rng
        self.memory = WordMemory(0x2000_0000, 1 << 14, rng)
        self.reader = ReadClient(dut, "read", self.memory, request_stalls=stalls, response_stalls=stalls, latency=latency)
        self.writer = WriteClient(dut, "write", request_stalls=stalls, data_stalls=stalls)
        self.jobs = StreamSource(dut.clk, dut.job_valid, dut.job_ready, job_fields(dut.job, SeedUnitJob), rst=dut.rst)
        self.finished = StreamMonitor(
            dut.clk,
            dut.done,
            None,
            {"class_index": dut.class_index, "class_value": dut.class_value},
            signed=("class_value",),
            rst=dut.rst,
        )
        self.writes = 0
        self.responses_at_done: list[int] = []
        self.finished.callbacks.append(lambda _: self.responses_at_done.append(self.writer.responses))
        self.kinds: Counter[str] = Counter()
        for name in ("seed_mode", "seed_index", "explain", "tiles_stored", "vectors_done"):
            getattr(dut, name).value = 0

    def logits(self, kind: str, words: int, pixels: int, channels: int) -> np.ndarray:
        """Values (pixels, 4 * words) int64; what is beyond ``channels`` is rubbish that must not win."""
        rng = self.rng
        values = rng.integers(-32768, 32768, (pixels, 4 * words))
        valid = values[:, :channels]
        if kind == "tie":
            valid[:] = rng.integers(0, 3, valid.shape)
        elif kind == "all least":
            valid[:] = -32768
        elif kind == "padding largest":
            values[:, channels:] = 32767
        elif kind == "last largest":
            valid[:] = np.minimum(valid, 1000)
            valid[-1, -1] = 1001
        elif kind == "negative":
            valid[:] = -rng.integers(1, 32769, valid.shape)
        self.kinds[kind] += 1
        return values

    def make(self, kind: str, words: int, pixels: int) -> SeedUnitJob:
        """A job with its logits in memory."""
        channels = int(self.rng.integers(max(1, 4 * words - 7), 4 * words + 1))
        values = self.logits(kind, words, pixels, channels)
        return SeedUnitJob(
            logits_address=self.memory.allocate(values.astype("<i2").view("<u8").reshape(-1)),
            words_per_pixel=words,
            pixels=pixels,
            channels=channels,
            seed_address=0x6000_0000 + 8 * int(self.rng.integers(1 << 20)),
            seed_value=int(self.rng.integers(1, 1 << 16)),
        )

    async def run(self, job: SeedUnitJob, mode: int, index: int, explain: bool) -> SeedResult:
        """One job to its end; all that it shows and writes is compared with the model."""
        dut = self.dut
        dut.seed_mode.value = mode
        dut.seed_index.value = index
        dut.explain.value = int(explain)
        want = seed_unit(job, mode, index, explain, self.memory.read)
        self.jobs.send(asdict(job))
        await self.finished.wait_for(self.finished.count + 1, 60 + 60 * job.pixels * job.words_per_pixel)
        assert self.finished.received.popleft() == {"class_index": want.class_index, "class_value": want.class_value}
        data: list[int] = []
        for write in self.writer.writes:
            assert write.address == job.seed_address + 8 * len(data), "requests are not in order without gaps"
            assert len(write.data) <= LONGEST_REQUEST and set(write.strobes) == {0xFF}
            data += write.data
        assert data == ([] if want.seed is None else list(map(int, want.seed))), "the words of the seed"
        assert self.writer.empty and self.reader.idle
        self.writes += len(self.writer.writes)
        assert self.responses_at_done[-1] == self.writes, "done before the last write response"
        self.writer.writes.clear()
        return want


@cocotb.test()
@cocotb.parametrize(stalls=STALLS)
async def all_kinds(dut, stalls: str) -> None:
    """Each kind of map in random shapes and modes; each shape with the arg-max."""
    rng = test_rng()
    bench = Bench(dut, rng, stalls, latency=int(rng.integers(0, 40)))
    await start_clock_and_reset(dut)
    jobs = [(kind, SHAPES[rng.integers(len(SHAPES) if stalls == "none" else 4)], mode) for kind in KINDS for mode in range(4)]
    jobs += [("random", shape, 0) for shape in SHAPES if stalls == "none" or shape[0] * shape[1] < 70]
    written = 0
    for kind, (words, pixels), mode in jobs:
        values = 4 * words * pixels
        index = int(rng.choice([0, values - 1, int(rng.integers(values)), values, int(rng.integers(values)) + (1 << 28)]))
        result = await bench.run(bench.make(kind, words, pixels), mode, index, explain=True)
        written += result.seed is not None
    assert written >= 3 * len(KINDS) and bench.finished.count == len(jobs) and set(bench.kinds) == set(KINDS)


@cocotb.test()
async def inference_only(dut) -> None:
    """Without explain nothing is written in any mode, and the class is found all the same."""
    rng = test_rng()
    bench = Bench(dut, rng, "none", latency=8)
    await start_clock_and_reset(dut)
    for mode in range(4):
        await bench.run(bench.make("random", 3, 1), mode, 2, explain=False)
    assert bench.writer.responses == 0 and bench.finished.count == 4


@cocotb.test()
async def every_place(dut) -> None:
    """The winner, and the given index, in each place of a small map."""
    rng = test_rng()
    bench = Bench(dut, rng, "none")
    await start_clock_and_reset(dut)
    for place, mode in itertools.product(range(8), (0, GIVEN)):
        values = rng.integers(-100, 100, 8)
        values[place if mode == 0 else 7 - place] = 100
        job = SeedUnitJob(
            logits_address=bench.memory.allocate(values.astype("<i2").view("<u8")),
            words_per_pixel=2,
            pixels=1,
            channels=8,
            seed_address=0x7000_0000,
            seed_value=0x8000,
        )
        result = await bench.run(job, mode, place, explain=True)
        assert result.seed is not None and result.seed.view("<u2")[place] == 0x8000
    assert bench.finished.count == 16


@cocotb.test()
async def tokens(dut) -> None:
    """A job waits for its tiles and vectors and reads nothing before."""
    rng = test_rng()
    bench = Bench(dut, rng, "none")
    await start_clock_and_reset(dut)
    job = SeedUnitJob(**{**asdict(bench.make("random", 3, 1)), "wait_tiles": 0x800001, "wait_vectors": 2})
    running = cocotb.start_soon(bench.run(job, 0, 0, explain=True))
    for tiles, vectors in ((0, 0), (0x800001, 1), (0x800000, 2)):
        dut.tiles_stored.value = tiles
        dut.vectors_done.value = vectors
        await ClockCycles(dut.clk, 30)
        assert int(dut.busy.value) == 0 and not bench.reader.requests
    dut.tiles_stored.value = 0x800001
    await running
    assert int(dut.busy.value) == 0


@cocotb.test()
async def latency(dut) -> None:
    """Ten classes take at most 12 values' cycles and a few more."""
    rng = test_rng()
    bench = Bench(dut, rng, "none")
    await start_clock_and_reset(dut)
    job = bench.make("random", 3, 1)
    dut.explain.value = 0
    bench.jobs.send(asdict(job))
    await wait_until(dut.clk, lambda: int(dut.busy.value) == 1, 20, "busy")
    cycles = 0
    while not int(dut.done.value):
        await RisingEdge(dut.clk)
        cycles += 1
        assert cycles < 12 + 12, f"{cycles} cycles for ten classes"
