# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/register_file.v: random accesses through pyuvm against the model, interrupts, and coherent counters."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import cocotb
import pyuvm
from cocotb.triggers import ClockCycles, Combine, FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from pyuvm import uvm_sequence, uvm_status_e

from gradcore import hardware
from gradcore.models.control.register_file import OKAY, RUN_PARAMETERS, SLVERR, RegisterFile
from tb.control.register_file.register_file_env import (
    PLAIN,
    SETTLED,
    STATUS_WIDTHS,
    WRITABLE,
    RegisterEnvironment,
    RegisterPredictor,
    quiet_model,
)
from tb.support.axi_agents import AxiLiteItem
from tb.support.base import ItemSequence, UnitTest, must_fail
from tb.support.declaration import parameter, running, setting
from tb.support.registers import GradcoreRegisters
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import StreamMonitor, StreamSink, StreamSource, start_clock_and_reset

GROUPS = parameter("GROUPS")
ACCESSES = setting("accesses", 400)
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
    return quiet_model(GROUPS)


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


class CoreSide(ItemSequence):
    """New random values from the core, which stay, and sometimes an interrupt event."""

    def items(self) -> Iterable[dict[str, int]]:
        values = {port: random.getrandbits(width) for port, width in STATUS_WIDTHS.items()}
        counters = [random.choice((0, (1 << 64) - 1, random.getrandbits(64), random.getrandbits(33))) for _ in hardware.COUNTERS]
        values["counters"] = sum(value << 64 * index for index, value in enumerate(counters))
        yield values | {"interrupt_event": random.random() < 0.3}


class Accesses(uvm_sequence):
    """Reads and writes of all registers and of addresses without one first, then a random mix that favours writable registers."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.number = 0

    def choose(self) -> AxiLiteItem:
        """The next access."""
        addresses = sorted(hardware.ADDRESSES.values())
        number, self.number = self.number, self.number + 1
        if number < 2 * len(addresses):
            return AxiLiteItem("access", addresses[number // 2], None if number % 2 else random.getrandbits(32))
        kind = random.random()
        if kind < 0.1:
            address = random.choice(HOLES)
        elif kind < 0.6:
            address = hardware.ADDRESSES[random.choice(WRITABLE)]
        else:
            address = random.choice(addresses)
        if random.random() < 0.45:
            return AxiLiteItem("access", address)
        data = random.choice((0, 0xFFFFFFFF, random.getrandbits(32), random.getrandbits(32) & ~3 | random.getrandbits(2)))
        return AxiLiteItem("access", address, data, random.choice((15, 15, 15, 1, 2, 4, 8, 3, 6, 12, 7, 14)))

    async def body(self) -> None:
        item = self.choose()
        await self.start_item(item)
        await self.finish_item(item)


class RegisterTest(UnitTest):
    """Base: the master stalls as one of the patterns says."""

    environment_type = RegisterEnvironment
    watchdog = 120_000

    def end_of_elaboration_phase(self) -> None:
        self.environment.bus.driver.stalls = random.choice(STALLS)


@pyuvm.test()
class RandomTest(RegisterTest):
    """At least ACCESSES random accesses to everything, then until every bin is hit; the core's side changes in between."""

    accesses = ACCESSES

    async def main(self) -> None:
        environment = self.environment
        sequence = Accesses.create("accesses")
        for number in range(4 * self.accesses):
            if number >= self.accesses and number % 20 == 0 and not environment.coverage.holes():
                break
            environment.scoreboard.planned["accesses"] = number + 1
            if number % 3 == 0:
                await self.send(environment.core, CoreSide)
            await environment.bus.start(sequence)
            await self.cycles(SETTLED + 2)


@pyuvm.test()
class RegisterModel(RegisterTest):
    """Every register through the register layer: reset values, writes by the front door seen by the back door, and the other way round."""

    covers = False

    async def main(self) -> None:
        registers = GradcoreRegisters(GROUPS)
        # A netlist has no such signals: there the front door is all.
        registers.connect(self.environment.bus, None if running()["netlist"] else self.dut)
        for name in registers.registers:
            await registers.check(name)
        for name in WRITABLE:
            for value in (0xFFFFFFFC, 0x5A5A5A58, random.getrandbits(32) & ~3):
                if name == "CONTROL":
                    value &= ~(hardware.CONTROL_START | hardware.CONTROL_SOFT_RESET)
                await registers.write(name, value)
                await registers.check(name)
        for name in ("METHOD", "SEED_MODE"):
            await registers.write(name, 2)
            assert await registers.refused(name, 3), f"{name} took 3"
            await registers.check(name)
        for name in sorted(set(PLAIN) - set(WRITABLE)):
            assert await registers.refused(name, 0xFFFFFFFF), f"{name} was written"
            await registers.check(name)
        await self.cycles(SETTLED + 2)
        await self.pokes(registers)
        await self.at_end(registers)

    async def pokes(self, registers: GradcoreRegisters) -> None:
        """What is set by the back door shows at the front door. Verilator forgets what is set on a toplevel's ports."""
        names = [*RUN_PARAMETERS] if running()["simulator"] == "icarus" else []
        model = self.environment.predictor.model  # nothing on the ports tells it
        for name in () if running()["netlist"] else (*names, "INTERRUPT"):
            value = {"METHOD": random.randrange(3), "SEED_MODE": random.randrange(3), "INTERRUPT": 1}.get(name, random.getrandbits(32))
            register = registers.registers[name]
            assert await register.poke(value) == uvm_status_e.UVM_IS_OK
            if name == "INTERRUPT":
                model.pending = value
            else:
                model.values[name] = value
            await self.cycles(1)
            assert await registers.read(name) == value, f"{name}: the front door does not show what was poked"
            assert await register.peek() == (uvm_status_e.UVM_IS_OK, value)
            await self.cycles(SETTLED + 2)

    async def at_end(self, registers: GradcoreRegisters) -> None:
        """More, of a twin."""


