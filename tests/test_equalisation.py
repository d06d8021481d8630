# SPDX-License-Identifier: Apache-2.0
"""Channels with units of their own: the same network in real numbers, more bits for quiet channels, and refused where there can be none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcore.backends import METHODS, open_backend
from gradcore.backends.pytorch_graph import GraphTrace
from gradcore.errors import GradCoreError
from gradcore.explanation.evaluation import pearson
from gradcore.models.quantised_graph import GraphQuantisation
from gradcore.network import GraphNetwork
from gradcore.network.graph import INPUT, Add, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, MaxPool, Relu
from gradcore.pictures.patterns import CALIBRATION_SEED, patterns
from gradcore.quantise import calibrate_graph, float_graph, fraction_for, quantise_graph, standard_images
from gradcore.quantise.equalisation import equalise, in_units
from gradcore.quantise.graph_calibration import VALUE_MARGINS, measure
from gradcore.quantise.headroom import widen
from gradcore.quantise.lowering import lower

pytestmark = pytest.mark.usefixtures("one_thread")

FREE = {"wide", "deep", "group", "both"}


@pytest.fixture(scope="module")
def network() -> GraphNetwork:
    """Depthwise and grouped convolutions with channels of unlike ranges, fused and other pools, an add, a clip, a concat."""
    three = {"kernel": (3, 3), "padding": (1, 1, 1, 1)}
    nodes = (
        Conv("stem", (INPUT,), **three, out_channels=8),
        Relu("stem_relu", ("stem",)),
        MaxPool("wide", ("stem_relu",), (2, 2), (2, 2)),
        Conv("depth", ("wide",), **three, out_channels=8, groups=8),
        Relu("deep", ("depth",)),
        Conv("grouped", ("deep",), out_channels=8, groups=2),
        Relu("group", ("grouped",)),
        Conv("left", ("group",), out_channels=6),
        Relu("left_relu", ("left",)),
        Conv("right", ("group",), **three, out_channels=4),
        Relu("right_relu", ("right",)),
        Concat("both", ("left_relu", "right_relu")),
        Conv("clipped", ("both",), out_channels=8),
        Clip("clip", ("clipped",), 6.0),
        Conv("branch", ("clip",), out_channels=8),
        Add("sum", ("branch", "clip")),
        AveragePool("mean", ("sum",), (8, 8), (8, 8)),
        FullyConnected("fc", ("mean",), 5),
    )
    rng, shapes, weights = np.random.default_rng(7), {INPUT: (3, 16, 16)}, {}
    for node in nodes:
        inputs = [shapes[name] for name in node.inputs]
        shapes[node.name] = node.shape(inputs)
        for name, shape in node.tensors(inputs).items():
            weights[f"{node.name}.{name}"] = rng.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) if name == "weight" else 0.1)
    for maker, reader in (("stem", "depth"), ("depth", "grouped")):
        unlike = 2.0 ** rng.uniform(-6, 0, 8)
        for name in ("weight", "bias"):
            weights[f"{maker}.{name}"] = weights[f"{maker}.{name}"] * unlike.reshape(-1, *(1,) * (weights[f"{maker}.{name}"].ndim - 1))
        read = weights[f"{reader}.weight"]
        by_input = unlike[:, None] if read.shape[1] == 1 else unlike.reshape(2, 1, 4).repeat(4, axis=1).reshape(8, 4)
        weights[f"{reader}.weight"] = read / by_input[:, :, None, None]
    weights = {name: tensor.astype(np.float32) for name, tensor in weights.items()}
    return GraphNetwork("unlike", Graph(nodes, weights, (3, 16, 16), "fc"), list("abcde"), (0.5,) * 3, (0.25,) * 3)


@pytest.fixture(scope="module")
def images(network: GraphNetwork) -> np.ndarray:
    return standard_images(network.input_shape, 28)


@pytest.fixture(scope="module")
def formats(network: GraphNetwork, images: np.ndarray) -> GraphQuantisation:
    return calibrate_graph(network, images[:20], contrast=0)


def test_in_real_numbers_nothing_changes(network: GraphNetwork, images: np.ndarray) -> None:
    """Values are those without units divided by them, gradients multiplied, masks and winners the same."""
    passes, inputs = lower(network.graph), network.normalise(images).transpose(0, 2, 3, 1)
    units = equalise(passes, measure(passes, inputs)[0], 1.25)
    assert units.keys() == FREE and all(len(one) == passes.maps[name][2] and len(set(one)) > 1 for name, one in units.items())
    plain, made = (float_graph.forward(one, inputs) for one in (passes, in_units(passes, units)))
    for name, values in plain.maps.items():
        expected = values / np.array(units.get(name, (1.0,)))
        np.testing.assert_allclose(made.maps[name], expected, atol=2e-5 * np.abs(expected).max(), err_msg=name)
    same = np.all([np.array_equal(plain.passes[name].mask, other.mask) for name, other in made.passes.items()])
    for method in METHODS if same else ["deconvnet"]:
        there, here = (float_graph.backward(one, plain, method) for one in (passes, in_units(passes, units)))
        for name, values in there.items():
            expected = values * np.array(units.get(name, (1.0,)))
            np.testing.assert_allclose(here[name], expected, atol=2e-5 * np.abs(expected).max(), err_msg=name)


def test_quiet_channels_keep_more_bits(network: GraphNetwork, images: np.ndarray, formats: GraphQuantisation) -> None:
    """No channel has fewer steps for its values than without units but for the part that stays free; attributions agree better."""
    without = replace(calibrate_graph(network, images[:20], contrast=0, equal=False), source="without")
    passes = lower(network.graph)
    values, _ = measure(passes, network.normalise(images[:20]).transpose(0, 2, 3, 1))
    for name in FREE:
        steps = values[name] / formats.units[name] * 2.0 ** formats.activations[name]
        assert steps.max() == pytest.approx(32768 / VALUE_MARGINS[0], rel=1e-3)
        assert np.all(steps > values[name] * 2.0 ** without.activations[name] / VALUE_MARGINS[0] * 0.99)
    held, r = list(images[20:]), {}
    (exact,) = (open_backend("float", network).run(held, METHODS),)
    for what, one in (("with", formats), ("without", without)):
        stored = replace(network, metadata={"quantisation": one.to_metadata()})
        runs = open_backend("golden", stored, headroom=0).run(held, METHODS, [run.target for run in exact[METHODS[0]]])
        r[what] = [np.median([1 - pearson(a.attribution, b.attribution) for a, b in zip(runs[m], exact[m], strict=True)]) for m in METHODS]
    assert all(here < there for here, there in zip(r["with"], r["without"], strict=True)) and max(r["with"]) < 0.001, r


def test_maps_come_back_as_the_network_has_them(network: GraphNetwork, images: np.ndarray, formats: GraphQuantisation) -> None:
    """What is kept of a run, with headroom too, is in the network's own scale."""
    stored = replace(network, metadata={"quantisation": formats.to_metadata()})
    trace = GraphTrace(network.graph)
    scores = trace.forward(network.normalise(images[20:22]))
    seeds = np.eye(5, dtype=np.float32)[scores.argmax(axis=1)]
    names = [name for name in quantise_graph(stored).maps if name != INPUT]
    gradients = trace.gradients("deconvnet", seeds, names)
    for bits in (0, 2):
        runs = open_backend("golden", widen(stored, bits), headroom=0).run(list(images[20:22]), ["deconvnet"], keep=True)["deconvnet"]
        for number, run in enumerate(runs):
            for name in FREE:
                for channel in range(len(formats.units[name])):
                    expected = trace.map(name)[number][channel], gradients[name][number][channel]
                    for made, real in zip((run.activations[name][channel], run.gradients[name][channel]), expected, strict=True):
                        np.testing.assert_allclose(made, real, atol=0.02 * np.abs(real).max() + 1e-3, err_msg=name)


