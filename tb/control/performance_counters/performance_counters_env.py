# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of performance_counters.v: its pins, a predictor that counts, coverage."""

from __future__ import annotations

from collections import deque

from gradcore import hardware
from gradcore.models.control.performance_counters import ENGINES, PerformanceCounters, broken_identities
from tb.support.agents import PinsAgent, pins
from tb.support.base import Predictor, UnitEnvironment
from tb.support.uvm import CheckFailure, Coverage

DELAY = 3  # cycles until an event shows
CONTROL = ("clear", "running")


def event_widths(groups: int, zero_width: int) -> dict[str, int]:
    """Bits of each port of events."""
    widths = {f"{port}_{kind}": 2 for port in ("loader", "vector", "store") for kind in ("active", "blocked")}
    return widths | {"conv_active": 2 * groups, "conv_blocked": 2 * groups, "zeros_skipped": zero_width, "read_beat": 2, "write_beat": 2}


class CounterPredictor(Predictor):
    """Every counter, the unused bits included, in every cycle: events show DELAY cycles later."""

    def build_phase(self) -> None:
        parameter = self.get_parent().parameter
        self.groups, self.zero_width = parameter("GROUPS"), parameter("ZERO_WIDTH")
        self.widths = event_widths(self.groups, self.zero_width)
        self.model = PerformanceCounters(self.groups, parameter("BITS"))
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
            full = (1 << self.widths[f"{port}_active"]) - 1
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
        edge = {0: "none", (1 << self.zero_width) - 1: "most"}.get(zeros, "some")
        self.get_parent().coverage.sample(zeros=edge, reads=pins["read_beat"].bit_count(), writes=pins["write_beat"].bit_count())

    def set(self, values: dict[str, int]) -> None:
        """The counters were set from outside, while nothing runs."""
        self.model.values |= values
        self.since_clear = 0

    def check_phase(self) -> None:
        broken = broken_identities(self.last, self.groups)
        if broken and self.get_parent().identities:
            raise CheckFailure(self, f"the counters break {broken}")


class CounterEnvironment(UnitEnvironment):
    """Pins, predictor, coverage. ``identities`` False: a test that sets counters."""

    identities = True

    def build_phase(self) -> None:
        super().build_phase()
        for stream in ("counters", "cycle"):
            self.scoreboard.add_stream(stream)
        inputs, outputs = (*CONTROL, *event_widths(self.parameter("GROUPS"), self.parameter("ZERO_WIDTH"))), ("counters", "cycle")
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
