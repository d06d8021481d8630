# SPDX-License-Identifier: Apache-2.0
"""The fields of all registers. Generated from registers/gradcore.rdl by `make registers`: do not edit."""

from __future__ import annotations

from typing import NamedTuple


class FieldRow(NamedTuple):
    """A field: of which register, where, how it is accessed, and the signal that holds it (empty: a constant)."""

    register: str
    address: int
    name: str
    low: int
    width: int
    access: str
    volatile: bool
    reset: int
    path: str


FIELDS = (
    FieldRow("IDENTIFIER", 0x000, "value", 0, 32, "RO", False, 0x47524144, ""),
    FieldRow("VERSION", 0x004, "patch", 0, 8, "RO", False, 0x0, ""),
    FieldRow("VERSION", 0x004, "minor", 8, 8, "RO", False, 0x6, ""),
    FieldRow("VERSION", 0x004, "major", 16, 16, "RO", False, 0x0, ""),
    FieldRow("CONFIGURATION", 0x008, "groups", 0, 4, "RO", False, 0x4, ""),
    FieldRow("CONFIGURATION", 0x008, "streams", 4, 4, "RO", False, 0x2, ""),
    FieldRow("CONFIGURATION", 0x008, "lanes", 8, 8, "RO", False, 0x10, ""),
    FieldRow("CONFIGURATION", 0x008, "vector_lanes", 16, 8, "RO", False, 0x8, ""),
    FieldRow("CONFIGURATION", 0x008, "descriptor_version", 24, 8, "RO", False, 0x5, ""),
    FieldRow("CONFIGURATION_TILE", 0x00C, "entries", 0, 16, "RO", False, 0x2000, ""),
    FieldRow("CONFIGURATION_TILE", 0x00C, "pixels", 16, 16, "RO", False, 0x200, ""),
    FieldRow("CONFIGURATION_BUFFERS", 0x010, "weight_rows", 0, 16, "RO", False, 0x400, ""),
    FieldRow("CONFIGURATION_BUFFERS", 0x010, "output_words", 16, 16, "RO", False, 0x200, ""),
    FieldRow("CONTROL", 0x020, "start", 0, 1, "WC", False, 0x0, ""),
    FieldRow("CONTROL", 0x020, "soft_reset", 1, 1, "WC", False, 0x0, ""),
    FieldRow("CONTROL", 0x020, "explain", 4, 1, "RW", False, 0x0, "explain"),
    FieldRow("CONTROL", 0x020, "interrupt_enable", 8, 1, "RW", False, 0x0, "interrupt_enable"),
    FieldRow("STATUS", 0x024, "busy", 0, 1, "RO", True, 0x0, "busy"),
    FieldRow("STATUS", 0x024, "done", 1, 1, "RO", True, 0x0, "done"),
    FieldRow("STATUS", 0x024, "error", 2, 1, "RO", True, 0x0, "error"),
    FieldRow("STATUS", 0x024, "start_while_busy", 3, 1, "RO", True, 0x0, "start_while_busy"),
    FieldRow("STATUS", 0x024, "code", 8, 8, "RO", True, 0x0, "code"),
    FieldRow("INTERRUPT", 0x028, "pending", 0, 1, "W1C", True, 0x0, "pending"),
    FieldRow("DESCRIPTOR_INDEX", 0x02C, "index", 0, 16, "RO", True, 0x0, ""),
    FieldRow("ERROR_ADDRESS", 0x030, "address", 0, 32, "RO", True, 0x0, "error_address"),
    FieldRow("PROGRAM_ADDRESS", 0x034, "address", 0, 32, "RW", False, 0x0, "program_address"),
    FieldRow("WINDOW_BASE", 0x038, "address", 0, 32, "RW", False, 0x0, "window_base"),
    FieldRow("WINDOW_LIMIT", 0x03C, "address", 0, 32, "RW", False, 0x0, "window_limit"),
    FieldRow("WATCHDOG", 0x040, "cycles", 0, 32, "RW", False, 0x0, "watchdog_limit"),
    FieldRow("METHOD", 0x044, "method", 0, 2, "RW", False, 0x0, "method"),
    FieldRow("SEED_MODE", 0x048, "mode", 0, 2, "RW", False, 0x0, "seed_mode"),
    FieldRow("SEED_INDEX", 0x04C, "index", 0, 32, "RW", False, 0x0, "seed_index"),
    FieldRow("CLASS_INDEX", 0x050, "index", 0, 32, "RO", True, 0x0, "class_index"),
    FieldRow("CLASS_VALUE", 0x054, "value", 0, 16, "RO", True, 0x0, "class_value"),
    FieldRow("LAYER_INDEX", 0x058, "index", 0, 8, "RW", False, 0x0, "layer_index"),
    FieldRow("LAYER_INDEX", 0x058, "finished", 16, 9, "RO", True, 0x0, "layers_finished"),
    FieldRow("LAYER_CYCLES", 0x05C, "cycles", 0, 32, "RO", True, 0x0, "layer_cycles"),
    FieldRow("LAYER_SATURATED", 0x060, "values", 0, 32, "RO", True, 0x0, "layer_saturated"),
    FieldRow("CYCLES_LOW", 0x100, "count", 0, 32, "RO", True, 0x0, "counters[31:0]"),
    FieldRow("CYCLES_HIGH", 0x104, "count", 0, 32, "RO", True, 0x0, "counters[63:32]"),
    FieldRow("LOADER_ACTIVE_LOW", 0x108, "count", 0, 32, "RO", True, 0x0, "counters[95:64]"),
    FieldRow("LOADER_ACTIVE_HIGH", 0x10C, "count", 0, 32, "RO", True, 0x0, "counters[127:96]"),
    FieldRow("LOADER_WAIT_INPUT_LOW", 0x110, "count", 0, 32, "RO", True, 0x0, "counters[159:128]"),
    FieldRow("LOADER_WAIT_INPUT_HIGH", 0x114, "count", 0, 32, "RO", True, 0x0, "counters[191:160]"),
    FieldRow("LOADER_WAIT_OUTPUT_LOW", 0x118, "count", 0, 32, "RO", True, 0x0, "counters[223:192]"),
    FieldRow("LOADER_WAIT_OUTPUT_HIGH", 0x11C, "count", 0, 32, "RO", True, 0x0, "counters[255:224]"),
    FieldRow("CONV_ACTIVE_LOW", 0x120, "count", 0, 32, "RO", True, 0x0, "counters[287:256]"),
    FieldRow("CONV_ACTIVE_HIGH", 0x124, "count", 0, 32, "RO", True, 0x0, "counters[319:288]"),
    FieldRow("CONV_WAIT_INPUT_LOW", 0x128, "count", 0, 32, "RO", True, 0x0, "counters[351:320]"),
    FieldRow("CONV_WAIT_INPUT_HIGH", 0x12C, "count", 0, 32, "RO", True, 0x0, "counters[383:352]"),
    FieldRow("CONV_WAIT_OUTPUT_LOW", 0x130, "count", 0, 32, "RO", True, 0x0, "counters[415:384]"),
    FieldRow("CONV_WAIT_OUTPUT_HIGH", 0x134, "count", 0, 32, "RO", True, 0x0, "counters[447:416]"),
    FieldRow("VECTOR_ACTIVE_LOW", 0x138, "count", 0, 32, "RO", True, 0x0, "counters[479:448]"),
    FieldRow("VECTOR_ACTIVE_HIGH", 0x13C, "count", 0, 32, "RO", True, 0x0, "counters[511:480]"),
    FieldRow("VECTOR_WAIT_INPUT_LOW", 0x140, "count", 0, 32, "RO", True, 0x0, "counters[543:512]"),
    FieldRow("VECTOR_WAIT_INPUT_HIGH", 0x144, "count", 0, 32, "RO", True, 0x0, "counters[575:544]"),
    FieldRow("VECTOR_WAIT_OUTPUT_LOW", 0x148, "count", 0, 32, "RO", True, 0x0, "counters[607:576]"),
    FieldRow("VECTOR_WAIT_OUTPUT_HIGH", 0x14C, "count", 0, 32, "RO", True, 0x0, "counters[639:608]"),
    FieldRow("STORE_ACTIVE_LOW", 0x150, "count", 0, 32, "RO", True, 0x0, "counters[671:640]"),
    FieldRow("STORE_ACTIVE_HIGH", 0x154, "count", 0, 32, "RO", True, 0x0, "counters[703:672]"),
    FieldRow("STORE_WAIT_INPUT_LOW", 0x158, "count", 0, 32, "RO", True, 0x0, "counters[735:704]"),
    FieldRow("STORE_WAIT_INPUT_HIGH", 0x15C, "count", 0, 32, "RO", True, 0x0, "counters[767:736]"),
    FieldRow("STORE_WAIT_OUTPUT_LOW", 0x160, "count", 0, 32, "RO", True, 0x0, "counters[799:768]"),
    FieldRow("STORE_WAIT_OUTPUT_HIGH", 0x164, "count", 0, 32, "RO", True, 0x0, "counters[831:800]"),
    FieldRow("MACS_ISSUED_LOW", 0x168, "count", 0, 32, "RO", True, 0x0, "counters[863:832]"),
    FieldRow("MACS_ISSUED_HIGH", 0x16C, "count", 0, 32, "RO", True, 0x0, "counters[895:864]"),
    FieldRow("ZEROS_SKIPPED_LOW", 0x170, "count", 0, 32, "RO", True, 0x0, "counters[927:896]"),
    FieldRow("ZEROS_SKIPPED_HIGH", 0x174, "count", 0, 32, "RO", True, 0x0, "counters[959:928]"),
    FieldRow("BYTES_READ_LOW", 0x178, "count", 0, 32, "RO", True, 0x0, "counters[991:960]"),
    FieldRow("BYTES_READ_HIGH", 0x17C, "count", 0, 32, "RO", True, 0x0, "counters[1023:992]"),
    FieldRow("BYTES_WRITTEN_LOW", 0x180, "count", 0, 32, "RO", True, 0x0, "counters[1055:1024]"),
    FieldRow("BYTES_WRITTEN_HIGH", 0x184, "count", 0, 32, "RO", True, 0x0, "counters[1087:1056]"),
)
