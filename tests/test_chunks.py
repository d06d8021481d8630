# SPDX-License-Identifier: Apache-2.0
"""Sums that are made in chunks, in the model of programs: nothing changes, and what breaks the rules is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcore.compiler import HardwareConfig, Program, compile_network, descriptors
from gradcore.models import arithmetic
from gradcore.models.convolution.conv_group import ConvJob
from gradcore.models.convolution.partial_sums import PartialSums
from gradcore.models.program import Executor, ProgramError, check_tokens, execute, simulate
from gradcore.quantise import quantise
from tb.support.chunks import in_chunks, waiting
from tb.support.random_networks import layered_network, random_picture, random_quantised
from tb.support.seeds import SEEDS

RESULTS = ("activation", "tags", "gradient")


def results(program: Program, executor: Executor) -> dict[str, bytes]:
    """What a run has written, by region."""
    base = program.window[0]
    regions = {name: region for name, region in program.regions.items() if name.startswith(RESULTS)}
    return {name: executor.memory[one.address - base : one.end - base].tobytes() for name, one in regions.items()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_any_cut_of_the_sums_makes_the_same(seed, groups):
    """Forward and backward, of random networks; tokens and FIFOs allow it in any order of the units."""
    quantised, picture = random_quantised(seed, max_macs=400_000)
    rng, method = np.random.default_rng((seed, groups)), arithmetic.METHODS[seed % 3]
    whole = compile_network(quantised, HardwareConfig(groups=groups))
    cut = in_chunks(whole, rng)
    before, after = execute(whole, picture, method), execute(cut, picture, method)
    assert results(whole, before) == results(cut, after)
    saturated = [{layer: load.saturated for layer, load in run.loads.items()} for run in (before, after)]
    assert saturated[0] == saturated[1]
    check_tokens(cut.jobs())
    simulate(cut.jobs(), rng, depth=1 + seed % 3)


def test_cuts_of_every_kind_are_made():
    """By the generator that the tests of programs and of the core use."""
    seen = set()
    for seed, size in enumerate([(9, 8)] * 5 + [(24, 24)]):
        network = quantise(layered_network((3, *size), ["conv3:20 relu pool bias", "conv1:5", "conv5:3"], seed=seed))
        cut = in_chunks(compile_network(network, "small"), np.random.default_rng(seed))
        jobs = [job for job in cut.jobs() if job["opcode"] == "TILE"]
        run = 0
        for before, job in zip([None, *jobs], jobs, strict=False):
            seen.add(("from", job["from_partial"], "to", job["to_partial"]))
            run = run + 1 if job["to_partial"] else 0
            seen.add(("chunks", run + 1))
            if job["from_partial"]:
                seen.add(("pooled", bool(job["pool"])))
                seen.add(("packed", job["pack_pixels"] > 1))
                seen.add(("empty", not -8 < job["origin_row"] < job["buffer_rows"]))
                part = before["from_partial"] and not before["to_partial"] and before["destination_address"] != job["destination_address"]
                seen.add(("part", bool(part)))
    kinds = {("from", a, "to", b) for a in (0, 1) for b in (0, 1)} | {("chunks", count) for count in (1, 2, 3)}
    assert seen >= kinds | {(name, flag) for name in ("pooled", "packed", "empty", "part") for flag in (False, True)}


@pytest.fixture(scope="module")
def chunks():
    """(program each of whose tiles is made in two chunks, picture)."""
    network = quantise(layered_network((3, 4, 5), ["conv3:20 bias"], seed=2))
    rng = np.random.default_rng(1)
    program = compile_network(network, "small")
    while True:
        cut = in_chunks(program, rng, most=2)
        pairs = [job["to_partial"] for job in cut.jobs() if job["opcode"] == "TILE"]
        if pairs == [1, 0] * (len(pairs) // 2) and len(pairs) > 4:
            return cut, random_picture(network, rng)


@pytest.mark.parametrize(
    ("number", "fields", "where", "message"),
    [
        (1, {"unit_columns": 4}, 0, "goes on with the partial sums of other units"),
        (1, {"unit_rows": 3}, 2, "partial sums of other units"),
        (1, {"from_partial": 0}, 4, "partial sums of other units"),
        (0, {"to_partial": 0}, 1, "goes on with partial sums that no job has left"),
        (0, {"last_of_layer": 1}, 0, "the last job of a layer must store its sums"),
        (0, {"unit_rows": 129}, 0, "leaves the partial sums of more than 64 pixels in a stream"),
        (-1, {"to_partial": 1, "last_of_layer": 0}, None, "the partial sums of 4 pixels were left, and no job takes them up"),
        (0, {"stride_y_log2": 2, "unit_rows": 200}, 0, "their positions wrap"),
        (0, {"origin_row": 8}, 0, "an origin beyond -8 to 7"),
    ],
)
def test_a_chunk_that_breaks_a_rule_is_refused(chunks, number, fields, where, message):
    """One job's fields; the executor names the descriptor in which it is seen."""
    program, picture = chunks
    program = replace(program, image=program.image.copy())
    jobs = program.jobs()
    tiles = [index for index, job in enumerate(jobs) if job["opcode"] == "TILE"]
    known = descriptors.fields_of("TILE")
    job = {**jobs[tiles[number]], **fields}
    program.descriptor_words[tiles[number]] = descriptors.encode("TILE", {name: job[name] for name in known if name != "opcode"})
    at = len(jobs) - 1 if where is None else tiles[number + where]
    with pytest.raises(ProgramError, match=rf"descriptor {at} .*{message}"):
        execute(program, picture)


def test_pixels_that_wait_are_counted():
    """As many as the busiest stream has room for, and one more."""
    job = {"unit_rows": 8, "unit_columns": 16, "blocks": 1, "pool": 0, "columns_stored": 16, "pack_pixels": 1}
    rest = dict.fromkeys((name for name in descriptors.fields_of("TILE") if name not in job), 0)
    conv = ConvJob.from_descriptor(rest | job)
    assert waiting(rest | job, 1) == 64 and waiting(rest | job, 4) == 16 and waiting(rest | job | {"pool": 1}, 1) == 256
    sums = PartialSums()
    rows, columns = np.divmod(np.arange(128), 16)
    made = np.arange(128 * 16).reshape(128, 1, 16)
    sums.leave(conv.shape, rows, columns, made)
    assert sums.waiting == 128
    assert np.array_equal(sums.take(conv.shape, rows[:32], columns[:32]), made[:32])
    assert np.array_equal(sums.take(conv.shape, rows[:96], columns[:96]), made[32:])
