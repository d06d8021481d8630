# SPDX-License-Identifier: Apache-2.0
"""What axi_read_port and axi_write_port have in common: a model of requests, bursts, errors, flush and idle, its coverage, sequences."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gradcore.models.axi.axi_bursts import ADDRESS_LIMIT, BLOCK_BYTES, MAXIMUM_BEATS, PAGE_BYTES, WORD_BYTES, bursts, in_window
from tb.support.axi_slave import OKAY, SLVERR
from tb.support.base import ItemSequence, UnitTest
from tb.support.uvm import Coverage, StreamItem, StreamSequence

LAST_ADDRESS = ADDRESS_LIMIT - 1
STAGE_CYCLES = 3  # from an accepted request to error_window, and for which the request stage is busy after the one in which it accepts
ISSUE_CYCLES = 6  # from an accepted request to a valid address, where nothing else is in hand
REQUEST_CYCLES = 5  # between two requests of a client
PINS = ("flush", "window_base", "window_limit")
OUTPUTS = ("idle", "beat", "error_window", "error_response", "error_address", "request_ready")


@dataclass
class Burst:
    """A burst that a request is cut in. ``last``: of its request. ``request``: the cycle in which that was accepted."""

    client: int
    address: int
    beats: int
    last: bool
    request: int
    first: bool


class PortModel:
    """Follows a port cycle by cycle. A cycle: ``begin``, then what moved in it (``offer``, ``request``), then ``end``.

    Assertions say what the port did wrong. ``on_bus``: bursts that were offered and are not completed, in order; who completes them takes
    them out after ``end``. ``clear``: the port is being flushed in this cycle.
    """

    def __init__(self, clients: int, outstanding: int, coverage: Coverage) -> None:
        self.clients, self.outstanding, self.coverage = clients, outstanding, coverage
        self.cycle = 0
        self.busy = False  # something was in hand in the cycle before
        self.flushing = self.clear = self.cleared = False  # flushing goes on; is cleared; was cleared in the cycle before
        self.last_clear = -2  # cycle
        self.accepted = -STAGE_CYCLES - 1  # cycle of the last request
        self.accepted_of = [-REQUEST_CYCLES] * clients
        self.alone: int | None = None  # cycle of a request beside which nothing is in hand
        self.pending: list[deque[Burst]] = [deque() for _ in range(clients)]
        self.on_bus: deque[Burst] = deque()
        self.window_errors: deque[tuple[int, int]] = deque()  # cycle, address
        self.window = (0, 0)
        self.owners: list[int] = []  # of all bursts
        self.offered: list[int] = []  # and the cycles in which they came
        self.began: int | None = None  # cycle of the first request since a test set it to None
        self.requests = self.refused = 0

    def begin(self, pins: dict[str, Any]) -> tuple[int, int | None]:
        """A cycle begins: checks idle and request_ready. Returns error_window, and its address."""
        self.cycle += 1
        self.clear = bool(pins["flush"]) or self.flushing
        self.window = pins["window_base"], pins["window_limit"]
        assert pins["idle"] == (not self.busy), f"idle is {pins['idle']} {'with work in hand' if self.busy else 'with nothing in hand'}"
        assert not (self.cleared and pins["request_ready"]), "a request is accepted during a flush"
        if self.window_errors and self.window_errors[0][0] == self.cycle:
            self.refused += 1
            return 1, self.window_errors.popleft()[1]
        return 0, None

    def offer(self, fields: dict[str, Any]) -> Burst:
        """A burst stands on the address channel for the first time: the next one of some client. Returns it."""
        address, beats = fields["address"], fields["beats"]
        assert not self.cleared, f"a burst at {address:#x} is issued during a flush"
        owner = [queue for queue in self.pending if queue and (queue[0].address, queue[0].beats) == (address, beats)]
        heads = ", ".join(f"client {queue[0].client} {queue[0].beats} at {queue[0].address:#x}" for queue in self.pending if queue)
        assert owner, f"unexpected burst of {beats} beats at {address:#x}; due is {heads or 'none'}"
        burst = owner[0].popleft()
        waited = self.cycle - burst.request
        assert waited >= ISSUE_CYCLES, f"a burst comes {waited} cycles after its request"
        if burst.first and burst.request == self.alone:
            assert waited == ISSUE_CYCLES, f"the address of a request that was alone comes after {waited} cycles, not {ISSUE_CYCLES}"
            self.alone = None
        self.on_bus.append(burst)
        self.owners.append(burst.client)
        self.offered.append(self.cycle)
        assert len(self.on_bus) <= self.outstanding, f"{len(self.on_bus)} bursts are in flight"
        self._cover_burst(burst)
        return burst

    def request(self, fields: dict[str, Any], prompt: bool = True) -> bool:
        """A request was accepted; whether it is in the window. ``prompt``: it need not wait for its client, for data
        or for room."""
        client, address, words = fields["client"], fields["address"], fields["words"]
        apart = self.cycle - self.accepted_of[client]
        assert self.cycle >= self.last_clear + 2, f"client {client}: a request is accepted in the flush"
        if self.cycle == self.last_clear + 2:
            self.coverage.see("flush_with", "a request at once after it")
        assert apart >= REQUEST_CYCLES, f"client {client}: two requests are accepted within {apart} cycles"
        legal = in_window(address, words, *self.window)
        self.alone = self.cycle if not self.busy and legal and prompt and self.accepted < self.cycle else None
        self.accepted = self.accepted_of[client] = self.cycle
        self.began = self.cycle if self.began is None else self.began
        self.requests += 1
        start = address & -WORD_BYTES
        if legal:
            cut = bursts(address, words)
            ends = (0, len(cut) - 1)
            self.pending[client] += [
                Burst(client, *one, number == ends[1], self.cycle, number == ends[0]) for number, one in enumerate(cut)
            ]  # fmt: skip
        else:
            self.window_errors.append((self.cycle + STAGE_CYCLES, start))
        self._cover_request(client, address, words, apart, legal)
        return legal

    def end(self, pins: dict[str, Any], data: bool = False) -> None:
        """All that moved was told, but for what is completed in this cycle. ``data``: a beat is in the port's register."""
        holds = {
            "request": self.cycle - self.accepted <= STAGE_CYCLES,
            "burst": any(self.pending),
            "bus": bool(self.on_bus),
            "data": data,
        }
        reasons = [name for name, held in holds.items() if held]
        if len(reasons) == 1:
            self.coverage.see("held_busy_by", reasons[0])
        if pins["flush"] and not self.cleared:
            for name in reasons or ["nothing"]:
                self.coverage.see("flush_with", name)
            for due, _ in self.window_errors:
                self.coverage.see("flush_with", f"window error due in {due - self.cycle}")
        if self.flushing and not pins["flush"]:
            self.coverage.see("flush_with", "bus when it falls")
        self._cover_state()
        self.busy = bool(reasons)
        self.flushing = self.clear and bool(pins["flush"] or self.on_bus or data)
        self.cleared = self.clear
        if self.clear:
            self.last_clear = self.cycle
            for queue in self.pending:
                queue.clear()
            self.window_errors.clear()
            self.accepted, self.alone = -STAGE_CYCLES - 1, None
            self.accepted_of = [-REQUEST_CYCLES] * len(self.accepted_of)  # what was on its way is dropped

    @property
    def quiet(self) -> bool:
        """Nothing is in hand, and nothing due."""
        return not (self.busy or any(self.pending) or self.on_bus or self.window_errors or self.clear)

    # ---- Coverage ----

    def _cover_burst(self, burst: Burst) -> None:
        see, end = self.coverage.see, burst.address + WORD_BYTES * burst.beats
        see("length_of_client", (burst.client, burst.beats))
        places = {
            "starts a page": burst.address % PAGE_BYTES == 0,
            "ends a page": end % PAGE_BYTES == 0,
            "ends one word before a page's end": end % PAGE_BYTES == PAGE_BYTES - WORD_BYTES,
            "one word before a page's end": burst.beats == 1 and end % PAGE_BYTES == 0,
        }
        for place, here in places.items():
            if here:
                see("burst_in_page", place)

    def _cover_request(self, client: int, address: int, words: int, apart: int, legal: bool) -> None:
        see, start, (base, limit) = self.coverage.see, address & -WORD_BYTES, self.window
        end = start + WORD_BYTES * words
        see("words", words if words <= 17 else "more")
        see("low_bits", "zero" if address == start else "others")
        if apart == REQUEST_CYCLES:
            see("back_to_back", client)
        if not legal:
            see("refused", client)
        elif start % PAGE_BYTES + WORD_BYTES * words > PAGE_BYTES:
            see("request_in_page", "one word beyond" if end % PAGE_BYTES == WORD_BYTES else "crosses")
        elif end % PAGE_BYTES == 0:
            see("request_in_page", "to the end")
        edges = {
            "no words": words == 0 and base <= start < limit,
            "wraps": end > ADDRESS_LIMIT,
            "window is empty": base >= limit and words > 0,
            "first word": legal and start == base,
            "one word below": not legal and start == base - WORD_BYTES,
            "base inside the first word": not legal and start < base < start + WORD_BYTES,
            "last word": legal and end == limit,
            "one word beyond": not legal and end == limit + WORD_BYTES and start >= base,
            "limit inside the last word": not legal and end - WORD_BYTES < limit < end and start >= base,
            "whole window": legal and start == base and end == limit,
            "last word of all": legal and start == ADDRESS_LIMIT - 2 * WORD_BYTES,
        }
        for edge, here in edges.items():
            if here:
                see("window", edge)

    def _cover_state(self) -> None:
        see, waiting = self.coverage.see, sum(map(bool, self.pending))
        see("in_flight", len(self.on_bus))
        see("waiting_clients", waiting)
        if len(self.on_bus) == self.outstanding and waiting:
            see("in_flight", "held back")


