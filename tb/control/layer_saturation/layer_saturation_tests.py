# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/layer_saturation.v: jobs of both kinds and seeds finish at random, some as the last of their layer.

What stands for both writers is compared in every cycle after a mark.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pyuvm

from gradcore.models.control.layer_saturation import VECTOR_VALUES
from gradcore.models.convolution.tile_saturation import TILE_VALUES
from tb.control.layer_saturation.layer_saturation_env import KINDS, LayerPredictor, LayerSaturationEnvironment
from tb.support.base import ItemSequence, UnitTest, must_fail

CYCLES = 5000
MOST = {"tile": TILE_VALUES, "vector": VECTOR_VALUES}


class Jobs(ItemSequence):
    """Cycles with jobs that finish; the marks of a writer are two cycles apart or more, a seed's never in a vector's place.

    The mark of a job follows in the cycle after it. Counts without a job are rubbish.
    """

    kinds = KINDS

    def items(self) -> Iterable[dict[str, int]]:
        since = {"tile": 2, "vector": 2}  # cycles since the mark of a writer
        rate, quiet, marks = 0.3, False, 0
        for number in range(CYCLES):
            if number % 200 == 0:  # of 25 stretches every fourth saturates nothing
                rate, quiet = random.choice((0.02, 0.3, 1.0)), number % 800 == 0
                rate = 0.3 if quiet else rate
            clear = number % 1500 == 1499
            done, last, counts = {}, {}, {}
            for kind in ("tile", "vector"):
                most = MOST[kind]
                done[kind] = kind in self.kinds and random.random() < rate
                counts[kind] = 0 if quiet else random.choice((0, 1, most, random.randrange(most)))
                last[kind] = done[kind] and since[kind] > 1 and random.random() < 0.2
            seed = "seed" in self.kinds and not done["vector"] and since["vector"] > 1 and random.random() < 0.05
            since["tile"] = 1 if last["tile"] else since["tile"] + 1
            since["vector"] = 1 if last["vector"] or seed else since["vector"] + 1
            yield {
                "clear": int(clear),
                "tile_stored": int(done["tile"]),
                "tile_saturated": counts["tile"],
                "vector_done": int(done["vector"]),
                "vector_saturated": counts["vector"],
                "mark_valid": 0 if clear else marks,
            }
            marks = 0 if clear else last["tile"] | (last["vector"] or seed) << 1


class LayersTest(UnitTest):
    """Base."""

    environment_type = LayerSaturationEnvironment
    watchdog = 2 * CYCLES

    async def main(self) -> None:
        await self.send(self.environment.pins, Jobs)
        assert self.environment.scoreboard.seen["standing"] > CYCLES - 1000


@pyuvm.test()
class RandomJobs(LayersTest):
    """Jobs of all kinds, layers of one job and of many, starts in between."""


class OneTooMany(LayerPredictor):
    """A wrong model: sums are one too large."""

    def total(self, kind: str) -> int:
        return super().total(kind) + 1


class WithoutSeed(Jobs):
    """No seed is marked."""

    kinds = ("tile", "vector")


@must_fail("environment.scoreboard", r"standing item \d+: expected")
class WrongSum(LayersTest):
    """A sum that is one too large must be noticed."""

    overrides = {LayerPredictor: OneTooMany}


@must_fail("environment.coverage", "coverage holes: kind=seed, seed_between=True")
class WithoutSeeds(LayersTest):
    """Coverage must see that no seed was marked."""

    overrides = {Jobs: WithoutSeed}
