# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/convolution/tile_saturation.v: the saturated values of each tile, until it is stored."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

TILE_VALUES = 9 << 12  # at most, of a tile


@dataclass
class TileSaturation:
    """Counts of the tiles in both banks, and of those that are released and not yet stored."""

    counts: list[int] = field(default_factory=lambda: [0, 0])
    bank: int = 0
    waiting: deque[int] = field(default_factory=deque)

    def saturate(self, bank: int) -> None:
        """A value of the tile in ``bank`` saturated."""
        self.counts[bank] += 1

    def release(self) -> None:
        """The next tile has been read out of its bank."""
        self.waiting.append(self.counts[self.bank])
        self.counts[self.bank] = 0
        self.bank ^= 1

    def store(self) -> int:
        """The oldest released tile is stored: its count."""
        return self.waiting.popleft()
