# SPDX-License-Identifier: Apache-2.0
"""What axi_read_port and axi_write_port have in common: a model of requests, bursts, errors, flush and idle, its coverage, sequences."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gradcore.models.axi.axi_bursts import ADDRESS_LIMIT, BLOCK_BYTES, MAXIMUM_BEATS, PAGE_BYTES, WORD_BYTES, bursts, in_window
from tb.support.base import ItemSequence
from tb.support.uvm import Coverage

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
        self.accepted = -STAGE_CYCLES - 1  # cycle of the last request
        self.accepted_of = [-REQUEST_CYCLES] * clients
        self.alone: int | None = None  # cycle of a request beside which nothing is in hand
        self.pending: list[deque[Burst]] = [deque() for _ in range(clients)]
        self.on_bus: deque[Burst] = deque()
        self.window_errors: deque[tuple[int, int]] = deque()  # cycle, address
        self.window = (0, 0)
        self.owners: list[int] = []  # of all bursts
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
        assert len(self.on_bus) <= self.outstanding, f"{len(self.on_bus)} bursts are in flight"
        self._cover_burst(burst)
        return burst

    def request(self, fields: dict[str, Any], prompt: bool = True) -> bool:
        """A request was accepted; whether it is in the window. ``prompt``: it need not wait for its client's data."""
        client, address, words = fields["client"], fields["address"], fields["words"]
        apart = self.cycle - self.accepted_of[client]
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
            if self.window_errors:
                self.coverage.see("flush_with", "window error")
        if self.flushing and not pins["flush"]:
            self.coverage.see("flush_with", "bus when it falls")
        self._cover_state()
        self.busy = bool(reasons)
        self.flushing = self.clear and bool(pins["flush"] or self.on_bus or data)
        self.cleared = self.clear
        if self.clear:
            for queue in self.pending:
                queue.clear()
            self.window_errors.clear()
            self.accepted, self.alone = -STAGE_CYCLES - 1, None

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
        "flush_with": ["nothing", *holds, "window error", "bus when it falls"],
    }


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
    """A long request of client 0, and then many of all clients that lie outside the window."""

    window = WINDOWS[1]

    def items(self) -> Iterator[Request]:
        yield {"client": 0, "address": self.window[0], "words": 64}
        for number in range(24 + self.clients):
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
