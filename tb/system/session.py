# SPDX-License-Identifier: Apache-2.0
"""Whole runs of the core, checked to the last bit of memory.

``expectation`` makes, from ``models.network`` or ``models.graph`` alone, the memory that a run must leave: image, picture, activations with
their padding, tags, seed and gradients, and 0xA5 wherever the core must not write (unused bytes, results of a pass that
does not run, and ``GUARD`` bytes on either side of the window). ``Session`` runs the core in a simulator through its
registers and compares everything; counters are compared with ``models.program``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcore import hardware
from gradcore.compiler import HardwareConfig, Program, compile_network
from gradcore.compiler.layout import TagRegion
from gradcore.models import arithmetic
from gradcore.models import graph as graph_model
from gradcore.models import network as network_model
from gradcore.models import program as program_model
from gradcore.models.control.performance_counters import broken_identities
from gradcore.models.quantised_graph import QuantisedPass
from gradcore.models.tags import WINDOW_PIECES, WINDOW_SIDE, join_pieces, join_winners
from gradcore.network.graph import INPUT, Add, Conv, FullyConnected, Relu
from gradcore.quantise import QuantisedGraph, QuantisedNetwork, calibrate, quantise, standard_images
from gradcore.simulator import PRESETS, Simulator
from tb.support.random_graphs import quantised_graph, with_weights
from tb.support.random_networks import layered_network, random_picture, random_quantised, saturating
from tb.support.replay import replay_command
from tb.system.mismatch import describe

METHODS = arithmetic.METHODS
BASE = 0x20000
GUARD = 4096
FILL = 0xA5
CYCLE_LIMIT = 40_000_000
WATCHDOG = 100_000
START = hardware.CONTROL_START | hardware.CONTROL_INTERRUPT_ENABLE


@dataclass(frozen=True)
class Case:
    """A compiled network and a quantised picture int64 (H, W, C)."""

    network: QuantisedNetwork | QuantisedGraph
    program: Program
    picture: np.ndarray

    def with_program(self, program: Program) -> Case:
        return replace(self, program=program)


@dataclass(frozen=True)
class Request:
    """What a run is asked for: ``target`` a class (None: the arg-max), or ``seed`` int (H, W, C), supplied by software."""

    method: str = "saliency"
    explain: bool = True
    target: int | None = None
    seed: np.ndarray | None = None

    @property
    def seed_mode(self) -> str:
        return "SUPPLIED" if self.seed is not None else "ARG_MAX" if self.target is None else "INDEX"


@dataclass(frozen=True)
class Expectation:
    """uint8 memory from ``window base - GUARD`` to ``window limit + GUARD``, before and after, the class registers, and the
    saturated values of each layer that runs, by identifier."""

    before: np.ndarray
    after: np.ndarray
    class_index: int
    class_value: int
    saturated: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """What a run gave: cycles until the interrupt, counters by name, and by identifier of the layers their time stamps and
    saturated values."""

    cycles: int
    counters: dict[str, int]
    stamps: list[int]
    saturated: list[int]


@dataclass(frozen=True)
class Outcome:
    """How a run ended that may have failed: cycles until the interrupt, what STATUS and its neighbours said."""

    cycles: int
    done: bool
    error: bool
    code: int
    descriptor: int
    address: int


def changed_rtl() -> Path | None:
    """The folder of the Verilog in place of rtl/, for tests that are run on a fault: the variable GRADCORE_RTL."""
    return Path(os.environ["GRADCORE_RTL"]) if os.environ.get("GRADCORE_RTL") else None


def configuration(preset: str) -> HardwareConfig:
    """The compiler's description of a preset."""
    return HardwareConfig(groups=PRESETS[preset]["GROUPS"])


def make_case(network: QuantisedNetwork | QuantisedGraph, picture: np.ndarray, preset: str = "full") -> Case:
    """A case of a network for a preset."""
    return Case(network, compile_network(network, configuration(preset), base=BASE), picture)


def generated_case(seed: int, preset: str = "full", **options: object) -> Case:
    """A random network (see ``tb.support.random_networks``) with a picture for it."""
    return make_case(*random_quantised(seed, **options), preset)


