# SPDX-License-Identifier: Apache-2.0
"""Tests of tile_loader.v: corners, random tiles under stalls, reset in a job, and throughput."""

from __future__ import annotations

import itertools
import random

import cocotb
import pyuvm
from cocotb.triggers import ClockCycles, RisingEdge
from pyuvm import uvm_test

from gradcore.models import arithmetic
from gradcore.models.convolution.tile_loader import TileJob
from tb.convolution.tile_loader.tile_jobs import Shape, corner_shapes, make_job, random_shape
from tb.convolution.tile_loader.tile_loader_env import TileLoaderEnv, tile_coverage
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS
from tb.support.streams import start_clock_and_reset

LATENCY = 32


class TileLoaderTest(uvm_test):
    """Base: environment, clock and reset; subclasses say what runs."""

    slow_host = True
    latency = 0

    def build_phase(self) -> None:
        self.env = TileLoaderEnv("env", self)
        self.env.slow_host = self.slow_host
        self.env.latency = self.latency

    async def run_phase(self) -> None:
        self.raise_objection()
        await start_clock_and_reset(cocotb.top)
        await self.main()
        await ClockCycles(cocotb.top.clk, 8)  # anything that comes too late would be seen
        self.drop_objection()

    async def main(self) -> None:
        raise AssertionError("to be overridden")


@pyuvm.test()
class Corners(TileLoaderTest):
    """The directed shapes, with every method."""

    async def main(self) -> None:
        rng = test_rng()
        for method, stalls in zip(arithmetic.METHODS, STALLS, strict=True):
            self.env.set_stalls(stalls if method != "deconvnet" else "random")
            await self.env.run_jobs([make_job(shape, self.env.memory, rng) for shape in corner_shapes()], method)


@pyuvm.test()
class RandomTiles(TileLoaderTest):
    """Random shapes, tokens and stalls."""

    def build_phase(self) -> None:
        super().build_phase()
        self.coverage = tile_coverage(self)

    async def main(self) -> None:
        rng = test_rng()
        tokens = [0, 0]
        for method, stalls in itertools.product(arithmetic.METHODS, STALLS):
            self.env.set_stalls(stalls)
            jobs = []
            for index in range(8):
                shape = random_shape(rng, unpool=index % 2, relu=index // 2 % 2)
                for token in range(2):
                    tokens[token] += int(rng.integers(2))
                jobs.append(make_job(shape, self.env.memory, rng, (tokens[0], tokens[1])))
                self.coverage.sample(
                    method=method,
                    stalls=stalls,
                    unpool=shape.unpool,
                    relu=shape.relu,
                    crop=(shape.crop_row, shape.crop_column) if shape.unpool else None,
                    skip=shape.tag_skip if jobs[-1].reads_tags(method) else None,
                    density=shape.density,
                    words=shape.words,
                    odd_rows=shape.rows % 2,
                )
            await self.env.run_jobs(jobs, method)
        for event in ("active", "waiting_data", "waiting_bank"):
            assert self.env.monitor.events[event], f"{event} was never seen"


@pyuvm.test()
class Throughput(TileLoaderTest):
    """Back to back tiles cost little more than their words' max(1, non-zeros) cycles: memory latency is hidden."""

    slow_host = False
    latency = LATENCY
    # (shape, most cycles a tile beyond the least possible, when tile follows tile)
    cases = (
        (Shape(10, 10, 8, density=1.0), 8),
        (Shape(10, 10, 8, density=0.1), 8),
        (Shape(10, 10, 8, density=0.0), 8),
        (Shape(10, 10, 8, density=0.5, relu=1, tags=1), 8),
        (Shape(16, 32, 1, density=1.0), 24),
        (Shape(5, 5, 16, density=0.5, unpool=1, tags=1, relu=1, crop_row=1, crop_column=1), 20),
        (Shape(5, 5, 8, density=0.2, unpool=1, tags=1, relu=1, crop_row=1), 28),
    )

    async def main(self) -> None:
        rng = test_rng()
        for shape, overhead in self.cases:
            jobs = [make_job(shape, self.env.memory, rng) for _ in range(4)]
            first = len(self.env.monitor.finished_at)
            start = self.env.monitor.cycle
            self.env.least_cycles.clear()
            await self.env.run_jobs(jobs, "saliency")
            ends = self.env.monitor.finished_at[first:]
            work = self.env.least_cycles
            cycles = [end - begin for begin, end in itertools.pairwise(ends)]
            cocotb.log.info("%s: first tile %d cycles, next %s, at best %s", shape, ends[0] - start, cycles, work)
            assert ends[0] - start <= work[0] + LATENCY + 40
            for spent, needed in zip(cycles, work[1:], strict=True):
                assert needed <= spent <= needed + overhead, f"{shape}: {spent} cycles for {needed}"


@cocotb.test()
async def reset_in_job(dut) -> None:
    """A reset in the middle of a job leaves nothing behind: no request, no write, bank 0."""
    dut.job_valid.value = 0
    dut.bank_free.value = 1
    dut.method.value = 0
    for name in ("tiles_stored", "vectors_done", "job"):
        getattr(dut, name).value = 0
    dut.read_request_ready.value = 0b1111
    dut.read_response_valid.value = 0
    dut.read_response_data.value = sum(0x0004000300020001 << 64 * client for client in range(4))
    await start_clock_and_reset(dut)
    outputs = [getattr(dut, name) for name in ("entry_write", "count_write", "loaded", "busy", "bank", "read_request_valid")]
    job = TileJob(
        source_rows=6,
        source_columns=4,
        words_per_pixel=2,
        buffer_rows=12,
        buffer_columns=8,
        slot=8,
        row_entries=64,
        unpool=1,
        tags=1,
        load_relu=1,
    )
    written = 0
    for delay in (3, 11, 12, 14, 20, 30, random.randrange(20, 60), random.randrange(20, 60)):
        dut.job.value = job.pack()
        dut.job_valid.value = 1
        dut.read_response_valid.value = 0b1111
        for _ in range(delay):
            await RisingEdge(dut.clk)
            written += int(dut.entry_write.value) & 1
        dut.rst.value = 1
        dut.job_valid.value = 0
        dut.read_response_valid.value = 0
        await ClockCycles(dut.clk, 2)
        dut.rst.value = 0
        for _ in range(20):
            await RisingEdge(dut.clk)
            for output in outputs:
                assert int(output.value) == 0, f"{output._path} after reset"
    assert written, "no job got as far as an entry"
