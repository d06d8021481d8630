# SPDX-License-Identifier: Apache-2.0
"""An executor of compiled programs: what the descriptors mean, job by job, on a memory image.

It computes what the hardware computes from the same bytes: entries of the tile buffer, tap walking, pixel packing,
copies of the weights in the groups, output buffer addresses, tags. Jobs run one after the other in program order; instead of timing it
checks tokens in the worst case: a job may read only what jobs that its waits cover have written, and a WEIGHTS job may overwrite only
rows whose tiles its wait covers. A ``ProgramError`` says what a program does wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradcore.compiler.layout import BLOCK, join_pieces, split_pieces
from gradcore.compiler.program import Program
from gradcore.models import arithmetic

SEED_ARG_MAX, SEED_GIVEN, SEED_SUPPLIED = 0, 1, 2
DRAIN = 16  # cycles between two finished pixels of a stream
_IMAGE, _PICTURE, _TILE, _VECTOR = 1, 2, 3, 4


class ProgramError(AssertionError):
    """A program that does not keep the rules of the hardware."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProgramError(message)


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
    ``load_image``)."""

    program: Program
    memory: np.ndarray
    method: str = "saliency"
    explain: bool = True
    seed_mode: int = SEED_ARG_MAX
    seed_index: int = 0
    class_index: int = field(default=-1, init=False)
    max_value: int = field(default=0, init=False)
    loads: dict[int, LayerLoad] = field(default_factory=dict, init=False)

    def run(self) -> Executor:
        """Execute until END (or the SEED of a program that does not explain)."""
        program, depth = self.program, self.program.hardware.weight_depth
        groups = program.hardware.groups
        self.weights = np.zeros((groups, depth, BLOCK), dtype=np.int64)
        self.initial = np.zeros((groups, 2, BLOCK), dtype=np.int64)
        self.weight_job = np.full((groups, depth), -1)  # WEIGHTS job that wrote the row
        self.weight_user = np.full((groups, depth), -1)  # last TILE job that used it
        self.bank_job, self.bank_user = np.full((groups, 2), -1), np.full((groups, 2), -1)
        self.counts = {"TILE": 0, "WEIGHTS": 0, "VECTOR": 0}
        self.writer = np.zeros(len(self.memory) // 2, dtype=np.int8)
        self.writer_number = np.zeros(len(self.memory) // 2, dtype=np.int64)
        self._mark(program.base, len(program.image), _IMAGE)
        self._mark(program.picture.address, program.picture.size, _PICTURE)
        if self.seed_mode == SEED_SUPPLIED:
            self._mark(program.seed.address, program.seed.size, _PICTURE)
        jobs = program.jobs()
        for index, job in enumerate(jobs):
            self.job, self.where = job, f"descriptor {index} ({job['opcode']})"
            self.load = self.loads.setdefault(job["layer"], LayerLoad())
            opcode = job["opcode"]
            if opcode == "END" or (opcode == "SEED" and not self.explain):
                if opcode == "SEED":
                    self._seed()
                return self
            getattr(self, f"_{opcode.lower()}")()
            self.counts["VECTOR" if opcode == "SEED" else opcode] += 1
        raise ProgramError("the program has no END")

    # ---- memory --------------------------------------------------------------------------------------------

    def _mark(self, address: int, size: int, kind: int, number: int = 0) -> None:
        start = (address - self.program.base) // 2
        self.writer[start : start + size // 2] = kind
        self.writer_number[start : start + size // 2] = number

    def _read(self, address: int, size: int) -> np.ndarray:
        """uint8 bytes; they must have been written by a job that this job's waits cover."""
        low, high = self.program.window
        _require(low <= address and address + size <= high, f"{self.where} reads {address:#x}: outside the window")
        start = (address - low) // 2
        kinds, numbers = self.writer[start : start + size // 2], self.writer_number[start : start + size // 2]
        _require(bool(kinds.all()), f"{self.where} reads {address:#x}: never written")
        for kind, wait in ((_TILE, "wait_tiles"), (_VECTOR, "wait_vectors")):
            written = numbers[kinds == kind]
            _require(
                not written.size or int(written.max()) < self.job[wait],
                f"{self.where} reads {address:#x} before its producer must have stored it ({wait} = {self.job[wait]})",
            )
        return self.memory[address - low : address - low + size]

    def _write(self, address: int, data: np.ndarray, kind: int) -> None:
        low, high = self.program.window
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        _require(low <= address and address + len(data) <= high, f"{self.where} writes {address:#x}: outside the window")
        start = (address - low) // 2
        _require(not self.writer[start : start + len(data) // 2].any(), f"{self.where} writes {address:#x}: written before")
        self._mark(address, len(data), kind, self.counts["TILE" if kind == _TILE else "VECTOR"])
        self.memory[address - low : address - low + len(data)] = data

    def _apply_rule(self, values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """The method's ReLU rule on loaded values; without tags only DeconvNet's is possible."""
        if not self.job["load_relu"]:
            return values
        _require(mask is not None or self.method == "deconvnet", f"{self.where} applies a ReLU without tags")
        return arithmetic.relu_backward(values, True if mask is None else mask, self.method)

    # ---- tiles ---------------------------------------------------------------------------------------------

    def _tile(self) -> None:
        buffer = self._load_tile()
        words, pieces = self._compute_tile(buffer)
        self._store_tile(words, pieces)
        self.load.tiles += 1

    def _load_tile(self) -> np.ndarray:
        """int64 (buffer rows, buffer columns, tap_rows): the tile bank's entries, spread out again."""
        job, hardware = self.job, self.program.hardware
        rows, columns, channels = job["source_rows"], job["source_columns"], 4 * job["words_per_pixel"]
        _require(
            job["source_address"] % 8 == 0 and job["source_row_pitch"] % 8 == 0,
            f"{self.where}: values are not aligned to words",
        )
        values = (
            np.stack(
                [
                    self._read(job["source_address"] + row * job["source_row_pitch"], 2 * columns * channels).view("<i2")
                    for row in range(rows)
                ]
            )
            .astype(np.int64)
            .reshape(rows, columns, channels)
        )
        mask = index = None
        if job["tags"] and (job["unpool"] or self.method != "deconvnet"):
            blocks, pieces = -(-job["words_per_pixel"] // 4), 3 if job["unpool"] else 1
            raw = np.stack(
                [
                    self._read(job["tag_address"] + row * job["tag_row_pitch"], 2 * columns * blocks * pieces).view("<u2")
                    for row in range(rows)
                ]
            ).reshape(rows, columns, blocks, pieces)
            mask, index = split_pieces(raw)
            mask = mask[..., :channels]
        values = self._apply_rule(values, mask)
        self.load.values += values.size
        self.load.zeros += int(np.count_nonzero(values == 0))
        height, width = job["buffer_rows"], job["buffer_columns"]
        if job["unpool"]:
            spread = arithmetic.max_unpool(values, index[..., :channels], 2 * rows, 2 * columns)[job["crop_row"] :, job["crop_column"] :]
        else:
            spread = values
        _require(spread.shape[0] >= height and spread.shape[1] >= width, f"{self.where}: not every buffer pixel gets a count")
        spread = spread[:height, :width]
        counts = np.count_nonzero(spread, axis=2)
        _require(int(counts.max()) <= job["slot"], f"{self.where}: a pixel has more entries than its slot")
        _require(height * width <= hardware.tile_pixels, f"{self.where}: too many pixels for the tile bank")
        _require(
            (height - 1) * job["row_entries"] + width * job["slot"] <= hardware.tile_depth and job["row_entries"] >= width * job["slot"],
            f"{self.where}: the entries do not fit the tile bank",
        )
        _require(not spread[..., job["tap_rows"] :].any(), f"{self.where}: an entry's channel has no weights")
        return spread[..., : job["tap_rows"]]

    def _compute_tile(self, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The output buffer: values int64 (2 parities, words, 4), tag pieces uint16 (2 parities, pieces)."""
        job, hardware = self.job, self.program.hardware
        pool, blocks = job["pool"], job["blocks"]
        _require(1 <= blocks <= hardware.groups, f"{self.where}: {blocks} blocks for {hardware.groups} groups")
        _require(not (pool and job["stride_x"] > 1), f"{self.where}: packs cannot be pooled")
        shrink = 2 if pool else 1
        shape = (job["unit_rows"], job["unit_columns"])
        pixels = _windows(buffer, job, shrink)  # (unit rows, unit columns, pixels of a unit, taps * channels)
        taps = job["kernel_h"] * job["kernel_w"] * job["tap_rows"]
        rows = (job["weight_base"] + np.arange(taps)) % hardware.weight_depth
        copies = hardware.groups // blocks
        owner = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % copies
        per_row, per_pixel = shape[1] * blocks * 4, blocks * 4
        words = np.zeros((2, hardware.output_words, 4), dtype=np.int64)
        tag_pieces = 3 if pool else 1
        pieces = np.zeros((2, hardware.output_pieces), dtype=np.uint16)
        busiest = 0
        nonzero = np.count_nonzero(pixels, axis=3)
        for group in range(blocks * copies):
            block, copy = group % blocks, group // blocks
            self._use_weights(group, rows)
            unit_rows, unit_columns = np.nonzero(owner == copy)
            if not len(unit_rows):
                continue
            entries = nonzero[unit_rows, unit_columns]
            self.load.entries += int(entries.sum())
            busiest = max(busiest, -(-int(np.maximum(entries, DRAIN).sum()) // 2))
            accumulators = arithmetic.exact_sum(
                pixels[unit_rows, unit_columns].astype(np.float64), self.weights[group, rows].astype(np.float64)
            )
            accumulators = accumulators + self.initial[group, job["bias_bank"]]
            _require(int(np.abs(accumulators).max()) < 1 << 47, f"{self.where}: an accumulator overflows 48 bits")
            results = arithmetic.saturate(accumulators >> job["shift"])
            clipped = arithmetic.clips(accumulators >> job["shift"], job["relu"])
            if job["stride_x"] > 1:  # a pack at the end of a row may hold pixels that are not stored
                pixel = unit_columns[:, None, None] * job["stride_x"] + np.arange(BLOCK) * job["stride_x"] // BLOCK
                clipped &= pixel < job["columns_stored"]
            self.load.saturated += int(np.count_nonzero(clipped))
            if job["relu"]:
                results, _ = arithmetic.relu(results)
            index = results.argmax(axis=1) if pool else None
            results = results.max(axis=1)
            parity = unit_rows % 2
            first = unit_rows // 2 * per_row + unit_columns * per_pixel + 4 * block
            _require(int(first.max()) + 4 <= hardware.output_words, f"{self.where}: the output buffer overflows")
            words[parity[:, None], first[:, None] + np.arange(4)] = results.reshape(-1, 4, 4)
            if job["store_tags"]:
                made = join_pieces(results > 0, index)[:, 0]
                first = unit_rows // 2 * shape[1] * blocks * tag_pieces + (unit_columns * blocks + block) * tag_pieces
                _require(int(first.max()) + tag_pieces <= hardware.output_pieces, f"{self.where}: the tag buffer overflows")
                pieces[parity[:, None], first[:, None] + np.arange(tag_pieces)] = made
        self.load.cycles += busiest
        return words, pieces

    def _use_weights(self, group: int, rows: np.ndarray) -> None:
        wait, bank = self.job["wait_weights"], self.job["bias_bank"]
        jobs = self.weight_job[group, rows]
        _require(int(jobs.min()) >= 0 and int(jobs.max()) < wait, f"{self.where}: weights that need not be loaded yet")
        _require(0 <= self.bank_job[group, bank] < wait, f"{self.where}: initial accumulators that need not be loaded yet")
        self.weight_user[group, rows] = self.bank_user[group, bank] = self.counts["TILE"]

    def _store_tile(self, words: np.ndarray, pieces: np.ndarray) -> None:
        job = self.job
        stored, columns = job["words_per_pixel_stored"], job["columns_stored"]
        _require(job["destination_address"] % 8 == 0, f"{self.where}: the destination is not aligned to words")
        _require(
            bool(job["contiguous"]) == (job["destination_pixel_pitch"] == 8 * stored),
            f"{self.where}: the contiguous flag is wrong",
        )
        for row in range(job["unit_rows"]):
            first = row // 2 * job["buffer_row_words"]
            for column in range(columns):
                start = first + column * job["buffer_pixel_words"]
                address = job["destination_address"] + row * job["destination_row_pitch"] + column * job["destination_pixel_pitch"]
                self._write(address, words[row % 2, start : start + stored].astype("<i2"), _TILE)
                if job["store_tags"]:
                    start_piece = row // 2 * job["buffer_row_pieces"] + column * job["pieces_per_pixel"]
                    address = job["tag_destination"] + row * job["tag_destination_row_pitch"] + column * job["tag_destination_pixel_pitch"]
                    self._write(address, pieces[row % 2, start_piece : start_piece + job["pieces_per_pixel"]], _TILE)

    # ---- weights -------------------------------------------------------------------------------------------

    def _weights(self) -> None:
        job, hardware = self.job, self.program.hardware
        blocks, rows = job["blocks"], job["rows"]
        copies = hardware.groups // blocks
        targets = (job["weight_base"] + np.arange(rows)) % hardware.weight_depth
        size = 16 * rows + 64
        for block in range(blocks):
            halves = [self._read(job[f"address{half}"] + block * size, size) for half in (0, 1)]
            lanes = np.concatenate([half[: 16 * rows].view("<i2").reshape(rows, 8) for half in halves], axis=1)
            initial = np.concatenate([half[16 * rows :].view("<i8") for half in halves])
            for group in range(block, blocks * copies, blocks):
                users = max(int(self.weight_user[group, targets].max()), int(self.bank_user[group, job["bias_bank"]]))
                _require(users < job["wait_computed"], f"{self.where} overwrites what tile {users} may still use")
                self.weights[group, targets] = lanes
                self.weight_job[group, targets] = self.bank_job[group, job["bias_bank"]] = self.counts["WEIGHTS"]
                self.initial[group, job["bias_bank"]] = initial

    # ---- vectors -------------------------------------------------------------------------------------------

    def _vector(self) -> None:
        job = self.job
        values = self._read(job["vector_address"], 8 * job["vector_words"]).view("<i2").astype(np.int64)
        mask = None
        if job["tags"] and self.method != "deconvnet":
            raw = self._read(job["tag_address"], 2 * -(-job["vector_words"] // 4)).view("<u2")
            mask = split_pieces(raw[:, None])[0][: len(values)]
        values = self._apply_rule(values, mask)
        used = np.flatnonzero(values)
        lanes = 8 * job["blocks"]
        _require(
            job["blocks"] % 2 == 0 and 2 <= job["blocks"] <= self.program.hardware.vector_blocks and 2 * lanes <= 1 << job["pitch_log2"],
            f"{self.where}: {job['blocks']} blocks in rows of {1 << job['pitch_log2']} bytes",
        )
        for half in (0, 1):
            matrix = np.zeros((len(used), lanes))
            for place, index in enumerate(used):
                matrix[place] = self._read(job[f"matrix_address{half}"] + (int(index) << job["pitch_log2"]), 2 * lanes).view("<i2")
            if job["has_bias"]:
                initial = self._read(job[f"bias_address{half}"], 8 * lanes).view("<i8")
            else:
                initial = arithmetic.rounding_constant(job["shift"])
            accumulators = arithmetic.exact_sum(values[used].astype(np.float64)[None], matrix)[0] + initial
            results = arithmetic.saturate(accumulators >> job["shift"])
            if job["relu"]:
                results, _ = arithmetic.relu(results)
            words = job[f"destination_words{half}"]
            clipped = arithmetic.clips(accumulators >> job["shift"], job["relu"])
            self.load.saturated += int(np.count_nonzero(clipped[: 4 * words]))
            _require(words <= lanes // 4, f"{self.where}: half {half} stores more than it computes")
            if words:
                self._write(job[f"destination_address{half}"], results[: 4 * words].astype("<i2"), _VECTOR)
                if job["store_tags"]:
                    pieces = join_pieces(results > 0, None)[: -(-words // 4), 0]
                    self._write(job[f"tag_destination{half}"], pieces.astype("<u2"), _VECTOR)
        self.load.tiles += 1
        self.load.entries += len(used) * 2 * job["blocks"]
        self.load.cycles += len(used) * 2 * job["blocks"]
        self.load.values += len(values)
        self.load.zeros += len(values) - len(used)

    def _seed(self) -> None:
        job = self.job
        pixels, words = job["pixels"], job["words_per_pixel"]
        logits = self._read(job["logits_address"], 8 * pixels * words).view("<i2").astype(np.int64).reshape(pixels, 4 * words)
        _require(job["channels"] <= 4 * words, f"{self.where}: more channels than words")
        logits[:, job["channels"] :] = arithmetic.VALUE_MIN - 1
        self.class_index = arithmetic.arg_max(logits)
        self.max_value = int(logits.reshape(-1)[self.class_index])
        if self.seed_mode == SEED_GIVEN:
            self.class_index = self.seed_index
        if self.explain and self.seed_mode != SEED_SUPPLIED:
            seed = np.zeros(4 * pixels * words, dtype="<i2")
            seed[self.class_index] = job["seed_value"]
            self._write(job["seed_address"], seed, _VECTOR)


def _windows(buffer: np.ndarray, job: dict, shrink: int) -> np.ndarray:
    """(unit rows, unit columns, pixels of a unit, taps * channels): what each output pixel's taps see; zeros outside
    the buffer."""
    height, width, channels = buffer.shape
    outside = np.zeros((height + 1, width + 1, channels), dtype=buffer.dtype)
    outside[:height, :width] = buffer

    def places(origin: int, count: int, stride: int, taps: int, size: int) -> np.ndarray:
        made = origin + stride * np.arange(count)[:, None] + np.arange(taps)
        return np.where((made >= 0) & (made < size), made, size)

    rows = places(job["origin_row"], job["unit_rows"] * shrink, 1, job["kernel_h"], height)
    columns = places(job["origin_column"], job["unit_columns"] * shrink, job["stride_x"], job["kernel_w"], width)
    seen = outside[rows[:, None, :, None], columns[None, :, None, :]]
    seen = seen.reshape(job["unit_rows"], shrink, job["unit_columns"], shrink, -1)
    return seen.transpose(0, 2, 1, 3, 4).reshape(job["unit_rows"], job["unit_columns"], shrink * shrink, -1)


def execute(
    program: Program,
    picture: np.ndarray,
    method: str = "saliency",
    *,
    seed_mode: int = SEED_ARG_MAX,
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
        seed_mode = SEED_SUPPLIED
    return Executor(program, memory, method, explain, seed_mode, seed_index).run()


def check_tokens(jobs: list[dict]) -> None:
    """No wait refers to a job that comes later in the program: then the program cannot deadlock."""
    before = {"TILE": 0, "VECTOR": 0, "WEIGHTS": 0}
    waits = {"wait_tiles": "TILE", "wait_vectors": "VECTOR", "wait_weights": "WEIGHTS", "wait_computed": "TILE"}
    for index, job in enumerate(jobs):
        for name, opcode in waits.items():
            _require(
                job.get(name, 0) <= before[opcode],
                f"descriptor {index}: {name} = {job.get(name)} refers to a later job",
            )
        opcode = {"SEED": "VECTOR"}.get(job["opcode"], job["opcode"])
        if opcode in before:
            before[opcode] += 1


def simulate(jobs: list[dict], rng: np.random.Generator, depth: int = 2) -> int:
    """Run the jobs' tokens with FIFOs of ``depth`` jobs and units of random speed; returns the steps taken.

    A TILE job goes to the FIFOs of loader, groups and store. Raises ProgramError when nothing can move any more.
    """
    units = {
        "TILE": ("load", "compute", "store"),
        "WEIGHTS": ("weights",),
        "VECTOR": ("vector",),
        "SEED": ("seed",),
        "END": (),
    }
    fifos: dict[str, list[tuple[int, dict]]] = {unit: [] for parts in units.values() for unit in parts}
    done = dict.fromkeys([*fifos, "vectors"], 0)
    numbers = {"TILE": 0, "WEIGHTS": 0, "VECTOR": 0, "SEED": 0}
    position = steps = 0

    def may_run(unit: str, number: int, job: dict) -> bool:
        if unit == "load":
            return done["store"] >= job["wait_tiles"] and done["vectors"] >= job["wait_vectors"] and done["compute"] >= number - 1
        if unit == "compute":
            return done["load"] > number and done["weights"] >= job["wait_weights"] and done["store"] >= number - 1
        if unit == "store":
            return done["compute"] > number
        if unit == "weights":
            return done["compute"] >= job["wait_computed"]
        return done["store"] >= job["wait_tiles"] and done["vectors"] >= job["wait_vectors"]

    while position < len(jobs) or any(fifos.values()):
        moves = [unit for unit, fifo in fifos.items() if fifo and may_run(unit, *fifo[0])]
        if position < len(jobs) and all(len(fifos[unit]) < depth for unit in units[jobs[position]["opcode"]]):
            moves.append("push")
        _require(bool(moves), f"deadlock: descriptor {position} cannot be pushed, and no unit can run")
        move = moves[int(rng.integers(len(moves)))]
        steps += 1
        if move == "push":
            opcode = jobs[position]["opcode"]
            for unit in units[opcode]:
                fifos[unit].append((numbers[opcode], jobs[position]))
            if opcode in numbers:
                numbers[opcode] += 1
            position += 1
        else:
            fifos[move].pop(0)
            done[move] += 1
            done["vectors"] += move in ("vector", "seed")
    return steps
