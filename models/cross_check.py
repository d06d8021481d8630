# SPDX-License-Identifier: Apache-2.0
"""The arithmetic once more, in fxpmath's types: an independent statement of the rules, for checking ``arithmetic``
against.

fxpmath has no round-half-up; as in the hardware, half of the last bit is added and the sum rounded to minus infinity
('floor'). Far too slow for anything but such checks.
"""

from __future__ import annotations

import numpy as np
from fxpmath import Fxp

from gradcore.models import arithmetic


def value(real: np.ndarray, fraction: int) -> Fxp:
    """Real numbers as 16-bit values with ``fraction`` fraction bits: round half up, saturate."""
    made = Fxp(None, signed=True, n_word=arithmetic.VALUE_BITS, n_frac=fraction, rounding="floor", overflow="saturate")
    made.set_val(np.asarray(real, dtype=np.float64) + 0.5 * 2.0**-fraction)
    return made


def raw_value(raw: np.ndarray, fraction: int, bits: int = arithmetic.VALUE_BITS) -> Fxp:
    """Raw integers as numbers of ``bits`` bits."""
    made = Fxp(None, signed=True, n_word=bits, n_frac=fraction, rounding="floor", overflow="saturate")
    made.set_val(np.asarray(raw), raw=True)
    return made


def resize(number: Fxp, fraction: int, bits: int) -> Fxp:
    """The number in another format: rounded to minus infinity, saturated. (``Fxp.equal`` adds a dimension to
    arrays.)"""
    made = raw_value(np.zeros_like(number.val), fraction, bits)
    made.equal(number)
    return raw_value(made.val.reshape(number.shape), fraction, bits)


def accumulate(values: Fxp, weights: Fxp, bias: Fxp) -> Fxp:
    """Sum over the last axis of values * weights, plus bias, in the 48-bit accumulator."""
    accumulator = resize(bias, bias.n_frac, arithmetic.ACCUMULATOR_BITS)
    for position in range(values.shape[-1]):
        product = values[..., position] * weights[..., position]
        accumulator = resize(accumulator + product, bias.n_frac, arithmetic.ACCUMULATOR_BITS)
    return accumulator


def requantise(accumulator: Fxp, fraction: int) -> Fxp:
    """The accumulator as 16-bit values with ``fraction`` fraction bits: round half up, saturate."""
    if fraction < accumulator.n_frac:
        half = raw_value(np.array(1 << (accumulator.n_frac - fraction - 1)), accumulator.n_frac, arithmetic.ACCUMULATOR_BITS)
        accumulator = resize(accumulator + half, accumulator.n_frac, arithmetic.ACCUMULATOR_BITS + 1)
    return resize(accumulator, fraction, arithmetic.VALUE_BITS)
