# SPDX-License-Identifier: Apache-2.0
"""Real networks, which nobody of this project trained: each becomes a graph that agrees with onnx's reference evaluator.

They lie in ../shared/networks. Some may not be copied, so none is here: where the folder is missing, these tests are left out.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from gradcore.errors import GradCoreError
from gradcore.importer.importing import import_onnx
from gradcore.network import graph_float
from gradcore.network.graph import INPUT, Graph
from tb.support.places import NETWORKS

pytestmark = pytest.mark.skipif(not NETWORKS.is_dir(), reason="there is no folder ../shared/networks")


# File, output -> nodes, MACs, input's shape, output's shape.
EXPECTED = [
    ("mlperf-tiny-resnet8", None, "conv 9 relu 7 add 3 average_pool 1 fully_connected 1", 12_501_632, (3, 32, 32), (10, 1, 1)),
    ("mlperf-tiny-resnet8-keras3", None, "conv 9 relu 7 add 3 average_pool 1 fully_connected 1", 12_501_632, (3, 32, 32), (10, 1, 1)),
    ("mlperf-tiny-vww96", None, "conv 27 relu 27 average_pool 1 fully_connected 1", 7_489_664, (3, 96, 96), (2, 1, 1)),
    ("mlperf-tiny-kws-dscnn", None, "conv 9 relu 9 average_pool 1 fully_connected 1", 2_656_768, (1, 49, 10), (12, 1, 1)),
    ("mlperf-tiny-ad01", None, "fully_connected 10 relu 9", 264_192, (640, 1, 1), (640, 1, 1)),
    ("cifar10-resnet20", None, "conv 21 relu 19 add 9 average_pool 1 fully_connected 1", 40_813_184, (3, 32, 32), (10, 1, 1)),
    ("cifar10-resnet20-legacy13", None, "conv 21 relu 19 add 9 average_pool 1 fully_connected 1", 40_813_184, (3, 32, 32), (10, 1, 1)),
    ("fer-mini-xception", None, "conv 23 relu 6 max_pool 4 add 4 average_pool 1", 10_163_392, (1, 64, 64), (7, 1, 1)),
    ("mnist-cntk", None, "conv 2 relu 2 max_pool 2 fully_connected 1", 786_560, (1, 28, 28), (10, 1, 1)),
    ("mnist-cntk-opset8", None, "conv 2 relu 2 max_pool 2 fully_connected 1", 786_560, (1, 28, 28), (10, 1, 1)),
    ("blazeface-front-128", "Identity:0", "conv 34 relu 12 add 11 max_pool 2", None, (3, 128, 128), (2, 16, 16)),
    ("ultraface-slim-320", "318", "conv 27 relu 26", None, (3, 240, 320), (4, 8, 10)),
    ("ultraface-slim-320-opset9", "318", "conv 27 relu 26", None, (3, 240, 320), (4, 8, 10)),
]


@pytest.fixture(scope="module")
def imported():
    """Each network once."""
    made = {}

    def get(name: str, output: str | None = None):
        if name not in made:
            made[name] = import_onnx(NETWORKS / f"{name}.onnx", output)
        return made[name]

    return get


@pytest.mark.parametrize(("name", "output", "kinds", "macs", "entering", "leaving"), EXPECTED, ids=[one[0] for one in EXPECTED])
def test_a_real_network_becomes_this_graph_and_agrees_with_its_source(imported, name, output, kinds, macs, entering, leaving) -> None:
    one = imported(name, output)
    words = kinds.split()
    assert Counter(node.kind for node in one.graph.nodes) == dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert (one.graph.input_shape, one.graph.shapes[one.graph.output]) == (entering, leaving)
    assert macs is None or one.graph.macs == macs
    print(f"{name}: {one.difference}")
    assert one.difference.share < 1e-5, one.difference


def told(graph: Graph) -> list[tuple]:
    """A graph's nodes from the output on, each once, without names: what it does, its weights, and where its inputs stand in the list."""
    places: dict[str, int] = {INPUT: -1}
    nodes: list[tuple] = []

    def visit(name: str) -> int:
        if name not in places:
            node = graph[name]
            inputs = [visit(one) for one in node.inputs]
            shape = (node.kind, graph.shapes[name], tuple(sorted(inputs) if node.kind == "add" else inputs))
            windows = tuple(getattr(node, one, None) for one in ("kernel", "stride", "padding", "groups", "out_channels"))
            places[name] = len(nodes)
            nodes.append((shape, windows, [graph.weights[one] for one in graph_float.names_of(graph, node)]))
        return places[name]

    visit(graph.output)
    return nodes


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ("mlperf-tiny-resnet8", "mlperf-tiny-resnet8-keras3", 1e-6),
        ("cifar10-resnet20", "cifar10-resnet20-legacy13", 1e-6),
        ("mnist-cntk", "mnist-cntk-opset8", 0),
    ],
)
def test_two_exports_of_one_network_fold_to_the_same_graph(imported, first, second, apart) -> None:
    one, other = told(imported(first).graph), told(imported(second).graph)
    assert [node[:2] for node in one] == [node[:2] for node in other]
    for (_, _, mine), (_, _, theirs) in zip(one, other, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=apart * max(1.0, float(np.abs(b).max())))


def test_what_is_said_of_networks_with_several_outputs() -> None:
    with pytest.raises(GradCoreError, match="the network has 2 outputs, scores, boxes: choose the one to explain with --output"):
        import_onnx(NETWORKS / "ultraface-slim-320.onnx")
    with pytest.raises(GradCoreError, match=r"\(Concat\): maps of .* are joined: choose one of them with --output"):
        import_onnx(NETWORKS / "ultraface-slim-320.onnx", "boxes")


def test_the_sample_that_comes_with_a_network(imported) -> None:
    """The Model Zoo's own input and output."""
    import onnx

    folder = NETWORKS / "mnist-test_data_set_0"
    arrays = [
        onnx.numpy_helper.to_array(onnx.TensorProto.FromString((folder / f"{name}_0.pb").read_bytes())) for name in ("input", "output")
    ]
    got = graph_float.output(imported("mnist-cntk").graph, arrays[0]).reshape(arrays[1].shape)
    np.testing.assert_allclose(got, arrays[1], rtol=0, atol=1e-3)
