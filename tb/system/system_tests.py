# SPDX-License-Identifier: Apache-2.0
"""Whole runs of the core (top system.v): a network forward and backward by each method, all units watched by their environments.

A test writes registers through the register layer, as software would, and reads results; predictor and units' environments do the rest.
Coverage: every kind of layer in both directions by every method, each seed mode, and requests of every port.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyuvm

from gradcore import hardware
from gradcore.importer.opening import load_network
from gradcore.models.control.register_file import RUN_PARAMETERS
from gradcore.models.convolution.tile_loader import LoadedTile, TileJob
from gradcore.models.vector.seed_unit import SeedResult
from gradcore.quantise import quantise
from tb.axi.axi_read_port.axi_read_port_env import ReadPredictor
from tb.control.sequencer.sequencer_env import SequencerPredictor
from tb.convolution.conv_group.conv_group_env import GroupPredictor
from tb.convolution.tile_loader.tile_loader_env import TilePredictor
from tb.support.axi_port import Burst
from tb.support.base import UnitTest, must_fail
from tb.support.declaration import parameter, setting
from tb.support.registers import GradcoreRegisters
from tb.support.streams import wait_until
from tb.support.uvm import CheckFailure
from tb.system.internals import Instance
from tb.system.session import (
    GUARD,
    METHODS,
    START,
    WATCHDOG,
    Case,
    Expectation,
    Request,
    expectation,
    layered_case,
    make_case,
    residual_case,
)
from tb.system.system_env import SEED_MODES, Loaded, SystemEnvironment, SystemPredictor
from tb.vector.seed_unit.seed_unit_env import SeedPredictor

CYCLE_LIMIT = 1_000_000  # of a run
# One network for each method; together every kind of layer, with every kind by each method.
LAYERS = {
    "saliency": ["conv3:5 relu pool bias", "conv1:17 relu", "conv3:3", "conv1:2 pool", "fc:6 relu bias", "fc:3 bias"],
    "deconvnet": ["conv1:20 relu bias", "conv3:4 relu pool", "conv3:2 bias pool", "conv1:3", "fc:9 relu", "fc:4"],
    "guided": ["conv3:18 pool bias", "conv1:4 relu pool", "conv3:6 relu bias", "conv3:1", "fc:5 relu", "fc:18 bias"],
}
SHAPES = {"saliency": (3, 5, 6), "deconvnet": (1, 5, 7), "guided": (4, 5, 7)}
RESULTS = ("STATUS", "ERROR_ADDRESS", "CLASS_INDEX", "CLASS_VALUE")


@dataclass
class Run:
    """What a test runs: a case, a request, and the memory's stalls in 1/1000; ``before``: uint8 memory, with guards."""

    case: Case
    request: Request
    stall: int
    before: np.ndarray


class SystemTest(UnitTest):
    """Base: runs what ``runs`` says, without resets between them."""

    environment_type = SystemEnvironment
    idle = dict.fromkeys(("stall", "load", "dump", "address", "words"), 0)
    watchdog = 2 * CYCLE_LIMIT
    covers = False

    def runs(self) -> list[Run]:
        """What is run."""
        raise NotImplementedError

    def end_of_elaboration_phase(self) -> None:
        self.environment.bus.driver.stalls = "any"

    async def main(self) -> None:

        self.registers = GradcoreRegisters(parameter("GROUPS"))
        self.registers.connect(self.environment.bus, Instance(self.dut, self.environment.units["register_file"].path))
        runs = self.runs()
        self.environment.scoreboard.planned["memory"] = len(runs)
        for run in runs:
            await self.run_one(run)

    async def run_one(self, run: Run) -> None:
        """Load, write registers, wait for the interrupt, read results and memory."""
        dut, memory, registers, program = self.dut, self.environment.memory, self.registers, run.case.program
        dut.stall.value = run.stall
        await memory.load(Loaded(run.case, run.request.seed), run.before)
        target = run.request.target
        values = {
            "PROGRAM_ADDRESS": program.program_address,
            "WINDOW_BASE": program.window[0],
            "WINDOW_LIMIT": program.window[1],
            "WATCHDOG": WATCHDOG,
            "METHOD": hardware.METHODS[run.request.method],
            "SEED_MODE": hardware.SEED_MODES[run.request.seed_mode],
            "SEED_INDEX": 0 if target is None else program.seed_index(target),
            "CONTROL": START | (hardware.CONTROL_EXPLAIN if run.request.explain else 0),
        }
        for name, value in values.items():
            await registers.write(name, value)
        cycles = await wait_until(dut.clk, lambda: int(dut.irq.value) == 1, CYCLE_LIMIT, "the interrupt")
        self.logger.info("%s %s: %d cycles", program.name, run.request.method, cycles)
        for name in RESULTS:
            await registers.read(name)
        for name in RUN_PARAMETERS:
            await registers.check(name)
        for layer in range(len(program.layers) + 1):
            await registers.write("LAYER_INDEX", layer)
            await registers.read("LAYER_SATURATED")
        await memory.dump()
        if await registers.read("INTERRUPT") != hardware.INTERRUPT_PENDING:
            raise CheckFailure(self, "an interrupt that is not pending")
        await registers.write("INTERRUPT", hardware.INTERRUPT_PENDING)
        await self.cycles(2)
        if int(dut.irq.value):
            raise CheckFailure(self, "the interrupt stays after it was acknowledged")
        if int(dut.violation.value):
            raise CheckFailure(self, "the core broke the rules of AXI")


