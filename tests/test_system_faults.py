# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in hardware: each fault gives its status code and an interrupt, harms nothing, and the core runs on.

After a soft reset, or by the next START alone, a good program runs to the last bit. A run that was stopped may have written some of
its results, and nothing else: each byte of memory is as before or as a good run leaves it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from gradcore import hardware
from gradcore.errors import GradCoreError
from gradcore.simulator import Simulator
from tb.support.chunks import in_chunks
from tb.support.seeds import FRESH_SEED
from tb.system.session import (
    BASE,
    CYCLE_LIMIT,
    FILL,
    GUARD,
    METHODS,
    Outcome,
    Request,
    Session,
    changed_rtl,
    compare,
    expectation,
    layered_case,
)

pytestmark = pytest.mark.hardware

WHOLE = layered_case((3, 10, 9), ["conv3:20 relu pool bias", "conv3:6 relu", "fc:40 relu bias", "fc:7"], "small", seed=11)
CASE = WHOLE.with_program(in_chunks(WHOLE.program, np.random.default_rng(2), whole=0.3))  # tiles with partial sums, and tiles without
PROGRAM = CASE.program
FAILING = 0x0080_0000  # reads and writes of GUARD bytes from here on answer SLVERR
DESCRIPTOR_BYTES = 128
STATES = [(method, explain) for method in METHODS for explain in (True, False)]
# Name: opcode, or CHUNK: a TILE that leaves sums, fields to change, registers to change, code.
FAULTS = {
    "illegal": ("VECTOR", {"blocks": 3}, {}, "ILLEGAL_DESCRIPTOR"),
    "read-window": ("TILE", {"source_address": BASE - 128}, {}, "WINDOW"),
    "read-window-top": ("VECTOR", {"matrix_address1": 0xFFFF_FFC0}, {}, "WINDOW"),
    "write-window": ("TILE", {"destination_address": BASE - 2048}, {}, "WINDOW"),
    "tag-window": ("TILE", {"tag_destination": BASE - 2050}, {}, "WINDOW"),
    "read-response": ("WEIGHTS", {"address0": FAILING + 8}, {"WINDOW_LIMIT": FAILING + GUARD}, "READ_RESPONSE"),
    "write-response": ("VECTOR", {"destination_address0": FAILING}, {"WINDOW_LIMIT": FAILING + GUARD}, "WRITE_RESPONSE"),
    "sums-never-come": ("CHUNK", {"from_partial": 1}, {"WATCHDOG": 3000}, "WATCHDOG"),
    "chunk-read-window": ("CHUNK", {"source_address": BASE - 128}, {}, "WINDOW"),
    "chunk-read-response": ("CHUNK", {"source_address": FAILING + 8}, {"WINDOW_LIMIT": FAILING + GUARD}, "READ_RESPONSE"),
    "watchdog": ("SEED", {"wait_vectors": 99}, {"WATCHDOG": 3000}, "WATCHDOG"),
}


