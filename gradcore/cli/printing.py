# SPDX-License-Identifier: Apache-2.0
"""What commands print: tables and JSON on standard output, notes on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gradcore.errors import GradCoreError
from gradcore.host.streams import not_finite, printable, put, put_json, standard_output, tell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gradcore.explanation import Explanation
    from gradcore.host.progress import ProgressDisplay

WIDTH = 160  # columns of what goes to a file or a pipe


def tell_notes(progress: ProgressDisplay, subject: str, notes: Sequence[str]) -> None:
    """Notes, on standard error, each with what it is about."""
    for note in notes:
        progress.note(f"{subject}: {note}")


@contextlib.contextmanager
def errors_last() -> Iterator[Callable[[], contextlib.AbstractContextManager]]:
    """Gives a context that keeps an error for the end of the block, so that what comes after it is done; the first one counts."""
    found: list[GradCoreError] = []

    @contextlib.contextmanager
    def later() -> Iterator[None]:
        try:
            yield
        except GradCoreError as error:
            found.append(error)

    yield later
    if found:
        raise found[0]


def print_json(report: dict[str, Any]) -> None:
    """The report; numbers that are none become null, which standard error says."""
    broken = not_finite(report)
    if broken:
        tell(f"{', '.join(broken[:5])}{' ...' if len(broken) > 5 else ''}: no finite numbers, null in the JSON")
    put_json(report)


def _console() -> Console:
    """What prints tables: names are taken literally; a file or a pipe, which has no width of its own, gets wide ones."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=wide)


def print_tables(tables: list[Table]) -> None:
    with standard_output():
        console = _console()
        for table in tables:
            console.print(table)


def print_explanation(result: Explanation) -> None:
    """The classes with their scores, and where the files are."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from gradcore.explanation.result_folders import FILES

    answer = f"{result.image}: {result.classes[result.predicted]}{' (weak)' if result.weak else ''}"
    table = Table(title=Text(printable(answer)), title_justify="left", title_style="bold")
    for heading, justify in (("class", "left"), ("score", "right"), ("softmax", "right"), ("", "left")):
        table.add_column(heading, justify=justify)
    order = np.argsort(-result.logits, kind="stable")
    for index in dict.fromkeys([*order[:10].tolist(), result.target]):
        numbers = [
            form.format(value) if np.isfinite(value) else "not finite"
            for form, value in (("{:.3f}", result.logits[index]), ("{:.1%}", result.softmax[index]))
        ]
        mark = "explained" if index == result.target else ""
        style = "bold" if index == result.predicted else None
        table.add_row(Text(printable(result.classes[index])), *numbers, mark, style=style)
    print_tables([table])
    if result.runs > 1:
        put(f"runs: {result.runs}")
    for name in FILES:
        if name in result.files:
            put(f"{name}: {printable(result.files[name])}")


def print_verilog(result: Explanation, alone: bool) -> None:
    """What the Verilog adds; with several pictures each line names its own."""
    if "trace" in result.files:
        put(f"trace: {printable(result.files['trace'])}")
        return
    place = "" if alone else f"{printable(result.image)}: "
    put(f"{place}verilog: {result.verilog} to its model in every bit of the scores and the heatmap")
    if result.cycles is not None:
        runs = "" if result.runs == 1 else f"in {result.runs} runs, "
        put(
            f"{place}cycles: {result.cycles.total:,} ({result.cycles.forward:,} forward, {result.cycles.backward:,} "
            f"backward), {runs}{result.latency_ms:.2f} ms at {result.clock_mhz:g} MHz"
        )
    if "waves" in result.files:
        put(f"{place}waves: {printable(result.files['waves'])}")
