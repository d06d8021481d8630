# SPDX-License-Identifier: Apache-2.0
"""The core as a PyTorch module: Captum's own classes on it, beside the float module; formats, pieces, what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum import attr as captum

import gradcore
from gradcore import GradCoreError, Layer, Network
from gradcore.backends.pytorch import build_module
from gradcore.explanation.evaluation import pearson
from gradcore.quantise import quantise
from gradcore.torch import HardwareModule

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require")]

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "block.conv2", 8, 12, 3),
    Layer("fc", "fc1", 12 * 16, 10),
    Layer("fc", "fc2", 10, 5, relu=False),
]
NETWORK = Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)
PICTURES = np.random.default_rng(4).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
VALUES = torch.from_numpy(NETWORK.normalise(PICTURES))


class Difference(torch.nn.Module):
    """The logit of one class minus that of another."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, values):
        logits = self.module(values)
        return logits[:, 1] - logits[:, 4]


def layer_of(module):
    return module.layer("block.conv2") if isinstance(module, HardwareModule) else module.block_conv2_relu


def noisy(method):
    torch.manual_seed(7)
    np.random.seed(7)  # GradientShap draws with both
    return method


# Captum's classes as a user calls them; each gets a module, and gives (N, ...).
CAPTUM = {
    "Saliency": lambda module: captum.Saliency(module).attribute(VALUES, target=1, abs=False),
    "Saliency, a class each": lambda module: captum.Saliency(module).attribute(VALUES, target=[3, 0]),
    "Saliency, A against B": lambda module: captum.Saliency(Difference(module)).attribute(VALUES, abs=False),
    "InputXGradient": lambda module: captum.InputXGradient(module).attribute(VALUES, target=1),
    "IntegratedGradients": lambda module: captum.IntegratedGradients(module).attribute(VALUES, target=1, n_steps=10),
    "NoiseTunnel": lambda module: noisy(captum.NoiseTunnel(captum.Saliency(module))).attribute(VALUES, target=1, nt_samples=4, abs=False),
    "GradientShap": lambda module: noisy(captum.GradientShap(module)).attribute(VALUES, torch.zeros_like(VALUES), target=1, stdevs=0.1),
    "Occlusion": lambda module: captum.Occlusion(module).attribute(VALUES, (3, 4, 4), (3, 2, 2), target=1, perturbations_per_eval=9),
    "LayerGradCam": lambda module: captum.LayerGradCam(module, layer_of(module)).attribute(VALUES, target=1),
}
VERILOG = ("Saliency, a class each", "IntegratedGradients", "LayerGradCam")


@pytest.mark.parametrize("method", CAPTUM)
def test_captums_classes_run_on_the_golden_model(method):
    """As on the float module; the noise of NoiseTunnel is Captum's default, as large as the picture's values."""
    module = HardwareModule(NETWORK)
    made, expected = CAPTUM[method](module).detach(), CAPTUM[method](build_module(NETWORK)).detach()
    assert made.shape == expected.shape and made.dtype == torch.float32 and made.is_contiguous()
    for one, other in zip(made.numpy(), expected.numpy(), strict=True):
        assert pearson(one, other) > 0.9995, method
        assert abs(np.vdot(one, other) / np.vdot(other, other) - 1) < 0.01, "the scale is another"
    assert module.runs > 2 and module.cycles == 0


def test_captums_classes_run_on_the_verilog():
    """Equal to the golden model in every bit, in one simulated core."""
    for method in VERILOG:
        module = HardwareModule(NETWORK, "rtl", preset="small")
        assert torch.equal(CAPTUM[method](module), CAPTUM[method](HardwareModule(NETWORK))), method
        assert module.cycles > 300 * module.runs > 0


@pytest.mark.parametrize("method", ["saliency", "deconvnet", "guided"])
def test_gradients_are_those_of_explain(method):
    """The rules by ``method``; forward and backward apart give what one run gives."""
    results = gradcore.explain(list(PICTURES), NETWORK, method, target=2, backend="golden")
    module = HardwareModule(NETWORK, method=method)
    values = VALUES.clone().requires_grad_()
    logits = module(values)
    (gradient,) = torch.autograd.grad(logits[:, 2].sum(), values)
    for number, result in enumerate(results):
        np.testing.assert_array_equal(logits[number].detach(), result.logits.astype(np.float32))
        np.testing.assert_array_equal(gradient[number], result.attribution)
    assert module.runs == 4
    scaled = torch.autograd.grad(1e-9 * module(values)[:, 2].sum(), values)[0] * 1e9
    assert torch.allclose(scaled, gradient, atol=0.01)
    (nothing,) = torch.autograd.grad(0.0 * module(values)[:, 2].sum(), values)
    assert not nothing.any()


