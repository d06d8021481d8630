# SPDX-License-Identifier: Apache-2.0
"""Golden model of the conv group: what one group sends to the output buffer for one tile job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcore.models import arithmetic

LANES = 16
WORD_VALUES = 4
ENTRIES = 1 << 13  # of a tile bank
PIXELS = 1 << 9


@dataclass(frozen=True)
class ConvJob:
    """A tile job as a conv group sees it; the fields are those of the TILE descriptor (see docs/registers.md), but for
    ``quarters``: of a row's last unit only so many quarters of the lanes are stored; 0: all."""

    buffer_rows: int
    buffer_columns: int
    slot: int
    unit_rows: int
    unit_columns: int
    kernel_rows: int
    kernel_columns: int
    stride_x: int
    blocks: int
    origin_row: int
    origin_column: int
    shift: int
    relu: bool
    pool: bool
    tags: bool
    weight_base: int
    tap_rows: int
    initial_bank: int = 0
    quarters: int = 0

    @property
    def row_entries(self) -> int:
        """Entries between two rows of the tile buffer."""
        return self.buffer_columns * self.slot

    @property
    def row_words(self) -> int:
        """Output-buffer words between two rows of the same parity."""
        return self.unit_columns * self.blocks * WORD_VALUES

    @property
    def origin_entry(self) -> int:
        """Entry address, modulo 2**13, of tap (0, 0) of the first unit's first pixel, which may lie outside the buffer."""
        return (self.origin_row * self.row_entries + self.origin_column * self.slot) % ENTRIES

    @property
    def origin_pixel(self) -> int:
        """Its count address, modulo 2**9."""
        return (self.origin_row * self.buffer_columns + self.origin_column) % PIXELS

    @property
    def line_entries(self) -> int:
        """Entries, modulo 2**13, from the last tap of a line to the first of the next."""
        return (self.row_entries - (self.kernel_columns - 1) * self.slot) % ENTRIES

    @property
    def line_pixels(self) -> int:
        """Pixels, modulo 2**9, from the last tap of a line to the first of the next."""
        return (self.buffer_columns - (self.kernel_columns - 1)) % PIXELS

    @property
    def pieces(self) -> int:
        """Tag pieces of one unit and one block."""
        return 3 if self.pool else 1

    @property
    def row_pieces(self) -> int:
        """Tag pieces between two rows of the same parity."""
        return self.unit_columns * self.blocks * self.pieces


def pixel_sums(job: ConvJob, tile: np.ndarray, weights: np.ndarray, row: int, column: int) -> np.ndarray:
    """Exact sums (LANES,) of the pixel whose tap (0, 0) lies at (row, column) of the tile (rows, columns, channels).

    ``weights`` is the group's weight buffer (depth, LANES); rows are taken modulo its depth.
    """
    sums = np.zeros(LANES, dtype=np.int64)
    for kernel_row in range(job.kernel_rows):
        for kernel_column in range(job.kernel_columns):
            y, x = row + kernel_row, column + kernel_column
            if not (0 <= y < job.buffer_rows and 0 <= x < job.buffer_columns):
                continue
            first = job.weight_base + (kernel_row * job.kernel_columns + kernel_column) * job.tap_rows
            rows = (first + np.arange(tile.shape[2])) % len(weights)
            sums += tile[y, x].astype(np.int64) @ weights[rows].astype(np.int64)
    return sums


def pack_word(values: np.ndarray) -> int:
    """Four 16-bit values as a 64-bit word, the first in the low bits."""
    return sum((int(value) & 0xFFFF) << (16 * position) for position, value in enumerate(values))


def tag_pieces(mask: np.ndarray, index: np.ndarray | None) -> list[int]:
    """The 16-bit tag pieces of LANES channels: the mask, and with ``index`` two pieces of 2-bit winners."""
    pieces = [sum(int(bit) << lane for lane, bit in enumerate(mask))]
    if index is not None:
        packed = sum(int(winner) << (2 * lane) for lane, winner in enumerate(index))
        pieces += [packed & 0xFFFF, packed >> 16]
    return pieces


def group_share(job: ConvJob, groups: int, group: int) -> tuple[int, int, int] | None:
    """(block, set, copies) of a group in a job, or None when the group has no work in it."""
    copies = groups // job.blocks
    if group >= job.blocks * copies:
        return None
    return group % job.blocks, group // job.blocks, copies


@dataclass(frozen=True)
class Output:
    """What one group makes of one job.

    Attributes:
        transfers: {(is tag, parity of the unit row, address): data}.
        saturated: values, before pooling, that were clipped and count: see ``gradcore.models.arithmetic.saturated``.
        behind: likewise, but of pixels of a pack that are not stored: they do not count.
    """

    transfers: dict[tuple[int, int, int], int]
    saturated: int
    behind: int


def output(job: ConvJob, tile: np.ndarray, weights: np.ndarray, initial: np.ndarray, groups: int, group: int) -> Output:
    """Everything that a group makes of a job.

    ``tile`` (buffer_rows, buffer_columns, channels) int16 values, ``weights`` (depth, LANES) of this group, ``initial`` (LANES,)
    accumulator start values (rounding constant included).
    """
    share = group_share(job, groups, group)
    result: dict[tuple[int, int, int], int] = {}
    counts = [0, 0]  # values that saturated: of all lanes, of those that are stored
    if share is None:
        return Output(result, 0, 0)
    block, own_set, copies = share
    for row in range(job.unit_rows):
        for column in range(job.unit_columns):
            if (row + column) % copies != own_set:
                continue
            pixels = [(2 * row + y, 2 * column + x) for y in (0, 1) for x in (0, 1)]
            if not job.pool:
                pixels = [(row, column * job.stride_x)]
            last = column == job.unit_columns - 1
            stored = LANES // 4 * job.quarters if last and job.quarters else LANES
            values = []
            for y, x in pixels:
                sums = pixel_sums(job, tile, weights, y + job.origin_row, x + job.origin_column) + initial
                value = arithmetic.saturate(sums >> job.shift)
                values.append(arithmetic.relu(value)[0] if job.relu else value)
                clipped = arithmetic.clips(sums >> job.shift, job.relu)
                counts[0] += int(clipped.sum())
                counts[1] += int(clipped[:stored].sum())
            best = np.max(values, axis=0)
            index = np.argmax(values, axis=0) if job.pool else None
            parity = row % 2
            unit = row // 2 * job.unit_columns + column
            word = (unit * job.blocks + block) * WORD_VALUES
            for position in range(LANES // WORD_VALUES):
                result[0, parity, word + position] = pack_word(best[position * 4 : position * 4 + 4])
            if job.tags:
                tag = (unit * job.blocks + block) * job.pieces
                for position, piece in enumerate(tag_pieces(best > 0, index)):
                    result[1, parity, tag + position] = piece
    return Output(result, counts[1], counts[0] - counts[1])
