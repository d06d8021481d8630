# SPDX-License-Identifier: Apache-2.0
"""pyuvm base classes round the stream drivers: item, sequence, active and passive agents, scoreboard, coverage.

Typical environment: one ``SourceAgent`` for each input stream, one ``SinkAgent`` for each output stream, a ``Scoreboard`` whose
expectations come from the golden model fed by the input monitors, and a ``Coverage`` that fails on holes. Agents for other ports are
in ``tb.support.agents``, the base of environments and tests in ``tb.support.base``; docs/verification.md says how they go together, and
``tb/support/support_tests.py`` is a complete example. All are active unless the ConfigDB says ``is_active`` = UVM_PASSIVE for them:
then nothing is driven, and neither an unseen stream nor a coverage hole is an error.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb_coverage.coverage import CoverCross, CoverPoint, coverage_db
from pyuvm import (
    ConfigDB,
    uvm_active_passive_enum,
    uvm_agent,
    uvm_analysis_port,
    uvm_component,
    uvm_driver,
    uvm_monitor,
    uvm_scoreboard,
    uvm_sequence,
    uvm_sequence_item,
    uvm_sequencer,
    uvm_subscriber,
)

from gradcore.models.numbers import Format
from tb.support import ledger
from tb.support.mismatch import circumstances, differences
from tb.support.stalls import stall_pattern
from tb.support.streams import Item, StreamMonitor, StreamSink, StreamSource


class CheckFailure(AssertionError):
    """A check of a component failed; the text begins with the component's full name.

    What surrounds a unit may know more of the place than the unit: the ConfigDB's ``place_of`` is then called with component and text,
    and what it returns ends the message.
    """

    def __init__(self, component: uvm_component, text: str) -> None:
        place_of = ConfigDB().get(component, "", "place_of", None)
        super().__init__(f"{component.get_full_name()}: {text}{place_of(component, text) if place_of else ''}")


def is_active(component: uvm_component) -> bool:
    """Whether the ConfigDB lets this component drive and demand: its ``is_active``, by default yes."""
    active = uvm_active_passive_enum.UVM_ACTIVE
    return ConfigDB().get(component, "", "is_active", active) == active


def demands_all(component: uvm_component) -> bool:
    """Whether each stream must move and each bin be hit: not while passive, nor in a test for one feature (ConfigDB ``covers`` False)."""
    return is_active(component) and ConfigDB().get(component, "", "covers", True)


@dataclass
class StreamPort:
    """The signals of one stream and how to drive it. ``ready`` None: a valid-only output."""

    clk: Any
    valid: Any
    ready: Any
    data: Mapping[str, Any]
    signed: Iterable[str] = ()
    stalls: str | Iterator[bool] = "none"
    rst: Any = None
    options: dict[str, Any] = field(default_factory=dict)


def stream_port(dut: Any, prefix: str, fields: Iterable[str] | Mapping[str, Any], **options: Any) -> StreamPort:
    """The port of ``dut`` whose signals are ``<prefix>_valid``, ``<prefix>_ready`` if there is one, and ``<prefix>_<field>``.

    ``fields``: their names, or name -> handle where a signal is called otherwise. ``options``: of ``StreamPort``.
    """
    data = dict(fields) if isinstance(fields, Mapping) else {field: getattr(dut, f"{prefix}_{field}") for field in fields}
    valid = getattr(dut, f"{prefix}_valid")
    ready = getattr(dut, f"{prefix}_ready") if hasattr(dut, f"{prefix}_ready") else None
    return StreamPort(dut.clk, valid, ready, data, **{"rst": dut.rst, **options})


class StreamItem(uvm_sequence_item):
    """One transfer; ``fields`` maps names to ints. ``waited`` and ``gap``: as of a SeenItem."""

    waited = 0
    gap = 0

    def __init__(self, name: str = "item", **fields: int) -> None:
        super().__init__(name)
        self.fields: Item = fields


class SeenItem:
    """What a monitor saw; no sequence item, which costs far more.

    Of a transfer ``waited`` are the cycles in which it was valid and not ready, ``gap`` those without valid before it.
    """

    __slots__ = ("fields", "gap", "waited")

    def __init__(self, **fields: Any) -> None:
        self.fields: dict[str, Any] = fields
        self.waited = self.gap = 0


class StreamSequence(uvm_sequence):
    """Sends the given items (dictionaries or StreamItems) in order."""

    def __init__(self, name: str, items: Iterable[Mapping[str, int] | StreamItem]) -> None:
        super().__init__(name)
        self.items = items

    async def body(self) -> None:
        for fields in self.items:
            item = fields if isinstance(fields, StreamItem) else StreamItem(**fields)
            await self.start_item(item)
            await self.finish_item(item)


class StreamDriver(uvm_driver):
    """Feeds a StreamSource from the sequencer, at most two items ahead of the port."""

    port: StreamPort

    def start_of_simulation_phase(self) -> None:
        port = self.port
        self.source = StreamSource(port.clk, port.valid, port.ready, port.data, port.stalls, rst=port.rst)

    async def run_phase(self) -> None:
        while True:
            item = await self.seq_item_port.get_next_item()
            await self.source.room(2)
            self.source.send(item.fields)
            self.seq_item_port.item_done()


class StreamUvmMonitor(uvm_monitor):
    """Publishes each transfer of a port as a SeenItem on ``analysis_port``; drives ready too when ``drive_ready``."""

    port: StreamPort
    drive_ready = False

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)

    def start_of_simulation_phase(self) -> None:
        port = self.port
        options: dict[str, Any] = {"signed": port.signed, "rst": port.rst, "callback": self._publish, **port.options}
        if self.drive_ready:
            self.stream: StreamMonitor = StreamSink(port.clk, port.valid, port.ready, port.data, port.stalls, **options)
        else:
            self.stream = StreamMonitor(port.clk, port.valid, port.ready, port.data, **options)

    def _publish(self, fields: Item) -> None:
        item = SeenItem(**fields)
        item.waited, item.gap = self.stream.waited, self.stream.gap
        self.analysis_port.write(item)


class SourceAgent(uvm_agent):
    """Agent of an input stream: ``monitor``, and while active ``sequencer`` and ``driver``."""

    def __init__(self, name: str, parent: uvm_component, port: StreamPort) -> None:
        self.port = port
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.monitor = StreamUvmMonitor("monitor", self)
        self.monitor.port = self.port
        if self.active():
            self.sequencer = uvm_sequencer("sequencer", self)
            self.driver = StreamDriver("driver", self)
            self.driver.port = self.port

    def connect_phase(self) -> None:
        if self.active():
            self.driver.seq_item_port.connect(self.sequencer.seq_item_export)

    def set_stalls(self, stalls: str) -> None:
        """From now on pause between items after the pattern ``stalls``."""
        self.driver.source.stalls = stall_pattern(stalls, random.Random(random.getrandbits(32)))

    async def start(self, sequence: uvm_sequence) -> None:
        """Run a sequence and wait until its last item is accepted."""
        await sequence.start(self.sequencer)
        await self.driver.source.drain()

    async def send(self, items: Iterable[Mapping[str, int] | StreamItem]) -> None:
        """Send items through the sequencer and wait until the last is accepted."""
        await self.start(StreamSequence("items", items))


class SinkAgent(uvm_agent):
    """Agent of an output stream: its ``monitor`` drives ready while active, if the port has one."""

    def __init__(self, name: str, parent: uvm_component, port: StreamPort) -> None:
        self.port = port
        super().__init__(name, parent)

    def build_phase(self) -> None:
        super().build_phase()
        self.monitor = StreamUvmMonitor("monitor", self)
        self.monitor.port = self.port
        self.monitor.drive_ready = self.active() and self.port.ready is not None

    def set_stalls(self, stalls: str) -> None:
        """From now on hold ready down after the pattern ``stalls``."""
        self.monitor.stream.stalls = stall_pattern(stalls, random.Random(random.getrandbits(32)))


def listen(port: Any, parent: uvm_component, function: Callable[[Any], None]) -> None:
    """Call ``function(item)`` for each item that the analysis port publishes. Call it in connect_phase.

    An assertion that does not hold in it fails as one of ``parent``.
    """
    name = f"hears_{port.get_full_name().rpartition('.')[0].rpartition('.')[2]}_{parent.get_num_children()}"
    subscriber = _ItemSubscriber(name, parent)
    subscriber.function = function
    port.connect(subscriber.analysis_export)


class _ItemSubscriber(uvm_subscriber):
    function: Callable[[Any], None]

    def write(self, item: Any) -> None:
        try:
            self.function(item)
        except CheckFailure:
            raise
        except AssertionError as error:
            raise CheckFailure(self.get_parent(), str(error)) from error


class CallbackSubscriber(uvm_subscriber):
    """Calls ``function(fields)`` for each item it receives: how a model or a check is fed from a monitor."""

    def __init__(self, name: str, parent: uvm_component, function: Callable[[Item], None]) -> None:
        super().__init__(name, parent)
        self.function = function

    def write(self, item: SeenItem) -> None:
        self.function(item.fields)


class _Expected(dict):
    """The fields of an expected item, with what a mismatch says of it."""

    where = ""
    formats: Mapping[str, Format] = {}


class Scoreboard(uvm_scoreboard):
    """Compares named streams of items, each in order. Either side may come first.

    ``expect`` and ``actual`` may be called by anything; ``actual_export(stream)`` gives an export to connect a monitor to. A mismatch
    fails at once, and says what differs, where, when, and how to see it again (``tb.support.mismatch``). check_phase fails when a stream
    was never seen, or anything is left on either side, or ``planned`` differs. Where not all is demanded
    (``demands_all``), an active one still fails when no stream was seen.
    """

    def __init__(self, name: str, parent: uvm_component) -> None:
        super().__init__(name, parent)
        self.expected: dict[str, deque[Item]] = {}
        self.pending: dict[str, deque[Item]] = {}
        self.seen: dict[str, int] = {}
        self.planned: dict[str, int] = {}

    def add_stream(self, stream: str) -> None:
        """Declare a stream: from then on check_phase demands that it was seen."""
        self.expected.setdefault(stream, deque())
        self.pending.setdefault(stream, deque())
        self.seen.setdefault(stream, 0)

    def actual_export(self, stream: str) -> Any:
        """An analysis export: what is written to it is an actual item of ``stream``."""
        self.add_stream(stream)
        subscriber = CallbackSubscriber(f"actual_{stream}", self, lambda fields: self.actual(stream, fields))
        return subscriber.analysis_export

    def expect(self, stream: str, fields: Mapping[str, int], where: str = "", formats: Mapping[str, Format] | None = None) -> None:
        """The model says that this item comes next.

        For the message of a mismatch: ``where`` it belongs, such as ``tile 3, row 2, column 5, channels 4 to 7``, and the number formats
        of fields; a field that is wider than its format holds several numbers.
        """
        self.add_stream(stream)
        item = _Expected(fields)
        item.where, item.formats = where, formats or {}
        self.expected[stream].append(item)
        self._match(stream)

    def actual(self, stream: str, fields: Mapping[str, int]) -> None:
        """The module produced this item."""
        self.add_stream(stream)
        self.pending[stream].append(dict(fields))
        self._match(stream)

    def forget(self) -> None:
        """Drop what waits on either side: the unit was reset."""
        for items in (*self.expected.values(), *self.pending.values()):
            items.clear()

    def _match(self, stream: str) -> None:
        expected, pending = self.expected[stream], self.pending[stream]
        while expected and pending:
            want, got = expected.popleft(), pending.popleft()
            if want != got:
                lines = [f"{stream} item {self.seen[stream]}: expected {want}, got {got}", *differences(want, got, want.formats)]
                raise CheckFailure(self, "\n  ".join([*lines, *([want.where] if want.where else []), circumstances()]))
            self.seen[stream] += 1

    def check_phase(self) -> None:
        problems = []
        if not self.seen:
            problems.append("no stream was declared")
        for stream, seen in self.seen.items():
            if not seen and (demands_all(self) or is_active(self) and not any(self.seen.values())):
                problems.append(f"{stream}: nothing was checked")
            if self.expected[stream]:
                problems.append(f"{stream}: {len(self.expected[stream])} expected items never came")
            if self.pending[stream]:
                problems.append(f"{stream}: {len(self.pending[stream])} items nobody expected")
            if stream in self.planned and self.planned[stream] != seen:
                problems.append(f"{stream}: checked {seen} items, planned {self.planned[stream]}")
        if problems:
            raise CheckFailure(self, "; ".join(problems))


class Coverage(uvm_component):
    """Functional coverage on cocotb-coverage; check_phase fails and names every bin that was never hit.

    ``points``: name -> the bins wanted. ``crosses``: name -> the points it crosses. Call ``sample(point=bin, ...)`` with all points,
    or with those that apply (None: not sampled). A value outside the bins of a point is ignored.
    """

    _instances = 0

    def __init__(
        self,
        name: str,
        parent: uvm_component,
        points: Mapping[str, Iterable[Any]],
        crosses: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        super().__init__(name, parent)
        Coverage._instances += 1
        self._top = f"{name}_{Coverage._instances}"
        self._seen: set[Any] = set()
        self._counts, self._sampled = is_active(self), set()
        self.points = {point: list(bins) for point, bins in points.items()}
        self.crosses = {cross: list(items) for cross, items in (crosses or {}).items()}
        decorators: list[Callable] = [
            CoverPoint(f"{self._top}.{point}", xf=_getter(point), bins=bins) for point, bins in self.points.items()
        ]
        for cross, items in self.crosses.items():
            decorators.append(CoverCross(f"{self._top}.{cross}", items=[f"{self._top}.{item}" for item in items]))
        sampler: Callable[..., None] = _sampled
        for decorator in reversed(decorators):  # points outermost: they are sampled before their crosses
            sampler = decorator(sampler)
        self._sampler = sampler

    def sample(self, **values: Any) -> None:
        """Count the bins that the values of the points hit; while passive, what is sampled again counts once."""
        if not self._counts:
            key = tuple(values.items())
            if key in self._sampled:
                return
            self._sampled.add(key)
        self._sampler(values)

    def seen(self, one: Any) -> bool:
        """Whether this was asked for before: cheap, for what comes again and again."""
        if one in self._seen:
            return True
        self._seen.add(one)
        return False

    def see(self, point: str, bin_: Any) -> None:
        """Count the first hit of a bin only."""
        if not self.seen((point, bin_)):
            self.sample(**{point: bin_})

    def hits(self) -> dict[str, dict[str, int]]:
        """How often each bin of each point and cross was hit."""
        names = (*self.points, *self.crosses)
        return {name: {str(one): count for one, count in coverage_db[f"{self._top}.{name}"].detailed_coverage.items()} for name in names}

    def holes(self) -> list[str]:
        """Names of the bins that were never hit."""
        return [f"{name}={one}" for name, bins in self.hits().items() for one, count in bins.items() if not count]

    def check_phase(self) -> None:
        missing = self.holes()
        if missing and demands_all(self):
            raise CheckFailure(self, f"coverage holes: {', '.join(missing)}")
        if is_active(self):
            ledger.covered(self.get_full_name().removeprefix("uvm_test_top."), self.hits())
        cocotb.log.info("%s: %s of %s hit", self.get_full_name(), "some bins" if missing else "all bins", ", ".join(self.points))


def _sampled(values: Mapping[str, Any]) -> None:
    """What the coverage decorators wrap."""


def _getter(point: str) -> Callable[..., Any]:
    """A transformation that picks one point's value out of what was sampled."""
    return lambda values: values.get(point)