def make_run(method: str, stall: int, saturate: bool = False, seed_mode: str = "ARG_MAX", **request: object) -> Run:
    """A run of the network of a method, with random weights, on a random picture; with ``saturate`` one in which values
    saturate forward and backward. ``seed_mode``: with a random class, or a random seed of software's."""
    classes = int(LAYERS[method][-1].split()[0].partition(":")[2])
    while True:
        target = random.randrange(classes) if seed_mode == "INDEX" else None
        seed = np.array([random.randrange(-32768, 32768) for _ in range(classes)]).reshape(1, 1, -1) if seed_mode == "SUPPLIED" else None
        asked = Request(method, target=target, seed=seed, **request)
        case = layered_case(SHAPES[method], LAYERS[method], "small", seed=random.randrange(1, 1 << 30), saturate=saturate)
        want = expectation(case, asked)
        if not saturate or (any(want.saturated[: case.program.count]) and any(want.saturated[case.program.count :])):
            return Run(case, asked, stall, want.before)


@pyuvm.test()
class EveryMethod(SystemTest):
    """Each method with its network and stalls, each with another seed mode; then, in Verilator, inference alone."""

    covers = True

    def runs(self) -> list[Run]:
        methods = random.sample(METHODS, len(METHODS))
        modes = random.sample(SEED_MODES, len(SEED_MODES))
        runs = [make_run(method, stall, stall > 0, mode) for method, stall, mode in zip(methods, (0, 200, 500), modes, strict=True)]
        return [*runs, *([make_run(methods[0], 300, explain=False)] if setting("inference") else [])]


@pyuvm.test()
class Graph(SystemTest):
    """A graph by a random method: a residual block with a shortcut of stride 2, then a depthwise convolution, each of two blocks.

    Sums are made in chunks, and slices of channels and single pixels are loaded.
    """

    def runs(self) -> list[Run]:
        case, asked = residual_case("small", int(self.rng.integers(1 << 30))), Request(random.choice(METHODS))
        jobs = case.program.jobs()
        assert all(any(job.get(field) for job in jobs) for field in ("from_partial", "to_partial", "by_pixel", "stride_x_log2"))
        return [Run(case, asked, 300, expectation(case, asked).before)]


@pyuvm.test()
class TableOne(SystemTest):
    """The network of Table I, forward and backward by one method, on a random picture."""

    def runs(self) -> list[Run]:
        network = quantise(load_network("cifar10"))
        channels, height, width = network.input_shape
        picture = network.quantise_image(self.rng.integers(0, 256, (height, width, channels), dtype=np.uint8)).astype(np.int64)
        case, asked = make_case(network, picture), Request(setting("method"))
        return [Run(case, asked, 0, expectation(case, asked).before)]


