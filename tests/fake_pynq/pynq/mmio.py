# SPDX-License-Identifier: Apache-2.0
"""Registers."""


class MMIO:
    """A range of registers."""

    def __init__(self, base_addr, length=4, device=None, **kwargs):
        self.base_addr, self.length, self.device = base_addr, length, device
        self.write = self.write_reg

    def read(self, offset=0, length=4, word_order="little"):
        return int.from_bytes(self.device.read_registers(self.base_addr + offset, length), "little")

    def write_reg(self, offset, data):
        if type(data) is not int:
            raise ValueError("Data type must be int or bytes.")
        self.device.write_registers(self.base_addr + offset, data.to_bytes(4, "little"))
