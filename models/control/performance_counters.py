# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/control/performance_counters.v and rtl/control/layer_timestamps.v."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcore import hardware

ENGINES = {"LOADER": "loader", "CONV": "conv", "VECTOR": "vector", "STORE": "store"}


def units(engine: str, groups: int) -> int:
    """Number of halves or streams of an engine (a key of ENGINES)."""
    return 2 * groups if engine == "CONV" else 2


@dataclass
class PerformanceCounters:
    """Counts one cycle after the other; ``values`` are modulo 2**bits."""

    groups: int = 4
    bits: int = 40
    values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(hardware.COUNTERS, 0))

    def clear(self) -> None:
        """The start of a run."""
        self.values = dict.fromkeys(hardware.COUNTERS, 0)

    def count(self, events: Mapping[str, int]) -> None:
        """One cycle of a run; ``events`` holds the module's inputs by port name."""
        active_units = {}
        for engine, port in ENGINES.items():
            everything = (1 << units(engine, self.groups)) - 1
            active, blocked = events[f"{port}_active"], events[f"{port}_blocked"]
            active_units[engine] = active.bit_count()
            self._add(f"{engine}_ACTIVE", active.bit_count())
            self._add(f"{engine}_WAIT_INPUT", (everything & ~active & ~blocked).bit_count())
            self._add(f"{engine}_WAIT_OUTPUT", (everything & ~active & blocked).bit_count())
        self._add("CYCLES", 1)
        self._add("MACS_ISSUED", 16 * active_units["CONV"] + 4 * active_units["VECTOR"])
        self._add("ZEROS_SKIPPED", events["zeros_skipped"])
        self._add("BYTES_READ", 8 * events["read_beat"].bit_count())
        self._add("BYTES_WRITTEN", 8 * events["write_beat"].bit_count())

    def _add(self, name: str, amount: int) -> None:
        self.values[name] = (self.values[name] + amount) % (1 << self.bits)


def broken_identities(values: Mapping[str, int], groups: int) -> list[str]:
    """Names of the identities between the counters that ``values`` break; empty when all hold."""
    broken = []
    for engine in ENGINES:
        total = sum(values[f"{engine}_{kind}"] for kind in ("ACTIVE", "WAIT_INPUT", "WAIT_OUTPUT"))
        if total != units(engine, groups) * values["CYCLES"]:
            broken.append(f"{engine}_ACTIVE + _WAIT_INPUT + _WAIT_OUTPUT = {units(engine, groups)} x CYCLES")
    if values["MACS_ISSUED"] != 16 * values["CONV_ACTIVE"] + 4 * values["VECTOR_ACTIVE"]:
        broken.append("MACS_ISSUED = 16 x CONV_ACTIVE + 4 x VECTOR_ACTIVE")
    if values["BYTES_READ"] % 8 or values["BYTES_WRITTEN"] % 8:
        broken.append("BYTES_READ and BYTES_WRITTEN are multiples of 8")
    return broken


@dataclass
class LayerTimestamps:
    """Time stamps and saturated values of the layers: the marks of this run, and the number of layers that have finished."""

    words: dict[int, tuple[int, int]] = field(default_factory=dict)
    finished: int = 0

    def clear(self) -> None:
        """The start of a run: no layer has finished; the memory keeps its words."""
        self.finished = 0

    def mark(self, layer: int, cycle: int, saturated: int) -> None:
        """The last job of ``layer`` finished in ``cycle``; ``saturated`` values of the layer had been clipped."""
        self.words[layer] = cycle & 0xFFFFFFFF, saturated
        self.finished = max(self.finished, layer + 1)

    def read(self, layer: int) -> tuple[int, int] | None:
        """What LAYER_CYCLES and LAYER_SATURATED show; None: a layer below the bound that was never marked (unknown)."""
        return (0, 0) if layer >= self.finished else self.words.get(layer)
