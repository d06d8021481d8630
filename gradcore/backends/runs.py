# SPDX-License-Identifier: Apache-2.0
"""What back ends give: runs of a network, with their cycles and what saturated in them; and what every back end can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.models import arithmetic
from gradcore.quantise.precision import LayerSaturation
from gradcore.runtime.results import Cycles, LayerCycles

if TYPE_CHECKING:
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


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (classes,): one share for each class; their sum is 1. Not a number where the logits are not."""
    with np.errstate(invalid="ignore"):  # infinite logits
        shares = np.exp(logits - np.max(logits))
        return shares / shares.sum()


def is_weak(logits: np.ndarray) -> bool:
    """Whether the predicted class has less than ``WEAK`` of the softmax: such answers are often wrong."""
    return bool(softmax(logits)[int(np.argmax(logits))] < WEAK)


Target = int | Sequence[int] | None
"""Class to explain, by index: one for all pictures, one for each, or None: each picture's predicted class (of several equal
largest logits the first)."""


def class_indexes(target: Target, classes: int, pictures: int) -> np.ndarray | None:
    """int64 (pictures,): the index of the class to explain in each picture; None for the predicted ones.

    Raises:
        GradCoreError: there is no such class, or not one for each picture.
    """
    if target is None:
        return None
    indexes = np.asarray(target)
    if not np.issubdtype(indexes.dtype, np.integer) or indexes.shape not in ((), (pictures,)):
        raise GradCoreError(
            f"the target {str(indexes.reshape(-1)[:1])[1:-1]} is no class's index, or there is not one for each of the {pictures} "
            "pictures: give an integer, or one for each picture"
        )
    if indexes.min(initial=0) < 0 or indexes.max(initial=0) >= classes:
        wrong = indexes.reshape(-1)[(indexes.reshape(-1) < 0) | (indexes.reshape(-1) >= classes)]
        raise GradCoreError(f"there is no class {wrong[0]}: give an index from 0 to {classes - 1}")
    return np.broadcast_to(indexes, (pictures,)).astype(np.int64)


class Backend(Protocol):
    """What ``open_backend`` returns.

    Attributes:
        notes: what a user should know of the network, one sentence each.
    """

    notes: tuple[str, ...]

    def run(
        self, pictures: Sequence[np.ndarray], methods: Sequence[str], target: Target = None, progress: Progress = silent
    ) -> dict[str, list[Run]]:
        """Run uint8 pictures, H x W x C, with each method; results by method, in the order of the pictures."""
