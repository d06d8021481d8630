# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of the whole core: registers, memory behind the back door, and the environments of all units, passive, inside.

The predictor hears what software writes to the registers and what was put into memory; of a start it says, from ``models.network``
alone, what the run must leave: every byte of memory, and the registers of results. What a unit makes is compared by that unit's own
environment with what went into it, so that the first to deviate names itself; the message says, too, of which descriptor, layer and
tile its job was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pyuvm import ConfigDB, uvm_agent, uvm_analysis_port

from gradcore import hardware
from gradcore.models.quantised import QuantisedNetwork
from tb.support.axi_agents import AxiLiteAgent, AxiLiteItem
from tb.support.base import Predictor, UnitEnvironment, place
from tb.support.streams import StreamMonitor
from tb.support.uvm import CheckFailure, Coverage, SeenItem, listen
from tb.system.internals import Instance, units
from tb.system.mismatch import describe, job_place
from tb.system.session import GUARD, METHODS, Case, Expectation, Request, expectation

PORTS = ("read 0", "read 1", "write 0", "write 1")
KINDS = tuple(f"conv {rest}" for rest in ("", "relu", "pool", "relu pool")) + ("fc ", "fc relu")
SEED_MODES = tuple(hardware.SEED_MODES)
NAMES = {address: name for name, address in hardware.ADDRESSES.items()}
EQUAL = "the memories are equal"


@dataclass(frozen=True)
class Loaded:
    """What was put into memory: a case, and the seed that software supplies int (H, W, C), or None."""

    case: Case
    seed: np.ndarray | None = None


