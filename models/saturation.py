# SPDX-License-Identifier: Apache-2.0
"""Golden models of rtl/convolution/tile_saturation.v and rtl/control/layer_saturation.v: what becomes of the saturated values."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

TILE_VALUES = 1 << 14  # at most, of a tile
VECTOR_VALUES = 512  # at most, of a job of the vector engine


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


@dataclass
class LayerSaturation:
    """Sums of the jobs since the last mark of their kind: ``tile`` and ``vector``."""

    sums: dict[str, int] = field(default_factory=lambda: {"tile": 0, "vector": 0})

    def clear(self) -> None:
        """The start of a run."""
        self.sums = {"tile": 0, "vector": 0}

    def finish(self, kind: str, saturated: int) -> None:
        """A job of this kind has finished."""
        self.sums[kind] += saturated

    def mark(self, kind: str) -> int:
        """The layer's last job has finished: how many values saturated in the layer. Nothing does in a ``seed``."""
        if kind == "seed":
            return 0
        total, self.sums[kind] = self.sums[kind], 0
        return total
