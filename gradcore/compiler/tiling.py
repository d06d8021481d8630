# SPDX-License-Identifier: Apache-2.0
"""How the sums of a map are cut into jobs: terms into chunks, output channels into sets, places into tiles.

A *chunk* is a part of a term whose weights fit the weight buffer: some of its taps, or some of the channels that it reads, or both. A
*set* are at most GROUPS blocks of output channels. A *tile* are places of the output. Each chunk of each tile of each set is one TILE job;
the sums of a tile go from chunk to chunk as partial sums, and the last chunk's job stores the tile.

Where blocks of output channels read channels of their own, as those of depthwise convolutions do, they are sums by themselves, each of
which loads what it reads.

Where the weights of all chunks fit the weight buffer they are loaded once for a set, and each tile is finished before the next. Where
they do not, chunks are loaded in turn, and used for a group of tiles as large as the FIFOs of partial sums allow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.layout import BLOCK, blocks_of, padded, round_up
from gradcore.compiler.terms import STRIDES, WINDOW_PLACES, MapSum, Term
from gradcore.errors import GradCoreError

MAX_SIDE = 255  # rows and columns fields have 8 bits
MAX_CHANNELS = 2044  # slot has 11 bits, channels come in words of four
MAX_KERNEL = 8
ORIGINS = range(-8, 8)
TILE_OVERHEAD = 50  # cycles from tile to tile that nothing hides: estimate for the choice of tiles only
ROW_LOAD = 2  # cycles to load a row of weights of a block
DRAIN = 16  # cycles between two finished pixels of a stream
REQUEST = 6  # cycles of a port for each request for a pixel, or for its tags
WIDTHS = (512, 256, 128, 64)  # channels of slices that are tried


@dataclass(frozen=True)
class Span:
    """What one tile covers along one axis, in pixels.

    Attributes:
        start, size: output pixels (before pooling).
        buffer_start, buffer_size: pixels of the (unpooled) input map that the tile buffer holds: inside the map only.
        source_start, source_size: pixels to read; with unpooling those are pooled ones.
        crop: leading unpooled rows or columns to drop.
        origin: buffer coordinate of the first tap of the first output pixel; negative when that is outside the map.
    """

    start: int
    size: int
    buffer_start: int
    buffer_size: int
    source_start: int
    source_size: int
    crop: int
    origin: int


@dataclass(frozen=True)
class TileUse:
    """One TILE job of a plan.

    Attributes:
        load: index, in the order of use, of the load of weights that it needs. chunk: index of its chunk.
        row, column: index of the tile along each axis.
        takes_partial, leaves_partial: it goes on with the sums of the job before; its sums are taken by another one.
    """

    load: int
    chunk: int
    row: int
    column: int
    takes_partial: bool
    leaves_partial: bool


@dataclass(frozen=True)
class Load:
    """Weights that are loaded together: of ``blocks``, the ``chunks`` with these indices."""

    blocks: range
    chunks: range


@dataclass
class TilePlan:
    """How a map's sums are made.

    Attributes:
        made: the sums.
        groups, depth: GROUPS and rows of the weight buffer of the hardware.
        pack: neighbouring output pixels that share a unit; 1 without pixel packing.
        chunks: the terms, cut.
        rows, columns: (start, size) of the tiles along each axis.
        together: tiles that the partial sums of a load are kept for; 0: the weights of all chunks are there at once.
        cycles: estimate for all jobs.
    """

    made: MapSum
    groups: int
    depth: int
    pack: int
    chunks: tuple[Term, ...]
    rows: list[tuple[int, int]] = field(default_factory=list)
    columns: list[tuple[int, int]] = field(default_factory=list)
    together: int = 0
    cycles: float = 0.0
    _distinct: dict[range, dict[int, int]] = field(default_factory=dict, init=False, repr=False)
    _spans: dict[tuple, Span | None] = field(default_factory=dict, init=False, repr=False)

    @property
    def blocks(self) -> int:
        return 1 if self.pack > 1 else blocks_of(self.made.out_channels)

    @property
    def sets(self) -> list[range]:
        """The blocks of each set."""
        return [range(start, min(start + self.groups, self.blocks)) for start in range(0, self.blocks, self.groups)]

    @property
    def shrink(self) -> int:
        return 2 if self.made.pool else 1

    @property
    def side(self) -> int:
        """Rows, and columns, of the sums of a window; 1 without windows."""
        return self.made.window or 1

    def chunk_rows(self, chunk: Term) -> int:
        """Rows of the weight buffer that a block of a chunk takes; with packing those of all pixels of a pack."""
        if chunk.winners is not None:
            return BLOCK * (chunk.spacing * (len(chunk.winners) - 1) + WINDOW_PLACES)
        height, width = chunk.kernel
        taps = 1 if self.shares_taps(chunk) else height * (width + self.pack - 1)
        return taps * chunk.in_channels

    def shares_taps(self, chunk: Term) -> bool:
        """Whether the weights of a chunk are there once for all taps."""
        return self.pack == 1 and chunk.uniform

    def distinct(self, chunks: range) -> dict[int, int]:
        """Of each of some chunks the first that has the same weights: those of an average pool all have, and are loaded once."""
        if chunks not in self._distinct:
            first: dict[int, int] = {}
            self._distinct[chunks] = {number: first.setdefault(self._alike[number], number) for number in chunks}
        return self._distinct[chunks]

    @cached_property
    def _alike(self) -> list[int]:
        """Of each chunk the first of all that has the same weights."""
        first: dict[tuple, int] = {}
        keys = ((one.weights.shape, one.winners, one.uniform, one.taps.tobytes()) for one in self.chunks)
        return [first.setdefault(key, number) for number, key in enumerate(keys)]

    def rows_of(self, chunks: range) -> int:
        """Rows of the weight buffer that a block of some chunks takes."""
        return sum(self.chunk_rows(self.chunks[number]) for number in set(self.distinct(chunks).values()))

    def span(self, chunk: Term, axis: int, start: int, size: int) -> Span:
        """What a tile needs of a chunk's map along an axis (0 rows, 1 columns)."""
        low = start * chunk.stride[axis] + chunk.first[axis]
        first, end = max(0, low), min(chunk.size[axis], low + (size - 1) * chunk.stride[axis] + chunk.kernel[axis] + self.side - 1)
        origin = low - first
        if first >= end:  # the tile sees nothing of the map: load one pixel that no tap reaches
            first = 0 if end <= 0 else chunk.size[axis] - 1
            end, origin = first + 1, min(max(1, low - first), ORIGINS[-1])
        source_start, source_end, crop = first, end, 0
        if chunk.unpool:
            source_start, source_end, crop = first // 2, (end + 1) // 2, first % 2
        return Span(start, size, first, end - first, source_start, source_end - source_start, crop, origin)

    def widest(self, chunk: Term, axis: int, size: int) -> Span | None:
        """Of tiles of ``size`` along an axis what the one needs that needs most of a chunk's map; None: no job can begin where one does."""
        key = axis, size, chunk.size[axis], chunk.first[axis], chunk.stride[axis], chunk.kernel[axis], chunk.unpool
        if key not in self._spans:
            spans = [self.span(chunk, axis, *one) for one in _cut(self.made.size[axis], size)]
            fits = all(one.origin in ORIGINS for one in spans)
            self._spans[key] = max(spans, key=lambda span: span.buffer_size) if fits else None
        return self._spans[key]

    @cached_property
    def kinds(self) -> tuple[list[Term], list[int]]:
        """Chunks that differ in more than their weights and where they lie, and of each chunk which of them it is like."""
        found: dict[tuple, int] = {}
        which = [found.setdefault(_shape(chunk), len(found)) for chunk in self.chunks]
        return [self.chunks[which.index(number)] for number in range(len(found))], which

    def loads(self) -> list[Load]:
        """The weights in the order in which they are loaded."""
        return [load for load, _ in self._order()]

    def jobs(self) -> Iterator[TileUse]:
        """The TILE jobs in order."""
        last = len(self.chunks) - 1
        for number, (load, tiles) in enumerate(self._order()):
            if self.together:
                uses = [(tile, chunk) for chunk in load.chunks for tile in tiles]
            else:
                uses = list(itertools.product(tiles, load.chunks))
            for (row, column), chunk in uses:
                yield TileUse(number, chunk, row, column, chunk > 0, chunk < last)

    def _order(self) -> Iterator[tuple[Load, list[tuple[int, int]]]]:
        """Each load with the tiles that use it."""
        tiles = list(itertools.product(range(len(self.rows)), range(len(self.columns))))
        if not self.together:
            for blocks in self.sets:
                yield Load(blocks, range(len(self.chunks))), tiles
            return
        loads = self._chunk_loads()
        for blocks in self.sets:
            for start in range(0, len(tiles), self.together):
                for chunks in loads:
                    yield Load(blocks, chunks), tiles[start : start + self.together]

    def _chunk_loads(self) -> list[range]:
        """Chunks that are loaded together: as many as half the weight buffer holds, so that the others are loaded meanwhile."""
        loads: list[range] = []
        for number in range(len(self.chunks)):
            if loads and self.rows_of(longer := range(loads[-1].start, number + 1)) <= self.depth // 2:
                loads[-1] = longer
            else:
                loads.append(range(number, number + 1))
        return loads


