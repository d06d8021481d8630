# SPDX-License-Identifier: Apache-2.0
"""Sequences of the tile loader: random and directed jobs, with their data laid out in a memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gradcore.hardware import TILE_ENTRIES, TILE_PIXELS
from gradcore.models.convolution.tile_loader import TileJob
from tb.support.base import ItemSequence
from tb.support.read_client import WordMemory
from tb.support.seeds import test_rng

EXTREMES = np.array([-32768, -32767, -1, 1, 32766, 32767])


@dataclass
class Shape:
    """What a job is made from. ``density``: share of non-zero values; ``tag_skip``: pieces before the first one."""

    rows: int
    columns: int
    words: int
    density: float = 0.5
    relu: int = 0
    unpool: int = 0
    tags: int = 0
    crop_row: int = 0
    crop_column: int = 0
    lost_rows: int = 0  # source or unpooled rows that the buffer has no room for
    lost_columns: int = 0
    tag_skip: int = 0
    full: int = 0  # no entry is spared, and the last pixel has no zeros: its list may end with the bank
    by_pixel: int = 0
    pixel_gap: int = 0  # with by_pixel: words and pieces between pixels; negative: every pixel of a row is the same one in memory
    index: int = 0  # tags are indices, and these channels
    slot: int = 0  # if not 0: entries of a pixel, fewer than its values; the last pixel has so many, one of them in its last word


def values(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Values of the shape's density, extremes of the range among them: int64 (rows, columns, 4 * words)."""
    size = (shape.rows, shape.columns, 4 * shape.words)
    result = rng.integers(1, 32768, size) * rng.choice([-1, 1], size)
    result = np.where(rng.random(size) < 0.2, rng.choice(EXTREMES, size), result)
    result = np.where(rng.random(size) < shape.density, result, 0)
    if shape.words == 1:  # one channel: three padding values
        result[:, :, 1 + int(rng.integers(3)) :] = 0
    if shape.full:
        result[-1, -1] = rng.integers(1, 32768, 4 * shape.words)
    if shape.slot:
        result[-1, -1] = rng.integers(1, 32768, 4 * shape.words)
        result[-1, -1, [*range(4 * shape.words - shape.slot - 3), -3, -2, -1]] = 0
        result[np.cumsum(result != 0, axis=2) > shape.slot] = 0
    return result


