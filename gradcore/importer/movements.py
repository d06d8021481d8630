# SPDX-License-Identifier: Apache-2.0
"""The ONNX operators that only move values: they make no node, but a view in which the values stand elsewhere.

onnx's own reference evaluator says where: it runs the operator on the places of the values instead of the values. The same evaluator works
out what is constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from gradcore.importer.operator import Operator, Rule, Value
from gradcore.importer.problems import Refused
from gradcore.importer.views import ZERO


def evaluate(kind: str, inputs: Sequence[np.ndarray | None], attributes: Mapping[str, Any], outputs: int, opset: int) -> list[np.ndarray]:
    """What an operator of ONNX makes of arrays.

    Raises:
        Refused: the reference evaluator does not know it, or refuses these inputs.
    """
    names = ["" if one is None else f"i{position}" for position, one in enumerate(inputs)]
    given = {name: one for name, one in zip(names, inputs, strict=True) if name}
    results = [f"o{position}" for position in range(outputs)]
    try:
        node = helper.make_node(kind, names, results, **attributes)
        graph = helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(one.dtype), one.shape) for name, one in given.items()],
            [onnx.ValueInfoProto(name=name) for name in results],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        with np.errstate(all="ignore"):
            return [np.asarray(one) for one in ReferenceEvaluator(model).run(None, given)]
    except Exception as error:  # of the evaluator, of many kinds
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise Refused(f"it cannot be worked out ({text})", "correct the network, or export it again") from None


def _move(operator: Operator) -> Sequence[Value]:
    view = operator.view(after_softmax=operator.kind in _KEEP_ALL)
    others = [operator.constant(position, f"input {position}") for position in range(1, len(operator.inputs))]
    made = evaluate(operator.kind, [view.index, *others], operator.attributes, operator.outputs, operator.builder.opset)
    return [view.moved(lambda index, one=one: one) for one in made]


def _pad(operator: Operator) -> Sequence[Value]:
    mode = operator.get("mode", "constant")
    if mode != "constant":
        raise Refused(f"mode = {mode}", "pad with zeros: mode = constant")
    view, pads = operator.view(), operator.constant(1, "pads")
    value = operator.constant(2, "value")
    if value is not None and float(np.asarray(value).reshape(-1)[0]):
        raise Refused(f"constant_value = {float(np.asarray(value).reshape(-1)[0]):g}", "pad with zeros")
    ndim = view.index.ndim
    axes = operator.constant(3, "axes")
    places = range(ndim) if axes is None else [int(axis) % ndim for axis in axes]
    before, after = np.zeros((2, ndim), dtype=int)
    for position, axis in enumerate(places):
        before[axis], after[axis] = int(pads[position]), int(pads[position + len(places)])
    cut = tuple(slice(max(0, -first), size - max(0, -last)) for first, last, size in zip(before, after, view.index.shape, strict=True))
    widths = list(zip(np.maximum(before, 0), np.maximum(after, 0), strict=True))
    return [view.moved(lambda index: np.pad(index[cut], widths, constant_values=ZERO))]


def _identity(operator: Operator) -> Sequence[Value]:
    return [operator.view(after_softmax=True)]


def _dropout(operator: Operator) -> Sequence[Value]:
    training = operator.constant(2, "training_mode")
    if training is not None and bool(np.asarray(training).reshape(-1)[0]):
        raise Refused("training_mode = true", "export the network for inference: module.eval()")
    if operator.outputs > 1:
        raise Refused("its second output, the mask, is read", "export the network for inference: module.eval()")
    return [operator.view()]


def _cast(operator: Operator) -> Sequence[Value]:
    view = operator.view()
    if int(operator.get("to")) != onnx.TensorProto.FLOAT:
        raise Refused(f"to = {onnx.TensorProto.DataType.Name(int(operator.get('to')))}", "keep maps in float32")
    return [view]


def _shape(operator: Operator) -> Sequence[Value]:
    sizes = np.array(operator.view().index.shape, dtype=np.int64)
    end = operator.get("end")
    return [sizes[slice(operator.get("start", 0), len(sizes) if end is None else end)]]


def _size(operator: Operator) -> Sequence[Value]:
    return [np.array(operator.view().index.size, dtype=np.int64)]


_KEEP_ALL = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")  # may stand between a final softmax and the output
_MOVES = "no node: its place in the map is known"
MOVEMENTS: dict[str, Rule] = {
    "Cast": Rule(_cast, {"to": "FLOAT", "saturate": "any", "round_mode": "any"}, "nothing"),
    "DepthToSpace": Rule(_move, {"blocksize": "any", "mode": "any"}, _MOVES),
    "Dropout": Rule(_dropout, {"ratio": "any", "seed": "any"}, "nothing"),
    "Expand": Rule(_move, {}, _MOVES),
    "Flatten": Rule(_move, {"axis": "any"}, _MOVES),
    "Gather": Rule(_move, {"axis": "any"}, _MOVES),
    "Identity": Rule(_identity, {}, "nothing"),
    "Pad": Rule(_pad, {"mode": "constant"}, "padding of the convolution or pool behind it, else a convolution of 0 and 1"),
    "Reshape": Rule(_move, {"allowzero": "any"}, _MOVES),
    "Shape": Rule(_shape, {"start": "any", "end": "any"}, "a constant"),
    "Size": Rule(_size, {}, "a constant"),
    "Slice": Rule(_move, {}, f"{_MOVES}; before an add: a convolution of 0 and 1"),
    "SpaceToDepth": Rule(_move, {"blocksize": "any"}, _MOVES),
    "Split": Rule(_move, {"axis": "any", "num_outputs": "any"}, f"{_MOVES}; before an add: a convolution of 0 and 1"),
    "Squeeze": Rule(_move, {}, _MOVES),
    "Transpose": Rule(_move, {"perm": "any"}, _MOVES),
    "Unsqueeze": Rule(_move, {}, _MOVES),
}