class Bed:
    """A core with a good program loaded, and the means to break things and to show that it works again."""

    def __init__(self, session: Session) -> None:
        self.session, self.core = session, session.core

    def prepare(self, request: Request, **registers: int) -> None:
        """The good program in memory, with guards on both sides of its window, and in the registers."""
        self.session.image = None  # a test may have changed it
        self.session.load(CASE, expectation(CASE, request).before)
        self.session.set_up(CASE, request, **registers)

    def change_descriptor(self, index: int, fields: dict[str, int]) -> None:
        """Overwrite fields of a descriptor in memory, with a right checksum."""
        opcode, values = hardware.unpack_descriptor(PROGRAM.descriptor_words[index].tolist())
        values = {name: value for name, value in values.items() if name not in ("opcode", "version", "checksum")}
        self.put_descriptor(index, hardware.pack_descriptor(opcode, {**values, **fields}))

    def put_descriptor(self, index: int, words: list[int]) -> None:
        """Overwrite a descriptor in memory."""
        self.core.load(address_of(index), np.asarray(words, dtype="<u4").view(np.uint8))

    def run(self) -> Outcome:
        self.session.start()
        return self.session.finish()

    def expect(self, outcome: Outcome, code: int) -> None:
        """The code; and nothing outside the window was touched."""
        assert outcome.error and outcome.code == code, f"{outcome}: expected {name_of(code)}"
        self.check_guards()

    def check_guards(self) -> None:
        """Nothing outside the window was touched."""
        memory = self.session.memory(CASE)
        for side, guard in (("below", memory[:GUARD]), ("above", memory[-GUARD:])):
            assert np.all(guard == FILL), f"memory {side} the window was changed"

    def check_alive(self) -> None:
        """The same core, without a reset of the chip, runs the good program to the last bit."""
        self.session.stop()
        self.session.image = None
        self.session.run(CASE, Request("guided"))

    def check_unharmed(self, before: np.ndarray, after: np.ndarray) -> None:
        """Every byte is as before, or as a good run leaves it; beside the results nothing has changed."""
        got = self.session.memory(CASE)
        base = PROGRAM.window[0] - GUARD
        results = np.zeros(len(got), dtype=bool)
        for name, region in PROGRAM.regions.items():
            if name.startswith(("activation", "tags", "gradient")):
                results[region.address - base : region.end - base] = True
        compare(PROGRAM, np.where(results, before, got), before)
        strange = results & (got != before) & (got != after)
        assert not strange.any(), f"{int(strange.sum())} bytes of the results are neither old nor right, first at {np.argmax(strange)}"


def address_of(index: int) -> int:
    """Of a descriptor in memory."""
    return PROGRAM.program_address + DESCRIPTOR_BYTES * index


def kind(job: dict) -> str:
    """The opcode; of a TILE that leaves sums, and takes none, CHUNK; of others that leave sums nothing."""
    chunk = job["opcode"] == "TILE" and job["to_partial"]
    return job["opcode"] if not chunk else "" if job["from_partial"] else "CHUNK"


def first(opcode: str) -> int:
    """Index of the first descriptor of a kind."""
    return [kind(job) for job in PROGRAM.jobs()].index(opcode)


def name_of(code: int) -> str:
    return next(name for name, number in hardware.CODES.items() if number == code)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """One core for all tests of this module."""
    options = {f"{kind}_error_base": FAILING for kind in ("read", "write")}
    options |= {f"{kind}_error_limit": FAILING + GUARD for kind in ("read", "write")}
    with Simulator("verilator", "small", stalls=0.2, seed=FRESH_SEED, options=options, rtl=changed_rtl()) as core:
        yield Session(core)


@pytest.fixture
def bed(session: Session) -> Bed:
    """The core with the good program, by the saliency method."""
    bed = Bed(session)
    bed.prepare(Request())
    return bed


@pytest.mark.parametrize(
    ("opcode", "fields"),
    [
        ("TILE", {"unit_rows": 0}),
        ("TILE", {"kernel_w": 9}),
        ("TILE", {"slot": 2047, "row_entries": 8191}),
        ("TILE", {"blocks": 5}),
        ("TILE", {"pack_pixels": 3}),
        ("TILE", {"stride_y_log2": 3}),
        ("CHUNK", {"last_of_layer": 1}),
        ("WEIGHTS", {"rows": 0}),
        ("VECTOR", {"vector_words": 0}),
        ("SEED", {"pixels": 0}),
    ],
)
def test_illegal_field(bed: Bed, opcode: str, fields: dict[str, int]) -> None:
    """A field outside the hardware's limits, with a right checksum."""
    index = first(opcode)
    bed.change_descriptor(index, fields)
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_ILLEGAL_DESCRIPTOR)
    assert outcome.descriptor == index
    bed.check_alive()


