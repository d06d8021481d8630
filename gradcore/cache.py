# SPDX-License-Identifier: Apache-2.0
"""The folder where builds are kept, and how several processes share it.

A build is a folder whose name holds a hash of all that it is made from. It is made beside its place and put there at
one stroke, so it is either whole or not there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gradcore.errors import GradCoreError
from gradcore.progress import Progress, silent

_UNUSED_BUILD_DAYS = 30


def cache_folder() -> Path:
    """Where builds are kept: $GRADCORE_CACHE, else $XDG_CACHE_HOME/gradcore, else ~/.cache/gradcore."""
    if os.environ.get("GRADCORE_CACHE"):
        return Path(os.environ["GRADCORE_CACHE"]).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradcore"


def build_once(name: str, make: Callable[[Path], Path], what: str, progress: Progress = silent) -> Path:
    """The folder ``name`` of the cache; makes it first if need be.

    Args:
        name: kind and hash, joined by a hyphen.
        make: called with an empty working folder; returns the folder in it that becomes the build.
        what: what another process does that this one waits for, as in "compiles the simulator".
        progress: called while waiting.

    Raises:
        GradCoreError: the cache cannot be written, or what ``make`` raises.
    """
    target = cache_folder() / name
    if not target.exists():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(Path(f"{target}.lock"), what, progress):
                if not target.exists():
                    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as folder:
                        os.rename(make(Path(folder)), target)
        except OSError as error:
            raise GradCoreError(
                f"the cache {target.parent} cannot be written ({error.strerror}): set GRADCORE_CACHE to a "
                "folder that can"
            ) from error
        remove_unused(target.parent)
    with contextlib.suppress(OSError):
        os.utime(target)
    return target


@contextlib.contextmanager
def locked(path: Path, what: str, progress: Progress) -> Iterator[None]:
    """Hold an exclusive lock on a file; shows that it waits for another process that does ``what``."""
    with open(path, "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress(f"waiting for another process that {what}", 0, 0)
                time.sleep(0.2)
        yield


def remove_unused(folder: Path) -> None:
    """Remove builds that nobody has used for a month."""
    for build in folder.glob("*-*"):
        with contextlib.suppress(OSError):
            if time.time() - build.stat().st_mtime > _UNUSED_BUILD_DAYS * 86400:
                shutil.rmtree(build) if build.is_dir() else build.unlink()
