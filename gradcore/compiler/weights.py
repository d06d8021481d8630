# SPDX-License-Identifier: Apache-2.0
"""Weights as the hardware reads them: planes of convolution weights, matrices, and their place in the weight buffer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.layout import BLOCK, round_up
from gradcore.compiler.terms import WINDOW_PLACES, Term
from gradcore.compiler.tiling import Load, TilePlan
from gradcore.models import arithmetic

MERGE_ROWS = 32  # a part of fewer rows is not worth a WEIGHTS job of its own


@dataclass(frozen=True)
class WeightPart:
    """Rows ``first`` .. ``first + rows - 1`` of a set's blocks: one WEIGHTS job, allowed after ``wait_computed``
    tiles."""

    first: int
    rows: int
    wait_computed: int


@dataclass
class WeightSet:
    """The weights of one load of a plan, and where they live in the weight buffer while its tiles run.

    Attributes:
        plan, load: whose weights.
        first_tile, last_tile: the TILE jobs that use them.
        base: first row (the buffer is a ring); bias_bank: bank of the initial accumulators.
        parts: the jobs that load them, in program order.
        loaded: WEIGHTS jobs of the program up to and including the last part.
        addresses: (plane 0, plane 1) of each part, set by the layout.
    """

    plan: TilePlan
    load: Load
    first_tile: int
    last_tile: int
    base: int = 0
    bias_bank: int = 0
    parts: list[WeightPart] = field(default_factory=list)
    loaded: int = 0
    addresses: list[tuple[int, int]] = field(default_factory=list)

    @property
    def blocks(self) -> range:
        return self.load.blocks

    @property
    def rows(self) -> int:
        """Rows of the weight buffer that a block takes."""
        return self.plan.rows_of(self.load.chunks)

    @cached_property
    def diagonal(self) -> bool:
        """Whether row n of each block has weights of lane n modulo 16 alone, as those of depthwise convolutions and identities."""
        if self.rows % BLOCK or any(self.plan.chunks[chunk].in_channels > BLOCK for chunk in self.load.chunks):
            return False
        others = ~np.eye(BLOCK, dtype=bool)
        return not any(block_rows(self, block).reshape(-1, BLOCK, BLOCK)[:, others].any() for block in self.blocks)

    def offset(self, chunk: int) -> int:
        """The row at which the weights of a chunk begin, counted from the base."""
        first = self.plan.distinct(self.load.chunks)
        before = (one for one, like in first.items() if one == like < first[chunk])
        return sum(self.plan.chunk_rows(self.plan.chunks[one]) for one in before)


def place(sets: list[WeightSet], hardware: HardwareConfig) -> None:
    """Give every set its rows, in a ring, and cut its load where a piece can be fetched before the rest.

    A row may be overwritten when the last tile that uses it is computed; a bank of initial accumulators likewise. As a
    set's rows follow those of the set before, most of them are free while that one still computes.
    """
    free_after = np.zeros(hardware.weight_depth, dtype=np.int64)  # number of tiles that must be computed before the row is free
    bank_free = [0, 0]
    pointer = loaded = 0
    for number, weights in enumerate(sets):
        weights.base, weights.bias_bank = pointer, number % 2
        rows = weights.rows
        ring = (pointer + np.arange(rows)) % hardware.weight_depth
        waits = np.maximum(free_after[ring], bank_free[number % 2])
        if weights.diagonal:  # its parts hold whole diagonals
            waits = np.repeat(waits.reshape(-1, BLOCK).max(axis=1), BLOCK)
        waits = waits.tolist()
        # What is loaded again for each group of tiles is in one part, so that all can read the same.
        weights.parts = [WeightPart(0, rows, max(waits))] if weights.plan.together else _cut(waits)
        free_after[ring] = weights.last_tile + 1
        bank_free[number % 2] = weights.last_tile + 1
        pointer = (pointer + rows) % hardware.weight_depth
        loaded += len(weights.parts)
        weights.loaded = loaded


def _cut(waits: list[int]) -> list[WeightPart]:
    """Runs of rows with the same wait, short ones merged, in the order in which they may be loaded."""
    runs: list[list[int]] = []
    for row, wait in enumerate(waits):
        if runs and runs[-1][2] == wait:
            runs[-1][1] += 1
        else:
            runs.append([row, 1, wait])
    merged: list[list[int]] = []
    for run in runs:
        if merged and (run[1] < MERGE_ROWS or merged[-1][1] < MERGE_ROWS):
            merged[-1][1] += run[1]
            merged[-1][2] = max(merged[-1][2], run[2])
        else:
            merged.append(run)
    return [WeightPart(*run) for run in sorted(merged, key=lambda run: (run[2], run[0]))]


def block_weights(plan: TilePlan, chunk: Term, block: int) -> np.ndarray:
    """int16 (weight rows, 16): row = tap * in_channels + channel; of a pack the taps of all its pixels; one tap where all share it."""
    if chunk.winners is not None:
        return _winner_weights(chunk, block)
    height, width = (1, 1) if plan.shares_taps(chunk) else chunk.kernel
    taps = np.zeros((height, width + plan.pack - 1, chunk.in_channels, BLOCK), dtype=np.int16)
    pitch = BLOCK // plan.pack
    part = chunk.weights[block * BLOCK : (block + 1) * BLOCK, :, :height, :width]
    for pixel in range(plan.pack):
        taps[:, pixel : pixel + width, :, pixel * pitch : pixel * pitch + len(part)] = part.transpose(2, 3, 1, 0)
    return taps.reshape(-1, BLOCK)


def block_rows(weights: WeightSet, block: int) -> np.ndarray:
    """int16 (weight rows, 16) of all that a set loads for a block."""
    distinct = [one for one, like in weights.plan.distinct(weights.load.chunks).items() if one == like]
    return np.concatenate([block_weights(weights.plan, weights.plan.chunks[chunk], block) for chunk in distinct])


def _winner_weights(chunk: Term, block: int) -> np.ndarray:
    """int16 (weight rows, 16): row = 16 * (tap * spacing + index) + channel holds the tap's weights where the index is its own."""
    rows = np.zeros((chunk.spacing * (len(chunk.winners) - 1) + WINDOW_PLACES, BLOCK, BLOCK), dtype=np.int16)
    part = chunk.weights[block * BLOCK : (block + 1) * BLOCK].reshape(-1, chunk.in_channels, len(chunk.winners))
    for tap, winner in enumerate(chunk.winners):
        rows[tap * chunk.spacing + winner, : chunk.in_channels, : len(part)] = part[:, :, tap].T
    return rows.reshape(-1, BLOCK)


