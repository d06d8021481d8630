# SPDX-License-Identifier: Apache-2.0
"""Bench of output_buffer: all sources at once, both sides, reads as early as the contract allows; fairness and throughput."""

from __future__ import annotations

import random
from collections.abc import Iterable

import cocotb
import pyuvm
from cocotb.simtime import get_sim_time

from tb.support.agents import BundleAgent, PinsAgent, bundle_ports, pins
from tb.support.base import PERIOD, FlowCoverage, ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.declaration import parameter
from tb.support.uvm import Coverage, SourceAgent, StreamItem, listen
from tb.support.vectors import VectorSlice

SOURCES = 2 * parameter("GROUPS")
WIDTHS = {"kind": 1, "bank": 1, "parity": 1, "address": 9, "data": 64}
KINDS = {"word": 64, "tag": 16}  # bits of a read
SIDES = (0, 1)
READS = [f"{kind}_read_{name}" for kind in KINDS for name in ("enable", "address")]
DATA = [f"{kind}{side}" for kind in KINDS for side in SIDES]  # what a read gives

Place = tuple[str, int, int]  # kind, side, {bank, address}


def now() -> int:
    """Number of this clock cycle."""
    return round(get_sim_time("ns")) // PERIOD


class BufferPredictor(Predictor):
    """What each place holds: a transfer of cycle t can be read with an enable in cycle t + 2 or later."""

    def build_phase(self) -> None:
        self.memory: dict[Place, list[tuple[int, int]]] = {}  # cycle of the transfer, data; the last two
        self.reading: list[tuple[Place, int, int]] = []  # place, data that must come, cycles since its transfer
        self.served: dict[int, list[int]] = {}  # cycle -> sides that took a transfer in it
        self.transfers = self.longest_wait = 0

    def transfer(self, source: int, item: StreamItem) -> None:
        """A source's item is accepted."""
        fields, cycle = item.fields, now()
        kind = list(KINDS)[fields["kind"]]
        place = (kind, self.side(fields), fields["bank"] << 9 | fields["address"])
        data = fields["data"] & (1 << KINDS[kind]) - 1
        self.memory[place] = [*self.memory.get(place, [])[-1:], (cycle, data)]
        sides = self.served.setdefault(cycle, [])
        assert fields["parity"] not in sides, f"two transfers in one cycle of side {fields['parity']}"
        sides.append(fields["parity"])
        self.transfers += 1
        self.longest_wait = max(self.longest_wait, item.waited)
        self.get_parent().coverage.sample(source=source, kind=kind, side=fields["parity"])

    def side(self, fields: dict[str, int]) -> int:
        """Where an item goes."""
        return fields["parity"]

    def cycle(self, pins: dict[str, int]) -> None:
        """What the reads of the cycle before gave is on the ports now; note those of this cycle."""
        for (kind, side, address), data, age in self.reading:
            self.expect(kind, {"side": side, "data": data}, where=f"side {side}, bank {address >> 9}, address {address & 511}")
            self.get_parent().scoreboard.actual(kind, {"side": side, "data": pins[f"{kind}{side}"]})
            self.get_parent().coverage.sample(kind=kind, bank=address >> 9, side=side, age=age if age < 3 else "more")
        self.reading = []
        for kind in KINDS:
            for side in SIDES:
                place = (kind, side, pins[f"{kind}_read_address"] >> 10 * side & 1023)
                known = [entry for entry in self.memory.get(place, []) if entry[0] <= now() - 2]
                if pins[f"{kind}_read_enable"] >> side & 1 and known:
                    self.reading.append((place, known[-1][1], now() - known[-1][0]))

    def readable(self, kind: str, side: int) -> tuple[list[Place], list[Place]]:
        """Places that may be read in the next cycle, and those of them that may be for the first time. Nobody writes them now."""
        every = {place: entries[-1][0] for place, entries in self.memory.items() if place[:2] == (kind, side)}
        return [place for place, when in every.items() if when < now()], [place for place, when in every.items() if when == now() - 1]


