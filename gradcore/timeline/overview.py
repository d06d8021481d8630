# SPDX-License-Identifier: Apache-2.0
"""The overview of a timeline: equal units as one row, how busy each was, and what bounds the run. What pictures and reports show.

A row is what the units of a kind (the tile loader, all conv streams) did in each of ``BINS`` equal parts of the time: which share of them
worked, and which waited. So streams that do the same are one row, and a row's area is its utilisation.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradcore.drawing.palette import categories, lighter
from gradcore.hardware import LANES, STREAMS
from gradcore.simulator import bytes_per_1024
from gradcore.timeline.timeline import WINDOW, Slice, Timeline

BINS = 480  # parts of the time
LIMIT = 0.8  # of what multipliers or memory can give: from there on they bound the run
MEMORY_WINDOW = 1024  # cycles over which the memory's rate holds
_ROWS = {  # row: the tracks that it collapses; what of a slice's cycles is work, None is all of it
    "tile loader": (r"tile loader", "loads"),
    "weight loader": (r"weight loader", "writes"),
    "conv dispatchers": (r"group \d+", None),
    "conv streams": (r"group \d+, stream \d+", "issues"),
    "conv drains": (r"group \d+, drain", None),
    "tile store": (r"tile store", "stores"),
    "vector halves": (r"vector engine, half \d+", "multiplies"),
    "vector drains": (r"vector engine, drain \d+", None),
    "seed unit": (r"seed unit", "works"),
}


@dataclass(frozen=True)
class Row:
    """What the units of a kind did.

    Attributes:
        name: of the kind. units: how many there are.
        busy, least, most: part of the run's cycles in which they worked: mean, and of the least and the most busy unit.
        work, wait: 0..100, percent of the units in each bin. layer: index of the layer that most of the work is for, -1 for none.
    """

    name: str
    units: int
    busy: float
    least: float
    most: float
    work: tuple[int, ...]
    wait: tuple[int, ...]
    layer: tuple[int, ...]


@dataclass(frozen=True)
class Series:
    """A counter in each bin: a mean. ``total`` is its mean over the run, ``limit`` what the hardware can give."""

    name: str
    unit: str
    total: float
    limit: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Overview:
    """A run, or the beginning of one.

    Attributes:
        cycles: of the run. end: the cycle up to which the rows go.
        clock_mhz: of the run.
        layers: (name, end) of each layer, in order; names as ``timeline.jobs.layer_label`` has them.
        rows, series: see there.
        ports: (port and direction, mean bytes a cycle) over the run.
        bound: a sentence on what bounds the run.
        beginning: the first cycles in more detail; None in that itself.
    """

    cycles: int
    end: int
    clock_mhz: float
    layers: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]
    series: tuple[Series, ...]
    ports: tuple[tuple[str, float], ...]
    bound: str
    beginning: Overview | None = None

    def as_dict(self) -> dict[str, Any]:
        """What a file holds of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Overview:
        """The same again.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        rows = tuple(Row(**{**one, **{name: tuple(one[name]) for name in ("work", "wait", "layer")}}) for one in stored["rows"])
        series = tuple(Series(**{**one, "values": tuple(one["values"])}) for one in stored["series"])
        beginning = stored["beginning"]
        return cls(
            **{name: stored[name] for name in ("cycles", "end", "clock_mhz", "bound")},
            layers=tuple((str(name), int(end)) for name, end in stored["layers"]),
            rows=rows,
            series=series,
            ports=tuple((str(name), float(mean)) for name, mean in stored["ports"]),
            beginning=None if beginning is None else cls.from_dict(beginning),
        )


def overview(timeline: Timeline, clock_mhz: float) -> Overview:
    """The overview of a run, with its beginning: a third more than the first layer."""
    end = min(int(timeline.tracks[0].slices[0].end * 4 / 3), timeline.cycles)
    beginning = _part(timeline, clock_mhz, end, None) if end < timeline.cycles else None
    return _part(timeline, clock_mhz, timeline.cycles, beginning)


def layer_colours(layers: Sequence[str]) -> dict[str, str]:
    """A colour (#rrggbb) for each layer: a hue for a layer's name, dark forward and light backward."""
    hues = dict.fromkeys(_name(layer) for layer in layers if layer != "seed")
    chosen = dict(zip(hues, categories(len(hues)), strict=True))
    made = {layer: "#404040" if layer == "seed" else chosen[_name(layer)] for layer in layers}
    return {layer: lighter(colour) if layer.endswith(" backward") else colour for layer, colour in made.items()}


def _name(layer: str) -> str:
    """A layer without its direction."""
    return layer.removesuffix(" backward").removesuffix(" forward")


def _part(timeline: Timeline, clock_mhz: float, end: int, beginning: Overview | None) -> Overview:
    layers = tuple((one.name, one.end) for one in timeline.tracks[0].slices)
    names = [name for name, _ in layers]
    rows = []
    for name, (pattern, what) in _ROWS.items():
        tracks = [track.slices for track in timeline.tracks if re.fullmatch(pattern, track.name)]
        if any(tracks):
            rows.append(_row(name, tracks, what, names, timeline.cycles, end))
    series = _series(timeline, _limits(timeline, clock_mhz), end)
    sentence = bound(timeline, clock_mhz)
    return Overview(timeline.cycles, end, clock_mhz, layers, tuple(rows), series, _ports(timeline), sentence, beginning)


def _ports(timeline: Timeline) -> tuple[tuple[str, float], ...]:
    lengths = _lengths(timeline)
    ports = [one for one in timeline.counters if one.name.startswith("port")]
    return tuple((one.name, round(float((one.values * lengths).sum() / timeline.cycles), 4)) for one in ports)


def _lengths(timeline: Timeline) -> np.ndarray:
    """Cycles of each window."""
    count = len(timeline.counters[0].values)
    return np.minimum(WINDOW, timeline.cycles - WINDOW * np.arange(count))


def _row(name: str, tracks: Sequence[Sequence[Slice]], what: str | None, layers: Sequence[str], cycles: int, end: int) -> Row:
    bins = min(BINS, end)
    work, wait = np.zeros((len(layers), bins)), np.zeros(bins)
    busy = []
    for slices in tracks:
        waits = [one for one in slices if one.wait]
        starts = [one.start for one in waits]
        busy.append(0.0)
        for one in waits:
            _cover(wait, one, end, 1.0)
        for one in slices:
            if not one.wait:
                inside = waits[bisect.bisect_left(starts, one.start) : bisect.bisect_left(starts, one.end)]
                length = one.end - one.start
                done = length if what is None else one.cycles.get(what, 0)
                busy[-1] += done / cycles
                row, density = (
                    work[layer_of(one.name, layers)],
                    min(1.0, done / max(1, length - sum(each.end - each.start for each in inside))),
                )
                _cover(row, one, end, density)
                for each in inside:
                    _cover(row, each, end, -density)
    share = work.sum(axis=0) / len(tracks)
    percent = np.clip(np.round(100 * share), 0, 100).astype(int)
    waiting = np.minimum(np.round(100 * wait / len(tracks)), 100 - percent).astype(int)
    layer = np.where(percent > 0, work.argmax(axis=0), -1)
    parts = (tuple(values.tolist()) for values in (percent, waiting, layer))
    return Row(name, len(tracks), *(round(value, 4) for value in (float(np.mean(busy)), min(busy), max(busy))), *parts)


def _cover(bins: np.ndarray, one: Slice, end: int, share: float) -> None:
    """Add a slice to the bins that it touches, each by the part of it that is covered."""
    width = end / len(bins)
    start, stop = one.start / width, min(one.end, end) / width
    if start >= stop:
        return
    first, last = int(start), min(int(np.ceil(stop)), len(bins)) - 1
    bins[first : last + 1] += share
    bins[first] -= share * (start - first)
    bins[last] -= share * (last + 1 - stop)


def layer_of(job: str, layers: Sequence[str]) -> int:
    """Index of the layer that a slice's name begins with; names may hold anything, and begin alike."""
    found = max((layer for layer in layers if job == layer or job.startswith(f"{layer},")), key=len)
    return layers.index(found)


def _limits(timeline: Timeline, clock_mhz: float) -> tuple[float, float]:
    """(multipliers of the convolutions, bytes a cycle of the memory)."""
    groups = sum(re.fullmatch(r"group \d+", track.name) is not None for track in timeline.tracks)
    return float(groups * STREAMS * LANES), bytes_per_1024(clock_mhz) / MEMORY_WINDOW


def _counter(timeline: Timeline, word: str) -> np.ndarray:
    """The sum of the counters with a word in their names, in each window."""
    return np.sum([one.values for one in timeline.counters if word in one.name], axis=0)


def _series(timeline: Timeline, limits: tuple[float, float], end: int) -> tuple[Series, ...]:
    made = []
    for name, word, unit, limit in (
        ("conv multipliers", "multipliers, convolution", "in use", limits[0]),
        ("vector multipliers", "multipliers, vector", "in use", 8.0),
        ("read", "read", "bytes a cycle", limits[1]),
        ("written", "write", "bytes a cycle", limits[1]),
    ):
        values = _counter(timeline, word)
        sums = np.concatenate(([0.0], np.cumsum(values * _lengths(timeline))))
        edges = np.linspace(0, end, min(BINS, end) + 1)
        at = np.interp(edges, np.minimum(WINDOW * np.arange(len(sums)), timeline.cycles), sums)
        means = np.diff(at) / np.diff(edges)
        made.append(Series(name, unit, round(float(sums[-1] / timeline.cycles), 4), limit, tuple(np.round(means, 1).tolist())))
    return tuple(made)


def bound(timeline: Timeline, clock_mhz: float) -> str:
    """One sentence: in which part of the run the conv multipliers, or the memory, are at their limit, and what holds the rest up.

    At the limit is who gives ``LIMIT`` of what he can; memory by its mean over ``MEMORY_WINDOW`` cycles, over which its rate holds.
    """
    multipliers, rate = _limits(timeline, clock_mhz)
    used = _counter(timeline, "multipliers, convolution")
    moved = _counter(timeline, "port")
    lengths = _lengths(timeline)
    wide = np.ones(min(MEMORY_WINDOW // WINDOW, len(moved)))
    mean = np.convolve(moved, wide, "same") / np.convolve(np.ones(len(moved)), wide, "same")
    by_multipliers = (used >= LIMIT * multipliers) & (multipliers > 0)
    by_memory = ~by_multipliers & (mean >= LIMIT * rate)

    def part(where: np.ndarray) -> float:
        return float(lengths[where].sum() / timeline.cycles)

    def level(values: np.ndarray, where: np.ndarray) -> float:
        return float((values * lengths)[where].sum() / lengths[where].sum())

    told = []
    if by_multipliers.any():
        busy = level(used, by_multipliers) / multipliers
        told.append(
            (part(by_multipliers), f"by the {multipliers:.0f} multipliers of the convolutions ({100 * busy:.0f} % of them busy there)")
        )
    if by_memory.any():
        told.append((part(by_memory), f"by memory ({level(moved, by_memory):.1f} of its {rate:.1f} bytes a cycle there)"))
    told.sort(reverse=True)
    if not told:
        return f"Neither multipliers nor memory come to their limit{_waits(timeline)}."
    (share, what), *others = told
    parts = [f"{100 * share:.0f} % of the run is bound {what}", *(f"{100 * share:.0f} % {what}" for share, what in others)]
    rest = 1.0 - sum(share for share, _ in told)
    if rest >= 0.005:
        parts.append(f"in the other {100 * rest:.0f} % neither is at its limit{_waits(timeline) if rest > 0.5 else ''}")
    return ", ".join(parts) + "."


def _waits(timeline: Timeline) -> str:
    """What the conv streams wait for most, over the run."""
    spent: dict[str, float] = {}
    for states in timeline.stream_cycles.values():
        for name, cycles in states.items():
            if name not in ("issues", "has no job"):
                spent[name] = spent.get(name, 0.0) + cycles
    if not spent:
        return ""
    name = max(spent, key=lambda one: spent[one])
    words = {"starts": "begin a tile", "ends": "end a tile", "gaps": "walk over what holds no value"}
    return f", where streams mostly {words.get(name, 'wait' + name.removeprefix('waits') if name.startswith('waits') else name)}"
