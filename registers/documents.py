# SPDX-License-Identifier: Apache-2.0
"""Generates docs/registers.md."""

from __future__ import annotations

import re

from registers.description import NOTICE, Description, Field, common_fields, own_fields, text_of


def _value_table(members: list[tuple[str, int, str]]) -> list[str]:
    lines = ["", "| value | name | meaning |", "|---|---|---|"]
    return lines + [f"| {value} | {name} | {text} |" for name, value, text in members] + [""]


def _takers(item: Field) -> str:
    return ", ".join(unit.replace("_", " ") for unit in item.units)


def markdown(description: Description) -> str:
    """docs/registers.md: all registers, counters and descriptors."""
    tops = description.maps
    out = [
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        f"<!-- {NOTICE} -->",
        "# Registers and descriptors",
        "",
        "Contents: [registers](#registers), [counters](#counters), [descriptors](#descriptors). Verilog, Python and C have the same names:",
        "`rtl/gradcore_constants.vh`, `runtime/gradcore_runtime/hardware.py` (`gradcore/hardware.py` is a link to it), "
        "`include/gradcore_registers.h` and `include/gradcore_descriptors.h`.",
        "",
        "## Registers",
        "",
        text_of(tops["gradcore_registers"]),
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
    out += ["", "## Descriptors", "", text_of(tops["gradcore_descriptors"]), "", "### Words 0 to 3 of every descriptor", ""]
    head = ["| word | bits | field | meaning |", "|---|---|---|---|"]
    out += head + [f"| {word} | {item.bits} | {item.name} | {item.text} |" for word, item in common_fields(description)]
    out += _value_table(description.enumerations["OPCODE"])
    out += ["### Moving a program", ""]
    out += ["A program is compiled for one base address. To move it, add the same number to each of these fields that is not 0 and put the"]
    out += ["checksums right; constants hold no addresses. The registers PROGRAM_ADDRESS, WINDOW_BASE and WINDOW_LIMIT follow. In Python"]
    out += ["`Program.at` does this.", ""]
    out += ["| descriptor | fields with an address |", "|---|---|"]
    for descriptor in description.descriptors:
        names = ", ".join(item.name for _, item in own_fields(description, descriptor) if item.location)
        out += [f"| {descriptor.name} | {names} |"] if names else []
    for descriptor in description.descriptors:
        items = own_fields(description, descriptor)
        out += ["", f"### {descriptor.name}", "", descriptor.text, ""]
        if items:
            out += ["| word | bits | field | taken by | meaning |", "|---|---|---|---|---|"]
            out += [f"| {word} | {item.bits} | {item.name} | {_takers(item)} | {item.text} |" for word, item in items]
        if descriptor.rules:
            out += ["", "Refused unless, besides the limits of the fields:", ""]
            out += [f"- {name}: `{rule}`" for name, rule in descriptor.rules.items()]
    text = "\n".join(line.rstrip() for line in out)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
