# SPDX-License-Identifier: Apache-2.0
"""The specification of every arithmetic rule of GradCore, in fxpmath: what the numbers mean, stated by formats.

Nothing here shifts, clips or adds a half by hand: numbers are ``fxpmath.Fxp`` of a format (``gradcore.models.numbers.Format``), a
product has the fraction bits of both factors, and to requantise is to round to another format: to the nearest number, upwards
at exactly one half (fxpmath's ``nearest_posinf``), and to the format's end what lies beyond. ``models/arithmetic.py`` is the fast
twin; ``models/expectation.py`` compares the two.

fxpmath is needed by tests alone: nothing that runs at run time may import this module. It is 400 to 4000 times slower than the
twin. Rounding from format to format goes through float64, which is exact for words of up to 53 bits: accumulators have 48.
"""

from __future__ import annotations

import numpy as np
from fxpmath import Fxp

from gradcore.models.arithmetic import ACCUMULATOR_BITS, METHODS
from gradcore.models.numbers import Format
from gradcore.models.windows import Window

_WIDEST = 53  # bits of a number that goes through float64 exactly


def number(raw: np.ndarray, format: Format) -> Fxp:
    """Raw integers as numbers of a format. Raises ValueError for one that does not fit."""
    if not format.holds(raw):
        raise ValueError(f"a raw number does not fit {format}")
    made, raw = _empty(format), np.asarray(raw, dtype=np.int64)
    if raw.size:
        made.set_val(raw, raw=True)
    else:
        made.val = raw  # set_val looks for a maximum
    return made


def raw(number: Fxp) -> np.ndarray:
    """int64: the raw integers of numbers."""
    return np.asarray(number.val).astype(np.int64)


def format_of(number: Fxp) -> Format:
    """The format of numbers."""
    return Format(number.n_word, number.n_frac)


def rounded(number: Fxp, format: Format) -> Fxp:
    """Numbers in another format: to the nearest, upwards at exactly one half; saturated at the format's ends."""
    assert number.n_word <= _WIDEST, f"{number.n_word} bits are more than float64 holds"
    made = _empty(format)
    made.equal(number)  # adds a dimension to arrays
    made.val = made.val.reshape(number.shape)
    return made


def _empty(format: Format) -> Fxp:
    return Fxp(None, signed=True, n_word=format.word, n_frac=format.fraction, rounding="nearest_posinf", overflow="saturate")


def quantise(real: np.ndarray, format: Format) -> tuple[Fxp, np.ndarray]:
    """Real numbers (float64) as numbers of a format: (rounded and saturated, bool where they were clipped).

    Their raw numbers must be below 2**63 in magnitude: beyond, fxpmath does not round.
    """
    real = np.asarray(real, dtype=np.float64)
    made, wide = _empty(format), _empty(Format(_WIDEST, format.fraction))
    made.set_val(real)
    wide.set_val(real)
    return made, np.asarray(wide != made)


def product(values: Fxp, weights: Fxp) -> Fxp:
    """Products, exact: as many word and fraction bits as both factors together."""
    return values * weights


def exact_sum(values: Fxp, weights: Fxp, initial: Fxp) -> Fxp:
    """Accumulators (n, m): ``initial`` + values (n, k) times weights (k, m), exact.

    ``initial`` must have the products' fraction, whatever its word. Raises OverflowError for a sum beyond 48 bits.
    """
    format = Format(ACCUMULATOR_BITS, values.n_frac + weights.n_frac)
    if initial.n_frac != format.fraction:
        raise ValueError(f"{format_of(values)} x {format_of(weights)} makes sums of {format}, not of {format_of(initial)}")
    total = np.dot(values, weights) + initial if values.shape[-1] else initial
    made = rounded(total, format)
    if np.any(raw(made) != raw(total)):
        raise OverflowError(f"a sum does not fit the accumulator, {format}")
    return number(np.broadcast_to(raw(made), (values.shape[0], weights.shape[1])), format)


