# SPDX-License-Identifier: Apache-2.0
"""The driver: which registers are read and written, in which order, and when the caches are flushed.

It never makes the core answer SLVERR, which on a board ends the process with SIGBUS: registers are accessed by name, values
are checked before they are written, and a run's parameters are not written while a run goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import hardware
from .device import Device
from .errors import GradCoreError
from .program import Runnable, check_layout
from .regions import CACHE_LINE, MapRegion, Region, round_up
from .results import Cycles, LayerCycles, Outcome

WATCHDOG_CYCLES = 1_000_000
TIMEOUT = 10.0  # seconds: a run takes milliseconds
RESET_SECONDS = 0.1  # for a soft reset: hundreds of times what the bursts in flight take
MEMORY_ERRORS = ("READ_RESPONSE", "WRITE_RESPONSE")
_WRITABLE = {
    *("CONTROL", "INTERRUPT", "PROGRAM_ADDRESS", "WINDOW_BASE", "WINDOW_LIMIT", "WATCHDOG"),
    *("METHOD", "SEED_MODE", "SEED_INDEX", "LAYER_INDEX"),
}
_ALLOWED = {
    "METHOD": set(hardware.METHODS.values()),
    "SEED_MODE": set(hardware.SEED_MODES.values()),
    "LAYER_INDEX": range(hardware.LAYER_INDEX_INDEX + 1),
    "INTERRUPT": {hardware.INTERRUPT_PENDING},
}
# Attributes of a program's hardware, and the fields of the registers that say them.
_SIZES = {
    "groups": "CONFIGURATION.groups",
    "lanes": "CONFIGURATION.lanes",
    "tile_depth": "CONFIGURATION_TILE.entries",
    "tile_pixels": "CONFIGURATION_TILE.pixels",
    "weight_depth": "CONFIGURATION_BUFFERS.weight_rows",
    "output_words": "CONFIGURATION_BUFFERS.output_words",
}


class Stopped(GradCoreError):
    """A run that did not end, or ended with an error."""


class Driver:
    """One core. It is checked when the driver is made; ``load`` gives it a program, ``run`` runs it.

    Attributes:
        device: what the core is reached through.
        whole: the program that is loaded, at the address of the device's buffer; None before ``load``.
        program: it, or the part of it that is selected.
        parts: parts of it that were made, by what they are parts of, for those who make them.

    Raises:
        GradCoreError: the core cannot be reached, is none, or is of another version than this driver.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.program: Runnable | None = None
        self.whole: Runnable | None = None
        self.parts: dict[Any, Runnable] = {}
        self._memory = np.zeros(0, np.uint8)
        device.check()
        self._identify()
        if self.read("STATUS") & hardware.STATUS_BUSY:  # left over by somebody who was ended
            self.stop()

    # Registers -------------------------------------------------------------------------------------------------------

    def read(self, name: str) -> int:
        """A register, by its name."""
        return self.device.read32(hardware.ADDRESSES[name])

    def write(self, name: str, value: int) -> None:
        """Write a register, by its name. Raises ValueError for what the core would refuse."""
        if name not in _WRITABLE or value not in _ALLOWED.get(name, range(1 << 32)):
            raise ValueError(f"the core would refuse {value:#x} for {name}")
        self.device.write32(hardware.ADDRESSES[name], value)

    def field(self, name: str) -> int:
        """A field of a register: "STATUS.code"."""
        return hardware.register_field(self.read(name.partition(".")[0]), name)

    def _identify(self) -> None:
        found, wanted = self.read("IDENTIFIER"), hardware.RESETS["IDENTIFIER"]
        if found != wanted:
            raise GradCoreError(
                f"no GradCore answers: IDENTIFIER reads {found:#010x}, not {wanted:#010x}; another bitstream is loaded, or the address "
                "of the registers is wrong: load gradcore.bit"
            )
        core, ours = (tuple(self._version(value)) for value in (self.read("VERSION"), hardware.RESETS["VERSION"]))
        if core[0] != ours[0] or core[1] < ours[1]:
            raise GradCoreError(
                f"the core is version {'.'.join(map(str, core))}, this runtime is for {'.'.join(map(str, ours))}: use the bitstream "
                "and the runtime of one GradCore"
            )
        descriptors = self.field("CONFIGURATION.descriptor_version")
        if descriptors != hardware.DESCRIPTOR_VERSION:
            raise GradCoreError(
                f"the core executes descriptors of version {descriptors}, programs have {hardware.DESCRIPTOR_VERSION}: use the bitstream "
                "and the runtime of one GradCore"
            )

    @staticmethod
    def _version(value: int) -> list[int]:
        return [hardware.register_field(value, f"VERSION.{name}") for name in ("major", "minor", "patch")]

    # Memory ----------------------------------------------------------------------------------------------------------

    def load(self, program: Runnable) -> None:
        """Put a program in memory, wherever the device's buffer is, and tell the core where.

        Raises:
            GradCoreError: it was compiled for another preset, or there is not enough memory for it.
        """
        for name, register in _SIZES.items():
            wanted, found = getattr(program.hardware, name), self.field(register)
            if wanted != found:
                raise GradCoreError(
                    f"the program is for a core with {name.replace('_', ' ')} {wanted}, this one has {found}: compile it for the "
                    "preset of the bitstream (gradcore compile --preset, or gradcore bundle --preset)"
                )
        versions = set((program.descriptor_words[:, 0] >> 24).tolist())
        if versions != {hardware.DESCRIPTOR_VERSION}:
            raise GradCoreError(
                f"the program has descriptors of version {', '.join(map(str, sorted(versions)))}, the core executes "
                f"{hardware.DESCRIPTOR_VERSION}: compile it again with the GradCore of the bitstream"
            )
        check_layout(program, CACHE_LINE)
        base, limit = program.window
        self.program = self.whole = None  # the buffer that is given ends, whether or not there is another
        address, memory = self.device.buffer(limit - base)
        self.program = program if program.base == address else program.at(address)
        self._memory = memory
        self._memory[: len(self.program.image)] = self.program.image
        self.device.flush(0, limit - base)  # all of it: what lay in the cache for the rest must not be written over results
        base, limit = self.program.window
        self.whole, self.parts = self.program, {}
        self.write("PROGRAM_ADDRESS", self.program.program_address)
        self.write("WINDOW_BASE", base)
        self.write("WINDOW_LIMIT", limit)
        self.write("WATCHDOG", WATCHDOG_CYCLES)

    def select(self, part: Runnable | None = None) -> None:
        """Take a part of the program that is loaded (see the compiler's ``Program.part``), or None: all of it. Descriptors alone are
        written: what earlier runs left in memory stays.

        Raises:
            ValueError: it is a part of another program.
        """
        part = self.whole if part is None else part
        if part is self.program:
            return
        if part.window != self.whole.window or part.regions != self.whole.regions:
            raise ValueError("this is no part of the program that is loaded")
        start = part.program_address - part.base
        words = part.descriptor_words.reshape(-1).view(np.uint8)
        self._memory[start : start + len(words)] = words
        self.device.flush(start, round_up(len(words), CACHE_LINE))
        self.program = part

    def put_bytes(self, region: Region, content: bytes) -> None:
        """Write a region's bytes to memory, and flush them."""
        start = region.address - self.program.base
        self._memory[start : start + region.size] = np.frombuffer(content, np.uint8, region.size)
        self.device.flush(start, round_up(region.size, CACHE_LINE))

    def get_bytes(self, region: Region) -> bytes:
        """A region's bytes, as the core wrote them to memory."""
        start = region.address - self.program.base
        self.device.invalidate(start, round_up(region.size, CACHE_LINE))
        return self._memory[start : start + region.size].tobytes()

    def put(self, region: MapRegion, values: np.ndarray) -> None:
        """Write (H, W, C) values of 16 bits to memory, and flush them."""
        region.write(self._memory, self.program.base, values)
        self.device.flush(region.address - self.program.base, round_up(region.size, CACHE_LINE))

    def get(self, region: MapRegion) -> np.ndarray:
        """int64 (H, W, C) of what the core wrote to memory."""
        self.device.invalidate(region.address - self.program.base, round_up(region.size, CACHE_LINE))
        return region.read(self._memory, self.program.base)

    # Runs ------------------------------------------------------------------------------------------------------------

    def run(
        self,
        picture: np.ndarray | None = None,
        method: str = "saliency",
        target: int | None = None,
        *,
        seed: np.ndarray | None = None,
        explain: bool = True,
        timeout: float = TIMEOUT,
        first: bool = True,
    ) -> Outcome:
        """Run the program that is loaded.

        Args:
            picture: uint8 or quantised integers (H, W, C); None keeps the one that is in memory.
            method: 'saliency', 'deconvnet' or 'guided'.
            target: index of the class to explain; None is the predicted one.
            seed: int16 (H, W, C) of the logits' shape: the gradient at the logits, in place of a target.
            explain: whether the run goes backward, too.
            timeout: seconds after which the run is given up.
            first: of several equal maxima in a map of logits the core takes the first in memory, and everybody else the first
                class: then the run is repeated for that one.

        Raises:
            Stopped: the run did not end in time, or ended with an error.
        """
        program = self.program
        if picture is not None:
            self.put(program.picture, program.picture_values(picture))
        mode = "SUPPLIED" if seed is not None else "ARG_MAX" if target is None else "INDEX"
        if seed is not None:
            self.put(program.seed, seed)
        elif target is not None:
            self.write("SEED_INDEX", program.seed_index(target))
        self._run(method, mode, explain, timeout)
        logits = program.in_class_order(self.get(program.logits))
        predicted, lowest = program.class_of(self.read("CLASS_INDEX")), int(np.argmax(logits))
        if predicted != lowest and logits[predicted] == logits[lowest] and (first or not explain):
            if explain and mode == "ARG_MAX":
                return self.run(None, method, lowest, timeout=timeout)
            predicted = lowest
        attribution = self.get(program.attribution).transpose(2, 0, 1) if explain else np.zeros((0, 0, 0), np.int64)
        return Outcome(logits, predicted, attribution, *self._measured(explain))

    def run_part(
        self, method: str = "saliency", *, explain: bool = True, timeout: float = TIMEOUT, mode: str = "SUPPLIED"
    ) -> tuple[Cycles, dict[str, int], tuple[int, ...]]:
        """Run what is selected, on what is in memory.

        Args:
            method, explain, timeout: as for ``run``.
            mode: of the seed: 'SUPPLIED': it is in memory, too; 'ARG_MAX': the core finds the class, where the seed unit is in the part.

        Returns:
            Cycles, counters and saturated outputs, as in ``Outcome``.

        Raises:
            Stopped: the run did not end in time, or ended with an error.
        """
        self._run(method, mode, explain, timeout)
        return self._measured(explain)

    def _run(self, method: str, mode: str, explain: bool, timeout: float) -> None:
        """One run, from START to its end."""
        self.write("METHOD", hardware.METHODS[method])
        self.write("SEED_MODE", hardware.SEED_MODES[mode])
        enable = hardware.CONTROL_INTERRUPT_ENABLE if self.device.interrupts else 0
        self.write("CONTROL", hardware.CONTROL_START | enable | (hardware.CONTROL_EXPLAIN if explain else 0))
        self.device.wait(timeout)
        self._check_end(timeout)
        self.write("INTERRUPT", hardware.INTERRUPT_PENDING)

    def _measured(self, explain: bool) -> tuple[Cycles, dict[str, int], tuple[int, ...]]:
        """What the counters say of the run that has ended."""
        counters = self.counters()
        cycles, saturated = self._layers(counters["cycles"], explain)
        return cycles, counters, saturated

    def stop(self) -> None:
        """End a run that goes on: nothing is written to memory afterwards.

        Raises:
            GradCoreError: the core stays busy.
        """
        self.write("CONTROL", hardware.CONTROL_SOFT_RESET)
        end = self.device.now() + RESET_SECONDS
        while self.read("STATUS") & hardware.STATUS_BUSY:
            if self.device.now() > end:
                raise GradCoreError("the core stays busy after a soft reset, its memory does not answer: load the bitstream again")
            self.device.pause(20e-6)

    def counters(self) -> dict[str, int]:
        """All counters, by their names in lower case."""
        values = {}
        for name in hardware.COUNTERS:
            low = self.read(f"{name}_LOW")
            values[name.lower()] = low | self.read(f"{name}_HIGH") << 32
        return values

    def state(self) -> str:
        """Where the core is, in one line: status, descriptor, layers, counters."""
        status, counters = self.read("STATUS"), self.counters()
        names = [name for name in ("busy", "done", "error") if hardware.register_field(status, f"STATUS.{name}")]
        shown = ", ".join(f"{name} {counters[name]}" for name in ("cycles", "bytes_read", "bytes_written", "macs_issued"))
        return (
            f"STATUS {status:#x} ({' '.join(names) or 'idle'}), code {self.code()}, descriptor {self.read('DESCRIPTOR_INDEX')} of "
            f"{self.program.descriptors if self.program else 0}, address {self.read('ERROR_ADDRESS'):#x}, "
            f"{self.field('LAYER_INDEX.finished')} layers finished, {shown}"
        )

    def code(self) -> str:
        """Why the last run ended, by name."""
        code = self.field("STATUS.code")
        return next((name for name, number in hardware.CODES.items() if number == code), str(code))

    def _check_end(self, timeout: float) -> None:
        """Refuse a run that has not ended, or ended with an error."""
        status = self.read("STATUS")
        if not status & hardware.STATUS_DONE:
            state = self.state()
            self.stop()
            raise Stopped(
                f"the run did not end within {timeout:g} s and was stopped: {state}; give it more time, or load the bitstream again"
            )
        if status & hardware.STATUS_ERROR:
            code, state = self.code(), self.state()
            remedy = "load the program again: its memory was overwritten, or the bitstream is another"
            if code in MEMORY_ERRORS:
                remedy = "the memory refused an access: see that the buffer is memory of this board"
            raise Stopped(f"the core stopped with {code}: {state}; {remedy}")

    def _layers(self, total: int, explain: bool) -> tuple[Cycles, tuple[int, ...]]:
        """Split the cycles of a run at the layers' time stamps; what comes after the last belongs to the last."""
        layers, saturated, before = [], [], 0
        finished = [info for info in self.program.layers if explain or info.direction != "backward"]
        for info in finished:
            self.write("LAYER_INDEX", info.identifier)
            stamp = total if info is finished[-1] else self.read("LAYER_CYCLES")
            if info.direction != "seed":
                saturated.append(self.read("LAYER_SATURATED"))
            name = info.name[: -len("_backward")] if info.name.endswith("_backward") else info.name
            layers.append(LayerCycles(name, "forward" if info.direction == "forward" else "backward", stamp - before))
            before = stamp
        forward = sum(one.cycles for one in layers if one.direction == "forward")
        return Cycles(total, forward, total - forward, tuple(layers)), tuple(saturated)
