# SPDX-License-Identifier: Apache-2.0
"""Sums of terms, which the conv engine computes, and products, which the vector engine computes.

The conv engine makes a map, or some places of it, from *terms*: a kernel that walks over a map in memory, its steps and the place where
it begins. All terms of a map add up in the accumulators and are rounded once. What a network's terms are says ``sums``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gradcore.models.tags import BLOCK, POOLED_PIECES, WINDOW_PIECES, WINDOW_SIDE
from gradcore.runtime.regions import padded

STRIDES = (1, 2, 4)  # of the conv engine
WINDOW_PLACES = WINDOW_SIDE**2


@dataclass(frozen=True, eq=False)
class Term:
    """A kernel over places of a map in memory.

    The place (r, c) that the kernel sees, before unpooling, is the map's pixel ``offset`` + (r, c) * ``steps``.

    Attributes:
        reads: the map's region. tags: the region of the tags that are applied when it is loaded.
        relu: the method's rule is applied. unpool: the map is pooled, and values go back to the winners' places.
        size: (rows, columns) that the kernel sees, unpooled.
        first: where tap (0, 0) of the sum at (0, 0) lies; may lie outside of them.
        stride: (rows, columns) from one sum's taps to the next one's.
        weights: int (O, I, KH, KW), for I channels of the map from ``channel`` on, a multiple of 4, with tags of 16.
        density: share of values that are expected not to be zero.
        winners: of each tap the place, 3 * row + column, in the windows of a max-pool whose winners it takes the gradients of, which are
            those of at most 16 channels; otherwise None.
        offset, steps: (rows, columns); steps of 0: the same pixel everywhere. sliced: the map has other channels, too.
    """

    reads: str
    size: tuple[int, int]
    first: tuple[int, int]
    stride: tuple[int, int]
    weights: np.ndarray
    density: float
    tags: str | None = None
    relu: bool = False
    unpool: bool = False
    winners: tuple[int, ...] | None = None
    channel: int = 0
    offset: tuple[int, int] = (0, 0)
    steps: tuple[int, int] = (1, 1)
    sliced: bool = False

    @property
    def in_channels(self) -> int:
        return self.weights.shape[1]

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weights.shape[2:]

    def part(self, rows: slice, columns: slice) -> Term:
        """The term with some of its taps alone."""
        first = (self.first[0] + rows.start, self.first[1] + columns.start)
        return replace(self, first=first, weights=self.weights[:, :, rows, columns])

    def slice(self, channels: range) -> Term:
        """The term with some of its channels alone."""
        if channels == range(self.in_channels):
            return self
        return replace(self, channel=self.channel + channels.start, weights=self.weights[:, channels.start : channels.stop], sliced=True)

    def of(self, rows: range, columns: range) -> Term:
        """The term over some of its places alone, as if the others were padding; without unpooling."""
        parts = (rows, columns)
        offset = tuple(start + step * part.start for start, step, part in zip(self.offset, self.steps, parts, strict=True))
        first = tuple(low - part.start for low, part in zip(self.first, parts, strict=True))
        return replace(self, size=(len(rows), len(columns)), first=first, offset=offset)

    def moved(self, rows: int, columns: int) -> Term:
        """The term whose first sum is so many rows and columns of sums further."""
        return replace(self, first=(self.first[0] + rows * self.stride[0], self.first[1] + columns * self.stride[1]))

    def sees(self, axis: int, place: int) -> bool:
        """Whether any tap of the sums in this row (axis 0) or column (1) lies in its places."""
        low = self.first[axis] + place * self.stride[axis]
        return low < self.size[axis] and low + self.kernel[axis] > 0

    @cached_property
    def uniform(self) -> bool:
        """Whether all taps, and there are several, have the same weights."""
        if self.winners is not None or math.prod(self.kernel) == 1:
            return False
        return same_taps(self.weights) or bool((self.weights == self.weights[:, :, :1, :1]).all())

    @cached_property
    def taps(self) -> np.ndarray:
        """The weights, int (O, I, KH, KW), or those of one tap where all have the same."""
        return self.weights[:, :, :1, :1] if self.uniform else self.weights

    @property
    def apart(self) -> bool:
        """Whether the pixels of a row, or their tags, do not lie one behind the other in memory."""
        return self.sliced or self.steps[1] != 1 or (self.winners is not None and padded(self.in_channels) < BLOCK)

    @cached_property
    def spacing(self) -> int:
        """Of a term with ``winners``: blocks of 16 rows of weights from tap to tap, so few that taps share rows.

        An entry of index i finds its weights in block i + tap * spacing. So the block of a tap's own index must be no other one's of
        any other tap.
        """
        for spacing in range(1, WINDOW_PLACES):
            own = {winner + tap * spacing for tap, winner in enumerate(self.winners)}
            found = [(place, tap) for tap in range(len(self.winners)) for place in range(WINDOW_PLACES) if place + tap * spacing in own]
            if all(place == self.winners[tap] for place, tap in found):
                return spacing
        return WINDOW_PLACES

    @property
    def granularity(self) -> int:
        """A slice of channels begins at a multiple of so many."""
        return 4 if self.tags is None else BLOCK

    def pixels(self, axis: int, start: int, size: int) -> range:
        """The rows (axis 0) or columns (1) of the map in memory, some between them left out, that so many places are."""
        first, step = self.offset[axis], self.steps[axis]
        return range(first + start * step, first + (start + size - 1) * step + 1)

    def thinned(self) -> Iterator[Term]:
        """The same sums as terms of stride 1, over the pixels of every so-manieth row and column each.

        Tap i = i0 + stride * j of the sum at r lies at stride * (r + j) + i0 + first.
        """
        parts: list[list[tuple[slice, int, int, int]]] = []
        for axis, taps in enumerate(self.kernel):
            own, low, size = self.stride[axis], self.first[axis], self.size[axis]
            found = [(slice(tap, None, own), *divmod(low + tap, own)) for tap in range(min(own, taps))]
            parts.append([(which, first, rest, -(-(size - rest) // own)) for which, first, rest in found if rest < size])
        for (rows, row, top, height), (columns, column, left, width) in itertools.product(*parts):
            offset = (self.offset[0] + top * self.steps[0], self.offset[1] + left * self.steps[1])
            steps = (self.steps[0] * self.stride[0], self.steps[1] * self.stride[1])
            weights = self.weights[:, :, rows, columns]
            yield replace(self, size=(height, width), first=(row, column), stride=(1, 1), weights=weights, offset=offset, steps=steps)


@dataclass(frozen=True, eq=False)
class MapSum:
    """Sums of terms that become a map, or every so-manieth place of one.

    Attributes:
        name: for messages.
        size: (rows, columns) of sums, before pooling.
        terms: at least one.
        bias: int64 (O,) or None. shift: of the requantisation. relu, clip, pool: what follows; a clip is a ReLU with a limit of 32767.
        window: if not 0, each result is the largest in a window of so many rows and columns of sums, which are ``stride`` apart in the
            terms' places; ``size`` counts windows.
        writes: the map's region. channel: the first that is written, a multiple of 4. tags: the region for its tags, or None.
        first, step: (row, column) of the first place that is written, and from one to the next.
        whole: all channels of the map are written. block: the block of tags that the first channel's are.
        pixels: neighbours in a row of the map that are made as one place.
    """

    name: str
    size: tuple[int, int]
    terms: tuple[Term, ...]
    bias: np.ndarray | None
    shift: int
    writes: str
    relu: bool = False
    clip: bool = False
    pool: bool = False
    window: int = 0
    tags: str | None = None
    channel: int = 0
    first: tuple[int, int] = (0, 0)
    step: tuple[int, int] = (1, 1)
    whole: bool = True
    block: int = 0
    pixels: int = 1

    @property
    def out_channels(self) -> int:
        return self.terms[0].weights.shape[0]

    @property
    def pieces(self) -> int:
        """Tag pieces of a block that are stored for a place."""
        return WINDOW_PIECES if self.window else POOLED_PIECES if self.pool else 1

    def seen(self) -> Iterator[MapSum]:
        """The sums in parts, each of the places that see the same terms, and of these alone."""
        runs = [runs_of([tuple(term.sees(axis, place) for term in self.terms) for place in range(self.size[axis])]) for axis in (0, 1)]
        for rows, columns in itertools.product(*runs):
            terms = [term for term in self.terms if term.sees(0, rows.start) and term.sees(1, columns.start)] or self.terms[:1]
            first = (self.first[0] + rows.start * self.step[0], self.first[1] + columns.start * self.step[1])
            moved = tuple(term.moved(rows.start, columns.start) for term in terms)
            yield replace(self, size=(len(rows), len(columns)), terms=moved, first=first)

    def part(self, blocks: range) -> MapSum:
        """The sums of some blocks of 16 channels."""
        channels = slice(BLOCK * blocks.start, BLOCK * blocks.stop)
        terms = tuple(replace(term, weights=term.weights[channels]) for term in self.terms)
        bias = None if self.bias is None else self.bias[channels]
        whole = self.whole and len(terms[0].weights) == self.out_channels
        return replace(self, terms=terms, bias=bias, channel=self.channel + channels.start, whole=whole, block=self.block + blocks.start)


@dataclass(frozen=True, eq=False)
class Product:
    """A vector times a matrix.

    Attributes:
        matrix: int64 (inputs, outputs) in memory order, padding included.
        bias: int64 (outputs,) or None. shift, relu, clip: what follows.
        reads, writes: regions. tags: of what is read, applied on loading; load_relu: with the method's rule.
        store_tags: the region for the tags of what is written, or None.
    """

    name: str
    matrix: np.ndarray
    bias: np.ndarray | None
    shift: int
    reads: str
    writes: str
    relu: bool = False
    clip: bool = False
    tags: str | None = None
    load_relu: bool = False
    store_tags: str | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """One layer of the program.

    Attributes:
        name, kind, direction: as in ``LayerInfo``. macs: multiplications, padding taps included.
        sums: of the conv engine, in order; or
        product: of the vector engine; or neither: the seed.
    """

    name: str
    kind: str
    direction: str
    macs: int = 0
    sums: tuple[MapSum, ...] = ()
    product: Product | None = None


def same_taps(weights: np.ndarray) -> bool:
    """Whether the taps of weights (O, I, rows, columns) are one and the same in memory: a mean's may be many."""
    return weights.strides[2:] == (0, 0)


def runs_of(values: Sequence[object]) -> list[range]:
    """Where neighbours are equal: the places of each run."""
    starts = [place for place in range(len(values)) if not place or values[place] != values[place - 1]]
    return [range(*ends) for ends in itertools.pairwise([*starts, len(values)])]
