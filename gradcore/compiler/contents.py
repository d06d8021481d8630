# SPDX-License-Identifier: Apache-2.0
"""What a compiled program holds: memory image, where everything lies, and what each layer became."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.layout import Region, TagRegion
from gradcore.runtime.formats import Formats, OtherFormats
from gradcore.runtime.parts import decode
from gradcore.runtime.program import Runnable, StoredMap


@dataclass
class LayerInfo:
    """What a layer became in one direction.

    Attributes:
        identifier: the ``layer`` field of its descriptors, and index of its completion time stamp.
        name: the layer's name, with ``_backward`` for the backward pass; ``seed`` for the seed.
        direction: ``forward``, ``seed`` or ``backward``. kind: ``conv``, ``fc`` or ``seed``.
        outputs: what it requantises: with a pool the results before it. jobs: TILE, VECTOR or SEED jobs.
        macs_dense: multiplications of the layer, padding taps included.
        tile: output pixels (before pooling) of a full tile. stride: pixels of a pack. sets: passes over the tiles.
        first_descriptor, last_descriptor: its part of the program (WEIGHTS jobs of later layers may lie in between).
    """

    identifier: int
    name: str
    direction: str
    kind: str
    outputs: int = 0
    jobs: int = 0
    macs_dense: int = 0
    tile: tuple[int, int] | None = None
    stride: int = 1
    sets: int = 1
    first_descriptor: int = 0
    last_descriptor: int = 0
    addresses: list[tuple[int, ...]] = field(default_factory=list)


@dataclass
class Contents(Runnable):
    """A compiled network: an ``image`` for memory, and what is where in it.

    Attributes:
        base: address that the program was compiled for; ``at`` gives the program for another.
        image: uint8, what memory must hold from ``base`` on: descriptors and constants. The rest of the memory needs
            no contents.
        memory_size: bytes from ``base`` on that the program uses, image included; the window is [base, base +
            memory_size).
        program_address: address of the first descriptor. descriptors: their number.
        regions: everything in memory by name: ``program``, constants, ``activation_i`` (0 the picture), ``tags_i`` of
            layer i, ``gradient_i`` (0 the attribution, i + 1 of what layer i makes).
        layers: by identifier: forward layers, the seed, backward layers.
        activations, gradients: fraction bits.
        maps, chain, given, places, formats: see ``Runnable``.
    """

    name: str
    hardware: HardwareConfig
    base: int
    image: np.ndarray
    memory_size: int
    program_address: int
    descriptors: int
    regions: dict[str, Region]
    layers: list[LayerInfo]
    classes: list[str]
    seed_value: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    activations: list[int]
    gradients: list[int]
    notes: list[str] = field(default_factory=list)
    given: tuple[str, ...] = ("activation_0",)
    places: dict[str, list[int]] = field(default_factory=dict)
    maps: list[StoredMap] = field(default_factory=list)
    chain: bool = True
    formats: dict[Formats, OtherFormats] = field(default_factory=dict)

    @property
    def forward_layers(self) -> list[LayerInfo]:
        return [layer for layer in self.layers if layer.direction == "forward"]

    @property
    def backward_layers(self) -> list[LayerInfo]:
        """In the order in which they run: the last layer first."""
        return [layer for layer in self.layers if layer.direction == "backward"]

    @property
    def tag_bytes(self) -> int:
        """Memory that the backward pass needs of the forward pass."""
        return sum(region.size for region in self.regions.values() if isinstance(region, TagRegion))

    def jobs(self) -> list[dict[str, int | str]]:
        """Every descriptor, decoded."""
        return [decode(words) for words in self.descriptor_words]