class Environment(UnitEnvironment):
    """Sources, read ports, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        for kind in KINDS:
            self.scoreboard.add_stream(kind)
        self.sources = BundleAgent("sources", self, bundle_ports(self.dut, "source", SOURCES, WIDTHS), SourceAgent)
        rest = {name: 0 for name in READS if name.endswith("enable")}
        ports = pins(self.dut, READS, rest=rest, unknown=DATA)
        halves = [half for kind, bits in KINDS.items() for half in VectorSlice.cut(getattr(self.dut, f"{kind}_read_data"), 2, bits)]
        ports.outputs = dict(zip(DATA, halves, strict=True))  # each side is X until it has read
        self.reads = PinsAgent("reads", self, ports)
        self.predictor = BufferPredictor.create("predictor", self)
        points = {"source": range(SOURCES), "kind": list(KINDS), "bank": (0, 1), "side": SIDES, "age": (2, "more")}
        crosses = {"way": ("source", "kind", "side"), "read": ("kind", "bank", "side"), "early": ("kind", "side", "age")}
        self.coverage = Coverage("coverage", self, points, crosses)
        self.flow = FlowCoverage("flow", self, {f"source{index}": agent for index, agent in enumerate(self.sources.agents)})

    def connect_phase(self) -> None:
        for index, agent in enumerate(self.sources.agents):
            listen(agent.monitor.analysis_port, self, lambda item, index=index: self.predictor.transfer(index, item))
        self.predictor.hear(self.reads, self.predictor.cycle)

    def check_phase(self) -> None:
        waited = self.predictor.longest_wait
        assert waited <= SOURCES, f"a source waited {waited} cycles: that is more than one turn of all"


class Transfers(ItemSequence):
    """Random transfers of one source; few addresses, so that places are overwritten and read soon."""

    count = 90
    source = 0

    def items(self) -> Iterable[dict[str, int]]:
        for number in range(self.count):
            yield {
                "kind": random.getrandbits(1),
                "bank": random.getrandbits(1),
                "parity": self.parity(number),
                "address": random.choice((0, 511, random.randrange(512), random.randrange(4))),
                "data": random.choice((0, (1 << 64) - 1, random.getrandbits(64), random.getrandbits(64))),
            }

    def parity(self, number: int) -> int:
        """The side that an item goes to."""
        del number
        return random.getrandbits(1)


class BalancedTransfers(Transfers):
    """All of one source go to one side, half of the sources to each; the other way round in the second half."""

    def parity(self, number: int) -> int:
        return (self.source + (number >= self.count // 2)) % 2


class Reads(ItemSequence):
    """A read of each kind and side in most cycles, of places that may just be read for the first time, if there are any; until stopped."""

    predictor: BufferPredictor
    running = True

    def items(self) -> Iterable[dict[str, int]]:
        while self.running:
            fields = dict.fromkeys(READS, 0)
            for kind in KINDS:
                for side in SIDES:
                    places, newest = self.predictor.readable(kind, side)
                    if places and random.random() < 0.9:
                        place = random.choice(newest if newest and random.random() < 0.7 else places)
                        fields[f"{kind}_read_enable"] |= 1 << side
                        fields[f"{kind}_read_address"] |= place[2] << 10 * side
                    else:
                        fields[f"{kind}_read_address"] |= random.getrandbits(10) << 10 * side
            yield fields


class BufferTest(UnitTest):
    """Base: all sources send, the read ports read; then every place is read once: nothing was written that should not have been."""

    environment_type = Environment
    watchdog = 30_000
    stalls: tuple[str, ...] = ("random",)

    async def main(self) -> None:
        for stalls in self.stalls:
            await self.traffic(stalls)

    async def traffic(self, stalls: str) -> None:
        """All sources, with pauses after the pattern."""
        environment, predictor = self.environment, self.environment.predictor
        before = predictor.transfers
        reads = Reads.create("reads")
        reads.predictor = predictor
        reading = cocotb.start_soon(environment.reads.start(reads))
        tasks = []
        for index, agent in enumerate(environment.sources.agents):
            agent.set_stalls(stalls)
            sequence = Transfers.create(f"transfers{index}")
            sequence.source = index
            tasks.append(cocotb.start_soon(agent.start(sequence)))
        for task in tasks:
            await task
        await self.cycles(20)
        reads.running = False
        await reading
        for kind, side, address in list(predictor.memory):
            fields = dict.fromkeys(READS, 0) | {f"{kind}_read_enable": 1 << side, f"{kind}_read_address": address << 10 * side}
            await environment.reads.start(OneRead(fields))
        transfers = predictor.transfers - before
        assert transfers == SOURCES * Transfers.count, f"{transfers} transfers"


class OneRead(ItemSequence):
    """A read of given pins."""

    def __init__(self, fields: dict[str, int]) -> None:
        super().__init__("read")
        self.fields = fields

    def items(self) -> Iterable[dict[str, int]]:
        return (self.fields,)


@pyuvm.test()
class RandomTraffic(BufferTest):
    """Sources that pause at random, then sources that are idle three cycles in four."""

    stalls = ("random", "three_of_four")


@pyuvm.test()
class FullLoad(BufferTest):
    """Sources without a pause, each of one parity for all its items: each side transfers in every cycle."""

    covers = False
    stalls = ("none",)
    overrides = {Transfers: BalancedTransfers}

    async def main(self) -> None:
        await super().main()
        busy, least = len(self.environment.predictor.served), SOURCES * Transfers.count // 2
        assert busy <= least + 8, f"{busy} busy cycles for {least} transfers a side"


class OtherSide(BufferPredictor):
    """A wrong model: both sides changed over."""

    def side(self, fields: dict[str, int]) -> int:
        return 1 - fields["parity"]


class LeftSide(Transfers):
    """Nothing for one of the sides."""

    count = 20

    def parity(self, number: int) -> int:
        return 0


@must_fail("environment.scoreboard", r"(word|tag) item \d+: expected")
class WrongSide(BufferTest):
    """A transfer on the other side must be noticed."""

    overrides = {BufferPredictor: OtherSide}


@must_fail("environment.coverage", "coverage holes: .*side=1")
class SideLeftOut(BufferTest):
    """Coverage must see that a side got nothing."""

    overrides = {Transfers: LeftSide}

    async def main(self) -> None:
        for agent in self.environment.sources.agents:
            await self.send(agent, Transfers)
        reads = Reads.create("reads")
        reads.predictor = self.environment.predictor
        cocotb.start_soon(self.environment.reads.start(reads))
        await self.cycles(60)
        reads.running = False
