# SPDX-License-Identifier: Apache-2.0
"""Quantisation: from a float network to the 16-bit integers that the golden model and the Verilog compute with.

``gradcore.models.quantised`` says what they are. Number formats are chosen on calibration pictures (``calibrate``) and stored in the
network file (metadata ``quantisation``). Rounding from float is floor(x * 2**n + 0.5) everywhere, then saturation to 16 bits.

Only NumPy is needed.
"""

from __future__ import annotations

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models.quantised import Quantisation, QuantisedLayer, QuantisedNetwork
from gradcore.network import Network
from gradcore.quantise import precision
from gradcore.quantise.calibration import SEED_FRACTION, calibrate, standard_images

MAX_SHIFT = 47
GENERATED = "generated pictures"


def to_fixed(values: np.ndarray, fraction: int) -> tuple[np.ndarray, int]:
    """Round half up to ``fraction`` bits and saturate to 16 bits: (int64 array, number of values that saturated)."""
    raw, clipped = arithmetic.quantise(values, fraction)
    return raw, int(np.count_nonzero(clipped))


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
    return calibrate(network, standard_images(network.input_shape), source=GENERATED)


def _quantise(network: Network, quantisation: Quantisation, fresh: bool) -> QuantisedNetwork:
    """The network in integers with these formats; ``fresh`` says that they have just been chosen for it."""
    notes = []
    if quantisation.source.startswith(GENERATED):
        notes.append(f"the network file holds no quantisation: number formats were chosen on {GENERATED}")
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
