# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/cells/requantise.v: shift and saturation of accumulators that already hold the rounding constant."""

from __future__ import annotations

import numpy as np

from gradcore.models import arithmetic

SHIFTS = range(arithmetic.ACCUMULATOR_BITS)


def requantise(accumulators: np.ndarray, shift: int, *, rules=arithmetic) -> np.ndarray:
    """saturate16(accumulators >> shift) of signed 48-bit accumulators of any shape, shift 0..47; ValueError for others.

    ``arithmetic.requantise(x, shift)`` is this function of x + ``arithmetic.rounding_constant(shift)``.
    """
    return rules.requantise_rounded(accumulators, _checked(shift))


def saturated(accumulators: np.ndarray, shift: int, *, rules=arithmetic) -> np.ndarray:
    """Bool: where ``requantise`` clips, so that the value is not the sum's."""
    return rules.saturated_rounded(accumulators, _checked(shift))


def _checked(shift: int) -> int:
    if shift not in SHIFTS:
        raise ValueError(f"shift {shift}: the hardware shifts by 0 to {SHIFTS[-1]}")
    return shift
