# SPDX-License-Identifier: Apache-2.0
"""Rules that a netlist of the core must keep. ``docs/synthesis.md`` gives the reasons for the limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gradcore.synthesis import netlist as cells
from gradcore.synthesis import paths
from gradcore.synthesis.known_warnings import explained
from gradcore.synthesis.netlist import CONSTANT, Cell, Netlist
from gradcore.synthesis.paths import PathAnalysis
from gradcore.synthesis.yosys import Design

# A block RAM without its output register takes about as long from the clock to its data as three levels of LUTs.
LIMIT_BEFORE_RAM = 4
LIMIT_BEHIND_RAM = 3
SHOWN = 20

# Multipliers only: a DSP48E1 that multiplies has these.
_MULTIPLIER_REGISTERS = ("AREG", "BREG", "MREG", "PREG")


@dataclass
class Check:
    """One rule and what breaks it.

    Attributes:
        name: short, for the table and JSON.
        rule: one line.
        violations: one line each; empty when the rule holds.
        measured: a number or text that shows how near to the limit the netlist is.
    """

    name: str
    rule: str
    violations: list[str] = field(default_factory=list)
    measured: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing breaks the rule."""
        return not self.violations

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"rule": self.rule, "holds": self.holds, "measured": self.measured, "violations": self.violations}


def check_all(netlist: Netlist, analysis: PathAnalysis, memories: Iterable[Memory], warnings: Iterable[str], macs: int) -> dict[str, Check]:
    """All checks of a netlist, by name.

    Args:
        netlist, analysis: the flat netlist and its paths.
        memories: that the Verilog declares, see ``memories_of``.
        warnings: that Yosys gave.
        macs: number of MAC modules (conv_mac, vector_lane) that the Verilog instantiates.
    """
    checks = [
        check_latches(netlist),
        check_macs(netlist, macs),
        check_multipliers(netlist),
        check_memories(netlist, memories),
        check_block_rams(netlist, analysis),
        check_depth(analysis),
        check_carry(netlist),
        check_warnings(warnings),
    ]
    return {check.name: check for check in checks}


def check_latches(netlist: Netlist) -> Check:
    """No latches."""
    check = Check("latches", "no latch")
    check.violations = [f"{paths.label(netlist, cell)} ({cell.source})" for cell in netlist.of_types(cells.LATCHES)]
    check.measured = str(len(check.violations))
    return check


# Multipliers ---------------------------------------------------------------------------------------------------------

# Modules of the Verilog that are one MAC each.
MAC_MODULES = ("conv_mac", "vector_lane")


def check_macs(netlist: Netlist, expected: int) -> Check:
    """Every MAC is one DSP48E1 with its registers inside."""
    check = Check("macs", "every MAC is one DSP48E1 with registers A, B, M and P inside")
    found = [cell for cell in netlist.of_types(cells.DSPS) if is_mac(cell)]
    for cell in found:
        missing = [name for name in _MULTIPLIER_REGISTERS if not cell.number(name)]
        if missing:
            check.violations.append(f"{paths.label(netlist, cell)} lacks {', '.join(missing)} ({cell.source})")
    if len(found) != expected:
        check.violations.append(f"{len(found)} DSP48E1 for {expected} MACs")
    check.measured = f"{len(found)} MACs"
    return check


def is_mac(cell: Cell) -> bool:
    """Whether a DSP48E1 comes from a module that is a MAC: its source file says so."""
    return any(cell.source.startswith(f"{module}.v:") for module in MAC_MODULES)


def check_multipliers(netlist: Netlist) -> Check:
    """No multiplier whose inputs and output have no register, neither inside nor right beside it."""
    check = Check(
        "multipliers",
        "every multiplier has a register before its inputs and one behind its product, inside the DSP48E1 or with no LUT between",
    )
    readers = _readers(netlist)
    total = 0
    for cell in netlist.of_types(cells.DSPS):
        if cell.parameters.get("USE_MULT", "MULTIPLY") == "NONE":
            continue
        total += 1
        for pin, register in (("A", "AREG"), ("B", "BREG")):
            if not cell.number(register) and not _all_from_registers(netlist, cell.inputs.get(pin, ())):
                check.violations.append(f"{paths.label(netlist, cell)}: input {pin} has no register ({cell.source})")
        if not cell.number("PREG") and not cell.number("MREG") and not _all_to_registers(cell.outputs["P"], readers):
            check.violations.append(f"{paths.label(netlist, cell)}: the product has no register ({cell.source})")
    check.measured = f"{total} multipliers"
    return check