def alike(one: TilePlan, other: TilePlan) -> bool:
    """Whether two plans load the same weights and initial accumulators, once each."""
    if one.together or other.together or len(one.sets) > 1 or len(one.chunks) != len(other.chunks) or one.sets != other.sets:
        return False
    shifts, packs = one.made.shift == other.made.shift, one.pack == other.pack
    biases = [plan.made.bias for plan in (one, other)]
    same = all(bias is None for bias in biases) or all(bias is not None for bias in biases) and np.array_equal(*biases)
    chunks = zip(one.chunks, other.chunks, strict=True)
    return shifts and packs and same and all(a.winners == b.winners and np.array_equal(a.weights, b.weights) for a, b in chunks)


def initial_accumulators(plan: TilePlan, block: int) -> np.ndarray:
    """int64 (16,): bias plus rounding constant of each lane."""
    values = np.full(BLOCK, arithmetic.rounding_constant(plan.made.shift), dtype=np.int64)
    if plan.made.bias is not None:
        part = plan.made.bias[block * BLOCK : (block + 1) * BLOCK]
        for first in range(0, BLOCK, BLOCK // plan.pack):
            values[first : first + len(part)] += part
    return values


def planes(weights: WeightSet, part: WeightPart) -> list[np.ndarray]:
    """The two planes of a part, uint8: for each block its rows of 8 lanes, of a diagonal the 8 weights in each 16 rows; then 8 initial
    accumulators of 64 bits."""
    result: list[list[np.ndarray]] = [[], []]
    for block in weights.blocks:
        rows = block_rows(weights, block)[part.first : part.first + part.rows]
        if weights.diagonal:
            rows = np.diagonal(rows.reshape(-1, BLOCK, BLOCK), axis1=1, axis2=2)
        initial = initial_accumulators(weights.plan, block)
        for half in (0, 1):
            lanes = slice(8 * half, 8 * half + 8)
            result[half] += [
                np.ascontiguousarray(rows[:, lanes]).astype("<i2").reshape(-1).view(np.uint8),
                initial[lanes].astype("<i8").view(np.uint8),
            ]
    return [np.concatenate(half) for half in result]


@dataclass(frozen=True)
class MatrixChunk:
    """At most 512 outputs of a vector-matrix product: one VECTOR job.

    Attributes:
        first, outputs: outputs (in memory order, padding included) ``first`` .. ``first + outputs - 1``.
        blocks: blocks of 8 lanes in each half. pitch_log2: log2 of the bytes from one input's weights to the next, in
            a plane.
        words: words that each half stores.
    """

    first: int
    outputs: int
    blocks: int
    pitch_log2: int
    words: tuple[int, int]


def chunks(outputs: int, hardware: HardwareConfig) -> list[MatrixChunk]:
    """Cut ``outputs`` (a multiple of 4) in chunks."""
    largest = 2 * 8 * hardware.vector_blocks
    result = []
    for first in range(0, outputs, largest):
        size = min(largest, outputs - first)
        blocks = max(2, round_up(-(-size // 16), 2))
        words0 = min(size, 8 * blocks) // 4
        result.append(MatrixChunk(first, size, blocks, (16 * blocks - 1).bit_length(), (words0, size // 4 - words0)))
    return result


def matrix_planes(matrix: np.ndarray, chunk: MatrixChunk) -> list[np.ndarray]:
    """The two planes of a chunk, uint8, of matrix int (inputs, outputs) in memory order, padding included."""
    part = np.zeros((matrix.shape[0], 16 * chunk.blocks), dtype="<i2")
    part[:, : chunk.outputs] = matrix[:, chunk.first : chunk.first + chunk.outputs]
    result = []
    for half in (0, 1):
        plane = np.zeros((matrix.shape[0], (1 << chunk.pitch_log2) // 2), dtype="<i2")
        plane[:, : 8 * chunk.blocks] = part[:, 8 * chunk.blocks * half : 8 * chunk.blocks * (half + 1)]
        result.append(plane.reshape(-1).view(np.uint8))
    return result


def bias_planes(bias: np.ndarray, shift: int, chunk: MatrixChunk) -> list[np.ndarray]:
    """Initial accumulators of each half, uint8 of 64-bit words; bias int64 (outputs,) in memory order, padding
    included."""
    values = np.full(16 * chunk.blocks, arithmetic.rounding_constant(shift), dtype="<i8")
    values[: chunk.outputs] += bias[chunk.first : chunk.first + chunk.outputs]
    return [values[: 8 * chunk.blocks].view(np.uint8), values[8 * chunk.blocks :].view(np.uint8)]
