# SPDX-License-Identifier: Apache-2.0
"""A compiled program as the core's software sees it: what memory must hold, and where results lie.

``Program`` reads the file that the compiler writes. ``Runnable`` is what it has in common with the compiler's own class.
"""

from __future__ import annotations

import json
import operator
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import hardware
from .errors import GradCoreError
from .formats import Formats, OtherFormats, from_arrays
from .inputs import check_choice
from .parts import part_of
from .regions import PAGE, MapRegion, Region, round_up

FORMAT = "gradcore-program 2"


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
        for word in (word for part, (word, _, _) in hardware.descriptor_fields(name).items() if part in hardware.DESCRIPTOR_LOCATIONS):
            old = words[rows, word]
            new = np.where(old == 0, 0, (old.astype(np.int64) + distance) % (1 << 32)).astype(np.uint32)
            moved[rows, word] = new
            moved[rows, 1] ^= old ^ new
    return moved


@dataclass(frozen=True)
class StoredMap:
    """A map that layers store, the input the first; the logits are the last of a chain.

    Attributes:
        name: what users call it: of a chain the layer's name.
        region: where its values lie. fraction: of these.
        gradients: where its gradient lies: (region, first channel) of each part that a layer makes. gradient_fraction: of these.
        layers: identifiers of the layers that store it. backward: of those that make its gradient; none makes that of the logits.
        units: what 1 means in each channel; empty where that is 1: a clip's map counts in a unit such that its limit is the largest number,
            channels may have units of their own. Of the gradient it is the logits' unit divided by them.
    """

    name: str
    region: str
    fraction: int
    gradients: tuple[tuple[str, int], ...]
    gradient_fraction: int
    layers: tuple[int, ...]
    backward: tuple[int, ...]
    units: tuple[float, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> StoredMap:
        """From what JSON made of ``vars``."""
        kept = {name: tuple(data[name]) for name in ("layers", "backward")} | {"units": tuple(data.get("units", ()))}
        return cls(**{**data, **kept, "gradients": tuple((region, channel) for region, channel in data["gradients"])})


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
        layers: by identifier, each with ``identifier``, ``name``, ``direction`` and ``outputs``: forward layers, the seed, backward layers.
        activations, gradients: fraction bits.
        maps: what layers store, the input first, in the order in which it is made.
        chain: whether each layer reads what the one before stores, and nothing else: such a program can be cut at every layer.
        places: of maps between whose channels in memory there are gaps, by region: where each channel lies.
        given: regions that must be in memory before a run, by name: the picture, or for a part of a program what it goes on from.
        formats: what it has otherwise in wider number formats: see ``formats``; empty where that is not known.

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

    @property
    def stored(self) -> dict[str, tuple[int, int, int]]:
        """(C, H, W) of what layers store, by its name, in the order in which it is made; the last are the logits."""
        found = {}
        for one in self.maps[1:]:
            region = self.regions[one.region]
            found[one.name] = (len(self.places.get(one.region, range(region.channels))), region.height, region.width)
        return found

    def by_name(self, values: Sequence[int]) -> dict[tuple[str, str], int]:
        """Numbers of the layers that ran, in order and without the seed's, by the name and direction that reports have: what several layers
        make of one gradient is added up."""
        found: dict[tuple[str, str], int] = {}
        for layer, value in zip((one for one in self.layers if one.direction != "seed"), values):  # noqa: B905 (a run may end early)
            name = layer.name[: -len("_backward")] if layer.direction == "backward" else layer.name
            found[name, layer.direction] = found.get((name, layer.direction), 0) + value
        return found

    def outputs(self) -> dict[tuple[str, str], int]:
        """How many outputs each layer has, by name and direction as ``by_name``."""
        return self.by_name([one.outputs for one in self.layers if one.direction != "seed"])

    def map_number(self, name: str | None, empty: int) -> int:
        """The number of the map of that name; ``empty`` for None. Raises GradCoreError for none that a layer stores."""
        if name is None:
            return empty
        check_choice("layer", name, tuple(self.stored))
        return list(self.stored).index(name) + 1

    def span(self, since: str | None, until: str | None, back_to: str | None) -> tuple[int, int, int]:
        """(first, stop, end): numbers of the maps where a forward pass begins and ends, and where its backward pass ends.

        Raises:
            GradCoreError: there is no such layer, they are not in order, or the network is a graph, which is run as a whole.
        """
        last = len(self.maps) - 1
        first, stop = self.map_number(since, 0), self.map_number(until, last)
        if not self.chain and (since is not None or until is not None):
            raise GradCoreError("a graph is run as a whole: leave the layers to begin behind and to end with out")
        end = self.map_number(back_to, first)
        if not first <= end < stop:
            begin, close = back_to or since or "the input", until or "the logits"
            raise GradCoreError(f"no layer lies between {begin} and {close}: name layers in the order of the network")
        return first, stop, end

    def part(
        self, since: str | None = None, until: str | None = None, back_to: str | None = None, *, forward: bool = True, backward: bool = True
    ) -> Any:
        """A part of this program, for the same memory: see ``parts``.

        Args:
            since: the layer behind whose output it begins; None: at the picture.
            until: the layer with which its forward pass ends; None: the last.
            back_to: the layer at whose output's gradient its backward pass ends; None: as ``since``.
            forward, backward: which passes it has.

        Raises:
            GradCoreError: there is no such layer, the part would be empty, or it would be one of a graph that is cut.
        """
        first, stop, end = self.span(since, until, back_to)
        if not (forward or backward):
            raise GradCoreError("no layer lies between one and itself: ask for the forward pass, the backward pass or both")
        count = sum(one.direction == "forward" for one in self.layers)
        last = stop == len(self.maps) - 1
        ran: list[int] = []
        if forward:
            ran = list(range(count)) if not self.chain else list(range(first, stop))
        kept, given = list(ran), [self.maps[first].region] if forward else []
        if backward:
            if forward and last:
                kept.append(count)  # the seed
            begin = count + 1 if last else min(self.maps[stop - 1].backward)
            kept += range(begin, max(self.maps[end].backward) + 1)
            read = range(end, stop) if self.chain else range(count)
            given += [f"tags_{number}" for number in read if number not in ran and f"tags_{number}" in self.regions]
            given += [] if forward and last else [self.maps[stop].gradients[0][0]]
        return part_of(self, kept, given)

    def with_formats(self, headroom: int, bits: int) -> Any:
        """This program, with formats that hold values 2**headroom times as large inside the network, and inputs 2**bits times as large.

        Raises:
            GradCoreError: it does not know these.
        """
        if (headroom, bits) == (0, 0):
            return self
        if (headroom, bits) not in self.formats:
            most = max((known for room, known in self.formats if room == headroom), default=0)
            raise GradCoreError(
                f"inputs need a format {bits} bits wider than a picture's, the program has {most} at most: use less noise or other "
                "baselines, or compile the network to a file again"
            )
        other, image = self.formats[headroom, bits], self.image.copy()
        image[other.places] ^= other.changes
        activations, gradients = ([int(one) for one in values] for values in (other.activations, other.gradients))
        maps = [
            replace(
                one,
                fraction=activations[int(one.region.rpartition("_")[2])],
                gradient_fraction=gradients[int(one.gradients[0][0].rpartition("_")[2])],
            )
            for one in self.maps
        ]
        return replace(self, image=image, activations=activations, gradients=gradients, maps=maps, formats={})

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

    @property
    def unit(self) -> float:
        """Of the logits."""
        return next((one.units for one in self.maps if not one.backward and one.units), (1.0,))[0]

    def dequantise_logits(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits) * 2.0 ** -self.activations[-1] * self.unit

    def dequantise_attribution(self, attribution: np.ndarray) -> np.ndarray:
        return (np.asarray(attribution) * 2.0 ** -self.gradients[0] * self.unit).astype(np.float32)

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
    regions: dict[str, Any]
    layers: list[SimpleNamespace]
    classes: list[str]
    activations: list[int]
    gradients: list[int]
    pixel_values: np.ndarray
    maps: list[StoredMap]
    chain: bool
    places: dict[str, list[int]]
    given: tuple[str, ...] = ("activation_0",)
    formats: dict[Formats, OtherFormats] = field(default_factory=dict)

    def quantise_image(self, pixels: np.ndarray) -> np.ndarray:
        """int16 (H, W, C) from uint8 pixels."""
        pixels = np.asarray(pixels)
        if pixels.ndim != 3 or pixels.shape[2] != self.pixel_values.shape[1]:
            return np.zeros(pixels.shape, np.int16)  # its shape is refused by who asked
        return self.pixel_values[pixels, np.arange(pixels.shape[2])]

    def with_formats(self, headroom: int, bits: int) -> Program:
        """See ``Runnable.with_formats``."""
        made = super().with_formats(headroom, bits)
        return made if made is self else replace(made, pixel_values=self.formats[headroom, bits].pixel_values)

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read a program. Raises GradCoreError when there is none."""
        try:
            with np.load(Path(path), allow_pickle=False) as data:
                metadata, image, pixels = json.loads(data["metadata"].tobytes()), data["image"], data["pixel_values"]
                formats = from_arrays(data)
            if metadata["format"] != FORMAT:
                raise ValueError("another format")
            return cls(
                hardware=SimpleNamespace(**metadata["hardware"]),
                image=image,
                regions={name: _region(region) for name, region in metadata["regions"].items()},
                layers=[SimpleNamespace(**layer) for layer in metadata["layers"]],
                pixel_values=pixels,
                maps=[StoredMap.of(one) for one in metadata["maps"]],
                given=tuple(metadata["given"]),
                formats=formats,
                **{name: metadata[name] for name in _SAME},
            )
        except FileNotFoundError:
            raise GradCoreError(f"{path}: there is no such file: check the path") from None
        except OSError as error:
            raise GradCoreError(f"{path} cannot be read ({error.strerror or error}): check the path") from None
        except _NO_PROGRAM as error:
            raise no_program(path, error) from None


_SAME = ("name", "base", "memory_size", "program_address", "descriptors", "classes", "activations", "gradients", "chain", "places")
_NO_PROGRAM: tuple[type[Exception], ...] = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


def _region(data: Mapping[str, Any]) -> Region:
    """A region of a program's file; of tags only where they lie is of interest here."""
    kind = MapRegion if data["type"] == "MapRegion" else Region
    return kind(**{name: data[name] for name in kind.__dataclass_fields__})


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
