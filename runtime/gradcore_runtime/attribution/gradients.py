# SPDX-License-Identifier: Apache-2.0
"""Methods that follow gradients: of the input itself, along a path, of noisy inputs, at a layer."""

from __future__ import annotations

import numpy as np

from ..errors import GradCoreError
from .case import Case

SUMS = ("gausslegendre", "riemann_right", "riemann_left", "riemann_middle", "riemann_trapezoid")
NOISE = ("smoothgrad", "smoothgrad_sq", "vargrad")


def gradient(rule: str):
    """The signed gradient with respect to the input, with a rule at the ReLUs (Simonyan et al., 2013; Zeiler and Fergus, 2013;
    Springenberg et al., 2014)."""
    return lambda case: case.backward(rule).gradient


def input_x_gradient(case: Case) -> np.ndarray:
    """Input times gradient (Shrikumar et al., 2016)."""
    return case.inputs * case.backward("saliency").gradient


def integrated_gradients(case: Case) -> np.ndarray:
    """(input - baseline) times the mean gradient on the straight line from the baseline to the input (Sundararajan et al., 2017)."""
    baseline = case.baseline()
    difference = case.inputs - baseline
    sizes, places = steps(case["n_steps"], case["approximation"])
    replies = case.each([baseline + place * difference for place in places], "saliency")
    total = np.zeros_like(difference)
    for size, reply in zip(sizes, replies, strict=True):
        total += size * reply.gradient
    return total * difference if case["multiply_by_inputs"] else total


def steps(count: int, approximation: str) -> tuple[np.ndarray, np.ndarray]:
    """(weights, places in 0..1) of a sum that stands for the integral over 0..1."""
    if approximation == "gausslegendre":
        places, weights = np.polynomial.legendre.leggauss(count)
        return 0.5 * weights, 0.5 * (1 + places)
    if count < 2:
        raise GradCoreError(f"n_steps cannot be {count} with {approximation}: give 2 or more, or the approximation gausslegendre")
    weights = np.full(count, 1 / count)
    ends = {
        "riemann_trapezoid": (0.0, 1.0),
        "riemann_left": (0.0, 1 - 1 / count),
        "riemann_middle": (1 / (2 * count), 1 - 1 / (2 * count)),
        "riemann_right": (1 / count, 1.0),
    }
    if approximation == "riemann_trapezoid":
        weights[[0, -1]] /= 2
    return weights, np.linspace(*ends[approximation], count)


def smoothgrad(case: Case) -> np.ndarray:
    """The mean gradient of noisy inputs (Smilkov et al., 2017); or the mean of their squares, or their variance."""
    noise = np.random.default_rng(case["random_seed"]).normal(0.0, case["stdevs"], (case["nt_samples"], *case.inputs.shape))
    total, squares = np.zeros_like(case.inputs), np.zeros_like(case.inputs)
    for reply in case.each([case.inputs + one for one in noise], "saliency"):
        total += reply.gradient
        squares += reply.gradient**2
    mean, square = total / len(noise), squares / len(noise)
    return {"smoothgrad": mean, "smoothgrad_sq": square, "vargrad": square - mean**2}[case["nt_type"]]


def gradcam(case: Case) -> np.ndarray:
    """Grad-CAM (Selvaraju et al., 2017): (1, h, w) of what a layer stores, the sum of its channels weighted by their mean gradient."""
    heat = _cam(case)
    return np.maximum(heat, 0.0) if case["relu_attributions"] else heat


def guided_gradcam(case: Case) -> np.ndarray:
    """Guided backpropagation times the positive part of Grad-CAM, stretched to the input's size."""
    heat = np.maximum(_cam(case), 0.0)
    return case.backward("guided").gradient * stretched(heat, case.inputs.shape[1:])


def _cam(case: Case) -> np.ndarray:
    layer = case.layer()
    reply = case.backward("saliency", back_to=layer)
    weights = reply.gradient.mean(axis=(1, 2), keepdims=True)
    return (weights * case.forward.activations[layer]).sum(axis=0, keepdims=True)


def stretched(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, H, W) of (C, h, w): each pixel is the nearest one, as PyTorch's ``interpolate`` with the mode ``nearest`` finds it."""
    rows, columns = (np.arange(wanted) * have // wanted for wanted, have in zip(size, heat.shape[1:], strict=True))
    return heat[:, rows[:, None], columns]
