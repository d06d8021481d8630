# SPDX-License-Identifier: Apache-2.0
"""Vector engine and seed unit of the cycle model: rtl/vector/."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gradcore.speed.cycle_kernel import Counter, JobQueue, Scheduler, Signal
from gradcore.speed.cycle_memory import ReadClient, WriteClient
from gradcore.speed.cycle_tiles import Tokens

Wait = Generator["int | Signal", None, None]
STRETCH = 16  # words of values between two words of tags
ENTRIES = 16  # places of a half's entry FIFO
ROWS = 32  # places of its FIFO of rows to expect
JOBS = 4  # jobs inside the engine
LEAST_WORDS = 4  # words of a row at least


@dataclass
class VectorJob:
    """A VECTOR job: ``fields`` of its descriptor, and which inputs (in memory order) are not zero after the rule."""

    fields: dict
    used: np.ndarray
    tags: bool
    number: int = 0
    finished: list[int] = field(default_factory=list)


class VectorData:
    """When the words of a half's outputs are packed: an iterator for a write client."""

    def __init__(self, client: WriteClient) -> None:
        self._client = client
        self._cycles: deque[int] = deque()

    def extend(self, cycles: Iterable[int]) -> None:
        """Further words, in order."""
        self._cycles.extend(cycles)
        self._client.more()

    def __iter__(self) -> Iterator[int | None]:
        return self

    def __next__(self) -> int | None:
        return self._cycles.popleft() if self._cycles else None


