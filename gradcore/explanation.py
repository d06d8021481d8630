# SPDX-License-Identifier: Apache-2.0
"""Explain pictures: what a network sees in them, and why."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore import heatmap, precision
from gradcore.backends import METHODS, Cycles, LayerSaturation, check_choice, load_network, open_backend
from gradcore.errors import GradCoreError
from gradcore.network import check_pictures
from gradcore.picture import Picture, load_picture
from gradcore.progress import Progress, silent
from gradcore.timeline import check_trace, save_timeline

if TYPE_CHECKING:
    from PIL import Image

    from gradcore.network import Network

__all__ = ["METHODS", "Explanation", "explain", "find_class"]


@dataclass(frozen=True)
class Explanation:
    """What the network said of one picture, and the gradient that tells why.

    Attributes:
        image: the picture's path or name.
        network, method, backend: what made it.
        classes: the network's class names, in the order of the logits.
        logits: float64, one score for each class.
        target: index of the class that was explained.
        attribution: float32, channels x height x width: the signed gradient of the target's logit with respect to the
            network's (normalised) input.
        picture: the picture as the network saw it.
        cycles: clock cycles; only the back end ``rtl`` has them.
        clock_mhz: the clock that ``latency_ms`` is for; only with ``cycles``.
        remarks: what a user should know of the network, one sentence each.
        saturation: how many values of each layer saturated, see ``gradcore.backends.Run``.
        files: the trace, and what ``save`` wrote: paths by name.
    """

    image: str
    network: str
    method: str
    backend: str
    classes: tuple[str, ...]
    logits: np.ndarray
    target: int
    attribution: np.ndarray
    picture: Picture
    cycles: Cycles | None = None
    clock_mhz: float | None = None
    remarks: tuple[str, ...] = ()
    saturation: tuple[LayerSaturation, ...] = ()
    files: dict[str, str] = field(default_factory=dict)

    @property
    def predicted(self) -> int:
        """Index of the largest logit; the first wins a tie."""
        return int(np.argmax(self.logits))

    @property
    def latency_ms(self) -> float | None:
        """Forward and backward time in milliseconds at ``clock_mhz``."""
        return None if self.cycles is None or not self.clock_mhz else self.cycles.total / (self.clock_mhz * 1e3)

    @property
    def notes(self) -> list[str]:
        """What a user should know of this picture: what was done to it, what saturated, and whether there is anything to see."""
        notes = [*self.picture.notes, *precision.saturation_notes(self.saturation)]
        if not np.any(self.attribution):
            notes.append(f"the gradient of class {self.classes[self.target]} is zero everywhere: the heatmap is empty")
        return notes

    @property
    def title(self) -> str:
        """What a heatmap of it is labelled with."""
        return f"why {self.classes[self.target]}: {self.method}"

    def as_dict(self) -> dict[str, Any]:
        """What ``result.json`` holds."""
        return {
            "image": self.image,
            "network": self.network,
            "method": self.method,
            "backend": self.backend,
            "classes": list(self.classes),
            "logits": [float(value) for value in self.logits],
            "predicted": self.classes[self.predicted],
            "target": self.classes[self.target],
            "cycles": None if self.cycles is None else self.cycles.as_dict(),
            "latency_ms": self.latency_ms,
            "clock_mhz": self.clock_mhz,
            "saturation": precision.saturation_dict(self.saturation),
            "files": dict(self.files),
            "notes": [*self.remarks, *self.notes],
        }

    def save(self, folder: str | Path) -> dict[str, str]:
        """Write heatmap.png, overlay.png, attribution.npy and result.json to ``folder``; return ``files``.

        Raises:
            GradCoreError: the folder cannot be written.
        """
        folder = Path(folder)
        paths = {
            name: folder / file
            for name, file in (
                ("heatmap", "heatmap.png"),
                ("overlay", "overlay.png"),
                ("attribution", "attribution.npy"),
                ("result", "result.json"),
            )
        }
        self.files.update({name: str(path) for name, path in paths.items()})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            heatmap.draw_heatmap(self.attribution, paths["heatmap"], title=self.title)
            heatmap.draw_overlay(self.picture.pixels, self.attribution, paths["overlay"], title=self.title)
            np.save(paths["attribution"], self.attribution)
            paths["result"].write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise unwritable(folder, error) from None
        return self.files


def explain(
    images: Sequence[str | Path | bytes | np.ndarray | Image.Image] | str | Path | np.ndarray,
    network: str | Path | Network = "cifar10",
    method: str = "saliency",
    target: str | int | None = None,
    backend: str = "rtl",
    *,
    simulator: str = "verilator",
    preset: str = "full",
    waves: str | Path | None = None,
    trace: str | Path | None = None,
    clock_mhz: float = 100.0,
    progress: Progress | None = None,
) -> list[Explanation]:
    """Run a network on pictures, forward and backward, and return an explanation of each.

    Args:
        images: one picture or several: paths, file contents, arrays (uint8 or float in 0..1, H x W x 3), Pillow images,
            or ``gradcore.picture.Picture``.
        network: 'cifar10', the path of a network file, or a ``Network``.
        method: 'saliency', 'deconvnet' or 'guided'.
        target: class to explain: an integer is its index, a text its name; None is the predicted class.
        backend: 'rtl' simulates the Verilog, 'golden' is the bit-exact model, 'float' is PyTorch.
        simulator: 'verilator' or 'icarus' (slow); for 'rtl' only.
        preset: hardware of 'rtl': 'full' (128 MACs), 'paper' (64) or 'small'.
        waves: FST file to write the waveforms to; for 'rtl' only.
        trace: file to write a timeline of the engines to: Chrome's trace events (.json), or an overview (.png); for
            'rtl' and one picture only.
        clock_mhz: the clock that latencies are given for; for 'rtl' only.
        progress: see ``gradcore.progress``.

    Raises:
        GradCoreError: anything that a user can put right: a bad picture, network, class, option or a missing tool.
    """
    check_choice("method", method, METHODS)
    progress = progress or silent
    loaded = load_network(network)
    index = None if target is None else find_class(target, loaded.classes)
    several = isinstance(images, list | tuple)
    pictures = [_picture(image, number, loaded) for number, image in enumerate(images if several else [images])]
    if not pictures:
        return []
    if trace is not None and backend == "rtl":
        check_trace(trace, len(pictures))
    engine = open_backend(
        backend,
        loaded,
        simulator=simulator,
        preset=preset,
        waves=waves,
        timeline=trace is not None,
        clock_mhz=clock_mhz,
        progress=progress,
    )
    name = str(network) if isinstance(network, str | Path) else loaded.name
    runs = engine.run([picture.pixels for picture in pictures], [method], index, progress)[method]
    files = {}
    if trace is not None:
        metadata = {"network": name, "method": method, "picture": pictures[0].name, "preset": preset}
        save_timeline(runs[0].timeline, trace, clock_mhz, {**metadata, "counters": runs[0].counters})
        files["trace"] = str(trace)
    return [
        Explanation(
            picture.name,
            name,
            method,
            backend,
            tuple(loaded.classes),
            run.logits,
            run.target,
            run.attribution,
            picture,
            run.cycles,
            clock_mhz if run.cycles is not None else None,
            tuple(engine.notes),
            run.saturation,
            dict(files),
        )
        for picture, run in zip(pictures, runs, strict=True)
    ]


def find_class(target: str | int, classes: Sequence[str]) -> int:
    """Index of a class. An integer is an index. A text is a name, its case only matters where names differ by nothing else;
    one that is no name may be an index in digits.

    Raises:
        GradCoreError: there is no such class; the message lists those there are. Or several have that name but for its case.
    """
    index = None
    if isinstance(target, str):
        text = target.strip()
        for found in (
            [number for number, name in enumerate(classes) if target == name],
            [number for number, name in enumerate(classes) if text.casefold() == name.strip().casefold()],
        ):
            if len(found) > 1:
                raise GradCoreError(
                    f"{len(found)} classes are called {text!r} but for upper and lower case, the first two are {found[0]} "
                    f"({classes[found[0]]!r}) and {found[1]} ({classes[found[1]]!r}): write it as it is, or give the index"
                )
            if found:
                return found[0]
        index = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    elif isinstance(target, int | np.integer) and not isinstance(target, bool):
        index = int(target)
    if index is not None and 0 <= index < len(classes):
        return index
    known = ", ".join(classes[:20]) + (f", ... ({len(classes)} in all)" if len(classes) > 20 else "")
    raise GradCoreError(f"unknown class {target!r}: use one of {known}, or an index from 0 to {len(classes) - 1}")


def check_folder(folder: Path) -> None:
    """Find out, without making anything, whether a folder is there or can be made, and be written to.

    Raises:
        GradCoreError: it cannot.
    """
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise unwritable(folder, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(there, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def unwritable(path: Path, error: OSError) -> GradCoreError:
    """The error for something that cannot be written."""
    return GradCoreError(
        f"cannot write {path} ({error.strerror or error}): choose another place with --out, or free it"
    )


def result_folders(out: Path, pictures: Sequence[Picture | str]) -> list[Path]:
    """A folder of its own for each picture: ``out``/stem, numbered where stems repeat (cat, cat-2, cat-3)."""
    stems = [picture.stem if isinstance(picture, Picture) else Path(picture).stem or "picture" for picture in pictures]
    wanted = {stem.casefold() for stem in stems}
    used: set[str] = set()
    folders = []
    for stem in stems:
        name, number = stem, 1
        while name.casefold() in used or (number > 1 and name.casefold() in wanted):
            number += 1
            name = f"{stem}-{number}"
        used.add(name.casefold())
        folders.append(out / name)
    return folders


def _picture(image: Any, number: int, network: Network) -> Picture:
    if isinstance(image, Picture):
        check_pictures(image.pixels[None], network.input_shape)
        return image
    channels, height, width = network.input_shape
    name = None if isinstance(image, str | Path) else f"picture-{number}"
    return load_picture(image, height=height, width=width, channels=channels, name=name)
