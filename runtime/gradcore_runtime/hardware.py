# SPDX-License-Identifier: Apache-2.0
"""Registers and descriptors: addresses, fields, values, and packing.

Generated from registers/gradcore.rdl by `make registers`: do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

# Byte addresses of the registers.
IDENTIFIER = 0x000
VERSION = 0x004
CONFIGURATION = 0x008
CONFIGURATION_TILE = 0x00C
CONFIGURATION_BUFFERS = 0x010
CONTROL = 0x020
STATUS = 0x024
INTERRUPT = 0x028
DESCRIPTOR_INDEX = 0x02C
ERROR_ADDRESS = 0x030
PROGRAM_ADDRESS = 0x034
WINDOW_BASE = 0x038
WINDOW_LIMIT = 0x03C
WATCHDOG = 0x040
METHOD = 0x044
SEED_MODE = 0x048
SEED_INDEX = 0x04C
CLASS_INDEX = 0x050
CLASS_VALUE = 0x054
LAYER_INDEX = 0x058
LAYER_CYCLES = 0x05C
LAYER_SATURATED = 0x060
CYCLES_LOW = 0x100
CYCLES_HIGH = 0x104
LOADER_ACTIVE_LOW = 0x108
LOADER_ACTIVE_HIGH = 0x10C
LOADER_WAIT_INPUT_LOW = 0x110
LOADER_WAIT_INPUT_HIGH = 0x114
LOADER_WAIT_OUTPUT_LOW = 0x118
LOADER_WAIT_OUTPUT_HIGH = 0x11C
CONV_ACTIVE_LOW = 0x120
CONV_ACTIVE_HIGH = 0x124
CONV_WAIT_INPUT_LOW = 0x128
CONV_WAIT_INPUT_HIGH = 0x12C
CONV_WAIT_OUTPUT_LOW = 0x130
CONV_WAIT_OUTPUT_HIGH = 0x134
VECTOR_ACTIVE_LOW = 0x138
VECTOR_ACTIVE_HIGH = 0x13C
VECTOR_WAIT_INPUT_LOW = 0x140
VECTOR_WAIT_INPUT_HIGH = 0x144
VECTOR_WAIT_OUTPUT_LOW = 0x148
VECTOR_WAIT_OUTPUT_HIGH = 0x14C
STORE_ACTIVE_LOW = 0x150
STORE_ACTIVE_HIGH = 0x154
STORE_WAIT_INPUT_LOW = 0x158
STORE_WAIT_INPUT_HIGH = 0x15C
STORE_WAIT_OUTPUT_LOW = 0x160
STORE_WAIT_OUTPUT_HIGH = 0x164
MACS_ISSUED_LOW = 0x168
MACS_ISSUED_HIGH = 0x16C
ZEROS_SKIPPED_LOW = 0x170
ZEROS_SKIPPED_HIGH = 0x174
BYTES_READ_LOW = 0x178
BYTES_READ_HIGH = 0x17C
BYTES_WRITTEN_LOW = 0x180
BYTES_WRITTEN_HIGH = 0x184

# Counters of 64 bits, in the order of their addresses: name -> address of the low word.
COUNTERS = {
    "CYCLES": 0x100,
    "LOADER_ACTIVE": 0x108,
    "LOADER_WAIT_INPUT": 0x110,
    "LOADER_WAIT_OUTPUT": 0x118,
    "CONV_ACTIVE": 0x120,
    "CONV_WAIT_INPUT": 0x128,
    "CONV_WAIT_OUTPUT": 0x130,
    "VECTOR_ACTIVE": 0x138,
    "VECTOR_WAIT_INPUT": 0x140,
    "VECTOR_WAIT_OUTPUT": 0x148,
    "STORE_ACTIVE": 0x150,
    "STORE_WAIT_INPUT": 0x158,
    "STORE_WAIT_OUTPUT": 0x160,
    "MACS_ISSUED": 0x168,
    "ZEROS_SKIPPED": 0x170,
    "BYTES_READ": 0x178,
    "BYTES_WRITTEN": 0x180,
}

# Values of registers after reset (of the default build): name -> value.
RESETS = {
    "IDENTIFIER": 0x47524144,
    "VERSION": 0x00000600,
    "CONFIGURATION": 0x05081024,
    "CONFIGURATION_TILE": 0x02002000,
    "CONFIGURATION_BUFFERS": 0x02000400,
    "CONTROL": 0x00000000,
    "STATUS": 0x00000000,
    "INTERRUPT": 0x00000000,
    "DESCRIPTOR_INDEX": 0x00000000,
    "ERROR_ADDRESS": 0x00000000,
    "PROGRAM_ADDRESS": 0x00000000,
    "WINDOW_BASE": 0x00000000,
    "WINDOW_LIMIT": 0x00000000,
    "WATCHDOG": 0x00000000,
    "METHOD": 0x00000000,
    "SEED_MODE": 0x00000000,
    "SEED_INDEX": 0x00000000,
    "CLASS_INDEX": 0x00000000,
    "CLASS_VALUE": 0x00000000,
    "LAYER_INDEX": 0x00000000,
    "LAYER_CYCLES": 0x00000000,
    "LAYER_SATURATED": 0x00000000,
    "CYCLES_LOW": 0x00000000,
    "CYCLES_HIGH": 0x00000000,
    "LOADER_ACTIVE_LOW": 0x00000000,
    "LOADER_ACTIVE_HIGH": 0x00000000,
    "LOADER_WAIT_INPUT_LOW": 0x00000000,
    "LOADER_WAIT_INPUT_HIGH": 0x00000000,
    "LOADER_WAIT_OUTPUT_LOW": 0x00000000,
    "LOADER_WAIT_OUTPUT_HIGH": 0x00000000,
    "CONV_ACTIVE_LOW": 0x00000000,
    "CONV_ACTIVE_HIGH": 0x00000000,
    "CONV_WAIT_INPUT_LOW": 0x00000000,
    "CONV_WAIT_INPUT_HIGH": 0x00000000,
    "CONV_WAIT_OUTPUT_LOW": 0x00000000,
    "CONV_WAIT_OUTPUT_HIGH": 0x00000000,
    "VECTOR_ACTIVE_LOW": 0x00000000,
    "VECTOR_ACTIVE_HIGH": 0x00000000,
    "VECTOR_WAIT_INPUT_LOW": 0x00000000,
    "VECTOR_WAIT_INPUT_HIGH": 0x00000000,
    "VECTOR_WAIT_OUTPUT_LOW": 0x00000000,
    "VECTOR_WAIT_OUTPUT_HIGH": 0x00000000,
    "STORE_ACTIVE_LOW": 0x00000000,
    "STORE_ACTIVE_HIGH": 0x00000000,
    "STORE_WAIT_INPUT_LOW": 0x00000000,
    "STORE_WAIT_INPUT_HIGH": 0x00000000,
    "STORE_WAIT_OUTPUT_LOW": 0x00000000,
    "STORE_WAIT_OUTPUT_HIGH": 0x00000000,
    "MACS_ISSUED_LOW": 0x00000000,
    "MACS_ISSUED_HIGH": 0x00000000,
    "ZEROS_SKIPPED_LOW": 0x00000000,
    "ZEROS_SKIPPED_HIGH": 0x00000000,
    "BYTES_READ_LOW": 0x00000000,
    "BYTES_READ_HIGH": 0x00000000,
    "BYTES_WRITTEN_LOW": 0x00000000,
    "BYTES_WRITTEN_HIGH": 0x00000000,
}

# Addresses of registers: name -> byte address.
ADDRESSES = {
    "IDENTIFIER": 0x000,
    "VERSION": 0x004,
    "CONFIGURATION": 0x008,
    "CONFIGURATION_TILE": 0x00C,
    "CONFIGURATION_BUFFERS": 0x010,
    "CONTROL": 0x020,
    "STATUS": 0x024,
    "INTERRUPT": 0x028,
    "DESCRIPTOR_INDEX": 0x02C,
    "ERROR_ADDRESS": 0x030,
    "PROGRAM_ADDRESS": 0x034,
    "WINDOW_BASE": 0x038,
    "WINDOW_LIMIT": 0x03C,
    "WATCHDOG": 0x040,
    "METHOD": 0x044,
    "SEED_MODE": 0x048,
    "SEED_INDEX": 0x04C,
    "CLASS_INDEX": 0x050,
    "CLASS_VALUE": 0x054,
    "LAYER_INDEX": 0x058,
    "LAYER_CYCLES": 0x05C,
    "LAYER_SATURATED": 0x060,
    "CYCLES_LOW": 0x100,
    "CYCLES_HIGH": 0x104,
    "LOADER_ACTIVE_LOW": 0x108,
    "LOADER_ACTIVE_HIGH": 0x10C,
    "LOADER_WAIT_INPUT_LOW": 0x110,
    "LOADER_WAIT_INPUT_HIGH": 0x114,
    "LOADER_WAIT_OUTPUT_LOW": 0x118,
    "LOADER_WAIT_OUTPUT_HIGH": 0x11C,
    "CONV_ACTIVE_LOW": 0x120,
    "CONV_ACTIVE_HIGH": 0x124,
    "CONV_WAIT_INPUT_LOW": 0x128,
    "CONV_WAIT_INPUT_HIGH": 0x12C,
    "CONV_WAIT_OUTPUT_LOW": 0x130,
    "CONV_WAIT_OUTPUT_HIGH": 0x134,
    "VECTOR_ACTIVE_LOW": 0x138,
    "VECTOR_ACTIVE_HIGH": 0x13C,
    "VECTOR_WAIT_INPUT_LOW": 0x140,
    "VECTOR_WAIT_INPUT_HIGH": 0x144,
    "VECTOR_WAIT_OUTPUT_LOW": 0x148,
    "VECTOR_WAIT_OUTPUT_HIGH": 0x14C,
    "STORE_ACTIVE_LOW": 0x150,
    "STORE_ACTIVE_HIGH": 0x154,
    "STORE_WAIT_INPUT_LOW": 0x158,
    "STORE_WAIT_INPUT_HIGH": 0x15C,
    "STORE_WAIT_OUTPUT_LOW": 0x160,
    "STORE_WAIT_OUTPUT_HIGH": 0x164,
    "MACS_ISSUED_LOW": 0x168,
    "MACS_ISSUED_HIGH": 0x16C,
    "ZEROS_SKIPPED_LOW": 0x170,
    "ZEROS_SKIPPED_HIGH": 0x174,
    "BYTES_READ_LOW": 0x178,
    "BYTES_READ_HIGH": 0x17C,
    "BYTES_WRITTEN_LOW": 0x180,
    "BYTES_WRITTEN_HIGH": 0x184,
}

# Fields of registers: name -> (low bit, width, signed).
REGISTER_FIELDS = {
    "IDENTIFIER.value": (0, 32, False),
    "VERSION.patch": (0, 8, False),
    "VERSION.minor": (8, 8, False),
    "VERSION.major": (16, 16, False),
    "CONFIGURATION.groups": (0, 4, False),
    "CONFIGURATION.streams": (4, 4, False),
    "CONFIGURATION.lanes": (8, 8, False),
    "CONFIGURATION.vector_lanes": (16, 8, False),
    "CONFIGURATION.descriptor_version": (24, 8, False),
    "CONFIGURATION_TILE.entries": (0, 16, False),
    "CONFIGURATION_TILE.pixels": (16, 16, False),
    "CONFIGURATION_BUFFERS.weight_rows": (0, 16, False),
    "CONFIGURATION_BUFFERS.output_words": (16, 16, False),
    "CONTROL.start": (0, 1, False),
    "CONTROL.soft_reset": (1, 1, False),
    "CONTROL.explain": (4, 1, False),
    "CONTROL.interrupt_enable": (8, 1, False),
    "STATUS.busy": (0, 1, False),
    "STATUS.done": (1, 1, False),
    "STATUS.error": (2, 1, False),
    "STATUS.start_while_busy": (3, 1, False),
    "STATUS.code": (8, 8, False),
    "INTERRUPT.pending": (0, 1, False),
    "DESCRIPTOR_INDEX.index": (0, 16, False),
    "ERROR_ADDRESS.address": (0, 32, False),
    "PROGRAM_ADDRESS.address": (0, 32, False),
    "WINDOW_BASE.address": (0, 32, False),
    "WINDOW_LIMIT.address": (0, 32, False),
    "WATCHDOG.cycles": (0, 32, False),
    "METHOD.method": (0, 2, False),
    "SEED_MODE.mode": (0, 2, False),
    "SEED_INDEX.index": (0, 32, False),
    "CLASS_INDEX.index": (0, 32, False),
    "CLASS_VALUE.value": (0, 16, True),
    "LAYER_INDEX.index": (0, 8, False),
    "LAYER_INDEX.finished": (16, 9, False),
    "LAYER_CYCLES.cycles": (0, 32, False),
    "LAYER_SATURATED.values": (0, 32, False),
    "CYCLES_LOW.count": (0, 32, False),
    "CYCLES_HIGH.count": (0, 32, False),
    "LOADER_ACTIVE_LOW.count": (0, 32, False),
    "LOADER_ACTIVE_HIGH.count": (0, 32, False),
    "LOADER_WAIT_INPUT_LOW.count": (0, 32, False),
    "LOADER_WAIT_INPUT_HIGH.count": (0, 32, False),
    "LOADER_WAIT_OUTPUT_LOW.count": (0, 32, False),
    "LOADER_WAIT_OUTPUT_HIGH.count": (0, 32, False),
    "CONV_ACTIVE_LOW.count": (0, 32, False),
    "CONV_ACTIVE_HIGH.count": (0, 32, False),
    "CONV_WAIT_INPUT_LOW.count": (0, 32, False),
    "CONV_WAIT_INPUT_HIGH.count": (0, 32, False),
    "CONV_WAIT_OUTPUT_LOW.count": (0, 32, False),
    "CONV_WAIT_OUTPUT_HIGH.count": (0, 32, False),
    "VECTOR_ACTIVE_LOW.count": (0, 32, False),
    "VECTOR_ACTIVE_HIGH.count": (0, 32, False),
    "VECTOR_WAIT_INPUT_LOW.count": (0, 32, False),
    "VECTOR_WAIT_INPUT_HIGH.count": (0, 32, False),
    "VECTOR_WAIT_OUTPUT_LOW.count": (0, 32, False),
    "VECTOR_WAIT_OUTPUT_HIGH.count": (0, 32, False),
    "STORE_ACTIVE_LOW.count": (0, 32, False),
    "STORE_ACTIVE_HIGH.count": (0, 32, False),
    "STORE_WAIT_INPUT_LOW.count": (0, 32, False),
    "STORE_WAIT_INPUT_HIGH.count": (0, 32, False),
    "STORE_WAIT_OUTPUT_LOW.count": (0, 32, False),
    "STORE_WAIT_OUTPUT_HIGH.count": (0, 32, False),
    "MACS_ISSUED_LOW.count": (0, 32, False),
    "MACS_ISSUED_HIGH.count": (0, 32, False),
    "ZEROS_SKIPPED_LOW.count": (0, 32, False),
    "ZEROS_SKIPPED_HIGH.count": (0, 32, False),
    "BYTES_READ_LOW.count": (0, 32, False),
    "BYTES_READ_HIGH.count": (0, 32, False),
    "BYTES_WRITTEN_LOW.count": (0, 32, False),
    "BYTES_WRITTEN_HIGH.count": (0, 32, False),
}

# Masks of single bits and fields.
VERSION_PATCH = 0x000000FF
VERSION_MINOR = 0x0000FF00
VERSION_MAJOR = 0xFFFF0000
CONFIGURATION_GROUPS = 0x0000000F
CONFIGURATION_STREAMS = 0x000000F0
CONFIGURATION_LANES = 0x0000FF00
CONFIGURATION_VECTOR_LANES = 0x00FF0000
CONFIGURATION_DESCRIPTOR_VERSION = 0xFF000000
CONFIGURATION_TILE_ENTRIES = 0x0000FFFF
CONFIGURATION_TILE_PIXELS = 0xFFFF0000
CONFIGURATION_BUFFERS_WEIGHT_ROWS = 0x0000FFFF
CONFIGURATION_BUFFERS_OUTPUT_WORDS = 0xFFFF0000
CONTROL_START = 0x00000001
CONTROL_SOFT_RESET = 0x00000002
CONTROL_EXPLAIN = 0x00000010
CONTROL_INTERRUPT_ENABLE = 0x00000100
STATUS_BUSY = 0x00000001
STATUS_DONE = 0x00000002
STATUS_ERROR = 0x00000004
STATUS_START_WHILE_BUSY = 0x00000008
STATUS_CODE = 0x0000FF00
INTERRUPT_PENDING = 0x00000001
DESCRIPTOR_INDEX_INDEX = 0x0000FFFF
METHOD_METHOD = 0x00000003
SEED_MODE_MODE = 0x00000003
CLASS_VALUE_VALUE = 0x0000FFFF
LAYER_INDEX_INDEX = 0x000000FF
LAYER_INDEX_FINISHED = 0x01FF0000

# CODE
CODES = {
    "NONE": 0,
    "ILLEGAL_DESCRIPTOR": 1,
    "WINDOW": 2,
    "READ_RESPONSE": 3,
    "WRITE_RESPONSE": 4,
    "WATCHDOG": 5,
    "START_WHILE_BUSY": 6,
}
CODE_NONE = 0
CODE_ILLEGAL_DESCRIPTOR = 1
CODE_WINDOW = 2
CODE_READ_RESPONSE = 3
CODE_WRITE_RESPONSE = 4
CODE_WATCHDOG = 5
CODE_START_WHILE_BUSY = 6

# METHOD
METHODS = {
    "saliency": 0,
    "deconvnet": 1,
    "guided": 2,
}
METHOD_SALIENCY = 0
METHOD_DECONVNET = 1
METHOD_GUIDED = 2

# SEED_MODE
SEED_MODES = {
    "ARG_MAX": 0,
    "INDEX": 1,
    "SUPPLIED": 2,
}
SEED_MODE_ARG_MAX = 0
SEED_MODE_INDEX = 1
SEED_MODE_SUPPLIED = 2

# OPCODE
OPCODES = {
    "TILE": 1,
    "WEIGHTS": 2,
    "VECTOR": 3,
    "SEED": 4,
    "END": 5,
}
OPCODE_TILE = 1
OPCODE_WEIGHTS = 2
OPCODE_VECTOR = 3
OPCODE_SEED = 4
OPCODE_END = 5

# Presets: name -> parameters of the Verilog's top.
PRESETS: dict[str, dict[str, int]] = {
    "small": {"GROUPS": 1},
    "paper": {"GROUPS": 2},
    "full": {"GROUPS": 4},
}

# Sizes of the hardware.
STREAMS = 2  # Streams of a group.
LANES = 16  # Lanes (MACs) of a stream: a block of output channels, and the bits of a tag piece.
VECTOR_LANES = 8  # Lanes of the vector engine, both halves.
TILE_ENTRIES = 8192  # Entries (non-zero values) of a bank of the tile buffer.
TILE_PIXELS = 512  # Pixels of a bank of the tile buffer.
WEIGHT_ROWS = 1024  # Rows of a group's weight buffer, one weight a lane each.
OUTPUT_WORDS = 512  # Words, and tag pieces, of one side and bank of the output buffer.
PARTIAL_PIXELS = 64  # Pixels of a stream whose partial sums may wait.
COUNT_BITS = 11  # Bits of a pixel's number of entries, and of an entry's channel.
PROGRAM_LIMIT = 65536  # Descriptors of a program at most.
OUTSTANDING = 8  # Bursts of an AXI port in flight.
RESPONSE_WORDS = 64  # Words of the response FIFO of a read client.
COUNTER_BITS = 40  # Bits of a performance counter.
ZERO_BITS = 5  # Bits of the number of zeros skipped in a cycle.
CLEAR_CYCLES = 4  # Cycles for which the units are cleared at least.
STOP_LIMIT = 4096  # Cycles after which a run that does not stop is given up.

# The read clients of each AXI port, in the order in which it serves them.
READ_CLIENTS = (
    ("TILE_VALUES0", "TILE_TAGS0", "WEIGHTS0", "MATRIX0", "DESCRIPTORS"),
    ("TILE_VALUES1", "TILE_TAGS1", "WEIGHTS1", "MATRIX1", "VECTOR", "LOGITS"),
)

# The write clients of each AXI port, in the order in which it serves them.
WRITE_CLIENTS = (
    ("TILE0", "OUTPUTS0", "SEED"),
    ("TILE1", "OUTPUTS1"),
)

# Bit c: read client c of each AXI port has a response FIFO of half the words.
READ_SHORT = (0b10010, 0b100010)

# Descriptors: 32 little-endian words of 32 bits. Fields: name -> (word, high bit, low bit).
DESCRIPTOR_WORDS = 32
DESCRIPTOR_BYTES = 128
DESCRIPTOR_VERSION = 5
CHECKSUM_KEY = 0x47524144
Field = tuple[int, int, int]
DESCRIPTOR_COMMON: dict[str, Field] = {
    "opcode": (0, 3, 0),
    "layer": (0, 15, 8),
    "last_of_layer": (0, 16, 16),
    "forward_end": (0, 17, 17),
    "version": (0, 31, 24),
    "checksum": (1, 31, 0),
    "wait_tiles": (2, 23, 0),
    "wait_vectors": (3, 23, 0),
}
DESCRIPTOR_FIELDS: dict[str, dict[str, Field]] = {
    "TILE": {
        "wait_weights": (4, 23, 0),
        "source_address": (5, 31, 0),
        "source_row_pitch": (6, 31, 0),
        "source_rows": (7, 7, 0),
        "source_columns": (7, 15, 8),
        "words_per_pixel": (7, 25, 16),
        "tag_address": (8, 31, 0),
        "tag_row_pitch": (9, 31, 0),
        "load_relu": (10, 0, 0),
        "unpool": (10, 1, 1),
        "tags": (10, 2, 2),
        "by_pixel": (10, 3, 3),
        "crop_row": (10, 4, 4),
        "crop_column": (10, 5, 5),
        "index_channel": (10, 7, 7),
        "buffer_rows": (10, 15, 8),
        "buffer_columns": (10, 23, 16),
        "window": (10, 25, 24),
        "slot": (11, 10, 0),
        "row_entries": (11, 28, 16),
        "unit_rows": (12, 7, 0),
        "unit_columns": (12, 15, 8),
        "kernel_h": (12, 19, 16),
        "kernel_w": (12, 23, 20),
        "pack_pixels": (12, 27, 24),
        "blocks": (12, 30, 28),
        "origin_row": (13, 7, 0),
        "origin_column": (13, 15, 8),
        "shift": (13, 21, 16),
        "stride_y_log2": (13, 23, 22),
        "relu": (13, 24, 24),
        "pool": (13, 25, 25),
        "store_tags": (13, 26, 26),
        "clip": (13, 27, 27),
        "from_partial": (13, 28, 28),
        "to_partial": (13, 29, 29),
        "weight_base": (14, 9, 0),
        "tap_rows": (14, 26, 16),
        "stride_x_log2": (14, 28, 27),
        "bias_bank": (14, 31, 31),
        "destination_address": (15, 31, 0),
        "destination_row_pitch": (16, 31, 0),
        "destination_pixel_pitch": (17, 15, 0),
        "words_per_pixel_stored": (17, 25, 16),
        "contiguous": (17, 31, 31),
        "columns_stored": (18, 7, 0),
        "buffer_pixel_words": (18, 15, 8),
        "buffer_row_words": (18, 24, 16),
        "tag_destination": (19, 31, 0),
        "tag_destination_row_pitch": (20, 31, 0),
        "tag_destination_pixel_pitch": (21, 15, 0),
        "pieces_per_pixel": (21, 23, 16),
        "buffer_row_pieces": (22, 8, 0),
        "source_pixel_pitch": (23, 15, 0),
        "tag_pixel_pitch": (23, 31, 16),
    },
    "WEIGHTS": {
        "wait_computed": (4, 23, 0),
        "address0": (5, 31, 0),
        "address1": (6, 31, 0),
        "rows": (7, 10, 0),
        "blocks": (7, 18, 16),
        "diagonal": (7, 24, 24),
        "weight_base": (8, 9, 0),
        "bias_bank": (8, 31, 31),
    },
    "VECTOR": {
        "vector_address": (5, 31, 0),
        "vector_words": (6, 19, 0),
        "tag_address": (7, 31, 0),
        "load_relu": (8, 0, 0),
        "tags": (8, 2, 2),
        "has_bias": (8, 3, 3),
        "relu": (8, 4, 4),
        "store_tags": (8, 5, 5),
        "keep": (8, 6, 6),
        "clip": (8, 7, 7),
        "blocks": (8, 13, 8),
        "pitch_log2": (8, 19, 16),
        "shift": (8, 29, 24),
        "matrix_address0": (9, 31, 0),
        "matrix_address1": (10, 31, 0),
        "bias_address0": (11, 31, 0),
        "bias_address1": (12, 31, 0),
        "destination_address0": (13, 31, 0),
        "destination_address1": (14, 31, 0),
        "destination_words0": (15, 7, 0),
        "destination_words1": (15, 23, 16),
        "tag_destination0": (16, 31, 0),
        "tag_destination1": (17, 31, 0),
    },
    "SEED": {
        "logits_address": (5, 31, 0),
        "words_per_pixel": (6, 9, 0),
        "pixels": (6, 31, 16),
        "channels": (7, 11, 0),
        "seed_address": (8, 31, 0),
        "seed_value": (9, 15, 0),
    },
    "END": {},
}
DESCRIPTOR_SIGNED = frozenset(("origin_row", "origin_column"))
# Fields that hold an address in memory, 0 where it is not used.
DESCRIPTOR_LOCATIONS = frozenset(
    (
        "source_address",
        "tag_address",
        "destination_address",
        "tag_destination",
        "address0",
        "address1",
        "vector_address",
        "matrix_address0",
        "matrix_address1",
        "bias_address0",
        "bias_address1",
        "destination_address0",
        "destination_address1",
        "tag_destination0",
        "tag_destination1",
        "logits_address",
        "seed_address",
    )
)
# Limits of fields: opcode -> field -> (least, most, multiple of).
DESCRIPTOR_LIMITS: dict[str, dict[str, tuple[int, int, int]]] = {
    "TILE": {
        "source_address": (0, 4294967295, 8),
        "source_row_pitch": (0, 4294967295, 8),
        "source_rows": (1, 255, 1),
        "source_columns": (1, 255, 1),
        "words_per_pixel": (1, 512, 1),
        "tag_address": (0, 4294967295, 2),
        "tag_row_pitch": (0, 4294967295, 2),
        "buffer_rows": (1, 255, 1),
        "buffer_columns": (1, 255, 1),
        "slot": (1, 2047, 1),
        "unit_rows": (1, 255, 1),
        "unit_columns": (1, 255, 1),
        "kernel_h": (1, 8, 1),
        "kernel_w": (1, 8, 1),
        "pack_pixels": (1, 4, 1),
        "blocks": (1, 7, 1),
        "shift": (0, 47, 1),
        "stride_y_log2": (0, 2, 1),
        "stride_x_log2": (0, 2, 1),
        "destination_address": (0, 4294967295, 8),
        "destination_row_pitch": (0, 4294967295, 8),
        "destination_pixel_pitch": (0, 65535, 8),
        "words_per_pixel_stored": (1, 1023, 1),
        "columns_stored": (1, 255, 1),
        "source_pixel_pitch": (0, 65535, 8),
        "tag_pixel_pitch": (0, 65535, 2),
    },
    "WEIGHTS": {
        "address0": (0, 4294967295, 8),
        "address1": (0, 4294967295, 8),
        "rows": (1, 2047, 1),
        "blocks": (1, 7, 1),
    },
    "VECTOR": {
        "vector_address": (0, 4294967295, 8),
        "vector_words": (1, 1048575, 1),
        "tag_address": (0, 4294967295, 2),
        "blocks": (2, 32, 2),
        "shift": (0, 47, 1),
        "matrix_address0": (0, 4294967295, 8),
        "matrix_address1": (0, 4294967295, 8),
        "bias_address0": (0, 4294967295, 8),
        "bias_address1": (0, 4294967295, 8),
        "destination_address0": (0, 4294967295, 8),
        "destination_address1": (0, 4294967295, 8),
        "tag_destination0": (0, 4294967295, 2),
        "tag_destination1": (0, 4294967295, 2),
    },
    "SEED": {
        "logits_address": (0, 4294967295, 8),
        "words_per_pixel": (1, 1023, 1),
        "pixels": (1, 65535, 1),
        "channels": (1, 4095, 1),
        "seed_address": (0, 4294967295, 8),
    },
}
# Rules: opcode -> name -> what must hold of the fields, and of the sizes: GROUPS and those above.
Rule = Callable[[Mapping[str, int], Mapping[str, int]], bool]
DESCRIPTOR_RULES: dict[str, dict[str, Rule]] = {
    "TILE": {
        "unpooling has tags": lambda field, size: field["unpool"] <= field["tags"],
        "blocks": lambda field, size: field["blocks"] <= size["GROUPS"],
        "pixels of a pack": lambda field, size: field["pack_pixels"] != 3,
        "columns from unit to unit": lambda field, size: field["pack_pixels"] << field["stride_x_log2"] <= 4,
        "pooled units are neither packs nor strided": lambda field, size: (
            not field["pool"] or field["pack_pixels"] << field["stride_x_log2"] << field["stride_y_log2"] == 1
        ),
        "clips have a ReLU": lambda field, size: field["clip"] <= field["relu"],
        "windows are 2 x 2 or 3 x 3": lambda field, size: field["window"] != 1,
        "pixels of windows have one tap": lambda field, size: (
            not field["window"] or field["kernel_h"] * field["kernel_w"] * field["pack_pixels"] == 1
        ),
        "windows are made by one job": lambda field, size: (
            not field["window"] or field["pool"] + field["from_partial"] + field["to_partial"] == 0
        ),
        "indices are tags": lambda field, size: field["index_channel"] <= field["tags"],
        "indices stay without rule and unpooling": lambda field, size: (
            not field["index_channel"] or field["load_relu"] + field["unpool"] == 0
        ),
        "indices are those of a block": lambda field, size: not field["index_channel"] or field["words_per_pixel"] <= 4,
        "the last job of a layer stores": lambda field, size: not field["to_partial"] or not field["last_of_layer"],
        "pixels of a tile bank": lambda field, size: field["buffer_rows"] * field["buffer_columns"] <= size["TILE_PIXELS"],
        "entries of a tile bank": lambda field, size: field["buffer_rows"] * field["row_entries"] <= size["TILE_ENTRIES"],
        "entries of a row": lambda field, size: field["buffer_columns"] * field["slot"] <= field["row_entries"],
        "rows of the weight buffer": lambda field, size: field["kernel_h"] * field["kernel_w"] * field["tap_rows"] <= size["WEIGHT_ROWS"],
        "stored words": lambda field, size: field["words_per_pixel_stored"] <= field["buffer_pixel_words"],
        "contiguous pixels": lambda field, size: (
            not field["contiguous"] or field["destination_pixel_pitch"] == 8 * field["words_per_pixel_stored"]
        ),
        "words of the output buffer": lambda field, size: (field["unit_rows"] + 1) // 2 * field["buffer_row_words"] <= size["OUTPUT_WORDS"],
        "words of a row": lambda field, size: field["columns_stored"] * field["buffer_pixel_words"] <= size["OUTPUT_WORDS"],
        "pieces": lambda field, size: not field["store_tags"] or field["pieces_per_pixel"] >= 1,
        "pieces of the output buffer": lambda field, size: (
            not field["store_tags"] or (field["unit_rows"] + 1) // 2 * field["buffer_row_pieces"] <= size["OUTPUT_WORDS"]
        ),
        "pieces of a row": lambda field, size: (
            not field["store_tags"] or field["columns_stored"] * field["pieces_per_pixel"] <= size["OUTPUT_WORDS"]
        ),
        "stored tags are even": lambda field, size: (
            not field["store_tags"]
            or (field["tag_destination"] | field["tag_destination_row_pitch"] | field["tag_destination_pixel_pitch"]) % 2 == 0
        ),
    },
    "WEIGHTS": {
        "rows of the weight buffer": lambda field, size: field["rows"] <= size["WEIGHT_ROWS"],
        "blocks": lambda field, size: field["blocks"] <= size["GROUPS"],
        "diagonals are whole": lambda field, size: not field["diagonal"] or field["rows"] % 16 == 0,
    },
    "VECTOR": {
        "clips have a ReLU": lambda field, size: field["clip"] <= field["relu"],
        "a row of the matrix": lambda field, size: 16 * field["blocks"] <= 1 << field["pitch_log2"],
        "words of half 0": lambda field, size: field["destination_words0"] <= 2 * field["blocks"],
        "words of half 1": lambda field, size: field["destination_words1"] <= 2 * field["blocks"],
    },
    "SEED": {
        "channels": lambda field, size: field["channels"] <= 4 * field["words_per_pixel"],
    },
}


def register_field(value: int, name: str) -> int:
    """The field ``name`` ("REGISTER.field") of a register's value; signed fields come out signed."""
    low, width, signed = REGISTER_FIELDS[name]
    result = (value >> low) & ((1 << width) - 1)
    return result - (1 << width) if signed and result >> (width - 1) else result


