# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/convolution/weight_loader.v: from the two planes in memory to rows of the groups' weight buffers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcore.models.jobs import WeightLoaderJob

LANES = 16
ReadWords = Callable[[int, int], np.ndarray]
"""Reads memory: (byte address, a multiple of 8; number of words) -> uint64 array of words."""


@dataclass(frozen=True)
class WeightRow:
    """A write of one row: ``groups`` has bit g set for each group written; ``weights`` holds 16 signed values, lane 0 first."""

    groups: int
    address: int
    weights: tuple[int, ...]


@dataclass(frozen=True)
class InitialValue:
    """A write of one lane's initial accumulator (signed, 48 bits)."""

    groups: int
    lane: int
    bank: int
    value: int


def target_groups(block: int, blocks: int, groups: int) -> int:
    """Bit mask of the groups that compute ``block``: copies of the blocks as often as they fit in ``groups``."""
    return sum(1 << group for group in range(blocks * (groups // blocks)) if group % blocks == block)


def requests(job: WeightLoaderJob, port: int) -> list[tuple[int, int]]:
    """(byte address, words) of each request of a port, in order: one for each block."""
    words = 2 * job.rows + LANES // 2
    address = (job.address0, job.address1)[port]
    return [((address + 8 * words * block) & 0xFFFFFFFF, words) for block in range(job.blocks)]


def load_weights(job: WeightLoaderJob, groups: int, depth: int, read_words: ReadWords) -> tuple[list[WeightRow], list[InitialValue]]:
    """All writes of a job: rows in order, and initial accumulators in order of block and lane.

    ``groups`` and ``depth`` are GROUPS and WEIGHT_DEPTH of the hardware; rows wrap modulo ``depth``.
    """
    rows, initial = [], []
    for block in range(job.blocks):
        planes = [np.asarray(read_words(*requests(job, port)[block]), dtype="<u8") for port in (0, 1)]
        targets = target_groups(block, job.blocks, groups)
        weights = np.hstack([plane[: 2 * job.rows].view("<i2").reshape(job.rows, LANES // 2) for plane in planes])
        rows += [
            WeightRow(targets, (job.weight_base + row) % depth, tuple(int(weight) for weight in weights[row])) for row in range(job.rows)
        ]
        accumulators = np.concatenate([plane[2 * job.rows :] for plane in planes]).view("<i8") << 16 >> 16
        initial += [InitialValue(targets, lane, job.bias_bank, int(value)) for lane, value in enumerate(accumulators)]
    return rows, initial
