# SPDX-License-Identifier: Apache-2.0
"""Stand-in for one client of an AXI write port: takes requests and data beats, answers each request with a done pulse."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from gradcore.models.vector_engine import Write
from tb.support.streams import Item, StreamSink, signals


class WriteClient:
    """Serves the ports <prefix>_request_*, <prefix>_data_* (<prefix>_data, <prefix>_strobe) and <prefix>_done.

    ``writes`` holds the completed requests in order, bytes without strobe as 0; ``responses`` counts the done pulses, which come
    ``latency`` to 2 * ``latency`` cycles after the last beat of their request, at most one a cycle, in order.
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
        self.clk, self.done, self.latency = dut.clk, getattr(dut, f"{prefix}_done"), latency
        self.rng = rng if rng is not None else random
        self.writes: list[Write] = []
        self.responses = 0
        self.requests: deque[Item] = deque()
        self.beats: deque[Item] = deque()
        self.done.value = 0
        port = {"rng": rng, "rst": dut.rst}
        self.request_sink = StreamSink(
            dut.clk,
            getattr(dut, f"{prefix}_request_valid"),
            getattr(dut, f"{prefix}_request_ready"),
            signals(dut, f"{prefix}_request", ("address", "words")),
            request_stalls,
            callback=self.requests.append,
            **port,
        )
        self.data_sink = StreamSink(
            dut.clk,
            getattr(dut, f"{prefix}_data_valid"),
            getattr(dut, f"{prefix}_data_ready"),
            {"data": getattr(dut, f"{prefix}_data"), "strobe": getattr(dut, f"{prefix}_strobe")},
            data_stalls,
            callback=self.beats.append,
            **port,
        )
        cocotb.start_soon(self._respond())

    @property
    def empty(self) -> bool:
        """True when no request and no beat is left over."""
        return not self.requests and not self.beats

    async def _respond(self) -> None:
        waiting: deque[int] = deque()
        while True:
            await RisingEdge(self.clk)
            while self.requests and len(self.beats) >= self.requests[0]["words"]:
                self._complete(self.requests.popleft())
                waiting.append(self.rng.randint(self.latency, 2 * self.latency))
            pulse = bool(waiting) and waiting[0] <= 0
            if pulse:
                waiting.popleft()
                self.responses += 1
            if waiting:
                waiting[0] -= 1
            self.done.value = int(pulse)

    def _complete(self, request: Item) -> None:
        assert request["address"] % 8 == 0 and request["words"] >= 1, f"illegal write request {request}"
        beats = [self.beats.popleft() for _ in range(request["words"])]
        data = []
        for beat in beats:
            keep = sum(0xFF << 8 * byte for byte in range(8) if beat["strobe"] >> byte & 1)
            data.append(beat["data"] & keep)
        self.writes.append(Write(request["address"], tuple(data), tuple(beat["strobe"] for beat in beats)))
