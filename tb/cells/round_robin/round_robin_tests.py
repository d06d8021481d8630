# SPDX-License-Identifier: Apache-2.0
"""Bench of round_robin: grants against a model, cycle by cycle, and fairness."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.support.streams import start_clock_and_reset


def expected_grant(request: int, last: int, width: int) -> int:
    """One-hot grant: the first requester after ``last``, cyclically; 0 when there is none."""
    for step in range(1, width + 1):
        index = (last + step) % width
        if request >> index & 1:
            return 1 << index
    return 0


@cocotb.test()
async def grants_in_turn(dut):
    """Random requests and advances."""
    width = len(dut.request)
    dut.request.value = 0
    dut.advance.value = 0
    await start_clock_and_reset(dut)
    last = width - 1
    waited = [0] * width
    grants = 0
    for cycle in range(1000):
        if cycle < 500:
            request = random.getrandbits(width)
        else:  # those that are not served stay
            request = random.getrandbits(width) | sum(1 << index for index in range(width) if waited[index])
        advance = int(random.random() < 0.7)
        dut.request.value = request
        dut.advance.value = advance
        await ReadOnly()
        grant = int(dut.grant.value)
        assert grant == expected_grant(request, last, width), f"{grant:b} for {request:b} after {last}"
        await RisingEdge(dut.clk)
        if advance:
            for index in range(width):
                waited[index] = waited[index] + 1 if request >> index & 1 and not grant >> index & 1 else 0
            if grant:
                last = grant.bit_length() - 1
                grants += 1
        if cycle > 600:
            assert max(waited) < width
    assert grants > 200
