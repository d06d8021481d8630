# SPDX-License-Identifier: Apache-2.0
"""The files that show a timeline: trace events, a picture, or the jobs as text.

Trace events are Chrome's JSON, which Perfetto (https://ui.perfetto.dev) and chrome://tracing open; their unit is the microsecond
at the run's clock. docs/timeline.md says what each track means.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcore.errors import GradCoreError
from gradcore.host.files import check_writable, write_atomically
from gradcore.host.streams import strict_json
from gradcore.timeline.drawing import draw_overview
from gradcore.timeline.jobs import job_trace
from gradcore.timeline.overview import overview
from gradcore.timeline.timeline import WINDOW, Timeline

SUFFIXES = (".json", ".png", ".svg", ".txt")


def check_trace(path: str | Path, pictures: int) -> None:
    """Refuse, before any work, a trace that cannot be written; makes nothing.

    Raises:
        GradCoreError: another suffix, several pictures, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise GradCoreError(
            f"a trace is JSON, a picture or text: call it {path.parent / (path.stem or 'run')}.json, .png, .svg or .txt, not {path.name!r}"
        )
    if pictures != 1:
        raise GradCoreError(f"a trace is of one run and there are {pictures} pictures: name one picture, or leave it out")
    check_writable(path)


def save_timeline(timeline: Timeline, path: str | Path, clock_mhz: float, metadata: Mapping[str, Any]) -> None:
    """Write a timeline: trace events to a file ``.json``, an overview to a file ``.png`` or ``.svg``, its jobs to a file ``.txt``.

    Raises:
        GradCoreError: the file cannot be written.
    """
    if Path(path).suffix.lower() == ".json":
        write_atomically(path, strict_json(trace_events(timeline, clock_mhz, metadata), indent=None))
        return
    title = ", ".join(str(metadata[key]) for key in ("network", "method", "picture") if metadata.get(key))
    if Path(path).suffix.lower() == ".txt":
        write_atomically(path, job_trace(timeline.jobs, timeline.cycles, title))
        return
    if Path(path).suffix.lower() == ".svg":
        write_atomically(path, draw_overview(overview(timeline, clock_mhz), title, alone=True))
        return
    from gradcore.timeline.picture import draw_timeline

    draw_timeline(timeline, clock_mhz, title, path)


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
        "otherData": {"clock_mhz": clock_mhz, "cycles": timeline.cycles, "window_cycles": WINDOW, **metadata}
        | {"stream_cycles": timeline.stream_cycles},
    }
