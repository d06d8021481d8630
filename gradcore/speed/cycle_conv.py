# SPDX-License-Identifier: Apache-2.0
"""The conv groups of the cycle model: unit_dispatcher, conv_stream, output_buffer, and when a tile is computed.

A stream's tap scanner and entry issuer are followed tap by tap: which taps hold something says the tile; a tap of n
entries is issued in n cycles, a pixel in 16 at least. What is taken in the cycle in which it can be taken needs no event
of its own, so a unit of output is one step of the model and its transfers to the output buffer are the next ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from gradcore.hardware import LANES  # issues a pixel at least; results leave one lane a cycle
from gradcore.models.tags import WINDOW_PIECES
from gradcore.speed.cycle_kernel import Counter, JobQueue, Scheduler, Signal

Wait = Generator["int | Signal", None, None]
TAPS_AHEAD = 14  # taps that the scanner may be ahead: it stops at 10 in the FIFO, four more are on their way
FIRST_WORD = 17  # cycles from the end of a pixel's issues to its first word: 8 to the lanes' sums, 4 stages, 4 values, a register
DESCRIBED = 16  # units of a stream whose first sum has not been taken
PARTIAL_HERE = 12  # cycles from the end of a pixel's issues to the first issue of one that goes on with its sums: 9 to lane 0's, 3 to claim
PARTIAL_DONE = 25  # cycles from the end of a unit's issues to its last sum in the FIFO: 9 to the first, 15 to the last, a register
FIRST_LANE = 8  # cycles from the end of a pixel's issues to its first sum
TRANSFERS = 9  # places of a stream's transfer FIFO, and the register behind it
WORDS = 4  # words of a unit


@dataclass
class Tile:
    """A TILE job as the groups see it.

    Attributes:
        number: among the TILE jobs. wait_weights: WEIGHTS jobs that must have been loaded.
        blocks, unit_rows, unit_columns: as in the descriptor. pieces: tag pieces of a unit and block: 0, 1, 3, or of a window 4, one
            behind each word.
        from_partial, to_partial: as in the descriptor. stored: TILE jobs before it that store.
        taps: taps[row][column] is a list of the unit's pixels, each a list of the entries of its taps (0: outside or
            nothing there); filled when the tile is loaded.
    """

    number: int
    wait_weights: int
    blocks: int
    unit_rows: int
    unit_columns: int
    pieces: int
    from_partial: bool
    to_partial: bool
    stored: int
    taps: list[list[list[list[int]]]]

    @property
    def in_turn(self) -> bool:
        """Whether its units go to the streams in turn."""
        return self.from_partial or self.to_partial


class OutputSide:
    """One side of the output buffer: rtl/convolution/output_arbiter.v, a transfer a cycle, round robin with a registered grant."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.streams: list[Stream] = []
        self._requests = 0  # a bit for each stream
        self._grant = 0
        self._ticking = False

    def request(self, number: int) -> None:
        """The transfer at the head of a stream's FIFO wants this side from now on."""
        self._requests |= 1 << number
        if not self._ticking:
            self._ticking = True
            self.scheduler.call_last(self.scheduler.now, self._tick)

    def _tick(self, _: object) -> None:
        requests, granted = self._requests, self._grant
        if not requests:
            self._ticking = False
            return
        candidates = requests >> granted + 1 << granted + 1 or requests
        self._grant = (candidates & -candidates).bit_length() - 1
        if requests >> granted & 1:
            self._requests &= ~(1 << granted)
            self.streams[granted].taken()
        self.scheduler.call_last(self.scheduler.now + 1, self._tick)


