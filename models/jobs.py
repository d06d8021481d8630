# SPDX-License-Identifier: Apache-2.0
"""The jobs of the units: what each takes of a descriptor.

Generated from registers/gradcore.rdl by `make registers`: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, kw_only=True)
class Job:
    """Base of the jobs: fields by the names of docs/registers.md, as Python ints; addresses and pitches are bytes.

    Attributes:
        UNIT: the Verilog module that takes it.
        OPCODE: the kind of descriptor that it is taken from.
        BITS: width of the module's port ``job``.
        PLACES: field -> (lowest bit in ``job``, width, whether it is signed).
    """

    UNIT: ClassVar[str] = ""
    OPCODE: ClassVar[str] = ""
    BITS: ClassVar[int] = 0
    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {}

    @classmethod
    def from_descriptor(cls, values: Mapping[str, int]) -> Self:
        """The job in a descriptor's field values (see ``unpack_descriptor``). Raises KeyError when a field is missing."""
        return cls(**{name: int(values[name]) for name in cls.PLACES})

    @classmethod
    def unpack(cls, bits: int) -> Self:
        """The job on a port ``job``."""
        values = {}
        for name, (low, width, signed) in cls.PLACES.items():
            value = bits >> low & ((1 << width) - 1)
            values[name] = value - (1 << width) if signed and value >> (width - 1) else value
        return cls(**values)

    def pack(self) -> int:
        """What the port ``job`` carries. Raises ValueError for a field that does not fit."""
        bits = 0
        for name, (low, width, signed) in self.PLACES.items():
            value = int(getattr(self, name))
            least, most = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
            if not least <= value <= most:
                raise ValueError(f"{self.UNIT} job: {name} = {value}, from {least} to {most}")
            bits |= (value & ((1 << width) - 1)) << low
        return bits


@dataclass(frozen=True, kw_only=True)
class TileLoaderJob(Job):
    """A job of the tile loader: what it takes of a TILE descriptor.

    Attributes:
        wait_tiles: The job waits until so many TILE jobs are stored; those with TO_PARTIAL are never.
        wait_vectors: The job waits until so many VECTOR and SEED jobs are done.
        source_address: First source pixel; a multiple of 8.
        source_row_pitch: Between source rows; a multiple of 8.
        source_rows: Source rows to read, at least 1.
        source_columns: Source pixels of a row, at least 1.
        words_per_pixel: Words (4 values) of a source pixel, 1..512.
        tag_address: First tag piece of the first source pixel; even.
        tag_row_pitch: Between tag rows; even.
        load_relu: Apply the method's ReLU rule to the values.
        unpool: Unpool: each source pixel goes to the winners among 2 x 2 buffer pixels. Needs TAGS.
        tags: Read tags.
        by_pixel: Read pixel by pixel, SOURCE_PIXEL_PITCH from one to the next, its tags likewise; otherwise a row in one run.
        crop_row: Unpool: drop the first unpooled row.
        crop_column: Unpool: drop the first unpooled column.
        index_channel: Tags are indices, a piece a word: a value goes to channel 16 x index + channel. Needs TAGS.
        buffer_rows: Rows of the tile buffer.
        buffer_columns: Columns of the tile buffer; rows x columns are at most the pixels of a bank.
        slot: Entries reserved for each pixel.
        row_entries: BUFFER_COLUMNS x SLOT; times BUFFER_ROWS at most the entries of a bank.
        source_pixel_pitch: With BY_PIXEL: between source pixels; a multiple of 8, 0 for the same pixel again.
        tag_pixel_pitch: With BY_PIXEL: between the tags of two source pixels; even.
    """

    UNIT: ClassVar[str] = "tile_loader"
    OPCODE: ClassVar[str] = "TILE"
    BITS: ClassVar[int] = 281
    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {
        "wait_tiles": (0, 24, False),
        "wait_vectors": (24, 24, False),
        "source_address": (48, 32, False),
        "source_row_pitch": (80, 32, False),
        "source_rows": (112, 8, False),
        "source_columns": (120, 8, False),
        "words_per_pixel": (128, 10, False),
        "tag_address": (138, 32, False),
        "tag_row_pitch": (170, 32, False),
        "load_relu": (202, 1, False),
        "unpool": (203, 1, False),
        "tags": (204, 1, False),
        "by_pixel": (205, 1, False),
        "crop_row": (206, 1, False),
        "crop_column": (207, 1, False),
        "index_channel": (208, 1, False),
        "buffer_rows": (209, 8, False),
        "buffer_columns": (217, 8, False),
        "slot": (225, 11, False),
        "row_entries": (236, 13, False),
        "source_pixel_pitch": (249, 16, False),
        "tag_pixel_pitch": (265, 16, False),
    }

    wait_tiles: int = 0
    wait_vectors: int = 0
    source_address: int = 0
    source_row_pitch: int = 0
    source_rows: int = 0
    source_columns: int = 0
    words_per_pixel: int = 0
    tag_address: int = 0
    tag_row_pitch: int = 0
    load_relu: int = 0
    unpool: int = 0
    tags: int = 0
    by_pixel: int = 0
    crop_row: int = 0
    crop_column: int = 0
    index_channel: int = 0
    buffer_rows: int = 0
    buffer_columns: int = 0
    slot: int = 0
    row_entries: int = 0
    source_pixel_pitch: int = 0
    tag_pixel_pitch: int = 0


