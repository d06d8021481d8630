# SPDX-License-Identifier: Apache-2.0
"""Parts of a program: backward only, forward up to a layer, backward down to one. They run in the memory of the whole program.

A part has the jobs of some layers and directions, in the program's order, and nothing moves in memory: what the jobs that are left out
would have made was made by an earlier run, or is written by software (``given``). So the forward pass can be run now and the
backward pass later, as autograd calls them, or the backward pass again by another method.

Waits count finished jobs. Jobs of a kind finish in program order, so a wait for the first n of them becomes a wait for those of the
first n that are in the part; every wait still refers to jobs before it, and a part cannot deadlock. Weights lie where the whole program
has them in the weight buffer: of jobs that are left out none overwrites any.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import hardware

# Waits of jobs, and the kind of finished jobs that they count.
WAITS = {"wait_tiles": "STORED", "wait_vectors": "VECTOR", "wait_weights": "WEIGHTS", "wait_computed": "TILE"}
KINDS = ("TILE", "STORED", "VECTOR", "WEIGHTS")


def counted(job: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds that a job is counted as: SEED jobs count as VECTOR jobs, TILE jobs that store as STORED, too."""
    opcode = job["opcode"]
    if opcode == "TILE" and not job["to_partial"]:
        return "TILE", "STORED"
    return () if opcode == "END" else ({"SEED": "VECTOR"}.get(opcode, opcode),)


def decode(words: np.ndarray) -> dict[str, Any]:
    """Field values from uint32 (32,); ``opcode`` is the name. Raises ValueError for a descriptor that is not legal."""
    opcode, values = hardware.unpack_descriptor(np.asarray(words, dtype=np.uint32).tolist())
    return {**values, "opcode": opcode}


def part_of(program: Any, kept: Iterable[int], given: Iterable[str]) -> Any:
    """A program with some of another's layers, by identifier, in order; ``given``: regions that must be in memory before a run."""
    layers, jobs = _renumbered(program, kept)
    words = np.array([hardware.pack_descriptor(job["opcode"], _fields(job)) for job in jobs], dtype=np.uint32)
    image = program.image.copy()
    start = program.program_address - program.base
    image[start : start + hardware.DESCRIPTOR_BYTES * len(words)] = words.astype("<u4").view(np.uint8).reshape(-1)
    return replace(program, image=image, descriptors=len(words), layers=layers, given=tuple(given))


def _renumbered(program: Any, kept: Iterable[int]) -> tuple[list[Any], list[dict[str, Any]]]:
    """The layers that are kept, numbered from 0, and their jobs, with waits for jobs that are there; END comes last."""
    numbers = {identifier: number for number, identifier in enumerate(kept)}
    remaining = {kind: [0] for kind in KINDS}  # of the first n jobs of a kind, how many are kept
    jobs: list[dict[str, Any]] = []
    places: dict[int, list[int]] = {number: [] for number in numbers.values()}
    for job in map(decode, program.descriptor_words):
        stays = job["layer"] in numbers or job["opcode"] == "END"
        if stays:
            waits = {name: remaining[kind][job[name]] for name, kind in WAITS.items() if name in job}
            layer = numbers.get(job["layer"], len(numbers) - 1)
            if job["opcode"] not in ("WEIGHTS", "END"):
                places[layer].append(len(jobs))
            jobs.append({**job, **waits, "layer": layer})
        for kind in counted(job):
            remaining[kind].append(remaining[kind][-1] + stays)
    layers = []
    for identifier, number in numbers.items():
        layer = copy.copy(program.layers[identifier])
        layer.identifier, layer.first_descriptor, layer.last_descriptor = number, places[number][0], places[number][-1]
        layers.append(layer)
    return layers, jobs


def _fields(job: Mapping[str, Any]) -> dict[str, int]:
    """What ``pack_descriptor`` takes: it fills in the rest."""
    return {name: value for name, value in job.items() if name not in ("opcode", "version", "checksum")}
