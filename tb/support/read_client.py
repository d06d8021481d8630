# SPDX-License-Identifier: Apache-2.0
"""Stand-in for one client of an AXI read port: takes a unit's read requests and answers them from a memory."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from tb.support.stalls import stall_pattern
from tb.support.streams import Item, StreamSink, StreamSource, signals


class WordMemory:
    """Memory of 64-bit words from byte address ``base`` on; reading outside what was allocated fails.

    ``allocate`` hands out fresh regions, so that a unit that reads too much, or from the wrong place, is caught.
    """

    def __init__(self, base: int, words: int, rng: np.random.Generator) -> None:
        assert base % 8 == 0 and base + 8 * words <= 1 << 32
        self.base = base
        self.words = rng.integers(0, 1 << 64, words, dtype=np.uint64)
        self.used = 0

    def allocate(self, content: np.ndarray) -> int:
        """Store ``content`` (uint64) in a fresh region; returns its byte address."""
        address = self.base + 8 * self.used
        assert self.used + len(content) <= len(self.words), "the bench's memory is too small"
        self.words[self.used : self.used + len(content)] = content
        self.used += len(content)
        return address

    def read(self, address: int, words: int) -> np.ndarray:
        """``words`` words from byte ``address`` on."""
        assert address % 8 == 0, f"address {address:#x} is not aligned to 8 bytes"
        first = (address - self.base) // 8
        assert 0 <= first and 1 <= words and first + words <= self.used, f"read of {words} words at {address:#x}"
        return self.words[first : first + words]


class ReadClient:
    """Answers the ports <prefix>_request_* (valid, ready, address, words) through <prefix>_response_* (valid, ready, data).

    ``latency``: cycles from an accepted request to its first word, on top of one. ``requests`` holds all accepted requests,
    ``requests_sink.callbacks`` are called with each.
    """

    def __init__(
        self,
        dut: Any,
        prefix: str,
        memory: WordMemory,
        *,
        request_stalls: str = "none",
        response_stalls: str = "none",
        latency: int = 0,
        rng: random.Random | None = None,
    ) -> None:
        self.clk, self.memory, self.latency = dut.clk, memory, latency
        self.requests: deque[Item] = deque()
        self._resets = 0
        self.response = StreamSource(
            dut.clk,
            getattr(dut, f"{prefix}_response_valid"),
            getattr(dut, f"{prefix}_response_ready"),
            signals(dut, f"{prefix}_response", ("data",)),
            response_stalls,
            rng=rng,
            rst=dut.rst,
        )
        self.requests_sink = StreamSink(
            dut.clk,
            getattr(dut, f"{prefix}_request_valid"),
            getattr(dut, f"{prefix}_request_ready"),
            signals(dut, f"{prefix}_request", ("address", "words")),
            request_stalls,
            rng=rng,
            rst=dut.rst,
            callback=self._accept,
        )

    def set_stalls(self, request: str, response: str) -> None:
        """From now on stall after these patterns."""
        self.requests_sink.stalls = stall_pattern(request, random.Random(random.getrandbits(32)))
        self.response.stalls = stall_pattern(response, random.Random(random.getrandbits(32)))

    @property
    def idle(self) -> bool:
        """True when every word that was asked for has been taken."""
        return self.response.idle

    def forget(self) -> None:
        """The unit is reset: drop what it has not taken. Call it in each cycle of the reset."""
        self._resets += 1
        self.response.forget()

    def _accept(self, request: Item) -> None:
        self.requests.append(request)
        words = self.memory.read(request["address"], request["words"])
        if self.latency:
            cocotb.start_soon(self._answer_later(words))
        else:
            self._answer(words)

    async def _answer_later(self, words: np.ndarray) -> None:
        resets = self._resets
        await ClockCycles(self.clk, self.latency)
        if resets == self._resets:
            self._answer(words)

    def _answer(self, words: np.ndarray) -> None:
        for word in words:
            self.response.send({"data": int(word)})
