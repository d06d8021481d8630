# SPDX-License-Identifier: Apache-2.0
"""SVG as text: elements, whole documents, and pixels in them. Colours are classes, so that a drawing is light or dark as its page is.

In a page the classes and variables are those of the page (``STYLE``); a document of its own brings them.
"""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from gradcore.host.streams import printable

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
LIGHT = {"paper": "#ffffff", "ink": "#1b1f24", "soft": "#57606a", "line": "#d0d7de", "fill": "#f3f5f7", "wait": "#cfd5db"}
DARK = {"paper": "#14171c", "ink": "#e6e9ed", "soft": "#a3adb8", "line": "#353c45", "fill": "#1e232a", "wait": "#4a535e"}
CLASSES = """\
svg text { font-family: var(--font); font-size: 12px; fill: var(--ink); }
svg .soft { fill: var(--soft); }
svg .small { font-size: 10.5px; }
svg .strong { font-weight: 600; }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .paper { fill: var(--paper); }
svg .fill { fill: var(--fill); }
svg .wait { fill: var(--wait); }
svg .line { stroke: var(--line); fill: none; }
svg .limit { stroke: var(--soft); stroke-dasharray: 4 3; fill: none; }
svg .ink { stroke: var(--ink); fill: none; }
svg image { image-rendering: pixelated; }
"""


def variables(colours: dict[str, str]) -> str:
    """CSS variables of a colour scheme, to be put between braces."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def style(root: str = ":root") -> str:
    """CSS of a page or a document with drawings: variables for light and dark, and the classes."""
    return (
        f"{root} {{ --font: {FONT}; {variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ {root} {{ {variables(DARK)} }} }}\n{CLASSES}"
    )


def number(value: float) -> str:
    """A coordinate, with at most two decimals."""
    text = f"{float(value):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def element(tag: str, *inside: str, **attributes: object) -> str:
    """An element; ``inside`` is markup. Underscores in names of attributes become hyphens, one at the end is dropped (``class_``)."""
    parts = [tag]
    for name, value in attributes.items():
        if value is not None:
            text = number(value) if isinstance(value, float | np.floating) else printable(str(value))
            parts.append(f"{name.rstrip('_').replace('_', '-')}={quoteattr(text)}")
    head = " ".join(parts)
    return f"<{head}>{''.join(inside)}</{tag}>" if inside else f"<{head}/>"


def text(x: float, y: float, words: str, class_: str = "", **attributes: object) -> str:
    """A line of text."""
    return element("text", escape(printable(words)), x=float(x), y=float(y), class_=class_ or None, **attributes)


def title(words: str) -> str:
    """What a pointer over the element shows."""
    return element("title", escape(printable(words)))


def rectangle(x: float, y: float, width: float, height: float, *inside: str, **attributes: object) -> str:
    return element("rect", *inside, x=float(x), y=float(y), width=float(width), height=float(height), **attributes)


def line(points: Iterable[tuple[float, float]], **attributes: object) -> str:
    """A line through points."""
    return element("polyline", points=" ".join(f"{number(x)},{number(y)}" for x, y in points), fill="none", **attributes)


def steps(lows: Sequence[int], highs: Sequence[int]) -> str:
    """The area of a step function between integers, as the data of a path: a step is 1 wide, places up to where it is nothing."""
    made, start, count = [], 0, len(lows)
    while start < count:
        stop = start
        while stop < count and highs[stop] != lows[stop]:
            stop += 1
        if stop > start:
            forth = _runs([highs[place] for place in range(start, stop)], lows[start], 1)
            back = _runs([lows[place] for place in range(stop - 1, start - 1, -1)], highs[stop - 1], -1)
            made.append(f"M{start} {lows[start]}{forth}{back}z")
        start = max(stop, start + 1)
    return "".join(made)


def _runs(values: Sequence[int], before: int, width: int) -> str:
    """Steps to the values, one after the other, with equal ones together."""
    made = []
    for value, same in itertools.groupby(values):
        made.append((f"v{value - before}" if value != before else "") + f"h{width * sum(1 for _ in same)}")
        before = value
    return "".join(made)


def pixels(values: np.ndarray) -> str:
    """A data URI of uint8 pixels (H, W), (H, W, 3) or (H, W, 4), as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def document(width: float, height: float, body: str, label: str, *, alone: bool) -> str:
    """A whole drawing: to stand in a page, or, ``alone``, as a file with its own colours."""
    about = {"viewBox": f"0 0 {number(width)} {number(height)}", "role": "img", "aria_label": label}
    if not alone:
        return element("svg", body, **about)
    back = rectangle(0, 0, width, height, class_="paper")
    size = {"xmlns": "http://www.w3.org/2000/svg", "width": number(width), "height": number(height)}
    return element("svg", element("style", escape(style("svg"))), back, body, **size, **about) + "\n"
