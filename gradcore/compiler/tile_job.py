# SPDX-License-Identifier: Apache-2.0
"""The fields of a TILE descriptor."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradcore.compiler.layout import BLOCK, MapRegion, Region, TagRegion, padded
from gradcore.compiler.tiling import Span, TilePlan, TileUse
from gradcore.compiler.weights import WeightSet


def tile_spans(plan: TilePlan, use: TileUse) -> tuple[Span, Span]:
    """What a job needs of its chunk's map: rows and columns."""
    chunk = plan.chunks[use.chunk]
    return plan.span(chunk, 0, *plan.rows[use.row]), plan.span(chunk, 1, *plan.columns[use.column])


def tile_fields(plan: TilePlan, use: TileUse, one: WeightSet, regions: Mapping[str, Region]) -> dict[str, int]:
    """The fields of a TILE job, tokens apart."""
    made, chunk = plan.made, plan.chunks[use.chunk]
    rows, columns = tile_spans(plan, use)
    source, target = regions[chunk.reads], regions[made.writes]
    assert isinstance(source, MapRegion) and isinstance(target, MapRegion)
    first = [chunk.pixels(axis, span.source_start, span.source_size).start for axis, span in enumerate((rows, columns))]
    words_per_pixel = padded(chunk.in_channels) // 4
    blocks, first_block = len(one.blocks), one.blocks.start
    unit_columns = math.ceil(columns.size // plan.shrink / plan.pack)
    row, column = (
        first + step * (span.start // plan.shrink) for first, step, span in zip(made.first, made.step, (rows, columns), strict=True)
    )
    if plan.pack > 1:
        words = buffer_pixel_words = padded(made.out_channels) // 4
    else:
        words = min(4 * blocks, -(-made.out_channels // 4) - 4 * first_block)
        buffer_pixel_words = 4 * blocks
    values = {
        "source_address": source.pixel_address(*first) + 2 * chunk.channel,
        "source_row_pitch": chunk.steps[0] * source.row_pitch,
        "source_rows": rows.source_size,
        "source_columns": columns.source_size,
        "words_per_pixel": words_per_pixel,
        "load_relu": chunk.relu,
        "unpool": chunk.unpool,
        "tags": chunk.tags is not None,
        "by_pixel": chunk.apart,
        "index_channel": chunk.winners is not None,
        "source_pixel_pitch": chunk.apart * chunk.steps[1] * source.pixel_pitch,
        "crop_row": rows.crop,
        "crop_column": columns.crop,
        "buffer_rows": rows.buffer_size,
        "buffer_columns": columns.buffer_size,
        "slot": chunk.in_channels,
        "row_entries": columns.buffer_size * chunk.in_channels,
        "unit_rows": rows.size // plan.shrink,
        "unit_columns": unit_columns,
        "kernel_h": chunk.kernel[0],
        "kernel_w": chunk.kernel[1] + plan.pack - 1,
        "pack_pixels": plan.pack,
        "stride_x_log2": chunk.stride[1].bit_length() - 1 if columns.size > 1 else 0,
        "stride_y_log2": chunk.stride[0].bit_length() - 1 if rows.size > 1 else 0,
        "blocks": blocks,
        "origin_row": rows.origin,
        "origin_column": columns.origin,
        "shift": made.shift,
        "relu": made.relu,
        "clip": made.clip,
        "pool": made.pool,
        "window": made.window,
        "store_tags": made.tags is not None,
        "from_partial": use.takes_partial,
        "to_partial": use.leaves_partial,
        "weight_base": (one.base + one.offset(use.chunk)) % plan.depth,
        "tap_rows": BLOCK * chunk.spacing if chunk.winners is not None else 0 if plan.shares_taps(chunk) else chunk.in_channels,
        "bias_bank": one.bias_bank,
        "destination_address": target.pixel_address(row, column) + 2 * (made.channel + BLOCK * first_block),
        "destination_row_pitch": target.row_pitch * made.step[0],
        "destination_pixel_pitch": target.pixel_pitch * made.step[1],
        "words_per_pixel_stored": words,
        "contiguous": target.pixel_pitch * made.step[1] == 8 * words,
        "columns_stored": columns.size // plan.shrink,
        "buffer_pixel_words": buffer_pixel_words,
        "buffer_row_words": unit_columns * 4 * blocks,
    }
    if chunk.tags is not None:
        source_tags = regions[chunk.tags]
        assert isinstance(source_tags, TagRegion)
        values |= {
            "tag_address": source_tags.pixel_address(*first) + 2 * source_tags.pieces * (chunk.channel // BLOCK),
            "tag_row_pitch": chunk.steps[0] * source_tags.row_pitch,
            "tag_pixel_pitch": chunk.apart * chunk.steps[1] * source_tags.pixel_pitch,
        }
    if made.tags is not None:
        target_tags = regions[made.tags]
        assert isinstance(target_tags, TagRegion)
        values |= {
            "tag_destination": target_tags.pixel_address(row, column) + 2 * made.pieces * (made.block + first_block),
            "tag_destination_row_pitch": target_tags.row_pitch,
            "tag_destination_pixel_pitch": target_tags.pixel_pitch,
            "pieces_per_pixel": made.pieces * blocks,
            "buffer_row_pieces": unit_columns * made.pieces * blocks,
        }
    return values
