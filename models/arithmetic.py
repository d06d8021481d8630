# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of GradCore, in exact integers: the one place where rounding, saturation, ties and ReLU rules are defined.

Values are raw signed integers of 16 bits with a power-of-two scale (``raw = real * 2**fraction``); accumulators are exact
signed integers of at most 48 bits. All functions take and return NumPy int64 arrays (or what converts to them).

``models/specification.py`` states the same rules in fxpmath, by formats instead of shifts; tests hold the two together. Models
of units take the rules as an argument, ``rules``: this module, or ``gradcore.models.expectation.Checked``, whose methods have the
names of the functions here and compute everything both ways.
"""

from __future__ import annotations

import numpy as np

from gradcore import hardware
from gradcore.models.windows import Window, gather, scatter
from gradcore.runtime import fixed_point

VALUE_BITS, VALUE_MIN, VALUE_MAX = fixed_point.VALUE_BITS, fixed_point.VALUE_MIN, fixed_point.VALUE_MAX
ACCUMULATOR_BITS = 48
EXACT_BITS = 53  # of a float64: BLAS adds integers below 2**53 exactly, in any order
METHODS = tuple(hardware.METHODS)
quantise = fixed_point.quantise


def exact_sum(values: np.ndarray, weights: np.ndarray, initial: np.ndarray | int = 0) -> np.ndarray:
    """Accumulators int64 (..., m): ``initial`` + values (..., n) @ weights (n, m), all integers, exactly.

    The products are added by BLAS in float64. That is exact, not approximate: every product and every partial sum is an
    integer below 2**53 in magnitude, whatever the order of summation. Raises AssertionError where that is not certain.
    """
    values, weights = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    largest = float(max(values.max(initial=0), -values.min(initial=0))) * float(np.abs(weights).sum(axis=0).max(initial=0))
    assert largest < 2**EXACT_BITS, f"sums up to {largest:g} are not exact in float64"
    sums = (values.reshape(int(np.prod(values.shape[:-1])), weights.shape[0]) @ weights).astype(np.int64)
    return sums.reshape(*values.shape[:-1], weights.shape[1]) + initial


def rounding_constant(shift: int) -> int:
    """Half of the last bit that a right shift by ``shift`` keeps; 0 for a shift of 0."""
    return (1 << shift) >> 1


def saturate(values: np.ndarray) -> np.ndarray:
    """Clip to the signed 16-bit range."""
    return np.clip(np.asarray(values, dtype=np.int64), VALUE_MIN, VALUE_MAX)


def requantise(accumulators: np.ndarray, shift: int) -> np.ndarray:
    """Round half up, shift right arithmetically by ``shift`` (0..47), saturate to 16 bits.

    The accumulators do not yet hold the rounding constant; the hardware starts its accumulators with it instead.
    """
    return saturate(_shifted(accumulators, shift))


def saturated(accumulators: np.ndarray, shift: int, relu: bool = False) -> np.ndarray:
    """Bool, of the accumulators' shape: where ``requantise`` clips, and the clipping changes the result.

    The value does not fit 16 bits after the shift. With ``relu`` behind it a value below the range does not count: it
    becomes 0, as it would have without the clipping. A value at the end of the range that fits does not count either.
    """
    return clips(_shifted(accumulators, shift), relu)


def clips(values: np.ndarray, relu: bool = False) -> np.ndarray:
    """``saturated`` of values that are rounded and shifted."""
    values = np.asarray(values, dtype=np.int64)
    above = values > VALUE_MAX
    return above if relu else above | (values < VALUE_MIN)


def requantise_rounded(accumulators: np.ndarray, shift: int) -> np.ndarray:
    """``requantise`` of accumulators that hold the rounding constant already, as those of the hardware do."""
    return saturate(np.asarray(accumulators, dtype=np.int64) >> shift)


def saturated_rounded(accumulators: np.ndarray, shift: int, relu: bool = False) -> np.ndarray:
    """``saturated`` of accumulators that hold the rounding constant already."""
    return clips(np.asarray(accumulators, dtype=np.int64) >> shift, relu)


def _shifted(accumulators: np.ndarray, shift: int) -> np.ndarray:
    """Rounded half up and shifted, not yet saturated."""
    return (np.asarray(accumulators, dtype=np.int64) + rounding_constant(shift)) >> shift


def relu(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (max(x, 0), mask); the mask is 1 exactly where x > 0."""
    values = np.asarray(values, dtype=np.int64)
    mask = values > 0
    return np.where(mask, values, 0), mask


