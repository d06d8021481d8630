# SPDX-License-Identifier: Apache-2.0
"""Bench of vector_engine: random and extreme jobs, several in flight, against models/vector/vector_engine.py, every write bit for bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from gradcore.models.arithmetic import METHODS
from gradcore.models.jobs import VectorEngineJob
from gradcore.models.vector.vector_engine import VectorResult, vector_engine
from tb.support.read_client import ReadClient, WordMemory
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS
from tb.support.streams import StreamMonitor, StreamSource, start_clock_and_reset, wait_until
from tb.support.vectors import Client, job_fields
from tb.support.write_client import WriteClient

MEMORY_WORDS = 1 << 20
READERS = ("rows0", "rows1", "vector")  # the read clients
LENGTHS = (1, 2, 3, 4, 5, 15, 16, 17, 33, 80, 300)
DENSITIES = (0.0, 0.02, 0.3, 1.0)
EXTREMES = (-32768, -32768, 32767, -1, 1)
FEATURES = {
    *(f"method {method}" for method in METHODS),
    *("bias", "no bias", "relu", "no relu", "store tags", "masks read", "masks not read", "all zero", "dense"),
    *(f"mask skip {skip}" for skip in range(4)),
    *(f"piece skip {skip}" for skip in range(4)),
    *("half 1 stores nothing", "half 0 stores nothing", "part of a piece", "fewer words than a row", "full rows", "waits"),
    *(f"half {half} saturates, {relu}" for half in range(2) for relu in ("relu", "no relu")),
}


def words_of(values: np.ndarray) -> np.ndarray:
    """Signed 16-bit values as memory words."""
    return np.ascontiguousarray(values.astype("<i2")).view("<u8").reshape(-1)


class JobMaker:
    """Makes jobs and their memory contents; notes the features that they exercise."""

    def __init__(self, memory: WordMemory, rng: np.random.Generator) -> None:
        self.memory, self.rng = memory, rng
        self.features: Counter[str] = Counter()
        self.destination = 0x4000_0000

    def _values(self, shape: tuple[int, ...], extreme: bool) -> np.ndarray:
        if extreme:
            return self.rng.choice(EXTREMES, shape)
        return self.rng.integers(-32768, 32768, shape) >> int(self.rng.integers(12))

    def _output(self, content_bytes: int, alignment: int) -> int:
        """A fresh place for outputs, so that none overlap."""
        address = self.destination + alignment * int(self.rng.integers(0, 8 // alignment))
        self.destination += (content_bytes + 31) // 8 * 8
        return address

    def make(self, beats: int = 400, vector: np.ndarray | None = None, **given: int) -> VectorEngineJob:
        """A random job of at most about ``beats`` words of weights in a half; ``vector`` and ``given`` fix parts of it."""
        rng = self.rng
        extreme = rng.random() < 0.25
        blocks = given.pop("blocks", 2 * int(rng.choice([1, 1, 2, 3, 4, 8, 16])))
        pitch_log2 = max(5, (16 * blocks - 1).bit_length()) + int(rng.integers(2))
        density = float(rng.choice(DENSITIES))
        if vector is None:
            length = 4 * int(rng.choice(LENGTHS))
            vector = np.where(rng.random(length) < density, self._values((length,), extreme), 0)
            allowed = max(1, beats // (2 * blocks))
            vector[np.flatnonzero(vector)[allowed:]] = 0
        words = len(vector) // 4
        masks = rng.random(4 * words) < rng.choice([0.0, 0.5, 1.0])
        skip = int(rng.integers(4))
        tag_bits = np.concatenate([rng.random(16 * skip) < 0.5, masks, rng.random(-(16 * skip + 4 * words) % 64) < 0.5])
        rows = 4 * words
        planes = [self._values((rows, (1 << pitch_log2) // 2), extreme) if vector.any() else np.zeros((1, 4)) for _ in range(2)]
        bias = [rng.integers(-(1 << 46), 1 << 46, 8 * blocks) >> int(rng.integers(40)) for _ in range(2)]
        bias = [(x & ((1 << 48) - 1)).astype(np.uint64) | rng.integers(0, 1 << 16, x.shape, dtype=np.uint64) << np.uint64(48) for x in bias]
        stored = [int(rng.choice([2 * blocks, 2 * blocks, int(rng.integers(0, 2 * blocks + 1)), 0])) for _ in range(2)]
        settings: dict[str, Any] = {
            "vector_address": self.memory.allocate(words_of(vector)),
            "vector_words": words,
            "pitch_log2": pitch_log2,
            "shift": int(rng.choice([0, 1, 8, 16, 24, 30, 46, 47])),
            "tag_address": self.memory.allocate(np.packbits(tag_bits, bitorder="little").view("<u8")) + 2 * skip,
            "load_relu": int(rng.random() < 0.7),
            "tags": int(rng.random() < 0.8),
            "has_bias": int(rng.integers(2)),
            "relu": int(rng.integers(2)),
            "store_tags": int(rng.random() < 0.7),
            "destination_words0": stored[0],
            "destination_words1": stored[1],
        }
        for half in range(2):
            settings[f"matrix_address{half}"] = self.memory.allocate(words_of(planes[half]))
            settings[f"bias_address{half}"] = self.memory.allocate(bias[half])
            settings[f"destination_address{half}"] = self._output(16 * blocks, 8)
            settings[f"tag_destination{half}"] = self._output(2 * blocks, 2)
        settings.update(given)
        return VectorEngineJob(**settings)

    def note(self, job: VectorEngineJob, method: str, result: VectorResult) -> None:
        """Count the features of a job that is going to be checked."""
        read = job.load_relu and job.tags and method != "deconvnet"
        self.features.update([f"method {method}", "masks read" if read else "masks not read"])
        self.features.update(["bias" if job.has_bias else "no bias", "relu" if job.relu else "no relu"])
        self.features["waits"] += bool(job.wait_vectors and job.wait_tiles)
        self.features["all zero"] += result.zeros == 4 * job.vector_words
        self.features["dense"] += result.zeros == 0
        if read and job.vector_words > 16:
            self.features[f"mask skip {job.tag_address // 2 % 4}"] += 1
        for half, words in enumerate((job.destination_words0, job.destination_words1)):
            self.features[f"half {half} stores nothing"] += words == 0
            self.features["fewer words than a row"] += 0 < words < 4
            self.features["full rows"] += words == 64
            self.features[f"half {half} saturates, {'relu' if job.relu else 'no relu'}"] += result.saturated[half] > 0
            if words and job.store_tags:
                self.features["store tags"] += 1
                self.features["part of a piece"] += words % 4 != 0
                self.features[f"piece skip {getattr(job, f'tag_destination{half}') // 2 % 4}"] += 1


class Bench:
    """The ports of the engine, the tokens, and the checks that every test makes."""

    def __init__(self, dut: Any, rng: np.random.Generator, stalls: str = "none", *, latency: int = 0) -> None:
        self.dut, self.rng = dut, rng
        self.memory = WordMemory(0x1000_0000, MEMORY_WORDS, rng)
        self.maker = JobMaker(self.memory, rng)
        read = {"request_stalls": stalls, "response_stalls": stalls, "latency": latency}
        self.readers = {name: ReadClient(Client(dut, number, 3), "read", self.memory, **read) for number, name in enumerate(READERS)}
        write = {"request_stalls": stalls, "data_stalls": stalls}
        self.writers = [WriteClient(Client(dut, half, 2), "write", **write) for half in range(2)]
        self.jobs = StreamSource(dut.clk, dut.job_valid, dut.job_ready, job_fields(dut.job, VectorEngineJob), rst=dut.rst)
        tokens = {name: job_fields(dut.job, VectorEngineJob)[name] for name in ("wait_tiles", "wait_vectors")}
        StreamMonitor(dut.clk, dut.job_valid, dut.job_ready, tokens, rst=dut.rst, callback=self._accepted)
        self.tiles = self.accepted = self.done = 0
        self.done_times: list[int] = []
        self.cycle = 0
        self.results: list[VectorResult] = []
        self.events: Counter[str] = Counter()
        dut.tiles_stored.value = 0
        dut.vectors_done.value = 0
        dut.method.value = 0
        self.checked_words = 0

    async def start(self) -> None:
        """Reset, then watch."""
        await start_clock_and_reset(self.dut)
        cocotb.start_soon(self._watch())

    def _accepted(self, tokens: dict[str, int]) -> None:
        self.accepted += 1
        assert tokens["wait_tiles"] <= int(self.dut.tiles_stored.value), "job accepted before its tiles were stored"
        assert tokens["wait_vectors"] <= int(self.dut.vectors_done.value), "job accepted before the vectors it waits for"

    async def _watch(self) -> None:
        """Every cycle: events, and done pulses, which must not come before the job's write responses."""
        dut = self.dut
        was_busy = 0
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            states = {name: int(getattr(dut, name).value) for name in ("active", "waiting_input", "waiting_output")}
            assert sum(states.values()) == was_busy, f"events {states} with busy {was_busy}"
            was_busy = int(dut.busy.value)
            self.events.update(states)
            self.events.update(macs=int(dut.macs.value), zeros=int(dut.zeros.value), busy=was_busy)
            if int(dut.done.value):
                result = self.results[self.done]
                self.done += 1
                self.done_times.append(self.cycle)
                saturated = int(dut.saturated.value)
                assert saturated == sum(result.saturated), f"job {self.done - 1}: {saturated} saturated, not {result.saturated}"
                for half in range(2):
                    needed = sum(len(result.writes[half]) for result in self.results[: self.done])
                    assert self.writers[half].responses >= needed, f"done of job {self.done - 1} before its responses"
                dut.vectors_done.value = self.done

    async def store_tiles(self) -> None:
        """Tiles get stored now and then."""
        while True:
            await ClockCycles(self.dut.clk, int(self.rng.integers(20, 200)))
            self.tiles += 1
            self.dut.tiles_stored.value = self.tiles

    async def run(self, jobs: list[VectorEngineJob], method: str, cycles: int = 20000) -> None:
        """Send jobs back to back, wait until all are done, and check every write and all counts."""
        assert self.done == len(self.results)
        self.dut.method.value = METHODS.index(method)
        before = Counter(self.events)
        first_job = len(self.results)
        for job in jobs:
            result = vector_engine(job, method, self.memory.read)
            self.maker.note(job, method, result)
            self.results.append(result)
            self.jobs.send(asdict(job))
        await wait_until(self.dut.clk, lambda: self.done == len(self.results), cycles, "done of all jobs")
        await ClockCycles(self.dut.clk, 4)
        assert all(client.idle for client in self.readers.values()), "words were asked for and not taken"
        for half, writer in enumerate(self.writers):
            wanted = [write for result in self.results[first_job:] for write in result.writes[half]]
            assert writer.empty, f"half {half}: requests or words left over"
            assert len(writer.writes) == len(wanted), f"half {half}: {len(writer.writes)} writes, expected {len(wanted)}"
            for number, (got, want) in enumerate(zip(writer.writes, wanted, strict=True)):
                assert got == want, f"half {half}, write {number}:\n{got}, expected\n{want}"
                self.checked_words += len(want.data)
            writer.writes.clear()
        results = self.results[first_job:]
        wanted_reads = {
            "rows0": sum(result.row_reads[0] for result in results),
            "rows1": sum(result.row_reads[1] for result in results),
            "vector": sum(result.vector_reads for result in results),
        }
        for prefix, client in self.readers.items():
            read = sum(request["words"] for request in client.requests)
            assert read == wanted_reads[prefix], f"{prefix}: {read} words read, expected {wanted_reads[prefix]}"
            client.requests.clear()
        gained = {name: self.events[name] - before[name] for name in self.events}
        assert gained.get("macs", 0) == sum(result.macs for result in results), "multiplications"
        assert gained.get("zeros", 0) == sum(result.zeros for result in results), "zeros skipped"
        assert int(self.dut.busy.value) == 0


