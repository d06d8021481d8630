# SPDX-License-Identifier: Apache-2.0
"""Where things lie in memory: regions, and how to read and write a feature map in one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PAGE = 4096
CACHE_LINE = 32  # bytes, of the Cortex-A9's caches
ALIGNMENT = 64  # of every region: no two share a line of the cache
VALUES_PER_WORD = 4


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple


def padded(channels: int) -> int:
    """Channels of a pixel in memory: rounded up to whole words."""
    return round_up(channels, VALUES_PER_WORD)


@dataclass(frozen=True)
class Region:
    """A stretch of memory: ``size`` bytes from ``address`` on, and what it is for."""

    name: str
    address: int
    size: int
    purpose: str

    @property
    def end(self) -> int:
        return self.address + self.size

    def to_json(self) -> dict[str, Any]:
        return {"type": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class MapRegion(Region):
    """A feature map or gradient, height x width x channels; a vector is a map of 1 x 1 pixels."""

    height: int
    width: int
    channels: int

    @property
    def padded_channels(self) -> int:
        return padded(self.channels)

    @property
    def words_per_pixel(self) -> int:
        return self.padded_channels // VALUES_PER_WORD

    @property
    def pixel_pitch(self) -> int:
        """Bytes from pixel to pixel."""
        return 2 * self.padded_channels

    @property
    def row_pitch(self) -> int:
        """Bytes from row to row: rows follow one another without a gap."""
        return self.width * self.pixel_pitch

    @property
    def values(self) -> int:
        """Values in memory, padding included."""
        return self.height * self.width * self.padded_channels

    def pixel_address(self, row: int, column: int) -> int:
        return self.address + row * self.row_pitch + column * self.pixel_pitch

    def memory_index(self, index: int) -> int:
        """Index of a value in memory order, padding included, from its index in C, H, W order: that of classes."""
        channel, pixel = divmod(index, self.height * self.width)
        return pixel * self.padded_channels + channel

    def value_index(self, memory_index: int) -> int:
        """The inverse of ``memory_index``."""
        pixel, channel = divmod(memory_index, self.padded_channels)
        return channel * self.height * self.width + pixel

    def read(self, memory: np.ndarray, base: int, *, padding: bool = False) -> np.ndarray:
        """int64 (H, W, C) from uint8 memory that starts at address ``base``; with ``padding`` all Cp channels."""
        raw = memory[self.address - base : self.address - base + 2 * self.values].view("<i2").astype(np.int64)
        raw = raw.reshape(self.height, self.width, self.padded_channels)
        return raw if padding else raw[..., : self.channels]

    def write(self, memory: np.ndarray, base: int, values: np.ndarray) -> None:
        """Store (H, W, C) values of 16 bits with zeros as padding."""
        values = np.asarray(values)
        if values.shape != (self.height, self.width, self.channels):
            raise ValueError(f"{self.name} holds {(self.height, self.width, self.channels)}, not {values.shape}")
        raw = np.zeros((self.height, self.width, self.padded_channels), dtype="<i2")
        raw[..., : self.channels] = values
        memory[self.address - base : self.address - base + 2 * self.values] = raw.reshape(-1).view(np.uint8)
