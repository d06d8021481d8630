# SPDX-License-Identifier: Apache-2.0
"""pyuvm bench of rtl/convolution/tile_saturation.v: tiles overlap as they do in the core, streams saturate at random.

A sequence item is a tile: how many of its values saturate, how dense in time, and when it is released and stored. Up to two
tiles saturate at a time and up to four wait to be stored. The model is fed by a monitor of the ports; the scoreboard
compares the count in each cycle of ``stored``.
"""

from __future__ import annotations

import random
from collections import deque

import cocotb
import pyuvm
from cocotb.triggers import RisingEdge
from pyuvm import uvm_analysis_port, uvm_driver, uvm_env, uvm_monitor, uvm_sequence, uvm_sequencer, uvm_test

from gradcore.models.saturation import TILE_VALUES, TileSaturation
from tb.support.declaration import parameter
from tb.support.streams import start_clock_and_reset, wait_until
from tb.support.uvm import CallbackSubscriber, Coverage, Scoreboard, StreamItem

STREAMS = parameter("STREAMS")
SIZES = ("none", "one", "some", "full")
TILES = 40
RATES = (0.05, 0.4, 1.0)


class TileSequence(uvm_sequence):
    """Tiles of the given sizes in both banks, and more that are not full, in random order."""

    def __init__(self, sizes: tuple[str, ...]) -> None:
        super().__init__("tiles")
        small = [size for size in sizes if size != "full"]
        banks = [[*sizes, *random.choices(small, k=TILES // 2 - len(sizes))] for _ in range(2)]
        self.sizes = [size for pair in zip(*(random.sample(bank, len(bank)) for bank in banks), strict=True) for size in pair]

    async def body(self) -> None:
        values = {"none": 0, "one": 1, "full": TILE_VALUES}
        late = random.randrange(4, TILES - 8)  # the first of some tiles that are stored late, so that four wait
        for number, size in enumerate(self.sizes):
            item = StreamItem(
                values=values.get(size, random.randrange(2, 300)),
                rate=1.0 if size == "full" else random.choice(RATES),
                release=random.choice((2, 3, 30)),
                store=30_000 if number == late else random.choice((0, 1, 5, 60)),
                together=number not in range(late, late + 5) and random.random() < 0.3,
            )
            await self.start_item(item)
            await self.finish_item(item)


class TileDriver(uvm_driver):
    """Drives saturated values of two tiles at a time, then their release and, in order, their storing.

    ``left``: items that will still come. A tile is released two cycles or more after its last value.
    """

    left = 0

    async def run_phase(self) -> None:
        dut = cocotb.top
        running: deque[dict] = deque()  # tiles that saturate or wait for their release, oldest first
        released: deque[int] = deque()  # cycles until the tile may be stored
        number = 0
        while True:
            while len(running) < 2 and self.left:
                item = await self.seq_item_port.get_next_item()
                running.append({**item.fields, "bank": number % 2})
                self.seq_item_port.item_done()
                self.left -= 1
                number += 1
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
            dut.saturated.value, dut.saturated_bank.value = events, banks
            dut.released.value, dut.stored.value = int(release), int(stored)
            await RisingEdge(dut.clk)
            released = deque(wait - 1 for wait in released)
            if stored:
                released.popleft()
            if release:
                released.append(oldest["store"])
                running.popleft()
            for tile in running:
                tile["release"] -= not tile["values"]


class PortMonitor(uvm_monitor):
    """Publishes each cycle: saturated values, what is released and stored, and the count that stands with ``stored``."""

    def build_phase(self) -> None:
        self.cycles = uvm_analysis_port("cycles", self)

    async def run_phase(self) -> None:
        dut = cocotb.top
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value):
                continue
            fields = {name: int(getattr(dut, name).value) for name in ("saturated", "saturated_bank", "released", "stored")}
            fields["count"] = int(dut.count.value) if fields["stored"] else 0
            self.cycles.write(StreamItem(**fields))


class Environment(uvm_env):
    """Sequencer, driver, monitor, model, scoreboard and coverage."""

    def build_phase(self) -> None:
        self.sequencer = uvm_sequencer("sequencer", self)
        self.driver = TileDriver("driver", self)
        self.monitor = PortMonitor("monitor", self)
        self.model = TileSaturation()
        self.scoreboard = Scoreboard("scoreboard", self)
        self.scoreboard.add_stream("counts")
        self.watch = CallbackSubscriber("watch", self, self.cycle)
        self.coverage = Coverage(
            "coverage",
            self,
            points={
                "size": SIZES,
                "bank": (0, 1),
                "both_banks": (True,),  # in one cycle
                "all_streams": (True,),
                "waiting": range(1, 5),  # tiles released and not stored
                "release_and_store": (True,),
            },
            crosses={"size_by_bank": ("size", "bank")},
        )
        self.stored = 0

    def connect_phase(self) -> None:
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)
        self.monitor.cycles.connect(self.watch.analysis_export)

    def cycle(self, fields: dict[str, int]) -> None:
        model, events, banks = self.model, fields["saturated"], fields["saturated_bank"]
        if fields["stored"]:
            self.scoreboard.expect("counts", {"count": model.store()})
            self.scoreboard.actual("counts", {"count": fields["count"]})
            self.stored += 1
        if fields["released"]:
            count = model.counts[model.bank]
            size = "none" if not count else "one" if count == 1 else "full" if count == TILE_VALUES else "some"
            self.coverage.sample(size=size, bank=model.bank)
            model.release()
        for stream in range(STREAMS):
            if events >> stream & 1:
                model.saturate(banks >> stream & 1)
        self.coverage.sample(
            both_banks=bool(events & banks and events & ~banks),
            all_streams=events == (1 << STREAMS) - 1,
            waiting=len(model.waiting),
            release_and_store=bool(fields["released"] and fields["stored"]),
        )


class TilesTest(uvm_test):
    """Base: runs tiles until all are stored."""

    sizes = SIZES

    def build_phase(self) -> None:
        self.environment = Environment("environment", self)

    async def run_phase(self) -> None:
        self.raise_objection()
        dut, environment = cocotb.top, self.environment
        for name in ("saturated", "saturated_bank", "released", "stored"):
            getattr(dut, name).value = 0
        await start_clock_and_reset(dut)
        sequence = TileSequence(self.sizes)
        environment.scoreboard.planned["counts"] = environment.driver.left = TILES
        await sequence.start(environment.sequencer)
        await wait_until(dut.clk, lambda: environment.stored == TILES, 100_000, "the end of all tiles")
        self.drop_objection()


@pyuvm.test()
class RandomTiles(TilesTest):
    """Tiles of all sizes in both banks, released and stored at random."""


@pyuvm.test(expect_fail=True)
class WrongCount(TilesTest):
    """The scoreboard must see a count that is one too large."""

    def end_of_elaboration_phase(self) -> None:
        self.environment.model.counts[random.randrange(2)] = 1


@pyuvm.test(expect_fail=True)
class NeverFull(TilesTest):
    """Coverage must see that no tile was full."""

    sizes = ("none", "one", "some")
