# SPDX-License-Identifier: Apache-2.0
"""Heatmaps: an attribution drawn, alone and over its picture.

The conventions are those of Captum's ``visualize_image_attr``: the gradient is reduced to one number for each pixel,
divided by the value below which all but ``outlier`` percent of the total lies, and clipped, so that a few extreme
pixels do not make the rest of the map black. Only the reduction is that of the saliency paper: the maximum of
|gradient| over the channels. A pixel whose gradient is not a finite number has the colour ``MARK``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.drawing.figures import check_picture_file, drawing, fitted, new_figure, save
from gradcore.errors import GradCoreError
from gradcore.pictures.picture import load_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNS = ("absolute", "positive")
COLOUR_MAP = "inferno"
MARK = "cyan"  # no colour of the map is near it
SIDE = 512  # pixels of the longer side of a drawn picture, about; larger maps keep their size
_DPI = 100
_LEFT, _RIGHT, _TOP, _BOTTOM = 12, 84, 44, 12  # pixels round the panels: labels above, colour bar on the right
_GAP = 12
_THIN, _LONGEST = 16, 4096  # a panel's shorter side has at least so many pixels, unless the longer one had more than so many
_LEAST_WIDTH, _LEAST_HEIGHT = 300, 100  # room of a panel: for the text above it, and for the colour bar


def check_attribution(attribution: Any) -> np.ndarray:
    """An attribution as float64, channels x height x width.

    Raises:
        GradCoreError: it is none: no real numbers, or another shape.
    """
    try:
        values = np.asarray(attribution)
        if values.dtype == object or np.iscomplexobj(values):
            raise TypeError(f"its values are {values.dtype}")
        values = values.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # PyTorch raises RuntimeError for a tensor that needs a gradient
        raise GradCoreError(f"this is no attribution ({error}): give an array of numbers, channels x height x width") from None
    if values.ndim != 3 or 0 in values.shape:
        raise GradCoreError(f"an attribution has the shape channels x height x width, not {values.shape}: give one of a picture")
    return values


def reduce_channels(attribution: np.ndarray, sign: str = "absolute") -> np.ndarray:
    """One number for each pixel, H x W, from a signed C x H x W gradient; NaN where it is not finite.

    ``absolute``: the maximum of |gradient| over the channels; ``positive``: the maximum of the gradient, at least 0.

    Raises:
        GradCoreError: another shape, or another sign.
    """
    attribution = check_attribution(attribution)
    if sign not in SIGNS:
        raise GradCoreError(f"unknown sign {sign!r}: use one of {', '.join(SIGNS)}")
    values = np.abs(attribution) if sign == "absolute" else np.maximum(attribution, 0)
    return np.where(np.isfinite(attribution).all(axis=0), values.max(axis=0), np.nan)


def outlier_threshold(values: np.ndarray, outlier: float = 2.0) -> float:
    """Captum's scale: the smallest value such that it and all below sum up to (100 - outlier) percent of the total."""
    ordered = np.sort(np.asarray(values, dtype=np.float64).reshape(-1))
    sums = np.cumsum(ordered)
    return float(ordered[np.searchsorted(sums, sums[-1] * (0.01 * (100.0 - outlier)), side="left").clip(max=ordered.size - 1)])


def normalise(attribution: np.ndarray, *, sign: str = "absolute", outlier: float = 2.0) -> np.ndarray:
    """H x W heat in 0..1 from a signed C x H x W gradient; all zeros for a gradient of zeros, NaN where it is not finite.

    Raises:
        GradCoreError: another shape or sign, or ``outlier`` is no percentage.
    """
    heat = reduce_channels(attribution, sign)
    if not 0 <= outlier <= 100:
        raise GradCoreError(f"outlier is {outlier}: give a percentage, 0 to 100")
    finite = heat[np.isfinite(heat)]
    largest = float(finite.max(initial=0.0))
    if largest == 0:
        return heat
    heat = heat / largest  # so that no sum overflows
    scale = outlier_threshold(finite / largest, outlier) or 1.0
    return np.clip(heat / scale, 0.0, 1.0)


def not_numbers(attribution: np.ndarray) -> int:
    """How many pixels of an attribution are drawn in the colour ``MARK``: a channel's gradient is NaN or infinite."""
    return int(np.isnan(reduce_channels(attribution)).sum())


