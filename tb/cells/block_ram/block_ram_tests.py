# SPDX-License-Identifier: Apache-2.0
"""Bench of the block RAM models: random accesses of both ports against a model that knows which bits are undefined.

The model follows the vendor's user guide of the 7 series' memory: words of bytes with parity, the three write modes, byte
write enables, reset of the output, and what is undefined when both ports meet on a byte.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from tb.cells.block_ram.wrapper import Config, without_parity
from tb.support.declaration import setting

CONFIG = Config.from_json(setting("config"))
CYCLES = 3000
LANES = CONFIG.lanes
SDP = CONFIG.ram_mode == "SDP"


@dataclass
class Access:
    """What a port does in a cycle; ``data`` is a list of bytes of 9 bits, ``write`` one flag a byte of the word."""

    enable: bool = False
    reset: bool = False
    address: int = 0
    write: tuple[bool, ...] = ()
    data: tuple[int, ...] = ()


class Port:
    """One port of the model: ``output`` holds bytes, None for an undefined one."""

    def __init__(self, read: int, write: int, mode: str, output: int, reset: int, lanes: int) -> None:
        self.read_bytes, self.write_bytes, self.mode = read // 9, write // 9, mode
        self.output: list[int | None] = [output >> 9 * i & 0x1FF for i in range(lanes)]
        self.reset = [reset >> 9 * i & 0x1FF for i in range(lanes)]

    def written(self, access: Access) -> dict[int, int]:
        """Byte address -> new byte."""
        if not access.enable or not self.write_bytes:
            return {}
        base = access.address // 8 // self.write_bytes * self.write_bytes
        return {base + i: access.data[i] for i in range(self.write_bytes) if access.write[i]}


class Ram:
    """Both ports and the memory."""

    def __init__(self, config: Config) -> None:
        self.memory: list[int | None] = list(config.initial())
        a, b, reset_a, reset_b = config.outputs()
        width = 9 * config.lanes
        if config.ram_mode == "SDP":  # one wide output, a's half below
            a, reset_a = a | b << width, reset_a | reset_b << width
        self.ports = (
            Port(config.read_a, config.write_a, config.mode_a, a, reset_a, 2 * config.lanes),
            Port(config.read_b, config.write_b, config.mode_b, b, reset_b, 2 * config.lanes),
        )

    def step(self, accesses: tuple[Access, Access]) -> None:
        """One clock edge."""
        writes = [port.written(access) for port, access in zip(self.ports, accesses, strict=True)]
        before = list(self.memory)
        for index, (port, access) in enumerate(zip(self.ports, accesses, strict=True)):
            other, own_writes, other_writes = self.ports[1 - index], writes[index], writes[1 - index]
            if not access.enable:
                continue
            if access.reset:
                port.output = list(port.reset)
            elif port.read_bytes and not (own_writes and port.mode == "NO_CHANGE"):
                base = access.address // 8 // port.read_bytes * port.read_bytes
                for i in range(port.read_bytes):
                    where = base + i
                    value = before[where]
                    if where in own_writes and port.mode == "WRITE_FIRST":
                        value = own_writes[where]
                    if where in other_writes and other.mode != "READ_FIRST":
                        value = None
                    port.output[i] = value
        for where in writes[0].keys() | writes[1].keys():
            both = where in writes[0] and where in writes[1]
            self.memory[where] = None if both else writes[0].get(where, writes[1].get(where))


def random_access(port: Port) -> Access:
    """Half of all accesses meet in 16 words; some write all, some or no bytes."""
    address = random.choice((random.randrange(128), random.randrange(8 * CONFIG.count)))
    kind = random.randrange(3)
    write = tuple(kind == 1 or kind == 2 and bool(random.randrange(2)) for _ in range(port.write_bytes))
    data = tuple(random.getrandbits(9) for _ in range(port.write_bytes))
    return Access(random.random() < 0.8, random.random() < 0.1, address, write, data)


def drive(dut, accesses: tuple[Access, Access]) -> None:
    """Put the accesses on the cell's ports."""
    words = [sum(byte << 9 * i for i, byte in enumerate(access.data)) for access in accesses]
    if SDP:  # port b writes through both ports' data pins
        words = [words[1] & (1 << 9 * LANES) - 1, words[1] >> 9 * LANES]
    pins = []
    for access, count in zip(accesses, (LANES, 2 * LANES), strict=True):
        size = len(access.write)
        flags = [access.write[pin % size] if size else bool(random.randrange(2)) for pin in range(count)]
        pins.append(sum(flag << pin for pin, flag in enumerate(flags)))
    for name, access, word, write in zip("ab", accesses, words, pins, strict=True):
        parity, data = without_parity(word, LANES)
        values = {"enable": access.enable, "reset": access.reset, "address": access.address, "write": write}
        for key, value in (values | {"data": data, "parity": parity}).items():
            getattr(dut, f"{key}_{name}").value = int(value)


