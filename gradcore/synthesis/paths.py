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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradcore.errors import GradCoreError
from gradcore.synthesis import netlist as cells
from gradcore.synthesis.netlist import CONSTANT, Cell, Netlist

LIMIT_DEPTH = 6
LIMIT_CHAINS = 1
LIMIT_CARRY4 = 12

# States of a bit: chains so far (0, 1, 2 or more), for paths from registers, then the same for paths from input ports.
_CHAIN_STATES = 3
_STATES = 2 * _CHAIN_STATES
_NEVER = -1

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

    @property
    def between(self) -> str:
        """Class of the path: 'register', 'input', 'output' or 'through'."""
        return {
            (False, False): "register",
            (True, False): "input",
            (False, True): "output",
            (True, True): "through",
        }[self.start_kind == "port", self.end_kind == "port"]


class PathAnalysis:
    """Longest paths to every bit of a netlist."""

    def __init__(self, netlist: Netlist) -> None:
        self.netlist = netlist
        self._ports = {bit for bits in netlist.inputs.values() for bit in bits}
        self._depth: dict[int, list[int]] = {}
        self._before: dict[int, list[tuple[int, int, Cell] | None]] = {}
        for bit in {bit for _, _, bit in self._ends()}:
            self._reach(bit)

    # The graph -------------------------------------------------------------------------------------------------------

    def _arcs(self, bit: int) -> tuple[int, list[tuple[int, int, int]]]:
        """What a bit is made of.

        Returns:
            The depth at which a path may begin here (``_NEVER``: it may not), and the arcs that lead here as
            (bit, levels, chains entered).
        """
        cell = self.netlist.driver.get(bit)
        if cell is None:
            return 0, []
        kind = cell.type
        if kind in cells.LUTS:
            return _NEVER, [(source, 1, 0) for pins in cell.inputs.values() for source in pins]
        if kind == "CARRY4":
            return _NEVER, self._carry_arcs(cell, bit)
        if kind in cells.FLIP_FLOPS or kind in cells.LATCHES or kind in cells.BLOCK_RAMS:
            return 0, []
        if kind in cells.WIDE_MULTIPLEXERS:
            return _NEVER, [
                *((cell.inputs[pin][0], self._muxf_level(cell.inputs[pin][0]), 0) for pin in ("I0", "I1")),
                (cell.inputs["S"][0], 1, 0),
            ]
        if kind in cells.DSPS:
            if cell.number("PREG"):
                return 0, []
            begins = 0 if any(cell.number(name) for name in ("MREG", "CREG", "AREG", "BREG")) else _NEVER
            return begins, [
                (source, 1, 0) for pin in unregistered_pins(cell) for source in cell.inputs.get(pin, ())
            ]
        if kind in cells.DISTRIBUTED_RAMS:
            for stem, outputs in cells.DISTRIBUTED_RAMS[kind]:
                if any(bit in cell.outputs.get(pin, ()) for pin in outputs):
                    return 1, [
                        (source, 1, 0)
                        for pin, sources in cell.inputs.items()
                        if re.fullmatch(rf"{stem}\d*", pin)
                        for source in sources
                    ]
        if kind in cells.SHIFT_REGISTERS:
            return 1, [
                (source, 1, 0) for pin, sources in cell.inputs.items() if pin.startswith("A") for source in sources
            ]
        if kind in cells.BUFFERS:
            return _NEVER, [(cell.inputs["I"][0], 0, 0)]
        raise GradCoreError(f"the depth of a cell {kind} is not known to gradcore.synthesis.paths: add it there")

    def _carry_arcs(self, cell: Cell, bit: int) -> list[tuple[int, int, int]]:
        """Arcs to an output of a CARRY4: entering a chain costs a level, walking on along it none."""
        pins = cell.inputs
        if bit in cell.outputs.get("CO", ()):
            index = cell.outputs["CO"].index(bit)
            entries = [*pins["S"][: index + 1], *pins["DI"][: index + 1]]
        else:
            index = cell.outputs["O"].index(bit)
            entries = [*pins["S"][: index + 1], *pins["DI"][:index]]
        arcs = [(source, 1, 1) for source in [*entries, *pins.get("CYINIT", ())]]
        for source in pins.get("CI", ()):
            above = self.netlist.driver.get(source)
            joined = above is not None and above.type == "CARRY4"
            arcs.append((source, 0, 0) if joined else (source, 1, 1))
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
        """Compute the depth of a bit in every state, after those of all that it is made of."""
        stack: list[tuple[int, int, list[tuple[int, int, int]], int]] = []
        active: set[int] = set()

        def enter(bit: int) -> None:
            begins, arcs = self._arcs(bit)
            stack.append((bit, begins, arcs, 0))
            active.add(bit)

        if goal not in self._depth:
            enter(goal)
        while stack:
            bit, begins, arcs, position = stack.pop()
            while position < len(arcs) and (arcs[position][0] == CONSTANT or arcs[position][0] in self._depth):
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
            depth = [_NEVER] * _STATES
            before: list[tuple[int, int, Cell] | None] = [None] * _STATES
            if begins != _NEVER:
                depth[_CHAIN_STATES if bit in self._ports else 0] = begins
            cell = self.netlist.driver.get(bit)
            for source, levels, chains in arcs:
                if source == CONSTANT:
                    continue
                for state, value in enumerate(self._depth[source]):
                    if value == _NEVER:
                        continue
                    entered = state - state % _CHAIN_STATES + min(state % _CHAIN_STATES + chains, _CHAIN_STATES - 1)
                    if value + levels > depth[entered]:
                        depth[entered] = value + levels
                        before[entered] = (source, state, cell)
            self._depth[bit] = depth
            self._before[bit] = before

    def _trace(self, cell: Cell | None, pin: str, bit: int, state: int) -> Path:
        """The path that ends at a pin in a state."""
        names = self.netlist.names
        carry_bits, chains, through = 0, 0, []
        here, depth = bit, self._depth[bit][state]
        end_bit, at = bit, state
        while (step := self._before[here][at]) is not None:
            source, at, by = step
            if by.type == "CARRY4":
                pins = (*by.outputs.get("CO", ()), *by.outputs.get("O", ()))
                leaves = pins.index(here) % 4
                enters = next(
                    (by.inputs[name].index(source) for name in ("S", "DI") if source in by.inputs[name]), 0
                )
                carry_bits += max(leaves - enters, 0) + 1
                above = self.netlist.driver.get(source)
                if not (source in by.inputs.get("CI", ()) and above is not None and above.type == "CARRY4"):
                    chains += 1
            elif self.netlist.is_public(here) and here != end_bit:
                through.append(names[here])
            here = source
        first = self.netlist.driver.get(here)
        return Path(
            start=names.get(here, str(here)),
            end=f"{_label(self.netlist, cell)}.{pin}" if cell is not None else f"{names.get(bit, pin)}",
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

    def worst(self, between: str = "register", count: int = 10, *, only_two_chains: bool = False) -> list[Path]:
        """The deepest paths of a class, one for each pair of registers (not of bits), deepest first.

        Args:
            between: 'register', 'input' (port to register), 'output', or 'through' (port to port).
            count: number of paths at most.
            only_two_chains: only paths through more than one carry chain.
        """
        from_port = between in ("input", "through")
        to_port = between in ("output", "through")
        states = range(_CHAIN_STATES, _STATES) if from_port else range(_CHAIN_STATES)
        if only_two_chains:
            states = [states[-1]]
        found = []
        for cell, pin, bit in self._ends():
            if (cell is None) != to_port:
                continue
            for state in states:
                value = self._depth[bit][state]
                if value > 0:
                    found.append((-value, len(found), cell, pin, bit, state))
        found.sort(key=lambda entry: entry[:2])
        paths: dict[tuple[str, str], Path] = {}
        for _, _, cell, pin, bit, state in found:
            path = self._trace(cell, pin, bit, state)
            paths.setdefault((stem(path.start), stem(path.end)), path)
            if len(paths) >= count:
                break
        return list(paths.values())

    def histogram(self, between: str = "register") -> dict[int, int]:
        """Depth -> number of end pins whose deepest path is that deep."""
        from_port = between in ("input", "through")
        to_port = between in ("output", "through")
        states = slice(_CHAIN_STATES, _STATES) if from_port else slice(0, _CHAIN_STATES)
        counts: dict[int, int] = {}
        for cell, _, bit in self._ends():
            if (cell is None) == to_port:
                value = max(self._depth[bit][states])
                if value != _NEVER:
                    counts[value] = counts.get(value, 0) + 1
        return dict(sorted(counts.items()))


def unregistered_pins(cell: Cell) -> tuple[str, ...]:
    """Pins of a DSP48E1 from which a path runs to its output, or to its output register, through no register."""
    return tuple(
        pin
        for pin, registers in _DSP_REGISTERS.items()
        if not any(cell.number(name) for name in registers)
    )


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
    """A name without the numbers of bits and of repeated instances: the same for all bits of a register."""
    return re.sub(r"\[\d+\]|\$\d+", "", name)


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
        reads = {stem for stem, _ in cells.DISTRIBUTED_RAMS[kind]}
        written = "ADDRD" if kind.endswith("M") else "A"
        return [
            pin
            for pin in cell.inputs
            if pin not in ("WCLK", "CLK")
            and (pin.rstrip("0123456789") not in reads or pin.rstrip("0123456789") == written)
        ]
    if kind in cells.SHIFT_REGISTERS:
        return [pin for pin in cell.inputs if pin in ("D", "CE")]
    return ()


def _label(netlist: Netlist, cell: Cell) -> str:
    """Name of a register: of the net that it drives when the Verilog names it, else of the cell."""
    for bits in cell.outputs.values():
        for bit in bits:
            if bit != CONSTANT and netlist.is_public(bit) and cell.type in cells.FLIP_FLOPS:
                return netlist.names[bit]
    if cell.type in cells.FLIP_FLOPS:
        for bits in cell.outputs.values():
            return netlist.names.get(bits[0], cell.name)
    return cell.name.removeprefix("$flatten\\").replace("\\", "")
