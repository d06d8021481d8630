# SPDX-License-Identifier: Apache-2.0
"""Generates everything that is derived from registers/gradcore.rdl.

``python registers/generate.py`` writes the files into the checkout; ``--check`` writes nothing and exits 1 when one differs.
Files: rtl/gradcore_constants.vh, gradcore/hardware.py, include/gradcore_registers.h, include/gradcore_descriptors.h,
docs/registers.md. Needs systemrdl-compiler and peakrdl-cheader (the extra ``test``).
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from peakrdl_cheader.c_standards import CStandard
from peakrdl_cheader.exporter import CHeaderExporter
from systemrdl import RDLCompiler
from systemrdl.node import AddrmapNode, FieldNode, Node, RegfileNode, RegNode

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "registers" / "gradcore.rdl"
CHECKSUM_KEY = 0x47524144
NOTICE = "Generated from registers/gradcore.rdl by `make registers`: do not edit."


@dataclass
class Field:
    """A field of a register or of a descriptor's word."""

    name: str
    low: int
    high: int
    reset: int
    access: str
    text: str
    signed: bool
    location: bool
    values: type[IntEnum] | None = None

    @property
    def width(self) -> int:
        return self.high - self.low + 1

    @property
    def bits(self) -> str:
        return f"{self.high}:{self.low}" if self.high > self.low else str(self.low)


@dataclass
class Register:
    """A register, or a word of a descriptor (address = 4 x word)."""

    name: str
    title: str
    address: int
    text: str
    fields: list[Field] = field(default_factory=list)

    @property
    def reset(self) -> int:
        return sum(item.reset << item.low for item in self.fields)


@dataclass
class Descriptor:
    """A kind of descriptor and its words."""

    name: str
    text: str
    words: list[Register]


def _text(node: Node, name: str = "desc") -> str:
    return re.sub(r"\s+", " ", node.get_property(name) or "").strip()


def _access(node: FieldNode) -> str:
    if not node.is_sw_writable:
        return "RO"
    if node.get_property("onwrite") is not None:
        return "RW1C"
    return "W1S" if node.get_property("singlepulse") else "RW"


def _register(node: RegNode, address: int, prefix: str = "") -> Register:
    register = Register(prefix + node.inst_name, _text(node, "name"), address, _text(node))
    for item in sorted(node.fields(), key=lambda item: item.low):
        register.fields.append(
            Field(
                item.inst_name,
                item.low,
                item.high,
                item.get_property("reset") or 0,
                _access(item),
                _text(item),
                bool(item.get_property("complement", default=False)),
                bool(item.get_property("location", default=False)),
                item.get_property("encode"),
            )
        )
    return register


@dataclass
class Description:
    """All that the RDL file says, and the elaborated maps for PeakRDL."""

    registers: list[Register]
    counters: list[tuple[str, int, str]]  # name, address of the low word, meaning
    descriptors: list[Descriptor]
    enumerations: dict[str, list[tuple[str, int, str]]]
    maps: dict[str, AddrmapNode]


def read_description(source: Path = SOURCE) -> Description:
    """Compile the RDL file. Raises AssertionError when something in it has no description."""
    compiler = RDLCompiler()
    compiler.compile_file(str(source))
    maps = {name: compiler.elaborate(top_def_name=name).top for name in ("gradcore_registers", "gradcore_descriptors")}
    registers, counters, descriptors = [], [], []
    enumerations: dict[str, list[tuple[str, int, str]]] = {}
    for node in maps["gradcore_registers"].children():
        if isinstance(node, RegfileNode):
            counters.append((node.inst_name, node.absolute_address, _text(node)))
            for part in node.registers():
                registers.append(_register(part, part.absolute_address, f"{node.inst_name}_"))
        else:
            registers.append(_register(node, node.absolute_address))
    for node in maps["gradcore_descriptors"].children():
        words = [_register(word, word.absolute_address - node.absolute_address) for word in node.registers()]
        descriptors.append(Descriptor(node.inst_name, _text(node), words))
    for register in [*registers, *(word for descriptor in descriptors for word in descriptor.words)]:
        for item in register.fields:
            assert item.text, f"{register.name}.{item.name} has no description"
            if item.values is not None:
                name = item.values.type_name.removesuffix("_values").upper()
                enumerations[name] = [(m.name, int(m.value), re.sub(r"\s+", " ", m.rdl_desc or "")) for m in item.values]
    assert all(text for _, _, text in counters) and all(descriptor.text for descriptor in descriptors)
    return Description(registers, counters, descriptors, enumerations, maps)


