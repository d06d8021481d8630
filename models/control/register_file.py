# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/control/register_file.v: what each read returns and what each write does, access by access."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradcore import hardware

OKAY, SLVERR = 0, 2
# Registers that hold a parameter of a run: name of the register -> name of the module's output.
RUN_PARAMETERS = {
    "PROGRAM_ADDRESS": "program_address",
    "WINDOW_BASE": "window_base",
    "WINDOW_LIMIT": "window_limit",
    "WATCHDOG": "watchdog_limit",
    "METHOD": "method",
    "SEED_MODE": "seed_mode",
    "SEED_INDEX": "seed_index",
}
_NAMES = {address: name for name, address in hardware.ADDRESSES.items()}
_COUNTER_NAMES = {address: name for name, address in hardware.COUNTERS.items()}


@dataclass
class RegisterFile:
    """State of the registers. ``status`` and ``counters`` are what the core drives; set them before an access.

    Attributes:
        status: values of the module's inputs by port name (busy, done, error, start_while_busy, code, descriptor_index, error_index,
            error_address, class_index, class_value, layers_finished, layer_cycles,
            layer_saturated).
        counters: unsigned 64-bit values by name.
        values: the writable registers' values. starts, soft_resets: pulses so far.
    """

    groups: int = 4
    status: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*RUN_PARAMETERS, "LAYER_INDEX"), 0))
    explain: int = 0
    interrupt_enable: int = 0
    pending: int = 0
    starts: int = 0
    soft_resets: int = 0
    kept_high: int = 0

    def outputs(self) -> dict[str, int]:
        """Level outputs of the module by port name."""
        return {
            **{port: self.values[name] for name, port in RUN_PARAMETERS.items()},
            "layer_index": self.values["LAYER_INDEX"],
            "explain": self.explain,
            "irq": self.pending & self.interrupt_enable,
        }

    def write(self, address: int, data: int, strobe: int) -> int:
        """One write of 32 bits with byte strobes; returns the response."""
        name = _NAMES.get(address & 0xFFC, "")
        busy = self.status.get("busy", 0)
        mask = sum(0xFF << 8 * lane for lane in range(4) if strobe >> lane & 1)
        if name == "CONTROL":
            bits = data & mask
            self.starts += bool(bits & hardware.CONTROL_START)
            self.soft_resets += bool(bits & hardware.CONTROL_SOFT_RESET)
            if mask & hardware.CONTROL_EXPLAIN and not busy:
                self.explain = int(bool(bits & hardware.CONTROL_EXPLAIN))
            if mask & hardware.CONTROL_INTERRUPT_ENABLE:
                self.interrupt_enable = int(bool(bits & hardware.CONTROL_INTERRUPT_ENABLE))
        elif name == "INTERRUPT":
            self.pending &= ~(data & mask & hardware.INTERRUPT_PENDING)
        elif name == "LAYER_INDEX":
            self._merge(name, data, mask & 0xFF)
        elif name in RUN_PARAMETERS:
            choice = name in ("METHOD", "SEED_MODE")
            if busy or (choice and strobe & 1 and data & 3 == 3):
                return SLVERR
            self._merge(name, data, mask & (3 if choice else 0xFFFFFFFF))
        else:
            return SLVERR
        return OKAY

    def _merge(self, name: str, data: int, mask: int) -> None:
        self.values[name] = (data & mask) | (self.values[name] & ~mask)

    def read(self, address: int) -> tuple[int, int]:
        """One read of 32 bits: (data, response). Reading a counter's low word keeps its high word."""
        address &= 0xFFC
        if address in _COUNTER_NAMES:
            value = self.counters[_COUNTER_NAMES[address]]
            self.kept_high = value >> 32
            return value & 0xFFFFFFFF, OKAY
        if address - 4 in _COUNTER_NAMES:
            return self.kept_high, OKAY
        name = _NAMES.get(address)
        return (0, SLVERR) if name is None else (self._plain(name), OKAY)

    def _plain(self, name: str) -> int:
        get = self.status.get
        if name == "CONFIGURATION":
            return hardware.RESETS[name] & ~hardware.CONFIGURATION_GROUPS | self.groups
        if name == "CONTROL":
            return self.explain * hardware.CONTROL_EXPLAIN | self.interrupt_enable * hardware.CONTROL_INTERRUPT_ENABLE
        if name == "STATUS":
            flags = ("busy", "done", "error", "start_while_busy")
            return sum(get(flag, 0) << bit for bit, flag in enumerate(flags)) | get("code", 0) << 8
        if name == "INTERRUPT":
            return self.pending
        if name == "DESCRIPTOR_INDEX":
            return get("error_index", 0) if get("error", 0) else get("descriptor_index", 0)
        if name == "LAYER_INDEX":
            return get("layers_finished", 0) << 16 | self.values[name]
        inputs = {
            "ERROR_ADDRESS": "error_address",
            "CLASS_INDEX": "class_index",
            "CLASS_VALUE": "class_value",
            "LAYER_CYCLES": "layer_cycles",
            "LAYER_SATURATED": "layer_saturated",
        }
        if name in inputs:
            return get(inputs[name], 0)
        return self.values.get(name, hardware.RESETS[name])
