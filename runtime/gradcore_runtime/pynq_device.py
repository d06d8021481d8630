# SPDX-License-Identifier: Apache-2.0
"""The back end for PYNQ 3.0 and 3.1: a driver that PYNQ binds to the core, and the device that it is reached through.

    from pynq import Overlay
    import gradcore_runtime.pynq_device
    results = Overlay("gradcore.bit").gradcore.execute(images, method="guided")

The bitstream lies in a bundle, whose program is loaded; elsewhere call ``load`` before. Never read the core's ``mmio.array`` or
``register_map`` as a whole: an address without a register is answered with an error, which ends the process.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import zynq
from .board import Board
from .bundle import MANIFEST, Bundle
from .device import Device
from .errors import GradCoreError
from .program import Runnable
from .regions import PAGE
from .results import Result
from .uio_device import UioInterrupt

try:
    import pynq
except ImportError:
    raise GradCoreError("pynq is not installed: use it on a PYNQ image (3.0 or 3.1), or the back end uio") from None

VLNV = "gradcore:ip:gradcore:0.1"
CELL = "gradcore"  # the core's name in the block design
SYSTEM_BYTES = PAGE  # of a block of the processing system's registers


def available() -> bool:
    """Whether pynq is there, and a board that it knows."""
    return importlib.util.find_spec("pynq") is not None and bool(pynq.ps.ON_TARGET)


def open_device(bundle: Bundle | None = None, **options: Any) -> PynqDevice:
    """Load the bundle's bitstream; the device of its core. See ``PynqDevice`` for the options.

    Raises:
        GradCoreError: the bundle has no bitstream, or the bitstream no core.
    """
    if bundle is None or bundle.bitstream is None:
        raise GradCoreError("pynq loads the bitstream of a bundle, and there is none: make one with gradcore bundle --bitstream")
    overlay = pynq.Overlay(str(bundle.bitstream))
    if CELL not in overlay.ip_dict:
        raise GradCoreError(f"{bundle.bitstream} has no {CELL} among its IPs ({', '.join(overlay.ip_dict)}): use that of make bitstream")
    return PynqDevice(getattr(overlay, CELL), **options)


class PynqDevice(Device):
    """The core by PYNQ's own classes: MMIO for registers, allocate for memory.

    Args:
        ip: PYNQ's driver of the core: its ``mmio`` and ``device``.
        interrupt: name of a UIO device whose interrupt is the core's: 'fabric' under PYNQ's image (PYNQ itself knows only interrupts
            that go through an AXI interrupt controller); '' asks for the status instead.
        root: where /dev, /sys and /proc are.
    """

    name = "pynq"

    def __init__(self, ip: Any, interrupt: str = "", root: str | Path = "/") -> None:
        self.root = Path(root)
        self._ip = ip
        self._system: dict[int, Any] = {}
        self._memory: Any = None
        self._buffer: Any = None
        self._interrupt = UioInterrupt(interrupt, self.root) if interrupt else None
        self.interrupts = bool(interrupt)

    def _page(self, address: int) -> Any:
        page = address & -SYSTEM_BYTES
        if page not in self._system:
            self._system[page] = pynq.MMIO(page, SYSTEM_BYTES, device=self._ip.device)
        return self._system[page]

    def _read_system(self, address: int) -> int:
        return int(self._page(address).read(address % SYSTEM_BYTES))

    def _write_system(self, address: int, value: int) -> None:
        self._page(address).write(address % SYSTEM_BYTES, int(value))

    def check(self) -> None:
        zynq.check_fabric(self._read_system, self.root)
        zynq.check_ports(self._read_system, self._write_system)

    def read32(self, offset: int) -> int:
        return int(self._ip.mmio.read(offset))

    def write32(self, offset: int, value: int) -> None:
        self._ip.mmio.write(offset, int(value))

    def buffer(self, size: int) -> tuple[int, np.ndarray]:
        self._free()
        try:
            self._memory = pynq.allocate((size + PAGE,), dtype="u1", target=self._ip.device)
        except (RuntimeError, MemoryError, OSError) as error:
            raise GradCoreError(
                f"{size + PAGE} bytes for the program cannot be allocated ({error}), {zynq.cma(self.root)}: free other buffers, restart "
                "the notebooks that hold them, or boot with a larger cma="
            ) from None
        skipped = -int(self._memory.physical_address) % PAGE
        self._buffer = self._memory[skipped : skipped + size]
        return int(self._buffer.physical_address), self._buffer.view(np.ndarray)

    def flush(self, offset: int, size: int) -> None:
        self._buffer[offset : offset + size].flush()

    def invalidate(self, offset: int, size: int) -> None:
        self._buffer[offset : offset + size].invalidate()

    def wait(self, timeout: float) -> None:
        if self._interrupt is None:
            super().wait(timeout)
        else:
            self._interrupt.wait(self, timeout)

    @property
    def clock_mhz(self) -> float:
        return float(pynq.Clocks.fclk0_mhz)

    def _free(self) -> None:
        if self._memory is not None:
            self._buffer, memory, self._memory = None, self._memory, None
            memory.freebuffer()

    def close(self) -> None:
        self._free()
        if self._interrupt is not None:
            self._interrupt.close()


class GradCoreIP(pynq.DefaultIP):
    """What PYNQ makes of the core in an overlay: see the head of this module."""

    bindto = [VLNV]

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__(description=description)
        self._board: Board | None = None

    @property
    def board(self) -> Board:
        """The board, opened at the first use, with the program of the bundle that the bitstream lies in, if it does."""
        if self._board is None:
            folder = Path(str(getattr(self.device, "bitfile_name", ""))).parent
            program = Bundle.open(folder).program if (folder / MANIFEST).is_file() else None
            self._board = Board(PynqDevice(self), program)
        return self._board

    def load(self, program: str | Path | Runnable) -> None:
        """See ``Board.load``."""
        self.board.load(program)

    def execute(
        self, images: np.ndarray | Sequence[np.ndarray], method: str = "saliency", target: Any = None, **options: Any
    ) -> list[Result]:
        """See ``Board.execute``."""
        return self.board.execute(images, method, target, **options)

    def throughput_test(self, batch: int = 100, method: str = "saliency", **options: Any) -> dict[str, float]:
        """See ``Board.throughput_test``."""
        return self.board.throughput_test(batch, method, **options)

    def validate(self, data: Any, limit: int | None = None) -> dict[str, Any]:
        """See ``Board.validate``."""
        return self.board.validate(data, limit)
