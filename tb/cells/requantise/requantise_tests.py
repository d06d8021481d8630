# SPDX-License-Identifier: Apache-2.0
"""Bench of requantise.v against the specification in fxpmath: every shift, both sides of each edge of the range, ties, random sums."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyuvm

from gradcore.models.arithmetic import VALUE_MAX, VALUE_MIN
from gradcore.models.cells.requantise import SHIFTS, requantise, saturated
from gradcore.models.expectation import Checked
from gradcore.models.numbers import PassFormats
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.seeds import test_rng
from tb.support.uvm import Coverage

ACCUMULATOR_MAX = (1 << 47) - 1
RANDOM_WIDTHS = range(1, 48, 3)
BATCH = 1000  # sums that fxpmath computes at once
OUTCOMES = ("clipped low", "least", "inside", "most", "clipped high")


class RequantisePredictor(Predictor):
    """What stood with ``enable`` must stand on the output until the next enable: in fxpmath, and the integer twin must agree.

    The pins give a shift and no formats: those are drawn at random such that the shift follows from them.
    """

    def build_phase(self) -> None:
        self.rng = test_rng()
        self.taken: tuple[int, int] | None = None
        self.held = 0  # cycles that the value has stood
        self.seen: list[tuple[int, int, int, int]] = []

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle: the output belongs to what was taken last."""
        if self.taken is not None:
            self.seen.append((*self.taken, pins["value"], pins["saturated"]))
            self.get_parent().coverage.sample(held="once" if not self.held else "longer")
            self.held += 1
        if pins["enable"]:
            self.taken, self.held = (pins["accumulator"], pins["shift"]), 0
        if len(self.seen) >= BATCH:
            self.compute()

    def extract_phase(self) -> None:
        self.compute()

    def compute(self) -> None:
        """Compare what was seen since the last time, shift by shift."""
        groups = defaultdict(list)
        for accumulator, shift, *got in self.seen:
            groups[shift].append((accumulator, got))
        self.seen = []
        for shift, members in groups.items():
            rules = Checked(self.formats(shift), rng=self.rng)
            sums = np.array([accumulator for accumulator, _ in members], dtype=np.int64)
            values, clipped = requantise(sums, shift, rules=rules), saturated(sums, shift, rules=rules)
            for accumulator, value, flag, (_, got) in zip(sums.tolist(), values.tolist(), clipped.tolist(), members, strict=True):
                place = f"{rules.formats.accumulator.text(accumulator)} with the rounding constant, shift {shift}"
                self.expect("value", {"value": value, "saturated": int(flag)}, place, {"value": rules.formats.result})
                self.get_parent().scoreboard.actual("value", dict(zip(("value", "saturated"), got, strict=True)))
                self.sample(accumulator, shift, value, flag)

    def sample(self, accumulator: int, shift: int, value: int, clipped: bool) -> None:
        """Which case it was. The rounding constant is in the sum: a tie, exactly one half, is where nothing is cut off."""
        low, high = value == VALUE_MIN, value == VALUE_MAX
        outcome = ("clipped low" if low else "clipped high") if clipped else "least" if low else "most" if high else "inside"
        tie = shift > 0 and not accumulator & ((1 << shift) - 1) and not clipped
        parity = ("even", "odd")[value & 1] if tie else None
        self.get_parent().coverage.sample(outcome_of_shift=(shift, outcome), tie=parity, sign=accumulator < 0)

    def formats(self, shift: int) -> PassFormats:
        """Formats from which the shift follows."""
        return Checked.of_shift(shift, self.rng).formats


def possible(shift: int, outcome: str) -> bool:
    """Whether a sum of 48 bits can come out so: from 32 places on nothing is clipped, from 33 on nothing reaches the ends."""
    return outcome == "inside" or shift < 32 or (shift == 32 and not outcome.startswith("clipped"))


