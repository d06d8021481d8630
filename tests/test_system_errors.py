# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in hardware: each fault gives its status code and an interrupt, harms nothing, and the core runs on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gradcore import hardware
from gradcore.network import Layer, Network
from gradcore.quantise import QuantisedNetwork, quantise
from gradcore.simulator import Simulator
from tb.support.seeds import FRESH_SEED
from tb.system.session import (
    CYCLE_LIMIT,
    FILL,
    GUARD,
    Outcome,
    Request,
    Session,
    expectation,
    make_case,
)

pytestmark = pytest.mark.hardware

PRESET = "small"
BAD_MEMORY = 0x0080_0000  # reads and writes of the BAD_BYTES from here on are answered with an error
BAD_BYTES = 4096
DESCRIPTOR_BYTES = 128


def small_network() -> QuantisedNetwork:
    layers = [
        Layer("conv", "conv1", 3, 20, 3, pool=True),
        Layer("conv", "conv2", 20, 6, 3),
        Layer("fc", "fc1", 6 * 6 * 5, 10, 1, relu=False),
    ]
    return quantise(Network.random(layers, (3, 12, 10), name="errors", seed=3))


class Bed:
    """A core with a good program loaded, and the means to break things and to show that it works again."""

    def __init__(self, session: Session) -> None:
        self.session, self.core = session, session.core
        network = small_network()
        channels, height, width = network.input_shape
        picture = np.random.default_rng(FRESH_SEED).integers(-3000, 3000, (height, width, channels))
        self.case = make_case(network, picture, PRESET)
        self.program = self.case.program
        self.before = expectation(self.case, Request()).before

    def prepare(self, method: str = "saliency") -> None:
        """The good program in memory, with guards on both sides of its window, and in the registers."""
        self.session.image = None  # a test may have changed it
        self.session.load(self.case, self.before)
        self.session.set_up(self.case, Request(method))

    def change_descriptor(self, index: int, fields: dict[str, int]) -> None:
        """Overwrite fields of a descriptor in memory, with a right checksum."""
        opcode, values = hardware.unpack_descriptor([int(word) for word in self.program.descriptor_words[index]])
        values = {name: value for name, value in values.items() if name not in ("opcode", "version", "checksum")}
        self.put_descriptor(index, hardware.pack_descriptor(opcode, {**values, **fields}))

    def put_descriptor(self, index: int, words: list[int]) -> None:
        """Overwrite a descriptor in memory."""
        address = self.program.program_address + DESCRIPTOR_BYTES * index
        self.core.load(address, np.asarray(words, dtype="<u4").view(np.uint8))

    def first(self, opcode: str) -> int:
        """Index of the first descriptor of a kind."""
        number = hardware.OPCODES[opcode]
        return int(np.flatnonzero((self.program.descriptor_words[:, 0] & 0xF) == number)[0])

    def run(self) -> Outcome:
        self.session.start()
        return self.session.finish()

    def expect(self, outcome: Outcome, code: int) -> None:
        assert outcome.error and outcome.code == code, f"{outcome}: expected {name_of(code)}"
        self.check_guards()

    def check_guards(self) -> None:
        """Nothing outside the window was touched."""
        memory = self.session.memory(self.case)
        for side, guard in (("below", memory[:GUARD]), ("above", memory[-GUARD:])):
            assert np.all(guard == FILL), f"memory {side} the window was changed"

    def check_alive(self) -> None:
        """The same core, without a reset of the chip, runs the good program to the last bit."""
        self.session.stop()
        self.session.image = None
        self.session.run(self.case, Request("guided"))


def name_of(code: int) -> str:
    return next(name for name, number in hardware.CODES.items() if number == code)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    options = {}
    for kind in ("read", "write"):
        options[f"{kind}_error_base"] = BAD_MEMORY
        options[f"{kind}_error_limit"] = BAD_MEMORY + BAD_BYTES
    simulator = Simulator("verilator", PRESET, stalls=0.1, seed=FRESH_SEED, options=options)
    simulator.build()
    with simulator:
        yield Session(simulator)


