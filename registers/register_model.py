# SPDX-License-Identifier: Apache-2.0
"""Generates tb/support/register_model.py, the fields of which tb/support/registers.py makes a model for pyuvm's register layer."""

from __future__ import annotations

from registers.description import NOTICE, Description, Field

# Access policies of IEEE 1800.2 for those of the description. A pulse reads 0 whatever is written.
POLICIES = {"RO": "RO", "RW": "RW", "RW1C": "W1C", "W1S": "WC"}
COUNTER_BITS = 64


def register_model(description: Description) -> str:
    """The text of the file."""
    counters = {name: index for index, (name, _, _) in enumerate(description.counters)}
    rows = []
    for register in description.registers:
        counter, _, word = register.name.rpartition("_")
        for field in register.fields:
            path = _counter_path(counters[counter], word) if counter in counters else field.path
            rows.append(f"    FieldRow({_arguments(register.name, register.address, field, path)}),")
    return "\n".join(
        [
            "# SPDX-License-Identifier: Apache-2.0",
            f'"""The fields of all registers. {NOTICE}"""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import NamedTuple",
            "",
            "",
            "class FieldRow(NamedTuple):",
            '    """A field: of which register, where, how it is accessed, and the signal that holds it (empty: a constant)."""',
            "",
            "    register: str",
            "    address: int",
            "    name: str",
            "    low: int",
            "    width: int",
            "    access: str",
            "    volatile: bool",
            "    reset: int",
            "    path: str",
            "",
            "",
            "FIELDS = (",
            *rows,
            ")",
            "",
        ]
    )


def _counter_path(index: int, word: str) -> str:
    low = COUNTER_BITS * index + (32 if word == "HIGH" else 0)
    return f"counters[{low + 31}:{low}]"


def _arguments(register: str, address: int, field: Field, path: str) -> str:
    volatile = field.volatile
    return (
        f'"{register}", 0x{address:03X}, "{field.name}", {field.low}, {field.width}, "{POLICIES[field.access]}", '
        f'{volatile}, 0x{field.reset:X}, "{path}"'
    )
