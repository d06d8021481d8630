# SPDX-License-Identifier: Apache-2.0
"""A sample of the stored results against the Verilog itself: equal in every bit, or the run fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcore.datasets.storage import open_part, table_of, vectors
from gradcore.datasets.task import Part, Task
from gradcore.datasets.working import explain_rows
from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

_VECTORS = ("logits", "attribution")


def check_rows(task: Task, part: Part, rows: Sequence[int], preset: str, simulator: str, progress: Progress) -> None:
    """Run rows through the golden model and the Verilog, which must be equal, and hold what is stored of them against both.

    Args:
        part: it is stored.
        rows: some of its, in order.
        preset, simulator: of the hardware that is simulated.

    Raises:
        GradCoreError: anything differs; it names the row, and what.
    """

    def report(text: str, done: int = 0, total: int = 0) -> None:
        progress("checking a sample against the Verilog", 0, 0)

    options = {"backend": "rtl", "preset": preset, "simulator": simulator, "headroom": task.setup.headroom}
    expected = table_of(task, rows, None, explain_rows(task, rows, report, **options))
    path = task.path(part)
    with open_part(path) as (opened, _):
        stored = opened.read(columns=expected.column_names).take(np.asarray(rows) - part.start)
    for number, row in enumerate(rows):
        found = [_difference(name, stored[name], expected[name], number) for name in expected.column_names]
        if any(found):
            raise GradCoreError(
                f"{path}: what is stored of row {row} differs from the Verilog and its model: {'; '.join(filter(None, found))}: the "
                "file or the data were changed, or a worker computes wrongly; delete the run's files and start again, and report it if "
                "it comes back"
            )


def _difference(name: str, stored: pa.ChunkedArray, expected: pa.ChunkedArray, number: int) -> str | None:
    """What differs in a column of a row, in words."""
    if name not in _VECTORS:
        one, other = stored[number].as_py(), expected[number].as_py()
        return None if one == other else f"{name} {one} instead of {other}"
    if stored.type != expected.type:
        return f"{name} of the type {stored.type} instead of {expected.type}"
    one, other = vectors(stored)[number], vectors(expected)[number]
    places = np.flatnonzero(one != other)
    if not places.size:
        return None
    first = places[0]
    return f"{places.size} of {one.size} values of {name} (the first at {first}: {one[first]} instead of {other[first]})"
