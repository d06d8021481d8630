# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/control/layer_timestamps.v: marks of both writers, also in one cycle, reads at any time, several runs."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from gradcore.models.performance_counters import LayerTimestamps
from tb.support.streams import start_clock_and_reset


class Bench:
    """Drives marks and a cycle count, feeds the model with them."""

    def __init__(self, dut) -> None:
        self.dut, self.model, self.cycle = dut, LayerTimestamps(), 0
        self.saturated = [0, 0]  # of each writer: what its last mark came with

    async def start(self) -> None:
        for port in ("clear", "mark_valid", "mark_layer", "mark_saturated", "cycle", "layer_index"):
            getattr(self.dut, port).value = 0
        await start_clock_and_reset(self.dut)

    async def clear(self, cycle: int) -> None:
        """Start a run whose time begins at ``cycle``."""
        self.dut.clear.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.clear.value = 0
        self.model.clear()
        self.cycle = cycle

    async def step(self, marks: dict[int, int] | None = None) -> None:
        """One cycle; ``marks``: writer -> layer, whose count of saturated values stands from the next cycle on."""
        marks = marks or {}
        layers = [marks.get(writer, random.getrandbits(8)) for writer in (0, 1)]
        self.dut.mark_valid.value = sum(1 << writer for writer in marks)
        self.dut.mark_layer.value = layers[1] << 8 | layers[0]
        self.dut.mark_saturated.value = self.saturated[1] << 32 | self.saturated[0]
        self.dut.cycle.value = self.cycle & 0xFFFFFFFF
        await RisingEdge(self.dut.clk)
        self.dut.mark_valid.value = 0
        for writer, layer in marks.items():  # the count follows its mark by a cycle, and stands until the writer's next one
            self.saturated[writer] = random.choice((0, 1, 0xFFFFFFFF, random.getrandbits(32)))
            self.model.mark(layer, self.cycle, self.saturated[writer])
        self.cycle += 1

    async def read(self, layer: int) -> tuple[int, int]:
        """What LAYER_CYCLES and LAYER_SATURATED show two cycles after the index."""
        self.dut.layer_index.value = layer
        await ClockCycles(self.dut.clk, 3)
        return self.shown()

    def shown(self) -> tuple[int, int]:
        return int(self.dut.layer_cycles.value), int(self.dut.layer_saturated.value)


@cocotb.test()
async def random_runs(dut) -> None:
    """Layers finish in order on either writer or on both at once; every layer, marked or not, reads as the model says."""
    bench = Bench(dut)
    await bench.start()
    both = reads = 0
    for _ in range(6):
        await bench.clear(random.choice((0, random.getrandbits(31), (1 << 32) - 30)))
        layer, layers = 0, random.choice((1, 40, 100, 256))
        while layer < layers:
            marks = {}
            for writer in random.sample((0, 1), 2):
                if layer < layers and random.random() < 0.6:
                    marks[writer] = layer
                    layer += 1
            both += len(marks) == 2
            await bench.step(marks)
            for _ in range(random.choice((1, 1, 1, 2, 10))):
                await bench.step()
            if random.random() < 0.2:
                for _ in range(5):
                    await bench.step()
                chosen = random.choice((max(layer - 1, 0), layer, random.randrange(256))) % 256
                assert await bench.read(chosen) == bench.model.read(chosen)
        for _ in range(5):
            await bench.step()
        assert int(dut.layers_finished.value) == bench.model.finished == layers
        for index in (0, layers - 1, layers % 256, *random.sample(range(256), 40)):
            expected = bench.model.read(index)
            assert expected is not None and await bench.read(index) == expected, f"layer {index}"
            reads += 1
    assert both > 5 and reads > 200


@cocotb.test()
async def read_never_shows_a_mixture(dut) -> None:
    """While a layer is being marked its reading goes from 0 to its words at once, with nothing else in between."""
    bench = Bench(dut)
    await bench.start()
    for run in range(3):
        await bench.clear(1000 * run)
        for layer in range(20):
            dut.layer_index.value = layer
            await ClockCycles(dut.clk, 3)
            await bench.step({layer % 2: layer})
            seen = []
            for _ in range(8):
                await bench.step()
                seen.append(bench.shown())
            words = bench.model.read(layer)
            assert words is not None and set(seen[:4]) <= {(0, 0), words} and set(seen[4:]) == {words}, seen


@cocotb.test()
async def clear_forgets(dut) -> None:
    """After a start, and after a reset, every layer reads 0, though the memory keeps its words."""
    bench = Bench(dut)
    await bench.start()
    await bench.clear(77)
    for layer in range(4):
        await bench.step({layer % 2: layer})
        await bench.step()
    for _ in range(5):
        await bench.step()
    assert await bench.read(3) == bench.model.words[3] and bench.model.words[3][0] == 77 + 6
    await bench.clear(0)
    for layer in range(8):
        assert await bench.read(layer) == (0, 0)
    assert int(dut.layers_finished.value) == 0