class Planner:
    """Plans for one hardware; sums of the same shape get the same tiles."""

    def __init__(self, hardware: HardwareConfig) -> None:
        self.hardware = hardware
        self._known: dict[tuple, tuple[int, tuple[float, tuple[int, int]]]] = {}

    def plans(self, made: MapSum) -> list[TilePlan]:
        """The sums of a map as one plan; or as several, of some blocks each, where these read channels of their own.

        Raises GradCoreError as ``plan``.
        """
        count = blocks_of(made.out_channels)
        needed = [[_needed(term, block) for block in range(count)] for term in made.terms]
        best: list[TilePlan] = []
        read = 0
        sizes = {count, *(size for size in (1, 2, self.hardware.groups) if size < count)}
        if made.window and all(term.stride[axis] in STRIDES for term in made.terms for axis in (0, 1)):
            sizes = {1}
        for size in sorted(sizes, reverse=True):
            parts = [_narrowed(made, range(start, min(start + size, count)), needed) for start in range(0, count, size)]
            reads = sum(term.in_channels * blocks_of(part.out_channels) for part in parts for term in part.terms)
            if best and reads == read:
                continue
            read = reads
            plans = [self.plan(part, len(parts)) for part in parts]
            if not best or sum(one.cycles for one in plans) < sum(one.cycles for one in best):
                best = plans
        return best

    def plan(self, made: MapSum, number: int = 1) -> TilePlan:
        """Choose packing, chunks and tiles of one of ``number`` sums that follow each other.

        Raises GradCoreError naming the limit when there is no way to run it.
        """
        hardware = self.hardware
        variants = _variants(made, hardware)
        key = (
            number,
            made.size,
            made.out_channels,
            made.pool,
            made.window,
            made.tags is None,
            made.whole,
            *(_shape(term) for term in made.terms),
            *((one.pack, len(one.chunks), one.rows_of(range(len(one.chunks)))) for one in variants),  # what the weights decide
        )
        if key not in self._known:
            best = None
            for place, chosen in enumerate(variants):
                for size in _candidates(chosen):
                    cost = _cost(chosen, hardware, *size, number)
                    if cost is not None and (best is None or cost < best[1][0]):
                        best = place, (cost, size)
            if best is None:
                most = max(term.in_channels for term in made.terms)
                raise GradCoreError(
                    f"layer {made.name}: not even the smallest tile of {most} channels fits the tile buffer "
                    f"({hardware.tile_depth} values): use fewer channels or a smaller kernel"
                )
            self._known[key] = best
        place, (cycles, size) = self._known[key]
        chosen = variants[place]
        chosen.cycles = cycles
        chosen.rows, chosen.columns = (_cut(made.size[axis], size[axis]) for axis in (0, 1))
        if chosen.together:
            chosen.together = _together(chosen, hardware, *size)
        return chosen


