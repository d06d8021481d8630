# SPDX-License-Identifier: Apache-2.0
"""Progress on standard error: a bar on a terminal, a line now and then elsewhere.

Library functions take ``progress``, a function ``progress(text, done, total)`` that they call when a stage begins and
after each step; ``total`` is 0 where the number of steps is not known. Texts that differ in digits only are the same
stage. ``None`` means silence.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from types import TracebackType

from gradcore.host.streams import printable, tell
from gradcore.runtime.inputs import Progress, silent

__all__ = ["Progress", "ProgressDisplay", "silent"]

_SECONDS_BETWEEN_LINES = 10.0
_DIGITS = re.compile(r"[\d,]+")


class ProgressDisplay:
    """A progress function for the command line, to be used in a ``with`` block.

    On a terminal it is a rich progress bar that vanishes at the end. Elsewhere each stage is one line when it begins,
    and one every ten seconds while it lasts.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar = None
        self._task = None
        self._stage = ""
        self._began = self._last_line = 0.0

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_interactive and sys.stderr.isatty():  # FORCE_COLOR makes no terminal of a file
            from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
                redirect_stdout=False,  # results would go to standard error
            )
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def __call__(self, text: str, done: int = 0, total: int = 0) -> None:
        text = printable(text)
        stage = _DIGITS.sub("", text)
        begins, self._stage = stage != self._stage, stage
        if self._bar is not None:
            if begins and self._task is not None:
                self._bar.remove_task(self._task)
            if begins:
                self._task = self._bar.add_task(text, total=total or None)
            self._bar.update(self._task, description=text, completed=done, total=total or None)
            return
        now = time.monotonic()
        if begins:
            self._began = now
        elif now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        count = f": {done} of {total}" if total > 1 else ""
        elapsed = "" if begins else f" ({now - self._began:.0f} s)"
        tell(f"{text}{count}{elapsed}")
        self._last_line = now

    def note(self, text: str) -> None:
        """Print a line of standard error that stays."""
        if self._bar is not None:
            self._bar.console.print(printable(text), markup=False, emoji=False, highlight=False, soft_wrap=True)
        else:
            tell(text)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No bar is drawn in the block: results may be printed."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()
