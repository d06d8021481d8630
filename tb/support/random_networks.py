# SPDX-License-Identifier: Apache-2.0
"""Generated networks and pictures for tests: the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradcore.network import Layer, Network
from gradcore.quantise import Quantisation, QuantisedNetwork, calibrate, quantise, standard_images

CHANNELS = (1, 3, 5, 17, 33, 64)
SIZES = ((1, 1), (7, 7), (28, 28), (33, 17), (96, 96))
KERNELS = (1, 3, 5)
MAX_WEIGHT_ROWS = 1024
KINDS = ("mixed", "conv", "fc")


def random_network(
    seed: int,
    *,
    kind: str | None = None,
    size: tuple[int, int] | None = None,
    max_layers: int = 8,
    max_macs: int = 4_000_000,
) -> Network:
    """A random network.

    Args:
        seed: names the network.
        kind: ``conv`` (convolutions only), ``fc`` (fully connected layers only), ``mixed``; drawn without it.
        size: height and width of the picture; drawn without it.
        max_layers: it has 1 to this many layers.
        max_macs: about the most MACs of a forward pass.
    """
    rng = np.random.default_rng(seed)
    kind = kind or str(rng.choice(KINDS, p=(0.5, 0.3, 0.2)))
    height, width = size or SIZES[int(rng.integers(len(SIZES)))]
    if kind == "fc":
        height, width = min(height, 28), min(width, 28)
    channels = 3 if height >= 96 else int(rng.choice(CHANNELS[:3] if kind == "fc" else CHANNELS))
    shape = (channels, height, width)
    count = int(rng.integers(1, max_layers + 1))
    convolutions = {"conv": count, "fc": 0, "mixed": max(1, count - int(rng.integers(1, 3)))}[kind]
    layers: list[Layer] = []
    budget = max_macs
    for number in range(convolutions):
        fits = [
            (kernel, out)
            for kernel in KERNELS
            for out in CHANNELS
            if kernel**2 * channels <= MAX_WEIGHT_ROWS
            and kernel**2 * out <= MAX_WEIGHT_ROWS
            and height * width * kernel**2 * channels * out <= budget
        ]
        if not fits:
            break
        kernel, out = fits[int(rng.integers(len(fits)))]
        budget -= height * width * kernel**2 * channels * out
        pool = bool(min(height, width) >= 2 and rng.random() < 0.35)
        layers.append(
            Layer(
                "conv",
                f"conv{number + 1}",
                channels,
                out,
                kernel,
                relu=bool(rng.random() < 0.7),
                pool=pool,
                bias=bool(rng.random() < 0.7),
            )
        )
        channels = out
        if pool:
            height, width = height // 2, width // 2
    values = channels * height * width
    for number in range(0 if layers and kind == "conv" else max(1, count - len(layers))):
        most = max(1, min(700, budget // values))
        out = int(rng.integers(1, most + 1)) if rng.random() < 0.5 else min(most, int(rng.choice((1, 10, 16, 33, 128, 520))))
        budget -= values * out
        layers.append(Layer("fc", f"fc{number + 1}", values, out, 1, relu=bool(rng.random() < 0.6), bias=bool(rng.random() < 0.7)))
        values = out
        if budget <= 0:
            break
    return Network.random(layers, shape, name=f"random-{seed}", seed=seed)


def random_quantised(seed: int, *, saturate: bool | None = None, **options) -> tuple[QuantisedNetwork, np.ndarray]:
    """A random network, quantised, and a quantised picture int64 (H, W, C).

    With ``saturate`` (drawn without it: one in four) the formats have so many fraction bits that values saturate. The
    picture is a smooth one, noise over the whole 16-bit range, or mostly zeros.
    """
    network = random_network(seed, **options)
    rng = np.random.default_rng((seed, 1))
    images = standard_images(network.input_shape, 4)
    quantisation = calibrate(network, images, source="generated pictures")
    if saturate or (saturate is None and rng.random() < 0.25):
        quantisation = saturating(quantisation)
    made = quantise(network, quantisation)
    return made, random_picture(made, rng)


def layered_network(shape: tuple[int, int, int], layers: Sequence[str], *, name: str = "network", seed: int = 1) -> Network:
    """A network with random weights from a short notation: input shape (C, H, W) and layers such as ``conv3:16 relu pool bias``
    (kernel, output channels) and ``fc:10 relu``."""
    made: list[Layer] = []
    channels, height, width = shape
    flat = False
    for number, text in enumerate(layers):
        head, *words = text.split()
        kind, out = head.split(":")
        if kind == "fc" and not flat:
            channels, height, width, flat = channels * height * width, 1, 1, True
        kernel = int(kind.removeprefix("conv")) if kind != "fc" else 1
        flags = {flag: flag in words for flag in ("relu", "pool", "bias")}
        made.append(Layer("fc" if kind == "fc" else "conv", f"{kind}_{number}", channels, int(out), kernel, **flags))
        channels = int(out)
        if flags["pool"]:
            height, width = height // 2, width // 2
    return Network.random(made, shape, name=name, seed=seed)


def saturating(quantisation: Quantisation) -> Quantisation:
    """Formats with three more fraction bits for activations and gradients, where the sums have them: values saturate."""
    activations, gradients = [quantisation.activations[0]], [quantisation.gradients[-1]]
    for position, fraction in enumerate(quantisation.weights):
        activations.append(min(quantisation.activations[position + 1] + 3, activations[-1] + fraction))
    for position in reversed(range(len(quantisation.weights))):
        gradients.insert(0, min(quantisation.gradients[position] + 3, gradients[0] + quantisation.weights[position]))
    return replace(quantisation, activations=tuple(activations), gradients=tuple(gradients))


def random_picture(network: QuantisedNetwork, rng: np.random.Generator) -> np.ndarray:
    """A quantised picture int64 (H, W, C) of one of three kinds."""
    channels, height, width = network.input_shape
    choice = rng.integers(3)
    if choice == 0:
        return network.quantise_image(standard_images(network.input_shape, 4)[int(rng.integers(4))]).astype(np.int64)
    picture = rng.integers(-32768, 32768, (height, width, channels))
    if choice == 2:
        picture[rng.random(picture.shape) < 0.9] = 0
    return picture
