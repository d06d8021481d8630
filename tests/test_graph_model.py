# SPDX-License-Identifier: Apache-2.0
"""The golden model of graphs: against autograd where nothing is rounded, against PyTorch pass by pass where much is, against the golden
model of chains in every bit, and near the float network on random graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gradcore.backends.pytorch_graph import GraphTrace
from gradcore.explanation.evaluation import pearson
from gradcore.models import arithmetic
from gradcore.models import graph as golden
from gradcore.models import network as chains
from gradcore.models.passes import INPUT
from gradcore.models.quantised_graph import GraphQuantisation, QuantisedGraph
from gradcore.network import Network
from gradcore.network.graph import Add, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, MaxPool, Relu
from gradcore.quantise import Quantisation, calibrate, quantise, standard_images
from gradcore.quantise.graph_calibration import calibrate_passes, settle
from gradcore.quantise.graph_conversion import quantise_passes
from gradcore.quantise.lowering import lower
from tb.support.random_graphs import random_graph, random_quantised_graph
from tb.support.random_networks import random_network
from tb.support.seeds import FIXED_SEED, SEEDS

EXACT = 6  # fraction bits of every map where nothing is rounded


pytestmark = pytest.mark.usefixtures("one_thread")


def exactly(graph: Graph) -> QuantisedGraph:
    """The graph in formats of ``EXACT`` fraction bits everywhere."""
    passes = lower(graph)
    bits = dict.fromkeys(passes.maps, EXACT)
    return quantise_passes(passes, GraphQuantisation(bits, bits))


def is_held(values: np.ndarray) -> bool:
    """Whether float64 values are numbers of the format of ``EXACT`` fraction bits."""
    raw = values * 2.0**EXACT
    return bool(np.all(raw == np.round(raw)) and np.abs(raw).max(initial=0) <= 32767)


def compare_exactly(graph: Graph, inputs: np.ndarray, seed: np.ndarray | None = None) -> bool:
    """Compare golden model and autograd, for all methods, on integer inputs (N, C, H, W), from a seed (N, values) or the largest score;
    False where a float map needs rounding."""
    trace = GraphTrace(graph, torch.float64)
    scores = trace.forward(inputs)
    seed = np.eye(scores.shape[1])[scores.argmax(axis=1)] if seed is None else seed
    quantised = exactly(graph)
    kept = [name for name in quantised.maps if name != INPUT and name in graph.shapes]  # a joined output is a copy of what is joined
    if not all(is_held(trace.map(name)) for name in kept):
        return False
    expected = {}
    for method in arithmetic.METHODS:
        gradients = trace.gradients(method, seed, [*kept, INPUT])
        if not all(map(is_held, gradients.values())):
            return False
        expected[method] = gradients[INPUT]
    result = golden.forward(quantised, inputs.transpose(0, 2, 3, 1) * 2**EXACT)
    np.testing.assert_array_equal(quantised.dequantise_logits(result.logits), scores)
    for name in kept:
        np.testing.assert_array_equal(result.maps[name] * 2.0**-EXACT, trace.map(name).transpose(0, 2, 3, 1))
    for method, gradient in expected.items():
        start = chains.unflatten(np.int64(seed * 2**EXACT), quantised.maps[quantised.output].shape)
        made = golden.backward(quantised, result, method, seed=start)
        np.testing.assert_array_equal(quantised.dequantise_attribution(made.attribution), gradient)
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_autograd_where_nothing_is_rounded(seed):
    held, kinds = 0, set()
    for number in range(24):
        graph = random_graph(seed + number, exact=True, most=5, largest=14, max_macs=100_000)
        rng = np.random.default_rng((seed, number))
        inputs = rng.integers(-3, 4, (2, *graph.input_shape))
        if compare_exactly(graph, inputs):
            held += 1
            kinds |= {node.kind for node in graph.nodes}
    assert held >= 6 and {"conv", "fully_connected", "relu"} <= kinds, (held, kinds)


def test_equals_autograd_through_everything_at_once():
    """A clip that is reached, an add with a strided shortcut, pools of 3 x 3 that overlap with padding, a concat with several readers and
    one that repeats a map, an average pool, groups, a dilation; a seed at all outputs. Nothing is rounded."""
    nodes = (
        Conv("stem", (INPUT,), (3, 3), (1, 1), (1, 1, 1, 1), out_channels=4),
        Clip("clip", ("stem",), 32767 / 64),
        Conv("main", ("clip",), (3, 2), (2, 3), (0, 1, 2, 0), out_channels=4, groups=2, bias=False),
        Conv("shortcut", ("clip",), (1, 1), (2, 3), out_channels=4, bias=False),
        Add("sum", ("main", "shortcut")),
        Relu("sum_relu", ("sum",)),
        MaxPool("pool", ("sum_relu",), (3, 3), (1, 1), (1, 1, 1, 1)),
        Conv("dilated", ("pool",), (2, 2), padding=(1, 1, 1, 1), dilation=(2, 2), out_channels=4, groups=4),
        Relu("dilated_relu", ("dilated",)),
        Concat("inner", ("pool", "dilated_relu")),
        Conv("wide", (INPUT,), (2, 5), padding=(1, 0, 0, 0), out_channels=2, groups=2, bias=False),
        AveragePool("mean", ("wide",), (2, 2), (2, 2)),
        Concat("outer", ("inner", "sum_relu", "inner", "pool", "mean")),
        FullyConnected("fc", ("outer",), 7, bias=False),
    )
    rng = np.random.default_rng(3)
    shapes = {"stem": (4, 2, 3, 3), "main": (4, 2, 3, 2), "shortcut": (4, 4, 1, 1), "dilated": (4, 1, 2, 2), "wide": (2, 1, 2, 5)}
    weights = {f"{name}.weight": rng.integers(-1, 2, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["main.weight"][...] = 0
    weights["main.weight"][[0, 1, 2, 3], [0, 1, 1, 0], [2, 0, 1, 2], [1, 0, 0, 1]] = 1
    weights["wide.weight"] *= rng.random(shapes["wide"]) < 0.3
    weights["shortcut.weight"] = -np.eye(4, dtype=np.float32)[:, :, None, None]
    weights["fc.weight"] = ((rng.random((7, 26 * 24)) < 0.008) * rng.integers(-1, 2, (7, 26 * 24))).astype(np.float32)
    weights |= {"stem.bias": np.float32([0, 3, -2, 1]), "dilated.bias": np.float32([0, 0, -1, 0])}
    graph = Graph(nodes, weights, (2, 12, 12), "fc")
    inputs = rng.integers(-9, 10, (4, 2, 12, 12))
    inputs[:, :, 3:7, 3:7] = 12 * np.abs(inputs[:, :, 3:7, 3:7])
    weights["stem.weight"][0], weights["dilated.weight"][...] = 1, np.float32([[0, 1], [-1, 0]])
    reached = golden.forward(exactly(graph), inputs.transpose(0, 2, 3, 1) * 64).maps["clip"] == 32767
    assert reached.sum() > 20
    assert compare_exactly(graph, inputs, rng.integers(-3, 4, (4, 7)))


# ---- Pass by pass, with rounding and saturation, against PyTorch -------------------------------------------------


def torch_sums(source, weights: torch.Tensor, read: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """What a source gives to the sums, by PyTorch in float64, which is exact below 2**53."""
    window = source.window
    ends = [
        (places - 1) * stride + (kernel - 1) * step + 1
        for places, stride, kernel, step in zip(size, window.stride, window.kernel, window.dilation, strict=True)
    ]
    top, left = window.padding[:2]
    sides = (left, ends[1] - left - read.shape[3], top, ends[0] - top - read.shape[2])  # negative ones cut
    padded = torch.nn.functional.pad(read, sides)
    if source.kind == "average_pool":
        ones = torch.ones((read.shape[1], 1, *window.kernel), dtype=torch.float64)
        return torch.nn.functional.conv2d(padded, ones, None, window.stride, 0, window.dilation, read.shape[1]) * weights
    return torch.nn.functional.conv2d(padded, weights, None, window.stride, 0, window.dilation, source.groups)


def rounded(sums: torch.Tensor, shift: int) -> torch.Tensor:
    return torch.clamp(torch.floor(sums / 2.0**shift + 0.5), -32768, 32767)


def beyond(one, sums: torch.Tensor) -> int:
    """How many results of a pass saturate: with a pool, those of each window."""
    exact = torch.floor(sums / 2.0**one.shift + 0.5)
    flags = (exact > 32767) | ((exact < -32768) & (not one.relu))
    if one.limit is not None:
        return 0
    if one.pool is None:
        return int(flags.sum())
    top, left, bottom, right = one.pool.padding
    padded = torch.nn.functional.pad(flags.double(), (left, right, top, bottom))
    ones = torch.ones((flags.shape[1], 1, *one.pool.kernel), dtype=torch.float64)
    return int(torch.nn.functional.conv2d(padded, ones, None, one.pool.stride, 0, one.pool.dilation, len(ones)).sum())


def by_torch(quantised: QuantisedGraph, inputs: np.ndarray, method: str, seed: np.ndarray) -> tuple[dict, dict, dict]:
    """All maps and all gradients (N, C, H, W), and how many results of each pass saturate: each map's gradient is the derivative of all
    its readers' sums, by autograd."""
    maps = {INPUT: torch.tensor(inputs.transpose(0, 3, 1, 2), dtype=torch.float64)}
    for name, stored in quantised.maps.items():
        if name != INPUT:
            maps[name] = torch.zeros((len(inputs), stored.shape[2], *stored.shape[:2]), dtype=torch.float64)
    masks, winners, counts = {}, {}, {}
    for one in quantised.passes:
        sums = torch.tensor(one.bias, dtype=torch.float64)[:, None, None]
        for source in one.sources:
            read = maps[source.reads.map][:, source.reads.channels]
            sums = sums + torch_sums(source, torch.tensor(source.weights, dtype=torch.float64), read, one.size)
        made, counts[one.name] = rounded(sums, one.shift), beyond(one, sums)
        if one.relu:
            made = made.clamp(0, one.limit)
        if one.pool is not None:
            top, left, bottom, right = one.pool.padding
            padded = torch.nn.functional.pad(made, (left, right, top, bottom), value=-1e9)
            made, winners[one.name] = torch.nn.functional.max_pool2d(
                padded, one.pool.kernel, one.pool.stride, dilation=one.pool.dilation, return_indices=True
            )
        masks[one.name] = (made > 0) & (made < (one.limit or 1e9))
        maps[one.makes.map][:, one.makes.channels] = made
    leaves = {name: torch.zeros_like(values, requires_grad=True) for name, values in maps.items()}
    totals = dict.fromkeys(maps, 0.0)
    gradients = {name: torch.zeros_like(values) for name, values in maps.items()}
    gradients[quantised.output] = torch.tensor(seed.transpose(0, 3, 1, 2), dtype=torch.float64)

    def finish(name: str) -> None:
        if name != quantised.output:
            (gradient,) = torch.autograd.grad(totals[name], leaves[name], retain_graph=True)
            gradients[name] = rounded(gradient, quantised.maps[name].backward_shift)

    for one in reversed(quantised.passes):
        finish(one.makes.map)  # of channels with readers still to come, too: these are overwritten by then
        gradient, mask = gradients[one.makes.map][:, one.makes.channels], masks[one.name]
        if one.relu and method != "saliency":
            gradient = gradient.clamp(min=0)
        if one.relu and method != "deconvnet":
            gradient = gradient * mask
        if one.pool is not None:
            top, left, bottom, right = one.pool.padding
            height, width = one.size[0] + top + bottom, one.size[1] + left + right
            spread = torch.zeros((len(inputs), gradient.shape[1], height * width), dtype=torch.float64)
            spread.scatter_add_(2, winners[one.name].flatten(2), gradient.flatten(2))
            gradient = spread.reshape(*spread.shape[:2], height, width)[:, :, top : top + one.size[0], left : left + one.size[1]]
        for source in one.sources:
            read = leaves[source.reads.map][:, source.reads.channels]
            weights = torch.tensor(source.backward_weights, dtype=torch.float64)
            totals[source.reads.map] = totals[source.reads.map] + (torch_sums(source, weights, read, one.size) * gradient).sum()
    finish(INPUT)
    return maps, gradients, counts


