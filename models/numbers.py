# SPDX-License-Identifier: Apache-2.0
"""Number formats as types: how many bits a number has, where its point stands, and what follows from that.

A number of a format is a signed integer of ``word`` bits, *raw*; it means ``raw * 2**-fraction``. Formats are written in Q
notation, integer bits (the sign among them) and fraction bits: ``Q7.9`` has 16 bits, 9 of them behind the point. A fraction
may be negative, or larger than the word: ``Q-4.20`` is a 16-bit number below 2**-4.

A *pass* of a layer (forward or backward) multiplies values of one format by weights of another, adds the products up
exactly, and rounds the sum to a third. The shift of that rounding follows from the three: see ``PassFormats``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from gradcore.models.arithmetic import ACCUMULATOR_BITS, VALUE_BITS


@dataclass(frozen=True)
class Format:
    """A signed fixed-point format: ``word`` bits in all, ``fraction`` of them behind the point."""

    word: int
    fraction: int

    def __str__(self) -> str:
        return f"Q{self.word - self.fraction}.{self.fraction}"

    @classmethod
    def parse(cls, text: str) -> Format:
        """The format of a text like ``Q7.9``. Raises ValueError for any other text."""
        found = re.fullmatch(r"Q(-?\d+)\.(-?\d+)", text)
        if not found or sum(map(int, found.groups())) < 1:
            raise ValueError(f"{text!r} is no format in Q notation, such as Q7.9")
        return cls(int(found[1]) + int(found[2]), int(found[2]))

    @property
    def least(self) -> int:
        """The smallest raw number."""
        return -(1 << (self.word - 1))

    @property
    def most(self) -> int:
        """The largest raw number."""
        return (1 << (self.word - 1)) - 1

    def holds(self, raw: np.ndarray) -> bool:
        """Whether all raw numbers fit the word."""
        raw = np.asarray(raw, dtype=np.int64)
        return bool(np.all((raw >= self.least) & (raw <= self.most)))

    def real(self, raw: np.ndarray) -> np.ndarray:
        """float64: the real numbers that raw ones mean (exact for words of up to 54 bits)."""
        return np.asarray(raw, dtype=np.int64) * 2.0**-self.fraction

    def text(self, raw: int) -> str:
        """A number for people: real, format and raw word, such as ``-1.25 (Q7.9, raw 0xFD80)``."""
        word = int(raw) & ((1 << self.word) - 1)
        return f"{float(self.real(raw)):.12g} ({self}, raw 0x{word:0{-(-self.word // 4)}X})"


def value_format(fraction: int) -> Format:
    """The format of values and weights: 16 bits."""
    return Format(VALUE_BITS, fraction)


@dataclass(frozen=True, eq=False)
class Fixed:
    """Numbers that carry their format: ``raw``, int64 of any shape. Raises ValueError for numbers that the format cannot hold."""

    raw: np.ndarray
    format: Format

    def __post_init__(self) -> None:
        object.__setattr__(self, "raw", np.asarray(self.raw, dtype=np.int64))
        if not self.format.holds(self.raw):
            raise ValueError(f"numbers from {self.raw.min()} to {self.raw.max()} do not fit {self.format}")

    @property
    def real(self) -> np.ndarray:
        """float64: what the numbers mean."""
        return self.format.real(self.raw)

    def __getitem__(self, index) -> Fixed:
        return Fixed(self.raw[index], self.format)


@dataclass(frozen=True)
class PassFormats:
    """The formats of a pass of a layer: of what it reads, of its weights, of what it makes."""

    source: Format
    weights: Format
    result: Format

    @classmethod
    def of_fractions(cls, source: int, weights: int, result: int) -> PassFormats:
        """16-bit formats with so many fraction bits."""
        return cls(value_format(source), value_format(weights), value_format(result))

    @classmethod
    def of_shift(cls, shift: int, source: int = 0, weights: int = 0) -> PassFormats:
        """Formats with which the shift is ``shift``: a descriptor says no more; ``source`` and ``weights`` are fraction bits."""
        return cls.of_fractions(source, weights, source + weights - shift)

    @property
    def accumulator(self) -> Format:
        """The format of products and sums, bias included: as many fraction bits as the two factors have."""
        return Format(ACCUMULATOR_BITS, self.source.fraction + self.weights.fraction)

    @property
    def shift(self) -> int:
        """How many bits of the sum go: the hardware takes 0 to 47."""
        return self.accumulator.fraction - self.result.fraction

    def __str__(self) -> str:
        return f"{self.source} x {self.weights} -> {self.result}"


def mismatch(expected: np.ndarray, actual: np.ndarray, format: Format, what: str = "value") -> str | None:
    """The first difference of two raw arrays, for people; None where there is none.

    It names the place, both numbers as real, format and raw word, and how many differ. Arrays of unlike shapes differ.
    """
    expected, actual = np.asarray(expected, dtype=np.int64), np.asarray(actual, dtype=np.int64)
    if expected.shape != actual.shape:
        return f"{what}: {actual.shape} numbers, expected {expected.shape}"
    different = np.argwhere(np.atleast_1d(expected != actual))
    if not len(different):
        return None
    place = tuple(map(int, different[0])) if expected.ndim else ()
    where = f"{what}{list(place) if place else ''}"
    text = f"{where}: {format.text(actual[place])}, expected {format.text(expected[place])}"
    return text if expected.size == 1 else f"{text}; {len(different)} of {expected.size} differ"