def layered_case(shape: tuple[int, int, int], layers: Sequence[str], preset: str = "full", seed: int = 1, saturate: bool = False) -> Case:
    """A case of ``layered_network``, with a random picture; ``saturate``: in formats in which values saturate."""
    network = layered_network(shape, layers, seed=seed)
    quantisation = calibrate(network, standard_images(network.input_shape, 4), source="generated pictures")
    if saturate:
        quantisation = saturating(quantisation)
    quantised = quantise(network, quantisation)
    picture = random_picture(quantised, np.random.default_rng((seed, 7)))
    return make_case(quantised, picture, preset)


def residual_case(preset: str, seed: int) -> Case:
    """A case of a graph with random weights: a residual block with a shortcut of stride 2, then a depthwise convolution, of two blocks of
    channels each: sums in chunks, slices of channels, single pixels."""
    nodes = (
        Conv("stem", (INPUT,), (3, 3), (1, 1), (1, 1, 1, 1), out_channels=20),
        Relu("r0", ("stem",)),
        Conv("a", ("r0",), (3, 3), (2, 2), (1, 1, 1, 1), out_channels=20),
        Conv("short", ("r0",), (1, 1), (2, 2), out_channels=20),
        Add("sum", ("a", "short")),
        Relu("r1", ("sum",)),
        Conv("deep", ("r1",), (3, 3), (1, 1), (1, 1, 1, 1), out_channels=20, groups=20),
        Relu("r2", ("deep",)),
        FullyConnected("fc", ("r2",), 5),
    )
    network, inputs = quantised_graph(with_weights(nodes, (3, 6, 7), np.random.default_rng(seed)), seed)
    return make_case(network, inputs[0], preset)


def expectation(case: Case, request: Request) -> Expectation:
    """The memory before and after a run, from the golden model of the network."""
    network, program = case.network, case.program
    base, limit = program.window
    before = np.full(limit - base + 2 * GUARD, FILL, dtype=np.uint8)
    inside = before[GUARD:-GUARD]
    inside[: len(program.image)] = program.image
    program.load_image(inside, case.picture)
    if request.seed is not None:
        program.load_seed(inside, request.seed)
    after = before.copy()
    inside = after[GUARD:-GUARD]
    model = graph_model if isinstance(network, QuantisedGraph) else network_model
    forward = model.forward(network, case.picture)
    maps, traces = _stored(network, forward)
    for position, values in enumerate(maps):
        region = program.regions[f"activation_{position}"]
        spread = np.zeros((region.height, region.width, region.channels), dtype=np.int64)
        spread[..., program.places.get(region.name, slice(None))] = values
        region.write(inside, base, spread)
    for position, trace in enumerate(traces):
        tags = program.regions.get(f"tags_{position}")
        if tags is not None and tags.pieces == WINDOW_PIECES:
            _write_pieces(tags, inside, base, _window_pieces(network.passes[position], trace.index[0], tags))
        elif tags is not None:
            _write_tags(tags, inside, base, trace.mask[0], None if trace.index is None else trace.index[0])
    gradients = None
    if request.explain:
        seed = None if request.seed is None else np.asarray(request.seed)[None]
        gradients = model.backward(network, forward, request.method, request.target, seed)
        for position, gradient in enumerate(_gradients(network, gradients)):
            program.regions[f"gradient_{position}"].write(inside, base, gradient)
    logits = forward.logits[0]
    winner = int(forward.winners[0])
    return Expectation(before, after, program.logits.memory_index(winner), int(logits[winner]), _saturated(network, forward, gradients))


def _saturated(network: QuantisedNetwork | QuantisedGraph, forward: Any, gradients: Any) -> tuple[int, ...]:
    """How many values saturated in each layer of the program that runs; the seed rounds none."""
    if isinstance(network, QuantisedGraph):
        counts = [int(forward.passes[one.name].saturated[0]) for one in network.passes] + [0]
        made = [(one.makes.map, one.makes.start) for one in reversed(network.passes) if one.makes.map != network.output]
        return (*counts, *(int(gradients.saturated[key][0]) for key in [*made, (graph_model.INPUT, 0)] if gradients))
    counts = [values for _, _, values, _ in network_model.saturations(network, forward, gradients)]
    counts.insert(len(network.layers), 0)
    return tuple(counts)


