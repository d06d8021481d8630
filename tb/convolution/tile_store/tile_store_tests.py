# SPDX-License-Identifier: Apache-2.0
"""Bench of tile_store: random shapes and places, stalls everywhere, requests, beats and the memory image against the model.

The bench plays the output buffer (read latency 1; a bank is scrambled when it is released) and both write ports (done of a
request comes late, in order). Guard bytes round every destination show writes that should not be.
"""

from __future__ import annotations

import itertools
import random
from collections import deque

import cocotb
import pyuvm
from cocotb.triggers import RisingEdge
from pyuvm import uvm_env, uvm_test

from gradcore.models.convolution.tile_store import apply, store_half, write_beat
from gradcore.models.jobs import TileStoreJob
from tb.support.stalls import stall_pattern
from tb.support.streams import StreamMonitor, StreamSource, start_clock_and_reset, wait_until
from tb.support.uvm import Coverage, Scoreboard
from tb.support.vectors import job_fields

MEMORY = 1 << 19
Banks = list[list[list[int]]]  # [kind][side] -> 512 numbers


def random_banks() -> Banks:
    """Contents of one bank of the output buffer: words and tag pieces of both sides."""
    return [[[random.getrandbits(bits) for _ in range(512)] for _ in range(2)] for bits in (64, 16)]


def random_job(*, small: bool = False, **given: int) -> dict[str, int]:
    """A legal job of random shape that fits in the buffer, without addresses; what is given is not chosen at random.

    ``given``: rows, columns, words_per_pixel, store_tags, pieces_per_pixel, contiguous, start (tag address modulo 8, halved).
    ``small``: at most 64 words.
    """
    while True:
        job = {
            "unit_rows": random.choice((1, 2, 3, 4, 5, 8, 11)),
            "columns_stored": random.choice((1, 2, 3, 4, 5, 7, 8, 16)),
            "words_per_pixel_stored": random.choice((1, 2, 3, 4, 5, 8, 16, 31, 64)),
            "contiguous": random.getrandbits(1),
            "store_tags": random.getrandbits(1),
            "pieces_per_pixel": random.choice((1, 2, 3, 4)) * random.choice((1, 3)),
            "start": random.randrange(4),
            **given,
        }
        words, pieces, columns = job["words_per_pixel_stored"], job["pieces_per_pixel"], job["columns_stored"]
        job["buffer_pixel_words"] = words + random.choice((0, 0, 0, 1, 4))
        job["buffer_row_words"] = columns * job["buffer_pixel_words"] + random.choice((0, 0, 3))
        job["buffer_row_pieces"] = columns * pieces + random.choice((0, 0, 5))
        half_rows = (job["unit_rows"] + 1) // 2
        if small and job["unit_rows"] * columns * words > 64:
            continue
        if half_rows * job["buffer_row_words"] < 512 and half_rows * job["buffer_row_pieces"] < 512:
            break
    pixel_gap, tag_gap = (0, 0) if job["contiguous"] else (random.choice((0, 1, 2, words)), random.choice((1, 2, 3, pieces)))
    job["destination_pixel_pitch"] = 8 * (words + pixel_gap)
    job["destination_row_pitch"] = columns * job["destination_pixel_pitch"] + 8 * random.choice((0, 1, 5))
    job["tag_destination_pixel_pitch"] = 2 * (pieces + tag_gap)
    job["tag_destination_row_pitch"] = columns * job["tag_destination_pixel_pitch"] + 2 * random.choice((0, 1, 2, 3, 6))
    return job


def place(job: dict[str, int], base: int) -> int:
    """Replace ``start`` by addresses from ``base`` on; returns the first free address behind it (8-aligned, with a gap)."""
    job["destination_address"] = base + 8 * random.randrange(1, 9)
    end = job["destination_address"] + job["unit_rows"] * job["destination_row_pitch"] + 64
    job["tag_destination"] = (end & ~7) + 8 + 2 * job.pop("start")
    end = job["tag_destination"] + job["unit_rows"] * job["tag_destination_row_pitch"] + 64
    return (end + 15) & ~7


