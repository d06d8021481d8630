# SPDX-License-Identifier: Apache-2.0
"""What fixed point costs, in words: weights that saturate or vanish, values that keep few bits, results that saturated.

``network_notes`` tells of a network, ``saturation_notes`` of one picture's run, ``saturation_report`` and ``report_notes`` of many.
Every command takes its notes from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcore.models.quantised import QuantisedLayer, picture_table
from gradcore.network import GraphNetwork, Layer, Network
from gradcore.quantise import float_numpy
from gradcore.runtime.results import LayerSaturation

# A layer is told of when rounding its weights or its outputs makes an error of this share of what varies in them, each channel counted
# by how much of it the next layer takes. The shipped network stays below a fourth of it, random networks below it; from about there on
# attributions fall below 0.99 (docs/fixed_point.md). Logits may be coarser: no gradient depends on their rounding.
TOLERANCE, LOGITS_TOLERANCE = 0.001, 0.02
PICTURES = 8  # generated ones that a network is looked at with,
_MACS = 400_000_000  # fewer if they take more forward MACs than this, but at least one
_CALIBRATE = "calibrate the network on such pictures too (gradcore.calibrate)"
_SPARE_BITS = 4  # by which a stored format may be coarser than the generated pictures ask for


# ---- A network


@dataclass(frozen=True)
class _Sight:
    """What a layer's channels do on some pictures: the variance of its sums (O,), the importance of each channel (O,), summing up to
    1 or all 0, and its largest outputs (O,)."""

    variance: np.ndarray
    importance: np.ndarray
    largest: np.ndarray

    def error(self, variance: np.ndarray | float) -> float:
        """The share that an error of this variance, by channel, is of what varies in the layer."""
        return math.sqrt(float(np.sum(self.importance * np.minimum(1, variance / np.maximum(self.variance, 1e-300)))))


def network_notes(network: Network, layers: Sequence[QuantisedLayer], images: np.ndarray) -> list[str]:
    """What a user should know of the values of a network in its number formats, one sentence each.

    Args:
        network: the float network. layers: the same in integers.
        images: uint8 (N, H, W, C), to see which channels matter.
    """
    notes = []
    images = images[: max(1, _MACS // network.macs)]
    maps = np.ascontiguousarray(network.normalise(images).transpose(0, 2, 3, 1))
    for position, (layer, made) in enumerate(zip(network.layers, layers, strict=True)):
        weight = network.weights[f"{layer.name}.weight"]
        bias = network.weights[f"{layer.name}.bias"] if layer.bias else np.zeros(layer.out_channels, np.float32)
        with np.errstate(all="ignore"):
            sums = float_numpy.linear(layer, weight, maps)
            lost = float_numpy.linear(layer, weight - (made.weights * 2.0**-made.weight_fraction).astype(np.float32), maps)
            output = sums + bias
        if not (np.all(np.isfinite(lost)) and np.all(np.isfinite(output))):
            notes.append(f"the outputs of {layer.name} are beyond float32: nothing is known of the layers from there on")
            break
        sight = _look(network, position, sums, output)
        notes += _weight_notes(layer, weight, made, sight.error(_mean_squares(lost)), sight) or _output_notes(
            layer, bias, made, sight, layer is network.layers[-1]
        )
        maps = float_numpy.activate(layer, output).output
    return notes


def picture_notes(network: Network | GraphNetwork, fraction: int) -> list[str]:
    """Of pixel values that become the same number with ``fraction`` fraction bits."""
    table = picture_table(network.mean, network.std, fraction)
    kept = [len(np.unique(column)) for column in table.T]
    if min(kept) == 256:
        return []
    channel = int(np.argmin(kept))
    return [
        f"a pixel keeps {kept[channel]} of its 256 values in channel {channel}: the mean {network.mean[channel]:.3g} and the standard "
        f"deviation {network.std[channel]:.3g} must be those of pixel values in 0..1; correct them and calibrate the network again"
    ]


def _mean_squares(values: np.ndarray) -> np.ndarray:
    return np.square(values, dtype=np.float64).mean(axis=(0, 1, 2))


def _look(network: Network, position: int, sums: np.ndarray, output: np.ndarray) -> _Sight:
    """What the channels of a layer do, whose sums (N, H, W, O) and outputs (before the ReLU) are given."""
    layer = network.layers[position]
    variance = np.maximum(_mean_squares(sums) - np.square(sums.mean(axis=(0, 1, 2), dtype=np.float64)), 0)
    importance = np.ones(layer.out_channels) * (variance > 0)
    if position + 1 < len(network.layers):
        following = network.weights[f"{network.layers[position + 1].name}.weight"].astype(np.float64)
        squares = np.square(following).sum(axis=0).reshape(layer.out_channels, -1).sum(axis=1)
        on = output.max(axis=(0, 1, 2)) > 0 if layer.relu else True
        importance = variance * squares * on
        if np.any(importance > 0):  # a channel that dwarfs the others does not make them unimportant
            importance = np.minimum(importance, np.median(importance[importance > 0]))
    total = importance.sum()
    return _Sight(variance, importance / total if total > 0 else importance * 0, np.abs(output).max(axis=(0, 1, 2)))


def _weight_notes(layer: Layer, weight: np.ndarray, made: QuantisedLayer, error: float, sight: _Sight) -> list[str]:
    """Of weights that vanish, or keep few bits; nothing if some saturated, which is told elsewhere."""
    size, raw = np.abs(weight.reshape(len(weight), -1)), made.weights.reshape(len(weight), -1)
    given = size > 0
    vanished = given & (raw == 0)
    all_gone = bool(given.any()) and vanished.sum() == given.sum()
    if size.max(initial=0) * 2.0**made.weight_fraction > 32768 or not (error > TOLERANCE or all_gone):
        return []
    typical = float(np.median(size[given]))
    channels = int((vanished.sum(axis=1) == given.sum(axis=1))[given.any(axis=1)].sum())
    whole = f" ({channels} of {len(weight)} output channels altogether)" if channels else ""
    told = f"{vanished.sum()} of {given.sum()} weights of {layer.name} vanish in 16 bits{whole}, the typical one"
    told += f" of {typical:.2g} keeps {_bits(typical * 2.0**made.weight_fraction)}"
    largest = float(size.max())
    if made.weight_fraction >= 30:
        return [f"{told}: they are too small; multiply them, and divide the next layer's"]
    if largest * 2.0**made.weight_fraction < 16384 / 2**_SPARE_BITS:
        return [f"{told}: its number format is too coarse; calibrate the network again (gradcore.calibrate)"]
    channel = int(size.max(axis=1).argmax())
    return [
        f"{told}, because the largest, in channel {channel}, is {largest:.3g}: train with bounded weights, or divide that channel "
        "and multiply the next layer's weights for it"
    ]


def _output_notes(layer: Layer, bias: np.ndarray, made: QuantisedLayer, sight: _Sight, last: bool) -> list[str]:
    """Of outputs that keep few bits."""
    step = 2.0**-made.output_fraction
    if sight.error(step**2 / 12) <= (LOGITS_TOLERANCE if last else TOLERANCE):
        return []
    typical = float(np.sqrt(np.median(sight.variance[sight.importance > 0])))
    told = f"the outputs of {layer.name} keep few bits: the typical one varies by {typical:.2g}, in steps of {step:.2g}"
    channel = int(sight.largest.argmax())
    largest = float(sight.largest[channel])
    if largest / step < 16384 / 2**_SPARE_BITS:
        return [f"{told}: its number format is too coarse; calibrate the network again (gradcore.calibrate)"]
    return [
        f"{told}, because channel {channel} reaches {largest:.3g} (its bias is {float(bias[channel]):.3g}): train with bounded weights "
        "and biases, or divide that channel and multiply the next layer's weights for it"
    ]


def _bits(steps: float) -> str:
    bits = max(0, math.ceil(math.log2(steps + 0.5))) if steps > 0 else 0
    return f"{bits} bit{'' if bits == 1 else 's'}"


# ---- Runs


def saturation_dict(saturation: Sequence[LayerSaturation]) -> dict[str, Any] | None:
    """What JSON says of a run: ``values`` that saturated, and ``layers`` where any did (``layer``, ``pass``, ``values``, ``outputs``);
    None where nothing is counted (``float``)."""
    if not saturation:
        return None
    layers = [{"layer": one.layer, "pass": one.direction, "values": one.values, "outputs": one.outputs} for one in saturation if one.values]
    return {"values": sum(layer["values"] for layer in layers), "layers": layers}


def saturation_notes(
    saturation: Sequence[LayerSaturation], headroom: int = 0, without_headroom: Sequence[LayerSaturation] = ()
) -> list[str]:
    """What a user should know of a picture's run in which values saturated: a sentence, two, or none. See ``backends.Run``."""
    notes = []
    if without_headroom:
        notes.append(
            f"{_places(without_headroom)} in the network's number formats: this is a second run, with {headroom} bits of headroom; to need "
            f"but one, {_CALIBRATE}"
        )
    if any(one.values for one in saturation):
        more = "" if headroom else "give headroom, "
        notes.append(f"{_places(saturation)}: scores and heatmap may be off; {more}compare with the float backend, or {_CALIBRATE}")
    return notes


