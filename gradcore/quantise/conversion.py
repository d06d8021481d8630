# SPDX-License-Identifier: Apache-2.0
"""Quantisation: from a float network to the 16-bit integers that the golden model and the Verilog compute with.

A tensor with ``n`` fraction bits holds raw = real * 2**n. Every tensor has its own n: the weights of each layer, each
activation and each gradient (the latter shared by the three attribution methods, since one program serves them all).
They are chosen on calibration pictures and stored in the network file (metadata ``quantisation``).

Rounding from float is floor(x * 2**n + 0.5) everywhere, then saturation to 16 bits. A picture is quantised by

    raw = saturate(floor((pixel / 255 - mean) / std * 2**n + 0.5)),

computed once in float64 for each of the 256 pixel values and each channel (``picture_table``); golden model, Verilog
and calibration all take their pictures from that table. A gradient is the derivative by this normalised input.

Only NumPy is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models import network as golden
from gradcore.models.numbers import PassFormats
from gradcore.network import Network, beyond_float, check_pictures
from gradcore.pictures.patterns import CALIBRATION_SEED, patterns
from gradcore.quantise import float_numpy, precision

SEED_FRACTION = 14  # 1.0 is 16384
MAX_FRACTION = 30
MAX_SHIFT = 47
MAX_MAGNITUDE = 200  # of a number of fraction bits, either way: more than float32 can hold asks for
# Gradients and logits may become this many times larger than on the calibration pictures. Other activations get no
# margin: a value that saturates now and then costs less agreement with the float network than the bit that prevents it.
MARGIN = 2.0
CALIBRATION_IMAGES = 64
PATTERNS = 3  # of each kind and ink, that calibration adds
_GENERATED = "generated pictures"
_BATCH = 32


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

    def dequantise_logits(self, logits: np.ndarray) -> np.ndarray:
        """Raw logits as float64 real numbers."""
        return np.asarray(logits) * 2.0 ** -self.quantisation.activations[-1]

    def dequantise_attribution(self, attribution: np.ndarray) -> np.ndarray:
        """Raw attribution as float32 real numbers: the derivative of the logit by the normalised input."""
        return (np.asarray(attribution) * 2.0 ** -self.quantisation.gradients[0]).astype(np.float32)


def to_fixed(values: np.ndarray, fraction: int) -> tuple[np.ndarray, int]:
    """Round half up to ``fraction`` bits and saturate to 16 bits: (int64 array, number of values that saturated)."""
    raw, clipped = arithmetic.quantise(values, fraction)
    return raw, int(np.count_nonzero(clipped))


def picture_table(mean: tuple[float, ...], std: tuple[float, ...], fraction: int) -> np.ndarray:
    """int16 (256, C): the quantised value of every pixel value of every channel (formula at the head of the module)."""
    pixel = np.arange(256, dtype=np.float64)[:, None]
    real = (pixel / 255.0 - np.asarray(mean, dtype=np.float64)) / np.asarray(std, dtype=np.float64)
    return to_fixed(real, fraction)[0].astype(np.int16)


def quantise_image(pixels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], fraction: int) -> np.ndarray:
    """int16 (..., H, W, C) from uint8 pixels (..., H, W, C)."""
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise GradCoreError(f"pixels must be uint8, not {pixels.dtype}: convert the picture to 8 bits a channel")
    table = picture_table(mean, std, fraction)
    return table[pixels, np.arange(pixels.shape[-1])]


def fraction_for(largest: float) -> int:
    """The largest number of fraction bits with which +-``largest`` does not saturate, at most MAX_FRACTION."""
    if largest <= 0:
        return SEED_FRACTION
    fraction = min(MAX_FRACTION, 15 - math.frexp(largest)[1] + 1)
    while np.floor(largest * 2.0**fraction + 0.5) > arithmetic.VALUE_MAX:
        fraction -= 1
    return fraction


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
    table = np.abs((np.arange(256)[:, None] / 255.0 - np.asarray(network.mean)) / np.asarray(network.std))
    picture = fraction_for(float(table.max()))
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


def quantise(network: Network, quantisation: Quantisation | None = None) -> QuantisedNetwork:
    """The network in integers.

    Without ``quantisation`` the one stored in the network's file is taken; if there is none, it is calibrated here on
    generated pictures, and a note says so.

    Raises:
        GradCoreError: a number format does not fit (shift or accumulator out of range).
    """
    if quantisation is None and network.metadata.get("quantisation"):
        quantisation = Quantisation.from_metadata(network.metadata["quantisation"], len(network.layers))
    if quantisation is None:
        return _quantise(network, _generated_formats(network), fresh=True)
    try:
        return _quantise(network, quantisation, fresh=False)
    except GradCoreError:
        _quantise(network, _generated_formats(network), fresh=True)  # what no formats can mend is told instead
        raise


def _generated_formats(network: Network) -> Quantisation:
    return calibrate(network, standard_images(network.input_shape), source=_GENERATED)


def _quantise(network: Network, quantisation: Quantisation, fresh: bool) -> QuantisedNetwork:
    """The network in integers with these formats; ``fresh`` says that they have just been chosen for it."""
    notes = []
    if quantisation.source.startswith(_GENERATED):
        notes.append(f"the network file holds no quantisation: number formats were chosen on {_GENERATED}")
    notes += precision.picture_notes(network, quantisation.activations[0])
    if not 0 <= quantisation.gradients[-1] <= SEED_FRACTION:
        raise GradCoreError(
            f"the seed gradient has {quantisation.gradients[-1]} fraction bits, allowed are 0..{SEED_FRACTION}: calibrate the network again"
        )
    layers, saturated = [], {}
    for position, layer in enumerate(network.layers):
        name = f"{layer.name}.weight"
        fraction = quantisation.weights[position]
        weights, clipped = to_fixed(network.weights[name], fraction)
        if clipped:
            saturated[name] = clipped
            notes.append(
                f"{clipped} of {weights.size} weights of {layer.name} saturated: classes and heatmaps may be wrong; calibrate the network "
                "again (gradcore.calibrate)"
            )
        scale = 2.0 ** (quantisation.activations[position] + fraction)
        bias = np.zeros(layer.out_channels, dtype=np.int64)
        if layer.bias:
            real = np.floor(np.asarray(network.weights[f"{layer.name}.bias"], dtype=np.float64) * scale + 0.5)
            if np.abs(real).max(initial=0) >= 2.0**46:
                largest = [float(np.abs(network.weights[f"{layer.name}.{what}"]).max()) for what in ("bias", "weight")]
                raise GradCoreError(
                    f"layer {layer.name}: a bias of {largest[0]:.3g} beside weights of at most {largest[1]:.3g} does not fit the 48-bit "
                    f"accumulator: {_remedy(fresh)}"
                )
            bias = real.astype(np.int64)
        made = QuantisedLayer(
            layer.kind,
            layer.name,
            layer.kernel,
            layer.in_channels,
            layer.out_channels,
            layer.relu,
            layer.pool,
            weights,
            bias,
            fraction,
            quantisation.activations[position],
            quantisation.activations[position + 1],
            quantisation.gradients[position],
            quantisation.gradients[position + 1],
        )
        _check(made, fresh)
        layers.append(made)
    notes += precision.network_notes(network, layers, standard_images(network.input_shape, precision.PICTURES))
    channels, height, width = network.input_shape
    shapes = [(height, width, channels)]
    for shape in network.shapes:
        shapes.append((shape.output[1], shape.output[2], shape.output[0]))
    return QuantisedNetwork(
        network.name,
        tuple(layers),
        tuple(network.input_shape),
        tuple(shapes),
        tuple(network.classes),
        network.mean,
        network.std,
        quantisation,
        saturated,
        tuple(notes),
    )


def saturations(network: QuantisedNetwork, forward: golden.Forward, backwards: Mapping[str, golden.Backward]) -> dict[str, int]:
    """How many outputs saturated in all images of a batch, by layer and pass (and method, backward); zeros left out."""
    passes = {"": None, **backwards}
    counts: dict[str, int] = {}
    for image in range(len(forward.picture)):
        for method, backward in passes.items():
            for layer, direction, number, _ in golden.saturations(network, forward, backward, image):
                if (direction == "forward") == (backward is None):
                    name = f"{layer} {direction}" + (f" ({method})" if method else "")
                    counts[name] = counts.get(name, 0) + number
    return {name: number for name, number in counts.items() if number}


def _remedy(fresh: bool) -> str:
    """What can help where formats do not fit: other formats, unless these have just been chosen."""
    return "train with bounded weights and biases" if fresh else "calibrate the network again (gradcore.calibrate)"


def _check(layer: QuantisedLayer, fresh: bool) -> None:
    """Shifts in 0..47, and no sum that could leave the 48-bit accumulator."""
    for what, shift in (("forward", layer.shift), ("backward", layer.backward_shift)):
        if not 0 <= shift <= MAX_SHIFT:
            raise GradCoreError(f"layer {layer.name}: the {what} pass would shift by {shift}, allowed are 0..{MAX_SHIFT}: {_remedy(fresh)}")
    magnitude = np.abs(layer.weights).reshape(layer.out_channels, -1)
    rounding = arithmetic.rounding_constant(max(layer.shift, layer.backward_shift))
    forward = magnitude.sum(axis=1) * 32768 + np.abs(layer.bias) + rounding
    if layer.kind == "conv":
        backward = np.abs(layer.weights).sum(axis=(0, 2, 3)) * 32768 + rounding
    else:
        backward = magnitude.sum(axis=0) * 32768 + rounding
    if max(int(forward.max()), int(backward.max())) >= 1 << (arithmetic.ACCUMULATOR_BITS - 1):
        raise GradCoreError(f"layer {layer.name}: its sums could overflow the 48-bit accumulator: use fewer inputs or fewer weight bits")