def port_points(clients: int, outstanding: int, holds: Iterable[str]) -> dict[str, list[Any]]:
    """What a complete run of a port must have seen: the points of ``PortModel``. ``holds``: what alone can keep it busy."""
    everyone = list(range(clients))
    return {
        "length_of_client": list(itertools.product(everyone, (1, 2, MAXIMUM_BEATS - 1, MAXIMUM_BEATS))),
        "burst_in_page": ["starts a page", "ends a page", "ends one word before a page's end", "one word before a page's end"],
        "request_in_page": ["to the end", "one word beyond", "crosses"],
        "words": [1, 2, 15, 16, 17, "more"],
        "low_bits": ["zero", "others"],
        "back_to_back": everyone,
        "refused": everyone,
        "window": [
            "no words",
            "wraps",
            "window is empty",
            "first word",
            "one word below",
            "base inside the first word",
            "last word",
            "one word beyond",
            "limit inside the last word",
            "whole window",
            "last word of all",
        ],
        "in_flight": [0, 1, outstanding - 1, outstanding, "held back"],
        "waiting_clients": sorted({0, 1, clients}),
        "held_busy_by": list(holds),
        "flush_with": [
            "nothing",
            *holds,
            *(f"window error due in {cycles}" for cycles in (1, 2, 3)),
            "bus when it falls",
            "a request at once after it",
        ],
    }


