# SPDX-License-Identifier: Apache-2.0
"""Benches of tests/designs/stream_register.v: show that the kit works, and that its checks fail when they must.

Also the example to copy from: the environment below is complete, with twins and an environment that watches passively.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import cocotb
import pyuvm
from cocotb.triggers import ClockCycles

from gradcore.models.numbers import value_format
from tb.support.base import FlowCoverage, ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail, place
from tb.support.declaration import parameter
from tb.support.seeds import test_rng
from tb.support.stalls import STALLS
from tb.support.streams import StreamSink, StreamSource, signals, start_clock_and_reset, wait_until
from tb.support.uvm import Coverage

OFFSET = parameter("OFFSET")
EXTREMES = (-32768, -1, 0, 1, 32766, 32767)
FIELDS = ("value", "tag")
FORMAT = value_format(9)  # of `value`, for messages


def model(fields: dict[str, int]) -> dict[str, int]:
    """What comes out for one item."""
    return {"value": (fields["value"] + OFFSET + 0x8000) % 0x10000 - 0x8000, "tag": fields["tag"]}


# ---- Sources and sinks without pyuvm ----


@cocotb.test()
@cocotb.parametrize(source_stalls=STALLS, sink_stalls=STALLS)
async def transfers(dut, source_stalls: str, sink_stalls: str) -> None:
    """Every item comes out once, in order, whatever the stalls."""
    source = StreamSource(dut.clk, dut.in_valid, dut.in_ready, signals(dut, "in", FIELDS), source_stalls, rst=dut.rst)
    sink = StreamSink(dut.clk, dut.out_valid, dut.out_ready, signals(dut, "out", FIELDS), sink_stalls, signed=("value",), rst=dut.rst)
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


# ---- An environment ----


class RegisterPredictor(Predictor):
    """Feeds the model with what the input's monitor saw, and says what was seen."""

    def item(self, fields: dict[str, int]) -> None:
        """One input."""
        self.expect("out", model(fields), f"item with tag {fields['tag']}", {"value": FORMAT})
        sign = ("zero", "positive", "negative")[(fields["value"] > 0) - (fields["value"] < 0)]
        extreme = fields["value"] if fields["value"] in EXTREMES else None
        self.get_parent().coverage.sample(sign=sign, tag_odd=fields["tag"] % 2, extreme=extreme)


class RegisterEnvironment(UnitEnvironment):
    """Agents, predictor, scoreboard and coverage of the register."""

    def build_phase(self) -> None:
        super().build_phase()
        self.input = self.source("in", FIELDS, signed=("value",))
        self.output = self.sink("out", FIELDS, signed=("value",))
        self.predictor = RegisterPredictor.create("predictor", self)
        points = {"sign": ("negative", "zero", "positive"), "tag_odd": (0, 1), "extreme": EXTREMES}
        self.coverage = Coverage("coverage", self, points, {"sign_by_tag": ("sign", "tag_odd")})
        self.flow = FlowCoverage("flow", self, {"in": self.input, "out": self.output})

    def connect_phase(self) -> None:
        self.predictor.hear(self.input, self.predictor.item)
        self.check("out", self.output)


class Items(ItemSequence):
    """Every extreme with both parities of the tag, then random ones."""

    def items(self) -> Iterable[dict[str, int]]:
        yield from ({"value": value, "tag": tag} for value in EXTREMES for tag in (0, 15))
        yield from ({"value": random.randrange(-32768, 32768), "tag": random.randrange(16)} for _ in range(60))


@pyuvm.test()
class RegisterTest(UnitTest):
    """The register under every pair of stall patterns, watched by a second environment that drives nothing."""

    environment_type = RegisterEnvironment
    watchdog = 8_000

    def build_phase(self) -> None:
        super().build_phase()
        place(self, "watcher", self.dut)
        self.watcher = RegisterEnvironment.create("watcher", self)

    async def main(self) -> None:
        environment = self.environment
        for source, sink in ((source, sink) for source in STALLS for sink in STALLS):
            environment.input.set_stalls(source)
            environment.output.set_stalls(sink)
            await self.send(environment.input, Items)
        assert self.watcher.scoreboard.seen == environment.scoreboard.seen


# ---- Twins that must fail ----


class Nothing(Items):
    """No item."""

    def items(self) -> Iterable[dict[str, int]]:
        return ()


class OneKind(Items):
    """The same item again and again."""

    def items(self) -> Iterable[dict[str, int]]:
        return ({"value": 5, "tag": 1} for _ in range(20))


class OffByOne(RegisterPredictor):
    """A wrong model."""

    def item(self, fields: dict[str, int]) -> None:
        super().item({**fields, "value": fields["value"] + 1})


class OneTooMany(RegisterPredictor):
    """A model that expects the first item twice: the module seems to have lost one."""

    def item(self, fields: dict[str, int]) -> None:
        for _ in range(1 if self.get_parent().scoreboard.seen.get("out") else 2):
            super().item(fields)


@must_fail("environment.scoreboard", "out: nothing was checked")
class NothingSent(RegisterTest):
    """A scoreboard that saw nothing must fail."""

    overrides = {Items: Nothing}


@must_fail("environment.coverage", "coverage holes: sign=negative, sign=zero, tag_odd=0, extreme=-32768")
class CoverageHole(RegisterTest):
    """Coverage that was not reached must fail."""

    overrides = {Items: OneKind}


@must_fail(
    "environment.scoreboard",
    r"out item 0: expected .* got .*\n  value: \S+ \(Q7\.9, raw 0x\w{4}\), expected \S+ \(Q7\.9, raw 0x\w{4}\)\n  item with tag \d+"
    r"\n  stream_register, at \d+ ns, seed \d+\n  replay with waves: WAVES=1 GRADCORE_SEED=\d+ \S+ -m pytest .*::test_",
)
class WrongModel(RegisterTest):
    """A wrong expectation must fail, with both numbers, the place, the time and the command that replays it."""

    overrides = {RegisterPredictor: OffByOne}


@must_fail("", r"watchdog: not done after 600 cycles; still expected: \{'out': 1\}")
class LostItem(UnitTest):
    """A module that never answers is stopped by the test's own limit, which says what is missing."""

    environment_type = RegisterEnvironment
    watchdog = 600

    async def main(self) -> None:
        self.environment.output.monitor.stream.stalls = iter(lambda: True, None)
        await self.environment.input.send([{"value": 5, "tag": 1}])


@must_fail("environment.scoreboard", "out: nothing was checked")
class OtherFailure(RegisterTest):
    """Fails, but not as it says: must not pass. The runner's tests expect that."""

    overrides = {RegisterPredictor: OffByOne}
