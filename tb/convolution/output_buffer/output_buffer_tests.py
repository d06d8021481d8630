# SPDX-License-Identifier: Apache-2.0
"""Bench of output_buffer: all sources at once, both sides, reads as early as the contract allows; fairness and throughput."""

from __future__ import annotations

import random
from collections.abc import Iterable

import cocotb
import pyuvm

from tb.convolution.output_buffer.output_buffer_env import KINDS, READS, SIDES, BufferEnvironment, BufferPredictor
from tb.support.base import ItemSequence, UnitTest, must_fail
from tb.support.declaration import parameter

SOURCES = 2 * parameter("GROUPS")


class Transfers(ItemSequence):
    """Random transfers of one source; few addresses, so that places are overwritten and read soon."""

    count = 90
    source = 0

    def items(self) -> Iterable[dict[str, int]]:
        for number in range(self.count):
            yield {
                "kind": random.getrandbits(1),
                "bank": random.getrandbits(1),
                "parity": self.parity(number),
                "address": random.choice((0, 511, random.randrange(512), random.randrange(4))),
                "data": random.choice((0, (1 << 64) - 1, random.getrandbits(64), random.getrandbits(64))),
            }

    def parity(self, number: int) -> int:
        """The side that an item goes to."""
        del number
        return random.getrandbits(1)


class BalancedTransfers(Transfers):
    """All of one source go to one side, half of the sources to each; the other way round in the second half."""

    def parity(self, number: int) -> int:
        return (self.source + (number >= self.count // 2)) % 2


class Reads(ItemSequence):
    """A read of each kind and side in most cycles, of places that may just be read for the first time, if there are any; until stopped."""

    predictor: BufferPredictor
    running = True

    def items(self) -> Iterable[dict[str, int]]:
        while self.running:
            fields = dict.fromkeys(READS, 0)
            for kind in KINDS:
                for side in SIDES:
                    places, newest = self.predictor.readable(kind, side)
                    if places and random.random() < 0.9:
                        place = random.choice(newest if newest and random.random() < 0.7 else places)
                        fields[f"{kind}_read_enable"] |= 1 << side
                        fields[f"{kind}_read_address"] |= place[2] << 10 * side
                    else:
                        fields[f"{kind}_read_address"] |= random.getrandbits(10) << 10 * side
            yield fields


class BufferTest(UnitTest):
    """Base: all sources send, the read ports read; then every place is read once: nothing was written that should not have been."""

    environment_type = BufferEnvironment
    watchdog = 30_000
    stalls: tuple[str, ...] = ("random",)

    async def main(self) -> None:
        for stalls in self.stalls:
            await self.traffic(stalls)

    async def traffic(self, stalls: str) -> None:
        """All sources, with pauses after the pattern."""
        environment, predictor = self.environment, self.environment.predictor
        before = predictor.transfers
        reads = Reads.create("reads")
        reads.predictor = predictor
        reading = cocotb.start_soon(environment.reads.start(reads))
        tasks = []
        for index, agent in enumerate(environment.sources.agents):
            agent.set_stalls(stalls)
            sequence = Transfers.create(f"transfers{index}")
            sequence.source = index
            tasks.append(cocotb.start_soon(agent.start(sequence)))
        for task in tasks:
            await task
        await self.cycles(20)
        reads.running = False
        await reading
        for kind, side, address in list(predictor.memory):
            fields = dict.fromkeys(READS, 0) | {f"{kind}_read_enable": 1 << side, f"{kind}_read_address": address << 10 * side}
            await environment.reads.start(OneRead(fields))
        transfers = predictor.transfers - before
        assert transfers == SOURCES * Transfers.count, f"{transfers} transfers"


class OneRead(ItemSequence):
    """A read of given pins."""

    def __init__(self, fields: dict[str, int]) -> None:
        super().__init__("read")
        self.fields = fields

    def items(self) -> Iterable[dict[str, int]]:
        return (self.fields,)


@pyuvm.test()
class RandomTraffic(BufferTest):
    """Sources that pause at random, then sources that are idle three cycles in four."""

    stalls = ("random", "three_of_four")


@pyuvm.test()
class FullLoad(BufferTest):
    """Sources without a pause, each of one parity for all its items: each side transfers in every cycle."""

    covers = False
    stalls = ("none",)
    overrides = {Transfers: BalancedTransfers}

    async def main(self) -> None:
        await super().main()
        busy, least = len(self.environment.predictor.served), SOURCES * Transfers.count // 2
        assert busy <= least + 8, f"{busy} busy cycles for {least} transfers a side"


class OtherSide(BufferPredictor):
    """A wrong model: both sides changed over."""

    def side(self, fields: dict[str, int]) -> int:
        return 1 - fields["parity"]


class LeftSide(Transfers):
    """Nothing for one of the sides."""

    count = 20

    def parity(self, number: int) -> int:
        return 0


@must_fail("environment.scoreboard", r"(word|tag) item \d+: expected")
class WrongSide(BufferTest):
    """A transfer on the other side must be noticed."""

    overrides = {BufferPredictor: OtherSide}


@must_fail("environment.coverage", "coverage holes: .*side=1")
class SideLeftOut(BufferTest):
    """Coverage must see that a side got nothing."""

    overrides = {Transfers: LeftSide}

    async def main(self) -> None:
        for agent in self.environment.sources.agents:
            await self.send(agent, Transfers)
        reads = Reads.create("reads")
        reads.predictor = self.environment.predictor
        cocotb.start_soon(self.environment.reads.start(reads))
        await self.cycles(60)
        reads.running = False
