# SPDX-License-Identifier: Apache-2.0
"""How deep the logic between registers is: the longest paths of a netlist in LUT levels and carry chains.

A path begins at the output of a register, of a block RAM or DSP, or at an input port, and ends at an input pin of one
or at an output port. Its depth is the number of its LUTs plus the number of its carry chains:

- LUT1 to LUT6 and INV: one level.
- MUXF7, MUXF8: none from a LUT (the data inputs are wired to it in the slice), one level through the select input.
- Distributed RAM: one level from a read address to the data, and one from the clock to the data; also shift registers.
- CARRY4: a chain (CARRY4s joined from CO[3] to CI) is one level, however long, and counts as one chain.
- DSP48E1: pins with a register inside end a path. Through a pin without one to an output without PREG: one level.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from gradcore.errors import GradCoreError
from gradcore.synthesis import netlist as cells
from gradcore.synthesis.netlist import CONSTANT, Cell, Netlist

LIMIT_DEPTH = 6
LIMIT_CARRY4 = 12

# A bit has a longest path from a register, and one from an input port.
_FROM_REGISTER, _FROM_PORT = 0, 1
_NEVER = -1

# An arc to a bit: the bit that it comes from, its levels, carry chains entered, bits of carry passed.
_Arc = tuple[int, int, int, int]

# Registers inside a DSP48E1: input pin -> the parameters of the registers between it and the output P.
_DSP_REGISTERS = {
    "A": ("AREG", "MREG"),
    "B": ("BREG", "MREG"),
    "D": ("DREG", "ADREG", "MREG"),
    "INMODE": ("INMODEREG", "MREG"),
    "C": ("CREG",),
    "OPMODE": ("OPMODEREG",),
    "ALUMODE": ("ALUMODEREG",),
    "CARRYIN": ("CARRYINREG",),
    "CARRYINSEL": ("CARRYINSELREG",),
    "PCIN": (),
    "ACIN": ("AREG", "MREG"),
    "BCIN": ("BREG", "MREG"),
}


@dataclass(frozen=True)
class Path:
    """One path.

    Attributes:
        start, end: name of the net that the first register drives, and that the last one drives, with the pin.
        start_kind, end_kind: type of the cell there, or "port".
        depth: LUT levels plus chains.
        levels: LUT levels alone.
        chains: number of carry chains.
        carry_bits: bits of carry that the path runs through.
        start_source, end_source: file and line of the registers.
        through: names of the Verilog's nets on the way.
    """

    start: str
    end: str
    start_kind: str
    end_kind: str
    depth: int
    levels: int
    chains: int
    carry_bits: int
    start_source: str
    end_source: str
    through: tuple[str, ...]

    def __str__(self) -> str:
        start = f"{self.start} ({self.start_source or self.start_kind})"
        end = f"{self.end} ({self.end_source or self.end_kind})"
        carry = f", {self.chains} chains with {self.carry_bits} bits" if self.chains else ""
        return f"{self.depth} levels from {start} to {end}: {self.levels} LUTs{carry}"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class PathAnalysis:
    """Longest paths to every bit of a netlist.

    Args:
        netlist: a flat one.
        only_from: only paths from cells of these types; default is all registers, and ports.
        carry: measure paths by the bits of carry that they pass, not by their depth.
    """

    def __init__(self, netlist: Netlist, *, only_from: Sequence[str] = (), carry: bool = False) -> None:
        self.netlist = netlist
        self._only_from = only_from
        self._carry = carry
        self._ports = {bit for bits in netlist.inputs.values() for bit in bits}
        self._length: dict[int, list[int]] = {}
        self._before: dict[int, list[tuple[_Arc, Cell] | None]] = {}
        for bit in {bit for _, _, bit in self._ends()}:
            self._reach(bit)

    # The graph -------------------------------------------------------------------------------------------------------

    def _arcs(self, bit: int) -> tuple[int, list[_Arc]]:
        """What a bit is made of: the levels with which a path may begin here (``_NEVER``: it may not), and the arcs."""
        cell = self.netlist.driver.get(bit)
        if cell is None:
            return (_NEVER if self._only_from else 0), []
        begins, arcs = self._cell_arcs(cell, bit)
        if self._only_from and cell.type not in self._only_from:
            begins = _NEVER
        return begins, arcs

    def _cell_arcs(self, cell: Cell, bit: int) -> tuple[int, list[_Arc]]:
        kind, pins = cell.type, cell.inputs
        if kind in cells.LUTS:
            return _NEVER, [(source, 1, 0, 0) for sources in pins.values() for source in sources]
        if kind == "CARRY4":
            return _NEVER, self._carry_arcs(cell, bit)
        if kind in cells.FLIP_FLOPS or kind in cells.LATCHES or kind in cells.BLOCK_RAMS:
            return 0, []
        if kind in cells.WIDE_MULTIPLEXERS:
            return _NEVER, [
                *((pins[pin][0], self._muxf_level(pins[pin][0]), 0, 0) for pin in ("I0", "I1")),
                (pins["S"][0], 1, 0, 0),
            ]
        if kind in cells.DSPS:
            if cell.number("PREG"):
                return 0, []
            begins = 0 if any(cell.number(name) for name in ("MREG", "CREG", "AREG", "BREG")) else _NEVER
            return begins, [(source, 1, 0, 0) for pin in unregistered_pins(cell) for source in pins.get(pin, ())]
        if kind in cells.DISTRIBUTED_RAMS:
            for address, outputs in cells.DISTRIBUTED_RAMS[kind]:
                if any(bit in cell.outputs.get(pin, ()) for pin in outputs):
                    return 1, [
                        (source, 1, 0, 0) for pin, sources in pins.items() if re.fullmatch(rf"{address}\d*", pin) for source in sources
                    ]
        if kind in cells.SHIFT_REGISTERS:
            return 1, [(source, 1, 0, 0) for pin, sources in pins.items() if pin.startswith("A") for source in sources]
        if kind in cells.BUFFERS:
            return _NEVER, [(pins["I"][0], 0, 0, 0)]
        raise GradCoreError(f"the depth of a cell {kind} is not known to gradcore.synthesis.paths: add it there")

    def _carry_arcs(self, cell: Cell, bit: int) -> list[_Arc]:
        """Arcs to an output of a CARRY4: entering a chain costs a level, walking on along it none."""
        pins = cell.inputs
        carry_out = bit in cell.outputs.get("CO", ())
        index = cell.outputs["CO" if carry_out else "O"].index(bit)
        arcs = [(source, 1, 1, index + 1 - at) for at, source in enumerate(pins["S"][: index + 1])]
        below = index + 1 if carry_out else index
        arcs += [(source, 1, 1, index + 1 - at) for at, source in enumerate(pins["DI"][:below])]
        arcs += [(source, 1, 1, index + 1) for source in pins.get("CYINIT", ())]
        for source in pins.get("CI", ()):
            above = self.netlist.driver.get(source)
            joined = above is not None and above.type == "CARRY4"
            arcs.append((source, 0 if joined else 1, 0 if joined else 1, index + 1))
        return arcs

    def _muxf_level(self, source: int) -> int:
        """A data input of MUXF7/8 costs nothing from its LUT or MUXF7; from anything else a LUT must be passed."""
        cell = self.netlist.driver.get(source)
        return 0 if cell is not None and (cell.type in cells.LUTS or cell.type in cells.WIDE_MULTIPLEXERS) else 1

    def _ends(self) -> Iterator[tuple[Cell | None, str, int]]:
        """Where paths end: (cell or None for an output port, pin or port, bit)."""
        for port, bits in self.netlist.outputs.items():
            for bit in bits:
                if bit != CONSTANT:
                    yield None, port, bit
        for cell in self.netlist.cells:
            for pin in _end_pins(cell):
                for bit in cell.inputs.get(pin, ()):
                    if bit != CONSTANT:
                        yield cell, pin, bit

    # Longest paths ---------------------------------------------------------------------------------------------------

    def _reach(self, goal: int) -> None:
        """Compute the longest paths to a bit, after those of all that it is made of."""
        stack: list[tuple[int, int, list[_Arc], int]] = []
        active: set[int] = set()

        def enter(bit: int) -> None:
            begins, arcs = self._arcs(bit)
            stack.append((bit, begins, arcs, 0))
            active.add(bit)

        if goal not in self._length:
            enter(goal)
        while stack:
            bit, begins, arcs, position = stack.pop()
            while position < len(arcs) and (arcs[position][0] == CONSTANT or arcs[position][0] in self._length):
                position += 1
            if position < len(arcs):
                source = arcs[position][0]
                if source in active:
                    raise GradCoreError(
                        f"combinational loop in {self.netlist.name} through {self.netlist.names.get(source, source)}: "
                        "break it with a register"
                    )
                stack.append((bit, begins, arcs, position))
                enter(source)
                continue
            active.discard(bit)
            length = [_NEVER, _NEVER]
            before: list[tuple[_Arc, Cell] | None] = [None, None]
            if begins != _NEVER:
                length[_FROM_PORT if bit in self._ports else _FROM_REGISTER] = 0 if self._carry else begins
            for arc in arcs:
                if arc[0] == CONSTANT:
                    continue
                cost = arc[3] if self._carry else arc[1]
                for state, value in enumerate(self._length[arc[0]]):
                    if value != _NEVER and value + cost > length[state]:
                        length[state] = value + cost
                        before[state] = (arc, self.netlist.driver[bit])
            self._length[bit] = length
            self._before[bit] = before

    def _trace(self, cell: Cell | None, pin: str, bit: int, state: int) -> Path:
        """The path that ends at a pin."""
        names = self.netlist.names
        depth, chains, carry_bits, through = 0, 0, 0, []
        here = bit
        while (step := self._before[here][state]) is not None:
            (source, levels, entered, carry), by = step
            depth, chains, carry_bits = depth + levels, chains + entered, carry_bits + carry
            if by.type != "CARRY4" and here != bit and self.netlist.is_public(here):
                through.append(names[here])
            here = source
        depth += self._arcs(here)[0]
        first = self.netlist.driver.get(here)
        return Path(
            start=label(self.netlist, first) if first is not None else names.get(here, str(here)),
            end=f"{label(self.netlist, cell)}.{pin}" if cell is not None else names.get(bit, pin),
            start_kind=first.type if first is not None else "port",
            end_kind=cell.type if cell is not None else "port",
            depth=depth,
            levels=depth - chains,
            chains=chains,
            carry_bits=carry_bits,
            start_source=first.source if first is not None else "",
            end_source=cell.source if cell is not None else "",
            through=tuple(reversed(through)),
        )

    def _lengths(self, between: str) -> Iterator[tuple[int, Cell | None, str, int, int]]:
        """Ends of paths of a class: (length, cell, pin, bit, state)."""
        state = _FROM_PORT if between in ("input", "through") else _FROM_REGISTER
        to_port = between in ("output", "through")
        for cell, pin, bit in self._ends():
            if (cell is None) == to_port and self._length[bit][state] != _NEVER:
                yield self._length[bit][state], cell, pin, bit, state

    def worst(self, between: str = "register", count: int = 10, *, at: Sequence[str] = ()) -> list[Path]:
        """The longest paths of a class, one for each pair of registers (not of bits), longest first.

        Args:
            between: 'register', 'input' (port to register), 'output', or 'through' (port to port).
            count: number of paths at most.
            at: only paths that end at cells of these types.
        """
        found = [end for end in self._lengths(between) if end[0] > 0 and (not at or (end[1] and end[1].type in at))]
        found.sort(key=lambda end: -end[0])
        paths: dict[tuple[str, str], Path] = {}
        for _, cell, pin, bit, state in found:
            path = self._trace(cell, pin, bit, state)
            paths.setdefault((stem(path.start), stem(path.end)), path)
            if len(paths) >= count:
                break
        return list(paths.values())

    def histogram(self, between: str = "register") -> dict[int, int]:
        """Length -> number of end pins whose longest path is that long."""
        counts: dict[int, int] = {}
        for length, *_ in self._lengths(between):
            counts[length] = counts.get(length, 0) + 1
        return dict(sorted(counts.items()))


def unregistered_pins(cell: Cell) -> tuple[str, ...]:
    """Pins of a DSP48E1 from which a path runs to its output, or to its output register, through no register."""
    return tuple(pin for pin, registers in _DSP_REGISTERS.items() if not any(cell.number(name) for name in registers))


def longest_chain(netlist: Netlist) -> tuple[int, str]:
    """Number of CARRY4s in the longest carry chain, and where it comes from."""
    length: dict[str, int] = {}
    best = (0, "")
    carries = list(netlist.of_types(["CARRY4"]))
    above: dict[str, Cell | None] = {}
    for cell in carries:
        source = next(iter(cell.inputs.get("CI", ())), CONSTANT)
        driver = netlist.driver.get(source)
        above[cell.name] = driver if driver is not None and driver.type == "CARRY4" else None
    for cell in carries:
        walk = [cell]
        while (upper := above[walk[-1].name]) is not None and upper.name not in length:
            walk.append(upper)
        for member in reversed(walk):
            upper = above[member.name]
            length[member.name] = 1 + (length[upper.name] if upper is not None else 0)
        best = max(best, (length[cell.name], cell.source))
    return best


def stem(name: str) -> str:
    """A name without the numbers of bits, instances and repeats: the same for all bits of a register."""
    return re.sub(r"\[\d+\]|\$\d+|\d+$|(?<=\$o)\d+", "", name)


def plain(name: str) -> str:
    """A name of a cell without the marks of Yosys's flattening."""
    return name.removeprefix("$").replace("flatten\\", "").replace("\\", "")


