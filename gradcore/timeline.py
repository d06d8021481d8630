# SPDX-License-Identifier: Apache-2.0
"""A timeline of the engines for one run: slices and counters from the observed signals, and the trace file.

The file is Chrome's trace-event JSON, which Perfetto (https://ui.perfetto.dev) and chrome://tracing open; its unit is
the microsecond at the run's clock. docs/timeline.md says what each track means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.activity import Activity, intervals
from gradcore.errors import GradCoreError

if TYPE_CHECKING:
    from gradcore.compiler import LayerInfo, Program

SUFFIXES = (".json", ".png")
PAUSE = 16  # cycles: shorter pauses do not show; a stream needs 16 cycles a pixel at least
WINDOW = 128  # cycles that a counter's value is the mean of
LANES = 16
WORD_BYTES = 8


@dataclass(frozen=True)
class Slice:
    """A stretch of time on a track: [start, end) in cycles.

    Attributes:
        name: the job, or what is waited for.
        wait: it is a wait; waits lie in or between the slices of jobs.
        cycles: how many of its cycles were spent how; exact, pauses that do not show included.
    """

    name: str
    start: int
    end: int
    wait: bool = False
    cycles: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Track:
    """The slices of one unit, sorted by start; slices are apart or nested."""

    group: str
    name: str
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Counter:
    """Means over windows of ``WINDOW`` cycles (the last may be shorter), float64."""

    group: str
    name: str
    unit: str
    values: np.ndarray


@dataclass(frozen=True)
class Timeline:
    """One run. ``tracks[0]`` are the layers; ``cycles`` is the time from START to the interrupt."""

    cycles: int
    tracks: tuple[Track, ...]
    counters: tuple[Counter, ...]

    def track(self, name: str) -> Track:
        """The track of that name."""
        return next(track for track in self.tracks if track.name == name)


def check_trace(path: str | Path, pictures: int) -> None:
    """Refuse, before any work, a trace that cannot be written; makes the file's folder.

    Raises:
        GradCoreError: another suffix, several pictures, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise GradCoreError(f"a trace is JSON or a picture: call it {path.with_suffix('.json')} or .png, not {path.name}")
    if pictures != 1:
        raise GradCoreError(f"a trace is of one run and there are {pictures} pictures: name one picture, or leave it out")
    _write(path, b"")


def save_timeline(timeline: Timeline, path: str | Path, clock_mhz: float, metadata: Mapping[str, Any]) -> None:
    """Write a timeline: trace events to a file ``.json``, an overview to a file ``.png``.

    Raises:
        GradCoreError: the file cannot be written.
    """
    if Path(path).suffix == ".json":
        _write(path, json.dumps(trace_events(timeline, clock_mhz, metadata), indent=None).encode())
        return
    from gradcore.timeline_picture import draw_timeline

    title = ", ".join(str(metadata[key]) for key in ("network", "method", "picture") if metadata.get(key))
    _write(path, draw_timeline(timeline, clock_mhz, title))


