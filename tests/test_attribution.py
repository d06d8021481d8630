# SPDX-License-Identifier: Apache-2.0
"""Attribution methods against Captum, in float and in fixed point; parameters; what is refused; the Verilog in every bit."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from captum import attr as captum

import gradcore
from gradcore import GradCoreError, Layer, Network
from gradcore.attribution import METHODS, rules, stretched
from gradcore.attribution.listing import as_list, read_parameters
from gradcore.backends import METHODS as RULES
from gradcore.backends.pytorch import build_module
from gradcore.cli import options
from gradcore.explanation.evaluation import pearson
from gradcore.pictures.picture import sample_picture

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[1]

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 6, 3),
    Layer("fc", "fc1", 6 * 16, 5, relu=False),
]
TINY = Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)
PICTURE = np.random.default_rng(4).integers(0, 256, (8, 8, 3), dtype=np.uint8)
# What differs from the defaults, so that tests are quick; of the shipped network integrated gradients have theirs.
QUICK = {
    "integrated_gradients": {"n_steps": 6},
    "smoothgrad": {"stdevs": 0.4},
    "occlusion": {"sliding_window_shapes": (3, 3, 2), "strides": (3, 2, 1)},
    "gradcam": {"layer": "conv1"},
}
# The least r with Captum on the float network that is asked for, of the shipped network on two pictures. SmoothGrad's noise by default is
# as large as the picture's values: such inputs need 2 bits of headroom.
LIMITS = {
    "saliency": 0.9995,
    "deconvnet": 0.9999,
    "guided": 0.9999,
    "input_x_gradient": 0.9995,
    "integrated_gradients": 0.9995,
    "smoothgrad": 0.998,
    "gradcam": 0.9999,
    "guided_gradcam": 0.9995,
    "occlusion": 0.9999,
}


def noise(parameters, shape):
    return np.random.default_rng(parameters["random_seed"]).normal(0, parameters["stdevs"], (parameters["nt_samples"], *shape))


class SameNoise(captum.NoiseTunnel):
    """Captum's class, with the noise that we draw."""

    def __init__(self, method, values):
        super().__init__(method)
        self.values = torch.from_numpy(values.astype(np.float32))

    def _add_noise_to_input(self, input, stdev, nt_samples_partition):
        return input.repeat_interleave(nt_samples_partition, dim=0) + self.values


