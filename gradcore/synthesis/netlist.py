# SPDX-License-Identifier: Apache-2.0
"""A flat netlist of 7-series cells, as Yosys writes it in JSON.

Bits are Yosys's numbers (2 and up); the constants "0", "1", "x" and "z" have none and appear as ``CONSTANT``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcore.errors import GradCoreError

CONSTANT = -1

LUTS = ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV")
WIDE_MULTIPLEXERS = ("MUXF7", "MUXF8", "MUXF9")
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1")
LATCHES = ("LDCE", "LDPE", "LDRE", "LDSE")
SHIFT_REGISTERS = ("SRL16", "SRL16E", "SRLC16", "SRLC16E", "SRLC32E")
BLOCK_RAMS = ("RAMB18E1", "RAMB36E1")
DSPS = ("DSP48E1",)
BUFFERS = ("BUFG", "IBUF", "OBUF", "BUF")

# Distributed RAMs: type -> the output pins of each read port, by the stem of the address pins that select it.
DISTRIBUTED_RAMS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    **{f"RAM{depth}M": tuple((f"ADDR{port}", (f"DO{port}",)) for port in "ABCD") for depth in (32, 64)},
    **{f"RAM{depth}X1S": (("A", ("O",)),) for depth in (16, 32, 64, 128, 256)},
    **{f"RAM{depth}X1D": (("A", ("SPO",)), ("DPRA", ("DPO",))) for depth in (16, 32, 64, 128)},
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. ``inputs`` and ``outputs`` map a pin to its bits, lowest first."""

    name: str
    type: str
    parameters: Mapping[str, str]
    attributes: Mapping[str, str]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]

    def number(self, parameter: str, default: int = 0) -> int:
        """A parameter as a number."""
        text = self.parameters.get(parameter)
        if text is None:
            return default
        return int(text, 2) if set(text) <= {"0", "1"} else int(text)

    @property
    def source(self) -> str:
        """File and line of the Verilog that the cell comes from, or an empty text."""
        for place in self.attributes.get("src", "").split("|"):
            match = re.match(r"(?:.*/)?([^/:]+\.v):(\d+)", place)
            if match and "/share/" not in place:
                return f"{match[1]}:{match[2]}"
        return ""


class Netlist:
    """The cells, ports and names of one module.

    Attributes:
        name: of the module.
        cells: all cells that stand for hardware.
        driver: bit -> the cell that drives it.
        inputs, outputs: port -> bits.
    """

    def __init__(self, module: Mapping[str, Any], name: str = "top") -> None:
        self.name = name
        self.cells: list[Cell] = []
        self.driver: dict[int, Cell] = {}
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        for port, entry in module.get("ports", {}).items():
            (self.inputs if entry["direction"] == "input" else self.outputs)[port] = _bits(entry["bits"])
        for cell_name, entry in module.get("cells", {}).items():
            if entry["type"].startswith("$"):
                if entry["type"] == "$scopeinfo":
                    continue
                raise GradCoreError(f"the netlist of {name} holds a cell {entry['type']} that Yosys did not map: report it")
            directions = entry["port_directions"]
            pins = {pin: _bits(bits) for pin, bits in entry["connections"].items()}
            cell = Cell(
                cell_name,
                entry["type"],
                entry.get("parameters", {}),
                entry.get("attributes", {}),
                {pin: bits for pin, bits in pins.items() if directions[pin] == "input"},
                {pin: bits for pin, bits in pins.items() if directions[pin] != "input"},
            )
            self.cells.append(cell)
            for bits in cell.outputs.values():
                for bit in bits:
                    if bit != CONSTANT:
                        self.driver[bit] = cell
        self._nets: Mapping[str, Any] = module.get("netnames", {})
        self._names: dict[int, str] | None = None

    @property
    def names(self) -> dict[int, str]:
        """Bit -> its best name: one of the Verilog's, the shortest; bits of a vector carry their index."""
        if self._names is None:
            ranks: dict[int, tuple[bool, int, str]] = {}
            for name, entry in self._nets.items():
                bits = _bits(entry["bits"])
                offset = entry.get("offset", 0)
                hidden = bool(entry.get("hide_name", 0))
                shown = _plain(name)
                for index, bit in enumerate(bits):
                    if bit == CONSTANT:
                        continue
                    text = f"{shown}[{index + offset}]" if len(bits) > 1 else shown
                    rank = (hidden, text.count("."), len(text), text)
                    if bit not in ranks or rank < ranks[bit]:
                        ranks[bit] = rank
            self._names = {bit: rank[-1] for bit, rank in ranks.items()}
        return self._names

    def is_public(self, bit: int) -> bool:
        """Whether a bit carries a name of the Verilog."""
        return "$" not in self.names.get(bit, "$")

    def of_types(self, types: Sequence[str]) -> Iterator[Cell]:
        """The cells of given types."""
        wanted = set(types)
        return (cell for cell in self.cells if cell.type in wanted)


def read_netlist(path: str | Path, top: str | None = None) -> Netlist:
    """Read the flat module ``top`` (default: the one marked as top) of a JSON file."""
    modules = json.loads(Path(path).read_text())["modules"]
    if top is None:
        marked = [name for name, module in modules.items() if int(module["attributes"].get("top", "0"), 2)]
        if len(marked) != 1:
            raise GradCoreError(f"{path} does not say which module is its top: make it anew")
        top = marked[0]
    return Netlist(modules[top], top)


def _bits(bits: Sequence[int | str]) -> tuple[int, ...]:
    return tuple(bit if isinstance(bit, int) else CONSTANT for bit in bits)


def _plain(name: str) -> str:
    """A name without the marks of Yosys's flattening."""
    return name.removeprefix("$flatten\\").replace("\\", "")
