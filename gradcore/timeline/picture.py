# SPDX-License-Identifier: Apache-2.0
"""The overview of a timeline as a picture in any format of matplotlib; ``gradcore.timeline.drawing`` draws the same as SVG."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradcore.drawing.figures import drawing, fitted, legible, new_figure, save
from gradcore.drawing.palette import CATEGORIES, DARK
from gradcore.timeline.overview import Overview, layer_colours, overview
from gradcore.timeline.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WAIT, _EMPTY = "0.82", "0.96"
_LETTERS = 110  # as many fit in a row
_TITLE = 0.55  # part of the width that a title's names have; figures come behind them
_DPI = 100
_SIZE = 12.0, 0.3, 1.0  # inches: width, height of a row, height of a plot


def draw_timeline(timeline: Timeline, clock_mhz: float, title: str, path: str | Path) -> None:
    """Write the overview of a timeline; the file's suffix says in which format.

    Raises:
        GradCoreError: the file cannot be written.
    """
    with drawing():
        save(_figure(overview(timeline, clock_mhz), title), path)


def _figure(made: Overview, title: str) -> Figure:
    width, row, plot = _SIZE
    parts = [made, *([made.beginning] if made.beginning is not None else [])]
    heights = [[row * (len(part.rows) + 1.8), plot, plot] for part in parts]
    figure = new_figure(width * _DPI, (sum(map(sum, heights)) + 1.1 * len(parts) + 0.5) * _DPI, _DPI, layout="constrained")
    time = f"{made.cycles:,} cycles, {made.cycles / made.clock_mhz:,.0f} µs at {made.clock_mhz:g} MHz"
    name = fitted(figure, title, _TITLE * width * _DPI, fontsize=11)
    texts = [f"{name}: {time}", "" if made.beginning is None else f"its first {made.beginning.end:,} cycles"]
    figures = np.atleast_1d(figure.subfigures(len(parts), 1, height_ratios=[sum(one) for one in heights]))
    for part, subfigure, ratios, text in zip(parts, figures, heights, texts, strict=False):
        axes = subfigure.subplots(3, 1, sharex=True, height_ratios=ratios)
        axes[0].set_title(text, loc="left", fontsize=11)
        _draw_rows(axes[0], part, part is made)
        _draw_series(axes[1], part, "multipliers", "in use", (CATEGORIES[0], CATEGORIES[1]))
        _draw_series(axes[2], part, "bytes a cycle", "bytes a cycle", (CATEGORIES[2], CATEGORIES[5]))
        axes[2].set_xlim(0, part.end)
        axes[2].set_xlabel("clock cycles (grey: a unit waits)")
        axes[2].xaxis.set_major_formatter("{x:,.0f}")
    figure.supxlabel("\n".join(textwrap.wrap(made.bound, 120)), fontsize=10)
    return figure


def _draw_rows(axes: Axes, part: Overview, whole: bool) -> None:
    """One row for the units of a kind: which share of them works, coloured by layer, and which waits."""
    names = [name for name, _ in part.layers]
    colours = layer_colours(names)
    start = 0
    for name, end in part.layers:
        stop = min(end, part.end)
        if start < stop:
            axes.broken_barh([(start, stop - start)], (-1.4, 1.8), facecolors=colours[name], edgecolors="white", linewidths=0.4)
            ink = "white" if colours[name] in DARK else "black"
            lines = "\n".join(legible(name).rsplit(" ", 1))
            if stop - start > part.end / _LETTERS * max(map(len, lines.split("\n"))):
                axes.text((start + stop) / 2, -0.5, lines, fontsize=8, ha="center", va="center", linespacing=1.0, color=ink)
            axes.axvline(stop, color="0.6", linewidth=0.5, zorder=0)
        start = end
    labels = ["layers"]
    for place, row in enumerate(part.rows, 1):
        base, edges = place + 0.42, np.linspace(0, part.end, len(row.work) + 1)
        work, wait, layer = (np.array(values) for values in (row.work, row.wait, row.layer))
        axes.broken_barh([(0, part.end)], (base - 0.84, 0.84), facecolors=_EMPTY, zorder=0)
        top = base - 0.0084 * work
        axes.stairs(top - 0.0084 * wait, edges, baseline=top, fill=True, color=_WAIT)
        for number in sorted(set(row.layer) - {-1}):
            axes.stairs(np.where(layer == number, top, base), edges, baseline=base, fill=True, color=colours[names[number]])
        if whole:
            axes.text(1.01, place, f"{row.busy:.1%}", transform=axes.get_yaxis_transform(), fontsize=9, va="center")
        labels.append(row.name if row.units == 1 else f"{row.units} {row.name}")
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(part.rows) + 0.6, -1.6)
    axes.tick_params(axis="x", length=0)


def _draw_series(axes: Axes, part: Overview, label: str, unit: str, colours: tuple[str, ...]) -> None:
    """Counters of a unit, stacked, with what can be had as a line."""
    series = [one for one in part.series if one.unit == unit]
    edges = np.linspace(0, part.end, len(series[0].values) + 1)
    bottom = np.zeros(len(series[0].values))
    for one, colour in zip(series, colours, strict=True):
        top = bottom + np.array(one.values)
        axes.stairs(top, edges, baseline=bottom, fill=True, color=colour, label=f"{one.name} ({one.total:.1f})")
        bottom = top
    limit = sum(one.limit for one in series) if label == "multipliers" else series[0].limit
    axes.axhline(limit, color="0.3", linewidth=0.8, linestyle="--")
    axes.set_ylabel(label, fontsize=8)
    axes.set_ylim(0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False)
