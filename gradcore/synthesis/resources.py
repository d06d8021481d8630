# SPDX-License-Identifier: Apache-2.0
"""What a netlist occupies of the XC7Z020.

How LUTs are counted, from the cells of the netlist, without any packing that a vendor's tool does afterwards:

- LUT1 to LUT6 and INV: one each. Two small LUTs that fit one LUT6 with two outputs still count as two, and an inverter
  counts even before a carry chain, where it needs the LUT of its bit. So the count is an upper bound.
- Distributed RAM: as many LUTs as the RAM occupies (``LUTS_OF_RAM``). Shift registers: one each.
- MUXF7, MUXF8 and CARRY4 are parts of the slice beside its LUTs, and cost none.

A RAMB18E1 is half a block RAM.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcore.errors import GradCoreError
from gradcore.synthesis import netlist as cells
from gradcore.synthesis.netlist import Netlist

LUTS_OF_RAM = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM16X1D": 2,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM16X1S": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
}
_FREE = (*cells.WIDE_MULTIPLEXERS, "CARRY4", *cells.BUFFERS, "GND", "VCC")

KINDS = ("lut", "ff", "bram36", "dsp")


@dataclass(frozen=True)
class Resources:
    """Numbers of LUTs, flip-flops (and latches), block RAMs of 36 Kbit, and DSP48E1s."""

    lut: int = 0
    ff: int = 0
    bram36: float = 0.0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, kind) + getattr(other, kind) for kind in KINDS))

    def __mul__(self, times: int) -> Resources:
        return Resources(*(getattr(self, kind) * times for kind in KINDS))

    def as_dict(self) -> dict[str, float]:
        """Kind -> number."""
        return {kind: getattr(self, kind) for kind in KINDS}


XC7Z020 = Resources(lut=53_200, ff=106_400, bram36=140, dsp=220)
# The paper's Table II: it counts block RAMs in halves (25 of 280).
PAPER = Resources(lut=43_787, ff=20_312, bram36=12.5, dsp=25)
BUDGET_FULL = Resources(lut=29_000, ff=36_000, bram36=115, dsp=160)


def count_types(types: Iterable[str], *, other: Iterable[str] = ()) -> Resources:
    """Resources of cells, given their types.

    Args:
        types: type of every cell.
        other: types that are counted elsewhere (instances of units).

    Raises:
        GradCoreError: a type that is not known here: nothing is left uncounted.
    """
    lut = ff = dsp = halves = 0
    skip = {*_FREE, *other}
    for kind, number in Counter(types).items():
        if kind in cells.LUTS or kind in cells.SHIFT_REGISTERS:
            lut += number
        elif kind in LUTS_OF_RAM:
            lut += LUTS_OF_RAM[kind] * number
        elif kind in cells.FLIP_FLOPS or kind in cells.LATCHES:
            ff += number
        elif kind in cells.DSPS:
            dsp += number
        elif kind in cells.BLOCK_RAMS:
            halves += number * (2 if kind == "RAMB36E1" else 1)
        elif kind not in skip:
            raise GradCoreError(f"what a cell {kind} occupies is not known to gradcore.synthesis.resources: add it there")
    return Resources(lut, ff, halves / 2, dsp)


def count(netlist: Netlist) -> Resources:
    """Resources of a flat netlist."""
    return count_types(cell.type for cell in netlist.cells)


def accepted() -> dict[str, Any]:
    """What the presets take, as measured and accepted (`make accept-resources`): ``sources``, the hash of the Verilog, and ``presets``: for
    each ``lut``, ``ff``, ``bram36``, ``dsp``, ``levels`` and ``modules``."""
    return json.loads(Path(__file__).with_name("accepted.json").read_text())