def see_flow(coverage: Coverage, point: str, item: StreamItem, client: int | None = None) -> None:
    """How an item moved on a channel, or on a client's port: back to back, after a gap, after it had waited."""
    for kind in ("gap" if item.gap else "back_to_back", *(("waited",) if item.waited else ())):
        coverage.see(point, kind if client is None else (client, kind))


# ---- Sequences ----

Request = dict[str, int]
WINDOWS = ((0x1000, 0x2000), (0, 0x1000), (0xFFFF_F000, LAST_ADDRESS), (0x1004, 0x1FFC), (0, 0), (0x3000, 0x2000))


class PortSequence(ItemSequence):
    """Base: requests (client, address, words). ``clients``: of the port; ``page``: so that runs do not meet in memory."""

    clients = 1
    page = 0

    def items(self) -> Iterator[Request]:
        raise NotImplementedError


class RandomRequests(PortSequence):
    """Round the end of a 4 KiB page of each client's own region, ``count`` for each."""

    count = 2

    def items(self) -> Iterator[Request]:
        for number in range(self.count):
            for client in range(self.clients):
                address = client << 24 | (self.page + number) << 12
                address += random.choice((4096 - 8 * random.randrange(1, 40), 8 * random.randrange(512), 0, 4096 - BLOCK_BYTES))
                words = random.choice((1, 2, 15, 16, 17, random.randrange(1, 70), random.randrange(1, 33)))
                yield {"client": client, "address": address + random.choice((0, 0, 0, 5)), "words": words}