class MemoryAgent(uvm_agent):
    """The back door, and a monitor of the requests at the memory (``requests``), which must lie in ``window``.

    ``loads`` publishes what was loaded (``Loaded``), ``dumps`` the memory after a run, uint8 from GUARD bytes before the window on.
    """

    def build_phase(self) -> None:
        self.loads = uvm_analysis_port("loads", self)
        self.dumps = uvm_analysis_port("dumps", self)
        self.requests = uvm_analysis_port("requests", self)
        self.window = (0, 0)

    def start_of_simulation_phase(self) -> None:
        dut = cocotb.top
        fields = {"ports": dut.request, "address": dut.request_address, "beats": dut.request_beats}
        # Sampled in every cycle: `request` says for which ports there is something.
        self.monitor = StreamMonitor(dut.clk, dut.request_any, None, fields, rst=dut.rst, callback=self._request)

    def _request(self, fields: dict[str, int]) -> None:
        for port, name in enumerate(PORTS):
            if fields["ports"] >> port & 1:
                address = fields["address"] >> 32 * port & 0xFFFFFFFF
                size = 8 * (fields["beats"] >> 8 * port & 0xFF)
                low, high = self.window
                if not (low <= address and address + size <= high):
                    raise CheckFailure(self, f"{name} at {address:#x}, {size} bytes: outside {self.window}")
                self.requests.write(SeenItem(port=port))

    async def _pulse(self, name: str, address: int, words: int) -> None:
        dut = cocotb.top
        dut.address.value, dut.words.value = address, words
        getattr(dut, name).value = 1
        await RisingEdge(dut.clk)
        getattr(dut, name).value = 0
        await RisingEdge(dut.clk)

    async def load(self, loaded: Loaded, before: np.ndarray) -> None:
        """Put uint8 data, whole words, into memory, from GUARD bytes before the window on."""
        self.window = loaded.case.program.window
        words = before.view("<u8")
        Path("load.hex").write_text("\n".join(f"{int(word):016x}" for word in words) + "\n")
        await self._pulse("load", self.window[0] - GUARD, len(words))
        self.loads.write(loaded)

    async def dump(self) -> None:
        """Read and publish all memory in and around the window. Undefined bits fail."""
        base, limit = self.window
        await self._pulse("dump", base - GUARD, (limit - base + 2 * GUARD) // 8)
        words = [int(line, 16) for line in Path("dump.hex").read_text().split()]
        self.dumps.write(np.array(words, dtype="<u8").view(np.uint8))


class SystemPredictor(Predictor):
    """What a run must leave, from what software has written: memory, and what it reads of results afterwards."""

    def build_phase(self) -> None:
        self.registers: dict[str, int] = {}
        self.loaded: Loaded | None = None
        self.request = Request()
        self.want: Expectation | None = None
        self.runs = 0

    def load(self, loaded: Loaded) -> None:
        """Memory was loaded."""
        self.loaded = loaded

    def access(self, item: AxiLiteItem) -> None:
        """Software has accessed a register."""
        name = NAMES[item.address]
        if item.data is not None:
            self.registers[name] = item.data
            if name == "CONTROL" and item.data & hardware.CONTROL_START:
                self.start()
        elif self.want is not None:
            value = self.result(name, self.want)
            if value is not None:
                layer = self.registers.get("LAYER_INDEX", 0)
                where = f"{name} of layer {layer}" if name.startswith("LAYER") else name
                self.expect("registers", {"register": name, "value": value}, where)
                self.get_parent().scoreboard.actual("registers", {"register": name, "value": item.result})

    def start(self) -> None:
        """A run begins: know its outcome."""
        loaded, written = self.loaded, self.registers
        assert loaded is not None, "a start, and nothing was loaded"
        mode = SEED_MODES[written["SEED_MODE"]]
        target = None
        if mode == "INDEX":
            target = loaded.case.program.logits.value_index(written["SEED_INDEX"])
        explain = bool(written["CONTROL"] & hardware.CONTROL_EXPLAIN)
        self.request = Request(METHODS[written["METHOD"]], explain, target, loaded.seed if mode == "SUPPLIED" else None)
        self.want = self.expectation(loaded.case, self.request)
        self.expect("memory", {"memory": EQUAL}, f"run {self.runs} of {loaded.case.program.name}: {self.request.method}, seed {mode}")
        self.runs += 1

    def expectation(self, case: Case, request: Request) -> Expectation:
        """What a run must leave."""
        return expectation(case, request)

    def result(self, name: str, want: Expectation) -> int | None:
        """What a register of results must show after the run; None: nothing is said of it."""
        if name == "LAYER_SATURATED":
            layer = self.registers["LAYER_INDEX"]
            return want.saturated[layer] if layer < len(want.saturated) else 0
        return {
            "STATUS": hardware.STATUS_DONE,
            "ERROR_ADDRESS": 0,
            "CLASS_INDEX": want.class_index,
            "CLASS_VALUE": want.class_value & 0xFFFF,
        }.get(name)

    def dumped(self, memory: np.ndarray) -> None:
        """What memory holds after the run."""
        assert self.want is not None and self.loaded is not None, "memory was read without a run"
        case, want = self.loaded.case, self.want
        told = EQUAL if np.array_equal(memory, want.after) else describe(case.program, memory, want.after, case.program.window[0] - GUARD)
        self.get_parent().scoreboard.actual("memory", {"memory": told})
        self.get_parent().cover(case, self.request, want)


class SystemEnvironment(UnitEnvironment):
    """Register port, memory, predictor, coverage; the environments of all units, passive."""

    def build_phase(self) -> None:
        super().build_phase()
        groups = self.parameter("GROUPS")
        self.bus = AxiLiteAgent("bus", self, self.dut)
        self.memory = MemoryAgent("memory", self)
        self.predictor = SystemPredictor.create("predictor", self)
        for stream in ("memory", "registers"):
            self.scoreboard.add_stream(stream)
        self.coverage = Coverage(
            "coverage",
            self,
            points={"kind": KINDS, "method": METHODS, "direction": ("forward", "backward"), "seed": SEED_MODES},
            crosses={"kind_by_method": ("kind", "method", "direction")},
        )
        self.ports = Coverage("ports", self, points={"port": PORTS, "stalled": (False, True)}, crosses={"all": ("port", "stalled")})
        self.saturation = Coverage("saturation", self, points={"saturates": ("forward", "backward")})
        ConfigDB().set(self, "*", "place_of", self.place_of)
        self.units = units(groups)
        self.inside: dict[str, UnitEnvironment] = {}
        for name, unit in self.units.items():
            place(self, name, Instance(self.dut, unit.path), **unit.parameters)
            self.inside[name] = unit.environment.create(name, self)

    def connect_phase(self) -> None:
        predictor = self.predictor
        listen(self.memory.loads, predictor, predictor.load)
        listen(self.memory.dumps, predictor, predictor.dumped)
        listen(self.memory.requests, self, self._requested)
        listen(self.bus.monitor.analysis_port, predictor, predictor.access)

    def place_of(self, component: Any, text: str) -> str:
        """Of which descriptor, layer and tile the job is that a unit's message names."""
        name = component.get_full_name().removeprefix(f"{self.get_full_name()}.").partition(".")[0]
        job, loaded = re.search(r"\bjob (\d+)", text), self.predictor.loaded
        if name not in self.units or loaded is None:
            return ""
        opcode, run = self.units[name].opcode, f"{self.predictor.request.method}, run {self.predictor.runs - 1}"
        return "\n  ".join(("", f"{name}: {job_place(loaded.case.program, opcode, int(job[1]), text) if opcode and job else ''} ({run})"))

    def _requested(self, item: SeenItem) -> None:
        self.ports.sample(port=PORTS[item.fields["port"]], stalled=int(cocotb.top.stall.value) != 0)

    def cover(self, case: Case, request: Request, want: Expectation) -> None:
        """Count the layers of a run that has been checked."""
        for place_, values in enumerate(want.saturated):
            if values:
                self.saturation.sample(saturates="forward" if place_ < case.program.count else "backward")
        self.coverage.sample(seed=request.seed_mode if request.explain else None)
        for layer in case.network.layers if isinstance(case.network, QuantisedNetwork) else ():  # kinds are those of chains
            kind = f"{layer.kind} {' '.join(name for name in ('relu', 'pool') if getattr(layer, name))}"
            for direction in ("forward", "backward") if request.explain else ("forward",):
                self.coverage.sample(kind=kind, method=request.method, direction=direction)
