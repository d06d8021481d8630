# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of axi_memory.v: a master on each port, a predictor of every word, response and cycle, coverage."""

from __future__ import annotations

import itertools
import random
from collections import deque
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from pyuvm import ConfigDB, uvm_active_passive_enum, uvm_agent, uvm_component, uvm_driver, uvm_sequencer

from tb.support.agents import PinsAgent, pins
from tb.support.axi_agents import BURST, AxiReadAgent, AxiWriteAgent
from tb.support.axi_port import see_flow
from tb.support.axi_slave import OKAY, SLVERR
from tb.support.base import Predictor, UnitEnvironment
from tb.support.declaration import parameter
from tb.support.stalls import stall_pattern
from tb.support.uvm import Coverage, StreamItem, listen

PORTS = (0, 1)
CYCLES = 1024  # in which no more than the share may be carried
BYTES = parameter("BYTES")
READYS = ("arready", "awready", "wready", "rvalid", "rready", "bvalid", "bready")
INPUTS = (
    *(f"{channel}{name}" for channel in ("ar", "aw") for name in (*BURST, "valid")),
    *("wdata", "wstrb", "wlast", "wvalid", "rready", "bready"),
)


@dataclass
class Settings:
    """How the memory behaves: variables of the Verilog, which plusargs set elsewhere."""

    latency: int = 32
    write_latency: int = 32
    outstanding: int = 8
    bytes_per_1024: int = 16384
    stall: int = 0
    read_error_base: int = 0
    read_error_limit: int = 0
    write_error_base: int = 0
    write_error_limit: int = 0


