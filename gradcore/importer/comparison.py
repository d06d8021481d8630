# SPDX-License-Identifier: Apache-2.0
"""Compares a graph with the source that it was imported from, on random inputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.network import graph_float
from gradcore.network.graph import Graph

SEED = 12
INPUTS = 4
TOLERANCE = 1e-3  # of the largest output: both compute in float32 somewhere, and a wrong graph is off by far more


@dataclass(frozen=True)
class Difference:
    """How far a graph is from its source.

    Attributes:
        source: what computed the source's outputs.
        inputs: number of random inputs.
        largest: difference of any output.
        scale: the largest output of the source, in magnitude.
        share: the largest difference as a share of the largest output for the same input.
        gradient: the largest difference of a gradient of an output with respect to the input, as a share of the largest gradient; None
            where it was not compared.
    """

    source: str
    inputs: int
    largest: float
    scale: float
    share: float
    gradient: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """What a file's metadata holds."""
        return asdict(self)

    def __str__(self) -> str:
        told = (
            f"largest difference from {self.source} on {self.inputs} random inputs {self.largest:.2g}, of outputs up to {self.scale:.3g} "
            f"(share {self.share:.2g})"
        )
        return told if self.gradient is None else f"{told}; of gradients {self.gradient:.2g} of the largest"


def random_inputs(shape: tuple[int, ...], count: int = INPUTS) -> np.ndarray:
    """float32 (count, *shape): normal ones of several scales, the second like a picture of 0 .. 255."""
    generator = np.random.default_rng(SEED)
    values = generator.standard_normal((count, *shape)) * np.resize([1.0, 1.0, 0.1, 3.0], count).reshape(-1, *[1] * len(shape))
    values[1] = generator.uniform(0, 255, shape)
    return values.astype(np.float32)


def judged(source: str, expected: np.ndarray, graph: Graph, inputs: np.ndarray, order: np.ndarray, name: str) -> Difference:
    """The difference of a graph from what its source gave, (N, ...).

    Raises:
        GradCoreError: it is not small.
    """
    got = graph_float.output(graph, inputs).reshape(len(inputs), -1)[:, order]
    expected = expected.reshape(len(inputs), -1).astype(np.float64)
    if got.shape != expected.shape:
        raise GradCoreError(
            f"{name}: {source} gives {expected.shape[1]} values where the operators' definitions say {got.shape[1]}, so nothing can be "
            "compared: export the network with explicit pads instead of auto_pad"
        )
    if not np.all(np.isfinite(expected)):
        raise GradCoreError(f"{name}: its outputs are not finite on random inputs: train the network again")
    apart = np.abs(got - expected).max(axis=1, initial=0)
    scales = np.abs(expected).max(axis=1, initial=0)
    if np.any(apart > TOLERANCE * np.maximum(scales, 1e-6)):
        raise GradCoreError(
            f"{name}: the graph differs from its source, by {apart.max():.3g} of outputs up to {scales.max():.3g}: this is a bug of "
            "GradCore, nothing was imported; please report it"
        )
    return Difference(source, len(inputs), float(apart.max()), float(scales.max()), float((apart / np.maximum(scales, 1e-6)).max()))
