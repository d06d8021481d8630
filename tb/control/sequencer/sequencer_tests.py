# SPDX-License-Identifier: Apache-2.0
"""Bench of sequencer: random legal programs with stalls, broken descriptors of every kind, and the ends of a program.

The bench plays the read port (latency, stalls, a watch on every address) and the units (take jobs, finish them later).
What must happen is said by the program and by models/control/descriptor_check.py.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable

import cocotb
from cocotb.triggers import RisingEdge

from gradcore.hardware import DESCRIPTOR_COMMON, DESCRIPTOR_FIELDS, descriptor_checksum, pack_descriptor
from gradcore.models.control.descriptor_check import Limits, problems
from tb.support.declaration import parameter
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import start_clock_and_reset, wait_until

GROUPS = parameter("GROUPS")
PROGRAM_LIMIT = parameter("PROGRAM_LIMIT")
LIMITS = Limits(groups=GROUPS)
KINDS = ("tile", "weights", "vector", "seed")
PULSES = ("tile_stored", "vector_done", "seed_done", "weight_loaded", "tile_computed")
COUNTS = ("tiles_stored", "vectors_done", "weights_loaded", "tiles_computed")
Words = list[int]


def random_descriptor(opcode: str, **given: int) -> Words:
    """A legal descriptor: random where anything is allowed, within the limits elsewhere."""
    fields = {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS[opcode]}
    skip = {"opcode", "version", "checksum", "origin_row", "origin_column"}
    values = {name: random.getrandbits(high - low + 1) for name, (_, high, low) in fields.items() if name not in skip}
    values["forward_end"] = 0
    for name in values:
        if "address" in name or "pitch" in name or "destination" in name:
            values[name] &= ~7
    if opcode == "TILE":
        rows, columns = random.choice(((1, 1), (1, 255), (16, 32), (10, 18), (3, 7), (255, 2)))
        slot = random.randrange(1, min(2047, 8191 // columns) + 1)
        row_entries = random.randrange(columns * slot, 8192)
        rows = min(rows, 8192 // row_entries)
        taps = random.choice(((1, 1), (3, 3), (5, 5), (8, 8), (3, 6), (1, 8)))
        stored, gap = random.randrange(1, 17), random.choice((0, 0, 3))
        columns_stored = random.choice((1, 2, 512 // (stored + gap) % 256 or 1))
        unit_rows = random.choice((1, 2, 3, 8, 255))
        half = (unit_rows + 1) // 2
        values |= {
            "source_rows": random.randrange(1, 256), "source_columns": random.randrange(1, 256),
            "words_per_pixel": random.choice((1, 2, 511, 512)), "buffer_rows": rows, "buffer_columns": columns, "slot": slot,
            "row_entries": row_entries, "tags": 1, "unit_rows": unit_rows, "unit_columns": random.randrange(1, 256),
            "kernel_h": taps[0], "kernel_w": taps[1], "tap_rows": random.choice((1, 1024 // (taps[0] * taps[1]))),
            "stride_x": random.randrange(1, 5), "blocks": random.randrange(1, GROUPS + 1), "shift": random.randrange(48),
            "words_per_pixel_stored": stored, "buffer_pixel_words": stored + gap, "columns_stored": columns_stored,
            "buffer_row_words": min(511, 512 // half), "destination_pixel_pitch": 8 * stored,
            "pieces_per_pixel": random.randrange(1, min(255, 512 // columns_stored) + 1),
            "buffer_row_pieces": min(511, 512 // half), "tag_address": 2 * random.getrandbits(31),
            "tag_destination": 2 * random.getrandbits(31),
        }  # fmt: skip
    elif opcode == "WEIGHTS":
        values |= {"rows": random.choice((1, 1024, random.randrange(1, 1025))), "blocks": random.randrange(1, GROUPS + 1)}
    elif opcode == "VECTOR":
        blocks = 2 * random.randrange(1, 17)
        values |= {
            "blocks": blocks, "pitch_log2": random.randrange((16 * blocks - 1).bit_length(), 16), "shift": random.randrange(48),
            "vector_words": random.choice((1, 2048, (1 << 20) - 1)), "destination_words0": random.randrange(2 * blocks + 1),
            "destination_words1": 2 * blocks, "tag_address": 2 * random.getrandbits(31),
        }  # fmt: skip
    elif opcode == "SEED":
        words = random.randrange(1, 1024)
        values |= {"words_per_pixel": words, "pixels": random.randrange(1, 65536), "channels": random.randrange(1, 4 * words + 1)}
    words = pack_descriptor(opcode, {**values, **given})
    assert not problems(words, LIMITS), problems(words, LIMITS)
    return words


def random_program(length: int) -> list[Words]:
    """Legal jobs of all kinds and an END."""
    program = [random_descriptor(random.choice(("TILE", "TILE", "WEIGHTS", "VECTOR", "SEED"))) for _ in range(length)]
    return [*program, random_descriptor("END")]


def opcode_of(words: Words) -> int:
    return words[0] & 15


class Bench:
    """Plays the read port and the units; records what the sequencer does."""

    def __init__(self, dut, stalls: str = "none") -> None:
        self.dut = dut
        self.program: list[Words] = []
        self.base = 0
        patterns = ("request", "response", *KINDS, *(f"finish {kind}" for kind in KINDS))
        self.stalls = {name: stall_pattern(stalls) for name in patterns}
        self.latency = 3 if stalls == "none" else 20
        self.reads: list[int] = []
        self.beats: deque[tuple[int, int]] = deque()  # cycle from which it may be given, data
        self.pushed: list[tuple[str, Words, int]] = []
        self.busy = {kind: deque() for kind in KINDS}
        self.done = self.driven = dict.fromkeys(COUNTS, 0)  # counts to be seen now; with the pulses that are on the ports
        self.marks: list[tuple[int, int]] = []
        self.expected_marks: list[tuple[int, int]] = []
        self.finished = self.illegal = self.cycle = 0
        self.explain = 1
        self.hold = self.release = False  # with hold, jobs finish (all kinds at once) only while release is set

    async def begin(self) -> None:
        """Reset and start to play."""
        dut = self.dut
        self.response_valid = self.request_ready = False
        self.ready = dict.fromkeys(KINDS, False)
        for name in ("start", "request_ready", "response_valid", *PULSES, *(f"job_{kind}_ready" for kind in KINDS)):
            getattr(dut, name).value = 0
        for name in ("program_address", "explain", "response_data"):
            getattr(dut, name).value = 0
        await start_clock_and_reset(dut)
        self.task = cocotb.start_soon(self.play())

    async def start(self, program: list[Words], *, explain: int = 1, base: int | None = None) -> None:
        """Begin a program; what is left of the one before is forgotten (the sequencer is reset, as run_control does)."""
        dut = self.dut
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        self.__dict__.update(program=program, explain=explain, reads=[], pushed=[], marks=[], expected_marks=[], illegal=0, finished=0)
        self.beats.clear()
        for queue in self.busy.values():
            queue.clear()
        self.base = 8 * random.getrandbits(20) if base is None else base
        dut.program_address.value = self.base
        dut.explain.value = explain
        await RisingEdge(dut.clk)
        self.beats.clear()
        self.reads.clear()
        dut.rst.value = 0
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        dut.program_address.value = random.getrandbits(32)

    async def play(self) -> None:
        """One step a cycle."""
        while True:
            await RisingEdge(self.dut.clk)
            self.cycle += 1
            if int(self.dut.rst.value):
                self.request_ready = self.response_valid = False
                self.ready = dict.fromkeys(KINDS, False)
                self.done = self.driven = dict.fromkeys(COUNTS, 0)
                for name in ("request_ready", "response_valid", *PULSES, *(f"job_{kind}_ready" for kind in KINDS)):
                    getattr(self.dut, name).value = 0
                continue
            self.read_port()
            self.jobs()
            self.finish()

    def read_port(self) -> None:
        """Requests and responses."""
        dut = self.dut
        if int(dut.request_valid.value) and self.request_ready:
            address, words = int(dut.request_address.value), int(dut.request_words.value)
            index, rest = divmod(address - self.base, 128)
            assert rest == 0 and words == 16 and index == len(self.reads), f"read {len(self.reads)} is at {address:#x}"
            assert index < len(self.program), "a read behind the program's end"
            self.reads.append(index)
            content = self.program[index]
            beats = [content[2 * beat] | content[2 * beat + 1] << 32 for beat in range(16)]
            self.beats.extend((self.cycle + self.latency, data) for data in beats)
        if self.response_valid and int(dut.response_ready.value):
            self.beats.popleft()
            self.response_valid = False
        if not self.response_valid:
            self.response_valid = bool(self.beats) and self.beats[0][0] <= self.cycle and not next(self.stalls["response"])
        self.request_ready = not next(self.stalls["request"])
        dut.request_ready.value = int(self.request_ready)
        dut.response_valid.value = int(self.response_valid)
        dut.response_data.value = self.beats[0][1] if self.response_valid else random.getrandbits(64)

    def jobs(self) -> None:
        """Take jobs; note what their finishing must cause."""
        dut = self.dut
        valid = {kind: int(getattr(dut, f"job_{kind}_valid").value) for kind in KINDS}
        assert sum(valid.values()) <= 1, "one job at a time"
        for kind in KINDS:
            if valid[kind]:
                value = int(dut.descriptor.value)
                words = [value >> 32 * i & 0xFFFFFFFF for i in range(32)]
                item = (kind, words, int(dut.descriptor_index.value))
                if self.ready[kind]:
                    self.pushed.append(item)
                    self.busy[kind].append(words)
            self.ready[kind] = not next(self.stalls[kind])
            getattr(dut, f"job_{kind}_ready").value = int(self.ready[kind])

    def finish(self) -> None:
        """Finish jobs at random, check counts, marks and pulses."""
        dut = self.dut
        for name in COUNTS:
            assert int(getattr(dut, name).value) == self.done[name], f"{name} is wrong"
        valid = int(dut.mark_valid.value)
        for port in range(2):
            if valid >> port & 1:
                self.marks.append((port, int(dut.mark_layer.value[8 * port + 7 : 8 * port])))
        pulses = dict.fromkeys(PULSES, 0)
        for kind, pulse in zip(KINDS, ("tile_stored", "weight_loaded", "vector_done", "seed_done"), strict=True):
            now = self.release if self.hold else not next(self.stalls[f"finish {kind}"]) and random.random() < 0.3
            if self.busy[kind] and now:
                words = self.busy[kind].popleft()
                pulses[pulse] = 1
                if words[0] >> 16 & 1 and kind != "weights":
                    self.expected_marks.append((int(kind != "tile"), words[0] >> 8 & 255))
        pulses["tile_computed"] = random.getrandbits(1)
        for pulse, value in pulses.items():
            getattr(dut, pulse).value = value
        if int(dut.finished.value):
            self.finished += 1
            assert not any(self.busy.values()) and not any(pulses[name] for name in PULSES[:4]), "finished too early"
        self.illegal += int(dut.error_illegal.value)
        self.done = self.driven
        self.driven = {
            "tiles_stored": self.done["tiles_stored"] + pulses["tile_stored"],
            "vectors_done": self.done["vectors_done"] + pulses["vector_done"] + pulses["seed_done"],
            "weights_loaded": self.done["weights_loaded"] + pulses["weight_loaded"],
            "tiles_computed": self.done["tiles_computed"] + pulses["tile_computed"],
        }

    def expected_jobs(self, program: Iterable[Words]) -> list[tuple[str, Words, int]]:
        """The jobs of a part of a program."""
        return [(KINDS[opcode_of(words) - 1], words, index) for index, words in enumerate(program) if opcode_of(words) != 5]

    async def until(self, condition: Callable[[], bool], what: str, cycles: int = 20000) -> None:
        await wait_until(self.dut.clk, condition, cycles, what)

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def runs(self, program: list[Words], *, jobs: int | None = None, explain: int = 1) -> None:
        """Run a program whose first ``jobs`` descriptors are jobs to its good end."""
        await self.start(program, explain=explain)
        await self.until(lambda: self.finished > 0, "finished")
        await self.wait(30)
        jobs = len(program) - 1 if jobs is None else jobs
        assert self.pushed == self.expected_jobs(program[:jobs])
        assert self.finished == 1 and self.illegal == 0
        tiles = [mark for mark in self.expected_marks if mark[0] == 0]
        assert [mark for mark in self.marks if mark[0] == 0] == tiles
        assert sorted(self.marks) == sorted(self.expected_marks), "a seed's mark may come later, none may be lost"

    async def fails(self, program: list[Words], index: int) -> None:
        """Run a program whose descriptor ``index`` is illegal."""
        await self.start(program)
        await self.until(lambda: self.illegal > 0, f"error_illegal at {index}")
        assert int(self.dut.descriptor_index.value) == index
        await self.wait(60)
        assert self.pushed == self.expected_jobs(program[:index]), "pushed something else"
        assert len(self.reads) == index + 1, "read on after an illegal descriptor"
        assert self.illegal == 1 and self.finished == 0


def seal(words: Words) -> Words:
    """The same descriptor with the right checksum."""
    return [words[0], descriptor_checksum(words), *words[2:]]


@cocotb.test(skip=PROGRAM_LIMIT < 100)
@cocotb.parametrize(stalls=STALLS)
async def programs(dut, stalls: str) -> None:
    """Random programs: all jobs in order, counts, marks, one finish, nothing read behind the end; each stall pattern."""
    bench = Bench(dut, stalls)
    await bench.begin()
    for length in (0, 1, 2, 12, 25):
        await bench.runs(random_program(length))
        assert len(bench.reads) == length + 1
    assert bench.expected_marks, "no layer ended"


@cocotb.test(skip=PROGRAM_LIMIT < 100)
async def forward_end(dut) -> None:
    """A SEED with forward_end ends a program that only infers, and is an ordinary job of one that explains."""
    bench = Bench(dut, "random")
    await bench.begin()
    for _ in range(4):
        program = random_program(5)
        program[2] = random_descriptor("SEED", forward_end=1, last_of_layer=1)
        await bench.runs(program, jobs=3, explain=0)
        assert len(bench.reads) == 3
        await bench.runs(program, explain=1)
        program[2] = random_descriptor("TILE", forward_end=1)  # means nothing there
        await bench.runs(program, explain=0)


@cocotb.test(skip=PROGRAM_LIMIT < 100)
async def corrupted_bits(dut) -> None:
    """One flipped bit, in each of the 32 words once at least, of every kind of descriptor: always illegal."""
    bench = Bench(dut)
    await bench.begin()
    for opcode in ("TILE", "WEIGHTS", "VECTOR", "SEED", "END"):
        good = random_descriptor(opcode)
        for word in range(32):
            bad = list(good)
            bad[word] ^= 1 << random.randrange(32)
            prefix = random.getrandbits(1)
            await bench.fails([random_descriptor("WEIGHTS")] * prefix + [bad, random_descriptor("END")], prefix)


@cocotb.test(skip=PROGRAM_LIMIT < 100)
@cocotb.parametrize(opcode=("TILE", "WEIGHTS", "VECTOR", "SEED", "END"))
async def field_ranges(dut, opcode: str) -> None:
    """Every field at its extremes and at random, with a right checksum: legal exactly when the model says so."""
    bench = Bench(dut)
    await bench.begin()
    table = {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS[opcode]}
    seen = {True: 0, False: 0}
    names = [name for name in table if name not in ("checksum", "forward_end", "layer")]
    for name in names:
        word, high, low = table[name]
        width = high - low + 1
        full = (1 << width) - 1
        values = {0, 1, full, full - 1, random.getrandbits(width), 1 << random.randrange(width)}
        values |= {value for value in (2, 4, 8, 9, 47, 48, GROUPS, GROUPS + 1) if value <= full and width <= 6}
        for value in sorted(values):
            words = random_descriptor(opcode)
            words[word] = words[word] & ~(full << low) | value << low
            words = seal(words)
            if opcode_of(words) == 5 and opcode != "END":
                continue
            legal = not problems(words, LIMITS)
            seen[legal] += 1
            if legal:
                await bench.start([words, random_descriptor("END")])
                await bench.until(lambda: bench.finished > 0 or bench.illegal > 0, "an end")
                assert bench.finished and not bench.illegal, f"{opcode}.{name} = {value} was refused"
            else:
                await bench.start([words, random_descriptor("END")])
                await bench.until(lambda: bench.finished > 0 or bench.illegal > 0, "an end")
                assert bench.illegal and not bench.pushed, f"{opcode}.{name} = {value}: {problems(words, LIMITS)}"
    assert seen[True] > 5 and seen[False] > 5, seen


@cocotb.test(skip=PROGRAM_LIMIT < 100)
async def size_limits(dut) -> None:
    """Sizes that are the largest allowed, and one more, which breaks one rule."""
    bench = Bench(dut)
    await bench.begin()
    small = {"buffer_rows": 1, "buffer_columns": 1, "slot": 1, "row_entries": 1, "unit_rows": 2, "buffer_row_words": 1}
    small |= {"columns_stored": 1, "buffer_pixel_words": 1, "words_per_pixel_stored": 1, "contiguous": 0, "store_tags": 1}
    small |= {"pieces_per_pixel": 1, "buffer_row_pieces": 1, "kernel_h": 1, "kernel_w": 1, "tap_rows": 1}
    vector = {"blocks": 8, "pitch_log2": 15, "destination_words0": 0, "destination_words1": 0}
    seed = {"words_per_pixel": 5, "channels": 20}
    cases = (
        ({"buffer_rows": 16, "buffer_columns": 32, "row_entries": 33}, "buffer_columns", 33),
        ({"buffer_rows": 2, "row_entries": 4096}, "row_entries", 4097),
        ({"buffer_columns": 7, "slot": 11, "row_entries": 77}, "slot", 12),
        ({"buffer_columns": 7, "slot": 11, "row_entries": 77}, "row_entries", 76),
        ({"kernel_h": 8, "kernel_w": 8, "tap_rows": 16}, "tap_rows", 17),
        ({"kernel_h": 1, "kernel_w": 1, "tap_rows": 1024}, "tap_rows", 1025),
        ({"unit_rows": 8, "buffer_row_words": 128}, "unit_rows", 9),
        ({"unit_rows": 7, "buffer_row_words": 128}, "buffer_row_words", 129),
        ({"columns_stored": 64, "buffer_pixel_words": 8}, "columns_stored", 65),
        ({"unit_rows": 4, "buffer_row_pieces": 256}, "buffer_row_pieces", 257),
        ({"columns_stored": 42, "pieces_per_pixel": 12}, "pieces_per_pixel", 13),
        ({"words_per_pixel_stored": 5, "buffer_pixel_words": 5}, "words_per_pixel_stored", 6),
    )
    cases = [("TILE", {**small, **sizes}, name, value) for sizes, name, value in cases]
    cases += [
        ("VECTOR", vector, "blocks", 7),
        ("VECTOR", {**vector, "blocks": 32}, "blocks", 34),
        ("VECTOR", {**vector, "pitch_log2": 7}, "pitch_log2", 6),
        ("VECTOR", {**vector, "destination_words0": 16}, "destination_words0", 17),
        ("VECTOR", {**vector, "destination_words1": 16}, "destination_words1", 17),
        ("SEED", seed, "channels", 21),
    ]
    for opcode, sizes, name, value in cases:
        good = random_descriptor(opcode, **sizes)
        await bench.runs([good, random_descriptor("END")])
        word, high, low = DESCRIPTOR_FIELDS[opcode][name]
        mask = (1 << (high - low + 1)) - 1
        bad = list(good)
        bad[word] = bad[word] & ~(mask << low) | value << low
        bad = seal(bad)
        assert len(problems(bad, LIMITS)) == 1, problems(bad, LIMITS)
        await bench.fails([random_descriptor("SEED"), bad, random_descriptor("END")], 1)


@cocotb.test(skip=PROGRAM_LIMIT < 100)
async def waits_for_every_kind(dut) -> None:
    """A program is not finished before its last job is, whatever its kind; a vector and a seed finish in one cycle."""
    bench = Bench(dut)
    await bench.begin()
    bench.hold = True
    both = [random_descriptor(opcode, last_of_layer=1) for opcode in ("VECTOR", "SEED")]
    programs = [[random_descriptor(opcode)] for opcode in ("TILE", "WEIGHTS", "VECTOR", "SEED")]
    for jobs in [*programs, both, both[::-1], both + both]:
        await bench.start([*jobs, random_descriptor("END")])
        await bench.until(lambda jobs=jobs: len(bench.pushed) == len(jobs), "all jobs")
        await bench.wait(200)
        assert not bench.finished, f"did not wait for {bench.pushed[0][0]}"
        bench.release = True
        await bench.until(lambda: bench.finished > 0, "finished")
        bench.release = False
        await bench.wait(5)
        assert sorted(bench.marks) == sorted(bench.expected_marks), f"{bench.marks}, not {bench.expected_marks}"


@cocotb.test(skip=PROGRAM_LIMIT < 100)
async def misaligned_program(dut) -> None:
    """A program that does not start on 8 bytes is refused without a read."""
    bench = Bench(dut)
    await bench.begin()
    for offset in (1, 2, 4):
        await bench.start(random_program(1), base=0x1000 + offset)
        await bench.until(lambda: bench.illegal == 1, "error_illegal")
        await bench.wait(40)
        assert not bench.reads and not bench.pushed and int(dut.descriptor_index.value) == 0
    await bench.runs(random_program(2))


@cocotb.test(skip=PROGRAM_LIMIT > 100)
async def program_limit(dut) -> None:
    """The last descriptor that the limit allows must end the program."""
    bench = Bench(dut, "random")
    await bench.begin()
    await bench.runs(random_program(PROGRAM_LIMIT - 1))
    await bench.fails(random_program(PROGRAM_LIMIT), PROGRAM_LIMIT - 1)
    program = random_program(PROGRAM_LIMIT)
    program[PROGRAM_LIMIT - 1] = random_descriptor("SEED", forward_end=1)
    await bench.runs(program, jobs=PROGRAM_LIMIT, explain=0)
