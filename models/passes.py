# SPDX-License-Identifier: Apache-2.0
"""A network as the engine computes it: passes over maps.

A *pass* makes some channels of one map:

    sums = bias + sum over its sources of (weights of the source) * (channels of the map that the source reads)
    map  = pool(relu(round(sums)))

with one rounding, whatever the number of sources; ReLU and pool where it has them. Everything that is linear is a source: a
convolution, a fully connected layer (a convolution whose kernel is the map), an affine map (depthwise, 1 x 1), an average pool
(one weight for all taps), and the identity, by which an addend of a sum, or a map that is to be pooled, comes in. So a residual
block ends in one pass, whose sources are its last convolution and the skip, or the convolution in the skip.

A concat is no pass: its map is written by several passes, each its own channels, and read like any other; a map that is only joined
to others lies in theirs and is read there.

Backward, the gradient of a map is the sum over all sources that read it, rounded once; see ``gradcore.models.graph``.

Maps have the shape (height, width, channels). The structures here are the same in real numbers and in integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gradcore.models.windows import Window

INPUT = "input"  # the name of the input's map
MapShape = tuple[int, int, int]
KINDS = ("conv", "fc", "affine", "average_pool", "identity")


@dataclass(frozen=True)
class Slice:
    """Channels ``start`` to ``stop - 1`` of a map."""

    map: str
    start: int
    stop: int

    @property
    def channels(self) -> slice:
        """For the last axis of an array."""
        return slice(self.start, self.stop)

    @property
    def width(self) -> int:
        """How many channels."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Source:
    """What one map gives to the sums of a pass.

    Attributes:
        kind: one of ``KINDS``.
        node: the node that it computes; for an identity the node that asks for it.
        reads: the channels that it reads.
        window: which places each sum sees.
        groups: of the convolution; as many as channels for affine and identity.
        weights: (O, I / groups, KH, KW); of an average pool (rows, columns): the weight of all taps of each window.
    """

    kind: str
    node: str
    reads: Slice
    window: Window
    groups: int
    weights: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether its weights are powers of two that any number of fraction bits from 0 up holds: an addend, as it is."""
        return self.kind == "identity" and bool(np.all(self.weights == 1))


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass; the formula is at the head of the module.

    Attributes:
        name: the node that says most: the convolution, or the add that it makes.
        nodes: all nodes that it computes, in order.
        sources: what is added up, in the order of the add's inputs.
        bias: (O,).
        size: (rows, columns) of the sums.
        relu: negative results become 0.
        limit: with ``relu``: results above it become this: a clip.
        pool: windows of which the largest result is kept; (2, 2) with that stride is fused with the sums; otherwise the pass has one
            identity source.
        makes: the channels that it writes, of the size after the pool.
    """

    name: str
    nodes: tuple[str, ...]
    sources: tuple[Source, ...]
    bias: np.ndarray
    size: tuple[int, int]
    relu: bool
    limit: float | None
    pool: Window | None
    makes: Slice


@dataclass(frozen=True)
class Passes:
    """A network as passes, in real numbers.

    Attributes:
        maps: the shape of every map, by name: the input's, and each that a pass or several make.
        passes: in an order in which each reads only what stands there.
        output: the map that is explained.
        units: of maps whose numbers count other than ones: a number x of the map means x * unit. Weights and biases are of such numbers.
    """

    maps: Mapping[str, MapShape]
    passes: tuple[Pass, ...]
    output: str
    units: Mapping[str, float] = field(default_factory=dict)

    def unit(self, name: str) -> float:
        """What 1 of this map means."""
        return self.units.get(name, 1.0)

    def makers(self, name: str) -> list[Pass]:
        """The passes that write channels of a map."""
        return [one for one in self.passes if one.makes.map == name]

    @property
    def clips(self) -> set[str]:
        """The maps that clips alone make: their format is the clip."""
        return {name for name in self.maps if (made := self.makers(name)) and all(one.limit is not None for one in made)}

    def readers(self, name: str) -> list[tuple[Pass, Source]]:
        """The sources that read channels of a map, each with its pass."""
        return [(one, source) for one in self.passes for source in one.sources if source.reads.map == name]
