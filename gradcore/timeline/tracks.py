# SPDX-License-Identifier: Apache-2.0
"""From the observed signals of a run to its timeline: what each engine did when, and for which job.

Jobs of a kind are done in program order by every engine, so the n-th pulse that ends a job ends the n-th job of its
kind; that gives the slices their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcore.hardware import LANES, VECTOR_LANES
from gradcore.timeline.activity import Activity, intervals
from gradcore.timeline.jobs import job_labels, job_times, layer_label
from gradcore.timeline.timeline import WINDOW, Counter, Slice, Timeline, Track

if TYPE_CHECKING:
    from gradcore.compiler import Program

PAUSE = 16  # cycles: shorter pauses do not show; a stream needs 16 cycles a pixel at least
WORD_BYTES = 8


@dataclass(frozen=True)
class States:
    """What a unit does in each cycle.

    Attributes:
        names: the states; the first is '': it has nothing to do.
        codes: uint8 (cycles,): number of the state. Writable.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    @classmethod
    def of(cls, conditions: Mapping[str, np.ndarray]) -> States:
        """In each cycle the first state whose condition holds, else ''."""
        names = ("", *(name for name in conditions if name))
        codes = np.select(list(conditions.values()), [np.uint8(names.index(name)) for name in conditions], np.uint8(0))
        return cls(names, codes)

    def is_state(self, name: str) -> np.ndarray:
        """bool (cycles,)."""
        return self.codes == self.names.index(name)

    def count(self, start: int, end: int) -> dict[str, int]:
        """Cycles of each state but '' in [start, end)."""
        counts = np.bincount(self.codes[start:end], minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names[1:], counts[1:], strict=True) if count}

    def waits(self, start: int, end: int, longer: Mapping[str, int] | None = None) -> list[Slice]:
        """The waits in [start, end), sorted: of a state in ``longer`` those that are longer than so many cycles."""
        slices = []
        for code in np.unique(self.codes[start:end]):
            name = self.names[code]
            if name.startswith("waits"):
                for first, last in intervals(self.codes[start:end] == code) + start:
                    if last - first > (longer or {}).get(name, 0):
                        slices.append(Slice(name, int(first), int(last), True, {name: int(last - first)}))
        return sorted(slices, key=lambda one: one.start)


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
        streams = stream_cycles(self._activity, tracks[0].slices)
        return Timeline(self._cycles, tuple(tracks), tuple(self._counters()), streams, job_times(self._activity, self._program))

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
        return _job_slices(self._labels["TILE"], activity.pulses("loaded"), loader_states(activity))

    def _loader_half(self, half: int) -> tuple[Slice, ...]:
        activity = self._activity
        return _worked(activity.bit("loader_word", half), self._labels["TILE"], activity.pulses("loaded"), "words")

    def _weights(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("weights")
        head = _is_head(activity.pulses("weights_taken"), activity.pulses("weights_done"), activity.cycles)
        states = States.of(
            {
                "writes": state & 2 != 0,
                "waits for tokens": (state & 4 != 0) & head,
                "waits for data": state & 1 != 0,
            }
        )
        return _job_slices(self._labels["WEIGHTS"], activity.pulses("weights_done"), states)

    # Convolve ----------------------------------------------------------------------------------------------------------

    def _group(self, group: int) -> tuple[Slice, ...]:
        """The jobs of a group's dispatcher, and between them what the next one waits for."""
        states = group_states(self._activity, group)
        works = states.is_state("works")
        slices, start = [], 0
        for label, end in zip(self._labels["TILE"], self._activity.pulses("group_taken", group) + 1, strict=True):
            begin = start + int(np.argmax(works[start:end]))
            slices += states.waits(start, begin)
            slices.append(Slice(label, begin, int(end)))
            start = int(end)
        return tuple(slices)

    def _stream(self, group: int, stream: int) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("stream", 2 * group + stream)
        states = States.of(
            {
                "issues": state & 1 != 0,
                "waits for output": state & 2 != 0,
                "waits for input": group_states(activity, group).is_state("works"),
            }
        )
        issues = np.flatnonzero(state & 1)
        jobs = stream_jobs(activity, group, stream)
        slices, before = [], 0
        for start, end in _split(intervals(state & 1 != 0, PAUSE), issues, jobs):
            slices += states.waits(before, start, {"waits for input": PAUSE})
            label = self._labels["TILE"][jobs[np.searchsorted(issues, start)]]
            slices.append(Slice(label, start, end, cycles=states.count(start, end)))
            before = end
        return (*slices, *states.waits(before, activity.cycles, {"waits for input": PAUSE}))

    # Drain and store ---------------------------------------------------------------------------------------------------

    def _drain(self, group: int) -> tuple[Slice, ...]:
        """From the last unit of a job that a group has handed out until all of them have left the group."""
        taken, computed = (self._activity.pulses(name, group) + 1 for name in ("group_taken", "group_computed"))
        return _stages(self._labels["TILE"], taken, computed)

    def _store(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("store")
        states = States.of({"stores": state & 1 != 0, "waits for a port": state & 4 != 0})
        # The port may take the last words of a job after its end: they are the job's, up to the start of the next.
        shown, taken = activity.pulses("store_job"), activity.pulses("store_taken")
        nexts = [*shown[np.searchsorted(shown, taken[:-1], side="right")], *[activity.cycles][: len(taken)]]
        busy = np.flatnonzero(states.codes)
        return _job_slices(self._labels["STORED"], busy[np.searchsorted(busy, nexts) - 1] + 1, states)

    def _responses(self) -> tuple[Slice, ...]:
        """From the last word of a tile until its write responses are in."""
        taken, stored = (self._activity.pulses(name) + 1 for name in ("store_taken", "stored"))
        return _stages(self._labels["STORED"], taken, stored)

    # Vector ------------------------------------------------------------------------------------------------------------

    def _vector(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("vector")
        jobs = _stages(self._labels["VECTOR"], activity.pulses("vector_taken"), activity.pulses("vector_done") + 1)
        waits = States.of({"": state & 1 != 0, "waits for tokens": state & 4 != 0}).waits(0, activity.cycles)
        return tuple(sorted((*jobs, *waits), key=lambda one: one.start))

    def _half(self, half: int) -> tuple[Slice, ...]:
        activity = self._activity
        last = activity.pulses("half_last", half) + 1
        return _worked(activity.bit("half", half), self._labels["VECTOR"], last, "multiplies")

    def _half_drain(self, half: int) -> tuple[Slice, ...]:
        activity = self._activity
        done = activity.pulses("half_done", half) + 1
        return _worked(activity.values("half", half) & 6 != 0, self._labels["VECTOR"], done, "drains")

    def _seed(self) -> tuple[Slice, ...]:
        activity = self._activity
        state = activity.values("seed")
        states = States.of({"works": state & 1 != 0, "waits for tokens": state & 4 != 0})
        return _job_slices(self._labels["SEED"], activity.pulses("seed_done"), states)

    # Counters ----------------------------------------------------------------------------------------------------------

    def _counters(self) -> Iterator[Counter]:
        activity = self._activity
        streams = sum(activity.values("stream", index) & 1 for index in range(activity.count("stream")))
        halves = sum(activity.values("half", index) & 1 for index in range(2))
        yield Counter("memory and multipliers", "multipliers, convolution", "in use", _means(LANES * streams))
        yield Counter("memory and multipliers", "multipliers, vector engine", "in use", _means(VECTOR_LANES // 2 * halves))
        for port in range(2):
            for name in ("read", "write"):
                beats = activity.values(f"{name}_beat", port)
                yield Counter("memory and multipliers", f"port {port}, {name}", "bytes a cycle", _means(WORD_BYTES * beats))


def layer_ends(activity: Activity) -> dict[int, int]:
    """The cycle in which each layer's last job finished, by layer: the hardware's time stamp."""
    ends = {}
    for writer in range(2):
        layers = activity.values("mark_layer", writer)
        ends.update({int(layers[time]): int(time) for time in activity.pulses("mark", writer)})
    return ends


def loader_states(activity: Activity) -> States:
    """What the tile loader does in each cycle."""
    state = activity.values("loader")
    head = _is_head(activity.pulses("loader_taken"), activity.pulses("loaded"), activity.cycles)
    return States.of(
        {
            "loads": state & 1 != 0,
            "waits for a bank": state & 4 != 0,
            "waits for tokens": (state & 8 != 0) & head,
            "waits for data": state & 2 != 0,
        }
    )


def group_states(activity: Activity, group: int) -> States:
    """What a conv group's dispatcher does in each cycle."""
    state = activity.values("group", group)
    return States.of(
        {
            "": state & 1 == 0,
            "waits for a tile": state & 2 == 0,
            "waits for weights": state & 4 == 0,
            "waits for an output bank": state & 8 == 0,
            "works": np.ones(activity.cycles, dtype=bool),
        }
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


def _job_slices(labels: Sequence[str], ends: np.ndarray, states: States) -> tuple[Slice, ...]:
    """Jobs that an engine does one after the other: from the first busy cycle until the job's end, with the waits of
    more than PAUSE cycles in them."""
    slices, start = [], 0
    for label, end in zip(labels, ends, strict=True):
        begin = start + int(np.argmax(states.codes[start:end] != 0))
        slices.append(Slice(label, begin, int(end), cycles=states.count(begin, int(end))))
        slices += states.waits(begin, int(end), dict.fromkeys(states.names, PAUSE))
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


def _worked(work: np.ndarray, labels: Sequence[str], ends: np.ndarray, what: str) -> tuple[Slice, ...]:
    """Stretches of work, named by the job: the first that has not ended."""
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


def stream_cycles(activity: Activity, layers: Sequence[Slice]) -> dict[str, dict[str, float]]:
    """See ``Timeline.stream_cycles``. What is neither issued nor waited for is of the stream itself:

    - ``starts``: before the first entry of its job; ``ends``: behind the last one, while the job's other work is
      handed out; ``gaps``: in between, because a pixel takes 16 cycles at least, or the next taps are not there yet.
    """
    streams = activity.count("stream")
    result: dict[str, dict[str, float]] = {layer.name: {} for layer in layers}
    loader = loader_states(activity)
    for index in range(streams):
        group, state = index // 2, activity.values("stream", index)
        dispatcher = group_states(activity, group)
        issue, no_tile = state & 1 != 0, dispatcher.is_state("waits for a tile")
        issues, jobs = np.flatnonzero(issue), stream_jobs(activity, group, index % 2)
        times = np.arange(activity.cycles)
        current = np.searchsorted(activity.pulses("group_taken", group), times)
        before = np.searchsorted(issues, times)  # entries issued so far
        states = States.of(
            {
                "issues": issue,
                "waits for output": state & 2 != 0,
                "has no job": dispatcher.codes == 0,
                **{f"waits for a tile, the loader {what}": no_tile & loader.is_state(what) for what in loader.names[1:]},
                "waits for a tile, which is on its way": no_tile,
                "waits for weights": dispatcher.is_state("waits for weights"),
                "waits for an output bank": dispatcher.is_state("waits for an output bank"),
                "starts": before <= np.searchsorted(jobs, current, side="left"),
                "ends": before >= np.searchsorted(jobs, current, side="right"),
                "gaps": np.ones(activity.cycles, dtype=bool),
            }
        )
        for layer in layers:
            for name, count in states.count(layer.start, layer.end).items():
                result[layer.name][name] = result[layer.name].get(name, 0.0) + count / streams
    return result