@pytest.fixture
def bed(session: Session) -> Bed:
    bed = Bed(session)
    bed.prepare()
    return bed


@pytest.mark.parametrize(
    ("opcode", "fields"),
    [
        ("TILE", {"unit_rows": 0}),
        ("TILE", {"kernel_w": 9}),
        ("TILE", {"slot": 2047, "row_entries": 8191}),
        ("TILE", {"blocks": 5}),
        ("WEIGHTS", {"rows": 0}),
        ("VECTOR", {"vector_words": 0}),
        ("SEED", {"pixels": 0}),
    ],
)
def test_illegal_field(bed: Bed, opcode: str, fields: dict[str, int]) -> None:
    """A field outside the hardware's limits, with a right checksum."""
    index = bed.first(opcode)
    bed.change_descriptor(index, fields)
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_ILLEGAL_DESCRIPTOR)
    assert outcome.descriptor == index
    bed.check_alive()


@pytest.mark.parametrize("bit", [0, 2, 31, 45, 200, 1023])
def test_corrupt_descriptor(bed: Bed, bit: int) -> None:
    """A flipped bit anywhere: opcode, version, checksum, an address, an unused word."""
    index = 1
    words = [int(word) for word in bed.program.descriptor_words[index]]
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
    base, limit = bed.program.window
    bed.change_descriptor(bed.first(opcode), {field: base - 64 if place == "below" else limit})
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_WINDOW)
    assert not base <= outcome.address < limit - 64
    bed.check_alive()


def test_program_outside_window(bed: Bed) -> None:
    """The program itself lies outside the window."""
    bed.core.write(hardware.WINDOW_BASE, bed.program.program_address + 8 * DESCRIPTOR_BYTES)
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
    bed.core.write(hardware.WINDOW_LIMIT, BAD_MEMORY + BAD_BYTES)
    bed.change_descriptor(bed.first(opcode), {field: BAD_MEMORY})
    outcome = bed.run()
    bed.expect(outcome, code)
    assert BAD_MEMORY <= outcome.address < BAD_MEMORY + BAD_BYTES
    bed.check_alive()


def test_watchdog(bed: Bed) -> None:
    """A job that waits for a token that never comes."""
    bed.change_descriptor(bed.first("VECTOR"), {"wait_tiles": 0xFFFFFF})
    bed.core.write(hardware.WATCHDOG, 5000)
    outcome = bed.run()
    bed.expect(outcome, hardware.CODE_WATCHDOG)
    assert outcome.cycles > 5000
    bed.check_alive()


def test_start_while_busy(bed: Bed) -> None:
    """A second START is noted and does no harm to the run."""
    bed.session.start()
    bed.core.idle(300)
    bed.session.start()
    status = bed.session.read("STATUS")
    assert status & hardware.STATUS_BUSY and status & hardware.STATUS_START_WHILE_BUSY
    outcome = bed.session.finish()
    assert outcome.done and not outcome.error
    bed.check_alive()
    assert not bed.session.read("STATUS") & hardware.STATUS_START_WHILE_BUSY


@pytest.mark.parametrize("cycles", [1, 40, 333, 2000])
def test_soft_reset_in_a_run(bed: Bed, cycles: int) -> None:
    """A soft reset at any moment ends the run without an interrupt; the bus is left in order."""
    bed.prepare("deconvnet")
    bed.session.start()
    bed.core.idle(cycles)
    bed.check_alive()


def test_a_run_takes_its_time(bed: Bed) -> None:
    """The good program alone: what the tests above compare with."""
    outcome = bed.run()
    assert outcome.done and not outcome.error and outcome.code == hardware.CODE_NONE
    assert 2000 < outcome.cycles < CYCLE_LIMIT
    bed.check_guards()