@dataclass(frozen=True, kw_only=True)
class ConvGroupJob(Job):
    """A job of the conv group: what it takes of a TILE descriptor.

    Attributes:
        wait_weights: The groups wait until so many WEIGHTS jobs are loaded.
        buffer_rows: Rows of the tile buffer.
        buffer_columns: Columns of the tile buffer; rows x columns are at most the pixels of a bank.
        window: A unit is a max-pooling window of 2 x 2 or 3 x 3 pixels; its tags are indices alone. 0: as POOL says.
        slot: Entries reserved for each pixel.
        row_entries: BUFFER_COLUMNS x SLOT; times BUFFER_ROWS at most the entries of a bank.
        unit_rows: Output units: rows.
        unit_columns: Output units: columns.
        kernel_h: Kernel height, 1..8.
        kernel_w: Kernel width, 1..8 (longer than the layer's own with packed pixels).
        pack_pixels: Pixels of a pack, 1, 2 or 4: neighbours in an output row that share the 16 lanes.
        blocks: Blocks of 16 output channels, 1..groups.
        origin_row: Buffer row under the kernel's first row at unit row 0; signed.
        origin_column: Buffer column under the kernel's first column at unit column 0; signed.
        shift: Requantisation: right shift, 0..47.
        stride_y_log2: Logarithm of the stride in y, 0..2: buffer rows between two output rows.
        relu: ReLU after requantisation.
        pool: 2 x 2 max-pool after the ReLU.
        store_tags: Make and store tags.
        clip: The ReLU is a clip at 32767: that has a mask of 0, and what is clipped there is not counted as saturated. Needs RELU.
        from_partial: Start from the sums that a job with TO_PARTIAL has left, in order, not from initial accumulator values.
        to_partial: Leave the sums in the groups and store nothing: the job counts as computed, not as stored.
        weight_base: Row of the weight buffer of tap 0, channel 0; rows wrap.
        tap_rows: Rows between two taps; 0 where all taps have the same weights.
        stride_x_log2: Logarithm of the stride in x, 0..2: buffer columns between two output columns, of a pack or not.
        bias_bank: Which of the two initial accumulator values of a lane is used.
        buffer_row_words: Words between two rows of the same parity in the output buffer.
        buffer_row_pieces: Pieces between two rows of the same parity in the output buffer.
    """

    UNIT: ClassVar[str] = "conv_group"
    OPCODE: ClassVar[str] = "TILE"
    BITS: ClassVar[int] = 169
    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {
        "wait_weights": (0, 24, False),
        "buffer_rows": (24, 8, False),
        "buffer_columns": (32, 8, False),
        "window": (40, 2, False),
        "slot": (42, 11, False),
        "row_entries": (53, 13, False),
        "unit_rows": (66, 8, False),
        "unit_columns": (74, 8, False),
        "kernel_h": (82, 4, False),
        "kernel_w": (86, 4, False),
        "pack_pixels": (90, 4, False),
        "blocks": (94, 3, False),
        "origin_row": (97, 8, True),
        "origin_column": (105, 8, True),
        "shift": (113, 6, False),
        "stride_y_log2": (119, 2, False),
        "relu": (121, 1, False),
        "pool": (122, 1, False),
        "store_tags": (123, 1, False),
        "clip": (124, 1, False),
        "from_partial": (125, 1, False),
        "to_partial": (126, 1, False),
        "weight_base": (127, 10, False),
        "tap_rows": (137, 11, False),
        "stride_x_log2": (148, 2, False),
        "bias_bank": (150, 1, False),
        "buffer_row_words": (151, 9, False),
        "buffer_row_pieces": (160, 9, False),
    }

    wait_weights: int = 0
    buffer_rows: int = 0
    buffer_columns: int = 0
    window: int = 0
    slot: int = 0
    row_entries: int = 0
    unit_rows: int = 0
    unit_columns: int = 0
    kernel_h: int = 0
    kernel_w: int = 0
    pack_pixels: int = 0
    blocks: int = 0
    origin_row: int = 0
    origin_column: int = 0
    shift: int = 0
    stride_y_log2: int = 0
    relu: int = 0
    pool: int = 0
    store_tags: int = 0
    clip: int = 0
    from_partial: int = 0
    to_partial: int = 0
    weight_base: int = 0
    tap_rows: int = 0
    stride_x_log2: int = 0
    bias_bank: int = 0
    buffer_row_words: int = 0
    buffer_row_pieces: int = 0


