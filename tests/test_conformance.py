# SPDX-License-Identifier: Apache-2.0
"""The onnx package's own backend suite, held against the importer: each case agrees, or is refused with a reason; none differs.

The suite has one operator a case, and all operands are inputs. GradCore's networks have one input, so the others become constants; a case
with a batch of N is N runs; tensors of a case that only moves or adds values are cut from one vector, behind a fully connected layer that
changes nothing.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case import node as node_cases
from onnx.backend.test.loader import load_model_tests

from gradcore.backends.pytorch_graph import GraphTrace
from gradcore.errors import GradCoreError
from gradcore.importer import operators
from gradcore.importer.builder import Builder
from gradcore.importer.imported import Imported
from gradcore.importer.importing import import_onnx
from gradcore.network import graph_float
from gradcore.network.graph import INPUT, Conv, Graph
from tb.support.random_graphs import random_graph
from tb.support.seeds import SEEDS

# The operators of which the cases must be 160, and more that networks have.
OURS = (
    "AveragePool BatchNormalization Add Clip Concat Conv ConvTranspose Dropout Flatten Gemm GlobalAveragePool Identity MatMul MaxPool Pad "
    "Relu Reshape Softmax"
).split()
MORE = "GlobalMaxPool LeakyRelu LogSoftmax Mul PRelu ReduceMean Slice Split Squeeze Sub Sum Transpose Unsqueeze".split()
MODULES = {"BatchNormalization": "batch_normalization"}
SEVERAL_MAPS = ("Add", "Concat", "Mul", "Sub", "Sum")
MOVE = (
    "Add Concat Dropout Flatten Identity LogSoftmax Mul Pad ReduceMean Reshape Slice Softmax Split Squeeze Sub Sum Transpose Unsqueeze"
).split()


@dataclass(frozen=True)
class Outcome:
    """What became of a case: 'agrees', 'refused' or 'differs', and why."""

    case: str
    status: str
    why: str = ""


def node_suite(kinds: Sequence[str]) -> list:
    """The suite's cases of some operators, without those where a function stands for the operator."""
    for kind in kinds:
        importlib.import_module(f"onnx.backend.test.case.node.{MODULES.get(kind, kind.lower())}")
    found = {case.name: case for case in node_cases._NodeTestCases if "_expanded" not in case.name}
    return [case for case in found.values() if len(case.model.graph.node) == 1 and case.model.graph.node[0].op_type in kinds]


def array(value: object) -> np.ndarray | None:
    """An operand or result as an array; None for a sequence, or an optional that is empty."""
    return None if value is None or isinstance(value, list) else np.asarray(value)


def behind_a_layer(model: onnx.ModelProto, operands: Sequence[np.ndarray]) -> onnx.ModelProto:
    """The model with its first operands cut from one vector, and its other inputs constants."""
    maps = operands if model.graph.node[0].op_type in SEVERAL_MAPS else operands[:1]
    names = [one.name for one in model.graph.input]
    total = sum(one.size for one in maps)
    constants = {
        "identity": np.eye(total, dtype=np.float32),
        "sizes": np.int64([one.size for one in maps]),
        **{f"shape {position}": np.int64(one.shape) for position, one in enumerate(maps)},
    }
    pieces = [f"piece {position}" for position in range(len(maps))]
    before = [helper.make_node("MatMul", ["vector", "identity"], ["all"])]
    before.append(helper.make_node("Split", ["all", "sizes"], pieces, axis=1))
    before += [helper.make_node("Reshape", [pieces[place], f"shape {place}"], [names[place]]) for place in range(len(maps))]
    kept = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, (1, total)), *model.graph.input[len(maps) :]]
    return _remade(model, before, kept, constants)


def with_constants(model: onnx.ModelProto, operands: Sequence[np.ndarray], first: int) -> onnx.ModelProto:
    """The model with its inputs from ``first`` on as constants."""
    kept, others = model.graph.input[:first], model.graph.input[first:]
    return _remade(model, [], kept, {one.name: operands[place] for place, one in enumerate(others, first)})


def _remade(model, before, inputs, constants) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for one in (made.graph.input, made.graph.node):
        del one[:]
    made.graph.input.extend(inputs)
    made.graph.node.extend([*before, *model.graph.node])
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    return made


