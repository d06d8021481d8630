# SPDX-License-Identifier: Apache-2.0
"""The back end UIO on a folder that stands for /dev, /sys and /proc: files, widths, offsets; the simulated core behind them."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gradcore.backends import GoldenBackend
from gradcore.compiler import compile_network
from gradcore.errors import GradCoreError
from gradcore.network import Layer, Network
from gradcore.runtime import zynq
from gradcore.runtime.board import Board
from gradcore.runtime.uio_device import UioDevice, uio_number
from gradcore.simulator import Simulator

ROOT = Path(__file__).resolve().parents[1]
PICTURE = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
ADDRESS = 0x20_0000
SIZE = 0x2_0000
FCLK = 0x0020_0500  # IO PLL / 5 / 2
SYSTEM = {  # what the processing system's registers hold after our bitstream was loaded
    **{zynq.SLCR + 0x100: 26 << 12, zynq.SLCR + 0x104: 21 << 12, zynq.SLCR + 0x108: 20 << 12},
    **{zynq.SLCR + zynq.FPGA0_CLK_CTRL: FCLK, zynq.SLCR + zynq.LVL_SHFTR_EN: 0xF},
}


@pytest.fixture(scope="module")
def network() -> Network:
    """A network that takes few cycles."""
    return Network.random([Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("fc", "fc1", 8 * 4 * 4, 10, relu=False)], (3, 8, 8), seed=7)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files that Linux has with our overlay."""
    for path, text in {
        **{"sys/class/uio/uio0/name": "fabric\n", "sys/class/uio/uio3/name": "gradcore\n"},
        "sys/class/fpga_manager/fpga0/state": "operating\n",
        "proc/meminfo": "MemTotal: 509000 kB\nCmaTotal:         131072 kB\nCmaFree:            2048 kB\n",
        **{"sys/class/u-dma-buf/udmabuf0/phys_addr": f"{ADDRESS:#010x}\n", "sys/class/u-dma-buf/udmabuf0/size": f"{SIZE}\n"},
        **{f"sys/class/u-dma-buf/udmabuf0/sync_for_{who}": "" for who in ("cpu", "device")},
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "dev").mkdir()
    for name, size in {"uio3": 4096, "udmabuf0": SIZE, "mem": 0xF800_A000}.items():
        with (tmp_path / "dev" / name).open("wb") as file:
            file.truncate(size)
    for address, value in SYSTEM.items():
        poke(tmp_path / "dev/mem", address, value)
    return tmp_path


def poke(path: Path, offset: int, value: int) -> None:
    """Put a word in a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<I", value))


def peek(path: Path, offset: int, size: int = 4) -> bytes:
    """Bytes of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


class Behind(UioDevice):
    """The device on the folder, with the simulated core behind its files: what is written to one is read from it again for the core,
    and what the core says is written to it before the device reads."""

    def __init__(self, root: Path, **options: object) -> None:
        self.core, self.lock, self.forget = Simulator(preset="small").start(), threading.Lock(), ""
        super().__init__(root=root, **options)

    def read32(self, offset: int) -> int:
        with self.lock:
            poke(self.root / "dev/uio3", offset, self.core.read(offset))
        return super().read32(offset)

    def write32(self, offset: int, value: int) -> None:
        super().write32(offset, value)
        with self.lock:
            self.core.write(offset, struct.unpack("<I", peek(self.root / "dev/uio3", offset))[0])

    def _sync(self, what: str, offset: int, size: int, direction: int) -> None:
        super()._sync(what, offset, size, direction)
        found = re.fullmatch(r"0x([0-9A-F]{8})([0-9A-F]{8})", (self.root / "sys/class/u-dma-buf/udmabuf0" / what).read_text())
        at, word = (int(part, 16) for part in found.groups())
        length, memory = word & 0xFFFF_FFF0, self.root / "dev/udmabuf0"
        assert word & 1 and word >> 2 & 3 == {"sync_for_device": 1, "sync_for_cpu": 2}[what]
        if what == self.forget:
            return
        if what == "sync_for_device":
            self.core.load(ADDRESS + at, peek(memory, at, length))
        else:
            with memory.open("r+b") as file:
                file.seek(at)
                file.write(self.core.dump(ADDRESS + at, length))

    def pause(self, seconds: float) -> None:
        with self.lock:
            self.core.idle(500)

    def close(self) -> None:
        super().close()
        self.core.close()


@pytest.fixture
def device(root: Path) -> Iterator[Behind]:
    """The device, by polling."""
    opened = Behind(root)
    yield opened
    opened.close()


def test_results_are_the_golden_models(device: Behind, root: Path, network: Network) -> None:
    """Registers by uio3, memory by udmabuf0, the clock by the Zynq's registers; a port of 32 bits is made one of 64."""
    poke(root / "dev/mem", zynq.AFI[1] + zynq.AFI_WRCHAN_CTRL, 0xF01)
    board = Board(device, compile_network(network, "small"))
    assert peek(root / "dev/mem", zynq.AFI[1] + zynq.AFI_WRCHAN_CTRL) == struct.pack("<I", 0xF00)
    (result,) = board.execute(PICTURE, "guided")
    (wanted,) = GoldenBackend(network).run([PICTURE], ["guided"])["guided"]
    assert np.array_equal(result.logits, wanted.logits) and np.array_equal(result.attribution, wanted.attribution)
    assert result.clock_mhz == 100.0 and result.backend == "uio"
    for what in ("sync_for_device", "sync_for_cpu"):
        device.forget = what
        (result,) = board.execute(PICTURE[::-1], "guided")
        (other,) = GoldenBackend(network).run([PICTURE[::-1]], ["guided"])["guided"]
        assert not np.array_equal(result.attribution, other.attribution), f"without {what}"


