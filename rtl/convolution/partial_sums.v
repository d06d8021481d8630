// SPDX-License-Identifier: Apache-2.0
//
// partial_sums: a FIFO of the sums that a stream's pixels leave for a later job, LANES sums a pixel, in block RAM.
//
// The lanes of a pixel are written one after another as its sums are drained, and read one after another as the lanes of
// the pixel that goes on with them ask for their initial values: so lane l may be read l cycles after lane 0, before the
// pixel is whole.
//
// Contract: all moves in enabled cycles. A sum is written with its lane, 0 first. `here`: the lane 0 of a pixel stands in
//   the memory that nobody has claimed; it may come a cycle late. `claim` takes the oldest such pixel, only with `here`.
//   `start` comes in the order of the claims, two cycles or more after its own: in the next enabled cycle `sum` is
//   lane 0's, l cycles later lane l's, while `lane` is l. With `start` but without `start_partial` sums are not used.
//   That no more than PARTIAL_PIXELS pixels wait is the program's duty: one more overwrites the oldest.
// Numbers: sums of 48 bits, which are not looked at.
`default_nettype none
`include "gradcore_sizes.vh"

module partial_sums (
    input  wire        clk,
    input  wire        rst,
    input  wire        enable,
    // Sums that stay.
    input  wire        write,
    input  wire [ 3:0] write_lane,
    input  wire [47:0] write_sum,
    // Pixels that go on with them.
    output reg         here,
    input  wire        claim,
    input  wire        start,
    input  wire        start_partial,
    input  wire [ 3:0] lane,
    output reg  [47:0] sum
);

  localparam [3:0] LAST_LANE = 4'd15;
  localparam [`PARTIAL_BITS:0] ONE = 1;

  (* ram_style = "block" *) reg [47:0] memory[0:(`LANES<<`PARTIAL_BITS)-1];
  reg [`PARTIAL_BITS-1:0] write_pixel, next_pixel, pixel;
  reg [`PARTIAL_BITS:0] waiting;  // pixels that nobody has claimed
  wire arrives = write && (write_lane == 4'd0);
  wire [3:0] next_lane = lane + 4'd1;

  always @(posedge clk) begin
    if (enable && write) memory[{write_pixel, write_lane}] <= write_sum;
    if (enable) sum <= memory[start?{next_pixel, 4'd0} : {pixel, next_lane}];
  end

  always @(posedge clk) begin
    if (enable) begin
      if (write && write_lane == LAST_LANE) write_pixel <= write_pixel + 1'b1;
      if (start) pixel <= next_pixel;
      if (start && start_partial) next_pixel <= next_pixel + 1'b1;
      if (arrives && !claim) waiting <= waiting + ONE;
      if (claim && !arrives) waiting <= waiting - ONE;
      here <= (waiting > ONE) || (waiting == ONE && !claim);
    end
    if (rst) begin
      write_pixel <= {`PARTIAL_BITS{1'b0}};
      next_pixel <= {`PARTIAL_BITS{1'b0}};
      waiting <= {(`PARTIAL_BITS + 1) {1'b0}};
      here <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(claims_a_pixel, !(enable && claim) || (here && waiting != 0))
  // Pixels are read after they were claimed.
  reg [3:0] claimed;
  always @(posedge clk) claimed <= rst ? 4'd0 : claimed + {3'd0, enable && claim} - {3'd0, enable && start && start_partial};
  `ASSERT(reads_what_was_claimed, !(enable && start && start_partial) || claimed != 4'd0)
`endif

endmodule

`default_nettype wire
