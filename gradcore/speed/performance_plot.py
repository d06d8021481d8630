# SPDX-License-Identifier: Apache-2.0
"""The report of ``gradcore.bench`` as a picture: the layers' cycles as stacked bars, and the roofline beside it.

Colours are those of Okabe and Ito, which people with any colour vision tell apart; directions and methods differ in
shape as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.drawing.figures import check_picture_file, drawing, fitted, legible, new_figure, save, shortened
from gradcore.speed.bounds import VECTOR_MACS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#999999")
DARK = ("#0072B2", "#009E73", "#D55E00")  # colours on which white letters can be read
MARKERS = {"saliency": "^", "deconvnet": "s", "guided": "D"}
LABELLED = 0.035  # share of the highest bar from which a layer's cycles are written in its part
_DPI = 150
_WIDTH, _HEIGHT = 13.0, 5.8  # inches
_LINE = "#333333"
_COLUMNS = 6  # of the legend
_LETTERS = 20  # of a layer's name in it


def check_file(path: str | Path) -> None:
    """Find out, before anything is measured, whether a picture can be written.

    Raises:
        GradCoreError: the suffix is none of a format that can be drawn, or the file cannot be written.
    """
    check_picture_file(path, option="--picture")


def draw(report: dict[str, Any], path: str | Path) -> None:
    """Draw a report of ``gradcore.bench``.

    Args:
        report: what ``bench`` returned.
        path: file to write; its suffix says in which format.

    Raises:
        GradCoreError: see ``check_file``.
    """
    check_file(path)
    with drawing():
        save(_figure(report), path, option="--picture")


def _figure(report: dict[str, Any]) -> Figure:
    colours = _layer_colours(report)
    rows = max(0, len(colours) // _COLUMNS - 1)  # of the legend, beyond those that have room
    figure = new_figure(_WIDTH * _DPI, (_HEIGHT + 0.2 * rows) * _DPI, _DPI, layout="constrained")
    bars, roof = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
    _draw_bars(bars, report, colours)
    _draw_roofline(roof, report, colours)
    _draw_legend(figure, report, colours)
    title = (
        f"{Path(report['network']).stem}: {report['images']} pictures, {report['preset']} preset, "
        f"{report['clock_mhz']:g} MHz, memory {report['memory_bytes']:.3g} bytes a cycle"
    )
    figure.suptitle(fitted(figure, title, 0.98 * _WIDTH * _DPI, fontsize=12), fontsize=12)
    return figure


def _layer_colours(report: dict[str, Any]) -> dict[str, Any]:
    """A colour for each layer, the seed apart."""
    from matplotlib import colormaps

    first = next(iter(report["methods"].values()))
    names = list(dict.fromkeys(one["layer"] for one in first["layers"] if one["layer"] != "seed"))
    if len(names) <= len(COLOURS):
        return dict(zip(names, COLOURS, strict=False))
    return dict(zip(names, map(tuple, colormaps["viridis"](np.linspace(0, 1, len(names)))), strict=True))


def _is_dark(colour: Any) -> bool:
    """Whether white letters can be read on a colour."""
    return colour in DARK if isinstance(colour, str) else float(np.dot(colour[:3], (0.299, 0.587, 0.114))) < 0.5


def _draw_bars(axes: Axes, report: dict[str, Any], colours: dict[str, Any]) -> None:
    """For each method a bar of the forward and one of the backward pass; a line at the sparse bound of each."""
    highest = max(max(one["cycles_forward"], one["cycles_backward"]) for one in report["methods"].values())
    places, labels = [], []
    for number, values in enumerate(report["methods"].values()):
        for position, direction in enumerate(("forward", "backward")):
            place, bottom = number + 0.42 * position - 0.21, 0.0
            layers = [one for one in values["layers"] if one["pass"] == direction]
            for one in layers:
                colour = colours.get(one["layer"], _LINE)
                axes.bar(place, one["cycles"], 0.38, bottom, color=colour, edgecolor="white", linewidth=0.6)
                if one["cycles"] > LABELLED * highest:
                    middle = bottom + one["cycles"] / 2
                    style = {"fontsize": 8, "color": "white" if _is_dark(colour) else "black"}
                    axes.text(place, middle, f"{one['cycles'] / 1e3:.1f}", ha="center", va="center", **style)
                bottom += one["cycles"]
            bound = sum(one["sparse_bound"] for one in layers)
            axes.plot([place - 0.2, place + 0.2], [bound, bound], color=_LINE, linewidth=1.6, linestyle=(0, (2, 1)))
            style = {"fontsize": 9, "fontweight": "bold"}
            axes.text(place, bottom + 0.012 * highest, f"{bottom / 1e3:.1f}", ha="center", **style)
            places.append(place)
            labels.append(direction)
    axes.set_xticks(places, labels, fontsize=9)
    for number, (method, values) in enumerate(report["methods"].items()):
        text = f"{method}\n{values['cycles_total'] / 1e3:.1f} k cycles, {values['latency_ms']:.2f} ms"
        axes.annotate(
            text,
            (number, 0),
            (0, -22),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=10,
        )
    axes.set_xlim(-0.55, len(report["methods"]) - 0.45)
    axes.set_ylim(0, 1.08 * highest)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1e3:g}")
    axes.set_ylabel("clock cycles (thousands)")
    axes.set_title("Cycles of each layer, measured", fontsize=11)
    _tidy(axes)


def _draw_roofline(axes: Axes, report: dict[str, Any], colours: dict[str, Any]) -> None:
    """Useful MACs a cycle over useful MACs a byte, both logarithmic, under the ceilings of multipliers and memory."""
    points = [
        (method, one["layer"], one["pass"], one["macs"] / one["bytes"], one["macs"] / one["span_cycles"])
        for method, values in report["methods"].items()
        for one in values["layers"]
        if one["macs"] > 0
    ]
    conv, memory = report["macs"] - VECTOR_MACS, report["memory_bytes"]
    right = 2.0 * max([point[3] for point in points] + [conv / memory])
    left = 0.5 * min([point[3] for point in points] + [VECTOR_MACS / memory])
    low = 0.5 * min([point[4] for point in points] + [VECTOR_MACS])
    slope = np.geomspace(left, conv / memory, 2)
    axes.plot([*slope, right], [*(memory * slope), conv], color=_LINE, linewidth=1.8)
    axes.plot([VECTOR_MACS / memory, right], [VECTOR_MACS] * 2, color=_LINE, linewidth=1.2, linestyle="--")
    note = {"fontsize": 9, "color": _LINE, "ha": "right", "va": "bottom"}
    axes.text(0.96 * right, 1.05 * conv, f"{conv} multipliers: convolutions", **note)
    axes.text(0.96 * right, 1.05 * VECTOR_MACS, f"{VECTOR_MACS} multipliers: fully connected", **note)
    first = next(iter(report["methods"]))
    for method, layer, direction, intensity, speed in points:
        if direction == "forward" and method == first:
            axes.plot(intensity, speed, "o", color=colours[layer], markeredgecolor=_LINE, markersize=9, zorder=3)
        elif direction == "backward":
            style = {"markerfacecolor": "white", "markeredgecolor": colours[layer], "markeredgewidth": 2, "zorder": 4}
            axes.plot(intensity, speed, MARKERS[method], markersize=7, linestyle="none", **style)
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, 2.2 * conv))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    middle = np.sqrt(max(left, VECTOR_MACS / memory) * conv / memory)
    axes.text(
        middle,
        1.12 * memory * middle,
        f"memory: {memory:.3g} bytes a cycle",
        fontsize=9,
        color=_LINE,
        rotation=np.degrees(np.arctan(memory)),  # the line's slope, in the units of the axes
        rotation_mode="anchor",
        transform_rotates_text=True,
        ha="center",
        va="bottom",
    )
    axes.set_xlabel("useful MACs a byte that must be moved")
    axes.set_ylabel("useful MACs a cycle, while the layer runs")
    axes.set_title("Roofline", fontsize=11)
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    _tidy(axes)


def _draw_legend(figure: Figure, report: dict[str, Any], colours: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    plain = {"linestyle": "none", "color": _LINE}
    handles = [Patch(color=colour, label=shortened(legible(name), _LETTERS)) for name, colour in colours.items()]
    handles.append(Line2D([], [], color=_LINE, linewidth=1.6, linestyle=(0, (2, 1)), label="sparse bound"))
    handles.append(Line2D([], [], marker="o", markersize=8, label="forward", **plain))
    handles += [
        Line2D([], [], marker=MARKERS[method], markerfacecolor="white", label=f"backward, {method}", **plain)
        for method in report["methods"]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=_COLUMNS, fontsize=9, frameon=False)


def _tidy(axes: Axes) -> None:
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
