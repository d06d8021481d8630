# SPDX-License-Identifier: Apache-2.0
"""Sequences of conv_group: jobs with their tiles, directed and random; weights and initial accumulators, and writing them again."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gradcore.hardware import LANES, WEIGHT_ROWS
from gradcore.models.convolution.conv_group import ConvJob, weight_rows
from tb.support.base import ItemSequence
from tb.support.declaration import parameter
from tb.support.seeds import test_rng

GROUPS = parameter("GROUPS")
WINDOW = {"window": 3, "kernel_h": 1, "kernel_w": 1, "origin_row": 0, "origin_column": 0}
EXTREMES = np.array([-32768, 32767, -1, 1])
Work = tuple[ConvJob, np.ndarray]


def random_job(rng: np.random.Generator, windows: float = 0.25) -> ConvJob:
    """A small random job within the hardware's limits; ``windows``: how many of all are of max-pooling windows."""
    if rng.random() < windows:
        return random_windows(rng)
    pool = bool(rng.integers(2))
    kernel_h = int(rng.choice([1, 3, 3, 5]))
    pack = 1 if pool else int(rng.choice([1, 1, 2, 4]))
    stride_y_log2, stride_x_log2 = (0, 0) if pool else (int(rng.choice([0, 0, 1, 2])), int(rng.integers(3 - pack // 2)))
    scale_y, scale_x = (2, 2) if pool else (1 << stride_y_log2, pack << stride_x_log2)
    unit_rows, unit_columns = int(rng.integers(1, 5 if scale_y < 4 else 3)), int(rng.integers(1, 6 if scale_x < 4 else 4))
    slot, rectified = 4 * int(rng.integers(1, 6)), int(rng.integers(3))
    return ConvJob.tight(
        buffer_rows=max(1, unit_rows * scale_y + int(rng.integers(-1, 3))),
        buffer_columns=max(1, unit_columns * scale_x + int(rng.integers(-1, 3))),
        slot=slot,
        unit_rows=unit_rows,
        unit_columns=unit_columns,
        kernel_h=kernel_h,
        kernel_w=kernel_h + (pack - 1 << stride_x_log2),
        pack_pixels=pack,
        stride_x_log2=stride_x_log2,
        stride_y_log2=stride_y_log2,
        blocks=int(rng.integers(1, GROUPS + 1)),
        origin_row=int(rng.integers(-2, 2)),
        origin_column=int(rng.integers(-2, 2)),
        shift=int(rng.choice([0, 14, 18, 20, 22, 24, 47])),
        relu=int(rectified > 0),
        clip=int(rectified > 1),
        pool=int(pool),
        store_tags=int(rng.integers(2)),
        weight_base=int(rng.integers(WEIGHT_ROWS)),
        tap_rows=int(rng.choice([slot, slot, slot, 0])),
        bias_bank=int(rng.integers(2)),
        quarters=int(rng.integers(pack)) * 4 // pack,
    )


def random_windows(rng: np.random.Generator) -> ConvJob:
    """A small random job of max-pooling windows, of which some leave the tile buffer."""
    side, strides = int(rng.integers(2, 4)), rng.integers(3, size=2).tolist()
    origins, units = rng.integers(1 - side, 2, 2).tolist(), rng.integers(1, 5, 2).tolist()
    ends = [origin + (count - 1 << stride) for origin, count, stride in zip(origins, units, strides, strict=True)]
    sizes = [max(1, end + int(rng.integers(1, side + 1))) for end in ends]
    rectified = int(rng.integers(3))
    return small_job(
        window=side,
        buffer_rows=sizes[0],
        buffer_columns=sizes[1],
        slot=int(rng.choice([4, 16])),
        unit_rows=units[0],
        unit_columns=units[1],
        kernel_h=1,
        kernel_w=1,
        stride_y_log2=strides[0],
        stride_x_log2=strides[1],
        blocks=int(rng.integers(1, GROUPS + 1)),
        origin_row=origins[0],
        origin_column=origins[1],
        shift=int(rng.choice([14, 18, 20, 22])),
        relu=int(rectified > 0),
        clip=int(rectified > 1),
        store_tags=int(rng.integers(2)),
        weight_base=int(rng.integers(WEIGHT_ROWS)),
        bias_bank=int(rng.integers(2)),
    )


def random_tile(rng: np.random.Generator, job: ConvJob, density: float | None = None) -> np.ndarray:
    """Values (rows, columns, slot) of a density, random where none is given, sometimes extreme ones."""
    shape = (job.buffer_rows, job.buffer_columns, job.slot)
    values = rng.integers(-32768, 32768, shape)
    if rng.random() < 0.2:
        values = rng.choice(EXTREMES, shape)
    density = rng.choice([0.0, 0.05, 0.3, 1.0]) if density is None else density
    values = np.where(values == 0, 1, values)
    return np.where(rng.random(shape) < density, values, 0)


class JobSequence(ItemSequence):
    """Base: ``work`` yields jobs with their tiles."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        """(job, tile), in order."""
        raise NotImplementedError

    def items(self) -> Iterable[dict[str, Any]]:
        rng = test_rng()
        yield from ({"job": job, "tile": tile} for job, tile in self.work(rng))


class RandomJobs(JobSequence):
    """Small random jobs."""

    count = 6

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        rng = np.random.default_rng(random.getrandbits(32))  # others in each repetition
        for _ in range(self.count):
            job = random_job(rng)
            yield job, random_tile(rng, job)


def small_job(**fields: int) -> ConvJob:
    """A job in which each group works on all units."""
    usual = {
        "buffer_rows": 4,
        "buffer_columns": 4,
        "slot": 4,
        "unit_rows": 2,
        "unit_columns": 2,
        "kernel_h": 3,
        "kernel_w": 3,
        "pack_pixels": 1,
        "blocks": GROUPS,
        "origin_row": -1,
        "origin_column": -1,
        "shift": 20,
        "store_tags": 1,
    }
    shape = usual | fields
    return ConvJob.tight(**{"tap_rows": shape["slot"]} | shape)


class Corners(JobSequence):
    """Directed jobs at the edges of every range."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        one = {"kernel_h": 1, "kernel_w": 1, "origin_row": 0, "origin_column": 0}
        jobs = [
            small_job(buffer_rows=1, buffer_columns=1, slot=1, unit_rows=1, unit_columns=1, **one),
            small_job(unit_rows=1, unit_columns=1, kernel_h=8, kernel_w=8, weight_base=1024 - 256),
            small_job(unit_rows=3, unit_columns=3, kernel_h=7, kernel_w=7, weight_base=1000, bias_bank=1),
            small_job(unit_rows=2, unit_columns=3, kernel_h=2, kernel_w=8, slot=16, pool=1),
            small_job(unit_rows=3, unit_columns=1, kernel_h=3, kernel_w=5, slot=20),
            small_job(unit_rows=1, unit_columns=2, kernel_h=8, kernel_w=2),
            *(small_job(origin_row=row, origin_column=column) for row, column in ((-8, 2), (5, 1), (2, -8), (1, 5))),
            *(small_job(**one, slot=8, shift=shift, relu=shift % 2) for shift in (0, 1, 15, 16, 17, 31, 32, 46, 47)),
            *(small_job(blocks=blocks, relu=1) for blocks in range(1, GROUPS + 1)),
            *self.strided(),
            *self.windows(),
        ]
        yield from ((job, random_tile(rng, job, density)) for job, density in zip(jobs, itertools.cycle((1.0, 0.3, 1.0)), strict=False))
        yield from self.lists(rng, one)
        yield from self.full_memories(rng, one)
        yield from self.values(rng, one)
        yield self.pool_ties(rng)

    def strided(self) -> Iterable[ConvJob]:
        """Each pair of strides, each height and width of a kernel, padding on all sides; a pack of strided pixels."""
        for number, (y, x) in enumerate(itertools.product(range(3), range(3))):
            kernel = {"kernel_h": 1 + number % 8, "kernel_w": 8 - number % 8}
            shape = {
                "buffer_rows": 2 + (2 << y),
                "buffer_columns": 1 + (2 << x),
                "origin_row": -number % 4 - 3,
                "origin_column": -number % 3 - 2,
            }
            yield small_job(**shape, **kernel, unit_rows=3, unit_columns=3, stride_y_log2=y, stride_x_log2=x)
        yield small_job(buffer_rows=5, buffer_columns=8, kernel_w=5, pack_pixels=2, stride_y_log2=1, stride_x_log2=1)

    def windows(self) -> Iterable[ConvJob]:
        """Each window and stride, with padding on all sides, and without."""
        for side, stride, padding in itertools.product((2, 3), range(3), (0, 1)):
            size = side + (2 << stride) - 2 * padding
            shape = {"window": side, "buffer_rows": size, "buffer_columns": size, "slot": 8, "unit_rows": 3, "unit_columns": 3}
            place = {"stride_y_log2": stride, "stride_x_log2": stride, "origin_row": -padding, "origin_column": -padding}
            yield small_job(**WINDOW | shape | place, shift=18)

    def pool_ties(self, rng: np.random.Generator) -> Work:
        """Windows of 3 x 3, of which each place but the last holds what the one behind it holds, the others nothing."""
        shape = {"buffer_rows": 3, "buffer_columns": 31, "slot": 8, "unit_rows": 1, "unit_columns": 8, "stride_x_log2": 2}
        job = small_job(**WINDOW | shape)
        tile = random_tile(rng, job, 0.0)
        for place in range(8):
            for row, column in (divmod(place, 3), divmod(place + 1, 3)):
                tile[row, 4 * place + column] = np.resize([1000, 2000, -3000, 4000], 8)
        return job, tile

    def lists(self, rng: np.random.Generator, one: dict[str, int]) -> Iterable[Work]:
        """Pixels with so many entries, about LANES."""
        counts = (0, 1, LANES - 1, LANES, LANES + 1, 20)
        job = small_job(buffer_rows=1, buffer_columns=len(counts), unit_rows=1, unit_columns=len(counts), slot=20, **one)
        tile = random_tile(rng, job, 1.0)
        for column, count in enumerate(counts):
            tile[0, column, rng.permutation(20)[count:]] = 0
        yield job, tile
        for density in (0.0, 0.1):
            job = small_job(slot=20)
            yield job, random_tile(rng, job, density)

    def full_memories(self, rng: np.random.Generator, one: dict[str, int]) -> Iterable[Work]:
        """The last entry and count of a bank; the last word and tag piece of the output buffer."""
        job = small_job(buffer_rows=16, buffer_columns=32, slot=16, origin_row=14, origin_column=30)
        tile = random_tile(rng, job, 0.0)
        tile[15, 31] = random_tile(rng, small_job(buffer_rows=1, buffer_columns=1, slot=16), 1.0)
        yield job, tile
        for kind in ({}, {"pool": 1}, {"window": 3}):
            fields = small_job(**one | {"unit_rows": 3, "unit_columns": 1} | kind)
            units = fields.blocks  # in a row
            last = {"buffer_row_words": 512 - 4 * units, "buffer_row_pieces": 512 - units * fields.pieces}
            group = parameter("GROUP")
            last = {"buffer_row_words": 508 - 4 * group, "buffer_row_pieces": 512 - fields.pieces * (group + 1)}
            job = ConvJob(**{name: getattr(fields, name) for name in ConvJob.PLACES} | last)
            yield job, random_tile(rng, job, 1.0)

    def values(self, rng: np.random.Generator, one: dict[str, int]) -> Iterable[Work]:
        """Extremes times extremes, of which rows 0 to 7 of the weights hold all; sums of initial values alone, ties among them."""
        job = small_job(slot=8, shift=18, **one)
        yield job, np.broadcast_to(np.resize(EXTREMES, 8), (4, 4, 8))
        yield job, np.broadcast_to(np.resize(EXTREMES[::-1], 8), (4, 4, 8))
        for bank in (0, 1):
            job = small_job(shift=24, bias_bank=bank)
            yield job, random_tile(rng, job, 0.0)


def in_chunks(job: ConvJob, tile: np.ndarray, cuts: Iterable[int]) -> list[Work]:
    """A job as chunks of its channels, cut in front of the channels ``cuts``; chunks without channels, too."""
    bounds = [0, *sorted(cuts), job.slot]
    chunks = []
    for place, (first, end) in enumerate(itertools.pairwise(bounds)):
        channels = np.arange(job.slot)
        part = np.where((channels >= first) & (channels < end), tile, 0)
        fields = {"from_partial": int(place > 0), "to_partial": int(place < len(bounds) - 2)}
        chunks.append((dataclasses.replace(job, **fields), part))
    return chunks


class Chains(JobSequence):
    """Sums in chunks: each kind of job, few units and as many as find room, chunks without entries, tiles that take turns, parts."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        kinds = [
            {},
            {"pack_pixels": 2, "kernel_w": 4},
            {"pack_pixels": 4, "kernel_w": 6},
            {"pool": 1},
            {"stride_y_log2": 1, "stride_x_log2": 1},
        ]
        for cuts, fields in zip(itertools.cycle(([3], [2, 7], [2, 4, 6])), kinds * 2, strict=False):
            job = small_job(**fields, slot=8, buffer_columns=8, relu=int(rng.integers(2)), shift=20 + int(rng.integers(4)))
            yield from in_chunks(job, random_tile(rng, job, rng.choice([0.05, 0.5, 1.0])), cuts)
        for columns in (1, 2, 3):  # the next chunk of a pixel follows at once
            job = small_job(unit_rows=1, unit_columns=columns, slot=8, kernel_h=1, kernel_w=1, origin_row=0, origin_column=0, shift=22)
            for cuts in ([0, 4], [4, 4], [4, 8]):
                yield from in_chunks(job, random_tile(rng, job, rng.choice([0.3, 1.0])), cuts)
        yield from self.full(rng)
        for _ in range(3):
            job = random_job(rng, windows=0.0)
            cuts = rng.integers(0, job.slot + 1, int(rng.integers(1, 4))).tolist()
            yield from in_chunks(job, random_tile(rng, job), cuts)

    def full(self, rng: np.random.Generator) -> Iterable[Work]:
        """64 pixels a stream: a tile whose last chunk is cut in two by rows; two tiles whose chunks take turns."""
        one = {"kernel_h": 1, "kernel_w": 1, "origin_row": 0, "origin_column": 0, "shift": 22}
        job = small_job(buffer_rows=8, buffer_columns=16, unit_rows=8, unit_columns=16, **one)
        first, (last, tile) = in_chunks(job, random_tile(rng, job, 0.5), [2])
        yield first
        yield from ((dataclasses.replace(last, unit_rows=4, origin_row=row, store_tags=0), tile) for row in (0, 4))
        job = small_job(buffer_rows=8, buffer_columns=8, unit_rows=8, unit_columns=8, **one)
        tiles = [in_chunks(job, random_tile(rng, job, density), [1, 2]) for density in (0.3, 1.0)]
        yield from itertools.chain(*zip(*tiles, strict=True))


class WholeAndCut(JobSequence):
    """Jobs, each whole, then in chunks: random ones, and such of one or two units, whose chunks follow one another at once."""

    count = 7

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        for number in range(self.count):
            few = {"unit_rows": 1, "unit_columns": 1 + number % 2, "kernel_h": 1, "kernel_w": 1 + number % 3, "shift": 20}
            job = small_job(**few, slot=8, origin_row=0, origin_column=0) if number < 4 else random_job(rng, windows=0.0)
            tile = random_tile(rng, job, 1.0 if number < 4 else None)
            yield job, tile
            yield from in_chunks(job, tile, rng.integers(0, job.slot + 1, 1 + number % 3).tolist())


class FewChains(JobSequence):
    """One job in two chunks."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        job = small_job(slot=8, shift=24)
        yield from in_chunks(job, random_tile(rng, job, 1.0), [4])


class LeavesSums(JobSequence):
    """The first chunk of a job, without the others."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        job = small_job(slot=8, to_partial=1)
        yield job, random_tile(rng, job, 1.0)


class Saturating(JobSequence):
    """Jobs of each kind whose values saturate, both ways; with pixels that are not stored."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        jobs = []
        packs = ({"pack_pixels": pack, "kernel_w": 2 + pack} for pack in (1, 2, 4))
        kinds = (*packs, {"pool": 1}, WINDOW, WINDOW | {"window": 2})
        for kind, (relu, clip), tags in itertools.product(kinds, ((0, 0), (1, 0), (1, 1)), (0, 1)):
            shape = {"unit_rows": 3, "unit_columns": 3, "buffer_rows": 6, "buffer_columns": 12, "slot": 8}
            fields = {"relu": relu, "clip": clip, "store_tags": tags, "shift": 15 + int(rng.integers(3))}
            pack = kind.get("pack_pixels", 1)
            for quarters in range(0, 4, 4 // pack) if pack > 1 and tags else (0,):
                jobs.append(small_job(**shape | fields | kind, quarters=quarters))
        for place in rng.permutation(len(jobs)):
            yield jobs[place], random_tile(rng, jobs[place], rng.choice([0.3, 1.0]))
        for kind in kinds:  # initial accumulators alone: small ones of both signs, and 0
            job = small_job(**kind, buffer_columns=8, shift=24)
            yield job, random_tile(rng, job, 0.0)


class Dense(JobSequence):
    """Tiles without zeros, for the rate."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        shape = {"buffer_rows": 10, "buffer_columns": 10, "slot": 16, "unit_rows": 8, "unit_columns": 8}
        job = small_job(**shape, blocks=1, origin_row=0, origin_column=0, shift=14, store_tags=0)
        yield from [(job, np.ones((10, 10, 16), dtype=np.int64))] * 3


class FewJobs(RandomJobs):
    """A few jobs of which each group has a share, for twins."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        for _ in range(3):
            job = small_job(shift=24)
            yield job, random_tile(rng, job, 0.3)


class FewClips(JobSequence):
    """A clip that is reached, for a twin."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        job = small_job(shift=15, relu=1, clip=1)
        yield job, random_tile(rng, job, 1.0)


class FewWindows(JobSequence):
    """Windows over negative values, with padding, for a twin."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        job = small_job(**WINDOW | {"origin_row": -1, "origin_column": -1}, shift=18)
        yield job, random_tile(rng, job, 0.3)


class OneJob(JobSequence):
    """One job, of some hundred cycles."""

    def work(self, rng: np.random.Generator) -> Iterable[Work]:
        job = small_job(slot=16, unit_rows=3, unit_columns=3)
        yield job, random_tile(rng, job, 1.0)


class Fill(ItemSequence):
    """All rows of weights, extremes among them, and all initial accumulators."""

    def items(self) -> Iterable[dict[str, Any]]:
        rng = test_rng()
        weights = rng.integers(-32768, 32768, (WEIGHT_ROWS, LANES))
        weights = np.where(rng.random(weights.shape) < 0.05, rng.choice(EXTREMES, weights.shape), weights)
        for row in range(8):  # each lane meets each extreme
            weights[row] = np.resize(np.roll(EXTREMES, row // 4 + row), LANES)
        yield from ({"row": row, "weights": weights[row]} for row in range(WEIGHT_ROWS))
        # Of all sizes: a large one alone would saturate every result of its lane, whatever is added to it. Some make ties.
        initial = rng.integers(-(1 << 46), 1 << 46, (2, LANES)) >> rng.choice([6, 14, 22, 30], (2, LANES))
        initial[:, :4] = np.array([-3, -2, 2, 3]) << 24
        initial[:, 4] = 0
        yield from ({"initial": place, "value": int(value)} for place, value in enumerate(initial.reshape(-1)))


class Rewrite(ItemSequence):
    """Writes what is there already, until ``stop``: it freezes stream 1 at random times.

    Not the rows ``busy()`` of the jobs that may be in progress: what a block RAM reads while it is written is undefined. Nor row 0,
    which streams without an entry read: their value of 0 makes 0 of it in hardware, but of an unknown one not in simulation.
    """

    stop = False
    busy: Callable[[], list[ConvJob]]
    weights: np.ndarray

    def items(self) -> Iterable[dict[str, Any]]:
        while not self.stop:
            yield {"pause": random.randrange(1, 7)}
            free = np.ones(WEIGHT_ROWS, dtype=bool)
            free[0] = False
            for job in self.busy():
                free[weight_rows(job, job.tap_rows or job.slot, WEIGHT_ROWS)] = False
            if free.any():
                row = int(random.choice(np.flatnonzero(free)))
                yield {"row": row, "weights": self.weights[row]}
