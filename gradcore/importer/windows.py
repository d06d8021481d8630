# SPDX-License-Identifier: Apache-2.0
"""Windows of convolutions and pools: padding by name, ceil mode, worked out into the form that nodes of a graph have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcore.importer.problems import Refused
from gradcore.network.graph import Pair, Sides


def pair(values: Sequence[int] | int, what: str) -> Pair:
    """Two positive integers: of one, or of two."""
    numbers = [values] * 2 if isinstance(values, int) else [int(value) for value in values]
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2 or min(numbers) < 1:
        raise Refused(f"{what} = {list(numbers)}", "give two positive integers, for rows and columns")
    return numbers[0], numbers[1]


def same_padding(size: Pair, kernel: Pair, stride: Pair, dilation: Pair, *, upper: bool) -> Sides:
    """(top, left, bottom, right) with which a map has as many windows as ``ceil(size / stride)``; an odd pixel at the end (``upper``)
    or at the start."""
    first, last = [], []
    for length, taps, step, apart in zip(size, kernel, stride, dilation, strict=True):
        total = max(0, (math.ceil(length / step) - 1) * step + (taps - 1) * apart + 1 - length)
        small, large = total // 2, total - total // 2
        first.append(small if upper else large)
        last.append(large if upper else small)
    return first[0], first[1], last[0], last[1]


def ceil_overhang(size: Pair, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair) -> Pair:
    """Pixels (bottom, right) beyond the padding that the last windows of ceil mode reach; a window that would begin in the padding at the
    end is none."""
    beyond = []
    for axis, (length, taps, step, apart) in enumerate(zip(size, kernel, stride, dilation, strict=True)):
        before, after = padding[axis], padding[axis + 2]
        reach = (taps - 1) * apart + 1
        places = math.ceil((length + before + after - reach) / step) + 1
        if (places - 1) * step >= length + before:
            places -= 1
        beyond.append(max(0, (places - 1) * step + reach - length - before - after))
    return beyond[0], beyond[1]