class WritePort:
    """One write port: takes requests and then their beats, writes the memory, reports done late and in order."""

    def __init__(self, dut, port: int, stalls: tuple[str, str, str], memory: bytearray, scoreboard: Scoreboard) -> None:
        self.dut, self.port, self.memory, self.scoreboard = dut, port, memory, scoreboard
        self.request_stalls, self.data_stalls, self.done_stalls = (
            itertools.cycle([True] * 400 + [False] * 60) if kind == "late" else stall_pattern(kind) for kind in stalls
        )
        self.open: deque[list[int]] = deque()  # [address of the next beat, beats left]
        self.complete = 0  # requests that wait for done
        self.dones = self.beats = self.cycle = self.first_beat = self.last_beat = 0
        self.request_ready = self.data_ready = False
        scoreboard.add_stream(f"request{port}")
        scoreboard.add_stream(f"beat{port}")

    def step(self) -> tuple[int, int, int]:
        """After a rising edge; returns what to drive: request_ready, data_ready, done."""
        dut, port = self.dut, self.port
        self.cycle += 1
        if self.data_ready and dut.write_data_valid.value[port] == 1:
            data = int(dut.write_data.value[64 * port + 63 : 64 * port])
            strobe = int(dut.write_strobe.value[8 * port + 7 : 8 * port])
            self.scoreboard.actual(f"beat{port}", {"data": data, "strobe": strobe})
            run = self.open[0]
            write_beat(self.memory, run[0], data, strobe)
            run[0] += 8
            run[1] -= 1
            if run[1] == 0:
                self.open.popleft()
                self.complete += 1
            self.beats += 1
            self.first_beat = self.first_beat or self.cycle
            self.last_beat = self.cycle
        if self.request_ready and dut.write_request_valid.value[port] == 1:
            address = int(dut.write_request_address.value[32 * port + 31 : 32 * port])
            words = int(dut.write_request_words.value[16 * port + 15 : 16 * port])
            self.scoreboard.actual(f"request{port}", {"address": address, "words": words})
            self.open.append([address, words])
        done = self.complete > 0 and not next(self.done_stalls)
        self.complete -= done
        self.dones += done
        self.request_ready = len(self.open) < 3 and not next(self.request_stalls)
        self.data_ready = bool(self.open) and not next(self.data_stalls)
        return int(self.request_ready), int(self.data_ready), int(done)


class Environment(uvm_env):
    """Scoreboard and coverage; the ports are driven by the test."""

    def build_phase(self) -> None:
        self.scoreboard = Scoreboard("scoreboard", self)
        points = {
            "contiguous": (0, 1),
            "tags": (0, 1),
            "rows": ("one", "odd", "even"),
            "column": ("one", "more"),
            "partial": (0, 1),
            "tag_start": range(4),
            "pieces": ("even", "odd"),
        }
        crosses = {"shape": ("contiguous", "rows", "tags"), "packing": ("contiguous", "tag_start", "pieces")}
        self.coverage = Coverage("coverage", self, points=points, crosses=crosses)


