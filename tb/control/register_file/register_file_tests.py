# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/register_file.v: random accesses through pyuvm against the model, interrupts, and coherent counters."""

from __future__ import annotations

import random
from collections.abc import Iterator

import cocotb
import pyuvm
from cocotb.triggers import ClockCycles, Combine, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from pyuvm import uvm_agent, uvm_analysis_port, uvm_driver, uvm_env, uvm_sequence, uvm_sequence_item, uvm_sequencer, uvm_test

from gradcore import hardware
from gradcore.models.register_file import OKAY, RUN_PARAMETERS, SLVERR, RegisterFile
from tb.support.declaration import parameter, setting
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import StreamMonitor, StreamSink, StreamSource, start_clock_and_reset
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, StreamItem

GROUPS = parameter("GROUPS")
ACCESSES = setting("accesses", 400)
STATUS_WIDTHS = {
    "busy": 1,
    "done": 1,
    "error": 1,
    "start_while_busy": 1,
    "code": 8,
    "descriptor_index": 16,
    "error_index": 16,
    "error_address": 32,
    "class_index": 32,
    "class_value": 16,
    "layers_finished": 9,
    "layer_cycles": 32,
    "layer_saturated": 32,
}
PLAIN = [name for name in hardware.ADDRESSES if not name.endswith(("_LOW", "_HIGH"))]
WRITABLE = [*RUN_PARAMETERS, "CONTROL", "INTERRUPT", "LAYER_INDEX"]
HOLES = [address for address in range(0, 0x1000, 4) if address not in hardware.ADDRESSES.values()]


def drive_counters(dut, counters: dict[str, int]) -> None:
    """Put the counters' values on the flat input."""
    dut.counters.value = sum(value << 64 * index for index, value in enumerate(counters.values()))


def drive_inputs(dut, model: RegisterFile) -> None:
    """Put what the model holds for the core's side on the inputs."""
    for port in STATUS_WIDTHS:
        getattr(dut, port).value = model.status[port]
    drive_counters(dut, model.counters)


def create_master(dut, stalls: str) -> AxiLiteMaster:
    """An AXI4-Lite master that stalls on all five channels."""
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
    write, read = master.write_if, master.read_if
    write.log.setLevel("WARNING")
    read.log.setLevel("WARNING")
    for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
        if stalls != "none":
            channel.set_pause_generator(stall_pattern(stalls, random.Random(random.getrandbits(32))))
    return master


def fresh_model() -> RegisterFile:
    """The model after reset, with quiet inputs."""
    return RegisterFile(groups=GROUPS, status=dict.fromkeys(STATUS_WIDTHS, 0), counters=dict.fromkeys(hardware.COUNTERS, 0))


async def read_word(master: AxiLiteMaster, address: int) -> tuple[int, int]:
    """(data, response) of a read of 32 bits."""
    response = await master.read(address, 4)
    return int.from_bytes(response.data, "little"), int(response.resp)


async def write_word(master: AxiLiteMaster, address: int, data: int, strobe: int = 15) -> int:
    """Response of a write; the strobe must be one run of ones."""
    first = (strobe & -strobe).bit_length() - 1
    count = strobe.bit_count()
    response = await master.write(address + first, (data >> 8 * first).to_bytes(8, "little")[:count])
    return int(response.resp)


class Access(uvm_sequence_item):
    """One access: ``data`` None is a read. ``result`` comes back from the driver."""

    def __init__(self, address: int, data: int | None = None, strobe: int = 15) -> None:
        super().__init__("access")
        self.address, self.data, self.strobe = address, data, strobe
        self.result: tuple[int, ...] = ()


