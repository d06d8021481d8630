# SPDX-License-Identifier: Apache-2.0
"""Compares a graph with the source that it was imported from, on random inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.network import graph_float
from gradcore.network.graph import Graph

SEED = 12
INPUTS = 4
GRADIENTS = 2  # inputs of which gradients are compared, too
GRADIENT_TOLERANCE = 0.05  # of a gradient's length
TOLERANCE = 1e-3  # of the largest output: both compute in float32 somewhere, and a wrong graph is off by far more


@dataclass(frozen=True)
class Difference:
    """How far a graph is from its source.

    Attributes:
        source: what computed the source's outputs.
        what: the inputs were.
        inputs: their number.
        largest: difference of any output.
        scale: the largest output of the source, in magnitude.
        share: the largest difference as a share of the largest output for the same input.
        gradient: the largest difference of a gradient of an output with respect to the input, as a share of the largest gradient; None
            where it was not compared.
    """

    source: str
    what: str
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
            f"largest difference from {self.source} on {self.inputs} {self.what} {self.largest:.2g}, of outputs up to {self.scale:.3g} "
            f"(share {self.share:.2g})"
        )
        return told if self.gradient is None else f"{told}; of gradients {self.gradient:.2g} of the largest"


def random_inputs(shape: tuple[int, ...], count: int = INPUTS) -> np.ndarray:
    """float32 (count, *shape): normal ones of several scales, the second like a picture of 0 .. 255."""
    generator = np.random.default_rng(SEED)
    values = generator.standard_normal((count, *shape)) * np.resize([1.0, 1.0, 0.1, 3.0], count).reshape(-1, *[1] * len(shape))
    values[1] = generator.uniform(0, 255, shape)
    return values.astype(np.float32)


@dataclass(frozen=True)
class Source:
    """What a graph was made of, to compare it with.

    Attributes:
        name: what computes it.
        outputs: of inputs (N, C, H, W), those of the first of them at least (some take long): (n, values), in the source's order.
        gradients: of inputs and a seed (N, values), the gradient of the sum of outputs times seed with respect to the inputs; or None.
    """

    name: str
    outputs: Callable[[np.ndarray], np.ndarray]
    gradients: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def compare(source: Source, graph: Graph, inputs: np.ndarray, order: np.ndarray, name: str, what: str = "random inputs") -> Difference:
    """The difference of a graph from its source.

    Args:
        source: what it was made of.
        graph: the graph, which is computed in float64.
        inputs: float32 (N, C, H, W).
        order: of each of the source's outputs the place in the graph's.
        name: of the network, for errors.
        what: the inputs are.

    Raises:
        GradCoreError: it is not small, or the source cannot be run.
    """
    expected = source.outputs(inputs).astype(np.float64)
    inputs = inputs[: len(expected)]
    maps = graph_float.forward(graph, inputs)
    got = maps[graph.output].reshape(len(inputs), -1)[:, order]
    if got.shape != expected.shape:
        raise GradCoreError(
            f"{name}: {source.name} gives {expected.shape[1]} values where the operators' definitions say {got.shape[1]}, so nothing can "
            "be compared: export the network with explicit pads instead of auto_pad"
        )
    if not np.all(np.isfinite(expected)):
        raise GradCoreError(f"{name}: its outputs are not finite on {what}: train the network again")
    largest, scale, share = _apart(got, expected, name)
    gradient = None if source.gradients is None else _gradients_apart(source, graph, inputs[:GRADIENTS], maps, order, name)
    return Difference(source.name, what, len(inputs), largest, scale, share, gradient)


def _gradients_apart(
    source: Source, graph: Graph, inputs: np.ndarray, maps: Mapping[str, np.ndarray], order: np.ndarray, name: str
) -> float:
    """The largest difference of gradients of random sums of the outputs, as a share of the largest one.

    Refused is not the largest difference but the mean: at a value that is nearly 0, or one of two nearly equal ones, rounding may decide
    the way of a gradient, so that single values differ.
    """
    seed = np.random.default_rng(SEED).standard_normal((len(inputs), len(order)))
    placed = np.zeros_like(seed)
    placed[:, order] = seed
    some = {key: values[: len(inputs)] for key, values in maps.items()}
    got = graph_float.backward(graph, some, placed.reshape(some[graph.output].shape)).reshape(len(inputs), -1)
    expected = source.gradients(inputs, seed).astype(np.float64).reshape(len(inputs), -1)
    norms = np.linalg.norm(expected, axis=1)
    if np.any(np.linalg.norm(got - expected, axis=1) > GRADIENT_TOLERANCE * np.maximum(norms, 1e-30)):
        raise GradCoreError(
            f"{name}: the graph's gradients differ from those of its source: this is a bug of GradCore, nothing was imported; please "
            "report it"
        )
    return float((np.abs(got - expected).max(axis=1) / np.maximum(np.abs(expected).max(axis=1), 1e-30)).max())


def _apart(got: np.ndarray, expected: np.ndarray, name: str) -> tuple[float, float, float]:
    """(largest difference, largest value, largest difference as a share of the largest value for the same input)."""
    apart = np.abs(got - expected).max(axis=1, initial=0)
    scales = np.abs(expected).max(axis=1, initial=0)
    if np.any(apart > TOLERANCE * np.maximum(scales, 1e-6)):
        raise GradCoreError(
            f"{name}: the graph differs from its source, by {apart.max():.3g} of outputs up to {scales.max():.3g}: this is a bug of "
            "GradCore, nothing was imported; please report it"
        )
    return float(apart.max()), float(scales.max()), float((apart / np.maximum(scales, 1e-6)).max())