def _common(description: Description) -> list[tuple[int, Field]]:
    """(word, field) of the words that all descriptors share: those of END."""
    (end,) = (descriptor for descriptor in description.descriptors if descriptor.name == "END")
    return [(word.address // 4, item) for word in end.words for item in word.fields]


def _own(description: Description, descriptor: Descriptor) -> list[tuple[int, Field]]:
    """(word, field) of the words that only this kind of descriptor has."""
    shared = max(word for word, _ in _common(description))
    return [(w.address // 4, item) for w in descriptor.words for item in w.fields if w.address // 4 > shared]


def verilog(description: Description) -> str:
    """rtl/gradcore_constants.vh: included inside modules."""
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {NOTICE}",
        "// Include it inside a module. A register's ADDRESS is its byte address; a field is [LSB+WIDTH-1:LSB] of its register.",
        "// A descriptor's field is [LSB+WIDTH-1:LSB] of 32-bit word WORD; DESCRIPTOR_x_y alone is its lowest bit of the 1024.",
        "",
    ]

    def constant(name: str, value: str, width: str = "") -> None:
        lines.append(f"localparam {width}{name} = {value};")

    for register in description.registers:
        constant(f"REGISTER_{register.name}_ADDRESS", f"12'h{register.address:03X}", "[11:0] ")
        constant(f"REGISTER_{register.name}_RESET", f"32'h{register.reset:08X}", "[31:0] ")
        for item in register.fields:
            constant(f"REGISTER_{register.name}_{item.name.upper()}_LSB", str(item.low))
            constant(f"REGISTER_{register.name}_{item.name.upper()}_WIDTH", str(item.width))
    constant("COUNTERS", str(len(description.counters)))
    constant("COUNTERS_ADDRESS", f"12'h{description.counters[0][1]:03X}", "[11:0] ")
    for index, (name, _, _) in enumerate(description.counters):
        constant(f"COUNTER_{name}", str(index))
    widths = {
        item.values.type_name.removesuffix("_values").upper(): item.width
        for register in [*description.registers, *(w for d in description.descriptors for w in d.words)]
        for item in register.fields
        if item.values is not None
    }
    for name, members in description.enumerations.items():
        for member, value, _ in members:
            constant(f"{name}_{member}", f"{widths[name]}'d{value}", f"[{widths[name] - 1}:0] ")
    constant("DESCRIPTOR_CHECKSUM_KEY", f"32'h{CHECKSUM_KEY:08X}", "[31:0] ")
    groups = [("", _common(description))]
    groups += [(f"{descriptor.name}_", _own(description, descriptor)) for descriptor in description.descriptors]
    for prefix, items in groups:
        for word, item in items:
            name = f"DESCRIPTOR_{prefix}{item.name.upper()}"
            constant(name, str(32 * word + item.low))
            constant(f"{name}_WORD", str(word))
            constant(f"{name}_LSB", str(item.low))
            constant(f"{name}_WIDTH", str(item.width))
    return "\n".join(lines) + "\n"


def python(description: Description) -> str:
    """gradcore/hardware.py: constants, then the helpers of hardware.py.in."""
    out = [
        "# SPDX-License-Identifier: Apache-2.0",
        f'"""Registers and descriptors: addresses, fields, values, and packing.\n\n{NOTICE}\n"""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping, Sequence",
        "",
        "# Byte addresses of the registers.",
    ]
    out += [f"{register.name} = 0x{register.address:03X}" for register in description.registers]
    out += ["", "# Counters of 64 bits, in the order of their addresses: name -> address of the low word."]
    out += ["COUNTERS = {", *(f'    "{name}": 0x{address:03X},' for name, address, _ in description.counters), "}"]
    out += ["", "# Values of registers after reset (of the default build): name -> value.", "RESETS = {"]
    out += [f'    "{register.name}": 0x{register.reset:08X},' for register in description.registers] + ["}"]
    out += ["", "# Addresses of registers: name -> byte address.", "ADDRESSES = {"]
    out += [f'    "{register.name}": 0x{register.address:03X},' for register in description.registers] + ["}"]
    out += ["", "# Fields of registers: name -> (low bit, width, signed).", "REGISTER_FIELDS = {"]
    for register in description.registers:
        for item in register.fields:
            out.append(f'    "{register.name}.{item.name}": ({item.low}, {item.width}, {item.signed}),')
    out += ["}", "", "# Masks of single bits and fields."]
    for register in description.registers:
        for item in register.fields:
            if item.width < 32 and not register.name.endswith(("_LOW", "_HIGH")):
                mask = ((1 << item.width) - 1) << item.low
                out.append(f"{register.name}_{item.name.upper()} = 0x{mask:08X}")
    for name, members in description.enumerations.items():
        plural = {"OPCODE": "OPCODES", "METHOD": "METHODS"}.get(name, f"{name}S")
        case = str.lower if name == "METHOD" else str
        out += ["", f"# {name}", f"{plural} = {{", *(f'    "{case(member)}": {value},' for member, value, _ in members), "}"]
        out += [f"{name}_{member} = {value}" for member, value, _ in members]
    (version,) = (f for r in description.registers for f in r.fields if f.name == "descriptor_version")
    out += ["", "# Descriptors: 32 little-endian words of 32 bits. Fields: name -> (word, high bit, low bit)."]
    out += [
        "DESCRIPTOR_WORDS = 32",
        "DESCRIPTOR_BYTES = 128",
        f"DESCRIPTOR_VERSION = {version.reset}",
        f"CHECKSUM_KEY = 0x{CHECKSUM_KEY:08X}",
        "Field = tuple[int, int, int]",
        "DESCRIPTOR_COMMON: dict[str, Field] = {",
    ]
    out += [f'    "{item.name}": ({word}, {item.high}, {item.low}),' for word, item in _common(description)] + ["}"]
    out.append("DESCRIPTOR_FIELDS: dict[str, dict[str, Field]] = {")
    signed, locations = [], []
    for descriptor in description.descriptors:
        items = _own(description, descriptor)
        out.append(f'    "{descriptor.name}": {{' + ("" if items else "},"))
        out += [f'        "{item.name}": ({word}, {item.high}, {item.low}),' for word, item in items]
        out += ["    },"] if items else []
        signed += [item.name for _, item in items if item.signed]
        locations += [item.name for _, item in items if item.location]
    out += ["}", f"DESCRIPTOR_SIGNED = frozenset({tuple(signed)!r})".replace("'", '"')]
    out += ["# Fields that hold an address in memory, 0 where it is not used.", "DESCRIPTOR_LOCATIONS = frozenset(", "    ("]
    out += [f'        "{name}",' for name in dict.fromkeys(locations)] + ["    )", ")", "", "", ""]
    template = (ROOT / "registers" / "hardware.py.in").read_text()
    return "\n".join(out) + template[template.index("def register_field") :]


def _value_table(members: list[tuple[str, int, str]]) -> list[str]:
    lines = ["", "| value | name | meaning |", "|---|---|---|"]
    return lines + [f"| {value} | {name} | {text} |" for name, value, text in members] + [""]


def markdown(description: Description) -> str:
    """docs/registers.md: all registers, counters and descriptors."""
    tops = description.maps
    out = [
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        f"<!-- {NOTICE} -->",
        "# Registers and descriptors",
        "",
        "Contents: [registers](#registers), [counters](#counters), [descriptors](#descriptors). Verilog, Python and C have the same names:",
        "`rtl/gradcore_constants.vh`, `gradcore/hardware.py`, `include/gradcore_registers.h` and `include/gradcore_descriptors.h`.",
        "",
        "## Registers",
        "",
        _text(tops["gradcore_registers"]),
        "",
        "Access: RO read-only; RW read and write; W1S writing 1 acts, reads 0; RW1C reads the bit, writing 1 clears it.",
        "",
        "From software: the Zynq's processor takes SLVERR for an external abort, and Linux then ends the process with SIGBUS. So access",
        "only the registers that are listed, never the 4 KiB as one array, and check values before they are written. Access each register",
        "as one word of 32 bits through a `volatile` pointer: the structs of the C headers are aligned, so that compilers do so, and check",
        "their own layout.",
        "",
        "| address | register | reset | meaning |",
        "|---|---|---|---|",
    ]
    counter_names = {name for name, _, _ in description.counters}
    plain = [r for r in description.registers if r.name.rsplit("_", 1)[0] not in counter_names]
    for register in plain:
        link = f"[{register.name}](#{register.name.lower()})"
        out.append(f"| 0x{register.address:03X} | {link} | 0x{register.reset:08X} | {register.text} |")
    first, last = description.counters[0], description.counters[-1]
    out.append(f"| 0x{first[1]:03X}..0x{last[1] + 7:03X} | [counters](#counters) | 0 | 64 bits each |")
    for register in plain:
        out += ["", f"### {register.name}", "", f"Address 0x{register.address:03X}. {register.text}", ""]
        out += ["| bits | field | access | reset | meaning |", "|---|---|---|---|---|"]
        for item in reversed(register.fields):
            reset = f"0x{item.reset:X}" if item.reset > 9 else str(item.reset)
            out.append(f"| {item.bits} | {item.name.upper()} | {item.access} | {reset} | {item.text} |")
        for item in register.fields:
            if item.values is not None:
                out += _value_table(description.enumerations[item.values.type_name.removesuffix("_values").upper()])
    out += [
        "",
        "## Counters",
        "",
        "Read-only. Low word at the address, high word 4 behind it: read the low word first. All are cleared by an",
        "accepted start and stand still from the interrupt on; they are 40 bits wide, bits above read 0. For the two",
        "halves of a unit, and for the streams of the convolution engine,",
        "ACTIVE + WAIT_INPUT + WAIT_OUTPUT = number of halves (streams) x CYCLES.",
        "",
        "| address | counter | meaning |",
        "|---|---|---|",
    ]
    out += [f"| 0x{address:03X} | {name} | {text} |" for name, address, text in description.counters]
    out += ["", "## Descriptors", "", _text(tops["gradcore_descriptors"]), "", "### Words 0 to 3 of every descriptor", ""]
    head = ["| word | bits | field | meaning |", "|---|---|---|---|"]
    out += head + [f"| {word} | {item.bits} | {item.name} | {item.text} |" for word, item in _common(description)]
    out += _value_table(description.enumerations["OPCODE"])
    out += ["### Moving a program", ""]
    out += ["A program is compiled for one base address. To move it, add the same number to each of these fields that is not 0 and put the"]
    out += ["checksums right; constants hold no addresses. The registers PROGRAM_ADDRESS, WINDOW_BASE and WINDOW_LIMIT follow. In Python"]
    out += ["`Program.at` does this.", ""]
    out += ["| descriptor | fields with an address |", "|---|---|"]
    for descriptor in description.descriptors:
        names = ", ".join(item.name for _, item in _own(description, descriptor) if item.location)
        out += [f"| {descriptor.name} | {names} |"] if names else []
    for descriptor in description.descriptors:
        items = _own(description, descriptor)
        out += ["", f"### {descriptor.name}", "", descriptor.text, ""]
        if items:
            out += head + [f"| {word} | {item.bits} | {item.name} | {item.text} |" for word, item in items]
    text = "\n".join(line.rstrip() for line in out)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


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


def c_header(node: AddrmapNode) -> str:
    """PeakRDL's C header of one map: freestanding, with structs that are aligned to words, and checks of their layout.

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
    text = text[:end] + "\n".join([*_c_checks(node), "", ""]) + text[end:]
    return f"// SPDX-License-Identifier: Apache-2.0\n// {NOTICE}\n" + "\n".join(map(str.rstrip, text.splitlines())) + "\n"


def generate(source: Path = SOURCE) -> dict[Path, str]:
    """All generated files: path relative to the checkout -> contents."""
    description = read_description(source)
    return {
        Path("rtl/gradcore_constants.vh"): verilog(description),
        Path("gradcore/hardware.py"): python(description),
        Path("include/gradcore_registers.h"): c_header(description.maps["gradcore_registers"]),
        Path("include/gradcore_descriptors.h"): c_header(description.maps["gradcore_descriptors"]),
        Path("docs/registers.md"): markdown(description),
    }


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Generate what is derived from registers/gradcore.rdl.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    check = parser.parse_args().check
    status = 0
    for path, text in generate().items():
        target = ROOT / path
        if target.exists() and target.read_text() == text:
            continue
        if check:
            print(f"{path} differs from registers/gradcore.rdl: run `make registers`", file=sys.stderr)
            status = 1
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            print(f"wrote {path}")
    return status


if __name__ == "__main__":
    sys.exit(main())
