# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/convolution/tile_saturation.v: tiles overlap as they do in the core, streams saturate at random.

Up to two tiles saturate at a time and up to four wait to be stored. The count is compared in each cycle of ``stored``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

import pyuvm

from gradcore.models.convolution.tile_saturation import TILE_VALUES
from tb.convolution.tile_saturation.tile_saturation_env import SIZES, TilePredictor, TileSaturationEnvironment
from tb.support.base import ItemSequence, UnitTest, must_fail
from tb.support.declaration import parameter

STREAMS = parameter("STREAMS")
TILES = 40
RATES = (0.05, 0.4, 1.0)


class Tiles(ItemSequence):
    """Cycles in which TILES tiles saturate, are released, and are stored in their order.

    A tile: how many of its values saturate, how dense in time, when it is released (two cycles or more after its last value) and stored.
    """

    sizes = SIZES

    def tiles(self) -> deque[dict]:
        """Tiles of the sizes in both banks, and more that are not full, in random order; some are stored late, so that four wait."""
        small = [size for size in self.sizes if size != "full"]
        banks = [[*self.sizes, *random.choices(small, k=TILES // 2 - len(self.sizes))] for _ in range(2)]
        sizes = [size for pair in zip(*(random.sample(bank, len(bank)) for bank in banks), strict=True) for size in pair]
        values = {"none": 0, "one": 1, "full": TILE_VALUES}
        late = random.randrange(4, TILES - 8)
        return deque(
            {
                "bank": number % 2,
                "values": values.get(size, random.randrange(2, 300)),
                "rate": 1.0 if size == "full" else random.choice(RATES),
                "release": random.choice((2, 3, 30)),
                "store": 30_000 if number == late else random.choice((0, 1, 5, 60)),
                "together": number not in range(late, late + 5) and random.random() < 0.3,
            }
            for number, size in enumerate(sizes)
        )

    def items(self) -> Iterable[dict[str, int]]:
        coming, running = self.tiles(), deque()  # running: saturate, or wait for their release; the oldest first
        released: deque[int] = deque()  # cycles until the tile may be stored
        while coming or running or released:
            while len(running) < 2 and coming:
                running.append(coming.popleft())
            events = banks = 0
            for stream in range(STREAMS):
                able = [tile for tile in running if tile["values"] and random.random() < tile["rate"]]
                bank = random.randrange(2)
                if able:
                    tile = random.choice(able)
                    tile["values"] -= 1
                    events |= 1 << stream
                    bank = tile["bank"]
                banks |= bank << stream
            stored = bool(released) and released[0] <= 0
            oldest = running[0] if running else None
            ready = oldest is not None and not oldest["values"] and oldest["release"] <= 0 and len(released) < 4
            release = ready and not (oldest["together"] and released and not stored)
            if len(released) == 4 or not running and not coming:
                released = deque(min(wait, 60) for wait in released)  # a tile that is late has made four wait
            yield {"saturated": events, "saturated_bank": banks, "released": int(release), "stored": int(stored)}
            released = deque(wait - 1 for wait in released)
            if stored:
                released.popleft()
            if release:
                released.append(oldest["store"])
                running.popleft()
            for tile in running:
                tile["release"] -= not tile["values"]


class TilesTest(UnitTest):
    """Base: tiles until all are stored."""

    environment_type = TileSaturationEnvironment
    watchdog = 100_000

    async def main(self) -> None:
        self.environment.scoreboard.planned["count"] = TILES
        await self.send(self.environment.pins, Tiles)


@pyuvm.test()
class RandomTiles(TilesTest):
    """Tiles of all sizes in both banks, released and stored at random."""


class OneTooMany(TilePredictor):
    """A wrong model: the first value of the run counts twice."""

    first = True

    def saturate(self, bank: int) -> None:
        if self.first:
            super().saturate(bank)
        self.first = False
        super().saturate(bank)


class SmallTiles(Tiles):
    """No tile saturates everywhere."""

    sizes = ("none", "one", "some")


@must_fail("environment.scoreboard", r"count item \d+: expected")
class WrongCount(TilesTest):
    """A count that is one too large must be noticed."""

    overrides = {TilePredictor: OneTooMany}


@must_fail("environment.coverage", "coverage holes: size=full")
class NeverFull(TilesTest):
    """Coverage must see that no tile was full."""

    overrides = {Tiles: SmallTiles}
