# SPDX-License-Identifier: Apache-2.0
"""Bench of the block RAM models: random accesses of both ports against a model that knows which bits are undefined.

The model follows the vendor's user guide of the 7 series' memory: words of bytes with parity, the three write modes, byte
write enables, reset of the output, and what is undefined when both ports meet on a byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import pyuvm

from tb.cells.block_ram.wrapper import Config, without_parity
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.declaration import running, setting
from tb.support.uvm import Coverage
from tb.support.vectors import VectorSlice

CONFIG = Config.from_json(setting("config"))
TWO_STATES = running()["simulator"] == "verilator"  # what is undefined in the device is any value there
CYCLES = 3000
LANES = CONFIG.lanes
SDP = CONFIG.ram_mode == "SDP"
INPUTS = [f"{name}_{port}" for port in "ab" for name in ("enable", "reset", "address", "write", "data", "parity")]
SIZES = {"read": (CONFIG.read_a // 9, CONFIG.read_b // 9), "write": (CONFIG.write_a // 9, CONFIG.write_b // 9)}  # bytes


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


class RamPredictor(Predictor):
    """Both outputs in every cycle, byte by byte, from what the pins did before; while ``checking``."""

    checking = True

    def build_phase(self) -> None:
        self.ram = Ram(CONFIG)

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle: what the accesses before gave, then the accesses of this one."""
        self.last = pins
        if not self.checking:
            return
        for index, (name, port) in enumerate(zip("ab", self.ram.ports, strict=True)):
            want = self.ram.ports[0].output[LANES * index : LANES * index + LANES] if SDP else port.output[:LANES]
            for lane in range(LANES if SDP else port.read_bytes):
                data, parity = pins[f"q_{name}{lane}"], pins[f"qp_{name}{lane}"]
                got = None if data is None or parity is None else parity << 8 | data
                undefined = want[lane] is None
                self.get_parent().coverage.sample(byte="undefined" if undefined else "defined")
                if not (undefined and TWO_STATES):
                    self.expect(f"q_{name}", {"byte": want[lane]}, where=f"port {name}, byte {lane}")
                    self.get_parent().scoreboard.actual(f"q_{name}", {"byte": got})
        self.step((self.access(pins, 0), self.access(pins, 1)))

    def step(self, accesses: tuple[Access, Access]) -> None:
        """Both accesses of a cycle."""
        self.ram.step(accesses)

    def access(self, pins: dict[str, int], index: int) -> Access:
        """What a port's pins mean. With SDP port b writes through both ports' data pins."""
        name, size = "ab"[index], SIZES["write"][index]
        words = [[pins[f"parity_{port}"] >> i & 1 for i in range(LANES)] for port in "ab"]
        values = [[words[which][i] << 8 | pins[f"data_{port}"] >> 8 * i & 0xFF for i in range(LANES)] for which, port in enumerate("ab")]
        data = values[0] + values[1] if SDP else values[index]
        write = tuple(bool(pins[f"write_{name}"] >> i & 1) for i in range(size))
        mode = self.ram.ports[index].mode
        action = "off" if not pins[f"enable_{name}"] else "reset" if pins[f"reset_{name}"] else "write" if any(write) else "read"
        self.get_parent().coverage.sample(**{f"port_{name}": action}, partial=mode if any(write) and not all(write) else None)
        return Access(bool(pins[f"enable_{name}"]), bool(pins[f"reset_{name}"]), pins[f"address_{name}"], write, tuple(data[:size]))


class Environment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        ports = pins(self.dut, INPUTS, rst=None, rest={"enable_a": 0, "enable_b": 0, "write_a": 0, "write_b": 0})
        for name in "ab":
            for wire, width in (("q", 8), ("qp", 1)):
                slices = VectorSlice.cut(getattr(self.dut, f"{wire}_{name}"), LANES, width)
                ports.outputs |= {f"{wire}_{name}{lane}": one for lane, one in enumerate(slices)}
        ports.unknown = list(ports.outputs)
        self.pins = PinsAgent("pins", self, ports)
        self.predictor = RamPredictor.create("predictor", self)
        points = {f"port_{name}": self.actions(index) for index, name in enumerate("ab")}
        points["byte"] = ("defined", "undefined") if self.collides() else ("defined",)
        points["partial"] = sorted({port.mode for index, port in enumerate(Ram(CONFIG).ports) if SIZES["write"][index] > 1})
        self.coverage = Coverage("coverage", self, {name: bins for name, bins in points.items() if bins})

    @staticmethod
    def actions(index: int) -> list[str]:
        """What a port can do."""
        return ["off", "reset", "read", *(["write"] if SIZES["write"][index] else [])]

    @staticmethod
    def collides() -> bool:
        """Whether bytes can become undefined."""
        ports = Ram(CONFIG).ports
        read = any(own.write_bytes and other.read_bytes and own.mode != "READ_FIRST" for own, other in (ports, ports[::-1]))
        return read or all(port.write_bytes for port in ports)

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)


