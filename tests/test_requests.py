# SPDX-License-Identifier: Apache-2.0
"""Single runs of back ends: any input, any seed, parts of the network; the Verilog equal to the golden model in every bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcore.backends import Request, open_backend
from gradcore.backends.rtl import RtlBackend
from gradcore.errors import GradCoreError
from gradcore.models import network as golden
from gradcore.network import Layer, Network
from gradcore.quantise import quantise

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 20, 3),
    Layer("fc", "fc1", 20 * 16, 12),
    Layer("fc", "fc2", 12, 5, relu=False),
]
NETWORK = Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)
RNG = np.random.default_rng(4)
PICTURES = list(RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8))
NOISY = RNG.normal(0, 3, (3, 8, 8))  # beyond what pixels reach
SEED = np.array([1.0, 0.0, -1.0, 0.25, 0.0])
BACKENDS = ("golden", "float")


@pytest.fixture(scope="module")
def golden_backend():
    return open_backend("golden", NETWORK, headroom=0)


def everything(engine):
    """Requests of every kind, in three calls: the second goes on from the first, the third has inputs that are larger than a picture's."""
    first = engine.execute(
        [
            Request(PICTURES[0], "saliency", keep=True),
            Request(method="guided", keep=True),  # goes on with the forward pass before
            Request(NOISY / 4, "deconvnet", 3, keep=True),
            Request(PICTURES[1]),
            Request(PICTURES[2], "guided", SEED, back_to="conv2", keep=True),
            Request(PICTURES[1], until="conv2", keep=True),
        ]
    )
    inner = np.random.default_rng(5).normal(0, 0.3, first[5].output.shape)
    second = engine.execute(
        [
            Request(method="saliency", seed=2, state=first[3].state, keep=True),
            Request(first[5].output, "guided", 1, since="conv2", keep=True),
            Request(method="saliency", seed=inner, state=first[5].state),
            Request(first[5].output, since="conv2"),
        ]
    )
    return first + second + engine.execute([Request(NOISY, "guided", 3, keep=True), Request(method="saliency", keep=True)])


def arrays(reply):
    return [reply.output, reply.gradient, *reply.activations.values(), *reply.gradients.values()]


def test_the_golden_backend_gives_the_models_results(golden_backend):
    quantised = quantise(NETWORK)
    replies = everything(golden_backend)
    pictures = quantised.quantise_image(np.stack(PICTURES))
    forward = golden.forward(quantised, pictures)
    np.testing.assert_array_equal(replies[0].output, quantised.dequantise_logits(forward.logits[0]))
    for reply, method, image, target in (
        (replies[0], "saliency", 0, None),
        (replies[1], "guided", 0, None),
        (replies[6], "saliency", 1, 2),
    ):
        targets = np.full(3, np.argmax(forward.logits[image]) if target is None else target)
        backward = golden.backward(quantised, forward, method, targets)
        np.testing.assert_array_equal(reply.gradient, quantised.dequantise_attribution(backward.attribution[image]))
        for position, name in enumerate(("conv1", "conv2", "fc1", "fc2"), 1):
            fraction = quantised.quantisation.gradients[position]
            np.testing.assert_array_equal(reply.gradients[name], backward.gradients[position][image].transpose(2, 0, 1) * 2.0**-fraction)
    assert list(replies[0].activations) == ["conv1", "conv2", "fc1", "fc2"] and not replies[1].activations
    np.testing.assert_array_equal(replies[0].activations["fc2"].reshape(-1), replies[0].output)
    assert replies[4].gradient.shape == (20, 4, 4) and list(replies[4].gradients) == ["conv2", "fc1", "fc2"]
    np.testing.assert_array_equal(replies[4].gradient, replies[4].gradients["conv2"])
    np.testing.assert_array_equal(replies[9].output, replies[3].output)
    np.testing.assert_array_equal(replies[5].output, golden_backend.execute([Request(PICTURES[1], keep=True)])[0].activations["conv2"])
    assert [one.direction for one in replies[4].saturation] == ["forward"] * 4 + ["backward"] * 2
    assert [one.layer for one in replies[8].saturation] == ["conv2", "conv1"]


