# SPDX-License-Identifier: Apache-2.0
"""The overview of a timeline as SVG: a row for each kind of unit, its utilisation beside it, multipliers and memory below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from gradcore.drawing import svg
from gradcore.drawing.figures import shortened
from gradcore.drawing.palette import CATEGORIES, DARK
from gradcore.timeline.overview import Overview, Row, Series, layer_colours

WIDTH = 960
_LEFT, _RIGHT = 134, 108  # for names, and for numbers
_PLOT = WIDTH - _LEFT - _RIGHT
_ROW, _GAP = 20, 5
_HEAD, _LAYERS, _COUNTER, _AXIS = 26, 34, 56, 34
_LETTER = 6.6  # width of a letter
_CAPTION = 128  # letters in a line


def draw_overview(made: Overview, heading: str = "", *, alone: bool = False) -> str:
    """SVG of an overview; ``alone`` with the sentence on what bounds the run, and with its beginning, as a file."""
    body, height = _figure(made, heading, 0)
    if alone:
        for words in textwrap.wrap(made.bound, _CAPTION):
            body += svg.text(8, height + 12, words, "strong")
            height += 18
        height += 14
        if made.beginning is not None:
            lower, height = _figure(made.beginning, f"its first {made.beginning.end:,} cycles", height)
            body += lower
    label = f"Timeline of {made.cycles:,} cycles. {made.bound}"
    return svg.document(WIDTH, height, body, label, alone=alone)


def _figure(made: Overview, heading: str, top: float) -> tuple[str, float]:
    """Markup, and where it ends."""
    parts, y = [], top + 6
    whole = made.end == made.cycles
    time = f"{made.cycles:,} cycles, {made.cycles / made.clock_mhz:,.0f} µs at {made.clock_mhz:g} MHz" if whole else ""
    words = ": ".join(filter(None, (shortened(heading, 60), time)))
    if words:
        parts.append(svg.text(8, y + 13, words, "strong"))
        y += _HEAD
    if whole:
        parts.append(svg.text(WIDTH - 8, y - 13 if words else y + 8, "busy", "soft small end"))
    colours = layer_colours([name for name, _ in made.layers])
    first = y
    parts.append(_layers(made, colours, y))
    y += _LAYERS + _GAP
    for row in made.rows:
        if not whole and not any(row.work):
            continue
        parts.append(_row(row, list(colours.values()), y, whole))
        y += _ROW + _GAP
    y += 6
    multipliers = [one for one in made.series if one.unit == "in use"]
    memory = [one for one in made.series if one.unit != "in use"]
    for name, series, limit, hues in (
        ("multipliers", multipliers, sum(one.limit for one in multipliers), (CATEGORIES[0], CATEGORIES[1])),
        ("bytes a cycle", memory, memory[0].limit, (CATEGORIES[2], CATEGORIES[5])),
    ):
        parts.append(_counter(name, series, limit, hues, y, whole))
        y += _COUNTER + 10
    for _, end in made.layers[:-1]:
        if end < made.end:
            x = _LEFT + _PLOT * end / made.end
            parts.insert(0, svg.element("path", d=f"M{svg.number(x)} {svg.number(first)}V{svg.number(y - 10)}", class_="line"))
    parts.append(_axis(made, y - 10))
    return "".join(parts), y + _AXIS - 8


def _layers(made: Overview, colours: dict[str, str], y: float) -> str:
    """The layers, one behind the other; a name where there is room."""
    parts, start = [svg.text(_LEFT - 8, y + 21, "layers", "end")], 0
    for (name, end), colour in zip(made.layers, colours.values(), strict=True):
        stop = min(end, made.end)
        if start >= stop:
            break
        x, width = _LEFT + _PLOT * start / made.end, _PLOT * (stop - start) / made.end
        told = svg.title(f"{name}: {end - start:,} cycles")
        parts.append(svg.rectangle(x, y, width, _LAYERS, told, fill=colour))
        lines = [shortened(part, 24) for part in name.rsplit(" ", 1)]
        if width > _LETTER * max(map(len, lines)) + 2:
            ink = "#ffffff" if colour in DARK or colour == "#404040" else "#1b1f24"
            at = y + 21 if len(lines) == 1 else y + 14
            for number, words in enumerate(lines):
                parts.append(svg.text(x + width / 2, at + 14 * number, words, "middle small", style=f"fill:{ink}"))
        start = end
    return "".join(parts)


def _row(row: Row, colours: Sequence[str], y: float, whole: bool) -> str:
    name = row.name if row.units == 1 else f"{row.units} {row.name}"
    place = _place(len(row.work), 100, y, _ROW)
    work, wait = np.array(row.work), np.array(row.wait)
    parts = [svg.text(_LEFT - 8, y + 14, name, "end"), svg.rectangle(_LEFT, y, _PLOT, _ROW, class_="fill")]
    parts.append(svg.element("path", d=svg.steps(work.tolist(), (work + wait).tolist()), class_="wait", transform=place))
    layers = np.array(row.layer)
    for layer in sorted(set(row.layer) - {-1}):
        highs = np.where(layers == layer, work, 0).tolist()
        parts.append(svg.element("path", d=svg.steps([0] * len(highs), highs), fill=colours[layer], transform=place))
    if whole:
        parts.append(svg.text(WIDTH - 8, y + 14, _percent(row.busy), "strong end"))
        if f"{100 * row.least:.0f}" != f"{100 * row.most:.0f}":
            parts.append(svg.text(WIDTH - 52, y + 14, f"{100 * row.least:.0f}–{100 * row.most:.0f}", "soft small end"))
    return "".join(parts)


def _place(bins: int, most: int, y: float, height: float) -> str:
    """The transform that puts bins, from left to right, and values up to ``most``, from the bottom to the top, in a row."""
    return f"matrix({_PLOT / bins:.6g} 0 0 {-height / most:.6g} {_LEFT} {svg.number(y + height)})"


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %" if part < 0.0995 else f"{100 * part:.0f} %"


def _counter(name: str, series: Sequence[Series], limit: float, colours: Sequence[str], y: float, whole: bool) -> str:
    """Series, stacked, up to their limit or beyond; their names and means beside it."""
    values = np.array([one.values for one in series])
    reach = max(limit, float(values.sum(axis=0).max(initial=0.0))) or 1.0
    base, height = y + _COUNTER, _COUNTER
    at = base - height * limit / reach
    parts = [svg.text(_LEFT - 8, y + 12, name, "end"), svg.text(_LEFT - 8, max(at + 4, y + 26), f"{limit:g}", "soft small end")]
    parts.append(svg.rectangle(_LEFT, y, _PLOT, height, class_="fill"))
    place = _place(values.shape[1], 100, y, height)
    tops = np.round(100 * np.cumsum(values, axis=0) / reach).astype(int)
    below = np.zeros(values.shape[1], dtype=int)
    for number, (one, colour) in enumerate(zip(series, colours, strict=True)):
        parts.append(svg.element("path", d=svg.steps(below.tolist(), tops[number].tolist()), fill=colour, transform=place))
        below = tops[number]
        short = one.name.split(" ", 1)[0]
        parts.append(svg.rectangle(WIDTH - _RIGHT + 8, y + 6 + 18 * number, 9, 9, fill=colour))
        parts.append(svg.text(WIDTH - _RIGHT + 21, y + 14 + 18 * number, short, "small"))
        if whole:
            parts.append(svg.text(WIDTH - 8, y + 14 + 18 * number, f"{one.total:.1f}", "small end"))
    if whole:
        share = sum(one.total for one in series) / limit
        parts.append(svg.text(WIDTH - 8, y + 52, _percent(share), "strong end"))
    parts.append(svg.element("path", d=f"M{_LEFT} {svg.number(at)}h{_PLOT}", class_="limit"))
    return "".join(parts)


def _axis(made: Overview, y: float) -> str:
    """Clock cycles."""
    step = next(value for power in range(12) for value in (10**power, 2 * 10**power, 5 * 10**power) if made.end / value <= 8)
    parts = []
    for cycle in range(0, made.end + 1, step):
        x = _LEFT + _PLOT * cycle / made.end
        parts.append(svg.element("path", d=f"M{svg.number(x)} {svg.number(y)}v4", class_="line"))
        parts.append(svg.text(x, y + 16, f"{cycle:,}", "soft small middle"))
    parts.append(svg.text(_LEFT - 8, y + 16, "clock cycles", "soft small end"))
    parts.append(svg.rectangle(WIDTH - _RIGHT + 8, y + 8, 9, 9, class_="wait"))
    parts.append(svg.text(WIDTH - _RIGHT + 21, y + 16, "waits", "small"))
    return "".join(parts)


__all__ = ["WIDTH", "draw_overview"]
