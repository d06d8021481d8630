# SPDX-License-Identifier: Apache-2.0
"""A graph in integers: what the golden model takes, and a compiler of graphs.

Every map has one number of fraction bits for its values and one for its gradient: raw = real / unit * 2**n. The *unit* is 1 but for
maps that a clip makes: there it is such that the clip's limit is the largest 16-bit number, so that saturation is the clip and the
mask is 0 < x < 32767. (Maps that hold a clip's results and larger ones have a smaller ``limit``.) Maps that are equalised
(``gradcore.quantise.equalisation``) have a unit for each channel.

All sources of a pass share the fraction F of the pass's accumulator: source s reads a map of fraction f_s, so its weights have
F - f_s fraction bits, each source's rounded from the float weights:

    F = min over the sources of (f_s + the most fraction bits that hold the weights of s in 16 bits)
    raw = saturate((sum of products + bias * 2**F + half) >> (F - fraction of the map that the pass makes))

The backward pass has weights of its own: all readers of a map share the fraction of the accumulator of its gradient in the same way,
each with the gradient fraction of the map that its pass makes. In a chain every map has one reader and every pass one source, and
both passes have the same weights: those of ``gradcore.models.quantised``.

An identity is a weight of 2**k: exact. An average of n places has the weight round(2**m / n), the same in both directions up to m:
exact where n is a power of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models.numbers import Fixed, PassFormats, value_format
from gradcore.models.passes import INPUT, MapShape, Pass, Slice, Source
from gradcore.models.quantised import MAX_MAGNITUDE, QuantisedNetwork, quantise_image
from gradcore.models.windows import Window


@dataclass(frozen=True)
class GraphQuantisation:
    """Fraction bits of every map.

    Attributes:
        activations: of its values, by the map's name.
        gradients: of its gradient.
        source: what they were chosen on, for people.
        units: of the channels of maps that are equalised.
    """

    activations: Mapping[str, int]
    gradients: Mapping[str, int]
    source: str = ""
    units: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_metadata(self) -> dict[str, Any]:
        """What the network file's metadata ``quantisation`` holds."""
        units = {"units": {name: list(one) for name, one in self.units.items()}} if self.units else {}
        return {"activations": dict(self.activations), "gradients": dict(self.gradients), "source": self.source, **units}

    @classmethod
    def from_metadata(cls, data: Mapping[str, Any], maps: Mapping[str, MapShape]) -> GraphQuantisation:
        """Read it back. Raises GradCoreError if it does not describe a network of these maps."""
        try:
            parts = [{str(name): int(bits) for name, bits in dict(data[key]).items()} for key in ("activations", "gradients")]
            units = {str(name): tuple(float(unit) for unit in one) for name, one in dict(data.get("units", {})).items()}
        except (AttributeError, KeyError, TypeError, ValueError):
            parts, units = [{}, {}], {}
        if any(set(part) != set(maps) or max(map(abs, part.values())) > MAX_MAGNITUDE for part in parts):
            raise GradCoreError(f"the network file's quantisation does not fit its {len(maps)} maps: remove it and calibrate again")
        return cls(*parts, source=str(data.get("source", "")), units=units)


@dataclass(frozen=True, eq=False)
class QuantisedSource(Source):
    """A source in integers.

    Attributes:
        weights: int64 in 16-bit range, with ``weight_fraction`` fraction bits.
        backward_weights: of the same shape, with ``backward_weight_fraction``.
    """

    weight_fraction: int
    backward_weights: np.ndarray
    backward_weight_fraction: int


@dataclass(frozen=True, eq=False)
class QuantisedPass(Pass):
    """A pass in integers.

    Attributes:
        sources: ``QuantisedSource``s.
        bias: int64 (O,), at the accumulator's scale.
        limit: raw.
        accumulator_fraction: F.
        fraction: of the map that it makes.
    """

    accumulator_fraction: int
    fraction: int

    @property
    def shift(self) -> int:
        """Right shift of the requantisation."""
        return self.accumulator_fraction - self.fraction

    def formats(self, source: QuantisedSource) -> PassFormats:
        """Of one source: what it reads, its weights, what the pass makes. The accumulator's is the same for all."""
        read = self.accumulator_fraction - source.weight_fraction
        return PassFormats.of_fractions(read, source.weight_fraction, self.fraction)


@dataclass(frozen=True)
class QuantisedMap:
    """A map in integers.

    Attributes:
        shape: (height, width, channels).
        fraction, gradient_fraction: fraction bits of its values and of its gradient.
        gradient_accumulator: fraction bits of the sums that its gradient is rounded from.
        unit: see the head of the module.
        channel_units: of each channel, beside ``unit``; empty where they are 1.
    """

    shape: MapShape
    fraction: int
    gradient_fraction: int
    gradient_accumulator: int
    unit: float = 1.0
    channel_units: tuple[float, ...] = ()

    @property
    def units(self) -> np.ndarray:
        """(C,): what 1 means in each channel: real = raw / 2**fraction * units. Of its gradient it is the output's unit divided by them."""
        return self.unit * np.array(self.channel_units or (1.0,) * self.shape[2])

    @property
    def backward_shift(self) -> int:
        """Right shift of the requantisation of its gradient."""
        return self.gradient_accumulator - self.gradient_fraction