@pytest.mark.parametrize("bit", [0, 2, 31, 45, 200, 1023])
def test_corrupt_descriptor(bed: Bed, bit: int) -> None:
    """A flipped bit anywhere: opcode, version, checksum, an address, an unused word."""
    index = 1
    words = [int(word) for word in PROGRAM.descriptor_words[index]]
    words[bit // 32] ^= 1 << (bit % 32)
    bed.put_descriptor(index, words)
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_ILLEGAL_DESCRIPTOR)
    assert outcome.descriptor == index
    bed.check_alive()


@pytest.mark.parametrize(
    ("opcode", "field"),
    [
        ("TILE", "source_address"),
        ("TILE", "destination_address"),
        ("TILE", "tag_destination"),
        ("WEIGHTS", "address1"),
        ("VECTOR", "matrix_address0"),
        ("VECTOR", "destination_address0"),
        ("SEED", "seed_address"),
    ],
)
@pytest.mark.parametrize("place", ["below", "above"])
def test_outside_window(bed: Bed, opcode: str, field: str, place: str) -> None:
    """Reads and writes that begin just below the window or at its end are not made."""
    base, limit = PROGRAM.window
    below = base - (1024 if field.startswith("matrix") else 64)  # rows of the matrix that meet a zero are not read
    bed.change_descriptor(first(opcode), {field: below if place == "below" else limit})
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_WINDOW)
    assert not base <= outcome.address < limit - 64
    bed.check_alive()


def test_program_outside_window(bed: Bed) -> None:
    """The program itself lies outside the window."""
    bed.core.write(hardware.WINDOW_BASE, PROGRAM.program_address + 8 * DESCRIPTOR_BYTES)
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_WINDOW)
    bed.check_alive()


@pytest.mark.parametrize(
    ("opcode", "field", "code"),
    [
        ("TILE", "source_address", hardware.CODE_READ_RESPONSE),
        ("VECTOR", "matrix_address0", hardware.CODE_READ_RESPONSE),
        ("TILE", "destination_address", hardware.CODE_WRITE_RESPONSE),
        ("VECTOR", "destination_address0", hardware.CODE_WRITE_RESPONSE),
    ],
)
def test_bus_error(bed: Bed, opcode: str, field: str, code: int) -> None:
    """The memory answers an access with an error."""
    bed.core.write(hardware.WINDOW_LIMIT, FAILING + GUARD)
    bed.change_descriptor(first(opcode), {field: FAILING})
    outcome = bed.run()
    bed.expect(outcome, code)
    assert FAILING <= outcome.address < FAILING + GUARD
    bed.check_alive()


def test_sums_that_are_left(bed: Bed) -> None:
    """The program's last tile leaves its sums: the end is illegal."""
    jobs = PROGRAM.jobs()
    last = max(number for number, job in enumerate(jobs) if job["opcode"] == "TILE")
    bed.change_descriptor(last, {"to_partial": 1, "last_of_layer": 0})
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_ILLEGAL_DESCRIPTOR)
    assert outcome.descriptor == len(jobs) - 1
    bed.check_alive()


def test_watchdog(bed: Bed) -> None:
    """A job that waits for a token that never comes."""
    bed.change_descriptor(first("VECTOR"), {"wait_tiles": 0xFFFFFF})
    bed.core.write(hardware.WATCHDOG, 5000)
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_WATCHDOG)
    assert outcome.cycles > 5000
    bed.check_alive()


def test_a_run_takes_its_time(bed: Bed) -> None:
    """The good program alone: what the tests above compare with."""
    outcome = bed.run()
    assert outcome.done and not outcome.error and outcome.code == hardware.CODE_NONE
    assert 2000 < outcome.cycles < CYCLE_LIMIT
    bed.check_guards()


