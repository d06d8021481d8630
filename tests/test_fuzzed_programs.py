# SPDX-License-Identifier: Apache-2.0
"""Programs with random faults, checksums right: whatever they say, a run ends with a status, touches nothing outside the window, and the
core then runs a good program to the last bit, without a reset of the chip.

A fault changes fields of some descriptors: random values, values at their limits, values of another descriptor; or descriptors change
places or kinds. Most are illegal or lead out of the window; the others make nonsense, wait for what never comes, or do no harm.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from gradcore import hardware
from gradcore.compiler import Program
from gradcore.simulator import Simulator
from tb.support.chunks import in_chunks
from tb.support.seeds import FRESH_SEED, SEEDS
from tb.system.session import FILL, GUARD, METHODS, Case, Request, Session, changed_rtl, expectation, layered_case, residual_case

pytestmark = pytest.mark.hardware

WATCHDOG = 2000  # cycles
LIMIT = 200_000  # cycles, after which a run that gets on is stopped
PROGRAMS = 100  # for each of two seeds in `make test`
CAMPAIGN = 10_000  # in `make regress`


def cases() -> list[Case]:
    """A chain with some of its sums in chunks, and a graph: its shortcut, its depthwise convolution."""
    chain = layered_case((3, 10, 9), ["conv3:20 relu pool bias", "conv3:6 relu", "fc:40 relu bias", "fc:7"], "small", seed=11)
    return [chain.with_program(in_chunks(chain.program, np.random.default_rng(2), whole=0.3)), residual_case("small", 5)]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """One core for all programs."""
    with Simulator("verilator", "small", stalls=0.1, seed=1, rtl=changed_rtl()) as core:
        yield Session(core)


def width(opcode: str, name: str) -> int:
    """Bits of a field."""
    _, high, low = hardware.descriptor_fields(opcode)[name]
    return high - low + 1


def value(program: Program, others: list[dict], opcode: str, name: str, old: int, rng: random.Random) -> int:
    """Another value of a field; of addresses often one near the ends of the window."""
    if name in hardware.DESCRIPTOR_LOCATIONS and rng.random() < 0.5:
        return rng.choice(program.window) + 8 * rng.randrange(-64, 64)
    least, most, multiple = hardware.DESCRIPTOR_LIMITS.get(opcode, {}).get(name, (0, (1 << width(opcode, name)) - 1, 1))
    choices = (
        lambda: rng.randrange(1 << width(opcode, name)),
        lambda: rng.randrange(least, most + 1) // multiple * multiple,
        lambda: rng.choice((least, most, old + multiple, old - multiple, old ^ 1 << rng.randrange(width(opcode, name)))),
        lambda: rng.choice(others).get(name, old),
    )
    return rng.choice(choices)() % (1 << width(opcode, name))


def faulty(program: Program, rng: random.Random) -> np.ndarray:
    """uint32 (descriptors, 32): the program's descriptors with one to four faults."""
    words = program.descriptor_words.copy()
    jobs = program.jobs()
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        index = rng.randrange(len(words))
        if rng.random() < 0.1:
            other = rng.randrange(len(words))
            words[[index, other]] = words[[other, index]]
            jobs[index], jobs[other] = jobs[other], jobs[index]
            continue
        opcode = jobs[index]["opcode"]
        if rng.random() < 0.03:
            words[index][0] = (int(words[index][0]) & ~15) | rng.randrange(16)
        else:
            fields = hardware.descriptor_fields(opcode)
            names = [name for name in fields if name not in ("opcode", "version", "checksum")]
            addresses = [name for name in names if name in hardware.DESCRIPTOR_LOCATIONS]
            name = rng.choice(addresses if addresses and rng.random() < 0.3 else names)
            word, _, low = fields[name]
            mask = (1 << width(opcode, name)) - 1
            old = int(words[index][word]) >> low & mask
            words[index][word] = (int(words[index][word]) & ~(mask << low)) | (value(program, jobs, opcode, name, old, rng) << low)
        words[index][1] = hardware.descriptor_checksum(words[index].tolist())
    return words


def check_programs(session: Session, seed: int, count: int, good: float) -> Counter[str]:
    """Run ``count`` programs; after a share ``good`` of them, and after the last, a good one. Returns how they ended."""
    rng = random.Random(seed)
    ends: Counter[str] = Counter()
    names = {code: name for name, code in hardware.CODES.items()}
    some = cases()
    for number in range(count):
        case, request = rng.choice(some), Request(rng.choice(METHODS), explain=rng.random() < 0.8)
        told = f"seed {seed}, program {number} of {count}, {case.program.name}, {request.method}"
        session.image = None  # the last program may have written anywhere in its window
        session.load(case, expectation(case, request).before)
        session.set_up(case, request, WATCHDOG=WATCHDOG)
        session.core.load(case.program.program_address, faulty(case.program, rng).astype("<u4").view(np.uint8).reshape(-1))
        session.start(request)
        if session.core.interrupt_within(LIMIT) is None:  # the watchdog looks on: it gets on, with more work than a program has
            session.stop()
            ends["long"] += 1
        else:
            status = session.read("STATUS")
            code = names[hardware.register_field(status, "STATUS.code")]
            right = status & hardware.STATUS_DONE and bool(status & hardware.STATUS_ERROR) == (code != "NONE")
            assert right, f"{told}: status {status:#x}"
            session.acknowledge()
            ends[code] += 1
        memory = session.memory(case)
        assert np.all(memory[:GUARD] == FILL) and np.all(memory[-GUARD:] == FILL), f"{told}: memory outside the window was changed"
        if number == count - 1 or rng.random() < good:
            session.image = None
            session.run(case, Request(rng.choice(METHODS)))
    return ends


@pytest.mark.parametrize("seed", SEEDS)
def test_faulty_programs_end_with_a_status(session: Session, seed: int) -> None:
    ends = check_programs(session, seed, PROGRAMS, 0.1)
    print(f"seed {seed}: {dict(ends)}")
    assert ends["NONE"] and ends["ILLEGAL_DESCRIPTOR"] and ends["WINDOW"] and ends["WATCHDOG"], (
        f"seed {seed}: not every end was seen: {ends}"
    )
    assert ends["long"] <= PROGRAMS // 20


@pytest.mark.regress
@pytest.mark.parametrize("part", range(20))
def test_many_faulty_programs_end_with_a_status(session: Session, part: int) -> None:
    print(dict(check_programs(session, FRESH_SEED + part, CAMPAIGN // 20, 0.3)))