@dataclass(frozen=True, kw_only=True)
class TileStoreJob(Job):
    """A job of the tile store: what it takes of a TILE descriptor.

    Attributes:
        unit_rows: Output units: rows.
        store_tags: Make and store tags.
        destination_address: First stored pixel; a multiple of 8.
        destination_row_pitch: Between stored rows; a multiple of 8.
        destination_pixel_pitch: Between stored pixels; a multiple of 8.
        words_per_pixel_stored: Words of a pixel that are stored.
        contiguous: A row is one run: the pixel pitch is 8 x WORDS_PER_PIXEL_STORED.
        columns_stored: Pixels of a row that are stored.
        buffer_pixel_words: Words between pixels in the output buffer.
        buffer_row_words: Words between two rows of the same parity in the output buffer.
        tag_destination: First stored tag piece; even.
        tag_destination_row_pitch: Between stored tag rows; even.
        tag_destination_pixel_pitch: Between the tags of two pixels; even.
        pieces_per_pixel: Tag pieces of a pixel that are stored.
        buffer_row_pieces: Pieces between two rows of the same parity in the output buffer.
    """

    UNIT: ClassVar[str] = "tile_store"
    OPCODE: ClassVar[str] = "TILE"
    BITS: ClassVar[int] = 222
    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {
        "unit_rows": (0, 8, False),
        "store_tags": (8, 1, False),
        "destination_address": (9, 32, False),
        "destination_row_pitch": (41, 32, False),
        "destination_pixel_pitch": (73, 16, False),
        "words_per_pixel_stored": (89, 10, False),
        "contiguous": (99, 1, False),
        "columns_stored": (100, 8, False),
        "buffer_pixel_words": (108, 8, False),
        "buffer_row_words": (116, 9, False),
        "tag_destination": (125, 32, False),
        "tag_destination_row_pitch": (157, 32, False),
        "tag_destination_pixel_pitch": (189, 16, False),
        "pieces_per_pixel": (205, 8, False),
        "buffer_row_pieces": (213, 9, False),
    }

    unit_rows: int = 0
    store_tags: int = 0
    destination_address: int = 0
    destination_row_pitch: int = 0
    destination_pixel_pitch: int = 0
    words_per_pixel_stored: int = 0
    contiguous: int = 0
    columns_stored: int = 0
    buffer_pixel_words: int = 0
    buffer_row_words: int = 0
    tag_destination: int = 0
    tag_destination_row_pitch: int = 0
    tag_destination_pixel_pitch: int = 0
    pieces_per_pixel: int = 0
    buffer_row_pieces: int = 0


