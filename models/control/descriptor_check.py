# SPDX-License-Identifier: Apache-2.0
"""Golden model of descriptor_check.v: what makes a descriptor illegal for a given hardware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradcore import hardware
from gradcore.hardware import DESCRIPTOR_COMMON, DESCRIPTOR_FIELDS, DESCRIPTOR_VERSION, OPCODES, descriptor_checksum


@dataclass(frozen=True)
class Limits:
    """Sizes of the hardware: the parameters of sequencer.v."""

    groups: int = 4
    weight_depth: int = hardware.WEIGHT_ROWS
    tile_pixels: int = hardware.TILE_PIXELS
    tile_entries: int = hardware.TILE_ENTRIES
    output_words: int = hardware.OUTPUT_WORDS


def problems(words: Sequence[int], limits: Limits | None = None) -> list[str]:
    """Names of the rules that the 32 words (unsigned, 32 bits each) of a descriptor break; empty when it is legal."""
    limits = limits or Limits()
    words = [int(word) for word in words]
    names = {code: name for name, code in OPCODES.items()}
    opcode = names.get(words[0] & 15, "")
    field = {
        name: words[word] >> low & ((1 << (high - low + 1)) - 1)
        for name, (word, high, low) in {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS.get(opcode, {})}.items()
    }
    checks = {"TILE": _tile, "WEIGHTS": _weights, "VECTOR": _vector, "SEED": _seed}
    rules = {
        "opcode": bool(opcode),
        "version": field["version"] == DESCRIPTOR_VERSION,
        "checksum": words[1] == descriptor_checksum(words),
        **(checks[opcode](field, limits) if opcode in checks else {}),
    }
    return [name for name, kept in rules.items() if not kept]


def _aligned(field: Mapping[str, int], size: int, *names: str) -> dict[str, bool]:
    return {f"{name} aligned to {size}": field[name] % size == 0 for name in names}


def _tile(field: Mapping[str, int], limits: Limits) -> dict[str, bool]:
    half_rows = (field["unit_rows"] + 1) // 2
    taps = field["kernel_h"] * field["kernel_w"]
    stored, pitch = field["words_per_pixel_stored"], field["destination_pixel_pitch"]
    rules = {
        "source size": field["source_rows"] >= 1 and field["source_columns"] >= 1,
        "words per pixel": 1 <= field["words_per_pixel"] <= 512,
        "buffer size": field["buffer_rows"] >= 1 and field["buffer_columns"] >= 1 and field["slot"] >= 1,
        "unpooling has tags": not field["unpool"] or bool(field["tags"]),
        "pixels of a tile bank": field["buffer_rows"] * field["buffer_columns"] <= limits.tile_pixels,
        "entries of a tile bank": field["buffer_rows"] * field["row_entries"] <= limits.tile_entries,
        "entries of a row": field["buffer_columns"] * field["slot"] <= field["row_entries"],
        "units": field["unit_rows"] >= 1 and field["unit_columns"] >= 1,
        "kernel": 1 <= field["kernel_h"] <= 8 and 1 <= field["kernel_w"] <= 8,
        "stride": 1 <= field["stride_x"] <= 4,
        "blocks": 1 <= field["blocks"] <= limits.groups,
        "shift": field["shift"] <= 47,
        "rows of the weight buffer": field["tap_rows"] >= 1 and taps * field["tap_rows"] <= limits.weight_depth,
        "stored size": field["columns_stored"] >= 1 and 1 <= stored <= field["buffer_pixel_words"],
        "contiguous pixels": not field["contiguous"] or pitch == 8 * stored,
        "words of the output buffer": half_rows * field["buffer_row_words"] <= limits.output_words,
        "words of a row": field["columns_stored"] * field["buffer_pixel_words"] <= limits.output_words,
        **_aligned(field, 8, "source_address", "source_row_pitch"),
        **_aligned(field, 2, "tag_address", "tag_row_pitch"),
        **_aligned(field, 8, "destination_address", "destination_row_pitch", "destination_pixel_pitch"),
    }
    if field["store_tags"]:
        rules |= {
            "pieces": field["pieces_per_pixel"] >= 1,
            "pieces of the output buffer": half_rows * field["buffer_row_pieces"] <= limits.output_words,
            "pieces of a row": field["columns_stored"] * field["pieces_per_pixel"] <= limits.output_words,
            **_aligned(field, 2, "tag_destination", "tag_destination_row_pitch", "tag_destination_pixel_pitch"),
        }
    return rules


def _weights(field: Mapping[str, int], limits: Limits) -> dict[str, bool]:
    return {
        "rows": 1 <= field["rows"] <= limits.weight_depth,
        "blocks": 1 <= field["blocks"] <= limits.groups,
        **_aligned(field, 8, "address0", "address1"),
    }


def _vector(field: Mapping[str, int], limits: Limits) -> dict[str, bool]:
    del limits
    blocks = field["blocks"]
    planes = ("matrix_address0", "matrix_address1", "bias_address0", "bias_address1")
    return {
        "vector words": field["vector_words"] >= 1,
        "blocks": 2 <= blocks <= 32 and blocks % 2 == 0,
        "pitch": 16 * blocks <= 1 << field["pitch_log2"],
        "shift": field["shift"] <= 47,
        "words stored": max(field["destination_words0"], field["destination_words1"]) <= 2 * blocks,
        **_aligned(field, 8, "vector_address", *planes, "destination_address0", "destination_address1"),
        **_aligned(field, 2, "tag_address", "tag_destination0", "tag_destination1"),
    }


def _seed(field: Mapping[str, int], limits: Limits) -> dict[str, bool]:
    del limits
    return {
        "size": field["words_per_pixel"] >= 1 and field["pixels"] >= 1,
        "channels": 1 <= field["channels"] <= 4 * field["words_per_pixel"],
        **_aligned(field, 8, "logits_address", "seed_address"),
    }
