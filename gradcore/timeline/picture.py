# SPDX-License-Identifier: Apache-2.0
"""The overview of a timeline as a picture: the whole run above, its beginning below, tracks coloured by layer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradcore.drawing.figures import drawing, fitted, legible, new_figure, save
from gradcore.timeline.timeline import WINDOW, Timeline, Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HIDDEN = ("sequencer", "responses", "tile loader, half")
_WAIT = "0.82"
_BEGINNING = 1.3  # the lower part shows so many times the first layer
_LETTERS = 210  # as many fit in a row
_EDGES = 500  # slices of more than such a part of a row have an edge
_TITLE = 0.55  # part of the width that a title's names have; figures come behind them
_DPI = 100
_SIZE = 15.0, 0.22, 1.1  # inches: width, height of a track, height of a plot


def draw_timeline(timeline: Timeline, clock_mhz: float, title: str, path: str | Path) -> None:
    """Write the overview of a timeline; the file's suffix says in which format.

    Raises:
        GradCoreError: the file cannot be written.
    """
    with drawing():
        save(_figure(timeline, clock_mhz, title), path)


def _figure(timeline: Timeline, clock_mhz: float, title: str) -> Figure:
    tracks = [track for track in timeline.tracks if not any(word in track.name for word in _HIDDEN)]
    width, row, plot = _SIZE
    heights = [row * len(tracks), plot, plot] * 2
    figure = new_figure(width * _DPI, (sum(heights) + 2.2) * _DPI, _DPI, layout="constrained")
    upper, lower = figure.subfigures(2, 1)
    beginning = min(int(timeline.tracks[0].slices[0].end * _BEGINNING), timeline.cycles)
    time = f"{timeline.cycles:,} cycles, {timeline.cycles / clock_mhz:,.0f} µs at {clock_mhz:g} MHz"
    for part, end, text in (
        (upper, timeline.cycles, f"{fitted(figure, title, _TITLE * width * _DPI, fontsize=11)}: {time}"),
        (lower, beginning, f"its first {beginning:,} cycles"),
    ):
        axes = part.subplots(3, 1, sharex=True, height_ratios=heights[:3])
        axes[0].set_title(text, loc="left", fontsize=11)
        _draw_tracks(axes[0], timeline, tracks, end)
        _draw_counters(axes[1], timeline, "multipliers", "multipliers in use", ("tab:blue", "tab:orange"))
        _draw_counters(axes[2], timeline, "port", "bytes a cycle", ("tab:green", "tab:red", "yellowgreen", "lightcoral"))
        axes[2].set_xlim(0, end)
        axes[2].set_xlabel("clock cycles (light grey: a job waits)" if part is upper else "clock cycles")
        axes[2].xaxis.set_major_formatter("{x:,.0f}")
    return figure


def layer_colours(timeline: Timeline) -> dict[str, tuple[float, ...]]:
    """A colour for each layer: a hue for a layer's name, dark forward and light backward."""
    from matplotlib import colormaps

    pairs = colormaps["tab20"].colors
    layers = [layer.name for layer in timeline.tracks[0].slices]
    hues = list(dict.fromkeys(_name(layer) for layer in layers))
    return {layer: pairs[(2 * hues.index(_name(layer)) + layer.endswith(" backward")) % len(pairs)] for layer in layers}


def _draw_tracks(axes: Axes, timeline: Timeline, tracks: list[Track], end: int) -> None:
    """One row a track; waits are grey, and lie over the job that they belong to."""
    colours = layer_colours(timeline)
    for row, track in enumerate(tracks):
        for wait in (False, True):
            shown = [one for one in track.slices if one.wait == wait and one.start < end]
            spans = [(one.start, one.end - one.start) for one in shown]
            faces = [_WAIT if wait else colours[_layer(one.name, colours)] for one in shown]
            widths = [0.4 if not wait and length > end / _EDGES else 0.0 for _, length in spans]
            span = (-1.4, 1.8) if track is timeline.tracks[0] else (row - 0.42, 0.84)
            axes.broken_barh(spans, span, facecolors=faces, edgecolors="white", linewidths=widths)
    for layer in timeline.tracks[0].slices:
        shown, lines = min(layer.end, end) - layer.start, "\n".join(legible(layer.name).rsplit(" ", 1))
        if shown > end / _LETTERS * max(map(len, lines.split("\n"))):
            where = {"ha": "center", "va": "center", "linespacing": 1.0}
            axes.text(layer.start + shown / 2, -0.5, lines, fontsize=8, **where)
        axes.axvline(layer.end, color="0.6", linewidth=0.5, zorder=0)
    axes.set_yticks(range(len(tracks)), [track.name for track in tracks], fontsize=8)
    axes.set_ylim(len(tracks) - 0.4, -1.6)
    axes.tick_params(axis="x", length=0)


def _draw_counters(axes: Axes, timeline: Timeline, word: str, label: str, colours: tuple[str, ...]) -> None:
    """Counters whose name has a word, stacked."""
    counters = [counter for counter in timeline.counters if word in counter.name]
    edges = np.arange(len(counters[0].values) + 1) * WINDOW
    bottom = np.zeros(len(counters[0].values))
    for counter, colour in zip(counters, colours, strict=True):
        axes.stairs(bottom + counter.values, edges, baseline=bottom, fill=True, color=colour, label=counter.name)
        bottom = bottom + counter.values
    axes.set_ylabel(label, fontsize=8)
    axes.set_ylim(0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False)


def _layer(job: str, layers: Iterable[str]) -> str:
    """The layer that a slice's name begins with; names may hold anything, and begin alike."""
    return max((layer for layer in layers if job == layer or job.startswith(f"{layer},")), key=len)


def _name(layer: str) -> str:
    """A layer without its direction."""
    return layer.removesuffix(" backward").removesuffix(" forward")