@dataclass(frozen=True, kw_only=True)
class WeightLoaderJob(Job):
    """A job of the weight loader: what it takes of a WEIGHTS descriptor.

    Attributes:
        wait_computed: The job waits until so many TILE jobs are computed, with TO_PARTIAL or without.
        address0: Plane 0 (lanes 0..7), read by port 0; a multiple of 8.
        address1: Plane 1 (lanes 8..15), read by port 1; a multiple of 8.
        rows: Rows of each block, at least 1, at most the rows of the weight buffer.
        blocks: Blocks of 16 output channels, 1..groups.
        diagonal: Row n has one weight that is not 0, that of lane n modulo 16, and only these are in memory: 8 of a plane for each 16 rows.
        weight_base: First row of the weight buffer; rows wrap.
        bias_bank: Where the initial accumulator values go.
    """

    UNIT: ClassVar[str] = "weight_loader"
    OPCODE: ClassVar[str] = "WEIGHTS"
    BITS: ClassVar[int] = 114
    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {
        "wait_computed": (0, 24, False),
        "address0": (24, 32, False),
        "address1": (56, 32, False),
        "rows": (88, 11, False),
        "blocks": (99, 3, False),
        "diagonal": (102, 1, False),
        "weight_base": (103, 10, False),
        "bias_bank": (113, 1, False),
    }

    wait_computed: int = 0
    address0: int = 0
    address1: int = 0
    rows: int = 0
    blocks: int = 0
    diagonal: int = 0
    weight_base: int = 0
    bias_bank: int = 0


