# SPDX-License-Identifier: Apache-2.0
"""Slices of flat vectors that behave like signals of their own, so that streams in a bundle need no drivers of their own kind."""

from __future__ import annotations

from typing import Any


class VectorSlice:
    """Bits [low + width - 1 : low] of a signal: ``value``, ``len()`` and ``_path`` as a cocotb handle has them.

    Slices that are cut together share what they drive: the last write of each in a time step goes out. Reading gives the simulator's value.
    """

    def __init__(self, handle: Any, low: int, width: int, driven: list[int]) -> None:
        self.handle, self.low, self.width, self._driven = handle, low, width, driven
        self._path = f"{handle._path}[{low + width - 1}:{low}]"
        self._mask = (1 << width) - 1

    @classmethod
    def cut(cls, handle: Any, count: int, width: int) -> list[VectorSlice]:
        """Cut a vector into ``count`` slices of ``width`` bits. Raises ValueError when it has another size."""
        if len(handle) != count * width:
            raise ValueError(f"{handle._path} has {len(handle)} bits, not {count} x {width}")
        driven = [0]
        return [cls(handle, width * index, width, driven) for index in range(count)]

    def __len__(self) -> int:
        return self.width

    @property
    def value(self) -> Any:
        """A LogicArray of the slice's bits."""
        whole = self.handle.value
        return whole[self.low + self.width - 1 : self.low] if len(self.handle) > 1 else whole

    @value.setter
    def value(self, bits: int) -> None:
        self._driven[0] = self._driven[0] & ~(self._mask << self.low) | (int(bits) & self._mask) << self.low
        self.handle.value = self._driven[0]
