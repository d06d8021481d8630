# SPDX-License-Identifier: Apache-2.0
"""What a user names: a path that cannot be a file's, or a choice that there is not, is refused with the reason, in one place for all."""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path

from gradcore.errors import GradCoreError
from gradcore.runtime.inputs import check_choice

__all__ = ["check_choice", "input_path", "unreadable"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters or more: C:/ is a drive


def input_path(source: str | os.PathLike[str], *, what: str, folder: str = "", missing: str = "check the path") -> Path:
    """The path of a file that is there.

    Args:
        source: what the user named.
        what: what it should be, as in 'a picture'.
        folder: what to do where it is a folder; left out: name a file in it.
        missing: what to do where there is no such file.

    Raises:
        GradCoreError: nothing is named, there is no such file, it is a folder, an address on the Internet, or no path at all.
    """
    name = os.fspath(source)
    if not name:
        raise GradCoreError(f"the name of {what} is empty: give the path of a file")
    if "\0" in name:
        raise GradCoreError(f"{name!r} is no path, for it holds a null byte: give the path of {what}")
    path = Path(name)
    try:
        if path.is_dir():
            raise GradCoreError(f"{name} is a folder: {folder or 'name a file in it'}")
        path.stat()
    except FileNotFoundError:
        raise _missing(name, what, missing) from None
    except OSError as error:
        raise unreadable(name, error) from None
    return path


def unreadable(name: str | os.PathLike[str], error: OSError) -> GradCoreError:
    """The error for a file that is there and cannot be read: name and cause."""
    return GradCoreError(f"{os.fspath(name)} cannot be read ({error.strerror or error}): check the path and its permissions")


def _missing(name: str, what: str, remedy: str) -> GradCoreError:
    if name.lower().startswith("file:/"):
        plain = "/" + urllib.parse.unquote(name[len("file:") :]).lstrip("/")
        return GradCoreError(f"{name} is an address, not a path: write {plain}")
    if _ADDRESS.match(name):
        return GradCoreError(f"{name} is an address, and nothing is fetched from the Internet: download it, and give the path of {what}")
    if name.startswith("~"):
        return GradCoreError(f"{name}: there is no such file, and ~ is not taken for your home here: write {os.path.expanduser(name)}")
    return GradCoreError(f"{name}: there is no such file: {remedy}")


def read_shard(text: str) -> tuple[int, int]:
    """A share of work, ``"2/8"`` as (2, 8): shards are numbered from 1.

    Raises:
        GradCoreError: it is none.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise GradCoreError(f"the shard {text!r} is none: give i/n, with i from 1 to n, such as 2/8")
    return int(found[1]), int(found[2])
