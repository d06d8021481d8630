# SPDX-License-Identifier: Apache-2.0
"""The registers as a model for pyuvm's register layer, from the fields that are generated from registers/gradcore.rdl.

``GradcoreRegisters`` is the block: each register is an attribute of it, by name. The front door goes through an ``AxiLiteAgent``; the
back door reads and sets the signals inside the module of the registers. What is written or read through either updates the mirror, unless
the hardware refused it (SLVERR):

    registers = GradcoreRegisters(groups=4)
    registers.connect(agent, dut)            # dut: the instance of register_file
    await registers.write("METHOD", 2)       # front door; CheckFailure when it is refused
    await registers.check("METHOD")          # read it, and compare it with the mirror
    status, value = await registers.METHOD.peek()
"""

from __future__ import annotations

import re
from typing import Any

from cocotb.triggers import FallingEdge, ReadOnly, Timer
from pyuvm import (
    uvm_access_e,
    uvm_door_e,
    uvm_endianness_e,
    uvm_reg,
    uvm_reg_adapter,
    uvm_reg_block,
    uvm_reg_field,
    uvm_status_e,
)

from tb.support.axi_agents import AxiLiteAgent, AxiLiteItem
from tb.support.register_model import FIELDS
from tb.support.uvm import CheckFailure

WORD = 4  # bytes
OKAY = 0


class AxiLiteAdapter(uvm_reg_adapter):
    """Turns accesses of the register layer into those of an AxiLiteAgent, and answers into states."""

    def reg2bus(self, rw: Any) -> AxiLiteItem:
        """The access: all bytes of the word."""
        return AxiLiteItem("register", rw.addr, rw.data if rw.kind == uvm_access_e.UVM_WRITE else None)

    def bus2reg(self, bus_item: AxiLiteItem, rw: Any) -> None:
        """The answer: what was read, and whether the hardware took it."""
        if bus_item.data is None:
            rw.data = bus_item.result
        rw.status = uvm_status_e.UVM_IS_OK if bus_item.response == OKAY else uvm_status_e.UVM_NOT_OK