def trace_events(timeline: Timeline, clock_mhz: float, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The trace-event JSON: processes are groups of tracks, threads are tracks."""
    groups = list(dict.fromkeys(one.group for one in (*timeline.tracks, *timeline.counters)))
    names: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []

    def microseconds(cycles: float) -> float:
        return round(cycles / clock_mhz, 6)

    for pid, group in enumerate(groups, 1):
        names.append({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": group}})
        names.append({"ph": "M", "pid": pid, "name": "process_sort_index", "args": {"sort_index": pid}})
    for tid, track in enumerate(timeline.tracks, 1):
        where = {"pid": groups.index(track.group) + 1, "tid": tid}
        names.append({"ph": "M", **where, "name": "thread_name", "args": {"name": track.name}})
        names.append({"ph": "M", **where, "name": "thread_sort_index", "args": {"sort_index": tid}})
        for one in track.slices:
            events.append(
                {
                    "ph": "X",
                    **where,
                    "name": one.name,
                    "cat": "wait" if one.wait else "work",
                    "ts": microseconds(one.start),
                    "dur": microseconds(one.end - one.start),
                    "args": {"first cycle": one.start, "cycles": one.end - one.start, **one.cycles},
                }
            )
    for counter in timeline.counters:
        where = {"pid": groups.index(counter.group) + 1}
        for number, value in enumerate(counter.values):
            events.append(
                {
                    "ph": "C",
                    **where,
                    "name": counter.name,
                    "ts": microseconds(number * WINDOW),
                    "args": {counter.unit: round(float(value), 6)},
                }
            )
    events.sort(key=lambda event: (event["ts"], -event.get("dur", 0)))
    return {
        "traceEvents": names + events,
        "displayTimeUnit": "ns",
        "otherData": {"clock_mhz": clock_mhz, "cycles": timeline.cycles, "window_cycles": WINDOW, **metadata},
    }


def build_timeline(activity: Activity, program: Program, cycles: int) -> Timeline:
    """Slices and counters of a run of a program that took ``cycles`` cycles from START to the interrupt."""
    return _Builder(activity, program, cycles).build()


class _Builder:
    """Makes the tracks of one run, an engine a method."""

    def __init__(self, activity: Activity, program: Program, cycles: int) -> None:
        self._activity, self._program, self._cycles = activity, program, cycles
        self._labels = job_labels(program)

    def build(self) -> Timeline:
        groups = range(self._activity.count("group"))
        tracks = [
            Track("program", "layers", self._layers()),
            Track("program", "sequencer", self._sequencer()),
            Track("load", "tile loader", self._loader()),
            *(Track("load", f"tile loader, half {half}", self._loader_half(half)) for half in range(2)),
            Track("load", "weight loader", self._weights()),
        ]
        for group in groups:
            tracks.append(Track("convolve", f"group {group}", self._group(group)))
            for stream in range(2):
                tracks.append(Track("convolve", f"group {group}, stream {stream}", self._stream(group, stream)))
        tracks += [Track("drain and store", f"group {group}, drain", self._drain(group)) for group in groups]
        tracks.append(Track("drain and store", "tile store", self._store()))
        tracks.append(Track("drain and store", "tile store, responses", self._responses()))
        tracks.append(Track("vector", "vector engine", self._vector()))
        for half in range(2):
            tracks.append(Track("vector", f"vector engine, half {half}", self._half(half)))
            tracks.append(Track("vector", f"vector engine, drain {half}", self._half_drain(half)))
        tracks.append(Track("vector", "seed unit", self._seed()))
        return Timeline(self._cycles, tuple(tracks), tuple(self._counters()))

    # Program -----------------------------------------------------------------------------------------------------------

    def _layers(self) -> tuple[Slice, ...]:
        """From the end of the layer before to its own; the last ends with the interrupt."""
        ends = layer_ends(self._activity)
        slices, start = [], 0
        for layer in self._program.layers:
            end = self._cycles if layer is self._program.layers[-1] else ends[layer.identifier]
            slices.append(Slice(layer_label(layer), start, end))
            start = end
        return tuple(slices)

    def _sequencer(self) -> tuple[Slice, ...]:
        """From descriptor to descriptor: fetched, checked, and offered until its queue has room."""
        taken, offered = self._activity.values("taken"), self._activity.values("offered") != 0
        labels = {kind: iter(self._labels[kind]) for kind in self._labels}
        slices, start = [], 0
        for time in np.flatnonzero(taken):
            kind = ("TILE", "WEIGHTS", "VECTOR", "SEED")[int(taken[time]).bit_length() - 1]
            waits = int(offered[start:time].sum())
            label = f"{kind} {next(labels[kind])}"
            slices.append(Slice(label, start, int(time) + 1, cycles={"waits for a queue": waits}))
            if waits > PAUSE:
                slices.append(Slice("waits for a queue", int(time) - waits, int(time), wait=True))
            start = int(time) + 1
        slices.append(Slice("waits for the engines", start, self._activity.cycles, wait=True))
        return tuple(slices)

    # Load --------------------------------------------------------------------------------------------------------------

    def _loader(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("loader")
        head = _is_head(activity.pulses("loader_taken"), activity.pulses("loaded"), activity.cycles)
        codes = np.select(
            [state & 1 != 0, state & 4 != 0, (state & 8 != 0) & head, state & 2 != 0],
            ["loads", "waits for a bank", "waits for tokens", "waits for data"],
            "",
        )
        return _job_slices(self._labels["TILE"], activity.pulses("loaded"), codes, "loads")

    def _loader_half(self, half: int) -> tuple[Slice, ...]:
        activity = self._activity
        loaded = activity.pulses("loaded")
        return _worked(activity.bit("loader_word", half), self._names("TILE", loaded), "words")

    def _weights(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("weights")
        head = _is_head(activity.pulses("weights_taken"), activity.pulses("weights_done"), activity.cycles)
        codes = np.select(
            [state & 2 != 0, (state & 4 != 0) & head, state & 1 != 0],
            ["writes", "waits for tokens", "waits for data"],
            "",
        )
        return _job_slices(self._labels["WEIGHTS"], activity.pulses("weights_done"), codes, "writes")

    # Convolve ----------------------------------------------------------------------------------------------------------

    def _group(self, group: int) -> tuple[Slice, ...]:
        """The jobs of a group's dispatcher, and between them what the next one waits for."""
        codes = group_states(self._activity, group)
        ends = self._activity.pulses("group_taken", group) + 1
        slices, start = [], 0
        for label, end in zip(self._labels["TILE"], ends, strict=True):
            begin = start + int(np.argmax(codes[start:end] == "works"))
            slices += _waits(codes, start, begin, "works")
            slices.append(Slice(label, begin, int(end)))
            start = int(end)
        return tuple(slices)

    def _stream(self, group: int, stream: int) -> tuple[Slice, ...]:
        activity, index = self._activity, 2 * group + stream
        state = activity.values("stream", index)
        works = group_states(activity, group) == "works"
        codes = np.select([state & 1 != 0, state & 2 != 0, works], ["issues", "waits for output", "waits for input"], "")
        issues = np.flatnonzero(codes == "issues")
        jobs = stream_jobs(activity, group, stream)
        names = self._labels["TILE"]
        slices = []
        for start, end in _split(intervals(codes == "issues", PAUSE), issues, jobs):
            job = jobs[np.searchsorted(issues, start)]
            slices.append(Slice(names[job], start, end, cycles=_count(codes[start:end])))
            codes[start:end] = ""
        slices += _waits(codes, 0, activity.cycles, "", shortest={"waits for input": PAUSE})
        return tuple(sorted(slices, key=lambda one: one.start))

    # Drain and store ---------------------------------------------------------------------------------------------------

    def _drain(self, group: int) -> tuple[Slice, ...]:
        """From the last unit of a job that a group has handed out until all of them have left the group."""
        taken, computed = (self._activity.pulses(name, group) + 1 for name in ("group_taken", "group_computed"))
        return _stages(self._labels["TILE"], taken, computed)

    def _store(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("store")
        codes = np.select([state & 1 != 0, state & 4 != 0], ["stores", "waits for a port"], "")
        # The port may take the last words of a job after its end: they are the job's, up to the start of the next.
        shown, taken = activity.pulses("store_job"), activity.pulses("store_taken")
        starts = shown[np.searchsorted(shown, taken[:-1], side="right")]
        busy = np.flatnonzero(codes != "")
        ends = busy[np.searchsorted(busy, [*starts, activity.cycles]) - 1] + 1
        return _job_slices(self._labels["TILE"], ends, codes, "stores")

    def _responses(self) -> tuple[Slice, ...]:
        """From the last word of a tile until its write responses are in."""
        taken, stored = (self._activity.pulses(name) + 1 for name in ("store_taken", "stored"))
        return _stages(self._labels["TILE"], taken, stored)

    # Vector ------------------------------------------------------------------------------------------------------------

    def _vector(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("vector")
        taken, done = activity.pulses("vector_taken"), activity.pulses("vector_done") + 1
        codes = np.where((state & 4 != 0) & (state & 1 == 0), "waits for tokens", "")
        slices = [*_stages(self._labels["VECTOR"], taken, done), *_waits(codes, 0, activity.cycles, "")]
        return tuple(sorted(slices, key=lambda one: one.start))

    def _half(self, half: int) -> tuple[Slice, ...]:
        activity = self._activity
        last = activity.pulses("half_last", half) + 1
        return _worked(activity.bit("half", half), self._names("VECTOR", last), "multiplies")

    def _half_drain(self, half: int) -> tuple[Slice, ...]:
        activity = self._activity
        done = activity.pulses("half_done", half) + 1
        return _worked(activity.values("half", half) & 6 != 0, self._names("VECTOR", done), "drains")

    def _seed(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("seed")
        codes = np.select([state & 1 != 0, state & 4 != 0], ["works", "waits for tokens"], "")
        return _job_slices(self._labels["SEED"], activity.pulses("seed_done"), codes, "works")

    # Counters ----------------------------------------------------------------------------------------------------------

    def _counters(self) -> Iterator[Counter]:
        activity = self._activity
        streams = sum(activity.values("stream", index) & 1 for index in range(activity.count("stream")))
        halves = sum(activity.values("half", index) & 1 for index in range(2))
        yield Counter("memory and multipliers", "multipliers, convolution", "in use", _means(LANES * streams))
        yield Counter("memory and multipliers", "multipliers, vector engine", "in use", _means(4 * halves))
        for port in range(2):
            for name in ("read", "write"):
                beats = activity.values(f"{name}_beat", port)
                yield Counter("memory and multipliers", f"port {port}, {name}", "bytes a cycle", _means(WORD_BYTES * beats))

    def _names(self, kind: str, ends: np.ndarray) -> tuple[list[str], np.ndarray]:
        return self._labels[kind], ends


def layer_label(layer: LayerInfo) -> str:
    """A layer's name and direction, as tables have it."""
    return layer.name if layer.kind == "seed" else f"{layer.name.removesuffix('_backward')} {layer.direction}"


def job_labels(program: Program) -> dict[str, list[str]]:
    """Names of the jobs of each kind (TILE, WEIGHTS, VECTOR, SEED), in program order, which is their order everywhere."""
    labels: dict[str, list[str]] = {kind: [] for kind in ("TILE", "WEIGHTS", "VECTOR", "SEED")}
    words = {"TILE": "tile", "WEIGHTS": "weights", "VECTOR": "chunk"}
    seen: dict[tuple[str, int], int] = {}
    for job in program.jobs():
        kind, layer = str(job["opcode"]), int(job["layer"])
        if kind not in labels:
            continue
        number = seen[kind, layer] = seen.get((kind, layer), -1) + 1
        name = layer_label(program.layers[layer])
        labels[kind].append(name if kind == "SEED" else f"{name}, {words[kind]} {number}")
    return labels


def layer_ends(activity: Activity) -> dict[int, int]:
    """The cycle in which each layer's last job finished, by layer: the hardware's time stamp."""
    ends = {}
    for writer in range(2):
        layers = activity.values("mark_layer", writer)
        ends.update({int(layers[time]): int(time) for time in activity.pulses("mark", writer)})
    return ends


def group_states(activity: Activity, group: int) -> np.ndarray:
    """What a conv group's dispatcher does in each cycle: text (cycles,); '' without a job."""
    state = activity.values("group", group)
    return np.select(
        [state & 1 == 0, state & 2 == 0, state & 4 == 0, state & 8 == 0],
        ["", "waits for a tile", "waits for weights", "waits for an output bank"],
        "works",
    )


def stream_jobs(activity: Activity, group: int, stream: int) -> np.ndarray:
    """The TILE job of each entry that a stream issues: int64 (entries,), ascending.

    An entry is of the job that the dispatcher works on, or of the one before, or, before the dispatcher starts a job,
    of one of the two before: the entry's tile bank (job number modulo 2) decides.
    """
    index = 2 * group + stream
    times = activity.pulses("stream", index)
    bank = activity.values("stream", index)[times] >> 2
    current = np.searchsorted(activity.pulses("group_taken", group), times, side="left")
    started = activity.values("group", group)[times] == 15
    return np.where(bank != current % 2, current - 1, np.where(started, current, current - 2))


def _is_head(taken: np.ndarray, done: np.ndarray, cycles: int) -> np.ndarray:
    """bool (cycles,): the job at the head of the queue is the one that the engine is to do next or does."""
    times = np.arange(cycles)
    return np.searchsorted(taken, times) <= np.searchsorted(done, times, side="right")


def _count(codes: np.ndarray) -> dict[str, int]:
    """How often each text but '' occurs."""
    names, counts = np.unique(codes, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True) if name}


def _waits(
    codes: np.ndarray, start: int, end: int, work: str, shortest: Mapping[str, int] | None = None
) -> list[Slice]:
    """Slices of all stretches of one text other than '' and ``work``; of some texts only what is longer."""
    slices = []
    for name in np.unique(codes[start:end]):
        if name not in ("", work):
            for first, last in intervals(codes[start:end] == name) + start:
                if last - first > (shortest or {}).get(name, 0):
                    slices.append(Slice(str(name), int(first), int(last), True, {str(name): int(last - first)}))
    return sorted(slices, key=lambda one: one.start)


def _job_slices(labels: Sequence[str], ends: np.ndarray, codes: np.ndarray, work: str) -> tuple[Slice, ...]:
    """Jobs that an engine does one after the other: from the first cycle with a text until the job's end, with the
    waits of more than PAUSE cycles in them."""
    slices, start = [], 0
    for label, end in zip(labels, ends, strict=True):
        begin = start + int(np.argmax(codes[start:end] != ""))
        slices.append(Slice(label, begin, int(end), cycles=_count(codes[begin:end])))
        names = np.unique(codes[begin:end])
        slices += _waits(codes, begin, int(end), work, {str(name): PAUSE for name in names})
        start = int(end)
    return tuple(slices)


def _stages(labels: Sequence[str], starts: np.ndarray, ends: np.ndarray) -> tuple[Slice, ...]:
    """Jobs that may overlap, one after the other: from its start, or the end of the one before, until its end."""
    slices, before = [], 0
    for label, start, end in zip(labels, starts, ends, strict=True):
        if max(int(start), before) < end:
            slices.append(Slice(label, max(int(start), before), int(end)))
        before = int(end)
    return tuple(slices)


def _split(spans: np.ndarray, times: np.ndarray, jobs: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cut spans of work where the job changes; times and jobs of all that was done."""
    changes = times[1:][np.diff(jobs) != 0]
    for start, end in spans:
        inner = changes[(changes > start) & (changes < end)]
        for first, last in zip([start, *inner], [*inner, end], strict=True):
            yield int(first), int(last)


def _worked(work: np.ndarray, jobs: tuple[list[str], np.ndarray], what: str) -> tuple[Slice, ...]:
    """Stretches of work, named by the job: the first that has not ended."""
    labels, ends = jobs
    times = np.flatnonzero(work)
    numbers = np.searchsorted(ends, times, side="right")
    slices = []
    for start, end in _split(intervals(work, PAUSE), times, numbers):
        number = numbers[np.searchsorted(times, start)]
        slices.append(Slice(labels[number], start, end, cycles={what: int(work[start:end].sum())}))
    return tuple(slices)


def _means(values: np.ndarray) -> np.ndarray:
    """Means over windows."""
    starts = np.arange(0, len(values), WINDOW)
    return np.add.reduceat(values.astype(np.float64), starts) / np.diff(starts, append=len(values))


def _write(path: str | Path, data: bytes) -> None:
    """Write a file and make its folder.

    Raises:
        GradCoreError: it cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)
    except OSError as error:
        raise GradCoreError(f"the trace {path} cannot be written ({error.strerror}): name another file") from None
