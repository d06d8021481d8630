# SPDX-License-Identifier: Apache-2.0
"""Bench of piece_packer: runs of pieces from every place of a word, with stalls on both sides."""

from __future__ import annotations

import random

import cocotb
import pyuvm
from cocotb.triggers import ClockCycles
from pyuvm import uvm_env, uvm_test

from gradcore.models.tile_store import pack_pieces
from tb.support.streams import signals, start_clock_and_reset, wait_until
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, SinkAgent, SourceAgent, StreamPort

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 13)


class Environment(uvm_env):
    """Agents, a predictor that gathers runs from the input monitor, scoreboard, coverage."""

    def build_phase(self) -> None:
        dut = cocotb.top
        inputs, outputs = ("piece", "position", "last"), ("data", "strobe")
        in_stalls, out_stalls = self.stalls
        self.source = SourceAgent(
            "source", self, StreamPort(dut.clk, dut.in_valid, dut.in_ready, signals(dut, "in", inputs), stalls=in_stalls, rst=dut.rst)
        )
        self.sink = SinkAgent(
            "sink", self, StreamPort(dut.clk, dut.out_valid, dut.out_ready, signals(dut, "out", outputs), stalls=out_stalls, rst=dut.rst)
        )
        self.scoreboard = Scoreboard("scoreboard", self)
        points = {"start": range(4), "length": LENGTHS}
        self.coverage = Coverage("coverage", self, points=points, crosses={"start_by_length": ("start", "length")})
        self.predictor = CallbackSubscriber("predictor", self, self.predict)
        self.run: list[dict[str, int]] = []

    def predict(self, fields: dict[str, int]) -> None:
        """A run is complete with its last piece: say what must come out."""
        self.run.append(fields)
        if fields["last"]:
            start = self.run[0]["position"]
            for data, strobe in pack_pieces([item["piece"] for item in self.run], 2 * start):
                self.scoreboard.expect("out", {"data": data, "strobe": strobe})
            self.coverage.sample(start=start, length=len(self.run))
            self.run = []

    def connect_phase(self) -> None:
        self.source.monitor.analysis_port.connect(self.predictor.analysis_export)
        self.sink.monitor.analysis_port.connect(self.scoreboard.actual_export("out"))


class PackerTest(uvm_test):
    """Every length from every start, in random order, and the cycles it takes without stalls."""

    stalls = ("none", "none")

    def build_phase(self) -> None:
        self.environment = Environment("environment", self)
        self.environment.stalls = self.stalls

    async def run_phase(self) -> None:
        self.raise_objection()
        dut = cocotb.top
        shapes = [(start, length) for start in range(4) for length in LENGTHS] * 2
        random.shuffle(shapes)
        runs = [([random.choice((0, 0xFFFF, random.getrandbits(16))) for _ in range(length)], start) for start, length in shapes]
        items = [
            {"piece": piece, "position": (start + k) % 4, "last": int(k == len(pieces) - 1)}
            for pieces, start in runs
            for k, piece in enumerate(pieces)
        ]
        planned = sum(len(pack_pieces(pieces, 2 * start)) for pieces, start in runs)
        scoreboard = self.environment.scoreboard
        scoreboard.planned["out"] = planned
        await start_clock_and_reset(dut)
        monitor = self.environment.sink.monitor.stream
        begin = monitor.cycles
        await self.environment.source.send(items)
        await wait_until(dut.clk, lambda: scoreboard.seen["out"] >= planned, 40 * len(items), "the last word")
        if self.stalls == ("none", "none"):
            assert monitor.cycles - begin <= len(items) + 8, "one piece a cycle"
        await ClockCycles(dut.clk, 20)
        self.drop_objection()


@pyuvm.test(timeout_time=200, timeout_unit="us")
class NoStalls(PackerTest):
    """Full speed."""


@pyuvm.test(timeout_time=200, timeout_unit="us")
class SlowSink(PackerTest):
    """The sink takes one word in four cycles."""

    stalls = ("none", "three_of_four")


@pyuvm.test(timeout_time=200, timeout_unit="us")
class RandomStalls(PackerTest):
    """Stalls on both sides."""

    stalls = ("random", "random")