def test_interrupt(root: Path, network: Network) -> None:
    """The interrupt is enabled by writing 1 and counted by reading; one that is lost costs time and nothing else."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    (root / "dev/uio0").symlink_to(os.ttyname(theirs))
    device = Behind(root, interrupt="fabric")
    enabled = []

    def kernel() -> None:
        for count in (1, None):  # the second is lost
            enabled.append(os.read(ours, 4))
            with device.lock:
                assert device.core.interrupt_within(10**6) is not None
            if count:
                os.write(ours, struct.pack("=I", count))

    thread = threading.Thread(target=kernel)
    thread.start()
    try:
        board = Board(device, compile_network(network, "small"))
        results = board.execute(np.stack([PICTURE, PICTURE[::-1]]), "saliency")
        wanted = GoldenBackend(network).run([PICTURE, PICTURE[::-1]], ["saliency"])["saliency"]
        assert all(np.array_equal(got.attribution, one.attribution) for got, one in zip(results, wanted, strict=True))
        assert board.driver.field("CONTROL.interrupt_enable") == 1
    finally:
        thread.join(60)
        device.close()
        os.close(ours)
        os.close(theirs)
    assert enabled == [struct.pack("=I", 1)] * 2


@pytest.mark.parametrize(
    ("path", "offset", "content", "said"),
    [
        ("sys/class/fpga_manager/fpga0/state", None, "unknown\n", "not configured .fpga_manager says 'unknown'.: load gradcore.bit first"),
        ("dev/mem", zynq.SLCR + zynq.LVL_SHFTR_EN, 0xA, "level shifters to the programmable logic are off"),
        ("dev/mem", zynq.SLCR + zynq.FPGA_RST_CTRL, 1, "FCLK_RESET0 holds the programmable logic in reset"),
        ("dev/mem", zynq.SLCR + zynq.FPGA0_THR_CNT, 1, "FCLK_CLK0 is off, so the core has no clock: turn it on"),
        ("dev/mem", zynq.SLCR + zynq.FPGA0_CLK_CTRL, 0, "FCLK_CLK0 is off"),
    ],
)
def test_nothing_is_touched_before_the_fabric_is_ready(root: Path, path: str, offset: int | None, content: int | str, said: str) -> None:
    """A processor that reads from logic without a clock hangs: the registers are not even mapped."""
    (root / path).write_text(content) if offset is None else poke(root / path, offset, content)
    device = UioDevice(root=root)
    with pytest.raises(GradCoreError, match=said):
        Board(device)
    assert device._registers is None
    device.close()


def test_clock(root: Path) -> None:
    """From the PLL that is chosen, its multiplier, both dividers, and the board's crystal."""
    device = UioDevice(root=root)
    assert device.clock_mhz == 100
    poke(root / "dev/mem", zynq.SLCR + zynq.FPGA0_CLK_CTRL, 0x0010_0730)  # DDR PLL 1050 / 7 / 1
    assert device.clock_mhz == 150
    poke(root / "dev/mem", zynq.SLCR + zynq.FPGA0_CLK_CTRL, 0x0010_0700)  # IO PLL 1000 / 7: what PYNQ makes of 150
    assert device.clock_mhz == pytest.approx(142.857, abs=1e-3)
    device.close()


def test_bad_input(root: Path, network: Network) -> None:
    """No device, no memory, not enough of it, no rights, a stubborn port."""
    with pytest.raises(GradCoreError, match="no UIO device 'core': load the overlay software/linux/gradcore.dtso"):
        UioDevice("core", root=root)
    (root / "sys/class/u-dma-buf/udmabuf0/size").write_text("65536")
    device = Behind(root)
    big = compile_network(Network.random([Layer("fc", "fc1", 3 * 8 * 8, 400, relu=False)], (3, 8, 8)), "small")
    with pytest.raises(GradCoreError, match=r"needs \d+ bytes, udmabuf0 has 65536, CmaFree is 2 MiB of 128: make it larger in the overlay"):
        Board(device, big)
    for name, text, said in (
        ("phys_addr", "0x00200800", "starts at 0x200800, which is no multiple of 4096"),
        ("size", "?", "no u-dma-buf"),
    ):
        (root / "sys/class/u-dma-buf/udmabuf0" / name).write_text(text)
        with pytest.raises(GradCoreError, match=said):
            Board(device, compile_network(network, "small"))
    device.close()
    with pytest.raises(GradCoreError, match="port HP0 is 32 bits wide and stays so, the core needs 64"):
        zynq.check_ports(lambda address: 1, lambda address, value: None)
    (root / "dev/mem").unlink()
    device = UioDevice(root=root)
    with pytest.raises(GradCoreError, match="/dev/mem cannot be opened .No such file or directory.: run as root"):
        device.check()
    device.close()
    assert uio_number("gradcore", root) == "uio3" and uio_number("gradcore", root / "none") is None
    assert zynq.cma(root / "none") == "the kernel says nothing of CMA"


def test_overlay_compiles(tmp_path: Path) -> None:
    """The device tree overlay, and what the device looks for in it."""
    source = ROOT / "software" / "linux" / "gradcore.dtso"
    command = ["dtc", "-@", "-I", "dts", "-O", "dts", "-o", str(tmp_path / "out.dts"), str(source)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0 and not made.stderr, made.stderr
    text = (tmp_path / "out.dts").read_text()
    for wanted in ('linux,uio-name = "gradcore"', "reg = <0x43c00000 0x1000>", "interrupts = <0x00 0x1d 0x04>", 'device-name = "udmabuf0"'):
        assert wanted in text
    assert "device-tree-compiler=dtc" in (ROOT / "Makefile").read_text()