@pytest.mark.parametrize("name", FAULTS)
def test_runs_again(bed: Bed, name: str) -> None:
    """Status, descriptor, address and interrupt of a fault; memory unharmed; then a good run, by START alone."""
    session = bed.session
    opcode, fields, registers, code = FAULTS[name]
    request = Request(random.Random(name).choice(METHODS))
    index = first(opcode)
    bed.prepare(request, **registers)
    bed.change_descriptor(index, fields)
    want = expectation(CASE, request)
    before, after = want.before.copy(), want.after.copy()
    start = address_of(index) - PROGRAM.window[0] + GUARD
    changed = np.frombuffer(bed.core.dump(address_of(index), DESCRIPTOR_BYTES), dtype=np.uint8)
    before[start : start + DESCRIPTOR_BYTES] = after[start : start + DESCRIPTOR_BYTES] = changed
    session.start(request)
    bed.core.wait_interrupt(CYCLE_LIMIT)
    status = session.read("STATUS")
    assert status & ~hardware.STATUS_BUSY == hardware.STATUS_DONE | hardware.STATUS_ERROR | hardware.CODES[code] << 8, f"{status:#x}"
    found, failed = session.read("DESCRIPTOR_INDEX"), session.read("ERROR_ADDRESS")
    assert index <= found < PROGRAM.descriptors and (code != "ILLEGAL_DESCRIPTOR" or found == index)
    if code in ("WINDOW", "READ_RESPONSE", "WRITE_RESPONSE"):
        expected = next(value for field, value in fields.items() if "address" in field or "destination" in field)
        rows = 16384 if name == "read-window-top" else 4096  # the first access that fails may not be the first of the job
        assert expected // 8 * 8 <= failed < expected + rows or failed < BASE, f"{failed:#x}"
    else:
        assert failed == 0
    counted = session.counters()["CYCLES"]
    session.acknowledge()
    bed.core.idle(200)
    assert session.read("STATUS") == status & ~hardware.STATUS_BUSY, "the core comes to rest"
    assert session.read("INTERRUPT") == 0 and session.counters()["CYCLES"] == counted
    bed.check_unharmed(before, after)
    session.image = None
    session.run(CASE, request, model_counters=True)


@pytest.mark.parametrize(("number", "cycles"), list(enumerate([1, 40, 333, 2000, *[None] * 6])))
def test_soft_reset(bed: Bed, number: int, cycles: int | None) -> None:
    """At any moment: no interrupt, no DONE, memory unharmed, registers kept; then a good run of another kind."""
    session = bed.session
    rng = random.Random(FRESH_SEED + number)
    method, explain = rng.choice(STATES)
    request = Request(method, explain=explain)
    bed.prepare(request)
    session.start(request)
    bed.core.idle(cycles or rng.randrange(1, 2000 if explain else 800))
    session.stop()
    bed.core.idle(200)
    assert session.read("INTERRUPT") == 0 and session.read("STATUS") == 0
    assert session.read("WINDOW_LIMIT") == PROGRAM.window[1]
    want = expectation(CASE, request)
    bed.check_unharmed(want.before, want.after)
    method, explain = rng.choice(STATES)
    session.run(CASE, Request(method, explain=explain), model_counters=True)


def test_start_while_busy(bed: Bed) -> None:
    """START in a run, and writes to its parameters, do no harm: the run ends right to the last bit."""
    session = bed.session
    request = Request("guided")
    bed.prepare(request)
    session.start(request)
    for cycles in (1, 100, 1000):
        bed.core.idle(cycles)
        session.start(Request(explain=False))
        for register in ("METHOD", "SEED_MODE", "PROGRAM_ADDRESS", "WINDOW_BASE", "WINDOW_LIMIT", "WATCHDOG"):
            with pytest.raises(GradCoreError, match="refused"):
                bed.core.write(hardware.ADDRESSES[register], 1)
        assert session.read("STATUS") == hardware.STATUS_BUSY | hardware.STATUS_START_WHILE_BUSY
    bed.core.wait_interrupt(CYCLE_LIMIT)
    assert session.read("STATUS") == hardware.STATUS_DONE | hardware.STATUS_START_WHILE_BUSY
    compare(PROGRAM, session.memory(CASE), expectation(CASE, request).after)
    session.acknowledge()
    session.run(CASE, request)  # checks that START_WHILE_BUSY is gone
