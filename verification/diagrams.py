# SPDX-License-Identifier: Apache-2.0
"""The diagrams of docs/networks.md: what the compiler makes of a strided convolution and of an overlapping max-pool, drawn from its sums.

``python -m verification.diagrams`` draws them anew (so does `make pictures`), in docs/images/; a test holds that the page shows what the
compiler does now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcore.compiler.sums import work_of
from gradcore.compiler.terms import MapSum
from gradcore.host.files import write_atomically
from gradcore.models import arithmetic
from gradcore.models.quantised_graph import QuantisedGraph
from gradcore.models.windows import Window
from gradcore.network.graph import INPUT, Conv, Graph, MaxPool
from gradcore.quantise.graph_calibration import calibrate_passes
from gradcore.quantise.graph_conversion import quantise_passes
from gradcore.quantise.lowering import lower
from tb.support.places import ROOT

IMAGES = ROOT / "docs" / "images"
CHANNELS = 16  # a block, so that each phase is a sum by itself
SIDE, CELL = 7, 26  # rows and columns of the map; pixels of a place
STRIDE, PADDING = (2, 2), (1, 1, 1, 1)
COLOURS = ("#dce9f7", "#f7e6d4", "#e2f2dc", "#ecdff5")  # of the phases, in their order
LINES = ("#1f5fa8", "#b8590b")  # of two windows
GREY = "#555"


def _compiled(node: Conv | MaxPool, weights: dict[str, np.ndarray]) -> QuantisedGraph:
    """A graph of one node on a map of a block of channels, in integers."""
    passes = lower(Graph((node,), weights, (CHANNELS, SIDE, SIDE), node.name))
    return quantise_passes(passes, calibrate_passes(passes, np.ones((1, SIDE, SIDE, CHANNELS), dtype=np.float32)))


def _phases(graph: QuantisedGraph) -> list[MapSum]:
    """The sums that make the gradient of the input."""
    return list(work_of(graph, {})[-1].sums)


class _Drawing:
    """SVG that grows."""

    def __init__(self, width: int, height: int, label: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" role="img" '
            f'aria-label="{label}">',
            '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#333"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
        ]

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "middle", fill: str = "#000", bold: bool = False, size: int = 13
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{fill}" font-size="{size}"{weight}>{words}</text>')

    def grid(
        self, x: float, y: float, size: Sequence[int], words: Callable[[int, int], str], fill: Callable[[int, int], str], cell: int = CELL
    ) -> None:
        """Places with their words and colours, from the corner (x, y) on."""
        for row in range(size[0]):
            for column in range(size[1]):
                left, top = x + column * cell, y + row * cell
                self.parts.append(
                    f'<rect x="{left:g}" y="{top:g}" width="{cell}" height="{cell}" fill="{fill(row, column)}" stroke="#999"/>'
                )
                if words(row, column):
                    self.text(left + cell / 2, top + cell / 2 + 4, words(row, column), size=11)

    def frame(self, x: float, y: float, place: Sequence[int], size: Sequence[int], colour: str, inset: float = 0) -> None:
        """A frame around places of a grid whose corner is (x, y)."""
        left, top = x + place[1] * CELL + inset, y + place[0] * CELL + inset
        width, height = size[1] * CELL - 2 * inset, size[0] * CELL - 2 * inset
        self.parts.append(
            f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )

    def arrow(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self.parts.append(f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="#333" fill="none" marker-end="url(#a)"/>')

    def __str__(self) -> str:
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def strided_convolution() -> str:
    """SVG: a 3 x 3 convolution of stride 2 forward, and the phases of its gradient."""
    node = Conv("conv", (INPUT,), (3, 3), STRIDE, PADDING, out_channels=CHANNELS, bias=False)
    weights = np.ones((CHANNELS, CHANNELS, 1, 1), dtype=np.float32) * np.arange(1, 10, dtype=np.float32).reshape(3, 3)
    graph = _compiled(node, {"conv.weight": weights})
    (source,) = graph.passes[0].sources
    names = {int(weight): f"{place // 3}{place % 3}" for place, weight in enumerate(source.backward_weights[0, 0].reshape(-1))}
    made, phases = graph.maps["conv"].shape, _phases(graph)
    drawing = _Drawing(860, 390, "A convolution of stride 2, forward and backward in four phases")
    drawing.text(20, 24, "forward: one sum, of stride 2", anchor="start", bold=True)
    x, y, out_x, out_y = 46, 80, 300, 120
    drawing.text(x + SIDE * CELL / 2, 46, "x, padded by 1", fill=GREY, size=12)
    drawing.grid(x, y, (SIDE, SIDE), lambda *_: "", lambda *_: COLOURS[0])
    drawing.grid(out_x, out_y, made[:2], lambda *_: "", lambda *_: COLOURS[1])
    drawing.text(out_x + made[1] * CELL / 2, out_y - 12, "y", fill=GREY)
    for colour, place, inset in ((LINES[0], (0, 0), 0), (LINES[1], (0, 1), 2)):
        corner = [step * at - before for step, at, before in zip(STRIDE, place, PADDING, strict=False)]
        drawing.frame(x, y, corner, (3, 3), colour, inset)
        drawing.frame(out_x, out_y, place, (1, 1), colour, 2)
    drawing.arrow(x + SIDE * CELL + 14, y + 92, out_x - 12, y + 92)
    drawing.text(20, 286, "y[r, c] = sum of w[i, j] x[2 r - 1 + i, 2 c - 1 + j]", anchor="start", size=12)
    drawing.text(460, 24, "backward: a sum for each phase, of stride 1", anchor="start", bold=True)
    told = (
        "A place (2 t + a, 2 s + b) sees the same taps for all t and s:",
        "those of phase (a, b). Each phase is a convolution of stride 1",
        "over u, the gradient of y; its results go to every second row",
        "and column.",
    )
    for line, words in enumerate(told):
        drawing.text(460, 318 + 18 * line, words, anchor="start", size=12)
    left, top = 460, 80
    drawing.text(left + SIDE * CELL / 2, 46, "gradient of x, by phase", fill=GREY, size=12)
    numbers = {one.first: number for number, one in enumerate(phases)}
    drawing.grid(left, top, (SIDE, SIDE), lambda *_: "", lambda row, column: COLOURS[numbers[row % 2, column % 2]])
    for number, one in enumerate(phases):
        (term,) = one.terms
        taps = term.weights[0, 0]
        x, y = 672, 56 + 60 * number
        drawing.text(x, y + 20, f"phase ({one.first[0]}, {one.first[1]})", anchor="start", size=12)
        drawing.text(x, y + 36, f"{taps.size} tap{'s' * (taps.size > 1)} of u", anchor="start", size=11, fill=GREY)
        drawing.grid(
            x + 96, y, taps.shape, lambda row, column, taps=taps: f"w{names[int(taps[row, column])]}", lambda *_, n=number: COLOURS[n]
        )
    return str(drawing)


def overlapping_pool() -> str:
    """SVG: a 3 x 3 max-pool of stride 2 forward, and how its gradient finds the winners."""
    graph = _compiled(MaxPool("pool", (INPUT,), (3, 3), STRIDE, PADDING), {})
    values = np.random.default_rng(6).integers(-9, 50, (1, SIDE, SIDE, 1))
    values[0, 3, 3] = values[0, 3, 5]  # equal ones: the first wins
    outputs, winners = (one[0, :, :, 0] for one in arithmetic.pool_windows(values, Window((3, 3), STRIDE, PADDING), (4, 4)))
    one = next(one for one in _phases(graph) if one.first == (1, 1))
    (term,) = one.terms
    shown = (1, 1)  # of the phase: the place (3, 3) of the map
    place = tuple(first + step * at for first, step, at in zip(one.first, one.step, shown, strict=True))
    drawing = _Drawing(860, 390, "A 3 x 3 max-pool of stride 2, forward and backward")
    drawing.text(20, 24, "forward: the largest of 9 sums, and its place", anchor="start", bold=True)
    x, y, out_x, out_y = 30, 60, 290, 75
    drawing.text(x + SIDE * CELL / 2, 48, "x", fill=GREY)
    low = [at * step + start for at, step, start in zip(shown, term.stride, term.first, strict=True)]  # the first window of the place
    windows = [(low[0] + row, low[1] + column) for row in range(term.kernel[0]) for column in range(term.kernel[1])]
    corner = {window: [2 * at - 1 for at in window] for window in windows}
    first, last = windows[0], windows[-1]
    drawing.grid(
        x, y, (SIDE, SIDE), lambda row, column: str(values[0, row, column, 0]), lambda *at: COLOURS[2] if at == place else COLOURS[0]
    )
    cell = 34
    drawing.text(out_x + 2 * cell, out_y - 12, "y, index", fill=GREY)
    drawing.grid(
        out_x,
        out_y,
        (4, 4),
        lambda row, column: f"{outputs[row, column]}, {winners[row, column]}",
        lambda *at: COLOURS[1] if at in windows else "#fff",
        cell,
    )
    for colour, window, inset in ((LINES[0], first, 0), (LINES[1], last, 2)):
        drawing.frame(x, y, corner[window], (3, 3), colour, inset)
        left, top = out_x + window[1] * cell + 2, out_y + window[0] * cell + 2
        drawing.parts.append(
            f'<rect x="{left}" y="{top}" width="{cell - 4}" height="{cell - 4}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
    drawing.arrow(x + SIDE * CELL + 10, y + 82, out_x - 10, y + 82)
    told = (
        "A unit is a window: 9 sums of one tap, an identity; the next",
        "unit is a stride away. The index of the winner, 3 x row + column,",
        "is the only tag. The first of equal ones wins, padding never.",
    )
    for line, words in enumerate(told):
        drawing.text(20, 276 + 18 * line, words, anchor="start", size=12)
    drawing.text(460, 24, "backward: one sum over the windows of a place", anchor="start", bold=True)
    left, top, wide = 470, 62, 92
    drawing.text(left + wide, 50, "u, the gradient of y", fill=GREY)
    drawing.grid(left, top, term.kernel, lambda *_: "", lambda *_: COLOURS[1], wide)
    for number, window in enumerate(windows):
        row, column = divmod(number, term.kernel[1])
        middle, line = left + column * wide + wide / 2, top + row * wide + 26
        index, own = int(winners[window]), term.winners[number]
        drawing.text(middle, line, f"u[{window[0]}, {window[1]}]", size=12)
        drawing.text(middle, line + 20, f"its index: {index}", size=12)
        drawing.text(middle, line + 40, f"tap of {own}", size=12, fill=LINES[0])
        drawing.text(middle, line + 56, "added" if index == own else "a row of zeros", size=11, fill="#1b7a2f" if index == own else GREY)
    drawing.arrow(left + 2 * wide + 8, top + wide, left + 2 * wide + 56, top + wide)
    drawing.parts.append(
        f'<rect x="{left + 2 * wide + 62}" y="{top + wide - 24}" width="92" height="48" fill="{COLOURS[2]}" stroke="#999"/>'
    )
    drawing.text(left + 2 * wide + 108, top + wide - 4, "gradient", size=12)
    drawing.text(left + 2 * wide + 108, top + wide + 13, f"of x[{place[0]}, {place[1]}]", size=12)
    rows = term.spacing
    told = (
        f"In the windows that see it the place is {', '.join(map(str, term.winners[:-1]))} or {term.winners[-1]}: a tap each. The",
        "loader puts an entry of index i and channel c in channel 16 i + c.",
        f"The rows of weights of tap t begin {16 * rows} t behind the first; those of",
        "its own index alone hold the identity, all others zeros.",
        "What overlaps is added exactly, and rounded once with all",
        "else that reads x.",
    )
    for line, words in enumerate(told):
        drawing.text(460, 276 + 18 * line, words, anchor="start", size=12)
    return str(drawing)


DIAGRAMS = {"strides.svg": strided_convolution, "max_pool.svg": overlapping_pool}


def main() -> None:
    """Draw all diagrams."""
    for name, draw in DIAGRAMS.items():
        write_atomically(IMAGES / name, draw())


if __name__ == "__main__":
    main()
