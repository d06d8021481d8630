# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/convolution/weight_loader.v: from the two planes in memory to rows of the groups' weight buffers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcore.hardware import LANES
from gradcore.models.jobs import WeightLoaderJob
from gradcore.models.memory import ADDRESSES, ReadWords


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


@dataclass(frozen=True)
class Block:
    """What a job brings for one block of 16 output channels.

    Attributes:
        groups: the groups that it is for. addresses: int (rows,): where its rows go in their weight buffers.
        weights: int64 (rows, LANES). initial: int64 (LANES,), initial accumulators.
    """

    groups: tuple[int, ...]
    addresses: np.ndarray
    weights: np.ndarray
    initial: np.ndarray


def target_groups(block: int, blocks: int, groups: int) -> tuple[int, ...]:
    """The groups that compute ``block``: copies of the blocks as often as they fit in ``groups``."""
    return tuple(range(block, blocks * (groups // blocks), blocks))


def row_words(job: WeightLoaderJob) -> int:
    """Words of a block's rows in a plane: of each row its 8 lanes; of a diagonal one weight in either plane."""
    return job.rows // 8 if job.diagonal else 2 * job.rows


def requests(job: WeightLoaderJob, port: int) -> list[tuple[int, int]]:
    """(byte address, words) of each request of a port, in order: one for each block."""
    words = row_words(job) + LANES // 2
    address = (job.address0, job.address1)[port]
    return [((address + 8 * words * block) % ADDRESSES, words) for block in range(job.blocks)]


def load_blocks(job: WeightLoaderJob, groups: int, depth: int, read_words: ReadWords) -> list[Block]:
    """What a job brings, block by block.

    ``groups`` and ``depth`` are GROUPS and WEIGHT_DEPTH of the hardware; rows wrap modulo ``depth``.
    """
    made = []
    addresses = (job.weight_base + np.arange(job.rows)) % depth
    for block in range(job.blocks):
        planes = [np.asarray(read_words(*requests(job, port)[block]), dtype="<u8") for port in (0, 1)]
        words = row_words(job)
        weights = np.hstack([plane[:words].view("<i2").reshape(-1, LANES // 2) for plane in planes])
        if job.diagonal:
            weights = (weights[:, None] * np.eye(LANES, dtype=weights.dtype)).reshape(job.rows, LANES)
        initial = np.concatenate([plane[words:] for plane in planes]).view("<i8") << 16 >> 16
        made.append(Block(target_groups(block, job.blocks, groups), addresses, weights.astype(np.int64), initial))
    return made


def load_weights(job: WeightLoaderJob, groups: int, depth: int, read_words: ReadWords) -> tuple[list[WeightRow], list[InitialValue]]:
    """All writes of a job: rows in order, and initial accumulators in order of block and lane; arguments as for ``load_blocks``."""
    rows, initial = [], []
    for block in load_blocks(job, groups, depth, read_words):
        targets = sum(1 << group for group in block.groups)
        rows += [WeightRow(targets, *row) for row in zip(block.addresses.tolist(), map(tuple, block.weights.tolist()), strict=True)]
        initial += [InitialValue(targets, lane, job.bias_bank, value) for lane, value in enumerate(block.initial.tolist())]
    return rows, initial