def by_captum(network, picture, method, target, against=None, **given):
    """The attribution (C, H, W) that Captum computes on the float network."""
    module, parameters = build_module(network), METHODS[method].checked(given)
    values = torch.from_numpy(network.normalise(picture[None]))

    def difference(inputs):
        logits = module(inputs)
        return logits[:, target] - logits[:, against]

    forward = module if against is None else difference
    aim = {"target": target} if against is None else {}
    if "layer" in parameters:
        stored = [name for name, _ in module.named_children() if name.startswith(parameters["layer"] or "conv")][-1]
        layer = getattr(module, stored)
    baselines = torch.tensor(parameters.get("baselines", 0.0), dtype=torch.float32)
    baselines = baselines[None] if baselines.ndim else baselines.item()
    calls = {
        "saliency": lambda: captum.Saliency(forward).attribute(values, abs=False, **aim),
        "deconvnet": lambda: captum.Deconvolution(module).attribute(values, **aim),
        "guided": lambda: captum.GuidedBackprop(module).attribute(values, **aim),
        "input_x_gradient": lambda: captum.InputXGradient(forward).attribute(values, **aim),
        "integrated_gradients": lambda: captum.IntegratedGradients(forward, parameters["multiply_by_inputs"]).attribute(
            values, baselines, n_steps=parameters["n_steps"], method=parameters["approximation"], **aim
        ),
        "smoothgrad": lambda: SameNoise(captum.Saliency(forward), noise(parameters, values.shape[1:])).attribute(
            values, parameters["nt_type"], parameters["nt_samples"], stdevs=parameters["stdevs"], abs=False, **aim
        ),
        "gradcam": lambda: captum.LayerGradCam(forward, layer).attribute(values, relu_attributions=parameters["relu_attributions"], **aim),
        "guided_gradcam": lambda: captum.GuidedGradCam(module, layer).attribute(values, **aim),
        "occlusion": lambda: captum.Occlusion(forward).attribute(
            values,
            parameters["sliding_window_shapes"] or (3, 4, 4),
            parameters["strides"],
            baselines,
            perturbations_per_eval=32,
            **aim,
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of hooks
        return calls[method]().detach().numpy()[0]


@cache
def shipped():
    """The network that comes with GradCore, and two pictures."""
    network = gradcore.load_network("cifar10")
    cat = sample_picture(height=32, width=32, channels=3).pixels
    return network, (cat, np.ascontiguousarray(cat[::-1, ::-1]))


def explain(picture, network, method, backend="golden", **options):
    (result,) = gradcore.explain(picture, network, method, backend=backend, **options)
    return result


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_captums_in_float(method):
    """With other parameters than the defaults, for a class, and for one against another."""
    given = QUICK.get(method, {})
    result = explain(PICTURE, TINY, method, "float", target=2, **given)
    expected = by_captum(TINY, PICTURE, method, 2, **given)
    assert result.attribution.shape == expected.shape and result.attribution.dtype == np.float32 and expected.any()
    np.testing.assert_allclose(result.attribution, expected, rtol=1e-3, atol=2e-5)
    if method not in ("deconvnet", "guided", "guided_gradcam"):  # Captum's hooks want a module
        result = explain(PICTURE, TINY, method, "float", target=2, against=4, **given)
        np.testing.assert_allclose(result.attribution, by_captum(TINY, PICTURE, method, 2, 4, **given), rtol=1e-3, atol=2e-5)


VARIANTS = [
    ("integrated_gradients", {"n_steps": 5, "approximation": "riemann_trapezoid", "baselines": 0.3}),
    ("integrated_gradients", {"n_steps": 4, "approximation": "riemann_left", "multiply_by_inputs": False}),
    ("integrated_gradients", {"n_steps": 4, "approximation": "riemann_right", "baselines": np.full((3, 8, 8), -1.0)}),
    ("integrated_gradients", {"n_steps": 3, "approximation": "riemann_middle"}),
    ("smoothgrad", {"nt_type": "vargrad", "nt_samples": 3, "stdevs": 0.5, "random_seed": 9}),
    ("smoothgrad", {"nt_type": "smoothgrad_sq", "nt_samples": 2, "stdevs": 0.1}),
    ("gradcam", {"relu_attributions": True}),
    ("occlusion", {"sliding_window_shapes": (1, 5, 3), "strides": 1, "baselines": 0.7}),
    ("occlusion", {"sliding_window_shapes": (2, 3, 3), "strides": (2, 3, 2)}),
]


@pytest.mark.parametrize(("method", "given"), VARIANTS)
def test_parameters_are_captums(method, given):
    result = explain(PICTURE, TINY, method, "float", target=1, **given)
    np.testing.assert_allclose(result.attribution, by_captum(TINY, PICTURE, method, 1, **given), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_fixed_point_is_near_captum_on_the_float_network(method):
    """The shipped network, each method with Captum's defaults (occlusion with larger windows and strides)."""
    network, pictures = shipped()
    given = {"sliding_window_shapes": (3, 8, 8), "strides": (3, 6, 6)} if method == "occlusion" else {}
    for picture in pictures if METHODS[method].rule else pictures[:1]:
        result = explain(picture, network, method, **given)
        r = pearson(result.attribution, by_captum(network, picture, method, result.target, **given))
        assert r >= LIMITS[method], r
        assert result.runs == METHODS[method].runs(METHODS[method].checked(given), (3, 32, 32))


def test_defaults_and_names_are_those_of_captums_signatures():
    for method, function, names in (
        (
            "integrated_gradients",
            captum.IntegratedGradients.attribute,
            {"baselines": "baselines", "n_steps": "n_steps", "approximation": "method"},
        ),
        ("integrated_gradients", captum.IntegratedGradients.__init__, {"multiply_by_inputs": "multiply_by_inputs"}),
        ("smoothgrad", captum.NoiseTunnel.attribute, {"nt_type": "nt_type", "nt_samples": "nt_samples", "stdevs": "stdevs"}),
        ("gradcam", captum.LayerGradCam.attribute, {"relu_attributions": "relu_attributions"}),
        ("occlusion", captum.Occlusion.attribute, {"strides": "strides", "baselines": "baselines"}),
    ):
        parameters, ours = inspect.signature(function).parameters, {one.name: one.default for one in METHODS[method].parameters}
        for name, theirs in names.items():
            assert ours[name] == parameters[theirs].default, (method, name)
    for one in METHODS.values():
        assert hasattr(captum, one.captum.partition("(")[0].partition(",")[0]), one.captum


def test_one_table_of_methods():
    assert tuple(METHODS) == options.METHODS and rules() == options.RULES == RULES
    assert [one["method"] for one in as_list()] == list(METHODS)
    page = (ROOT / "docs" / "attribution.md").read_text().partition("\n## ")[0]
    for one in METHODS.values():
        (row,) = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith(f"| `{one.name}` |")]
        assert row[2].startswith(f"`{one.captum.partition('(abs')[0].partition(', ')[0]}`") and row[4] == one.cost, row
        assert [each.split(":")[0].split()[0] for each in row[3].split(", ") if each and not each[0].isdigit()] == [
            each.name for each in one.parameters
        ]
        assert float(row[7]) == LIMITS[one.name], row


def test_the_map_is_stretched_as_pytorch_does():
    heat = np.random.default_rng(1).normal(size=(1, 4, 5)).astype(np.float32)
    for size in ((8, 10), (9, 7), (4, 5), (3, 3), (32, 31)):
        expected = torch.nn.functional.interpolate(torch.from_numpy(heat)[None], size, mode="nearest")[0].numpy()
        np.testing.assert_array_equal(stretched(heat, size), expected)


@pytest.mark.parametrize("backend", ["golden", "float"])
def test_maps_of_layers(backend):
    """What a layer stored, and its gradient, of every method that has them."""
    result = explain(PICTURE, TINY, "saliency", backend, target=1)
    module = build_module(TINY)
    values = torch.from_numpy(TINY.normalise(PICTURE[None]))
    stored = module.conv2_relu(module.conv2(module.conv1_pool(module.conv1_relu(module.conv1(values))))).detach().requires_grad_()
    module.fc1(module.flatten(stored))[0, 1].backward()
    np.testing.assert_allclose(result.activation("conv2"), stored[0].detach(), atol=0.01)
    np.testing.assert_allclose(result.gradient("conv2"), stored.grad[0], atol=0.01)
    assert result.activation("conv1").shape == (8, 4, 4) and result.activation("fc1").shape == (5, 1, 1)
    cam = explain(PICTURE, TINY, "gradcam", backend, target=1)
    np.testing.assert_array_equal(cam.gradient("conv2"), result.gradient("conv2"))
    with pytest.raises(GradCoreError, match="gradcam has no single gradient of conv1: explain by saliency"):
        cam.gradient("conv1")
    with pytest.raises(GradCoreError, match=r"no layer 'conv9': use one of conv1, conv2, fc1"):
        result.activation("conv9")
    with pytest.raises(GradCoreError, match="keep=True"):
        explain(PICTURE, TINY, "saliency", backend, keep=False).activation("conv1")


def test_weights_of_classes_are_a_target():
    weights = np.array([0.0, 1.0, 0.0, -1.0, 0.0])
    one, other = explain(PICTURE, TINY, "guided", target=weights), explain(PICTURE, TINY, "guided", target=1, against=3)
    np.testing.assert_array_equal(one.attribution, other.attribution)
    assert one.as_dict()["seed"] == weights.tolist() and other.as_dict()["against"] == "class 3" and one.target == 1
    assert other.title == "why class 1, not class 3: guided"
    scaled = explain(PICTURE, TINY, "guided", target=weights * 1e-6)
    np.testing.assert_allclose(scaled.attribution * 1e6, one.attribution, rtol=0.05, atol=0.02)


def test_saturation_makes_the_whole_method_run_again():
    """Formats without room: the runs are made again with headroom, which is said."""
    from dataclasses import replace

    from gradcore.quantise import quantise

    formats = quantise(TINY).quantisation
    narrow = replace(formats, gradients=(*(fraction + 3 for fraction in formats.gradients[:-1]), formats.gradients[-1]))
    network = replace(TINY, metadata={"quantisation": narrow.to_metadata()})
    result = explain(PICTURE, network, "integrated_gradients", n_steps=4)
    assert result.headroom in (2, 4) and any(one.values for one in result.without_headroom) and result.runs == 5
    assert any("second run" in note for note in result.notes)
    assert pearson(result.attribution, by_captum(TINY, PICTURE, "integrated_gradients", result.target, n_steps=4)) > 0.999


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("integrated_gradients", {"n_steps": 0}, "n_steps cannot be 0: give a whole number from 1 to 1000"),
        ("integrated_gradients", {"n_steps": 1.5}, "n_steps cannot be 1.5"),
        ("integrated_gradients", {"n_steps": 1, "approximation": "riemann_left"}, "give 2 or more"),
        ("integrated_gradients", {"approximation": "simpson"}, "use one of gausslegendre, riemann_right"),
        ("integrated_gradients", {"baselines": np.zeros((3, 4))}, "the shape 3 x 4, the input 3 x 8 x 8"),
        ("integrated_gradients", {"baselines": float("nan")}, "baselines cannot be nan"),
        ("integrated_gradients", {"baselines": "black"}, "baselines cannot be 'black'"),
        ("smoothgrad", {"stdevs": -0.1}, "stdevs cannot be -0.1: give a number from 0 to 1000"),
        ("smoothgrad", {"stdevs": float("inf")}, "stdevs cannot be inf"),
        ("smoothgrad", {"nt_samples": True}, "nt_samples cannot be True"),
        ("smoothgrad", {"n_steps": 3}, "unknown parameter of smoothgrad 'n_steps'"),
        ("saliency", {"n_steps": 3}, "saliency has no parameters"),
        ("gradcam", {"layer": "conv9"}, "no layer 'conv9': use one of conv1, conv2, fc1"),
        ("gradcam", {"layer": 4}, "layer cannot be 4"),
        ("gradcam", {"relu_attributions": 1}, "give True or False"),
        ("occlusion", {"sliding_window_shapes": (3, 9, 3)}, "more rows than the input, 9 of 8"),
        ("occlusion", {"sliding_window_shapes": (3, 3)}, "one positive|a positive whole number for each"),
        ("occlusion", {"strides": (3, 5, 1), "sliding_window_shapes": (3, 4, 4)}, "a stride of 5 rows leaves gaps"),
        ("occlusion", {"strides": 0}, "strides cannot be 0"),
        ("saliency", {"target": np.ones(4)}, "one finite number for each class, not 4 numbers: give 5 of them"),
        ("occlusion", {"target": np.full(5, np.nan)}, "not finite"),
        ("saliency", {"target": np.ones(5), "against": 1}, "leave the class against it out"),
        ("saliency", {"target": 1, "against": "class 1"}, "give two classes"),
        ("saliency", {"target": 1, "against": 9}, "unknown class 9"),
        ("gradcam", {"target": "cat"}, "unknown class 'cat'"),
        ("integrated_gradient", {}, "did you mean integrated_gradients"),
        ("smoothgrad", {"backend": "rtl", "preset": "small", "trace": "t.json"}, "take one of saliency, deconvnet, guided"),
        ("saliency", {"backend": "rtl", "against": 1, "waves": "w.fst"}, "waves cannot be had of several runs"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(method, given, words):
    with pytest.raises(GradCoreError, match=words) as raised:
        explain(PICTURE, TINY, method, **given)
    assert "\n" not in str(raised.value)


def test_against_the_predicted_class_is_refused():
    predicted = explain(PICTURE, TINY, "saliency").predicted
    with pytest.raises(GradCoreError, match="is the predicted one: give another, or a target"):
        explain(PICTURE, TINY, "gradcam", against=predicted)


VERILOG = {
    **QUICK,
    "integrated_gradients": {"n_steps": 3},
    "smoothgrad": {"nt_samples": 2},
    "occlusion": {"sliding_window_shapes": (3, 8, 4)},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_verilog_gives_the_same_in_every_bit(method):
    """``explain`` refuses a Verilog that differs from the golden model in a bit of scores, attribution or maps; costs are sums."""
    result = explain(PICTURE, TINY, method, "rtl", preset="small", target=1, against=2, **VERILOG.get(method, {}))
    assert result.verilog == "equal" and result.cycles.total == result.cycles.forward + result.cycles.backward
    assert result.cycles.total == sum(one.cycles for one in result.cycles.layers)
    assert result.latency_ms == result.cycles.total / 1e5 and result.runs == METHODS[method].runs(result.parameters, (3, 8, 8))
    np.testing.assert_array_equal(
        result.attribution, explain(PICTURE, TINY, method, target=1, against=2, **VERILOG.get(method, {})).attribution
    )


def gradcore_command(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", "gradcore", *map(str, arguments)], cwd=cwd, capture_output=True, text=True)


def test_the_command_line(tmp_path):
    """Parameters, a class against another, JSON, files; the list of methods."""
    TINY.save(tmp_path / "net.safetensors")
    from PIL import Image

    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    common = ["explain", "a.png", "--network", "net.safetensors", "--backend", "golden", "--method"]
    result = gradcore_command(
        *common,
        "occlusion",
        "--parameter",
        "strides=3,2,2",
        "--parameter",
        "baselines=0.5",
        "--against",
        "class 0",
        "--target",
        "1",
        "--json",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    (told,) = json.loads(result.stdout)
    assert told["parameters"] == {"sliding_window_shapes": None, "strides": [3, 2, 2], "baselines": 0.5} and told["against"] == "class 0"
    assert told["runs"] == 1 + 9 and told["method"] == "occlusion" and (tmp_path / told["files"]["overlay"]).stat().st_size > 1000
    expected = explain(PICTURE, TINY, "occlusion", target=1, against=0, strides=(3, 2, 2), baselines=0.5)
    np.testing.assert_array_equal(np.load(tmp_path / told["files"]["attribution"]), expected.attribution)
    result = gradcore_command(*common, "smoothgrad", "--parameter", "stdevs=much", cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "stdevs cannot be 'much'" in result.stderr, result.stderr
    listed = gradcore_command("methods", cwd=tmp_path)
    assert all(name in listed.stdout for name in METHODS) and "nt_samples=5" in listed.stdout


@pytest.mark.parametrize(
    ("method", "texts", "words"),
    [
        ("smoothgrad", ["stdevs"], "write NAME=VALUE"),
        ("smoothgrad", ["stdevs=1", "stdevs=2"], "given twice"),
        ("smoothgrad", ["nt_samples=2.5"], "nt_samples cannot be '2.5'"),
        ("occlusion", ["strides=3,x,1"], "strides cannot be"),
        ("integrated_gradients", ["multiply_by_inputs=perhaps"], "give True or False"),
        ("gradcam", ["layers=conv1"], "did you mean layer"),
    ],
)
def test_texts_that_are_no_parameters_are_refused(method, texts, words):
    with pytest.raises(GradCoreError, match=words):
        read_parameters(method, texts)


def test_texts_are_read():
    assert read_parameters("gradcam", ["layer=conv1", "relu_attributions=true"]) == {"layer": "conv1", "relu_attributions": True}
    assert read_parameters("integrated_gradients", ["baselines=-0.5", "n_steps=7"]) == {"baselines": -0.5, "n_steps": 7}
    assert read_parameters("occlusion", ["sliding_window_shapes=3,2,2", "strides=2"]) == {"sliding_window_shapes": (3, 2, 2), "strides": 2}