def _places(saturation: Sequence[LayerSaturation]) -> str:
    told = saturation_dict(saturation)
    where = ", ".join(f"{one['layer']} {one['pass']} {one['values']:,} of {one['outputs']:,}" for one in told["layers"])
    return f"{told['values']:,} {'value' if told['values'] == 1 else 'values'} saturated ({where})"


def saturation_report(pictures: Iterable[Sequence[Sequence[LayerSaturation]]]) -> dict[str, Any] | None:
    """What JSON says of many pictures.

    Args:
        pictures: of each picture the counts of its runs, one for each method.

    Returns:
        ``pictures``: in how many anything saturated; ``which``: their numbers, from 0; ``layers``: where, the most pictures first, each
        with ``layer``, ``pass``, ``pictures`` and ``values`` (of each picture the method with the most). None where nothing is counted.
    """
    which, counts, counted = [], {}, False
    for number, runs in enumerate(pictures):
        most: dict[tuple[str, str], int] = {}
        for one in (one for run in runs for one in run):
            counted = True
            most[one.layer, one.direction] = max(one.values, most.get((one.layer, one.direction), 0))
        if any(most.values()):
            which.append(number)
        for place, values in most.items():
            pictures_before, values_before = counts.get(place, (0, 0))
            counts[place] = pictures_before + (values > 0), values_before + values
    if not counted:
        return None
    layers = [
        {"layer": layer, "pass": direction, "pictures": touched, "values": values}
        for (layer, direction), (touched, values) in counts.items()
        if values
    ]
    return {"pictures": len(which), "which": which, "layers": sorted(layers, key=lambda one: (-one["pictures"], -one["values"]))}


def report_notes(report: dict[str, Any] | None, total: int, again: bool = False) -> list[str]:
    """What a user should know of a ``saturation_report`` of ``total`` pictures, which were or were not run again with headroom: one
    sentence, or none."""
    if not report or not report["pictures"]:
        return []
    where = ", ".join(
        f"{one['values']:,} in {one['layer']} {one['pass']} ({one['pictures']:,} {'picture' if one['pictures'] == 1 else 'pictures'})"
        for one in report["layers"][:3]
    )
    more = f" and {len(report['layers']) - 3} more" if len(report["layers"]) > 3 else ""
    told = f"values saturated in {report['pictures']:,} of {total:,} pictures: {where}{more}"
    if again:
        return [f"{told}; these pictures were run again with headroom"]
    return [f"{told}; there scores and attributions may be off: if that is many, give headroom, or {_CALIBRATE}"]
