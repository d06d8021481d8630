# SPDX-License-Identifier: Apache-2.0
"""The interface between driver and hardware: registers, one buffer, the caches, the end of a run, the clock."""

from __future__ import annotations

import time

import numpy as np

from . import hardware


class Device:
    """A core, and the memory that it works in. Back ends inherit from this class.

    Attributes:
        name: the back end's, for people.
        interrupts: whether ``wait`` wants the core's interrupt output to be enabled.
    """

    name = "device"
    interrupts = False

    def check(self) -> None:
        """Find out, before the first access, whether the fabric is configured and clocked, and its memory ports are right.

        Raises:
            GradCoreError: an access would hang the processor, or the core could not work.
        """

    def read32(self, offset: int) -> int:
        """The register at a byte offset, in one access of 32 bits."""
        raise NotImplementedError

    def write32(self, offset: int, value: int) -> None:
        """Write the register at a byte offset, in one access of 32 bits."""
        raise NotImplementedError

    def buffer(self, size: int) -> tuple[int, np.ndarray]:
        """(physical address, uint8 array) of memory that the core can reach, ``size`` bytes from a page's start on; one that
        was given before ends.

        Raises:
            GradCoreError: there is not so much.
        """
        raise NotImplementedError

    def flush(self, offset: int, size: int) -> None:
        """Make what the processor wrote to these bytes of the buffer visible to the core; whole cache lines."""
        raise NotImplementedError

    def invalidate(self, offset: int, size: int) -> None:
        """Make what the core wrote to these bytes of the buffer visible to the processor; whole cache lines."""
        raise NotImplementedError

    def wait(self, timeout: float) -> None:
        """Return when the run has ended, or after ``timeout`` seconds: here by asking the core, more and more seldom."""
        end, pause = self.now() + timeout, 20e-6
        while not self.read32(hardware.STATUS) & hardware.STATUS_DONE and self.now() < end:
            self.pause(pause)
            pause = min(2 * pause, 1e-3)

    @property
    def clock_mhz(self) -> float:
        """The core's clock."""
        raise NotImplementedError

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def now(self) -> float:
        """Seconds since some moment."""
        return time.perf_counter()

    def close(self) -> None:
        """Give memory and registers back."""
