# SPDX-License-Identifier: Apache-2.0
"""Bench of output_buffer: all sources at once, both sides, reads as early as the contract allows; fairness and throughput."""

from __future__ import annotations

import random

import cocotb
import pyuvm
from cocotb.triggers import RisingEdge
from pyuvm import uvm_component, uvm_env, uvm_test

from tb.support.declaration import parameter
from tb.support.stalls import stall_pattern
from tb.support.streams import start_clock_and_reset
from tb.support.uvm import Coverage, Scoreboard

GROUPS = parameter("GROUPS")
SOURCES = 2 * GROUPS


class Sources(uvm_component):
    """Drives all sources through the flat vectors; each obeys its own stall pattern. Reports each transfer with its cycle."""

    def setup(self, stalls: str) -> None:
        self.dut = cocotb.top
        self.queues: list[list[dict[str, int]]] = [[] for _ in range(SOURCES)]
        self.current: list[dict[str, int] | None] = [None] * SOURCES
        self.since = [0] * SOURCES  # cycle since which the source is valid
        self.patterns = [stall_pattern(stalls) for _ in range(SOURCES)]
        self.longest_wait = 0
        self.cycle = 0
        self.transfers: list[dict[str, int]] = []  # of the cycle sampled last
        self.drive()

    def drive(self) -> None:
        """Put all sources' fields on the vectors; what is not valid carries random bits."""
        vectors = {"valid": (1, 0), "kind": (1, 0), "bank": (1, 0), "parity": (1, 0), "address": (9, 0), "data": (64, 0)}
        for name, (width, value) in vectors.items():
            for source, item in enumerate(self.current):
                bits = int(item is not None) if name == "valid" else item[name] if item else random.getrandbits(width)
                value |= bits << (width * source)
            getattr(self.dut, f"source_{name}").value = value

    def step(self) -> None:
        """After a rising edge: note transfers, choose what is valid next."""
        self.cycle += 1
        ready = int(self.dut.source_ready.value)
        self.transfers = []
        for source in range(SOURCES):
            if self.current[source] is not None and ready >> source & 1:
                self.transfers.append({"source": source, **self.current[source]})
                self.longest_wait = max(self.longest_wait, self.cycle - self.since[source])
                self.current[source] = None
            if self.current[source] is None and self.queues[source] and not next(self.patterns[source]):
                self.current[source] = self.queues[source].pop(0)
                self.since[source] = self.cycle
        self.drive()

    def finished(self) -> bool:
        """Nothing queued, nothing on a port."""
        return not any(self.queues) and all(item is None for item in self.current)


class Environment(uvm_env):
    """Sources, reader, scoreboard, coverage."""

    def build_phase(self) -> None:
        self.sources = Sources("sources", self)
        self.scoreboard = Scoreboard("scoreboard", self)
        points = {"source": range(SOURCES), "kind": (0, 1), "bank": (0, 1), "side": (0, 1), "age": (2, "more")}
        crosses = {"way": ("source", "kind", "side"), "read": ("kind", "bank", "side"), "early": ("kind", "side", "age")}
        self.coverage = Coverage("coverage", self, points=points, crosses=crosses)


