# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of conv_group: shapes, values, sums and tokens of the jobs that a group was seen to take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from pyuvm import uvm_component

from gradcore.hardware import LANES, OUTPUT_WORDS, PARTIAL_PIXELS, TILE_ENTRIES, TILE_PIXELS, WEIGHT_ROWS
from gradcore.models.arithmetic import VALUE_MAX, VALUE_MIN
from gradcore.models.convolution.conv_group import ConvJob, weight_rows
from gradcore.models.convolution.conv_group import outside as outside_pixels
from gradcore.models.convolution.partial_sums import PartialSums
from tb.support.entry_writes import POINTS
from tb.support.uvm import Coverage

WINDOWS = ("window 2", "window 3")
KINDS = ("plain", "packed 2", "packed 4", "pooled", *WINDOWS)
CHAIN = {(0, 0): "whole", (0, 1): "first", (1, 1): "middle", (1, 0): "last"}  # a chunk, by from_partial and to_partial
CHAINS = [(kind, one) for kind in KINDS for one in CHAIN.values() if one == "whole" or kind not in WINDOWS]
RECTIFIERS = ("none", "relu", "clip")
OUTCOMES = ("clipped low", "negative", "zero", "positive", "clipped high")


def shares(groups: int, group: int) -> tuple[str, ...]:
    """How much of a job a group may have: of all units, of those that copies share, none."""
    return ("all units", *(("some units",) if groups > 1 else ()), *(("none",) if (groups, group) == (4, 3) else ()))


def group_coverage(environment: uvm_component) -> Coverage:
    """What a bench must have tried, for the group of the environment's predictor."""
    groups, group = environment.numbers
    points = {
        "kind": KINDS,
        "rectifier": RECTIFIERS,
        "tags": (0, 1),
        "clip_mask": (False, True),  # at the limit
        "outcome": OUTCOMES,
        "saturated": ("low", "high", "low, not stored", "high, not stored"),
        "share": shares(groups, group),
        "blocks": range(1, groups + 1),
        "bias_bank": (0, 1),
        "kernel_h": range(1, 9),
        "kernel_w": range(1, 9),
        "stride_y": (1, 2, 4),
        "stride_x": (1, 2, 4),
        "step": [(pack, stride) for pack in (1, 2, 4) for stride in (1, 2, 4) if pack * stride <= 4],
        "unit_rows": (1, 2, 3),
        "unit_columns": (1, 2, 3),
        "origin": ("before", "at", "behind"),
        "outside": ("no tap", "some taps", "all taps"),
        "weights": ("of each tap", "of all taps"),
        "taps": (1, 15, 16, 49, 64),  # the queue of taps holds 16
        "slot": (1, 4, 16, 20),
        "entries_of_pixel": (0, 1, LANES - 1, LANES, LANES + 1),  # a pixel takes LANES issues at least
        "last_place": ("entry", "pixel", "word", "piece", "weight row", "weights wrap"),
        "density": ("zeros", "sparse", "some", "all"),
        "shift": (0, 1, 15, 16, 17, 31, 32, 46, 47),
        "tie": ("even, negative", "odd, negative", "even, positive", "odd, positive"),
        "product": [(value, weight) for value in (VALUE_MIN, VALUE_MAX) for weight in (VALUE_MIN, VALUE_MAX)],
        "winner": range(9),
        "pool_tie": range(8),  # the place that wins
        "window_outside": ("none", "the first", "others"),  # pixels of a window outside the picture
        "window_stride": [(side, stride) for side in (2, 3) for stride in (1, 2, 4)],
        "winner_below_zero": (False, True),  # of a window with pixels outside
        "quarters": range(4),
        "chain": tuple(CHAIN.values()),
        "chains": CHAINS,
        "chunks": (1, 2, 3, 4),  # of a sum
        "empty_chunk": ("first", "middle", "last"),
        "chunk_units": (1, 2, 3, "more"),  # of a group: stream 1 has none, one, or as many as stream 0, or one less
        "partial_pixels": (1, 2, "some", PARTIAL_PIXELS),  # that wait in a stream
        "partial_tiles": (1, 2),  # whose sums wait at a time
        "last_chunk": ("whole", "in parts"),
        "last_token": ("tile", "bank", "weights", "job"),
        "activity": [(stream, name) for stream in (0, 1) for name in ("issue", "output wait")],
        "write_while": ("busy",),
        **POINTS,
    }
    crosses = {"outcomes": ("kind", "outcome"), "rules": ("kind", "rectifier", "tags"), "strides": ("stride_y", "stride_x")}
    return Coverage("coverage", environment, points, crosses)


