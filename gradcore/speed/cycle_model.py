# SPDX-License-Identifier: Apache-2.0
"""The cycle model: how many clock cycles each layer of a compiled program takes, without running the Verilog.

It follows the jobs of a program through the units of the core, event by event: what the loader reads, which taps hold
something, when a pixel leaves a stream, when the store's writes are answered. The values themselves are not computed: it
takes which of them are zero, from ``models.graph`` (``zeros_of``). docs/cycle_model.md says what is modelled, and how
well it does.
"""

from __future__ import annotations

import bisect
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcore.compiler import sums
from gradcore.compiler.layout import MapRegion
from gradcore.hardware import READ_CLIENTS, WRITE_CLIENTS
from gradcore.models import arithmetic
from gradcore.models import graph as golden
from gradcore.models.program import KINDS, counted
from gradcore.models.quantised import QuantisedNetwork
from gradcore.models.quantised_graph import QuantisedGraph, graph_of_chain
from gradcore.simulator import bytes_per_1024
from gradcore.speed.cycle_conv import ConvEngine
from gradcore.speed.cycle_kernel import Counter, Scheduler, Signal
from gradcore.speed.cycle_memory import Memory, ReadPort, WritePort
from gradcore.speed.cycle_tiles import TileLoader, TileStore, Tokens, WeightLoader, load_job, store_job
from gradcore.speed.cycle_vector import SeedUnit, VectorEngine, VectorJob

if TYPE_CHECKING:
    from gradcore.compiler import Program

START = 8  # cycles from the write to START to the first descriptor's request: the registers, and run_control's clear
CHECK = {"TILE": 11, "WEIGHTS": 4, "VECTOR": 4, "SEED": 4, "END": 4}  # descriptor_check: 8 products of a TILE
FINISH = 5  # from the last token to the interrupt as the bench sees it: quiet, finished, done, irq


@dataclass(frozen=True)
class MapZeros:
    """What is loaded of a map, or of a gradient.

    Attributes:
        source: bool (H, W, C): values that are not zero, of gradients after the method's ReLU rule; where they are unpooled (pooled H,
            pooled W, C).
        index: int (H, W, C): winners, 2 * row + column, where the loader unpools; else None.
    """

    source: np.ndarray
    index: np.ndarray | None = None


@dataclass(frozen=True)
class LayerPrediction:
    """Predicted cycles of one layer in one direction.

    Attributes:
        cycles: from the end of the layer before to its own end, as ``gradcore.backends.LayerCycles`` counts.
        span: from the start of its first job to its own end. Layers overlap, so spans add up to more than the total.
    """

    layer: str
    direction: str
    cycles: int
    span: int


@dataclass(frozen=True)
class Prediction:
    """Predicted cycles of a run: total, and each layer's in the order of the program; and the bytes on the buses."""

    total: int
    layers: tuple[LayerPrediction, ...]
    bytes_read: int
    bytes_written: int

    @property
    def forward(self) -> int:
        return sum(one.cycles for one in self.layers if one.direction == "forward")

    @property
    def backward(self) -> int:
        return self.total - self.forward


def zeros_of(
    network: QuantisedNetwork | QuantisedGraph,
    pictures: np.ndarray,
    methods: Sequence[str],
    targets: np.ndarray | None = None,
) -> list[dict[str, dict[str, MapZeros]]]:
    """The zeros of each picture and method, by the region of the map: ``activation_i``, ``gradient_i``.

    Args:
        network: the network in integers. pictures: quantised, int (N, H, W, C).
        methods: attribution methods. targets: classes (N,); None is each picture's predicted one.
    """
    network = network if isinstance(network, QuantisedGraph) else graph_of_chain(network)
    forward = golden.forward(network, pictures)
    lie = {name: sums.places(network, name) for name in network.maps}
    values = {sums.activation(network, name): _laid_out(one != 0, lie[name]) for name, one in forward.maps.items()}
    result: list[dict[str, dict[str, MapZeros]]] = [{} for _ in range(len(pictures))]
    for method in methods:
        backward = golden.backward(network, forward, method, targets)
        gradients = {}
        for one in network.passes:
            trace = forward.passes[one.name]
            made = backward.gradients[one.makes.map][..., one.makes.channels]
            ruled = arithmetic.relu_backward(made, trace.mask, method) if one.relu else made
            gradients[sums.gradient(network, one)] = ruled != 0, trace.index
        for number, zeros in enumerate(result):
            zeros[method] = {name: MapZeros(one[number]) for name, one in values.items()} | {
                name: MapZeros(source[number], None if index is None else index[number]) for name, (source, index) in gradients.items()
            }
    return result


