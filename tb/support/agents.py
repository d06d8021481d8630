# SPDX-License-Identifier: Apache-2.0
"""Agents of ports that are more than one stream; each drives only while it is active (see ``tb.support.uvm``).

``PinsAgent``: plain inputs and outputs, one item a cycle. ``BundleAgent``: several streams that share flat vectors. ``ReadClientAgent`` and
``WriteClientAgent``: the AXI port as a unit sees it that is its client. Those of AXI itself are in ``tb.support.axi_agents``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge, Timer, ValueChange
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_driver, uvm_monitor, uvm_sequence, uvm_sequencer

from gradcore.models.vector.vector_engine import Write
from tb.support.read_client import ReadClient, WordMemory
from tb.support.streams import Item, StreamMonitor, each_cycle
from tb.support.uvm import SeenItem, SinkAgent, SourceAgent, StreamPort, stream_port
from tb.support.vectors import VectorSlice
from tb.support.watched import Watched, bits, number
from tb.support.write_client import WriteClient, WriteCollector

STEP = 10  # ns between two items of a unit without clock


# ---- Plain pins ----


@dataclass
class Pins:
    """Plain ports of a unit. ``clk`` None: it has no clock, an item lasts 10 ns.

    ``inputs`` and ``outputs``: name -> handle. ``signed``: those to read as signed. ``rest``: values of the inputs in cycles without an
    item (others keep their last value). ``unknown``: outputs that may hold X, which is read as None; elsewhere X fails. ``quiet``: pins
    that seldom change, which are read again only when they did: far faster. ``resets``: publish an item with ``rst`` alone when a reset
    begins.
    """

    clk: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    rst: Any = None
    signed: Iterable[str] = ()
    rest: Mapping[str, int] = field(default_factory=dict)
    unknown: Iterable[str] = ()
    quiet: Iterable[str] = ()
    resets: bool = False


def pins(dut: Any, inputs: Iterable[str], outputs: Iterable[str] = (), *, clocked: bool = True, **options: Any) -> Pins:
    """The ports of ``dut`` with these names. ``options``: of ``Pins``; with ``rst=None`` cycles in reset are seen, too."""
    handles = ({name: getattr(dut, name) for name in names} for names in (inputs, outputs))
    clocks = {"clk": dut.clk, "rst": getattr(dut, "rst", None)} if clocked else {"clk": None}
    return Pins(**{**clocks, **dict(zip(("inputs", "outputs"), handles, strict=True)), **options})


class PinsDriver(uvm_driver):
    """Puts an item's fields on the inputs for one cycle."""

    pins: Pins

    def start_of_simulation_phase(self) -> None:
        for name, handle in self.pins.inputs.items():
            handle.value = self.pins.rest.get(name, 0)

    async def run_phase(self) -> None:
        inputs = self.pins.inputs
        while True:
            item = await self.seq_item_port.get_next_item()
            for name, value in item.fields.items():
                inputs[name].value = value & ((1 << len(inputs[name])) - 1)
            await (Timer(STEP, "ns") if self.pins.clk is None else RisingEdge(self.pins.clk))
            for name, value in self.pins.rest.items():
                inputs[name].value = value
            self.seq_item_port.item_done()