class Accesses(ItemSequence):
    """Random accesses of both ports. Half of all meet in 16 words; some write all, some or no bytes."""

    def items(self) -> Iterable[dict[str, int]]:
        yield from (self.pins(tuple(self.access(index) for index in (0, 1))) for _ in range(CYCLES))

    def access(self, index: int) -> Access:
        """One access of a port."""
        size = SIZES["write"][index]
        address = random.choice((random.randrange(128), random.randrange(8 * CONFIG.count)))
        kind = random.randrange(3)
        write = tuple(kind == 1 or kind == 2 and bool(random.randrange(2)) for _ in range(size))
        return Access(random.random() < 0.8, random.random() < 0.1, address, write, tuple(random.getrandbits(9) for _ in range(size)))

    @staticmethod
    def pins(accesses: tuple[Access, ...]) -> dict[str, int]:
        """The accesses as the cell's pins have them; write enables of narrow words are repeated."""
        words = [sum(byte << 9 * i for i, byte in enumerate(access.data)) for access in accesses]
        if SDP:  # port b writes through both ports' data pins
            words = [words[1] & (1 << 9 * LANES) - 1, words[1] >> 9 * LANES]
        values = {}
        for name, access, word, count in zip("ab", accesses, words, (LANES, 2 * LANES), strict=True):
            size = len(access.write)
            flags = [access.write[pin % size] if size else bool(random.randrange(2)) for pin in range(count)]
            parity, data = without_parity(word, LANES)
            values |= {f"enable_{name}": int(access.enable), f"reset_{name}": int(access.reset), f"address_{name}": access.address}
            values |= {f"write_{name}": sum(flag << pin for pin, flag in enumerate(flags)), f"data_{name}": data, f"parity_{name}": parity}
        return values


class AccessTest(UnitTest):
    """Base."""

    environment_type = Environment
    watchdog = 2 * CYCLES

    async def main(self) -> None:
        await self.send(self.environment.pins, Accesses)


@pyuvm.test()
class RandomAccesses(AccessTest):
    """Every byte of both outputs in each cycle; in the end write enables that do not agree."""

    async def main(self) -> None:
        await super().main()
        if not (SDP or not CONFIG.write_a or CONFIG.write_a == 9 * LANES or TWO_STATES):
            await self.enables_that_differ()

    async def enables_that_differ(self) -> None:
        """Write enables of a narrow word that do not agree leave it undefined (four states only, where there are such words)."""
        idle, predictor = dict.fromkeys(INPUTS, 0), self.environment.predictor
        predictor.checking = False
        read = ["enable_a"] * bool(CONFIG.read_a) + ["enable_b"] * bool(CONFIG.read_b)
        cycles = [{**idle, "enable_a": 1, "write_a": 1}, {**idle, **dict.fromkeys(read, 1)}, idle, idle]
        await self.environment.pins.start(Cycles(cycles))
        shown = [predictor.last[f"q_{name[-1]}0"] for name in read]
        assert shown and set(shown) == {None}, f"word 0 reads {shown} after such a write"


class Cycles(ItemSequence):
    """Given cycles."""

    def __init__(self, cycles: list[dict[str, int]]) -> None:
        super().__init__("cycles")
        self.given = cycles

    def items(self) -> Iterable[dict[str, int]]:
        return self.given


class Stale(RamPredictor):
    """A wrong model: every access comes a cycle late."""

    def step(self, accesses: tuple[Access, Access]) -> None:
        super().step(getattr(self, "before", (Access(), Access())))
        self.before = accesses


@must_fail("environment.scoreboard", r"q_[ab] item \d+: expected")
class WrongLatency(AccessTest):
    """Words that come a cycle early must be noticed."""

    overrides = {RamPredictor: Stale}
