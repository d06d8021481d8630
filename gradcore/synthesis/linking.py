# SPDX-License-Identifier: Apache-2.0
"""Joins the netlists of units into one flat netlist of the core."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcore.synthesis.netlist import Netlist
from gradcore.synthesis.yosys import UnitNetlist


def linked(units: Sequence[UnitNetlist]) -> Netlist:
    """The flat netlist of the last of ``units``, with the others in the place of their instances."""
    modules = {unit.module: module_of(unit) for unit in units}
    return Netlist(flatten(modules, units[-1].module), units[-1].source)


def module_of(unit: UnitNetlist) -> dict[str, Any]:
    """The netlist of a unit as Yosys's JSON has it: ports, cells, netnames."""
    return _read(unit.json)["modules"][unit.module]


@functools.lru_cache(maxsize=64)
def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def flatten(modules: Mapping[str, Any], top: str) -> dict[str, Any]:
    """A module with the instances of other modules replaced by what they hold; names get the instance's before them."""
    flat: dict[str, Any] = {"ports": modules[top].get("ports", {}), "cells": {}, "netnames": {}}
    aliases: dict[int, int | str] = {}
    fresh = 2

    def resolve(bit: int | str) -> int | str:
        while isinstance(bit, int) and bit in aliases:
            bit = aliases[bit]
        return bit

    def place(module: Mapping[str, Any], prefix: str, known: dict[int, int | str]) -> None:
        nonlocal fresh

        def renamed(bit: int | str) -> int | str:
            nonlocal fresh
            if not isinstance(bit, int):
                return bit
            if bit not in known:
                known[bit] = fresh
                fresh += 1
            return known[bit]

        for name, entry in module.get("netnames", {}).items():
            flat["netnames"][_joined(prefix, name)] = {**entry, "bits": [renamed(bit) for bit in entry["bits"]]}
        for name, cell in module.get("cells", {}).items():
            pins = {pin: [renamed(bit) for bit in bits] for pin, bits in cell["connections"].items()}
            if cell["type"] not in modules:
                flat["cells"][_joined(prefix, name)] = {**cell, "connections": pins}
                continue
            child = modules[cell["type"]]
            inner: dict[int, int | str] = {}
            # Inputs first: an output that is wired to an input, or to a constant, becomes another name of it.
            ports = sorted(child["ports"].items(), key=lambda item: item[1]["direction"] != "input")
            for port, entry in ports:
                for inside, outside in zip(entry["bits"], pins.get(port, ()), strict=False):
                    if not isinstance(inside, int):
                        if isinstance(outside, int):
                            aliases[outside] = inside
                    elif inside not in inner:
                        inner[inside] = outside
                    elif isinstance(outside, int) and resolve(outside) != resolve(inner[inside]):
                        aliases[outside] = inner[inside]
            place(child, _joined(prefix, name), inner)

    top_bits: dict[int, int | str] = {}
    for entry in modules[top].get("ports", {}).values():
        for bit in entry["bits"]:
            if isinstance(bit, int):
                top_bits.setdefault(bit, bit)
                fresh = max(fresh, bit + 1)
    place(modules[top], "", top_bits)
    for entry in flat["netnames"].values():
        entry["bits"] = [resolve(bit) for bit in entry["bits"]]
    for cell in flat["cells"].values():
        cell["connections"] = {pin: [resolve(bit) for bit in bits] for pin, bits in cell["connections"].items()}
    flat["ports"] = {name: {**entry, "bits": [resolve(bit) for bit in entry["bits"]]} for name, entry in flat["ports"].items()}
    return flat


def _joined(prefix: str, name: str) -> str:
    """A name inside an instance. Hidden names keep the dollar sign with which they begin."""
    if not prefix:
        return name
    return f"${prefix}.{name}" if name.startswith("$") and not prefix.startswith("$") else f"{prefix}.{name}"
