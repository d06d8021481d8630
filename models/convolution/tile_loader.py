# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/convolution/tile_loader.v: from a tile in memory to lists of non-zero entries and their counts.

The model works on dense arrays (decode the whole tile, apply the ReLU rule, unpool, cut, list the non-zeros), the hardware on
one word after another; they share nothing but the layouts in docs/architecture.md.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from gradcore.hardware import TILE_ENTRIES, TILE_PIXELS
from gradcore.models import arithmetic
from gradcore.models.jobs import TileLoaderJob
from gradcore.models.memory import ADDRESSES, ReadWords, Span
from gradcore.models.tags import BLOCK, POOLED_PIECES, split_pieces, split_winners

T = TypeVar("T")
INDICES = 16  # that four bits tell apart


class TileJob(TileLoaderJob):
    """A job of the tile loader, and what follows from its fields."""

    @property
    def pieces_per_pixel(self) -> int:
        """16-bit tag pieces of a source pixel: masks of each block of 16 channels, with unpooling two pieces of indices too; where indices
        are channels, of each word its indices alone."""
        if self.index_channel:
            return self.words_per_pixel
        return -(-self.words_per_pixel // 4) * (POOLED_PIECES if self.unpool else 1)

    def reads_tags(self, method: str) -> bool:
        """Whether tags are read: DeconvNet's ReLU rule ignores them, unless the unpooling index is wanted."""
        return bool(self.tags and not (self.load_relu and method == "deconvnet" and not self.unpool))


@dataclass(frozen=True)
class Request:
    """A read request: ``words`` words of 64 bits from byte ``address``."""

    address: int
    words: int


@dataclass
class LoadedTile:
    """What a job writes. Index 0 and 1 of each list are the halves: even and odd source rows.

    ``entries``: entry address -> (channel, value); ``counts``: count address -> list length.
    ``dropped``: values read that are not written.
    """

    entries: list[dict[int, tuple[int, int]]] = field(default_factory=lambda: [{}, {}])
    counts: list[dict[int, int]] = field(default_factory=lambda: [{}, {}])
    dropped: int = 0


def _runs(job: TileJob, first: int, row_pitch: int, pixel_pitch: int) -> list[list[int]]:
    """Byte addresses of what is asked for in one go, in rows: of each row, or with ``by_pixel`` of each pixel."""
    columns = range(job.source_columns if job.by_pixel else 1)
    return [[(first + row * row_pitch + column * pixel_pitch) % ADDRESSES for column in columns] for row in range(job.source_rows)]


def value_requests(job: TileJob) -> list[list[Request]]:
    """Requests for the values, in rows; see ``of_half``."""
    words = job.words_per_pixel * (1 if job.by_pixel else job.source_columns)
    runs = _runs(job, job.source_address, job.source_row_pitch, job.source_pixel_pitch)
    return [[Request(address, words) for address in row] for row in runs]


def of_half(rows: list[list[T]], half: int) -> list[T]:
    """What is one half's, in order: half 0 has the even rows, half 1 the odd ones."""
    return list(itertools.chain.from_iterable(rows[half::2]))


def tag_spans(job: TileJob, method: str) -> list[list[Span]]:
    """The bytes of the tags that are asked for in one go, in rows as ``value_requests``; none when no tags are read."""
    if not job.reads_tags(method):
        return []
    size = 2 * job.pieces_per_pixel * (1 if job.by_pixel else job.source_columns)
    return [[Span(address, size) for address in row] for row in _runs(job, job.tag_address, job.tag_row_pitch, job.tag_pixel_pitch)]


def tag_requests(job: TileJob, method: str) -> list[list[Request]]:
    """Requests for the tags, in rows as ``value_requests``: aligned down to 8 bytes, long enough to cover the run's pieces."""
    return [[Request(span.start, span.words) for span in row] for row in tag_spans(job, method)]


def read_values(job: TileJob, read_words: ReadWords) -> np.ndarray:
    """The tile's values: int64 array (source_rows, source_columns, 4 * words_per_pixel)."""
    runs = itertools.chain.from_iterable(value_requests(job))
    words = np.concatenate([np.asarray(read_words(run.address, run.words), dtype="<u8") for run in runs])
    return words.view("<i2").astype(np.int64).reshape(job.source_rows, job.source_columns, -1)


def read_tags(job: TileJob, method: str, read_words: ReadWords) -> tuple[np.ndarray, np.ndarray]:
    """The tile's (mask, index) for each value: bool and int64 arrays of the shape of ``read_values``.

    Without tags in memory all masks are 1, and the index is 0 without those of a pool; masks are 1 where tags are indices alone.
    """
    channels = 4 * job.words_per_pixel
    shape = (job.source_rows, job.source_columns, channels)
    spans = list(itertools.chain.from_iterable(tag_spans(job, method)))
    if not spans:
        return np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.int64)
    pieces = np.concatenate([span.read(read_words) for span in spans]).view("<u2")
    if job.index_channel:
        return np.ones(shape, dtype=bool), split_winners(pieces.reshape(*shape[:2], -1))
    mask, index = split_pieces(pieces.reshape(*shape[:2], -1, POOLED_PIECES if job.unpool else 1))
    return mask[..., :channels], np.zeros(shape, dtype=np.int64) if index is None else index[..., :channels]


