# SPDX-License-Identifier: Apache-2.0
"""The explanation of a picture: what the network said, why, what a user should know of it, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradcore import __version__
from gradcore.attribution import METHODS, rules, stretched
from gradcore.backends import Cycles, LayerSaturation, is_weak, softmax
from gradcore.drawing import heatmap
from gradcore.errors import GradCoreError
from gradcore.explanation.result_folders import FILES, FORMAT, source
from gradcore.host.files import write_atomically
from gradcore.host.streams import strict_json
from gradcore.pictures.classes import listed
from gradcore.pictures.picture import Picture
from gradcore.quantise import precision
from gradcore.runtime.results import Explained
from gradcore.timeline import Overview

_BROKEN = "the network's weights are too large, or no numbers"


@dataclass(frozen=True)
class Explanation(Explained):
    """What the network said of one picture, and the gradient that tells why.

    Attributes:
        image: the picture's path or name.
        network, method, backend: what made it.
        classes: the network's class names, in the order of the logits.
        logits: float64, one score for each class.
        target: index of the class that was explained.
        attribution: float32, channels x height x width: what the method makes of the gradient of the target's logit with respect to the
            network's (normalised) input; with saliency that gradient itself, signed. Of gradcam 1 x the size of its layer.
        picture: the picture as the network saw it.
        cycles: clock cycles; only the back end ``rtl`` has them.
        clock_mhz: the clock that ``latency_ms`` is for; only with ``cycles``.
        remarks: what a user should know of the network, one sentence each.
        saturation, headroom, without_headroom: how many values of each layer saturated, and in which number formats: see
            ``gradcore.backends.Run``.
        files: waves, trace, and what ``save`` wrote: paths by name.
        runs: of the core that the method took; ``cycles`` and ``saturation`` are their sums.
        parameters: of the method, by name.
        against: the class whose logit was subtracted, by name; None without.
        seed: float64 (classes,): how much of each logit was explained, where that was not one class.
        activations, gradients: of all layers, where they were kept: see ``activation``, ``gradient``.
        verilog: with ``rtl`` 'equal' when the Verilog has given the same scores and attribution in every bit, until then
            'not run'; None with other back ends.
        preset, simulator: the hardware, and what ran it; the simulator only with ``rtl``.
        counters: of the hardware, by their registers' names in lower case; only with ``rtl`` and a method of one run.
        overview: what the engines did, where that was recorded.
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
    headroom: int = 0
    without_headroom: tuple[LayerSaturation, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    runs: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None
    seed: np.ndarray | None = None
    activations: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    verilog: str | None = None
    preset: str = "full"
    simulator: str | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    overview: Overview | None = field(default=None, repr=False)

    @property
    def softmax(self) -> np.ndarray:
        """float64, one share for each class: see ``backends.softmax``."""
        return softmax(self.logits)

    @property
    def weak(self) -> bool:
        """See ``backends.is_weak``."""
        return is_weak(self.logits)

    @property
    def notes(self) -> list[str]:
        """What a user should know of this picture: what was done to it, what its answer is worth, what there is to see."""
        notes = [*self.picture.notes, *precision.saturation_notes(self.saturation, self.headroom, self.without_headroom)]
        predicted = self.classes[self.predicted]
        if self.picture.resized or self.weak:
            notes.append(f"the network knows only {listed(self.classes)}: of all else it names what comes nearest")
        if self.weak:
            notes.append(
                f"its answer is weak, {predicted} has {self.softmax[self.predicted]:.0%} of the softmax: it may be wrong, or "
                "see nothing that it knows"
            )
        if not np.all(np.isfinite(self.logits)):
            notes.append(f"{np.sum(~np.isfinite(self.logits))} of the {len(self.logits)} scores are not finite numbers: {_BROKEN}")
        marked = heatmap.not_numbers(self.attribution)
        if marked:
            notes.append(f"the gradient is not finite in {marked} pixels, which are {heatmap.MARK} in the heatmap: {_BROKEN}")
        elif not np.any(self.attribution):
            what = "gradient" if self.method in rules() else "attribution"
            notes.append(f"the {what} of class {self.classes[self.target]} is zero everywhere: the heatmap is empty")
        return notes

    @property
    def title(self) -> str:
        """What a heatmap of it is labelled with."""
        against = f", not {self.against}" if self.against is not None else ""
        return f"why {self.classes[self.target]}{against}: {self.method}"

    def as_dict(self) -> dict[str, Any]:
        """What ``result.json`` holds."""
        return {
            "format": FORMAT,
            "version": __version__,
            "image": self.image,
            "source": source(self.picture),
            "network": self.network,
            "method": self.method,
            "backend": self.backend,
            "preset": self.preset,
            "simulator": self.simulator,
            "classes": list(self.classes),
            "logits": [float(value) if np.isfinite(value) else None for value in self.logits],
            "predicted": self.classes[self.predicted],
            "target": self.classes[self.target],
            "against": self.against,
            "seed": None if self.seed is None else self.seed.tolist(),
            "parameters": {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self.parameters.items()},
            "runs": self.runs,
            "weak": self.weak,
            "verilog": self.verilog,
            "cycles": None if self.cycles is None else self.cycles.as_dict(),
            "latency_ms": self.latency_ms,
            "clock_mhz": self.clock_mhz,
            "counters": dict(self.counters),
            "saturation": precision.saturation_dict(self.saturation),
            "headroom": self.headroom,
            "without_headroom": precision.saturation_dict(self.without_headroom),
            "files": dict(self.files),
            "notes": [*self.remarks, *self.notes],
        }

    def save(self, folder: str | Path) -> dict[str, str]:
        """Write attribution.npy, input.npy (what the network saw), result.json, heatmap.png and overlay.png to ``folder``, and
        timeline.json where there is one; return ``files``.

        What was computed is written first: after an error ``files`` and result.json name what is there.

        Raises:
            GradCoreError: a file cannot be written.
        """
        paths = {name: Path(folder) / file for name, file in FILES.items()}
        write_atomically(paths["attribution"], lambda stream: np.save(stream, self.attribution))
        self.files["attribution"] = str(paths["attribution"])
        write_atomically(paths["input"], lambda stream: np.save(stream, self.picture.pixels))
        self.files["input"] = str(paths["input"])
        self.save_result(folder)
        pixels, attribution = drawn(self.picture.pixels, self.attribution)
        sign = METHODS[self.method].sign
        heatmap.draw_heatmap(attribution, paths["heatmap"], title=self.title, sign=sign)
        self.files["heatmap"] = str(paths["heatmap"])
        heatmap.draw_overlay(pixels, attribution, paths["overlay"], title=self.title, sign=sign)
        self.files["overlay"] = str(paths["overlay"])
        self.save_result(folder)
        return self.files

    def save_result(self, folder: str | Path) -> None:
        """Write result.json, strict JSON of ``as_dict``, and timeline.json where there is one, alone.

        Raises:
            GradCoreError: it cannot be written.
        """
        path = Path(folder) / FILES["result"]
        before = dict(self.files)
        if self.overview is not None:
            timeline = write_atomically(Path(folder) / FILES["timeline"], strict_json(self.overview.as_dict(), indent=None) + "\n")
            self.files["timeline"] = str(timeline)
        self.files["result"] = str(path)
        try:
            write_atomically(path, strict_json(self.as_dict()) + "\n")
        except GradCoreError:
            self.files.clear()
            self.files.update(before)
            raise


def drawn(pixels: np.ndarray, attribution: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pixels H x W x C, attribution C x H x W) as they are drawn: a map of a layer stretched to the picture; a vector as one row; of
    other channels than a picture's the mean."""
    attribution = stretched(attribution, pixels.shape[:2])
    (channels, height, width), seen = attribution.shape, pixels.shape[2]
    if seen in (1, 3):
        return pixels, attribution
    if (height, width) == (1, 1):
        return pixels.reshape(1, seen, 1), np.broadcast_to(attribution.reshape(1, 1, channels), (1, 1, seen))
    return pixels.mean(axis=2, keepdims=True).astype(np.uint8), attribution
