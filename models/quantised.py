# SPDX-License-Identifier: Apache-2.0
"""A network in integers: what the golden model and the compiler take.

A tensor with ``n`` fraction bits holds raw = real * 2**n. Every tensor has its own n: the weights of each layer, each
activation and each gradient (the latter shared by the three attribution methods, since one program serves them all).
A picture is quantised by

    raw = saturate(floor((pixel / 255 - mean) / std * 2**n + 0.5)),

computed once in float64 for each of the 256 pixel values and each channel (``picture_table``); golden model, Verilog
and calibration all take their pictures from that table. A gradient is the derivative by this normalised input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models.numbers import Fixed, PassFormats, value_format

MAX_MAGNITUDE = 200  # of a number of fraction bits, either way: more than float32 can hold asks for


@dataclass(frozen=True)
class Quantisation:
    """Fraction bits of every tensor.

    Attributes:
        weights: one for each layer.
        activations: activation 0 is the picture, activation i + 1 the output of layer i.
        gradients: likewise; the last is the seed's.
        source: what they were chosen on, for people.
    """

    weights: tuple[int, ...]
    activations: tuple[int, ...]
    gradients: tuple[int, ...]
    source: str = ""

    def to_metadata(self) -> dict[str, Any]:
        """What the network file's metadata ``quantisation`` holds."""
        return {
            "weights": list(self.weights),
            "activations": list(self.activations),
            "gradients": list(self.gradients),
            "source": self.source,
        }

    @classmethod
    def from_metadata(cls, data: Mapping[str, Any], layers: int) -> Quantisation:
        """Read it back. Raises GradCoreError if it does not describe a network of ``layers`` layers."""
        try:
            fractions = [tuple(int(value) for value in data[key]) for key in ("weights", "activations", "gradients")]
        except (KeyError, TypeError, ValueError):
            fractions = [(), (), ()]
        if [len(part) for part in fractions] != [layers, layers + 1, layers + 1] or max(map(abs, sum(fractions, ()))) > MAX_MAGNITUDE:
            raise GradCoreError(f"the network file's quantisation does not fit its {layers} layers: remove it and calibrate again")
        return cls(*fractions, source=str(data.get("source", "")))


@dataclass(frozen=True)
class QuantisedLayer:
    """One layer in integers.

    Attributes:
        kind, name, kernel, relu, pool: as in ``gradcore.network.Layer``.
        in_channels, out_channels: as there; of the first fully connected layer in_channels counts the flattened values.
        weights: int64 (O, I, K, K) or (O, I) in 16-bit range; I in C, H, W order for a fully connected layer after a
            map.
        bias: int64 (O,), at the accumulator's scale, 2**-(input fraction + weight fraction); zeros without bias.
        weight_fraction, input_fraction, output_fraction: fraction bits.
        input_gradient_fraction, output_gradient_fraction: fraction bits of the gradients of input and output.
    """

    kind: str
    name: str
    kernel: int
    in_channels: int
    out_channels: int
    relu: bool
    pool: bool
    weights: np.ndarray
    bias: np.ndarray
    weight_fraction: int
    input_fraction: int
    output_fraction: int
    input_gradient_fraction: int
    output_gradient_fraction: int

    @property
    def formats(self) -> PassFormats:
        """Of the forward pass: input, weights, output."""
        return PassFormats.of_fractions(self.input_fraction, self.weight_fraction, self.output_fraction)

    @property
    def backward_formats(self) -> PassFormats:
        """Of the backward pass: the output's gradient, weights, the input's gradient."""
        return PassFormats.of_fractions(self.output_gradient_fraction, self.weight_fraction, self.input_gradient_fraction)

    @property
    def shift(self) -> int:
        """Right shift of the forward pass's requantisation."""
        return self.formats.shift

    @property
    def backward_shift(self) -> int:
        """Right shift of the backward pass's requantisation."""
        return self.backward_formats.shift


@dataclass(frozen=True)
class QuantisedNetwork:
    """A network in integers: what golden model and compiler take.

    Attributes:
        input_shape: channels, height, width.
        shapes: (H, W, C) of every activation: shapes[0] the picture's, shapes[i + 1] the output of layer i.
        saturated: number of weights that saturated, by tensor name (only tensors where any did).
        notes: what a user should know, one sentence each.
    """

    name: str
    layers: tuple[QuantisedLayer, ...]
    input_shape: tuple[int, int, int]
    shapes: tuple[tuple[int, int, int], ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quantisation: Quantisation
    saturated: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def seed_value(self) -> int:
        """1.0 at the seed gradient's fraction."""
        return 1 << self.quantisation.gradients[-1]

    @property
    def picture_fraction(self) -> int:
        return self.quantisation.activations[0]

    def quantise_image(self, pixels: np.ndarray) -> np.ndarray:
        """int16 (..., H, W, C) from uint8 pixels of the network's input size."""
        channels, height, width = self.input_shape
        if np.asarray(pixels).shape[-3:] != (height, width, channels):
            raise GradCoreError(
                f"the network takes pictures of {height} x {width} x {channels}, not {np.asarray(pixels).shape}: resize or convert them"
            )
        return quantise_image(pixels, self.mean, self.std, self.picture_fraction)

    def logits(self, raw: np.ndarray) -> Fixed:
        """Raw logits with their format."""
        return Fixed(raw, value_format(self.quantisation.activations[-1]))

    def attribution(self, raw: np.ndarray) -> Fixed:
        """A raw attribution with its format."""
        return Fixed(raw, value_format(self.quantisation.gradients[0]))

    def dequantise_logits(self, logits: np.ndarray) -> np.ndarray:
        """Raw logits as float64 real numbers."""
        return self.logits(logits).real

    def dequantise_attribution(self, attribution: np.ndarray) -> np.ndarray:
        """Raw attribution as float32 real numbers: the derivative of the logit by the normalised input."""
        return self.attribution(attribution).real.astype(np.float32)


def picture_table(mean: tuple[float, ...], std: tuple[float, ...], fraction: int) -> np.ndarray:
    """int16 (256, C): the quantised value of every pixel value of every channel (formula at the head of the module)."""
    pixel = np.arange(256, dtype=np.float64)[:, None]
    real = (pixel / 255.0 - np.asarray(mean, dtype=np.float64)) / np.asarray(std, dtype=np.float64)
    return arithmetic.quantise(real, fraction)[0].astype(np.int16)


def quantise_image(pixels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], fraction: int) -> np.ndarray:
    """int16 (..., H, W, C) from uint8 pixels (..., H, W, C)."""
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise GradCoreError(f"pixels must be uint8, not {pixels.dtype}: convert the picture to 8 bits a channel")
    table = picture_table(mean, std, fraction)
    return table[pixels, np.arange(pixels.shape[-1])]