def compare_with_torch(quantised: QuantisedGraph, inputs: np.ndarray, method: str) -> list[tuple[str, str, int, int]]:
    """Compare every map, gradient and count; returns the saturations of all inputs."""
    result = golden.forward(quantised, inputs)
    back = golden.backward(quantised, result, method)
    maps, gradients, counts = by_torch(quantised, inputs, method, back.gradients[quantised.output])
    for name in quantised.maps:
        np.testing.assert_array_equal(result.maps[name], maps[name].numpy().transpose(0, 2, 3, 1), err_msg=name)
        np.testing.assert_array_equal(back.gradients[name], gradients[name].numpy().transpose(0, 2, 3, 1), err_msg=f"gradient of {name}")
    assert {name: int(trace.saturated.sum()) for name, trace in result.passes.items()} == counts
    found = [golden.saturations(quantised, result, back, image) for image in range(len(inputs))]
    assert all([one[:2] + one[3:] for one in part] == golden.passes(quantised) for part in found)
    return [one for part in found for one in part]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_map_and_gradient_is_that_of_pytorch_with_one_rounding(seed):
    """Whatever the number of sources, readers and overlapping windows; saturation is found forward and backward."""
    saturated = set()
    for number in range(9):
        quantised, inputs = random_quantised_graph(seed + number, most=6, largest=16, max_macs=200_000, saturate=number % 2 == 0)
        counts = compare_with_torch(quantised, inputs, arithmetic.METHODS[number % 3])
        saturated |= {direction for _, direction, values, _ in counts if values}
    if seed == FIXED_SEED:  # hardly any seed finds but one of them
        assert saturated == {"forward", "backward"}


