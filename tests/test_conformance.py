# SPDX-License-Identifier: Apache-2.0
"""The onnx package's own backend suite, held against the importer: each case agrees, or is refused with a reason; none differs.

What agrees runs in fixed point too, where the core can: formats are chosen on the case's inputs, its program computes forward and backward
bit for bit what the golden model does, and the result is no farther from the case's than rounding can take it.

The suite has one operator a case, and all operands are inputs. GradCore's networks have one input, so the others become constants; a case
with a batch of N is N runs; tensors of a case that only moves or adds values are cut from one vector, behind a fully connected layer that
changes nothing.
"""

from __future__ import annotations

import importlib
import zlib
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
from gradcore.compiler import weights
from gradcore.compiler.sums import refused
from gradcore.errors import GradCoreError, Refusal
from gradcore.importer import operators
from gradcore.importer.builder import Builder
from gradcore.importer.imported import Imported
from gradcore.importer.importing import import_onnx
from gradcore.models import arithmetic
from gradcore.network import graph_float
from gradcore.network.graph import INPUT, Conv, Graph
from gradcore.simulator import Simulator
from tb.support.random_graphs import random_graph
from tb.support.seeds import SEEDS
from tb.system.session import Request, Session, make_case
from tests import fixed_point

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
    """What became of a case: 'agrees', 'refused' or 'differs', and why. One that agrees also 'runs' in fixed point or does 'not', and why.

    ``bound``: how far rounding can take a value of it, as a share of the largest.
    """

    case: str
    status: str
    why: str = ""
    in_fixed_point: str = ""
    bound: float = 0.0


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


def maps_of(imported: Imported, inputs: np.ndarray, maps: bool) -> np.ndarray:
    """The inputs as the graph takes them, (N, C, H, W)."""
    channels, height, width = imported.graph.input_shape
    if maps and inputs.ndim == 4 and inputs.shape[1:] != imported.graph.input_shape:
        assert inputs.shape[1:] == (height, width, channels)
        inputs = inputs.transpose(0, 3, 1, 2)
    return inputs.reshape(len(inputs), channels, height, width)


def fixed(name: str, graph: Graph, maps: np.ndarray, real: np.ndarray) -> Outcome:
    """What becomes of a case that agrees in fixed point; ``real``: the graph's output (N, values). Methods and cores take turns."""
    number = zlib.crc32(name.encode())
    try:
        bound = fixed_point.agrees(graph, maps, real, arithmetic.METHODS[number % 3], (4, 2, 1)[number // 3 % 3])
    except Refusal as refusal:
        return Outcome(name, "agrees", refusal.reasons[0].split(": ", 1)[1], "not")
    except AssertionError as error:
        return Outcome(name, "differs", f"in fixed point: {error}")
    return Outcome(name, "agrees", in_fixed_point="runs", bound=bound)


def judge(
    name: str, model: onnx.ModelProto, operands: list, expected: list, rtol: float, atol: float, *, moves: bool, integers: bool = True
) -> Outcome:
    """Run one case; ``integers``: in fixed point, too."""
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
    maps = maps_of(imported, first, not moves)
    real = graph_float.output(imported.graph, maps).reshape(len(maps), -1)
    got = real[:, imported.output_order]
    if kind in ("Softmax", "LogSoftmax") and imported.notes.cut:
        got = softmax_of(got.reshape(wanted.shape), model.graph.node[-1], moves, kind == "LogSoftmax")
    wanted = wanted.reshape(len(first), -1)
    got = got.reshape(len(first), -1)
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=max(rtol, 1e-5), atol=max(atol, 1e-6)):
        return Outcome(name, "differs", f"{got.shape} {wanted.shape}")
    return fixed(name, imported.graph, maps, real) if integers else Outcome(name, "agrees")


def softmax_of(scores: np.ndarray, node: onnx.NodeProto, moves: bool, logarithm: bool) -> np.ndarray:
    """What the softmax that was cut makes of the scores."""
    axis = next((one.i for one in node.attribute if one.name == "axis"), -1)
    axis += moves and axis >= 0
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    shares = powers / powers.sum(axis=axis, keepdims=True)
    return np.log(shares) if logarithm else shares


def node_outcomes(kinds: Sequence[str], *, integers: bool = True) -> list[Outcome]:
    made = []
    for case in node_suite(kinds):
        inputs, outputs = case.data_sets[0]
        kind = case.model.graph.node[0].op_type
        given, wanted = list(map(array, inputs)), list(map(array, outputs))
        made.append(judge(case.name, case.model, given, wanted, case.rtol, case.atol, moves=kind in MOVE, integers=integers))
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
        print(f"{one.status:8} {one.in_fixed_point:4} {one.bound:.1e} {one.case}: {one.why}")
    runs = Counter(one.in_fixed_point for one in outcomes)
    reasons = Counter(one.why for one in outcomes if one.in_fixed_point == "not")
    record_property(
        "summary",
        f"conformance, {what}: {len(outcomes)} cases, {counts['agrees']} agree, {counts['refused']} refused, {counts['differs']} differ; "
        f"{runs['runs']} run in fixed point, {runs['not']} do not{''.join(f'; {count} x {why}' for why, count in reasons.items())}",
    )
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


@pytest.mark.hardware
@pytest.mark.regress
def test_cases_run_on_the_verilog(record_property, monkeypatch) -> None:
    """Those of windows, of sums and of joins, forward and backward, bit for bit as the golden model."""
    taken = []
    monkeypatch.setattr(fixed_point, "agrees", lambda graph, maps, *_: taken.append(fixed_point.in_integers(graph, maps)) or 0.0)
    node_outcomes(["AveragePool", "BatchNormalization", "Concat", "Conv", "MaxPool", "Sum"])
    ran = 0
    with Simulator("verilator", "full") as core:
        session = Session(core)
        for number, (_, quantised, inputs) in enumerate(taken):
            if not refused(quantised):
                case = make_case(quantised, inputs[0], "full")
                session.run(case, Request(arithmetic.METHODS[number % 3]), model_counters=True)
                ran += 1
    assert ran >= 40
    record_property("summary", f"conformance, on the Verilog: {ran} cases, bit for bit")


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
    for number, case in enumerate(cases):
        graph, seed, expected = transposed(case)
        values = graph_float.forward(graph, np.zeros_like(expected))
        got = graph_float.backward(graph, values, seed)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5, err_msg=case.name)
        fixed_point.gradient_agrees(graph, seed, expected, (4, 2, 1)[number % 3])
    assert len(cases) == 9
    told = f"{len(cases)} cases, {len(cases)} agree; {len(cases)} run in fixed point"
    record_property("summary", f"conformance, transposed convolutions as gradients: {told}")


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
    assert any(one.status == "differs" for one in node_outcomes(["AveragePool"], integers=False))


@pytest.mark.parametrize("wrong", ["rounding down", "a program without initial accumulators"])
def test_the_suite_bites_in_fixed_point(wrong, monkeypatch) -> None:
    """A golden model, or a compiler, with these mistakes differs in some case."""
    if wrong == "rounding down":
        monkeypatch.setattr(arithmetic, "rounding_constant", lambda shift: 0)
    else:
        monkeypatch.setattr(weights, "initial_accumulators", lambda plan, block: np.zeros(16, dtype=np.int64))
    differing = [one.why for one in node_outcomes(["BatchNormalization"]) if one.status == "differs"]
    assert differing and all("in fixed point" in why for why in differing)
