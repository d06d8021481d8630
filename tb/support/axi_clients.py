# SPDX-License-Identifier: Apache-2.0
"""Agents that play all clients of an AXI port at once: ``ReadersAgent`` of axi_read_port, ``WritersAgent`` of axi_write_port.

One task a cycle watches all clients, whose ports are parts of flat vectors; while active it drives them, too.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cocotb.triggers import RisingEdge
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_driver, uvm_sequence, uvm_sequencer

from gradcore.models.axi.axi_bursts import in_window
from tb.support.stalls import stall_pattern
from tb.support.streams import each_cycle
from tb.support.uvm import CheckFailure, StreamItem
from tb.support.watched import number

LANES = (255, 255, 255, 3, 0xF0, 0x80, 0)  # strobes of a beat, beside random ones


class _Stream:
    """One stream of all clients: an item stands, unchanged, until it is taken."""

    def __init__(self, agent: ClientsAgent, name: str, fields: tuple[str, ...]) -> None:
        self.agent, self.name, self.fields = agent, name, fields
        self.forget()
        self.last = [-2] * agent.clients  # cycle of each client's last transfer

    def forget(self) -> None:
        """Nothing waits."""
        self.held: list[tuple[int, ...] | None] = [None] * self.agent.clients
        self.since = [0] * self.agent.clients  # cycle in which what waits was offered

    def step(self, valid: int, ready: int, publish: Callable[[StreamItem], None]) -> int:
        """One cycle: publishes what moves (client, fields; ``waited``, ``gap``). Returns the clients of which something did."""
        agent, cycle = self.agent, self.agent.cycle
        if not valid and not any(self.held):
            return 0
        for client in range(agent.clients):
            held = self.held[client]
            if not valid >> client & 1:
                if held:
                    raise CheckFailure(agent, f"client {client}: {self.name}_valid dropped before ready; it was {held}")
                continue
            now = tuple(agent.part(field, client) for field in self.fields)
            if held is None:
                self.since[client] = cycle
            elif held != now:
                raise CheckFailure(agent, f"client {client}: {self.name} changed while it waited: {held} -> {now}")
            self.held[client] = now
            if ready >> client & 1:
                item = StreamItem(client=client, **dict(zip(self.fields, now, strict=True)))
                item.waited, item.gap = cycle - self.since[client], self.since[client] - self.last[client] - 1
                self.held[client], self.last[client] = None, cycle
                publish(item)
        return valid & ready


class _RequestDriver(uvm_driver):
    """Hands what the sequencer gives to the agent's queues, one for each client."""

    async def run_phase(self) -> None:
        while True:
            item = await self.seq_item_port.get_next_item()
            self.get_parent().queues[item.fields["client"]].append((item.fields["address"], item.fields["words"]))
            self.seq_item_port.item_done()


class ClientsAgent(uvm_agent):
    """Base: the ports request_* of ``dut``, one part a client; ``flush`` drops what was not accepted.

    ``requests`` publishes each accepted request (client, address, words). While active the clients ask for what the sequencer
    gets (client, address, words): each in its order, no one waits for another. ``set_stalls`` says after which patterns ports pause.
    Where nothing is valid random bits stand.
    """

    def __init__(self, name: str, parent: uvm_component, dut: Any) -> None:
        self.dut, self.clients = dut, len(str(dut.request_valid.value))
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.cycle = 0
        self.requests = uvm_analysis_port("requests", self)
        self._request = _Stream(self, "request", ("request_address", "request_words"))
        self._texts: dict[str, str] = {}
        if self.active():
            self.sequencer = uvm_sequencer("sequencer", self)
            self.driver = _RequestDriver("driver", self)
            self.queues: list[deque[tuple[int, int]]] = [deque() for _ in range(self.clients)]
            self.offered: list[tuple[int, int] | None] = [None] * self.clients
            self.set_stalls("none", "none")

    def connect_phase(self) -> None:
        if self.active():
            self.driver.seq_item_port.connect(self.sequencer.seq_item_export)

    def set_stalls(self, request: str, other: str) -> None:
        """From now on requests, and the clients' other port, pause after these patterns."""

        def patterns(kind: str) -> list[Iterator[bool]]:
            return [stall_pattern(kind, random.Random(random.getrandbits(32))) for _ in range(self.clients)]

        self.request_stalls, self.stalls = patterns(request), patterns(other)

    async def start(self, sequence: uvm_sequence) -> None:
        """Run a sequence, and wait until its last request is accepted or dropped."""
        await sequence.start(self.sequencer)
        while any(self.queues) or any(self.offered):
            await RisingEdge(self.dut.clk)

    def number(self, name: str) -> int:
        """What stands on a port; X fails."""
        value = self.dut_ports[name].value
        try:
            return int(value)
        except ValueError as error:
            raise CheckFailure(self, f"{name} is {value} while not in reset") from error

    def part(self, name: str, client: int) -> int:
        """A client's part of a port in this cycle; X fails."""
        text = self._texts.get(name) or self._texts.setdefault(name, str(self.dut_ports[name].value))
        width = len(text) // self.clients
        end = len(text) - width * client
        try:
            return int(text[end - width : end], 2)
        except ValueError as error:
            raise CheckFailure(self, f"client {client}: {name} is {text[end - width : end]}") from error

    ports = ("flush", "request_valid", "request_ready", "request_address", "request_words")
    driven = ("request_valid", "request_address", "request_words")

    def start_of_simulation_phase(self) -> None:
        self.dut_ports = {name: getattr(self.dut, name) for name in self.ports}
        self.shown = dict.fromkeys(self.driven, 0)
        if self.active():
            for name in self.driven:
                self.dut_ports[name].value = 0

    async def run_phase(self) -> None:
        each_cycle(self.dut.clk, self._edge)

    def _edge(self) -> None:
        """A rising edge of the clock."""
        active = self.active()
        self.cycle += 1
        if number(self.dut.rst):
            self._request.forget()
            self._forget()
            return
        self._texts.clear()
        valid = self.shown["request_valid"] if active else self.number("request_valid")
        moved = self._request.step(valid, self.number("request_ready") if valid else 0, self._publish_request)
        if moved and active:
            self.offered = [None if moved >> client & 1 else item for client, item in enumerate(self.offered)]
        self._watch()
        flush = self.number("flush")
        if flush:
            self._request.forget()
            self._forget()
        if active:
            if flush:
                for queue in self.queues:
                    queue.clear()
                self.offered = [None] * self.clients
            self._drive_requests()
            self._drive()

    def _publish_request(self, item: StreamItem) -> None:
        fields = item.fields
        item.fields = {"client": fields["client"], "address": fields["request_address"], "words": fields["request_words"]}
        self.requests.write(item)

    def _drive_requests(self) -> None:
        offered, new = self.offered, False
        for client, queue in enumerate(self.queues):
            if queue and offered[client] is None and not next(self.request_stalls[client]):
                offered[client] = queue.popleft()
                self._offer(client, *offered[client])
                new = True
        if self.show("request_valid", sum((item is not None) << client for client, item in enumerate(offered))) or new:
            items = [item or (random.getrandbits(32), random.getrandbits(16)) for item in offered]
            self.show("request_address", sum(item[0] << 32 * client for client, item in enumerate(items)))
            self.show("request_words", sum(item[1] << 16 * client for client, item in enumerate(items)))

    def show(self, name: str, value: int) -> bool:
        """Drive a port, if its value changes; returns whether it does."""
        if self.shown[name] == value:
            return False
        self.shown[name] = self.dut_ports[name].value = value
        return True

    # What the other port of a client adds.

    def _offer(self, client: int, address: int, words: int) -> None:
        """A request is offered from the next cycle on."""

    def _forget(self) -> None:
        """A reset, or a flush: nothing is in hand."""

    def _watch(self) -> None:
        """The cycle's other ports."""

    def _drive(self) -> None:
        """Drive them for the next cycle."""


