# SPDX-License-Identifier: Apache-2.0
"""Stand-in for one client of an AXI write port: takes requests and data beats, answers each request with a done pulse."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from gradcore.models.vector.vector_engine import Write
from tb.support.stalls import stall_pattern
from tb.support.streams import Item, StreamMonitor, StreamSink, signals


class WriteCollector:
    """Watches the ports <prefix>_request_* and <prefix>_data_* (<prefix>_data, <prefix>_strobe), and puts beats to their requests.

    ``writes`` holds the completed requests in order, bytes without strobe as 0; ``callbacks`` are called with each.
    """

    def __init__(self, dut: Any, prefix: str) -> None:
        self.clk = dut.clk
        self.writes: list[Write] = []
        self.callbacks: list[Callable[[Write], None]] = []
        self.requests: deque[Item] = deque()
        self.beats: deque[Item] = deque()
        ends = ([getattr(dut, f"{prefix}_{stream}_{end}") for end in ("valid", "ready")] for stream in ("request", "data"))
        data = {"data": getattr(dut, f"{prefix}_data"), "strobe": getattr(dut, f"{prefix}_strobe")}
        fields = (signals(dut, f"{prefix}_request", ("address", "words")), data)
        request, beat = ((*pair, some) for pair, some in zip(ends, fields, strict=True))
        self.request_monitor = self._monitor("request", dut, request)
        self.data_monitor = self._monitor("data", dut, beat)
        self.request_monitor.callbacks.append(self._request)
        self.data_monitor.callbacks.append(self._beat)

    def _monitor(self, stream: str, dut: Any, port: tuple[Any, Any, dict[str, Any]]) -> StreamMonitor:
        """What watches one of both streams."""
        del stream
        return StreamMonitor(dut.clk, *port, rst=dut.rst)

    @property
    def empty(self) -> bool:
        """True when no request and no beat is left over."""
        return not self.requests and not self.beats

    def forget(self) -> None:
        """The unit is reset: drop what it has begun. Call it in each cycle of the reset."""
        self.requests.clear()
        self.beats.clear()

    def _request(self, request: Item) -> None:
        self.requests.append(request)
        self._collect()

    def _beat(self, beat: Item) -> None:
        self.beats.append(beat)
        self._collect()

    def _collect(self) -> None:
        while self.requests and len(self.beats) >= self.requests[0]["words"]:
            self._complete(self.requests.popleft())

    def _complete(self, request: Item) -> None:
        assert request["address"] % 8 == 0 and request["words"] >= 1, f"illegal write request {request}"
        beats = [self.beats.popleft() for _ in range(request["words"])]
        data = []
        for beat in beats:
            keep = sum(0xFF << 8 * byte for byte in range(8) if beat["strobe"] >> byte & 1)
            data.append(beat["data"] & keep)
        self.writes.append(Write(request["address"], tuple(data), tuple(beat["strobe"] for beat in beats)))
        for callback in self.callbacks:
            callback(self.writes[-1])


class WriteClient(WriteCollector):
    """Takes what the collector watches, and answers each request with a pulse on <prefix>_done.

    ``responses`` counts the pulses, which come ``latency`` to 2 * ``latency`` cycles after the last beat of their request, at most one
    a cycle, in order.
    """

    def __init__(
        self,
        dut: Any,
        prefix: str,
        *,
        request_stalls: str = "none",
        data_stalls: str = "none",
        latency: int = 4,
        rng: random.Random | None = None,
    ) -> None:
        self.done, self.latency = getattr(dut, f"{prefix}_done"), latency
        self.rng = rng if rng is not None else random
        self._stalls = {"request": request_stalls, "data": data_stalls}
        self.responses = 0
        self._waiting: deque[int] = deque()
        self.done.value = 0
        super().__init__(dut, prefix)
        self.callbacks.append(lambda _: self._waiting.append(self.rng.randint(self.latency, 2 * self.latency)))
        cocotb.start_soon(self._respond())

    def _monitor(self, stream: str, dut: Any, port: tuple[Any, Any, dict[str, Any]]) -> StreamSink:
        """A sink instead, with the stalls of its stream."""
        return StreamSink(dut.clk, *port, self._stalls[stream], rng=self.rng, rst=dut.rst)

    def set_stalls(self, request: str, data: str) -> None:
        """From now on stall after these patterns."""
        self.request_monitor.stalls = stall_pattern(request, random.Random(random.getrandbits(32)))
        self.data_monitor.stalls = stall_pattern(data, random.Random(random.getrandbits(32)))

    def forget(self) -> None:
        super().forget()
        self._waiting.clear()

    async def _respond(self) -> None:
        waiting = self._waiting
        while True:
            await RisingEdge(self.clk)
            pulse = bool(waiting) and waiting[0] <= 0
            if pulse:
                waiting.popleft()
                self.responses += 1
            if waiting:
                waiting[0] -= 1
            self.done.value = int(pulse)