@cocotb.test()
@cocotb.parametrize(stalls=STALLS)
async def random_jobs(dut, stalls: str) -> None:
    """Jobs of all kinds back to back, all methods, tokens that come late."""
    rng = test_rng()
    bench = Bench(dut, rng, stalls, latency=int(rng.integers(0, 40)))
    await bench.start()
    cocotb.start_soon(bench.store_tiles())
    for method in METHODS:
        jobs = []
        for place in range(5):
            waits = {}
            if rng.random() < 0.4:
                waits = {"wait_vectors": len(bench.results) + place, "wait_tiles": bench.tiles + int(rng.integers(0, 3))}
            jobs.append(bench.maker.make(150, **waits))
        await bench.run(jobs, method)
    assert bench.accepted == bench.done == 15 and bench.checked_words > 0


@cocotb.test()
async def all_features(dut) -> None:
    """Jobs chosen until each feature has been seen, whatever the seed."""
    rng = test_rng()
    bench = Bench(dut, rng, "none", latency=10)
    await bench.start()
    cocotb.start_soon(bench.store_tiles())
    maker = bench.maker
    for method in METHODS:
        jobs = []
        for skip in range(4):
            dense = maker.make(60, rng.integers(1, 9, 4 * (17 + skip)), blocks=2, load_relu=1, tags=1, has_bias=skip % 2, relu=skip // 2)
            jobs.append(shifted(dense, skip, store_tags=1, destination_words0=4 - skip, destination_words1=(skip + 1) % 4))
        jobs.append(maker.make(vector=rng.integers(1, 9, 4), load_relu=0, blocks=32, destination_words0=64, shift=9))
        jobs.append(maker.make(vector=np.zeros(20, dtype=int), destination_words0=0, destination_words1=7, blocks=4))
        jobs.append(maker.make(100, wait_vectors=len(bench.results) + 6, wait_tiles=bench.tiles + 3))
        for relu in (0, 1):
            large = rng.integers(20000, 30000, 32)
            jobs.append(maker.make(100, large, blocks=2, load_relu=0, relu=relu, shift=0, destination_words0=4, destination_words1=4))
        await bench.run(jobs, method)
    missing = FEATURES - {name for name, count in maker.features.items() if count}
    assert not missing, f"never exercised: {sorted(missing)}"
    assert bench.done == 27


def shifted(job: VectorEngineJob, skip: int, **given: int) -> VectorEngineJob:
    """The job with its tags read from, and stored at, piece ``skip`` of a word."""
    settings = asdict(job)
    for name in ("tag_address", "tag_destination0", "tag_destination1"):
        settings[name] = settings[name] // 8 * 8 + 2 * skip
    return VectorEngineJob(**{**settings, **given})


@cocotb.test()
async def extremes(dut) -> None:
    """-32768 times -32768 everywhere, for every shift, with and without bias."""
    rng = test_rng()
    bench = Bench(dut, rng, "none", latency=3)
    await bench.start()
    maker = bench.maker
    jobs = []
    planes = [bench.memory.allocate(words_of(np.full((32, 16), value))) for value in (-32768, 32767)]
    for shift in range(48):
        jobs.append(
            maker.make(
                vector=np.full(4 * (1 + shift % 8), -32768),
                blocks=2,
                shift=shift,
                pitch_log2=5,
                load_relu=0,
                matrix_address0=planes[0],
                matrix_address1=planes[1],
                destination_words0=4,
                destination_words1=4,
            )
        )
    await bench.run(jobs, "saliency")
    assert bench.done == 48 and bench.checked_words >= 48 * 8


@cocotb.test()
async def tokens(dut) -> None:
    """A job waits for its tiles and for its vectors, and touches no port before."""
    rng = test_rng()
    bench = Bench(dut, rng, "none")
    await bench.start()
    await bench.run([bench.maker.make(50)], "guided")
    asked = {prefix: len(client.requests) for prefix, client in bench.readers.items()}
    job = bench.maker.make(vector=np.arange(16), wait_tiles=0x800002, wait_vectors=1, destination_words0=4, load_relu=0)
    running = cocotb.start_soon(bench.run([job], "guided"))
    for tiles in (0, 1, 0x800001):
        dut.tiles_stored.value = tiles
        await ClockCycles(dut.clk, 30)
        assert bench.accepted == 1
        assert asked == {prefix: len(client.requests) for prefix, client in bench.readers.items()}
    dut.vectors_done.value = 0
    dut.tiles_stored.value = 0x800002
    await ClockCycles(dut.clk, 30)
    assert bench.accepted == 1
    dut.vectors_done.value = 1
    await running
    assert bench.done == 2


@cocotb.test()
async def throughput(dut) -> None:
    """Dense 64 inputs to 512 outputs, three jobs: 4096 words of weights a half, drains hidden behind the next job's rows."""
    rng = test_rng()
    latency = 32
    bench = Bench(dut, rng, "none", latency=latency)
    await bench.start()
    vector = rng.integers(1, 1000, 64)
    jobs = []
    for _ in range(2):
        fixed = {"load_relu": 0, "has_bias": 0, "store_tags": 1, "destination_words0": 64, "destination_words1": 64}
        jobs.append(bench.maker.make(vector=vector, blocks=32, **fixed))
    started = bench.cycle
    await bench.run(jobs, "saliency")
    first, second = (time - started for time in bench.done_times)
    weights, drain = 64 * 64, 256 + 16 + 4
    cocotb.log.info("done after %d and %d cycles", first, second)
    assert first <= weights + drain + 2 * latency + 60, f"{first} cycles for a job"
    assert second - first <= weights + 8, f"{second - first} cycles for the next job"
