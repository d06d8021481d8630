# SPDX-License-Identifier: Apache-2.0
"""Quantus's metrics on networks and attributions that the tests have written: quantus_child.py NETWORK.safetensors IN.npz OUT.npz

Run by tests/test_quantus.py in an environment that has Quantus, besides the packages of the tests.
"""

import sys
from pathlib import Path

import numpy as np
import quantus
import torch

from gradcore import load_network
from gradcore.backends.pytorch import build_module, child_names
from gradcore.torch import HardwareModule

np.trapz = np.trapezoid  # NumPy 2.4 has the new name alone, Quantus 0.6 calls the old one


class Shuffled:
    """A layer whose weights become the given ones where Quantus wants random ones."""

    def reset_parameters(self):
        with torch.no_grad():
            self.weight.copy_(self.shuffled.reshape(self.weight.shape))


def with_shuffles(network, arrays):
    """The float module, each of whose layers knows its shuffled weights; nothing else in it can be made random."""
    module = build_module(network)
    for layer, name in zip(network.layers, child_names(network.layers), strict=True):
        child = getattr(module, name.removesuffix("_pool").removesuffix("_relu"))
        child.__class__ = type("Shuffled" + type(child).__name__, (Shuffled, type(child)), {})
        child.shuffled = torch.from_numpy(arrays[f"shuffled.{layer.name}"])
    return module


def saliency(model, inputs, targets, **_):
    """Signed gradients, float64 (N, C, H, W)."""
    values = torch.tensor(np.asarray(inputs), dtype=torch.float32, requires_grad=True)
    scores = model(values)
    (gradient,) = torch.autograd.grad(scores[torch.arange(len(values)), torch.as_tensor(np.asarray(targets))].sum(), values)
    return gradient.numpy().astype(np.float64)


def measured(module, arrays):
    """By metric a number, or a curve, of each picture."""
    inputs, targets, maps = arrays["inputs"], arrays["targets"], arrays["maps"]
    common = {"model": module, "y_batch": targets, "device": "cpu", "channel_first": True, "batch_size": 1}
    quiet = {"disable_warnings": True, "normalise": False}
    pixels = maps.sum(axis=1, keepdims=True)
    features = inputs[0].size // int(arrays["steps"])
    found = {}
    curve = quantus.PixelFlipping(features_in_step=features, perturb_baseline=0.0, abs=False, **quiet)
    found["deletion"] = curve(x_batch=inputs, a_batch=pixels, **common)
    number = iter(range(len(inputs)))

    def put_in(arr, indices, **_):
        changed = arr.copy()
        changed[0, indices[0]] = inputs[put_in.number].reshape(-1)[indices[0]]
        return changed

    insertion = []
    for put_in.number in number:
        one = slice(put_in.number, put_in.number + 1)
        curve = quantus.PixelFlipping(features_in_step=features, perturb_func=put_in, abs=False, **quiet)
        insertion += curve(x_batch=np.zeros_like(inputs[one]), a_batch=pixels[one], **{**common, "y_batch": targets[one]})
    found["insertion"] = insertion
    found["sparseness"] = quantus.Sparseness(abs=True, **quiet)(x_batch=inputs, a_batch=maps.copy(), **common)
    sensitivity = []
    for one in range(len(inputs)):
        noise = iter(arrays["noise"])
        metric = quantus.MaxSensitivity(
            nr_samples=len(arrays["noise"]), abs=False, perturb_func=lambda arr, noise=noise, **_: arr + next(noise).reshape(1, -1), **quiet
        )
        part = slice(one, one + 1)
        given = {**common, "y_batch": targets[part]}
        sensitivity += list(
            metric(x_batch=inputs[part], a_batch=saliency(module, inputs[part], targets[part]), explain_func=saliency, **given)
        )
    found["max_sensitivity"] = sensitivity
    return found


def main():
    network, arrays = load_network(Path(sys.argv[1])), dict(np.load(sys.argv[2]))
    made = {}
    for name, module in (("float", build_module(network).eval()), ("core", HardwareModule(network))):
        made |= {f"{name}.{metric}": np.asarray(values) for metric, values in measured(module, arrays).items()}
    core = HardwareModule(network)
    given = {"x_batch": arrays["inputs"], "y_batch": arrays["targets"], "device": "cpu", "channel_first": True, "batch_size": 1}
    for name, module in (("float", build_module(network).eval()), ("core", core)):
        faithful = quantus.FaithfulnessCorrelation(nr_runs=20, subset_size=24, perturb_baseline=0.0, disable_warnings=True)
        np.random.seed(3)
        made[f"{name}.faithfulness"] = np.asarray(faithful(model=module, a_batch=arrays["maps"], **given))
    assert core.runs > 40, "Quantus has run the core"
    cascade = quantus.MPRT(
        quantus.similarity_func.correlation_spearman, layer_order="top_down", abs=True, normalise=False, disable_warnings=True
    )
    module = with_shuffles(network, arrays)
    scores = cascade(model=module, a_batch=arrays["saliency"], explain_func=saliency, **given)
    made |= {f"cascade.{name}": np.asarray(values) for name, values in scores.items()}
    np.savez(sys.argv[3], **made)


if __name__ == "__main__":
    main()