class StoreTest(uvm_test):
    """Writes ``jobs()`` and checks everything."""

    stalls = ("random", "random", "random")
    job_stalls = "random"

    def build_phase(self) -> None:
        self.environment = Environment("environment", self)

    def jobs(self) -> list[dict[str, int]]:
        """Small jobs of every kind, so that the coverage is full, and some of any size."""
        both = (0, 1)
        jobs = [
            random_job(small=True, store_tags=tags, contiguous=run, unit_rows=rows) for tags in both for run in both for rows in (1, 3, 4)
        ]
        jobs += [
            random_job(small=True, store_tags=1, contiguous=run, start=start, pieces_per_pixel=pieces, columns_stored=3)
            for run in both
            for start in range(4)
            for pieces in (2, 3)
        ]
        jobs += [random_job(small=True, columns_stored=1), random_job(small=True, columns_stored=4)]
        jobs += [random_job(small=True) for _ in range(10)] + [random_job() for _ in range(4)]
        random.shuffle(jobs)
        return jobs

    def sample(self, job: dict[str, int]) -> None:
        rows = job["unit_rows"]
        self.environment.coverage.sample(
            contiguous=job["contiguous"],
            tags=job["store_tags"],
            rows="one" if rows == 1 else "odd" if rows % 2 else "even",
            column="one" if job["columns_stored"] == 1 else "more",
            partial=int(job["buffer_pixel_words"] > job["words_per_pixel_stored"]),
        )
        if job["store_tags"]:
            parity = "odd" if job["pieces_per_pixel"] % 2 else "even"
            start = job["tag_destination"] // 2 % 4
            self.environment.coverage.sample(contiguous=job["contiguous"], tag_start=start, pieces=parity)

    async def run_phase(self) -> None:
        self.raise_objection()
        dut = self.dut = cocotb.top
        scoreboard = self.environment.scoreboard
        self.memory = bytearray(random.randbytes(MEMORY))
        image = bytearray(self.memory)
        self.ports = [WritePort(dut, port, self.stalls, self.memory, scoreboard) for port in range(2)]
        self.banks: list[Banks] = [random_banks(), random_banks()]
        self.released = self.stored = self.most_waiting = 0
        self.requests_of: list[list[int]] = [[], []]  # per port: running total at the end of each job
        for name in ("write_request_ready", "write_data_ready", "write_done", "word_read_data", "tag_read_data"):
            getattr(dut, name).value = 0
        port = job_fields(dut.job, TileStoreJob)
        source = StreamSource(dut.clk, dut.job_valid, dut.job_ready, port, self.job_stalls, rst=dut.rst)
        StreamMonitor(dut.clk, dut.job_valid, dut.job_ready, port, rst=dut.rst)
        await start_clock_and_reset(dut)
        self.task = cocotb.start_soon(self.play())
        base, jobs = 0, self.jobs()
        totals = [0, 0]
        for number, job in enumerate(jobs):
            await wait_until(dut.clk, lambda number=number: self.released >= number - 1, 20000, f"release of job {number - 2}")
            base = place(job, base)
            assert base < MEMORY - 4096, "the test needs more memory"
            self.banks[number % 2] = random_banks()
            for port in range(2):
                writes = store_half(TileStoreJob(**job), port, *(kind[port] for kind in self.banks[number % 2]))
                apply(image, writes)
                for address, words in writes.requests:
                    scoreboard.expect(f"request{port}", {"address": address, "words": words})
                for data, strobe in writes.beats:
                    scoreboard.expect(f"beat{port}", {"data": data, "strobe": strobe})
                totals[port] += len(writes.requests)
                self.requests_of[port].append(totals[port])
            self.sample(job)
            source.send(job)
        await wait_until(dut.clk, lambda: self.stored == len(jobs), 60000, "the last job stored")
        for _ in range(20):
            await RisingEdge(dut.clk)
        assert self.stored == self.released == len(jobs)
        differs = [address for address in range(MEMORY) if self.memory[address] != image[address]]
        assert not differs, f"memory differs at {len(differs)} bytes, first at {differs[0]:#x}"
        self.at_end(jobs)
        self.drop_objection()

    def at_end(self, jobs: list[dict[str, int]]) -> None:
        """Checks of a special test."""

    async def play(self) -> None:
        """Each cycle: ports, buffer reads, pulses."""
        dut = self.dut
        self.cycle = 0
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            states = [int(getattr(dut, name).value) for name in ("active", "wait_input", "wait_output")]
            assert sum(states) == 1, f"active, wait_input, wait_output = {states}"
            if int(dut.stored.value):
                for port in range(2):
                    needed = self.requests_of[port][self.stored]
                    assert self.ports[port].dones >= needed, f"job {self.stored} reported stored before its last response"
                self.stored += 1
            if int(dut.buffer_released.value):
                assert int(dut.job_valid.value) and int(dut.job_ready.value)
                self.released += 1
                self.most_waiting = max(self.most_waiting, self.released - self.stored)
            drive = [port.step() for port in self.ports]
            for position, name in enumerate(("write_request_ready", "write_data_ready", "write_done")):
                getattr(dut, name).value = drive[0][position] | drive[1][position] << 1
            for kind, (name, width) in enumerate((("word", 64), ("tag", 16))):
                enable, data = int(getattr(dut, f"{name}_read_enable").value), 0
                for side in range(2):
                    value = random.getrandbits(width)
                    if enable >> side & 1:
                        address = int(getattr(dut, f"{name}_read_address").value[10 * side + 9 : 10 * side])
                        assert address >> 9 == self.released % 2, "a read of the wrong bank"
                        value = self.banks[address >> 9][kind][side][address & 511]
                    data |= value << (width * side)
                getattr(dut, f"{name}_read_data").value = data


@pyuvm.test(timeout_time=1, timeout_unit="ms")
class RandomStalls(StoreTest):
    """Random stalls of everything."""


@pyuvm.test(timeout_time=1, timeout_unit="ms")
class LateResponses(StoreTest):
    """Responses come so late, many at a time, that more jobs wait for theirs than the store can remember."""

    stalls = ("none", "none", "late")
    job_stalls = "none"

    def at_end(self, jobs: list[dict[str, int]]) -> None:
        assert self.most_waiting == 4, f"at most {self.most_waiting} jobs waited for responses, 4 can"


@pyuvm.test(timeout_time=1, timeout_unit="ms")
class SlowData(StoreTest):
    """Ports that take a beat in four cycles."""

    stalls = ("none", "three_of_four", "none")


@pyuvm.test(timeout_time=1, timeout_unit="ms")
class FullSpeed(StoreTest):
    """No stalls: a job takes one cycle a word and piece and a few more, in both halves at once."""

    stalls = ("none", "none", "none")
    job_stalls = "none"

    def jobs(self) -> list[dict[str, int]]:
        self.cycles = 0
        return super().jobs()

    def at_end(self, jobs: list[dict[str, int]]) -> None:
        bound = 100
        for job in jobs:
            rows, tags = (job["unit_rows"] + 1) // 2, job["store_tags"]
            runs = 1 if job["contiguous"] else job["columns_stored"]
            # Short runs are bound by the requests (one a cycle here).
            items = rows * max(runs, job["columns_stored"] * job["words_per_pixel_stored"])
            items += rows * job["columns_stored"] * job["pieces_per_pixel"] * tags
            bound += items + 7 + 3 * tags
        assert self.cycle <= bound, f"{self.cycle} cycles, at most {bound} expected"
