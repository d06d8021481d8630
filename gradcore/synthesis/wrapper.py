# SPDX-License-Identifier: Apache-2.0
"""Makes a unit with thousands of port bits fit a chip with few pins, so that it can be placed and routed alone.

Every input is driven by a register, all of them one long shift register; every output ends in a register, and a tree of
registered XORs leads them to one pin. So the paths of the unit to its ports count as paths between registers, as in the
core, and nothing can be removed as unused.
"""

from __future__ import annotations

from collections.abc import Mapping

CLOCK = "clk"
TOP = "routing_wrapper"
_XOR_INPUTS = 4


def wrap(module: str, ports: Mapping[str, tuple[str, int]], parameters: Mapping[str, int]) -> str:
    """Verilog of a module ``TOP`` with the ports clk, scan_in and scan_out that holds one instance of ``module``.

    Args:
        ports: name -> ('input' or 'output', number of bits).
        parameters: of the instance.
    """
    inputs = {name: width for name, (direction, width) in ports.items() if direction == "input" and name != CLOCK}
    outputs = {name: width for name, (direction, width) in ports.items() if direction == "output"}
    total_in, total_out = max(sum(inputs.values()), 1), sum(outputs.values())
    lines = [
        f"module {TOP} (input wire clk, input wire scan_in, output wire scan_out);",
        f"  reg [{total_in - 1}:0] driven;",
        f"  always @(posedge clk) driven <= {{driven[{total_in - 1}:0], scan_in}};",
        f"  wire [{max(total_out, 1) - 1}:0] seen;",
    ]
    if not total_out:
        lines.append("  assign seen = 1'b0;")
    pins, low = [f"    .{CLOCK}({CLOCK})"] if CLOCK in ports else [], 0
    for name, width in inputs.items():
        pins.append(f"    .{name}(driven[{low} +: {width}])")
        low += width
    low = 0
    for name, width in outputs.items():
        pins.append(f"    .{name}(seen[{low} +: {width}])")
        low += width
    settings = ", ".join(f".{name}({value})" for name, value in parameters.items())
    lines += [f"  {module} #({settings}) unit (" if settings else f"  {module} unit (", ",\n".join(pins), "  );"]
    stage, width, name = 0, max(total_out, 1), "seen"
    while True:
        narrower = -(-width // _XOR_INPUTS) if stage else width
        lines += [f"  reg [{narrower - 1}:0] stage{stage};", "  always @(posedge clk) begin"]
        for index in range(narrower):
            if stage:
                high = min(_XOR_INPUTS * (index + 1), width) - 1
                lines.append(f"    stage{stage}[{index}] <= ^{name}[{high}:{_XOR_INPUTS * index}];")
            else:
                lines.append(f"    stage{stage}[{index}] <= {name}[{index}];")
        lines.append("  end")
        width, name = narrower, f"stage{stage}"
        if stage and width == 1:
            break
        stage += 1
    lines += [f"  assign scan_out = {name}[0];", "endmodule", ""]
    return "\n".join(lines)
