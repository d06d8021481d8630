# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/layer_timestamps.v: marks of both writers, also in one cycle, reads at any time, several runs."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pyuvm

from tb.control.layer_timestamps.layer_timestamps_env import LAYERS, TimestampEnvironment, TimestampPredictor
from tb.support.base import ItemSequence, UnitTest, must_fail


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

    environment_type = TimestampEnvironment
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
