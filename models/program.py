# SPDX-License-Identifier: Apache-2.0
"""An executor of compiled programs: what the descriptors mean, job by job, on a memory image.

What a job computes is said by the models of the units, which are composed here: tile loader, conv groups, output buffer, tile store,
weight loader, vector engine, seed unit. The executor adds what lies between them: the groups' weight buffers, memory, and the rules
that a program must keep. Jobs run one after the other in program order; instead of timing it checks tokens in the worst case: a job
may read only what jobs that its waits cover have written, and a WEIGHTS job may overwrite only rows whose tiles its wait covers. No
byte is written twice, and all lie in the window. The jobs of a sum that is made in chunks have the same units, no stream keeps more
partial sums than it has room for, and all are taken up. A ``ProgramError`` says what a program does wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gradcore.hardware import LANES
from gradcore.models.convolution import conv_group, tile_loader, tile_store, weight_loader
from gradcore.models.convolution.conv_group import ConvJob
from gradcore.models.convolution.output_buffer import SIDES, OutputBank
from gradcore.models.convolution.partial_sums import PartialError, PartialSums
from gradcore.models.convolution.tile_loader import TileJob
from gradcore.models.jobs import SeedUnitJob, TileStoreJob, VectorEngineJob, WeightLoaderJob
from gradcore.models.memory import ByteWrite, Span, bytes_of
from gradcore.models.tags import BLOCK, WINDOW_SIDE
from gradcore.models.vector import seed_unit, vector_engine
from gradcore.runtime.parts import KINDS, WAITS, counted

DRAIN = 16  # cycles between two finished pixels of a stream
ORIGINS = range(-8, 8)  # of a tile job: see tile_geometry
POSITIONS = 512  # rows and columns of the tile buffer that a group tells apart
_IMAGE, _GIVEN, _TILE, _VECTOR = 1, 2, 3, 4


class ProgramError(AssertionError):
    """A program that does not keep the rules of the hardware."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProgramError(message)


class Region(Protocol):
    """A stretch of memory."""

    name: str
    address: int
    size: int


class Hardware(Protocol):
    """Sizes of a build: see ``gradcore.compiler.HardwareConfig``."""

    groups: int
    tile_depth: int
    tile_pixels: int
    weight_depth: int
    output_words: int
    vector_blocks: int


class Program(Protocol):
    """What is needed of a compiled program: see ``gradcore.compiler.Program``."""

    hardware: Hardware
    base: int
    image: np.ndarray
    window: tuple[int, int]
    regions: Mapping[str, Region]
    given: tuple[str, ...]
    seed: Region

    def jobs(self) -> list[dict[str, Any]]: ...

    def new_memory(self, fill: int = 0) -> np.ndarray: ...

    def load_image(self, memory: np.ndarray, picture: np.ndarray) -> None: ...

    def load_seed(self, memory: np.ndarray, seed: np.ndarray) -> None: ...


@dataclass
class LayerLoad:
    """What a layer made the engines do: for estimates and for checking the counters.

    Attributes:
        tiles: TILE or VECTOR jobs. entries: non-zero values multiplied with a row of weights, over all streams.
        cycles: lower bound of the engine's cycles: the busiest group of each tile (its streams share evenly, 16 cycles
            a pixel at least), or the matrix words of the busiest half.
        values, zeros: values loaded, and how many of them were zero after the ReLU rule.
        saturated: outputs that are stored, or pooled, and were clipped: see ``arithmetic.saturated``.
    """

    tiles: int = 0
    entries: int = 0
    cycles: int = 0
    values: int = 0
    zeros: int = 0
    saturated: int = 0


