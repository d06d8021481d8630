# SPDX-License-Identifier: Apache-2.0
"""From a quantised network to a program: passes, weights, memory layout, and the jobs in order with their tokens.

Every wait of a job refers to jobs before it in the program, so the oldest job that is not finished can always run: the
program cannot deadlock, whatever the depth of the job FIFOs. That also fixes where a WEIGHTS job goes: right after the
last TILE job that it waits for, which is the earliest place.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from gradcore.compiler import descriptors, weights
from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.contents import LayerInfo
from gradcore.compiler.layout import BLOCK, Allocator, Region, padded
from gradcore.compiler.program import Program
from gradcore.compiler.tile_job import tile_fields
from gradcore.compiler.tiling import ConvPass, plan
from gradcore.compiler.weights import MatrixChunk, WeightSet
from gradcore.errors import GradCoreError
from gradcore.models.quantised import QuantisedLayer, QuantisedNetwork
from gradcore.runtime.program import check_base

MAX_LAYERS = 127
FORWARD_SPARSITY = 0.5
POOLED_SPARSITY = 0.1
GRADIENT_SPARSITY = 0.4
SLICE_VALUES = 256  # of a vector at least: a shorter slice takes longer than what it brings forward


@dataclass(frozen=True)
class _TileStored:
    """A TILE job as a producer: the pixels it stores and its number."""

    number: int
    rows: range
    columns: range


@dataclass(frozen=True)
class _VectorStored:
    """A VECTOR or SEED job as a producer: the values it stores, in memory order, and its number."""

    number: int
    values: range


@dataclass
class _Step:
    """One layer in one direction (or the seed), on its way into the program."""

    info: LayerInfo
    layer: QuantisedLayer
    position: int
    conv: ConvPass | None = None
    sets: tuple[WeightSet, ...] = ()
    chunks: tuple[MatrixChunk, ...] = ()
    slices: tuple[tuple[range, range], ...] = ()  # of a fully connected layer's source: rows and columns, in the order in which they come
    first_tile: int = 0

    def tiles(self) -> list[_TileStored]:
        """The TILE jobs of a convolution, in order."""
        shrink = 2 if self.conv.pool else 1
        places = itertools.product(self.conv.sets, self.conv.rows, self.conv.columns)
        spans = [[range(one.start // shrink, (one.start + one.size) // shrink) for one in place[1:]] for place in places]
        return [_TileStored(self.first_tile + number, *span) for number, span in enumerate(spans)]


def make_program(network: QuantisedNetwork, hardware: HardwareConfig, base: int) -> Program:
    """The program of a network: see ``compile_network``."""
    return _Compiler(network, hardware, check_base(base)).run()


class _Compiler:
    """The state of one compilation."""

    def __init__(self, network: QuantisedNetwork, hardware: HardwareConfig, base: int) -> None:
        self.network, self.hardware, self.base = network, hardware, base
        self.memory = Allocator(base)
        self.words: list[np.ndarray] = []
        self.tiles = self.vectors = 0
        self.pending: list[tuple[WeightSet, int, _Step]] = []
        self.producers: dict[str, list[_TileStored | _VectorStored]] = {}
        self.constants: dict[int, np.ndarray] = {}

    def run(self) -> Program:
        network = self.network
        if len(network.layers) > MAX_LAYERS:
            raise GradCoreError(f"the network has {len(network.layers)} layers, a program holds at most {MAX_LAYERS}: use fewer")
        self.steps = self._steps()
        first_tile, sets = 0, []
        for step in self.steps:
            if step.conv is not None:
                step.sets, step.first_tile = _weight_sets(step.conv, first_tile), first_tile
                first_tile += step.conv.tiles
                sets += step.sets
            elif step.chunks:
                step.slices = self._slices(step)
        weights.place(sets, self.hardware)
        self.pending = [(one, part, step) for step in self.steps for one in step.sets for part in range(len(one.parts))]
        jobs = first_tile + len(self.pending) + sum(len(step.chunks) + len(step.slices[1:]) for step in self.steps) + 2
        if jobs > descriptors.MAX_DESCRIPTORS:
            raise GradCoreError(
                f"the program would have {jobs} descriptors, the hardware numbers {descriptors.MAX_DESCRIPTORS}: "
                "use smaller pictures or fewer layers"
            )
        self._allocate(jobs)
        self._emit_weights()
        for step in self.steps:
            step.info.first_descriptor = len(self.words)
            if step.conv is not None:
                self._emit_conv(step)
            elif step.chunks:
                self._emit_vector(step)
            else:
                self._emit_seed(step)
            step.info.last_descriptor = len(self.words) - 1
        self._emit("END", self.steps[-1].info, last_of_layer=0)
        assert len(self.words) == jobs and not self.pending
        return self._program()

    # ---- passes --------------------------------------------------------------------------------------------

    def _steps(self) -> list[_Step]:
        """All layers forward, the seed, all layers backward."""
        network, steps = self.network, []
        for position, layer in enumerate(network.layers):
            info = LayerInfo(len(steps), layer.name, "forward", layer.kind)
            steps.append(self._step(info, position, layer))
        steps.append(_Step(LayerInfo(len(steps), "seed", "seed", "seed"), network.layers[-1], len(network.layers)))
        for position in reversed(range(len(network.layers))):
            layer = network.layers[position]
            info = LayerInfo(len(steps), f"{layer.name}_backward", "backward", layer.kind)
            steps.append(self._step(info, position, layer))
        return steps

    def _step(self, info: LayerInfo, position: int, layer: QuantisedLayer) -> _Step:
        network, backward = self.network, info.direction == "backward"
        height, width, channels = network.shapes[position]
        step = _Step(info, layer, position)
        if layer.kind == "conv":
            info.macs_dense = height * width * layer.kernel**2 * layer.in_channels * layer.out_channels
            if backward:
                covered = (height // 2 * 2, width // 2 * 2) if layer.pool else (height, width)
                sparsity = POOLED_SPARSITY if layer.pool else GRADIENT_SPARSITY if layer.relu else 1.0
                step.conv = ConvPass(
                    f"{layer.name} (backward)",
                    height,
                    width,
                    covered,
                    layer.out_channels,
                    layer.in_channels,
                    layer.kernel,
                    unpool=layer.pool,
                    sparsity=sparsity,
                    groups=self.hardware.groups,
                )
            else:
                step.conv = ConvPass(
                    layer.name,
                    height,
                    width,
                    (height, width),
                    layer.in_channels,
                    layer.out_channels,
                    layer.kernel,
                    pool=layer.pool,
                    relu=layer.relu,
                    store_tags=layer.relu or layer.pool,
                    sparsity=FORWARD_SPARSITY if position else 1.0,
                    groups=self.hardware.groups,
                )
            plan(step.conv, self.hardware)
            info.tile = (step.conv.rows[0].size, step.conv.columns[0].size)
            info.stride, info.sets = step.conv.stride, len(step.conv.sets)
        else:
            inputs = height * width * padded(channels)
            info.macs_dense = height * width * channels * layer.out_channels
            if max(inputs, padded(layer.out_channels)) > 1 << 20:
                raise GradCoreError(f"layer {layer.name}: {inputs} inputs, the vector engine numbers at most {1 << 20}: use fewer")
            step.chunks = tuple(weights.chunks(inputs if backward else padded(layer.out_channels), self.hardware))
        return step

    # ---- memory --------------------------------------------------------------------------------------------

    def _allocate(self, jobs: int) -> None:
        network, memory = self.network, self.memory
        self.program_region = memory.region("program", jobs * descriptors.BYTES, f"{jobs} descriptors")
        for step in self.steps:
            self._allocate_constants(step)
        self.constants_end = memory.next
        last = len(network.layers)
        self.activations, self.gradients, self.tags = [], [], []
        for position, shape in enumerate(network.shapes):
            purpose = "picture" if position == 0 else f"output of {network.layers[position - 1].name}"
            self.activations.append(memory.map(f"activation_{position}", shape, purpose if position < last else f"logits, {purpose}"))
        for position, layer in enumerate(network.layers):
            self.tags.append(None)
            if layer.relu or layer.pool:
                self.tags[-1] = memory.tags(
                    f"tags_{position}", network.shapes[position + 1], 3 if layer.pool else 1, f"tags of {layer.name}"
                )
                if layer.kind == "fc":
                    memory.next += 64  # the halves of the vector engine may store whole pieces of padding outputs
        for position, shape in enumerate(network.shapes):
            purpose = {0: "attribution", last: "seed"}.get(position, "gradient")
            self.gradients.append(memory.map(f"gradient_{position}", shape, purpose))
        check_base(self.base, memory.next - self.base)

    def _allocate_constants(self, step: _Step) -> None:
        layer, backward = step.layer, step.info.direction == "backward"
        formats = layer.backward_formats if backward else layer.formats
        if step.conv is not None:
            kernels, bias = layer.weights, None if backward else layer.bias
            if backward:
                kernels = kernels[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
            for number, one in enumerate(step.sets):
                for index, part in enumerate(one.parts):
                    name = f"{step.info.name} weights, set {number}, part {index}"
                    made = weights.planes(one, part, kernels, bias, formats)
                    one.addresses.append(tuple(self._constant(f"{name}, plane {half}", made[half]).address for half in (0, 1)))
        elif step.chunks:
            matrix = weights.matrix_in_memory_order(layer.weights, self.network.shapes[step.position])
            bias = np.zeros(padded(layer.out_channels), dtype=np.int64)
            bias[: layer.out_channels] = layer.bias
            if backward:
                matrix, bias = matrix.T, np.zeros(matrix.shape[0], dtype=np.int64)
            for number, chunk in enumerate(step.chunks):
                name = f"{step.info.name} chunk {number}"
                made = weights.matrix_planes(matrix, chunk)
                addresses = [self._constant(f"{name}, matrix {half}", made[half]).address for half in (0, 1)]
                if not backward:
                    made = weights.bias_planes(bias, formats, chunk)
                    addresses += [self._constant(f"{name}, bias {half}", made[half]).address for half in (0, 1)]
                step.info.addresses.append(tuple(addresses))

    def _constant(self, name: str, data: np.ndarray) -> Region:
        region = self.memory.region(name, len(data), "constants")
        self.constants[region.address] = data
        return region

    # ---- jobs ----------------------------------------------------------------------------------------------

    def _slices(self, step: _Step) -> tuple[tuple[range, range], ...]:
        """A fully connected layer's source in slices (rows, columns), each in one piece in memory, in the order in which the tiles of the
        convolution before complete them: the layer begins with the first while the others are made.
        """
        backward = step.info.direction == "backward"
        height, width, channels = self.network.shapes[step.position + backward]
        before = self.steps[step.info.identifier - 1]
        if backward or not step.info.identifier or before.conv is None:
            return ((range(height), range(width)),)
        last = np.zeros((height, width), dtype=int)  # the tile that completes each pixel
        for tile in before.tiles():
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
        """All WEIGHTS jobs that wait for no tile which is not in the program yet."""
        while self.pending and self.pending[0][0].parts[self.pending[0][1]].wait_computed <= self.tiles:
            one, index, step = self.pending.pop(0)
            part = one.parts[index]
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
            )

    def _waits(self, name: str, rows: range, columns: range) -> tuple[int, int]:
        """(wait_tiles, wait_vectors) for reading these pixels of a map or its tags."""
        tiles = vectors = 0
        region = self.memory.regions[name]
        for producer in reversed(self.producers.get(name, [])):
            if isinstance(producer, _TileStored):
                if producer.number >= tiles and _overlap(producer.rows, rows) and _overlap(producer.columns, columns):
                    tiles = producer.number + 1
            elif producer.number >= vectors:
                pixel_values = padded(region.channels)
                first = (rows[0] * region.width + columns[0]) * pixel_values
                end = (rows[-1] * region.width + columns[-1] + 1) * pixel_values
                if _overlap(producer.values, range(first, end)):
                    vectors = producer.number + 1
        return tiles, vectors

    def _all_waits(self, *names: str | None) -> tuple[int, int]:
        found = [(0, 0)]
        for name in names:
            if name is not None:
                region = self.memory.regions[name]
                found.append(self._waits(name, range(region.height), range(region.width)))
        return max(wait[0] for wait in found), max(wait[1] for wait in found)

    def _emit_conv(self, step: _Step) -> None:
        backward = step.info.direction == "backward"
        position, layer = step.position, step.layer
        source = self.gradients[position + 1] if backward else self.activations[position]
        target = self.gradients[position] if backward else self.activations[position + 1]
        source_tags = self.tags[position] if backward else None
        target_tags = None if backward else self.tags[position]
        count, stored = 0, step.tiles()
        for one in step.sets:
            for rows in step.conv.rows:
                for columns in step.conv.columns:
                    count += 1
                    values = tile_fields(step.conv, layer, one, rows, columns, source, target, source_tags, target_tags)
                    values["shift"] = (layer.backward_formats if backward else layer.formats).shift
                    read_rows = range(rows.source_start, rows.source_start + rows.source_size)
                    read_columns = range(columns.source_start, columns.source_start + columns.source_size)
                    waits = [self._waits(region.name, read_rows, read_columns) for region in (source, source_tags) if region is not None]
                    values["wait_tiles"], values["wait_vectors"] = (max(wait[kind] for wait in waits) for kind in (0, 1))
                    self._emit("TILE", step.info, last_of_layer=count == step.conv.tiles, wait_weights=one.loaded, **values)
                    for region in (target, target_tags):
                        if region is not None:
                            self.producers.setdefault(region.name, []).append(stored[self.tiles - step.first_tile])
                    self.tiles += 1
                    self._emit_weights()

    def _emit_vector(self, step: _Step) -> None:
        backward = step.info.direction == "backward"
        position, layer = step.position, step.layer
        source = self.gradients[position + 1] if backward else self.activations[position]
        target = self.gradients[position] if backward else self.activations[position + 1]
        source_tags = self.tags[position] if backward else None
        target_tags = None if backward else self.tags[position]
        tag_waits = self._all_waits(source_tags.name if source_tags else None)
        waits = [tuple(map(max, tag_waits, self._waits(source.name, *one))) for one in step.slices]
        for number, chunk in enumerate(step.chunks):
            addresses = step.info.addresses[number]
            halves = [chunk.first + half * 8 * chunk.blocks for half in (0, 1)]
            values = {
                "load_relu": backward and layer.relu,
                "tags": source_tags is not None,
                "tag_address": source_tags.address if source_tags else 0,
                "has_bias": not backward,
                "relu": layer.relu and not backward,
                "store_tags": target_tags is not None,
                "blocks": chunk.blocks,
                "pitch_log2": chunk.pitch_log2,
                "shift": (layer.backward_formats if backward else layer.formats).shift,
            }
            for half in (0, 1):
                values[f"bias_address{half}"] = 0 if backward else addresses[2 + half]
                values[f"destination_address{half}"] = target.address + 2 * halves[half] if chunk.words[half] else target.address
                values[f"destination_words{half}"] = chunk.words[half]
                if target_tags is not None:
                    values[f"tag_destination{half}"] = target_tags.address + 2 * (halves[half] // BLOCK)
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
            for region in (target, target_tags):
                if region is not None:
                    self.producers.setdefault(region.name, []).append(made)

    def _emit_seed(self, step: _Step) -> None:
        logits, seed = self.activations[-1], self.gradients[-1]
        if logits.height * logits.width > 65535 or logits.channels > 4092:
            raise GradCoreError(
                f"layer {step.layer.name}: {logits.height} x {logits.width} x {logits.channels} outputs, the seed unit takes "
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
            seed_value=self.network.seed_value,
        )
        self.producers[seed.name] = [_VectorStored(self.vectors, range(seed.values))]
        self.vectors += 1

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
            activations=list(network.quantisation.activations),
            gradients=list(network.quantisation.gradients),
            notes=list(network.notes),
        )


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _weight_sets(conv: ConvPass, first_tile: int) -> tuple[WeightSet, ...]:
    spatial = conv.tiles // len(conv.sets)
    return tuple(
        WeightSet(conv, blocks, first_tile + number * spatial, first_tile + (number + 1) * spatial - 1)
        for number, blocks in enumerate(conv.sets)
    )
