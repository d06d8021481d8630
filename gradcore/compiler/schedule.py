# SPDX-License-Identifier: Apache-2.0
"""From a quantised network to a program: passes, weights, memory layout, and the jobs in order with their tokens.

Every wait of a job refers to jobs before it in the program, so the oldest job that is not finished can always run: the
program cannot deadlock, whatever the depth of the job FIFOs. That also fixes where a WEIGHTS job goes: right after the
last TILE job that it waits for, which is the earliest place.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gradcore.compiler import descriptors, weights
from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.contents import LayerInfo
from gradcore.compiler.layout import BLOCK, Allocator, MapRegion, Region, padded
from gradcore.compiler.program import Program
from gradcore.compiler.sums import activation, gradient, gradient_name, places, tag_pieces, tags, work_of
from gradcore.compiler.terms import Product, Work
from gradcore.compiler.tile_job import tile_fields, tile_spans
from gradcore.compiler.tiling import Planner, TilePlan, TileUse
from gradcore.compiler.weights import MatrixChunk, WeightSet
from gradcore.errors import GradCoreError
from gradcore.models.graph import passes
from gradcore.models.passes import INPUT
from gradcore.models.quantised import QuantisedNetwork
from gradcore.models.quantised_graph import QuantisedGraph, graph_of_chain
from gradcore.runtime.program import StoredMap, check_base

MAX_LAYERS = 127
MAX_INPUTS = 1 << 20  # of the vector engine
SLICE_VALUES = 256  # of a vector at least: a shorter slice takes longer than what it brings forward


@dataclass(frozen=True)
class _TileStored:
    """A TILE job that stores: the pixels that it stores, some between them left out, their channels, and its number among those that do."""

    number: int
    rows: range
    columns: range
    channels: range


@dataclass(frozen=True)
class _VectorStored:
    """A VECTOR or SEED job as a producer: the values it stores, in memory order, and its number."""

    number: int
    values: range


@dataclass
class _Sum:
    """The sums of a map on their way into the program: the plan, its weights in the order of the loads, and its jobs; ``shares``: the
    weights are those of the sums before, and still there."""

    plan: TilePlan
    sets: tuple[WeightSet, ...]
    jobs: tuple[TileUse, ...]
    shares: bool = False


@dataclass
class _Step:
    """One layer in one direction (or the seed), on its way into the program."""

    info: LayerInfo
    work: Work
    sums: list[_Sum] = field(default_factory=list)
    chunks: tuple[MatrixChunk, ...] = ()
    slices: tuple[tuple[range, range], ...] = ()  # of a fully connected layer's source: rows and columns, in the order in which they come


def make_program(network: QuantisedNetwork | QuantisedGraph, hardware: HardwareConfig, base: int) -> Program:
    """The program of a network: see ``compile_network``."""
    if isinstance(network, QuantisedGraph):
        return _Compiler(network, hardware, check_base(base)).run()
    graph = graph_of_chain(network)
    # A chain's gradients are called after the layers that read what they are of.
    names = {gradient_name(one.sources[0].reads.map): f"{one.name}_backward" for one in graph.passes}
    return _Compiler(graph, hardware, check_base(base), names, chain=True).run()


class _Compiler:
    """The state of one compilation."""

    def __init__(
        self, network: QuantisedGraph, hardware: HardwareConfig, base: int, names: Mapping[str, str] | None = None, chain: bool = False
    ) -> None:
        """``names``: what layers are called, where they are called otherwise; ``chain``: whether maps are called after their layers."""
        self.network, self.hardware, self.base, self.names, self.chain = network, hardware, base, names or {}, chain
        self.memory = Allocator(base)
        self.words: list[np.ndarray] = []
        self.tiles = self.vectors = 0
        self.loads_backward = False  # weights of the backward pass may come
        self.pending: list[tuple[WeightSet, int, _Step]] = []
        self.producers: dict[str, list[_TileStored | _VectorStored]] = {}
        self.constants: dict[int, np.ndarray] = {}
        self.places: dict[str, list[int]] = {}

    def run(self) -> Program:
        network = self.network
        if len(network.passes) > MAX_LAYERS:
            raise GradCoreError(f"the network has {len(network.passes)} layers, a program holds at most {MAX_LAYERS}: use fewer")
        self.steps = self._steps()
        self.loads_backward = self._hides_weights()
        sets = [(one, step) for step in self.steps for made in step.sums if not made.shares for one in made.sets]
        weights.place([one for one, _ in sets], self.hardware)
        self.pending = [(one, part, step) for one, step in sets for part in range(len(one.parts))]
        tiles = sum(len(made.jobs) for step in self.steps for made in step.sums)
        jobs = tiles + len(self.pending) + sum(len(step.chunks) + len(step.slices[1:]) for step in self.steps) + 2
        if jobs > descriptors.MAX_DESCRIPTORS:
            raise GradCoreError(
                f"the program would have {jobs} descriptors, the hardware numbers {descriptors.MAX_DESCRIPTORS}: "
                "use smaller pictures or fewer layers"
            )
        self._allocate(jobs)
        self._emit_weights()
        for step in self.steps:
            step.info.first_descriptor = len(self.words)
            if step.sums:
                self._emit_sums(step)
            elif step.work.product:
                self._emit_product(step, step.work.product)
            else:
                self._emit_seed(step)
            step.info.last_descriptor = len(self.words) - 1
        self._emit("END", self.steps[-1].info, last_of_layer=0)
        assert len(self.words) == jobs and not self.pending
        return self._program()

    # ---- what is computed ----------------------------------------------------------------------------------

    def _steps(self) -> list[_Step]:
        """All layers forward, the seed, all layers backward; the jobs of the conv engine and what each stores are numbered."""
        steps: list[_Step] = []
        planner = Planner(self.hardware)
        tiles = stored = 0
        for work, outputs in zip(work_of(self.network, self.names), self._outputs(), strict=True):
            info = LayerInfo(len(steps), work.name, work.direction, work.kind, outputs, macs_dense=work.macs)
            step = _Step(info, work)
            for chosen in (one for made in work.sums for one in planner.plans(made)):
                uses, made = tuple(chosen.jobs()), chosen.made
                before = step.sums[-1] if step.sums else None
                if before and weights.alike(before.plan, chosen):
                    before.sets[-1].last_tile = tiles + len(uses) - 1
                    step.sums.append(_Sum(chosen, before.sets, uses, shares=True))
                else:
                    step.sums.append(_Sum(chosen, _weight_sets(chosen, uses, tiles), uses))
                tiles += len(uses)
                for use in uses:
                    if not use.leaves_partial:
                        blocks = step.sums[-1].sets[use.load].blocks
                        self._stores(_tile_stored(chosen, use, stored, blocks, made.channel), made.writes)
                        self._stores(_tile_stored(chosen, use, stored, blocks, BLOCK * made.block), made.tags)
                        stored += 1
            if step.sums:
                first = step.sums[0].plan
                info.tile = (first.rows[0][1], first.columns[0][1])
                info.stride, info.sets = first.pack, sum(len(made.plan.sets) for made in step.sums) // len(work.sums)
            if work.product:
                self._cut_product(step, work.product)
            steps.append(step)
        return steps

    def _hides_weights(self) -> bool:
        """Whether matrices at the end of the forward pass take the memory longer than a weight buffer full of the backward pass's weights.

        Beside them these are loaded for nothing; otherwise they come behind the seed, where a run without explanation has ended.
        """
        forward = [step for step in self.steps if step.info.direction == "forward"]
        ends = itertools.takewhile(lambda step: step.work.product, reversed(forward))
        return sum(step.work.product.matrix.size for step in ends) > self.hardware.weight_depth * self.hardware.groups * BLOCK

    def _outputs(self) -> list[int]:
        """How many values each layer requantises, in order; of the seed 0."""
        network = self.network
        forward = [count for _, direction, count in passes(network) if direction == "forward"]
        made = [one.makes for one in reversed(network.passes) if one.makes.map != network.output]
        channels = [(one.map, one.width) for one in made] + [(INPUT, network.maps[INPUT].shape[2])]
        return [*forward, 0, *(network.maps[name].shape[0] * network.maps[name].shape[1] * width for name, width in channels)]

    def _maps(self) -> list[StoredMap]:
        """What layers store, by the names that users know."""
        network, count = self.network, len(self.network.passes)
        backward = [one for one in reversed(network.passes) if one.makes.map != network.output]
        found = []
        for name in dict.fromkeys([INPUT, *(one.makes.map for one in network.passes)]):
            made, one = network.makers(name), network.maps[name]
            gradients = [(gradient(network, maker), maker.makes.start) for maker in made] or [(gradient(network, None), 0)]
            after = [count + 1 + backward.index(maker) for maker in made if maker in backward] if made else [count + 1 + len(backward)]
            layers = [network.passes.index(maker) for maker in made]
            shown = made[0].name if self.chain and made else name
            at = activation(network, name)
            fractions = one.fraction, tuple(gradients), one.gradient_fraction
            units = () if np.all(one.units == 1) else tuple(one.units.tolist())
            found.append(StoredMap(shown, at, *fractions, tuple(layers), tuple(after), units))
        return found

    def _cut_product(self, step: _Step, product: Product) -> None:
        inputs, outputs = product.matrix.shape
        if max(inputs, outputs) > MAX_INPUTS:
            raise GradCoreError(
                f"layer {product.name}: {max(inputs, outputs)} inputs, the vector engine numbers at most {MAX_INPUTS}: use fewer"
            )
        step.chunks = tuple(weights.chunks(outputs, self.hardware))
        step.slices = self._slices(product)

    def _stores(self, made: _TileStored | _VectorStored, *regions: str | None) -> None:
        for region in regions:
            if region is not None:
                self.producers.setdefault(region, []).append(made)

    # ---- memory --------------------------------------------------------------------------------------------

    def _allocate(self, jobs: int) -> None:
        network, memory = self.network, self.memory
        self.program_region = memory.region("program", jobs * descriptors.BYTES, f"{jobs} descriptors")
        for step in self.steps:
            self._allocate_constants(step)
        self.constants_end = memory.next
        makers = {name: network.makers(name) for name in network.maps}
        for name, one in network.maps.items():
            purpose = "picture" if name == INPUT else f"output of {' and '.join(made.name for made in makers[name])}"
            lie = places(network, name)
            if lie[-1] >= len(lie):
                self.places[activation(network, name)] = lie.tolist()
            shape = (*one.shape[:2], int(lie[-1]) + 1)
            memory.map(activation(network, name), shape, purpose if name != network.output else f"logits, {purpose}")
        shapes = [(*network.maps[one.makes.map].shape[:2], one.makes.width) for one in network.passes]
        products = {step.work.product.store_tags for step in self.steps if step.work.product}
        for one, shape in zip(network.passes, shapes, strict=True):
            name = tags(network, one)
            if name:
                memory.tags(name, shape, tag_pieces(one), f"tags of {one.name}")
                if name in products:
                    memory.next += 64  # the halves of the vector engine may store whole pieces of padding outputs
        memory.map(gradient(network, None), network.maps[INPUT].shape, "attribution")
        for one, shape in zip(network.passes, shapes, strict=True):
            memory.map(gradient(network, one), shape, "seed" if one.makes.map == network.output else "gradient")
        check_base(self.base, memory.next - self.base)

    def _allocate_constants(self, step: _Step) -> None:
        if not step.work.product:
            for made in step.sums:
                if not made.shares:
                    self._allocate_weights(step.info.name, made)
            return
        product = step.work.product
        for number, chunk in enumerate(step.chunks):
            name = f"{step.info.name} chunk {number}"
            planes = weights.matrix_planes(product.matrix, chunk)
            addresses = [self._constant(f"{name}, matrix {half}", planes[half]).address for half in (0, 1)]
            if product.bias is not None:
                planes = weights.bias_planes(product.bias, product.shift, chunk)
                addresses += [self._constant(f"{name}, bias {half}", planes[half]).address for half in (0, 1)]
            step.info.addresses.append(tuple(addresses))

    def _allocate_weights(self, name: str, made: _Sum) -> None:
        first, phase = made.plan.made.first, ""
        if made.plan.made.step != (1, 1) or first != (0, 0):
            phase = f", places from ({first[0]}, {first[1]})"
        known: dict[tuple[range, range], list[tuple[int, int]]] = {}
        for number, one in enumerate(made.sets):
            key = one.load.blocks, one.load.chunks
            if key not in known:
                known[key] = []
                for index, part in enumerate(one.parts):
                    planes = weights.planes(one, part)
                    what = f"{name} weights{phase}, set {number}, part {index}"
                    known[key].append(tuple(self._constant(f"{what}, plane {half}", planes[half]).address for half in (0, 1)))
            one.addresses = known[key]

    def _constant(self, name: str, data: np.ndarray) -> Region:
        region = self.memory.region(name, len(data), "constants")
        self.constants[region.address] = data
        return region

    # ---- jobs ----------------------------------------------------------------------------------------------

    def _slices(self, product: Product) -> tuple[tuple[range, range], ...]:
        """A fully connected layer's source in slices (rows, columns), each in one piece in memory, in the order in which the tiles of the
        convolution before complete them: the layer begins with the first while the others are made.
        """
        height, width, channels = self._shape(product.reads)
        tiles = [one for one in self.producers.get(product.reads, []) if isinstance(one, _TileStored)]
        if product.tags is not None or not tiles:
            return ((range(height), range(width)),)
        last = np.zeros((height, width), dtype=int)  # the tile that completes each pixel
        for tile in tiles:
            last[tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop] = tile.number
        least = -(-SLICE_VALUES // padded(channels))  # pixels
        slices: list[tuple[int, range, range]] = []
        for row in range(height):
            cuts = [0, *(np.flatnonzero(np.diff(last[row])) + 1).tolist(), width]
            if min(np.diff(cuts)) < least:
                cuts = [0, width]
            for first, end in itertools.pairwise(cuts):
                number, rows, columns = int(last[row, first:end].max()), range(row, row + 1), range(first, end)
                if slices and slices[-1][2] == columns == range(width) and (slices[-1][0] == number or len(slices[-1][1]) * width < least):
                    earlier, above, _ = slices.pop()
                    number, rows = max(number, earlier), range(above.start, row + 1)
                slices.append((number, rows, columns))
        return tuple(one[1:] for one in sorted(slices, key=lambda one: one[0]))

    def _shape(self, region: str) -> tuple[int, int, int]:
        """(H, W, C) of a map's or gradient's region that is not allocated yet."""
        network = self.network
        shapes = {activation(network, name): one.shape for name, one in network.maps.items()}
        shapes |= {gradient(network, one): network.maps[one.makes.map].shape for one in network.passes}
        return shapes[region]

    def _emit(self, opcode: str, info: LayerInfo, **values: int) -> None:
        try:
            self.words.append(descriptors.encode(opcode, {"layer": info.identifier, **values}))
        except descriptors.FieldOverflowError as error:
            raise GradCoreError(
                f"layer {info.name}: {error.field} is {error.value}, the descriptor holds at most {error.largest}: "
                "use smaller pictures or fewer channels"
            ) from None
        info.jobs += opcode not in ("WEIGHTS", "END")

    def _emit_weights(self) -> None:
        """All WEIGHTS jobs that wait for no tile which is not in the program yet; those of the backward pass when they may."""
        while self.pending:
            one, index, step = self.pending[0]
            part = one.parts[index]
            if part.wait_computed > self.tiles or (step.info.direction == "backward" and not self.loads_backward):
                break
            self.pending.pop(0)
            self._emit(
                "WEIGHTS",
                step.info,
                wait_computed=part.wait_computed,
                address0=one.addresses[index][0],
                address1=one.addresses[index][1],
                rows=part.rows,
                blocks=len(one.blocks),
                weight_base=(one.base + part.first) % self.hardware.weight_depth,
                bias_bank=one.bias_bank,
                diagonal=int(one.diagonal),
            )

    def _waits(self, name: str, rows: range, columns: range, channels: range) -> tuple[int, int]:
        """(wait_tiles, wait_vectors) for reading these channels of these pixels of a map or its tags."""
        region, producers = self.memory.regions[name], self.producers.get(name, [])[::-1]  # of a kind the highest number first
        tiles = (one for one in producers if isinstance(one, _TileStored))
        places = (one for one in tiles if _overlap(one.rows, rows) and _overlap(one.columns, columns) and _overlap(one.channels, channels))
        pixel_values = padded(region.channels)
        first = (rows[0] * region.width + columns[0]) * pixel_values
        read = range(first, (rows[-1] * region.width + columns[-1] + 1) * pixel_values)
        vectors = (one for one in producers if isinstance(one, _VectorStored) and _overlap(one.values, read))
        return tuple(next((one.number + 1 for one in found), 0) for found in (places, vectors))

    def _all_waits(self, *names: str | None) -> tuple[int, int]:
        found = [(0, 0)]
        for name in names:
            if name is not None:
                region = self.memory.regions[name]
                found.append(self._waits(name, range(region.height), range(region.width), range(region.channels)))
        return max(wait[0] for wait in found), max(wait[1] for wait in found)

    def _emit_sums(self, step: _Step) -> None:
        regions = self.memory.regions
        last = step.sums[-1].jobs[-1]
        for made in step.sums:
            for use in made.jobs:
                one, chunk = made.sets[use.load], made.plan.chunks[use.chunk]
                rows, columns = tile_spans(made.plan, use)
                read = [chunk.pixels(axis, span.source_start, span.source_size) for axis, span in enumerate((rows, columns))]
                channels = range(chunk.channel, chunk.channel + chunk.in_channels)
                waits = [self._waits(region, *read, channels) for region in (chunk.reads, chunk.tags) if region is not None]
                self._emit(
                    "TILE",
                    step.info,
                    last_of_layer=made is step.sums[-1] and use is last,
                    wait_weights=one.loaded,
                    wait_tiles=max(wait[0] for wait in waits),
                    wait_vectors=max(wait[1] for wait in waits),
                    **tile_fields(made.plan, use, one, regions),
                )
                self.tiles += 1
                self._emit_weights()

    def _emit_product(self, step: _Step, product: Product) -> None:
        regions = self.memory.regions
        source, target = regions[product.reads], regions[product.writes]
        assert isinstance(source, MapRegion) and isinstance(target, MapRegion)
        tag_waits = self._all_waits(product.tags)
        waits = [tuple(map(max, tag_waits, self._waits(source.name, *one, range(source.channels)))) for one in step.slices]
        for number, chunk in enumerate(step.chunks):
            addresses = step.info.addresses[number]
            halves = [chunk.first + half * 8 * chunk.blocks for half in (0, 1)]
            values = {
                "load_relu": product.load_relu,
                "tags": product.tags is not None,
                "tag_address": regions[product.tags].address if product.tags else 0,
                "has_bias": product.bias is not None,
                "relu": product.relu,
                "clip": product.clip,
                "store_tags": product.store_tags is not None,
                "blocks": chunk.blocks,
                "pitch_log2": chunk.pitch_log2,
                "shift": product.shift,
            }
            for half in (0, 1):
                values[f"bias_address{half}"] = 0 if product.bias is None else addresses[2 + half]
                values[f"destination_address{half}"] = target.address + 2 * halves[half] if chunk.words[half] else target.address
                values[f"destination_words{half}"] = chunk.words[half]
                if product.store_tags is not None:
                    values[f"tag_destination{half}"] = regions[product.store_tags].address + 2 * (halves[half] // BLOCK)
            slices = list(zip(step.slices, waits, strict=True))
            if number:  # all of the vector is there
                slices = [((range(source.height), range(source.width)), waits[-1])]
            for place, ((rows, columns), (tiles, vectors)) in enumerate(slices):
                first = source.memory_index(rows.start * source.width + columns.start)
                keep = place < len(slices) - 1
                for half in (0, 1):
                    values[f"matrix_address{half}"] = addresses[half] + (first << chunk.pitch_log2)
                self._emit(
                    "VECTOR",
                    step.info,
                    last_of_layer=number == len(step.chunks) - 1 and not keep,
                    wait_tiles=tiles,
                    wait_vectors=vectors,
                    vector_address=source.pixel_address(rows.start, columns.start),
                    vector_words=len(rows) * len(columns) * source.words_per_pixel,
                    keep=keep,
                    **values,
                )
                self.vectors += 1
            made = _VectorStored(self.vectors - 1, range(chunk.first, chunk.first + chunk.outputs))
            self._stores(made, product.writes, product.store_tags)

    def _emit_seed(self, step: _Step) -> None:
        network = self.network
        (last,) = network.makers(network.output)
        logits, seed = self.memory.regions[activation(network, network.output)], self.memory.regions[gradient(network, last)]
        assert isinstance(logits, MapRegion) and isinstance(seed, MapRegion)
        if logits.height * logits.width > 65535 or logits.channels > 4092:
            raise GradCoreError(
                f"layer {last.name}: {logits.height} x {logits.width} x {logits.channels} outputs, the seed unit takes "
                "65535 pixels of 4092 channels: end the network with fewer"
            )
        tiles, vectors = self._all_waits(logits.name)
        self._emit(
            "SEED",
            step.info,
            last_of_layer=1,
            forward_end=1,
            wait_tiles=tiles,
            wait_vectors=vectors,
            logits_address=logits.address,
            words_per_pixel=logits.words_per_pixel,
            pixels=logits.height * logits.width,
            channels=logits.channels,
            seed_address=seed.address,
            seed_value=network.seed_value,
        )
        self._stores(_VectorStored(self.vectors, range(seed.values)), seed.name)
        self.vectors += 1
        self.loads_backward = True
        self._emit_weights()

    def _program(self) -> Program:
        image = np.zeros(self.constants_end - self.base, dtype=np.uint8)
        image[: self.program_region.size] = np.concatenate(self.words).astype("<u4").view(np.uint8)
        for address, data in self.constants.items():
            image[address - self.base : address - self.base + len(data)] = data
        network = self.network
        return Program(
            name=network.name,
            hardware=self.hardware,
            base=self.base,
            image=image,
            memory_size=self.memory.next - self.base,
            program_address=self.program_region.address,
            descriptors=len(self.words),
            regions=dict(self.memory.regions),
            layers=[step.info for step in self.steps],
            classes=list(network.classes),
            seed_value=network.seed_value,
            mean=network.mean,
            std=network.std,
            activations=[one.fraction for one in network.maps.values()],
            gradients=[network.maps[name].gradient_fraction for name in (INPUT, *(one.makes.map for one in network.passes))],
            notes=list(network.notes),
            places=self.places,
            maps=self._maps(),
            chain=self.chain,
        )


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _weight_sets(chosen: TilePlan, uses: tuple[TileUse, ...], first_tile: int) -> tuple[WeightSet, ...]:
    """The weights of a plan whose jobs are numbered from ``first_tile`` on, in the order of its loads."""
    used: dict[int, list[int]] = {}
    for number, use in enumerate(uses, first_tile):
        used.setdefault(use.load, []).append(number)
    return tuple(WeightSet(chosen, load, used[number][0], used[number][-1]) for number, load in enumerate(chosen.loads()))


def _tile_stored(chosen: TilePlan, use: TileUse, number: int, blocks: range, channel: int) -> _TileStored:
    """``blocks``: of the plan's output channels; ``channel``: where these begin."""
    made = chosen.made
    places = zip((chosen.rows[use.row], chosen.columns[use.column]), made.first, made.step, (1, made.pixels), strict=True)
    spans = []
    for (start, size), first, step, pixels in places:
        begin, count = start // chosen.shrink, size // chosen.shrink
        spans.append(range(first + begin * step, first + (begin + count - 1) * step + pixels))
    return _TileStored(number, *spans, range(channel + BLOCK * blocks.start, channel + min(BLOCK * blocks.stop, made.out_channels)))