def job_bins(coverage: Coverage, job: ConvJob, tile: np.ndarray, weights: np.ndarray, made: Any, rules: Any, share: Any) -> None:
    """Sample a job: ``made`` is what the group makes of it, ``rules`` the arithmetic that knows the sums."""
    kind = (
        f"window {job.window}" if job.window else "pooled" if job.pool else f"packed {job.pack_pixels}" if job.pack_pixels > 1 else "plain"
    )
    density = np.count_nonzero(tile) / tile.size
    once = {
        "kind": kind,
        "chain": CHAIN[job.from_partial, job.to_partial],
        "chains": (kind, CHAIN[job.from_partial, job.to_partial]),
        **({"rectifier": RECTIFIERS[job.relu + job.clip], "tags": job.store_tags} if made.stored else {}),
        "share": "none" if share is None else "some units" if share[2] > 1 else "all units",
        "blocks": job.blocks,
        "density": "zeros" if not density else "sparse" if density < 0.2 else "some" if density < 1 else "all",
    }
    if not len(made.values):
        coverage.sample(**once)
        return
    once |= {name: getattr(job, name) for name in ("bias_bank", "kernel_h", "kernel_w", "unit_rows", "unit_columns", "slot", "shift")}
    if job.kernel_h * job.kernel_w > 1:
        once |= {"weights": "of each tap" if job.tap_rows else "of all taps"}
    once |= {"taps": job.kernel_h * job.kernel_w, "quarters": job.quarters if job.pack_pixels > 1 else None}
    if not job.pool:
        strides = 1 << job.stride_y_log2, 1 << job.stride_x_log2
        once |= {"window_stride": (job.window, strides[1]) if job.window else None}
        once |= {"stride_y": strides[0], "stride_x": strides[1], "step": (job.pack_pixels, strides[1])}
    once["origin"] = "before" if min(job.origin_row, job.origin_column) < 0 else "at" if not job.origin_row else "behind"
    coverage.sample(**once)
    bins = {
        "outside": outside(job),
        "last_place": last_places(job, tile, made),
        "entries_of_pixel": map(int, np.unique(made.entries)),
        "product": products(job, tile, weights),
    }
    if made.stored:
        bins |= results(job, made, rules, share)
    for some in itertools.zip_longest(*bins.values()):
        coverage.sample(**dict(zip(bins, some, strict=True)))
    for outcome in outcomes(job, rules.sums) if made.stored else ():
        coverage.sample(kind=kind, outcome=outcome)


def results(job: ConvJob, made: Any, rules: Any, share: Any) -> dict[str, Iterator[Any]]:
    """What becomes of the sums of a job that stores."""
    return {
        "winner": winners(rules),
        "pool_tie": ties_of_pool(rules),
        "tie": ties(job, rules.sums),
        "saturated": saturated(job, rules.sums, made),
        "clip_mask": clip_masks(job, made),
        **(window_bins(job, rules, share) if job.window else {}),
    }


def chain_bins(coverage: Coverage, job: ConvJob, made: Any, chunks: int, before: set[int], partial: PartialSums) -> None:
    """Sample what a job does with partial sums.

    ``chunks``: of which its sums are made now. ``before``: jobs whose sums waited when it came; ``partial``: what it has left.
    """
    units = len(made.entries)
    if not job.to_partial:
        coverage.sample(chunks=chunks)
    if not units or not (job.from_partial or job.to_partial):
        return
    coverage.sample(chunk_units=units if units <= 3 else "more")
    if not made.entries.any():
        coverage.sample(empty_chunk=CHAIN[job.from_partial, job.to_partial])
    if job.to_partial:
        for queue in partial.queues:
            coverage.sample(partial_pixels=len(queue) if len(queue) in (1, 2, PARTIAL_PIXELS) else "some")
        coverage.sample(partial_tiles=len({pixel.job for queue in partial.queues for pixel in queue}))
    else:
        oldest = min(before)
        left = any(pixel.job == oldest for queue in partial.queues for pixel in queue)
        coverage.sample(last_chunk="in parts" if left else "whole")


def outside(job: ConvJob) -> Iterator[str]:
    """Whether taps of a pixel lie outside the buffer."""
    inside = []
    for origin, units, step, taps, size in (
        (job.origin_row, job.unit_rows, job.row_step, job.kernel_h, job.buffer_rows),
        (job.origin_column, job.unit_columns, job.column_step, job.kernel_w, job.buffer_columns),
    ):
        firsts = np.add.outer(step * np.arange(units), np.arange(job.side)).reshape(-1)
        seen = origin + firsts[:, None] + np.arange(taps)
        inside.append(((seen >= 0) & (seen < size)).sum(axis=1))
    counts = np.multiply.outer(*inside)
    full = job.kernel_h * job.kernel_w
    yield from (name for name, hit in (("no tap", counts == full), ("all taps", counts == 0)) if hit.any())
    if ((counts > 0) & (counts < full)).any():
        yield "some taps"