class EveryOffset(PortSequence):
    """Lengths round 16, and 33, at all offsets round a page's end, dealt to the clients."""

    def items(self) -> Iterator[Request]:
        cases = itertools.product(range(34), (1, 2, 15, 16, 17, 18, 33))
        for number, (offset, words) in enumerate(cases):
            client = number % self.clients
            yield {"client": client, "address": client << 24 | PAGE_BYTES - 8 * offset, "words": words}


class WindowEdges(PortSequence):
    """Requests at the edges of a window, to both sides; those inside are of one client, so that it is told whose bursts they are."""

    window = WINDOWS[0]
    words = (0, 1, 2, 3, 17, 512, 513, 65535)

    def items(self) -> Iterator[Request]:
        base, limit = self.window
        steps = (-256, -128, -16, -8, 0, 8, 16)
        starts = sorted({((edge & -8) + step) % ADDRESS_LIMIT for edge in (base, limit) for step in steps})
        number = 0
        for start, words in itertools.product(starts, self.words):
            inside = in_window(start, words, base, limit)
            number += not inside
            yield {"client": 0 if inside else number % self.clients, "address": start, "words": words}


class Refused(PortSequence):
    """A long request of client 0, of five bursts, and then many of all clients that lie outside the window."""

    window, count = WINDOWS[1], 45

    def items(self) -> Iterator[Request]:
        yield {"client": 0, "address": self.window[0] + 40, "words": 64}
        for number in range(self.count * self.clients):
            yield {"client": number % self.clients, "address": self.window[1] + PAGE_BYTES * number, "words": 1}


class Long(PortSequence):
    """Long requests of several clients at once: ``count`` for each, of ``words``; in pages of their own, from ``offset`` on."""

    count, words, offset = 1, 512, 0
    of: Iterable[int] | None = None  # the clients; None: all

    def items(self) -> Iterator[Request]:
        for number in range(self.count):
            for client in range(self.clients) if self.of is None else self.of:
                address = client << 24 | self.page << 12
                yield {"client": client, "address": address + self.offset + WORD_BYTES * self.words * number, "words": self.words}


# ---- Tests ----