class Twin(SystemTest):
    """Base of twins: one run."""

    def runs(self) -> list[Run]:
        return [make_run("guided", 0, True)]


class WrongMemory(SystemPredictor):
    """A wrong model: one bit among all results."""

    def expectation(self, case: Case, request: Request) -> Expectation:
        want = super().expectation(case, request)
        region = case.program.attribution
        want.after[region.address - case.program.window[0] + GUARD + random.randrange(region.size)] ^= 1
        return want


class WrongSum(SystemPredictor):
    """A wrong model: one layer saturates one value more."""

    def expectation(self, case: Case, request: Request) -> Expectation:
        want = super().expectation(case, request)
        counts = list(want.saturated)
        counts[random.randrange(len(counts))] += 1
        return replace(want, saturated=tuple(counts))


class OtherSum(GroupPredictor):
    """A wrong model of a group: the lowest bit of the last transfer of a tile."""

    def transfers(self, made: Any) -> dict[tuple[int, int, int], int]:
        sent = dict(super().transfers(made))
        sent[max(sent)] ^= 1
        return sent


class LostEntry(TilePredictor):
    """A wrong model of the tile loader: it forgets an entry of each tile."""

    def tile(self, job: TileJob, method: str, read: Any) -> LoadedTile:
        tile = super().tile(job, method, read)
        for entries in tile.entries:
            if entries:
                del entries[min(entries)]
                break
        return tile


class OtherClass(SeedPredictor):
    """A wrong model of the seed unit: it finds the class before."""

    def class_of(self, result: SeedResult) -> dict[str, int]:
        return super().class_of(result) | {"class_index": result.class_index ^ 1}


class OneTokenMore(SequencerPredictor):
    """A wrong model of the sequencer: a tile that is computed counts twice."""

    def _count(self, pins: Mapping[str, int]) -> None:
        super()._count(pins)
        self.counts["tiles_computed"] += pins["tile_computed"]


class OtherClient(ReadPredictor):
    """A wrong model of a read port: the client after a burst's own gets its words."""

    def owner(self, burst: Burst) -> int:
        return (burst.client + 1) % self.port.clients


@must_fail("environment.scoreboard", r"memory item 0: expected (.|\n)*1 bytes of memory are wrong(.|\n)*gradient_0")
class WrongBit(Twin):
    """One wrong bit among all results must be noticed, and said where it is."""

    overrides = {SystemPredictor: WrongMemory}


@must_fail("environment.scoreboard", r"registers item \d+: expected (.|\n)*LAYER_SATURATED of layer \d+")
class WrongCount(Twin):
    """A wrong count of saturated values must be noticed."""

    overrides = {SystemPredictor: WrongSum}


@must_fail(
    "environment.conv_group0.scoreboard",
    r"transfer item \d+: expected (.|\n)*conv_group0: descriptor \d+, TILE of conv3_0, forward, tile 0, ",
)
class WrongGroup(Twin):
    """A fault of a group must be its own, with layer and tile."""

    overrides = {GroupPredictor: OtherSum}


@must_fail("environment.tile_loader.scoreboard", r"(entry0|job) item \d+: expected (.|\n)*tile_loader: ")
class WrongLoader(Twin):
    """A fault of the tile loader must be its own."""

    overrides = {TilePredictor: LostEntry}


@must_fail("environment.seed_unit.scoreboard", r"done item 0: expected (.|\n)*seed_unit: descriptor \d+, SEED of ")
class WrongSeed(Twin):
    """A fault of the seed unit must be its own."""

    overrides = {SeedPredictor: OtherClass}


@must_fail("environment.sequencer.predictor", r"counts \{(.|\n)*sequencer: ")
class WrongToken(Twin):
    """A fault of the sequencer must be its own."""

    overrides = {SequencerPredictor: OneTokenMore}


@must_fail("environment.axi_read_port0.predictor", r"response_valid is (.|\n)*axi_read_port0: ")
class WrongPort(Twin):
    """A fault of a read port must be its own."""

    overrides = {ReadPredictor: OtherClient}


@must_fail("environment.coverage", "coverage holes: .*method=saliency")
class MethodLeftOut(Twin):
    """Coverage must see that a method was never run."""

    covers = True
