// SPDX-License-Identifier: Apache-2.0
//
// tile_bank: one bank of a group's tile buffer: DEPTH entries on two ports, each for reading one or writing two.
//
// Even and odd entries stand in RAMs of their own: entry 2r in row r of the even one, entry 2r + 1 in row r of the odd
// one. So a port writes two neighbours at once, whichever of them is the even one.
//
// Contract: port p writes, in a cycle with a bit of `write`, part 0 of `write_data` to row `write_row` (part 0) of the even
//   RAM (bit 0), part 1 to the odd RAM (bit 1). In a cycle without, and with `enable`, it reads the entry at `address`,
//   which stands one cycle later and holds until the port's next `enable` or write. A bank is either being loaded or
//   being read: the two never meet on one entry, nor do the two ports' writes.
// Numbers: an entry is {channel[10:0], value[15:0]}.
`default_nettype none
`include "gradcore_sizes.vh"

module tile_bank #(
    parameter DEPTH = `TILE_ENTRIES,
    parameter ADDRESS_BITS = `ENTRY_ADDRESS_BITS,
    parameter ENTRY_BITS = 27
) (
    input  wire                        clk,
    input  wire [                 1:0] write0,
    input  wire [2*ADDRESS_BITS-3:0] write_row0,
    input  wire [  2*ENTRY_BITS-1:0] write_data0,
    input  wire                        enable0,
    input  wire [    ADDRESS_BITS-1:0] address0,
    output wire [      ENTRY_BITS-1:0] entry0,
    input  wire [                 1:0] write1,
    input  wire [2*ADDRESS_BITS-3:0] write_row1,
    input  wire [  2*ENTRY_BITS-1:0] write_data1,
    input  wire                        enable1,
    input  wire [    ADDRESS_BITS-1:0] address1,
    output wire [      ENTRY_BITS-1:0] entry1
);

  // A block RAM holds 4096 x 9 bits (half of one 2048 x 9): slices of that width need no multiplexer behind the RAM.
  localparam SLICE = 9;
  localparam SLICES = (ENTRY_BITS + SLICE - 1) / SLICE;
  localparam ROW_BITS = ADDRESS_BITS - 1;

  wire [2*ENTRY_BITS-1:0] read0, read1;  // {odd, even}

  genvar parity, s;
  generate
    for (parity = 0; parity < 2; parity = parity + 1) begin : g_parity
      wire [ROW_BITS-1:0] row0 = write0[parity] ? write_row0[parity*ROW_BITS+:ROW_BITS] : address0[ADDRESS_BITS-1:1];
      wire [ROW_BITS-1:0] row1 = write1[parity] ? write_row1[parity*ROW_BITS+:ROW_BITS] : address1[ADDRESS_BITS-1:1];

      for (s = 0; s < SLICES; s = s + 1) begin : g_slice
        localparam LOW = s * SLICE;
        localparam WIDTH = (ENTRY_BITS - LOW < SLICE) ? ENTRY_BITS - LOW : SLICE;
        (* ram_style = "block", no_rw_check *) reg [WIDTH-1:0] memory[0:DEPTH/2-1];
        reg [WIDTH-1:0] word0, word1;
        assign read0[parity*ENTRY_BITS+LOW+:WIDTH] = word0;
        assign read1[parity*ENTRY_BITS+LOW+:WIDTH] = word1;

        always @(posedge clk) begin
          if (enable0 || write0[parity]) begin
            if (write0[parity]) memory[row0] <= write_data0[parity*ENTRY_BITS+LOW+:WIDTH];
            else word0 <= memory[row0];
          end
        end

        always @(posedge clk) begin
          if (enable1 || write1[parity]) begin
            if (write1[parity]) memory[row1] <= write_data1[parity*ENTRY_BITS+LOW+:WIDTH];
            else word1 <= memory[row1];
          end
        end
      end
    end
  endgenerate

  // Which of the two a read wants. Both banks' registers of a port are alike, so that one stays of them, and the choice among
  // two banks and two RAMs is one of four.
  reg odd0, odd1;
  always @(posedge clk) begin
    if (enable0) odd0 <= address0[0];
    if (enable1) odd1 <= address1[0];
  end
  assign entry0 = odd0 ? read0[2*ENTRY_BITS-1:ENTRY_BITS] : read0[ENTRY_BITS-1:0];
  assign entry1 = odd1 ? read1[2*ENTRY_BITS-1:ENTRY_BITS] : read1[ENTRY_BITS-1:0];

endmodule

`default_nettype wire
