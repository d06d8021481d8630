# SPDX-License-Identifier: Apache-2.0
"""Real numbers to the core's 16-bit values, and back. ``gradcore.models.arithmetic`` has the same ``quantise``: it is this one."""

from __future__ import annotations

import numpy as np

VALUE_BITS = 16
VALUE_MIN = -(1 << (VALUE_BITS - 1))
VALUE_MAX = (1 << (VALUE_BITS - 1)) - 1


def quantise(real: np.ndarray, fraction: int) -> tuple[np.ndarray, np.ndarray]:
    """Real numbers as 16-bit values of ``fraction`` fraction bits: (int64 raw, bool where the value was clipped).

    Rounded half up, saturated. (``floor(x + 0.5)`` would round once more when it adds: 0.5 - 2**-54 would become 1.)
    """
    scaled = np.asarray(real, dtype=np.float64) * 2.0**fraction
    floor = np.floor(scaled)
    rounded = floor + (scaled - floor >= 0.5)
    clipped = (rounded < VALUE_MIN) | (rounded > VALUE_MAX)
    return np.clip(rounded, VALUE_MIN, VALUE_MAX).astype(np.int64), clipped


def real_map(raw: np.ndarray, fraction: int, units: np.ndarray | float = 1.0) -> np.ndarray:
    """float32 (C, H, W) of raw (H, W, C), with what 1 means, for all channels or (C,); exact for powers of two, for 16 bits fit in 24."""
    return np.ascontiguousarray((np.asarray(raw) * 2.0**-fraction * units).transpose(2, 0, 1), dtype=np.float32)