class Stream:
    """One stream of a group.

    Attributes:
        free: cycle from which the scanner takes a unit.
        frozen: cycles in which the issuer stood still for its output or for a weight write.
    """

    def __init__(self, scheduler: Scheduler, number: int) -> None:
        self.scheduler, self.number = scheduler, number
        self.free = 0
        self.frozen = 0
        self._held_back = False  # the scanner waits for the issuer
        self._ready = 0  # cycle from which the issuer holds the next tap
        self._taps = 0
        self._taken = [0] * TAPS_AHEAD  # when the last taps were taken by the issuer
        self._described: deque[int] = deque()  # when units' first sums are taken, in cycles that are not frozen
        self._partial: deque[int] = deque()  # when pixels may go on with the sums that wait, in cycles that are not frozen
        self._transfers: deque[tuple[OutputSide, TileProgress | None]] = deque()  # those in the FIFO
        self._full_since: int | None = None
        self._resumed = Signal(scheduler)

    def freeze(self, cycles: int, since: int | None = None) -> None:
        """The issuer stands still for some cycles from ``since`` (now) on."""
        since = self.scheduler.now if since is None else since
        self.frozen += cycles
        if self._ready > since:
            self._ready += cycles
            self._taken = [cycle + cycles if cycle > since else cycle for cycle in self._taken]
        if self._held_back and self.free > since:
            self.free += cycles

    def weight_written(self, rows: int) -> None:
        """Rows are written in the weight buffer through this stream's port: a cycle each."""
        if self._full_since is None:
            self.freeze(rows)

    def takes_unit(self) -> bool:
        """Whether the stream can take a unit now."""
        now = self.scheduler.now
        stuck = self._full_since is not None and self._held_back and self.free > self._full_since
        if self.free > now or stuck:
            return False
        thawed = (now if self._full_since is None else self._full_since) - self.frozen
        while self._described and self._described[0] < thawed:
            self._described.popleft()
        return len(self._described) < DESCRIBED

    def scan(self, pixels: list[list[int]], tile: Tile) -> int:
        """Take a unit now; returns the cycle after its last issue, counted in cycles in which the stream is not frozen."""
        step = self.scheduler.now
        self._held_back = False
        for taps in pixels:
            first = held = None
            if tile.from_partial:
                self._ready = max(self._ready, self._partial.popleft() + self.frozen)
            step += 1  # BEGIN
            for count in taps:
                step += 1
                if count:
                    if (room := self._taken[self._taps % TAPS_AHEAD] + 1) > step:
                        step, self._held_back = room, True
                    if held is not None:
                        loaded = self._issue(held, step + 4)
                        first = loaded if first is None else first
                    held = count
            loaded = self._issue(held or 0, step + 5)
            first = loaded if first is None else first
            self._ready = max(self._ready, first + LANES)
            if tile.to_partial:
                self._partial.append(self._ready + PARTIAL_HERE - self.frozen)
            step += 1  # from pixel to pixel
            if taps is pixels[0]:
                self._described.append(self._ready + FIRST_LANE - self.frozen)
        self.free = step + 1
        return self._ready - self.frozen

    def _issue(self, count: int, seen: int) -> int:
        """A tap that the issuer sees from a cycle on; returns the cycle of its first issue."""
        loaded = max(self._ready, seen + 1)
        self._taken[self._taps % TAPS_AHEAD] = loaded - 1
        self._taps += 1
        self._ready = loaded + max(count, 1)
        return loaded

    def drain(self, end: int, side: OutputSide, pieces: int, progress: TileProgress) -> Wait:
        """The transfers of a unit whose issues end before cycle ``end`` of the stream."""
        scheduler = self.scheduler
        words = [FIRST_WORD + 4 * word for word in range(WORDS)]
        behind = words if pieces == WINDOW_PIECES else [words[-1] + piece for piece in range(pieces)]
        for number, place in enumerate(sorted([*words, *(one + 1 for one in behind)])):
            target = end + place
            while True:
                if self._full_since is not None:
                    yield self._resumed
                elif scheduler.now < target + self.frozen:
                    yield target + self.frozen
                else:
                    break
            self._transfers.append((side, progress if number == WORDS + pieces - 1 else None))
            if len(self._transfers) == 1:
                scheduler.call(scheduler.now + 1, side.request, self.number)
            elif len(self._transfers) >= TRANSFERS:  # the stream stands still while its FIFO is full
                self._full_since = scheduler.now

    def keep(self, end: int, progress: TileProgress) -> Wait:
        """The sums of a unit whose issues end before cycle ``end`` of the stream stay."""
        while True:
            if self._full_since is not None:
                yield self._resumed
            elif self.scheduler.now < end + PARTIAL_DONE + self.frozen:
                yield end + PARTIAL_DONE + self.frozen
            else:
                break
        progress.unit_done(self.scheduler.now)

    def taken(self) -> None:
        """The transfer at the head is taken now."""
        scheduler = self.scheduler
        _, progress = self._transfers.popleft()
        if self._transfers:
            scheduler.call(scheduler.now + 1, self._transfers[0][0].request, self.number)
        if self._full_since is not None:
            self.freeze(scheduler.now - self._full_since, self._full_since)
            self._full_since = None
            self._resumed.notify()
        if progress is not None:
            progress.unit_done(scheduler.now)


class TileProgress:
    """Units of one tile that a group still computes."""

    def __init__(self, group: Group, tile: Tile) -> None:
        self.group, self.tile = group, tile
        self.units = 0
        self.dispatched = False
        self.last = 0

    def unit_done(self, cycle: int) -> None:
        """The last transfer of a unit was taken in a cycle."""
        self.units -= 1
        self.last = max(self.last, cycle)
        self.check()

    def check(self) -> None:
        """Report the tile when nothing is left."""
        if self.dispatched and not self.units:
            self.group.engine.group_done(self.tile, max(self.last, self.group.scheduler.now - 1))


