# SPDX-License-Identifier: Apache-2.0
"""Behaviour of an AXI4 memory, read side and write side, one call a clock cycle; it also checks what the master does.

The benches sample the master's signals at a rising edge, call ``step`` with what they saw, and drive what it returns.
Both sides accept at most ``outstanding`` bursts, answer ``latency`` cycles after the address (reads) or the last beat
(writes), and stall after patterns of ``tb.support.stalls``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gradcore.models.axi.axi_bursts import MAXIMUM_BEATS, PAGE_BYTES, WORD_BYTES

OKAY = 0
EXOKAY = 1  # never to an access that is not exclusive: an error, too
SLVERR = 2
DECERR = 3
ERRORS = (EXOKAY, SLVERR, DECERR)


def check_burst(address: int, length: int, size: int, kind: int) -> None:
    """Fail unless a burst obeys AXI and the limits of the Zynq's HP ports. ``length`` is AxLEN."""
    assert size == 3 and kind == 1, f"burst at {address:#x}: size {size}, kind {kind}"
    assert address % WORD_BYTES == 0, f"burst at {address:#x} is not on a word"
    assert length < MAXIMUM_BEATS, f"burst at {address:#x} has {length + 1} beats"
    last = address + WORD_BYTES * length
    assert address // PAGE_BYTES == last // PAGE_BYTES, f"burst at {address:#x} of {length + 1} beats crosses 4 KiB"


@dataclass
class Held:
    """Checks that a payload stays while it waits."""

    name: str
    payload: tuple[int, ...] | None = None

    def check(self, payload: tuple[int, ...] | None, accepted: bool) -> None:
        if self.payload is not None:
            assert payload == self.payload, f"{self.name} withdrawn or changed: {self.payload} -> {payload}"
        self.payload = None if accepted else payload


@dataclass
class ReadSlave:
    """Read side. ``data(address)`` gives a word, ``error(address)`` its response: OKAY 0, EXOKAY 1, SLVERR 2, DECERR 3."""

    data: Callable[[int], int]
    address_stalls: Iterator[bool]
    data_stalls: Iterator[bool]
    error: Callable[[int], int] = lambda address: OKAY
    latency: int = 1
    outstanding: int = 8
    ready: bool = False
    beat: tuple[int, int, int] | None = None  # what is on the R channel: data, response, last
    cycle: int = 0
    accepted: list[tuple[int, int]] = field(default_factory=list)  # bursts: address, beats
    beats: int = 0
    maximum_open: int = 0
    _waiting: deque[tuple[int, int, int]] = field(default_factory=deque)  # time, address, last
    _open: int = 0
    _held: Held = field(default_factory=lambda: Held("read address"))

    @property
    def idle(self) -> bool:
        """Nothing accepted that is not completed."""
        return self._open == 0

    def step(self, address: tuple[int, int, int, int] | None) -> tuple[bool, tuple[int, int, int] | None]:
        """One rising edge. ``address``: (address, length, size, burst) while arvalid. RREADY must be 1 always.

        Returns (arready, (data, response, last) or None) to drive for the next cycle.
        """
        self.cycle += 1
        if self.beat is not None:
            self.beats += 1
            self._open -= self.beat[2]
            self.beat = None
        self._held.check(address, self.ready)
        if address is not None:
            check_burst(*address)
            if self.ready:
                start, length = address[:2]
                self.accepted.append((start, length + 1))
                self._open += 1
                self.maximum_open = max(self.maximum_open, self._open)
                time = self.cycle + self.latency - 1
                self._waiting.extend((time, start + WORD_BYTES * n, int(n == length)) for n in range(length + 1))
        self.ready = self._open < self.outstanding and not next(self.address_stalls)
        if self._waiting and self._waiting[0][0] <= self.cycle and not next(self.data_stalls):
            _, where, last = self._waiting.popleft()
            self.beat = (self.data(where), self.error(where), last)
        return self.ready, self.beat


@dataclass
class WriteSlave:
    """Write side. ``memory`` maps byte addresses to written bytes; every written byte is also counted in ``writes``.

    ``error(address)``: the response that a write of this word asks for; a burst gets the largest of its words.
    """

    address_stalls: Iterator[bool]
    data_stalls: Iterator[bool]
    response_stalls: Iterator[bool]
    error: Callable[[int], int] = lambda address: OKAY
    latency: int = 1
    outstanding: int = 8
    data_first: bool = False  # accept data before their address, as AXI allows
    address_ready: bool = False
    data_ready: bool = False
    response: int | None = None
    cycle: int = 0
    accepted: list[tuple[int, int]] = field(default_factory=list)
    memory: dict[int, int] = field(default_factory=dict)
    writes: int = 0
    beats: int = 0
    maximum_open: int = 0
    _bursts: deque[tuple[int, int]] = field(default_factory=deque)  # bursts whose data have not been taken up
    _data: deque[tuple[int, int, int]] = field(default_factory=deque)  # beats without an address: data, strobe, last
    _beat: int = 0
    _answers: deque[tuple[int, int]] = field(default_factory=deque)  # time, response
    _open: int = 0
    _held_address: Held = field(default_factory=lambda: Held("write address"))
    _held_data: Held = field(default_factory=lambda: Held("write data"))

    @property
    def idle(self) -> bool:
        """Nothing accepted that is not completed."""
        return self._open == 0 and not self._data

    def step(self, address: tuple[int, int, int, int] | None, data: tuple[int, int, int] | None) -> tuple[bool, bool, int | None]:
        """One rising edge; ``data``: (data, strobe, last) while wvalid. BREADY must be 1 always.

        Returns (awready, wready, response or None) to drive for the next cycle.
        """
        self.cycle += 1
        if self.response is not None:
            self._open -= 1
            self.response = None
        self._held_address.check(address, self.address_ready)
        self._held_data.check(data, self.data_ready)
        if address is not None:
            check_burst(*address)
            if self.address_ready:
                self.accepted.append((address[0], address[1] + 1))
                self._bursts.append((address[0], address[1] + 1))
                self._open += 1
                self.maximum_open = max(self.maximum_open, self._open)
        if data is not None and self.data_ready:
            self.beats += 1
            self._data.append(data)
        while self._data and self._bursts:
            self._take(*self._data.popleft())
        self.address_ready = self._open < self.outstanding and not next(self.address_stalls)
        may_take = self._bursts or (self.data_first and len(self._data) < 2 * MAXIMUM_BEATS)
        self.data_ready = bool(may_take) and not next(self.data_stalls)
        if self._answers and self._answers[0][0] <= self.cycle and not next(self.response_stalls):
            self.response = self._answers.popleft()[1]
        return self.address_ready, self.data_ready, self.response

    def _take(self, data: int, strobe: int, last: int) -> None:
        start, beats = self._bursts[0]
        where = start + WORD_BYTES * self._beat
        for lane in range(WORD_BYTES):
            if strobe >> lane & 1:
                self.memory[where + lane] = data >> 8 * lane & 0xFF
                self.writes += 1
        self._beat += 1
        assert last == int(self._beat == beats), f"wlast is {last} on beat {self._beat} of {beats} at {start:#x}"
        if last:
            response = max(self.error(start + WORD_BYTES * n) for n in range(beats))
            self._answers.append((self.cycle + self.latency - 1, response))
            self._bursts.popleft()
            self._beat = 0
