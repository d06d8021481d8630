# SPDX-License-Identifier: Apache-2.0
"""A toplevel that instantiates one block RAM, for its bench: parameters of the cell are text and wide numbers."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Config:
    """How the RAM is used. ``kbits``: 18 or 36. Widths in bits with parity, 0 for a port that does not read or write."""

    kbits: int = 36
    ram_mode: str = "TDP"
    read_a: int = 0
    read_b: int = 0
    write_a: int = 0
    write_b: int = 0
    mode_a: str = "WRITE_FIRST"
    mode_b: str = "WRITE_FIRST"
    extra: tuple[tuple[str, str], ...] = ()  # more parameters of the cell, as Verilog text

    @property
    def lanes(self) -> int:
        """Bytes of a port."""
        return self.kbits // 9

    @property
    def count(self) -> int:
        """Bytes of the RAM."""
        return self.kbits // 9 * 1024

    def to_json(self) -> str:
        """As the bench reads it from its environment."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Back from ``to_json``."""
        return cls(**json.loads(text))

    def initial(self) -> list[int]:
        """Contents of the bytes, 9 bits each, before the first write."""
        numbers = random.Random(self.kbits)
        return [numbers.getrandbits(9) for _ in range(self.count)]

    def outputs(self) -> tuple[int, int, int, int]:
        """INIT_A, INIT_B, SRVAL_A, SRVAL_B: what the ports show before the first read, and after a reset."""
        numbers = random.Random(-self.kbits)
        return tuple(numbers.getrandbits(9 * self.lanes) for _ in range(4))


def without_parity(word: int, lanes: int) -> tuple[int, int]:
    """(parity, data) as the cell's ports have them."""
    parity = sum((word >> 9 * lane + 8 & 1) << lane for lane in range(lanes))
    return parity, sum((word >> 9 * lane & 0xFF) << 8 * lane for lane in range(lanes))


def verilog(config: Config) -> str:
    """Text of the module ``ram_top``: the cell's ports under plain names, unused ones at 0."""
    lanes = config.lanes
    full = config.kbits == 36
    content = config.initial()
    parameters = {
        "RAM_MODE": f'"{config.ram_mode}"',
        "READ_WIDTH_A": config.read_a,
        "READ_WIDTH_B": config.read_b,
        "WRITE_WIDTH_A": config.write_a,
        "WRITE_WIDTH_B": config.write_b,
        "WRITE_MODE_A": f'"{config.mode_a}"',
        "WRITE_MODE_B": f'"{config.mode_b}"',
    }
    for row in range(config.count // 32):
        word = sum((content[32 * row + i] & 0xFF) << 8 * i for i in range(32))
        parameters[f"INIT_{row:02X}"] = f"256'h{word:x}"
    for row in range(config.count // 256):
        word = sum((content[256 * row + i] >> 8) << i for i in range(256))
        parameters[f"INITP_{row:02X}"] = f"256'h{word:x}"
    for name, value in zip(("INIT_A", "INIT_B", "SRVAL_A", "SRVAL_B"), config.outputs(), strict=True):
        parameters[name] = f"{9 * lanes}'h{value:x}"
    parameters.update(config.extra)
    settings = ",\n".join(f"    .{name}({value})" for name, value in parameters.items())
    address = ("{1'b1, address_a}", "{1'b1, address_b}") if full else ("address_a", "address_b")
    spare = ".CASCADEINA(1'b0), .CASCADEINB(1'b0), .INJECTDBITERR(1'b0), .INJECTSBITERR(1'b0)," if full else ""
    return f"""// SPDX-License-Identifier: Apache-2.0
module ram_top (
  input clk,
  input enable_a, input enable_b, input reset_a, input reset_b,
  input [{lanes - 1}:0] write_a, input [{2 * lanes - 1}:0] write_b,
  input [{14 if full else 13}:0] address_a, input [{14 if full else 13}:0] address_b,
  input [{8 * lanes - 1}:0] data_a, input [{8 * lanes - 1}:0] data_b,
  input [{lanes - 1}:0] parity_a, input [{lanes - 1}:0] parity_b,
  output [{8 * lanes - 1}:0] q_a, output [{8 * lanes - 1}:0] q_b,
  output [{lanes - 1}:0] qp_a, output [{lanes - 1}:0] qp_b
);
  RAMB{config.kbits}E1 #(
{settings}
  ) ram (
    .CLKARDCLK(clk), .CLKBWRCLK(clk), .ENARDEN(enable_a), .ENBWREN(enable_b), .RSTRAMARSTRAM(reset_a), .RSTRAMB(reset_b),
    .WEA(write_a), .WEBWE(write_b), .ADDRARDADDR({address[0]}), .ADDRBWRADDR({address[1]}),
    .DIADI(data_a), .DIBDI(data_b), .DIPADIP(parity_a), .DIPBDIP(parity_b),
    .DOADO(q_a), .DOBDO(q_b), .DOPADOP(qp_a), .DOPBDOP(qp_b), {spare}
    .REGCEAREGCE(1'b0), .REGCEB(1'b0), .RSTREGARSTREG(1'b0), .RSTREGB(1'b0)
  );
endmodule
"""