def rounding_constant(accumulator: Format, result: Format) -> Fxp:
    """Half of the last place of ``result``, as an accumulator; 0 where the accumulator has no more places than that."""
    half = Fxp(0.5 * 2.0**-result.fraction, signed=True, n_word=accumulator.word + 1, n_frac=accumulator.fraction, rounding="floor")
    return rounded(half, Format(accumulator.word + 1, accumulator.fraction))


def requantise(accumulators: Fxp, result: Format) -> Fxp:
    """Accumulators, which do not hold the rounding constant, as values of a format. ValueError for more places than the sums have."""
    if result.fraction > accumulators.n_frac:
        raise ValueError(f"sums of {format_of(accumulators)} have fewer places than {result}: the hardware shifts right only")
    return rounded(accumulators, result)


def without_half(accumulators: Fxp, result: Format) -> Fxp:
    """Accumulators that started with the rounding constant, as those of the hardware do, without it."""
    return accumulators - rounding_constant(format_of(accumulators), result)


def requantise_rounded(accumulators: Fxp, result: Format) -> Fxp:
    """``requantise`` of accumulators that hold the rounding constant already."""
    return requantise(without_half(accumulators, result), result)


def saturated(accumulators: Fxp, result: Format, relu: bool = False) -> np.ndarray:
    """Bool: where the value, after the ReLU where there is one, would be another number if the word were wider."""
    value, wide = requantise(accumulators, result), requantise(accumulators, Format(_WIDEST, result.fraction))
    different = np.asarray(value != wide)
    return different & np.asarray(wide > 0) if relu else different


def saturated_rounded(accumulators: Fxp, result: Format, relu: bool = False) -> np.ndarray:
    """``saturated`` of accumulators that hold the rounding constant already."""
    return saturated(without_half(accumulators, result), result, relu)


def relu(values: Fxp) -> tuple[Fxp, np.ndarray]:
    """(x where x > 0, else 0; bool mask: where x > 0)."""
    mask = np.asarray(values > 0)
    return _where(values, mask), mask


def clip(values: Fxp, limit: Fxp) -> tuple[Fxp, np.ndarray]:
    """(x where 0 < x < limit, else the nearer of 0 and limit; bool mask: where 0 < x < limit). Both of one format."""
    mask, above = np.asarray((values > 0) & (values < limit)), np.asarray(values >= limit)
    ends = number(np.broadcast_to(raw(limit), np.shape(above)), format_of(values))
    return rounded(_where(values, mask) + _where(ends, above), format_of(values)), mask


