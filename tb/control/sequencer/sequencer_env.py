# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of sequencer.v: agents of its ports, units that finish jobs, a predictor that knows what the pins show, coverage."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pyuvm import uvm_component

from gradcore.hardware import DESCRIPTOR_COMMON, DESCRIPTOR_FIELDS, DESCRIPTOR_LIMITS, OPCODES
from gradcore.models.control.descriptor_check import Limits, problems, rules
from tb.support.agents import PinsAgent, ReadClientAgent, pins
from tb.support.base import Predictor, UnitEnvironment
from tb.support.read_client import WordMemory
from tb.support.seeds import test_rng
from tb.support.stalls import stall_pattern
from tb.support.uvm import Coverage, SinkAgent, StreamPort, StreamSequence, is_active, listen
from tb.support.vectors import VectorSlice

Words = list[int]  # a descriptor
KINDS = ("tile", "weights", "vector", "seed")
FINISHED = {"tile": "tile_stored", "weights": "weight_loaded", "vector": "vector_done", "seed": "seed_done"}
PULSES = ("tile_stored", "vector_done", "seed_done", "weight_loaded", "tile_computed")
COUNTS = {
    "tiles_stored": ("tile_stored",),
    "vectors_done": ("vector_done", "seed_done"),
    "weights_loaded": ("weight_loaded",),
    "tiles_computed": ("tile_computed",),
}
COUNT_OF = {"tile": "tiles_stored", "weights": "weights_loaded", "vector": "vectors_done", "seed": "vectors_done"}
VALIDS = tuple(f"job_{kind}_valid" for kind in KINDS)
OUTPUTS = (*COUNTS, "mark_valid", "finished", "error_illegal", "descriptor_index", *VALIDS, "request_valid", "rst")
MARK_LAYERS = ("tile_layer", "vector_layer")  # halves of mark_layer
OPCODE_END, OPCODE_SEED = OPCODES["END"], OPCODES["SEED"]
NAMES = {code: name for name, code in OPCODES.items()}
LATEST = 40  # cycles from when all is done, and the end is known, to `finished`


def field(words: Words, name: str) -> int:
    """A field that every descriptor has, or a TILE."""
    word, high, low = {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS["TILE"]}[name]
    return words[word] >> low & ((1 << (high - low + 1)) - 1)


def stores(words: Words) -> bool:
    """Whether a descriptor is not that of a TILE that leaves partial sums, and so is never stored."""
    return words[0] & 15 != OPCODES["TILE"] or not field(words, "to_partial")


