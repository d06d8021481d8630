# SPDX-License-Identifier: Apache-2.0
"""Golden model of a bank of the output buffer: where the groups' words and tag pieces of a tile lie until the tile store reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradcore.models.convolution.conv_group import Output

SIDES = 2  # even and odd unit rows


@dataclass
class OutputBank:
    """One bank: ``words`` uint64 and ``pieces`` uint16, each (side, address); ``depth`` is the number of either."""

    depth: int
    words: np.ndarray = field(init=False)
    pieces: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.words = np.zeros((SIDES, self.depth), dtype=np.uint64)
        self.pieces = np.zeros((SIDES, self.depth), dtype=np.uint16)

    def put(self, made: Output) -> None:
        """Take what a group makes of a tile. Raises OverflowError when it does not fit."""
        words = made.values.astype("<i2").view("<u8")
        self._put(self.words, made.parity, made.words, words, "words")
        if made.tags is not None:
            self._put(self.pieces, made.parity, made.pieces, made.tags, "tag pieces")

    def _put(self, bank: np.ndarray, side: np.ndarray, first: np.ndarray, content: np.ndarray, what: str) -> None:
        last = int(first.max(initial=0)) + content.shape[1]
        if last > self.depth:
            raise OverflowError(f"{last} {what} in a side of {self.depth}")
        bank[side[:, None], first[:, None] + np.arange(content.shape[1])] = content
