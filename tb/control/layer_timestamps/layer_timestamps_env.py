# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of layer_timestamps.v: its pins, a predictor that knows what a mark stores and when, coverage."""

from __future__ import annotations

from collections import deque

from gradcore.models.control.performance_counters import LayerTimestamps
from tb.support.agents import PinsAgent, pins
from tb.support.base import Predictor, UnitEnvironment
from tb.support.uvm import Coverage
from tb.support.vectors import VectorSlice

INPUTS = ("clear", "mark_valid", "mark_layer", "mark_saturated", "cycle", "layer_index")
OUTPUTS = ("layers_finished", "layer_cycles", "layer_saturated")
WORDS = ("layer_cycles", "layer_saturated")
LAYER, SATURATED = (tuple(f"{name}{writer}" for writer in (0, 1)) for name in ("mark_layer", "mark_saturated"))  # of each writer
INDEX_DELAY, MARK_DELAY = 2, 5  # cycles from the index, and from a mark, to the words
LAYERS = (1, 40, 100, 256)


class TimestampPredictor(Predictor):
    """Two models: one takes marks at once, the other as late as the contract allows. Where they agree there is one right answer.

    In between the words of the layer are either those from before or those of the mark, never a mixture.
    """

    def build_phase(self) -> None:
        self.early, self.late = LayerTimestamps(), LayerTimestamps()
        self.marked: deque[tuple[int, int, int]] = deque()  # writer, layer, time: their saturated values stand in the next cycle
        self.pending: deque[tuple[int, tuple[int, int, int]]] = deque()  # cycle from which the late model takes a mark
        self.indexes: deque[int] = deque([0] * INDEX_DELAY, INDEX_DELAY)
        self.number = self.since_clear = 0

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle: what is shown, then what comes in."""
        self.number += 1
        self.since_clear += 1
        for writer, layer, time in self.marked:
            words = layer, time, self.saturated(pins[SATURATED[writer]])
            self.early.mark(*words)
            self.pending.append((self.number + MARK_DELAY, words))
        self.marked.clear()
        while self.pending and self.pending[0][0] <= self.number:
            self.late.mark(*self.pending.popleft()[1])
        if self.since_clear >= INDEX_DELAY:
            self.compare(pins, self.indexes[0])
        self.indexes.append(pins["layer_index"])
        for writer in (0, 1):
            if pins["mark_valid"] >> writer & 1:
                self.marked.append((writer, pins[LAYER[writer]], pins["cycle"]))
        if pins["clear"]:
            self.early.clear()
            self.late.clear()
            self.marked.clear()
            self.pending.clear()
            self.since_clear = 0
        self.get_parent().coverage.sample(writers=("none", "first", "second", "both")[pins["mark_valid"]], clear=pins["clear"])

    def compare(self, pins: dict[str, int], layer: int) -> None:
        """The words of the layer that was chosen, and how many layers have finished."""
        early, late, shown = self.early.read(layer), self.late.read(layer), tuple(pins[name] for name in WORDS)
        fewest, most, finished = self.late.finished, self.early.finished, pins["layers_finished"]
        assert fewest <= finished <= most, f"layers_finished is {finished}: {fewest} for certain, {most} at most"
        kind = "changing" if early != late else "unfinished" if layer >= most else "last" if layer == most - 1 else "earlier"
        if early is None or late is None:
            return  # never marked: unknown
        if early == late:
            self.expect("words", dict(zip(WORDS, early, strict=True)), where=f"layer {layer} of {most}")
            self.get_parent().scoreboard.actual("words", dict(zip(WORDS, shown, strict=True)))
        else:
            assert shown in (early, late), f"layer {layer} shows {shown}: neither {late} nor {early}"
        bound = most if most in LAYERS else None
        self.get_parent().coverage.sample(read=kind, layers=bound, saturated=shown[1] if shown[1] in (0, 1, 0xFFFFFFFF) else "other")

    def saturated(self, count: int) -> int:
        """What a mark stores besides its time."""
        return count


class TimestampEnvironment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("words")
        rest = {"clear": 0, "mark_valid": 0}
        unknown = (*WORDS, "mark_layer", "mark_saturated", *LAYER, *SATURATED, "cycle")  # before the first run, and without a mark
        ports = pins(self.dut, INPUTS, OUTPUTS, rest=rest, unknown=unknown)
        for names, handle, width in ((LAYER, self.dut.mark_layer, 8), (SATURATED, self.dut.mark_saturated, 32)):
            ports.outputs = {**ports.outputs, **dict(zip(names, VectorSlice.cut(handle, 2, width), strict=True))}
        self.pins = PinsAgent("pins", self, ports)
        self.predictor = TimestampPredictor.create("predictor", self)
        points = {
            "writers": ("none", "first", "second", "both"),
            "clear": (0, 1),
            "read": ("unfinished", "earlier", "last", "changing"),
            "layers": LAYERS,
            "saturated": (0, 1, 0xFFFFFFFF, "other"),
        }
        self.coverage = Coverage("coverage", self, points)

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)
