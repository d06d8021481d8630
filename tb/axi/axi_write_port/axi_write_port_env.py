# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of axi_write_port.v: its clients, the memory behind it, a predictor of every output, coverage."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from gradcore.hardware import OUTSTANDING
from tb.support.agents import PinsAgent, pins
from tb.support.axi_agents import AxiWriteAgent
from tb.support.axi_clients import WritersAgent
from tb.support.axi_port import OUTPUTS, PINS, Burst, PortModel, port_points, see_flow
from tb.support.axi_slave import ERRORS, OKAY, WriteSlave
from tb.support.base import Predictor, UnitEnvironment
from tb.support.stalls import stall_pattern
from tb.support.uvm import Coverage, StreamItem, listen

AHEAD = 5  # bursts whose address is out and whose data are not complete: the one whose data move, and four
CONSTANTS = {"m_axi_awcache": 3, "m_axi_awprot": 0}


class WritePredictor(Predictor):
    """Knows from the pins whose data each burst takes, and says every output of every cycle: beats, done, errors, idle, beat."""

    def build_phase(self) -> None:
        environment = self.get_parent()
        self.port = PortModel(environment.clients.clients, OUTSTANDING, environment.coverage)
        self.moved: dict[str, list[StreamItem]] = {name: [] for name in ("offer", "burst", "request", "take", "beat", "response")}
        self.open: deque[Burst] = deque()  # bursts whose data are not complete
        self.taken = 0  # beats of the first of them
        self.on_the_way = 0  # beats that were taken and are not written
        self.answer: tuple[Burst, int] | None = None  # of the cycle before: a burst that was answered, the response
        self.memory: dict[int, int] = {}  # what the clients have handed over, byte by byte
        self.words = self.done = self.failed = 0
        self.valid = [0, 0]  # data_valid in the last two cycles
        self.offered_data = [-2] * self.port.clients  # cycle, two or more ago, in which a client last offered data
        self.last_offer = 0
        self.ahead = 0  # beats written of bursts whose address is not accepted
        self.last_word = 0  # cycle of the last response

    def hear_all(self, environment: WritePortEnvironment) -> None:
        """What the monitors saw in a cycle is looked at when the pins of the same cycle come, last."""
        memory, clients = environment.memory, environment.clients
        ports = {"offer": memory.offers, "burst": memory.bursts, "beat": memory.beats, "response": memory.responses}
        for name, port in {**ports, "request": clients.requests, "take": clients.beats}.items():
            listen(port, self, self.moved[name].append)
        self.hear(environment.pins, self.cycle)

    def cycle(self, pins: dict[str, Any]) -> None:
        """One cycle."""
        port, environment, moved, cover = self.port, self.get_parent(), self.moved, self.get_parent().coverage
        error_window, address = port.begin(pins)
        assert environment.clients.cycle == environment.memory.cycle == environment.pins.monitor.edges, "agents are not in step"
        self.outputs(pins, error_window, address)
        for client in range(port.clients):
            if self.valid[0] >> client & 1:
                self.offered_data[client] = port.cycle - 2
        self.valid = [self.valid[1], pins["data_valid"]]
        for item in moved["offer"]:
            self.offer(port.offer(item.fields))
        for item in moved["request"]:
            client = item.fields["client"]
            port.request(item.fields, prompt=bool(pins["data_valid"] >> client & 1))
            see_flow(cover, "request_of_client", item, client)
        if port.clear and not port.cleared:
            self.flush()
        for item in moved["beat"]:
            self.on_the_way -= 1
            environment.scoreboard.actual("beats", item.fields)
            self.ahead += 1
        for item in moved["take"]:
            self.take(item)
        for item in moved["burst"]:
            self.ahead -= item.fields["beats"]
        cover.see("data_before_address", self.ahead > 0)
        port.end(pins)
        self.answer = None
        for item in moved["response"]:
            self.respond(item.fields["response"])
        for items in moved.values():
            items.clear()

    def outputs(self, pins: dict[str, Any], error_window: int, address: int | None) -> None:
        """What must stand on the outputs follows from the cycles before."""
        port, environment, now = self.port, self.get_parent(), self.port.cycle
        wrong = {name: pins[name] for name, value in CONSTANTS.items() if pins[name] != value}
        assert not wrong, f"pins that never change: {wrong}"
        assert pins["beat"] == len(self.moved["beat"]), f"beat is {pins['beat']}"
        assert port.cleared or pins["m_axi_wvalid"] == (self.on_the_way > 0), f"wvalid is {pins['m_axi_wvalid']}"
        assert not (port.clear and pins["data_ready"]), "data are taken during a flush"
        done = error_response = 0
        burst, response = self.answer or (None, OKAY)
        if burst is not None and not port.cleared:
            done, error_response = burst.last << burst.client, int(response != OKAY)
        self.done += done > 0
        self.failed += error_response
        assert pins["done"] == done, f"done is {pins['done']:b}, expected {done:b}"
        seen = {name: pins[name] for name in ("error_window", "error_response")}
        if error_window or error_response or any(seen.values()):
            want = {"error_window": error_window, "error_response": error_response}
            if error_window and error_response:
                environment.coverage.see("error_response", "with error_window")
            want["error_address"] = address if error_window else burst.address if burst and error_response else pins["error_address"]
            self.expect("errors", want, f"in cycle {now}")
            environment.scoreboard.actual("errors", {**seen, "error_address": pins["error_address"]})

    def offer(self, burst: Burst) -> None:
        """A burst is issued: its client offers data, and not too many are ahead of their data."""
        client, cover = burst.client, self.get_parent().coverage
        # It was chosen two cycles ago, or earlier while the address before it stood, but after that one was taken.
        assert self.offered_data[client] >= self.last_offer - 1, f"client {client} is chosen and offers no data"
        self.last_offer = self.port.cycle
        self.open.append(burst)
        assert len(self.open) <= AHEAD, f"{len(self.open)} bursts wait for data"
        cover.see("ahead", len(self.open))

    def owner(self, burst: Burst) -> int:
        """Whose data it takes."""
        return burst.client

    def take(self, item: StreamItem) -> None:
        """A client hands over a beat: that of the first burst that is not complete."""
        client, data, strobe = (item.fields[name] for name in ("client", "data", "strobe"))
        cover = self.get_parent().coverage
        assert self.open, f"client {client}: a beat of no burst is taken"
        burst = self.open[0]
        assert client == self.owner(burst), f"client {client}: a beat is taken for the burst of client {self.owner(burst)}"
        where = burst.address + 8 * self.taken
        self.taken += 1
        last = int(self.taken == burst.beats)
        if last:
            self.open.popleft()
            self.taken = 0
        kept = 0
        for lane in range(8):
            if strobe >> lane & 1:
                kept |= data & 0xFF << 8 * lane
                self.memory[where + lane] = data >> 8 * lane & 0xFF
        self.words += 1
        self.send(kept, strobe, last, f"word at {where:#x} of client {client}")
        see_flow(cover, "data_of_client", item, client)
        cover.see("strobe", "all" if strobe == 255 else "none" if not strobe else "some")

    def send(self, data: int, strobe: int, last: int, where: str) -> None:
        """A beat must be written."""
        self.on_the_way += 1
        self.expect("beats", {"data": data, "strobe": strobe, "last": last}, where)

    def flush(self) -> None:
        """A flush begins: what the bursts on the bus still lack is written without strobes."""
        cover = self.get_parent().coverage
        for number, burst in enumerate(self.open):
            begun = self.taken if not number else 0
            cover.see("flush_data", "within a burst" if begun else "whole burst")
            for beat in range(begun, burst.beats):
                self.send(0, 0, int(beat == burst.beats - 1), f"burst at {burst.address:#x}, flushed")
        self.open.clear()
        self.taken = 0

    def respond(self, response: int) -> None:
        """The first burst on the bus is answered."""
        port, cover = self.port, self.get_parent().coverage
        assert port.on_bus, "a response to no burst"
        burst = port.on_bus.popleft()
        self.answer = burst, response
        self.last_word = port.cycle
        if response != OKAY:
            cover.see("error_response", "in a flush" if port.clear else (response, "last" if burst.last else "not last"))

    @property
    def quiet(self) -> bool:
        """Nothing is in hand, and nothing due."""
        return self.port.quiet and self.answer is None and not self.on_the_way


