# SPDX-License-Identifier: Apache-2.0
"""Real numbers as 16-bit integers with one exponent: value = integer * 2**exponent * unit.

Results of the core are such numbers, and come back equal in every bit: those of a method of one backward pass are the very integers that
the core writes to memory. What a method makes of many runs, such as a mean, is rounded to the nearest.
"""

from __future__ import annotations

import math

import numpy as np

from gradcore.errors import GradCoreError

_BITS = 16
_LEAST, _MOST = -(1 << (_BITS - 1)), (1 << (_BITS - 1)) - 1


def pack(values: np.ndarray, exponent: int, unit: float = 1.0) -> tuple[np.ndarray, int, bool]:
    """Integers of real numbers.

    Args:
        values: float32 or float64, any shape.
        exponent: of the core's format; it is taken where it holds the values exactly. Else the integers fill 16 bits.
        unit: of the values: 1 but where a clip makes the logits (``gradcore.models.quantised_graph``).

    Returns:
        (int16 integers, exponent, whether values were rounded: by at most half a step of 2**exponent * unit).

    Raises:
        GradCoreError: a value is not finite.
    """
    if not np.all(np.isfinite(values)):
        raise GradCoreError("values that are not finite have no integers: the network's weights are too large, train it again")
    made = _rounded(values, exponent, unit)
    if not _exact(made, values, exponent, unit):
        largest = float(np.abs(values.astype(np.float64)).max(initial=0.0)) / unit
        exponent = math.frexp(largest)[1] - (_BITS - 1)
        made = _rounded(values, exponent, unit)
        if made.max(initial=0) > _MOST:
            exponent += 1
            made = _rounded(values, exponent, unit)
    return made.astype(np.int16), exponent, not _exact(made, values, exponent, unit)


def unpack(integers: np.ndarray, exponents: np.ndarray | int, unit: float = 1.0) -> np.ndarray:
    """float64 real numbers of integers; one exponent, or one for each along the first axis."""
    exponents = np.asarray(exponents, np.float64)
    exponents = exponents.reshape(exponents.shape + (1,) * (integers.ndim - exponents.ndim)) if exponents.ndim else exponents
    return integers * 2.0**exponents * unit


def _rounded(values: np.ndarray, exponent: int, unit: float) -> np.ndarray:
    return np.rint(values.astype(np.float64) / unit * 2.0**-exponent)


def _exact(made: np.ndarray, values: np.ndarray, exponent: int, unit: float) -> bool:
    fits = made.min(initial=0) >= _LEAST and made.max(initial=0) <= _MOST
    return bool(fits and np.array_equal(unpack(made, exponent, unit).astype(values.dtype), values))
