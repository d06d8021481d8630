# SPDX-License-Identifier: Apache-2.0
"""Tile loader, tile store and weight loader of the cycle model."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from gradcore.models.convolution.conv_group import ConvJob, windows
from gradcore.models.convolution.weight_loader import row_words
from gradcore.models.jobs import WeightLoaderJob
from gradcore.speed.cycle_conv import ConvEngine, Tile
from gradcore.speed.cycle_kernel import Counter, JobQueue, Scheduler, Signal
from gradcore.speed.cycle_memory import ReadClient, WriteClient

Wait = Generator["int | Signal", None, None]


@dataclass
class Tokens:
    """The sequencer's token counters (rtl/control/tokens.v)."""

    stored: Counter
    vectors: Counter
    weights: Counter


@dataclass
class LoadJob:
    """A TILE job as the loader sees it.

    Attributes:
        fields: the descriptor. tile: what the groups get.
        costs: for each half the cycles of its words: one for two values of a list, or for one; at least 1.
        counts: counts that are written, all pixels; last_counts: those of the last pixel.
        tags: whether tags are read; pieces: tag pieces of a block of 16 channels.
    """

    fields: dict
    tile: Tile
    costs: list[list[int]]
    counts: int
    last_counts: int
    tags: bool
    pieces: int

    @property
    def run_columns(self) -> int:
        """Pixels that are asked for in one go."""
        return 1 if self.fields["by_pixel"] else self.fields["source_columns"]

    @property
    def block_words(self) -> int:
        """Words that tags are for: those of 16 channels, or where indices are channels one."""
        return 1 if self.fields["index_channel"] else 4

    @property
    def blocks(self) -> int:
        """Blocks of so many words of a pixel."""
        return -(-self.fields["words_per_pixel"] // self.block_words)

    def address(self, what: str, row: int, column: int) -> int:
        """Where the values ("source") or the tags ("tag") of a run begin."""
        pitches = row * self.fields[f"{what}_row_pitch"] + column * self.fields[f"{what}_pixel_pitch"]
        return self.fields[f"{what}_address"] + pitches

    def last_tag_word(self, row: int, column: int, blocks: int) -> int:
        """The word of a run's tags in which those of its first ``blocks`` blocks end."""
        skip = self.address("tag", row, column) % 8 // 2
        return (skip + self.pieces * blocks - 1) // 4


def load_job(fields: dict, number: int, stored: int, source: np.ndarray, index: np.ndarray | None, tags: bool) -> LoadJob:
    """Work out what a tile costs.

    Args:
        fields: the TILE descriptor. number: among the TILE jobs. stored: TILE jobs before it that store.
        source: bool (source rows, source columns, channels in memory): values that the ReLU rule lets pass and that are
            not zero. index: the winners of the same shape, for a job that unpools.
        tags: whether the loader reads tags.
    """
    rows, columns = source.shape[:2]
    height, width = fields["buffer_rows"], fields["buffer_columns"]
    if index is None:
        counts = source.sum(axis=2)[:height, :width]
        lists, positions = source[None], np.ones((rows, columns), dtype=np.int64)
    else:
        spread = np.zeros((rows, 2, columns, 2, source.shape[2]), dtype=bool)
        for place in range(4):
            spread[:, place // 2, :, place % 2] = source & (index == place)
        inside = np.zeros((2 * rows, 2 * columns), dtype=bool)
        first_row, first_column = fields["crop_row"], fields["crop_column"]
        inside[first_row : first_row + height, first_column : first_column + width] = True
        inside = inside.reshape(rows, 2, columns, 2)
        lists = (spread & inside[..., None]).transpose(1, 3, 0, 2, 4).reshape(4, rows, columns, -1)
        positions = inside.sum(axis=(1, 3))
        counts = spread.reshape(2 * rows, 2 * columns, -1).sum(axis=2)
        counts = counts[first_row : first_row + height, first_column : first_column + width]
    words = ((lists.reshape(len(lists), rows, columns, -1, 4).sum(axis=4) + 1) // 2).sum(axis=0).clip(min=1)
    tile = Tile(
        number,
        fields["wait_weights"],
        fields["blocks"],
        fields["unit_rows"],
        fields["unit_columns"],
        ConvJob.from_descriptor(fields).pieces if fields["store_tags"] else 0,
        bool(fields["from_partial"]),
        bool(fields["to_partial"]),
        stored,
        unit_taps(counts, fields),
    )
    return LoadJob(
        fields,
        tile,
        [words[half::2].reshape(-1).tolist() for half in (0, 1)],
        int(positions.sum()),
        int(positions[-1, -1]),
        tags,
        3 if fields["unpool"] else 1,
    )


def unit_taps(counts: np.ndarray, fields: dict) -> list:
    """Entries of each tap of each pixel of each unit, nested lists, from counts (buffer rows, buffer columns)."""
    return windows(ConvJob.from_descriptor(fields), counts[..., None])[..., 0].astype(np.int64).tolist()


class TileLoader:
    """rtl/convolution/tile_loader.v with its two halves."""

    def __init__(
        self,
        scheduler: Scheduler,
        engine: ConvEngine,
        tokens: Tokens,
        values: list[ReadClient],
        tags: list[ReadClient],
    ) -> None:
        self.scheduler, self.engine, self.tokens = scheduler, engine, tokens
        self.values, self.tags = values, tags
        self.queue = JobQueue(scheduler)
        self.began = lambda layer: None
        self._taken = Counter(scheduler)  # tiles that the halves have begun
        self._loaded = Counter(scheduler)  # tiles that they have finished
        self._first_word: int | None = None  # when the first word of the tile was taken
        scheduler.resume(0, self.run())

    def run(self) -> Wait:
        """The job at the head: preparation, tokens, bank, requests."""
        scheduler = self.scheduler
        while True:
            job: LoadJob = yield from self.queue.head()
            number = job.tile.number
            yield scheduler.now + 10  # words and pieces of a row: a bit of `columns` a cycle
            while self.tokens.stored.value < job.fields["wait_tiles"]:
                yield self.tokens.stored
                yield scheduler.now + 1  # tokens_ok is a register
            while self.tokens.vectors.value < job.fields["wait_vectors"]:
                yield self.tokens.vectors
                yield scheduler.now + 1
            while self.engine.computed.value < number - 1:
                yield self.engine.computed
            yield scheduler.now + 1  # started
            self.began(job.fields["layer"])
            waits = [Counter(scheduler), Counter(scheduler)]
            for half in (0, 1):
                scheduler.resume(scheduler.now + 1, self._requests(job, half, waits[half]))
            scheduler.resume(scheduler.now, self._consume(job))
            for half in (0, 1):
                while not waits[half].value:
                    yield waits[half]
            while self._taken.value <= number:
                yield self._taken
            self.queue.pop()
            yield scheduler.now + 1

    def _requests(self, job: LoadJob, half: int, done: Counter) -> Wait:
        """tile_row_requester: the values and tags of a run are asked for together, the next run when both are taken."""
        scheduler = self.scheduler
        words = job.run_columns * job.fields["words_per_pixel"]
        for row in range(half, job.fields["source_rows"], 2):
            for column in range(0, job.fields["source_columns"], job.run_columns):
                valid = scheduler.now
                tag_taken = Counter(scheduler)
                if job.tags:
                    tag_words = job.last_tag_word(row, column, job.run_columns * job.blocks) + 1
                    address = job.address("tag", row, column)
                    scheduler.resume(valid, self._ask(self.tags[half], valid, address, tag_words, tag_taken))
                yield from self.values[half].request(valid, job.address("source", row, column), words)
                while job.tags and not tag_taken.value:
                    yield tag_taken
                yield scheduler.now + 1
        done.add()

    def _ask(self, client: ReadClient, valid: int, address: int, words: int, taken: Counter) -> Wait:
        yield from client.request(valid, address, words)
        taken.add()

    def _consume(self, job: LoadJob) -> Wait:
        """Both halves work on a tile when they have finished the one before."""
        scheduler, number = self.scheduler, job.tile.number
        while self._loaded.value < number:
            yield self._loaded
        self._taken.add_at(scheduler.now + 1)
        start = scheduler.now + 2
        self._first_word = None
        ends = [Counter(scheduler), Counter(scheduler)]
        for half in (0, 1):
            scheduler.resume(start, self._half(job, half, ends[half]))
        for end in ends:
            while not end.value:
                yield end
        # The last value's count passes squeezer, queue and FIFO; halves share one count write a cycle.
        finished = max(scheduler.now + 3 + job.last_counts - 1, (self._first_word or start) + job.counts + 3)
        yield finished
        self.engine.loaded.add_at(finished + 3)
        yield finished + 1
        self._loaded.add()

    def _half(self, job: LoadJob, half: int, end: Counter) -> Wait:
        """One half: a word takes its cost, once its values and tags are there."""
        cycle = yield from (self._tagged if job.tags else self._plain)(job, half)
        yield cycle
        end.add()

    def _plain(self, job: LoadJob, half: int) -> Generator[int | Signal, None, int]:
        """The words of one half without tags; returns the cycle after the last one."""
        client, costs = self.values[half], job.costs[half]
        cycle, place = self.scheduler.now, 0
        while place < len(costs):
            arrivals = client.arrivals[client.consumed : client.consumed + min(8, len(costs) - place)]
            if not arrivals:
                yield client.delivered
                continue
            if self._first_word is None:
                self._first_word = max(cycle, arrivals[0])
            for arrival in arrivals:
                begin = cycle if cycle > arrival else arrival
                cycle = begin + costs[place]
                place += 1
            yield max(begin, self.scheduler.now)
            client.release(len(arrivals))
        return cycle

    def _tagged(self, job: LoadJob, half: int) -> Generator[int | Signal, None, int]:
        """The same with tags."""
        client, tags = self.values[half], self.tags[half]
        costs, per_pixel = job.costs[half], job.fields["words_per_pixel"]
        block = job.block_words
        run_words, runs = job.run_columns * per_pixel, job.fields["source_columns"] // job.run_columns
        cycle = self.scheduler.now
        tag_ready = None  # from when the block's tags are there
        piece_free = block_end = cycle - 1  # the block's last piece was taken; its last word was
        tag_word = tag_base = place = 0  # words of tags taken in all, those of the runs before, words of this half
        while place < len(costs):
            arrivals = client.arrivals[client.consumed : client.consumed + 8]
            taken = 0
            for arrival in arrivals[: len(costs) - place]:
                run, word = divmod(place + taken, run_words)
                pixel, channel = divmod(word, per_pixel)
                if tag_ready is None and channel % block == 0:
                    row, column = divmod(run, runs)
                    wanted = tag_base + job.last_tag_word(half + 2 * row, column, pixel * job.blocks + channel // block + 1)
                    if tags.consumed - tag_word + wanted >= len(tags.arrivals):
                        break
                    # All pieces but the last one are gathered while the block before is used (tag_collector).
                    arrived = tags.arrivals[tags.consumed - tag_word + wanted]
                    piece_free = max(piece_free + job.pieces, arrived, block_end)
                    tag_ready = piece_free + 1
                    block_word = wanted
                begin = max(cycle, arrival, tag_ready)
                if self._first_word is None:
                    self._first_word = begin
                cycle = begin + costs[place + taken]
                taken += 1
                if channel % block == block - 1 or channel == per_pixel - 1:
                    tag_ready = None
                    block_end = begin
                    if word == run_words - 1:
                        tag_base = block_word = block_word + 1
                    tags.release(block_word - tag_word)
                    tag_word = block_word
            if taken:
                yield max(begin, self.scheduler.now)
                client.release(taken)
                place += taken
            elif not arrivals:
                yield client.delivered
            else:
                yield tags.delivered
        return cycle


class StoreData:
    """When the words of one half of a tile can leave the tile store: an iterator for a write client.

    The walk reads a word or a tag piece a cycle while fewer than six items are in the FIFO; words come out two cycles
    later, packed pieces three.
    """

    def __init__(self, client: WriteClient) -> None:
        self.client = client
        self.walk = 0
        self.finished = Signal(client.scheduler)
        self._steps: deque[tuple[int, int]] = deque()

    def start(self, cycle: int, words: int, tag_words: list[int]) -> None:
        """A job: words, then the pieces of each tag word; the first read is two cycles after ``cycle``."""
        self.walk = cycle + 1
        self._steps.extend([(1, 2)] * words)
        for number, pieces in enumerate(tag_words):
            self._steps.append((pieces + (number == 0), 3))

    @property
    def left(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        step, delay = self._steps.popleft()
        self.walk = max(self.walk + step, self.client.sent[0] + 1)
        if not self._steps:
            self.finished.notify()
        return self.walk + delay


@dataclass
class StoreJob:
    """A TILE job in the store: requests of each half as (address, words), and the pieces of each tag word."""

    number: int
    words: list[list[tuple[int, int]]]
    tags: list[list[tuple[int, int]]]
    pieces: list[list[int]]
    left: int = 0
    last: int = 0


def store_job(fields: dict, number: int) -> StoreJob:
    """The requests of a TILE job: a row where it is contiguous, else a pixel; tags likewise."""
    job = StoreJob(number, [[], []], [[], []], [[], []])
    columns, words = fields["columns_stored"], fields["words_per_pixel_stored"]
    pieces = fields["pieces_per_pixel"]
    dense = fields["tag_destination_pixel_pitch"] == 2 * pieces
    for row in range(fields["unit_rows"]):
        half = row % 2
        address = fields["destination_address"] + row * fields["destination_row_pitch"]
        if fields["contiguous"]:
            job.words[half].append((address, columns * words))
        else:
            pitch = fields["destination_pixel_pitch"]
            job.words[half] += [(address + column * pitch, words) for column in range(columns)]
        if not fields["store_tags"]:
            continue
        address = fields["tag_destination"] + row * fields["tag_destination_row_pitch"]
        pitch = fields["tag_destination_pixel_pitch"]
        runs = [(address, columns * pieces)] if dense else [(address + n * pitch, pieces) for n in range(columns)]
        for first, run in runs:
            job.tags[half].append((first, (first + 2 * run + 7) // 8 - first // 8))
            places = range(first % 8 // 2, first % 8 // 2 + run)
            job.pieces[half] += [len([place for place in places if place // 4 == word]) for word in range(places[-1] // 4 + 1)]
    return job


class TileStore:
    """rtl/convolution/tile_store.v with its two halves."""

    def __init__(self, scheduler: Scheduler, engine: ConvEngine, clients: list[WriteClient]) -> None:
        self.scheduler, self.engine, self.clients = scheduler, engine, clients
        self.queue = JobQueue(scheduler)
        self.stored = lambda number, cycle: None
        self._data = [StoreData(client) for client in clients]
        self._open: list[deque[StoreJob]] = [deque(), deque()]
        for half, client in enumerate(clients):
            client.data = self._data[half]
            client.finish = lambda cycle, half=half: self._answered(half, cycle)
        scheduler.resume(0, self.run())

    def run(self) -> Wait:
        scheduler = self.scheduler
        while True:
            job: StoreJob = yield from self.queue.head()
            while self.engine.computed.value <= job.number:
                yield self.engine.computed
            yield scheduler.now + 1  # START
            job.left = sum(len(job.words[half]) + len(job.tags[half]) for half in (0, 1))
            done = [Counter(scheduler), Counter(scheduler)]
            for half in (0, 1):
                words = sum(count for _, count in job.words[half])
                self._data[half].start(scheduler.now, words, job.pieces[half])
                scheduler.resume(scheduler.now + 2, self._requests(job, half, done[half]))
            released = scheduler.now + 1
            for half in (0, 1):
                while not done[half].value:
                    yield done[half]
                while self._data[half].left:
                    yield self._data[half].finished
                released = max(released, self._data[half].walk + 1)
            yield max(released, scheduler.now)
            self.queue.pop()
            self.engine.released.add_at(scheduler.now + 1)
            yield scheduler.now + 1

    def _requests(self, job: StoreJob, half: int, done: Counter) -> Wait:
        for number, (address, words) in enumerate(job.words[half] + job.tags[half]):
            self._open[half].append(job)
            valid = self.scheduler.now + (number == len(job.words[half]) and number > 0)
            yield from self.clients[half].request(valid, address, words)
            yield self.scheduler.now + 1
        done.add()

    def _answered(self, half: int, cycle: int) -> None:
        """A request's last response: `done` in a cycle, the tile is stored in the next one after its last."""
        job = self._open[half].popleft()
        job.left -= 1
        if not job.left:
            self.stored(job.number, cycle + 1)


@dataclass
class WeightLoader:
    """rtl/convolution/weight_loader.v."""

    scheduler: Scheduler
    engine: ConvEngine
    tokens: Tokens
    clients: list[ReadClient]
    queue: JobQueue = field(init=False)

    def __post_init__(self) -> None:
        self.queue = JobQueue(self.scheduler)
        self._free = Counter(self.scheduler, 0)  # jobs written
        self._number = 0
        self.scheduler.resume(0, self.run())

    def run(self) -> Wait:
        """The job at the head: its requests go out at once; it is taken when the one before is written."""
        scheduler = self.scheduler
        while True:
            job = yield from self.queue.head()
            issued = Counter(scheduler)
            scheduler.resume(scheduler.now + 1, self._requests(job, issued))
            yield scheduler.now + 1  # tokens_ok and tokens_checked
            while self._free.value < self._number:
                yield self._free
            while self.engine.computed.value < job["wait_computed"]:
                yield self.engine.computed
                yield scheduler.now + 1
            scheduler.resume(scheduler.now + 1, self._write(job))
            self._number += 1
            while not issued.value:
                yield issued
            self.queue.pop()
            yield scheduler.now + 1

    def _requests(self, job: dict, issued: Counter) -> Wait:
        scheduler, words = self.scheduler, row_words(WeightLoaderJob.from_descriptor(job)) + 8
        for block in range(job["blocks"]):
            valid = scheduler.now
            other = Counter(scheduler)
            scheduler.resume(valid, self._ask(1, valid, job["address1"] + block * 8 * words, words, other))
            yield from self.clients[0].request(valid, job["address0"] + block * 8 * words, words)
            while not other.value:
                yield other
            yield scheduler.now + 1
        issued.add()

    def _ask(self, half: int, valid: int, address: int, words: int, taken: Counter) -> Wait:
        yield from self.clients[half].request(valid, address, words)
        taken.add()

    def _write(self, job: dict) -> Wait:
        """The rows of each block, then 16 initial accumulators from the ports in turn."""
        scheduler, groups = self.scheduler, self.engine.groups
        copies = groups // job["blocks"]
        for block in range(job["blocks"]):
            targets = range(block, job["blocks"] * copies, job["blocks"])
            yield from (self._write_diagonals if job["diagonal"] else self._write_rows)(job["rows"], targets)
            cycle = scheduler.now
            for client in self.clients:
                yield from client.take(8, scheduler.now)
            yield max(cycle + 16, scheduler.now + 1)
        self._free.add()
        loaded = scheduler.now + 1  # `finished`, then `loaded`
        self.tokens.weights.add_at(loaded + 1)
        self.engine.weights.add_at(loaded + 2)

    def _write_rows(self, rows: int, targets: range) -> Wait:
        """A row in two cycles, from both ports together."""
        left = 2 * rows
        while left:
            known = [len(client.arrivals) - client.consumed for client in self.clients]
            part = min(*known, left, 8)
            if not part:
                yield self.clients[0 if not known[0] else 1].delivered
                continue
            cycle = self.scheduler.now
            for place in range(part):
                cycle = 1 + max(cycle, *(client.arrivals[client.consumed + place] for client in self.clients))
            yield cycle - 1
            for client in self.clients:
                client.release(part)
            left -= part
            for group in targets:
                self.engine.weight_written(group, (left + part + 1) // 2 - (left + 1) // 2)
            yield cycle

    def _write_diagonals(self, rows: int, targets: range) -> Wait:
        """A row a cycle, four from each word; two words of either port in turn."""
        for word in range(rows // 4):
            client = self.clients[word // 2 % 2]
            while len(client.arrivals) == client.consumed:
                yield client.delivered
            cycle = max(self.scheduler.now, client.arrivals[client.consumed]) + 4
            yield cycle - 1
            client.release(1)
            for group in targets:
                self.engine.weight_written(group, 4)
            yield cycle
