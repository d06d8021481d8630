# SPDX-License-Identifier: Apache-2.0
"""What back ends give: runs of a network, with their cycles and what saturated in them; and what every back end can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gradcore.host.progress import Progress, silent
from gradcore.models import arithmetic
from gradcore.runtime.requests import Engine
from gradcore.runtime.results import Cycles, LayerCycles, LayerSaturation, Run
from gradcore.runtime.targets import Target, class_indexes

__all__ = ["METHODS", "WEAK", "Backend", "Cycles", "LayerCycles", "LayerSaturation", "Run", "Target", "class_indexes", "is_weak", "softmax"]

METHODS = arithmetic.METHODS
WEAK = 0.5  # of the softmax: on CIFAR-10's test file, answers below are right as often as wrong (docs/training.md)


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (classes,): one share for each class; their sum is 1. Not a number where the logits are not."""
    with np.errstate(invalid="ignore"):  # infinite logits
        shares = np.exp(logits - np.max(logits))
        return shares / shares.sum()


def is_weak(logits: np.ndarray) -> bool:
    """Whether the predicted class has less than ``WEAK`` of the softmax: such answers are often wrong."""
    return bool(softmax(logits)[int(np.argmax(logits))] < WEAK)


class Backend(Engine, Protocol):
    """What ``open_backend`` returns.

    Attributes:
        notes: what a user should know of the network, one sentence each.
    """

    notes: tuple[str, ...]

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