@dataclass(frozen=True)
class QuantisedGraph:
    """A graph in integers.

    Attributes:
        maps: by name.
        passes: in an order in which each reads only what stands there.
        output: the map that is explained.
        classes: one name for each of its values, in the order C, H, W.
        mean, std: of the input's channels, where it is a picture; empty otherwise.
        saturated: number of weights that saturated, by node (only nodes where any did).
        notes: what a user should know, one sentence each.
    """

    name: str
    maps: Mapping[str, QuantisedMap]
    passes: tuple[QuantisedPass, ...]
    output: str
    quantisation: GraphQuantisation
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    saturated: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def input_shape(self) -> MapShape:
        """Channels, height, width."""
        height, width, channels = self.maps[INPUT].shape
        return channels, height, width

    @property
    def seed_value(self) -> int:
        """1.0 at the seed gradient's fraction."""
        return 1 << self.maps[self.output].gradient_fraction

    @property
    def picture_fraction(self) -> int:
        return self.maps[INPUT].fraction

    def makers(self, name: str) -> list[QuantisedPass]:
        """The passes that write channels of a map."""
        return [one for one in self.passes if one.makes.map == name]

    def readers(self, name: str) -> list[tuple[QuantisedPass, QuantisedSource]]:
        """The sources that read channels of a map, each with its pass."""
        return [(one, source) for one in self.passes for source in one.sources if source.reads.map == name]

    def quantise_image(self, pixels: np.ndarray) -> np.ndarray:
        """int16 (..., H, W, C) from uint8 pixels of the network's input size."""
        height, width, channels = self.maps[INPUT].shape
        if np.asarray(pixels).shape[-3:] != (height, width, channels):
            raise GradCoreError(
                f"the network takes pictures of {height} x {width} x {channels}, not {np.asarray(pixels).shape}: resize or convert them"
            )
        return quantise_image(pixels, self.mean, self.std, self.picture_fraction)

    def logits(self, raw: np.ndarray) -> Fixed:
        """Raw logits with their format; of a clip's map in its unit."""
        return Fixed(raw, value_format(self.maps[self.output].fraction))

    def attribution(self, raw: np.ndarray) -> Fixed:
        """A raw attribution with its format."""
        return Fixed(raw, value_format(self.maps[INPUT].gradient_fraction))

    def dequantise_logits(self, logits: np.ndarray) -> np.ndarray:
        """Raw logits as float64 real numbers."""
        return self.logits(logits).real * self.maps[self.output].unit

    def dequantise_attribution(self, attribution: np.ndarray) -> np.ndarray:
        """Raw attribution as float32 real numbers: the derivative of the output by the (normalised) input."""
        return (self.attribution(attribution).real * self.maps[self.output].unit).astype(np.float32)


def graph_of_chain(network: QuantisedNetwork) -> QuantisedGraph:
    """A chain as the graph that it is: pass i is layer i, and makes map i + 1; the integers are the same."""
    names = [INPUT, *(f"output of {layer.name}" for layer in network.layers)]
    values, gradients = network.quantisation.activations, network.quantisation.gradients
    sums = [layer.output_gradient_fraction + layer.weight_fraction for layer in network.layers]
    maps = {name: QuantisedMap(*one) for name, *one in zip(names, network.shapes, values, gradients, [*sums, gradients[-1]], strict=True)}
    passes = []
    for number, layer in enumerate(network.layers):
        height, width, channels = network.shapes[number]
        conv = layer.kind == "conv"
        window = Window((layer.kernel,) * 2, padding=(layer.kernel // 2,) * 4) if conv else Window((height, width))
        weights = layer.weights.reshape(len(layer.weights), channels, *window.kernel)
        reads, makes = (Slice(names[one], 0, network.shapes[one][2]) for one in (number, number + 1))
        bits = layer.weight_fraction
        source = QuantisedSource(layer.kind, layer.name, reads, window, 1, weights, bits, weights, bits)
        size, pool = (height, width) if conv else (1, 1), Window((2, 2), (2, 2)) if layer.pool else None
        fractions = layer.input_fraction + bits, layer.output_fraction
        passes.append(QuantisedPass(layer.name, (layer.name,), (source,), layer.bias, size, layer.relu, None, pool, makes, *fractions))
    quantisation = GraphQuantisation(dict(zip(names, values, strict=True)), dict(zip(names, gradients, strict=True)))
    return QuantisedGraph(
        network.name,
        maps,
        tuple(passes),
        names[-1],
        quantisation,
        network.classes,
        network.mean,
        network.std,
        network.saturated,
        network.notes,
    )
