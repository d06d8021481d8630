# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/performance_counters.v: random events, runs of random length, carries through all bits."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

import pyuvm

from gradcore import hardware
from gradcore.models.control.performance_counters import ENGINES, PerformanceCounters, broken_identities
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.declaration import parameter
from tb.support.uvm import Coverage

GROUPS = parameter("GROUPS")
ZERO_WIDTH = parameter("ZERO_WIDTH")
BITS = parameter("BITS")
DELAY = 3  # cycles until an event shows
WIDTHS = {f"{port}_{kind}": 2 for port in ("loader", "vector", "store") for kind in ("active", "blocked")}
WIDTHS |= {"conv_active": 2 * GROUPS, "conv_blocked": 2 * GROUPS, "zeros_skipped": ZERO_WIDTH, "read_beat": 2, "write_beat": 2}
CONTROL = ("clear", "running")
DENSITIES = (0.0, 0.1, 0.5, 0.9, 1.0)


class CounterPredictor(Predictor):
    """Every counter, the unused bits included, in every cycle: events show DELAY cycles later."""

    def build_phase(self) -> None:
        self.model = PerformanceCounters(GROUPS, BITS)
        self.history: deque[dict[str, int]] = deque(maxlen=DELAY)
        self.time = self.since_clear = 0
        self.last: dict[str, int] = {}

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle: what is shown, then what counts."""
        self.since_clear += 1
        self.history.append(dict(self.model.values))
        if self.since_clear > DELAY and len(self.history) == DELAY:
            flat = pins["counters"]
            self.last = {name: flat >> 64 * index & (1 << 64) - 1 for index, name in enumerate(hardware.COUNTERS)}
            self.expect("counters", self.history[0])
            self.get_parent().scoreboard.actual("counters", self.last)
        if self.since_clear:
            self.expect("cycle", {"cycle": self.time & 0xFFFFFFFF})
            self.get_parent().scoreboard.actual("cycle", {"cycle": pins["cycle"]})
        if pins["clear"]:
            self.model.clear()
            self.time, self.since_clear = 0, 0
        elif pins["running"]:
            self.count(pins)
            self.time += 1
        self.sample(pins)

    def count(self, pins: dict[str, int]) -> None:
        """The events of a cycle of a run."""
        self.model.count(pins)

    def sample(self, pins: dict[str, int]) -> None:
        """What kind of cycle it was."""
        for port in ENGINES.values():
            active, blocked = pins[f"{port}_active"], pins[f"{port}_blocked"]
            full = (1 << WIDTHS[f"{port}_active"]) - 1
            units = (
                "all active"
                if active == full
                else "all blocked"
                if not active and blocked == full
                else "none"
                if not active | blocked
                else "mixed"
            )
            self.get_parent().coverage.sample(running=pins["running"], clear=pins["clear"], engine=port, units=units)
        zeros = pins["zeros_skipped"]
        edge = {0: "none", (1 << ZERO_WIDTH) - 1: "most"}.get(zeros, "some")
        self.get_parent().coverage.sample(zeros=edge, reads=pins["read_beat"].bit_count(), writes=pins["write_beat"].bit_count())

    def set(self, values: dict[str, int]) -> None:
        """The counters were set from outside, while nothing runs."""
        self.model.values |= values
        self.since_clear = 0

    def check_phase(self) -> None:
        broken = broken_identities(self.last, GROUPS)
        assert not broken or not self.get_parent().identities, f"the counters break {broken}"


class Environment(UnitEnvironment):
    """Pins, predictor, coverage. ``identities`` False: a test that sets counters."""

    identities = True

    def build_phase(self) -> None:
        super().build_phase()
        for stream in ("counters", "cycle"):
            self.scoreboard.add_stream(stream)
        inputs, outputs = (*CONTROL, *WIDTHS), ("counters", "cycle")
        self.pins = PinsAgent("pins", self, pins(self.dut, inputs, outputs, unknown=outputs, rest=dict.fromkeys(CONTROL, 0)))
        self.predictor = CounterPredictor.create("predictor", self)
        points = {
            "running": (0, 1),
            "clear": (0, 1),
            "engine": list(ENGINES.values()),
            "units": ("none", "mixed", "all active", "all blocked"),
            "zeros": ("none", "some", "most"),
            "reads": range(3),
            "writes": range(3),
        }
        self.coverage = Coverage("coverage", self, points, {"units_of_engine": ("running", "engine", "units")})

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)


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
        for _ in range(14):
            yield {"clear": 1, "running": random.randrange(2), **events(0.5, False)}
            for density in random.sample(self.densities, min(3, len(self.densities))):
                for _ in range(random.randrange(1, 40)):
                    yield {"running": 1, **events(density, random.random() < 0.1)}
                for _ in range(random.choice((0, 1, 7))):
                    yield {"running": 0, **events(density, random.random() < 0.1)}
            for number in range(9):  # all shows, and stays
                yield {"running": 0, **events((1.0, 0.0, 0.5)[number % 3], number == 3)}


class RunsTest(UnitTest):
    """Base."""

    environment_type = Environment
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
