# SPDX-License-Identifier: Apache-2.0
"""The fields of a TILE descriptor."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradcore.compiler.layout import BLOCK, MapRegion, TagRegion
from gradcore.compiler.tiling import ConvPass, Span
from gradcore.compiler.weights import WeightSet
from gradcore.quantise import QuantisedLayer


def tile_fields(
    conv: ConvPass,
    layer: QuantisedLayer,
    one: WeightSet,
    rows: Span,
    columns: Span,
    source: MapRegion,
    target: MapRegion,
    source_tags: TagRegion | None,
    target_tags: TagRegion | None,
) -> Mapping[str, int]:
    """The fields of a TILE job, tokens and shift apart."""
    shrink = 2 if conv.pool else 1
    blocks = len(one.blocks)
    first_block = one.blocks.start
    unit_columns = math.ceil(columns.size // shrink / conv.stride)
    row, column = rows.start // shrink, columns.start // shrink
    if conv.stride > 1:
        words = buffer_pixel_words = target.words_per_pixel
    else:
        words = min(4 * blocks, target.words_per_pixel - 4 * first_block)
        buffer_pixel_words = 4 * blocks
    values = {
        "source_address": source.pixel_address(rows.source_start, columns.source_start),
        "source_row_pitch": source.row_pitch,
        "source_rows": rows.source_size,
        "source_columns": columns.source_size,
        "words_per_pixel": source.words_per_pixel,
        "load_relu": source_tags is not None and layer.relu,
        "unpool": conv.unpool,
        "tags": source_tags is not None,
        "crop_row": rows.crop,
        "crop_column": columns.crop,
        "buffer_rows": rows.buffer_size,
        "buffer_columns": columns.buffer_size,
        "slot": conv.in_channels,
        "row_entries": columns.buffer_size * conv.in_channels,
        "unit_rows": rows.size // shrink,
        "unit_columns": unit_columns,
        "kernel_h": conv.kernel,
        "kernel_w": conv.kernel_w,
        "pack_pixels": conv.stride,
        "blocks": blocks,
        "origin_row": rows.origin,
        "origin_column": columns.origin,
        "relu": conv.relu,
        "pool": conv.pool,
        "store_tags": target_tags is not None,
        "weight_base": one.base,
        "tap_rows": conv.in_channels,
        "bias_bank": one.bias_bank,
        "destination_address": target.pixel_address(row, column) + 2 * BLOCK * first_block,
        "destination_row_pitch": target.row_pitch,
        "destination_pixel_pitch": target.pixel_pitch,
        "words_per_pixel_stored": words,
        "contiguous": target.pixel_pitch == 8 * words,
        "columns_stored": columns.size // shrink,
        "buffer_pixel_words": buffer_pixel_words,
        "buffer_row_words": unit_columns * 4 * blocks,
    }
    if source_tags is not None:
        values |= {
            "tag_address": source_tags.pixel_address(rows.source_start, columns.source_start),
            "tag_row_pitch": source_tags.row_pitch,
        }
    if target_tags is not None:
        values |= {
            "tag_destination": target_tags.pixel_address(row, column) + 2 * conv.pieces * first_block,
            "tag_destination_row_pitch": target_tags.row_pitch,
            "tag_destination_pixel_pitch": target_tags.pixel_pitch,
            "pieces_per_pixel": conv.pieces * blocks,
            "buffer_row_pieces": unit_columns * conv.pieces * blocks,
        }
    return values