class PinsMonitor(uvm_monitor):
    """Publishes all pins of each cycle out of reset: what stood at the rising edge, or at the end of a step."""

    pins: Pins

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self.cycle = 0
        self.edges = 0  # of the clock, those in reset, too

    async def run_phase(self) -> None:
        pins = self.pins
        self._handles = handles = {**pins.inputs, **pins.outputs}
        self._signed, self._unknown = frozenset(pins.signed), frozenset(pins.unknown)
        self._values: dict[str, int | None] = {}
        self._changed = dict.fromkeys(handles)
        self._in_reset = True
        quiet = {name for name, handle in handles.items() if name in pins.quiet or isinstance(handle, Watched)}
        self._always = tuple(name for name in handles if name not in quiet)
        for name in quiet:
            if isinstance(handles[name], Watched):
                handles[name].tell(self._changed, name)
            else:
                cocotb.start_soon(_note_changes(handles[name], name, self._changed))
        if pins.clk is not None:
            each_cycle(pins.clk, self._edge)
            return
        await Timer(STEP - 1, "ns")
        while True:
            self._publish()
            await Timer(STEP, "ns")

    def _edge(self) -> None:
        """A rising edge of the clock."""
        pins = self.pins
        self.edges += 1
        if pins.rst is not None:
            before, self._in_reset = self._in_reset, bool(number(pins.rst))
            if self._in_reset and not before and pins.resets:
                self.analysis_port.write(SeenItem(rst=1))
            if self._in_reset:
                return
        self._publish()

    def _publish(self) -> None:
        """Read what may have changed, and publish all."""
        self.cycle += 1
        for name in (*self._always, *self._changed):
            self._values[name] = _value(self._handles[name], name in self._signed, name in self._unknown)
        self._changed.clear()
        item = SeenItem()
        item.fields = dict(self._values)
        self.analysis_port.write(item)


async def _note_changes(handle: Any, name: str, changed: dict[str, None]) -> None:
    while True:
        await ValueChange(handle)
        changed[name] = None


def _value(handle: Any, signed: bool, may_be_unknown: bool) -> int | None:
    try:
        return number(handle, signed)
    except ValueError as error:
        if may_be_unknown:
            return None
        raise AssertionError(f"{handle._path} is {bits(handle)}, not a number") from error


class PinsAgent(uvm_agent):
    """Plain ports: an item is what the inputs hold in one cycle; the monitor publishes inputs and outputs of every cycle."""

    def __init__(self, name: str, parent: uvm_component, pins: Pins) -> None:
        self.pins = pins
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.monitor = PinsMonitor("monitor", self)
        self.monitor.pins = self.pins
        if self.active():
            self.sequencer = uvm_sequencer("sequencer", self)
            self.driver = PinsDriver("driver", self)
            self.driver.pins = self.pins

    def connect_phase(self) -> None:
        if self.active():
            self.driver.seq_item_port.connect(self.sequencer.seq_item_export)

    async def start(self, sequence: uvm_sequence) -> None:
        """Run a sequence until the cycle of its last item is over."""
        await sequence.start(self.sequencer)


# ---- Streams in flat vectors ----


def bundle_ports(
    dut: Any, prefix: str, count: int, widths: Mapping[str, int], names: Mapping[str, str] | None = None, **options: Any
) -> list[StreamPort]:
    """The ``count`` streams whose valid, ready and fields are slices of ``<prefix>_valid``, ``<prefix>_ready``, ``<prefix>_<field>``.

    ``widths``: bits of a field of one stream; stream i has bits [width * i + width - 1 : width * i]. ``names``: signals of fields that
    are called otherwise. ``options``: of ``StreamPort``.
    """
    signals = {name: f"{prefix}_{name}" for name in ("valid", "ready", *widths)} | dict(names or {})
    handles = {name: getattr(dut, signal) for name, signal in signals.items() if name != "ready" or hasattr(dut, signal)}
    slices = {name: VectorSlice.cut(handle, count, widths.get(name, 1)) for name, handle in handles.items()}
    return [
        StreamPort(
            dut.clk,
            slices["valid"][index],
            slices["ready"][index] if "ready" in slices else None,
            {name: slices[name][index] for name in widths},
            **{"rst": dut.rst, **options},
        )
        for index in range(count)
    ]


class BundleAgent(uvm_agent):
    """Streams that share flat vectors: ``agents`` holds a SourceAgent or SinkAgent (``kind``) for each."""

    def __init__(self, name: str, parent: uvm_component, ports: list[StreamPort], kind: type[SourceAgent] | type[SinkAgent]) -> None:
        super().__init__(name, parent)
        self.agents = [kind(f"lane{index}", self, port) for index, port in enumerate(ports)]


# ---- Clients of the AXI ports ----


