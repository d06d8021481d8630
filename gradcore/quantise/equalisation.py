# SPDX-License-Identifier: Apache-2.0
"""Equalisation: each channel of a map counts in a unit of its own, such that all take about the same part of 16 bits.

What a ReLU network computes does not change when a channel is multiplied by a positive factor where it is made and divided by it where it
is read (Nagel and others, "Data-free quantization through weight equalization and bias correction", arXiv:1906.04721). A map has one
format for all its channels, so a channel that stays far below the largest one keeps few bits; depthwise networks have channels of very
unlike ranges. The factor goes into the weights, which are rounded from float anyway: passes stay what they are, and so does what a user
sees, for values are multiplied by their units, and gradients divided.

A factor raises a channel at most until its largest value is that of the map, and its largest weight that of the tensor: so none takes
bits from another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models.passes import INPUT, Pass, Passes, Source

Units = Mapping[str, tuple[float, ...]]
"""What 1 means in each channel, by map; of a map that is not there it is as without equalisation."""

SCALABLE = ("conv", "fc", "affine")  # sources whose weights take a factor of each channel
_MOST = 2.0**8  # times that a channel is raised: more would leave its gradient no bits


def equalise(passes: Passes, values: Mapping[str, np.ndarray], margin: float) -> dict[str, tuple[float, ...]]:
    """Units of the channels of all maps that convolutions, fully connected layers and affine maps alone make and read, without a clip;
    not of the input and the output.

    Args:
        values: the largest magnitude of each channel (C,), by map.
        margin: so many times the largest value of a map its format shall hold, and no more.
    """
    units: dict[str, np.ndarray] = {}
    for one in passes.passes:
        name = one.makes.map
        if not _is_free(passes, name):
            continue
        largest = values[name].max(initial=0.0)
        room = np.full(one.makes.width, _MOST)
        for source in one.sources:
            rows = np.abs(_inputs_in_units(source, units.get(source.reads.map))).max(axis=(1, 2, 3))
            room = np.minimum(room, _ratio(rows.max(), rows))
        room = np.minimum(room, _ratio(largest, values[name][one.makes.channels]))
        units.setdefault(name, np.ones(passes.maps[name][2]))[one.makes.channels] = _filling(margin * largest) / room
    return {name: tuple(one.tolist()) for name, one in units.items()}


def in_units(passes: Passes, units: Units) -> Passes:
    """Passes whose maps count in these units, beside those that they have.

    Raises:
        GradCoreError: units of a map that can have none, or not one for each channel.
    """
    if not units:
        return passes
    for name, one in units.items():
        if name not in passes.maps or not _is_free(passes, name) or len(one) != passes.maps[name][2] or not min(one) > 0:
            raise GradCoreError(f"the network file's quantisation has units that do not fit map {name}: remove it and calibrate again")
    arrays = {name: np.array(one) for name, one in units.items()}
    return replace(passes, passes=tuple(_pass(one, arrays) for one in passes.passes))


def _pass(one: Pass, units: Mapping[str, np.ndarray]) -> Pass:
    sources = [replace(source, weights=_inputs_in_units(source, units.get(source.reads.map))) for source in one.sources]
    if one.makes.map not in units:
        return replace(one, sources=tuple(sources))
    own = units[one.makes.map][one.makes.channels]
    sources = [replace(source, weights=source.weights / own[:, None, None, None]) for source in sources]
    return replace(one, sources=tuple(sources), bias=one.bias / own)


def _inputs_in_units(source: Source, units: np.ndarray | None) -> np.ndarray:
    """The weights of a source for a map whose channels have these units."""
    if units is None:
        return source.weights
    outputs, inputs = source.weights.shape[:2]
    group = np.arange(outputs) // (outputs // source.groups)
    read = units[source.reads.channels][group[:, None] * inputs + np.arange(inputs)]
    return source.weights * read[:, :, None, None]


def _is_free(passes: Passes, name: str) -> bool:
    makers, readers = passes.makers(name), [source for _, source in passes.readers(name)]
    linear = all(source.kind in SCALABLE for source in (*readers, *(source for one in makers for source in one.sources)))
    return linear and name not in (INPUT, passes.output) and all(one.limit is None for one in makers)


def _filling(largest: float) -> float:
    """The unit in which ``largest`` is a power of two: above 1/2 and at most 1."""
    return 1.0 if largest <= 0 else largest / 2.0 ** np.ceil(np.log2(largest))


def _ratio(largest: float, each: np.ndarray) -> np.ndarray:
    """By how much each may grow: to the largest, and at most ``_MOST`` times."""
    return largest / np.maximum(each, largest / _MOST) if largest > 0 else np.full_like(each, _MOST)
