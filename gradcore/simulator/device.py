# SPDX-License-Identifier: Apache-2.0
"""The simulated core as a device of the runtime. As on a board, the processor's view of the buffer and the memory are two
things: what is not flushed the core does not see, and what is not invalidated software does not see."""

from __future__ import annotations

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.runtime.device import Device
from gradcore.runtime.regions import CACHE_LINE, PAGE
from gradcore.simulator.simulator import Simulator


class SimulatedDevice(Device):
    """A ``Simulator``, which is started when it is first used and closed with the device.

    Args:
        core: the simulation; or options of one: ``preset``, ``simulator`` and so on.
        address: where in the simulated memory the buffer is.
        polling: leave the interrupt alone and ask for the status, as on a board without one. Time is the simulated one.
    """

    name = "simulated"

    def __init__(self, core: Simulator | None = None, *, address: int = 0x10_0000, polling: bool = False, **options: object) -> None:
        self.simulator = core if core is not None else Simulator(**options)
        self.interrupts = not polling
        self.progress: Progress = silent
        self._address = address
        self._memory = np.zeros(0, np.uint8)

    def check(self) -> None:
        self.simulator.start(self.progress)

    def read32(self, offset: int) -> int:
        return self.simulator.read(offset)

    def write32(self, offset: int, value: int) -> None:
        self.simulator.write(offset, value)

    def buffer(self, size: int) -> tuple[int, np.ndarray]:
        free = self.simulator.parameters["MEMORY_BYTES"] - self._address
        if size > free:
            raise GradCoreError(f"the program needs {size} bytes, the simulated memory has {free}: use a smaller network or picture")
        assert self._address % PAGE == 0
        self._memory = np.zeros(size, np.uint8)
        return self._address, self._memory

    def flush(self, offset: int, size: int) -> None:
        self._check_lines(offset, size)
        self.simulator.load(self._address + offset, self._memory[offset : offset + size])

    def invalidate(self, offset: int, size: int) -> None:
        self._check_lines(offset, size)
        data = self.simulator.dump(self._address + offset, size)
        self._memory[offset : offset + size] = np.frombuffer(data, np.uint8)

    def _check_lines(self, offset: int, size: int) -> None:
        assert offset % CACHE_LINE == 0 and size % CACHE_LINE == 0 and offset + size <= len(self._memory), "no whole cache lines"

    def wait(self, timeout: float) -> None:
        if self.interrupts:
            self.simulator.interrupt_within(round(timeout * self.clock_mhz * 1e6), self.progress)
        else:
            super().wait(timeout)

    @property
    def clock_mhz(self) -> float:
        return self.simulator.clock_mhz

    def pause(self, seconds: float) -> None:
        self.simulator.idle(max(1, round(seconds * self.clock_mhz * 1e6)))

    def now(self) -> float:
        return self.simulator.cycle() / (self.clock_mhz * 1e6)

    def close(self) -> None:
        self.simulator.close()