class WritePortEnvironment(UnitEnvironment):
    """Agents of the clients, of the memory and of the other pins."""

    def build_phase(self) -> None:
        super().build_phase()
        dut = self.dut
        # Their tasks run in this order in each cycle; the predictor checks that.
        self.clients = WritersAgent("clients", self, dut)
        self.memory = AxiWriteAgent("memory", self, dut)
        outputs = (*OUTPUTS, "done", "data_valid", "data_ready", "m_axi_wvalid", *CONSTANTS)
        quiet = (*PINS, "error_window", "error_response", "error_address", "done", *CONSTANTS)
        self.pins = PinsAgent("pins", self, pins(dut, PINS, outputs, unknown=("error_address",), quiet=quiet))
        self.memory.slave = WriteSlave(*(stall_pattern("none") for _ in range(3)))
        self.coverage = write_coverage(self, self.clients.clients)
        self.predictor = WritePredictor.create("predictor", self)
        for stream in ("beats", "errors"):
            self.scoreboard.add_stream(stream)

    def connect_phase(self) -> None:
        self.predictor.hear_all(self)
        channels = {"address_channel": self.memory.bursts, "data_channel": self.memory.beats, "response_channel": self.memory.responses}
        for name, port in channels.items():
            listen(port, self, lambda item, name=name: see_flow(self.coverage, name, item))


def write_coverage(parent: WritePortEnvironment, clients: int) -> Coverage:
    """What a complete run must have seen."""
    everyone = range(clients)
    points = port_points(clients, OUTSTANDING, ("request", "burst", "bus"))
    points |= {
        "error_response": [*itertools.product(ERRORS, ("last", "not last")), "in a flush", "with error_window"],
        "request_of_client": list(itertools.product(everyone, ("waited", "gap"))),
        "data_of_client": list(itertools.product(everyone, ("waited", "gap", "back_to_back"))),
        "strobe": ["all", "none", "some"],
        "ahead": list(range(1, AHEAD + (clients > 1))),  # of one client alone no burst is chosen while the one before it is issued
        "data_before_address": [False, True],
        "flush_data": ["within a burst", "whole burst"],
        "address_channel": ["waited", "gap", "back_to_back"],
        "data_channel": ["waited", "gap", "back_to_back"],
        "response_channel": ["gap", "back_to_back"],
    }
    return Coverage("coverage", parent, points)
