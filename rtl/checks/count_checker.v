// SPDX-License-Identifier: Apache-2.0
//
// count_checker: that what was asked for comes, and nothing else, in simulation only, with CHECK_STREAMS: `given` never comes to more than
// `asked`, and when `settled` says so they are equal.
//
// Contract: rst forgets all that was asked for.
// Numbers: asked in a cycle up to 16 bits, given 4 bits; what is open, 32 bits.
`default_nettype none
/*verilator coverage_off*/

`ifdef SIMULATION
module count_checker (
    input wire        clk,
    input wire        rst,
    input wire [15:0] asked,
    input wire [ 3:0] given,
    input wire        settled
);

`ifdef CHECK_STREAMS
  reg [31:0] open;
  always @(posedge clk) open <= rst ? 32'd0 : open + {16'd0, asked} - {28'd0, given};

  `include "assertions.vh"
  `ASSERT(nothing_unasked, {28'd0, given} <= open + {16'd0, asked})
  `ASSERT(nothing_lost, !settled || open == 32'd0)
`endif

endmodule
`endif

/*verilator coverage_on*/
`default_nettype wire
