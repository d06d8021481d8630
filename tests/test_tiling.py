# SPDX-License-Identifier: Apache-2.0
"""How sums are cut into tiles and chunks: everything is covered, once, and fits the buffers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from gradcore.compiler import HardwareConfig
from gradcore.compiler.terms import MapSum, Term
from gradcore.compiler.tiling import MAX_KERNEL, ORIGINS, Planner, TilePlan, word_cycles

GROUPS = (4, 2, 1)


def plan(made: MapSum, hardware: HardwareConfig) -> TilePlan:
    return Planner(hardware).plan(made)


def term(size, channels, out, kernel, *, stride=(1, 1), first=None, **options) -> Term:
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    first = first or tuple(-((one - 1) // 2) for one in kernel)
    weights = np.random.default_rng(1).integers(-99, 99, (out, channels, *kernel))
    return Term("map", size, first, stride, weights, 0.5, **options)


SUMS = (
    MapSum("pooled", (32, 32), (term((32, 32), 64, 64, 3),), None, 8, "out", pool=True, tags="tags"),
    MapSum("packed", (32, 32), (term((32, 32), 32, 3, 3),), None, 8, "out"),
    MapSum("large", (200, 300), (term((200, 300), 3, 64, 5),), None, 8, "out", relu=True, tags="tags"),
    MapSum("unpooled", (7, 7), (term((6, 6), 33, 17, 3, tags="t", unpool=True),), None, 8, "out"),
    MapSum("point", (1, 1), (term((1, 1), 1024, 64, 1),), None, 8, "out"),
    MapSum("strided", (16, 16), (term((32, 32), 16, 32, 3, stride=(2, 2)), term((32, 32), 16, 32, 1, stride=(2, 2))), None, 8, "out"),
    MapSum("deep", (14, 14), (term((14, 14), 256, 256, 3), term((14, 14), 256, 256, 1)), None, 8, "out", tags="tags"),
    MapSum("eleven", (55, 55), (term((224, 224), 3, 64, 11, stride=(4, 4), first=(-2, -2)),), None, 8, "out", tags="tags"),
    MapSum("far", (30, 30), (term((12, 12), 8, 8, 17, first=(-16, -16)),), None, 8, "out"),
    MapSum("wide", (7, 7), (term((7, 7), 2500, 64, 3, tags="t"),), None, 8, "out"),
    MapSum("thirds", (5, 7), (term((15, 21), 8, 40, 3, stride=(3, 3)),), None, 8, "out"),
)


@pytest.mark.parametrize("made", SUMS, ids=lambda made: made.name)
@pytest.mark.parametrize("groups", GROUPS)
def test_tiles_fit_the_buffers_and_cover_the_output(made: MapSum, groups: int) -> None:
    hardware = HardwareConfig(groups=groups)
    chosen = plan(made, hardware)
    for axis, tiles in enumerate((chosen.rows, chosen.columns)):
        assert [pixel for start, size in tiles for pixel in range(start, start + size)] == list(range(made.size[axis]))
        for chunk, one in itertools.product(chosen.chunks, tiles):
            span = chosen.span(chunk, axis, *one)
            assert 0 <= span.buffer_start and 1 <= span.buffer_size and span.buffer_start + span.buffer_size <= chunk.size[axis]
            assert span.origin in ORIGINS
    for chunk, row, column in itertools.product(chosen.chunks, chosen.rows, chosen.columns):
        pixels = chosen.span(chunk, 0, *row).buffer_size * chosen.span(chunk, 1, *column).buffer_size
        assert pixels <= 512 and pixels * chunk.in_channels <= 8192


def taps_of(terms: Iterable[Term]) -> Counter[tuple]:
    """How many terms see a channel of a pixel: by the pixel of the map in memory for the sum at (0, 0), and the channel."""
    found: Counter[tuple] = Counter()
    for one in terms:
        for row, column in itertools.product(*map(range, one.kernel)):
            places = (
                (first + tap) * step + start
                for first, tap, step, start in zip(one.first, (row, column), one.steps, one.offset, strict=True)
            )
            found.update(itertools.product([tuple(places)], range(one.channel, one.channel + one.in_channels)))
    return found


@pytest.mark.parametrize("made", SUMS, ids=lambda made: made.name)
def test_chunks_have_every_tap_once_and_fit_the_weight_buffer(made: MapSum) -> None:
    hardware = HardwareConfig()
    chosen = plan(made, hardware)
    assert all(max(chunk.kernel) <= MAX_KERNEL for chunk in chosen.chunks)
    assert taps_of(chosen.chunks) == taps_of(made.terms)
    for load in chosen.loads():
        assert chosen.rows_of(load.chunks) <= hardware.weight_depth


@pytest.mark.parametrize("made", SUMS, ids=lambda made: made.name)
def test_the_sums_of_a_tile_pass_through_all_chunks_in_order(made: MapSum) -> None:
    """As the FIFO of partial sums gives them back: whose sums were left first are taken first."""
    chosen = plan(made, HardwareConfig())
    waiting: list[tuple[range, int, int, int]] = []
    stored = []
    loads = chosen.loads()
    for use in chosen.jobs():
        assert use.chunk in loads[use.load].chunks
        tile = loads[use.load].blocks, use.row, use.column
        if use.takes_partial:
            assert waiting.pop(0) == (*tile, use.chunk - 1)
        else:
            assert use.chunk == 0
        if use.leaves_partial:
            waiting.append((*tile, use.chunk))
        else:
            assert use.chunk == len(chosen.chunks) - 1
            stored.append(tile)
    assert not waiting
    assert sorted(stored, key=str) == sorted(itertools.product(chosen.sets, range(len(chosen.rows)), range(len(chosen.columns))), key=str)


def test_weights_are_loaded_once_for_as_many_tiles_as_the_partial_sums_allow() -> None:
    deep = next(made for made in SUMS if made.name == "deep")
    some, many = (plan(deep, replace(HardwareConfig(), partial_pixels=pixels)) for pixels in (16, 64))
    assert 0 < some.together < many.together and len(many.loads()) < len(some.loads())
    assert len(set(many.loads())) < len(many.loads()), "weights are loaded again for another group of tiles"


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("unpool", [False, True])
def test_cycles_of_a_word_are_the_mean_of_all_words(density: float, unpool: bool) -> None:
    """What the choice of tiles counts for a word in the tile loader, against all words: each value zero, or in one of the lists."""
    lists = 4 if unpool else 1
    mean = 0.0
    for places in itertools.product(range(lists + 1), repeat=4):  # the last means zero
        counts = [places.count(place) for place in range(lists)]
        share = (density / lists) ** sum(counts) * (1 - density) ** (4 - sum(counts))
        mean += share * max(1, sum((count + 1) // 2 for count in counts))
    assert word_cycles(density, unpool) == pytest.approx(mean)


def test_kernels_above_8_x_8_are_cut_in_few_rectangles() -> None:
    made = {one.name: one for one in SUMS}
    assert [chunk.kernel for chunk in plan(made["eleven"], HardwareConfig()).chunks] == [(6, 6), (6, 5), (5, 6), (5, 5)]
    mean = replace(term((13, 13), 64, 64, 13, first=(0, 0)), weights=np.full((64, 64, 13, 13), 97))
    cut = plan(MapSum("mean", (1, 1), (mean,), None, 8, "out"), HardwareConfig()).chunks
    assert {chunk.kernel for chunk in cut} == {(7, 7), (7, 6), (6, 7), (6, 6)}


def test_an_average_pool_has_its_weights_once() -> None:
    """All its chunks have the same: they are one load, of the rows of one of them, for all tiles."""
    mean = MapSum("mean", (1, 1), (Term("map", (16, 16), (0, 0), (1, 1), np.ones((64, 64, 16, 16), dtype=np.int64), 0.5),), None, 8, "out")
    chosen = plan(mean, HardwareConfig())
    assert len(chosen.chunks) >= 4 and not chosen.together
    (load,) = chosen.loads()
    assert chosen.rows_of(load.chunks) == 64


def test_what_was_planned_before_changes_no_plan() -> None:
    """Of two sums of one shape the second may need more weights: those of a mean are there once for all taps."""
    means, others = (np.ones((64, 64, 8, 8), dtype=np.int64), np.random.default_rng(1).integers(-99, 99, (64, 64, 8, 8)))
    first, second = (MapSum("map", (9, 9), (Term("map", (16, 16), (0, 0), (1, 1), one, 0.5),), None, 8, "out") for one in (means, others))
    planner = Planner(HardwareConfig())
    planner.plan(first)
    for made in (second, first):
        again, fresh = planner.plan(made), plan(made, HardwareConfig())
        assert (again.rows, again.columns, again.together, len(again.chunks)) == (
            fresh.rows,
            fresh.columns,
            fresh.together,
            len(fresh.chunks),
        )


def test_blocks_load_the_channels_that_they_read() -> None:
    """Depthwise: each block its own 16; grouped: those of its groups; with a dense term beside it, which all would load again: together."""
    weights = np.zeros((64, 64, 3, 3), dtype=np.int64)
    weights[range(64), range(64)] = 1
    depthwise = Term("map", (24, 24), (-1, -1), (1, 1), weights, 0.5)
    weights = np.zeros((64, 64, 3, 3), dtype=np.int64)
    weights[:32, :32] = weights[32:, 32:] = 1
    grouped = replace(depthwise, weights=weights)
    for one, blocks in ((depthwise, 1), (grouped, 2)):
        made = MapSum("map", (24, 24), (one,), np.arange(64), 8, "out", tags="tags")
        plans = Planner(HardwareConfig()).plans(made)
        firsts = range(0, 4, blocks)
        assert [one.blocks for one in plans] == [blocks] * len(firsts)
        assert [(one.made.channel, one.made.block) for one in plans] == [(16 * block, block) for block in firsts]
        read = [(one.made.terms[0].channel, one.made.terms[0].in_channels) for one in plans]
        assert read == [(16 * block, 16 * blocks) for block in firsts]
        assert np.concatenate([one.made.bias for one in plans]).tolist() == list(range(64))
    skip = replace(depthwise, weights=depthwise.weights[:, :, 1:2, 1:2], first=(0, 0))
    (together,) = Planner(HardwareConfig()).plans(replace(made, terms=(term((24, 24), 64, 64, 3), skip)))
    assert together.blocks == 4


def test_a_term_of_any_stride_is_terms_of_stride_1_over_some_of_the_pixels() -> None:
    one = term((15, 21), 8, 40, 3, stride=(3, 5), first=(-1, -2))
    parts = list(one.thinned())
    assert taps_of(parts) == taps_of([one]) and {part.stride for part in parts} == {(1, 1)}
    assert all(part.pixels(axis, 0, part.size[axis]).stop <= one.size[axis] for part in parts for axis in (0, 1))
