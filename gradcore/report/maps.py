# SPDX-License-Identifier: Apache-2.0
"""The pictures of a report: what the network saw, and signed maps over it on one scale, as data URIs that are small."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from gradcore.drawing import svg
from gradcore.drawing.heatmap import outlier_threshold
from gradcore.drawing.palette import diverging
from gradcore.explanation.result import drawn

OUTLIER = 2.0  # percent of the total that is cut, as in heatmaps
LARGEST = 20_000  # bytes of a picture as PNG; larger ones become JPEG, of this size at most where that can be
_QUALITIES = (88, 75, 60, 45, 30)
_DIMMED = (0.42, 0.50)  # the picture below a map: from this grey on, over so much of the range


def is_picture(pixels: np.ndarray) -> bool:
    """Whether people see something in it: 1 or 3 channels, more than a row."""
    return pixels.shape[2] in (1, 3) and min(pixels.shape[:2]) > 1


def plain(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of what the network saw, uint8 (H, W, C): a vector as one row, the mean of channels that are no colours."""
    shown, _ = drawn(pixels, np.zeros((1, *pixels.shape[:2]), np.float32) if pixels.shape[:2] != (1, 1) else _vector(pixels))
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown


def signed(pixels: np.ndarray, attribution: np.ndarray) -> np.ndarray:
    """float64 (H, W) in -1..1: the sum over the channels, over the value below which all but ``OUTLIER`` percent of the total lies.

    So every method's map has the same scale, whatever its unit: 1 is the method's own strongest.
    """
    _, shown = drawn(pixels, np.nan_to_num(attribution.astype(np.float64), posinf=0.0, neginf=0.0))
    values = shown.sum(axis=0)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest:
        return values
    values = values / largest
    return np.clip(values / (outlier_threshold(np.abs(values), OUTLIER) or 1.0), -1.0, 1.0)


def over(pixels: np.ndarray, attribution: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): a signed map over the dimmed picture; where it is 0 the picture shows."""
    values = signed(pixels, attribution)
    grey = plain(pixels) @ np.array([0.299, 0.587, 0.114]) / 255.0
    below = 255.0 * (_DIMMED[0] + _DIMMED[1] * grey)[..., None]
    strength = np.abs(values)[..., None] ** 0.75
    colour = diverging(np.sign(values)).astype(np.float64)
    return np.round(below + (colour - below) * strength).astype(np.uint8)


def uri(pixels: np.ndarray) -> str:
    """A data URI: PNG, exact, unless that is large; then JPEG."""
    made = svg.pixels(pixels)
    if len(made) * 3 // 4 <= LARGEST:
        return made
    for quality in _QUALITIES:
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() <= LARGEST:
            break
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _vector(pixels: np.ndarray) -> np.ndarray:
    return np.zeros((pixels.shape[2], 1, 1), np.float32)
