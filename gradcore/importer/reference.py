# SPDX-License-Identifier: Apache-2.0
"""onnx's reference evaluator as the source that an imported graph is compared with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from gradcore.errors import GradCoreError
from gradcore.importer.comparison import Source
from gradcore.importer.translation import Translated
from gradcore.network.graph import Sides

PATIENCE = 10.0  # seconds, after which no further input is tried: the reference evaluator takes its time for pools


def reference_source(model: onnx.ModelProto, made: Translated, name: str) -> Source:
    """onnx's reference evaluator of a model, at the tensor that the graph's output stands for."""
    evaluator = ReferenceEvaluator(_explicit(_ending_at(model, made.tensor), made.builder.explicit_padding))

    def outputs(inputs: np.ndarray) -> np.ndarray:
        results: list[np.ndarray] = []
        end = time.monotonic() + PATIENCE
        for one in inputs:
            if results and time.monotonic() > end:
                break
            given = one.reshape(-1)[made.input_view.index]
            try:
                with np.errstate(all="ignore"):
                    results.append(np.asarray(evaluator.run(None, {made.input_name: given})[0]).reshape(-1))
            except Exception as error:  # of the evaluator, of many kinds
                text = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
                raise GradCoreError(f"{name}: onnx's reference evaluator does not run it ({text}): export the network again") from None
        return np.stack(results)

    return Source("onnx's reference evaluator", outputs)


def _explicit(model: onnx.ModelProto, padding: Mapping[str, Sides]) -> onnx.ModelProto:
    """The model with its padding in a form of which the evaluator makes what ONNX defines.

    It gives some convolutions and pools with auto_pad other sizes, and takes the pads of a max-pool of stride 1 in another order.
    """
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type not in ("Conv", "MaxPool", "AveragePool"):
            continue
        told = {one.name: one for one in node.attribute}
        pads = padding.get(node.output[0], tuple(told["pads"].ints) if "pads" in told else None)
        if pads is None:
            continue
        kept = [one for one in node.attribute if one.name not in ("auto_pad", "pads")]
        if node.op_type == "MaxPool" and len(pads) == 4 and len(set(pads)) > 1:
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