def ruled_values(job: TileJob, method: str, read_words: ReadWords, *, rules=arithmetic) -> tuple[np.ndarray, np.ndarray]:
    """(values, index) of the shape of ``read_values``: after the method's ReLU rule, and the winners' places.

    ``method``: one of arithmetic.METHODS. ``read_words``: the memory. ``rules``: the arithmetic, see ``gradcore.models.arithmetic``.
    """
    values = read_values(job, read_words)
    mask, index = read_tags(job, method, read_words)
    return rules.relu_backward(values, mask, method) if job.load_relu else values, index


def placed(job: TileJob, values: np.ndarray, index: np.ndarray, *, rules=arithmetic) -> np.ndarray:
    """int64 (buffer_rows or fewer, buffer_columns or fewer, channels): the values that the tile bank holds, zeros among them.

    Unpooled and cut where the job says so; fewer rows and columns where the source then has no more. With ``index_channel`` a value is
    at channel 16 * index + its own.
    """
    if job.index_channel:
        spread = np.zeros((*values.shape[:2], INDICES, BLOCK), dtype=np.int64)
        places = np.indices(values.shape)
        spread[places[0], places[1], index, places[2]] = values
        values = spread.reshape(*values.shape[:2], -1)
    if job.unpool:
        values = rules.max_unpool(values, index, 2 * job.source_rows, 2 * job.source_columns)[job.crop_row :, job.crop_column :]
    return values[: job.buffer_rows, : job.buffer_columns]


def load_tile(job: TileJob, method: str, read_words: ReadWords, *, rules=arithmetic) -> LoadedTile:
    """Everything that the job writes in the tile bank; arguments as for ``ruled_values``.

    Raises ValueError when the job exceeds a bank.
    """
    if job.buffer_rows * job.buffer_columns > TILE_PIXELS or job.buffer_rows * job.row_entries > TILE_ENTRIES:
        raise ValueError(f"tile of {job.buffer_rows} x {job.buffer_columns} pixels does not fit a bank: {job}")
    scale, crop_row = (2, job.crop_row) if job.unpool else (1, 0)
    values, index = ruled_values(job, method, read_words, rules=rules)
    tile = LoadedTile(dropped=values.size)
    for buffer_row, row in enumerate(placed(job, values, index, rules=rules)):
        half = (buffer_row + crop_row) // scale % 2
        for buffer_column, pixel in enumerate(row):
            channels = np.flatnonzero(pixel)
            if job.index_channel:  # in the order in which they are in memory
                channels = channels[np.argsort(channels % BLOCK)]
            start = buffer_row * job.row_entries + buffer_column * job.slot
            for place, channel in enumerate(channels):
                tile.entries[half][start + place] = (int(channel), int(pixel[channel]))
            tile.counts[half][buffer_row * job.buffer_columns + buffer_column] = len(channels)
            tile.dropped -= len(channels)
    return tile