class SequencerPredictor(Predictor):
    """Follows a program from the pins alone: what must be read, handed out, counted, marked and reported, from start to end."""

    def build_phase(self) -> None:
        self.programs = self.marked = 0
        self.limits = Limits(groups=self.get_parent().parameter("GROUPS"))
        self.program_limit = self.get_parent().parameter("PROGRAM_LIMIT")
        self.reset()

    def reset(self) -> None:
        """Nothing runs."""
        self.counts = dict.fromkeys(COUNTS, 0)
        self.pushed = dict.fromkeys(COUNTS, 0)
        self.marks: dict[str, deque[tuple[int, int]]] = {kind: deque() for kind in KINDS}
        self.seeds_waiting = 0
        self.due = {"valid": 0, "layers": (0, 0)}  # the marks of the next cycle
        self.running = self.ending = self.sums_left = False
        self.outcome = ""
        self.reads = 0
        self.address = self.explain = self.index = self.quiet = 0

    def cycle(self, pins: dict[str, int]) -> None:
        """Counts and marks in every cycle; start, finish, error."""
        if pins["rst"]:
            self.reset()
            return
        missing = [name for name, value in pins.items() if value is None and name not in (*MARK_LAYERS, "descriptor_index")]
        assert not missing, f"{', '.join(missing)} undefined"
        assert sum(pins[name] for name in VALIDS) <= 1, "more than one job at a time"
        got = {name: pins[name] for name in COUNTS}
        assert got == self.counts, f"counts {got}, expected {self.counts}"
        self._check_marks(pins)
        self._end(pins)
        self._count(pins)
        if pins["start"]:
            self._start(pins)

    def _check_marks(self, pins: Mapping[str, int]) -> None:
        valid = pins["mark_valid"]
        assert valid == self.due["valid"], f"marks {valid:02b}, expected {self.due['valid']:02b}"
        for port in (0, 1):
            if valid >> port & 1:
                self.marked += 1
                layer, want = pins[MARK_LAYERS[port]], self.due["layers"][port]
                self.expect("mark", {"port": port, "layer": want})
                self.get_parent().scoreboard.actual("mark", {"port": port, "layer": layer})

    def _end(self, pins: Mapping[str, int]) -> None:
        done = self.ending and all(self.pushed[name] == self.counts[name] for name in ("tiles_stored", "vectors_done", "weights_loaded"))
        self.quiet = self.quiet + 1 if done else 0
        if pins["finished"]:
            assert done and not any(pins[name] for name in PULSES[:4]), "finished too early"
            self.expect("finished", {"jobs": self.index})
            self.get_parent().scoreboard.actual("finished", {"jobs": self.index})
            self.running = self.ending = False
            self.outcome = "finished"
        assert self.quiet <= LATEST, f"not finished {self.quiet} cycles after all was done"
        if pins["error_illegal"]:
            self.running = False
            self.outcome = "error"
            self.get_parent().scoreboard.actual("error", {"index": pins["descriptor_index"]})

    def _count(self, pins: Mapping[str, int]) -> None:
        cover = self.get_parent().coverage
        for name, pulses in COUNTS.items():
            self.counts[name] += sum(pins[pulse] for pulse in pulses)
        for pulse in PULSES:
            if pins[pulse]:
                cover.sample(token=pulse)
        took = {"tile": pins["tile_stored"], "vector": pins["vector_done"]}
        took["seed"] = int((pins["seed_done"] or self.seeds_waiting > 0) and not pins["vector_done"])
        if pins["seed_done"] and pins["vector_done"]:
            cover.sample(together="vector and seed")
        self.seeds_waiting += pins["seed_done"] - took["seed"]
        last = {kind: self.marks[kind].popleft() if took[kind] and self.marks[kind] else (0, 0) for kind in took}
        for kind, (ends, _) in last.items():
            if ends:
                cover.sample(mark=kind)
        second = last["vector"] if took["vector"] else last["seed"]
        self.due = {"valid": last["tile"][0] | second[0] << 1, "layers": (last["tile"][1], second[1])}

    def _start(self, pins: Mapping[str, int]) -> None:
        """A program begins; of the one before nothing may be left."""
        board = self.get_parent().scoreboard
        left = [name for name in board.expected if board.expected[name] or board.pending[name]]
        assert not left, f"a program ended, and {', '.join(left)} did not come as expected"
        self.reset()
        self.programs += 1
        self.running, self.address, self.explain = True, pins["program_address"], pins["explain"]
        self.get_parent().coverage.sample(explain=self.explain)
        if self.address % 8:
            self._ends("misaligned")
            self.expect("error", {"index": 0}, "a program that is not aligned")
        else:
            self.expect("request", {"address": self.address, "words": 16}, "descriptor 0")

    def _ends(self, how: str) -> None:
        self.get_parent().coverage.sample(end=how, length=min(self.index, 3))

    def broken(self, words: Words) -> list[str]:
        """The rules that a descriptor breaks."""
        return problems(words, self.limits)

    def descriptor(self, item: dict[str, Any]) -> None:
        """A descriptor was read: it is refused, the end, or a job."""
        words = [half for word in item["data"] for half in (word & 0xFFFFFFFF, word >> 32)]
        self.reads += 1
        index, opcode, cover = self.index, words[0] & 15, self.get_parent().coverage
        where = f"descriptor {index}, {NAMES.get(opcode, 'no opcode')}"
        ends_forward = opcode == OPCODE_SEED and field(words, "forward_end") and not self.explain
        last = opcode == OPCODE_END or bool(ends_forward)
        broken = self.broken(words)
        for rule in broken:
            cover.sample(rule=(NAMES.get(opcode, ""), rule))
        cover.sample(opcode=NAMES.get(opcode))
        over = index == self.program_limit - 1 and not last
        left = last and self.sums_left
        if broken or over or left:
            self._ends("illegal" if broken else "too long" if over else "sums left")
            self.expect("error", {"index": index}, f"{where}: {', '.join(broken) or ('no end' if over else 'sums left')}")
            return
        if opcode != OPCODE_END:
            kind = KINDS[opcode - 1]
            self.expect(kind, {"descriptor": sum(word << 32 * place for place, word in enumerate(words)), "index": index}, where)
            if kind == "tile":
                self.sums_left = not stores(words)
                cover.sample(stores=int(stores(words)))
            self.pushed[COUNT_OF[kind]] += stores(words)
            if kind != "weights" and stores(words):  # weights have no layer
                self.marks[kind].append((field(words, "last_of_layer"), field(words, "layer")))
            self.index += 1
        if last:
            self.ending = True
            self._ends("forward end" if ends_forward else "END")
        else:
            self.expect("request", {"address": self.address + 128 * (index + 1) & 0xFFFFFFFF, "words": 16}, f"descriptor {index + 1}")


class Units(uvm_component):
    """The units behind the sequencer while it is active: they finish jobs at random, in order, or, with ``hold``, on ``release``."""

    def build_phase(self) -> None:
        self.hold = self.release = False
        self.busy = dict.fromkeys(KINDS, 0)
        self.set_stalls("none")

    def set_stalls(self, stalls: str) -> None:
        """How often they finish nothing."""
        self.stalls = {kind: stall_pattern(stalls, random.Random(random.getrandbits(32))) for kind in KINDS}

    async def run_phase(self) -> None:
        if is_active(self):
            await self.get_parent().pins.start(StreamSequence("units", self.pulses()))

    def pulses(self) -> Iterator[dict[str, int]]:
        """The inputs of each cycle."""
        while True:
            item = {"tile_computed": random.getrandbits(1)}
            for kind, pulse in FINISHED.items():
                now = self.release if self.hold else not next(self.stalls[kind]) and random.random() < 0.3
                if self.busy[kind] and now:
                    self.busy[kind] -= 1
                    item[pulse] = 1
            yield item