def test_an_input_beyond_the_format_is_not_clipped(golden_backend):
    """Its format is made wider; the maps follow those of PyTorch."""
    limit = 2.0 ** (15 - quantise(NETWORK).picture_fraction)
    assert np.abs(NOISY).max() > limit
    (fixed,) = golden_backend.execute([Request(NOISY, "saliency", 1, keep=True)])
    (real,) = open_backend("float", NETWORK).execute([Request(NOISY, "saliency", 1, keep=True)])
    np.testing.assert_allclose(fixed.output, real.output, atol=0.02)
    for maps, others in ((fixed.activations, real.activations), (fixed.gradients, real.gradients)):
        for name in ("conv1", "conv2", "fc1", "fc2"):
            assert maps[name].shape == others[name].shape and np.abs(maps[name] - others[name]).max() < 0.03, name
    np.testing.assert_allclose(fixed.gradient, real.gradient, atol=0.02)


def test_the_verilog_gives_the_golden_models_results_in_every_bit(golden_backend):
    """Every kind of request: forward and backward apart, parts of the network, vectors as seeds, noisy inputs."""
    engine = RtlBackend(NETWORK, "rtl", preset="small")
    for number, (got, wanted) in enumerate(zip(everything(engine), everything(golden_backend), strict=True)):
        assert got.activations.keys() == wanted.activations.keys() and got.gradients.keys() == wanted.gradients.keys(), number
        for one, other in zip(arrays(got), arrays(wanted), strict=True):
            assert (one is None) == (other is None), number
            assert one is None or np.array_equal(one, other), number
        assert got.saturation == wanted.saturation, number
        assert got.cycles.total > 300 and got.cycles.total == sum(one.cycles for one in got.cycles.layers)
        backward = [one.layer for one in got.cycles.layers if one.direction == "backward" and one.layer != "seed"]
        assert bool(backward) == (got.gradient is not None), number


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(PICTURES[0], "saliency", 5), "no class 5: give an index from 0 to 4"),
        (Request(PICTURES[0], "saliency", np.ones(4)), "a number for each of 5 classes, not one of 4"),
        (Request(PICTURES[0], "saliency", np.full(5, np.nan)), "not finite"),
        (Request(PICTURES[0], "saliency", back_to="conv7"), r"unknown layer 'conv7'.*conv1, conv2"),
        (Request(NOISY * 1e9, "saliency"), "less noise"),
    ],
)
def test_what_does_not_fit_is_refused(backend, request_, words):
    if backend == "float" and words in ("not finite", "less noise"):
        return  # PyTorch takes any number
    with pytest.raises(GradCoreError, match=words):
        open_backend(backend, NETWORK).execute([request_])


def test_a_graph_keeps_its_maps():
    """Graphs run as a whole; their maps are those of PyTorch."""
    from gradcore.network import GraphNetwork

    chain = replace(NETWORK)
    network = GraphNetwork("tiny", chain.graph, chain.classes, chain.mean, chain.std)
    (fixed,) = open_backend("golden", network, headroom=0).execute([Request(PICTURES[0], "guided", SEED, keep=True)])
    (real,) = open_backend("float", network).execute([Request(PICTURES[0], "guided", SEED, keep=True)])
    np.testing.assert_allclose(fixed.gradient, real.gradient, atol=0.02)
    assert len(fixed.activations) == 4 and fixed.activations.keys() <= real.activations.keys()
    for name in fixed.activations:
        np.testing.assert_allclose(fixed.activations[name], real.activations[name], atol=0.03)
        np.testing.assert_allclose(fixed.gradients[name], real.gradients[name], atol=0.03)
    with pytest.raises(GradCoreError, match="as a whole"):
        open_backend("golden", network).execute([Request(PICTURES[0], until="conv2")])
