# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/vector/vector_engine.v: one job, from vector, tags, matrix planes and bias in memory to the words written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcore.models import arithmetic
from gradcore.models.jobs import VectorEngineJob

LEAST_ROW_WORDS = 4
ReadWords = Callable[[int, int], np.ndarray]
"""Reads memory: (byte address, a multiple of 8; number of words) -> uint64 array of words."""


@dataclass(frozen=True)
class Write:
    """A write request with its words: ``data`` unsigned 64-bit words (bytes without strobe are 0), ``strobes`` 8 bits each."""

    address: int
    data: tuple[int, ...]
    strobes: tuple[int, ...]


@dataclass(frozen=True)
class VectorResult:
    """What a job does: the writes of each half in order, its multiplications, and the zero inputs that it skips.

    ``vector_reads``: words read for values and tags; ``row_reads``: words read by each half for rows and bias.
    ``saturated``: outputs of each half that were clipped (see ``gradcore.models.arithmetic.saturated``).
    """

    writes: tuple[tuple[Write, ...], tuple[Write, ...]]
    vector_reads: int
    row_reads: tuple[int, int]
    macs: int
    zeros: int
    saturated: tuple[int, int]


def byte_write(address: int, content: np.ndarray) -> Write:
    """The write of ``content`` (any dtype, little-endian) to a byte address: whole words, byte strobes covering just it."""
    content = np.ascontiguousarray(content).view(np.uint8).reshape(-1)
    skip = address % 8
    words = -(-(skip + len(content)) // 8)
    buffer = np.zeros(8 * words, dtype=np.uint8)
    buffer[skip : skip + len(content)] = content
    inside = np.zeros(8 * words, dtype=np.uint8)
    inside[skip : skip + len(content)] = 1
    strobes = np.packbits(inside, bitorder="little")
    return Write(address - skip, tuple(map(int, buffer.view("<u8"))), tuple(map(int, strobes)))


def loaded_vector(job: VectorEngineJob, method: str, read: ReadWords, *, rules=arithmetic) -> np.ndarray:
    """The job's input values, int64 (4 * vector_words,), after the method's ReLU rule."""
    values = read(job.vector_address, job.vector_words).view("<i2").astype(np.int64)
    if not job.load_relu:
        return values
    mask = np.ones(len(values), dtype=bool)
    if job.tags and method != "deconvnet":
        skip = job.tag_address % 8
        raw = read(job.tag_address - skip, -(-(8 * skip + len(values)) // 64))
        mask = np.unpackbits(raw.view(np.uint8), bitorder="little")[8 * skip :][: len(values)].astype(bool)
    return rules.relu_backward(values, mask, method)


def half_sums(job: VectorEngineJob, half: int, values: np.ndarray, read: ReadWords, *, rules=arithmetic) -> np.ndarray:
    """int64 (4 * words,): the accumulators of one half, given the job's input values after the ReLU rule."""
    words = int(getattr(job, f"destination_words{half}"))
    if not words:
        return np.zeros(0, dtype=np.int64)
    used = np.flatnonzero(values)
    matrix_address = getattr(job, f"matrix_address{half}")
    rows = np.zeros((len(used), 4 * words), dtype=np.int64)
    for place, index in enumerate(used):
        rows[place] = read(matrix_address + (int(index) << job.pitch_log2), words).view("<i2")
    if job.has_bias:
        initial = (read(getattr(job, f"bias_address{half}"), 4 * words) << np.uint64(16)).view("<i8") >> 16
    else:
        initial = rules.rounding_constant(job.shift)
    return rules.exact_sum(values[used][None], rows, initial)[0]


def half_writes(job: VectorEngineJob, half: int, accumulators: np.ndarray, *, rules=arithmetic) -> tuple[Write, ...]:
    """The writes of one half, given its accumulators."""
    words = len(accumulators) // 4
    if not words:
        return ()
    outputs = rules.requantise_rounded(accumulators, job.shift)
    passed, mask = rules.relu(outputs)
    writes = [byte_write(getattr(job, f"destination_address{half}"), (passed if job.relu else outputs).astype("<i2"))]
    if job.store_tags:
        bits = np.zeros(-(-words // 4) * 16, dtype=bool)
        bits[: len(mask)] = mask
        pieces = np.packbits(bits, bitorder="little").view("<u2")
        writes.append(byte_write(getattr(job, f"tag_destination{half}"), pieces))
    return tuple(writes)


def vector_engine(job: VectorEngineJob, method: str, read: ReadWords, *, rules=arithmetic) -> VectorResult:
    """All that ``job`` does under ``method`` ("saliency", "deconvnet" or "guided").

    ``rules``: the arithmetic, see ``gradcore.models.arithmetic``.
    """
    values = loaded_vector(job, method, read, rules=rules)
    used = int(np.count_nonzero(values))
    stored = (job.destination_words0, job.destination_words1)
    rows = [max(LEAST_ROW_WORDS, words) if words else 0 for words in stored]
    masked = job.load_relu and job.tags and method != "deconvnet"
    tag_words = -(-(job.tag_address % 8 * 8 + len(values)) // 64) if masked else 0
    sums = [half_sums(job, half, values, read, rules=rules) for half in (0, 1)]
    saturated = [int(rules.saturated_rounded(one, job.shift, bool(job.relu)).sum()) for one in sums]
    return VectorResult(
        writes=(half_writes(job, 0, sums[0], rules=rules), half_writes(job, 1, sums[1], rules=rules)),
        vector_reads=job.vector_words + tag_words,
        row_reads=(
            used * rows[0] + 4 * stored[0] * bool(job.has_bias),
            used * rows[1] + 4 * stored[1] * bool(job.has_bias),
        ),
        macs=4 * used * sum(rows),
        zeros=len(values) - used,
        saturated=(saturated[0], saturated[1]),
    )
