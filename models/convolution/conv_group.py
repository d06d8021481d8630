# SPDX-License-Identifier: Apache-2.0
"""Golden model of the conv group: what one group sends to the output buffer for one tile job, or leaves for the next one.

A sum may be made by several jobs, chunks. A job with ``to_partial`` sends nothing: its sums stay in the group (``partial_sums``), and a
job with ``from_partial`` goes on with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from gradcore.hardware import LANES, TILE_ENTRIES, TILE_PIXELS
from gradcore.models import arithmetic
from gradcore.models.convolution.partial_sums import PartialSums
from gradcore.models.jobs import ConvGroupJob
from gradcore.models.tags import WINDOW_PIECES, WINDOW_SIDE, join_pieces, join_winners

WORD_VALUES = 4


@dataclass(frozen=True, kw_only=True)
class ConvJob(ConvGroupJob):
    """A job of a conv group, with what conv_engine adds to it.

    Attributes:
        quarters: of a row's last unit only so many quarters of the lanes are stored; 0: all.
    """

    quarters: int = 0

    @classmethod
    def from_descriptor(cls, values: Mapping[str, int]) -> Self:
        """The job in a TILE descriptor's field values: conv_engine makes ``quarters`` of the columns that are stored."""
        pack = values["pack_pixels"]
        quarters = 0 if values["pool"] else values["columns_stored"] % pack * 4 // pack
        return replace(super().from_descriptor(values), quarters=quarters)

    @classmethod
    def tight(cls, **fields: int) -> Self:
        """A job without gaps: row_entries, buffer_row_words and buffer_row_pieces follow from the other fields."""
        job = cls(**fields)
        units = job.unit_columns * job.blocks
        return replace(
            job,
            row_entries=job.buffer_columns * job.slot,
            buffer_row_words=units * WORD_VALUES,
            buffer_row_pieces=units * job.pieces,
        )

    @property
    def origin_entry(self) -> int:
        """Entry address, modulo 2**13, of tap (0, 0) of the first unit's first pixel, which may lie outside the buffer."""
        return (self.origin_row * self.row_entries + self.origin_column * self.slot) % TILE_ENTRIES

    @property
    def origin_pixel(self) -> int:
        """Its count address, modulo 2**9."""
        return (self.origin_row * self.buffer_columns + self.origin_column) % TILE_PIXELS

    @property
    def line_entries(self) -> int:
        """Entries, modulo 2**13, from the last tap of a line to the first of the next."""
        return (self.row_entries - (self.kernel_w - 1) * self.slot) % TILE_ENTRIES

    @property
    def line_pixels(self) -> int:
        """Pixels, modulo 2**9, from the last tap of a line to the first of the next."""
        return (self.buffer_columns - (self.kernel_w - 1)) % TILE_PIXELS

    @property
    def pieces(self) -> int:
        """Tag pieces of one unit and one block."""
        return WINDOW_PIECES if self.window else 3 if self.pool else 1

    @property
    def side(self) -> int:
        """Rows, and columns, of pixels of one unit."""
        return 2 if self.pool else self.window or 1

    @property
    def pixels(self) -> int:
        """Pixels of one unit, of which each has a sum in every lane."""
        return self.side**2

    @property
    def shape(self) -> tuple[int, int, int]:
        """What the chunks of a sum have in common: units of a row, blocks, pixels of a unit."""
        return self.unit_columns, self.blocks, self.pixels

    @property
    def row_step(self) -> int:
        """Buffer rows from one row of units to the next."""
        return 2 if self.pool else 1 << self.stride_y_log2

    @property
    def column_step(self) -> int:
        """Buffer columns from one unit to the next."""
        return 2 if self.pool else self.pack_pixels << self.stride_x_log2


