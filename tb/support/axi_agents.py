# SPDX-License-Identifier: Apache-2.0
"""Agents of AXI: the register port (AXI4-Lite) and the memory behind a master's port; each drives only while it is active."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_driver, uvm_monitor, uvm_sequence, uvm_sequence_item, uvm_sequencer

from tb.support.axi_slave import Held, ReadSlave, WriteSlave, check_burst
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import Item, StreamMonitor, each_cycle
from tb.support.uvm import CheckFailure, StreamItem

BURST = ("addr", "len", "size", "burst")
BEAT = ("data", "strb", "last", "valid", "ready")


class AxiLiteItem(uvm_sequence_item):
    """One access of 32 bits. ``data`` None: a read; then ``result`` is what came back. ``response``: OKAY 0, SLVERR 2.

    ``waited``: cycles in which the answer stood and was not taken.
    """

    def __init__(self, name: str = "access", address: int = 0, data: int | None = None, strobe: int = 15) -> None:
        super().__init__(name)
        self.address, self.data, self.strobe = address, data, strobe
        self.result: int | None = None
        self.response: int | None = None
        self.waited = 0


class AxiLiteDriver(uvm_driver):
    """Performs accesses one by one, with cocotbext-axi; ``strobe`` must be one run of ones.

    ``stalls``: on all five channels; "any": a pattern of its own for each, drawn at random.
    """

    dut: Any
    prefix: str
    stalls = "none"

    def start_of_simulation_phase(self) -> None:
        self.master = master = AxiLiteMaster(AxiLiteBus.from_prefix(self.dut, self.prefix), self.dut.clk, self.dut.rst)
        write, read = master.write_if, master.read_if
        write.log.setLevel("WARNING")
        read.log.setLevel("WARNING")
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            stalls = random.choice(STALLS) if self.stalls == "any" else self.stalls
            if stalls != "none":
                channel.set_pause_generator(stall_pattern(stalls, random.Random(random.getrandbits(32))))

    async def run_phase(self) -> None:
        while True:
            item = await self.seq_item_port.get_next_item()
            if item.data is None:
                answer = await self.master.read(item.address, 4)
                item.result = int.from_bytes(answer.data, "little")
            else:
                first = (item.strobe & -item.strobe).bit_length() - 1
                answer = await self.master.write(
                    item.address + first, (item.data >> 8 * first).to_bytes(8, "little")[: item.strobe.bit_count()]
                )
            item.response = int(answer.resp)
            self.seq_item_port.item_done()


class AxiLiteMonitor(uvm_monitor):
    """Publishes each access when it is answered, as an AxiLiteItem: reads in their order, writes in theirs."""

    dut: Any
    prefix: str

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self._queues: dict[str, deque[Item]] = {name: deque() for name in ("aw", "w", "ar")}
        self.channels: dict[str, StreamMonitor] = {}

    def start_of_simulation_phase(self) -> None:
        fields = {"aw": ("awaddr",), "w": ("wdata", "wstrb"), "b": ("bresp",), "ar": ("araddr",), "r": ("rdata", "rresp")}
        dut, prefix = self.dut, self.prefix
        for channel, names in fields.items():
            valid, ready = (getattr(dut, f"{prefix}_{channel}{end}") for end in ("valid", "ready"))
            data = {name: getattr(dut, f"{prefix}_{name}") for name in names}
            heard = {"b": self._written, "r": self._read}.get(channel) or self._queues[channel].append
            self.channels[channel] = StreamMonitor(dut.clk, valid, ready, data, rst=dut.rst, callback=heard)

    def _written(self, answer: Item) -> None:
        address, data = self._queues["aw"].popleft()["awaddr"], self._queues["w"].popleft()
        item = AxiLiteItem("write", address, data["wdata"], data["wstrb"])
        item.response, item.waited = answer["bresp"], self.channels["b"].waited
        self.analysis_port.write(item)

    def _read(self, answer: Item) -> None:
        item = AxiLiteItem("read", self._queues["ar"].popleft()["araddr"])
        item.result, item.response, item.waited = answer["rdata"], answer["rresp"], self.channels["r"].waited
        self.analysis_port.write(item)


class AxiLiteAgent(uvm_agent):
    """A register port ``<prefix>_*`` of ``dut``: ``monitor``, and while active ``sequencer`` and ``driver``."""

    def __init__(self, name: str, parent: uvm_component, dut: Any, prefix: str = "s_axil") -> None:
        self.dut, self.prefix = dut, prefix
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.monitor = AxiLiteMonitor("monitor", self)
        parts: list[Any] = [self.monitor]
        if self.active():
            self.sequencer = uvm_sequencer("sequencer", self)
            self.driver = AxiLiteDriver("driver", self)
            parts.append(self.driver)
        for part in parts:
            part.dut, part.prefix = self.dut, self.prefix

    def connect_phase(self) -> None:
        if self.active():
            self.driver.seq_item_port.connect(self.sequencer.seq_item_export)

    async def start(self, sequence: uvm_sequence) -> None:
        """Run a sequence until its last access is answered."""
        await sequence.start(self.sequencer)

    async def access(self, address: int, data: int | None = None, strobe: int = 15) -> AxiLiteItem:
        """One access through the sequencer; the item that comes back holds the answer."""
        one = _OneAccess(AxiLiteItem("access", address, data, strobe))
        await one.start(self.sequencer)
        return one.item


class _OneAccess(uvm_sequence):
    def __init__(self, item: AxiLiteItem) -> None:
        super().__init__("one")
        self.item = item

    async def body(self) -> None:
        await self.start_item(self.item)
        await self.finish_item(self.item)


class _AxiMemoryAgent(uvm_agent):
    """Base: the channels of a master's port ``<prefix>_*`` of ``dut``, watched at each rising edge out of reset, and answered while active.

    ``offers`` publishes each burst (address, beats, size, kind) in the first cycle in which it is offered, ``bursts`` when it is accepted;
    ``answer_offers`` the memory's answer (a word, or the response to a write) when it is offered first. Of what is accepted, ``waited``
    and ``gap`` say how it came.
    """

    pins: tuple[str, ...]

    def __init__(self, name: str, parent: uvm_component, dut: Any, prefix: str = "m_axi") -> None:
        self.dut, self.prefix = dut, prefix
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.offers = uvm_analysis_port("offers", self)
        self.bursts = uvm_analysis_port("bursts", self)
        self.answer_offers = uvm_analysis_port("answer_offers", self)
        self.beats = uvm_analysis_port("beats", self)
        self.cycle = 0
        self._held = Held("address")
        self._handles = {name: getattr(self.dut, f"{self.prefix}_{name}") for name in self.pins}
        self._shown: dict[str, int] = {}
        self._flows: dict[str, list[int]] = {}  # of each channel: cycles for which what is offered has waited, and without an offer before

    async def run_phase(self) -> None:
        each_cycle(self.dut.clk, self._edge)

    def _edge(self) -> None:
        """A rising edge of the clock."""
        self.cycle += 1
        if not int(self.dut.rst.value):
            try:
                self._step()
            except CheckFailure:  # of who hears it
                raise
            except AssertionError as error:
                raise CheckFailure(self, str(error)) from error

    def _step(self) -> None:
        """One cycle."""
        raise NotImplementedError

    def _number(self, name: str) -> int:
        value = self._handles[name].value
        try:
            return int(value)
        except ValueError as error:
            raise AssertionError(f"{self.prefix}_{name} is {value} while not in reset") from error

    def _move(self, channel: str, fields: Callable[[], Item], accepted: uvm_analysis_port, offers: uvm_analysis_port | None = None) -> Item:
        """One cycle of a channel: publishes what is accepted, with ``waited`` and ``gap``. Returns what is offered, {} for nothing."""
        flow = self._flows.setdefault(channel, [0, 1])
        if not self._number(f"{channel}valid"):
            flow[1] += 1
            return {}
        item = StreamItem(**fields())
        if offers and not flow[0]:
            offers.write(item)
        if self._number(f"{channel}ready"):
            item.waited, item.gap = flow
            flow[:] = 0, 0
            accepted.write(item)
        else:
            flow[0] += 1
        return item.fields

    def _move_burst(self, channel: str) -> tuple[int, int, int, int] | None:
        """An address channel: (address, length, size, kind) while valid; checked where no slave does that."""

        def fields() -> Item:
            values = [self._number(f"{channel}{name}") for name in BURST]
            return {"address": values[0], "beats": values[1] + 1, "size": values[2], "kind": values[3]}

        item = self._move(channel, fields, self.bursts, self.offers)
        address = (item["address"], item["beats"] - 1, item["size"], item["kind"]) if item else None
        if not self.active():  # while active the slave checks
            self._held.check(address, bool(self._number(f"{channel}ready")))
            if address is not None:
                check_burst(*address)
        return address

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            if self._shown.get(name) != value:
                self._shown[name] = self._handles[name].value = value


class AxiReadAgent(_AxiMemoryAgent):
    """The memory behind AR and R. ``beats`` publishes each word (data, response, last).

    While active it answers as ``slave`` says: set it before the simulation starts.
    """

    slave: ReadSlave
    pins = (*(f"ar{name}" for name in (*BURST, "valid", "ready")), "rdata", "rresp", "rlast", "rvalid", "rready")

    def start_of_simulation_phase(self) -> None:
        if self.active():
            self._set(arready=0, rvalid=0, rdata=0, rresp=0, rlast=0)

    def _beat(self) -> Item:
        return {"data": self._number("rdata"), "response": self._number("rresp"), "last": self._number("rlast")}

    def _step(self) -> None:
        address = self._move_burst("ar")
        self._move("r", self._beat, self.beats, self.answer_offers)
        if self.active():
            assert self._number("rready"), "rready must always be 1"
            before = self.slave.beat
            ready, beat = self.slave.step(address)
            self._set(arready=int(ready), rvalid=int(beat is not None))
            if beat or before:
                data, response, last = beat or (random.getrandbits(64), random.getrandbits(2), random.getrandbits(1))
                self._set(rdata=data, rresp=response, rlast=last)


class AxiWriteAgent(_AxiMemoryAgent):
    """The memory behind AW, W and B. ``beats``: words (data, strobe, last; bytes without strobe as 0); ``responses``: answers (response).

    While active it answers as ``slave`` says: set it before the simulation starts.
    """

    slave: WriteSlave
    pins = (*(f"aw{name}" for name in (*BURST, "valid", "ready")), *(f"w{name}" for name in BEAT), "bresp", "bvalid", "bready")

    def build_phase(self) -> None:
        super().build_phase()
        self.responses = uvm_analysis_port("responses", self)
        self._held_data = Held("write data")

    def start_of_simulation_phase(self) -> None:
        if self.active():
            self._set(awready=0, wready=0, bvalid=0, bresp=0)

    def _beat(self) -> Item:
        strobe, value = self._number("wstrb"), self._handles["wdata"].value
        try:
            data = int(value)
        except ValueError:  # bytes without strobe may be unknown
            data = sum(value[8 * lane + 7 : 8 * lane].to_unsigned() << 8 * lane for lane in range(8) if strobe >> lane & 1)
        keep = sum(0xFF << 8 * lane for lane in range(8) if strobe >> lane & 1)
        return {"data": data & keep, "strobe": strobe, "last": self._number("wlast")}

    def _answer(self) -> Item:
        return {"response": self._number("bresp")}

    def _step(self) -> None:
        address = self._move_burst("aw")
        data = tuple(self._move("w", self._beat, self.beats).values()) or None
        self._move("b", self._answer, self.responses, self.answer_offers)
        if not self.active():
            self._held_data.check(data, bool(self._number("wready")))
            return
        assert self._number("bready"), "bready must always be 1"
        before = self.slave.response
        address_ready, data_ready, response = self.slave.step(address, data)
        self._set(awready=int(address_ready), wready=int(data_ready), bvalid=int(response is not None))
        if response is not None or before is not None:
            self._set(bresp=random.getrandbits(2) if response is None else response)
