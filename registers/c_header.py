# SPDX-License-Identifier: Apache-2.0
"""Generates the C headers of include/."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from peakrdl_cheader.c_standards import CStandard
from peakrdl_cheader.exporter import CHeaderExporter
from systemrdl.node import AddrmapNode, RegfileNode, RegNode

from registers.description import NOTICE


def _places(node: AddrmapNode | RegfileNode, prefix: str = "") -> list[tuple[str, int]]:
    """(member, byte offset) of every register below a node, for offsetof: ("CYCLES.LOW", 0x100)."""
    places = []
    for child in node.children():
        name = f"{prefix}{child.inst_name}"
        if isinstance(child, RegNode):
            places.append((name, child.absolute_address))
        else:
            places += _places(child, f"{name}.")
    return places


def _c_checks(node: AddrmapNode) -> list[str]:
    """Lines that make every C11 and C++11 compiler check size and offsets."""
    check, struct = f"{node.inst_name.upper()}_CHECK", f"{node.inst_name}_t"
    return [
        "// The compiler checks the layout (C11, C++11, and newer).",
        "#include <stddef.h>",
        "#if defined(__cplusplus) && __cplusplus >= 201103L",
        f"#define {check}(condition) static_assert(condition, #condition)",
        "#elif !defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L",
        f"#define {check}(condition) _Static_assert(condition, #condition)",
        "#else",
        f"#define {check}(condition) struct {node.inst_name}_unchecked",
        "#endif",
        f"{check}(sizeof({struct}) == {node.size:#x});",
        f"{check}(__alignof__({struct}) == 4);",
        *(f"{check}(offsetof({struct}, {name}) == {offset:#x});" for name, offset in _places(node)),
        f"#undef {check}",
    ]


def _c_enumerations(enumerations: Mapping[str, Sequence[tuple[str, int, str]]]) -> list[str]:
    """Lines that name the values of fields: GRADCORE_METHOD_GUIDED."""
    lines = []
    for name, members in enumerations.items():
        values = ", ".join(f"GRADCORE_{name}_{member} = {value}" for member, value, _ in members)
        lines += [f"enum gradcore_{name.lower()} {{ {values} }};"]
    return lines


def c_header(node: AddrmapNode, enumerations: Mapping[str, Sequence[tuple[str, int, str]]]) -> str:
    """PeakRDL's C header of one map: freestanding, with structs that are aligned to words, the values of fields, and checks of the layout.

    PeakRDL's structs are packed only. A compiler must take their members for unaligned and on ARM accesses a register byte by
    byte: four accesses on the bus, the first of which may start the core before the others have arrived.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{node.inst_name}.h"
        CHeaderExporter().export(node, str(path), std=CStandard.gnu99)  # without <assert.h>: the checks are ours
        text = path.read_text()
    packed = "__attribute__ ((__packed__))"
    assert text.count("struct ") == text.count(f"struct {packed} {{"), "a struct that would not be aligned"
    text = text.replace(packed, "__attribute__((packed, aligned(4)))")
    end = text.rindex("#ifdef __cplusplus")
    text = text[:end] + "\n".join([*_c_enumerations(enumerations), "", *_c_checks(node), "", ""]) + text[end:]
    return f"// SPDX-License-Identifier: Apache-2.0\n// {NOTICE}\n" + "\n".join(map(str.rstrip, text.splitlines())) + "\n"
