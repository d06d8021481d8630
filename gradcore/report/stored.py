# SPDX-License-Identifier: Apache-2.0
"""Reads the result folders that ``gradcore explain`` writes. Nothing in them is executed; what does not fit together is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.attribution import METHODS
from gradcore.errors import GradCoreError
from gradcore.explanation.result_folders import FILES, FORMAT, source
from gradcore.hardware import PRESETS
from gradcore.host.inputs import unreadable
from gradcore.importer.opening import load_network
from gradcore.network import GraphNetwork, Network
from gradcore.pictures.picture import Picture, load_picture, sample_of
from gradcore.quantise.headroom import MOST
from gradcore.timeline import Overview

_MOST_BYTES = 1 << 28  # of a file that is read
_KEYS = {"image": str, "network": str, "method": str, "backend": str, "classes": list, "logits": list, "target": str, "predicted": str}


@dataclass(frozen=True)
class Stored:
    """A result as its folder holds it.

    Attributes:
        folder: where it lies.
        about: what result.json says; see ``Explanation.as_dict``.
        attribution: float32 (C, H, W).
        pixels: uint8 (H, W, C), what the network saw; None where neither the folder nor the picture's file holds that any more.
        logits: float64 (classes,).
        target, predicted: indices of classes.
        timeline: what the engines did; None where that was not recorded.
        notes: what the reader of a report should know of the folder.
    """

    folder: Path
    about: Mapping[str, Any]
    attribution: np.ndarray
    pixels: np.ndarray | None
    logits: np.ndarray
    target: int
    predicted: int
    timeline: Overview | None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The picture's, without its folder."""
        return Path(str(self.about["image"])).name or "picture"

    @property
    def method(self) -> str:
        return str(self.about["method"])

    @property
    def against(self) -> int | None:
        """Index of the class whose logit was subtracted."""
        against = self.about.get("against")
        return None if against is None else list(self.about["classes"]).index(against)

    @property
    def picture_key(self) -> tuple[Any, ...]:
        """What results have in common that are of the same picture, network and class."""
        seen = self.about.get("source", {}).get("pixels", str(self.folder))
        return seen, self.about["network"], self.target, self.about.get("against"), str(self.about.get("seed"))


