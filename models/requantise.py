# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/requantise.v: shift and saturation of accumulators that already hold the rounding constant."""

from __future__ import annotations

import numpy as np

from gradcore.models import arithmetic

LARGEST_SHIFT = arithmetic.ACCUMULATOR_BITS - 1


def requantise(accumulators: np.ndarray, shift: int) -> np.ndarray:
    """saturate16(accumulators >> shift) of signed 48-bit accumulators of any shape; shifts above 47 act as 47.

    ``arithmetic.requantise(x, shift)`` is this function of x + ``arithmetic.rounding_constant(shift)``.
    """
    return arithmetic.saturate(np.asarray(accumulators, dtype=np.int64) >> min(shift, LARGEST_SHIFT))