class Environment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("value")
        inputs, outputs = ("enable", "accumulator", "shift"), ("value", "saturated")
        signed = {"signed": ("accumulator", "value"), "unknown": outputs, "rest": {"enable": 0}}
        self.pins = PinsAgent("pins", self, pins(self.dut, inputs, outputs, **signed))
        self.predictor = RequantisePredictor.create("predictor", self)
        points = {
            "outcome_of_shift": [(shift, outcome) for shift in SHIFTS for outcome in OUTCOMES if possible(shift, outcome)],
            "tie": ("even", "odd"),
            "sign": (False, True),
            "held": ("once", "longer"),
        }
        self.coverage = Coverage("coverage", self, points, {"ties_of_sign": ("tie", "sign")})

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)


class Sums(ItemSequence):
    """For each shift, sums at, inside and outside the edges of 16 bits, powers of two, ties, random ones; some held for a cycle."""

    shifts = SHIFTS

    def items(self) -> Iterable[dict[str, int]]:
        rng = test_rng()
        for shift in self.shifts:
            for accumulator in self.sums(shift, rng):
                yield {"enable": 1, "accumulator": int(accumulator), "shift": shift}
                if random.random() < 0.3:  # whatever the inputs have become meanwhile
                    yield {"enable": 0, "accumulator": ~int(accumulator), "shift": 47 - shift}

    def sums(self, shift: int, rng: np.random.Generator) -> list[int]:
        """Signed 48-bit sums, which hold the rounding constant."""
        unit = 1 << shift
        edges = [edge * unit + offset for edge in (-32769, -32768, -1, 0, 1, 32767, 32768) for offset in (-1, 0, 1)]
        ties = [unit * int(rng.integers(-32768, 32768)) for _ in range(6)]
        powers = [sign * (1 << bit) for bit in range(47) for sign in (-1, 1)]
        wild = [int(rng.integers(-(1 << width), 1 << width)) for width in RANDOM_WIDTHS for _ in range(2)]
        # Values inside the range, then one or two bits above it inverted: each bit that can be lost must be noticed by itself.
        near = []
        for sign in (0, -1):
            for bit in range(shift + 15, 47):
                inside = (int(rng.integers(0, 1 << 15)) << shift | int(rng.integers(0, unit))) ^ sign
                near += [inside, inside ^ (1 << bit), inside ^ (1 << bit) ^ (1 << int(rng.integers(shift + 15, 47)))]
        every = [*edges, *ties, *powers, *wild, *near, ACCUMULATOR_MAX, -ACCUMULATOR_MAX - 1]
        return [accumulator for accumulator in every if -ACCUMULATOR_MAX - 1 <= accumulator <= ACCUMULATOR_MAX]


class SumsTest(UnitTest):
    """Base: this unit has no reset; the first cycles come before anything is taken."""

    environment_type = Environment
    watchdog = 60_000

    async def main(self) -> None:
        await self.send(self.environment.pins, Sums)


@pyuvm.test()
class EveryShift(SumsTest):
    """Shifts 0 to 47."""


class FewShifts(Sums):
    """Some shifts only."""

    shifts = (0, 5, 30)


class WrongFormats(RequantisePredictor):
    """The result has one more fraction bit than the shift gives it."""

    def formats(self, shift: int) -> PassFormats:
        right = super().formats(shift)
        return PassFormats.of_fractions(right.source.fraction, right.weights.fraction, right.result.fraction + 1)


class OtherShift(RequantisePredictor):
    """A wrong model: it shifts once more than the pins say, with formats that fit."""

    def cycle(self, pins: dict[str, int]) -> None:
        super().cycle({**pins, "shift": min(pins["shift"] + 1, 47)})


@must_fail("environment.predictor", r"shift \d+ does not follow from the formats")
class WrongFraction(SumsTest):
    """A wrong fraction must be noticed before anything is compared with the module."""

    overrides = {RequantisePredictor: WrongFormats, Sums: FewShifts}


@must_fail("environment.scoreboard", r"value item \d+: expected")
class WrongShift(SumsTest):
    """A value that is half as large must be noticed."""

    overrides = {RequantisePredictor: OtherShift, Sums: FewShifts}


@must_fail("environment.coverage", r"coverage holes: outcome_of_shift=\(1, 'clipped low'\)")
class ShiftsLeftOut(SumsTest):
    """Coverage must see that shifts were left out."""

    overrides = {Sums: FewShifts}
