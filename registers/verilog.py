# SPDX-License-Identifier: Apache-2.0
"""Generates rtl/gradcore_constants.vh."""

from __future__ import annotations

from registers.description import CHECKSUM_KEY, NOTICE, Description, common_fields, own_fields


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
    groups = [("", common_fields(description))]
    groups += [(f"{descriptor.name}_", own_fields(description, descriptor)) for descriptor in description.descriptors]
    for prefix, items in groups:
        for word, item in items:
            name = f"DESCRIPTOR_{prefix}{item.name.upper()}"
            constant(name, str(32 * word + item.low))
            constant(f"{name}_WORD", str(word))
            constant(f"{name}_LSB", str(item.low))
            constant(f"{name}_WIDTH", str(item.width))
            for limit in ("least", "most"):
                if getattr(item, limit) is not None:
                    constant(f"{name}_{limit.upper()}", f"{item.width}'d{getattr(item, limit)}", f"[{item.width - 1}:0] ")
    return "\n".join(lines) + "\n"
