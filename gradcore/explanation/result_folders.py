# SPDX-License-Identifier: Apache-2.0
"""Where the results of explaining pictures go: a folder for each, never over those of another picture, or over other files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradcore.host.files import folded, folder_name
from gradcore.pictures.picture import Picture

FORMAT = "gradcore result"
FILES = {
    "heatmap": "heatmap.png",
    "overlay": "overlay.png",
    "attribution": "attribution.npy",
    "input": "input.npy",
    "timeline": "timeline.json",
    "result": "result.json",
}


def result_folders(out: str | Path, pictures: Sequence[Picture | str]) -> list[Path]:
    """A folder of its own for each picture: ``out``/stem, numbered where it is taken (cat, cat-2, cat-3).

    It is taken by another of the pictures; or by files that are there, unless they are results of the same picture: of the file
    at the same path, or of the same pixels.
    """
    stems = [picture.stem if isinstance(picture, Picture) else folder_name(picture) for picture in pictures]
    wanted = {folded(stem) for stem in stems}
    used: set[str] = set()
    folders = []
    for stem, picture in zip(stems, pictures, strict=True):
        name, number = stem, 1
        while folded(name) in used or (number > 1 and folded(name) in wanted) or _is_taken(Path(out) / name, picture):
            number += 1
            name = f"{stem}-{number}"
        used.add(folded(name))
        folders.append(Path(out) / name)
    return folders


def source(picture: Picture) -> dict[str, Any]:
    """What tells a picture from others: the path of its file (None for what is no file), and a hash of what the network sees."""
    return {"path": picture.path, "pixels": hashlib.sha256(picture.pixels.tobytes()).hexdigest()[:20]}


def _is_taken(folder: Path, picture: Picture | str) -> bool:
    """Whether files that are there would be overwritten, and are not results of this picture."""
    if not os.path.lexists(folder):
        return False
    if not folder.is_dir():
        return True
    if not any(os.path.lexists(folder / name) for name in FILES.values()):
        return False
    try:
        stored = json.loads((folder / FILES["result"]).read_text(encoding="utf-8"))
        there = stored.get("source", {"name": stored["image"]})
    except (OSError, ValueError, KeyError, AttributeError):  # no results of GradCore's
        return True
    if not isinstance(picture, Picture):
        return there.get("path", there.get("name")) not in (picture, os.path.abspath(picture))
    mine = source(picture) | {"name": picture.name}
    return not any(there.get(what) == value for what, value in mine.items() if value is not None)