class RandomAccesses(uvm_sequence):
    """Random reads and writes of all registers and of addresses without one; the core's side changes in between."""

    def __init__(self, environment: Environment) -> None:
        super().__init__("accesses")
        self.environment = environment

    async def body(self) -> None:
        environment = self.environment
        for number in range(4 * ACCESSES):
            if number >= ACCESSES and number % 20 == 0 and not environment.coverage.holes():
                break  # at least ACCESSES, then until every bin is hit
            environment.scoreboard.planned["accesses"] = number + 1
            if number % 3 == 0:
                await self.environment.change_inputs()
            access = self.choose(number)
            await self.start_item(access)
            await self.finish_item(access)

    @staticmethod
    def choose(number: int) -> Access:
        """Reads and writes of everything first, then a mix that favours writable registers."""
        addresses = sorted(hardware.ADDRESSES.values())
        if number < 2 * len(addresses):
            return Access(addresses[number // 2], None if number % 2 else random.getrandbits(32))
        kind = random.random()
        if kind < 0.1:
            address = random.choice(HOLES)
        elif kind < 0.6:
            address = hardware.ADDRESSES[random.choice(WRITABLE)]
        else:
            address = random.choice(addresses)
        if random.random() < 0.45:
            return Access(address)
        data = random.choice((0, 0xFFFFFFFF, random.getrandbits(32), random.getrandbits(32) & ~3 | random.getrandbits(2)))
        return Access(address, data, random.choice((15, 15, 15, 1, 2, 4, 8, 3, 6, 12, 7, 14)))


class AccessDriver(uvm_driver):
    """Performs accesses one by one and publishes each with its result."""

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)

    def start_of_simulation_phase(self) -> None:
        self.master = create_master(cocotb.top, random.choice(STALLS))

    async def run_phase(self) -> None:
        while True:
            access = await self.seq_item_port.get_next_item()
            if access.data is None:
                access.result = await read_word(self.master, access.address)
            else:
                access.result = (await write_word(self.master, access.address, access.data, access.strobe),)
            await ClockCycles(cocotb.top.clk, 3)  # a pulse or the interrupt shows
            self.analysis_port.write(StreamItem(access=access))
            self.seq_item_port.item_done()


class AccessAgent(uvm_agent):
    """Sequencer and driver of the AXI4-Lite port."""

    def build_phase(self) -> None:
        self.sequencer = uvm_sequencer("sequencer", self)
        self.driver = AccessDriver("driver", self)

    def connect_phase(self) -> None:
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)


class Environment(uvm_env):
    """Agent, model, scoreboard and coverage."""

    def build_phase(self) -> None:
        self.agent = AccessAgent("agent", self)
        self.scoreboard = Scoreboard("scoreboard", self)
        self.checker_ = CallbackSubscriber("checker", self, self.check)
        self.model = fresh_model()
        self.coverage = Coverage(
            "coverage",
            self,
            points={
                "read": [*hardware.ADDRESSES, "hole"],
                "taken": WRITABLE,
                "refused": [*(name for name in PLAIN if name not in ("CONTROL", "INTERRUPT", "LAYER_INDEX")), "hole", "counter"],
                "strobe": (1, 2, 3, 4, 6, 7, 8, 12, 14, 15),
                "pulse": ("start", "soft_reset"),
                "irq": (0, 1),
            },
        )

    def connect_phase(self) -> None:
        self.agent.driver.analysis_port.connect(self.checker_.analysis_export)

    def start_of_simulation_phase(self) -> None:
        dut = cocotb.top
        drive_inputs(dut, self.model)
        dut.interrupt_event.value = 0
        self.pulses = {name: StreamMonitor(dut.clk, getattr(dut, name), None, {}, rst=dut.rst) for name in ("start", "soft_reset")}

    async def change_inputs(self) -> None:
        """New random values from the core, and sometimes an interrupt event."""
        dut, model = cocotb.top, self.model
        for port, width in STATUS_WIDTHS.items():
            model.status[port] = random.getrandbits(width)
        model.counters = {
            name: random.choice((0, (1 << 64) - 1, random.getrandbits(64), random.getrandbits(33))) for name in model.counters
        }
        drive_inputs(dut, model)
        if random.random() < 0.3:
            dut.interrupt_event.value = 1
            model.pending = 1
            await RisingEdge(dut.clk)
            dut.interrupt_event.value = 0
        await RisingEdge(dut.clk)

    def check(self, fields: dict) -> None:
        """Compare an access, all outputs and the pulses so far with the model."""
        access, dut, model = fields["access"], cocotb.top, self.model
        name = next((name for name, address in hardware.ADDRESSES.items() if address == access.address), "hole")
        if access.data is None:
            data, response = model.read(access.address)
            expected = {"data": data, "response": response}
            actual = {"data": access.result[0], "response": access.result[1]}
            self.coverage.sample(read=name)
        else:
            expected = {"response": model.write(access.address, access.data, access.strobe)}
            actual = {"response": access.result[0]}
            taken = expected["response"] == OKAY
            group = "counter" if name.endswith(("_LOW", "_HIGH")) else name
            self.coverage.sample(**{"taken" if taken else "refused": group, "strobe": access.strobe})
        expected |= model.outputs() | {"starts": model.starts, "soft_resets": model.soft_resets}
        actual |= {port: int(getattr(dut, port).value) for port in model.outputs()}
        actual |= {f"{pulse}s": monitor.count for pulse, monitor in self.pulses.items()}
        self.scoreboard.expect("accesses", expected)
        self.scoreboard.actual("accesses", actual)
        self.coverage.sample(irq=actual["irq"])
        for pulse in ("start", "soft_reset"):
            if actual[f"{pulse}s"]:
                self.coverage.sample(pulse=pulse)


