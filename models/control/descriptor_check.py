# SPDX-License-Identifier: Apache-2.0
"""Golden model of descriptor_check.v: what makes a descriptor illegal for a given hardware, as registers/gradcore.rdl says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradcore import hardware
from gradcore.hardware import DESCRIPTOR_COMMON, DESCRIPTOR_FIELDS, DESCRIPTOR_VERSION, OPCODES, descriptor_checksum


@dataclass(frozen=True)
class Limits:
    """Sizes of the hardware: the parameters of sequencer.v, and what is the same in every build."""

    groups: int = hardware.PRESETS["full"]["GROUPS"]
    weight_depth: int = hardware.WEIGHT_ROWS
    tile_pixels: int = hardware.TILE_PIXELS
    tile_entries: int = hardware.TILE_ENTRIES
    output_words: int = hardware.OUTPUT_WORDS

    @property
    def sizes(self) -> dict[str, int]:
        """By the names that the rules use."""
        return {
            "GROUPS": self.groups,
            "WEIGHT_ROWS": self.weight_depth,
            "TILE_PIXELS": self.tile_pixels,
            "TILE_ENTRIES": self.tile_entries,
            "OUTPUT_WORDS": self.output_words,
        }


def rules(words: Sequence[int], limits: Limits | None = None) -> dict[str, bool]:
    """The rules for the 32 words (unsigned, 32 bits each) of a descriptor, by name, and whether each is kept."""
    sizes = (limits or Limits()).sizes
    words = [int(word) for word in words]
    names = {code: name for name, code in OPCODES.items()}
    opcode = names.get(words[0] & 15, "")
    field = {
        name: words[word] >> low & ((1 << (high - low + 1)) - 1)
        for name, (word, high, low) in {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS.get(opcode, {})}.items()
    }
    found = {
        "opcode": bool(opcode),
        "version": field["version"] == DESCRIPTOR_VERSION,
        "checksum": words[1] == descriptor_checksum(words),
    }
    for name, (least, most, multiple) in hardware.DESCRIPTOR_LIMITS.get(opcode, {}).items():
        found[f"{name}: {least} to {most}, a multiple of {multiple}"] = least <= field[name] <= most and field[name] % multiple == 0
    for name, rule in hardware.DESCRIPTOR_RULES.get(opcode, {}).items():
        found[name] = bool(rule(field, sizes))
    return found


def problems(words: Sequence[int], limits: Limits | None = None) -> list[str]:
    """Names of the rules that a descriptor breaks; empty when it is legal."""
    return [name for name, kept in rules(words, limits).items() if not kept]
