# SPDX-License-Identifier: Apache-2.0
"""A compiled program as the core's software sees it: what memory must hold, and where results lie.

``Program`` reads the file that the compiler writes. ``Runnable`` is what it has in common with the compiler's own class.
"""

from __future__ import annotations

import json
import operator
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import hardware
from .errors import GradCoreError
from .regions import PAGE, MapRegion, round_up

FORMAT = "gradcore-program 1"


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


def relocate(words: np.ndarray, distance: int) -> np.ndarray:
    """A copy of descriptors, uint32 (count, 32), in which every address is ``distance`` bytes higher.

    Addresses that are not used (0) stay 0. Checksums follow; a wrong one stays wrong.
    """
    moved = words.copy()
    for name, opcode in hardware.OPCODES.items():
        rows = np.flatnonzero(words[:, 0] & 15 == opcode)
        for word in (word for field, (word, _, _) in hardware.descriptor_fields(name).items() if field in hardware.DESCRIPTOR_LOCATIONS):
            old = words[rows, word]
            new = np.where(old == 0, 0, (old.astype(np.int64) + distance) % (1 << 32)).astype(np.uint32)
            moved[rows, word] = new
            moved[rows, 1] ^= old ^ new
    return moved


class Runnable:
    """What a compiled program is for those who run it. A subclass is a dataclass that has these

    Attributes:
        name, classes: of the network.
        hardware: the sizes that it was compiled for: ``groups``, ``lanes``, ``tile_depth`` and so on.
        base: address that it is for; ``at`` gives the program for another.
        image: uint8, what memory must hold from ``base`` on: descriptors and constants. The rest needs no contents.
        memory_size: bytes from ``base`` on that the program uses, image included.
        program_address: address of the first descriptor. descriptors: their number.
        regions: where things lie, by name: ``activation_i`` (0 the picture), ``gradient_i`` (0 the attribution).
        layers: by identifier, each with ``identifier``, ``name`` and ``direction``: forward layers, the seed, backward layers.
        activations, gradients: fraction bits.

    and ``quantise_image``, int16 (H, W, C) from uint8 pixels.
    """

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
        return self.regions[f"gradient_{len(self.gradients) - 1}"]

    @property
    def attribution(self) -> MapRegion:
        return self.regions["gradient_0"]

    @property
    def descriptor_words(self) -> np.ndarray:
        """uint32 (descriptors, 32)."""
        start = self.program_address - self.base
        end = start + hardware.DESCRIPTOR_BYTES * self.descriptors
        return self.image[start:end].view("<u4").reshape(-1, hardware.DESCRIPTOR_WORDS)

    def picture_values(self, picture: np.ndarray) -> np.ndarray:
        """int (H, W, C) of a picture: one that is quantised stays as it is, uint8 pixels are quantised.

        Raises:
            GradCoreError: its shape or its type is another than the program's.
        """
        picture = np.asarray(picture)
        if picture.dtype == np.uint8:
            picture = self.quantise_image(picture)
        if picture.shape != (self.picture.height, self.picture.width, self.picture.channels):
            raise GradCoreError(
                f"the program takes a picture of {self.picture.height} x {self.picture.width} x {self.picture.channels}, not "
                f"{picture.shape}: resize or convert it"
            )
        if not np.issubdtype(picture.dtype, np.integer):
            raise GradCoreError(f"a picture is uint8 pixels or quantised integers, not {picture.dtype}: convert it")
        return picture

    def in_class_order(self, logits: np.ndarray) -> np.ndarray:
        """(classes,) of a map (H, W, C) of logits: C, H, W, as PyTorch flattens it."""
        return np.transpose(logits, (2, 0, 1)).reshape(-1)

    def class_of(self, memory_index: int) -> int:
        """The class from the core's CLASS_INDEX (index in memory, H, W, C with padding). Of several equal maxima the core
        takes the first in memory; in a map of several pixels that need not be the first class."""
        return self.logits.value_index(memory_index)

    def seed_index(self, target: int) -> int:
        """What the SEED_INDEX register must hold for a class."""
        return self.logits.memory_index(target)

    def dequantise_logits(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits) * 2.0 ** -self.activations[-1]

    def dequantise_attribution(self, attribution: np.ndarray) -> np.ndarray:
        return (np.asarray(attribution) * 2.0 ** -self.gradients[0]).astype(np.float32)

    def at(self, base: int) -> Runnable:
        """This program for another base address: equal in every bit to compiling the network for that address.

        Args:
            base: address that the memory image is to start at, a multiple of 4096: on a board with Linux, the physical
                address of the memory that was allocated for it, ``memory_size`` bytes in whole pages.

        Returns:
            A new program; this one stays as it is.

        Raises:
            GradCoreError: the address is no multiple of 4096, or the program does not fit between it and the end of the
                32-bit addresses.
        """
        base = check_base(base, self.memory_size)
        distance = base - self.base
        image, start = self.image.copy(), self.program_address - self.base
        words = relocate(self.descriptor_words, distance)
        image[start : start + words.nbytes] = words.reshape(-1).view(np.uint8)
        regions = {name: replace(one, address=one.address + distance) for name, one in self.regions.items()}
        return replace(self, base=base, image=image, program_address=self.program_address + distance, regions=regions)


