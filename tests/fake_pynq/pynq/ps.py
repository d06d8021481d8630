# SPDX-License-Identifier: Apache-2.0
"""The processing system."""

ON_TARGET = False


class _Clocks(type):
    @property
    def fclk0_mhz(cls):
        from pynq.mmio import MMIO
        from pynq.pl_server import Device

        slcr = MMIO(0xF800_0000, 4096, device=Device.active_device)
        control = slcr.read(0x170)
        return round(50 * (slcr.read(0x108) >> 12 & 0x7F) / ((control >> 8 & 0x3F) * (control >> 20 & 0x3F)), 6)


class Clocks(metaclass=_Clocks):
    """FCLK_CLK0 from the IO PLL."""
