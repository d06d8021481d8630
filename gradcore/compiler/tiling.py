# SPDX-License-Identifier: Apache-2.0
"""Convolution passes and the tiles that they are cut in.

A pass is one convolution of the forward or backward direction. It is cut in sets of at most GROUPS blocks of output
channels, and in tiles of output pixels; each tile of each set is one TILE job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.layout import BLOCK, blocks_of, padded
from gradcore.errors import GradCoreError

MAX_SIDE = 255  # rows and columns fields have 8 bits
MAX_CHANNELS = 2044  # slot has 11 bits, channels come in words of four
TILE_OVERHEAD = 50  # cycles from tile to tile that nothing hides: estimate for the choice of tiles only
DRAIN = 16  # cycles between two finished pixels of a stream


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


@dataclass
class ConvPass:
    """One convolution pass.

    Attributes:
        name: for messages: the layer's name and direction.
        height, width: of the input map, unpooled: what the taps see. Output pixels are numbered like them.
        covered: (rows, columns) of it that the source covers: less than all where a floor-mode pool dropped the last
            ones.
        in_channels, out_channels, kernel: of this pass.
        unpool: the source is pooled. pool: the output is pooled. relu: of the output. store_tags: tags are stored.
        sparsity: share of non-zero values expected in the source map, for the choice of tiles only.
        groups: GROUPS of the hardware.
    """

    name: str
    height: int
    width: int
    covered: tuple[int, int]
    in_channels: int
    out_channels: int
    kernel: int
    unpool: bool = False
    pool: bool = False
    relu: bool = False
    store_tags: bool = False
    sparsity: float = 0.5
    groups: int = 4
    stride: int = field(default=1, init=False)  # output pixels of a pack; 1 without pixel packing
    rows: list[Span] = field(default_factory=list, init=False)
    columns: list[Span] = field(default_factory=list, init=False)

    @property
    def pad(self) -> int:
        return self.kernel // 2

    @property
    def blocks(self) -> int:
        return 1 if self.stride > 1 else blocks_of(self.out_channels)

    @property
    def sets(self) -> list[range]:
        """The blocks of each set."""
        return [range(start, min(start + self.groups, self.blocks)) for start in range(0, self.blocks, self.groups)]

    @property
    def tiles(self) -> int:
        """TILE jobs of the pass."""
        return len(self.rows) * len(self.columns) * len(self.sets)

    @property
    def kernel_w(self) -> int:
        """Columns of taps that a stream walks: with packing those of all pixels of a pack."""
        return self.kernel + self.stride - 1

    @property
    def weight_rows(self) -> int:
        """Rows of the weight buffer that a block takes."""
        return self.kernel * self.kernel_w * self.in_channels

    @property
    def output_size(self) -> tuple[int, int]:
        """Output pixels computed (before pooling): rows and columns."""
        return (self.height // 2 * 2, self.width // 2 * 2) if self.pool else (self.height, self.width)

    @property
    def pieces(self) -> int:
        """Tag pieces of a block that are stored for an output pixel."""
        return 3 if self.pool else 1


def plan(conv: ConvPass, hardware: HardwareConfig) -> None:
    """Choose packing and tiles of a pass. Raises GradCoreError naming the limit when there is no way to run it."""
    if conv.in_channels > MAX_CHANNELS:
        raise GradCoreError(
            f"layer {conv.name}: {conv.in_channels} input channels, the tile loader takes at most {MAX_CHANNELS}: use fewer channels"
        )
    conv.stride = 1
    if conv.weight_rows > hardware.weight_depth:
        raise GradCoreError(
            f"layer {conv.name}: a block of weights takes {conv.kernel} x {conv.kernel} x {conv.in_channels} = "
            f"{conv.weight_rows} rows, the weight buffer has {hardware.weight_depth}: use fewer channels or a smaller kernel"
        )
    if not (conv.store_tags or conv.pool) and padded(conv.out_channels) in (4, 8):
        conv.stride = BLOCK // padded(conv.out_channels)
        if conv.weight_rows > hardware.weight_depth or conv.kernel_w > 15:
            conv.stride = 1
    best = None
    for size in _candidates(conv):
        cost = _cost(conv, hardware, *size)
        if cost is not None and (best is None or cost < best[0]):
            best = (cost, size)
    if best is None:
        raise GradCoreError(
            f"layer {conv.name}: not even the smallest tile of {conv.in_channels} channels fits the tile buffer "
            f"({hardware.tile_depth} values): use fewer channels or a smaller kernel"
        )
    height, width = best[1]
    conv.rows, conv.columns = spans(conv, height, 0), spans(conv, width, 1)


def spans(conv: ConvPass, size: int, axis: int) -> list[Span]:
    """Cut an axis (0 rows, 1 columns) in tiles of ``size`` output pixels."""
    total, covered = conv.output_size[axis], conv.covered[axis]
    return [_span(conv, start, min(size, total - start), covered) for start in range(0, total, size)]


def _span(conv: ConvPass, start: int, size: int, covered: int) -> Span:
    first, end = max(0, start - conv.pad), min(covered, start + size + conv.pad)
    if first >= end:  # the tile sees nothing of the map: load one pixel that no tap reaches
        first, end = covered - 1, covered
    source_start, source_end, crop = first, end, 0
    if conv.unpool:
        source_start, source_end, crop = first // 2, (end + 1) // 2, first % 2
    return Span(start, size, first, end - first, source_start, source_end - source_start, crop, start - conv.pad - first)


def _candidates(conv: ConvPass) -> list[tuple[int, int]]:
    height, width = conv.output_size
    step = 2 if conv.pool else 1
    heights = {value for value in range(step, min(height, 32) + 1, step) if value <= 2 or value % 2 == 0} | {height}
    preferred = 8 if conv.pool else 4
    widths = {value for value in range(preferred, min(width, 64) + 1, preferred)} | {width}
    tight = {value for value in (2, 4) if value <= width and value % step == 0} | ({1} if step == 1 else set())
    return [(rows, columns) for rows in sorted(heights) for columns in sorted(widths | tight) if rows <= MAX_SIDE and columns <= MAX_SIDE]


def word_cycles(density: float, unpool: bool) -> float:
    """Cycles that a word of four values takes in the tile loader in the mean, for a share ``density`` of values that are not zero.

    One for each two values of a list, or for one, and one at least. Without unpooling all go to one list; with it each of four gets its
    values independently, with equal probability. (The mean of ceil(n / 2), n binomial, is half of that of n and of n's being odd.)
    """
    odd = 1 - (1 - density / 2) ** 4 if unpool else (1 - (1 - 2 * density) ** 4) / 4
    return (1 - density) ** 4 + 2 * density + odd


def _cost(conv: ConvPass, hardware: HardwareConfig, height: int, width: int) -> float | None:
    """Estimated cycles of the pass with such tiles; None where they do not fit the buffers."""
    rows = max(spans(conv, height, 0), key=lambda span: span.buffer_size)
    columns = max(spans(conv, width, 1), key=lambda span: span.buffer_size)
    pixels = rows.buffer_size * columns.buffer_size
    if pixels > hardware.tile_pixels or pixels * conv.in_channels > hardware.tile_depth:
        return None
    if max(rows.buffer_size, columns.buffer_size) > MAX_SIDE or columns.buffer_size * conv.in_channels > 8191:
        return None
    blocks = max(len(part) for part in conv.sets)
    shrink = 2 if conv.pool else 1
    unit_rows = math.ceil(height / shrink)
    unit_columns = math.ceil(width / (shrink * conv.stride))
    row_words, row_pieces = unit_columns * blocks * 4, unit_columns * blocks * conv.pieces
    if row_words > 511 or math.ceil(unit_rows / 2) * row_words > hardware.output_words:
        return None
    if conv.store_tags and (row_pieces > 511 or math.ceil(unit_rows / 2) * row_pieces > hardware.output_pieces):
        return None
    words = padded(conv.in_channels) / 4
    source = math.ceil(rows.source_size / 2) * columns.source_size
    density = min(1.0, conv.sparsity * (4 if conv.unpool else 1))  # among the values that are read
    load = max(source * words * word_cycles(density, conv.unpool), source * 8 if conv.unpool else 0)
    taps = conv.kernel * conv.kernel_w
    copies = max(1, hardware.groups // blocks)
    per_unit = shrink * shrink * max(DRAIN, taps * conv.in_channels * conv.sparsity)
    compute = math.ceil(unit_rows * unit_columns / (2 * copies)) * per_unit
    store = math.ceil(unit_rows / 2) * (row_words + (row_pieces if conv.store_tags else 0))
    count = math.ceil(conv.output_size[0] / height) * math.ceil(conv.output_size[1] / width) * len(conv.sets)
    filled = (
        conv.output_size[0]
        * conv.output_size[1]
        / (math.ceil(conv.output_size[0] / height) * height * math.ceil(conv.output_size[1] / width) * width)
    )
    return count * (max(load, compute, store) * filled + TILE_OVERHEAD) + load + store