@dataclass
class Program(Runnable):
    """A compiled network, read from the compiler's file: see ``Runnable``.

    Attributes:
        pixel_values: int16 (256, C): the quantised value of every pixel value of every channel.
    """

    name: str
    hardware: SimpleNamespace
    base: int
    image: np.ndarray
    memory_size: int
    program_address: int
    descriptors: int
    regions: dict[str, MapRegion]
    layers: list[SimpleNamespace]
    classes: list[str]
    activations: list[int]
    gradients: list[int]
    pixel_values: np.ndarray

    def quantise_image(self, pixels: np.ndarray) -> np.ndarray:
        """int16 (H, W, C) from uint8 pixels."""
        pixels = np.asarray(pixels)
        if pixels.ndim != 3 or pixels.shape[2] != self.pixel_values.shape[1]:
            return np.zeros(pixels.shape, np.int16)  # its shape is refused by who asked
        return self.pixel_values[pixels, np.arange(pixels.shape[2])]

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read a program. Raises GradCoreError when there is none."""
        try:
            with np.load(Path(path), allow_pickle=False) as data:
                metadata, image, pixels = json.loads(data["metadata"].tobytes()), data["image"], data["pixel_values"]
            if metadata["format"] != FORMAT:
                raise ValueError("another format")
            maps = {name: dict(region) for name, region in metadata["regions"].items() if region["type"] == "MapRegion"}
            return cls(
                hardware=SimpleNamespace(**metadata["hardware"]),
                image=image,
                regions={name: MapRegion(**{key: value for key, value in one.items() if key != "type"}) for name, one in maps.items()},
                layers=[SimpleNamespace(**layer) for layer in metadata["layers"]],
                pixel_values=pixels,
                **{name: metadata[name] for name in _SAME},
            )
        except FileNotFoundError:
            raise GradCoreError(f"{path}: there is no such file: check the path") from None
        except OSError as error:
            raise GradCoreError(f"{path} cannot be read ({error.strerror or error}): check the path") from None
        except _NO_PROGRAM as error:
            raise no_program(path, error) from None


_SAME = ("name", "base", "memory_size", "program_address", "descriptors", "classes", "activations", "gradients")
_NO_PROGRAM: tuple[type[Exception], ...] = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


def no_program(path: str | Path, error: Exception) -> GradCoreError:
    """The error for a file that is no program."""
    return GradCoreError(f"{path} is not a program that GradCore compiled ({type(error).__name__}): compile the network again")


def check_layout(program: Runnable, line: int) -> None:
    """Refuse a program in which a region that software reads or writes shares a cache line with another.

    Raises:
        GradCoreError: there is such a region.
    """
    shared: list[Any] = [one.name for one in program.regions.values() if (one.address - program.base) % line]
    if shared:
        raise GradCoreError(f"{shared[0]} does not start at a cache line of {line} bytes: compile the network again")
