// SPDX-License-Identifier: Apache-2.0
//
// Clock and waves for the harness in Icarus Verilog (Verilator has main.cpp). +half_period=PS; +waves=FILE (then run
// vvp with -fst).
`default_nettype none
`timescale 1ps / 1ps

module icarus_top #(
  parameter        GROUPS = 4,
  parameter        MEMORY_BYTES = 67108864,
  parameter [31:0] MEMORY_BASE = 32'h0000_0000
);

  reg             clk;
  reg [8*256-1:0] file;
  integer         half_period;
  wire            unused_violation;
  wire [63:0]     unused_cycle_count;

  harness #(.GROUPS(GROUPS), .MEMORY_BYTES(MEMORY_BYTES), .MEMORY_BASE(MEMORY_BASE)) harness (
    .clk(clk),
    .violation(unused_violation),
    .cycle_count(unused_cycle_count)
  );

  initial begin
    if (!$value$plusargs("half_period=%d", half_period)) half_period = 5000;
    if ($value$plusargs("waves=%s", file)) begin
      $dumpfile(file);
      $dumpvars(0, harness);
    end
    clk = 1'b0;
    forever #half_period clk = !clk;
  end

endmodule

`default_nettype wire
