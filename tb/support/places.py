# SPDX-License-Identifier: Apache-2.0
"""Where benches are built, where networks of others lie, and names for the checkout and its packages that make, shells and lists of paths
take.

Such names are the paths themselves where those are plain. Elsewhere (a folder called "my projects") they lead through links
in a folder of the system's temporary one, in which is also built.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from functools import cache
from pathlib import Path

import cocotb

from gradcore.host.scratch import is_plain, plain_place

ROOT = Path(__file__).resolve().parents[2]
_BUILD = ROOT / "build"
_WORKSHOP = "gradcore-benches"
# Networks and pictures of others, which may not be copied into the project: ../shared/networks and ../shared/data, or nearer the root.
NETWORKS = next((found for up in ROOT.parents if (found := up / "shared" / "networks").is_dir()), ROOT / "shared" / "networks")
DATA = NETWORKS.parent / "data"


@cache
def _real_places() -> dict[str, str]:
    """What must have a plain path: name of a link -> folder, the innermost first."""
    packages = Path(cocotb.__file__).parents[1]
    places = {"packages": packages, "resolved": packages.resolve(), "programs": Path(sys.executable).parent, "root": ROOT}
    return {name: str(path) for name, path in sorted(places.items(), key=lambda item: -len(str(item[1])))}


@cache
def workshop() -> Path:
    """The folder in which is built: ``build`` of the checkout, or, where paths are not plain, one in the temporary folder."""
    if all(map(is_plain, _real_places().values())):
        _BUILD.mkdir(exist_ok=True)
        return _BUILD
    digest = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:16]
    folder = plain_place() / f"{_WORKSHOP}-{os.getuid()}-{digest}"
    _remove_abandoned(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is not yours: remove it, or set TMPDIR")
    for name, real in _real_places().items():
        link = folder / name
        if not link.is_symlink() or os.readlink(link) != real:
            new = folder / f"{name}-{os.getpid()}"
            new.symlink_to(real)
            os.replace(new, link)
    return folder


def _remove_abandoned(place: Path) -> None:
    """Remove this user's folders whose checkouts, to which their links ``root`` lead, are gone. `make clean` does so, too."""
    for folder in place.glob(f"{_WORKSHOP}-{os.getuid()}-*"):
        with contextlib.suppress(OSError):
            root = folder / "root"
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid() and root.is_symlink() and not root.exists():
                shutil.rmtree(folder)


def plain(text: str) -> str:
    """A text with the plain names of the checkout, of Python's packages and of its programs."""
    folder = workshop()
    if folder != _BUILD:
        for name, real in _real_places().items():
            text = text.replace(real, str(folder / name))
    return text
