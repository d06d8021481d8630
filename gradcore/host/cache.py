# SPDX-License-Identifier: Apache-2.0
"""The folder where builds are kept, and how several processes share it.

A build is a folder whose name holds a hash of all that it is made from. It is made beside its place and put there at
one stroke. Its file ``gradcore-build.json`` says whose it is and holds the size and hash of each file in it: a build
that is not whole is made again. Only folders with that file, which names the folder, are ever removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gradcore.errors import GradCoreError
from gradcore.host.files import check_folder
from gradcore.host.processes import ended_by_signals
from gradcore.host.progress import Progress, silent
from gradcore.host.scratch import scratch_folder_in

_FOLDER = "gradcore-builds"
_NAME = re.compile(r"[a-z0-9]+-[0-9a-f]{20}")
_MARKER = "gradcore-build.json"
_LOG_NAME = re.compile(r"([a-z0-9]+-[0-9a-f]{20})-[a-z]+-failed\.log")
_LOG_HEAD = "GradCore: what was said when {} was made\n"
# Programs that save backups leave out a folder with this file (bford.info/cachedir).
_CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Builds of GradCore: they can be made again.\n"
_UNUSED_BUILD_DAYS = 30
_REMEDY = "set GRADCORE_CACHE to a folder that can"


def cache_folder() -> Path:
    """Where builds are kept: ``gradcore-builds`` in $GRADCORE_CACHE, else $XDG_CACHE_HOME/gradcore, else ~/.cache/gradcore.

    Raises:
        GradCoreError: there is no such place.
    """
    named = os.environ.get("GRADCORE_CACHE")
    try:
        if named:
            return Path(named).expanduser().resolve() / _FOLDER
        caches = os.environ.get("XDG_CACHE_HOME", "")
        if os.path.isabs(caches):  # others are to be ignored, says its standard
            return Path(caches).resolve() / "gradcore" / _FOLDER
        home = Path(os.environ["HOME"]) if os.path.isabs(os.environ.get("HOME", "")) else _home_of_user()
        if not home.is_dir():
            raise GradCoreError(f"builds have no place: your home folder {home} does not exist; set GRADCORE_CACHE to a folder")
        return home.resolve() / ".cache" / "gradcore" / _FOLDER
    except (OSError, RuntimeError, KeyError) as error:
        reason = f"{named}: {error}" if named else "your user has no home folder"
        raise GradCoreError(f"builds have no place ({reason}): set GRADCORE_CACHE to a folder") from None


def _home_of_user() -> Path:
    """The home folder that the system knows. Raises KeyError where it knows none."""
    import pwd

    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def check_cache() -> None:
    """Find out, without making anything, whether the cache is there or can be made.

    Raises:
        GradCoreError: it cannot.
    """
    folder = cache_folder()
    if not folder.is_dir():
        try:
            check_folder(folder)
        except GradCoreError as error:
            raise GradCoreError(f"the cache {error}, or set GRADCORE_CACHE to a folder that can be written") from None


def build_once(name: str, make: Callable[[Path], Path], what: str, progress: Progress = silent) -> Path:
    """The folder ``name`` of the cache; makes it first unless it is there and whole.

    Args:
        name: kind and 20 hexadecimal digits, joined by a hyphen.
        make: called with an empty working folder; returns the folder in it that becomes the build.
        what: what another process does that this one waits for, as in "compiles the simulator".
        progress: called while waiting.

    Raises:
        GradCoreError: the cache cannot be written, or what ``make`` raises.
    """
    assert _NAME.fullmatch(name), name
    target = cache_folder() / name
    root = target.parent
    if not _is_whole(target):
        with ended_by_signals():
            try:
                _make_root(root)
                with locked(Path(f"{target}.lock"), what, progress):
                    if not _is_whole(target):
                        _put_away(target)
                        with scratch_folder_in(root) as folder:
                            _put_in_place(make(folder), target)
            except OSError as error:
                raise GradCoreError(f"the cache {root} cannot be written ({error.strerror}): {_REMEDY}") from error
        remove_unused(root)
    with contextlib.suppress(OSError):
        os.utime(target / _MARKER)
    return target


def discard(build: Path) -> None:
    """Forget a build that proved not to work, so that it is made again.

    Raises:
        GradCoreError: it cannot be removed.
    """
    try:
        _put_away(build)
    except OSError as error:
        raise GradCoreError(f"the build {build} does not work and cannot be removed ({error.strerror}): remove it, or {_REMEDY}") from error


def keep_log(name: str, what: str, text: str) -> str:
    """Keep what was said when ``what``, a word, of a build failed; returns where, or the text's last line if that fails."""
    path = cache_folder() / f"{name}-{what}-failed.log"
    try:
        path.write_text(_LOG_HEAD.format(name) + text, encoding="utf-8", errors="replace")
        return str(path)
    except OSError:
        return (text.strip().splitlines() or ["it said nothing"])[-1]