def single(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a batch of 1."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for one in (*made.graph.input[:1], *made.graph.output):
        if one.type.tensor_type.shape.dim:
            one.type.tensor_type.shape.dim[0].dim_value = 1
    return made


def results(imported: Imported, inputs: np.ndarray, maps: bool) -> np.ndarray:
    """The graph's outputs (N, values), in the order of the source."""
    channels, height, width = imported.graph.input_shape
    if maps and inputs.ndim == 4 and inputs.shape[1:] != imported.graph.input_shape:
        assert inputs.shape[1:] == (height, width, channels)
        inputs = inputs.transpose(0, 3, 1, 2)
    return graph_float.output(imported.graph, inputs.reshape(len(inputs), channels, height, width)).reshape(len(inputs), -1)[
        :, imported.output_order
    ]


def judge(name: str, model: onnx.ModelProto, operands: list, expected: list, rtol: float, atol: float, *, moves: bool) -> Outcome:
    """Run one case."""
    if not operands or operands[0] is None or expected[0] is None or not operands[0].size:
        return Outcome(name, "refused", "its input is no tensor, or empty")
    first, wanted = operands[0], expected[0]
    kind = model.graph.node[-1].op_type
    moves = moves and all(one is not None and one.dtype == np.float32 for one in operands[: len(operands) if kind in SEVERAL_MAPS else 1])
    if moves:
        model = behind_a_layer(model, operands)
        count = len(operands) if kind in SEVERAL_MAPS else 1
        model = with_constants(model, [None, *operands[count:]], 1)
        first = np.concatenate([one.reshape(-1) for one in operands[:count]])[None]
        wanted = wanted.reshape(1, -1) if kind not in ("Softmax", "LogSoftmax") else wanted[None]
    else:
        model = single(with_constants(model, operands, 1))
        if first.ndim > 1 and len(first) > 1 and wanted.shape[:1] != first.shape[:1]:
            return Outcome(name, "refused", "its batch of several is not one of pictures")
    try:
        imported = import_onnx(model, model.graph.output[0].name, check=False)  # the suite's own outputs are the judge
    except GradCoreError as error:
        reason = str(error).splitlines()[-1].strip()
        return Outcome(name, "differs" if "bug of GradCore" in reason else "refused", reason)
    got = results(imported, first, not moves)
    if kind in ("Softmax", "LogSoftmax") and imported.notes.cut:
        got = softmax_of(got.reshape(wanted.shape), model.graph.node[-1], moves, kind == "LogSoftmax")
    wanted = wanted.reshape(len(first), -1)
    got = got.reshape(len(first), -1)
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=max(rtol, 1e-5), atol=max(atol, 1e-6)):
        return Outcome(name, "differs", f"{got.shape} {wanted.shape}")
    return Outcome(name, "agrees")


def softmax_of(scores: np.ndarray, node: onnx.NodeProto, moves: bool, logarithm: bool) -> np.ndarray:
    """What the softmax that was cut makes of the scores."""
    axis = next((one.i for one in node.attribute if one.name == "axis"), -1)
    axis += moves and axis >= 0
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    shares = powers / powers.sum(axis=axis, keepdims=True)
    return np.log(shares) if logarithm else shares


def node_outcomes(kinds: Sequence[str]) -> list[Outcome]:
    made = []
    for case in node_suite(kinds):
        inputs, outputs = case.data_sets[0]
        kind = case.model.graph.node[0].op_type
        made.append(
            judge(case.name, case.model, list(map(array, inputs)), list(map(array, outputs)), case.rtol, case.atol, moves=kind in MOVE)
        )
    return made


def file_outcomes(kind: str) -> list[Outcome]:
    """The cases that lie in the wheel, converted from PyTorch."""
    made = []
    for case in load_model_tests(kind=kind):
        folder = Path(case.model_dir)
        model = onnx.load(folder / "model.onnx")
        arrays = [[read(folder / "test_data_set_0" / f"{what}_{place}.pb") for place in range(count)] for what, count in sides(model)]
        made.append(judge(case.name, model, *arrays, case.rtol, case.atol, moves=False))
    return made


def sides(model: onnx.ModelProto) -> list[tuple[str, int]]:
    given = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in given]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return [("input", len(inputs)), ("output", len(model.graph.output))]


def read(path: Path) -> np.ndarray:
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