def test_hooks_cut_the_network_in_pieces():
    """What a hook puts in place of a layer's output is what the rest of the core works on."""
    module, reference = HardwareModule(NETWORK), build_module(NETWORK)

    def halve(layer, inputs, output):
        return output * 0.5

    whole = module(VALUES)
    seen = []
    handle = module.layer("conv1").register_forward_hook(lambda layer, inputs, output: seen.append(output))
    assert torch.equal(module(VALUES), whole) and module.runs == 2 + 4
    torch.testing.assert_close(seen[0], reference.conv1_pool(reference.conv1_relu(reference.conv1(VALUES))).detach(), atol=0.01, rtol=0)
    handle.remove()
    for layer in (module.layer("conv1"), reference.conv1_pool):
        layer.register_forward_hook(halve)
    values = VALUES.clone().requires_grad_()
    results = []
    for one in (module, reference):
        logits = one(values)
        results.append((logits.detach(), torch.autograd.grad(logits[:, 3].sum(), values)[0]))
    torch.testing.assert_close(results[0][0], results[1][0], atol=0.02, rtol=0)
    assert pearson(results[0][1].numpy(), results[1][1].numpy()) > 0.9995


def test_saturation_is_met_by_headroom_and_a_smaller_seed():
    """Formats without room: results are right all the same."""
    formats = quantise(NETWORK).quantisation
    narrow = replace(
        formats,
        activations=(formats.activations[0], *(fraction + 3 for fraction in formats.activations[1:])),
        gradients=(*(fraction + 3 for fraction in formats.gradients[:-1]), formats.gradients[-1]),
    )
    module = HardwareModule(replace(NETWORK, metadata={"quantisation": narrow.to_metadata()}))
    expected = CAPTUM["Saliency"](build_module(NETWORK))
    assert pearson(CAPTUM["Saliency"](module).numpy(), expected.numpy()) > 0.999
    assert module.runs > 4
    for number in range(2):
        assert pearson(module(VALUES)[number].numpy(), build_module(NETWORK)(VALUES)[number].detach().numpy()) > 0.9999
    without = HardwareModule(replace(NETWORK, metadata={"quantisation": narrow.to_metadata()}), headroom=0)
    assert pearson(without(VALUES).numpy(), build_module(NETWORK)(VALUES).detach().numpy()) < 0.9999, "the formats are too narrow"


def test_a_graph_runs_as_a_whole():
    from gradcore.network import GraphNetwork

    network = GraphNetwork("tiny", NETWORK.graph, NETWORK.classes, NETWORK.mean, NETWORK.std)
    made, expected = CAPTUM["InputXGradient"](HardwareModule(network)), CAPTUM["InputXGradient"](build_module(NETWORK))
    assert pearson(made.detach().numpy(), expected.detach().numpy()) > 0.9995


def test_what_does_not_fit_is_refused():
    module = HardwareModule(NETWORK)
    for call, words in (
        (lambda: module(VALUES[0]), "takes inputs of N x 3 x 8 x 8, not 3 x 8 x 8"),
        (lambda: module(VALUES * torch.nan), "less noise"),
        (lambda: module.layer("conv9"), "no layer 'conv9': use one of conv1, block.conv2, fc1"),
        (lambda: HardwareModule(NETWORK, "float"), "unknown backend 'float'"),
        (lambda: HardwareModule(NETWORK, method="gradcam"), "unknown method 'gradcam'"),
    ):
        with pytest.raises(GradCoreError, match=words):
            call()
    values = VALUES.clone().requires_grad_()
    with pytest.raises(GradCoreError, match="not finite"):
        torch.autograd.grad(module(values).sum() * torch.inf, values)


def test_gradcore_needs_no_pytorch_until_the_module_is_asked_for():
    program = """
import sys
sys.modules["torch"] = None
import gradcore, gradcore.attribution, gradcore.explanation, gradcore.cli
try:
    import gradcore.torch
except gradcore.GradCoreError as error:
    assert 'pip install "gradcore[torch]"' in str(error)
    print("told")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "told\n", result.stderr
