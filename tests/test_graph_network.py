# SPDX-License-Identifier: Apache-2.0
"""Networks as graphs: their file, and those that are chains which the core runs, or can be rewritten into one exactly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import gradcore
from gradcore.errors import GradCoreError, Refusal
from gradcore.importer.opening import as_graph, load_graph, load_network
from gradcore.network import Graph, GraphNetwork, Layer, Network, graph_float
from gradcore.network.graph import INPUT, Add, Affine, AveragePool, Clip, Concat, Conv, FullyConnected, MaxPool, Relu
from gradcore.quantise import calibrate_graph, quantise_graph, standard_images
from tests.onnx_models import weights

LAYERS = [
    Layer("conv", "conv1", 3, 4, 3, pool=True),
    Layer("conv", "conv2", 4, 6, 5, relu=False, bias=False),
    Layer("fc", "fc1", 6 * 4 * 3, 8),
    Layer("fc", "fc2", 8, 5, relu=False),
]


def graph(*nodes, shape=(3, 8, 8), output=None) -> Graph:
    """A graph of these nodes with random weights."""
    tensors: dict[str, np.ndarray] = {}
    shapes = {INPUT: shape}
    for node in nodes:
        inputs = [shapes[name] for name in node.inputs]
        tensors |= {f"{node.name}.{name}": weights(*size) * np.float32(0.3) for name, size in node.tensors(inputs).items()}
        shapes[node.name] = node.shape(inputs)
    return Graph(nodes, tensors, shape, output or nodes[-1].name)


def network(one: Graph) -> GraphNetwork:
    count, channels = int(np.prod(one.shapes[one.output])), one.input_shape[0]
    return GraphNetwork("small", one, [f"class {place}" for place in range(count)], (0.5,) * channels, (0.25,) * channels)


ALL_KINDS = graph(
    Conv("stem", (INPUT,), (3, 3), (2, 2), (0, 1, 1, 0), out_channels=4, groups=1),
    Affine("norm", ("stem",)),
    Clip("six", ("norm",), 6.0),
    Conv("deep", ("six",), (3, 3), padding=(1, 1, 1, 1), out_channels=4, groups=4, bias=False),
    Add("sum", ("deep", "six")),
    Relu("relu", ("sum",)),
    MaxPool("pool", ("relu",), (3, 3), (2, 2), (1, 1, 1, 1)),
    Concat("both", ("pool", "pool")),
    AveragePool("mean", ("both",), (2, 2), (1, 1), (0, 0, 1, 1), counts_padding=True),
    FullyConnected("fc", ("mean",), 5),
)


def test_a_file_of_a_graph_holds_all_of_it(tmp_path) -> None:
    one = network(ALL_KINDS)
    one.metadata["import"] = {"cut": ["a softmax"]}
    one.save(tmp_path / "net.safetensors")
    read = GraphNetwork.load(tmp_path / "net.safetensors")
    assert (read.graph.nodes, read.graph.output, read.graph.shapes) == (ALL_KINDS.nodes, ALL_KINDS.output, ALL_KINDS.shapes)
    assert (read.classes, read.mean, read.std, read.metadata, read.name) == (one.classes, one.mean, one.std, one.metadata, one.name)
    assert all(np.array_equal(read.graph.weights[name], tensor) for name, tensor in ALL_KINDS.weights.items())
    assert load_graph(tmp_path / "net.safetensors").origin == str(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda told: told["nodes"][0].update(kind="magic"), "node stem: the kind 'magic' is unknown"),
        (lambda told: told["nodes"][0].update(surprise=1), "node stem: the attribute surprise is unknown"),
        (lambda told: told["nodes"][0].update(kernel=[3]), "node stem: kernel = .3,. is no such"),
        (lambda told: told["nodes"][0].update(kernel=[3, "3"]), "node stem: kernel"),
        (lambda told: told["nodes"][0].update(groups=True), "node stem: groups = True"),
        (lambda told: told["nodes"][0].update(bias=1), "node stem: bias = 1"),
        (lambda told: told["nodes"][2].update(high="six"), "node six: high = 'six'"),
        (lambda told: told["nodes"].pop(), "no node makes the output 'fc'"),
        (lambda told: told.pop("output"), "damaged .*KeyError"),
        (lambda told: told["nodes"][1].pop("name"), "damaged"),
    ],
)  # fmt: skip
def test_a_file_that_was_changed_is_refused(tmp_path, change, match) -> None:
    path = tmp_path / "net.safetensors"
    network(ALL_KINDS).save(path)
    with safe_open(path, framework="numpy") as opened:
        metadata, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    told = json.loads(metadata["graph"])
    change(told)
    save_file(tensors, path, metadata | {"graph": json.dumps(told)})
    for load in (GraphNetwork.load, load_network):
        with pytest.raises(GradCoreError, match=match) as caught:
            load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_chain_becomes_a_graph_and_the_same_chain_again(tmp_path) -> None:
    chain = Network.random(LAYERS, (3, 9, 7), seed=3)
    chain.metadata["training"] = {"epochs": 3}
    chain.save(tmp_path / "chain.safetensors")
    one = load_graph(tmp_path / "chain.safetensors")
    assert one.graph.macs == chain.macs and [node.kind for node in one.graph.nodes[:4]] == ["conv", "relu", "max_pool", "conv"]
    one.save(tmp_path / "graph.safetensors")
    again = gradcore.load_network(tmp_path / "graph.safetensors")
    assert again.layers == LAYERS and again.metadata == chain.metadata
    assert all(np.array_equal(again.weights[name], tensor) for name, tensor in chain.weights.items())


def test_names_of_a_chain_that_look_like_those_of_its_relus() -> None:
    layers = [Layer("conv", "a", 1, 1, 1, pool=True), Layer("conv", "a.relu", 1, 1, 1), Layer("conv", "a.pool", 1, 1, 1)]
    chain = Network.random(layers, (1, 4, 4))
    assert Network.of_graph(network_of_chain(chain)).layers == layers


def network_of_chain(chain: Network) -> GraphNetwork:
    return load_graph(chain)


def same(one: Graph, rtol: float = 1e-6) -> list[Layer]:
    """Its chain, which computes the same."""
    chain = Network.of_graph(network(one))
    inputs = weights(3, *one.input_shape)
    expected, got = graph_float.output(one, inputs), graph_float.output(chain.graph, inputs)
    np.testing.assert_allclose(got.reshape(3, -1), expected.reshape(3, -1), rtol=0, atol=rtol * np.abs(expected).max())
    return chain.layers


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([Conv("a", (INPUT,), (2, 2), padding=(0, 0, 1, 1), out_channels=2)], "conv 3"),
        ([Conv("a", (INPUT,), (2, 3), padding=(1, 1, 0, 1), out_channels=2)], "conv 3"),
        ([Conv("a", (INPUT,), (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2), out_channels=2)], "conv 5"),
        ([Conv("a", (INPUT,), (1, 5), padding=(0, 2, 0, 2), out_channels=2)], "conv 5"),
        ([Conv("a", (INPUT,), (3, 3), padding=(1, 1, 1, 1), out_channels=6, groups=3)], "conv 3"),
        ([Conv("a", (INPUT,), (8, 8), out_channels=5), Relu("b", ("a",)), Conv("c", ("b",), out_channels=4)], "fc relu, fc"),
        ([Conv("a", (INPUT,), out_channels=5), MaxPool("p", ("a",), (2, 2), (2, 2)), Relu("b", ("p",))], "conv 1 relu pool"),
        ([Conv("a", (INPUT,), out_channels=5), AveragePool("m", ("a",), (8, 8)), FullyConnected("f", ("m",), 4)], "conv 1, fc"),
        ([Conv("a", (INPUT,), out_channels=5), AveragePool("m", ("a",), (8, 8)), Conv("f", ("m",), out_channels=4)], "conv 1, fc"),
        ([Conv("a", (INPUT,), out_channels=5), Relu("r", ("a",)), AveragePool("m", ("r",), (8, 8))], "conv 1 relu, fc"),
        ([Conv("a", (INPUT,), out_channels=5), AveragePool("m", ("a",), (8, 8)), Relu("r", ("m",))], "conv 1, fc relu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_graphs_that_are_rewritten_into_a_chain_exactly(nodes, told) -> None:
    layers = same(graph(*nodes))
    words = [f"{one.kind}{f' {one.kernel}' * (one.kind == 'conv')}{' relu' * one.relu}{' pool' * one.pool}" for one in layers]
    assert ", ".join(words) == told


def test_what_makes_a_graph_no_chain_is_named_node_by_node() -> None:
    assert isinstance(load_network(network(ALL_KINDS)), GraphNetwork)
    with pytest.raises(Refusal, match=r"small is no chain of layers, for 7 of its 10 nodes") as caught:
        Network.of_graph(network(ALL_KINDS))
    reasons = caught.value.reasons
    assert reasons[0].startswith("stem (conv): strides = [2, 2], pads = [0, 1, 1, 0]: convolutions have stride 1")
    assert reasons[1] == "norm (affine): it runs no affine node"
    assert any(one.startswith("sum (add): it reads deep, six, and each layer reads") for one in reasons)


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([Conv("a", (INPUT,), (3, 3), out_channels=2)], r"a \(conv\): strides = \[1, 1\], pads = \[0, 0, 0, 0\]"),
        ([Conv("a", (INPUT,), (7, 7), padding=(3, 3, 3, 3), out_channels=2)], r"a \(conv\): its kernel reaches 7 x 7"),
        ([Relu("r", (INPUT,)), Conv("a", ("r",), out_channels=2)], r"r \(relu\): there is no convolution"),
        ([Conv("a", (INPUT,)), MaxPool("p", ("a",), (2, 2), (2, 2), (0, 0, 1, 1))], r"p \(max_pool\): max-pools are 2 x 2"),
        ([Conv("a", (INPUT,)), AveragePool("p", ("a",), (4, 4))], r"p \(average_pool\): kernel_shape = \[4, 4\]"),
        ([Conv("a", (INPUT,)), Clip("c", ("a",))], r"c \(clip\): it runs no clip node"),
    ],
)  # fmt: skip
def test_what_is_no_chain(nodes, match) -> None:
    with pytest.raises(Refusal, match=match):
        Network.of_graph(network(graph(*nodes)))


def test_a_chain_with_formats_of_a_graph_stays_a_graph(tmp_path) -> None:
    """Its number formats were chosen for its maps: as a chain of layers it would need others."""
    made = as_graph(Network.random(LAYERS, (3, 9, 7), seed=3))
    formats = calibrate_graph(made, standard_images((3, 9, 7), 4), contrast=0)
    calibrated = replace(made, metadata={"quantisation": formats.to_metadata()})
    calibrated.save(tmp_path / "graph.safetensors")
    for given in (calibrated, tmp_path / "graph.safetensors"):
        loaded = load_network(given)
        assert isinstance(loaded, GraphNetwork) and quantise_graph(loaded).quantisation == formats
    assert isinstance(load_network(made), Network)