def _stored(network: QuantisedNetwork | QuantisedGraph, forward: Any) -> tuple[list[np.ndarray], list[Any]]:
    """The maps (H, W, C) of a forward pass, and what each pass made, in the order of the program's regions."""
    if isinstance(network, QuantisedGraph):
        return [forward.maps[name][0] for name in network.maps], [forward.passes[one.name] for one in network.passes]
    return [forward.picture[0], *(trace.output[0] for trace in forward.layers)], list(forward.layers)


def _gradients(network: QuantisedNetwork | QuantisedGraph, backward: Any) -> list[np.ndarray]:
    """The gradients (H, W, C): of the input, then of what each pass makes."""
    if isinstance(network, QuantisedGraph):
        made = [backward.gradients[one.makes.map][0][..., one.makes.channels] for one in network.passes]
        return [backward.gradients[graph_model.INPUT][0], *made]
    return [gradient[0] for gradient in backward.gradients]


def _write_tags(region: TagRegion, memory: np.ndarray, base: int, mask: np.ndarray, index: np.ndarray | None) -> None:
    """Store masks and indexes (H, W, C); the lanes behind the last channel are zero, the end of a row is left alone."""
    lanes = [(0, 0), (0, 0), (0, 16 * region.blocks - region.channels)]
    _write_pieces(region, memory, base, join_pieces(np.pad(mask, lanes), None if index is None else np.pad(index, lanes)))


def _window_pieces(one: QuantisedPass, index: np.ndarray, region: TagRegion) -> np.ndarray:
    """Pieces of a max-pool that is a pass of its own; the lanes behind the last channel are zero, so that the first place inside wins."""
    places = index.shape[:2]
    _, first = arithmetic.pool_windows(np.zeros((1, *one.size, 1), dtype=np.int64), one.pool, places)
    lanes = np.concatenate([index, np.broadcast_to(first[0], (*places, 16 * region.blocks - region.channels))], axis=2)
    row, column = np.divmod(lanes, one.pool.kernel[1])
    return join_winners(WINDOW_SIDE * row + column)


def _write_pieces(region: TagRegion, memory: np.ndarray, base: int, pieces: np.ndarray) -> None:
    pieces = pieces.astype("<u2")
    for row in range(region.height):
        data = np.ascontiguousarray(pieces[row]).reshape(-1).view(np.uint8)
        start = region.address - base + row * region.row_pitch
        memory[start : start + len(data)] = data


def compare(program: Program, got: np.ndarray, want: np.ndarray, where: str = "") -> None:
    """Fail with the first differences of two memories, by region; ``where``: more for the message, as the run and its time."""
    if not np.array_equal(got, want):
        told = describe(program, got, want, program.window[0] - GUARD)
        replay = replay_command()
        raise AssertionError("\n  ".join([told, *([where] if where else []), *([f"replay with waves: {replay}"] if replay else [])]))


@dataclass
class _Executor(program_model.Executor):
    """Counts the values that a tile's loading drops as the hardware does: zeros, and values outside the tile's buffer."""

    dropped: int = field(default=0, init=False)

    def _load_tile(self) -> np.ndarray:
        before = self.load.values
        buffer = super()._load_tile()
        self.dropped += self.load.values - before - int(np.count_nonzero(buffer))
        return buffer


def _execute(case: Case, request: Request) -> _Executor:
    """Run the model of the program."""
    program = case.program
    memory = program.new_memory(fill=FILL)
    program.load_image(memory, case.picture)
    if request.seed is not None:
        program.load_seed(memory, request.seed)
    mode = hardware.SEED_MODES[request.seed_mode]
    index = 0 if request.target is None else program.seed_index(request.target)
    executor = _Executor(program, memory, request.method, request.explain, mode, index)
    executor.run()
    return executor


