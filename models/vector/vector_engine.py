# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/vector/vector_engine.v: one job, from vector, tags, matrix planes and bias in memory to the words written.

A job with ``keep`` stores nothing: the next one goes on with its sums, which the model hands on (``kept``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcore.models import arithmetic
from gradcore.models.jobs import VectorEngineJob
from gradcore.models.memory import ByteWrite, ReadWords, Span, Write, bytes_of
from gradcore.models.tags import BLOCK, join_pieces

LEAST_ROW_WORDS = 4


@dataclass(frozen=True)
class VectorResult:
    """What a job does: what each half stores, its multiplications, and the zero inputs that it skips.

    ``stored``: the bytes that each half writes, in order. ``vector_reads``: words read for values and tags; ``row_reads``: words read
    by each half for rows and bias. ``saturated``: outputs of each half that were clipped (see ``gradcore.models.arithmetic.saturated``).
    ``kept``: int64 (4 * words,) sums of each half with which the next job goes on; None unless the job has ``keep``.
    """

    stored: tuple[tuple[ByteWrite, ...], tuple[ByteWrite, ...]]
    vector_reads: int
    row_reads: tuple[int, int]
    macs: int
    zeros: int
    saturated: tuple[int, int]
    kept: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def writes(self) -> tuple[tuple[Write, ...], tuple[Write, ...]]:
        """The write requests of each half in order, as its port shows them."""
        first, second = (tuple(map(Write.of, half)) for half in self.stored)
        return first, second


def tag_span(job: VectorEngineJob, method: str) -> Span | None:
    """The bytes of the mask of the input values; None when it is not read: DeconvNet's rule ignores it."""
    if not (job.load_relu and job.tags and method != "deconvnet"):
        return None
    return Span(job.tag_address, -(-4 * job.vector_words // 8))


def loaded_vector(job: VectorEngineJob, method: str, read: ReadWords, *, rules=arithmetic) -> np.ndarray:
    """The job's input values, int64 (4 * vector_words,), after the method's ReLU rule."""
    values = read(job.vector_address, job.vector_words).view("<i2").astype(np.int64)
    if not job.load_relu:
        return values
    span = tag_span(job, method)
    bits = np.unpackbits(span.read(read), bitorder="little") if span else np.ones(len(values))
    mask = bits[: len(values)].astype(bool)
    return rules.relu_backward(values, mask, method)


def half_sums(
    job: VectorEngineJob, half: int, values: np.ndarray, read: ReadWords, *, kept: np.ndarray | None = None, rules=arithmetic
) -> np.ndarray:
    """int64 (4 * words,): the accumulators of one half, given the job's input values after the ReLU rule, and what the job before has
    ``kept``. Initial values or the rounding constant come in with the last slice, the job without ``keep``."""
    words = int(getattr(job, f"destination_words{half}"))
    if not words:
        return np.zeros(0, dtype=np.int64)
    used = np.flatnonzero(values)
    matrix_address = getattr(job, f"matrix_address{half}")
    rows = np.zeros((len(used), 4 * words), dtype=np.int64)
    for place, index in enumerate(used):
        row = read(matrix_address + (int(index) << job.pitch_log2), max(LEAST_ROW_WORDS, words))
        rows[place] = row.view("<i2")[: 4 * words]
    initial: np.ndarray | int
    if job.keep:
        initial = 0
    elif job.has_bias:
        initial = (read(getattr(job, f"bias_address{half}"), 4 * words) << np.uint64(16)).view("<i8") >> 16
    else:
        initial = rules.rounding_constant(job.shift)
    return rules.exact_sum(values[used][None], rows, initial if kept is None else initial + kept)[0]


def half_writes(job: VectorEngineJob, half: int, accumulators: np.ndarray, *, rules=arithmetic) -> tuple[ByteWrite, ...]:
    """What one half stores, given its accumulators."""
    if not len(accumulators) or job.keep:
        return ()
    outputs = rules.requantise_rounded(accumulators, job.shift)
    passed, mask = rules.clip(outputs, arithmetic.VALUE_MAX) if job.clip else rules.relu(outputs)
    content = bytes_of((passed if job.relu else outputs).astype("<i2"))
    writes = [ByteWrite(getattr(job, f"destination_address{half}"), content)]
    if job.store_tags:
        pieces = join_pieces(np.pad(mask, (0, -len(mask) % BLOCK)), None)
        writes.append(ByteWrite(getattr(job, f"tag_destination{half}"), bytes_of(pieces.astype("<u2"))))
    return tuple(writes)


def half_saturated(job: VectorEngineJob, accumulators: np.ndarray, *, rules=arithmetic) -> np.ndarray:
    """Bool: which outputs of one half were clipped, and count."""
    if job.keep or job.clip:
        return np.zeros(len(accumulators), dtype=bool)
    return rules.saturated_rounded(accumulators, job.shift, bool(job.relu))


def vector_engine(
    job: VectorEngineJob, method: str, read: ReadWords, *, kept: tuple[np.ndarray, np.ndarray] | None = None, rules=arithmetic
) -> VectorResult:
    """All that ``job`` does under ``method`` ("saliency", "deconvnet" or "guided").

    ``kept``: the sums of both halves that the job before has kept. ``rules``: the arithmetic, see ``gradcore.models.arithmetic``.
    """
    values = loaded_vector(job, method, read, rules=rules)
    used = int(np.count_nonzero(values))
    stored = (job.destination_words0, job.destination_words1)
    rows = [max(LEAST_ROW_WORDS, words) if words else 0 for words in stored]
    tags = tag_span(job, method)
    sums = [half_sums(job, half, values, read, kept=kept[half] if kept else None, rules=rules) for half in (0, 1)]
    saturated = [int(half_saturated(job, one, rules=rules).sum()) for one in sums]
    biases = [4 * words * bool(job.has_bias and not job.keep) for words in stored]
    return VectorResult(
        stored=(half_writes(job, 0, sums[0], rules=rules), half_writes(job, 1, sums[1], rules=rules)),
        vector_reads=job.vector_words + (tags.words if tags else 0),
        row_reads=(used * rows[0] + biases[0], used * rows[1] + biases[1]),
        macs=4 * used * sum(rows),
        zeros=len(values) - used,
        saturated=(saturated[0], saturated[1]),
        kept=(sums[0], sums[1]) if job.keep else None,
    )