def check(outcomes: list[Outcome], what: str, record_property) -> Counter:
    """Refuse that a case differs, and tell the numbers."""
    counts = Counter(one.status for one in outcomes)
    for one in outcomes:
        print(f"{one.status:8} {one.case}: {one.why}")
    summary = (
        f"conformance, {what}: {len(outcomes)} cases, {counts['agrees']} agree, {counts['refused']} refused, {counts['differs']} differ"
    )
    record_property("summary", summary)
    assert not counts["differs"], [one for one in outcomes if one.status == "differs"]
    assert all(one.why for one in outcomes if one.status == "refused")
    return counts


def test_node_cases_of_our_operators(record_property) -> None:
    outcomes = node_outcomes(OURS)
    assert len(outcomes) == 160
    assert check(outcomes, "node cases", record_property)["agrees"] >= 88


def test_node_cases_of_more_operators(record_property) -> None:
    assert check(node_outcomes(MORE), "node cases of more operators", record_property)["agrees"] >= 51


def test_cases_converted_from_pytorch(record_property) -> None:
    outcomes = [*file_outcomes("pytorch-converted"), *file_outcomes("pytorch-operator")]
    assert len(outcomes) == 117
    assert check(outcomes, "converted from PyTorch", record_property)["agrees"] >= 24


def transposed(case) -> tuple[Graph, np.ndarray, np.ndarray]:
    """The convolution of which a case of ConvTranspose is the gradient, the gradient at its output, and the expected one at its input."""
    (gradient, weight), (expected,) = [list(map(array, side)) for side in case.data_sets[0]]
    told = {one.name: onnx.helper.get_attribute_value(one) for one in case.model.graph.node[0].attribute}
    stride, dilation = (tuple(told.get(name, (1, 1))) for name in ("strides", "dilations"))
    pads = list(told.get("pads", (0, 0, 0, 0)))
    if "output_shape" in told or "auto_pad" in told:
        for axis in (0, 1):
            reach = (weight.shape[2 + axis] - 1) * dilation[axis] + 1
            beyond = told.get("output_padding", (0, 0))[axis]
            total = stride[axis] * (gradient.shape[2 + axis] - 1) + beyond + reach - expected.shape[2 + axis]
            upper = told.get("auto_pad") == b"SAME_UPPER"
            pads[axis] = max(0, total // 2 if upper else total - total // 2)
            pads[axis + 2] = max(0, total - pads[axis])
    groups = told.get("group", 1)
    node = Conv("conv", (INPUT,), weight.shape[2:], stride, tuple(pads), dilation, len(weight), groups, bias=False)
    return Graph((node,), {"conv.weight": weight}, expected.shape[1:], "conv"), gradient, expected


def test_transposed_convolutions_are_the_gradient_of_a_convolution(record_property) -> None:
    """Nine cases: the suite has no other backward pass."""
    cases = [case for case in node_suite(["ConvTranspose"]) if array(case.data_sets[0][0][0]).ndim == 4]
    for case in cases:
        graph, seed, expected = transposed(case)
        values = graph_float.forward(graph, np.zeros_like(expected))
        got = graph_float.backward(graph, values, seed)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5, err_msg=case.name)
    assert len(cases) == 9
    record_property("summary", f"conformance, transposed convolutions as gradients: {len(cases)} cases, {len(cases)} agree")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_in_numpy_is_that_of_autograd(seed) -> None:
    graph = random_graph(seed)
    inputs = np.random.default_rng(seed).standard_normal((2, *graph.input_shape)).astype(np.float32)
    maps = graph_float.forward(graph, inputs)
    given = np.random.default_rng(seed).standard_normal((2, maps[graph.output][0].size)).astype(np.float32)
    trace = GraphTrace(graph)
    trace.forward(inputs)
    expected = trace.backward("saliency", given)
    got = graph_float.backward(graph, maps, given.reshape(maps[graph.output].shape))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1e-6, float(np.abs(expected).max())))


@pytest.mark.parametrize("wrong", ["padding that never counts", "an odd pixel at the other end"])
def test_the_suite_bites(wrong, monkeypatch) -> None:
    """An importer with these mistakes differs in some case."""
    if wrong == "padding that never counts":
        right = Builder.average_pool
        monkeypatch.setattr(Builder, "average_pool", lambda *inputs: right(*inputs[:7], False, inputs[8]))
    else:
        right = operators.same_padding
        monkeypatch.setattr(operators, "same_padding", lambda *sizes, upper: right(*sizes, upper=not upper))
    assert any(one.status == "differs" for one in node_outcomes(["AveragePool"]))