def descriptor_fields(opcode: str) -> dict[str, tuple[int, int, int]]:
    """All fields of the descriptor ``opcode`` as name -> (word, high bit, low bit)."""
    if opcode not in OPCODES:
        raise ValueError(f"unknown opcode {opcode!r}: use one of {', '.join(OPCODES)}")
    return {**DESCRIPTOR_COMMON, **DESCRIPTOR_FIELDS[opcode]}


def descriptor_checksum(words: Sequence[int]) -> int:
    """What word 1 must hold: the XOR of the other 31 words and CHECKSUM_KEY."""
    result = CHECKSUM_KEY
    for position, word in enumerate(words):
        if position != 1:
            result ^= int(word)
    return result


def pack_descriptor(opcode: str, values: Mapping[str, int]) -> list[int]:
    """The 32 words of a descriptor. Fields not named are 0; opcode, version and checksum are filled in.

    Raises KeyError for a field that the opcode does not have, ValueError for a value that does not fit.
    """
    fields = descriptor_fields(opcode)
    words = [0] * DESCRIPTOR_WORDS
    for name, value in {**values, "opcode": OPCODES[opcode], "version": DESCRIPTOR_VERSION}.items():
        word, high, low = fields[name]
        width = high - low + 1
        signed = name in DESCRIPTOR_SIGNED
        least, most = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
        if not least <= int(value) <= most:
            raise ValueError(f"{opcode}.{name} = {value}: from {least} to {most}")
        words[word] |= (int(value) & ((1 << width) - 1)) << low
    words[1] = descriptor_checksum(words)
    return words


def unpack_descriptor(words: Sequence[int]) -> tuple[str, dict[str, int]]:
    """(opcode's name, field values) of 32 words. Raises ValueError for a wrong version, opcode or checksum."""
    number = int(words[0]) & 15
    names = {code: name for name, code in OPCODES.items()}
    if len(words) != DESCRIPTOR_WORDS or number not in names or int(words[0]) >> 24 != DESCRIPTOR_VERSION:
        raise ValueError(f"not a descriptor of version {DESCRIPTOR_VERSION}: word 0 is {int(words[0]):#010x}")
    if int(words[1]) != descriptor_checksum(words):
        raise ValueError(f"wrong checksum: {int(words[1]):#010x}, not {descriptor_checksum(words):#010x}")
    values = {}
    for name, (word, high, low) in descriptor_fields(names[number]).items():
        width = high - low + 1
        value = (int(words[word]) >> low) & ((1 << width) - 1)
        values[name] = value - (1 << width) if name in DESCRIPTOR_SIGNED and value >> (width - 1) else value
    return names[number], values
