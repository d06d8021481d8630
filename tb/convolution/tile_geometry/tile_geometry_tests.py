# SPDX-License-Identifier: Apache-2.0
"""Bench of tile_geometry.v: every origin and kernel width, with random tiles, against models/convolution/conv_group.py."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import pyuvm

from gradcore.models.convolution.conv_group import ConvJob
from gradcore.models.jobs import ConvGroupJob
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.seeds import test_rng
from tb.support.uvm import Coverage
from tb.support.vectors import job_fields

SIGNED = ("origin_row", "origin_column")
INPUTS = ("buffer_columns", "slot", "row_entries", "kernel_w", *SIGNED)
OUTPUTS = ("origin_entry", "origin_pixel", "line_entries", "line_pixels")
CYCLES = 6  # from start to done
ORIGINS = range(-8, 8)


class GeometryPredictor(Predictor):
    """What stands from ``done`` on until the next start; ``done`` comes after exactly CYCLES cycles."""

    def build_phase(self) -> None:
        self.since: int | None = None  # cycles since the start
        self.want: dict[str, int] = {}
        self.fields: dict[str, int] = {}

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle."""
        if self.since is not None:
            self.since += 1
        assert pins["done"] == (self.since == CYCLES), f"done is {pins['done']} {self.since} cycles after the start"
        assert pins["busy"] == (self.since is not None and self.since < CYCLES), f"busy is {pins['busy']} {self.since} cycles after"
        if self.since is not None and self.since >= CYCLES:  # from then on in every cycle
            self.expect("results", self.want, where=f"{self.fields}")
            self.get_parent().scoreboard.actual("results", {name: pins[name] for name in OUTPUTS})
        if pins["start"]:
            assert not pins["busy"], "a start while busy"
            self.since, self.fields = 0, {name: pins[name] for name in INPUTS}
            job = self.job(self.fields)
            self.want = {name: getattr(job, name) for name in OUTPUTS}
            columns = self.fields["buffer_columns"]
            self.get_parent().coverage.sample(
                origin=(self.fields["origin_row"], self.fields["origin_column"]),
                kernel=self.fields["kernel_w"],
                columns=columns if columns in (1, 255) else "between",
            )

    def job(self, fields: dict[str, int]) -> ConvJob:
        """The model's job with these fields; of the others nothing here depends."""
        others = {field.name: 1 for field in dataclasses.fields(ConvJob)}
        return ConvJob(**others | fields)


class Environment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("results")
        outputs = (*OUTPUTS, "busy", "done")
        ports = pins(self.dut, ("start",), outputs, signed=SIGNED, rest={"start": 0}, unknown=OUTPUTS)
        fields = job_fields(self.dut.job, ConvGroupJob)
        ports.inputs = {**ports.inputs, **{name: fields[name] for name in INPUTS}}
        self.pins = PinsAgent("pins", self, ports)
        self.predictor = GeometryPredictor.create("predictor", self)
        origins = list(itertools.product(ORIGINS, repeat=2))
        self.coverage = Coverage("coverage", self, {"origin": origins, "kernel": range(1, 9), "columns": (1, 255, "between")})

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)


class Tiles(ItemSequence):
    """Origins from -8 to 7 in both directions, kernels of 1 to 8 columns, tiles up to the buffer's size; fields stand until done."""

    origins = ORIGINS

    def items(self) -> Iterable[dict[str, int]]:
        rng = test_rng()
        for number, (row, column) in enumerate(itertools.product(self.origins, repeat=2)):
            columns = int(rng.choice([1, 255, rng.integers(1, 256)]))
            slot = int(rng.integers(1, min(2047, 8191 // columns) + 1))
            fields = {"buffer_columns": columns, "slot": slot, "row_entries": columns * slot, "kernel_w": 1 + number % 8}
            fields |= {"origin_row": row, "origin_column": column}
            yield fields | {"start": 1}
            yield from [fields] * (CYCLES + int(rng.integers(1, 4)))


class TilesTest(UnitTest):
    """Base."""

    environment_type = Environment
    watchdog = 10_000

    async def main(self) -> None:
        await self.send(self.environment.pins, Tiles)


@pyuvm.test()
class EveryOrigin(TilesTest):
    """All origins, kernels and sizes."""


class OtherLine(GeometryPredictor):
    """A wrong model: a kernel that is a column wider."""

    def job(self, fields: dict[str, int]) -> ConvJob:
        return super().job({**fields, "kernel_w": fields["kernel_w"] + 1})


class Inside(Tiles):
    """Origins inside the buffer only."""

    origins = range(0, 8)


@must_fail("environment.scoreboard", "results item 0: expected")
class WrongLine(TilesTest):
    """A wrong step between lines must be noticed."""

    overrides = {GeometryPredictor: OtherLine}


@must_fail("environment.coverage", r"coverage holes: origin=\(-8, -8\)")
class OriginsLeftOut(TilesTest):
    """Coverage must see that no origin lay outside."""

    overrides = {Tiles: Inside}
