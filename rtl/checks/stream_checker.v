// SPDX-License-Identifier: Apache-2.0
//
// stream_checker: what a valid/ready stream must keep, in simulation only, with CHECK_STREAMS: valid is never unknown, nor is ready while
// valid; while it waits, valid stays up and the data stay as they are.
//
// Contract: rst says that nothing is checked in this cycle, and that nothing waits in the next one.
`default_nettype none
/*verilator coverage_off*/

`ifdef SIMULATION
module stream_checker #(
    parameter WIDTH = 1
) (
    input wire             clk,
    input wire             rst,
    input wire             valid,
    input wire             ready,
    input wire [WIDTH-1:0] data
);

`ifdef CHECK_STREAMS
  reg waiting;
  reg [WIDTH-1:0] waiting_data;
  always @(posedge clk) begin
    waiting <= valid && !ready && !rst;
    if (valid && !ready) waiting_data <= data;
  end

  `include "assertions.vh"
  `ASSERT(valid_is_known, valid === 1'b0 || valid === 1'b1)
  `ASSERT(ready_is_known, !valid || ready === 1'b0 || ready === 1'b1)
  `ASSERT(valid_stays, !waiting || valid)
  `ASSERT(data_stay, !waiting || data === waiting_data)
`endif

endmodule
`endif

/*verilator coverage_on*/
`default_nettype wire