class MasterDriver(uvm_driver):
    """Keeps a port busy with what the sequencer gives: reads (address, beats) and writes (address, beats: data and strobe of each)."""

    def start_of_simulation_phase(self) -> None:
        agent = self.get_parent()
        self.handles = {name: getattr(agent.dut, f"{agent.prefix}_{name}") for name in INPUTS}
        self.shown: dict[str, int] = {}
        self.put(**dict.fromkeys(INPUTS, 0) | {"arsize": 3, "awsize": 3, "arburst": 1, "awburst": 1, "rready": 1, "bready": 1})
        self.waiting: dict[str, deque[dict[str, int]]] = {channel: deque() for channel in ("ar", "aw", "w")}
        self.offered: dict[str, dict[str, int] | None] = dict.fromkeys(self.waiting)
        self.set_stalls("none")

    def set_stalls(self, *kinds: str) -> None:
        """From now on pause after these patterns: one for all channels, or one each for ar, aw, w, r, b."""
        kinds = kinds * 5 if len(kinds) == 1 else kinds
        self.stalls = {name: stall_pattern(kind, random) for name, kind in zip(("ar", "aw", "w", "r", "b"), kinds, strict=True)}

    def put(self, **values: int) -> None:
        """Drive inputs of the port."""
        for name, value in values.items():
            if self.shown.get(name) != value:
                self.shown[name] = self.handles[name].value = value

    async def run_phase(self) -> None:
        cocotb.start_soon(self._play())
        while True:
            item = await self.seq_item_port.get_next_item()
            self.queue(**item.fields)
            self.seq_item_port.item_done()

    async def _play(self) -> None:
        """Each channel's queue in its order, cycle by cycle."""
        agent = self.get_parent()
        ready = {channel: getattr(agent.dut, f"{agent.prefix}_{channel}ready") for channel in self.waiting}
        while True:
            await RisingEdge(agent.dut.clk)
            for channel, queue in self.waiting.items():
                if self.offered[channel] and int(ready[channel].value):
                    self.offered[channel] = None
                if self.offered[channel] is None and queue and not next(self.stalls[channel]):
                    self.offered[channel] = queue.popleft()
                    self.put(**self.offered[channel])
                self.put(**{f"{channel}valid": int(self.offered[channel] is not None)})
            self.put(rready=int(not next(self.stalls["r"])), bready=int(not next(self.stalls["b"])))

    def queue(self, address: int, beats: int, data: tuple[tuple[int, int], ...] = ()) -> None:
        """A burst: a write if it has data."""
        channel = "aw" if data else "ar"
        self.waiting[channel].append({f"{channel}addr": address, f"{channel}len": beats - 1})
        for number, (word, strobe) in enumerate(data, 1):
            self.waiting["w"].append({"wdata": word, "wstrb": strobe, "wlast": int(number == beats)})

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent."""
        return not (any(self.waiting.values()) or any(self.offered.values()))


class MasterAgent(uvm_agent):
    """A port ``s_axi<index>``: monitors of its reads and writes, and while active a master."""

    def __init__(self, name: str, parent: uvm_component, dut: Any, index: int) -> None:
        self.dut, self.prefix = dut, f"s_axi{index}"
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        for name in ("read", "write"):
            ConfigDB().set(self, name, "is_active", uvm_active_passive_enum.UVM_PASSIVE)
        self.read = AxiReadAgent("read", self, self.dut, self.prefix)
        self.write = AxiWriteAgent("write", self, self.dut, self.prefix)
        if self.active():
            self.sequencer = uvm_sequencer("sequencer", self)
            self.driver = MasterDriver("driver", self)

    def connect_phase(self) -> None:
        if self.active():
            self.driver.seq_item_port.connect(self.sequencer.seq_item_export)


@dataclass
class _Port:
    """What the predictor knows of a port."""

    due: deque[tuple[int, bool]] = field(default_factory=deque)  # beats not offered: cycle from which they may be, last of its burst
    write_bursts: deque[tuple[int, int]] = field(default_factory=deque)  # whose data are not complete: address, beats
    data: list[tuple[int, int]] = field(default_factory=list)  # of the first of them
    answers: deque[tuple[int, int, list[tuple[int, int]], int]] = field(default_factory=deque)  # due cycle, address, data, response
    unanswered: dict[int, int] = field(default_factory=dict)  # word -> writes that were sent and are not answered
    read_open: int = 0  # bursts that are not completed
    write_open: int = 0
    read_free: int = 0  # cycle in which the channel can offer again
    answer_free: int = 0
    shown: dict[str, int] = field(default_factory=lambda: dict.fromkeys(READYS, 0))


class MemoryPredictor(Predictor):
    """Bytes of memory, from what the ports did: says each word and response, and the cycle of each ready and valid.

    A read takes what is there when its address is accepted, a write lands when its response is offered. Without stalls and below the share
    of the bandwidth every cycle is exact; a valid or ready that is withheld otherwise must have had its reason.
    """

    def build_phase(self) -> None:
        self.settings: Settings = self.get_parent().settings
        self.ports = [_Port() for _ in PORTS]
        self.moved: dict[tuple[int, str], list[StreamItem]] = {}
        self.memory: dict[int, int] = {}  # byte address -> byte
        self.cycles = 0
        self.beats: deque[int] = deque([0] * CYCLES, CYCLES)  # of each of the last cycles
        self.total = self.carried = 0  # in those, and in all
        self.over = False  # the share became smaller, and more was carried just before
        self.loose = False  # settings change: what is withheld is not looked at

    def hear_all(self, environment: MemoryEnvironment) -> None:
        """What the monitors saw in a cycle is looked at when the pins of the same cycle come, last."""
        for index, master in enumerate(environment.masters):
            read, write = master.read, master.write
            ports = {"ar": read.bursts, "r offer": read.answer_offers, "r": read.beats}
            ports |= {"aw": write.bursts, "w": write.beats, "b offer": write.answer_offers, "b": write.responses}
            for name, port in ports.items():
                self.moved[index, name] = []
                listen(port, self, self.moved[index, name].append)
        self.hear(environment.pins, self.cycle)

    def fields(self, port: int, name: str) -> dict[str, Any] | None:
        """What moved on a channel in this cycle."""
        items = self.moved[port, name]
        return items[0].fields if items else None

    def cycle(self, pins: dict[str, Any]) -> None:
        """One cycle."""
        self.cycles += 1
        environment = self.get_parent()
        edges = {environment.pins.monitor.edges, *(agent.cycle for one in environment.masters for agent in (one.read, one.write))}
        assert len(edges) == 1, "agents are not in step"
        assert not pins["violation"], "the memory says that a rule of AXI was broken"
        # A beat counts in the cycle before that in which it is offered, or when it is taken.
        self.beats[-1] += sum(self.fields(port, "r offer") is not None for port in PORTS)
        self.total += sum(self.fields(port, "r offer") is not None for port in PORTS)
        self.within_share()
        for index, port in enumerate(self.ports):
            now = {name: pins[f"s_axi{index}_{name}"] for name in READYS}
            self.check_port(index, port, now)
            port.shown = now
        taken = sum(self.fields(port, "w") is not None for port in PORTS)
        self.total += taken - self.beats[0]
        self.beats.append(taken)
        for index, port in enumerate(self.ports):
            self.land(index, port)
        for index, port in enumerate(self.ports):
            self.reads(index, port)
            self.writes(index, port)
        for items in self.moved.values():
            items.clear()

    def within_share(self) -> None:
        """No 1,024 cycles carry more."""
        share = self.settings.bytes_per_1024 // 8
        self.over = self.over and self.total > share  # what was carried under another share counts, too
        assert not share or self.over or self.total <= share, f"{self.total} beats in {CYCLES} cycles, the share is {share}"
        if share and self.total == share:
            self.get_parent().coverage.see("share", "used up")

    def check_port(self, index: int, port: _Port, now: dict[str, int]) -> None:
        """Each ready and valid of this cycle follows from the cycles before, or was withheld for a reason."""
        settings, before, cover = self.settings, port.shown, self.get_parent().coverage
        share, stalled = settings.bytes_per_1024 // 8, settings.stall > 0
        full = bool(share) and self.total >= share
        nearly = bool(share) and self.total - self.beats[0] >= share - 3  # places may be kept for reads, and for the other port
        held = {name: before[f"{name}valid"] and not before[f"{name}ready"] for name in ("r", "b")}
        due = bool(port.due) and self.cycles >= max(port.due[0][0], port.read_free)
        answer = bool(port.answers) and self.cycles >= max(port.answers[0][0], port.answer_free)
        may = {
            "arready": port.read_open < settings.outstanding,
            "awready": port.write_open < settings.outstanding,
            "wready": bool(port.write_bursts),
            "rvalid": bool(held["r"]) or due,
            "bvalid": bool(held["b"]) or answer,
        }
        for name, allowed in may.items():
            if now[name]:
                assert allowed, f"port {index}: {name} in cycle {self.cycles}, too early"
                continue
            limited = {"rvalid": full, "wready": nearly}.get(name, False)
            waits = name in ("rvalid", "bvalid") and held[name[0]]
            if self.loose or (self.cycles == 1 and name.endswith("ready")):  # in the first one the reset holds it down
                continue
            assert not allowed or ((stalled or limited) and not waits), f"port {index}: no {name} in cycle {self.cycles}, for no reason"
            if allowed:
                cover.see("withheld", (index, name, "share" if limited else "stall"))
        for name, count in (("reads", port.read_open), ("writes", port.write_open)):
            if settings.outstanding == 8:
                cover.see(f"{name}_in_flight", (index, count))

    def land(self, index: int, port: _Port) -> None:
        """A response is offered for the first time: the write is done."""
        shown = self.fields(index, "b offer")
        if shown is not None:
            _, address, data, response = port.answers.popleft()
            for number, (word, strobe) in enumerate(data):
                if response == OKAY:
                    self.store(address + 8 * number, word, strobe)
                port.unanswered[address // 8 + number] -= 1
        if self.fields(index, "b") is not None:
            port.write_open -= 1
            port.answer_free = self.cycles + 1

    def store(self, address: int, word: int, strobe: int) -> None:
        """Bytes of a word."""
        for lane in range(8):
            if strobe >> lane & 1:
                self.memory[address + lane] = word >> 8 * lane & 0xFF

    def reads(self, index: int, port: _Port) -> None:
        """An address was accepted, and the words are known; a beat was offered, or taken."""
        cover, settings = self.get_parent().coverage, self.settings
        if self.fields(index, "r offer") is not None:
            port.due.popleft()
        taken = self.fields(index, "r")
        if taken is not None:
            port.read_free = self.cycles + 1
            port.read_open -= taken["last"]
        burst = self.fields(index, "ar")
        if burst is None:
            return
        port.read_open += 1
        cover.see("length", (index, "read", burst["beats"]))
        landed = any(self.fields(one, "b offer") is not None for one in PORTS)
        for number in range(burst["beats"]):
            where, last = burst["address"] + 8 * number, number == burst["beats"] - 1
            port.due.append((self.cycles + settings.latency, last))
            assert all(where + lane in self.memory for lane in range(8)), f"this bench reads at {where:#x}, where nothing was written"
            word = sum(self.memory[where + lane] << 8 * lane for lane in range(8))
            bad = settings.read_error_base <= where < settings.read_error_limit
            fields = {"data": word, "response": SLVERR if bad else OKAY, "last": int(last)}
            self.expect(f"reads of port {index}", fields, f"word at {where:#x}")
            waiting = any(one.unanswered.get(where // 8) for one in self.ports)
            cover.see("read_of", "an unanswered write" if waiting else "a word in the cycle of a response" if landed else "a word")
            if bad:
                cover.see("error", (index, "read"))

    def writes(self, index: int, port: _Port) -> None:
        """An address or a beat was accepted; after the last beat the response is known."""
        cover, settings = self.get_parent().coverage, self.settings
        beat, burst = self.fields(index, "w"), self.fields(index, "aw")
        if burst is not None:
            port.write_open += 1
            port.write_bursts.append((burst["address"], burst["beats"]))
            cover.see("length", (index, "write", burst["beats"]))
            for number in range(burst["beats"]):
                word = burst["address"] // 8 + number
                port.unanswered[word] = port.unanswered.get(word, 0) + 1
        if beat is None:
            return
        cover.see("strobe", "all" if beat["strobe"] == 255 else "none" if not beat["strobe"] else "some")
        port.data.append((beat["data"], beat["strobe"]))
        address, beats = port.write_bursts[0]
        if len(port.data) < beats:
            return
        port.write_bursts.popleft()
        words = range(address, address + 8 * beats, 8)
        bad = any(settings.write_error_base <= where < settings.write_error_limit for where in words)
        if bad:
            cover.see("error", (index, "write"))
        port.answers.append((self.cycles + settings.write_latency, address, port.data, SLVERR if bad else OKAY))
        port.data = []
        self.expect(f"responses of port {index}", {"response": SLVERR if bad else OKAY}, f"write at {address:#x}")

    @property
    def quiet(self) -> bool:
        """Nothing is in flight."""
        return not any(port.read_open or port.write_open or port.write_bursts for port in self.ports)


class MemoryEnvironment(UnitEnvironment):
    """A master on each port, the pins of every cycle, predictor, coverage. ``configure`` changes ``settings``, while all is quiet."""

    def build_phase(self) -> None:
        super().build_phase()
        dut = self.dut
        self.settings = Settings()
        # Their tasks run in this order in each cycle; the predictor checks that.
        self.masters = [MasterAgent(f"master{index}", self, dut, index) for index in PORTS]
        watched = ("violation", *(f"s_axi{index}_{name}" for index in PORTS for name in READYS))
        self.pins = PinsAgent("pins", self, pins(dut, (), watched, quiet=("violation",)))
        self.coverage = memory_coverage(self)
        self.predictor = MemoryPredictor.create("predictor", self)
        for index in PORTS:
            for stream in ("reads", "responses"):
                self.scoreboard.add_stream(f"{stream} of port {index}")

    def connect_phase(self) -> None:
        self.predictor.hear_all(self)
        for index, master in enumerate(self.masters):
            for name, port in (("r", master.read.beats), ("b", master.write.responses)):
                listen(port, self, partial(see_flow, self.coverage, f"{name}_channel", client=index))
            for name, port in (("reads", master.read.beats), ("responses", master.write.responses)):
                port.connect(self.scoreboard.actual_export(f"{name} of port {index}"))

    def start_of_simulation_phase(self) -> None:
        self.configure(**asdict(self.settings))
        for checker in (self.dut.checker0, self.dut.checker1):
            checker.violation.value = 0  # of a test before this one

    def configure(self, **values: int) -> None:
        """Change settings, here and in the Verilog, while all is quiet."""
        for name, value in values.items():
            setattr(self.settings, name, value)
            getattr(self.dut, name).value = value
        self.dut.window_beats.value = self.settings.bytes_per_1024 // 8


def memory_coverage(parent: MemoryEnvironment) -> Coverage:
    """What a complete run must have seen."""
    withheld = [(index, name, "stall") for index in PORTS for name in ("arready", "awready", "wready", "rvalid", "bvalid")]
    withheld += [(index, name, "share") for index in PORTS for name in ("wready", "rvalid")]
    points = {
        "length": list(itertools.product(PORTS, ("read", "write"), (1, 2, 15, 16))),
        "strobe": ["all", "none", "some"],
        "read_of": ["an unanswered write", "a word in the cycle of a response", "a word"],
        "error": list(itertools.product(PORTS, ("read", "write"))),
        "withheld": withheld,
        "reads_in_flight": list(itertools.product(PORTS, (0, 1, 7, 8))),
        "writes_in_flight": list(itertools.product(PORTS, (0, 1, 7, 8))),
        "share": ["used up"],
        "r_channel": list(itertools.product(PORTS, ("waited", "gap", "back_to_back"))),
        "b_channel": list(itertools.product(PORTS, ("waited", "gap", "back_to_back"))),
    }
    return Coverage("coverage", parent, points)
