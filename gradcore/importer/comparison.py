# SPDX-License-Identifier: Apache-2.0
"""Compares a graph with the source that it was imported from, on random inputs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from gradcore.errors import GradCoreError
from gradcore.network import graph_float
from gradcore.network.graph import Graph, Sides

if TYPE_CHECKING:
    from gradcore.importer.translation import Translated

SEED = 12
INPUTS = 4
PATIENCE = 10.0  # seconds, after which no further input is tried: the reference evaluator takes its time for pools
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


def compare_onnx(model: onnx.ModelProto, made: Translated, graph: Graph, name: str) -> Difference:
    """Compare with onnx's reference evaluator, at the tensor that the graph's output stands for.

    Raises:
        GradCoreError: they differ, which is a bug of GradCore, or the evaluator does not run the network.
    """
    inputs = random_inputs(graph.input_shape)
    evaluator = ReferenceEvaluator(_explicit(_ending_at(model, made.tensor), made.builder.explicit_padding))
    results: list[np.ndarray] = []
    end = time.monotonic() + PATIENCE
    for one in inputs:
        if results and time.monotonic() > end:
            break
        given = one.reshape(-1)[made.input_view.index]
        try:
            with np.errstate(all="ignore"):
                results.append(np.asarray(evaluator.run(None, {made.input_name: given})[0]))
        except Exception as error:  # of the evaluator, of many kinds
            text = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
            raise GradCoreError(f"{name}: onnx's reference evaluator does not run it ({text}): export the network again") from None
    return judged("onnx's reference evaluator", np.stack(results), graph, inputs[: len(results)], made.output.flat, name)


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


def _explicit(model: onnx.ModelProto, padding: Mapping[str, Sides]) -> onnx.ModelProto:
    """The model with its pools' padding in a form of which the evaluator makes what ONNX defines.

    It gives pools with auto_pad other sizes, and takes the four pads of a max-pool of stride 1 in another order.
    """
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type not in ("MaxPool", "AveragePool"):
            continue
        told = {one.name: one for one in node.attribute}
        pads = padding.get(node.name or node.output[0], tuple(told["pads"].ints) if "pads" in told else (0, 0, 0, 0))
        kept = [one for one in node.attribute if one.name not in ("auto_pad", "pads")]
        if node.op_type == "MaxPool" and len(pads) == 4 and pads[:2] != pads[2:]:
            names = [f"{node.output[0]}.{what}" for what in ("padded", "pads", "lowest")]
            values = (np.int64([0, 0, *pads[:2], 0, 0, *pads[2:]]), np.float32(-np.inf))
            model.graph.initializer.extend(numpy_helper.from_array(one, name) for one, name in zip(values, names[1:], strict=True))
            nodes.insert(-1, onnx.helper.make_node("Pad", [node.input[0], *names[1:]], names[:1]))
            node.input[0], pads = names[0], (0, 0, 0, 0)
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("pads", pads)])
    return _with_nodes(model, nodes)


def _ending_at(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """The model with one output, and no others."""
    ending = onnx.ModelProto()
    ending.CopyFrom(model)
    del ending.graph.output[:]
    ending.graph.output.append(onnx.ValueInfoProto(name=tensor))
    needed, kept = {tensor}, []
    for node in reversed(ending.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
    return _with_nodes(ending, kept[::-1])


def _with_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model