@pyuvm.test()
class RandomTest(uvm_test):
    """Random accesses to everything."""

    def build_phase(self) -> None:
        self.environment = Environment("environment", self)

    async def run_phase(self) -> None:
        self.raise_objection()
        await start_clock_and_reset(cocotb.top)
        await RandomAccesses(self.environment).start(self.environment.agent.sequencer)
        self.drop_objection()


async def set_up(dut, stalls: str = "none") -> tuple[AxiLiteMaster, RegisterFile]:
    """Master and model for the directed tests; the module is out of reset."""
    model = fresh_model()
    drive_inputs(dut, model)
    dut.interrupt_event.value = 0
    master = create_master(dut, stalls)
    await start_clock_and_reset(dut)
    return master, model


@cocotb.test()
async def reset_values(dut) -> None:
    """Every register reads as its description says after reset, also after a second reset."""
    master, _ = await set_up(dut)
    for _ in range(2):
        for name, address in hardware.ADDRESSES.items():
            expected = hardware.RESETS[name]
            if name == "CONFIGURATION":
                expected = expected & ~hardware.CONFIGURATION_GROUPS | GROUPS
            assert await read_word(master, address) == (expected, OKAY), name
        for name in RUN_PARAMETERS:
            assert await write_word(master, hardware.ADDRESSES[name], 0xFFFFFFFE) == OKAY
        control = hardware.CONTROL_EXPLAIN | hardware.CONTROL_INTERRUPT_ENABLE
        assert await write_word(master, hardware.CONTROL, control) == OKAY
        assert await write_word(master, hardware.LAYER_INDEX, 0xFF) == OKAY
        dut.rst.value = 1
        await ClockCycles(dut.clk, 2)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)


@cocotb.test()
@cocotb.parametrize(stalls=STALLS)
async def reads_and_writes_at_once(dut, stalls: str) -> None:
    """Reads and writes in flight together, also several of each, do not disturb each other."""
    master, _ = await set_up(dut, stalls)

    async def writer() -> None:
        for number in range(40):
            assert await write_word(master, hardware.PROGRAM_ADDRESS, number * 0x01010108) == OKAY
            assert await write_word(master, HOLES[number], number) == SLVERR

    async def reader() -> None:
        last = 0
        for _ in range(60):
            value, response = await read_word(master, hardware.PROGRAM_ADDRESS)
            assert response == OKAY and value % 0x01010108 == 0 and value >= last
            last = value
            assert await read_word(master, hardware.IDENTIFIER) == (0x47524144, OKAY)

    await Combine(cocotb.start_soon(writer()), cocotb.start_soon(reader()))
    assert await read_word(master, hardware.PROGRAM_ADDRESS) == (39 * 0x01010108, OKAY)


