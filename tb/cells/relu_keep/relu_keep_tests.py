# SPDX-License-Identifier: Apache-2.0
"""Bench of relu_keep.v: each value's rule against the specification in fxpmath: what is not kept is zero there."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyuvm

from gradcore.models import arithmetic
from gradcore.models.expectation import Checked
from gradcore.models.numbers import PassFormats
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.seeds import test_rng
from tb.support.uvm import Coverage

LANES = 4
NEGATIVE, REST = (-32768, -32767, -1), (0, 1, 32766, 32767)  # extremes of each sign
BATCH = 512  # words that fxpmath computes at once


class ReluPredictor(Predictor):
    """Words with the signs that the pins show, through the rule that they choose, in fxpmath; the integer twin must agree."""

    def build_phase(self) -> None:
        self.rng = test_rng()
        self.rules = Checked(PassFormats.of_fractions(source=9, weights=12, result=8), rng=self.rng)
        self.seen: list[dict[str, int]] = []

    def cycle(self, pins: dict[str, int]) -> None:
        """What the pins hold: kept until there are enough for a batch."""
        self.seen.append(pins)
        if len(self.seen) == BATCH:
            self.compute()

    def extract_phase(self) -> None:
        self.compute()

    def compute(self) -> None:
        """Compare what was seen since the last time, method by method."""
        groups = defaultdict(list)
        for word in self.seen:
            groups[word["method"], word["enable"]].append(word)
        self.seen = []
        for (method, enable), members in groups.items():
            shifts = np.arange(LANES)
            negative, mask, keep = (
                np.array([word[name] for word in members])[:, None] >> shifts & 1 for name in ("negative", "mask", "keep")
            )
            values = np.where(negative == 1, self.values(NEGATIVE, -32768, 0, keep.shape), self.values(REST, 0, 32768, keep.shape))
            want = self.rules.relu_backward(values, mask, self.method(method)) if enable else values
            for number, word in enumerate(members):
                known = ", ".join(f"{name} {word[name]:04b}" for name in ("negative", "mask"))
                place = f"{self.method(method)}, enable {enable}, {known}"
                self.expect("kept", {"values": tuple(map(int, want[number]))}, where=place)
                self.get_parent().scoreboard.actual("kept", {"values": tuple(map(int, (values * keep)[number]))})
                for lane in range(LANES):
                    sample = {"method": method, "enable": enable, "negative": int(negative[number, lane]), "mask": int(mask[number, lane])}
                    value = int(values[number, lane])
                    self.get_parent().coverage.sample(**sample, extreme=value if value in (*NEGATIVE, *REST) else None, lane=lane)

    def values(self, extremes: tuple[int, ...], low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
        """Random values of one sign, half of them extremes."""
        return np.where(self.rng.random(shape) < 0.5, self.rng.choice(extremes, shape), self.rng.integers(low, high, shape))

    @staticmethod
    def method(number: int) -> str:
        """3 behaves as guided."""
        return arithmetic.METHODS[min(number, 2)]


class Environment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("kept")
        self.pins = PinsAgent("pins", self, pins(self.dut, ("negative", "mask", "method", "enable"), ("keep",), clocked=False))
        self.predictor = ReluPredictor.create("predictor", self)
        points = {
            "method": range(4),
            "enable": (0, 1),
            "negative": (0, 1),
            "mask": (0, 1),
            "extreme": (*NEGATIVE, *REST),
            "lane": range(LANES),
        }
        rule = ("method", "enable", "negative", "mask")
        self.coverage = Coverage("coverage", self, points, {"rule": rule, "rule_of_lane": ("lane", *rule)})

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)


class EveryWord(ItemSequence):
    """Every combination of signs, mask, method and enable, in random order."""

    def items(self) -> Iterable[dict[str, int]]:
        every = list(itertools.product(range(16), range(16), range(4), range(2)))
        random.shuffle(every)
        yield from (dict(zip(("negative", "mask", "method", "enable"), one, strict=True)) for one in every)


class OneMethod(EveryWord):
    """Guided is left out."""

    def items(self) -> Iterable[dict[str, int]]:
        return (item for item in super().items() if item["method"] < 2)


@pyuvm.test()
class AllRules(UnitTest):
    """Each method, with and without enable, each mask and sign."""

    environment_type = Environment
    clocked = False
    watchdog = 5_000

    async def main(self) -> None:
        await self.send(self.environment.pins, EveryWord)


class OtherMethod(ReluPredictor):
    """A wrong model: the rules of saliency and deconvnet changed over."""

    @staticmethod
    def method(number: int) -> str:
        return arithmetic.METHODS[(1, 0, 2, 2)[number]]


@must_fail("environment.scoreboard", r"kept item \d+: expected")
class WrongMethod(AllRules):
    """Another method's rule must be noticed."""

    overrides = {ReluPredictor: OtherMethod}


@must_fail("environment.coverage", "coverage holes: method=2, method=3, rule=")
class MethodLeftOut(AllRules):
    """Coverage must see that a method was left out."""

    overrides = {EveryWord: OneMethod}
