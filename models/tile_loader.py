# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/convolution/tile_loader.v: from a tile in memory to lists of non-zero entries and their counts.

The model works on dense arrays (decode the whole tile, apply the ReLU rule, unpool, cut, list the non-zeros), the hardware on
one word after another; they share nothing but the layouts in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradcore.models import arithmetic
from gradcore.models.jobs import TileLoaderJob

BANK_ENTRIES = 8192
BANK_PIXELS = 512
ReadWords = Callable[[int, int], np.ndarray]
"""Reads memory: (byte address, a multiple of 8; number of words) -> uint64 array of words."""


class TileJob(TileLoaderJob):
    """A job of the tile loader, and what follows from its fields."""

    @property
    def pieces_per_pixel(self) -> int:
        """16-bit tag pieces of a source pixel: masks of each block of 16 channels, with unpooling two pieces of indices too."""
        return -(-self.words_per_pixel // 4) * (3 if self.unpool else 1)

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


def value_requests(job: TileJob, half: int) -> list[Request]:
    """Requests for the values of a half's rows, in order."""
    words = job.source_columns * job.words_per_pixel
    return [Request((job.source_address + row * job.source_row_pitch) & 0xFFFFFFFF, words) for row in range(half, job.source_rows, 2)]


def tag_requests(job: TileJob, half: int, method: str) -> list[Request]:
    """Requests for the tags of a half's rows, in order: aligned down to 8 bytes, long enough to cover the row's pieces."""
    if not job.reads_tags(method):
        return []
    requests = []
    for row in range(half, job.source_rows, 2):
        first = (job.tag_address + row * job.tag_row_pitch) & 0xFFFFFFFF
        end = first + 2 * job.source_columns * job.pieces_per_pixel
        requests.append(Request(first & ~7, (end + 7) // 8 - first // 8))
    return requests


def read_values(job: TileJob, read_words: ReadWords) -> np.ndarray:
    """The tile's values: int64 array (source_rows, source_columns, 4 * words_per_pixel)."""
    rows = []
    for row in range(job.source_rows):
        request = value_requests(job, row % 2)[row // 2]
        words = np.asarray(read_words(request.address, request.words), dtype="<u8")
        rows.append(words.view("<i2").astype(np.int64).reshape(job.source_columns, -1))
    return np.stack(rows)


def read_tags(job: TileJob, method: str, read_words: ReadWords) -> tuple[np.ndarray, np.ndarray]:
    """The tile's (mask, index) for each value: bool and int64 arrays of the shape of ``read_values``.

    Without tags in memory all masks are 1, and the index is 0 without pooling tags.
    """
    shape = (job.source_rows, job.source_columns, 4 * job.words_per_pixel)
    mask, index = np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.int64)
    if not job.reads_tags(method):
        return mask, index
    for row in range(job.source_rows):
        request = tag_requests(job, row % 2, method)[row // 2]
        skip = (job.tag_address + row * job.tag_row_pitch) % 8 // 2
        words = np.asarray(read_words(request.address, request.words), dtype="<u8")
        pieces = words.view("<u2").astype(np.int64)[skip : skip + job.source_columns * job.pieces_per_pixel]
        pieces = pieces.reshape(job.source_columns, -1, 3 if job.unpool else 1)
        bits = (pieces[:, :, 0, None] >> np.arange(16)) & 1
        mask[row] = bits.reshape(job.source_columns, -1)[:, : shape[2]]
        if job.unpool:
            pairs = (pieces[:, :, 1:, None] >> (2 * np.arange(8))) & 3
            index[row] = pairs.reshape(job.source_columns, -1)[:, : shape[2]]
    return mask, index


def tile_values(job: TileJob, method: str, read_words: ReadWords, *, rules=arithmetic) -> np.ndarray:
    """int64 (buffer_rows or fewer, buffer_columns or fewer, channels): the values that the tile bank holds, zeros among them.

    Fewer where the source, unpooled and cut, has no more. ``method``: one of arithmetic.METHODS. ``read_words``: the memory.
    ``rules``: the arithmetic, see ``gradcore.models.arithmetic``.
    """
    values = read_values(job, read_words)
    mask, index = read_tags(job, method, read_words)
    if job.load_relu:
        values = rules.relu_backward(values, mask, method)
    if job.unpool:
        values = rules.max_unpool(values, index, 2 * job.source_rows, 2 * job.source_columns)[job.crop_row :, job.crop_column :]
    return values[: job.buffer_rows, : job.buffer_columns]


def load_tile(job: TileJob, method: str, read_words: ReadWords, *, rules=arithmetic) -> LoadedTile:
    """Everything that the job writes in the tile bank; arguments as for ``tile_values``.

    Raises ValueError when the job exceeds a bank.
    """
    if job.buffer_rows * job.buffer_columns > BANK_PIXELS or job.buffer_rows * job.row_entries > BANK_ENTRIES:
        raise ValueError(f"tile of {job.buffer_rows} x {job.buffer_columns} pixels does not fit a bank: {job}")
    scale, crop_row = (2, job.crop_row) if job.unpool else (1, 0)
    tile = LoadedTile(dropped=4 * job.source_rows * job.source_columns * job.words_per_pixel)
    for buffer_row, row in enumerate(tile_values(job, method, read_words, rules=rules)):
        half = (buffer_row + crop_row) // scale % 2
        for buffer_column, pixel in enumerate(row):
            channels = np.flatnonzero(pixel)
            start = buffer_row * job.row_entries + buffer_column * job.slot
            for place, channel in enumerate(channels):
                tile.entries[half][start + place] = (int(channel), int(pixel[channel]))
            tile.counts[half][buffer_row * job.buffer_columns + buffer_column] = len(channels)
            tile.dropped -= len(channels)
    return tile
