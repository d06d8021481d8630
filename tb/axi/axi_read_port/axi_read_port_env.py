# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of axi_read_port.v: its clients, the memory behind it, a predictor of every output, coverage."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from gradcore.hardware import OUTSTANDING, RESPONSE_WORDS
from tb.support.agents import PinsAgent, pins
from tb.support.axi_agents import AxiReadAgent
from tb.support.axi_clients import ReadersAgent
from tb.support.axi_port import OUTPUTS, PINS, Burst, PortModel, port_points, see_flow
from tb.support.axi_slave import ERRORS, OKAY, ReadSlave
from tb.support.base import Predictor, UnitEnvironment
from tb.support.stalls import stall_pattern
from tb.support.uvm import Coverage, StreamItem, listen

BEAT_CYCLES = 2  # from a beat on the bus to response_valid
BURST = 16  # words that must have room before a burst is issued
CONSTANTS = {"m_axi_arcache": 3, "m_axi_arprot": 0}


def word_at(address: int) -> int:
    """What the memory holds at an address: a mixture of its bits, in each bit and byte any value."""
    mixed = (address // 8 + 1) * 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF
    return mixed ^ mixed >> 29


class ReadPredictor(Predictor):
    """Knows from the pins whose each beat is, and says every output of every cycle: who gets which word when, errors, idle, beat."""

    def build_phase(self) -> None:
        environment = self.get_parent()
        clients = environment.clients.clients
        self.port = PortModel(clients, OUTSTANDING, environment.coverage)
        shallow = environment.parameter("SHALLOW")  # bit c: client c has half of the words
        self.depth = [RESPONSE_WORDS // (1 + (shallow >> client & 1)) for client in range(clients)]
        self.moved: dict[str, list[StreamItem]] = {name: [] for name in ("offer", "request", "word", "beat")}
        self.fifo: list[deque[tuple[int, int, int]]] = [deque() for _ in range(clients)]  # cycle from which it is offered, data, address
        self.promised = [0] * clients  # words of bursts that were offered and have not been taken
        self.sent = 0  # beats of the burst that is answered
        self.beat: dict[str, Any] | None = None  # of the cycle before, with its burst
        self.words = 0
        self.last_word = 0  # cycle

    def hear_all(self, environment: ReadPortEnvironment) -> None:
        """What the monitors saw in a cycle is looked at when the pins of the same cycle come, last."""
        ports = {"offer": environment.memory.offers, "beat": environment.memory.beats}
        ports |= {"request": environment.clients.requests, "word": environment.clients.words}
        for name, port in ports.items():
            listen(port, self, self.moved[name].append)
        self.hear(environment.pins, self.cycle)

    def cycle(self, pins: dict[str, Any]) -> None:
        """One cycle."""
        port, environment, moved = self.port, self.get_parent(), self.moved
        error_window, address = port.begin(pins)
        assert environment.clients.cycle == environment.memory.cycle == environment.pins.monitor.edges, "agents are not in step"
        self.outputs(pins, error_window, address)
        for item in moved["offer"]:
            self.promise(port.offer(item.fields))
        for item in moved["request"]:
            client = item.fields["client"]
            port.request(item.fields, prompt=self.depth[client] - self.promised[client] >= BURST)
            see_flow(environment.coverage, "request_of_client", item, client)
        for item in moved["word"]:
            self.word(item)
        data = self.beat is not None
        port.end(pins, data)
        self.beat = None
        for item in moved["beat"]:
            self.take_beat(item.fields)
        if port.clear:
            for client, queue in enumerate(self.fifo):
                if queue:
                    environment.coverage.see("flush_words", client)
                queue.clear()
                self.promised[client] = 0
        for items in moved.values():
            items.clear()

    def outputs(self, pins: dict[str, Any], error_window: int, address: int | None) -> None:
        """What must stand on the outputs follows from the cycles before."""
        port, environment, now = self.port, self.get_parent(), self.port.cycle
        beat = self.beat
        wrong = {name: pins[name] for name, value in CONSTANTS.items() if pins[name] != value}
        assert not wrong, f"pins that never change: {wrong}"
        assert pins["beat"] == (beat is not None), f"beat is {pins['beat']}"
        error_response = int(beat is not None and beat["response"] != OKAY and not port.cleared)
        if beat is not None and beat["response"] != OKAY:
            place = "only" if beat["burst"].beats == 1 else "first" if beat["first"] else "last" if beat["last"] else "middle"
            if port.cleared:
                environment.coverage.see("error_response", "in a flush")
            else:
                environment.coverage.see("error_response", (beat["response"], place))
        seen = {name: pins[name] for name in ("error_window", "error_response")}
        if error_window or error_response or any(seen.values()):
            want = {"error_window": error_window, "error_response": error_response}
            if error_window and error_response:
                environment.coverage.see("error_response", "with error_window")
            want["error_address"] = address if error_window else beat["burst"].address if error_response else pins["error_address"]
            self.expect("errors", want, f"in cycle {now}")
            environment.scoreboard.actual("errors", {**seen, "error_address": pins["error_address"]})
        valid = sum((bool(queue) and queue[0][0] <= now) << client for client, queue in enumerate(self.fifo))
        assert pins["response_valid"] == valid, f"response_valid is {pins['response_valid']:b}, expected {valid:b}"

    def promise(self, burst: Burst) -> None:
        """A burst is issued: its words must have room."""
        client, cover = burst.client, self.get_parent().coverage
        self.promised[client] += burst.beats
        room = self.depth[client] - self.promised[client]
        assert room >= 0, f"client {client}: a burst of {burst.beats} has no room: {self.promised[client]} words are promised"
        cover.see("room_of_client", (client, "none" if room == 0 else "less than a burst" if room < BURST else "a burst"))

    def owner(self, burst: Burst) -> int:
        """Whose words they are."""
        return burst.client

    def take_beat(self, beat: dict[str, Any]) -> None:
        """A beat of the first burst on the bus; a client will be offered it."""
        port = self.port
        assert port.on_bus, "a beat of no burst"
        burst = port.on_bus[0]
        self.beat = {**beat, "burst": burst, "first": self.sent == 0}
        address = burst.address + 8 * self.sent
        self.sent += 1
        assert beat["last"] == (self.sent == burst.beats), f"rlast on beat {self.sent} of {burst.beats}"
        if beat["last"]:
            port.on_bus.popleft()
            self.sent = 0
        if not port.clear:
            self.fifo[self.owner(burst)].append((port.cycle + BEAT_CYCLES, beat["data"], address))

    def word(self, item: StreamItem) -> None:
        """A client takes a word."""
        client, data = item.fields["client"], item.fields["data"]
        _, want, address = self.fifo[client].popleft()
        self.promised[client] -= 1
        self.words += 1
        self.last_word = self.port.cycle
        self.expect(f"words of client {client}", {"data": want}, f"word at {address:#x}, cycle {self.port.cycle}")
        self.get_parent().scoreboard.actual(f"words of client {client}", {"data": data})
        see_flow(self.get_parent().coverage, "response_of_client", item, client)

    @property
    def quiet(self) -> bool:
        """Nothing is in hand, and every word was taken."""
        return self.port.quiet and self.beat is None and not any(self.fifo)


class ReadPortEnvironment(UnitEnvironment):
    """Agents of the clients, of the memory and of the other pins; while active a memory that holds a function of the address."""

    def build_phase(self) -> None:
        super().build_phase()
        dut = self.dut
        # Their tasks run in this order in each cycle; the predictor checks that.
        self.clients = ReadersAgent("clients", self, dut)
        self.memory = AxiReadAgent("memory", self, dut)
        outputs = (*OUTPUTS, "response_valid", *CONSTANTS)
        quiet = (*PINS, "error_window", "error_response", "error_address", *CONSTANTS)
        self.pins = PinsAgent("pins", self, pins(dut, PINS, outputs, unknown=("error_address",), quiet=quiet))
        self.memory.slave = ReadSlave(word_at, stall_pattern("none"), stall_pattern("none"))
        self.coverage = read_coverage(self, self.clients.clients)
        self.predictor = ReadPredictor.create("predictor", self)
        for client in range(self.clients.clients):
            self.scoreboard.add_stream(f"words of client {client}")
        self.scoreboard.add_stream("errors")

    def connect_phase(self) -> None:
        self.predictor.hear_all(self)
        listen(self.memory.bursts, self, lambda item: see_flow(self.coverage, "address_channel", item))
        listen(self.memory.beats, self, lambda item: see_flow(self.coverage, "data_channel", item))


def read_coverage(parent: ReadPortEnvironment, clients: int) -> Coverage:
    """What a complete run must have seen."""
    everyone = range(clients)
    points = port_points(clients, OUTSTANDING, ("request", "burst", "bus", "data"))
    points |= {
        "error_response": [
            *itertools.product(ERRORS, ("only", "first", "middle", "last")),
            "in a flush",
            "with error_window",
        ],
        "room_of_client": list(itertools.product(everyone, ("none", "less than a burst", "a burst"))),
        "request_of_client": list(itertools.product(everyone, ("waited", "gap"))),
        "response_of_client": list(itertools.product(everyone, ("waited", "gap", "back_to_back"))),
        "flush_words": list(everyone),
        "address_channel": ["waited", "gap", "back_to_back"],
        "data_channel": ["gap", "back_to_back"],
    }
    return Coverage("coverage", parent, points)
