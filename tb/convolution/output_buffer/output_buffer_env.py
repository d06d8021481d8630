# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of output_buffer.v: sources, read ports, a predictor that knows what each place holds and since when, coverage."""

from __future__ import annotations

from cocotb.simtime import get_sim_time

from tb.support.agents import BundleAgent, PinsAgent, bundle_ports, pins
from tb.support.base import PERIOD, FlowCoverage, Predictor, UnitEnvironment
from tb.support.uvm import CheckFailure, Coverage, SeenItem, SourceAgent, listen
from tb.support.vectors import VectorSlice

WIDTHS = {"kind": 1, "bank": 1, "parity": 1, "address": 9, "data": 64}
KINDS = {"word": 64, "tag": 16}  # bits of a read
SIDES = (0, 1)
READS = [f"{kind}_read_{name}" for kind in KINDS for name in ("enable", "address")]
DATA = [f"{kind}{side}" for kind in KINDS for side in SIDES]  # what a read gives
ADDRESSES = [f"{kind}_address{side}" for kind in KINDS for side in SIDES]

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

    def transfer(self, source: int, item: SeenItem) -> None:
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
                if not pins[f"{kind}_read_enable"] >> side & 1:
                    continue
                place = (kind, side, pins[f"{kind}_address{side}"])
                known = [entry for entry in self.memory.get(place, []) if entry[0] <= now() - 2]
                if known:
                    self.reading.append((place, known[-1][1], now() - known[-1][0]))

    def readable(self, kind: str, side: int) -> tuple[list[Place], list[Place]]:
        """Places that may be read in the next cycle, and those of them that may be for the first time. Nobody writes them now."""
        every = {place: entries[-1][0] for place, entries in self.memory.items() if place[:2] == (kind, side)}
        return [place for place, when in every.items() if when < now()], [place for place, when in every.items() if when == now() - 1]


class BufferEnvironment(UnitEnvironment):
    """Sources, read ports, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.count = 2 * self.parameter("GROUPS")  # sources
        for kind in KINDS:
            self.scoreboard.add_stream(kind)
        self.sources = BundleAgent("sources", self, bundle_ports(self.dut, "source", self.count, WIDTHS), SourceAgent)
        rest = {name: 0 for name in READS if name.endswith("enable")}
        ports = pins(self.dut, READS, rest=rest, unknown=(*DATA, *ADDRESSES, *(f"{kind}_read_address" for kind in KINDS)))
        halves: list[VectorSlice] = []  # each is X until its side has read
        for end, widths in (("data", KINDS), ("address", dict.fromkeys(KINDS, 10))):
            halves += [
                half for kind, width in widths.items() for half in VectorSlice.cut(getattr(self.dut, f"{kind}_read_{end}"), 2, width)
            ]
        ports.outputs = dict(zip((*DATA, *ADDRESSES), halves, strict=True))
        self.reads = PinsAgent("reads", self, ports)
        self.predictor = BufferPredictor.create("predictor", self)
        points = {"source": range(self.count), "kind": list(KINDS), "bank": (0, 1), "side": SIDES, "age": (2, "more")}
        crosses = {"way": ("source", "kind", "side"), "read": ("kind", "bank", "side"), "early": ("kind", "side", "age")}
        self.coverage = Coverage("coverage", self, points, crosses)
        self.flow = FlowCoverage("flow", self, {f"source{index}": agent for index, agent in enumerate(self.sources.agents)})

    def connect_phase(self) -> None:
        for index, agent in enumerate(self.sources.agents):
            listen(agent.monitor.analysis_port, self.predictor, lambda item, index=index: self.predictor.transfer(index, item))
        self.predictor.hear(self.reads, self.predictor.cycle)

    def check_phase(self) -> None:
        waited = self.predictor.longest_wait
        if waited > self.count:
            raise CheckFailure(self, f"a source waited {waited} cycles: that is more than one turn of all")
