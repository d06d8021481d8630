# SPDX-License-Identifier: Apache-2.0
"""Descriptors as arrays: the field tables of ``gradcore.hardware``, and errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradcore import hardware
from gradcore.runtime.parts import decode

__all__ = [
    "BYTES",
    "FIELDS",
    "MAX_DESCRIPTORS",
    "OPCODES",
    "SIGNED",
    "WORDS",
    "FieldOverflowError",
    "checksum",
    "decode",
    "encode",
    "fields_of",
]

WORDS = hardware.DESCRIPTOR_WORDS
BYTES = hardware.DESCRIPTOR_BYTES
OPCODES = hardware.OPCODES
FIELDS = hardware.DESCRIPTOR_FIELDS
SIGNED = hardware.DESCRIPTOR_SIGNED
MAX_DESCRIPTORS = hardware.DESCRIPTOR_INDEX_INDEX + 1
fields_of = hardware.descriptor_fields
checksum = hardware.descriptor_checksum


class FieldOverflowError(ValueError):
    """A field's value does not fit; ``field``, ``value`` and ``largest`` say which."""

    def __init__(self, field: str, value: int, largest: int) -> None:
        super().__init__(f"{field} = {value}, at most {largest}")
        self.field, self.value, self.largest = field, value, largest


def encode(opcode: str, values: Mapping[str, int]) -> np.ndarray:
    """uint32 (32,) from field values; fields not named are 0. Opcode, version and checksum are filled in."""
    fields = fields_of(opcode)
    for name, value in values.items():
        _, high, low = fields[name]
        largest = (1 << (high - low + (name not in SIGNED))) - 1
        if not (-largest - 1 if name in SIGNED else 0) <= value <= largest:
            raise FieldOverflowError(name, value, largest)
    words = hardware.pack_descriptor(opcode, {name: int(value) for name, value in values.items()})
    return np.array(words, dtype=np.uint32)
