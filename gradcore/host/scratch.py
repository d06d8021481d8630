# SPDX-License-Identifier: Apache-2.0
"""Temporary folders that are removed even when the process that made them was killed.

Each holds a file that says whose it is, and which is locked as long as its maker lives. Whoever makes the next one in the
same place removes those that nobody holds any more. Nothing else is ever removed, and no link is followed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gradcore.errors import GradCoreError

_PREFIX = "gradcore-"
_NAME = re.compile(r"gradcore-[a-z0-9_]{8}")
_MARKER = ".gradcore-scratch"
_TEXT = b"A temporary folder of GradCore, which removes it.\n"
_PLAIN = re.compile(r"[A-Za-z0-9._/+-]+")
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def is_plain(path: str | Path) -> bool:
    """Whether make, shells and compilers take a path as it is: letters, digits and . _ / + - only."""
    return _PLAIN.fullmatch(str(path)) is not None


def plain_place() -> Path:
    """The first of the system's temporary folders that can be written and whose path ``is_plain``, links resolved.

    Raises:
        GradCoreError: there is none.
    """
    with scratch_folder(plain=True) as folder:
        return folder.parent


@contextlib.contextmanager
def scratch_folder(*preferred: Path, plain: bool = False) -> Iterator[Path]:
    """An empty folder, removed at the end, in the first place that takes it.

    Args:
        preferred: places that are tried before the system's temporary folder ($TMPDIR) and its usual ones.
        plain: only where the path ``is_plain``, links resolved.

    Raises:
        GradCoreError: no place takes it; it says why.
    """
    reasons: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for place in (*preferred, *_temporary_places()):
            try:
                place = place.resolve(strict=True)
                if plain and not is_plain(place):
                    reasons[str(place)] = "special characters in its path"
                    continue
                folder = stack.enter_context(scratch_folder_in(place))
                break
            except (OSError, RuntimeError) as error:
                reasons[str(place)] = getattr(error, "strerror", None) or str(error)
        else:
            told = "; ".join(f"{place}: {reason}" for place, reason in reasons.items())
            raise GradCoreError(
                f"no place takes temporary files ({told}): make room, or set TMPDIR to a folder that can be written"
                + (" and whose path has letters, digits and . _ + - only" if plain else "")
            )
        yield folder


@contextlib.contextmanager
def scratch_folder_in(place: Path) -> Iterator[Path]:
    """An empty folder in ``place``, removed at the end. Raises OSError when it cannot be made."""
    _remove_abandoned(place)
    folder, lock = _make(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _temporary_places() -> list[Path]:
    try:
        first = [tempfile.gettempdir()]
    except OSError:  # not one that can be written
        first = [os.environ["TMPDIR"]] if os.environ.get("TMPDIR") else []
    return [Path(place) for place in dict.fromkeys((*first, *_PLACES))]


def _make(place: Path) -> tuple[Path, int]:
    """Make a folder with its marker; returns it and the descriptor that locks the marker."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    try:
        new = folder / f"{_MARKER}-new"  # gets its name when it is locked
        lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(lock, _TEXT)
            os.rename(new, folder / _MARKER)
        except BaseException:
            os.close(lock)
            raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, lock


def _remove_abandoned(place: Path) -> None:
    """Remove the folders whose makers are gone."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(folder: Path) -> None:
    if not stat.S_ISDIR(folder.lstat().st_mode):
        return
    marker = os.open(folder / _MARKER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        status = os.fstat(marker)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if ours and os.read(marker, len(_TEXT) + 1) == _TEXT:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError while its maker lives
            shutil.rmtree(folder)
    finally:
        os.close(marker)
