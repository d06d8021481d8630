# SPDX-License-Identifier: Apache-2.0
"""What the engines did in each cycle of a simulated run: reads the file that ``activity_trace.v`` writes.

That file has a line ``# number name index`` for each signal, then ``cycle number value`` (decimal) for each change.
Cycle 0 is the first one that the hardware's cycle counter counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradcore.errors import GradCoreError


class Activity:
    """The observed signals of one run.

    Attributes:
        cycles: number of cycles of the run: what the hardware's counter CYCLES says.
    """

    def __init__(self, cycles: int, changes: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]) -> None:
        self.cycles = cycles
        self._changes = changes

    @classmethod
    def read(cls, path: str | Path, *, ended: bool = True) -> Activity:
        """Read the file of a simulation with one run. Without ``ended`` it may hold several, of which the last is taken, and that may be
        cut off, as by an error or a time limit.

        Raises:
            GradCoreError: the simulation held no complete run, or several; the file is cut; or signals were undefined
                (Icarus).
        """
        names: dict[int, tuple[str, int]] = {}
        cut = GradCoreError(f"the record of the engines, {path}, is cut: make room there, or set TMPDIR to another folder")
        try:
            text = Path(path).read_text()
        except OSError as error:
            raise GradCoreError(f"the record of the engines, {path}, cannot be read ({error.strerror})") from error
        lines = text.splitlines()
        if not text.endswith("\n"):
            if ended:
                raise cut
            lines = lines[:-1]
        while len(names) < len(lines) and lines[len(names)].startswith("#"):
            _, number, name, index = lines[len(names)].split()
            names[int(number)] = name, int(index)
        try:
            table = np.array(" ".join(lines[len(names) :]).split(), dtype=np.int64).reshape(-1, 3)
        except ValueError:
            undefined = next((line for line in lines[len(names) :] if "x" in line.lower()), None)
            if undefined is None:
                raise cut from None
            cycle, number, _ = undefined.split()
            name, index = names[int(number)]
            raise GradCoreError(
                f"the signal {name} {index} of activity_trace.v is undefined in cycle {cycle}: this is a bug of GradCore; "
                "look at it with --waves and report it"
            ) from None
        number_of = {signal: number for number, signal in names.items()}
        is_running = table[:, 1] == number_of.get(("running", 0), -1)
        if not ended and (is_running & (table[:, 2] == 1)).any():
            table = table[np.flatnonzero(is_running & (table[:, 2] == 1))[-1] :]
            is_running = table[:, 1] == number_of["running", 0]
        running = table[is_running]
        if not ended and running[:, 2].tolist() == [1]:
            running = np.vstack([running, [table[-1, 0] + 1, 0, 0]])
        if running[:, 2].tolist() != [1, 0]:
            said = "" if len(running) != 1 else f", which does not end (is there room at {path}?)"
            raise GradCoreError(
                f"a timeline is of one complete run, and this simulation held {int(running[:, 2].sum())}{said}: take one "
                "picture and one method"
            )
        cycles = int(running[1, 0])
        changes = {}
        for number, signal in names.items():
            rows = table[(table[:, 1] == number) & (table[:, 0] < cycles)]
            changes[signal] = rows[:, 0], rows[:, 2]
        return cls(cycles, changes)

    def count(self, name: str) -> int:
        """How many signals have that name: halves, groups, streams or ports."""
        return sum(signal == name for signal, _ in self._changes)

    def values(self, name: str, index: int = 0) -> np.ndarray:
        """uint32 (cycles,): the signal's value in each cycle."""
        times, values = self._changes[name, index]
        return np.repeat(values.astype(np.uint32), np.diff(times, append=self.cycles))

    def bit(self, name: str, index: int = 0, bit: int = 0) -> np.ndarray:
        """bool (cycles,): one bit of the signal in each cycle."""
        return (self.values(name, index) >> bit & 1).astype(bool)

    def pulses(self, name: str, index: int = 0, bit: int = 0) -> np.ndarray:
        """The cycles in which a bit is 1, ascending."""
        return np.flatnonzero(self.bit(name, index, bit))


def intervals(active: np.ndarray, gap: int = 0) -> np.ndarray:
    """Where a bool array is true: int64 (n, 2), [first, behind the last); pauses of up to ``gap`` are bridged."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], active, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) == 0:
        return np.empty((0, 2), dtype=np.int64)
    far = starts[1:] - ends[:-1] > gap
    return np.stack((starts[np.concatenate(([True], far))], ends[np.concatenate((far, [True]))]), axis=1)