class ReadersAgent(ClientsAgent):
    """Clients of a read port. ``words`` publishes each word that a client takes (client, data)."""

    ports = (*ClientsAgent.ports, "response_valid", "response_ready", "response_data")
    driven = (*ClientsAgent.driven, "response_ready")

    def build_phase(self) -> None:
        super().build_phase()
        self.words = uvm_analysis_port("words", self)
        self._response = _Stream(self, "response", ("response_data",))

    def _forget(self) -> None:
        self._response.forget()

    def _watch(self) -> None:
        valid = self.number("response_valid")
        ready = self.shown["response_ready"] if self.active() else self.number("response_ready")
        self._response.step(valid, ready, self._publish_word)

    def _publish_word(self, item: StreamItem) -> None:
        item.fields = {"client": item.fields["client"], "data": item.fields["response_data"]}
        self.words.write(item)

    def _drive(self) -> None:
        self.show("response_ready", sum((not next(stall)) << client for client, stall in enumerate(self.stalls)))


class WritersAgent(ClientsAgent):
    """Clients of a write port. ``beats`` publishes each beat that is taken (client, data, strobe).

    While active a client hands over random beats for each request that lies in the window that the pins show.
    """

    ports = (*ClientsAgent.ports, "data_valid", "data_ready", "data", "strobe", "window_base", "window_limit")
    driven = (*ClientsAgent.driven, "data_valid", "data", "strobe")

    def build_phase(self) -> None:
        super().build_phase()
        self.beats = uvm_analysis_port("beats", self)
        self._data = _Stream(self, "data", ("data", "strobe"))
        self._forget()

    def _forget(self) -> None:
        self._data.forget()
        self.left = [0] * self.clients  # beats that a client has still to offer
        self.beat: list[tuple[int, int] | None] = [None] * self.clients

    def _offer(self, client: int, address: int, words: int) -> None:
        if in_window(address, words, self.number("window_base"), self.number("window_limit")):
            self.left[client] += words

    def _watch(self) -> None:
        valid = self.shown["data_valid"] if self.active() else self.number("data_valid")
        moved = self._data.step(valid, self.number("data_ready") if valid else 0, self.beats.write)
        if moved and self.active():
            self.beat = [None if moved >> client & 1 else beat for client, beat in enumerate(self.beat)]

    def _drive(self) -> None:
        new = False
        for client in range(self.clients):
            if self.left[client] and self.beat[client] is None and not next(self.stalls[client]):
                self.left[client] -= 1
                self.beat[client] = random.getrandbits(64), random.choice((*LANES, random.getrandbits(8)))
                new = True
        if self.show("data_valid", sum((beat is not None) << client for client, beat in enumerate(self.beat))) or new:
            beats = [beat or (random.getrandbits(64), random.getrandbits(8)) for beat in self.beat]
            self.show("data", sum(beat[0] << 64 * client for client, beat in enumerate(beats)))
            self.show("strobe", sum(beat[1] << 8 * client for client, beat in enumerate(beats)))