@cocotb.test()
@cocotb.parametrize(stalls=STALLS)
async def queued_accesses(dut, stalls: str) -> None:
    """Accesses queued on all five channels, each with stalls of its own; bytes that are not strobed hold garbage."""
    model = fresh_model()
    model.status = {port: random.getrandbits(width) for port, width in STATUS_WIDTHS.items()} | {"busy": 0}
    model.counters = {name: random.getrandbits(64) for name in model.counters}
    drive_inputs(dut, model)
    dut.interrupt_event.value = 0

    def channel(kind: type, name: str, fields: tuple[str, ...]) -> StreamSource | StreamSink:
        data = {field: getattr(dut, f"s_axil_{field}") for field in fields}
        valid, ready = (getattr(dut, f"s_axil_{name}{end}") for end in ("valid", "ready"))
        return kind(dut.clk, valid, ready, data, stalls, rst=dut.rst)

    address, data = channel(StreamSource, "aw", ("awaddr", "awprot")), channel(StreamSource, "w", ("wdata", "wstrb"))
    read_address = channel(StreamSource, "ar", ("araddr", "arprot"))
    answers, results = channel(StreamSink, "b", ("bresp",)), channel(StreamSink, "r", ("rdata", "rresp"))
    await start_clock_and_reset(dut)
    for _ in range(2):
        expected = []
        for _ in range(120):
            where = random.choice((*(hardware.ADDRESSES[name] for name in WRITABLE), random.choice(HOLES), 0x2FC))
            word, strobe = random.getrandbits(32), random.getrandbits(4)
            address.send({"awaddr": where | random.getrandbits(2), "awprot": random.getrandbits(3)})
            data.send({"wdata": word, "wstrb": strobe})
            expected.append({"bresp": model.write(where, word, strobe)})
        await answers.wait_for(answers.count + 120, cycles=8000)
        assert list(answers.received) == expected
        answers.received.clear()
        await ClockCycles(dut.clk, 3)
        assert {port: int(getattr(dut, port).value) for port in model.outputs()} == model.outputs()
        first, last = min(hardware.COUNTERS.values()), max(hardware.COUNTERS.values())
        where = [*hardware.ADDRESSES.values(), *HOLES[:20], first - 4, last + 8, last + 12, 0xFFC]
        random.shuffle(where)
        for item in where:
            read_address.send({"araddr": item | random.getrandbits(2), "arprot": random.getrandbits(3)})
        await results.wait_for(results.count + len(where), cycles=8000)
        assert list(results.received) == [dict(zip(("rdata", "rresp"), model.read(item), strict=True)) for item in where]
        results.received.clear()
        model.status["error"] ^= 1
        dut.error.value = model.status["error"]


@cocotb.test()
@cocotb.parametrize(delay=range(-4, 5))
async def address_and_data_in_any_order(dut, delay: int) -> None:
    """The write's address may come before, with or after its data; a slow bready keeps the answer."""
    master, _ = await set_up(dut)
    channel = master.write_if.aw_channel if delay > 0 else master.write_if.w_channel
    channel.set_pause_generator(iter([True] * abs(delay) + [False] * 10))
    master.write_if.b_channel.set_pause_generator(iter([True] * 12 + [False] * 10))
    assert await write_word(master, hardware.SEED_INDEX, 0x1234 + delay) == OKAY
    assert int(dut.seed_index.value) == 0x1234 + delay


