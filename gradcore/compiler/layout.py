# SPDX-License-Identifier: Apache-2.0
"""Where things lie in memory: regions for maps, tags and constants, and how to cut values out of dumped memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcore.models.tags import BLOCK, WINDOW_PIECES, split_pieces, split_winners
from gradcore.runtime.regions import ALIGNMENT, MapRegion, Region, padded, round_up

__all__ = ["ALIGNMENT", "BLOCK", "Allocator", "MapRegion", "Region", "TagRegion", "blocks_of", "padded", "region_from_json", "round_up"]


def blocks_of(channels: int) -> int:
    """Blocks of 16 channels."""
    return -(-channels // BLOCK)


@dataclass(frozen=True)
class TagRegion(Region):
    """Masks, and indexes of pooled layers: ``pieces`` of 16 bits for each block of each pixel; ``gradcore.models.tags`` says which."""

    height: int
    width: int
    channels: int
    pieces: int

    @property
    def blocks(self) -> int:
        return blocks_of(self.channels)

    @property
    def pixel_pitch(self) -> int:
        return 2 * self.blocks * self.pieces

    @property
    def row_pitch(self) -> int:
        return round_up(self.width * self.pixel_pitch, 8)

    def pixel_address(self, row: int, column: int) -> int:
        return self.address + row * self.row_pitch + column * self.pixel_pitch

    def read_pieces(self, memory: np.ndarray, base: int) -> np.ndarray:
        """uint16 (H, W, blocks, pieces)."""
        start = self.address - base
        rows = memory[start : start + self.height * self.row_pitch].reshape(self.height, self.row_pitch)
        used = np.ascontiguousarray(rows[:, : self.width * self.pixel_pitch])
        return used.view("<u2").reshape(self.height, self.width, self.blocks, self.pieces)

    def read(self, memory: np.ndarray, base: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(mask bool (H, W, C) or None, index int64 (H, W, C) or None)."""
        pieces = self.read_pieces(memory, base)
        if self.pieces == WINDOW_PIECES:
            return None, split_winners(pieces.reshape(self.height, self.width, -1))[..., : self.channels]
        mask, index = split_pieces(pieces)
        return mask[..., : self.channels], None if index is None else index[..., : self.channels]


def region_from_json(data: dict[str, Any]) -> Region:
    """The inverse of ``Region.to_json``."""
    data = dict(data)
    kind = {"Region": Region, "MapRegion": MapRegion, "TagRegion": TagRegion}[data.pop("type")]
    return kind(**data)


class Allocator:
    """Hands out aligned regions, one after the other from ``base`` on."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.next = base
        self.regions: dict[str, Region] = {}

    def region(self, name: str, size: int, purpose: str) -> Region:
        return self._add(Region(name, self.next, size, purpose))

    def map(self, name: str, shape: tuple[int, int, int], purpose: str) -> MapRegion:
        """A map of shape (H, W, C)."""
        height, width, channels = shape
        size = 2 * height * width * padded(channels)
        return self._add(MapRegion(name, self.next, size, purpose, height, width, channels))

    def tags(self, name: str, shape: tuple[int, int, int], pieces: int, purpose: str) -> TagRegion:
        """Tags of a map of shape (H, W, C)."""
        height, width, channels = shape
        row_pitch = round_up(2 * width * blocks_of(channels) * pieces, 8)
        return self._add(TagRegion(name, self.next, height * row_pitch, purpose, height, width, channels, pieces))

    def _add(self, region):
        self.regions[region.name] = region
        self.next = round_up(region.end, ALIGNMENT)
        return region