# Memories ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """A memory that the Verilog declares.

    Attributes:
        path: its name with those of the instances that it lies in.
        style: its attribute ram_style ('block', 'distributed', 'registers'), or an empty text.
        width, depth: bits of a word, number of words.
    """

    path: str
    style: str
    width: int
    depth: int


def check_memories(netlist: Netlist, memories: Iterable[Memory]) -> Check:
    """Every memory became the kind of RAM that its ram_style names."""
    check = Check("memories", "every memory is in the kind of RAM that its ram_style names, none in flip-flops")
    built: dict[str, set[str]] = {}
    for cell in netlist.cells:
        kind = "block" if cell.type in cells.BLOCK_RAMS else "distributed"
        if cell.type in cells.BLOCK_RAMS or cell.type in cells.DISTRIBUTED_RAMS:
            # Yosys names the parts of a memory by its name and two numbers.
            stem = paths.plain(cell.name).rsplit(".", 2)[0]
            built.setdefault(stem, set()).add(kind)
    number = 0
    for memory in memories:
        number += 1
        size = f"{memory.path} ({memory.depth} x {memory.width})"
        became = built.get(memory.path, set())
        if memory.style not in ("block", "distributed", "registers"):
            check.violations.append(f"{size} has no ram_style that says where it belongs")
        elif memory.style == "registers":
            if became:
                check.violations.append(f"{size} should be registers and is {' and '.join(sorted(became))} RAM")
        elif not became:
            check.violations.append(f"{size} should be {memory.style} RAM and was dissolved into flip-flops or removed")
        elif became != {memory.style}:
            check.violations.append(f"{size} should be {memory.style} RAM and is {' and '.join(sorted(became))} RAM")
    check.measured = f"{number} memories"
    return check


def check_block_rams(netlist: Netlist, analysis: PathAnalysis) -> Check:
    """Inputs of block RAMs come from registers, and their outputs go to registers, through few levels."""
    check = Check(
        "block_rams",
        f"at most {LIMIT_BEFORE_RAM} levels before a block RAM's inputs, {LIMIT_BEHIND_RAM} behind its outputs",
    )
    before = analysis.worst("register", SHOWN, at=cells.BLOCK_RAMS)
    behind = PathAnalysis(netlist, only_from=cells.BLOCK_RAMS).worst("register", SHOWN)
    check.violations = [
        *(f"before: {path}" for path in before if path.depth > LIMIT_BEFORE_RAM),
        *(f"behind: {path}" for path in behind if path.depth > LIMIT_BEHIND_RAM),
    ]
    deepest = [max((path.depth for path in found), default=0) for found in (before, behind)]
    check.measured = f"{deepest[0]} levels before, {deepest[1]} behind"
    return check


# Paths ---------------------------------------------------------------------------------------------------------------


def check_depth(analysis: PathAnalysis) -> Check:
    """No path between registers is too deep."""
    check = Check("depth", f"at most {paths.LIMIT_DEPTH} levels (LUTs and carry chains) between registers")
    worst = analysis.worst("register", SHOWN)
    check.violations = [str(path) for path in worst if path.depth > paths.LIMIT_DEPTH]
    histogram = analysis.histogram()
    over = sum(number for depth, number in histogram.items() if depth > paths.LIMIT_DEPTH)
    check.measured = f"{max(histogram, default=0)} levels; {over} of {sum(histogram.values())} pins over the limit"
    return check


def check_carry(netlist: Netlist) -> Check:
    """No carry chain is longer than 48 bits."""
    limit = paths.LIMIT_CARRY4
    check = Check("carry", f"at most {limit} CARRY4 ({4 * limit} bits) in a chain, and on a path")
    length, source = paths.longest_chain(netlist)
    if length > limit:
        check.violations.append(f"{length} CARRY4 in one chain ({source})")
    longest = PathAnalysis(netlist, carry=True).worst("register", SHOWN)
    check.violations += [str(path) for path in longest if path.carry_bits > 4 * limit]
    on_path = max((path.carry_bits for path in longest), default=0)
    check.measured = f"{length} CARRY4 in a chain, {on_path} bits on a path"
    return check


def check_warnings(warnings: Iterable[str]) -> Check:
    """Every warning of Yosys is explained."""
    check = Check("warnings", "every warning of Yosys has an explanation")
    number = 0
    for warning in dict.fromkeys(warnings):
        number += 1
        if not explained(warning):
            check.violations.append(warning)
    check.measured = f"{number} warnings"
    return check


# Helpers -------------------------------------------------------------------------------------------------------------


def memories_of(design: Design, top: str, prefix: str = "") -> list[Memory]:
    """All memories below a module of an elaborated design, one for each instance."""
    found = [Memory(f"{prefix}{name}", style, width, depth) for name, style, width, depth in design.memories(top)]
    for instance, child in design.instances(top):
        found += memories_of(design, child, f"{prefix}{instance}.")
    return found


def count_macs(design: Design, top: str) -> int:
    """Number of MACs below (and including) a module of an elaborated design."""
    counts = design.count_instances(top)
    return sum(number for module, number in counts.items() if design.source[module] in MAC_MODULES)


def _readers(netlist: Netlist) -> dict[int, list[Cell | None]]:
    """Bit -> the cells that read it; None for an output port."""
    readers: dict[int, list[Cell | None]] = {}
    for cell in netlist.cells:
        for bits in cell.inputs.values():
            for bit in bits:
                readers.setdefault(bit, []).append(cell)
    for bits in netlist.outputs.values():
        for bit in bits:
            readers.setdefault(bit, []).append(None)
    return readers


def _is_register(cell: Cell | None) -> bool:
    return cell is not None and cell.type in (*cells.FLIP_FLOPS, *cells.BLOCK_RAMS, *cells.SHIFT_REGISTERS)


def _all_from_registers(netlist: Netlist, bits: Iterable[int]) -> bool:
    return all(bit == CONSTANT or _is_register(netlist.driver.get(bit)) for bit in bits)


def _all_to_registers(bits: Iterable[int], readers: Mapping[int, Sequence[Cell | None]]) -> bool:
    return all(
        reader is not None and (_is_register(reader) or (reader.type in cells.DSPS and reader.number("CREG")))
        for bit in bits
        for reader in readers.get(bit, ())
    )