POOLS = {
    "overlapping, saturated": MaxPool("pool", ("conv",), (3, 3), (2, 2), (1, 1, 1, 1)),
    "windows that leave some out": MaxPool("pool", ("conv",), (2, 2), (3, 3)),
    "fused, odd": MaxPool("pool", ("conv",), (2, 2), (2, 2)),
    "mean of unlike counts": AveragePool("pool", ("conv",), (3, 3), (2, 2), (1, 1, 1, 1)),
    "mean in ceil mode": AveragePool("pool", ("conv",), (3, 2), (2, 3), (1, 0, 1, 0), counts_padding=True, overhang=(0, 2)),
}


@pytest.mark.parametrize("method", arithmetic.METHODS)
@pytest.mark.parametrize("kind", POOLS)
def test_pools_round_and_count_as_pytorch_does(kind, method):
    """With formats of 3 bits too little range behind the convolution."""
    rng = np.random.default_rng(3)
    nodes = (Conv("conv", (INPUT,), (3, 3), padding=(1, 1, 1, 1), out_channels=4), POOLS[kind], Relu("relu", ("pool",)))
    weights = {"conv.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32), "conv.bias": np.zeros(4, np.float32)}
    passes, inputs = lower(Graph(nodes, weights, (3, 9, 11), "relu")), rng.standard_normal((3, 9, 11, 3))
    formats = calibrate_passes(passes, inputs)
    tight = {name: bits + (3 if name != INPUT else 0) for name, bits in formats.activations.items()}
    quantised = quantise_passes(passes, settle(passes, replace(formats, activations=tight)))
    counts = compare_with_torch(quantised, arithmetic.quantise(inputs, quantised.picture_fraction)[0], method)
    assert any(values for name, _, values, _ in counts if name == "conv")


# ---- Chains ------------------------------------------------------------------------------------------------------


def compare_with_chain(network: Network, pictures: np.ndarray, formats: Quantisation) -> None:
    """Compare both golden models, with a chain's formats given to the maps of its graph."""
    passes, quantised = lower(network.graph), quantise(network, formats)
    names = [INPUT, *(one.makes.map for one in passes.passes)]
    bits = (dict(zip(names, part, strict=True)) for part in (formats.activations, formats.gradients))
    made = quantise_passes(passes, GraphQuantisation(*bits))
    for layer, one in zip(quantised.layers, made.passes, strict=True):
        (source,) = one.sources
        assert (layer.shift, layer.backward_shift) == (one.shift, made.maps[source.reads.map].backward_shift)
        np.testing.assert_array_equal(source.weights.reshape(layer.weights.shape), layer.weights)
        np.testing.assert_array_equal(source.backward_weights.reshape(layer.weights.shape), layer.weights)
        np.testing.assert_array_equal(one.bias, layer.bias)
    raw = quantised.quantise_image(pictures)
    chain, graph = chains.forward(quantised, raw), golden.forward(made, raw)
    np.testing.assert_array_equal(chain.winners, graph.winners)
    for trace, one in zip(chain.layers, made.passes, strict=True):
        other = graph.passes[one.name]
        for what in ("output", "mask", "full", "saturated", "index"):
            np.testing.assert_array_equal(getattr(trace, what), getattr(other, what), err_msg=what)
    for method in arithmetic.METHODS:
        there, here = chains.backward(quantised, chain, method), golden.backward(made, graph, method)
        for gradient, name in zip(there.gradients, names, strict=True):
            np.testing.assert_array_equal(gradient, here.gradients[name])
        counts = [chains.saturations(quantised, chain, there), golden.saturations(made, graph, here)]
        assert [one[2:] for one in counts[0]] == [one[2:] for one in counts[1]]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chain_computes_the_same_integers_as_the_golden_model_of_chains(seed):
    for number in range(6):
        network = random_network(seed + number, max_layers=5, max_macs=300_000, size=[(14, 11), (7, 7), (9, 4)][number % 3])
        images = standard_images(network.input_shape, 6)
        compare_with_chain(network, images[:2], calibrate(network, images, contrast=0))


def test_the_shipped_network_computes_the_same_integers():
    network = Network.load("cifar10")
    compare_with_chain(network, standard_images(network.input_shape, 2), quantise(network).quantisation)


def test_a_chain_is_calibrated_as_before():
    network = random_network(3, kind="mixed", size=(7, 7), max_layers=4)
    images = standard_images(network.input_shape, 12)
    formats = calibrate(network, images, contrast=0)
    passes = lower(network.graph)
    quantised = quantise(network, formats)
    inputs = quantised.quantise_image(images) * np.float32(2.0**-quantised.picture_fraction)
    made = calibrate_passes(passes, inputs, input_fraction=quantised.picture_fraction)
    names = [INPUT, *(one.makes.map for one in passes.passes)]
    assert tuple(made.activations[name] for name in names) == formats.activations
    assert tuple(made.gradients[name] for name in names) == formats.gradients


# ---- Near the float network ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_agree_with_their_float_networks(seed):
    """Calibrated on the inputs that they run on: scores within 0.5 % of the largest, attributions correlate."""
    correlations, errors = [], []
    for number in range(12):
        graph = random_graph(seed + number, most=6, largest=40, max_macs=300_000)
        passes = lower(graph)
        inputs = np.random.default_rng((seed, number)).standard_normal((3, *passes.maps[INPUT]))
        quantised = quantise_passes(passes, calibrate_passes(passes, inputs))
        raw, _ = arithmetic.quantise(inputs, quantised.picture_fraction)
        result = golden.forward(quantised, raw)
        trace = GraphTrace(graph, torch.float64)
        scores = trace.forward((raw * 2.0**-quantised.picture_fraction).transpose(0, 3, 1, 2))
        errors.append(np.abs(quantised.dequantise_logits(result.logits) - scores).max() / max(np.abs(scores).max(), 1e-6))
        targets = scores.argmax(axis=1)
        for method in arithmetic.METHODS:
            back = golden.backward(quantised, result, method, targets)
            made = quantised.dequantise_attribution(back.attribution)
            expected = trace.backward(method, np.eye(scores.shape[1])[targets])
            for one, other in zip(made, expected, strict=True):
                if np.std(other) > 1e-6 * np.abs(other).max():  # it varies, by more than float64's rounding
                    correlations.append(pearson(one, other))
    assert np.median(errors) < 1e-3 and max(errors) < 2e-2, errors
    assert np.median(correlations) >= 0.999 and np.mean(np.array(correlations) >= 0.99) >= 0.95, np.sort(correlations)[:9]
