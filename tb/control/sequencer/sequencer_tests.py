# SPDX-License-Identifier: Apache-2.0
"""Tests of sequencer: random legal programs with stalls, broken descriptors of every kind, and the ends of a program."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pyuvm

from gradcore.hardware import DESCRIPTOR_COMMON, DESCRIPTOR_FIELDS
from tb.control.sequencer.sequencer_env import (
    KINDS,
    ProgramsEnvironment,
    RulesEnvironment,
    SequencerEnvironment,
    SequencerPredictor,
    Words,
)
from tb.control.sequencer.sequencer_programs import (
    GROUPS,
    PROGRAM_LIMIT,
    random_descriptor,
    random_program,
    size_limits,
    with_field,
)
from tb.support.base import UnitTest, must_fail
from tb.support.stalls import STALLS
from tb.support.uvm import StreamSequence

OPCODES = ("TILE", "WEIGHTS", "VECTOR", "SEED", "END")


class SequencerTest(UnitTest):
    """Base: a program at a time; before each the sequencer is reset, as run_control does."""

    environment_type = SequencerEnvironment
    watchdog = 60_000
    covers = False

    async def begin(self, program: Sequence[Words], explain: int = 1, offset: int = 0) -> None:
        """Reset, and start a program; what units have not finished is forgotten. ``offset``: bytes from where it lies."""
        environment = self.environment
        self.dut.rst.value = 1
        address = environment.store(program) + offset
        await self.cycles(2)
        environment.units.busy = dict.fromkeys(KINDS, 0)
        self.dut.rst.value = 0
        programs = environment.predictor.programs
        await environment.pins.start(StreamSequence("start", [{"start": 1, "program_address": address, "explain": explain}]))
        await environment.pins.start(StreamSequence("address", [{"program_address": random.getrandbits(32)}]))
        while environment.predictor.programs == programs:
            await self.cycles(1)

    async def end(self, cycles: int = 30) -> str:
        """Wait for the end of a program, and that nothing comes after it; returns how it ended."""
        while self.environment.predictor.running:
            await self.cycles(1)
        await self.cycles(cycles)
        return self.environment.predictor.outcome

    async def runs(self, program: Sequence[Words], *, jobs: int | None = None, explain: int = 1) -> None:
        """Run a program whose first ``jobs`` descriptors are jobs to its good end."""
        await self.begin(program, explain)
        assert await self.end() == "finished"
        predictor = self.environment.predictor
        assert predictor.index == (len(program) - 1 if jobs is None else jobs), "jobs"
        assert not any(predictor.marks.values()), "jobs that were not finished"

    async def fails(self, program: Sequence[Words], index: int) -> None:
        """Run a program whose descriptor ``index`` is illegal."""
        await self.begin(program)
        assert await self.end(60) == "error"
        predictor = self.environment.predictor
        assert (predictor.index, predictor.reads) == (index, index + 1), "handed out, or read, something else"


@pyuvm.test()
class Programs(SequencerTest):
    """Random programs under each stall pattern; each end; jobs of all kinds that wait for one another; nothing read behind the end."""

    environment_type = ProgramsEnvironment
    covers = True

    async def main(self) -> None:
        for stalls in STALLS:
            self.environment.set_stalls(stalls)
            for length in (0, 1, 2, 12, 25):
                await self.runs(random_program(length))
                assert self.environment.predictor.reads == length + 1
        program = [random_descriptor(opcode, last_of_layer=1) for opcode in ("TILE", "SEED", "VECTOR", "WEIGHTS", "END")]
        await self.runs(program)
        program[1] = random_descriptor("SEED", forward_end=1)
        await self.runs(program, jobs=2, explain=0)
        await self.fails([program[0], [0] * 32], 1)
        await self.sums_left()
        await self.begin(program, offset=4)
        assert await self.end() == "error"
        self.environment.set_stalls("none")
        await self.held([random_descriptor(opcode, last_of_layer=1) for opcode in ("VECTOR", "SEED")])
        assert self.environment.predictor.marked, "no layer ended"

    async def sums_left(self) -> None:
        """Partial sums that no TILE takes up make the end illegal, whichever it is; a TILE behind them, and the end is good."""
        leaves, stores = random_descriptor("TILE", to_partial=1, last_of_layer=0), random_descriptor("TILE", last_of_layer=1)
        end, forward = random_descriptor("END"), random_descriptor("SEED", forward_end=1)
        await self.fails([leaves, end], 1)
        await self.fails([stores, leaves, random_descriptor("VECTOR"), end], 3)
        await self.runs([leaves, leaves, stores, end])
        await self.begin([leaves, forward, end], explain=0)
        assert await self.end() == "error" and self.environment.predictor.index == 1
        await self.runs([leaves, forward, stores, end])

    async def held(self, jobs: list[Words]) -> None:
        """Jobs that all finish at once, long after they were handed out."""
        units, predictor = self.environment.units, self.environment.predictor
        units.hold = True
        await self.begin([*jobs, random_descriptor("END")])
        while not predictor.ending:
            await self.cycles(1)
        await self.cycles(200)
        assert predictor.running, "did not wait for its last job"
        units.release = True
        assert await self.end() == "finished"
        units.hold = units.release = False


@pyuvm.test()
class ForwardEnd(SequencerTest):
    """A SEED with forward_end ends a program that only infers, and is an ordinary job of one that explains."""

    async def main(self) -> None:
        self.environment.set_stalls("random")
        for _ in range(4):
            program = random_program(5, leaving=False)
            program[2] = random_descriptor("SEED", forward_end=1, last_of_layer=1)
            await self.runs(program, jobs=3, explain=0)
            assert self.environment.predictor.reads == 3
            await self.runs(program, explain=1)
            program[2] = random_descriptor("TILE", forward_end=1)  # means nothing there
            await self.runs(program, explain=0)


@pyuvm.test()
class CorruptedBits(SequencerTest):
    """One flipped bit, in each of the 32 words once at least, of every kind of descriptor: always illegal."""

    async def main(self) -> None:
        for opcode in OPCODES:
            good = random_descriptor(opcode)
            for word in range(32):
                bad = list(good)
                bad[word] ^= 1 << random.randrange(32)
                prefix = random.getrandbits(1)
                await self.fails([random_descriptor("WEIGHTS")] * prefix + [bad, random_descriptor("END")], prefix)


@pyuvm.test()
class EveryRule(SequencerTest):
    """Every field at its extremes and at random, sizes that are the largest allowed and one more: legal exactly when the model says so."""

    environment_type = RulesEnvironment
    covers = True
    watchdog = 400_000

    async def main(self) -> None:
        for opcode, sizes, name, value in size_limits():
            good = random_descriptor(opcode, **sizes)
            await self.runs([good, random_descriptor("END")])
            bad = with_field(good, opcode, name, value)
            broken = self.environment.predictor.broken(bad)
            assert len(broken) == 1, broken
            await self.fails([random_descriptor("SEED"), bad, random_descriptor("END")], 1)
        for opcode in OPCODES:
            await self.fields(opcode)

    async def fields(self, opcode: str) -> None:
        """Each field of a kind of descriptor."""
        seen = {"finished": 0, "error": 0}
        table = {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS[opcode]}
        for name in (name for name in table if name not in ("checksum", "forward_end", "layer")):
            _, high, low = table[name]
            width = high - low + 1
            full = (1 << width) - 1
            values = {0, 1, full, full - 1, random.getrandbits(width), 1 << random.randrange(width)}
            values |= {value for value in (2, 4, 8, 9, 47, 48, GROUPS, GROUPS + 1) if value <= full and width <= 6}
            for value in sorted(values):
                stores = {"store_tags": 1} if name.startswith("tag_destination") and opcode == "TILE" else {}
                words = with_field(random_descriptor(opcode, **stores), opcode, name, value)
                behind = [random_descriptor("TILE")] if name == "to_partial" else []  # which takes up what is left
                if words[0] & 15 == 5 and opcode != "END":
                    continue
                legal = not self.environment.predictor.broken(words)
                await self.begin([words, *behind, random_descriptor("END")])
                ended = await self.end(2)
                assert ended == ("finished" if legal else "error"), f"{opcode}.{name} = {value}: {ended}"
                seen[ended] += 1
        assert min(seen.values()) > 5, f"{opcode}: {seen}"


@pyuvm.test()
class WaitsForEveryKind(Programs):
    """A program is not finished before its last job is, whatever its kind; a vector and a seed finish in one cycle."""

    environment_type = SequencerEnvironment
    covers = False

    async def main(self) -> None:
        both = [random_descriptor(opcode, last_of_layer=1) for opcode in ("VECTOR", "SEED")]
        for jobs in (*([random_descriptor(opcode)] for opcode in OPCODES[:4]), both, both[::-1], both + both):
            await self.held(jobs)


@pyuvm.test()
class MisalignedProgram(SequencerTest):
    """A program that does not start on 8 bytes is refused without a read."""

    async def main(self) -> None:
        for offset in (1, 2, 4):
            await self.begin(random_program(1), offset=offset)
            assert await self.end(40) == "error"
            assert not self.environment.predictor.reads
        await self.runs(random_program(2))


@pyuvm.test()
class ProgramLimit(SequencerTest):
    """The last descriptor that the limit allows must end the program."""

    async def main(self) -> None:
        self.environment.set_stalls("random")
        await self.runs(random_program(PROGRAM_LIMIT - 1))
        await self.fails(random_program(PROGRAM_LIMIT), PROGRAM_LIMIT - 1)
        program = random_program(PROGRAM_LIMIT, leaving=False)
        program[PROGRAM_LIMIT - 1] = random_descriptor("SEED", forward_end=1)
        await self.runs(program, jobs=PROGRAM_LIMIT, explain=0)


# ---- Twins that must fail ----


class TwinTest(SequencerTest):
    """Base: a program with a job of each kind, and one that is illegal."""

    environment_type = ProgramsEnvironment
    covers = True
    watchdog = 2_000
    last_of_layer = 1

    async def main(self) -> None:
        last = {"last_of_layer": self.last_of_layer}
        await self.begin([random_descriptor(opcode, **last) for opcode in ("VECTOR", "TILE", "WEIGHTS", "SEED", "END")])
        await self.end()
        await self.begin([[0] * 32])
        await self.end()


class OtherIndex(SequencerPredictor):
    """A wrong model: the number of a job is one too large."""

    def expect(self, stream: str, fields: dict, where: str = "", formats: dict | None = None) -> None:
        super().expect(stream, {**fields, "index": fields["index"] + 1} if stream == "vector" else fields, where, formats)


class Strict(SequencerPredictor):
    """A wrong model: it refuses every descriptor."""

    def broken(self, words: Words) -> list[str]:
        return ["shift"]


class NoMark(SequencerPredictor):
    """A model that forgets which job is the last of its layer."""

    def descriptor(self, item: dict) -> None:
        super().descriptor(item)
        for marks in self.marks.values():
            for place, (_, layer) in enumerate(marks):
                marks[place] = (0, layer)


@must_fail("environment.scoreboard", r"vector item 0: expected (.|\n)*index: 0 .*, expected 1 ")
class WrongModel(TwinTest):
    """A job with a wrong number must be noticed."""

    overrides = {SequencerPredictor: OtherIndex}


@must_fail("environment.predictor", r"finished too early")
class WrongRule(TwinTest):
    """A refusal that never comes must be noticed."""

    last_of_layer = 0
    overrides = {SequencerPredictor: Strict}


@must_fail("environment.predictor", r"marks 10, expected 00")
class LostItem(TwinTest):
    """A mark in another cycle than it must come must be noticed when it comes."""

    overrides = {SequencerPredictor: NoMark}


@must_fail("environment.coverage", r"coverage holes: explain=0")
class Hole(TwinTest):
    """Coverage must see what was left out."""
