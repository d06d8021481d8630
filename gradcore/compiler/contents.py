# SPDX-License-Identifier: Apache-2.0
"""What a compiled program holds: memory image, where everything lies, and what each layer became."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

import numpy as np

from gradcore.compiler import descriptors
from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.layout import MapRegion, Region, TagRegion, round_up
from gradcore.errors import GradCoreError

PAGE = 4096


def check_base(base: int, size: int = 0) -> int:
    """``base`` as an int, when a program of ``size`` bytes can lie there.

    Raises:
        GradCoreError: it is no multiple of 4096, or the end of the program's last page is not an address of 32 bits (which
            the core's WINDOW_LIMIT must hold).
    """
    try:
        base = operator.index(base)
    except TypeError:
        raise GradCoreError(f"the base address {base!r} is not a whole number: give one such as 0x10000000") from None
    if base % PAGE or not 0 <= base < 1 << 32:
        raise GradCoreError(f"the base address {base:#x} is not a multiple of {PAGE} in 32 bits: choose another")
    most = (1 << 32) - PAGE - round_up(size, PAGE)
    if base > most:
        remedy = f"choose a base of at most {most:#x}" if most >= 0 else "use smaller pictures or layers"
        raise GradCoreError(f"{size / 2**20:.1f} MiB of memory from {base:#x} on exceed 32 bits of address: {remedy}")
    return base


@dataclass
class LayerInfo:
    """What a layer became in one direction.

    Attributes:
        identifier: the ``layer`` field of its descriptors, and index of its completion time stamp.
        name: the layer's name, with ``_backward`` for the backward pass; ``seed`` for the seed.
        direction: ``forward``, ``seed`` or ``backward``. kind: ``conv``, ``fc`` or ``seed``.
        jobs: TILE, VECTOR or SEED jobs.
        macs_dense: multiplications of the layer, padding taps included.
        tile: output pixels (before pooling) of a full tile. stride: pixels of a pack. sets: passes over the tiles.
        first_descriptor, last_descriptor: its part of the program (WEIGHTS jobs of later layers may lie in between).
    """

    identifier: int
    name: str
    direction: str
    kind: str
    jobs: int = 0
    macs_dense: int = 0
    tile: tuple[int, int] | None = None
    stride: int = 1
    sets: int = 1
    first_descriptor: int = 0
    last_descriptor: int = 0
    addresses: list[tuple[int, ...]] = field(default_factory=list)


@dataclass
class Contents:
    """A compiled network: an ``image`` for memory, and what is where in it.

    Attributes:
        base: address that the program was compiled for; ``at`` gives the program for another.
        image: uint8, what memory must hold from ``base`` on: descriptors and constants. The rest of the memory needs
            no contents.
        memory_size: bytes from ``base`` on that the program uses, image included; the window is [base, base +
            memory_size).
        program_address: address of the first descriptor. descriptors: their number.
        regions: everything in memory by name: ``program``, constants, ``activation_i`` (0 the picture), ``tags_i`` of
            layer i, ``gradient_i`` (0 the attribution).
        layers: by identifier: forward layers, the seed, backward layers.
        activations, gradients: fraction bits.
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

    @property
    def window(self) -> tuple[int, int]:
        """(base, limit) for the core's window registers; whole pages."""
        return self.base, self.base + round_up(self.memory_size, PAGE)

    @property
    def count(self) -> int:
        """Number of layers of the network."""
        return len(self.activations) - 1

    @property
    def picture(self) -> MapRegion:
        return self.regions["activation_0"]

    @property
    def logits(self) -> MapRegion:
        return self.regions[f"activation_{self.count}"]

    @property
    def seed(self) -> MapRegion:
        return self.regions[f"gradient_{self.count}"]

    @property
    def attribution(self) -> MapRegion:
        return self.regions["gradient_0"]

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

    @property
    def descriptor_words(self) -> np.ndarray:
        """uint32 (descriptors, 32)."""
        start = self.program_address - self.base
        return self.image[start : start + descriptors.BYTES * self.descriptors].view("<u4").reshape(-1, descriptors.WORDS)

    def jobs(self) -> list[dict[str, int | str]]:
        """Every descriptor, decoded."""
        return [descriptors.decode(words) for words in self.descriptor_words]