def windows(job: ConvJob, tile: np.ndarray) -> np.ndarray:
    """float64 (unit rows, unit columns, pixels of a unit, taps, channels): what the taps of each pixel see of the tile.

    ``tile`` is (rows, columns, channels), int; taps outside the job's buffer see zeros. Pixels of a pooling window are in
    row-major order; without pooling a unit is one pixel. (Whole numbers, in the type that ``arithmetic.exact_sum`` multiplies.)
    """
    height, width, channels = job.buffer_rows, job.buffer_columns, tile.shape[2]
    framed = np.zeros((height + 1, width + 1, channels))
    framed[:height, :width] = tile[:height, :width]
    (rows, inside_rows), (columns, inside_columns) = _places(job)
    rows, columns = np.where(inside_rows, rows, height), np.where(inside_columns, columns, width)
    seen = framed[rows[:, None, :, None], columns[None, :, None, :]]
    seen = seen.reshape(job.unit_rows, job.side, job.unit_columns, job.side, -1, channels)
    return seen.transpose(0, 2, 1, 3, 4, 5).reshape(job.unit_rows, job.unit_columns, job.pixels, -1, channels)


def _places(job: ConvJob) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Of rows and columns: where the taps of each pixel lie, int (pixels, taps), and whether that is in the buffer."""
    found = []
    for origin, units, step, taps, size in (
        (job.origin_row, job.unit_rows, job.row_step, job.kernel_h, job.buffer_rows),
        (job.origin_column, job.unit_columns, job.column_step, job.kernel_w, job.buffer_columns),
    ):
        firsts = (step * np.arange(units)[:, None] + np.arange(job.side)).reshape(-1)
        seen = origin + firsts[:, None] + np.arange(taps)
        found.append((seen, (seen >= 0) & (seen < size)))
    return tuple(found)


def outside(job: ConvJob) -> np.ndarray:
    """bool (unit rows, unit columns, pixels of a unit): the pixels of a job's windows that are outside the buffer, and never win."""
    (_, rows), (_, columns) = _places(job)
    inside = rows[:, :1] & columns[:, 0]  # of one tap
    inside = inside.reshape(job.unit_rows, job.side, job.unit_columns, job.side).transpose(0, 2, 1, 3)
    return ~inside.reshape(job.unit_rows, job.unit_columns, job.pixels)


def weight_rows(job: ConvJob, channels: int, depth: int) -> np.ndarray:
    """int (taps * channels,): the rows of a weight buffer of ``depth`` rows that belong to the taps' channels."""
    taps = np.arange(job.kernel_h * job.kernel_w) * job.tap_rows
    return ((job.weight_base + taps[:, None] + np.arange(channels)) % depth).reshape(-1)


def pack_word(values: np.ndarray) -> int:
    """Four 16-bit values as a 64-bit word, the first in the low bits."""
    return sum((int(value) & 0xFFFF) << (16 * position) for position, value in enumerate(values))


def group_share(job: ConvJob, groups: int, group: int) -> tuple[int, int, int] | None:
    """(block, set, copies) of a group in a job, or None when the group has no work in it."""
    copies = groups // job.blocks
    if group >= job.blocks * copies:
        return None
    return group % job.blocks, group // job.blocks, copies