@contextlib.contextmanager
def locked(path: Path, what: str, progress: Progress) -> Iterator[None]:
    """Hold an exclusive lock on a file; shows that it waits for another process that does ``what``."""
    while True:
        with open(path, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress(f"waiting for another process that {what}", 0, 0)
                time.sleep(0.2)
                continue
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                # A file system without locks: builds are made twice at worst, and put in place at one stroke.
            if _is_file_at(file.fileno(), path):  # not one that has been removed meanwhile
                yield
                return


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


# What a build holds --------------------------------------------------------------------------------------------------


def _make_root(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    tag = root / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text(_CACHE_TAG)


def _put_in_place(made: Path, target: Path) -> None:
    """Write the marker of a build and move it to its place, unless another process has put one there."""
    files = {str(path.relative_to(made)): _describe(path) for path in sorted(made.rglob("*")) if not path.is_dir()}
    (made / _MARKER).write_text(json.dumps({"made by": "GradCore", "build": target.name, "files": files}, indent=1))
    try:
        os.rename(made, target)
    except OSError:
        if not _is_whole(target):
            raise


def _describe(path: Path) -> list[Any]:
    """Size, hash, and whether it is a program, of a file that is no link."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [status.st_size, digest, bool(status.st_mode & stat.S_IXUSR)]


def _read_marker(build: Path) -> dict[str, Any] | None:
    """What the marker of a build says; None if the folder has none or it is not this folder's."""
    try:
        if not stat.S_ISDIR(build.lstat().st_mode) or not stat.S_ISREG((build / _MARKER).lstat().st_mode):
            return None
        marker = json.loads((build / _MARKER).read_bytes())
        return marker if (marker["made by"], marker["build"]) == ("GradCore", build.name) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_whole(build: Path) -> bool:
    """Whether a build is there, and each of its files is as it was made."""
    marker = _read_marker(build)
    try:
        return marker is not None and all(_describe(build / name) == told for name, told in marker["files"].items())
    except (OSError, AttributeError):
        return False


def _put_away(build: Path) -> None:
    """Remove what stands in a build's place if it is a build; set anything else aside, under another name."""
    if _read_marker(build) is not None:
        with scratch_folder_in(build.parent) as folder:
            os.rename(build, folder / build.name)  # at one stroke
    elif os.path.lexists(build):
        os.rename(build, build.with_name(f"{build.name}-broken-{time.time_ns():x}"))


def remove_unused(root: Path) -> None:
    """Remove builds that nobody has used for a month, and their locks and logs."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                _remove_if_unused(Path(entry.path))


def _remove_if_unused(path: Path) -> None:
    if _NAME.fullmatch(path.name):
        if _read_marker(path) is not None and _is_old(path / _MARKER):
            lock = Path(f"{path}.lock")
            with locked(lock, "", _give_up):
                if _is_old(path / _MARKER):
                    _put_away(path)
                    lock.unlink()
    elif _NAME.fullmatch(path.stem) and path.suffix == ".lock" and path.lstat().st_size == 0 and _is_old(path):
        with locked(path, "", _give_up):
            path.unlink()
    elif (log := _LOG_NAME.fullmatch(path.name)) and _is_old(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            ours = file.readline() == _LOG_HEAD.format(log[1])
        if ours:
            path.unlink()


def _is_old(path: Path) -> bool:
    """Whether it is a file, no link, that nobody has touched for a month."""
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _UNUSED_BUILD_DAYS * 86400


def _give_up(text: str, done: int, total: int) -> None:
    raise BlockingIOError(errno.EWOULDBLOCK, "in use")
