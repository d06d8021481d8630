# SPDX-License-Identifier: Apache-2.0
"""A compiled program: put it in memory, move it, keep it in a file, and read results out of memory."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.contents import Contents, LayerInfo
from gradcore.compiler.layout import region_from_json
from gradcore.compiler.listing import listing
from gradcore.errors import GradCoreError
from gradcore.host.files import write_atomically
from gradcore.models.quantised import picture_table, quantise_image
from gradcore.runtime.formats import from_arrays, to_arrays
from gradcore.runtime.program import FORMAT, StoredMap, no_program


@dataclass
class Program(Contents):
    """A compiled network, and what one does with it: see ``Contents`` for what it holds."""

    def new_memory(self, fill: int = 0) -> np.ndarray:
        """uint8 memory from ``base`` on with the image in it; the rest holds ``fill``."""
        memory = np.full(self.window[1] - self.base, fill, dtype=np.uint8)
        memory[: len(self.image)] = self.image
        return memory

    def quantise_image(self, pixels: np.ndarray) -> np.ndarray:
        """int16 (H, W, C) from uint8 pixels, as the golden model does."""
        return quantise_image(pixels, self.mean, self.std, self.activations[0])

    def picture_bytes(self, picture: np.ndarray) -> tuple[int, bytes]:
        """(address, bytes) of a picture: quantised int (H, W, C), or uint8 pixels, which are quantised first."""
        picture = self.picture_values(picture)
        memory = np.zeros(self.picture.size, dtype=np.uint8)
        self.picture.write(memory, self.picture.address, picture)
        return self.picture.address, memory.tobytes()

    def load_image(self, memory: np.ndarray, picture: np.ndarray) -> None:
        """Put a picture (see ``picture_bytes``) in uint8 memory that starts at ``base``."""
        address, data = self.picture_bytes(picture)
        memory[address - self.base : address - self.base + len(data)] = np.frombuffer(data, dtype=np.uint8)

    def load_seed(self, memory: np.ndarray, seed: np.ndarray) -> None:
        """Put a seed vector (H, W, C) of the logits' shape in memory, for seed mode 2."""
        self.seed.write(memory, self.base, seed)

    def read_logits(self, memory: np.ndarray) -> np.ndarray:
        """int64 (classes,) in the order of the classes."""
        return self.in_class_order(self.logits.read(memory, self.base))

    def read_attribution(self, memory: np.ndarray) -> np.ndarray:
        """int64 (C, H, W)."""
        return self.attribution.read(memory, self.base).transpose(2, 0, 1)

    def read_activation(self, memory: np.ndarray, index: int, *, padding: bool = False) -> np.ndarray:
        """int64 (H, W, C) of activation ``index``, in the order in which maps are made: 0 the picture; of a chain i + 1 the output of
        layer i. With ``padding`` as it lies in memory."""
        name = f"activation_{index}"
        values = self.regions[name].read(memory, self.base, padding=padding)
        return values[..., self.places[name]] if name in self.places and not padding else values

    def read_gradient(self, memory: np.ndarray, index: int, *, padding: bool = False) -> np.ndarray:
        """int64 (H, W, C) of gradient ``index``: 0 of the picture, i + 1 of what layer i makes."""
        return self.regions[f"gradient_{index}"].read(memory, self.base, padding=padding)

    def read_tags(self, memory: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray | None] | None:
        """(mask bool (H, W, C), index int64 (H, W, C) or None) of a layer; None for a layer without ReLU and pool."""
        region = self.regions.get(f"tags_{layer}")
        return None if region is None else region.read(memory, self.base)

    def at(self, base: int) -> Program:
        """This program for another base address: see ``Runnable.at``."""
        moved = super().at(base)
        distance = moved.base - self.base
        layers = [replace(one, addresses=[tuple(address + distance for address in row) for row in one.addresses]) for one in self.layers]
        return replace(moved, layers=layers)

    def listing(self) -> str:
        """The program for a person to read."""
        return listing(self)

    def save(self, path: str | Path) -> None:
        """Write one file (npz: ``image``, JSON ``metadata``, and ``pixel_values`` for those who run it without the compiler).

        Raises:
            GradCoreError: it cannot be written.
        """
        pixels = picture_table(self.mean, self.std, self.activations[0])
        metadata = np.frombuffer(json.dumps(self._metadata()).encode(), dtype=np.uint8)
        arrays = {"image": self.image, "metadata": metadata, "pixel_values": pixels, **to_arrays(self.formats)}
        write_atomically(path, lambda stream: np.savez_compressed(stream, **arrays))

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read what ``save`` wrote. Raises GradCoreError when it is no program."""
        try:
            with np.load(Path(path), allow_pickle=False) as data:
                metadata, image, formats = json.loads(data["metadata"].tobytes()), data["image"], from_arrays(data)
            if metadata.pop("format") != FORMAT:
                raise ValueError("another format")
            metadata["hardware"] = HardwareConfig(**metadata["hardware"])
            metadata["regions"] = {name: region_from_json(region) for name, region in metadata["regions"].items()}
            metadata["layers"] = [LayerInfo(**layer) for layer in metadata["layers"]]
            for layer in metadata["layers"]:
                layer.tile = None if layer.tile is None else tuple(layer.tile)
                layer.addresses = [tuple(addresses) for addresses in layer.addresses]
            for name in ("mean", "std", "given"):
                metadata[name] = tuple(metadata[name])
            metadata["maps"] = [StoredMap.of(one) for one in metadata["maps"]]
            return cls(image=image, formats=formats, **metadata)
        except FileNotFoundError:
            raise GradCoreError(f"{path}: there is no such file: check the path") from None
        except OSError as error:
            raise GradCoreError(f"{path} cannot be read ({error.strerror or error}): check the path") from None
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise no_program(path, error) from None

    def _metadata(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "hardware": asdict(self.hardware),
            "base": self.base,
            "memory_size": self.memory_size,
            "program_address": self.program_address,
            "descriptors": self.descriptors,
            "regions": {name: region.to_json() for name, region in self.regions.items()},
            "layers": [asdict(layer) for layer in self.layers],
            "classes": self.classes,
            "seed_value": self.seed_value,
            "mean": list(self.mean),
            "std": list(self.std),
            "activations": self.activations,
            "gradients": self.gradients,
            "notes": self.notes,
            "given": list(self.given),
            "places": self.places,
            "maps": [vars(one) for one in self.maps],
            "chain": self.chain,
        }