def read_result(folder: str | Path) -> Stored:
    """Read a result folder.

    Raises:
        GradCoreError: there is no such folder, it holds no result of GradCore's, or a damaged one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        there = "is a file" if folder.exists() else "is not there"
        raise GradCoreError(f"{folder} {there}: name the folder of a picture's results, such as explanations/cat")
    about = _about(folder)
    attribution = _array(folder, "attribution")
    if attribution.ndim != 3 or attribution.dtype != np.float32 or 0 in attribution.shape:
        raise _damaged(folder, f"attribution.npy holds {attribution.dtype} of {attribution.shape}, no attribution")
    classes = about["classes"]
    logits = np.array([np.nan if value is None else value for value in about["logits"]], dtype=np.float64)
    picture, notes = _pixels(folder, about)
    version = about.get("version")
    from gradcore import __version__

    if version != __version__:
        notes.append(f"the result was made by GradCore {version or 'of an earlier version'}, the report by {__version__}")
    indices = classes.index(about["target"]), classes.index(about["predicted"])
    return Stored(folder, about, attribution, picture, logits, *indices, _timeline(folder, about), tuple(notes))


def network_of(result: Stored) -> Network | GraphNetwork:
    """The network that a result names.

    Raises:
        GradCoreError: it is not there any more, or cannot be read.
    """
    return load_network(str(result.about["network"]))


def _about(folder: Path) -> dict[str, Any]:
    path = folder / FILES["result"]
    if not path.is_file():
        inner = [one for one in sorted(folder.iterdir()) if (one / FILES["result"]).is_file()]
        hint = f"name the folders in it, such as {inner[0]}" if inner else "name one that gradcore explain has written"
        raise GradCoreError(f"{folder} holds no result.json: {hint}")
    try:
        text = path.read_text(encoding="utf-8")
        about = json.loads(text)
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError):
        raise _damaged(folder, "result.json is no JSON") from None
    if not isinstance(about, dict) or ("format" in about and about["format"] != FORMAT):
        raise GradCoreError(f"{path} is of another program: name a folder that gradcore explain has written")
    for key, kind in _KEYS.items():
        if not isinstance(about.get(key), kind):
            raise GradCoreError(f"{path} has no {key}, so it is of another program or version: explain the picture again")
    classes = about["classes"]
    if not all(isinstance(one, str) for one in classes) or len(classes) != len(about["logits"]) or not classes:
        raise _damaged(folder, "result.json has other classes than scores")
    if not all(one is None or (isinstance(one, int | float) and not isinstance(one, bool)) for one in about["logits"]):
        raise _damaged(folder, "a score in result.json is no number")
    named = {"target": about["target"], "predicted": about["predicted"], "against": about.get("against")}
    for key, one in named.items():
        if one not in classes and not (key == "against" and one is None):
            raise _damaged(folder, f"result.json has no class {one!r}")
    if about["method"] not in METHODS:
        raise GradCoreError(
            f"{path} is of the method {about['method']!r}, which this version does not know: take the GradCore that made it"
        )
    if about.get("preset", "full") not in PRESETS:
        raise _damaged(folder, f"result.json has no preset of the hardware, {about['preset']!r}")
    if about.get("headroom", 0) not in range(MOST + 1):
        raise _damaged(folder, "result.json has no such headroom")
    _check_rest(folder, about)
    return about


def _check_rest(folder: Path, about: Mapping[str, Any]) -> None:
    """What may be missing, but not be something else."""
    for key, kind in (("source", dict), ("parameters", dict), ("notes", list), ("counters", dict), ("files", dict), ("cycles", dict)):
        if not isinstance(about.get(key, None) or kind(), kind):
            raise _damaged(folder, f"{key} in result.json is something else")
    cycles = about.get("cycles")
    if cycles:
        layers = cycles.get("layers")
        rows = isinstance(layers, list) and all(
            isinstance(one, dict) and isinstance(one.get("layer"), str) and isinstance(one.get("cycles"), int) for one in layers
        )
        if not rows or not all(isinstance(cycles.get(key), int) for key in ("total", "forward", "backward")):
            raise _damaged(folder, "cycles in result.json is something else")
        if not isinstance(about.get("clock_mhz"), int | float) or not about["clock_mhz"]:
            raise _damaged(folder, "result.json has cycles and no clock")


def _array(folder: Path, what: str) -> np.ndarray:
    path = folder / FILES[what]
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _damaged(folder, f"{path.name} is too large")
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise _damaged(folder, f"{path.name} is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, EOFError, SyntaxError):
        raise _damaged(folder, f"{path.name} is no array") from None
    if not isinstance(values, np.ndarray):
        raise _damaged(folder, f"{path.name} holds several arrays")
    return values


def _pixels(folder: Path, about: Mapping[str, Any]) -> tuple[np.ndarray | None, list[str]]:
    """What the network saw: from the folder, or from the picture's file if that is still what it was."""
    wanted = about.get("source", {}).get("pixels")
    if (folder / FILES["input"]).is_file():
        pixels = _array(folder, "input")
        if pixels.dtype != np.uint8 or pixels.ndim != 3:
            raise _damaged(folder, f"input.npy holds {pixels.dtype} of {pixels.shape}, no picture")
        if wanted is not None and source(Picture("", pixels))["pixels"] != wanted:
            raise _damaged(folder, "input.npy is another picture than result.json says")
        return pixels, []
    path = about.get("source", {}).get("path") or about["image"]
    try:
        network = load_network(str(about["network"]))
        channels, height, width = network.input_shape
        from_sample = about.get("source", {}).get("path") is None
        picture = sample_of(network) if from_sample else load_picture(path, height=height, width=width, channels=channels)
        if source(picture)["pixels"] == wanted:
            return picture.pixels, []
    except GradCoreError:
        pass
    return None, [
        "the folder does not hold what the network saw, and the picture's file is not that any more: explain it again to see more"
    ]


def _timeline(folder: Path, about: Mapping[str, Any]) -> Overview | None:
    """The overview, where this result has one: an older one in the folder does not count."""
    if "timeline" not in about.get("files", {}):
        return None
    path = folder / FILES["timeline"]
    try:
        return Overview.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(folder, "timeline.json is no timeline") from None


def _damaged(folder: Path, cause: str) -> GradCoreError:
    return GradCoreError(f"the result in {folder} is damaged, {cause}: explain the picture again")
