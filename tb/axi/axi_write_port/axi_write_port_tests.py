# SPDX-License-Identifier: Apache-2.0
"""Tests of axi_write_port: random requests of several clients, stalls on every port, windows, errors, flushes, throughput."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pyuvm

from tb.axi.axi_write_port.axi_write_port_env import AHEAD, WritePortEnvironment, WritePredictor
from tb.support.axi_port import Burst, EveryOffset, FewRequests, Long, PortModel, PortTest, RandomRequests, Refused, longer_bursts
from tb.support.axi_slave import ERRORS, OKAY
from tb.support.base import must_fail
from tb.support.stalls import STALLS, stall_pattern
from tb.support.uvm import StreamItem


class WritePortTest(PortTest):
    """Base; at the end the memory holds what the clients handed over, byte by byte."""

    environment_type = WritePortEnvironment

    def stalls(
        self, request: str = "none", client: str = "none", address: str = "none", data: str = "none", response: str = "none"
    ) -> None:
        """From now on stall after these patterns: the clients' ports, and the bus."""
        self.clients.set_stalls(request, client)
        slave, patterns = self.slave, (stall_pattern(kind, random) for kind in (address, data, response))
        slave.address_stalls, slave.data_stalls, slave.response_stalls = patterns

    async def main(self) -> None:
        await super().main()
        assert self.slave.memory == self.predictor.memory, "the memory holds other bytes than were handed over"


@pyuvm.test()
class EveryCase(WritePortTest):
    """Lengths at all offsets, every stall pattern on every port, errors, edges of windows, flushes at random moments."""

    watchdog = 60_000
    covers = True

    async def directed(self) -> None:
        self.slave.latency = 3
        await self.run_all(EveryOffset)
        await self.every_stall()
        await self.windows()
        self.stalls("random", "random", "random", "random", "random")
        await self.flushes()

    async def every_stall(self) -> None:
        """Every three patterns on data and bus, and each on the others; data before addresses; some errors, now and then many."""
        for number, (address, data, client) in enumerate(itertools.product(STALLS, repeat=3)):
            self.stalls(random.choice(STALLS), client, address, data, random.choice(STALLS))
            self.slave.latency, self.slave.data_first = random.choice((1, 2, 7, 32)), bool(number % 2)
            bad, share = random.randrange(1 << 20), 1009 if number % 9 == 4 else 20
            self.slave.error = lambda where, bad=bad, share=share: random.choice(ERRORS) * ((where ^ bad) % 1009 < share)
            await self.run_all(RandomRequests, page=2 * (number % 4))
        self.stalls()
        self.slave.latency, self.slave.error, self.slave.data_first = 32, lambda where: ERRORS[where // 128 % 3], False
        await self.run_all(Long, words=32, count=3, page=100)  # each response to the last burst of a request, and to the first
        self.slave.error = lambda where: OKAY
        await self.late()

    async def late(self) -> None:
        """Addresses, data and responses come late in turn: data before addresses, addresses before data, all that may be in flight."""
        self.slave.latency = 150
        for channel in ("address", "data", "response"):
            setattr(self.slave, f"{channel}_stalls", itertools.chain([True] * 100, itertools.repeat(False)))
            self.slave.data_first = channel == "address"
            await self.run_all(Long, of=(0,), words=160, page=200)


@pyuvm.test()
class OneBeatACycle(WritePortTest):
    """Bursts in a row at a response latency of 32: from one client, from all in turns, and in requests of 8 words."""

    async def directed(self) -> None:
        self.slave.latency = 32
        clients, owners = self.clients.clients, self.port.owners
        assert await self.time_of(Long, of=(0,), words=1024) <= 1024 + 32 + 12
        assert len(owners) == 64
        owners.clear()
        assert await self.time_of(Long, words=512) <= 512 * clients + 32 + 12
        middle = owners[clients : -2 * clients]
        late = [middle[at:][:clients] for at in range(len(middle) - clients) if len(set(middle[at:][:clients])) < clients]
        assert not late, f"a client waits for more than one burst of each other: {late[0]}"
        assert await self.time_of(Long, of=(0,), words=8, count=128) <= 1024 + 32 + 64
        await self.issue(AHEAD)


# ---- Twins that must fail ----


class Short(EveryCase):
    """The first part alone."""

    covers = True

    async def directed(self) -> None:
        await self.run_all(EveryOffset)


class LongBursts(WritePredictor):
    """A wrong model: bursts are twice as long as they are."""

    def offer(self, burst: Burst) -> None:
        super().offer(burst)
        longer_bursts(self.port, burst.client)


class NextClient(WritePredictor):
    """A wrong model: a burst takes the data of another client."""

    def owner(self, burst: Burst) -> int:
        return (burst.client + 1) % self.port.clients


class LostBeat(WritePredictor):
    """A model that expects a beat more, one that is like no other: the port seems to have lost it."""

    def take(self, item: StreamItem) -> None:
        if not self.words:
            self.expect("beats", {"data": 1 << 64, "strobe": 0, "last": 1})
        super().take(item)


class EarlyIdle(PortModel):
    """A wrong model: a burst is no work in hand once its address is out."""

    def end(self, pins: dict[str, Any], data: bool = False) -> None:
        super().end(pins, data)
        self.busy = any(self.pending)


class IdleModel(WritePredictor):
    """With that one."""

    def build_phase(self) -> None:
        super().build_phase()
        self.port.__class__ = EarlyIdle


class EveryBurstDone(WritePredictor):
    """A wrong model: done comes with each burst."""

    def offer(self, burst: Burst) -> None:
        burst.last = True
        super().offer(burst)


@must_fail("environment.predictor", "unexpected burst of 1?[0-9] beats")
class WrongModel(Short):
    """Bursts that are cut otherwise must be noticed."""

    overrides = {WritePredictor: LongBursts}


@must_fail("environment.predictor", "client 0: a beat is taken for the burst of client 1")
class SwappedClient(Short):
    """Data of another client must be noticed."""

    overrides = {WritePredictor: NextClient}


@must_fail("environment.predictor", "done is 0, expected 1")
class WrongDone(Short):
    """A pulse of done that is missing must be noticed."""

    overrides = {WritePredictor: EveryBurstDone}


@must_fail("environment.scoreboard", r"beats item 0: expected {'data': 18446744073709551616, 'strobe': 0, 'last': 1}")
class LostItem(Short):
    """A beat that never comes must be noticed."""

    overrides = {WritePredictor: LostBeat}


@must_fail("environment.predictor", "idle is 0 with nothing in hand")
class WrongIdle(Short):
    """An idle that is low for another reason than the model's must be noticed."""

    overrides = {WritePredictor: IdleModel, EveryOffset: FewRequests}


@must_fail("environment.coverage", "coverage holes: .*window=no words")
class Hole(Short):
    """Coverage must see that most was left out."""

    overrides = {EveryOffset: FewRequests}

    async def directed(self) -> None:
        await super().directed()
        await self.pulse(window_base=Refused.window[0], window_limit=Refused.window[1])
        await self.run_all(Refused)
