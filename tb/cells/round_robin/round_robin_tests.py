# SPDX-License-Identifier: Apache-2.0
"""Bench of round_robin: grants against a model in every cycle, and fairness."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pyuvm

from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment, UnitTest, must_fail
from tb.support.declaration import parameter
from tb.support.uvm import Coverage

WIDTH = parameter("WIDTH")
ALL = (1 << WIDTH) - 1


class GrantPredictor(Predictor):
    """The first requester after the last one that was granted, cyclically."""

    def build_phase(self) -> None:
        self.last = WIDTH - 1
        self.waited = [0] * WIDTH  # advances that each requester has stood without a grant

    def cycle(self, pins: dict[str, int]) -> None:
        """One cycle."""
        request, grant = pins["request"], pins["grant"]
        self.expect("grant", {"grant": self.grant(request)})
        self.get_parent().scoreboard.actual("grant", {"grant": grant})
        winner = grant.bit_length() - 1
        kind = "none" if not request else "all" if request == ALL else "one" if request.bit_count() == 1 else "some"
        wraps = None if winner < 0 else winner <= self.last
        self.get_parent().coverage.sample(requests=kind, advance=pins["advance"], winner=winner if grant else None, wraps=wraps)
        if pins["advance"] and grant:
            self.last = winner
            stay = [index != winner and bool(request >> index & 1) for index in range(WIDTH)]
            self.waited = [count + 1 if stays else 0 for count, stays in zip(self.waited, stay, strict=True)]
            assert max(self.waited) < WIDTH, f"requester {self.waited.index(max(self.waited))} waited {max(self.waited)} advances"
        else:
            self.waited = [count if request >> index & 1 else 0 for index, count in enumerate(self.waited)]

    def grant(self, request: int) -> int:
        """One-hot; 0 when nobody requests."""
        order = [(self.last + step) % WIDTH for step in range(1, WIDTH + 1)]
        return next((1 << index for index in order if request >> index & 1), 0)


class Environment(UnitEnvironment):
    """Pins, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("grant")
        self.pins = PinsAgent("pins", self, pins(self.dut, ("request", "advance"), ("grant",), rest={"request": 0, "advance": 0}))
        self.predictor = GrantPredictor.create("predictor", self)
        kinds = ("none", "one", "some", "all")[: 1 + min(WIDTH, 3)] if WIDTH != 1 else ("none", "all")
        points = {"requests": kinds, "advance": (0, 1), "winner": range(WIDTH), "wraps": (False, True) if WIDTH > 1 else (True,)}
        self.coverage = Coverage("coverage", self, points, {"requests_by_advance": ("requests", "advance")})

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)


class Requests(ItemSequence):
    """Random requests; in the second half those that are not served stay, so that fairness shows."""

    cycles = 800

    def items(self) -> Iterable[dict[str, int]]:
        standing = 0
        for cycle in range(self.cycles):
            standing = random.choice((0, ALL, random.getrandbits(WIDTH), 1 << random.randrange(WIDTH))) | (
                standing if cycle > self.cycles // 2 and random.random() < 0.9 else 0
            )
            yield {"request": standing, "advance": random.random() < 0.7}


@pyuvm.test()
class GrantsInTurn(UnitTest):
    """Random requests and advances."""

    environment_type = Environment
    watchdog = 3 * Requests.cycles

    async def main(self) -> None:
        await self.send(self.environment.pins, Requests)


class LowestFirst(GrantPredictor):
    """A wrong model: fixed priority."""

    def grant(self, request: int) -> int:
        return request & -request if WIDTH > 1 else 1 - request


class Nobody(Requests):
    """No request."""

    def items(self) -> Iterable[dict[str, int]]:
        return ({"request": 0, "advance": 1} for _ in range(20))


@must_fail("environment.scoreboard", r"grant item \d+: expected")
class FixedPriority(GrantsInTurn):
    """Another order must be noticed."""

    overrides = {GrantPredictor: LowestFirst}


@must_fail("environment.coverage", "coverage holes: requests=")
class NoRequests(GrantsInTurn):
    """Coverage must see that nobody requested."""

    overrides = {Requests: Nobody}
