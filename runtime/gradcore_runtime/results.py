# SPDX-License-Identifier: Apache-2.0
"""What a run gives: logits and attribution in real numbers, cycles, counters."""

from __future__ import annotations

import io
import json
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


@dataclass(frozen=True)
class Result:
    """One picture's result; attributes have the names and the meaning of ``gradcore.explain``'s.

    Attributes:
        network, method, backend: what made it.
        classes: the network's class names, in the order of the logits.
        logits: float64, one score for each class.
        target: index of the class that was explained.
        attribution: float32, channels x height x width: the signed gradient of the target's logit with respect to the
            network's (normalised) input; empty after an inference alone.
        cycles, counters, saturated: see ``Outcome``.
        clock_mhz: the core's clock, as the board said it.
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

    @property
    def predicted(self) -> int:
        """Index of the largest logit; the first wins a tie."""
        return int(np.argmax(self.logits))

    @property
    def latency_ms(self) -> float:
        """Time of the run in milliseconds at ``clock_mhz``."""
        return self.cycles.total / (self.clock_mhz * 1e3)

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
            "cycles": self.cycles.as_dict(),
            "latency_ms": self.latency_ms,
            "clock_mhz": self.clock_mhz,
            "counters": dict(self.counters),
            "saturated": list(self.saturated),
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