def _laid_out(values: np.ndarray, lie: np.ndarray) -> np.ndarray:
    """A map (..., C) as it lies in memory, where there may be gaps between its channels."""
    if lie[-1] < len(lie):
        return values
    spread = np.zeros((*values.shape[:-1], lie[-1] + 1), dtype=values.dtype)
    spread[..., lie] = values
    return spread


def predict(
    program: Program,
    zeros: Mapping[str, MapZeros],
    method: str = "saliency",
    *,
    clock_mhz: float = 100.0,
    explain: bool = True,
) -> Prediction:
    """Predict the cycles of a run.

    Args:
        program: the compiled network; its ``hardware`` says for which preset.
        zeros: of this picture and method, see ``zeros_of``.
        method: saliency, deconvnet or guided. clock_mhz: it sets how many bytes a cycle the memory gives.
        explain: False for inference alone: the run ends with the seed job.
    """
    return _Core(program, zeros, method, clock_mhz, explain).run()


class _Core:
    """All units of the core, wired."""

    def __init__(self, program: Program, zeros: Mapping[str, MapZeros], method: str, clock_mhz: float, explain: bool) -> None:
        self.program, self.zeros, self.method, self.explain = program, zeros, method, explain
        self.maps = sorted((one for one in program.regions.values() if isinstance(one, MapRegion)), key=lambda one: one.address)
        scheduler = self.scheduler = Scheduler()
        memory = self.memory = Memory(scheduler, bytes_per_1024(clock_mhz) // 8)
        read = [ReadPort(scheduler, memory), ReadPort(scheduler, memory)]
        write = [WritePort(scheduler, memory), WritePort(scheduler, memory)]
        reading = {name: port.client() for port, names in zip(read, READ_CLIENTS, strict=True) for name in names}
        writing = {name: port.client() for port, names in zip(write, WRITE_CLIENTS, strict=True) for name in names}
        values, tags, weights, rows = (
            [reading[f"{what}{port}"] for port in (0, 1)] for what in ("TILE_VALUES", "TILE_TAGS", "WEIGHTS", "MATRIX")
        )
        stores, outputs = ([writing[f"{what}{port}"] for port in (0, 1)] for what in ("TILE", "OUTPUTS"))
        self.fetch = reading["DESCRIPTORS"]
        self.tokens = Tokens(Counter(scheduler), Counter(scheduler), Counter(scheduler))
        self.engine = ConvEngine(scheduler, program.hardware.groups)
        self.loader = TileLoader(scheduler, self.engine, self.tokens, values, tags)
        self.store = TileStore(scheduler, self.engine, stores)
        self.weights = WeightLoader(scheduler, self.engine, self.tokens, weights)
        self.vectors = VectorEngine(scheduler, self.tokens, reading["VECTOR"], rows, outputs)
        self.seed = SeedUnit(scheduler, self.tokens, reading["LOGITS"], writing["SEED"])
        self.store.stored = self._tile_stored
        self.vectors.done = self.seed.done = self._vector_done
        self.loader.began = self.vectors.began = self.seed.began = self._began
        self.starts: dict[int, int] = {}
        self.stamps: dict[int, int] = {}
        self._tile_layers: list[tuple[int, bool]] = []
        self._pushed = dict.fromkeys(KINDS, 0)
        self._end: int | None = None

    def run(self) -> Prediction:
        self.scheduler.resume(START, self._sequencer())
        self.scheduler.run()
        assert self._end is not None, "the model came to a standstill: a unit waits for what never comes"
        layers, before = [], 0
        finished = [info for info in self.program.layers if self.explain or info.direction != "backward"]
        for info in finished:
            stamp = self._end if info is finished[-1] else self.stamps[info.identifier]
            name = info.name.removesuffix("_backward") if info.direction == "backward" else info.name
            direction = "forward" if info.direction == "forward" else "backward"
            span = stamp - self.starts[info.identifier]
            layers.append(LayerPrediction(name, direction, stamp - before, span))
            before = stamp
        read, written = (8 * sum(port.beats for port in ports) for ports in (self.memory.reads, self.memory.writes))
        return Prediction(self._end, tuple(layers), read, written)

    # ---- sequencer -----------------------------------------------------------------------------------------

    def _sequencer(self) -> Generator[int | Signal, None, None]:
        """Fetch, check, push; the next descriptor is fetched while this one is offered."""
        scheduler, address = self.scheduler, self.program.program_address
        scheduler.resume(scheduler.now, self.fetch.request(scheduler.now, address, 16))
        for number, job in enumerate(self.program.jobs()):
            yield from self.fetch.take(16, scheduler.now, 16)
            yield scheduler.now + 2 + CHECK[job["opcode"]]  # full, RECEIVE, then the check
            last = job["opcode"] == "END" or (job["opcode"] == "SEED" and not self.explain)
            if not last:
                valid = scheduler.now + 1
                scheduler.resume(valid, self.fetch.request(valid, address + 128 * (number + 1), 16))
            yield scheduler.now + 1  # PUSH
            yield from self._push(job, last)
            yield scheduler.now + 1
            if last:
                break
        tokens = self.tokens
        for counter, kind in ((tokens.stored, "STORED"), (tokens.vectors, "VECTOR"), (tokens.weights, "WEIGHTS")):
            while counter.value < self._pushed[kind]:
                yield counter
        self._end = scheduler.now + FINISH

    def _push(self, job: dict, last: bool) -> Generator[Signal, None, None]:
        opcode, number = job["opcode"], self._pushed.get(job["opcode"], 0)
        if opcode == "TILE":
            loaded = self._load_job(job, number)
            queues = [self.loader.queue, *(group.queue for group in self.engine.members)]
            items = [loaded, *[loaded.tile] * self.engine.groups]
            if not job["to_partial"]:
                queues, items = [*queues, self.store.queue], [*items, store_job(job, number)]
            self._tile_layers.append((job["layer"], bool(job["last_of_layer"])))
        elif opcode == "WEIGHTS":
            queues, items = [self.weights.queue], [job]
        elif opcode == "VECTOR":
            queues, items = [self.vectors.queue], [self._vector_job(job)]
        elif opcode == "SEED":
            queues, items = [self.seed.queue], [VectorJob(job, np.zeros(0, dtype=bool), self.explain)]
        else:
            return
        for queue in queues:
            while queue.full:
                yield queue
        for kind in counted(job):
            self._pushed[kind] += 1
        for queue, item in zip(queues, items, strict=True):
            queue.push(item)

    # ---- what the jobs load --------------------------------------------------------------------------------

    def _region(self, address: int) -> MapRegion:
        """The map or gradient that lies there."""
        place = bisect.bisect_right(self.maps, address, key=lambda region: region.address) - 1
        return self.maps[place]

    def _load_job(self, job: dict, number: int):
        region = self._region(job["source_address"])
        zeros = self.zeros[region.name]
        row, rest = divmod(job["source_address"] - region.address, region.row_pitch)
        column, first = divmod(rest, region.pixel_pitch)
        rows = row + np.arange(job["source_rows"]) * (job["source_row_pitch"] // region.row_pitch)
        columns = column + np.arange(job["source_columns"]) * (job["source_pixel_pitch"] // region.pixel_pitch if job["by_pixel"] else 1)
        padding = ((0, 0), (0, 0), (0, region.padded_channels - region.channels))
        channels = slice(first // 2, first // 2 + 4 * job["words_per_pixel"])
        source = np.pad(zeros.source[np.ix_(rows, columns)], padding)[..., channels]
        index = np.pad(zeros.index[np.ix_(rows, columns)], padding)[..., channels] if job["unpool"] else None
        tags = bool(job["tags"]) and not (job["load_relu"] and self.method == "deconvnet" and not job["unpool"])
        return load_job(job, number, self._pushed["STORED"], source, index, tags)

    def _vector_job(self, job: dict) -> VectorJob:
        region = self._region(job["vector_address"])
        source = self.zeros[region.name].source.reshape(region.height, region.width, region.channels)
        used = np.pad(source, ((0, 0), (0, 0), (0, region.padded_channels - region.channels))).reshape(-1)
        first = (job["vector_address"] - region.address) // 2
        used = used[first : first + 4 * job["vector_words"]]
        return VectorJob(job, used, bool(job["tags"] and job["load_relu"] and self.method != "deconvnet"))

    # ---- jobs that begin, and finished ones --------------------------------------------------------------------

    def _began(self, layer: int) -> None:
        self.starts.setdefault(layer, self.scheduler.now)

    def _tile_stored(self, number: int, cycle: int) -> None:
        self.tokens.stored.add_at(cycle + 1)
        layer, last = self._tile_layers[number]
        if last:
            self.stamps[layer] = cycle + 1

    def _vector_done(self, job: VectorJob, cycle: int) -> None:
        self.tokens.vectors.add_at(cycle + 1)
        if job.fields["last_of_layer"]:
            self.stamps[job.fields["layer"]] = cycle + 1