def _needed(term: Term, block: int) -> range:
    """The channels of a term that a block of output channels reads, from the first to the last whose weights are not 0."""
    used = np.flatnonzero(term.taps[BLOCK * block : BLOCK * (block + 1)].any(axis=(0, 2, 3)))
    step = term.granularity
    if not len(used):
        return range(min(step, term.in_channels))
    return range(int(used[0]) // step * step, min((int(used[-1]) // step + 1) * step, term.in_channels))


def _narrowed(made: MapSum, blocks: range, needed: list[list[range]]) -> MapSum:
    """The sums of some blocks, over the channels that they read."""
    part = made.part(blocks)
    terms = []
    for term, ranges in zip(part.terms, needed, strict=True):
        some = ranges[blocks.start : blocks.stop]
        if not term.taps.any() and any(other.taps.any() for other in part.terms):
            continue
        terms.append(term.slice(range(min(one.start for one in some), max(one.stop for one in some))))
    return replace(part, terms=tuple(terms))


def _shape(term: Term) -> tuple:
    """All of a term that its plan depends on, but for its weights and where it lies."""
    known = term.size, term.first, term.stride, term.kernel, term.in_channels, term.density
    return *known, term.unpool, term.winners, term.tags is None, term.apart


def _cut(total: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(size, total - start)) for start in range(0, total, size)]