class LateWrites(RegisterPredictor):
    """A wrong model: no bit of a parameter can be cleared."""

    def access(self, item: AxiLiteItem) -> None:
        before = dict(self.model.values)
        super().access(item)
        for name, value in before.items():
            self.model.values[name] |= value


class ReadsOnly(Accesses):
    """No write, so that most bins stay empty."""

    def choose(self) -> AxiLiteItem:
        item = super().choose()
        item.data = None
        return item


@must_fail("environment.scoreboard", r"(outputs|accesses) item \d+: expected")
class WrongModel(RandomTest):
    """A model that keeps bits must be noticed."""

    overrides = {RegisterPredictor: LateWrites}


@must_fail("environment.bus", "CONTROL: the module holds 0x0, the mirror 0x100")
class MirrorDiffers(RegisterModel):
    """A register that does not hold what was written must be noticed; here by the back door, while the front door's answer is out."""

    async def at_end(self, registers: GradcoreRegisters) -> None:
        await registers.write("INTERRUPT", hardware.INTERRUPT_PENDING)
        await registers.write("CONTROL", hardware.CONTROL_INTERRUPT_ENABLE)
        await self.cycles(SETTLED + 2)
        check = cocotb.start_soon(registers.check("CONTROL"))
        await RisingEdge(self.dut.s_axil_rvalid)
        await FallingEdge(self.dut.clk)
        self.dut.interrupt_enable.value = 0
        await check


@must_fail("environment.coverage", "coverage holes: .*taken=PROGRAM_ADDRESS")
class NothingWritten(RandomTest):
    """Coverage must see that nothing was written."""

    overrides = {Accesses: ReadsOnly}
    accesses = 10


async def set_up(dut, stalls: str = "none") -> tuple[AxiLiteMaster, RegisterFile]:
    """Master and model for the directed tests; the module is out of reset."""
    model = fresh_model()
    drive_inputs(dut, model)
    dut.interrupt_event.value = 0
    master = create_master(dut, stalls)
    await start_clock_and_reset(dut)
    return master, model


@cocotb.test(timeout_time=1, timeout_unit="ms")
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


@cocotb.test(timeout_time=1, timeout_unit="ms")
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


@cocotb.test(timeout_time=1, timeout_unit="ms")
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


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(delay=range(-4, 5))
async def address_and_data_in_any_order(dut, delay: int) -> None:
    """The write's address may come before, with or after its data; a slow bready keeps the answer."""
    master, _ = await set_up(dut)
    channel = master.write_if.aw_channel if delay > 0 else master.write_if.w_channel
    channel.set_pause_generator(iter([True] * abs(delay) + [False] * 10))
    master.write_if.b_channel.set_pause_generator(iter([True] * 12 + [False] * 10))
    assert await write_word(master, hardware.SEED_INDEX, 0x1234 + delay) == OKAY
    assert int(dut.seed_index.value) == 0x1234 + delay


@cocotb.test(timeout_time=1, timeout_unit="ms")
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


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_reset_takes_the_interrupt_away(dut) -> None:
    """From the first cycle of a reset on, whether one stood there or not."""
    master, _ = await set_up(dut)
    for event in (0, 1):
        await write_word(master, hardware.CONTROL, hardware.CONTROL_INTERRUPT_ENABLE)
        dut.interrupt_event.value = event
        await RisingEdge(dut.clk)
        dut.interrupt_event.value = 0
        await ClockCycles(dut.clk, 3)
        assert int(dut.irq.value) == event
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        for cycle in range(6):
            await FallingEdge(dut.clk)
            assert int(dut.irq.value) == 0, f"an interrupt {cycle} cycles after the reset began"
            dut.rst.value = int(cycle < 2)
            await RisingEdge(dut.clk)


@cocotb.test(timeout_time=1, timeout_unit="ms")
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


@cocotb.test(timeout_time=1, timeout_unit="ms")
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


@cocotb.test(timeout_time=1, timeout_unit="ms")
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


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_takes_commands_back(dut) -> None:
    """One cycle of reset is enough: none of a write's pulses comes after it, in whichever cycle of the write it begins."""
    drive_inputs(dut, fresh_model())
    dut.interrupt_event.value = 0
    zero = ("awaddr", "awprot", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arprot", "arvalid", "rready")
    for name in zero:
        getattr(dut, f"s_axil_{name}").value = 0
    await start_clock_and_reset(dut)
    for bits in _pulses():
        came = set()
        for cycles in range(6):
            write = {"awaddr": hardware.CONTROL, "awvalid": 1, "wdata": bits, "wstrb": 15, "wvalid": 1, "bready": 1}
            for name, value in write.items():
                getattr(dut, f"s_axil_{name}").value = value
            await RisingEdge(dut.clk)
            dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 0
            seen = 0
            for _ in range(cycles):
                await FallingEdge(dut.clk)
                seen |= int(dut.start.value) | int(dut.soft_reset.value) << 1
                await RisingEdge(dut.clk)
            came.add(seen)
            dut.rst.value = 1
            await RisingEdge(dut.clk)
            dut.rst.value = 0
            for _ in range(6):
                await FallingEdge(dut.clk)
                assert (int(dut.start.value), int(dut.soft_reset.value)) == (0, 0), f"a pulse {cycles} cycles after the write, in reset"
                await RisingEdge(dut.clk)
        assert came == {0, bits}, "the reset came before the pulses and after them"
