# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of tile_loader: shapes, rules and values of the jobs that it was seen to load."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
from pyuvm import uvm_component

from gradcore.hardware import TILE_ENTRIES, TILE_PIXELS
from gradcore.models import arithmetic
from gradcore.models.convolution.tile_loader import INDICES, LoadedTile, TileJob, read_tags, read_values
from gradcore.models.tags import BLOCK
from tb.support.entry_writes import POINTS
from tb.support.uvm import Coverage

CLIENTS = ("value0", "tag0", "value1", "tag1")
EXTREMES = (-32768, -1, 1, 32767)
# How many values of a word go to one list and the next: all ways in which up to four can be shared out.
LISTS = ((1,), (2,), (1, 1), (3,), (2, 1), (1, 1, 1), (4,), (3, 1), (2, 2), (2, 1, 1), (1, 1, 1, 1))


def tile_coverage(parent: uvm_component) -> Coverage:
    """What a bench must have tried."""
    kinds = ("back_to_back", "gap", "waited")
    points = {
        "method": arithmetic.METHODS,
        "unpool": (0, 1),
        "relu": (0, 1),
        "tags_read": (0, 1),
        "crop": tuple(itertools.product((0, 1), repeat=2)),
        "cut": ("nothing", "rows", "columns", "both"),
        "skip": range(4),
        "pixels": ("row by row", "close", "apart", "the same"),
        "skip_by_pixel": range(4),  # gained from pixel to pixel
        "density": ("zeros", "sparse", "some", "all"),
        "words": (1, 2, 3, 4, 5, 127, 128, 511),  # a block of tags has four words
        "source_rows": (1, 2, 3, 255),
        "source_columns": (1, 2, 3, 255),
        "bank": ("last entry", "last pixel"),
        "list": ("empty", "one", "whole pixel"),
        "value": [(value, kept) for value in EXTREMES for kept in ("kept", "dropped")],
        "winner": range(4),
        "index": range(INDICES),  # that is a channel
        "index_words": (1, 2, 3, 4),
        "index_pair": ("alike", "unlike"),  # of two values that are written in the same cycle
        "picks": range(5),  # of the values of a word
        "lists": LISTS,
        "last_entry": ("alone", "with its neighbour"),  # how it is written
        **POINTS,
        "activity": ("active", "waiting_data", "waiting_bank"),
        "last_token": ("job", "tiles", "vectors", "bank"),
        "start": ("alone", "overlaps"),
        "moves": [(client, port, kind) for client in CLIENTS for port in ("request", "response") for kind in kinds],
    }
    return Coverage("coverage", parent, points, {"rule": ("method", "unpool", "relu"), "run": ("pixels", "tags_read")})


def sample_tile(coverage: Coverage, job: TileJob, method: str, tile: LoadedTile, read: Callable) -> None:
    """Sample a job that was loaded; ``read`` gives the words that it read."""
    values = read_values(job, read)
    mask, index = read_tags(job, method, read)
    density = np.count_nonzero(values) / values.size
    scale = 2 if job.unpool else 1
    cut_rows = scale * job.source_rows - job.unpool * job.crop_row > job.buffer_rows
    cut_columns = scale * job.source_columns - job.unpool * job.crop_column > job.buffer_columns
    tags = job.reads_tags(method)
    pixels = "row by row"
    if job.by_pixel:
        pixels = {0: "the same", 8 * job.words_per_pixel: "close"}.get(job.source_pixel_pitch, "apart")
    coverage.sample(
        method=method,
        unpool=job.unpool,
        relu=job.load_relu,
        tags_read=int(tags),
        crop=(job.crop_row, job.crop_column) if job.unpool else None,
        cut=("nothing", "rows", "columns", "both")[cut_rows + 2 * cut_columns],
        skip=job.tag_address % 8 // 2 if tags else None,
        pixels=pixels,
        skip_by_pixel=job.tag_pixel_pitch % 8 // 2 if tags and job.by_pixel and job.source_columns > 1 else None,
        density="zeros" if not density else "sparse" if density < 0.2 else "some" if density < 1 else "all",
        words=job.words_per_pixel,
        source_rows=job.source_rows,
        source_columns=job.source_columns,
    )
    counts = {count for half in tile.counts for count in half.values()}
    lists = {"empty": 0 in counts, "one": 1 in counts, "whole pixel": 4 * job.words_per_pixel in counts}
    bank = {
        "last entry": any(TILE_ENTRIES - 1 in half for half in tile.entries),
        "last pixel": any(TILE_PIXELS - 1 in half for half in tile.counts),
    }
    bins = {
        "lists": {tuple(sorted(counts, reverse=True)) for half in (0, 1) for counts in word_lists(job, tile, half).values()},
        "list": [name for name, hit in lists.items() if hit],
        "bank": [name for name, hit in bank.items() if hit],
        "winner": np.unique(index).tolist() if job.unpool else [],
        **(index_bins(job, values, index) if job.index_channel else {}),
        "value": [] if job.unpool else extremes(job, values, mask, method),
        "picks": np.unique(np.count_nonzero(values.reshape(-1, 4), axis=1)).tolist() if not job.load_relu and not job.unpool else [],
    }
    for some in itertools.zip_longest(*bins.values()):
        coverage.sample(**dict(zip(bins, some, strict=True)))


def index_bins(job: TileJob, values: np.ndarray, index: np.ndarray) -> dict[str, list]:
    """Indices that are channels, words of a pixel, and the first two values of a word."""
    pairs = set()
    for word, places in zip(values.reshape(-1, 4), index.reshape(-1, 4), strict=True):
        used = places[word != 0]
        if len(used) > 1:
            pairs.add("alike" if used[0] == used[1] else "unlike")
    return {"index": np.unique(index[values != 0]).tolist(), "index_words": [job.words_per_pixel], "index_pair": sorted(pairs)}


def word_lists(job: TileJob, tile: LoadedTile, half: int) -> dict[tuple[int, int, int], list[int]]:
    """(source row, source column, word) -> how many of its values go to each list; only words and lists that get any."""
    scale = 2 if job.unpool else 1
    lists: dict[tuple[int, int, int], Counter[int]] = defaultdict(Counter)
    for address, (channel, _) in tile.entries[half].items():
        row, rest = divmod(address, job.row_entries)
        column = rest // job.slot
        source = ((row + job.unpool * job.crop_row) // scale, (column + job.unpool * job.crop_column) // scale)
        own = channel % BLOCK if job.index_channel else channel
        lists[*source, own // 4][row * job.buffer_columns + column] += 1
    return {word: list(counts.values()) for word, counts in lists.items()}


def extremes(job: TileJob, values: np.ndarray, mask: np.ndarray, method: str) -> list[tuple[int, str]]:
    """Extremes that the rule keeps or drops."""
    kept = arithmetic.relu_backward(values, mask, method) if job.load_relu else values
    hits = (("kept", kept != 0), ("dropped", kept == 0))
    return [(value, name) for value in EXTREMES for name, hit in hits if (hit & (values == value)).any()]
