# SPDX-License-Identifier: Apache-2.0
"""Colours that people with any colour vision tell apart, for every drawing: of categories, and of signed values."""

from __future__ import annotations

import numpy as np

# Okabe and Ito's, without black and yellow: each can be read on white and on black.
CATEGORIES = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8C6D31", "#999999")
DARK = ("#0072B2", "#009E73", "#D55E00", "#8C6D31")  # on which white letters can be read
_AGAINST, _FOR = (np.array(one, dtype=np.float64) for one in ((0, 90, 181), (220, 92, 0)))  # blue and orange


def lighter(colour: str, part: float = 0.5) -> str:
    """A colour of the form #rrggbb, mixed with so much white."""
    values = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(value + (255 - value) * part):02X}" for value in values)


def categories(count: int) -> tuple[str, ...]:
    """So many colours; they repeat, lighter, where there are more than ``CATEGORIES``."""
    made = [*CATEGORIES, *(lighter(one, 0.35) for one in CATEGORIES)]
    return tuple(made[number % len(made)] for number in range(count))


def diverging(values: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) of values in -1..1: blue below 0, white at 0, orange above; the same lightness for the same distance from 0."""
    size = np.clip(np.abs(values), 0.0, 1.0)[..., None]
    end = np.where(np.asarray(values)[..., None] < 0, _AGAINST, _FOR)
    return np.round(255 + (end - 255) * size).astype(np.uint8)
