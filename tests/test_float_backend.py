# SPDX-License-Identifier: Apache-2.0
"""The float back end: its attributions against Captum's and against their definition, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from gradcore.backends.pytorch import FloatBackend, attribution, build_module, logits
from gradcore.errors import GradCoreError
from gradcore.network import Layer, Network

METHODS = ("saliency", "deconvnet", "guided")
LAYERS = [
    Layer("conv", "conv1", 3, 8, 3),
    Layer("conv", "conv2", 8, 8, 5, pool=True, bias=False),
    Layer("conv", "conv3", 8, 6, 1, relu=False, pool=True),
    Layer("fc", "fc1", 6 * 2 * 3, 16),
    Layer("fc", "fc2", 16, 5, relu=False),
]


@pytest.fixture(scope="module")
def network():
    return Network.random(LAYERS, (3, 11, 13), seed=1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).integers(0, 256, (70, 11, 13, 3)).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_attributions_are_those_of_captum(network, images, method):
    from captum import attr as captum

    algorithm = {"saliency": captum.Saliency, "deconvnet": captum.Deconvolution, "guided": captum.GuidedBackprop}[method]
    module = build_module(network)
    values = torch.from_numpy(network.normalise(images)).requires_grad_(True)
    targets = module(values).argmax(1)
    options = {"abs": False} if method == "saliency" else {}
    with pytest.warns(UserWarning, match="backward hooks") if method != "saliency" else _nothing():
        expected = algorithm(module).attribute(values, target=targets, **options).detach().numpy()
    result = attribution(network, images, method)
    assert result.dtype == np.float32 and np.abs(result).max() > 0
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def test_saliency_is_the_derivative_of_the_logit(network, images):
    """By finite differences in float64, where no ReLU and no pool changes its mind."""
    module = build_module(network).double()
    values = torch.from_numpy(network.normalise(images[:1])).double()
    gradient = attribution(network, images[0], "saliency", 3)
    for position in ((0, 0, 0), (1, 5, 6), (2, 9, 11)):
        step = torch.zeros_like(values)
        step[0][position] = 1e-7
        slope = (module(values + step) - module(values - step))[0, 3].item() / 2e-7
        assert gradient[position] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_the_three_rules_on_one_neuron_each():
    """Two hidden neurons: one active with a negative gradient, one silent with a positive gradient, one active with a positive."""
    layers = [Layer("conv", "a", 1, 3, 1, bias=False), Layer("fc", "b", 3, 1, relu=False, bias=False)]
    weights = {"a.weight": np.float32([1, -2, 4]).reshape(3, 1, 1, 1), "b.weight": np.float32([[-1, 10, 100]])}
    tiny = Network("tiny", layers, weights, ["only"], (1, 1, 1), (0.0,), (1.0,))
    image = np.full((1, 1, 1), 255, np.uint8)
    assert attribution(tiny, image, "saliency").item() == -1 + 400
    assert attribution(tiny, image, "deconvnet").item() == -20 + 400
    assert attribution(tiny, image, "guided").item() == 400


def test_logits_and_module_agree(network, images):
    expected = build_module(network)(torch.from_numpy(network.normalise(images))).detach().numpy()
    np.testing.assert_allclose(logits(network, images), expected, rtol=1e-5, atol=1e-5)
    assert logits(network, images[:0]).shape == (0, 5)


@pytest.mark.parametrize("method", METHODS)
def test_one_picture_as_in_a_batch(network, images, method):
    np.testing.assert_allclose(attribution(network, images[66], method), attribution(network, images, method)[66], rtol=1e-4, atol=1e-6)


def test_targets_a_class_and_vectors(network, images):
    by_class = attribution(network, images[:2], "guided", 4)
    np.testing.assert_array_equal(by_class, attribution(network, images[:2], "guided", np.eye(5)[4]))
    twice = attribution(network, images[:2], "guided", np.stack([2 * np.eye(5)[4], np.eye(5)[0]]))
    np.testing.assert_allclose(twice[0], 2 * by_class[0], rtol=1e-5)
    np.testing.assert_allclose(twice[1], attribution(network, images[1], "guided", 0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (5, "no class 5"),
        (-1, "no class"),
        (1.5, "no class"),
        (np.ones(4), r"shape \(4,\)"),
        (np.full(5, np.nan), "finite"),
        (np.ones((3, 5)), "3 vectors for 2 pictures"),
    ],
)
def test_targets_that_do_not_exist_are_refused(network, images, target, match):
    with pytest.raises(GradCoreError, match=match):
        attribution(network, images[:2], "saliency", target)


def test_other_mistakes_are_refused(network, images):
    with pytest.raises(GradCoreError, match="unknown method"):
        attribution(network, images[:1], "gradcam")
    with pytest.raises(GradCoreError, match="11 x 13 x 3"):
        attribution(network, images[:, 1:], "saliency")


def test_the_backend_runs_all_methods(network, images):
    seen = []
    runs = FloatBackend(network).run(list(images), METHODS, progress=lambda text, done, total: seen.append((done, total)))
    assert seen[0] == (0, 70) and seen[-1] == (70, 70)
    expected = logits(network, images)
    for method in METHODS:
        assert [run.target for run in runs[method]] == expected.argmax(1).tolist()
        np.testing.assert_allclose(np.stack([run.logits for run in runs[method]]), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            np.stack([run.attribution for run in runs[method]]), attribution(network, images, method), rtol=1e-4, atol=1e-6
        )
    chosen = FloatBackend(network).run(list(images[:3]), ["saliency"], [4, 0, 1])["saliency"]
    assert [run.target for run in chosen] == [4, 0, 1]
    np.testing.assert_allclose(chosen[1].attribution, attribution(network, images[1], "saliency", 0), rtol=1e-4, atol=1e-6)


def test_modules_can_be_hooked(network):
    module = build_module(network)
    assert all(not child.inplace for child in module if isinstance(child, torch.nn.ReLU))
    assert not module.training


@pytest.mark.parametrize("module", ["gradcore.backends.pytorch", "gradcore.training"])
def test_without_pytorch_it_says_what_to_install(module):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"from gradcore.errors import GradCoreError\ntry:\n    import {module}\nexcept GradCoreError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "gradcore[torch]"' in done.stdout, done.stderr


@pytest.mark.parametrize(
    "names",
    [
        ("a.b", "a_b"),
        ("flatten", "fc"),
        ("a", "a_relu"),
        ("a_pool", "a"),
        ("forward", "training"),
        ("a.b.c", "a.b_c"),
        ("0", "1"),
        ("_modules", "type"),
        ("x_", "x"),
        ("weight", "bias"),
    ],
)
def test_f31_layers_may_be_called_anything(names):
    from dataclasses import replace

    from gradcore.training.formats import spans

    layers = [Layer("conv", "one", 3, 4, 3, pool=True), Layer("fc", "two", 4 * 4 * 4, 3, relu=False)]
    plain = Network.random(layers, (3, 8, 8), seed=1)
    weights = {
        f"{new}.{what}": plain.weights[f"{old}.{what}"]
        for old, new in zip(("one", "two"), names, strict=True)
        for what in ("weight", "bias")
    }
    named = replace(plain, layers=[replace(layer, name=name) for layer, name in zip(layers, names, strict=True)], weights=weights)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(logits(named, pictures), logits(plain, pictures))
    np.testing.assert_array_equal(attribution(named, pictures), attribution(plain, pictures))
    for one, other in zip(spans(named, pictures), spans(plain, pictures), strict=True):
        np.testing.assert_array_equal(one, other)
