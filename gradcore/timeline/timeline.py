# SPDX-License-Identifier: Apache-2.0
"""A timeline of the engines for one run: tracks with slices of time, and counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gradcore.timeline.jobs import JobTimes

WINDOW = 128  # cycles that a counter's value is the mean of


@dataclass(frozen=True)
class Slice:
    """A stretch of time on a track: [start, end) in cycles.

    Attributes:
        name: the job, or what is waited for.
        wait: it is a wait; waits lie in or between the slices of jobs.
        cycles: how many of its cycles were spent how; exact, pauses that do not show included.
    """

    name: str
    start: int
    end: int
    wait: bool = False
    cycles: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Track:
    """The slices of one unit, sorted by start; slices are apart or nested."""

    group: str
    name: str
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Counter:
    """Means over windows of ``WINDOW`` cycles (the last may be shorter), float64."""

    group: str
    name: str
    unit: str
    values: np.ndarray


@dataclass(frozen=True)
class Timeline:
    """One run.

    Attributes:
        cycles: the time from START to the interrupt.
        tracks: the first are the layers.
        counters: of memory and multipliers.
        stream_cycles: how the conv streams spent their cycles, by layer and by what they did or waited for: means over
            the streams, so that those of a layer add up to the layer's cycles (the last ends with the cycle counter).
        jobs: every job of the program with its times: the sequencer's trace.
    """

    cycles: int
    tracks: tuple[Track, ...]
    counters: tuple[Counter, ...]
    stream_cycles: dict[str, dict[str, float]]
    jobs: tuple[JobTimes, ...] = ()

    def track(self, name: str) -> Track:
        """The track of that name."""
        return next(track for track in self.tracks if track.name == name)