def label(netlist: Netlist, cell: Cell) -> str:
    """Name of a register: of the net that it drives when the Verilog names it, else of the cell."""
    if cell.type not in cells.FLIP_FLOPS and cell.type not in cells.LATCHES:
        return plain(cell.name)
    bit = next(bit for bits in cell.outputs.values() for bit in bits)
    if netlist.is_public(bit):
        return netlist.names[bit]
    source = netlist.driver.get(next(iter(cell.inputs.get("D", ())), CONSTANT))
    if source is not None and source.type in cells.DISTRIBUTED_RAMS:
        return f"register behind {plain(source.name)}"
    return f"register {netlist.names.get(bit, plain(cell.name))}"


def _end_pins(cell: Cell) -> Iterable[str]:
    """Pins at which a path ends."""
    kind = cell.type
    if kind in cells.FLIP_FLOPS or kind in cells.LATCHES:
        return [pin for pin in cell.inputs if pin not in ("C", "G")]
    if kind in cells.BLOCK_RAMS:
        return [pin for pin in cell.inputs if not pin.startswith("CLK")]
    if kind in cells.DSPS:
        if cell.number("PREG") or cell.number("MREG"):
            return [pin for pin in cell.inputs if pin != "CLK"]
        return [pin for pin in cell.inputs if pin != "CLK" and pin not in unregistered_pins(cell)]
    if kind in cells.DISTRIBUTED_RAMS:
        # The write side: the address of the port that writes is both a read address and an end.
        reads = {address for address, _ in cells.DISTRIBUTED_RAMS[kind]}
        written = "ADDRD" if kind.endswith("M") else "A"
        return [
            pin
            for pin in cell.inputs
            if pin not in ("WCLK", "CLK") and (pin.rstrip("0123456789") not in reads or pin.rstrip("0123456789") == written)
        ]
    if kind in cells.SHIFT_REGISTERS:
        return [pin for pin in cell.inputs if pin in ("D", "CE")]
    return ()