class Register(uvm_reg):
    """A register with a back door, which pyuvm leaves to its users: the signals of its fields.

    A field without a signal is a constant, if the hardware does not change it; a register with any other such field has no back door:
    then ``peek`` and ``poke`` end with UVM_NOT_OK.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, 8 * WORD)
        self.paths: dict[str, str] = {}
        self.dut: Any = None

    async def do_read(self, rw: Any) -> None:
        """A read through either door."""
        if rw.get_door() != uvm_door_e.UVM_BACKDOOR:
            await super().do_read(rw)
            return
        await ReadOnly()
        value, known = 0, self.dut is not None
        for field in self.get_fields():
            path = self.paths[field.get_name()]
            if path:
                value |= int(self._bits(path)) << field.get_lsb_pos() if known else 0
            elif field.is_volatile():
                known = False
            else:
                value |= field.get_mirrored_value() << field.get_lsb_pos()
        await Timer(1, "step")  # out of the read-only phase, in which nothing may be driven
        rw.set_value(value)
        rw.set_status(uvm_status_e.UVM_IS_OK if known else uvm_status_e.UVM_NOT_OK)

    async def do_write(self, rw: Any) -> None:
        """A write through either door. By the back door those fields can be set that software may write.

        Verilator forgets what is set on a toplevel's own ports: there, only registers inside keep it.
        """
        if rw.get_door() != uvm_door_e.UVM_BACKDOOR:
            await super().do_write(rw)
            return
        writable = [field for field in self.get_fields() if field.get_access() in ("RW", "W1C")]
        possible = self.dut is not None and bool(writable)
        if possible:
            await FallingEdge(self.dut.clk)  # away from the edge at which the module itself writes
        for field in writable if possible else ():
            getattr(self.dut, self.paths[field.get_name()]).value = rw.get_value() >> field.get_lsb_pos() & (1 << field.get_n_bits()) - 1
        await Timer(1, "step")
        rw.set_status(uvm_status_e.UVM_IS_OK if possible else uvm_status_e.UVM_NOT_OK)

    def _bits(self, path: str) -> Any:
        name, high, low = re.fullmatch(r"(\w+)(?:\[(\d+):(\d+)\])?", path).groups()  # type: ignore[union-attr]
        value = getattr(self.dut, name).value
        return value if high is None else value[int(high) : int(low)]


class GradcoreRegisters(uvm_reg_block):
    """All registers. ``groups``: of the build, which CONFIGURATION shows."""

    def __init__(self, groups: int, name: str = "registers") -> None:
        super().__init__(name)
        self.map = self.create_map("map", 0, WORD, uvm_endianness_e.UVM_LITTLE_ENDIAN)
        self.registers: dict[str, Register] = {}
        for row in FIELDS:
            register = self.registers.get(row.register) or self._add(row.register, row.address)
            reset = groups if (row.register, row.name) == ("CONFIGURATION", "groups") else row.reset
            field = uvm_reg_field(row.name)
            field.configure(register, row.width, row.low, row.access, row.volatile, reset, True, False, False)
            register.paths[row.name] = row.path
        self.lock_model()
        self.map.set_auto_predict(True)
        self.reset()

    def _add(self, name: str, address: int) -> Register:
        register = self.registers[name] = Register(name)
        register.configure(self)
        self.map.add_reg(register, address, "RW")  # the hardware refuses writes, not the model
        setattr(self, name, register)
        return register

    def connect(self, agent: AxiLiteAgent, dut: Any = None) -> None:
        """Use an agent as the front door, and ``dut``, the module of the registers, as the back door (None: there is none)."""
        self.agent = agent
        self.map.set_sequencer(agent.sequencer, AxiLiteAdapter("adapter"))
        for register in self.registers.values():
            register.dut = dut

    async def write(self, name: str, value: int) -> None:
        """Write a register by the front door. Raises CheckFailure when the hardware refuses it."""
        if await self.registers[name].write(value, uvm_door_e.UVM_FRONTDOOR) != uvm_status_e.UVM_IS_OK:
            raise CheckFailure(self.agent, f"{name}: a write of {value:#x} was refused")

    async def read(self, name: str) -> int:
        """Read a register by the front door. Raises CheckFailure when the hardware refuses it."""
        status, value = await self.registers[name].read(uvm_door_e.UVM_FRONTDOOR)
        if status != uvm_status_e.UVM_IS_OK:
            raise CheckFailure(self.agent, f"{name}: a read was refused")
        return value

    async def refused(self, name: str, value: int) -> bool:
        """Write a register by the front door; whether the hardware refused it. The mirror follows only what it took."""
        return await self.registers[name].write(value, uvm_door_e.UVM_FRONTDOOR) != uvm_status_e.UVM_IS_OK

    def mirrored(self, name: str) -> tuple[int, int]:
        """(value, mask) of the fields that the hardware does not change by itself."""
        register = self.registers[name]
        fields = [field for field in register.get_fields() if not field.is_volatile()]
        mask = sum((1 << field.get_n_bits()) - 1 << field.get_lsb_pos() for field in fields)
        return sum(field.get_mirrored_value() << field.get_lsb_pos() for field in fields), mask

    async def check(self, name: str) -> None:
        """Read a register by the front door, and by the back door if it has one. Raises CheckFailure where the mirror differs."""
        (want, mask), got = self.mirrored(name), await self.read(name)
        if got & mask != want:
            raise CheckFailure(self.agent, f"{name}: read {got:#x}, the mirror holds {want:#x} in the bits {mask:#x}")
        status, seen = await self.registers[name].peek()
        if status == uvm_status_e.UVM_IS_OK and seen & mask != want:
            raise CheckFailure(self.agent, f"{name}: the module holds {seen:#x}, the mirror {want:#x} in the bits {mask:#x}")

    def forget(self) -> None:
        """The hardware was reset: so is the mirror."""
        self.reset()
