# SPDX-License-Identifier: Apache-2.0
"""Charts of a report, as SVG: curves, bars, and the scale of maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcore.drawing import svg
from gradcore.drawing.palette import categories, diverging

_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2")  # so that curves differ without colour, too
_SIZE = 420, 226
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 10, 10, 38


def curve_style(place: int) -> tuple[str, str]:
    """(colour, dashes) of the method in that place."""
    return categories(place + 1)[place], _DASHES[place % len(_DASHES)]


def curves(lines: Sequence[tuple[str, Sequence[float], str, str]], what: str, *, alone: bool = False) -> str:
    """Curves (name, values in 0..1, colour, dashes) over the part of the pixels that has been changed."""
    width, height = _SIZE
    return svg.document(
        width, height, curves_body(lines, what, width, height), f"{what}: {', '.join(one[0] for one in lines)}", alone=alone
    )


def curves_body(lines: Sequence[tuple[str, Sequence[float], str, str]], what: str, width: float, height: float) -> str:
    """The same as markup of a size."""
    across, up = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    parts = []
    for part in (0.0, 0.25, 0.5, 0.75, 1.0) if width > 300 else (0.0, 0.5, 1.0):
        x, y = _LEFT + across * part, _TOP + up * (1 - part)
        parts.append(svg.line([(_LEFT, y), (_LEFT + across, y)], class_="line"))
        parts.append(svg.text(_LEFT - 6, y + 4, f"{100 * part:.0f} %", "soft small end"))
        anchor = "soft small" + {0.0: "", 1.0: " end"}.get(part, " middle")
        parts.append(svg.text(x, _TOP + up + 15, f"{100 * part:.0f} %", anchor))
    parts.append(svg.text(_LEFT + across / 2, height - 6, what, "soft small middle"))
    for name, values, colour, dashes in lines:
        points = [(_LEFT + across * place / (len(values) - 1), _TOP + up * (1 - value)) for place, value in enumerate(values)]
        style = {"stroke": colour, "stroke_width": 2, "stroke_linejoin": "round"} | ({"stroke_dasharray": dashes} if dashes else {})
        parts.append(svg.element("g", svg.title(name), svg.line(points, **style)))
    return "".join(parts)


def swatch(colour: str, dashes: str) -> str:
    """A piece of a curve, for a legend."""
    style = {"stroke": colour, "stroke_width": 2.5} | ({"stroke_dasharray": dashes} if dashes else {})
    return svg.document(28, 10, svg.line([(1, 5), (27, 5)], **style), "line", alone=False)


def bar(part: float, colour: str, mark: float | None = None, label: str = "") -> str:
    """A bar of a part of the width, in 0..1, and a mark at another."""
    body = svg.rectangle(0, 2, 100, 8, class_="fill") + svg.rectangle(0, 2, 100 * min(1.0, max(0.0, part)), 8, fill=colour)
    if mark is not None:
        at = 100 * min(1.0, max(0.0, mark))
        body += svg.rectangle(min(at, 99.0), 0, 1, 12, style="fill:var(--ink)")
    about = {"viewBox": "0 0 100 12", "preserveAspectRatio": "none", "class_": "bar", "role": "img", "aria_label": label or f"{part:.0%}"}
    return svg.element("svg", body, **about)


def scale(*, alone: bool = False) -> str:
    """The scale of maps: against, nothing, for."""
    return svg.document(320, 40, scale_body(320), "scale of the maps: against the class, for the class", alone=alone)


def scale_body(width: float) -> str:
    """The same as markup."""
    colours = diverging(np.linspace(-1, 1, 65))[None]
    image = svg.element("image", x="0", y="2", width=svg.number(width), height="12", preserveAspectRatio="none", href=svg.pixels(colours))
    labels = ((0, "−1 against", "soft small"), (width / 2, "0", "soft small middle"), (width, "for +1", "soft small end"))
    return image + "".join(svg.text(x, 28, words, style) for x, words, style in labels)