class Group:
    """A conv group: dispatcher and two streams."""

    def __init__(self, engine: ConvEngine, number: int) -> None:
        self.engine, self.number = engine, number
        self.scheduler = engine.scheduler
        self.streams = tuple(Stream(engine.scheduler, 2 * number + stream) for stream in (0, 1))
        for side in engine.sides:
            side.streams.extend(self.streams)
        self.queue = JobQueue(engine.scheduler)
        self._busy_until = 0
        self._prefer = 0

    def share(self, tile: Tile) -> tuple[int, int] | None:
        """(set, copies) of this group in a tile; None without work."""
        copies = self.engine.groups // tile.blocks
        return None if self.number >= tile.blocks * copies else (self.number // tile.blocks, copies)

    def run(self) -> Wait:
        """The dispatcher."""
        engine, scheduler = self.engine, self.scheduler
        while True:
            tile: Tile = yield from self.queue.head()
            while engine.loaded.value <= tile.number:
                yield engine.loaded
            while not tile.to_partial and engine.released.value < tile.stored - 1:
                yield engine.released
            while engine.weights.value < tile.wait_weights:
                yield engine.weights
            progress = TileProgress(self, tile)
            share = self.share(tile)
            if share is None:
                yield scheduler.now + 2
            else:
                yield scheduler.now + 5  # the fields, can_start, start, STEPS, ROW
                yield from self._units(tile, progress, *share)
                # SCANNERS: the scanners' last taps leave a cycle after the scanner could take a unit.
                while scheduler.now <= (ready := max(stream.free for stream in self.streams)):
                    yield ready + 1
            self.queue.pop()
            progress.dispatched = True
            progress.check()
            yield scheduler.now + 1

    def _units(self, tile: Tile, progress: TileProgress, own: int, copies: int) -> Wait:
        scheduler, streams = self.scheduler, self.streams
        if tile.in_turn:
            self._prefer = 0
        for row in range(tile.unit_rows):
            passed = 0
            for column in range((own - row) % copies, tile.unit_columns, copies):
                yield scheduler.now + column - passed + 1  # WALK: a unit a cycle, and one to see that it is this one
                passed = column
                while True:
                    choice = self._prefer
                    if not (tile.in_turn or streams[choice].takes_unit()):
                        choice = 1 - choice
                    if streams[choice].takes_unit():
                        break
                    free = streams[choice].free if tile.in_turn else min(stream.free for stream in streams)
                    yield max(scheduler.now + 1, free)
                self._prefer = 1 - choice
                stream = streams[choice]
                end = stream.scan(tile.taps[row][column], tile)
                progress.units += 1
                if tile.to_partial:
                    scheduler.resume(end + stream.frozen + PARTIAL_DONE, stream.keep(end, progress))
                    yield scheduler.now + 1
                    continue
                side = self.engine.sides[row % 2]
                scheduler.resume(end + stream.frozen + FIRST_WORD, stream.drain(end, side, tile.pieces, progress))
                yield scheduler.now + 1
            yield scheduler.now + tile.unit_columns - passed + 3  # to the row's end, which is seen, NEXT_ROW, ROW


class ConvEngine:
    """All groups, and the output buffer's two sides.

    Attributes:
        loaded, released, weights: tiles loaded, output banks read out, WEIGHTS jobs loaded, as the groups see them.
        computed: tiles that all groups have computed, as loader, weight loader and store see it.
    """

    def __init__(self, scheduler: Scheduler, groups: int) -> None:
        self.scheduler = scheduler
        self.groups = groups
        self.loaded, self.released = Counter(scheduler), Counter(scheduler)
        self.weights, self.computed = Counter(scheduler), Counter(scheduler)
        self.sides = (OutputSide(scheduler), OutputSide(scheduler))
        self.members = [Group(self, number) for number in range(groups)]
        self._reports: dict[int, list[int]] = {}
        for group in self.members:
            scheduler.resume(0, group.run())

    def group_done(self, tile: Tile, cycle: int) -> None:
        """A group's last transfer of a tile was taken in a cycle; four registers later the tile is computed."""
        reports = self._reports.setdefault(tile.number, [])
        reports.append(cycle)
        if len(reports) == self.groups:
            del self._reports[tile.number]
            self.computed.add_at(max(max(reports) + 5, self.scheduler.now))

    def weight_written(self, group: int, rows: int) -> None:
        """Rows are written in a group's weight buffer: a cycle each in which its second stream stands still."""
        self.members[group].streams[1].weight_written(rows)
