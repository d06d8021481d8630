# SPDX-License-Identifier: Apache-2.0
"""What a run gives: logits and attribution in real numbers, cycles, counters."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import GradCoreError


@dataclass(frozen=True)
class LayerCycles:
    """Clock cycles of one layer in one direction: from the end of the layer before to its own end."""

    layer: str
    direction: str  # 'forward' or 'backward'
    cycles: int


@dataclass(frozen=True)
class Cycles:
    """Clock cycles from START to the interrupt. ``layers`` are in the order in which they ended."""

    total: int
    forward: int
    backward: int
    layers: tuple[LayerCycles, ...]

    def as_dict(self) -> dict[str, Any]:
        """What ``result.json`` holds."""
        return {
            "total": self.total,
            "forward": self.forward,
            "backward": self.backward,
            "layers": [{"layer": one.layer, "pass": one.direction, "cycles": one.cycles} for one in self.layers],
        }


@dataclass(frozen=True)
class LayerSaturation:
    """How many outputs of one layer saturated in one direction: the golden model defines it, ``saturations``.

    Attributes:
        layer: its name.
        direction: 'forward' (activations, logits) or 'backward' (the gradient at the layer's input).
        values: outputs that did not fit 16 bits and were clipped.
        outputs: all that the layer computed.
    """

    layer: str
    direction: str
    values: int
    outputs: int


@dataclass(frozen=True)
class Run:
    """One picture's result.

    Attributes:
        logits: float64, one for each class.
        target: index of the class whose gradient was followed.
        attribution: float32, channels x height x width: gradient of the target's logit with respect to the normalised
            input.
        cycles, counters: of the core; counters by their registers' names in lower case.
        timeline: a ``gradcore.timeline.Timeline`` of what the engines did, when the back end was asked for it.
        saturation: of each layer forward, then backward, in order of execution; empty with ``float``, which has no
            16-bit values.
        headroom: bits by which the number formats of this run were wider than the network's, see ``gradcore.quantise.headroom``.
        without_headroom: what saturated in the run with the network's own formats, if this one was made for that.
        runs: of the core that it took; ``cycles``, ``counters`` and ``saturation`` are their sums.
        activations, gradients: float32 (C, H, W) of what each layer stores, by its name, where they were asked for.
        seed: float64 (classes,): what the backward pass started from, where that was no single class.
    """

    logits: np.ndarray
    target: int
    attribution: np.ndarray
    cycles: Cycles | None = None
    counters: dict[str, int] = field(default_factory=dict)
    timeline: Any = None
    saturation: tuple[LayerSaturation, ...] = ()
    headroom: int = 0
    without_headroom: tuple[LayerSaturation, ...] = ()
    runs: int = 1
    activations: Mapping[str, np.ndarray] = field(default_factory=dict)
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict)
    seed: np.ndarray | None = None


@dataclass(frozen=True)
class Outcome:
    """A run's results as the hardware has them.

    Attributes:
        logits: int64 (classes,). predicted: the class that the core found, or the first of several equal ones.
        attribution: int64 (C, H, W); empty after an inference alone.
        cycles, counters: counters by their registers' names in lower case.
        saturated: how many outputs of each layer saturated, forward, then backward.
    """

    logits: np.ndarray
    predicted: int
    attribution: np.ndarray
    cycles: Cycles
    counters: dict[str, int]
    saturated: tuple[int, ...]


class Explained:
    """What all explanations have in common: this package's ``Result`` and ``gradcore.explain``'s. A subclass has the attributes of both."""

    logits: np.ndarray
    method: str
    cycles: Cycles | None
    clock_mhz: float | None
    activations: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]

    def activation(self, layer: str) -> np.ndarray:
        """float32 (C, H, W): what a layer stored in the forward pass of the picture, behind its ReLU and pool.

        Raises:
            GradCoreError: there is no such layer, or it was not kept.
        """
        return self._map("activation", self.activations, layer)

    def gradient(self, layer: str) -> np.ndarray:
        """float32 (C, H, W): the gradient at what a layer stored, by the method's first backward pass of the picture.

        Raises:
            GradCoreError: there is no such layer, it was not kept, or the method has no backward pass there.
        """
        return self._map("gradient", self.gradients, layer)

    def _map(self, what: str, maps: Mapping[str, np.ndarray], layer: str) -> np.ndarray:
        if layer in maps:
            return maps[layer]
        if not self.activations:
            raise GradCoreError(f"no {what} of {layer} was kept, for the maps are large: explain with keep=True")
        if layer not in self.activations:
            raise GradCoreError(f"there is no layer {layer!r}: use one of {', '.join(self.activations)}")
        raise GradCoreError(f"{self.method} has no single {what} of {layer}: explain by saliency, deconvnet or guided")

    @property
    def predicted(self) -> int:
        """Index of the largest logit; the first wins a tie."""
        return int(np.argmax(self.logits))

    @property
    def latency_ms(self) -> float | None:
        """Time of the core's runs in milliseconds at ``clock_mhz``."""
        return None if self.cycles is None or not self.clock_mhz else self.cycles.total / (self.clock_mhz * 1e3)


@dataclass(frozen=True)
class Result(Explained):
    """One picture's result; attributes have the names and the meaning of ``gradcore.explain``'s.

    Attributes:
        network, method, backend: what made it.
        classes: the network's class names, in the order of the logits.
        logits: float64, one score for each class.
        target: index of the class that was explained.
        attribution: float32, channels x height x width: what the method makes of the signed gradient of the target's logit with respect
            to the network's (normalised) input; empty after an inference alone.
        cycles, counters, saturated: see ``Outcome``; of several runs their sums.
        clock_mhz: the core's clock, as the board said it.
        runs: of the core that the method took. parameters: of the method, by name.
        against: the class whose logit was subtracted, by name; None without.
        seed: float64 (classes,): how much of each logit was explained, where that was not one class.
        activations, gradients: of all layers, where they were kept: see ``activation``, ``gradient``.
        headroom: bits by which number formats were wider than the program's, for values had saturated.
    """

    network: str
    method: str
    backend: str
    classes: tuple[str, ...]
    logits: np.ndarray
    target: int
    attribution: np.ndarray
    cycles: Cycles
    clock_mhz: float
    counters: dict[str, int] = field(default_factory=dict)
    saturated: tuple[int, ...] = ()

    runs: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None
    seed: np.ndarray | None = None
    activations: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    headroom: int = 0

    def as_dict(self) -> dict[str, Any]:
        """What ``result.json`` holds."""
        return {
            "network": self.network,
            "method": self.method,
            "backend": self.backend,
            "classes": list(self.classes),
            "logits": [float(value) for value in self.logits],
            "predicted": self.classes[self.predicted],
            "target": self.classes[self.target],
            "against": self.against,
            "seed": None if self.seed is None else self.seed.tolist(),
            "parameters": {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self.parameters.items()},
            "runs": self.runs,
            "cycles": self.cycles.as_dict(),
            "latency_ms": self.latency_ms,
            "clock_mhz": self.clock_mhz,
            "counters": dict(self.counters),
            "saturated": list(self.saturated),
            "headroom": self.headroom,
        }

    def save(self, folder: str | Path) -> dict[str, str]:
        """Write attribution.npy and result.json to ``folder``; returns their paths by name.

        Raises:
            GradCoreError: a file cannot be written.
        """
        files = {"attribution": Path(folder) / "attribution.npy", "result": Path(folder) / "result.json"}
        array = io.BytesIO()
        np.save(array, self.attribution)
        text = json.dumps(self.as_dict(), indent=2) + "\n"
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for path, content in zip(files.values(), (array.getvalue(), text.encode()), strict=True):
                _replace(path, content)
        except OSError as error:
            raise GradCoreError(
                f"{error.filename or folder} cannot be written ({error.strerror or error}): choose another folder"
            ) from None
        return {name: str(path) for name, path in files.items()}


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
