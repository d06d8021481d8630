# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/performance_counters.v: random events, runs of random length, carries through all bits."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pyuvm

from gradcore import hardware
from gradcore.models.control.performance_counters import ENGINES
from tb.control.performance_counters.performance_counters_env import CounterEnvironment, CounterPredictor, event_widths
from tb.support.base import ItemSequence, UnitTest, must_fail
from tb.support.declaration import parameter

GROUPS = parameter("GROUPS")
ZERO_WIDTH = parameter("ZERO_WIDTH")
BITS = parameter("BITS")
WIDTHS = event_widths(GROUPS, ZERO_WIDTH)
DENSITIES = (0.0, 0.1, 0.5, 0.9, 1.0)


def events(density: float, blocked: bool) -> dict[str, int]:
    """Random events; ``blocked``: no unit is active, all could be."""
    made = {port: sum((random.random() < density) << bit for bit in range(width)) for port, width in WIDTHS.items()}
    made["zeros_skipped"] = random.choice((0, (1 << ZERO_WIDTH) - 1, random.getrandbits(ZERO_WIDTH)))
    if blocked:
        made |= {f"{port}_active": 0 for port in ENGINES.values()}
        made |= {f"{port}_blocked": (1 << WIDTHS[f"{port}_blocked"]) - 1 for port in ENGINES.values()}
    return made


class Runs(ItemSequence):
    """Runs and pauses of random length and density; a start in between, in some cases while running."""

    densities = DENSITIES

    def items(self) -> Iterable[dict[str, int]]:
        for number_of_run in range(14):
            yield {"clear": 1, "running": random.randrange(2), **events(0.5, False)}
            for density in random.sample(self.densities, min(3, len(self.densities))):
                for _ in range(random.randrange(1, 40)):
                    yield {"running": 1, **events(density, random.random() < 0.1)}
                for _ in range(random.choice((0, 1, 7))):
                    yield {"running": 0, **events(density, random.random() < 0.1)}
            for number in range(9 * (number_of_run % 2)):  # all shows, and stays; else what is on its way is cleared
                yield {"running": 0, **events((1.0, 0.0, 0.5)[number % 3], number == 3)}


class RunsTest(UnitTest):
    """Base."""

    environment_type = CounterEnvironment
    watchdog = 10_000

    async def main(self) -> None:
        await self.send(self.environment.pins, Runs)


@pyuvm.test()
class RandomRuns(RunsTest):
    """Frozen outside of runs, cleared at a start; identities hold."""


@pyuvm.test()
class Carries(RunsTest):
    """Counters carry through all their bits, and wrap at the last. Sets counters inside the unit."""

    covers = False

    async def main(self) -> None:
        environment = self.environment
        environment.identities = False
        for exponent in (16, 32, 33, BITS):
            await environment.pins.start(Cycles([{"clear": 1}, *[{"running": 0}] * 6]))
            values = {name: (1 << exponent) - random.randrange(1, 9) for name in hardware.COUNTERS}
            for index, name in enumerate(hardware.COUNTERS):
                self.dut.g_counter[index].count.value = values[name]
            environment.predictor.set(values)
            await self.cycles(2)
            await environment.pins.start(Cycles([{"running": 1, **events(0.9, False)} for _ in range(random.randrange(10, 20))]))
            await self.cycles(6)
            shown = environment.predictor.last
            carried = sum(value < 1 << 20 if exponent == BITS else value >> exponent == 1 for value in shown.values())
            assert carried >= 8, "most counters must have carried"


class Cycles(ItemSequence):
    """Given cycles."""

    def __init__(self, cycles: list[dict[str, int]]) -> None:
        super().__init__("cycles")
        self.given = cycles

    def items(self) -> Iterable[dict[str, int]]:
        return self.given


class LostBeat(CounterPredictor):
    """A wrong model: two reads at once count as one."""

    def count(self, pins: dict[str, int]) -> None:
        super().count({**pins, "read_beat": min(pins["read_beat"], 2)})


class Quiet(Runs):
    """Nothing ever happens."""

    densities = (0.0,)

    def items(self) -> Iterable[dict[str, int]]:
        return ({**item, **dict.fromkeys(WIDTHS, 0)} for item in super().items())


@must_fail("environment.scoreboard", r"counters item \d+: expected")
class WrongCount(RunsTest):
    """A beat that is not counted must be noticed."""

    overrides = {CounterPredictor: LostBeat}


@must_fail("environment.coverage", "coverage holes: units=mixed, units=all active")
class NothingHappened(RunsTest):
    """Coverage must see that no unit worked."""

    overrides = {Runs: Quiet}
