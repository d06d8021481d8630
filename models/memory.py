# SPDX-License-Identifier: Apache-2.0
"""Memory as units see it: how they read words, and how bytes become the beats of a write.

A word is 64 bits, byte k in bits [8k+7:8k] (little-endian memory); a strobe has bit k for byte k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WORD_BYTES = 8
ADDRESSES = 1 << 32
ReadWords = Callable[[int, int], np.ndarray]
"""Reads memory: (byte address, a multiple of 8; number of words) -> uint64 array of words."""
Beat = tuple[int, int]  # data, bytes outside the strobe being 0; strobe


@dataclass(frozen=True)
class Span:
    """``size`` bytes from byte ``address`` on: what a unit needs, wherever words begin."""

    address: int
    size: int

    @property
    def start(self) -> int:
        """Address of the word in which the bytes begin."""
        return self.address // WORD_BYTES * WORD_BYTES

    @property
    def words(self) -> int:
        """Words that hold the bytes: what a request for them asks for."""
        return -(-(self.address + self.size) // WORD_BYTES) - self.address // WORD_BYTES

    def read(self, read_words: ReadWords) -> np.ndarray:
        """uint8 (size,): the bytes, read by whole words."""
        words = np.ascontiguousarray(read_words(self.start, self.words), dtype="<u8")
        return words.view(np.uint8)[self.address - self.start :][: self.size]


@dataclass(frozen=True)
class ByteWrite:
    """What a write request leaves in memory: ``content``, uint8, at consecutive bytes from ``address`` on."""

    address: int
    content: np.ndarray

    @property
    def start(self) -> int:
        """Address of the first word."""
        return self.address // WORD_BYTES * WORD_BYTES

    @property
    def words(self) -> int:
        """How many words the request asks for."""
        return Span(self.address, len(self.content)).words

    def beats(self) -> list[Beat]:
        """The words from ``start`` on, each with the strobe of the bytes that are meant."""
        skip = self.address - self.start
        data, inside = np.zeros((2, WORD_BYTES * self.words), dtype=np.uint8)
        data[skip : skip + len(self.content)] = self.content
        inside[skip : skip + len(self.content)] = 1
        strobes = np.packbits(inside, bitorder="little")
        return list(zip(data.view("<u8").tolist(), strobes.tolist(), strict=True))


@dataclass(frozen=True)
class Write:
    """A write request with its words: ``data`` unsigned 64-bit words (bytes without strobe are 0), ``strobes`` 8 bits each."""

    address: int
    data: tuple[int, ...]
    strobes: tuple[int, ...]

    @classmethod
    def of(cls, write: ByteWrite) -> Write:
        """As a port shows it."""
        return cls(write.start, *zip(*write.beats(), strict=True))


def bytes_of(content: np.ndarray) -> np.ndarray:
    """uint8: the bytes of an array in the order of memory (little-endian dtypes)."""
    return np.ascontiguousarray(content).view(np.uint8).reshape(-1)
