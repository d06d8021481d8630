# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/layer_timestamps.v: marks of both writers, also in one cycle, reads at any time, several runs."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

import pyuvm

from gradcore.models.control.performance_counters import LayerTimestamps
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.uvm import Coverage

INPUTS = ("clear", "mark_valid", "mark_layer", "mark_saturated", "cycle", "layer_index")
OUTPUTS = ("layers_finished", "layer_cycles", "layer_saturated")
WORDS = ("layer_cycles", "layer_saturated")
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
            words = layer, time, self.saturated(pins["mark_saturated"] >> 32 * writer & 0xFFFFFFFF)
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
                self.marked.append((writer, pins["mark_layer"] >> 8 * writer & 0xFF, pins["cycle"]))
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


class Environment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("words")
        rest = {"clear": 0, "mark_valid": 0}
        self.pins = PinsAgent("pins", self, pins(self.dut, INPUTS, OUTPUTS, rest=rest, unknown=WORDS))
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


class Runs(ItemSequence):
    """Runs whose layers finish in order on either writer or on both at once; the index stays on new layers, or wanders."""

    writers = (0, 1)

    def items(self) -> Iterable[dict[str, int]]:
        for layers in (*LAYERS, random.choice(LAYERS)):
            time = random.choice((0, random.getrandbits(31), (1 << 32) - 30))
            index = 0
            # Marks that a start still forgets: in the cycle before it, and in its own.
            yield {"mark_valid": sum(1 << writer for writer in self.writers), "mark_layer": random.getrandbits(16)}
            yield {"clear": 1}
            for _ in range(random.randrange(8)):
                yield {}
            yield {"clear": 1, "mark_valid": 1, "mark_layer": random.getrandbits(16)}
            yield {}
            marks: list[tuple[int, ...]] = []
            layer = 0
            while layer < layers:
                both = random.sample(self.writers, len(self.writers))
                chosen = tuple(writer for writer in both if random.random() < 0.6)[: layers - layer]
                marks.append(chosen)
                layer += len(chosen)
            layer, counts, late = 0, [0, 0], ()
            for chosen in (*marks, *[()] * 80):
                numbers = [random.getrandbits(8), random.getrandbits(8)]  # rubbish without a mark
                for writer in chosen:
                    numbers[writer] = layer
                    layer += 1
                pause = random.choice((1, 1, 1, 2, 10)) if chosen else 1  # marks of a writer are two cycles apart or more
                for step in range(1 + pause):
                    for writer in late:  # the count follows its mark by a cycle, and stands until the writer's next one
                        counts[writer] = random.choice((0, 1, 0xFFFFFFFF, random.getrandbits(32)))
                    late = chosen if step == 0 else ()
                    if random.random() < 0.2:
                        index = random.choice((max(layer - 1, 0), layer % 256, random.randrange(256), random.randrange(layer + 1) % 256))
                    yield {
                        "mark_valid": sum(1 << writer for writer in chosen) if step == 0 else 0,
                        "mark_layer": numbers[1] << 8 | numbers[0],
                        "mark_saturated": counts[1] << 32 | counts[0],
                        "cycle": time & 0xFFFFFFFF,
                        "layer_index": index,
                    }
                    time += 1


class RunsTest(UnitTest):
    """Base."""

    environment_type = Environment
    watchdog = 20_000

    async def main(self) -> None:
        await self.send(self.environment.pins, Runs)


@pyuvm.test()
class RandomRuns(RunsTest):
    """Marks, reads and starts in random order; a word is never shown while it is being written."""


class OneCountLess(TimestampPredictor):
    """A wrong model: all ones are stored as one less."""

    def saturated(self, count: int) -> int:
        return count - (count == 0xFFFFFFFF)


class OneWriter(Runs):
    """The second writer never marks."""

    writers = (0,)


@must_fail("environment.scoreboard|environment.predictor", r"words item \d+: expected|layer \d+ shows")
class WrongCount(RunsTest):
    """A wrong count of saturated values must be noticed."""

    overrides = {TimestampPredictor: OneCountLess}


@must_fail("environment.coverage", "coverage holes: writers=second, writers=both")
class WriterLeftOut(RunsTest):
    """Coverage must see that a writer was left out."""

    overrides = {Runs: OneWriter}
