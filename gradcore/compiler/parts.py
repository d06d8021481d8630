# SPDX-License-Identifier: Apache-2.0
"""Parts of a program: backward only, forward up to a layer, backward down to one. They run in the memory of the whole program.

A part has the jobs of some layers and directions, in the program's order, and nothing moves in memory: what the jobs that are left out
would have made was made by an earlier run, or is written by software (``Program.given``). So the forward pass can be run now and the
backward pass later, as autograd calls them, or the backward pass again by another method.

Waits count finished jobs. Jobs of a kind finish in program order, so a wait for the first n of them becomes a wait for those of the
first n that are in the part; every wait still refers to jobs before it, and a part cannot deadlock. Weights lie where the whole program
has them in the weight buffer: of jobs that are left out none overwrites any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gradcore.compiler import descriptors
from gradcore.compiler.contents import Contents, LayerInfo
from gradcore.models.program import KINDS, WAITS, counted


def part_of(program: Contents, forward: range, backward: range) -> Contents:
    """A program with some of another's jobs.

    Args:
        program: a whole program.
        forward: positions of the layers that run forward.
        backward: positions of the layers that run backward, in ascending order; where both end with the last layer the seed unit runs
            between them, else the gradient that the backward pass starts from must be in memory.

    Raises:
        ValueError: there is nothing to run, or the backward pass does not go on from where the forward pass ends.
    """
    count = program.count
    if not (forward or backward) or (forward and backward and forward.stop != backward.stop):
        raise ValueError(f"no part of a program: forward {forward}, backward {backward}")
    seeded = bool(forward and backward) and forward.stop == count
    kept = [*forward, *([count] if seeded else []), *(2 * count - position for position in reversed(backward))]
    layers, jobs = _renumbered(program, kept)
    words = np.array([descriptors.encode(job["opcode"], _fields(job)) for job in jobs], dtype=np.uint32)
    image = program.image.copy()
    start = program.program_address - program.base
    image[start : start + descriptors.BYTES * len(words)] = words.astype("<u4").view(np.uint8).reshape(-1)
    given = [f"activation_{forward.start}"] if forward else []
    given += [f"tags_{position}" for position in backward if position not in forward and f"tags_{position}" in program.regions]
    given += [f"gradient_{backward.stop}"] if backward and not seeded else []
    return replace(program, image=image, descriptors=len(words), layers=layers, given=tuple(given))


def _renumbered(program: Contents, kept: Iterable[int]) -> tuple[list[LayerInfo], list[dict[str, Any]]]:
    """The layers that are kept, numbered from 0, and their jobs, with waits for jobs that are there; END comes last."""
    numbers = {identifier: number for number, identifier in enumerate(kept)}
    remaining = {kind: [0] for kind in KINDS}  # of the first n jobs of a kind, how many are kept
    jobs, places = [], {number: [] for number in numbers.values()}
    for job in program.jobs():
        stays = job["layer"] in numbers or job["opcode"] == "END"
        if stays:
            waits = {name: remaining[kind][job[name]] for name, kind in WAITS.items() if name in job}
            layer = numbers.get(job["layer"], len(numbers) - 1)
            if job["opcode"] not in ("WEIGHTS", "END"):
                places[layer].append(len(jobs))
            jobs.append({**job, **waits, "layer": layer})
        for kind in counted(job):
            remaining[kind].append(remaining[kind][-1] + stays)
    layers = [
        replace(program.layers[identifier], identifier=number, first_descriptor=places[number][0], last_descriptor=places[number][-1])
        for identifier, number in numbers.items()
    ]
    return layers, jobs


def _fields(job: Mapping[str, Any]) -> dict[str, int]:
    """What ``descriptors.encode`` takes: it fills in the rest."""
    return {name: value for name, value in job.items() if name not in ("opcode", "version", "checksum")}