def make_job(shape: Shape, memory: WordMemory, rng: np.random.Generator, waits: tuple[int, int] = (0, 0)) -> TileJob:
    """Lay out data for ``shape`` in ``memory`` and return the job. ``waits``: its wait_tiles and wait_vectors."""
    repeated, gap = shape.pixel_gap < 0, max(0, shape.pixel_gap)
    pixel_words = shape.words + gap
    pitch_words = shape.columns * pixel_words + int(rng.integers(3))
    content = rng.integers(0, 1 << 64, pitch_words * shape.rows, dtype=np.uint64)
    for row, row_values in enumerate(values(shape, rng)):
        for column, pixel in enumerate(row_values[-1:] if repeated else row_values):  # the last one may be a full one
            content[row * pitch_words + column * pixel_words :][: shape.words] = pixel.astype("<i2").view("<u8")
    source_address = memory.allocate(content)

    pixel_pieces = (shape.words if shape.index else -(-shape.words // 4) * (3 if shape.unpool else 1)) + gap
    pieces = pixel_pieces * shape.columns
    # Rows of tags start on 8 bytes, so their pitch is a multiple of 8; the loader takes any even number.
    tag_pitch = 8 * -(-(pieces + shape.tag_skip) // 4) if rng.random() < 0.7 else 2 * (pieces + int(rng.integers(4)))
    tag_words = (2 * shape.tag_skip + (shape.rows - 1) * tag_pitch + 2 * pieces + 7) // 8
    tag_address = memory.allocate(rng.integers(0, 1 << 64, tag_words, dtype=np.uint64)) + 2 * shape.tag_skip

    scale = 2 if shape.unpool else 1
    buffer_rows = max(1, scale * shape.rows - shape.crop_row * shape.unpool - shape.lost_rows)
    buffer_columns = max(1, scale * shape.columns - shape.crop_column * shape.unpool - shape.lost_columns)
    slot = shape.slot or 4 * shape.words + int(rng.integers(2)) * (not shape.full)
    row_entries = buffer_columns * slot
    assert buffer_rows * buffer_columns <= TILE_PIXELS and buffer_rows * row_entries <= TILE_ENTRIES, shape
    return TileJob(
        source_address=source_address,
        source_row_pitch=8 * pitch_words,
        by_pixel=shape.by_pixel,
        source_pixel_pitch=8 * int(rng.integers(1 << 13)) if not shape.by_pixel else 0 if repeated else 8 * pixel_words,
        source_rows=shape.rows,
        source_columns=shape.columns,
        words_per_pixel=shape.words,
        buffer_rows=buffer_rows,
        buffer_columns=buffer_columns,
        slot=slot,
        row_entries=row_entries,
        tag_address=tag_address,
        tag_row_pitch=tag_pitch,
        tag_pixel_pitch=2 * int(rng.integers(1 << 15)) if not shape.by_pixel else 0 if repeated else 2 * pixel_pieces,
        load_relu=shape.relu,
        unpool=shape.unpool,
        index_channel=shape.index,
        tags=shape.tags,
        crop_row=shape.crop_row,
        crop_column=shape.crop_column,
        wait_tiles=waits[0],
        wait_vectors=waits[1],
    )


def corner_shapes() -> list[Shape]:
    """Shapes at the edges: 1 x 1, one channel, one row or column, odd counts, a full bank, all crops, all or no zeros."""
    shapes = [
        Shape(1, 1, 1),
        Shape(1, 1, 1, density=0.0),
        Shape(1, 1, 1, relu=1, tags=1, tag_skip=3),
        Shape(1, 1, 1, unpool=1, tags=1, tag_skip=2),
        Shape(1, 1, 1, unpool=1, tags=1, crop_row=1, crop_column=1),
        Shape(1, 7, 1, relu=1, tags=1, tag_skip=1),
        Shape(7, 1, 2, relu=1, tags=1),
        Shape(2, 1, 1),
        Shape(1, 2, 33, density=1.0),
        Shape(1, 1, 511, density=1.0),
        Shape(3, 3, 5, density=1.0, relu=1, tags=1, tag_skip=3),
        Shape(3, 5, 4, density=0.0, relu=1, tags=1),
        Shape(16, 32, 1, density=0.7),
        Shape(255, 2, 1, density=0.3),
        Shape(2, 255, 1, density=0.3),
        Shape(4, 4, 3, lost_rows=1, lost_columns=2),
        Shape(2, 8, 127, density=0.1),
        Shape(2, 8, 128, density=0.05, full=1),
        Shape(16, 32, 5, density=0.3, slot=16),
        Shape(1, 100, 1, unpool=1, tags=1, tag_skip=1),
        Shape(3, 3, 2, relu=1, tags=0),
        Shape(3, 3, 2, tags=1, tag_skip=2),
        *(Shape(2, 3, words, density=density, tags=1, index=1, tag_skip=words - 1) for words in (1, 2, 3, 4) for density in (0.3, 1.0)),
        Shape(4, 5, 4, tags=1, index=1, by_pixel=1, pixel_gap=4, lost_columns=1),
        Shape(1, 1, 1, by_pixel=1),
        Shape(3, 255, 4, density=0.2, by_pixel=1, pixel_gap=12, relu=1, tags=1, lost_columns=130),
        Shape(255, 2, 1, density=0.3, by_pixel=1, pixel_gap=1),
        Shape(3, 1, 3, by_pixel=1, pixel_gap=2, relu=1, tags=1, tag_skip=3),
        Shape(2, 8, 128, density=0.05, full=1, by_pixel=1),
        Shape(5, 9, 4, by_pixel=1, pixel_gap=-1, relu=1, tags=1, tag_skip=2),
        Shape(4, 6, 4, by_pixel=1, pixel_gap=8, unpool=1, tags=1, relu=1, crop_row=1, tag_skip=1),
    ]
    for crop in range(16):
        shapes.append(
            Shape(
                3,
                2 + crop % 2,
                1 + crop % 5,
                density=0.8,
                relu=crop % 3 > 0,
                unpool=1,
                tags=1,
                crop_row=crop & 1,
                crop_column=crop >> 1 & 1,
                lost_rows=crop >> 2 & 1,
                lost_columns=crop >> 3,
                tag_skip=crop % 4,
                by_pixel=crop % 7 % 2,
                pixel_gap=crop % 7 % 2 * (crop % 4),
            )
        )
    return shapes


def random_shape(rng: np.random.Generator, unpool: int, relu: int) -> Shape:
    """Any legal shape of moderate size."""
    by_pixel = int(rng.integers(2))
    index = int(not unpool and not relu and rng.random() < 0.5)
    return Shape(
        index=index,
        by_pixel=by_pixel,
        pixel_gap=by_pixel * int(rng.integers(-1, 4)),
        rows=int(rng.integers(1, 7)),
        columns=int(rng.integers(1, 7)),
        words=int(rng.choice([1, 2, 3, 4] if index else [1, 2, 3, 4, 5, 8, 9])),
        density=float(rng.choice([0.0, 0.1, 0.5, 1.0])),
        relu=relu,
        unpool=unpool,
        tags=1 if unpool or relu or index else int(rng.integers(2)),
        crop_row=int(rng.integers(2)) * unpool,
        crop_column=int(rng.integers(2)) * unpool,
        lost_rows=int(rng.integers(2)),
        lost_columns=int(rng.integers(2)),
        tag_skip=int(rng.integers(4)),
    )


class TileSequence(ItemSequence):
    """Base: ``shapes`` says what is sent. ``memory`` takes the data; ``waits``: the tokens of the last job, which the next one raises."""

    memory: WordMemory
    waits: list[int]
    with_tokens = True

    def shapes(self, rng: np.random.Generator) -> Iterable[Shape]:
        """The jobs' shapes, in order."""
        raise NotImplementedError

    def items(self) -> Iterable[dict[str, int]]:
        rng = test_rng()
        rng = np.random.default_rng([int(rng.integers(1 << 32)), self.memory.used])  # others in each repetition
        for shape in self.shapes(rng):
            for token in (0, 1) if self.with_tokens else ():
                self.waits[token] += int(rng.integers(2))
            yield {"job": make_job(shape, self.memory, rng, (self.waits[0], self.waits[1])).pack()}


class CornerShapes(TileSequence):
    """The directed shapes."""

    def shapes(self, rng: np.random.Generator) -> Iterable[Shape]:
        return corner_shapes()


class RandomShapes(TileSequence):
    """Random shapes, of each kind in turn."""

    def shapes(self, rng: np.random.Generator) -> Iterable[Shape]:
        return (random_shape(rng, unpool=index % 2, relu=index // 2 % 2) for index in range(8))


class SameShape(TileSequence):
    """Four jobs of one shape, without tokens."""

    shape: Shape
    with_tokens = False

    def shapes(self, rng: np.random.Generator) -> Iterable[Shape]:
        return [self.shape] * 4


class FewShapes(TileSequence):
    """Some shapes, for twins."""

    def shapes(self, rng: np.random.Generator) -> Iterable[Shape]:
        return [Shape(2, 3, 2, relu=1, tags=1), Shape(2, 3, 2), Shape(2, 3, 2, relu=1, tags=1, by_pixel=1, pixel_gap=2)]


class FewIndices(TileSequence):
    """A tile whose indices are channels, for a twin."""

    def shapes(self, rng: np.random.Generator) -> Iterable[Shape]:
        return [Shape(2, 3, 4, tags=1, index=1)]
