# SPDX-License-Identifier: Apache-2.0
"""pyuvm bench of the whole core (top system.v): a register agent on AXI4-Lite, memory behind the back door.

The register agent's driver is cocotbext-axi's AxiLiteMaster; a test is a sequence of register accesses, as software would
make them. After each run the memory agent publishes what every region of memory holds, and each AXI request is published
by a monitor. The scoreboard expects the regions as ``tb.system.session.expectation`` makes them from ``models.network``,
and the register values that the golden model knows. Coverage: every kind of layer in both directions by every method, and
requests of every port.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import cocotb
import numpy as np
import pyuvm
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from pyuvm import (
    uvm_agent,
    uvm_analysis_port,
    uvm_driver,
    uvm_env,
    uvm_sequence,
    uvm_sequence_item,
    uvm_sequencer,
    uvm_test,
)

from gradcore import hardware
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import StreamMonitor, start_clock_and_reset, wait_until
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, StreamItem
from tb.system.session import GUARD, METHODS, START, WATCHDOG, Case, Expectation, Request, expectation, layered_case

CYCLE_LIMIT = 100_000
PORTS = ("read 0", "read 1", "write 0", "write 1")
# One network for each method; together every kind of layer, with every kind by each method.
LAYERS = {
    "saliency": ["conv3:5 relu pool bias", "conv1:17 relu", "conv3:3", "conv1:2 pool", "fc:6 relu bias", "fc:3 bias"],
    "deconvnet": ["conv1:20 relu bias", "conv3:4 relu pool", "conv3:2 bias pool", "conv1:3", "fc:9 relu", "fc:4"],
    "guided": ["conv3:18 pool bias", "conv1:4 relu pool", "conv3:6 relu bias", "conv3:1", "fc:5 relu", "fc:18 bias"],
}
SHAPES = {"saliency": (3, 6, 5), "deconvnet": (1, 5, 6), "guided": (4, 5, 7)}
KINDS = tuple(f"conv {rest}" for rest in ("", "relu", "pool", "relu pool")) + ("fc ", "fc relu")


class RegisterItem(uvm_sequence_item):
    """One access; a read leaves its value in ``value``."""

    def __init__(self, register: str, value: int | None = None) -> None:
        super().__init__(register)
        self.register, self.write = register, value is not None
        self.value = 0 if value is None else value


class RegisterSequence(uvm_sequence):
    """Accesses in order: (name, value) writes, (name, None) reads."""

    def __init__(self, accesses: list[tuple[str, int | None]]) -> None:
        super().__init__("registers")
        self.items = [RegisterItem(name, value) for name, value in accesses]

    async def body(self) -> None:
        for item in self.items:
            await self.start_item(item)
            await self.finish_item(item)


class RegisterDriver(uvm_driver):
    """Makes the accesses on AXI4-Lite, with stalls on all channels, and publishes them."""

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)

    async def run_phase(self) -> None:
        dut = cocotb.top
        master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        write, read = master.write_if, master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            stalls = random.choice(STALLS)
            if stalls != "none":
                channel.set_pause_generator(stall_pattern(stalls, random.Random(random.getrandbits(32))))
        for interface in (write, read):
            interface.log.setLevel("WARNING")
        while True:
            item = await self.seq_item_port.get_next_item()
            address = hardware.ADDRESSES[item.register]
            if item.write:
                answer = await master.write(address, item.value.to_bytes(4, "little"))
            else:
                answer = await master.read(address, 4)
                item.value = int.from_bytes(answer.data, "little")
            assert int(answer.resp) == 0, f"{item.register} answered {answer.resp!r}"
            self.analysis_port.write(StreamItem(register=item.register, write=item.write, value=item.value))
            self.seq_item_port.item_done()


class RegisterAgent(uvm_agent):
    """Sequencer and driver of the register port."""

    def build_phase(self) -> None:
        self.sequencer = uvm_sequencer("sequencer", self)
        self.driver = RegisterDriver("driver", self)

    def connect_phase(self) -> None:
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)

    async def access(self, accesses: list[tuple[str, int | None]]) -> list[int]:
        """Make the accesses; returns the values, read or written."""
        sequence = RegisterSequence(accesses)
        await sequence.start(self.sequencer)
        return [item.value for item in sequence.items]


class MemoryAgent(uvm_agent):
    """The back door, and a monitor of the requests at the memory (``requests``), which must lie in ``window``."""

    def build_phase(self) -> None:
        self.contents = uvm_analysis_port("contents", self)
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
                assert low <= address and address + size <= high, f"{name} at {address:#x}, {size} bytes: outside {self.window}"
                self.requests.write(StreamItem(port=port))

    async def _pulse(self, name: str, address: int, words: int) -> None:
        dut = cocotb.top
        dut.address.value, dut.words.value = address, words
        getattr(dut, name).value = 1
        await RisingEdge(dut.clk)
        getattr(dut, name).value = 0
        await RisingEdge(dut.clk)

    async def load(self, address: int, data: np.ndarray) -> None:
        """Put uint8 data, whole words, into memory."""
        words = data.view("<u8")
        Path("load.hex").write_text("\n".join(f"{int(word):016x}" for word in words) + "\n")
        await self._pulse("load", address, len(words))

    async def dump(self, address: int, size: int) -> np.ndarray:
        """Read whole words as uint8. Undefined bits fail."""
        await self._pulse("dump", address, size // 8)
        words = [int(line, 16) for line in Path("dump.hex").read_text().split()]
        return np.array(words, dtype="<u8").view(np.uint8)

    def publish(self, case: Case, memory: np.ndarray) -> None:
        """Every region, and what lies between regions, as one item each."""
        for fields in region_items(case, memory):
            self.contents.write(StreamItem(**fields))


def region_items(case: Case, memory: np.ndarray) -> list[dict]:
    """{region, data}: the regions of a memory that begins GUARD bytes before the window, then all the rest."""
    base = case.program.window[0] - GUARD
    items, rest = [], np.ones(len(memory), dtype=bool)
    for name, region in case.program.regions.items():
        part = slice(region.address - base, region.end - base)
        rest[part] = False
        items.append({"region": name, "data": memory[part].tobytes()})
    return [*items, {"region": "the rest", "data": memory[rest].tobytes()}]


@dataclass
class Run:
    """What a test runs: a case, a request, and the memory's stalls in 1/1000."""

    case: Case
    request: Request
    stall: int
    want: Expectation


