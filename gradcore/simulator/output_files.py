# SPDX-License-Identifier: Apache-2.0
"""The files that a simulation writes for the user: waves (FST) and activity.

The simulator writes them through a link of a simple name into a temporary folder, if possible beside their place, so
neither characters nor length of the user's path matter to it. At the end what is whole is put in place at one stroke;
before, and where nothing whole came out, an earlier file stays.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from gradcore.errors import GradCoreError
from gradcore.host.files import check_writable, move_into_place
from gradcore.host.scratch import scratch_folder

_FST_HEADER, _FST_GEOMETRY, _FST_HIERARCHY = {0}, {3}, {4, 6, 7}
_FST_TYPES = _FST_HEADER | _FST_GEOMETRY | _FST_HIERARCHY | {1, 2, 5, 8, 255}
_FULL = 1 << 16  # bytes: less room than that, and a cut file is no wonder


def check_waves(path: Path) -> None:
    """Refuse a name for waves that is not one of FST files.

    Raises:
        GradCoreError: the name does not end in .fst.
    """
    if path.suffix.lower() != ".fst":
        raise GradCoreError(
            f"waves are FST, which GTKWave and Surfer read: name a file that ends in .fst, not {path.name or path} "
            "(fst2vcd makes VCD of it)"
        )


class OutputFile:
    """A file that a simulation writes.

    Attributes:
        argument: the name that the simulator is given; it runs in the folder that ``opened`` got.
    """

    def __init__(self, kind: str, target: Path) -> None:
        self.kind = kind
        self.target = target
        self.argument = f"{kind}/{kind}" + (".fst" if kind == "waves" else ".txt")
        self._written: Path | None = None

    @contextlib.contextmanager
    def opened(self, folder: Path) -> Iterator[None]:
        """Make the place where it is written, and the link to it in ``folder``; removed at the end.

        Raises:
            GradCoreError: the file cannot be written.
        """
        check_writable(self.target)
        near = next(place for place in self.target.parents if place.is_dir())
        with scratch_folder(near) as place:
            (folder / self.kind).symlink_to(place)
            self._written = place / Path(self.argument).name
            yield

    def finish(self) -> str:
        """Put the file in its place; returns what is wrong, or ''."""
        path = self._written
        try:
            if path is None or not path.exists() or path.stat().st_size == 0:
                return self._lost("the simulator wrote nothing to the end")
            if self.kind == "waves" and not is_whole_fst(path):
                return self._lost("the simulator did not write them to the end")
            move_into_place(path, self.target)
        except OSError as error:
            return self._lost(error.strerror)
        except GradCoreError as error:
            return f"the {self.kind} are lost: {error}"
        return ""

    def _lost(self, reason: str) -> str:
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.target.parent).free < _FULL:
                reason = "there is no room left: make room, or name a file elsewhere"
        return f"the {self.kind} {self.target} could not be written ({reason})"


def is_whole_fst(path: Path) -> bool:
    """Whether an FST file was closed: a chain of blocks to its very end, among them header, geometry and hierarchy."""
    size = path.stat().st_size
    position, types = 0, set()
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            head = file.read(9)
            if len(head) < 9:
                return False
            kind, length = struct.unpack(">BQ", head)  # the length counts itself, but not the type
            if kind not in _FST_TYPES or length < 8:
                return False
            types.add(kind)
            position += 1 + length
    return position == size and all(types & needed for needed in (_FST_HEADER, _FST_GEOMETRY, _FST_HIERARCHY))