def relu_backward(gradients: Fxp, mask: np.ndarray, method: str) -> Fxp:
    """A ReLU's backward rule: saliency g * mask, deconvnet max(g, 0), guided max(g, 0) * mask."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: use one of {', '.join(METHODS)}")
    result = gradients
    if method in ("deconvnet", "guided"):
        result = _where(result, np.asarray(result > 0))
    if method in ("saliency", "guided"):
        result = _where(result, np.broadcast_to(np.asarray(mask, dtype=bool), result.shape))
    return result


def winners(windows: Fxp, outside: np.ndarray | None = None) -> tuple[Fxp, np.ndarray]:
    """(maxima, index) of windows (..., places, C): each place must be greater than all before it to win, of those that are not
    ``outside``, bool (..., places)."""
    best = windows[..., 0, :]
    index = np.zeros(best.shape, dtype=np.int64)
    outside = np.zeros(windows.shape[:-1], dtype=bool) if outside is None else outside
    for place in range(1, windows.shape[-2]):
        candidate = windows[..., place, :]
        none_before = outside[..., :place].all(axis=-1)[..., None]
        greater = (np.asarray(candidate > best) | none_before) & ~outside[..., place, None]
        best = rounded(_where(candidate, greater) + _where(best, ~greater), format_of(windows))
        index[greater] = place
    return best, index


def max_pool(values: Fxp) -> tuple[Fxp, np.ndarray]:
    """2 x 2 max-pool of a map (H, W, C): (maxima, index = 2*row + column of the winner), each (H // 2, W // 2, C)."""
    height, width, channels = values.shape[0] // 2 * 2, values.shape[1] // 2 * 2, values.shape[2]
    places = [raw(values)[row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]
    return winners(number(np.stack(places, axis=-2).reshape(height // 2, width // 2, 4, channels), format_of(values)))


def max_unpool(gradients: Fxp, index: np.ndarray, height: int, width: int) -> Fxp:
    """Gradients (H, W, C) at their winners' places in a map (height, width, C) that is 0 elsewhere."""
    result = number(np.zeros((height, width, gradients.shape[2]), dtype=np.int64), format_of(gradients))
    for place in range(4):
        row, column = divmod(place, 2)
        rows, columns = slice(row, 2 * gradients.shape[0], 2), slice(column, 2 * gradients.shape[1], 2)
        result.val[rows, columns] = _where(gradients, np.asarray(index) == place).val
    return result


def pool_windows(values: Fxp, window: Window, places: tuple[int, int]) -> tuple[Fxp, np.ndarray]:
    """Max-pool of a map (H, W, C) with any windows: (maxima, index), each (rows, columns, C) for ``places`` = (rows, columns). A place
    must be greater than all before it in its window to win; places beyond the map do not take part."""
    best, index = np.zeros((*places, values.shape[2]), dtype=np.int64), np.zeros((*places, values.shape[2]), dtype=np.int64)
    for row, column in np.ndindex(places):
        inside = _inside(window, row, column, values.shape[:2])
        seen = number(np.stack([raw(values)[place] for _, place in inside]), format_of(values))
        most, first = winners(seen)
        best[row, column], index[row, column] = raw(most), np.array([tap for tap, _ in inside])[first]
    return number(best, format_of(values)), index


def unpool_windows(gradients: Fxp, index: np.ndarray, window: Window, size: tuple[int, int]) -> Fxp:
    """Gradients (rows, columns, C) added up at their winners' places in a map (*size, C): of a word that holds any such sum."""
    format = format_of(gradients)
    wide = Format(format.word + int(window.taps).bit_length(), format.fraction)
    result = number(np.zeros((*size, gradients.shape[2]), dtype=np.int64), wide)
    for row, column in np.ndindex(gradients.shape[:2]):
        taps, places = zip(*_inside(window, row, column, size), strict=True)
        there = tuple(np.array(places).T)
        won = np.asarray(index)[row, column] == np.array(taps)[:, None]
        given = _where(number(np.broadcast_to(raw(gradients)[row, column], won.shape), format), won)
        result.val[there] = rounded(number(raw(result)[there], wide) + given, wide).val
    return result


def _inside(window: Window, row: int, column: int, size: tuple[int, int]) -> list[tuple[int, tuple[int, int]]]:
    """(tap, place) of the taps of one window that lie inside a map of this size."""
    made = []
    for tap in range(window.taps):
        down, across = divmod(tap, window.kernel[1])
        place = (
            row * window.stride[0] - window.padding[0] + down * window.dilation[0],
            column * window.stride[1] - window.padding[1] + across * window.dilation[1],
        )
        if 0 <= place[0] < size[0] and 0 <= place[1] < size[1]:
            made.append((tap, place))
    return made


def arg_max(values: Fxp) -> int:
    """Index of the largest of a vector's values: the first one that none is greater than."""
    values = values.reshape(-1)
    return int(np.flatnonzero(np.asarray(values >= values.max()))[0])


def _where(values: Fxp, flags: np.ndarray) -> Fxp:
    """The values where the flags are up, else 0: products with 0 and 1."""
    bits = Fxp(np.asarray(flags, dtype=np.int64), signed=False, n_word=1, n_frac=0)
    return rounded(values * bits, format_of(values))
