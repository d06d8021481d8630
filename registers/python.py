# SPDX-License-Identifier: Apache-2.0
"""Generates runtime/gradcore_runtime/hardware.py; gradcore/hardware.py is a link to it."""

from __future__ import annotations

import re

from registers.description import CHECKSUM_KEY, NOTICE, ROOT, Description, common_fields, own_fields
from registers.sizes import read_sizes, sizes_constants


def python(description: Description) -> str:
    """hardware.py: constants, then the helpers of hardware.py.in."""
    out = [
        "# SPDX-License-Identifier: Apache-2.0",
        f'"""Registers and descriptors: addresses, fields, values, and packing.\n\n{NOTICE}\n"""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Callable, Mapping, Sequence",
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
    out += sizes_constants(read_sizes())
    out += ["", "# Descriptors: 32 little-endian words of 32 bits. Fields: name -> (word, high bit, low bit)."]
    out += [
        "DESCRIPTOR_WORDS = 32",
        "DESCRIPTOR_BYTES = 128",
        f"DESCRIPTOR_VERSION = {version.reset}",
        f"CHECKSUM_KEY = 0x{CHECKSUM_KEY:08X}",
        "Field = tuple[int, int, int]",
        "DESCRIPTOR_COMMON: dict[str, Field] = {",
    ]
    out += [f'    "{item.name}": ({word}, {item.high}, {item.low}),' for word, item in common_fields(description)] + ["}"]
    out.append("DESCRIPTOR_FIELDS: dict[str, dict[str, Field]] = {")
    signed, locations = [], []
    for descriptor in description.descriptors:
        items = own_fields(description, descriptor)
        out.append(f'    "{descriptor.name}": {{' + ("" if items else "},"))
        out += [f'        "{item.name}": ({word}, {item.high}, {item.low}),' for word, item in items]
        out += ["    },"] if items else []
        signed += [item.name for _, item in items if item.signed]
        locations += [item.name for _, item in items if item.location]
    out += ["}", f"DESCRIPTOR_SIGNED = frozenset({tuple(signed)!r})".replace("'", '"')]
    out += ["# Fields that hold an address in memory, 0 where it is not used.", "DESCRIPTOR_LOCATIONS = frozenset(", "    ("]
    out += [f'        "{name}",' for name in dict.fromkeys(locations)] + ["    )", ")", "", "", ""]
    out[-3:] = _limits(description)
    template = (ROOT / "registers" / "hardware.py.in").read_text()
    return "\n".join(out) + template[template.index("def register_field") :]


def _limits(description: Description) -> list[str]:
    """What the descriptor check refuses."""
    out = ["# Limits of fields: opcode -> field -> (least, most, multiple of)."]
    out.append("DESCRIPTOR_LIMITS: dict[str, dict[str, tuple[int, int, int]]] = {")
    for descriptor in description.descriptors:
        limited = [item for _, item in own_fields(description, descriptor) if {item.least, item.most, item.multiple} != {None}]
        if not limited:
            continue
        out.append(f'    "{descriptor.name}": {{')
        for item in limited:
            most = item.most if item.most is not None else (1 << item.width) - 1
            out.append(f'        "{item.name}": ({item.least or 0}, {most}, {item.multiple or 1}),')
        out.append("    },")
    out += ["}", "# Rules: opcode -> name -> what must hold of the fields, and of the sizes: GROUPS and those above."]
    out.append("Rule = Callable[[Mapping[str, int], Mapping[str, int]], bool]")
    out.append("DESCRIPTOR_RULES: dict[str, dict[str, Rule]] = {")
    for descriptor in (one for one in description.descriptors if one.rules):
        out.append(f'    "{descriptor.name}": {{')
        for name, rule in descriptor.rules.items():
            words = re.sub(r"\b(?!not\b|or\b)[a-z]\w*", lambda found: f'field["{found[0]}"]', rule)
            words = re.sub(r"\b[A-Z][A-Z_]+\b", lambda found: f'size["{found[0]}"]', words)
            line = f'        "{name}": lambda field, size: {words},'
            if len(line) <= 140:
                out.append(line)
            else:  # as the formatter breaks it
                parts = [words] if len(words) <= 128 else [words.partition(" or ")[0], "or " + words.partition(" or ")[2]]
                out += [f'        "{name}": lambda field, size: (', *(f"            {part}" for part in parts), "        ),"]
        out.append("    },")
    return [*out, "}", "", "", ""]
