// SPDX-License-Identifier: Apache-2.0
//
// tile_saturation: counts the saturated values of each tile, and gives the count when the tile is stored.
//
// Streams may work on two tiles at a time, one in each bank, so there are two counts. A tile's bank is its number
// modulo 2 among those that are stored, the first since rst in bank 0. `released` pulses in tile order when the tile
// store has read a bank out: then the tile's count is complete and waits until `stored`, in the same order.
//
// Contract: events of a tile come before its `released`, the last at least two cycles before; those of the next tile in
//   that bank come after it. At most four tiles are released and not stored; `stored` comes at least a cycle after
//   `released` of its tile. `count` stands in the cycle of `stored`.
// Numbers: a tile has at most 36,864 values: those of an output bank, 4,096, times nine where each is that of a window.
`default_nettype none

module tile_saturation #(
    parameter STREAMS = 8
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [STREAMS-1:0] saturated,       // a value in this cycle, of each stream
    input  wire [STREAMS-1:0] saturated_bank,
    input  wire               released,
    input  wire               stored,
    output wire [       15:0] count
);

  initial begin
    if (STREAMS < 1 || STREAMS > 15) begin
      $display("%m: STREAMS must be 1 to 15, not %0d", STREAMS);
      $finish;
    end
  end

  // Number of ones.
  function [3:0] ones;
    input [STREAMS-1:0] bits;
    integer i;
    begin
      ones = 4'd0;
      for (i = 0; i < STREAMS; i = i + 1) ones = ones + {3'd0, bits[i]};
    end
  endfunction

  reg bank;  // of the next tile to be released
  reg [3:0] new0, new1;
  reg [15:0] count0, count1;

  always @(posedge clk) begin
    new0   <= ones(saturated & ~saturated_bank);
    new1   <= ones(saturated & saturated_bank);
    count0 <= (released && !bank) ? 16'd0 : count0 + {12'd0, new0};
    count1 <= (released && bank) ? 16'd0 : count1 + {12'd0, new1};
    if (released) bank <= !bank;
    if (rst) begin
      bank   <= 1'b0;
      new0   <= 4'd0;
      new1   <= 4'd0;
      count0 <= 16'd0;
      count1 <= 16'd0;
    end
  end

  // The counts of the tiles that are released.
  (* ram_style = "distributed" *) reg [15:0] waiting[0:3];
  reg [1:0] newest, oldest;
  assign count = waiting[oldest];

  always @(posedge clk) begin
    if (released) waiting[newest] <= bank ? count1 : count0;
    if (released) newest <= newest + 2'd1;
    if (stored) oldest <= oldest + 2'd1;
    if (rst) begin
      newest <= 2'd0;
      oldest <= 2'd0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  reg [2:0] held;  // tiles released and not stored
  always @(posedge clk) held <= rst ? 3'd0 : held + {2'd0, released} - {2'd0, stored};
  `ASSERT(stored_was_released, !stored || held != 3'd0)
  `ASSERT(four_wait, held <= 3'd4)
`endif

endmodule

`default_nettype wire
