# SPDX-License-Identifier: Apache-2.0
"""One picture of a result, as README shows it: what the network saw, its methods' maps on one scale, and their deletion curves."""

from __future__ import annotations

from gradcore.drawing import svg
from gradcore.report import charts, maps
from gradcore.report.measured import Measured
from gradcore.report.stored import Stored

_SIDE, _GAP, _TOP = 164, 10, 30
_CHART = 268, 214
_LEFT = 4


def poster(first: Stored, measured: Measured, *, alone: bool = True) -> str:
    """SVG of a result, with its input, and of what was measured, with its curves; ``alone`` as a file of its own.

    Raises:
        ValueError: they have neither.
    """
    methods = measured.methods
    if first.pixels is None or not measured.random:
        raise ValueError("a poster shows the input and deletion curves, and there are none")
    height, width = first.pixels.shape[:2]
    images = [(f"{width} x {height} pixels, as it sees them", maps.plain(first.pixels))]
    images += [(one.method, maps.over(first.pixels, one.attribution)) for one in methods]
    parts = []
    for place, (name, pixels) in enumerate(images):
        x = _LEFT + place * (_SIDE + _GAP)
        size = {"x": svg.number(x), "y": svg.number(_TOP), "width": svg.number(_SIDE), "height": svg.number(_SIDE)}
        parts.append(svg.element("image", svg.title(name), href=maps.uri(pixels), preserveAspectRatio="none", **size))
        parts.append(svg.text(x, _TOP - 9, name, "small" if not place else "strong"))
        if place:
            colour, dashes = charts.curve_style(place - 1)
            style = {"stroke": colour, "stroke_width": 3} | ({"stroke_dasharray": dashes} if dashes else {})
            parts.append(svg.line([(x, _TOP + _SIDE + 8), (x + _SIDE, _TOP + _SIDE + 8)], **style))
    bottom = _TOP + _SIDE
    scale = svg.element("g", charts.scale_body(2 * _SIDE), transform=f"translate({_LEFT + _SIDE + _GAP} {bottom + 16})")
    lines = [(one.method, one.deletion, *charts.curve_style(place)) for place, one in enumerate(methods)]
    lines.append(("random order", measured.random, "#8a94a0", "1 4"))
    left = _LEFT + len(images) * (_SIDE + _GAP) + 4
    chart = svg.element(
        "g", charts.curves_body(lines, "pixels deleted, the most important first", *_CHART), transform=f"translate({left} 22)"
    )
    target = first.about["classes"][first.target]
    head = svg.text(left + 6, _TOP - 9, f"softmax of {target}; dotted grey: random order", "small")
    label = f"Why {target}: {', '.join(one.method for one in methods)}, and their deletion curves"
    return svg.document(left + _CHART[0], bottom + 52, "".join([*parts, scale, head, chart]), label, alone=alone)
