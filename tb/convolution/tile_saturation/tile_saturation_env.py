# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of tile_saturation.v: its pins, a predictor that counts by bank, coverage."""

from __future__ import annotations

from gradcore.models.convolution.tile_saturation import TILE_VALUES, TileSaturation
from tb.support.agents import PinsAgent, pins
from tb.support.base import Predictor, UnitEnvironment
from tb.support.uvm import Coverage
from tb.support.vectors import VectorSlice

SIZES = ("none", "one", "some", "full")
INPUTS = ("saturated", "saturated_bank", "released", "stored")


class TilePredictor(Predictor):
    """Counts of both banks and of the tiles that wait, fed with each cycle's events."""

    def build_phase(self) -> None:
        self.restart()
        self.streams = self.get_parent().parameter("STREAMS")

    def restart(self) -> None:
        """The unit was reset: nothing has saturated."""
        self.model = TileSaturation()
        self.stored = 0

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle: the count stands with ``stored``; then what was released; then what saturated."""
        if "rst" in pins:
            self.restart()
            return
        model, events = self.model, pins["saturated"]
        banks = sum(pins[f"bank{stream}"] << stream for stream in range(self.streams) if events >> stream & 1)
        coverage = self.get_parent().coverage
        if pins["stored"]:
            self.expect("count", {"count": model.store()}, where=f"tile {self.stored}")
            self.get_parent().scoreboard.actual("count", {"count": pins["count"]})
            self.stored += 1
        if pins["released"]:
            count = model.counts[model.bank]
            size = "none" if not count else "one" if count == 1 else "full" if count == TILE_VALUES else "some"
            coverage.sample(size=size, bank=model.bank)
            model.release()
        for stream in range(self.streams):
            if events >> stream & 1:
                self.saturate(banks >> stream & 1)
        coverage.sample(
            both_banks=bool(events & banks and events & ~banks),
            all_streams=events == (1 << self.streams) - 1,
            waiting=len(model.waiting),
            release_and_store=bool(pins["released"] and pins["stored"]),
        )

    def saturate(self, bank: int) -> None:
        """A value of the tile in ``bank`` saturated."""
        self.model.saturate(bank)


class TileSaturationEnvironment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("count")
        banks = VectorSlice.cut(self.dut.saturated_bank, self.parameter("STREAMS"), 1)  # of a stream known only with its event
        named = {f"bank{stream}": bank for stream, bank in enumerate(banks)}
        unknown = ("count", "saturated_bank", *named)
        ports = pins(self.dut, INPUTS, ("count",), unknown=unknown, rest=dict.fromkeys(INPUTS, 0), resets=True)
        ports.outputs = {**ports.outputs, **named}
        self.pins = PinsAgent("pins", self, ports)
        self.predictor = TilePredictor.create("predictor", self)
        points = {
            "size": SIZES,
            "bank": (0, 1),
            "both_banks": (True,),  # in one cycle
            "all_streams": (True,),
            "waiting": range(1, 5),  # tiles released and not stored
            "release_and_store": (True,),
        }
        self.coverage = Coverage("coverage", self, points, {"size_by_bank": ("size", "bank")})

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)
