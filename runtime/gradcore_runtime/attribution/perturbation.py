# SPDX-License-Identifier: Apache-2.0
"""Methods that change the input and look at the score: forward passes alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import GradCoreError
from .case import Case


def occlusion(case: Case) -> np.ndarray:
    """How much of the score a window of the input carries (Zeiler and Fergus, 2013): the score without the window's values, taken from
    the score of the input, averaged over the windows that hold a place. Windows that reach over the edge are cut."""
    baseline, score = case.baseline(), case.score(case.forward.output)
    places = list(windows(case.inputs.shape, case.parameters))
    total, counts = np.zeros_like(case.inputs), np.zeros_like(case.inputs)
    occluded = _Occluded(case.inputs, baseline, places)
    for place, reply in zip(places, case.each(occluded, None), strict=True):
        total[place] += score - case.score(reply.output)
        counts[place] += 1
    return np.divide(total, counts, out=np.zeros_like(total), where=counts > 0)


class _Occluded(Sequence):
    """The input with each window in turn replaced by the baseline; made when it is asked for."""

    def __init__(self, inputs: np.ndarray, baseline: np.ndarray, places: Sequence[tuple[slice, ...]]) -> None:
        self._inputs, self._baseline, self._places = inputs, baseline, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return [self[number] for number in range(*key.indices(len(self)))]
        changed = self._inputs.copy()
        changed[self._places[key]] = self._baseline[self._places[key]]
        return changed


def windows(shape: Sequence[int], parameters: Any) -> Iterator[tuple[slice, ...]]:
    """The windows over an input (C, H, W).

    Raises:
        GradCoreError: a window is larger than the input, or a stride than the window, which would leave gaps.
    """
    sizes = parameters["sliding_window_shapes"] or (shape[0], *(min(4, size) for size in shape[1:]))
    strides = parameters["strides"]
    strides = (1 if strides is None else strides,) * 3 if not isinstance(strides, tuple) else strides
    starts = []
    for what, have, size, stride in zip(("channels", "rows", "columns"), shape, sizes, strides, strict=True):
        if size > have:
            raise GradCoreError(f"sliding_window_shapes {sizes} has more {what} than the input, {size} of {have}: give a smaller window")
        if stride > size and have > size:
            raise GradCoreError(f"a stride of {stride} {what} leaves gaps between windows of {size}: give strides of at most that")
        starts.append([slice(first, first + size) for first in range(0, -(-(have - size) // stride) * stride + 1, stride)])
    yield from itertools.product(*starts)
