# SPDX-License-Identifier: Apache-2.0
"""Small networks of ONNX for tests of the importer, made in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gradcore.network.graph import INPUT, Add, Affine, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, MaxPool


def node(kind: str, inputs: str, output: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    """A node; ``inputs`` and ``output`` are names, separated by spaces ('-' for one that is left out)."""
    names = ["" if one == "-" else one for one in inputs.split()]
    return helper.make_node(kind, names, output.split(), name=name or output.split()[0], **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    tensors: Mapping[str, np.ndarray] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model whose input is ``x`` of this shape, and whose constants are ``tensors``."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(tensor), name) for name, tensor in (tensors or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def model_of(graph: Graph) -> onnx.ModelProto:
    """A graph as a model of ONNX, node by node; no average pool in it may have an overhang."""
    nodes: list[onnx.NodeProto] = []
    tensors = dict(graph.weights)
    names = {INPUT: "x"}
    for one in graph.nodes:
        reads = " ".join(names[name] for name in one.inputs)
        names[one.name] = one.name
        told = {}
        if isinstance(one, Conv | MaxPool | AveragePool):
            told = {"kernel_shape": one.kernel, "strides": one.stride, "pads": one.padding, "dilations": one.dilation}
        match one:
            case Conv():
                bias = f" {one.name}.bias" if one.bias else ""
                nodes.append(node("Conv", f"{reads} {one.name}.weight{bias}", one.name, group=one.groups, **told))
            case FullyConnected():
                bias = f" {one.name}.bias" if one.bias else ""
                nodes.append(node("Flatten", reads, f"{one.name}.flat"))
                nodes.append(node("Gemm", f"{one.name}.flat {one.name}.weight{bias}", f"{one.name}.vector", transB=1))
                tensors[f"{one.name}.shape"] = np.int64([1, one.out_channels, 1, 1])
                nodes.append(node("Reshape", f"{one.name}.vector {one.name}.shape", one.name))
            case MaxPool():
                nodes.append(node("MaxPool", reads, one.name, **told))
            case AveragePool():
                nodes.append(node("AveragePool", reads, one.name, count_include_pad=int(one.counts_padding), **told))
            case Clip():
                tensors |= {f"{one.name}.low": np.float32(0), f"{one.name}.high": np.float32(one.high)}
                nodes.append(node("Clip", f"{reads} {one.name}.low {one.name}.high", one.name))
            case Affine():
                for what in ("scale", "shift"):
                    tensors[f"{one.name}.{what}"] = graph.weights[f"{one.name}.{what}"].reshape(1, -1, 1, 1)
                nodes.append(node("Mul", f"{reads} {one.name}.scale", f"{one.name}.scaled"))
                nodes.append(node("Add", f"{one.name}.scaled {one.name}.shift", one.name))
            case Add():
                nodes.append(node("Sum", reads, one.name))
            case Concat():
                nodes.append(node("Concat", reads, one.name, axis=1))
            case _:
                nodes.append(node("Relu", reads, one.name))
    return model(nodes, (1, *graph.input_shape), tensors, (graph.output,), opset=20)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """float32, normal."""
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)
