# SPDX-License-Identifier: Apache-2.0
"""Windows of a map: which places each output of a convolution or a pool sees, whatever the kernel, stride, padding and dilation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """What windows look like.

    Attributes:
        kernel: taps (down, across).
        stride: distance of the windows (down, across).
        padding: places beyond the map at (top, left, bottom, right) that windows may reach.
        dilation: distance of the taps (down, across).
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def taps(self) -> int:
        """Taps of one window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def overlap(self) -> int:
        """The most windows that one place of a map can be in."""
        return int(np.prod([-(-kernel // stride) if step == 1 else kernel for kernel, stride, step in self._axes]))

    @property
    def _axes(self) -> list[tuple[int, int, int]]:
        return list(zip(self.kernel, self.stride, self.dilation, strict=True))

    def reach(self, places: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) from the first place of the first window to the last of the last, for so many windows."""
        return tuple(
            (count - 1) * stride + (kernel - 1) * step + 1 for count, (kernel, stride, step) in zip(places, self._axes, strict=True)
        )

    def inside(self, size: tuple[int, int], places: tuple[int, int]) -> np.ndarray:
        """int64 (rows, columns): how many taps of each window lie inside a map of (height, width)."""
        ones = np.ones((1, *size, 1), dtype=np.int64)
        return gather(ones, self, places).sum(axis=(3, 4))[0]


def _slices(window: Window, places: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Of a padded map, for each tap in row-major order, what the windows see there."""
    made = []
    for tap in range(window.taps):
        starts = [at * step for at, step in zip(divmod(tap, window.kernel[1]), window.dilation, strict=True)]
        made.append(
            tuple(
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(starts, places, window.stride, strict=True)
            )
        )
    return made


def gather(maps: np.ndarray, window: Window, places: tuple[int, int], fill: int | float = 0) -> np.ndarray:
    """What windows see: maps (N, H, W, C) -> (N, rows, columns, taps, C), taps in row-major order, ``fill`` beyond the map."""
    top, left = window.padding[:2]
    reach = window.reach(places)
    beyond = [max(0, end - before - size) for end, before, size in zip(reach, (top, left), maps.shape[1:3], strict=True)]
    padded = maps
    if top or left or any(beyond):
        padded = np.pad(maps, ((0, 0), (top, beyond[0]), (left, beyond[1]), (0, 0)), constant_values=fill)
    return np.stack([padded[:, rows, columns] for rows, columns in _slices(window, places)], axis=3)


def scatter(seen: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """The transpose of ``gather``: (N, rows, columns, taps, C) -> (N, H, W, C); what several windows give one place is added, exactly
    for integers; what falls beyond the map (height, width) is dropped."""
    places, (top, left), (height, width) = seen.shape[1:3], window.padding[:2], size
    reach = window.reach(places)
    padded = np.zeros(
        (len(seen), max(reach[0], top + height), max(reach[1], left + width), seen.shape[4]),
        dtype=seen.dtype,
    )
    for tap, (rows, columns) in enumerate(_slices(window, places)):
        padded[:, rows, columns] += seen[:, :, :, tap]
    return padded[:, top : top + height, left : left + width]
