# SPDX-License-Identifier: Apache-2.0
"""The float reference of graphs: against a second statement of the nodes, against Captum, and the rules on neurons worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum import attr as captum

from gradcore.backends.pytorch_graph import GraphModule, GraphTrace
from gradcore.errors import GradCoreError
from gradcore.models.arithmetic import METHODS
from gradcore.network.graph import INPUT, Add, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, MaxPool, Relu
from tb.support.random_graphs import random_graph
from tb.support.seeds import SEEDS

pytestmark = pytest.mark.usefixtures("one_thread")


def one_hot(scores: np.ndarray) -> np.ndarray:
    return np.eye(scores.shape[1])[scores.argmax(axis=1)]


def a_dag() -> Graph:
    """A residual block, a pool that overlaps, a concat of maps with several readers, an average pool."""
    nodes = (
        Conv("stem", (INPUT,), (3, 3), (2, 2), (0, 1, 1, 0), out_channels=6),
        Relu("stem_relu", ("stem",)),
        Conv("left", ("stem_relu",), (3, 3), padding=(1, 1, 1, 1), out_channels=6),
        Add("sum", ("left", "stem_relu")),
        Relu("sum_relu", ("sum",)),
        MaxPool("pool", ("sum_relu",), (3, 3), (2, 2), (1, 1, 1, 1)),
        Conv("squeeze", ("pool",), out_channels=4),
        Relu("squeeze_relu", ("squeeze",)),
        Conv("expand", ("squeeze_relu",), (3, 3), padding=(1, 1, 1, 1), out_channels=6, groups=2),
        Relu("expand_relu", ("expand",)),
        Concat("joined", ("squeeze_relu", "expand_relu", "pool")),
        AveragePool("mean", ("joined",), (2, 2), (2, 2)),
        FullyConnected("fc", ("mean",), 5),
    )
    rng = np.random.default_rng(3)
    shapes = {"stem": (6, 2, 3, 3), "left": (6, 6, 3, 3), "squeeze": (4, 6, 1, 1), "expand": (6, 2, 3, 3), "fc": (5, 64)}
    weights = {f"{name}.weight": (rng.standard_normal(shape) / 3).astype(np.float32) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": (rng.standard_normal(shape[0]) / 9).astype(np.float32) for name, shape in shapes.items()}
    return Graph(nodes, weights, (2, 17, 16), "fc")


@pytest.mark.parametrize("method", METHODS)
def test_attributions_through_adds_concats_and_pools_are_those_of_captum(method):
    graph = a_dag()
    algorithm = {"saliency": captum.Saliency, "deconvnet": captum.Deconvolution, "guided": captum.GuidedBackprop}[method]
    values = torch.from_numpy(np.random.default_rng(1).standard_normal((4, *graph.input_shape)).astype(np.float32)).requires_grad_(True)
    module, trace = GraphModule(graph), GraphTrace(graph)
    scores = trace.forward(values.detach().numpy())
    options = {"abs": False} if method == "saliency" else {}
    expected = algorithm(module).attribute(values, target=scores.argmax(axis=1).tolist(), **options).detach().numpy()
    made = trace.backward(method, one_hot(scores))
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-6)


def by_hand(graph: Graph, values: np.ndarray) -> np.ndarray:
    """The output map of one input (C, H, W), window by window in loops of NumPy."""
    maps = {INPUT: values.astype(np.float64)}
    for node in graph.nodes:
        inputs = [maps[name] for name in node.inputs]
        tensors = {name: graph.weights[f"{node.name}.{name}"].astype(np.float64) for name in node.tensors(graph.inputs_of(node))}
        shape, source = graph.shapes[node.name], inputs[0]
        if isinstance(node, Conv | MaxPool | AveragePool):
            fill = -np.inf if isinstance(node, MaxPool) else 0
            made = np.full(shape, np.nan)
            for channel, row, column in np.ndindex(shape):
                taps, inside = [], []
                for y in range(node.kernel[0]):
                    for x in range(node.kernel[1]):
                        down = row * node.stride[0] - node.padding[0] + y * node.dilation[0]
                        across = column * node.stride[1] - node.padding[1] + x * node.dilation[1]
                        held = 0 <= down < source.shape[1] and 0 <= across < source.shape[2]
                        taps.append(source[:, down, across] if held else np.full(len(source), fill))
                        inside.append(held)
                if isinstance(node, Conv):
                    share = len(source) // node.groups
                    group = channel // (node.out_channels // node.groups)
                    window = np.stack(taps)[:, group * share : (group + 1) * share]
                    made[channel, row, column] = np.sum(window.T * tensors["weight"][channel].reshape(share, -1))
                elif isinstance(node, MaxPool):
                    made[channel, row, column] = max(tap[channel] for tap in taps)
                else:
                    count = len(taps) if node.counts_padding else sum(inside)
                    made[channel, row, column] = sum(tap[channel] for tap in taps) / count
        elif isinstance(node, FullyConnected):
            made = (tensors["weight"] @ source.reshape(-1))[:, None, None]
        elif isinstance(node, Add):
            made = np.sum(inputs, axis=0)
        elif isinstance(node, Concat):
            made = np.concatenate(inputs)
        elif isinstance(node, Clip):
            made = np.clip(source, 0, node.high)
        elif isinstance(node, Relu):
            made = np.maximum(source, 0)
        else:
            made = source * tensors["scale"][:, None, None] + tensors["shift"][:, None, None]
        maps[node.name] = made + tensors["bias"][:, None, None] if "bias" in tensors else made
    return maps[graph.output]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_of_node_computes_what_it_says(seed):
    kinds = set()
    for number in range(6):
        graph = random_graph(seed + number, largest=9, most=5)
        values = np.random.default_rng(number).standard_normal((1, *graph.input_shape))
        expected = by_hand(graph, values[0])
        np.testing.assert_allclose(GraphTrace(graph, torch.float64).forward(values)[0], expected.reshape(-1), rtol=1e-9, atol=1e-9)
        kinds |= {node.kind for node in graph.nodes}
    assert len(kinds) >= 5, kinds


def test_the_windows_of_ceil_mode_are_pytorchs():
    """What reaches beyond the padding counts for neither pool."""
    values = np.random.default_rng(1).standard_normal((1, 2, 6, 8))
    for counts in (False, True):
        node = AveragePool("mean", (INPUT,), (3, 3), (2, 2), (1, 1, 1, 1), counts_padding=counts, overhang=(1, 1))
        graph = Graph((node,), {}, (2, 6, 8), "mean")
        expected = torch.nn.functional.avg_pool2d(torch.from_numpy(values), 3, 2, 1, ceil_mode=True, count_include_pad=counts)
        np.testing.assert_allclose(GraphTrace(graph, torch.float64).forward(values), expected.flatten(1).numpy(), rtol=1e-12)


def neurons(activation, gradients, values) -> Graph:
    """One input channel for each neuron; the output weighs what the activation makes of it by ``gradients``."""
    count = len(values)
    nodes = (activation, FullyConnected("fc", (activation.name,), 1, bias=False))
    return Graph(nodes, {"fc.weight": np.float32([gradients])}, (count, 1, 1), "fc")


# What is below 0, between, at the limit and above it, each with a gradient of 5 and of -5.
VALUES, GRADIENTS = (-1, 2, 6, 9, -1, 2, 6, 9), (5, 5, 5, 5, -5, -5, -5, -5)


@pytest.mark.parametrize(
    ("method", "relu", "clip"),
    [
        ("saliency", (0, 5, 5, 5, 0, -5, -5, -5), (0, 5, 0, 0, 0, -5, 0, 0)),
        ("deconvnet", (5, 5, 5, 5, 0, 0, 0, 0), (5, 5, 5, 5, 0, 0, 0, 0)),
        ("guided", (0, 5, 5, 5, 0, 0, 0, 0), (0, 5, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_the_rules_at_a_relu_and_at_a_clip(method, relu, clip):
    values = np.float32(VALUES).reshape(1, -1, 1, 1)
    for activation, expected in ((Relu("a", (INPUT,)), relu), (Clip("a", (INPUT,), 6.0), clip)):
        trace = GraphTrace(neurons(activation, GRADIENTS, VALUES))
        trace.forward(values)
        assert tuple(trace.backward(method, np.ones((1, 1))).reshape(-1)) == expected


def test_behind_an_add_the_rule_sees_the_whole_gradient_once():
    """Two readers of the ReLU of a sum give 3 and -5: together -2, which DeconvNet and Guided stop; each alone would let 3 pass."""
    nodes = (
        Conv("half", (INPUT,), out_channels=1, bias=False),
        Add("sum", ("half", INPUT)),
        Relu("relu", ("sum",)),
        Conv("up", ("relu",), out_channels=1, bias=False),
        Conv("down", ("relu",), out_channels=1, bias=False),
        Add("out", ("up", "down")),
    )

    def gradient(method: str, up: float) -> float:
        weights = {
            name: np.float32(value).reshape(1, 1, 1, 1) for name, value in (("half.weight", 0.5), ("up.weight", up), ("down.weight", -5))
        }
        trace = GraphTrace(Graph(nodes, weights, (1, 1, 1), "out"))
        trace.forward(np.ones((1, 1, 1, 1), np.float32))
        return trace.backward(method, np.ones((1, 1))).item()

    assert [gradient(method, 3) for method in METHODS] == [-3.0, 0.0, 0.0]  # -2 to both summands: -2 * 0.5 and -2 * 1
    assert [gradient(method, 7) for method in METHODS] == [3.0, 3.0, 3.0]


def test_what_is_beyond_float_is_told():
    graph = neurons(Relu("a", (INPUT,)), (3e38, 3e38), (1, 1))
    with pytest.raises(GradCoreError, match="outputs of fc are beyond"):
        GraphTrace(graph).forward(np.full((1, 2, 1, 1), 10.0))
    trace = GraphTrace(graph)
    trace.forward(np.full((1, 2, 1, 1), 0.1))
    with pytest.raises(GradCoreError, match="gradients of input are beyond"):
        trace.backward("saliency", np.full((1, 1), 100.0))
