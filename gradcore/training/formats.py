# SPDX-License-Identifier: Apache-2.0
"""From a float network to the same function in a form that 16 bits hold best: three steps, and then the number formats.

A ReLU and a max-pool do not mind a positive factor: a channel may be scaled, if the next layer's weights take the factor back.
So each channel is scaled to fill the 16 bits (*equalisation*), where one scale for a whole tensor leaves low channels few bits.
And with pictures that are exact in 16 bits, a first layer with weights on a coarse grid is computed without any rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from gradcore.backends.pytorch import build_module, child_names
from gradcore.network import Network
from gradcore.quantise import calibrate, fraction_for, to_fixed

HEADROOM = 1.125  # how far above its highest value on the pictures seen a channel may go before it saturates
_FULL = 15  # fraction bits of a tensor whose values reach up to 1
_CALIBRATION_PICTURES = 2000
_BATCH = 250


def exact_normalisation(mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest normalisation, by channel, that is exact in 16 bits: (pixel - an integer) / a power of two.

    ``mean`` and ``std`` are of pixel values in 0..1. All channels get the same power of two, so that one grid holds them.
    """
    return np.round(np.asarray(mean) * 255) / 255, np.full(len(std), 2.0 ** np.round(np.log2(np.mean(std) * 255)) / 255)


def renormalise(network: Network, mean: np.ndarray, std: np.ndarray) -> None:
    """Give a network another normalisation, in place: the same function, but for the zeros around a picture."""
    old_mean, old_std = np.asarray(network.mean), np.asarray(network.std)
    weight, bias = (f"{network.layers[0].name}.{what}" for what in ("weight", "bias"))
    kernel = network.weights[weight].astype(np.float64)
    offset = ((np.asarray(mean) - old_mean) / old_std)[None, :, None, None]
    network.weights[bias] = (network.weights[bias] + (kernel * offset).sum((1, 2, 3))).astype(np.float32)
    network.weights[weight] = (kernel * (np.asarray(std) / old_std)[None, :, None, None]).astype(np.float32)
    network.mean, network.std = tuple(map(float, mean)), tuple(map(float, std))


@torch.inference_mode()
def spans(network: Network, images: np.ndarray) -> list[np.ndarray]:
    """For each layer: the highest output, by channel, over uint8 pictures (N, H, W, C); without a ReLU, the largest magnitude."""
    module = build_module(network)
    names = child_names(network.layers)
    highest: list[np.ndarray | float] = [0.0] * len(names)
    for start in range(0, len(images), _BATCH):
        values = torch.from_numpy(network.normalise(images[start : start + _BATCH]))
        for name, part in module.named_children():
            values = part(values)
            if name in names:
                position = names.index(name)
                top = values if network.layers[position].relu else values.abs()
                highest[position] = np.maximum(highest[position], top.amax([0, *range(2, values.ndim)]).numpy())
    return [np.maximum(0, values) for values in highest]


def scale_channels(network: Network, position: int, factors: np.ndarray) -> None:
    """Multiply the output channels of layer ``position``, which has a ReLU, by positive factors, in place: the next layer takes
    them back."""
    layer, following = network.layers[position], network.layers[position + 1]
    assert layer.relu and np.all(factors > 0)
    name, after = f"{layer.name}.weight", f"{following.name}.weight"
    weight = network.weights[name].astype(np.float64)
    network.weights[name] = (weight * factors.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
    if layer.bias:
        network.weights[f"{layer.name}.bias"] = (network.weights[f"{layer.name}.bias"] * factors).astype(np.float32)
    weight = network.weights[after].astype(np.float64)
    entering = np.repeat(factors, weight.shape[1] // len(factors))  # a flattened map has all pixels of a channel side by side
    network.weights[after] = (weight / entering.reshape(1, -1, *[1] * (weight.ndim - 2))).astype(np.float32)


def equalise(network: Network, highest: Sequence[np.ndarray]) -> None:
    """Scale each channel with a ReLU so that ``highest`` times ``HEADROOM`` becomes 1, in place.

    No channel is raised more than 64 times as much as the highest of its layer, so that weights keep their bits.
    """
    for position in range(len(network.layers) - 1):
        values = np.maximum(highest[position] * HEADROOM, 1e-6)
        if network.layers[position].relu:
            scale_channels(network, position, 1 / np.maximum(values, values.max() / 64))


def round_first(network: Network) -> None:
    """Round the first layer's weights and biases, in place, so that its outputs (below 1) need no rounding.

    That takes pictures on a grid of 2**-n (``exact_normalisation``): then weights on a grid of 2**(n - 15) have sums of 15
    fraction bits.
    """
    steps = np.asarray(network.std) * 255
    if not np.allclose(np.log2(steps), np.round(np.log2(steps[0]))) or not np.allclose(np.asarray(network.mean) * 255 % 1 % 1, 0):
        return
    name, grid = network.layers[0].name, 2.0**_FULL / 2.0 ** round(np.log2(steps[0]))
    for what, scale in (("weight", grid), ("bias", 2.0**_FULL)):
        if f"{name}.{what}" in network.weights:
            network.weights[f"{name}.{what}"] = (np.round(network.weights[f"{name}.{what}"] * np.float64(scale)) / scale).astype(np.float32)


def choose_formats(network: Network, images: np.ndarray) -> None:
    """Equalise, choose the number formats that the hardware uses, and round the weights to them, in place.

    Highest values are taken over all ``images`` uint8 (N, H, W, C), gradients' formats over the first of them. With the weights on
    the hardware's grid the float network and the fixed-point one differ in their activations alone. Pictures of higher contrast than
    these saturate, and are run again with headroom (``gradcore.backends.headroom``): formats for both would cost photographs a bit.
    """
    equalise(network, spans(network, images))
    round_first(network)
    few = images[:_CALIBRATION_PICTURES]
    chosen = calibrate(network, few, source=f"{len(images)} training pictures", contrast=0)
    activations = list(chosen.activations)
    for position, layer in enumerate(network.layers[:-1]):
        if layer.relu:
            activations[position + 1] = min(_FULL, activations[position] + chosen.weights[position])
    chosen = replace(chosen, activations=tuple(activations))
    for layer, fraction in zip(network.layers, chosen.weights, strict=True):
        name = f"{layer.name}.weight"
        assert fraction <= fraction_for(float(np.abs(network.weights[name]).max(initial=0)))
        network.weights[name] = (to_fixed(network.weights[name], fraction)[0] * 2.0**-fraction).astype(np.float32)
    network.metadata["quantisation"] = chosen.to_metadata()