class Session:
    """The core in one simulation. Runs follow one another without a reset of the chip unless ``reset`` is called."""

    def __init__(self, core: Simulator) -> None:
        self.core = core
        self.groups = core.parameters["GROUPS"]
        self.image: object = None  # the image in memory

    # Steps of a run --------------------------------------------------------------------------------------------------

    def load(self, case: Case, before: np.ndarray) -> None:
        """Fill memory; the image only when another one is there."""
        start = case.program.window[0] - GUARD
        kept = (GUARD + len(case.program.image)) // 8 * 8 if self.image is case.program.image else 0
        self.core.load(start + kept, before[kept:])
        self.image = case.program.image

    def set_up(self, case: Case, request: Request = Request(), **registers: int) -> None:
        """Write the registers of a run; ``registers`` (by name) override them."""
        program = case.program
        values = {
            "PROGRAM_ADDRESS": program.program_address,
            "WINDOW_BASE": program.window[0],
            "WINDOW_LIMIT": program.window[1],
            "WATCHDOG": WATCHDOG,
            "METHOD": hardware.METHODS[request.method],
            "SEED_MODE": hardware.SEED_MODES[request.seed_mode],
            "SEED_INDEX": 0 if request.target is None else program.seed_index(request.target),
            **registers,
        }
        for name, value in values.items():
            self.core.write(hardware.ADDRESSES[name], value)

        if hasattr(self.core, "traces"):  # WAVES=1: see verification/instrument.py
            program.save(self.core.traces / "program.npz")

    def start(self, request: Request = Request()) -> None:
        self.core.write(hardware.CONTROL, START | (hardware.CONTROL_EXPLAIN if request.explain else 0))

    def read(self, name: str) -> int:
        return self.core.read(hardware.ADDRESSES[name])

    def memory(self, case: Case) -> np.ndarray:
        """uint8: the window and its guards."""
        base, limit = case.program.window
        return np.frombuffer(self.core.dump(base - GUARD, limit - base + 2 * GUARD), dtype=np.uint8)

    def finish(self) -> Outcome:
        """Wait for the interrupt of a run, good or bad, read the status, and acknowledge."""
        cycles = self.core.wait_interrupt(CYCLE_LIMIT)
        status = self.read("STATUS")
        outcome = Outcome(
            cycles,
            bool(status & hardware.STATUS_DONE),
            bool(status & hardware.STATUS_ERROR),
            hardware.register_field(status, "STATUS.code"),
            self.read("DESCRIPTOR_INDEX"),
            self.read("ERROR_ADDRESS"),
        )
        self.acknowledge()
        return outcome

    def acknowledge(self) -> None:
        """Clear the interrupt; it must have been there."""
        assert self.read("INTERRUPT") == hardware.INTERRUPT_PENDING
        self.core.write(hardware.INTERRUPT, hardware.INTERRUPT_PENDING)
        assert self.read("INTERRUPT") == 0

    def counters(self) -> dict[str, int]:
        return {name: self.core.read(address) | self.core.read(address + 4) << 32 for name, address in hardware.COUNTERS.items()}

    # Whole runs ------------------------------------------------------------------------------------------------------

    def run(self, case: Case, request: Request = Request(), *, model_counters: bool = False) -> Result:
        """One good run: everything that can be seen of it must be right.

        With ``model_counters`` the counters must also equal what ``models.program`` counts (slow for large networks).
        """
        want = expectation(case, request)
        self.load(case, want.before)
        self.set_up(case, request)
        self.start(request)
        cycles = self.core.wait_interrupt(CYCLE_LIMIT)
        status = self.read("STATUS")
        assert status == hardware.STATUS_DONE, (
            f"status {status:#x} at descriptor {self.read('DESCRIPTOR_INDEX')}, address {self.read('ERROR_ADDRESS'):#x}"
        )
        settings = ", ".join(f"{name} {value}" for name, value in self.core.settings.items())
        where = f"seen {cycles} cycles after START: {request.method}, seed mode {request.seed_mode}, {self.core.simulator}, {settings}"
        compare(case.program, self.memory(case), want.after, where)
        assert self.read("CLASS_INDEX") == want.class_index
        assert self.read("CLASS_VALUE") == want.class_value & 0xFFFF
        assert self.read("ERROR_ADDRESS") == 0
        result = Result(cycles, self.counters(), *self._layers(case, request))
        assert result.saturated == list(want.saturated)
        self._check_counters(case, request, result)
        if model_counters:
            self._check_loads(case, request, result)
        self.acknowledge()
        return result

    def _layers(self, case: Case, request: Request) -> tuple[list[int], list[int]]:
        """Time stamps and saturated values of the layers that the run has, in the order of their numbers; behind them all
        is 0."""
        layers = [layer for layer in case.program.layers if request.explain or layer.direction != "backward"]
        assert self.read("LAYER_INDEX") >> 16 == len(layers)
        stamps, saturated = [], []
        for layer in (*(layer.identifier for layer in layers), len(layers), 255):
            self.core.write(hardware.LAYER_INDEX, layer)
            stamps.append(self.read("LAYER_CYCLES"))
            saturated.append(self.read("LAYER_SATURATED"))
        assert stamps[-2:] == saturated[-2:] == [0, 0]
        return stamps[:-2], saturated[:-2]

    def _check_counters(self, case: Case, request: Request, result: Result) -> None:
        counters, stamps = result.counters, result.stamps
        assert broken_identities(counters, self.groups) == []
        assert 0 <= result.cycles - counters["CYCLES"] <= 8, f"{result.cycles} cycles, counted {counters['CYCLES']}"
        assert stamps == sorted(stamps) and stamps[0] > 0 and stamps[-1] <= counters["CYCLES"]
        program = case.program
        made = [program.regions[f"activation_{index}"] for index in range(1, len(program.activations))]
        made += [region for region in program.regions.values() if isinstance(region, TagRegion)]
        if request.explain:
            made += [program.regions[f"gradient_{index}"] for index in range(len(program.gradients) - (request.seed is not None))]
        written = sum(getattr(region, "values", 0) * 2 or region.height * region.width * region.pixel_pitch for region in made)
        assert counters["BYTES_WRITTEN"] >= written
        assert counters["BYTES_READ"] >= 128 * (program.descriptors if request.explain else 1)
        assert counters["BYTES_READ"] + counters["BYTES_WRITTEN"] <= 32 * counters["CYCLES"]

    def _check_loads(self, case: Case, request: Request, result: Result) -> None:
        """The counters equal what the model of the program counts."""
        executor = _execute(case, request)
        counted = [executor.loads[layer].saturated if layer in executor.loads else 0 for layer in range(len(result.saturated))]
        assert result.saturated == counted
        entries = words = 0
        for info in case.program.layers:
            load = executor.loads.get(info.identifier)
            if load is None or info.kind == "seed":
                continue
            if info.kind != "fc":
                entries += load.entries
                continue
            # Each chunk of the layer meets the same inputs; a half takes a word (4 weights) a cycle, 4 at least, for each.
            jobs = [job for job in case.program.jobs() if job["opcode"] == "VECTOR" and job["layer"] == info.identifier and not job["keep"]]
            inputs = load.entries // sum(2 * job["blocks"] for job in jobs)
            halves = [job[f"destination_words{half}"] for job in jobs for half in (0, 1)]
            words += inputs * sum(max(4, half) for half in halves if half)
        assert result.counters["CONV_ACTIVE"] == entries
        active = result.counters["VECTOR_ACTIVE"]
        assert active == words, f"{active} words, the model counts {words}"
        zeros = executor.dropped
        zeros += sum(load.zeros for layer, load in executor.loads.items() if case.program.layers[layer].kind == "fc")
        skipped = result.counters["ZEROS_SKIPPED"]
        assert skipped == zeros, f"{skipped} zeros, the model counts {zeros}"

    def stop(self) -> None:
        """Soft reset; the core must be free soon, without DONE, error and interrupt."""
        self.core.write(hardware.CONTROL, hardware.CONTROL_SOFT_RESET)
        for _ in range(100):
            if not self.read("STATUS") & hardware.STATUS_BUSY:
                break
            self.core.idle(50)
        assert self.read("STATUS") == 0
        assert self.read("INTERRUPT") == 0