class SystemEnvironment(uvm_env):
    """Agents, scoreboard, coverage."""

    def build_phase(self) -> None:
        self.registers = RegisterAgent("registers", self)
        self.memory = MemoryAgent("memory", self)
        self.scoreboard = Scoreboard("scoreboard", self)
        self.coverage = Coverage(
            "coverage",
            self,
            points={"kind": KINDS, "method": METHODS, "direction": ("forward", "backward")},
            crosses={"kind_by_method": ("kind", "method", "direction")},
        )
        self.ports = Coverage("ports", self, points={"port": PORTS, "stalled": (False, True)}, crosses={"all": ("port", "stalled")})
        self.saturation = Coverage("saturation", self, points={"saturates": ("forward", "backward")})
        self.port_watch = CallbackSubscriber("port_watch", self, self.saw_request)

    def connect_phase(self) -> None:
        self.memory.contents.connect(self.scoreboard.actual_export("memory"))
        self.memory.requests.connect(self.port_watch.analysis_export)
        self.scoreboard.add_stream("registers")
        self.scoreboard.add_stream("saturated")

    def saw_request(self, fields: dict[str, int]) -> None:
        self.ports.sample(port=PORTS[fields["port"]], stalled=int(cocotb.top.stall.value) != 0)

    def cover(self, run: Run) -> None:
        """Count the layers of a run that has been checked."""
        for place, values in enumerate(run.want.saturated):
            if values:
                self.saturation.sample(saturates="forward" if place < run.case.program.count else "backward")
        for layer in run.case.network.layers:
            kind = f"{layer.kind} {' '.join(name for name in ('relu', 'pool') if getattr(layer, name))}"
            for direction in ("forward", "backward") if run.request.explain else ("forward",):
                self.coverage.sample(kind=kind, method=run.request.method, direction=direction)


