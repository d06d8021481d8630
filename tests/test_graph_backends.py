# SPDX-License-Identifier: Apache-2.0
"""Networks that are graphs in the back ends: float and golden, with headroom, through ``explain`` and ``eval``; and real networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcore.backends import METHODS, open_backend
from gradcore.backends.pytorch_graph import GraphTrace
from gradcore.errors import GradCoreError, Refusal
from gradcore.explanation import explain
from gradcore.models import graph as golden
from gradcore.network import GraphNetwork
from gradcore.network.graph import INPUT, Add, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, MaxPool, Relu
from gradcore.quantise import GraphQuantisation, calibrate_graph, quantise_graph, standard_images
from gradcore.quantise.headroom import widen

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> GraphNetwork:
    """A residual block, an overlapping pool, a clip, a concat, a global average pool; with stored formats."""
    nodes = (
        Conv("stem", (INPUT,), (3, 3), (2, 2), (1, 1, 1, 1), out_channels=8),
        Relu("stem_relu", ("stem",)),
        Conv("branch", ("stem_relu",), (3, 3), padding=(1, 1, 1, 1), out_channels=8),
        Add("sum", ("branch", "stem_relu")),
        Relu("sum_relu", ("sum",)),
        MaxPool("pool", ("sum_relu",), (3, 3), (2, 2), (0, 0, 1, 1)),
        Conv("depthwise", ("pool",), (3, 3), padding=(1, 1, 1, 1), out_channels=8, groups=8),
        Clip("clip", ("depthwise",), 6.0),
        Conv("point", ("clip",), out_channels=4),
        Concat("both", ("point", "pool")),
        AveragePool("mean", ("both",), (4, 4), (4, 4)),
        FullyConnected("fc", ("mean",), 5),
    )
    rng = np.random.default_rng(1)
    shapes = {INPUT: (3, 16, 16)}
    weights = {}
    for node in nodes:
        inputs = [shapes[name] for name in node.inputs]
        shapes[node.name] = node.shape(inputs)
        for name, shape in node.tensors(inputs).items():
            scale = np.sqrt(2 / max(1, np.prod(shape[1:]))) if name == "weight" else 0.1
            weights[f"{node.name}.{name}"] = (rng.standard_normal(shape) * scale).astype(np.float32)
    made = GraphNetwork("small", Graph(nodes, weights, (3, 16, 16), "fc"), list("abcde"), (0.5,) * 3, (0.25,) * 3)
    formats = calibrate_graph(made, standard_images(made.input_shape, 24), source="test", contrast=0)
    return replace(made, metadata={"quantisation": formats.to_metadata()})


@pytest.fixture(scope="module")
def pictures(network) -> list[np.ndarray]:
    return list(standard_images(network.input_shape, 40)[24:])


def test_float_runs_the_module_and_golden_the_model(network, pictures):
    runs = {name: open_backend(name, network, headroom=0).run(pictures, METHODS) for name in ("float", "golden")}
    trace, quantised = GraphTrace(network.graph), quantise_graph(network)
    assert not quantised.notes
    scores = trace.forward(network.normalise(np.stack(pictures)))
    result = golden.forward(quantised, quantised.quantise_image(np.stack(pictures)))
    for method in METHODS:
        there, here = runs["float"][method], runs["golden"][method]
        assert [one.target for one in there] == scores.argmax(axis=1).tolist() == [one.target for one in here]
        gradients = trace.backward(method, np.eye(5)[scores.argmax(axis=1)])
        np.testing.assert_array_equal(np.stack([one.attribution for one in there]), gradients)
        back = golden.backward(quantised, result, method)
        np.testing.assert_array_equal(np.stack([one.attribution for one in here]), quantised.dequantise_attribution(back.attribution))
        assert [(one.layer, one.direction, one.values, one.outputs) for one in here[3].saturation] == golden.saturations(
            quantised, result, back, 3
        )
        held = [(one, other) for one, other in zip(there, here, strict=True) if not any(count.values for count in other.saturation)]
        assert len(held) > len(pictures) // 2
        np.testing.assert_allclose([one.logits for one, _ in held], [other.logits for _, other in held], atol=2e-3)
        correlations = [np.corrcoef(one.attribution.ravel(), other.attribution.ravel())[0, 1] for one, other in held]
        assert np.median(correlations) > 0.999 and min(correlations) > 0.97


def test_a_class_is_explained_when_it_is_asked_for(network, pictures):
    chosen = open_backend("golden", network).run(pictures[:2], ["guided"], [3, 1])["guided"]
    assert [one.target for one in chosen] == [3, 1]


def test_pictures_that_saturate_run_again_with_headroom(network):
    """The formats just hold the calibration pictures, muted ones here; a picture of black and white needs more."""
    muted = 112 + standard_images(network.input_shape, 8) // 8
    tight = replace(network, metadata={"quantisation": calibrate_graph(network, muted, contrast=0).to_metadata()})
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    (plain,) = open_backend("golden", tight, headroom=0).run([board], ["saliency"])["saliency"]
    (again,) = open_backend("golden", tight).run([board], ["saliency"])["saliency"]
    assert any(one.values for one in plain.saturation) and again.without_headroom == plain.saturation
    assert again.headroom >= 2 and not any(one.values for one in again.saturation)
    (exact,) = open_backend("float", tight).run([board], ["saliency"], [again.target])["saliency"]
    np.testing.assert_allclose(again.logits, exact.logits, atol=0.02 * np.abs(exact.logits).max())


def test_headroom_leaves_a_clip_as_it_is(network):
    """Its format is its limit; the others are wider."""
    before, after = (quantise_graph(widen(network, bits)) for bits in (0, 4))
    widened = {name for name in before.maps if after.maps[name].fraction < before.maps[name].fraction}
    assert widened >= {"stem_relu", "sum_relu", "fc"}
    (clipped,) = (one for one in after.passes if one.limit is not None)
    assert clipped.makes.map not in widened
    with pytest.raises(GradCoreError, match="0 to 12"):
        widen(network, 13)


def test_a_network_without_formats_is_calibrated_with_a_note(network, pictures):
    bare = replace(network, metadata={})
    engine = open_backend("golden", bare, headroom=0)
    assert any("generated pictures" in note for note in engine.notes)
    with pytest.raises(GradCoreError, match="does not fit its"):
        quantise_graph(replace(network, metadata={"quantisation": {"activations": {}, "gradients": {}}}))
    with pytest.raises(GradCoreError, match="at least one"):
        calibrate_graph(bare, np.zeros((0, 16, 16, 3), np.uint8))
    with pytest.raises(GradCoreError, match="16 x 16 x 3"):
        calibrate_graph(bare, np.zeros((1, 8, 8, 3), np.uint8))
    assert GraphQuantisation.from_metadata(network.metadata["quantisation"], quantise_graph(network).maps)


def test_formats_for_one_method_are_finer(network):
    """Those for all methods hold the largest gradients of any."""
    images = standard_images(network.input_shape, 8)
    every = calibrate_graph(network, images, contrast=0)
    alone = {method: calibrate_graph(network, images, contrast=0, methods=[method]) for method in METHODS}
    assert all(one.activations == every.activations for one in alone.values())
    for name, bits in every.gradients.items():
        assert all(one.gradients[name] >= bits for one in alone.values())
    assert sum(alone["deconvnet"].gradients.values()) > sum(every.gradients.values())


def test_explain_takes_a_graph_where_no_verilog_is_asked_for(network, pictures):
    (result,) = explain([pictures[0]], network=network, method="deconvnet", backend="golden")
    assert result.attribution.shape == (3, 16, 16) and result.classes == tuple("abcde") and result.saturation
    nodes = [replace(node, kernel=(5, 5), padding=(1, 1, 2, 2)) if node.name == "pool" else node for node in network.graph.nodes]
    large = replace(network, graph=replace(network.graph, nodes=tuple(nodes)))
    with pytest.raises(Refusal, match="small cannot be compiled: the core does not run 1 of its nodes"):
        explain([pictures[0]], network=large, backend="rtl")


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("gradcam", {}),
        ("gradcam", {"layer": "clip"}),
        ("gradcam", {"layer": "stem_relu"}),
        ("integrated_gradients", {"n_steps": 5}),
        ("occlusion", {"sliding_window_shapes": (3, 8, 8), "strides": 8}),
    ],
)
def test_attribution_methods_run_on_graphs(network, pictures, method, given):
    """As Captum's on the graph's module; maps are those of PyTorch, that of a clip, which has a unit of its own, too."""
    import torch
    from captum import attr as captum

    from gradcore.backends.pytorch_graph import GraphModule

    (result,) = explain(pictures[0], network, method, target=2, backend="golden", **given)
    module = GraphModule(network.graph)
    values = torch.from_numpy(network.normalise(pictures[0][None])).requires_grad_()
    if method == "gradcam":
        engine = open_backend("golden", network)
        layer = given.get("layer") or [name for name, shape in engine.layers.items() if shape[1] > 1][-1]
        nodes = [node.name for node in network.graph.nodes]
        expected = captum.LayerGradCam(module, module.steps[nodes.index(layer)]).attribute(values, target=2)
        trace = GraphTrace(network.graph)
        trace.forward(values.detach().numpy())
        gradients = trace.gradients("saliency", np.eye(5, dtype=np.float32)[2:3], [layer])
        np.testing.assert_allclose(result.gradient(layer), gradients[layer][0], atol=0.01 * np.abs(gradients[layer]).max())
        np.testing.assert_allclose(result.activation(layer), trace.map(layer)[0], atol=0.02)
    elif method == "occlusion":
        expected = captum.Occlusion(module).attribute(values, (3, 8, 8), (3, 8, 8), target=2)
    else:
        expected = captum.IntegratedGradients(module).attribute(values, target=2, n_steps=5)
    assert np.corrcoef(result.attribution.reshape(-1), expected.detach().numpy().reshape(-1))[0, 1] > 0.999
    with pytest.raises(GradCoreError, match="no layer 'conv9': use one of stem_relu"):
        explain(pictures[0], network, "gradcam", layer="conv9", backend="golden")
