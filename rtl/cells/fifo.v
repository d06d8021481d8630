// SPDX-License-Identifier: Apache-2.0
//
// First-word-fall-through FIFO in distributed RAM.
//
// Contract: a word accepted in one cycle is offered in the next one (latency 1); one word a cycle in and out at
// once, also when the FIFO holds a single word. in_ready and out_valid are registers; out_data is the asynchronous
// read of the RAM at a registered address. level is the number of words held. rst empties the FIFO; it may also
// serve as a synchronous clear.
`default_nettype none

module fifo #(
    parameter WIDTH = 64,
    parameter DEPTH = 16  // a power of two, at least 2
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   in_valid,
    output reg                    in_ready,
    input  wire [WIDTH-1:0]       in_data,
    output reg                    out_valid,
    input  wire                   out_ready,
    output wire [WIDTH-1:0]       out_data,
    output reg  [$clog2(DEPTH):0] level
);

  localparam ADDRESS_BITS = $clog2(DEPTH);
  localparam [ADDRESS_BITS:0] ONE = 1;
  localparam integer LAST = DEPTH - 1;
  localparam [ADDRESS_BITS:0] ALMOST_FULL = LAST[ADDRESS_BITS:0];

  initial begin
    if (DEPTH < 2 || (1 << ADDRESS_BITS) != DEPTH) begin
      $display("%m: DEPTH is %0d but must be a power of two, at least 2", DEPTH);
      $finish;
    end
  end

  (* ram_style = "distributed" *) reg [WIDTH-1:0] memory [0:DEPTH-1];
  reg [ADDRESS_BITS-1:0] write_address;
  reg [ADDRESS_BITS-1:0] read_address;

  wire push = in_valid && in_ready;
  wire pop  = out_valid && out_ready;
  // Bits of the level that change when it goes up, and down: those below are all ones, all zeros. No carry chain, since
  // push and pop come late.
  reg [ADDRESS_BITS:0] up_flips, down_flips;
  integer i;
  always @(*) begin
    up_flips = ONE;
    down_flips = ONE;
    for (i = 1; i <= ADDRESS_BITS; i = i + 1) begin
      up_flips[i] = up_flips[i-1] && level[i-1];
      down_flips[i] = down_flips[i-1] && !level[i-1];
    end
  end

  assign out_data = memory[read_address];

  always @(posedge clk) begin
    if (push) memory[write_address] <= in_data;
  end

  always @(posedge clk) begin
    if (push) write_address <= write_address + ONE[ADDRESS_BITS-1:0];
    if (pop) read_address <= read_address + ONE[ADDRESS_BITS-1:0];

    if (push && !pop) begin
      level     <= level ^ up_flips;
      out_valid <= 1'b1;
      in_ready  <= level != ALMOST_FULL;
    end else if (pop && !push) begin
      level     <= level ^ down_flips;
      out_valid <= level != ONE;
      in_ready  <= 1'b1;
    end

    if (rst) begin
      write_address <= {ADDRESS_BITS{1'b0}};
      read_address  <= {ADDRESS_BITS{1'b0}};
      level         <= {(ADDRESS_BITS + 1){1'b0}};
      out_valid     <= 1'b0;
      in_ready      <= 1'b1;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
`ifdef CHECK_STREAMS
  `ASSERT(push_is_known, in_valid === 1'b0 || in_valid === 1'b1)
  `ASSERT(level_fits, level <= ALMOST_FULL + ONE && out_valid == (level != 0) && in_ready == (level != ALMOST_FULL + ONE))
`endif
`endif

endmodule

`default_nettype wire