class SystemTest(uvm_test):
    """Base: runs what ``runs`` says, without resets between them."""

    def runs(self) -> list[Run]:
        raise NotImplementedError

    def build_phase(self) -> None:
        self.environment = SystemEnvironment("environment", self)

    async def run_phase(self) -> None:
        self.raise_objection()
        dut = cocotb.top
        for name in ("stall", "load", "dump", "address", "words"):
            getattr(dut, name).value = 0
        runs = self.runs()
        await start_clock_and_reset(dut)
        for run in runs:
            await self.run_one(run)
        self.environment.scoreboard.planned["memory"] = sum(len(run.case.program.regions) + 1 for run in runs)
        self.drop_objection()

    async def run_one(self, run: Run) -> None:
        """Load, write registers, wait for the interrupt, check."""
        dut, environment, program = cocotb.top, self.environment, run.case.program
        memory, registers, scoreboard = environment.memory, environment.registers, environment.scoreboard
        base, limit = memory.window = program.window
        dut.stall.value = run.stall
        await memory.load(base - GUARD, run.want.before)
        target = run.request.target
        await registers.access(
            [
                ("PROGRAM_ADDRESS", program.program_address),
                ("WINDOW_BASE", base),
                ("WINDOW_LIMIT", limit),
                ("WATCHDOG", WATCHDOG),
                ("METHOD", hardware.METHODS[run.request.method]),
                ("SEED_MODE", hardware.SEED_MODES[run.request.seed_mode]),
                ("SEED_INDEX", 0 if target is None else program.seed_index(target)),
                ("CONTROL", START | (hardware.CONTROL_EXPLAIN if run.request.explain else 0)),
            ]
        )
        cycles = await wait_until(dut.clk, lambda: int(dut.irq.value) == 1, CYCLE_LIMIT, "the interrupt")
        cocotb.log.info("%s %s: %d cycles", program.name, run.request.method, cycles)
        expected = {
            "STATUS": hardware.STATUS_DONE,
            "INTERRUPT": hardware.INTERRUPT_PENDING,
            "ERROR_ADDRESS": 0,
            "CLASS_INDEX": run.want.class_index,
            "CLASS_VALUE": run.want.class_value & 0xFFFF,
        }
        got = await registers.access([(name, None) for name in expected])
        for (name, value), actual in zip(expected.items(), got, strict=True):
            scoreboard.expect("registers", {"register": name, "value": value})
            scoreboard.actual("registers", {"register": name, "value": actual})
        for layer, values in enumerate(run.want.saturated):
            _, got_values = await registers.access([("LAYER_INDEX", layer), ("LAYER_SATURATED", None)])
            scoreboard.expect("saturated", {"layer": layer, "values": values})
            scoreboard.actual("saturated", {"layer": layer, "values": got_values})
        for item in region_items(run.case, run.want.after):
            scoreboard.expect("memory", item)
        memory.publish(run.case, await memory.dump(base - GUARD, len(run.want.after)))
        await registers.access([("INTERRUPT", hardware.INTERRUPT_PENDING)])
        await ClockCycles(dut.clk, 2)
        assert int(dut.irq.value) == 0, "the interrupt was acknowledged"
        assert int(dut.violation.value) == 0, "the core broke the rules of AXI"
        environment.cover(run)


def make_run(method: str, stall: int, saturate: bool = False, **request: object) -> Run:
    """A run of the network of a method, with random weights, on a random picture; with ``saturate`` one in which values
    saturate forward and backward."""
    asked = Request(method, **request)
    while True:
        case = layered_case(SHAPES[method], LAYERS[method], "small", seed=random.randrange(1, 1 << 30), saturate=saturate)
        want = expectation(case, asked)
        if not saturate or (any(want.saturated[: case.program.count]) and any(want.saturated[case.program.count :])):
            return Run(case, asked, stall, want)


@pyuvm.test()
class EveryMethod(SystemTest):
    """Each method with its network and random stalls, a class, a supplied seed; then inference alone."""

    def runs(self) -> list[Run]:
        methods = random.sample(METHODS, len(METHODS))
        runs = [make_run(method, stall, stall > 0) for method, stall in zip(methods, (0, 300, 700), strict=True)]
        inference = make_run(methods[0], 300, explain=False)
        return [*runs, inference]


@pyuvm.test(expect_fail=True)
class WrongBit(SystemTest):
    """The scoreboard must see one wrong bit among all results."""

    def runs(self) -> list[Run]:
        run = make_run("saliency", 0)
        region = run.case.program.attribution
        run.want.after[region.address - run.case.program.window[0] + GUARD + random.randrange(region.size)] ^= 1
        return [run]


@pyuvm.test(expect_fail=True)
class WrongCount(SystemTest):
    """The scoreboard must see that one layer saturated one value more."""

    def runs(self) -> list[Run]:
        run = make_run("guided", 0, True)
        counts = list(run.want.saturated)
        counts[random.randrange(len(counts))] += 1
        return [replace(run, want=replace(run.want, saturated=tuple(counts)))]


@pyuvm.test(expect_fail=True)
class MethodLeftOut(SystemTest):
    """Coverage must see that a method was never run."""

    def runs(self) -> list[Run]:
        return [make_run("deconvnet", 0), make_run("saliency", 500)]