class VectorHalf:
    """rtl/vector/vector_half.v: rows are asked for, their words used, one a cycle, and the last row's sums drained."""

    def __init__(self, engine: VectorEngine, half: int, rows: ReadClient, writes: WriteClient) -> None:
        self.engine, self.half, self.client, self.writes = engine, half, rows, writes
        scheduler = self.scheduler = engine.scheduler
        self.entries = JobQueue(scheduler, ENTRIES)
        self._rows = JobQueue(scheduler, ROWS)
        self._drain_free = Counter(scheduler)  # jobs that the drain has finished
        self._data = VectorData(writes)
        writes.data = self._data
        self._open: deque[tuple[VectorJob, list[int]]] = deque()
        writes.finish = self._answered
        scheduler.resume(0, self._fetch())
        scheduler.resume(0, self._use())

    def words(self, job: VectorJob) -> int:
        return job.fields[f"destination_words{self.half}"]

    def _fetch(self) -> Wait:
        """vector_fetch: a request for each entry's row, after the last one for the bias."""
        scheduler = self.scheduler
        while True:
            job, entry, last = yield from self.entries.head()
            words = self.words(job)
            wants = words > 0 and entry is not None
            if wants or last:
                while self._rows.full:
                    yield self._rows
                self._rows.push((job, max(words, LEAST_WORDS) if wants else 0, last))
            self.entries.pop()
            if wants:
                address = job.fields[f"matrix_address{self.half}"] + (entry << job.fields["pitch_log2"])
                yield from self.client.request(scheduler.now + 1, address, max(words, LEAST_WORDS))
            if last and job.fields["has_bias"] and words and not job.fields["keep"]:
                address = job.fields[f"bias_address{self.half}"]
                yield from self.client.request(scheduler.now + 1, address, 4 * words)
            yield scheduler.now + (0 if wants else 1)

    def _use(self) -> Wait:
        """A word of weights a cycle; the last row of a job waits until the drain is free."""
        scheduler, jobs = self.scheduler, 0
        while True:
            job, words, last = yield from self._rows.head()
            if last:
                while self._drain_free.value < jobs:
                    yield self._drain_free
            yield from self.client.take(words, scheduler.now)
            if last and job.fields["keep"]:
                self.engine.half_done(job)
            elif last:
                jobs += 1
                yield from self._drain(job)
            self._rows.pop()
            yield scheduler.now + 1

    def _drain(self, job: VectorJob) -> Wait:
        """vector_drain, up to the last bias word; the rest goes on beside the next job's rows."""
        scheduler, words, fields = self.scheduler, self.words(job), job.fields
        start = scheduler.now + 1
        if not words:
            scheduler.call(start + 1, self._done, job)
            return
        runs = [(fields[f"destination_address{self.half}"], words)]
        pieces = -(-words // 4)
        first = fields[f"tag_destination{self.half}"]
        tag_words = (first % 8 // 2 + pieces + 3) // 4
        if fields["store_tags"]:
            runs.append((first, tag_words))
        pending = [len(runs)]
        scheduler.resume(start, self._requests(job, runs, pending))
        if fields["has_bias"]:  # each output takes a bias word
            end = yield from self._bias(4 * words, start)
        else:
            self._packed(start, words)
            end = start + 4 * words
        lanes = end + 16 * pieces - 4 * words  # whole pieces of outputs
        if fields["store_tags"]:  # FLUSH, then a piece a cycle, four a word
            self._data.extend(lanes + 6 + 4 * (number + 1) + 1 for number in range(tag_words))

    def _bias(self, words: int, start: int) -> Generator[int | Signal, None, int]:
        cycle = start
        for _ in range(words // 4):
            cycle = yield from self.client.take(4, cycle)
            self._data.extend((cycle + 6,))
        return cycle

    def _packed(self, start: int, words: int) -> None:
        """Four outputs fill a word; three stages, the packing register and the output register lie between."""
        self._data.extend(start + 4 * (number + 1) + 6 for number in range(words))

    def _requests(self, job: VectorJob, runs: list[tuple[int, int]], pending: list[int]) -> Wait:
        for address, words in runs:
            self._open.append((job, pending))
            yield from self.writes.request(self.scheduler.now, address, words)
            yield self.scheduler.now + 1

    def _answered(self, cycle: int) -> None:
        job, pending = self._open.popleft()
        pending[0] -= 1
        if not pending[0]:
            self.scheduler.call(cycle + 1, self._done, job)

    def _done(self, job: VectorJob) -> None:
        """`done` of the drain now."""
        self._drain_free.add_at(self.scheduler.now + 1)
        self.engine.half_done(job)


class VectorEngine:
    """rtl/vector/vector_engine.v: acceptance, the vector loader, two halves."""

    def __init__(
        self,
        scheduler: Scheduler,
        tokens: Tokens,
        vector: ReadClient,
        rows: list[ReadClient],
        writes: list[WriteClient],
    ) -> None:
        self.scheduler, self.tokens, self.client = scheduler, tokens, vector
        self.queue = JobQueue(scheduler)
        self.halves = [VectorHalf(self, half, rows[half], writes[half]) for half in (0, 1)]
        self._inside = Counter(scheduler)
        self.began = lambda layer: None
        self.done = lambda job, cycle: None
        scheduler.resume(0, self.run())

    def run(self) -> Wait:
        scheduler = self.scheduler
        while True:
            job: VectorJob = yield from self.queue.head()
            while self.tokens.stored.value < job.fields["wait_tiles"]:
                yield self.tokens.stored
            while self.tokens.vectors.value < job.fields["wait_vectors"]:
                yield self.tokens.vectors
            while self._inside.value >= JOBS:
                yield self._inside
            self._inside.add()
            self.began(job.fields["layer"])
            self.queue.pop()
            scheduler.resume(scheduler.now + 2, self._requests(job))
            yield from self._entries(job)
            yield scheduler.now + 2  # the loader is free, and `ready` is a register

    def _requests(self, job: VectorJob) -> Wait:
        """The vector in stretches of 16 words, each after the word of tags that covers it."""
        fields, scheduler = job.fields, self.scheduler
        address, left, tag_address = fields["vector_address"], fields["vector_words"], fields["tag_address"] & ~7
        stretch = STRETCH - (4 * (fields["tag_address"] % 8 // 2) if job.tags else 0)
        while left:
            if job.tags:
                yield from self.client.request(scheduler.now, tag_address, 1)
                tag_address += 8
                yield scheduler.now + 1
            words = min(left, stretch)
            yield from self.client.request(scheduler.now, address, words)
            yield scheduler.now + 1
            address, left, stretch = address + 8 * stretch, left - words, STRETCH

    def _entries(self, job: VectorJob) -> Wait:
        """A word of n non-zero values takes n cycles, at least 1; an entry is held until the next one is known."""
        scheduler, fields = self.scheduler, job.fields
        used = np.flatnonzero(job.used).tolist()
        place, held = 0, None
        covered = STRETCH - 4 * (fields["tag_address"] % 8 // 2) if job.tags else 0
        for word in range(fields["vector_words"]):
            if job.tags and (word == 0 or word >= covered):
                yield from self.client.take(1, scheduler.now)
                covered += STRETCH if word else 0
                yield scheduler.now + 1
            yield from self.client.take(1, scheduler.now)
            yield scheduler.now + 1
            while place < len(used) and used[place] < 4 * word + 4:
                if held is not None:
                    yield from self._send(job, held, False)
                held = used[place]
                place += 1
                if place < len(used) and used[place] < 4 * word + 4:
                    yield scheduler.now + 1
        yield scheduler.now + 1
        yield from self._send(job, held, True)

    def _send(self, job: VectorJob, entry: int | None, last: bool) -> Wait:
        for half in self.halves:
            while half.entries.full:
                yield half.entries
        for half in self.halves:
            half.entries.push((job, entry, last))

    def half_done(self, job: VectorJob) -> None:
        """A half's drain is done with a job now; two registers later the job is done."""
        job.finished.append(self.scheduler.now)
        if len(job.finished) == 2:
            self._inside.add_at(self.scheduler.now + 3, -1)
            self.done(job, self.scheduler.now + 2)


class SeedUnit:
    """rtl/vector/seed_unit.v."""

    def __init__(self, scheduler: Scheduler, tokens: Tokens, reads: ReadClient, writes: WriteClient) -> None:
        self.scheduler, self.tokens, self.client, self.writes = scheduler, tokens, reads, writes
        self.queue = JobQueue(scheduler)
        self._data = VectorData(writes)
        writes.data = self._data
        writes.finish = self._answered
        self._answers = Counter(scheduler)
        self.began = lambda layer: None
        self.done = lambda job, cycle: None
        scheduler.resume(0, self.run())

    def run(self) -> Wait:
        scheduler = self.scheduler
        while True:
            job: VectorJob = yield from self.queue.head()
            fields = job.fields
            while self.tokens.stored.value < fields["wait_tiles"]:
                yield self.tokens.stored
            while self.tokens.vectors.value < fields["wait_vectors"]:
                yield self.tokens.vectors
            self.began(fields["layer"])
            self.queue.pop()
            words = fields["words_per_pixel"] * fields["pixels"]
            yield scheduler.now + 2 + fields["pixels"].bit_length()  # COUNT: a bit of `pixels` a cycle
            scheduler.resume(scheduler.now, self._ask(self.client, fields["logits_address"], words))
            for _ in range(words):  # four values, one a cycle
                yield from self.client.take(1, scheduler.now)
                yield scheduler.now + 4
            if job.tags:  # here: whether a gradient is written
                answers = self._answers.value + -(-words // 64)
                self._data.extend(range(scheduler.now, scheduler.now + words))
                yield from self._ask(self.writes, fields["seed_address"], words)
                while self._answers.value < answers:
                    yield self._answers
                yield scheduler.now + 1
            self.done(job, scheduler.now)
            yield scheduler.now + 1

    def _ask(self, client: ReadClient | WriteClient, address: int, words: int) -> Wait:
        for first in range(0, words, 64):
            yield from client.request(self.scheduler.now, address + 8 * first, min(64, words - first))
            yield self.scheduler.now + 1

    def _answered(self, cycle: int) -> None:
        self._answers.add_at(cycle + 1)