class ReadClientAgent(uvm_agent):
    """The ports <prefix>_request_* and <prefix>_response_* of a unit that reads memory; the agent's name, if no ``prefix`` is given.

    ``requests`` publishes each accepted request (address, words); ``reads`` each request when its last word is taken, with its words
    (``data``, a tuple). While active it answers from ``memory``: set ``memory``, and ``latency``, ``request_stalls`` and
    ``response_stalls`` as for ``ReadClient``, before the simulation starts.
    """

    memory: WordMemory
    latency = 0
    request_stalls = response_stalls = "none"

    def __init__(self, name: str, parent: uvm_component, dut: Any, prefix: str = "") -> None:
        self.dut, self.prefix = dut, prefix or name
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.requests = uvm_analysis_port("requests", self)
        self.reads = uvm_analysis_port("reads", self)
        self._open: deque[tuple[Item, list[int]]] = deque()

    def start_of_simulation_phase(self) -> None:
        name, dut = self.prefix, self.dut
        self.responses = _watch(stream_port(dut, f"{name}_response", ("data",)), self._word)
        if self.active():
            stalls = {"request_stalls": self.request_stalls, "response_stalls": self.response_stalls}
            self.client = ReadClient(dut, name, self.memory, latency=self.latency, **stalls)
            self.client.requests_sink.callbacks.append(self._request)
        else:
            self.monitor = _watch(stream_port(dut, f"{name}_request", ("address", "words")), self._request)

    def set_stalls(self, request: str, response: str) -> None:
        """Change the stall patterns of both ports."""
        self.client.set_stalls(request, response)

    def forget(self) -> None:
        """The unit is reset: drop what it has not taken."""
        self._open.clear()
        if self.active():
            self.client.forget()

    @property
    def idle(self) -> bool:
        """True when every word that was asked for has been taken."""
        return not self._open

    def _request(self, fields: Item) -> None:
        self._open.append((fields, []))
        self.requests.write(SeenItem(**fields))

    def _word(self, fields: Item) -> None:
        request, words = next((entry for entry in self._open if len(entry[1]) < entry[0]["words"]), ({}, []))
        if not request:
            raise AssertionError(f"{self.get_full_name()}: a word that no request asked for")
        words.append(fields["data"])
        if len(words) == request["words"]:
            self._open.popleft()
            self.reads.write(SeenItem(**request, data=tuple(words)))


class WriteClientAgent(uvm_agent):
    """The ports <prefix>_request_*, <prefix>_data_* (<prefix>_data, <prefix>_strobe) and <prefix>_done of a unit that writes memory.

    ``requests`` publishes each accepted request; ``writes`` each one when its last beat is taken, with ``data`` (bytes without strobe as
    0) and ``strobes``. While active it takes both, and answers with ``done`` as ``WriteClient`` does.
    """

    latency = 4
    request_stalls = data_stalls = "none"

    def __init__(self, name: str, parent: uvm_component, dut: Any, prefix: str = "") -> None:
        self.dut, self.prefix = dut, prefix or name
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.requests = uvm_analysis_port("requests", self)
        self.writes = uvm_analysis_port("writes", self)

    def start_of_simulation_phase(self) -> None:
        name, dut = self.prefix, self.dut
        if self.active():
            stalls = {"request_stalls": self.request_stalls, "data_stalls": self.data_stalls}
            self.client = self.collector = WriteClient(dut, name, latency=self.latency, **stalls)
        else:
            self.collector = WriteCollector(dut, name)
        self.collector.request_monitor.callbacks.append(lambda fields: self.requests.write(SeenItem(**fields)))
        self.collector.callbacks.append(self._write)

    def set_stalls(self, request: str, data: str) -> None:
        """Change the stall patterns of both ports."""
        self.client.set_stalls(request, data)

    def forget(self) -> None:
        """The unit is reset: drop what it has begun."""
        self.collector.forget()

    @property
    def idle(self) -> bool:
        """True when no request and no beat is left over."""
        return self.collector.empty

    def _write(self, write: Write) -> None:
        self.writes.write(SeenItem(address=write.address, data=write.data, strobes=write.strobes))


def _watch(port: StreamPort, callback: Any) -> StreamMonitor:
    return StreamMonitor(port.clk, port.valid, port.ready, port.data, rst=port.rst, callback=callback)
