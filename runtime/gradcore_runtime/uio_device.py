# SPDX-License-Identifier: Apache-2.0
"""The back end for plain Linux: registers by UIO, memory by u-dma-buf, the Zynq's own registers by /dev/mem. software/linux has a
device tree overlay. The bitstream is loaded before, by fpga_manager or the boot loader."""

from __future__ import annotations

import mmap
import os
import select
import struct
from pathlib import Path

import numpy as np

from . import hardware, zynq
from .bundle import Bundle
from .device import Device
from .errors import GradCoreError
from .regions import CACHE_LINE, PAGE

REGISTER_BYTES = 4096
TO_DEVICE, FROM_DEVICE = 1, 2
CHECK_SECONDS = 0.1  # between two looks at STATUS while an interrupt is waited for: one may be lost


def uio_number(name: str, root: Path = Path("/")) -> str | None:
    """The UIO device of a name in sysfs: uio0."""
    found = [place for place in sorted(root.glob("sys/class/uio/uio*")) if (place / "name").read_text().strip() == name]
    return found[0].name if found else None


def available() -> bool:
    """Whether there is a UIO device gradcore."""
    return uio_number("gradcore") is not None


def open_device(bundle: Bundle | None = None, **options: object) -> UioDevice:
    """The device; the bundle's bitstream is not loaded: see ``UioDevice`` for the options."""
    return UioDevice(**options)


def _existing(name: str, root: Path) -> str:
    found = uio_number(name, root)
    if found is None:
        raise GradCoreError(f"there is no UIO device {name!r}: load the overlay software/linux/gradcore.dtso, and uio_pdrv_genirq")
    return found


def _open(path: str, root: Path) -> int:
    try:
        return os.open(root / path, os.O_RDWR)
    except OSError as error:
        raise GradCoreError(f"/{path} cannot be opened ({error.strerror}): run as root, and see that its driver is loaded") from None


class UioInterrupt:
    """The interrupt of a UIO device: enabled by writing 1, counted by reading.

    Raises:
        GradCoreError: there is no such device, or it may not be opened.
    """

    def __init__(self, name: str, root: Path = Path("/")) -> None:
        self._file = _open(f"dev/{_existing(name, root)}", root)

    def wait(self, device: Device, timeout: float) -> None:
        """Return when the device's run has ended, or after ``timeout`` seconds."""
        end = device.now() + timeout
        while not device.read32(hardware.STATUS) & hardware.STATUS_DONE and device.now() < end:
            os.write(self._file, struct.pack("=I", 1))  # the kernel has turned it off when the last one came
            if select.select([self._file], [], [], min(CHECK_SECONDS, max(0.0, end - device.now())))[0]:
                os.read(self._file, 4)

    def close(self) -> None:
        """Close its file."""
        os.close(self._file)


class UioDevice(Device):
    """The core through UIO and u-dma-buf.

    Args:
        uio: name of the UIO device of the registers, as sysfs has it.
        memory: name of the u-dma-buf.
        interrupt: name of the UIO device whose interrupt is the core's: 'gradcore' with our overlay, 'fabric' under PYNQ's image;
            '' asks for the status instead.
        crystal_mhz: clock of the processing system, from which that of the core is computed.
        root: where /dev, /sys and /proc are.

    Raises:
        GradCoreError: a device is missing, or may not be opened.
    """

    name = "uio"

    def __init__(
        self,
        uio: str = "gradcore",
        memory: str = "udmabuf0",
        interrupt: str = "",
        crystal_mhz: float = zynq.PS_CLK_MHZ,
        root: str | Path = "/",
    ) -> None:
        self.root = Path(root)
        self.interrupts = bool(interrupt)
        self._crystal, self._memory_name = crystal_mhz, memory
        self._attributes = self.root / "sys/class/u-dma-buf" / memory
        self._maps: list[mmap.mmap] = []
        self._pages: dict[int, np.ndarray] = {}
        self._registers: np.ndarray | None = None
        self._uio = _existing(uio, self.root)
        self._interrupt = UioInterrupt(interrupt, self.root) if interrupt else None

    def _map(self, path: str, size: int, offset: int = 0) -> np.ndarray:
        """uint32 words of a device: each access is one of 32 bits."""
        file = _open(path, self.root)
        try:
            mapped = mmap.mmap(file, size, offset=offset)
        except (OSError, ValueError) as error:
            raise GradCoreError(f"/{path} cannot be mapped ({error}): see that it is {size} bytes long") from None
        finally:
            os.close(file)
        self._maps.append(mapped)
        return np.frombuffer(mapped, dtype=np.uint32)

    def _system(self, address: int) -> tuple[np.ndarray, int]:
        """The page of the processing system's register, and the word in it."""
        page, offset = address & -PAGE, address % PAGE
        if page not in self._pages:
            self._pages[page] = self._map("dev/mem", PAGE, page)
        return self._pages[page], offset // 4

    def _read_system(self, address: int) -> int:
        page, word = self._system(address)
        return int(page[word])

    def _write_system(self, address: int, value: int) -> None:
        page, word = self._system(address)
        page[word] = value

    def check(self) -> None:
        zynq.check_fabric(self._read_system, self.root)
        zynq.check_ports(self._read_system, self._write_system)
        self._registers = self._map(f"dev/{self._uio}", REGISTER_BYTES)

    def read32(self, offset: int) -> int:
        return int(self._registers[offset // 4])

    def write32(self, offset: int, value: int) -> None:
        self._registers[offset // 4] = value

    def buffer(self, size: int) -> tuple[int, np.ndarray]:
        try:
            address, free = (int((self._attributes / name).read_text(), 0) for name in ("phys_addr", "size"))
        except (OSError, ValueError) as error:
            raise GradCoreError(f"there is no u-dma-buf {self._memory_name!r} ({error}): load u-dma-buf, or the overlay") from None
        if size > free:
            raise GradCoreError(
                f"the program needs {size} bytes, {self._memory_name} has {free}, {zynq.cma(self.root)}: make it larger in the overlay, or "
                f"load u-dma-buf with {self._memory_name}={size}"
            )
        if address % PAGE:
            raise GradCoreError(f"{self._memory_name} starts at {address:#x}, which is no multiple of {PAGE}: use another")
        return address, self._map(f"dev/{self._memory_name}", free).view(np.uint8)[:size]

    def flush(self, offset: int, size: int) -> None:
        self._sync("sync_for_device", offset, size, TO_DEVICE)

    def invalidate(self, offset: int, size: int) -> None:
        self._sync("sync_for_cpu", offset, size, FROM_DEVICE)

    def _sync(self, what: str, offset: int, size: int, direction: int) -> None:
        """One write says offset, size, direction, and that it is to be done (u-dma-buf's readme)."""
        assert offset % CACHE_LINE == 0 and size % CACHE_LINE == 0, "no whole cache lines"
        (self._attributes / what).write_text(f"0x{offset:08X}{size | direction << 2 | 1:08X}")

    def wait(self, timeout: float) -> None:
        if self._interrupt is None:
            super().wait(timeout)
        else:
            self._interrupt.wait(self, timeout)

    @property
    def clock_mhz(self) -> float:
        return zynq.clock_mhz(self._read_system, self._crystal)

    def close(self) -> None:
        self._registers = None
        self._pages.clear()
        for mapped in self._maps:
            try:
                mapped.close()
            except BufferError:  # somebody keeps an array of it: it goes with that
                pass
        self._maps = []
        if self._interrupt is not None:
            self._interrupt.close()
