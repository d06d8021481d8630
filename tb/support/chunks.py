# SPDX-License-Identifier: Apache-2.0
"""Programs whose sums are made in chunks: the same results as the program that they are made of, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gradcore.compiler import Program, descriptors
from gradcore.hardware import PARTIAL_PIXELS, STREAMS
from gradcore.models.convolution.conv_group import ConvJob, own_units
from gradcore.models.program import ORIGINS
from gradcore.runtime.program import relocate
from gradcore.runtime.regions import PAGE, round_up

Job = dict[str, Any]


def in_chunks(program: Program, rng: np.random.Generator, most: int = 3, whole: float = 0.0) -> Program:
    """The program with sums cut, at random, in up to ``most`` chunks by rows of the kernel, or columns where it has one row.

    ``whole``: the share of tiles that are not cut.
    Some have a chunk more to which nothing belongs; of some pairs of tiles the chunks take turns; the last chunk of some is cut in jobs of
    fewer rows. What does not fit the FIFOs of partial sums stays whole, and so do windows. The new descriptors lie before all else.
    """
    jobs, groups = program.jobs(), program.hardware.groups
    made: list[Job] = []
    ends: list[int] = []  # of each tile of the program: its last job's place among those made
    place = 0
    while place < len(jobs):
        together = [job for job in jobs[place : place + 2] if job["opcode"] == "TILE"] if jobs[place]["opcode"] == "TILE" else []
        if len(together) == 2 and (together[0]["layer"] != together[1]["layer"] or rng.random() < 0.5):
            together.pop()
        if not together:
            made.append(jobs[place])
        elif (
            rng.random() < whole or sum(waiting(job, groups) for job in together) > PARTIAL_PIXELS or any(job["window"] for job in together)
        ):
            together = together[:1]
            ends.append(len(made))
            made.append(together[0])
        else:
            count = int(rng.integers(2, most + 1))
            chunks = [_cut(job, count, program.hardware.weight_depth, rng) for job in together]
            count = min(map(len, chunks))
            chunks = [_cut(job, count, program.hardware.weight_depth, rng, exact=True) for job in together]
            made += [one for turn in range(count - 1) for one in (chunk[turn] for chunk in chunks)]
            for chunk in chunks:
                made += _rows(chunk[-1], groups, rng)
                ends.append(len(made) - 1)
        place += max(1, len(together))
    return _program(program, _tokens(made, ends))


def waiting(job: Job, groups: int) -> int:
    """Pixels of a tile whose sums wait in the busiest stream."""
    conv = ConvJob.from_descriptor(job)
    return max(-(-len(own_units(conv, groups, group)[0]) // STREAMS) * conv.pixels for group in range(groups))


def _cut(job: Job, count: int, depth: int, rng: np.random.Generator, exact: bool = False) -> list[Job]:
    """Chunks of a TILE job, in a random order; at most ``count``, or, if the kernel allows no cut, one and an empty one."""
    by_row = job["kernel_h"] > 1
    size, origin, taps = ("kernel_h", "origin_row", job["kernel_w"]) if by_row else ("kernel_w", "origin_column", 1)
    parts = min(count, job[size])
    cuts = [0, *sorted(rng.choice(np.arange(1, job[size]), parts - 1, replace=False).tolist()), job[size]]
    chunks = []
    for first, end in zip(cuts, cuts[1:], strict=False):
        base = (job["weight_base"] + first * taps * job["tap_rows"]) % depth
        chunks.append({**job, size: end - first, origin: job[origin] + first, "weight_base": base})
    while len(chunks) < count and (empty := _empty(job)):
        chunks.append(empty)
    chunks = [chunks[place] for place in rng.permutation(len(chunks))]
    assert not exact or len(chunks) == count
    for place, chunk in enumerate(chunks):
        chunk |= {"from_partial": int(place > 0), "to_partial": int(place < len(chunks) - 1)}
        if place < len(chunks) - 1:
            chunk["last_of_layer"] = 0
    return chunks


def _empty(job: Job) -> Job | None:
    """A chunk all of whose taps lie outside the tile buffer; None where no origin makes one."""
    conv = ConvJob.from_descriptor(job)
    last = conv.row_step * (job["unit_rows"] - 1) + (1 if job["pool"] else 0)
    origin = ORIGINS[0] if ORIGINS[0] + last < 0 else ORIGINS[-1] if job["buffer_rows"] <= ORIGINS[-1] else None
    return None if origin is None else {**job, "kernel_h": 1, "kernel_w": 1, "origin_row": origin}


def _rows(job: Job, groups: int, rng: np.random.Generator) -> list[Job]:
    """A last chunk, whole or as two jobs of fewer rows: where the rows above have an even number of units in each group."""
    conv = ConvJob.from_descriptor(job)
    units = [own_units(conv, groups, group)[0] for group in range(groups)]
    copies = groups // job["blocks"]
    places = [row for row in range(2, job["unit_rows"], 2) if row % copies == 0 and not any((rows < row).sum() % STREAMS for rows in units)]
    if not places or not job["from_partial"] or rng.random() < 0.5:
        return [job]
    row = int(rng.choice(places))
    above = {**job, "unit_rows": row, "last_of_layer": 0}
    below = {**job, "unit_rows": job["unit_rows"] - row, "origin_row": job["origin_row"] + conv.row_step * row}
    below["destination_address"] += row * job["destination_row_pitch"]
    if job["store_tags"]:
        below["tag_destination"] += row * job["tag_destination_row_pitch"]
    return [above, below] if below["origin_row"] in ORIGINS else [job]


def _tokens(made: list[Job], ends: list[int]) -> list[Job]:
    """The jobs with waits that count the tiles that are computed, and stored, now."""
    tiles = [job["opcode"] == "TILE" for job in made]
    stores = [tile and not job["to_partial"] for tile, job in zip(tiles, made, strict=True)]
    last = np.maximum.accumulate([-1, *ends])  # of the first n tiles of the program
    counts = {"wait_computed": np.cumsum([0, *tiles]), "wait_tiles": np.cumsum([0, *stores])}
    return [{**job, **{name: int(count[last[job[name]] + 1]) for name, count in counts.items() if name in job}} for job in made]


def _program(program: Program, jobs: list[Job]) -> Program:
    words = np.stack(
        [
            descriptors.encode(
                job["opcode"],
                {name: job[name] for name in descriptors.fields_of(job["opcode"]) if name not in ("opcode", "version", "checksum")},
            )
            for job in jobs
        ]
    )
    distance = round_up(words.nbytes, PAGE)
    moved = program.at(program.base + distance)
    head = np.zeros(distance, dtype=np.uint8)
    head[: words.nbytes] = relocate(words, distance).view(np.uint8).reshape(-1)
    return replace(
        moved,
        base=program.base,
        image=np.concatenate([head, moved.image]),
        memory_size=distance + moved.memory_size,
        program_address=program.base,
        descriptors=len(words),
    )
