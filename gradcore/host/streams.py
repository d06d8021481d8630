# SPDX-License-Identifier: Apache-2.0
"""The command's streams: results on standard output, everything else on standard error, whatever these are.

A stream may be closed, full or gone, and may not know a character; a name may hold anything.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from gradcore.errors import GradCoreError

_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED = ("Cc", "Cs", "Zl", "Zp")  # controls, halves of characters, line separators
_DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # turn the text around them


def prepare() -> None:
    """Make the three standard streams safe to use, once, before anything else is opened.

    A closed one is opened on the null device: else the next file that is opened takes its number, and what a library or a
    child process prints goes into that file. A character that a stream does not know is escaped, not an error.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:  # `print(..., file=None)` would print on standard output
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")


def tell(text: str) -> None:
    """Print a line on standard error; where that cannot be, nothing. Nothing of it ever goes elsewhere."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write(printable(text) + "\n")
        stream.flush()
    except (OSError, ValueError):
        _to_nowhere(stream)


def put(text: str) -> None:
    """Print results, ending with a new line, on standard output.

    Raises:
        GradCoreError: standard output is closed or full.
        BrokenPipeError: nobody reads it any more.
    """
    with standard_output() as stream:
        stream.write(text + "\n")


def put_json(value: Any) -> None:
    """Print results as JSON, in UTF-8, on standard output; see ``strict_json`` and ``put``."""
    text = strict_json(value) + "\n"
    with standard_output() as stream:
        stream.flush()
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(text)
        else:
            buffer.write(text.encode("utf-8"))
            buffer.flush()


@contextlib.contextmanager
def standard_output():
    """Standard output, to be written to in the block, and flushed at its end; errors as ``put`` raises them."""
    stream = sys.stdout
    if stream is None:
        raise _unprintable(os.strerror(errno.EBADF))
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _to_nowhere(stream)
        raise _unprintable(error.strerror or str(error)) from None


def abandon_output() -> None:
    """Let what is still to be printed go nowhere, silently: nobody reads it."""
    if sys.stdout is not None:
        _to_nowhere(sys.stdout)


def printable(text: str) -> str:
    """A text in one line that a terminal shows as it is: control characters, and what turns text around, are escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(one) if unicodedata.category(one) in _ESCAPED or one in _DIRECTIONS else one for one in text)


def strict_json(value: Any, indent: int | None = 2) -> str:
    """JSON that every reader takes: ASCII; null for what is not a finite number, U+FFFD for half a character."""
    return json.dumps(_strict(value), indent=indent, allow_nan=False)


def not_finite(value: Any, place: str = "") -> list[str]:
    """Where a report holds numbers that are not finite, as in ``methods.guided.cycles``."""
    if isinstance(value, Mapping):
        return [found for key, one in value.items() for found in not_finite(one, f"{place}.{key}" if place else str(key))]
    if isinstance(value, list | tuple | np.ndarray):
        return [found for key, one in enumerate(value) for found in not_finite(one, f"{place}[{key}]")]
    return [place] if isinstance(value, float | np.floating) and not math.isfinite(value) else []


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_whole(str(key)): _strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_strict(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _whole(value) if isinstance(value, str) else value


def _whole(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no text in the file system's encoding
        return "\ufffd"
    return character.encode("unicode_escape", "surrogatepass").decode()


def _unprintable(reason: str) -> GradCoreError:
    return GradCoreError(f"the results cannot be printed on standard output ({reason}): send it elsewhere, such as > FILE")


def _to_nowhere(stream: TextIO) -> None:
    """Point a stream's file at the null device, so that nothing fails when Python closes it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