def clip(values: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (min(max(x, 0), limit), mask); the mask is 1 exactly where 0 < x < limit.

    A ReLU6 is a clip whose ``limit`` stands for 6. At VALUE_MAX saturation alone makes it, and only the mask differs from a ReLU's.
    """
    values = np.asarray(values, dtype=np.int64)
    return np.clip(values, 0, limit), (values > 0) & (values < limit)


def relu_backward(gradients: np.ndarray, mask: np.ndarray, method: str) -> np.ndarray:
    """Apply a ReLU's backward rule: saliency g*mask, deconvnet max(g, 0), guided max(g, 0)*mask.

    In a graph the rule belongs to the map that the ReLU makes. It is applied once, to that map's whole gradient: the sum of what all
    its readers give, rounded once. So behind an add the rule sees the gradient of the sum, and what it leaves goes to every summand
    alike, with no rule of its own; a map that two branches read is judged by what both give together, never branch by branch.
    Captum's hooks on a ReLU module do the same.

    A clip is a ReLU with a second end, and its rule is a ReLU's with the mask of ``clip``: saliency and guided stop at values at either
    end; DeconvNet, which looks at no activation, takes max(g, 0). (Captum's Deconvolution and GuidedBackprop know ``nn.ReLU`` alone
    and leave a ReLU6 its derivative; here a network gets the same explanation whichever of the two it was built with, as long as no value
    reaches the limit.)
    """
    gradients = np.asarray(gradients, dtype=np.int64)
    if method == "saliency":
        return np.where(mask, gradients, 0)
    if method == "deconvnet":
        return np.maximum(gradients, 0)
    if method == "guided":
        return np.where(mask, np.maximum(gradients, 0), 0)
    raise ValueError(f"unknown method {method!r}: use one of {', '.join(METHODS)}")


def winners(windows: np.ndarray, outside: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(maxima, index) of windows (..., places, C), each (..., C): the first place wins a tie; one that is ``outside``, bool
    (..., places), never wins. Each window must have another one."""
    windows = np.asarray(windows, dtype=np.int64)
    if outside is not None:
        windows = np.where(outside[..., None], VALUE_MIN - 1, windows)
    return windows.max(axis=-2), windows.argmax(axis=-2)


def max_pool(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2 x 2 max-pool, stride 2, of an (..., H, W, C) map; odd last rows and columns are dropped.

    Returns (maxima, index), index = 2*row + column of the winner; the first in row-major order wins a tie.
    """
    values = np.asarray(values, dtype=np.int64)
    height, width = values.shape[-3] // 2 * 2, values.shape[-2] // 2 * 2
    values = values[..., :height, :width, :]
    return winners(np.stack([values[..., row::2, column::2, :] for row in (0, 1) for column in (0, 1)], axis=-2))


def max_unpool(gradients: np.ndarray, index: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put each gradient of an (..., H/2, W/2, C) map at its winner's place in an (..., height, width, C) map of zeros."""
    gradients = np.asarray(gradients, dtype=np.int64)
    result = np.zeros((*gradients.shape[:-3], height, width, gradients.shape[-1]), dtype=np.int64)
    rows, columns = gradients.shape[-3] * 2, gradients.shape[-2] * 2
    for position in range(4):
        result[..., position // 2 : rows : 2, position % 2 : columns : 2, :] = np.where(index == position, gradients, 0)
    return result


def pool_windows(values: np.ndarray, window: Window, places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Max-pool of maps (N, H, W, C) with any windows, each of which must hold a place of the map: padding never wins.

    Returns (maxima, index), each (N, rows, columns, C) for ``places`` = (rows, columns) windows; index = the winner's row * the
    kernel's width + its column; the first in row-major order wins a tie.
    """
    return winners(gather(np.asarray(values, dtype=np.int64), window, places, fill=VALUE_MIN - 1))


def unpool_windows(gradients: np.ndarray, index: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Each gradient (N, rows, columns, C) at its winner's place in maps (N, H, W, C) of ``size`` = (H, W).

    What several windows give one place is added, exactly: the sums may need more than 16 bits, and are rounded only with all else that
    their map's gradient is made of.
    """
    taken = np.asarray(index)[..., None, :] == np.arange(window.taps)[:, None]
    return scatter(np.where(taken, np.asarray(gradients, dtype=np.int64)[..., None, :], 0), window, size)


def arg_max(values: np.ndarray) -> int:
    """Index of the largest value; the first wins a tie."""
    return int(np.argmax(np.asarray(values).reshape(-1)))
