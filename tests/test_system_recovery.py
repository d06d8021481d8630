# SPDX-License-Identifier: Apache-2.0
"""After a fault the next START runs a good program to the last bit: no soft reset, no reset of the chip in between.

`test_system_errors.py` has one test for each way to break a descriptor; this bench asks what is left behind. A run that
was stopped may have written some of its results, and nothing else: each byte of memory is as before or as a good run
leaves it. The refused and failed accesses go to places where nothing may change.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from gradcore import hardware
from gradcore.errors import GradCoreError
from gradcore.simulator import Simulator
from tb.support.seeds import FRESH_SEED
from tb.system.session import BASE, GUARD, METHODS, Request, Session, compare, expectation, layered_case

pytestmark = pytest.mark.hardware

CASE = layered_case((3, 10, 9), ["conv3:20 relu pool bias", "conv3:6 relu", "fc:40 relu bias", "fc:7"], "small", seed=11)
FAILING = 0x0080_0000  # reads and writes of GUARD bytes from here on answer SLVERR
LIMIT = 200_000
STATES = [(method, explain) for method in METHODS for explain in (True, False)]
# Name: opcode, fields to change, registers to change, code.
FAULTS = {
    "illegal": ("VECTOR", {"blocks": 3}, {}, "ILLEGAL_DESCRIPTOR"),
    "read-window": ("TILE", {"source_address": BASE - 128}, {}, "WINDOW"),
    "read-window-top": ("VECTOR", {"matrix_address1": 0xFFFF_FFC0}, {}, "WINDOW"),
    "write-window": ("TILE", {"destination_address": BASE - 2048}, {}, "WINDOW"),
    "tag-window": ("TILE", {"tag_destination": BASE - 2050}, {}, "WINDOW"),
    "read-response": ("WEIGHTS", {"address0": FAILING + 8}, {"WINDOW_LIMIT": FAILING + GUARD}, "READ_RESPONSE"),
    "write-response": ("VECTOR", {"destination_address0": FAILING}, {"WINDOW_LIMIT": FAILING + GUARD}, "WRITE_RESPONSE"),
    "watchdog": ("SEED", {"wait_vectors": 99}, {"WATCHDOG": 3000}, "WATCHDOG"),
}


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """One core for all tests of this module."""
    options = {"read_error_base": FAILING, "read_error_limit": FAILING + GUARD}
    options |= {"write_error_base": FAILING, "write_error_limit": FAILING + GUARD}
    with Simulator("verilator", "small", stalls=0.2, seed=FRESH_SEED, options=options) as core:
        yield Session(core)


def change(session: Session, opcode: str, fields: dict[str, int]) -> tuple[int, int]:
    """Change fields of the first descriptor of a kind in memory; returns (its index, its address)."""
    program = CASE.program
    index = next(number for number, job in enumerate(program.jobs()) if job["opcode"] == opcode)
    _, values = hardware.unpack_descriptor(program.descriptor_words[index].tolist())
    values = {name: value for name, value in values.items() if name not in ("opcode", "version", "checksum")}
    words = np.array(hardware.pack_descriptor(opcode, {**values, **fields}), dtype="<u4")
    address = program.program_address + 128 * index
    session.core.load(address, words.view(np.uint8))
    session.image = None
    return index, address


def unharmed(session: Session, before: np.ndarray, after: np.ndarray) -> None:
    """Every byte is as before, or as a good run leaves it; beside the results nothing has changed."""
    got = session.memory(CASE)
    base = CASE.program.window[0] - GUARD
    results = np.zeros(len(got), dtype=bool)
    for name, region in CASE.program.regions.items():
        if name.startswith(("activation", "tags", "gradient")):
            results[region.address - base : region.end - base] = True
    compare(CASE.program, np.where(results, before, got), before)
    strange = results & (got != before) & (got != after)
    assert not strange.any(), f"{int(strange.sum())} bytes of the results are neither old nor right, first at {np.argmax(strange)}"


@pytest.mark.parametrize("name", FAULTS)
def test_runs_again(session: Session, name: str) -> None:
    """Status, descriptor, address and interrupt of a fault; memory unharmed; then a good run, by START alone."""
    opcode, fields, registers, code = FAULTS[name]
    request = Request(random.Random(name).choice(METHODS))
    want = expectation(CASE, request)
    session.load(CASE, want.before)
    index, address = change(session, opcode, fields)
    before, after = want.before.copy(), want.after.copy()
    place = slice(address - CASE.program.window[0] + GUARD, address - CASE.program.window[0] + GUARD + 128)
    before[place] = after[place] = np.frombuffer(session.core.dump(address, 128), dtype=np.uint8)
    session.set_up(CASE, request, **registers)
    session.start(request)
    session.core.wait_interrupt(LIMIT)
    status = session.read("STATUS")
    assert status & ~hardware.STATUS_BUSY == hardware.STATUS_DONE | hardware.STATUS_ERROR | hardware.CODES[code] << 8, f"{status:#x}"
    found, failed = session.read("DESCRIPTOR_INDEX"), session.read("ERROR_ADDRESS")
    assert index <= found < CASE.program.descriptors and (code != "ILLEGAL_DESCRIPTOR" or found == index)
    if code in ("WINDOW", "READ_RESPONSE", "WRITE_RESPONSE"):
        expected = next(value for field, value in fields.items() if "address" in field or "destination" in field)
        rows = 16384 if name == "read-window-top" else 4096  # the first access that fails may not be the first of the job
        assert expected // 8 * 8 <= failed < expected + rows or failed < BASE, f"{failed:#x}"
    else:
        assert failed == 0
    counted = session.counters()["CYCLES"]
    session.acknowledge()
    session.core.idle(200)
    assert session.read("STATUS") == status & ~hardware.STATUS_BUSY, "the core comes to rest"
    assert session.read("INTERRUPT") == 0 and session.counters()["CYCLES"] == counted
    unharmed(session, before, after)
    session.run(CASE, request, model_counters=True)


@pytest.mark.parametrize("repeat", range(6))
def test_soft_reset(session: Session, repeat: int) -> None:
    """At a random moment: no interrupt, no DONE, memory unharmed, registers kept; then a good run of another kind."""
    rng = random.Random(FRESH_SEED + repeat)
    method, explain = rng.choice(STATES)
    request = Request(method, explain=explain)
    want = expectation(CASE, request)
    session.load(CASE, want.before)
    session.set_up(CASE, request)
    session.start(request)
    session.core.idle(rng.randrange(1, 2000 if explain else 800))
    session.stop()
    session.core.idle(200)
    assert session.read("INTERRUPT") == 0 and session.read("STATUS") == 0
    assert session.read("WINDOW_LIMIT") == CASE.program.window[1]
    unharmed(session, want.before, want.after)
    method, explain = rng.choice(STATES)
    session.run(CASE, Request(method, explain=explain), model_counters=True)


def test_start_while_busy(session: Session) -> None:
    """START in a run, and writes to its parameters, do no harm: the run ends right to the last bit."""
    request = Request("guided")
    want = expectation(CASE, request)
    session.load(CASE, want.before)
    session.set_up(CASE, request)
    session.start(request)
    for cycles in (1, 100, 1000):
        session.core.idle(cycles)
        session.start(Request(explain=False))
        for register in ("METHOD", "SEED_MODE", "PROGRAM_ADDRESS", "WINDOW_BASE", "WINDOW_LIMIT", "WATCHDOG"):
            with pytest.raises(GradCoreError, match="refused"):
                session.core.write(hardware.ADDRESSES[register], 1)
        assert session.read("STATUS") == hardware.STATUS_BUSY | hardware.STATUS_START_WHILE_BUSY
    session.core.wait_interrupt(LIMIT)
    assert session.read("STATUS") == hardware.STATUS_DONE | hardware.STATUS_START_WHILE_BUSY
    compare(CASE.program, session.memory(CASE), want.after)
    session.acknowledge()
    session.run(CASE, request)  # checks that START_WHILE_BUSY is gone