@cocotb.test()
async def interrupt_is_never_lost(dut) -> None:
    """An event in any cycle round the acknowledgement stays pending or comes before it; W1C clears, 0 does not."""
    master, _ = await set_up(dut)
    await write_word(master, hardware.CONTROL, hardware.CONTROL_INTERRUPT_ENABLE)
    outcomes = set()
    for delay in range(12):
        dut.interrupt_event.value = 1
        await RisingEdge(dut.clk)
        dut.interrupt_event.value = 0
        await ClockCycles(dut.clk, 3)
        assert int(dut.irq.value) == 1
        assert await write_word(master, hardware.INTERRUPT, 0) == OKAY
        assert int(dut.irq.value) == 1, "writing 0 does not acknowledge"
        acknowledge = cocotb.start_soon(write_word(master, hardware.INTERRUPT, 1))
        cleared_before = False
        for _ in range(delay):
            await RisingEdge(dut.clk)
            cleared_before = cleared_before or int(dut.pending.value) == 0
        dut.interrupt_event.value = 1
        await RisingEdge(dut.clk)
        dut.interrupt_event.value = 0
        await acknowledge
        await ClockCycles(dut.clk, 4)
        value, _ = await read_word(master, hardware.INTERRUPT)
        assert value == int(dut.irq.value)
        outcomes.add(value)
        if cleared_before:
            assert value == 1, "an event behind the acknowledgement was lost"
        await write_word(master, hardware.INTERRUPT, 1)
    assert outcomes == {0, 1}, "the delays must cover both sides of the acknowledgement"
    await write_word(master, hardware.INTERRUPT, 1)
    await ClockCycles(dut.clk, 3)
    assert int(dut.irq.value) == 0


@cocotb.test()
async def event_wins_over_acknowledgement(dut) -> None:
    """In the very cycle in which a write clears PENDING an event sets it again."""
    master, _ = await set_up(dut)
    acknowledge = cocotb.start_soon(write_word(master, hardware.INTERRUPT, 1))
    dut.interrupt_event.value = 1  # level over the whole write: it must win in its last cycle, too
    await acknowledge
    assert int(dut.pending.value) == 1
    dut.interrupt_event.value = 0
    await ClockCycles(dut.clk, 3)
    assert (await read_word(master, hardware.INTERRUPT))[0] == 1


@cocotb.test()
async def counters_are_coherent(dut) -> None:
    """Low then high word of a running counter belong to one moment, also when the low word wraps in between."""
    master, model = await set_up(dut)
    counter = {"value": 0}

    async def run_counter() -> None:
        while True:
            await RisingEdge(dut.clk)
            counter["value"] += 1
            drive_counters(dut, {**model.counters, "CYCLES": counter["value"]})

    cocotb.start_soon(run_counter())
    kept = 0
    for distance in range(30):
        counter["value"] = before = (7 << 32) - distance
        low, _ = await read_word(master, hardware.CYCLES_LOW)
        after_low = counter["value"]
        assert (await read_word(master, hardware.LOADER_ACTIVE_HIGH))[1] == OKAY  # one kept word serves all counters
        high, _ = await read_word(master, hardware.CYCLES_HIGH)
        assert before - 1 <= (high << 32 | low) <= after_low
        kept += high == 6 and counter["value"] >> 32 == 7
    assert kept > 3, "the low word must wrap between the two reads"


def _pulses() -> Iterator[int]:
    yield from (hardware.CONTROL_START, hardware.CONTROL_SOFT_RESET, hardware.CONTROL_START | hardware.CONTROL_SOFT_RESET)


@cocotb.test()
async def start_comes_with_its_parameters(dut) -> None:
    """A pulse lasts one cycle, and EXPLAIN of the same write is up by then; while busy EXPLAIN stays."""
    master, _ = await set_up(dut)
    seen = []

    def note(_fields: dict) -> None:
        seen.append((int(dut.start.value), int(dut.soft_reset.value), int(dut.explain.value)))

    for port in (dut.start, dut.soft_reset):
        StreamMonitor(dut.clk, port, None, {}, callback=note)
    for bits in _pulses():
        for explain in (hardware.CONTROL_EXPLAIN, 0):
            seen.clear()
            await write_word(master, hardware.CONTROL, bits | explain)
            await ClockCycles(dut.clk, 4)
            expected = (bits & 1, bits >> 1 & 1, int(bool(explain)))
            assert seen == [expected] * (2 if bits == 3 else 1)
    dut.busy.value = 1
    seen.clear()
    await write_word(master, hardware.CONTROL, hardware.CONTROL_START | hardware.CONTROL_EXPLAIN)
    await ClockCycles(dut.clk, 4)
    assert seen == [(1, 0, 0)], "the start reaches the controller, which notes it; EXPLAIN does not change"