def outputs(dut, name: str) -> list[int | None]:
    """The bytes on a port's output; None for one that holds an undefined bit."""
    data, parity = str(getattr(dut, f"q_{name}").value)[::-1], str(getattr(dut, f"qp_{name}").value)[::-1]
    texts = [parity[i] + data[8 * i : 8 * i + 8][::-1] for i in range(LANES)]
    return [int(text, 2) if set(text) <= {"0", "1"} else None for text in texts]


def check(dut, ram: Ram, met: dict[str, int], defined_only: bool) -> None:
    """Compare both outputs where the ports read."""
    for index, (name, port) in enumerate(zip("ab", ram.ports, strict=True)):
        got = outputs(dut, name)
        want = ram.ports[0].output[LANES * index : LANES * index + LANES] if SDP else port.output[:LANES]
        size = LANES if SDP else port.read_bytes
        for lane in range(size):
            met["undefined" if want[lane] is None else "defined"] += 1
            if want[lane] is not None or not defined_only:
                assert got[lane] == want[lane], f"port {name}, byte {lane}: {got[lane]}, not {want[lane]}"


@cocotb.test()
async def random_accesses(dut) -> None:
    """Every byte of both outputs in each cycle."""
    ram = Ram(CONFIG)
    met = {"defined": 0, "undefined": 0}
    defined_only = cocotb.SIM_NAME.lower().startswith("verilator")  # two states
    idle = tuple(Access(write=(False,) * port.write_bytes, data=(0,) * port.write_bytes) for port in ram.ports)
    drive(dut, idle)
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start(start_high=False))
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    check(dut, ram, met, defined_only)
    for _ in range(CYCLES):
        accesses = tuple(random_access(port) for port in ram.ports)
        drive(dut, accesses)
        ram.step(accesses)
        await FallingEdge(dut.clk)
        check(dut, ram, met, defined_only)
    assert met["defined"] > CYCLES
    collides = any(
        own.write_bytes and other.read_bytes and own.mode != "READ_FIRST"
        for own, other in (ram.ports, ram.ports[::-1])
    ) or all(port.write_bytes for port in ram.ports)  # fmt: skip
    assert bool(met["undefined"]) == collides, met


@cocotb.test()
async def enables_that_differ(dut) -> None:
    """Write enables of a narrow word that do not agree leave it undefined; an unknown one, too (four states only)."""
    if SDP or not CONFIG.write_a or CONFIG.write_a == 9 * LANES or cocotb.SIM_NAME.lower().startswith("verilator"):
        return
    ram = Ram(CONFIG)
    idle = tuple(Access(write=(False,) * port.write_bytes, data=(0,) * port.write_bytes) for port in ram.ports)
    drive(dut, idle)
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start(start_high=False))
    await FallingEdge(dut.clk)
    dut.enable_a.value = 1
    dut.write_a.value = 1
    await FallingEdge(dut.clk)
    dut.write_a.value = 0
    dut.enable_b.value = 1
    await FallingEdge(dut.clk)
    reader = "a" if CONFIG.read_a else "b"
    await FallingEdge(dut.clk)
    assert outputs(dut, reader)[0] is None