class SequencerEnvironment(UnitEnvironment):
    """Agents, predictor, coverage; while active a memory with the programs, and the units."""

    points: Mapping[str, Sequence[Any]] = {}

    def build_phase(self) -> None:
        super().build_phase()
        dut = self.dut
        rng = test_rng()
        self.memory = WordMemory(8 * int(rng.integers(1 << 20)), 1 << 17, rng)
        client = _ReadPort(dut)
        self.reader = ReadClientAgent("request", self, client, "read")
        self.reader.memory, self.reader.latency = self.memory, 3
        data = {"descriptor": dut.descriptor, "index": dut.descriptor_index}
        ends = {kind: [getattr(dut, f"job_{kind}_{end}") for end in ("valid", "ready")] for kind in KINDS}
        self.jobs = {kind: SinkAgent(kind, self, StreamPort(dut.clk, *ends[kind], data, rst=dut.rst)) for kind in KINDS}
        inputs, rest = ("start", "program_address", "explain", *PULSES), dict.fromkeys(("start", *PULSES), 0)
        quiet = ("program_address", "explain", *(name for name in OUTPUTS if name != "rst"))
        layers = dict(zip(MARK_LAYERS, VectorSlice.cut(dut.mark_layer, 2, 8), strict=True))  # each is known only with its mark
        ports = pins(dut, inputs, OUTPUTS, rst=None, rest=rest, unknown=(*inputs, *OUTPUTS, *MARK_LAYERS), quiet=quiet)
        ports.outputs = {**ports.outputs, **layers}
        self.pins = PinsAgent("pins", self, ports)
        self.units = Units("units", self)
        self.predictor = SequencerPredictor.create("predictor", self)
        self.coverage = Coverage("coverage", self, self.points)
        for stream in ("request", "error", "finished", "mark", *KINDS):
            self.scoreboard.add_stream(stream)

    def connect_phase(self) -> None:
        predictor = self.predictor
        self.reader.requests.connect(self.scoreboard.actual_export("request"))
        listen(self.reader.reads, predictor, lambda item: predictor.descriptor(item.fields))
        for kind, agent in self.jobs.items():
            self.check(kind, agent)
            listen(agent.monitor.analysis_port, self, self._job(kind))
        predictor.hear(self.pins, predictor.cycle)

    def _job(self, kind: str) -> Any:
        def seen(item: Any) -> None:
            descriptor = item.fields["descriptor"]
            self.units.busy[kind] += stores([descriptor >> 32 * place & 0xFFFFFFFF for place in range(32)])
            self.coverage.sample(job_waits=(kind, item.waited > 0))

        return seen

    def set_stalls(self, stalls: str) -> None:
        """Change the stall patterns of all ports and units."""
        self.reader.set_stalls(stalls, stalls)
        self.reader.client.latency = 3 if stalls == "none" else 20
        self.units.set_stalls(stalls)
        for agent in self.jobs.values():
            agent.set_stalls(stalls)

    def store(self, program: Sequence[Words]) -> int:
        """Put a program into memory; returns its address."""
        words = [words[place] | words[place + 1] << 32 for words in program for place in range(0, 32, 2)]
        return self.memory.allocate(np.array(words, dtype=np.uint64))


class _ReadPort:
    """The read client's ports, which have no prefix."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dut, name.removeprefix("read_"))


def _rules() -> list[tuple[str, str]]:
    """Every rule of every kind of descriptor that can be broken, but the checksum, which has a test of its own."""
    found = [("", "opcode")]
    for name, code in OPCODES.items():
        free = set()  # limits that are those of the field
        for one, (least, most, multiple) in DESCRIPTOR_LIMITS.get(name, {}).items():
            _, high, low = {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS[name]}[one]
            if least <= 0 and most >= (1 << (high - low + 1)) - 1 and multiple == 1:
                free.add(one)
        kept = (rule for rule in rules([code, *([0] * 31)], Limits()) if rule not in ("opcode", "checksum"))
        found += [(name, rule) for rule in kept if rule.partition(":")[0] not in free]
    return found


class RulesEnvironment(SequencerEnvironment):
    """For the test of the rules."""

    points = {"rule": _rules(), "opcode": list(OPCODES)}


class ProgramsEnvironment(SequencerEnvironment):
    """For the test of programs."""

    points = {
        "opcode": list(OPCODES),
        "explain": (0, 1),
        "end": ("END", "forward end", "illegal", "misaligned", "sums left"),
        "stores": (0, 1),
        "length": range(4),
        "job_waits": list(itertools.product(KINDS, (False, True))),
        "token": PULSES,
        "together": ("vector and seed",),
        "mark": ("tile", "vector", "seed"),
    }