@dataclass
class Executor:
    """Runs a program on ``memory``, uint8 from the program's base on (see ``Program.new_memory`` and
    ``load_image``).

    Attributes:
        class_index, class_value: the winner as the seed unit finds it, whatever the seed mode. loads: by layer.
    """

    program: Program
    memory: np.ndarray
    method: str = "saliency"
    explain: bool = True
    seed_mode: int = seed_unit.ARG_MAX
    seed_index: int = 0
    class_index: int = field(default=-1, init=False)
    class_value: int = field(default=0, init=False)
    loads: dict[int, LayerLoad] = field(default_factory=dict, init=False)

    def run(self) -> Executor:
        """Execute until END (or the SEED of a program that does not explain)."""
        program, depth = self.program, self.program.hardware.weight_depth
        groups = program.hardware.groups
        self.weights = np.zeros((groups, depth, LANES), dtype=np.int64)
        self.initial = np.zeros((groups, 2, LANES), dtype=np.int64)
        self.weight_job = np.full((groups, depth), -1)  # WEIGHTS job that wrote the row
        self.weight_user = np.full((groups, depth), -1)  # last TILE job that used it
        self.bank_job, self.bank_user = np.full((groups, 2), -1), np.full((groups, 2), -1)
        self.counts = dict.fromkeys(KINDS, 0)  # TILE: all that are computed
        self.partial_sums = [PartialSums() for _ in range(groups)]
        self.kept: tuple[np.ndarray, np.ndarray] | None = None  # sums that the next VECTOR job goes on with
        self.kept_for: tuple[int, tuple[int, int]] = (-1, (0, 0))  # the layer and the words stored of the last VECTOR job
        self.writer = np.zeros(len(self.memory) // 2, dtype=np.int8)
        self.writer_number = np.zeros(len(self.memory) // 2, dtype=np.int64)
        self._mark(program.base, len(program.image), _IMAGE)
        for name in (*program.given, *([program.seed.name] if self.seed_mode == seed_unit.SUPPLIED else [])):
            self._mark(program.regions[name].address, program.regions[name].size, _GIVEN)
        for index, job in enumerate(program.jobs()):
            opcode = job["opcode"]
            self.job, self.where = job, f"descriptor {index} ({opcode})"
            self.load = self.loads.setdefault(job["layer"], LayerLoad())
            self.used: dict[tuple[int, int], list[Span]] = {}
            _require(self.kept is None or opcode in ("VECTOR", "TILE", "WEIGHTS"), f"{self.where}: sums were kept, and no job stores them")
            ends = opcode == "END" or (opcode == "SEED" and not self.explain)
            left = sum(sums.waiting for sums in self.partial_sums)
            _require(not (ends and left), f"{self.where}: the partial sums of {left} pixels were left, and no job takes them up")
            if opcode == "END":
                return self
            getattr(self, f"_{opcode.lower()}")()
            if ends:
                return self
            for kind in counted(job):
                self.counts[kind] += 1
        raise ProgramError("the program has no END")

    # ---- memory --------------------------------------------------------------------------------------------

    def _mark(self, address: int, size: int, kind: int, number: int = 0) -> None:
        start = (address - self.program.base) // 2
        self.writer[start : start + size // 2] = kind
        self.writer_number[start : start + size // 2] = number

    def _read(self, address: int, words: int) -> np.ndarray:
        """uint64 (words,), for the units; what they use must have been written by a job that this job's waits cover."""
        low, high = self.program.window
        _require(
            address % 8 == 0 and low <= address and address + 8 * words <= high,
            f"{self.where} reads {words} words at {address:#x}: outside the window, or not aligned to words",
        )
        used = self.used.get((address, words), [Span(address, 8 * words)])
        items = np.r_[tuple(slice((one.address - low) // 2, (one.address + one.size + 1 - low) // 2) for one in used)]
        kinds, numbers = self.writer[items], self.writer_number[items]
        _require(bool(kinds.all()), f"{self.where} reads {address:#x}: never written")
        for kind, wait in ((_TILE, "wait_tiles"), (_VECTOR, "wait_vectors")):
            written = numbers[kinds == kind]
            _require(
                not written.size or int(written.max()) < self.job[wait],
                f"{self.where} reads {address:#x} before its producer must have stored it ({wait} = {self.job[wait]})",
            )
        return self.memory[address - low : address - low + 8 * words].view("<u8")

    def _uses(self, *spans: Span) -> None:
        """Of the words that hold these bytes the job uses no other bytes: they may not be written yet."""
        for span in spans:
            self.used.setdefault((span.start, span.words), []).append(span)

    def _write(self, write: ByteWrite, kind: int) -> None:
        low, high = self.program.window
        address, size = write.address, len(write.content)
        _require(low <= address and address + size <= high, f"{self.where} writes {address:#x}: outside the window")
        start = (address - low) // 2
        _require(not self.writer[start : start + size // 2].any(), f"{self.where} writes {address:#x}: written before")
        self._mark(address, size, kind, self.counts["STORED" if kind == _TILE else "VECTOR"])
        self.memory[address - low : address - low + size] = write.content

    def _check_rule(self) -> None:
        """Without tags only DeconvNet's ReLU rule is possible."""
        tags = self.job["tags"] or self.method == "deconvnet" or not self.job["load_relu"]
        _require(bool(tags), f"{self.where} applies a ReLU without tags")

    # ---- tiles ---------------------------------------------------------------------------------------------

    def _tile(self) -> None:
        tile = self._load_tile()
        bank = self._compute_tile(tile)
        if not self.job["to_partial"]:
            self._store_tile(bank)
        self.load.tiles += 1

    def _load_tile(self) -> np.ndarray:
        """int64 (buffer rows, buffer columns, channels with weights): the tile bank's entries, spread out again."""
        job, hardware = TileJob.from_descriptor(self.job), self.program.hardware
        self._check_rule()
        self._uses(*itertools.chain.from_iterable(tile_loader.tag_spans(job, self.method)))
        values, index = tile_loader.ruled_values(job, self.method, self._read)
        self.load.values += values.size
        self.load.zeros += int(np.count_nonzero(values == 0))
        tile = tile_loader.placed(job, values, index)
        height, width = job.buffer_rows, job.buffer_columns
        _require(tile.shape[:2] == (height, width), f"{self.where}: not every buffer pixel gets a count")
        _require(int(np.count_nonzero(tile, axis=2).max()) <= job.slot, f"{self.where}: a pixel has more entries than its slot")
        _require(height * width <= hardware.tile_pixels, f"{self.where}: too many pixels for the tile bank")
        _require(
            (height - 1) * job.row_entries + width * job.slot <= hardware.tile_depth and job.row_entries >= width * job.slot,
            f"{self.where}: the entries do not fit the tile bank",
        )
        channels = BLOCK * WINDOW_SIDE**2 if job.index_channel else self.job["tap_rows"] or job.slot
        _require(not tile[..., channels:].any(), f"{self.where}: an entry's channel has no weights")
        return tile[..., :channels]

    def _compute_tile(self, tile: np.ndarray) -> OutputBank:
        """The output buffer when all groups have computed the tile."""
        job, hardware = ConvJob.from_descriptor(self.job), self.program.hardware
        _require(1 <= job.blocks <= hardware.groups, f"{self.where}: {job.blocks} blocks for {hardware.groups} groups")
        _require(not (job.pool and job.pack_pixels > 1), f"{self.where}: packs cannot be pooled")
        _require(not (job.pool and (job.stride_x_log2 or job.stride_y_log2)), f"{self.where}: pooled pixels cannot be strided")
        single = job.kernel_h * job.kernel_w * job.pack_pixels == 1 and not (job.pool or job.from_partial or job.to_partial)
        _require(not job.window or single, f"{self.where}: pixels of a window have one tap, and their sums are not in chunks")
        empty = job.window and conv_group.outside(job).all(axis=2).any()
        _require(not empty, f"{self.where}: a window lies outside the tile buffer")
        _require(not (job.to_partial and self.job["last_of_layer"]), f"{self.where}: the last job of a layer must store its sums")
        _require(
            job.origin_row in ORIGINS and job.origin_column in ORIGINS, f"{self.where}: an origin beyond {ORIGINS[0]} to {ORIGINS[-1]}"
        )
        rows = job.origin_row + job.row_step * (job.unit_rows - 1) + job.kernel_h + job.side - 1
        columns = job.origin_column + job.column_step * (job.unit_columns - 1) + job.kernel_w + job.side - 1
        _require(max(rows, columns) < POSITIONS, f"{self.where}: units so far behind the tile buffer that their positions wrap")
        bank = OutputBank(hardware.output_words)
        seen = conv_group.windows(job, tile)
        busiest = 0
        for group in range(hardware.groups):
            if conv_group.group_share(job, hardware.groups, group) is None:
                continue
            self._use_weights(group, conv_group.weight_rows(job, tile.shape[2], hardware.weight_depth))
            made = self._compute_group(job, seen, group)
            _require(made.largest < 1 << 47, f"{self.where}: an accumulator overflows 48 bits")
            self.load.entries += int(made.entries.sum())
            self.load.saturated += made.saturated
            busiest = max(busiest, -(-int(np.maximum(made.entries, DRAIN).sum()) // 2))
            try:
                if made.stored:
                    bank.put(made)
            except OverflowError as error:
                raise ProgramError(f"{self.where}: the output buffer overflows: {error}") from None
        self.load.cycles += busiest
        return bank

    def _compute_group(self, job: ConvJob, seen: np.ndarray, group: int) -> conv_group.Output:
        weights, initial = self.weights[group], self.initial[group, job.bias_bank]
        sums = self.partial_sums[group] if job.from_partial or job.to_partial else None
        try:
            return conv_group.compute(job, seen, weights, initial, self.program.hardware.groups, group, partial=sums)
        except PartialError as error:
            raise ProgramError(f"{self.where} {error}") from None

    def _use_weights(self, group: int, rows: np.ndarray) -> None:
        wait, bank = self.job["wait_weights"], self.job["bias_bank"]
        jobs = self.weight_job[group, rows]
        _require(int(jobs.min()) >= 0 and int(jobs.max()) < wait, f"{self.where}: weights that need not be loaded yet")
        self.weight_user[group, rows] = self.counts["TILE"]
        if not self.job["from_partial"]:
            _require(0 <= self.bank_job[group, bank] < wait, f"{self.where}: initial accumulators that need not be loaded yet")
            self.bank_user[group, bank] = self.counts["TILE"]

    def _store_tile(self, bank: OutputBank) -> None:
        job = TileStoreJob.from_descriptor(self.job)
        _require(job.destination_address % 8 == 0, f"{self.where}: the destination is not aligned to words")
        _require(
            bool(job.contiguous) == (job.destination_pixel_pitch == 8 * job.words_per_pixel_stored),
            f"{self.where}: the contiguous flag is wrong",
        )
        for half in range(SIDES):
            for write in tile_store.stored(job, half, bank.words[half], bank.pieces[half]):
                self._write(write, _TILE)

    # ---- weights -------------------------------------------------------------------------------------------

    def _weights(self) -> None:
        job, hardware = WeightLoaderJob.from_descriptor(self.job), self.program.hardware
        for block in weight_loader.load_blocks(job, hardware.groups, hardware.weight_depth, self._read):
            for group in block.groups:
                users = max(int(self.weight_user[group, block.addresses].max()), int(self.bank_user[group, job.bias_bank]))
                _require(users < job.wait_computed, f"{self.where} overwrites what tile {users} may still use")
                self.weights[group, block.addresses] = block.weights
                self.initial[group, job.bias_bank] = block.initial
                self.weight_job[group, block.addresses] = self.bank_job[group, job.bias_bank] = self.counts["WEIGHTS"]

    # ---- vectors -------------------------------------------------------------------------------------------

    def _vector(self) -> None:
        job, blocks = VectorEngineJob.from_descriptor(self.job), self.job["blocks"]
        self._check_rule()
        _require(
            blocks % 2 == 0 and 2 <= blocks <= self.program.hardware.vector_blocks and 16 * blocks <= 1 << job.pitch_log2,
            f"{self.where}: {blocks} blocks in rows of {1 << job.pitch_log2} bytes",
        )
        for half, words in enumerate((job.destination_words0, job.destination_words1)):
            _require(words <= 2 * blocks, f"{self.where}: half {half} stores more than it computes")
        tags = vector_engine.tag_span(job, self.method)
        self._uses(*([tags] if tags else []))
        stored = (job.destination_words0, job.destination_words1)
        _require(
            self.kept is None or self.kept_for == (self.job["layer"], stored),
            f"{self.where}: goes on with the sums of another layer, or of other outputs",
        )
        made = vector_engine.vector_engine(job, self.method, self._read, kept=self.kept)
        self.kept, self.kept_for = made.kept, (self.job["layer"], stored)
        for write in (*made.stored[0], *made.stored[1]):
            self._write(write, _VECTOR)
        values = 4 * job.vector_words
        self.load.tiles += 1
        self.load.entries += (values - made.zeros) * 2 * blocks
        self.load.cycles += (values - made.zeros) * 2 * blocks
        self.load.values += values
        self.load.zeros += made.zeros
        self.load.saturated += sum(made.saturated)

    def _seed(self) -> None:
        job = SeedUnitJob.from_descriptor(self.job)
        _require(job.channels <= 4 * job.words_per_pixel, f"{self.where}: more channels than words")
        made = seed_unit.seed_unit(job, self.seed_mode, self.seed_index, self.explain, self._read)
        self.class_index, self.class_value = made.class_index, made.class_value
        if made.seed is not None:
            self._write(ByteWrite(job.seed_address, bytes_of(made.seed)), _VECTOR)


def execute(
    program: Program,
    picture: np.ndarray,
    method: str = "saliency",
    *,
    seed_mode: int = seed_unit.ARG_MAX,
    seed_index: int = 0,
    seed: np.ndarray | None = None,
    explain: bool = True,
) -> Executor:
    """Run a program on a quantised picture (H, W, C), memory elsewhere holding rubbish (0xA5): the executor with its
    memory."""
    memory = program.new_memory(fill=0xA5)
    program.load_image(memory, picture)
    if seed is not None:
        program.load_seed(memory, seed)
        seed_mode = seed_unit.SUPPLIED
    return Executor(program, memory, method, explain, seed_mode, seed_index).run()


def check_tokens(jobs: list[Mapping[str, Any]]) -> None:
    """No wait refers to a job that comes later in the program: then the program cannot deadlock."""
    before = dict.fromkeys(KINDS, 0)
    for index, job in enumerate(jobs):
        for name, opcode in WAITS.items():
            _require(
                job.get(name, 0) <= before[opcode],
                f"descriptor {index}: {name} = {job.get(name)} refers to a later job",
            )
        for kind in counted(job):
            before[kind] += 1


def simulate(jobs: list[Mapping[str, Any]], rng: np.random.Generator, depth: int = 2) -> int:
    """Run the jobs' tokens with FIFOs of ``depth`` jobs and units of random speed; returns the steps taken.

    A TILE job goes to the FIFOs of loader, groups and, if it stores, store. Raises ProgramError when nothing can move any more.
    """
    units = {
        "TILE": ("load", "compute", "store"),
        "WEIGHTS": ("weights",),
        "VECTOR": ("vector",),
        "SEED": ("seed",),
        "END": (),
    }
    fifos: dict[str, list[tuple[int, Mapping[str, Any]]]] = {unit: [] for parts in units.values() for unit in parts}
    done = dict.fromkeys([*fifos, "vectors"], 0)
    numbers = {"TILE": 0, "WEIGHTS": 0, "VECTOR": 0, "SEED": 0}
    tiles = enumerate(job for job in jobs if job["opcode"] == "TILE")
    stored_before = {number: before for before, number in enumerate(number for number, job in tiles if not job["to_partial"])}
    position = steps = 0

    def takers(job: Mapping[str, Any]) -> tuple[str, ...]:
        return units[job["opcode"]][: 2 if job.get("to_partial") else None]

    def may_run(unit: str, number: int, job: Mapping[str, Any]) -> bool:
        if unit == "load":
            return done["store"] >= job["wait_tiles"] and done["vectors"] >= job["wait_vectors"] and done["compute"] >= number - 1
        if unit == "compute":
            bank_free = job["to_partial"] or done["store"] >= stored_before[number] - 1
            return done["load"] > number and done["weights"] >= job["wait_weights"] and bank_free
        if unit == "store":
            return done["compute"] > number
        if unit == "weights":
            return done["compute"] >= job["wait_computed"]
        return done["store"] >= job["wait_tiles"] and done["vectors"] >= job["wait_vectors"]

    while position < len(jobs) or any(fifos.values()):
        moves = [unit for unit, fifo in fifos.items() if fifo and may_run(unit, *fifo[0])]
        if position < len(jobs) and all(len(fifos[unit]) < depth for unit in takers(jobs[position])):
            moves.append("push")
        _require(bool(moves), f"deadlock: descriptor {position} cannot be pushed, and no unit can run")
        move = moves[int(rng.integers(len(moves)))]
        steps += 1
        if move == "push":
            opcode = jobs[position]["opcode"]
            for unit in takers(jobs[position]):
                fifos[unit].append((numbers[opcode], jobs[position]))
            if opcode in numbers:
                numbers[opcode] += 1
            position += 1
        else:
            fifos[move].pop(0)
            done[move] += 1
            done["vectors"] += move in ("vector", "seed")
    return steps
