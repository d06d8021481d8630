# SPDX-License-Identifier: Apache-2.0
"""Agents of AXI: the register port (AXI4-Lite) and the memory behind a master's port; each drives only while it is active."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_driver, uvm_monitor, uvm_sequence, uvm_sequence_item, uvm_sequencer

from tb.support.axi_slave import Held, ReadSlave, WriteSlave, check_burst
from tb.support.stalls import stall_pattern
from tb.support.streams import Item, StreamMonitor
from tb.support.uvm import StreamItem, is_active

BURST = ("addr", "len", "size", "burst")


class AxiLiteItem(uvm_sequence_item):
    """One access of 32 bits. ``data`` None: a read; then ``result`` is what came back. ``response``: OKAY 0, SLVERR 2."""

    def __init__(self, name: str = "access", address: int = 0, data: int | None = None, strobe: int = 15) -> None:
        super().__init__(name)
        self.address, self.data, self.strobe = address, data, strobe
        self.result: int | None = None
        self.response: int | None = None


class AxiLiteDriver(uvm_driver):
    """Performs accesses one by one, with cocotbext-axi; ``strobe`` must be one run of ones. ``stalls``: on all five channels."""

    dut: Any
    prefix: str
    stalls = "none"

    def start_of_simulation_phase(self) -> None:
        self.master = master = AxiLiteMaster(AxiLiteBus.from_prefix(self.dut, self.prefix), self.dut.clk, self.dut.rst)
        write, read = master.write_if, master.read_if
        write.log.setLevel("WARNING")
        read.log.setLevel("WARNING")
        if self.stalls != "none":
            for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
                channel.set_pause_generator(stall_pattern(self.stalls, random.Random(random.getrandbits(32))))

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

    def start_of_simulation_phase(self) -> None:
        fields = {"aw": ("awaddr",), "w": ("wdata", "wstrb"), "b": ("bresp",), "ar": ("araddr",), "r": ("rdata", "rresp")}
        dut, prefix = self.dut, self.prefix
        for channel, names in fields.items():
            valid, ready = (getattr(dut, f"{prefix}_{channel}{end}") for end in ("valid", "ready"))
            data = {name: getattr(dut, f"{prefix}_{name}") for name in names}
            heard = {"b": self._written, "r": self._read}.get(channel) or self._queues[channel].append
            StreamMonitor(dut.clk, valid, ready, data, rst=dut.rst, callback=heard)

    def _written(self, answer: Item) -> None:
        address, data = self._queues["aw"].popleft()["awaddr"], self._queues["w"].popleft()
        item = AxiLiteItem("write", address, data["wdata"], data["wstrb"])
        item.response = answer["bresp"]
        self.analysis_port.write(item)

    def _read(self, answer: Item) -> None:
        item = AxiLiteItem("read", self._queues["ar"].popleft()["araddr"])
        item.result, item.response = answer["rdata"], answer["rresp"]
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
    """Base: calls ``_sample`` at each rising edge out of reset, and while active ``_drive`` after it."""

    def __init__(self, name: str, parent: uvm_component, dut: Any, prefix: str = "m_axi") -> None:
        self.dut, self.prefix = dut, prefix
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.bursts = uvm_analysis_port("bursts", self)
        self.beats = uvm_analysis_port("beats", self)

    def _pin(self, name: str) -> Any:
        return getattr(self.dut, f"{self.prefix}_{name}")

    def _number(self, name: str) -> int:
        return int(self._pin(name).value)

    def _burst(self, channel: str) -> tuple[int, int, int, int] | None:
        """(address, length, size, burst) while the address channel is valid."""
        if not self._number(f"{channel}valid"):
            return None
        return tuple(self._number(f"{channel}{field}") for field in BURST)  # type: ignore[return-value]

    def _see_burst(self, channel: str, held: Held) -> tuple[int, int, int, int] | None:
        """Check and publish what stands on the address channel, for an agent that does not answer itself."""
        address, ready = self._burst(channel), bool(self._number(f"{channel}ready"))
        if address is not None and ready:
            self.bursts.write(StreamItem(address=address[0], beats=address[1] + 1))
        if not is_active(self):  # while active the slave checks
            held.check(address, ready)
            if address is not None:
                check_burst(*address)
        return address

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            self._pin(name).value = value


class AxiReadAgent(_AxiMemoryAgent):
    """The memory behind AR and R. ``bursts`` publishes each accepted burst (address, beats); ``beats`` each word (data, response, last).

    While active it answers as ``slave`` says: set it before the simulation starts.
    """

    slave: ReadSlave

    def start_of_simulation_phase(self) -> None:
        if self.active():
            self._set(arready=0, rvalid=0, rdata=0, rresp=0, rlast=0)

    async def run_phase(self) -> None:
        held = Held("read address")
        while True:
            await RisingEdge(self.dut.clk)
            if int(self.dut.rst.value):
                continue
            address = self._see_burst("ar", held)
            if self._number("rvalid") and self._number("rready"):
                fields = {"data": self._number("rdata"), "response": self._number("rresp"), "last": self._number("rlast")}
                self.beats.write(StreamItem(**fields))
            if self.active():
                assert self._number("rready"), "rready must always be 1"
                ready, beat = self.slave.step(address)
                data, response, last = beat or (random.getrandbits(64), random.getrandbits(2), random.getrandbits(1))
                self._set(arready=int(ready), rvalid=int(beat is not None), rdata=data, rresp=response, rlast=last)


class AxiWriteAgent(_AxiMemoryAgent):
    """The memory behind AW, W and B. ``bursts``: accepted bursts; ``beats``: words (data, strobe, last); ``responses``: answers.

    While active it answers as ``slave`` says: set it before the simulation starts.
    """

    slave: WriteSlave

    def build_phase(self) -> None:
        super().build_phase()
        self.responses = uvm_analysis_port("responses", self)

    def start_of_simulation_phase(self) -> None:
        if self.active():
            self._set(awready=0, wready=0, bvalid=0, bresp=0)

    async def run_phase(self) -> None:
        held, held_data = Held("write address"), Held("write data")
        while True:
            await RisingEdge(self.dut.clk)
            if int(self.dut.rst.value):
                continue
            address = self._see_burst("aw", held)
            valid, ready = self._number("wvalid"), bool(self._number("wready"))
            data = tuple(self._number(name) for name in ("wdata", "wstrb", "wlast")) if valid else None
            if data is not None and ready:
                self.beats.write(StreamItem(**dict(zip(("data", "strobe", "last"), data, strict=True))))
            if self._number("bvalid") and self._number("bready"):
                self.responses.write(StreamItem(response=self._number("bresp")))
            if self.active():
                assert self._number("bready"), "bready must always be 1"
                address_ready, data_ready, response = self.slave.step(address, data)
                answer = random.getrandbits(2) if response is None else response
                self._set(awready=int(address_ready), wready=int(data_ready), bvalid=int(response is not None), bresp=answer)
            else:
                held_data.check(data, ready)