@dataclass(frozen=True)
class Output:
    """What one group makes of one job, a unit of the output a row, in the order of rows and columns.

    Attributes:
        parity, words, pieces: int (units,): parity of the unit's row, and where its first word and its first tag piece go.
        values: int64 (units, LANES). tags: uint16 (units, pieces of a unit), or None when no tags are stored.
        entries: int (units, pixels of a unit): non-zero values that the taps of each pixel see.
        saturated: values, before pooling, that were clipped and count: see ``gradcore.models.arithmetic.saturated``.
        behind: likewise, but of pixels of a pack that are not stored: they do not count.
        stored: False for a job whose sums stay in the group: it has neither transfers nor saturated values.
        largest: the largest magnitude of an accumulator.
    """

    parity: np.ndarray
    words: np.ndarray
    pieces: np.ndarray
    values: np.ndarray
    tags: np.ndarray | None
    entries: np.ndarray
    saturated: int
    behind: int
    largest: int
    stored: bool = True

    @property
    def transfers(self) -> dict[tuple[int, int, int], int]:
        """{(is tag, parity of the unit row, address): data} of the words, then the pieces, of each unit; none where it is not stored."""
        result: dict[tuple[int, int, int], int] = {}
        if not self.stored:
            return result
        for unit, (parity, word, piece) in enumerate(zip(self.parity.tolist(), self.words.tolist(), self.pieces.tolist(), strict=True)):
            for position in range(LANES // WORD_VALUES):
                result[0, parity, word + position] = pack_word(self.values[unit, position * 4 : position * 4 + 4])
            if self.tags is not None:
                result |= {(1, parity, piece + position): int(one) for position, one in enumerate(self.tags[unit])}
        return result


def own_units(job: ConvJob, groups: int, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the units that a group computes, in the order in which its streams get them."""
    share = group_share(job, groups, group)
    _, own_set, copies = share or (0, 0, 1)
    rows, columns = np.divmod(np.arange(job.unit_rows * job.unit_columns if share else 0), job.unit_columns)
    own = (rows + columns) % copies == own_set
    return rows[own], columns[own]


def compute(
    job: ConvJob,
    seen: np.ndarray,
    weights: np.ndarray,
    initial: np.ndarray,
    groups: int,
    group: int,
    *,
    partial: PartialSums | None = None,
    rules=arithmetic,
) -> Output:
    """Everything that a group makes of a job, given what its taps see (``windows``); the other arguments as for ``output``."""
    share = group_share(job, groups, group)
    block = share[0] if share else 0
    rows, columns = own_units(job, groups, group)
    pixels, taps, channels = seen.shape[2:]
    seen = seen[rows, columns].reshape(len(rows), pixels, taps * channels)
    if (job.from_partial or job.to_partial) and partial is None:
        raise ValueError("a job of a chain of chunks needs the partial sums")
    if job.from_partial:
        initial = partial.take(job.shape, rows, columns)
    accumulators = rules.exact_sum(seen, weights[weight_rows(job, channels, len(weights))], initial)
    if job.to_partial:
        partial.leave(job.shape, rows, columns, accumulators)
    values = rules.requantise_rounded(accumulators, job.shift)
    clipped = rules.saturated_rounded(accumulators, job.shift, bool(job.relu))
    in_quarters = np.arange(LANES) < LANES // 4 * (job.quarters or 4)
    stored = (columns < job.unit_columns - 1)[:, None, None] | in_quarters
    if job.clip:
        clipped = np.zeros_like(clipped)  # what is above the limit shall be clipped
    if job.relu:
        values, _ = rules.relu(values)
    if job.window:
        beyond = outside(job)[rows, columns]
        clipped = clipped & ~beyond[..., None]
        best, index = rules.winners(values, beyond)
    else:
        best, index = rules.winners(values) if job.pool else (values[:, 0], None)
    tags = None
    if job.store_tags and job.window:
        row, column = np.divmod(index, job.side)
        tags = join_winners(WINDOW_SIDE * row + column)
    elif job.store_tags:
        _, mask = rules.clip(best, arithmetic.VALUE_MAX) if job.clip else rules.relu(best)
        tags = join_pieces(mask, index)[:, 0]
    place = columns * job.blocks + block
    return Output(
        parity=rows % 2,
        words=rows // 2 * job.buffer_row_words + place * WORD_VALUES,
        pieces=rows // 2 * job.buffer_row_pieces + place * job.pieces,
        values=best,
        tags=tags,
        entries=np.count_nonzero(seen, axis=2),
        saturated=0 if job.to_partial else int(np.count_nonzero(clipped & stored)),
        behind=0 if job.to_partial else int(np.count_nonzero(clipped & ~stored)),
        largest=int(np.abs(accumulators).max(initial=0)),
        stored=not job.to_partial,
    )


def output(
    job: ConvJob,
    tile: np.ndarray,
    weights: np.ndarray,
    initial: np.ndarray,
    groups: int,
    group: int,
    *,
    partial: PartialSums | None = None,
    rules=arithmetic,
) -> Output:
    """Everything that a group makes of a job.

    ``tile`` (buffer_rows, buffer_columns, channels) int16 values, ``weights`` (depth, LANES) of this group, ``initial`` (LANES,)
    accumulator start values (rounding constant included). ``partial``: the group's partial sums, which a job with ``from_partial`` takes
    from and one with ``to_partial`` leaves in; without either bit they are not used. ``rules``: the arithmetic, see
    ``gradcore.models.arithmetic``. Raises PartialError where sums and units do not fit.
    """
    return compute(job, windows(job, tile), weights, initial, groups, group, partial=partial, rules=rules)