def draw_heatmap(attribution: np.ndarray, path: str | Path, *, title: str = "", sign: str = "absolute", outlier: float = 2.0) -> None:
    """Draw the heatmap of a signed C x H x W gradient, each pixel a square, with a colour bar.

    Args:
        attribution: signed gradient, C x H x W.
        path: the file to write; its suffix says in which format (PNG, JPEG, PDF, SVG ...).
        title: what stands over it; what is too long loses its middle.
        sign, outlier: see ``reduce_channels`` and ``outlier_threshold``.

    Raises:
        GradCoreError: another shape, sign or suffix, or the file cannot be written.
    """
    heat = normalise(attribution, sign=sign, outlier=outlier)
    check_picture_file(path)
    with drawing():
        figure, axes = _figure(heat.shape, 1)
        _show_heat(figure, axes[0], heat, 1.0)
        _finish(figure, axes, [_title(title, heat)], path)


def draw_overlay(
    picture: np.ndarray,
    attribution: np.ndarray,
    path: str | Path,
    *,
    title: str = "",
    sign: str = "absolute",
    outlier: float = 2.0,
) -> None:
    """Draw, side by side, the picture that the network saw and the heatmap over it.

    Args:
        picture: uint8 (or float in 0..1), H x W, H x W x 1 or H x W x 3, of the attribution's height and width.
        attribution: signed gradient, C x H x W.
        path: the file to write; its suffix says in which format.
        title: what stands over the heatmap.
        sign, outlier: see ``draw_heatmap``.

    Raises:
        GradCoreError: another shape, sign or suffix, or the file cannot be written.
    """
    heat = normalise(attribution, sign=sign, outlier=outlier)
    height, width = heat.shape
    shape = np.shape(picture)
    if len(shape) < 2 or shape[:2] != heat.shape:
        raise GradCoreError(f"the picture has the shape {shape}, the attribution {height} x {width} pixels: give the same ones")
    rgb = load_picture(np.asarray(picture), height=height, width=width, name="the picture").pixels / 255.0
    check_picture_file(path)
    with drawing():
        figure, axes = _figure(heat.shape, 2)
        grey = rgb @ np.array([0.299, 0.587, 0.114])
        axes[0].imshow(rgb, interpolation="nearest", origin="upper")
        axes[1].imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest", origin="upper")
        _show_heat(figure, axes[1], heat, 0.15 + 0.75 * np.nan_to_num(heat))
        _finish(figure, axes, [f"what the network sees: {width} x {height}", _title(title, heat)], path)


def _figure(shape: tuple[int, ...], panels: int) -> tuple[Figure, list[Axes]]:
    """A figure whose panels have about SIDE pixels on the longer side: a whole number for each of the map's pixels."""
    thin = min(math.ceil(_THIN / min(shape)), _LONGEST // max(shape))
    scale = max(1, round(SIDE / max(shape)), thin)
    height, width = shape[0] * scale, shape[1] * scale
    room = max(width, _LEAST_WIDTH)
    full_width = _LEFT + panels * room + (panels - 1) * _GAP + _RIGHT
    full_height = _TOP + max(height, _LEAST_HEIGHT) + _BOTTOM
    figure = new_figure(full_width, full_height, _DPI)
    axes = []
    for panel in range(panels):
        left, bottom = _LEFT + panel * (room + _GAP), full_height - _TOP - height
        axes.append(figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height)))
        axes[-1].set_axis_off()
    return figure, axes


def _show_heat(figure: Figure, axes: Axes, heat: np.ndarray, alpha: np.ndarray | float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba

    where = {"interpolation": "nearest", "origin": "upper"}
    axes.imshow(np.nan_to_num(heat), cmap=COLOUR_MAP, vmin=0, vmax=1, alpha=alpha, **where)
    if np.isnan(heat).any():
        axes.imshow(np.isnan(heat)[..., None] * np.array(to_rgba(MARK)), **where)
    box, pixel = axes.get_position(), 1 / (figure.get_figwidth() * _DPI)
    height = max(box.height, _LEAST_HEIGHT / (figure.get_figheight() * _DPI))
    bar = figure.add_axes((box.x1 + 14 * pixel, box.y1 - height, 18 * pixel, height))
    colours = figure.colorbar(ScalarMappable(Normalize(0, 1), COLOUR_MAP), cax=bar, ticks=[0, 0.5, 1])
    colours.ax.tick_params(labelsize=9)


def _title(title: str, heat: np.ndarray) -> str:
    marked = int(np.isnan(heat).sum())
    return " ".join(filter(None, [title, f"({marked} pixels are no numbers: {MARK})" if marked else ""]))


def _finish(figure: Figure, axes: list[Axes], titles: list[str], path: str | Path) -> None:
    across = figure.get_figwidth() * _DPI
    lefts = [one.get_position().x0 * across for one in axes]
    for one, title, left, end in zip(axes, titles, lefts, [*lefts[1:], across], strict=True):
        title = fitted(figure, title, end - left - _GAP, fontsize=11)
        top = one.get_position().y1 + 14 / (figure.get_figheight() * _DPI)
        figure.text(left / across, top, title, fontsize=11, va="bottom", ha="left")
    save(figure, path)
