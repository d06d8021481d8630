# SPDX-License-Identifier: Apache-2.0
"""The sequencer's trace as text: each job of a program, when it was pushed, what it waited for, and when it was done.

It also takes the record of a run that did not end: what hangs is then the first job without an end, and the tokens that it waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcore.models.program import counted
from gradcore.timeline.activity import Activity

if TYPE_CHECKING:
    from gradcore.compiler import LayerInfo, Program

# What ends each step of a job, by kind of job: column -> signal of activity_trace.v. "" : the kind has no such step.
COLUMNS = ("pushed", "begun", "loaded", "computed", "done")
_STEPS = {
    "TILE": ("", "loaded", "tile_computed", "stored"),
    "WEIGHTS": ("weights_taken", "", "", "weights_done"),
    "VECTOR": ("vector_taken", "", "", "vector_done"),
    "SEED": ("", "", "", "seed_done"),
}
_KINDS = ("TILE", "WEIGHTS", "VECTOR", "SEED")  # the bits of `taken`, from bit 0
_TOKENS = {"wait_tiles": "stored tiles", "wait_vectors": "vectors", "wait_weights": "weights", "wait_computed": "computed tiles"}


def layer_label(layer: LayerInfo) -> str:
    """A layer's name and direction, as tables have it."""
    return layer.name if layer.kind == "seed" else f"{layer.name.removesuffix('_backward')} {layer.direction}"


def job_labels(program: Program) -> dict[str, list[str]]:
    """Names of the jobs of each kind (TILE, WEIGHTS, VECTOR, SEED), in program order, which is their order everywhere; STORED: of the
    TILE jobs that store, as the tile store sees them."""
    labels: dict[str, list[str]] = {kind: [] for kind in (*_KINDS, "STORED")}
    words = {"TILE": "tile", "WEIGHTS": "weights", "VECTOR": "chunk"}
    seen: dict[tuple[str, int], int] = {}
    slices = 0  # of a chunk, before this job
    for job in program.jobs():
        kind, layer = str(job["opcode"]), int(job["layer"])
        if kind not in _KINDS:
            continue
        number = seen[kind, layer] = seen.get((kind, layer), -1) + (kind != "VECTOR" or not slices)
        name = layer_label(program.layers[layer])
        label = name if kind == "SEED" else f"{name}, {words[kind]} {number}"
        if kind == "VECTOR":
            keep = bool(job["keep"])
            label += f", slice {slices}" if keep or slices else ""
            slices = slices + 1 if keep else 0
        labels[kind].append(label)
        if "STORED" in counted(job):
            labels["STORED"].append(label)
    return labels


@dataclass(frozen=True)
class JobTimes:
    """A job: number of its descriptor, name, tokens that it waits for, and the cycle of each of ``COLUMNS`` (None: not reached)."""

    descriptor: int
    kind: str
    label: str
    waits: str
    times: tuple[int | None, ...]


def job_times(activity: Activity, program: Program) -> tuple[JobTimes, ...]:
    """Every job of the program, in order; those that a run without explanation does not reach have no times.

    Jobs of a kind are done in order, so that the n-th pulse of a signal is the n-th job's.
    """
    labels = {kind: iter(names) for kind, names in job_labels(program).items()}
    pulses = {signal: activity.pulses(signal).tolist() for steps in _STEPS.values() for signal in steps if signal}
    pushed = {kind: activity.pulses("taken", bit=bit).tolist() for bit, kind in enumerate(_KINDS)}
    seen = dict.fromkeys((*_KINDS, "STORED"), 0)
    found = []
    for index, job in enumerate(program.jobs()):
        kind = str(job["opcode"])
        if kind not in _KINDS:
            continue
        stores = "STORED" in counted(job)  # a TILE that leaves partial sums is never stored
        number = {**dict.fromkeys(pulses, seen[kind]), "stored": seen["STORED"] if stores else len(pulses["stored"])}
        times = [_at(pushed[kind], seen[kind]), *(_at(pulses[signal], number[signal]) if signal else None for signal in _STEPS[kind])]
        if kind == "TILE" and not stores:
            times[-1] = times[-2]  # computed is done
        seen[kind] += 1
        seen["STORED"] += stores
        waits = ", ".join(f"{job[name]} {what}" for name, what in _TOKENS.items() if job.get(name))
        found.append(JobTimes(index, kind, next(labels[kind]), waits, tuple(times)))
    return tuple(found)


def _at(times: Sequence[int], number: int) -> int | None:
    return times[number] if number < len(times) else None


def job_trace(jobs: Sequence[JobTimes], cycles: int, title: str = "") -> str:
    """The table of a run's jobs as text: a line each, and at the end how far the run came."""
    width = max((len(job.label) for job in jobs), default=0)
    head = f"{'desc':>5}  {'kind':7}  {'job':{width}}" + "".join(f"{column:>10}" for column in COLUMNS) + "  waits for"
    lines = [*([title] if title else []), head]
    for job in jobs:
        times = "".join(f"{'-' if time is None else time:>10}" for time in job.times)
        lines.append(f"{job.descriptor:>5}  {job.kind:7}  {job.label:{width}}{times}  {job.waits}".rstrip())
    return "\n".join([*lines, *_summary(jobs, cycles)]) + "\n"


def _summary(jobs: Sequence[JobTimes], cycles: int) -> Iterator[str]:
    """How many jobs ended, and what holds up the first that did not."""
    open_jobs = [job for job in jobs if job.times[-1] is None]
    yield f"{len(jobs) - len(open_jobs)} of {len(jobs)} jobs were done after {cycles} cycles"
    begun = [job for job in open_jobs if job.times[0] is not None]
    if begun:
        job = begun[0]
        steps = (column for column, signal in zip(COLUMNS[1:], _STEPS[job.kind], strict=True) if signal)
        reached = dict(zip(COLUMNS, job.times, strict=True))
        missing = next((step for step in steps if reached[step] is None), "done")
        waits = f"; it waits for {job.waits}" if job.waits else ""
        yield f"the first that was pushed and not done: {job.kind} {job.label}, descriptor {job.descriptor}, not {missing}{waits}"
