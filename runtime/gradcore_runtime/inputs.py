# SPDX-License-Identifier: Apache-2.0
"""What a user names, and what is told while it is done."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from .errors import GradCoreError

Progress = Callable[[str, int, int], None]
"""A function ``progress(text, done, total)`` that is called when a stage begins and after each step; ``total`` is 0 where the number of
steps is not known."""


def silent(text: str, done: int = 0, total: int = 0) -> None:
    """The progress function that shows nothing."""


def check_choice(what: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that is not one of those known.

    Raises:
        GradCoreError: naming them.
    """
    if value not in known:
        near = difflib.get_close_matches(str(value).lower(), known, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise GradCoreError(f"unknown {what} {value!r}{hint}: use one of {', '.join(known)}")