def _variants(made: MapSum, hardware: HardwareConfig) -> list[TilePlan]:
    """Plans without tiles, to choose from: in one piece, or cut in chunks."""
    groups, depth = hardware.groups, hardware.weight_depth
    fits = all(max(term.kernel) <= MAX_KERNEL and term.in_channels <= MAX_CHANNELS for term in made.terms)
    channels = padded(made.out_channels)
    if fits and not made.tags and not made.pool and not made.window and made.whole and channels in (4, 8):
        if all(term.stride == (1, 1) and term.winners is None for term in made.terms):
            packed = TilePlan(made, groups, depth, BLOCK // channels, made.terms)
            wide = max(term.kernel[1] for term in made.terms) + packed.pack - 1
            if packed.rows_of(range(len(made.terms))) <= depth and wide <= MAX_KERNEL:
                return [packed]
    plain = TilePlan(made, groups, depth, 1, made.terms)
    fits = fits and plain.rows_of(range(len(made.terms))) <= depth
    variants = [plain] if fits else []
    if made.window:
        return variants
    most = max(term.in_channels for term in made.terms)
    widths = [width for width in WIDTHS if width < most and width <= depth // 2]
    for width in widths if fits else [depth // 2, *widths, 0]:
        parts = tuple(part for term in made.terms for part in _parts(term, depth, width))
        cut = TilePlan(made, groups, depth, 1, parts)
        cut.together = int(cut.rows_of(range(len(parts))) > depth)
        variants.append(cut)
    return variants


def _parts(term: Term, depth: int, width: int) -> Iterator[Term]:
    """A term in slices of at most ``width`` channels, or 0: of as many as all taps allow, and these in parts of whole rows of taps, or of
    some taps of a row. Each takes half the weight buffer of ``depth`` rows at most."""
    height, across = term.kernel
    if not width and not term.uniform:
        width = max(depth // 2 // (min(height, MAX_KERNEL) * min(across, MAX_KERNEL)), term.granularity)
    width = max((width or depth // 2) // term.granularity * term.granularity, term.granularity)
    width = round_up(-(-term.in_channels // -(-term.in_channels // width)), term.granularity)  # all about as wide
    for start in range(0, term.in_channels, width):
        yield from _taps(term.slice(range(start, min(start + width, term.in_channels))), depth // 2)


def _taps(term: Term, most: int) -> Iterator[Term]:
    """A term in rectangles of taps, as wide as they can be, that take at most ``most`` rows of the weight buffer."""
    height, width = term.kernel
    taps = height * width if term.uniform or term.winners is not None else most // term.in_channels
    across = math.ceil(width / math.ceil(width / min(width, taps, MAX_KERNEL)))
    down = min(height, max(1, taps // across), MAX_KERNEL)
    down = math.ceil(height / math.ceil(height / down))
    for row in range(0, height, down):
        for column in range(0, width, across):
            yield term.part(slice(row, min(row + down, height)), slice(column, min(column + across, width)))


def _candidates(chosen: TilePlan) -> list[tuple[int, int]]:
    height, width = chosen.made.size
    step = chosen.shrink
    heights = {value for value in range(step, min(height, 32) + 1, step) if value <= 2 or value % 2 == 0} | {height}
    preferred = 8 if chosen.made.pool else 4
    widths = {value for value in range(preferred, min(width, 64) + 1, preferred)} | {width}
    tight = {value for value in (2, 4) if value <= width and value % step == 0} | ({1} if step == 1 else set())
    single = [
        not all(chunk.stride[axis] in STRIDES for chunk in chosen.chunks) for axis in (0, 1)
    ]  # what has no such step is made one by one
    sizes = [
        {step} if alone else {one for one in some if one <= MAX_SIDE} for alone, some in zip(single, (heights, widths | tight), strict=True)
    ]
    return list(itertools.product(sorted(sizes[0]), sorted(sizes[1])))


def _units(chosen: TilePlan, height: int, width: int) -> tuple[int, int]:
    return math.ceil(height / chosen.shrink), math.ceil(width / (chosen.shrink * chosen.pack))


def _waiting(chosen: TilePlan, hardware: HardwareConfig, height: int, width: int) -> int:
    """Pixels of a tile whose partial sums wait in the busiest stream's FIFO."""
    rows, columns = _units(chosen, height, width)
    copies = max(1, hardware.groups // max(len(part) for part in chosen.sets))
    places = np.add.outer(np.arange(rows), np.arange(columns)) % copies
    most = int(np.bincount(places.reshape(-1), minlength=copies).max())
    return -(-most // 2) * chosen.shrink**2


def _together(chosen: TilePlan, hardware: HardwareConfig, height: int, width: int) -> int:
    """Tiles whose partial sums the FIFOs hold at once."""
    return max(1, hardware.partial_pixels // _waiting(chosen, hardware, height, width))


def word_cycles(density: float, unpool: bool) -> float:
    """Cycles that a word of four values takes in the tile loader in the mean, for a share ``density`` of values that are not zero.

    One for each two values of a list, or for one, and one at least. Without unpooling all go to one list; with it each of four gets its
    values independently, with equal probability. (The mean of ceil(n / 2), n binomial, is half of that of n and of n's being odd.)
    """
    odd = 1 - (1 - density / 2) ** 4 if unpool else (1 - (1 - 2 * density) ** 4) / 4
    return (1 - density) ** 4 + 2 * density + odd


def _cost(chosen: TilePlan, hardware: HardwareConfig, height: int, width: int, number: int) -> float | None:
    """Estimated cycles of the sums, one of ``number`` that follow each other, with such tiles; None where they do not fit the buffers."""
    made = chosen.made
    blocks = max(len(part) for part in chosen.sets)
    unit_rows, unit_columns = _units(chosen, height, width)
    row_words, row_pieces = unit_columns * blocks * 4, unit_columns * blocks * made.pieces
    if row_words > 511 or math.ceil(unit_rows / 2) * row_words > hardware.output_words:
        return None
    if made.tags and (row_pieces > 511 or math.ceil(unit_rows / 2) * row_pieces > hardware.output_pieces):
        return None
    if len(chosen.chunks) > 1 and _waiting(chosen, hardware, height, width) > hardware.partial_pixels:
        return None
    copies = max(1, hardware.groups // blocks)
    kinds, which = chosen.kinds
    loads, computes = [], []
    for chunk in kinds:
        rows, columns = chosen.widest(chunk, 0, height), chosen.widest(chunk, 1, width)
        if rows is None or columns is None:
            return None
        pixels = rows.buffer_size * columns.buffer_size
        if pixels > hardware.tile_pixels or pixels * chunk.in_channels > hardware.tile_depth:
            return None
        if max(rows.buffer_size, columns.buffer_size) > MAX_SIDE or columns.buffer_size * chunk.in_channels > 8191:
            return None
        words = padded(chunk.in_channels) / 4
        source = math.ceil(rows.source_size / 2) * columns.source_size
        density = min(1.0, chunk.density * (4 if chunk.unpool else 1))  # among the values that are read
        least = 8 if chunk.unpool else 0
        if chunk.apart:
            least = max(least, REQUEST * (1 if chunk.tags is None else 2))
        loads.append(source * max(words * word_cycles(density, chunk.unpool), least))
        taps = chunk.kernel[0] * (chunk.kernel[1] + chosen.pack - 1)
        per_unit = (chosen.shrink * chosen.side) ** 2 * max(DRAIN, taps * chunk.in_channels * chunk.density)
        computes.append(math.ceil(unit_rows * unit_columns / (2 * copies)) * per_unit)
    loads, computes = [loads[kind] for kind in which], [computes[kind] for kind in which]
    # One tile is loaded while the one before it is computed.
    busy = sum(max(compute, load) for compute, load in zip(computes, [*loads[1:], loads[0]], strict=True))
    store = math.ceil(unit_rows / 2) * (row_words + (row_pieces if made.tags else 0))
    weights = 0.0
    if chosen.together:
        weights = chosen.rows_of(range(len(chosen.chunks))) * blocks * ROW_LOAD / _together(chosen, hardware, height, width)
    count = math.ceil(made.size[0] / height) * math.ceil(made.size[1] / width) * len(chosen.sets)
    filled = made.size[0] * made.size[1] / (math.ceil(made.size[0] / height) * height * math.ceil(made.size[1] / width) * width)
    return count * (max(busy, store, weights) * filled + TILE_OVERHEAD * len(chosen.chunks)) + (sum(loads) + store) / number