class BufferTest(uvm_test):
    """Random writes of every kind; reads of places whose last transfer was sampled two cycles ago or earlier."""

    stalls = "random"
    items = 90

    def build_phase(self) -> None:
        self.environment = Environment("environment", self)

    def item(self, source: int) -> dict[str, int]:
        """A random transfer; few addresses, so that places are overwritten and read soon."""
        del source
        return {
            "kind": random.getrandbits(1),
            "bank": random.getrandbits(1),
            "parity": random.getrandbits(1),
            "address": random.choice((0, 511, random.randrange(512), random.randrange(4))),
            "data": random.getrandbits(64),
        }

    async def run_phase(self) -> None:
        self.raise_objection()
        dut, sources, scoreboard = cocotb.top, self.environment.sources, self.environment.scoreboard
        coverage = self.environment.coverage
        sources.setup(self.stalls)
        for prefix in ("word", "tag"):
            getattr(dut, f"{prefix}_read_enable").value = 0
            getattr(dut, f"{prefix}_read_address").value = 0
            scoreboard.add_stream(prefix)
        await start_clock_and_reset(dut)
        for source in range(SOURCES):
            sources.queues[source] = [self.item(source) for _ in range(self.items)]
        total = SOURCES * self.items
        memory: dict[tuple[int, int, int], tuple[int, int]] = {}  # (kind, side, {bank, address}) -> data, cycle of transfer
        reading: list[tuple[int, int, int]] = []  # what the coming edge reads
        read: list[tuple[int, int, int]] = []  # what the edge before read
        count = idle_after = busy_cycles = 0
        while idle_after < 60:
            await RisingEdge(dut.clk)
            # What the reads of the edge before gave is on the ports now.
            for kind, side, _ in read:
                width, name = ((64, "word"), (16, "tag"))[kind]
                data = int(getattr(dut, f"{name}_read_data").value[width * side + width - 1 : width * side])
                scoreboard.actual(name, {"side": side, "data": data})
            sources.step()
            sides = [item["parity"] for item in sources.transfers]
            assert len(sides) == len(set(sides)), "one transfer a cycle and side"
            for item in sources.transfers:
                place = (item["kind"], item["parity"], item["bank"] << 9 | item["address"])
                memory[place] = (item["data"] & (0xFFFF if item["kind"] else (1 << 64) - 1), sources.cycle)
                coverage.sample(source=item["source"], kind=item["kind"], side=item["parity"])
            count += len(sides)
            busy_cycles += bool(sides)
            read, reading = reading, self.choose_reads(memory, sources.cycle, idle_after > 50)
            idle_after += sources.finished()
        assert count == total, f"{count} transfers of {total}"
        for place, (data, _) in memory.items():  # nothing was written that should not have been
            await self.check_place(dut, scoreboard, place, data)
        self.at_end(sources, busy_cycles)
        self.drop_objection()

    def choose_reads(self, memory: dict, cycle: int, last: bool) -> list[tuple[int, int, int]]:
        """Drive the read ports for the next edge (no reads when ``last``) and expect what the model holds."""
        dut, reading = cocotb.top, []
        for kind, (name, _) in enumerate((("word", 64), ("tag", 16))):
            enable = address = 0
            for side in range(2):
                # The next edge is cycle + 1; a transfer sampled at the edge `cycle` is being written then.
                known = [place for place, (_, when) in memory.items() if place[:2] == (kind, side) and when < cycle]
                newest = [place for place in known if memory[place][1] == cycle - 1]
                if not known or last or random.random() < 0.1:
                    address |= random.getrandbits(10) << (10 * side)
                    continue
                place = newest[0] if newest and random.random() < 0.7 else random.choice(known)
                enable |= 1 << side
                address |= place[2] << (10 * side)
                data, when = memory[place]
                self.environment.scoreboard.expect(name, {"side": side, "data": data})
                age = cycle + 1 - when
                self.environment.coverage.sample(kind=kind, bank=place[2] >> 9, side=side, age=age if age < 3 else "more")
                reading.append(place)
            getattr(dut, f"{name}_read_enable").value = enable
            getattr(dut, f"{name}_read_address").value = address
        return reading

    async def check_place(self, dut, scoreboard: Scoreboard, place: tuple[int, int, int], data: int) -> None:
        """Read one place after everything has been written."""
        kind, side, address = place
        width, name = ((64, "word"), (16, "tag"))[kind]
        for prefix in ("word", "tag"):
            getattr(dut, f"{prefix}_read_enable").value = (1 << side) if prefix == name else 0
        getattr(dut, f"{name}_read_address").value = address << (10 * side)
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        scoreboard.expect(name, {"side": side, "data": data})
        value = int(getattr(dut, f"{name}_read_data").value[width * side + width - 1 : width * side])
        scoreboard.actual(name, {"side": side, "data": value})

    def at_end(self, sources: Sources, busy_cycles: int) -> None:
        """Fairness holds whatever the traffic: nobody waits longer than one turn of all sources and the first cycle."""
        assert sources.longest_wait <= SOURCES + 1, f"a source waited {sources.longest_wait} cycles"


@pyuvm.test(timeout_time=200, timeout_unit="us")
class RandomTraffic(BufferTest):
    """Sources that pause at random."""


@pyuvm.test(timeout_time=200, timeout_unit="us")
class SparseTraffic(BufferTest):
    """Sources that are idle three cycles in four."""

    stalls = "three_of_four"


@pyuvm.test(timeout_time=200, timeout_unit="us")
class FullLoad(BufferTest):
    """Sources without a pause, each of one parity for all its items: each side transfers in every cycle."""

    stalls = "none"

    def item(self, source: int) -> dict[str, int]:
        # All of one source go to one side, half of the sources to each; the other way round in the second half.
        self.made = getattr(self, "made", 0) + 1
        second = (self.made - 1) % self.items >= self.items // 2
        return {**super().item(source), "parity": (source + second) % 2}

    def at_end(self, sources: Sources, busy_cycles: int) -> None:
        super().at_end(sources, busy_cycles)
        least = SOURCES * self.items // 2
        assert busy_cycles <= least + 8, f"{busy_cycles} busy cycles for {least} transfers a side"
