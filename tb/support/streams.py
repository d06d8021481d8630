# SPDX-License-Identifier: Apache-2.0
"""cocotb drivers and monitors of valid/ready streams and of plain (valid-only) outputs.

Items are dictionaries: field name -> Python int. All classes sample at the rising edge of ``clk`` (the values before the
edge) and drive just after it. They never turn X into a number: reading an X after reset raises and fails the test.
A task that raises (protocol error, X) fails the running test.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Event, RisingEdge

from tb.support.stalls import stall_pattern
from tb.support.watched import bits, number

Item = dict[str, int]


async def start_clock_and_reset(dut: Any, *, clk: str = "clk", rst: str | None = "rst", cycles: int = 4) -> None:
    """Start a 10 ns clock and hold the synchronous reset, if there is one, for ``cycles`` rising edges. Drive all inputs before."""
    if rst:
        getattr(dut, rst).value = 1
    handle = getattr(dut, clk)
    handle.value = 0
    Clock(handle, 10, "ns").start(start_high=False)
    for _ in range(cycles):
        await RisingEdge(handle)
    if rst:
        getattr(dut, rst).value = 0
    await RisingEdge(handle)


async def wait_until(clk: Any, condition: Callable[[], bool], cycles: int, what: str = "condition") -> int:
    """Wait until ``condition()`` holds at a rising edge; fail after ``cycles`` edges. Returns the edges waited."""
    for count in range(cycles):
        if condition():
            return count
        await RisingEdge(clk)
    raise AssertionError(f"{what} did not come true within {cycles} cycles")


_TICKS: dict[str, tuple[Any, list[Callable[[], None]]]] = {}  # of each clock: its task, and what it calls


def each_cycle(clk: Any, function: Callable[[], None]) -> None:
    """Call ``function()`` at each rising edge of ``clk``, until the test ends: for all that watch a clock one task, which is far faster."""
    task, functions = _TICKS.get(clk._path, (None, []))
    if task is None or task.done():
        functions = []
        _TICKS[clk._path] = cocotb.start_soon(_tick(clk, functions)), functions
    functions.append(function)


async def _tick(clk: Any, functions: list[Callable[[], None]]) -> None:
    edge = RisingEdge(clk)
    while True:
        await edge
        for function in functions:
            function()


def signals(dut: Any, prefix: str, fields: Iterable[str]) -> dict[str, Any]:
    """Return {field: handle of dut.<prefix>_<field>}."""
    return {field: getattr(dut, f"{prefix}_{field}") for field in fields}


def _read(data: Mapping[str, Any], signed: frozenset[str]) -> Item:
    """Read all fields; raises on X or Z."""
    return {name: _number(name, handle, name in signed) for name, handle in data.items()}


def _number(name: str, handle: Any, signed: bool) -> int:
    """One field as an int. Raises AssertionError naming the field when it holds X or Z."""
    try:
        return number(handle, signed)
    except ValueError as error:
        raise AssertionError(f"{handle._path}: field {name} is {bits(handle)}, not a number") from error


def _bit(handle: Any) -> bool:
    """A control bit; X or Z fails."""
    try:
        return bool(number(handle))
    except ValueError as error:
        raise AssertionError(f"{handle._path} is {bits(handle)} while not in reset") from error


class StreamSource:
    """Drives a valid/ready stream: sends queued items in order, with idle cycles after the pattern ``stalls``.

    ``stalls`` is a pattern's name or an endless iterator of bools. While not valid the data fields carry random bits, so that
    a receiver that ignores valid is caught. Wide values are Python ints; give signed fields their unsigned or signed value.
    """

    def __init__(
        self,
        clk: Any,
        valid: Any,
        ready: Any,
        data_signals: Mapping[str, Any],
        stalls: str | Iterator[bool] = "none",
        *,
        rng: random.Random | None = None,
        rst: Any = None,
    ) -> None:
        self.clk, self.valid, self.ready, self.data, self.rst = clk, valid, ready, dict(data_signals), rst
        self.rng = rng if rng is not None else random
        self.stalls = stall_pattern(stalls, rng) if isinstance(stalls, str) else stalls
        self.queue: deque[Item] = deque()
        self.sent: list[Item] = []
        self._busy = self._dropped = False
        self._progress = Event()
        self.valid.value = 0
        self._scramble()
        self.task = cocotb.start_soon(self._run())

    def send(self, item: Mapping[str, int]) -> None:
        """Queue an item; fields that are left out are sent as 0, unknown fields raise KeyError."""
        unknown = set(item) - set(self.data)
        if unknown:
            raise KeyError(f"unknown fields {sorted(unknown)}; the stream has {sorted(self.data)}")
        self.queue.append({name: int(item.get(name, 0)) for name in self.data})

    @property
    def idle(self) -> bool:
        """True when nothing is queued and nothing is on the port."""
        return not self.queue and not self._busy

    def forget(self) -> None:
        """Drop what is queued, and what stands on the port: its other end is reset."""
        self.queue.clear()
        self._dropped = True

    async def drain(self) -> None:
        """Wait until all queued items have been accepted."""
        while not self.idle:
            self._progress.clear()
            await self._progress.wait()

    async def room(self, depth: int = 2) -> None:
        """Wait until fewer than ``depth`` items are queued."""
        while len(self.queue) >= depth:
            self._progress.clear()
            await self._progress.wait()

    def _scramble(self) -> None:
        for handle in self.data.values():
            handle.value = self.rng.getrandbits(len(handle))

    async def _run(self) -> None:
        current: Item | None = None
        while True:
            await RisingEdge(self.clk)
            if self._dropped:
                current, self._dropped = None, False
                self._progress.set()
            elif current is not None and _bit(self.ready):
                self.sent.append(current)
                current = None
                self._progress.set()
            if current is None:
                in_reset = self.rst is not None and bool(number(self.rst))
                if self.queue and not in_reset and not next(self.stalls):
                    current = self.queue.popleft()
                    self.valid.value = 1
                    for name, handle in self.data.items():
                        handle.value = current[name] & ((1 << len(handle)) - 1)
                elif self._busy:
                    self.valid.value = 0
                    self._scramble()
                self._busy = current is not None


class StreamMonitor:
    """Watches a valid/ready stream (or a valid-only output when ``ready`` is None) and records its transfers.

    Checks the protocol: once valid, it stays valid and its data stay the same until ready. ``check_stable=False`` turns
    that off. Every transfer goes to ``received`` and to ``callbacks``. ``signed`` names the fields to read as signed. ``late``: of the
    cycles in which an item waits, so many come before its fields are there.
    While ``rst`` (when given) is 1 nothing is sampled.
    """

    def __init__(
        self,
        clk: Any,
        valid: Any,
        ready: Any,
        data_signals: Mapping[str, Any],
        *,
        signed: Iterable[str] = (),
        rst: Any = None,
        check_stable: bool = True,
        late: int = 0,
        callback: Callable[[Item], None] | None = None,
    ) -> None:
        self.clk, self.valid, self.ready, self.data, self.rst = clk, valid, ready, dict(data_signals), rst
        self.signed = frozenset(signed)
        self.check_stable = check_stable
        self.late = late
        self.received: deque[Item] = deque()
        self.count = 0
        self.cycles = 0
        self.waited = self.gap = 0  # of the transfer seen last: cycles valid and not ready, and cycles without valid before it
        self.callbacks = [callback] if callback else []
        self._progress = Event()
        self._held: Item | None = None
        self._waited = self._gap = 0
        each_cycle(clk, self._step)

    async def wait_for(self, count: int, cycles: int | None = None) -> None:
        """Wait until ``count`` transfers were seen since the start; fail after ``cycles`` clock cycles (None: no limit)."""
        start = self.cycles
        while self.count < count:
            if cycles is not None and self.cycles - start > cycles:
                raise AssertionError(f"{self.valid._path}: {self.count} of {count} items after {cycles} cycles")
            if cycles is None:
                self._progress.clear()
                await self._progress.wait()
            else:
                await RisingEdge(self.clk)

    def _ready_now(self) -> bool:
        return self.ready is None or _bit(self.ready)

    def _after_edge(self) -> None:
        """Hook of StreamSink: drive ready for the next cycle."""

    def _step(self) -> None:
        """A rising edge."""
        self.cycles += 1
        if self.rst is not None and bool(number(self.rst)):
            self._held = None
            self._waited = self._gap = 0
        elif _bit(self.valid):
            self._see()
        elif self._waited and self.check_stable:
            raise AssertionError(f"{self.valid._path}: valid dropped before ready; the item was {self._held}")
        else:
            self._gap += 1
        self._after_edge()

    def _see(self) -> None:
        """Something is valid."""
        ready, held = self._ready_now(), self._held
        item = _read(self.data, self.signed) if ready or self._waited >= self.late else None
        if self.check_stable and held is not None and held != item:
            raise AssertionError(f"{self.valid._path}: data changed while waiting for ready: {held} -> {item}")
        if not ready:
            self._held = item
            self._waited += 1
            return
        self._held = None
        self.count += 1
        self.waited, self.gap = self._waited, self._gap
        self._waited = self._gap = 0
        self.received.append(item)
        for callback in self.callbacks:
            callback(item)
        self._progress.set()


class StreamSink(StreamMonitor):
    """Receives a valid/ready stream: drives ready after the pattern ``stalls``, records and checks as StreamMonitor does.

    Start it with the module in reset, or give ``rst``: before reset ends valid may be X.
    """

    def __init__(
        self,
        clk: Any,
        valid: Any,
        ready: Any,
        data_signals: Mapping[str, Any],
        stalls: str | Iterator[bool] = "none",
        *,
        rng: random.Random | None = None,
        **options: Any,
    ) -> None:
        self.stalls = stall_pattern(stalls, rng) if isinstance(stalls, str) else stalls
        self._ready = not next(self.stalls)
        ready.value = int(self._ready)
        super().__init__(clk, valid, ready, data_signals, **options)

    def _ready_now(self) -> bool:
        return self._ready

    def _after_edge(self) -> None:
        ready = not next(self.stalls)
        if ready != self._ready:
            self._ready = ready
            self.ready.value = int(ready)
