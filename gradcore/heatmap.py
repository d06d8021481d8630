# SPDX-License-Identifier: Apache-2.0
"""Heatmaps: an attribution drawn, alone and over its picture.

The conventions are those of Captum's ``visualize_image_attr``: the gradient is reduced to one number for each pixel,
divided by the value below which all but ``outlier`` percent of the total lies, and clipped, so that a few extreme
pixels do not make the rest of the map black. Only the reduction is that of the saliency paper: the maximum of
|gradient| over the channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNS = ("absolute", "positive")
COLOUR_MAP = "inferno"
SIDE = 512  # pixels of the longer side of a drawn picture, about; larger maps keep their size
_DPI = 100
_LEFT, _RIGHT, _TOP, _BOTTOM = 12, 84, 44, 12  # pixels round the panels: labels above, colour bar on the right
_GAP = 12


def reduce_channels(attribution: np.ndarray, sign: str = "absolute") -> np.ndarray:
    """One number for each pixel, H x W, from a signed C x H x W gradient.

    ``absolute``: the maximum of |gradient| over the channels; ``positive``: the maximum of the gradient, at least 0.
    """
    attribution = np.asarray(attribution, dtype=np.float64)
    if attribution.ndim != 3:
        raise ValueError(f"an attribution has the shape channels x height x width, not {attribution.shape}")
    if sign == "absolute":
        return np.abs(attribution).max(axis=0)
    if sign == "positive":
        return np.maximum(attribution, 0).max(axis=0)
    raise ValueError(f"unknown sign {sign!r}: use one of {', '.join(SIGNS)}")


def outlier_threshold(values: np.ndarray, outlier: float = 2.0) -> float:
    """Captum's scale: the smallest value such that it and all below sum up to (100 - outlier) percent of the total."""
    ordered = np.sort(np.asarray(values, dtype=np.float64).reshape(-1))
    sums = np.cumsum(ordered)
    return float(
        ordered[np.searchsorted(sums, sums[-1] * (0.01 * (100.0 - outlier)), side="left").clip(max=ordered.size - 1)]
    )


def normalise(attribution: np.ndarray, *, sign: str = "absolute", outlier: float = 2.0) -> np.ndarray:
    """H x W heat in 0..1 from a signed C x H x W gradient; all zeros for a gradient of zeros."""
    heat = reduce_channels(attribution, sign)
    scale = outlier_threshold(heat, outlier) or float(heat.max())
    return np.clip(heat / scale, 0.0, 1.0) if scale > 0 else np.zeros_like(heat)


def draw_heatmap(
    attribution: np.ndarray, path: str | Path, *, title: str = "", sign: str = "absolute", outlier: float = 2.0
) -> None:
    """Write the heatmap of a signed C x H x W gradient as a PNG, each pixel a square, with a colour bar."""
    heat = normalise(attribution, sign=sign, outlier=outlier)
    figure, axes = _figure(heat.shape, 1)
    _show_heat(figure, axes[0], heat, 1.0)
    _finish(figure, axes, [title], path)


def draw_overlay(
    picture: np.ndarray,
    attribution: np.ndarray,
    path: str | Path,
    *,
    title: str = "",
    sign: str = "absolute",
    outlier: float = 2.0,
) -> None:
    """Write, side by side, the picture that the network saw and the heatmap over it, as a PNG.

    Args:
        picture: uint8, H x W x 3 or H x W x 1, of the attribution's height and width.
        attribution: signed gradient, C x H x W.
        path: the file to write.
        title: what stands over the heatmap.
    """
    picture = np.asarray(picture)
    heat = normalise(attribution, sign=sign, outlier=outlier)
    if picture.shape[:2] != heat.shape:
        raise ValueError(f"the picture has {picture.shape[:2]} pixels, the attribution {heat.shape}")
    figure, axes = _figure(heat.shape, 2)
    rgb = np.broadcast_to(picture, (*heat.shape, 3)) / 255.0
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    axes[0].imshow(rgb, interpolation="nearest")
    axes[1].imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    _show_heat(figure, axes[1], heat, 0.15 + 0.75 * heat)
    _finish(figure, axes, [f"what the network sees: {heat.shape[1]} x {heat.shape[0]}", title], path)


def _figure(shape: tuple[int, ...], panels: int) -> tuple[Figure, list]:
    """A figure whose panels have about SIDE pixels on the longer side: a whole number for each of the map's pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = max(1, round(SIDE / max(shape)))
    height, width = shape[0] * scale, shape[1] * scale
    full_width = _LEFT + panels * width + (panels - 1) * _GAP + _RIGHT
    full_height = _TOP + height + _BOTTOM
    figure = Figure(figsize=(full_width / _DPI, full_height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = []
    for panel in range(panels):
        left = _LEFT + panel * (width + _GAP)
        axes.append(
            figure.add_axes((left / full_width, _BOTTOM / full_height, width / full_width, height / full_height))
        )
        axes[-1].set_axis_off()
    return figure, axes


def _show_heat(figure: Figure, axes, heat: np.ndarray, alpha: np.ndarray | float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes.imshow(heat, cmap=COLOUR_MAP, vmin=0, vmax=1, alpha=alpha, interpolation="nearest")
    box = axes.get_position()
    pixel = 1 / (figure.get_figwidth() * _DPI)
    bar = figure.add_axes((box.x1 + 14 * pixel, box.y0, 18 * pixel, box.height))
    colours = figure.colorbar(ScalarMappable(Normalize(0, 1), COLOUR_MAP), cax=bar, ticks=[0, 0.5, 1])
    colours.ax.tick_params(labelsize=9)


def _finish(figure: Figure, axes: list, titles: list[str], path: str | Path) -> None:
    for one, title in zip(axes, titles, strict=True):
        box = one.get_position()
        figure.text(
            box.x0,
            box.y1 + 14 / (figure.get_figheight() * _DPI),
            title,
            fontsize=11,
            va="bottom",
            ha="left",
            parse_math=False,
        )
    figure.savefig(path, dpi=_DPI, format="png")