class PortTest(UnitTest):
    """Base of the tests of both ports; the window is all of memory. Environments have ``clients``, ``memory``, ``pins``, ``predictor``."""

    watchdog = 10_000
    covers = False

    async def main(self) -> None:
        environment = self.environment
        self.clients, self.slave, self.predictor = environment.clients, environment.memory.slave, environment.predictor
        self.port: PortModel = self.predictor.port
        await self.pulse(flush=0, window_base=0, window_limit=LAST_ADDRESS)
        await self.directed()
        assert self.slave.idle and self.slave.maximum_open <= self.port.outstanding

    async def directed(self) -> None:
        """What the test does."""
        raise NotImplementedError

    async def pulse(self, **values: int) -> None:
        """New values of flush and window."""
        await self.environment.pins.start(StreamSequence("pins", [values]))

    async def ask(self, kind: type[PortSequence], **fields: Any) -> None:
        """Hand the requests of a sequence, made by the factory, to the clients' queues."""
        sequence = kind.create(kind.__name__)
        for name, value in {"clients": self.clients.clients, **fields}.items():
            setattr(sequence, name, value)
        await sequence.start(self.clients.sequencer)

    async def run_all(self, kind: type[PortSequence], **fields: Any) -> None:
        """Ask, and wait until all is answered and the port idle."""
        await self.ask(kind, **fields)
        await self.settled()

    async def settled(self) -> None:
        """Until nothing is in hand."""
        while any(self.clients.queues) or any(self.clients.offered) or not self.predictor.quiet:
            await self.cycles(1)

    async def time_of(self, kind: type[PortSequence], **fields: Any) -> int:
        """Cycles from the first request to the last word."""
        self.port.began = None
        await self.run_all(kind, **fields)
        return self.predictor.last_word - self.port.began

    async def windows(self) -> None:
        """Requests at the very edges of windows; those outside make no access. Errors of both kinds at once."""
        self.slave.latency = 2
        for number, window in enumerate(WINDOWS):
            await self.pulse(window_base=window[0], window_limit=window[1])
            before = self.port.refused, self.slave.beats, self.port.requests
            await self.run_all(WindowEdges, window=window, words=WindowEdges.words if number < 2 else WindowEdges.words[:-3])
            refused, beats, requests = self.port.refused - before[0], self.slave.beats - before[1], self.port.requests - before[2]
            assert refused and (beats > 0) == (refused < requests)
        self.slave.latency, self.slave.error = 32, lambda where: SLVERR
        await self.pulse(window_base=Refused.window[0], window_limit=Refused.window[1])
        # What answers is held back, and then comes in a row, while a request is refused every few cycles.
        late = "response_stalls" if hasattr(self.slave, "response_stalls") else "data_stalls"
        setattr(self.slave, late, itertools.chain([True] * 120, itertools.repeat(False)))
        await self.run_all(Refused)
        for delay in range(REQUEST_CYCLES):  # a flush, as long after a request that is refused
            await self.ask(Refused, count=5)
            while not self.port.window_errors:
                await self.cycles(1)
            await self.cycles(delay)
            await self.flush(1)
        await self.pulse(window_base=0, window_limit=LAST_ADDRESS)
        self.slave.error = lambda where: OKAY

    async def issue(self, count: int) -> None:
        """So many bursts that wait come in a row, one a cycle (one client: every second), once the first is accepted."""
        self.slave.latency, self.slave.address_stalls = 100, itertools.chain([True] * 60, itertools.repeat(False))
        self.port.offered.clear()
        await self.run_all(Long, words=64)
        cycles = [now - self.port.offered[1] for now in self.port.offered[1:count]]
        step = 1 if self.clients.clients > 1 else 2
        assert cycles == list(range(0, step * len(cycles), step)), f"bursts that waited come in cycles {cycles}"

    async def flush(self, cycles: int, requests: int = 0) -> None:
        """Flush for so long, and wait until the port is idle again. ``requests``: of each client, which wait for the end of it."""
        await self.pulse(flush=1)
        await self.cycles(cycles - 1)
        await self.pulse(flush=0)
        await self.run_all(RandomRequests, page=250, count=requests)

    async def flushes(self) -> None:
        """Flushes at random moments under the stalls that are set; the port works on."""
        self.slave.latency, self.slave.error = 20, lambda where: SLVERR * (random.random() < 0.2)
        busy, words = 0, self.predictor.words
        for number in range(24):
            if number:
                await self.ask(RandomRequests, page=3 * number, count=3)
                await self.cycles(random.randrange(1, 150))
            busy += not self.slave.idle
            await self.flush(random.choice((1, 2, 5, 60)), requests=number % 2)
            if number % 3 == 0:
                await self.run_all(RandomRequests, page=200 + number, count=1)
        assert busy > 5 and self.predictor.words > words + 100


class FewRequests(EveryOffset):
    """Some of the requests, for twins."""

    def items(self) -> Iterator[Request]:
        return itertools.islice(super().items(), 30)


def longer_bursts(port: PortModel, client: int) -> None:
    """What a wrong model does, for twins: takes the client's next bursts to be twice as long."""
    port.pending[client] = deque(replace(burst, beats=2 * burst.beats) for burst in port.pending[client])