@dataclass(frozen=True, kw_only=True)
class VectorEngineJob(Job):
    """A job of the vector engine: what it takes of a VECTOR descriptor.

    Attributes:
        wait_tiles: The job waits until so many TILE jobs are stored; those with TO_PARTIAL are never.
        wait_vectors: The job waits until so many VECTOR and SEED jobs are done.
        vector_address: Input vector; a multiple of 8.
        vector_words: Words of the input vector, at least 1.
        tag_address: Tags of the input vector; even.
        load_relu: Apply the method's ReLU rule to the input.
        tags: Read tags.
        has_bias: Read initial accumulator values; else the rounding constant.
        relu: ReLU after requantisation.
        store_tags: Make and store tags.
        keep: Leave the sums in the lanes and store nothing: the next VECTOR job, with the same words to store, goes on with them.
        clip: The ReLU is a clip at 32767: that has a mask of 0, and what is clipped there is not counted as saturated. Needs RELU.
        pitch_log2: Logarithm of the bytes between matrix rows; a row is 16 x BLOCKS bytes.
        shift: Requantisation: right shift, 0..47.
        matrix_address0: Matrix plane of half 0, read by port 0; a multiple of 8.
        matrix_address1: Matrix plane of half 1, read by port 1; a multiple of 8.
        bias_address0: Initial accumulator values of half 0; a multiple of 8.
        bias_address1: Initial accumulator values of half 1; a multiple of 8.
        destination_address0: Where half 0 writes; a multiple of 8.
        destination_address1: Where half 1 writes; a multiple of 8.
        destination_words0: Words that half 0 stores, 0..2 x BLOCKS.
        destination_words1: Words that half 1 stores, 0..2 x BLOCKS.
        tag_destination0: Where half 0 writes tags; even.
        tag_destination1: Where half 1 writes tags; even.
    """

    UNIT: ClassVar[str] = "vector_engine"
    OPCODE: ClassVar[str] = "VECTOR"
    BITS: ClassVar[int] = 421
    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {
        "wait_tiles": (0, 24, False),
        "wait_vectors": (24, 24, False),
        "vector_address": (48, 32, False),
        "vector_words": (80, 20, False),
        "tag_address": (100, 32, False),
        "load_relu": (132, 1, False),
        "tags": (133, 1, False),
        "has_bias": (134, 1, False),
        "relu": (135, 1, False),
        "store_tags": (136, 1, False),
        "keep": (137, 1, False),
        "clip": (138, 1, False),
        "pitch_log2": (139, 4, False),
        "shift": (143, 6, False),
        "matrix_address0": (149, 32, False),
        "matrix_address1": (181, 32, False),
        "bias_address0": (213, 32, False),
        "bias_address1": (245, 32, False),
        "destination_address0": (277, 32, False),
        "destination_address1": (309, 32, False),
        "destination_words0": (341, 8, False),
        "destination_words1": (349, 8, False),
        "tag_destination0": (357, 32, False),
        "tag_destination1": (389, 32, False),
    }

    wait_tiles: int = 0
    wait_vectors: int = 0
    vector_address: int = 0
    vector_words: int = 0
    tag_address: int = 0
    load_relu: int = 0
    tags: int = 0
    has_bias: int = 0
    relu: int = 0
    store_tags: int = 0
    keep: int = 0
    clip: int = 0
    pitch_log2: int = 0
    shift: int = 0
    matrix_address0: int = 0
    matrix_address1: int = 0
    bias_address0: int = 0
    bias_address1: int = 0
    destination_address0: int = 0
    destination_address1: int = 0
    destination_words0: int = 0
    destination_words1: int = 0
    tag_destination0: int = 0
    tag_destination1: int = 0


@dataclass(frozen=True, kw_only=True)
class SeedUnitJob(Job):
    """A job of the seed unit: what it takes of a SEED descriptor.

    Attributes:
        wait_tiles: The job waits until so many TILE jobs are stored; those with TO_PARTIAL are never.
        wait_vectors: The job waits until so many VECTOR and SEED jobs are done.
        logits_address: Logits; a multiple of 8.
        words_per_pixel: Words of a pixel, at least 1.
        pixels: Pixels, at least 1.
        channels: Channels that count, at most 4 x WORDS_PER_PIXEL; the rest is padding.
        seed_address: Seed gradient; a multiple of 8.
        seed_value: Value of the seed at its index.
    """

    UNIT: ClassVar[str] = "seed_unit"
    OPCODE: ClassVar[str] = "SEED"
    BITS: ClassVar[int] = 166
    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {
        "wait_tiles": (0, 24, False),
        "wait_vectors": (24, 24, False),
        "logits_address": (48, 32, False),
        "words_per_pixel": (80, 10, False),
        "pixels": (90, 16, False),
        "channels": (106, 12, False),
        "seed_address": (118, 32, False),
        "seed_value": (150, 16, False),
    }

    wait_tiles: int = 0
    wait_vectors: int = 0
    logits_address: int = 0
    words_per_pixel: int = 0
    pixels: int = 0
    channels: int = 0
    seed_address: int = 0
    seed_value: int = 0


# Unit -> the type of its jobs.
JOBS: dict[str, type[Job]] = {
    "tile_loader": TileLoaderJob,
    "conv_group": ConvGroupJob,
    "tile_store": TileStoreJob,
    "weight_loader": WeightLoaderJob,
    "vector_engine": VectorEngineJob,
    "seed_unit": SeedUnitJob,
}
