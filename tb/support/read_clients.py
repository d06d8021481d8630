# SPDX-License-Identifier: Apache-2.0
"""Agent of all read clients of a unit at once: its ports are flat vectors with a part for each client.

One task a cycle drives and watches them all, which is several times as fast as a ``ReadClientAgent`` for each.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

from pyuvm import uvm_agent, uvm_analysis_port, uvm_component

from tb.support.read_client import WordMemory
from tb.support.stalls import stall_pattern
from tb.support.streams import each_cycle
from tb.support.uvm import CheckFailure, SeenItem
from tb.support.watched import number


class ReadClientsAgent(uvm_agent):
    """The ports <prefix>_request_* and <prefix>_response_* of ``clients`` read clients.

    ``requests`` publishes each accepted request (client, address, words); ``reads`` each request when its last word is taken, with its
    words (``data``, a tuple). Checks what ``StreamMonitor`` does: requests stand until they are accepted; X fails. While active
    it answers from ``memory``, in each client's order, ``latency`` cycles late; random bits stand where nothing is valid.

    ``moves``: (client, "request" or "response", "back_to_back", "gap" or "waited") -> how often it was seen.
    """

    memory: WordMemory
    latency = 0

    def __init__(self, name: str, parent: uvm_component, dut: Any, clients: int, prefix: str = "read") -> None:
        self.dut, self.clients, self.prefix = dut, clients, prefix
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.requests = uvm_analysis_port("requests", self)
        self.reads = uvm_analysis_port("reads", self)
        self.moves: dict[tuple[int, str, str], int] = {}
        self._last = [[-2, -2] for _ in range(self.clients)]  # cycle of the last transfer: request, response
        self._waits = [[0, 0] for _ in range(self.clients)]
        self.cycle = 0
        self.set_stalls("none", "none")
        self._forget()

    def set_stalls(self, request: str, response: str) -> None:
        """From now on stall after these patterns."""

        def patterns(kind: str) -> list[Iterator[bool]]:
            return [stall_pattern(kind, random.Random(random.getrandbits(32))) for _ in range(self.clients)]

        self.stalls = patterns(request), patterns(response)

    @property
    def idle(self) -> bool:
        """True when every word that was asked for has been taken."""
        return not any(self._open)

    def _forget(self) -> None:
        self._open: list[deque[tuple[dict[str, int], list[int]]]] = [deque() for _ in range(self.clients)]
        self._held: list[tuple[int, int] | None] = [None] * self.clients  # a request that waits
        self._queue: list[deque[tuple[int, int]]] = [deque() for _ in range(self.clients)]  # (earliest cycle, word)
        self._words: list[int | None] = [None] * self.clients  # on the response ports

    def start_of_simulation_phase(self) -> None:
        names = ("request_valid", "request_ready", "request_address", "request_words", "response_valid", "response_ready", "response_data")
        self._ports = {name: getattr(self.dut, f"{self.prefix}_{name}") for name in names}
        if self.active():
            self._drive(0, 0)

    def _drive(self, ready: int, valid: int) -> None:
        self._ready, self._valid = ready, valid
        self._ports["request_ready"].value = ready
        self._ports["response_valid"].value = valid
        self._drive_words()

    def _drive_words(self) -> None:
        self._ports["response_data"].value = sum(
            (random.getrandbits(64) if word is None else word) << 64 * client for client, word in enumerate(self._words)
        )

    def _bits(self, name: str) -> int:
        value = self._ports[name].value
        try:
            return int(value)
        except ValueError as error:
            raise CheckFailure(self, f"{self.prefix}_{name} is {value} while not in reset") from error

    def _part(self, name: str, client: int) -> int:
        text = str(self._ports[name].value)
        width = len(text) // self.clients
        end = len(text) - width * client
        try:
            return int(text[end - width : end], 2)
        except ValueError as error:
            raise CheckFailure(self, f"client {client}: {self.prefix}_{name} is {text[end - width : end]}") from error

    def _moved(self, client: int, port: int) -> None:
        name = ("request", "response")[port]
        last, waits = self._last[client], self._waits[client]
        kinds = ["back_to_back" if last[port] == self.cycle - 1 - waits[port] else "gap", *(["waited"] if waits[port] else [])]
        for kind in kinds:
            self.moves[client, name, kind] = self.moves.get((client, name, kind), 0) + 1
        last[port], waits[port] = self.cycle, 0

    async def run_phase(self) -> None:
        each_cycle(self.dut.clk, self._edge)

    def _edge(self) -> None:
        """A rising edge of the clock."""
        active = self.active()
        self.cycle += 1
        if number(self.dut.rst):
            self._forget()
            if active and (self._ready or self._valid):
                self._drive(0, 0)
            return
        ready = self._ready if active else self._bits("request_ready")
        asked = self._bits("request_valid")
        if asked or any(self._held):
            self._take_requests(asked, ready)
        valid = self._valid if active else self._bits("response_valid")
        if valid:
            self._take_words(valid, self._bits("response_ready"))
        if active:
            self._next()

    def _take_requests(self, asked: int, ready: int) -> None:
        for client in range(self.clients):
            held = self._held[client]
            if not asked >> client & 1:
                if held:
                    raise CheckFailure(self, f"client {client}: valid dropped before ready; the request was {held}")
                continue
            request = self._part("request_address", client), self._part("request_words", client)
            if held and held != request:
                raise CheckFailure(self, f"client {client}: the request changed while it waited: {held} -> {request}")
            self._held[client] = None if ready >> client & 1 else request
            if self._held[client]:
                self._waits[client][0] += 1
                continue
            self._moved(client, 0)
            fields = {"client": client, "address": request[0], "words": request[1]}
            self._open[client].append((fields, []))
            if self.active():
                words = self.memory.read(*request)
                self._queue[client] += [(self.cycle + self.latency, int(word)) for word in words]
            self.requests.write(SeenItem(**fields))

    def _take_words(self, valid: int, ready: int) -> None:
        for client in range(self.clients):
            if not valid >> client & 1:
                continue
            if not ready >> client & 1:
                self._waits[client][1] += 1
                continue
            self._moved(client, 1)
            word = self._words[client] if self.active() else self._part("response_data", client)
            self._words[client] = None
            request, words = next((entry for entry in self._open[client] if len(entry[1]) < entry[0]["words"]), ({}, []))
            if not request:
                raise CheckFailure(self, f"client {client}: a word that no request asked for")
            words.append(word)
            if len(words) == request["words"]:
                self._open[client].popleft()
                self.reads.write(SeenItem(**request, data=tuple(words)))

    def _next(self) -> None:
        """Drive the next cycle."""
        requests, responses = self.stalls
        ready = valid = 0
        new = False
        for client, (queue, stall) in enumerate(zip(self._queue, requests, strict=True)):
            ready |= (not next(stall)) << client
            if self._words[client] is None and queue and queue[0][0] <= self.cycle and not next(responses[client]):
                self._words[client] = queue.popleft()[1]
                new = True
            valid |= (self._words[client] is not None) << client
        if ready != self._ready:
            self._ready = ready
            self._ports["request_ready"].value = ready
        if valid != self._valid:
            self._ports["response_valid"].value = valid
        if new or valid != self._valid:
            self._drive_words()
        self._valid = valid