def last_places(job: ConvJob, tile: np.ndarray, made: Any) -> Iterator[str]:
    """Which memories are used up to their last place."""
    rows = weight_rows(job, job.slot, WEIGHT_ROWS)
    last_pixel = np.count_nonzero(tile[-1, -1])
    first = (job.buffer_rows - 1) * job.row_entries + (job.buffer_columns - 1) * job.slot
    places = {
        "entry": first + last_pixel == TILE_ENTRIES,
        "pixel": job.buffer_rows * job.buffer_columns == TILE_PIXELS,
        "word": made.words.max() + 3 == OUTPUT_WORDS - 1,
        "piece": job.store_tags and made.pieces.max() + job.pieces - 1 == OUTPUT_WORDS - 1,
        "weight row": rows.max() == WEIGHT_ROWS - 1 and rows[-1] == WEIGHT_ROWS - 1,
        "weights wrap": rows[-1] < rows[0],
    }
    return (place for place, used in places.items() if used)


def products(job: ConvJob, tile: np.ndarray, weights: np.ndarray) -> Iterator[tuple[int, int]]:
    """Products of extremes in the first tap's weights and the pixels under it; only where one tap sees all of the buffer."""
    if job.window or job.kernel_h * job.kernel_w > 1 or job.origin_row or job.origin_column:
        return
    under = tile[: job.unit_rows, : job.unit_columns].reshape(-1, job.slot)
    rows = weights[weight_rows(job, job.slot, len(weights))]
    for value in (VALUE_MIN, VALUE_MAX):
        for weight in (VALUE_MIN, VALUE_MAX):
            if ((under == value).astype(int) @ (rows == weight).astype(int)).any():
                yield value, weight


def outcomes(job: ConvJob, sums: np.ndarray) -> Iterator[str]:
    """What becomes of the sums, before ReLU and pooling."""
    shifted = sums >> job.shift
    hits = (shifted < VALUE_MIN, (shifted < 0) & (shifted >= VALUE_MIN), shifted == 0, (shifted > 0) & (shifted <= VALUE_MAX))
    yield from (name for name, hit in zip(OUTCOMES, (*hits, shifted > VALUE_MAX), strict=True) if hit.any())


def window_bins(job: ConvJob, rules: Any, share: Any) -> dict[str, Iterator[Any]]:
    """Pixels of a group's windows that lie outside, and winners among negative values beside them."""
    rows, columns = np.divmod(np.arange(job.unit_rows * job.unit_columns), job.unit_columns)
    beyond = outside_pixels(job)[rows, columns][(rows + columns) % share[2] == share[1]]
    some = beyond.any(axis=1)
    found = [name for name, hit in (("none", ~some), ("the first", beyond[:, 0]), ("others", beyond[:, 1:].any(axis=1))) if hit.any()]
    return {"window_outside": iter(found), "winner_below_zero": map(bool, np.unique(rules.windows.max(axis=-2)[some] < 0))}


def clip_masks(job: ConvJob, made: Any) -> Iterator[bool]:
    """Whether results with a mask that a clip has made are at its limit."""
    if job.clip and job.store_tags:
        yield from map(bool, np.unique(made.values[made.values > 0] == VALUE_MAX))


def saturated(job: ConvJob, sums: np.ndarray, made: Any) -> Iterator[str]:
    """Clipped values that count, and those of pixels that are not stored."""
    shifted = sums >> job.shift
    for name, hit in (("low", shifted < VALUE_MIN), ("high", shifted > VALUE_MAX)):
        if job.clip or job.relu and name == "low":
            continue
        stored = np.arange(LANES) < LANES // 4 * (job.quarters or 4)
        if hit[..., stored].any():
            yield name
        if made.behind and hit[..., ~stored].any():
            yield f"{name}, not stored"


def ties(job: ConvJob, sums: np.ndarray) -> Iterator[str]:
    """Sums at exactly one half: the rounding constant is in them, so nothing is cut off."""
    shifted = sums >> job.shift
    tie = (sums & ((1 << job.shift) - 1) == 0) & (shifted >= VALUE_MIN) & (shifted <= VALUE_MAX) & bool(job.shift)
    for odd, parity in enumerate(("even", "odd")):
        for sign, hit in (("negative", shifted < 0), ("positive", shifted > 0)):
            if (tie & hit & (shifted & 1 == odd)).any():
                yield f"{parity}, {sign}"


def winners(rules: Any) -> Iterator[int]:
    """Places of a pooling window that win."""
    return iter(()) if rules.windows is None else map(int, np.unique(rules.windows.argmax(axis=-2)))


def ties_of_pool(rules: Any) -> Iterator[int]:
    """Places that win against one behind them that is as large."""
    if rules.windows is None:
        return
    best = rules.windows == rules.windows.max(axis=-2, keepdims=True)
    yield from map(int, np.unique(best.argmax(axis=-2)[best.sum(axis=-2) > 1]))