def test_units_are_kept_in_a_file_and_refused_where_they_cannot_be(network: GraphNetwork, formats: GraphQuantisation) -> None:
    passes = lower(network.graph)
    assert GraphQuantisation.from_metadata(formats.to_metadata(), passes.maps) == formats
    plain = replace(formats, units={})
    assert "units" not in plain.to_metadata() and GraphQuantisation.from_metadata(plain.to_metadata(), passes.maps) == plain
    wrong = [{"clip": [0.5] * 8}, {INPUT: [0.5] * 3}, {"fc": [0.5] * 5}, {"sum": [0.5] * 8}, {"wide": [0.5] * 7}, {"wide": [0.0] * 8}]
    for units in (*wrong, {"gone": [1.0]}, {"wide": [float("nan")] * 8}):
        metadata = {**formats.to_metadata(), "units": units}
        with pytest.raises(GradCoreError, match="calibrate again"):
            quantise_graph(replace(network, metadata={"quantisation": metadata}))
    with pytest.raises(GradCoreError, match="calibrate again"):
        GraphQuantisation.from_metadata({**formats.to_metadata(), "units": ["wide"]}, passes.maps)


def test_pictures_of_high_contrast_stand_in_for_the_margin_of_gradients(network: GraphNetwork, images: np.ndarray) -> None:
    """With them a map's format just holds the largest gradient that was measured; without, twice that."""
    passes = lower(network.graph)
    for contrast, margin in ((0, 2.0), (1, 1.0)):
        seen = (
            np.concatenate([images[:8], *patterns(network.input_shape, contrast, seed=CALIBRATION_SEED).values()])
            if contrast
            else images[:8]
        )
        _, gradients = measure(passes, network.normalise(seen).transpose(0, 2, 3, 1))
        made = calibrate_graph(network, images[:8], contrast=contrast, equal=False)
        assert made.gradients["group"] == fraction_for(margin * gradients["group"].max())
