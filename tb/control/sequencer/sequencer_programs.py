# SPDX-License-Identifier: Apache-2.0
"""Descriptors and programs for the bench of sequencer.v: legal ones at random, and broken ones."""

from __future__ import annotations

import random

from gradcore.hardware import DESCRIPTOR_COMMON, DESCRIPTOR_FIELDS, descriptor_checksum, pack_descriptor
from gradcore.models.control.descriptor_check import Limits, problems
from tb.control.sequencer.sequencer_env import Words
from tb.support.declaration import parameter

GROUPS = parameter("GROUPS")
PROGRAM_LIMIT = parameter("PROGRAM_LIMIT")
LIMITS = Limits(groups=GROUPS)


def random_descriptor(opcode: str, **given: int) -> Words:
    """A legal descriptor: random where anything is allowed, within the limits elsewhere."""
    fields = {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS[opcode]}
    skip = {"opcode", "version", "checksum", "origin_row", "origin_column"}
    values = {name: random.getrandbits(high - low + 1) for name, (_, high, low) in fields.items() if name not in skip}
    values["forward_end"] = 0
    if "clip" in values and ("relu" in given or not values["relu"]):
        values["clip"] = 0
    for name in values:
        if "address" in name or "pitch" in name or "destination" in name:
            values[name] &= ~7
    if opcode == "TILE":
        rows, columns = random.choice(((1, 1), (1, 255), (16, 32), (10, 18), (3, 7), (255, 2)))
        slot = random.randrange(1, min(2047, 8191 // columns) + 1)
        row_entries = random.randrange(columns * slot, 8192)
        rows = min(rows, 8192 // row_entries)
        taps = random.choice(((1, 1), (3, 3), (5, 5), (8, 8), (3, 6), (1, 8)))
        stored, gap = random.randrange(1, 17), random.choice((0, 0, 3))
        columns_stored = random.choice((1, 2, 512 // (stored + gap) % 256 or 1))
        unit_rows = random.choice((1, 2, 3, 8, 255))
        half = (unit_rows + 1) // 2
        pack, pool = random.choice((1, 2, 4)), random.getrandbits(1)
        single = taps == (1, 1) and not given.keys() & {"pool", "pack_pixels", "kernel_h", "kernel_w", "from_partial", "to_partial"}
        window = random.choice((0, 2, 3)) if single else 0
        index = 0 if given.keys() & {"load_relu", "unpool", "tags", "words_per_pixel"} else random.getrandbits(1)
        if window:
            pack, pool = 1, 0
            values["from_partial"] = 0
        if index:
            values |= {"load_relu": 0, "unpool": 0}
        strides = (0, 0) if pool else (random.randrange(3), random.randrange(3 - pack // 2))
        values |= {
            "source_rows": random.randrange(1, 256), "source_columns": random.randrange(1, 256),
            "words_per_pixel": random.choice((1, 4) if index else (1, 2, 511, 512)), "index_channel": index, "window": window,
            "buffer_rows": rows, "buffer_columns": columns, "slot": slot,
            "row_entries": row_entries, "tags": 1, "unit_rows": unit_rows, "unit_columns": random.randrange(1, 256),
            "kernel_h": taps[0], "kernel_w": taps[1], "tap_rows": random.choice((1, 1024 // (taps[0] * taps[1]))),
            "pack_pixels": 1 if pool else pack, "pool": pool, "stride_y_log2": strides[0], "stride_x_log2": strides[1],
            "to_partial": 0, "blocks": random.randrange(1, GROUPS + 1), "shift": random.randrange(48),
            "words_per_pixel_stored": stored, "buffer_pixel_words": stored + gap, "columns_stored": columns_stored,
            "buffer_row_words": min(511, 512 // half), "destination_pixel_pitch": 8 * stored,
            "pieces_per_pixel": random.randrange(1, min(255, 512 // columns_stored) + 1),
            "buffer_row_pieces": min(511, 512 // half), "tag_address": 2 * random.getrandbits(31),
            "tag_destination": 2 * random.getrandbits(31),
        }  # fmt: skip
    elif opcode == "WEIGHTS":
        diagonal = random.getrandbits(1)
        rows = random.choice((1, 64, random.randrange(1, 65))) * 16 if diagonal else random.choice((1, 1024, random.randrange(1, 1025)))
        values |= {"rows": rows, "blocks": random.randrange(1, GROUPS + 1), "diagonal": diagonal}
    elif opcode == "VECTOR":
        blocks = 2 * random.randrange(1, 17)
        values |= {
            "blocks": blocks, "pitch_log2": random.randrange((16 * blocks - 1).bit_length(), 16), "shift": random.randrange(48),
            "vector_words": random.choice((1, 2048, (1 << 20) - 1)), "destination_words0": random.randrange(2 * blocks + 1),
            "destination_words1": 2 * blocks, "tag_address": 2 * random.getrandbits(31),
        }  # fmt: skip
    elif opcode == "SEED":
        words = random.randrange(1, 1024)
        values |= {"words_per_pixel": words, "pixels": random.randrange(1, 65536), "channels": random.randrange(1, 4 * words + 1)}
    words = pack_descriptor(opcode, {**values, **given})
    assert not problems(words, LIMITS), problems(words, LIMITS)
    return words


def random_program(length: int, leaving: bool = True) -> list[Words]:
    """Legal jobs of all kinds and an END; with ``leaving`` every second TILE but the last one leaves partial sums."""
    opcodes = [random.choice(("TILE", "TILE", "WEIGHTS", "VECTOR", "SEED")) for _ in range(length)]
    last = max((place for place, opcode in enumerate(opcodes) if opcode == "TILE"), default=0)
    leaves = [leaving and opcode == "TILE" and place < last and random.random() < 0.5 for place, opcode in enumerate(opcodes)]
    stays = {"to_partial": 1, "last_of_layer": 0}
    program = [random_descriptor(opcode, **(stays if leave else {})) for opcode, leave in zip(opcodes, leaves, strict=True)]
    return [*program, random_descriptor("END")]


def seal(words: Words) -> Words:
    """The same descriptor with the right checksum."""
    return [words[0], descriptor_checksum(words), *words[2:]]


def with_field(words: Words, opcode: str, name: str, value: int) -> Words:
    """The descriptor with another value in a field, and the right checksum."""
    word, high, low = {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS[opcode]}[name]
    changed = list(words)
    changed[word] = changed[word] & ~(((1 << (high - low + 1)) - 1) << low) | value << low
    return seal(changed)


def size_limits() -> list[tuple[str, dict[str, int], str, int]]:
    """(opcode, sizes that are the largest allowed, a field, its value that breaks one rule)."""
    small = {"buffer_rows": 1, "buffer_columns": 1, "slot": 1, "row_entries": 1, "unit_rows": 2, "buffer_row_words": 1}
    small |= {"columns_stored": 1, "buffer_pixel_words": 1, "words_per_pixel_stored": 1, "contiguous": 0, "store_tags": 1}
    small |= {"pieces_per_pixel": 1, "buffer_row_pieces": 1, "kernel_h": 1, "kernel_w": 1, "tap_rows": 1}
    small |= {"pack_pixels": 1, "stride_x_log2": 0, "stride_y_log2": 0, "pool": 0, "window": 0}
    window = {"window": 3, "from_partial": 0, "to_partial": 0}
    index = {"index_channel": 1, "tags": 1, "load_relu": 0, "unpool": 0, "words_per_pixel": 4}
    vector = {"blocks": 8, "pitch_log2": 15, "destination_words0": 0, "destination_words1": 0}
    seed = {"words_per_pixel": 5, "channels": 20}
    tile = (
        ({"buffer_rows": 16, "buffer_columns": 32, "row_entries": 33}, "buffer_columns", 33),
        ({"buffer_rows": 2, "row_entries": 4096}, "row_entries", 4097),
        ({"buffer_columns": 7, "slot": 11, "row_entries": 77}, "slot", 12),
        ({"buffer_columns": 7, "slot": 11, "row_entries": 77}, "row_entries", 76),
        ({"kernel_h": 8, "kernel_w": 8, "tap_rows": 16}, "tap_rows", 17),
        ({"kernel_h": 1, "kernel_w": 1, "tap_rows": 1024}, "tap_rows", 1025),
        ({"unit_rows": 8, "buffer_row_words": 128}, "unit_rows", 9),
        ({"unit_rows": 7, "buffer_row_words": 128}, "buffer_row_words", 129),
        ({"columns_stored": 64, "buffer_pixel_words": 8}, "columns_stored", 65),
        ({"unit_rows": 4, "buffer_row_pieces": 256}, "buffer_row_pieces", 257),
        ({"columns_stored": 42, "pieces_per_pixel": 12}, "pieces_per_pixel", 13),
        ({"words_per_pixel_stored": 5, "buffer_pixel_words": 5}, "words_per_pixel_stored", 6),
        ({"pack_pixels": 2}, "pack_pixels", 3),
        ({"pack_pixels": 2, "stride_x_log2": 1}, "stride_x_log2", 2),
        ({"pack_pixels": 4}, "stride_x_log2", 1),
        ({"pack_pixels": 4}, "pool", 1),
        ({"pool": 1}, "stride_y_log2", 1),
        ({"pool": 1}, "stride_x_log2", 2),
        ({"last_of_layer": 1}, "to_partial", 1),
        ({"relu": 0, "clip": 0}, "clip", 1),
        ({"relu": 1, "clip": 1}, "relu", 0),
        (window, "window", 1),
        (window, "kernel_h", 2),
        (window, "kernel_w", 2),
        (window, "pack_pixels", 2),
        (window, "pool", 1),
        (window, "from_partial", 1),
        (window | {"last_of_layer": 0}, "to_partial", 1),
        (index, "tags", 0),
        (index, "load_relu", 1),
        (index, "unpool", 1),
        (index, "words_per_pixel", 5),
    )
    cases = [("TILE", {**small, **sizes}, name, value) for sizes, name, value in tile]
    cases += [
        ("VECTOR", vector, "blocks", 7),
        ("VECTOR", {**vector, "blocks": 32}, "blocks", 34),
        ("VECTOR", {**vector, "pitch_log2": 7}, "pitch_log2", 6),
        ("VECTOR", {**vector, "destination_words0": 16}, "destination_words0", 17),
        ("VECTOR", {**vector, "destination_words1": 16}, "destination_words1", 17),
        ("VECTOR", {**vector, "relu": 1, "clip": 1}, "relu", 0),
        ("SEED", seed, "channels", 21),
    ]
    unpooling = {**small, "unpool": 1, "tags": 1}
    close = {**small, "contiguous": 1, "destination_pixel_pitch": 8}
    cases += [("TILE", unpooling, "tags", 0), ("TILE", small, "pieces_per_pixel", 0), ("TILE", close, "destination_pixel_pitch", 16)]
    return cases
