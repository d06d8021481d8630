# SPDX-License-Identifier: Apache-2.0
"""Generated pictures of high contrast: patterns, print, line art, as photographs hardly ever are.

Activations and gradients are larger in them than in photographs. Number formats that are chosen on photographs alone make them
saturate: so calibration sees such pictures too, and ``gradcore eval --patterns`` measures others of the same kinds.

Only NumPy and Pillow's built-in bitmap font are needed; the same seed gives the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INKS = ("black on white", "white on black", "saturated colours")
CALIBRATION_SEED, MEASURING_SEED = 1, 2

_Canvas = tuple[np.random.Generator, np.ndarray, np.ndarray]  # the generator, row numbers (H, 1), column numbers (1, W)


def _checkerboard(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    cell = generator.integers(1, 9)
    down, right = generator.integers(0, cell, 2)
    return ((rows + down) // cell + (columns + right) // cell) % 2 == 0


def _stripes(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    period = generator.integers(2, 13)
    along = rows if generator.random() < 0.5 else columns
    return np.broadcast_to((along + generator.integers(period)) % period < generator.integers(1, period), (len(rows), columns.size))


def _bar_code(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    along = rows if generator.random() < 0.3 else columns
    edges = np.cumsum(generator.integers(1, 5, along.size + 1))
    bars = np.searchsorted(edges, along, side="right") % 2 == 0
    quiet = generator.integers(0, max(1, along.size // 6) + 1)  # the empty margin round it
    inside = (along >= quiet) & (along < along.size - quiet)
    return np.broadcast_to(bars & inside, (len(rows), columns.size))


def _diagonals(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    period, phase = generator.integers(3, 11), generator.integers(11)
    steep = generator.choice([(1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2)])
    return (rows * steep[0] + columns * steep[1] + phase) % period < generator.integers(1, 3)


def _grid(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    period, down, right = generator.integers(3, 11, 3)
    thick = generator.integers(1, 3)
    return ((rows + down) % period < thick) | ((columns + right) % period < thick)


def _rings(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    top, left = generator.uniform(0, 1, 2) * (len(rows), columns.size)
    period = generator.uniform(2, 10)
    return np.hypot(rows - top, columns - left) % period < generator.uniform(1, period - 0.5)


def _line_art(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    ink = np.zeros((len(rows), columns.size), bool)
    size = (len(rows), columns.size)
    for _ in range(generator.integers(4, 13)):
        half = generator.uniform(0.5, 1.1)
        (y, x), (to_y, to_x) = generator.uniform(-0.1, 1.1, (2, 2)) * size
        if generator.random() < 0.3:
            ink |= np.abs(np.hypot(rows - y, columns - x) - generator.uniform(0.1, 0.5) * min(size)) < half
            continue
        length = (to_y - y) ** 2 + (to_x - x) ** 2 + 1e-9
        part = np.clip(((rows - y) * (to_y - y) + (columns - x) * (to_x - x)) / length, 0, 1)
        ink |= np.hypot(rows - y - part * (to_y - y), columns - x - part * (to_x - x)) < half
    return ink


def _print(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    height, width = len(rows), columns.size
    scale = int(generator.integers(1, 3))
    page = Image.new("1", (width // scale + 6, height // scale + 11))
    drawing, font = ImageDraw.Draw(page), ImageFont.load_default_imagefont()
    for top in range(0, page.height, 11):
        letters = generator.integers(33, 127, page.width // 6 + 1)
        drawing.text((0, top), "".join(map(chr, letters)), fill=1, font=font)
    down, right = generator.integers(0, 6, 2)
    return np.kron(np.asarray(page), np.ones((scale, scale), bool))[down : down + height, right : right + width]


def _static(canvas: _Canvas) -> np.ndarray:
    generator, rows, columns = canvas
    cell = generator.integers(1, 5)
    coarse = generator.random((len(rows) // cell + 1, columns.size // cell + 1)) < generator.uniform(0.2, 0.8)
    return np.kron(coarse, np.ones((cell, cell), bool))[: len(rows), : columns.size]


_DRAWINGS: dict[str, Callable[[_Canvas], np.ndarray]] = {
    "checkerboard": _checkerboard,
    "stripes": _stripes,
    "bar code": _bar_code,
    "thin diagonals": _diagonals,
    "grid": _grid,
    "rings": _rings,
    "line art": _line_art,
    "print": _print,
    "random squares": _static,
}
KINDS = tuple(_DRAWINGS)


def patterns(input_shape: tuple[int, int, int], count: int = 20, *, seed: int = MEASURING_SEED) -> dict[tuple[str, str], np.ndarray]:
    """Pictures of high contrast, by kind and ink: ``count`` of each of the 9 kinds in each of the 3 inks.

    Args:
        input_shape: channels, height, width of the pictures.
        count: pictures of each kind and ink.
        seed: other seeds give other pictures of the same kinds.

    Returns:
        For each (kind, ink) uint8 (count, H, W, C). Every value is 0 or 255; the first two inks are grey.
    """
    channels, height, width = input_shape
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    made = {}
    for number, (kind, draw) in enumerate(_DRAWINGS.items()):
        for variety, ink in enumerate(INKS):
            images = np.empty((count, height, width, channels), np.uint8)
            for index, image in enumerate(images):
                generator = np.random.default_rng([seed, number, variety, index])
                drawn = draw((generator, rows, columns))
                paper, pen = _inks(generator, ink, channels)
                image[...] = np.where(drawn[..., None], pen, paper) * np.uint8(255)
            made[kind, ink] = images
    return made


def _inks(generator: np.random.Generator, ink: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Paper and pen, bool (C,): whether a channel is full."""
    paper = np.full(channels, ink == "black on white")
    pen = ~paper
    if ink == "saturated colours" and channels > 1:
        while np.array_equal(paper, pen) or np.ptp(paper.astype(int)) + np.ptp(pen.astype(int)) == 0:
            paper, pen = generator.random((2, channels)) < 0.5
    return paper, pen
