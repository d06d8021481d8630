# SPDX-License-Identifier: Apache-2.0
"""Tensors of a source as views of a graph's maps.

Whatever only moves values (transpose, reshape, flatten, squeeze, slice, split, pad with zeros) makes no node: a view says for each value of
the source's tensor which value of a map it is. So the order of axes in a file (N, H, W, C or N, C, H, W), and that of a flattened map,
never have to be guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcore.network.graph import INPUT, MapShape, Sides

_CHANNELS = (1, 2, 3, 4)  # of pictures: what tells the orders of axes apart
ZERO = -1  # in an index: not a value of the map, but 0


@dataclass(frozen=True)
class View:
    """A tensor of the source.

    Attributes:
        map: the name of a map of the graph.
        shape: of that map, (channels, height, width).
        index: int64, of the tensor's shape: for each value its place in the flattened map, or ``ZERO``.
        softmax: the node, a softmax, that was left out between the map and this tensor; '' for none.
    """

    map: str
    shape: MapShape
    index: np.ndarray
    softmax: str = ""

    @classmethod
    def whole(cls, name: str, shape: MapShape) -> View:
        """A map as it is, (1, C, H, W)."""
        return cls(name, shape, np.arange(math.prod(shape)).reshape(1, *shape))

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> View:
        """The view of what ``move`` makes of the tensor."""
        return replace(self, index=move(self.index))

    @property
    def flat(self) -> np.ndarray:
        """The index in one dimension."""
        return self.index.reshape(-1)

    @property
    def is_in_order(self) -> bool:
        """Whether it is the whole map, in the order C, H, W, whatever the tensor's shape."""
        return self.index.size == math.prod(self.shape) and np.array_equal(self.flat, np.arange(self.index.size))

    @property
    def is_map(self) -> bool:
        """Whether it is the map as it is, (1, C, H, W)."""
        return self.index.shape == (1, *self.shape) and self.is_in_order

    @property
    def is_complete(self) -> bool:
        """Whether it holds each value of the map once, and nothing else."""
        return self.is_in_order or (
            self.index.size == math.prod(self.shape) and np.array_equal(np.sort(self.flat), np.arange(self.index.size))
        )


@dataclass(frozen=True)
class Selection:
    """A view (1, C', H', W') that takes channels, and every s-th row and column from some place on, possibly with zeros round them.

    Attributes:
        channels: for each of its channels the map's, or ``ZERO``.
        origin: the row and column of the map that its first pixel is; negative: so many zeros stand before.
        step: rows and columns of the map from a pixel to the next.
        size: (H', W').
        shape: of the map.
    """

    channels: np.ndarray
    origin: tuple[int, int]
    step: tuple[int, int]
    size: tuple[int, int]
    shape: MapShape

    @property
    def padding(self) -> Sides | None:
        """(top, left, bottom, right), where it is the map with zeros round it; None where rows or columns are left out."""
        return self._padding if self.step == (1, 1) and min(self._padding) >= 0 else None

    @property
    def _padding(self) -> Sides:
        (top, left), (height, width) = self.origin, self.size
        return (-top, -left, height + top - self.shape[1], width + left - self.shape[2])

    @property
    def takes_all_channels(self) -> bool:
        """Whether the channels are the map's, in its order."""
        return np.array_equal(self.channels, np.arange(self.shape[0]))


def selection(view: View) -> Selection | None:
    """The view as a ``Selection``; None where it is none."""
    if view.index.ndim != 4 or view.index.shape[0] != 1 or not view.index.size:
        return None
    channels, height, width = view.shape
    index = view.index[0]
    given = index >= 0
    used = [given.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    if not given.any() or not np.array_equal(given, np.einsum("c,h,w->chw", *used)):
        return None
    first = [int(np.argmax(one)) for one in used]
    parts = []
    for values, axis in ((index // (height * width), 0), (index // width % height, 1), (index % width, 2)):
        line = np.moveaxis(values, axis, 0)[(slice(None), *(first[other] for other in range(3) if other != axis))]
        around = line.reshape([-1 if other == axis else 1 for other in range(3)])
        if not np.all((values == around) | ~given):
            return None
        parts.append(np.where(used[axis], line, ZERO))
    rows, columns = _steps(parts[1], used[1], height), _steps(parts[2], used[2], width)
    if rows is None or columns is None:
        return None
    return Selection(parts[0], (rows[0], columns[0]), (rows[1], columns[1]), index.shape[1:], view.shape)


def _steps(line: np.ndarray, used: np.ndarray, size: int) -> tuple[int, int] | None:
    """(origin, step) of the positions ``origin + step * i``, of which those outside of 0 .. size - 1 are not used; None for others."""
    places = np.flatnonzero(used)
    step = int(line[places[1]] - line[places[0]]) if len(places) > 1 else size
    if step < 1 or (len(places) > 1 and places[1] - places[0] != 1):
        return None
    if len(places) == 1 and len(line) == 1:
        step = 1
    origin = int(line[places[0]]) - step * int(places[0])
    expected = origin + step * np.arange(len(line))
    inside = (expected >= 0) & (expected < size)
    return (origin, step) if np.array_equal(inside, used) and np.array_equal(expected[inside], line[inside]) else None


def input_orders(shape: Sequence[int]) -> list[str]:
    """In which order of axes an input may be; the likelier first."""
    if len(shape) != 4:
        return ["as it is"]
    last = shape[3] in _CHANNELS and shape[1] not in _CHANNELS
    return ["NHWC", "NCHW"] if last else ["NCHW", "NHWC"] if shape[3] in _CHANNELS else ["NCHW"]


def input_view(shape: tuple[int, ...], order: str) -> View:
    """A source's input, of this shape with a batch of 1 and in this order of axes, as a view of the graph's."""
    if order == "NHWC":
        _, height, width, channels = shape
        return View.whole(INPUT, (channels, height, width)).moved(lambda index: index.transpose(0, 2, 3, 1))
    sizes = shape[1:]
    whole: MapShape = {1: (*sizes, 1, 1), 2: (1, *sizes), 3: sizes}[len(sizes)]
    return View.whole(INPUT, whole).moved(lambda index: index.reshape(shape))
