# SPDX-License-Identifier: Apache-2.0
"""What back ends give: runs of a network, with their cycles and what saturated in them; and what every back end can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gradcore.backends.targets import Target, class_indexes
from gradcore.host.progress import Progress, silent
from gradcore.models import arithmetic
from gradcore.quantise.precision import LayerSaturation
from gradcore.runtime.results import Cycles, LayerCycles

if TYPE_CHECKING:
    from gradcore.backends.requests import Reply, Request
    from gradcore.timeline import Timeline

__all__ = ["METHODS", "WEAK", "Backend", "Cycles", "LayerCycles", "LayerSaturation", "Run", "Target", "class_indexes", "is_weak", "softmax"]

METHODS = arithmetic.METHODS
WEAK = 0.5  # of the softmax: on CIFAR-10's test file, answers below are right as often as wrong (docs/training.md)


@dataclass(frozen=True)
class Run:
    """One picture's result.

    Attributes:
        logits: float64, one for each class.
        target: index of the class whose gradient was followed.
        attribution: float32, channels x height x width: gradient of the target's logit with respect to the normalised
            input.
        cycles, counters: of the hardware; only ``rtl`` has them. Counters by their registers' names in lower case.
        timeline: what the engines did, when the back end was asked for it.
        saturation: of each layer forward, then backward, in order of execution; empty with ``float``, which has no
            16-bit values.
        headroom: bits by which the number formats of this run were wider than the network's, see ``gradcore.quantise.headroom``.
        without_headroom: what saturated in the run with the network's own formats, if this one was made for that.
        runs: of the core that it took; ``cycles`` and ``saturation`` are their sums.
        activations, gradients: float32 (C, H, W) of what each layer stores, by its name, where they were asked for.
        seed: float64 (classes,): what the backward pass started from, where that was no single class.
    """

    logits: np.ndarray
    target: int
    attribution: np.ndarray
    cycles: Cycles | None = None
    counters: dict[str, int] = field(default_factory=dict)
    timeline: Timeline | None = None
    saturation: tuple[LayerSaturation, ...] = ()
    headroom: int = 0
    without_headroom: tuple[LayerSaturation, ...] = ()
    runs: int = 1
    activations: Mapping[str, np.ndarray] = field(default_factory=dict)
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict)
    seed: np.ndarray | None = None


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (classes,): one share for each class; their sum is 1. Not a number where the logits are not."""
    with np.errstate(invalid="ignore"):  # infinite logits
        shares = np.exp(logits - np.max(logits))
        return shares / shares.sum()


def is_weak(logits: np.ndarray) -> bool:
    """Whether the predicted class has less than ``WEAK`` of the softmax: such answers are often wrong."""
    return bool(softmax(logits)[int(np.argmax(logits))] < WEAK)


class Backend(Protocol):
    """What ``open_backend`` returns.

    Attributes:
        notes: what a user should know of the network, one sentence each.
        classes: their names.
        layers: (C, H, W) of what each layer stores, by its name; the last are the logits. Of a graph the maps that it makes.
    """

    notes: tuple[str, ...]
    classes: tuple[str, ...]
    layers: Mapping[str, tuple[int, int, int]]

    def run(
        self,
        pictures: Sequence[np.ndarray],
        methods: Sequence[str],
        target: Target = None,
        progress: Progress = silent,
        keep: bool = False,
    ) -> dict[str, list[Run]]:
        """Run uint8 pictures, H x W x C, with each method; results by method, in the order of the pictures, with ``keep`` with the maps of
        all layers."""

    def real_inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float64 (N, C, H, W): uint8 pictures (H, W, C) as the network sees them, rounded to its format if it has one."""

    def execute(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """Run single passes, in order, in one simulation if the back end simulates. An input beyond the input's format makes that wider,
        for all of them.

        Raises:
            GradCoreError: a layer, class or seed that does not fit the network; inputs that no format holds.
        """
