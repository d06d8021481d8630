# SPDX-License-Identifier: Apache-2.0
"""Benches of tests/designs/stream_register.v: show that the support works, and that its checks fail when they must.

Also the example to copy from: ``RegisterTest`` is a complete small pyuvm environment.
"""

from __future__ import annotations

import random

import cocotb
import pyuvm
from cocotb.triggers import ClockCycles
from pyuvm import uvm_env, uvm_test

from tb.support.declaration import parameter
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS
from tb.support.streams import StreamSink, StreamSource, signals, start_clock_and_reset, wait_until
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, SinkAgent, SourceAgent, StreamPort

OFFSET = parameter("OFFSET")
EXTREMES = (-32768, -1, 0, 1, 32766, 32767)


def model(fields: dict[str, int]) -> dict[str, int]:
    """What comes out for one item."""
    return {"value": (fields["value"] + OFFSET + 0x8000) % 0x10000 - 0x8000, "tag": fields["tag"]}


@cocotb.test()
@cocotb.parametrize(source_stalls=STALLS, sink_stalls=STALLS)
async def transfers(dut, source_stalls: str, sink_stalls: str) -> None:
    """Every item comes out once, in order, whatever the stalls."""
    source = StreamSource(dut.clk, dut.in_valid, dut.in_ready, signals(dut, "in", ("value", "tag")), source_stalls, rst=dut.rst)
    sink = StreamSink(
        dut.clk, dut.out_valid, dut.out_ready, signals(dut, "out", ("value", "tag")), sink_stalls, signed=("value",), rst=dut.rst
    )
    await start_clock_and_reset(dut)
    rng = test_rng()
    items = [{"value": value, "tag": 5} for value in EXTREMES]
    items += [{"value": int(rng.integers(-32768, 32768)), "tag": int(rng.integers(16))} for _ in range(60)]
    for item in items:
        source.send(item)
    await source.drain()
    await sink.wait_for(len(items), cycles=500)
    assert list(sink.received) == [model(item) for item in items]
    if source_stalls == sink_stalls == "none":
        assert sink.cycles < len(items) + 12, "one item a cycle"


@cocotb.test()
async def wrong_result(dut) -> None:
    """Fails on purpose."""
    await start_clock_and_reset(dut)
    assert OFFSET == -1, "fails on purpose"


@cocotb.test()
async def fails_in_background(dut) -> None:
    """A task that fails must fail the test, although nobody awaits it."""

    async def background() -> None:
        await ClockCycles(dut.clk, 3)
        raise AssertionError("fails on purpose")

    dut.in_valid.value = 0
    dut.out_ready.value = 0
    await start_clock_and_reset(dut)
    cocotb.start_soon(background())
    await ClockCycles(dut.clk, 20)


@cocotb.test()
async def hangs(dut) -> None:
    """Never ends: the runner's time limit must stop it."""
    await start_clock_and_reset(dut)
    await wait_until(dut.clk, lambda: False, 10**9)


class RegisterEnvironment(uvm_env):
    """Agents, scoreboard and coverage of the register."""

    def build_phase(self) -> None:
        dut = cocotb.top
        stalls = random.choice(STALLS), random.choice(STALLS)
        self.source = SourceAgent(
            "source",
            self,
            StreamPort(
                dut.clk,
                dut.in_valid,
                dut.in_ready,
                signals(dut, "in", ("value", "tag")),
                signed=("value",),
                stalls=stalls[0],
                rst=dut.rst,
            ),
        )
        self.sink = SinkAgent(
            "sink",
            self,
            StreamPort(
                dut.clk,
                dut.out_valid,
                dut.out_ready,
                signals(dut, "out", ("value", "tag")),
                signed=("value",),
                stalls=stalls[1],
                rst=dut.rst,
            ),
        )
        self.scoreboard = Scoreboard("scoreboard", self)
        self.coverage = Coverage(
            "coverage",
            self,
            points={"sign": ("negative", "zero", "positive"), "tag_odd": (0, 1)},
            crosses={"sign_by_tag": ("sign", "tag_odd")},
        )
        self.predictor = CallbackSubscriber("predictor", self, self.predict)

    def predict(self, fields: dict[str, int]) -> None:
        """Feed the model with what the input monitor saw."""
        self.scoreboard.expect("out", model(fields))
        sign = ("zero", "positive", "negative")[(fields["value"] > 0) - (fields["value"] < 0)]
        self.coverage.sample(sign=sign, tag_odd=fields["tag"] % 2)

    def connect_phase(self) -> None:
        self.source.monitor.analysis_port.connect(self.predictor.analysis_export)
        self.sink.monitor.analysis_port.connect(self.scoreboard.actual_export("out"))


class RegisterTestBase(uvm_test):
    """Sends what ``items`` says and waits until it has come out."""

    def items(self) -> list[dict[str, int]]:
        """Every extreme with both parities of the tag, then random ones."""
        extremes = [{"value": value, "tag": tag} for value in EXTREMES for tag in (0, 15)]
        return extremes + [{"value": random.randrange(-32768, 32768), "tag": random.randrange(16)} for _ in range(100)]

    def build_phase(self) -> None:
        self.environment = RegisterEnvironment("environment", self)

    async def run_phase(self) -> None:
        self.raise_objection()
        items = self.items()
        self.environment.scoreboard.planned["out"] = len(items)
        await start_clock_and_reset(cocotb.top)
        await self.environment.source.send(items)
        await ClockCycles(cocotb.top.clk, 400)
        self.drop_objection()


@pyuvm.test()
class RegisterTest(RegisterTestBase):
    """The register through pyuvm."""


@pyuvm.test(expect_fail=True)
class NothingSent(RegisterTestBase):
    """A scoreboard that saw nothing must fail."""

    def items(self) -> list[dict[str, int]]:
        return []


@pyuvm.test(expect_fail=True)
class CoverageHole(RegisterTestBase):
    """Coverage that was not reached must fail."""

    def items(self) -> list[dict[str, int]]:
        return [{"value": 5, "tag": 1}]
