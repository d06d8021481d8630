# SPDX-License-Identifier: Apache-2.0
"""The importer of ONNX: what becomes of operators, what is folded and rewritten, each compared with onnx's reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from gradcore.errors import GradCoreError
from gradcore.importer.imported import Imported
from gradcore.importer.importing import import_onnx
from gradcore.network import graph_float
from gradcore.network.graph import AveragePool
from tb.support.random_graphs import random_graph
from tb.support.seeds import SEEDS
from tests.onnx_models import model, model_of, node, weights


def kinds(imported: Imported) -> list[str]:
    return [one.kind for one in imported.graph.nodes]


def close(imported: Imported) -> None:
    assert imported.difference.share < 2e-6, imported.difference


def import_one(nodes, shape, tensors=None, **options) -> Imported:
    """Import a small model, which compares it with its source."""
    imported = import_onnx(model(nodes, shape, tensors, **options))
    close(imported)
    return imported


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 0, 2, 3], "strides": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
        {"auto_pad": "VALID", "dilations": [2, 1]},
        {"group": 2, "pads": [1, 1, 1, 1]},
    ],
    ids=str,
)
def test_a_convolution_of_any_windows(attributes) -> None:
    kernel = weights(6, 4 // attributes.get("group", 1), 3, 2)
    imported = import_one([node("Conv", "x w b", "y", **attributes)], (1, 4, 9, 8), {"w": kernel, "b": weights(6)})
    assert kinds(imported) == ["conv"]


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 2], "strides": [1, 2], "pads": [0, 1, 2, 0], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]},
        {"kernel_shape": [3, 3], "pads": [1, 0, 1, 0]},
        {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"},
    ],
    ids=str,
)
def test_a_pool_of_any_windows(kind, attributes) -> None:
    assert kinds(import_one([node(kind, "x", "y", **attributes)], (1, 3, 10, 9))) == ["max_pool" if kind == "MaxPool" else "average_pool"]


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_a_pool_of_one_pixel_is_left_out(kind) -> None:
    assert kinds(import_one([node("Relu", "x", "a"), node(kind, "a", "y", kernel_shape=[1, 1])], (1, 3, 10, 9))) == ["relu"]


def test_padding_that_counts() -> None:
    imported = import_one([node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)], (1, 2, 5, 5))
    assert imported.graph.nodes[0].counts_padding


def test_a_batch_norm_before_and_behind_a_convolution_is_folded() -> None:
    norm = {name: np.abs(weights(4, seed=seed)) + 0.5 for seed, name in enumerate(("s", "m", "v"))} | {"t": weights(4)}
    after = {f"{name}2": np.abs(weights(5, seed=seed)) + 0.5 for seed, name in enumerate("smv")} | {"t2": weights(5)}
    nodes = [
        node("BatchNormalization", "x s t m v", "a"),
        node("Conv", "a w -", "b"),
        node("BatchNormalization", "b s2 t2 m2 v2", "y", epsilon=0.1),
    ]
    imported = import_one(nodes, (1, 4, 6, 6), {"w": weights(5, 4, 3, 3), **norm, **after})
    assert kinds(imported) == ["conv"] and len(imported.notes.folded) == 2


def test_a_shift_before_a_padded_convolution_is_not_folded() -> None:
    """Outside of the map stands 0, not the shift."""
    nodes = [node("Add", "x c", "a"), node("Conv", "a w", "y", pads=[1, 1, 1, 1])]
    assert kinds(import_one(nodes, (1, 2, 5, 5), {"c": weights(1, 2, 1, 1), "w": weights(3, 2, 3, 3)})) == ["affine", "conv"]


def test_what_two_nodes_read_is_not_folded_into_its_maker() -> None:
    nodes = [node("Conv", "x w", "a"), node("Mul", "a c", "b"), node("Relu", "b", "d"), node("Add", "a d", "y")]
    imported = import_one(nodes, (1, 2, 5, 5), {"c": np.float32([3]), "w": weights(3, 2, 1, 1)})
    assert kinds(imported) == ["conv", "affine", "relu", "add"]


def test_constants_of_all_four_kinds_and_scalars_are_folded() -> None:
    nodes = [
        node("Sub", "x m", "a"),
        node("Div", "a s", "b"),
        node("Conv", "b w", "c"),
        node("Mul", "k c", "d"),
        node("Sub", "t d", "y"),
    ]
    tensors = {"m": weights(2, 1, 1), "s": np.float32(2.5), "w": weights(3, 2, 2, 2), "k": weights(3, 1, 1), "t": weights(1, 3, 1, 1)}
    assert kinds(import_one(nodes, (1, 2, 5, 5), tensors)) == ["conv"]


def test_a_network_in_the_order_of_tensorflow_becomes_the_same_graph() -> None:
    """N, H, W, C with transposes, and a fully connected layer behind a flattened map in that order: its columns are permuted."""
    kernel, matrix = weights(4, 3, 3, 3), weights(4 * 6 * 6, 5)
    tail = [node("Conv", "a w", "b", pads=[1, 1, 1, 1]), node("Relu", "b", "c")]
    theirs = import_one(
        [
            node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
            *tail,
            node("Transpose", "c", "d", perm=[0, 2, 3, 1]),
            node("Reshape", "d n", "e"),
            node("MatMul", "e f", "g"),
            node("Add", "g t", "h"),
            node("Softmax", "h", "y"),
        ],
        (1, 6, 6, 3),
        {"w": kernel, "f": matrix, "n": np.int64([-1, 144]), "t": weights(5)},
    )
    columns = matrix.reshape(6, 6, 4, 5).transpose(2, 0, 1, 3).reshape(144, 5)
    ours = import_one(
        [
            node("Identity", "x", "a"),
            *tail,
            node("Flatten", "c", "d"),
            node("Gemm", "d f t", "y", transB=1),
        ],
        (1, 3, 6, 6),
        {"w": kernel, "f": columns.T.copy(), "t": weights(5)},
    )
    assert kinds(theirs) == kinds(ours) == ["conv", "relu", "fully_connected"]
    for mine, other in zip(ours.graph.weights.values(), theirs.graph.weights.values(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert any("softmax y" in note for note in theirs.notes.cut)


def test_shape_arithmetic_is_worked_out() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Concat", "n rest", "t", axis=0),
        node("Reshape", "x t", "f"),
        node("Gemm", "f w", "y"),
    ]
    imported = import_one(nodes, ("batch", 2, 3, 3), {"zero": np.int64([0]), "rest": np.int64([18]), "w": weights(18, 4)})
    assert kinds(imported) == ["fully_connected"]


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
def test_a_mean_over_the_map_is_an_average_pool(order, keepdims) -> None:
    nodes = [node("Transpose", "x", "a", perm=[0, 2, 3, 1])] if order == "NHWC" else [node("Identity", "x", "a")]
    axes = np.int64([2, 3] if order == "NCHW" else [1, 2])
    imported = import_one([*nodes, node("ReduceMean", "a axes", "y", keepdims=keepdims)], (1, 5, 4, 7), {"axes": axes})
    assert kinds(imported) == ["average_pool"] and imported.graph.nodes[0].kernel == (4, 7)


def test_slices_and_zeros_behind_channels_become_a_convolution() -> None:
    """The shortcut of a ResNet for CIFAR, option A."""
    nodes = [
        node("Slice", "x start end axes step", "a"),
        node("Pad", "a pads", "b"),
        node("Conv", "x w", "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Add", "b c", "y"),
    ]
    tensors = {
        "start": np.int64([0, 0]),
        "end": np.int64([99, 99]),
        "axes": np.int64([2, 3]),
        "step": np.int64([2, 2]),
        "pads": np.int64([0, 1, 0, 0, 0, 1, 0, 0]),
        "w": weights(5, 3, 3, 3),
    }
    imported = import_one(nodes, (1, 3, 8, 8), tensors)
    assert kinds(imported) == ["conv", "conv", "add"] and len(imported.notes.rewritten) == 1
    choice = next(one for one in imported.graph.nodes if "choice" in one.name)
    assert (choice.kernel, choice.stride, choice.out_channels) == ((1, 1), (2, 2), 5)


@pytest.mark.parametrize(("start", "end", "step"), [(1, 99, 2), (2, 7, 1), (0, 6, 3), (3, 99, 1)])
def test_slices_from_anywhere(start, end, step) -> None:
    tensors = {"start": np.int64([start]), "end": np.int64([end]), "axes": np.int64([3]), "step": np.int64([step])}
    import_one([node("Slice", "x start end axes step", "a"), node("MaxPool", "a", "y", kernel_shape=[2, 1])], (1, 2, 5, 9), tensors)


def test_padding_goes_into_what_is_behind_it() -> None:
    pads = {"pads": np.int64([0, 0, 1, 2, 0, 0, 0, 1])}
    conv = import_one([node("Pad", "x pads", "a"), node("Conv", "a w", "y")], (1, 2, 6, 6), {**pads, "w": weights(3, 2, 3, 3)})
    assert kinds(conv) == ["conv"] and conv.graph.nodes[0].padding == (1, 2, 0, 1)
    pool = [node("Pad", "a pads", "b"), node("MaxPool", "b", "y", kernel_shape=[3, 3], strides=[2, 2])]
    after_relu = import_one([node("Relu", "x", "a"), *pool], (1, 2, 6, 6), pads)
    assert kinds(after_relu) == ["relu", "max_pool"]
    of_all = import_one([node("Identity", "x", "a"), *pool], (1, 2, 6, 6), pads)
    assert kinds(of_all) == ["conv", "max_pool"], "a zero may be larger than all values there"
    average = import_one([node("Pad", "x pads", "a"), node("AveragePool", "a", "y", kernel_shape=[2, 2])], (1, 2, 6, 6), pads)
    assert kinds(average) == ["average_pool"] and average.graph.nodes[0].counts_padding


def test_a_channel_shuffle_is_part_of_the_next_convolution() -> None:
    nodes = [
        node("Reshape", "x five", "a"),
        node("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "b four", "c"),
        node("Conv", "c w", "y"),
    ]
    tensors = {"five": np.int64([1, 2, 3, 4, 4]), "four": np.int64([1, 6, 4, 4]), "w": weights(2, 6, 3, 3)}
    assert kinds(import_one(nodes, (1, 6, 4, 4), tensors)) == ["conv"]


def test_branches_are_joined_and_cut_again() -> None:
    nodes = [
        node("Conv", "x w", "a"),
        node("Relu", "a", "b"),
        node("Concat", "x b", "c", axis=1),
        node("Split", "c parts", "d e", axis=1),
        node("Add", "d e", "y"),
    ]
    imported = import_one(nodes, (1, 4, 5, 5), {"w": weights(2, 4, 1, 1), "parts": np.int64([3, 3])})
    assert kinds(imported) == ["conv", "relu", "concat", "conv", "conv", "add"]


def test_clips() -> None:
    imported = import_one([node("Clip", "x low high", "y")], (1, 2, 3, 3), {"low": np.float32(0), "high": np.float32(6)})
    assert kinds(imported) == ["clip"] and imported.graph.nodes[0].high == 6
    assert kinds(import_one([node("Clip", "x low", "y")], (1, 2, 3, 3), {"low": np.float32(0)})) == ["relu"]


def test_the_chosen_output_alone_is_imported() -> None:
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "y"), node("Sigmoid", "a", "z", name="gate")]
    two = model(nodes, (1, 2, 4, 4), {"w": weights(3, 2, 3, 3)}, outputs=("y", "z"))
    with pytest.raises(GradCoreError, match=r"2 outputs, y, z: choose the one to explain with --output"):
        import_onnx(two)
    imported = import_onnx(two, "y")
    assert kinds(imported) == ["conv", "relu"] and imported.notes.cut == ["y is explained, and z cut"]
    with pytest.raises(GradCoreError, match=r"gate \(Sigmoid\)"):
        import_onnx(two, "gate")
    with pytest.raises(GradCoreError, match="no node or tensor is called 'no'"):
        import_onnx(two, "no")


@pytest.mark.parametrize("broken", ["weight", "padding", "order"])
def test_the_comparison_with_the_source_bites(broken, monkeypatch) -> None:
    """A graph that was made wrongly is never handed out."""
    from gradcore.importer import builder

    right = builder.Builder.conv

    def wrong(self, name, view, weight, bias, stride, padding, dilation, groups):
        if broken == "weight":
            weight = weight * 1.01
        if broken == "padding":
            padding = (padding[2], padding[3], padding[0], padding[1])
        if broken == "order":
            weight = weight[:, ::-1]
        return right(self, name, view, weight, bias, stride, padding, dilation, groups)

    monkeypatch.setattr(builder.Builder, "conv", wrong)
    one = model([node("Conv", "x w", "y", pads=[0, 0, 1, 1])], (1, 2, 5, 5), {"w": weights(3, 2, 2, 2)})
    with pytest.raises(GradCoreError, match="the graph differs from its source"):
        import_onnx(one)


@pytest.mark.parametrize("opset", [6, 8, 9, 12])
def test_old_opsets_are_converted(opset) -> None:
    """With weights among the inputs, as old files have them."""
    attributes = {"spatial": 1} if opset < 9 else {}
    nodes = [node("Conv", "x w", "a"), node("BatchNormalization", "a s s s s", "b", **attributes), node("Dropout", "b", "y")]
    old = model(nodes, (1, 2, 5, 5), {"w": weights(3, 2, 3, 3), "s": np.float32([1, 2, 3])}, opset=opset)
    old.ir_version = 3
    for name, shape in (("w", (3, 2, 3, 3)), ("s", (3,))):
        old.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    old.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 3, 3, 3)))
    imported = import_onnx(old)
    close(imported)
    assert kinds(imported) == ["conv"]


@pytest.mark.parametrize("start", [1000 * seed for seed in SEEDS])
def test_random_graphs_are_written_as_onnx_and_imported_again(start) -> None:
    """Eight of a seed: what comes back computes the same, whatever was folded."""
    for seed in range(start, start + 8):
        graph = random_graph(seed, most=8, max_macs=60_000, largest=20)
        if any(isinstance(one, AveragePool) and any(one.overhang) for one in graph.nodes):
            continue  # ONNX has ceil mode, not every overhang
        imported = import_onnx(model_of(graph))
        inputs = np.random.default_rng(seed).standard_normal((2, *graph.input_shape))
        expected, got = graph_float.output(graph, inputs), graph_float.output(imported.graph, inputs)
        scale = max(1e-3, float(np.abs(expected).max()))
        np.testing.assert_allclose(got.reshape(2, -1), expected.reshape(2, -1), rtol=0, atol=1e-5 * scale, err_msg=f"seed {seed}")


def test_the_operators_in_the_documentation_are_those_of_the_importer() -> None:
    from gradcore.importer import documents

    text = "".join(path.read_text(encoding="utf-8") for path in documents.PAGES)
    assert "".join(map(documents.page, documents.PAGES)) == text, "run python -m gradcore.importer.documents"
    assert all(f"| {kind} |" in text for kind in documents.RULES) and "| conv2d |" in text and "| ONNX | Add, AveragePool, " in text
