# SPDX-License-Identifier: Apache-2.0
"""What must hold of a Zynq-7000 before its programmable logic is touched: an access to logic that is not configured or not clocked
hangs the processor. Registers: UG585, appendix B (slcr and AFI)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .errors import GradCoreError

SLCR, AFI = 0xF800_0000, (0xF800_8000, 0xF800_9000)  # of the ports HP0 and HP1
PLLS = (0x108, 0x108, 0x100, 0x104)  # by FPGA0_CLK_CTRL.SRCSEL: IO, IO, ARM, DDR
FPGA0_CLK_CTRL, FPGA0_THR_CNT, FPGA_RST_CTRL, LVL_SHFTR_EN = 0x170, 0x178, 0x240, 0x900
AFI_RDCHAN_CTRL, AFI_WRCHAN_CTRL = 0x00, 0x14
PS_CLK_MHZ = 50.0  # the crystal of PYNQ-Z1 and Z2; other boards have 33.333

Read, Write = Callable[[int], int], Callable[[int, int], None]


def check_fabric(read: Read, root: Path = Path("/")) -> None:
    """The logic is configured, connected, out of reset and clocked.

    Args:
        read: reads a word of the processing system, by its address.
        root: where /sys is.

    Raises:
        GradCoreError: it is not; the message says how to put that right.
    """
    states = list(root.glob("sys/class/fpga_manager/*/state"))
    state = states[0].read_text().strip() if states else "operating"  # without the manager the boot loader has configured it
    if state != "operating":
        raise GradCoreError(f"the programmable logic is not configured (fpga_manager says {state!r}): load gradcore.bit first")
    if read(SLCR + LVL_SHFTR_EN) & 0xF != 0xF:
        raise GradCoreError("the level shifters to the programmable logic are off: load gradcore.bit again, which turns them on")
    if read(SLCR + FPGA_RST_CTRL) & 1:
        raise GradCoreError("FCLK_RESET0 holds the programmable logic in reset: load gradcore.bit again, which releases it")
    if read(SLCR + FPGA0_THR_CNT) & 1 or not clock_mhz(read):
        raise GradCoreError("FCLK_CLK0 is off, so the core has no clock: turn it on (pynq.Clocks.fclk0_mhz = 100, or fclkcfg)")


def clock_mhz(read: Read, crystal_mhz: float = PS_CLK_MHZ) -> float:
    """FCLK_CLK0, from its PLL and dividers; 0 when a divider is."""
    control = read(SLCR + FPGA0_CLK_CTRL)
    multiplier = read(SLCR + PLLS[control >> 4 & 3]) >> 12 & 0x7F
    divider = (control >> 8 & 0x3F) * (control >> 20 & 0x3F)
    return crystal_mhz * multiplier / divider if divider else 0.0


def check_ports(read: Read, write: Write) -> None:
    """HP0 and HP1 are 64 bits wide; where the boot loader left 32 that is put right.

    Raises:
        GradCoreError: a port stays at 32 bits.
    """
    for port, base in enumerate(AFI):
        for register in (AFI_RDCHAN_CTRL, AFI_WRCHAN_CTRL):
            value = read(base + register)
            if value & 1:
                write(base + register, value & ~1)
                if read(base + register) & 1:
                    raise GradCoreError(f"port HP{port} is 32 bits wide and stays so, the core needs 64: boot with a design that has 64")


def cma(root: Path = Path("/")) -> str:
    """What /proc/meminfo says of the memory for buffers, for messages."""
    try:
        found = dict(re.findall(r"^(Cma\w+):\s+(\d+) kB", (root / "proc/meminfo").read_text(), flags=re.M))
        return f"CmaFree is {int(found['CmaFree']) // 1024} MiB of {int(found['CmaTotal']) // 1024}"
    except (OSError, KeyError):
        return "the kernel says nothing of CMA"
