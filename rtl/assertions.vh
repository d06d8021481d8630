// SPDX-License-Identifier: Apache-2.0
// Assertions for simulation. A module ends with a section under `ifdef SIMULATION, which includes this file; it needs
// the module's clk and rst. A condition that does not hold, or is unknown, stops the simulation with a line that
// names the instance, the assertion and the time. Nothing is checked during reset, nor before the first one.
`ifndef GRADCORE_ASSERTIONS
`define GRADCORE_ASSERTIONS
`define ASSERT(name, condition) \
  always @(posedge clk) \
    if (checked && (condition) !== 1'b1) begin : name \
      /*verilator coverage_block_off*/ \
      $display("ASSERTION %m failed at %0t", $time); \
      $finish; \
    end
// That a register of states is not beyond the last one; it is told.
`define ASSERT_STATE(name, register, last) \
  always @(posedge clk) \
    if (checked && (register <= last) !== 1'b1) begin : name \
      /*verilator coverage_block_off*/ \
      $display("ASSERTION %m failed at %0t: %b", $time, register); \
      $finish; \
    end
`endif
reg reset_seen;
initial reset_seen = 1'b0;
wire checked = reset_seen && rst === 1'b0;
always @(posedge clk) if (rst === 1'b1) reset_seen <= 1'b1;
