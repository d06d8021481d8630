# SPDX-License-Identifier: Apache-2.0
"""Calibration: which number formats a network's tensors get, chosen by what they hold on pictures."""

from __future__ import annotations

import math

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models.quantised import Quantisation, quantise_image
from gradcore.network import GraphNetwork, Network, beyond_float, check_pictures
from gradcore.pictures.patterns import CALIBRATION_SEED, patterns
from gradcore.quantise import float_numpy

SEED_FRACTION = 14  # 1.0 is 16384
MAX_FRACTION = 30
# Gradients and logits may become this many times larger than on the calibration pictures. Other activations get no
# margin: a value that saturates now and then costs less agreement with the float network than the bit that prevents it.
MARGIN = 2.0
CALIBRATION_IMAGES = 64
PATTERNS = 3  # of each kind and ink, that calibration adds
_BATCH = 32


def fraction_for(largest: float) -> int:
    """The largest number of fraction bits with which +-``largest`` does not saturate, at most MAX_FRACTION."""
    if largest <= 0:
        return SEED_FRACTION
    fraction = min(MAX_FRACTION, 15 - math.frexp(largest)[1] + 1)
    while np.floor(largest * 2.0**fraction + 0.5) > arithmetic.VALUE_MAX:
        fraction -= 1
    return fraction


def picture_fraction(network: Network | GraphNetwork) -> int:
    """The most fraction bits with which no pixel's normalised value saturates."""
    table = np.abs((np.arange(256)[:, None] / 255.0 - np.asarray(network.mean)) / np.asarray(network.std))
    return fraction_for(float(table.max()))


def standard_images(input_shape: tuple[int, int, int], count: int = CALIBRATION_IMAGES) -> np.ndarray:
    """Generated pictures, uint8 (N, H, W, C): smooth random shapes of all contrasts, with some noise. Always the same
    ones."""
    channels, height, width = input_shape
    rng = np.random.default_rng(20)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    images = np.empty((count, height, width, channels))
    for image in images:
        waves = rng.uniform(-1, 1, (5, channels)) / np.arange(1, 6)[:, None]
        angles, phases, frequencies = rng.uniform(0, 2 * np.pi, (3, 5))
        image[...] = rng.uniform(0.2, 0.8)
        for wave in range(5):
            direction = np.cos(angles[wave]) * rows + np.sin(angles[wave]) * columns
            image += 0.35 * np.sin(8 * frequencies[wave] * direction + phases[wave])[..., None] * waves[wave]
        image += rng.normal(0, rng.uniform(0, 0.08), image.shape)
    return np.clip(np.round(images * 255), 0, 255).astype(np.uint8)


def calibrate(network: Network, images: np.ndarray, *, source: str = "", contrast: int = PATTERNS) -> Quantisation:
    """Choose the fraction bits of every tensor.

    Args:
        network: the float network.
        images: uint8 (N, H, W, C): calibration pictures; some tens are enough.
        source: what the pictures are, kept for people.
        contrast: so many pictures of each kind and ink of ``gradcore.pictures.patterns`` are looked at, too, so that print, line art
            and patterns do not saturate; 0 for a network that will see none, whose formats then may be finer.

    Raises:
        GradCoreError: the pictures are not what the network takes; see ``gradcore.network.check_pictures``.

    Weights get the most bits that do not saturate. Activations and gradients are measured in float on all pictures
    (gradients with all three methods, from the arg-max); gradients and logits keep a margin of one bit. No tensor gets
    more fraction bits than the sums that it is made of have.
    """
    if hasattr(images, "__len__") and not len(images):
        raise GradCoreError("calibration needs pictures, uint8 N x H x W x C, and there are none: give at least one")
    images = check_pictures(images, network.input_shape)
    images = np.concatenate([images, *patterns(network.input_shape, contrast, seed=CALIBRATION_SEED).values()])
    layers = network.layers
    picture = picture_fraction(network)
    weight_fractions = [fraction_for(float(np.abs(network.weights[f"{layer.name}.weight"]).max(initial=0))) for layer in layers]
    activation_max, gradient_max = np.zeros(len(layers) + 1), np.zeros(len(layers) + 1)
    for start in range(0, len(images), _BATCH):
        maps = quantise_image(images[start : start + _BATCH], network.mean, network.std, picture) * np.float32(2.0**-picture)
        traces = float_numpy.forward(network, maps.astype(np.float32))
        activation_max = np.maximum(activation_max, [0.0, *(np.abs(trace.full).max() for trace in traces)])
        for method in arithmetic.METHODS:
            gradients = float_numpy.backward(network, maps.shape, traces, method)
            gradient_max = np.maximum(gradient_max, [np.abs(gradient).max() for gradient in gradients])
    if MARGIN * gradient_max[0] > np.finfo(np.float32).max:
        raise beyond_float(network, 0, "gradients")
    activations = [picture]
    for position in range(len(layers)):
        margin = MARGIN if position == len(layers) - 1 else 1.0
        wanted = fraction_for(margin * float(activation_max[position + 1]))
        activations.append(min(wanted, activations[-1] + weight_fractions[position]))
    gradients_fractions = [SEED_FRACTION]
    for position in reversed(range(len(layers))):
        wanted = fraction_for(MARGIN * float(gradient_max[position]))
        gradients_fractions.insert(0, min(wanted, gradients_fractions[0] + weight_fractions[position]))
    return Quantisation(tuple(weight_fractions), tuple(activations), tuple(gradients_fractions), source)
