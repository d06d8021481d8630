# SPDX-License-Identifier: Apache-2.0
"""What a worker does: one part of a run, from the data file to the file of its results."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradcore.datasets.identity import source_version
from gradcore.datasets.storage import is_there, write_part
from gradcore.datasets.task import Part, Task
from gradcore.errors import GradCoreError
from gradcore.explanation import Explanation, explain
from gradcore.host.progress import Progress, silent
from gradcore.pictures.data import read_pictures


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    Attributes:
        part: its number.
        made: whether it was made now; else it was there.
        error: why it could not be made, one line.
        worker: the machine and the process.
    """

    part: int
    made: bool = False
    error: str | None = None
    worker: str = ""


def explain_part(task: Task, part: Part, labels: np.ndarray | None, progress: Progress = silent) -> Outcome:
    """Make a part, unless it is there.

    Args:
        labels: of its rows.

    Returns:
        What became of it; whatever a user can put right is in ``error``, so that it travels whole.
    """
    worker = f"{socket.gethostname()}, process {os.getpid()}"
    try:
        _check_worker(task, worker)
        if is_there(task, part):
            return Outcome(part.number, worker=worker)
        write_part(task, part, labels, explain_rows(task, part.rows, progress))
        return Outcome(part.number, True, worker=worker)
    except GradCoreError as error:
        if is_there(task, part):  # a worker that was thought dead has made it meanwhile
            return Outcome(part.number, worker=worker)
        return Outcome(part.number, error=str(error), worker=worker)
    except MemoryError:
        text = f"rows {part.start} to {part.stop - 1} need more memory than there is ({worker}): take fewer rows a part, with --rows"
        return Outcome(part.number, error=text, worker=worker)


def explain_rows(task: Task, rows: Sequence[int], progress: Progress = silent, **options: object) -> list[Explanation]:
    """The explanations of rows; those of the run's set-up, but for the ``options``.

    Raises:
        GradCoreError: a row has no picture, or it cannot be explained; or the Verilog differs from its model.
    """
    pictures = []
    for first, last in _spans(rows):
        pictures += read_pictures(task.data, range(first, last + 1), task.network.input_shape)
    asked = {"against": task.aim.against, "keep": False, "progress": progress, **task.parameters, **options}
    return explain(pictures, task.network, task.method, task.aim.target, asked.pop("backend", task.setup), **asked)


def _spans(rows: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of consecutive rows among rows in order."""
    numbers = np.asarray(rows)
    ends = np.flatnonzero(np.diff(numbers) != 1)
    return list(zip(numbers[[0, *(ends + 1)]].tolist(), numbers[[*ends, -1]].tolist(), strict=True))


def _check_worker(task: Task, worker: str) -> None:
    """Refuse to work with other sources than the client's, or where its files are not seen."""
    if source_version() != task.version:
        raise GradCoreError(
            f"the worker ({worker}) runs gradcore {source_version()}, this is {task.version}: install the same version on all machines"
        )
    if not Path(task.out).is_dir():
        raise GradCoreError(f"the worker ({worker}) does not see the folder {task.out}: --out must lie where all machines see it")
