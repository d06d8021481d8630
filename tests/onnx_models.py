# SPDX-License-Identifier: Apache-2.0
"""Small networks of ONNX for tests of the importer, made in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """float32, normal."""
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)
