# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/convolution/partial_sums.v, of both streams of a group: the sums that jobs leave for jobs that go on with them.

The units of such a job go to the streams in turn, stream 0 first, and each stream has a FIFO: so a sum is found by its order alone. The
model remembers whose sums they are, and refuses a job that would go on with those of others, which the hardware does not notice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from gradcore.hardware import LANES, PARTIAL_PIXELS, STREAMS

Shape = tuple[int, int, int]  # what the chunks of a sum have in common: units of a row, blocks, pixels of a unit


class PartialError(ValueError):
    """Sums that are not there, are not those of the job's units, or for which there is no room."""


@dataclass(frozen=True)
class PartialPixel:
    """The sums of one pixel, int64 (LANES,), and whose they are: the number and shape of the job, row and column of the unit, the
    place in it."""

    sums: np.ndarray
    job: int
    shape: Shape
    row: int
    column: int
    place: int


@dataclass
class PartialSums:
    """The FIFOs of one group: of each stream up to ``PARTIAL_PIXELS`` pixels.

    Attributes:
        jobs: that have left sums so far.
    """

    queues: tuple[deque[PartialPixel], ...] = field(default_factory=lambda: tuple(deque() for _ in range(STREAMS)))
    jobs: int = 0

    @property
    def waiting(self) -> int:
        """Pixels whose sums no job has taken."""
        return sum(map(len, self.queues))

    def take(self, shape: Shape, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """int64 (units, pixels of a unit, LANES): the sums that a job with ``from_partial`` goes on with.

        ``rows``, ``columns``: of its units in this group, in their order. They must be those of the oldest job that has left sums: all of
        its rows, or the next ones. Raises PartialError for others.
        """
        taken = np.zeros((len(rows), shape[2], LANES), dtype=np.int64)
        first: PartialPixel | None = None
        for unit, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            queue = self.queues[unit % STREAMS]
            for place in range(shape[2]):
                if not queue:
                    raise PartialError("goes on with partial sums that no job has left")
                pixel = queue.popleft()
                first = first or pixel
                where = pixel.row - first.row, pixel.column, pixel.place
                if (pixel.job, pixel.shape) != (first.job, shape) or where != (row - int(rows[0]), column, place):
                    raise PartialError("goes on with the partial sums of other units: columns, blocks, pooling or their order differ")
                taken[unit, place] = pixel.sums
        return taken

    def leave(self, shape: Shape, rows: np.ndarray, columns: np.ndarray, sums: np.ndarray) -> None:
        """Keep the sums (units, pixels of a unit, LANES) of a job with ``to_partial``. Raises PartialError where they find no room."""
        self.jobs += 1
        for unit, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            queue = self.queues[unit % STREAMS]
            queue.extend(PartialPixel(sums[unit, place], self.jobs, shape, row, column, place) for place in range(shape[2]))
            if len(queue) > PARTIAL_PIXELS:
                raise PartialError(f"leaves the partial sums of more than {PARTIAL_PIXELS} pixels in a stream")
