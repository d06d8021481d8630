# SPDX-License-Identifier: Apache-2.0
"""Tests of axi_read_port: random requests of several clients, stalls on every port, windows, errors, flushes, throughput."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pyuvm

from gradcore.hardware import OUTSTANDING
from gradcore.models.axi.axi_bursts import bursts
from tb.axi.axi_read_port.axi_read_port_env import BURST, ReadPortEnvironment, ReadPredictor
from tb.support.axi_port import (
    Burst,
    EveryOffset,
    FewRequests,
    Long,
    PortModel,
    PortTest,
    RandomRequests,
    Refused,
    longer_bursts,
)
from tb.support.axi_slave import ERRORS, OKAY
from tb.support.base import must_fail
from tb.support.stalls import STALLS, stall_pattern
from tb.support.uvm import StreamItem


class ReadPortTest(PortTest):
    """Base."""

    environment_type = ReadPortEnvironment

    def stalls(self, request: str = "none", response: str = "none", address: str = "none", data: str = "none") -> None:
        """From now on stall after these patterns: the clients' ports, and the bus."""
        self.clients.set_stalls(request, response)
        self.slave.address_stalls, self.slave.data_stalls = stall_pattern(address, random), stall_pattern(data, random)


@pyuvm.test()
class EveryCase(ReadPortTest):
    """Lengths at all offsets, every stall pattern on every port, errors, edges of windows, full FIFOs, flushes at random moments."""

    watchdog = 60_000
    covers = True

    async def directed(self) -> None:
        self.slave.latency = 3
        await self.run_all(EveryOffset)
        await self.every_stall()
        await self.full()
        await self.flush_words()
        await self.windows()
        self.stalls("random", "random", "random", "random")
        await self.flushes()

    async def every_stall(self) -> None:
        """Every three patterns on responses and bus, and each on requests; addresses around 4 KiB; some errors, now and then many."""
        for number, (address, data, response) in enumerate(itertools.product(STALLS, repeat=3)):
            self.stalls(random.choice(STALLS), response, address, data)
            self.slave.latency = random.choice((1, 2, 7, 32))
            bad, share = random.randrange(1 << 20), 1009 if number % 9 == 4 else 20
            self.slave.error = lambda where, bad=bad, share=share: random.choice(ERRORS) * ((where ^ bad) % 1009 < share)
            await self.run_all(RandomRequests, page=2 * number)
        self.stalls()
        self.slave.latency, self.slave.error = 32, lambda where: ERRORS[where // 8 % 3]
        for words in (1, 16):  # so that each response stands on each place of a burst
            await self.run_all(Long, words=words, count=3, page=100)
        self.slave.error = lambda where: OKAY

    async def full(self) -> None:
        """No client takes anything for long, so that FIFOs are filled to the last word, or to less than a burst."""
        for offset in (0, 40):
            self.clients.stalls = [itertools.chain([True] * 400, itertools.repeat(False)) for _ in self.clients.stalls]
            await self.run_all(Long, words=110, offset=offset, page=200)

    async def flush_words(self) -> None:
        """A flush while words of every client wait in its FIFO."""
        self.clients.stalls = [itertools.repeat(True) for _ in self.clients.stalls]
        await self.ask(Long, words=16, page=230)
        while not all(self.predictor.fifo):
            await self.cycles(1)
        await self.pulse(flush=1)
        self.stalls()
        await self.pulse(flush=0)
        await self.settled()


@pyuvm.test()
class NoClientBlocksAnother(ReadPortTest):
    """Each client in turn takes nothing: it gets as many bursts as have room, all others get all of theirs."""

    async def directed(self) -> None:
        self.slave.latency = 32
        clients, words, offset = self.clients, 150, 40
        assert clients.clients > 1, "this needs several clients"
        for blocked in range(clients.clients):
            clients.stalls[blocked] = itertools.repeat(True)
            taken = self.predictor.words
            await self.ask(Long, words=words, offset=offset, page=blocked)
            for _ in range(words * clients.clients + 200):
                await self.cycles(1)
                if self.predictor.words - taken == words * (clients.clients - 1):
                    break
            else:
                raise AssertionError(f"client {blocked} blocks others: {self.predictor.words - taken} words came")
            room = self.predictor.depth[blocked]
            for _, beats in bursts(offset, words):
                room -= beats if room >= BURST else 0
            await self.cycles(100)
            promised = self.predictor.promised[blocked]
            assert promised == self.predictor.depth[blocked] - room, f"client {blocked} has {promised} words in its FIFO"
            clients.stalls[blocked] = stall_pattern("none")
            await self.settled()


@pyuvm.test()
class OneBeatACycle(ReadPortTest):
    """Bursts in a row at a latency of 32: from one client, from all in turns, and in requests of 8 words."""

    async def directed(self) -> None:
        self.slave.latency = 32
        clients, owners = self.clients.clients, self.port.owners
        assert await self.time_of(Long, of=(0,), words=1024) <= 1024 + 32 + 12
        assert len(owners) == 64
        owners.clear()
        assert await self.time_of(Long, words=512) <= 512 * clients + 32 + 12 + 32
        middle = owners[clients : -2 * clients]
        late = [middle[at:][: 2 * clients] for at in range(len(middle) - 2 * clients) if len(set(middle[at:][: 2 * clients])) < clients]
        assert not late, f"a client waits for more than two bursts of each other: {late[0]}"
        assert await self.time_of(Long, of=(0,), words=8, count=128) <= 1024 + 32 + 64
        await self.issue(min(OUTSTANDING, 4 * clients))


# ---- Twins that must fail ----


class Short(EveryCase):
    """The first part alone."""

    covers = True

    async def directed(self) -> None:
        await self.run_all(EveryOffset)


class LongBursts(ReadPredictor):
    """A wrong model: requests are cut after 256 bytes."""

    def promise(self, burst: Burst) -> None:
        super().promise(burst)
        longer_bursts(self.port, burst.client)


class NextClient(ReadPredictor):
    """A wrong model: a burst's words go to another client."""

    def owner(self, burst: Burst) -> int:
        return (burst.client + 1) % len(self.fifo)


class LostWord(ReadPredictor):
    """A model that expects a word more: the port seems to have lost it."""

    def word(self, item: StreamItem) -> None:
        if not self.words:
            self.expect(f"words of client {item.fields['client']}", {"data": 0})
        super().word(item)


class EarlyIdle(PortModel):
    """A wrong model: a burst is no work in hand once its address is out."""

    def end(self, pins: dict[str, Any], data: bool = False) -> None:
        super().end(pins, data)
        self.busy = any(self.pending)


class IdleModel(ReadPredictor):
    """With that one."""

    def build_phase(self) -> None:
        super().build_phase()
        self.port.__class__ = EarlyIdle


@must_fail("environment.predictor", "unexpected burst of 1?[0-9] beats")
class WrongModel(Short):
    """Bursts that are cut otherwise must be noticed."""

    overrides = {ReadPredictor: LongBursts}


@must_fail("environment.predictor", "response_valid is 1, expected 10")
class SwappedClient(Short):
    """Words that go to another client must be noticed."""

    overrides = {ReadPredictor: NextClient}


@must_fail("environment.scoreboard", r"words of client \d item 0: expected {'data': 0}")
class LostItem(Short):
    """A word that never comes must be noticed."""

    overrides = {ReadPredictor: LostWord}


@must_fail("environment.predictor", "idle is 0 with nothing in hand")
class WrongIdle(Short):
    """An idle that is low for another reason than the model's must be noticed."""

    overrides = {ReadPredictor: IdleModel, EveryOffset: FewRequests}


@must_fail("environment.coverage", "coverage holes: .*window=no words")
class Hole(Short):
    """Coverage must see that most was left out."""

    overrides = {EveryOffset: FewRequests}

    async def directed(self) -> None:
        await super().directed()
        await self.pulse(window_base=Refused.window[0], window_limit=Refused.window[1])
        await self.run_all(Refused)
