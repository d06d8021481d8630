// SPDX-License-Identifier: Apache-2.0
//
// tile_bank: one bank of a group's tile buffer: DEPTH entries on two ports, each for reading or writing.
//
// Contract: port p writes `write_data` in a cycle with `write`, else reads with `enable`; read data stand one cycle
//   later and hold. A bank is either being loaded or being read: the two never meet on one entry.
// Numbers: an entry is {channel[10:0], value[15:0]}.
`default_nettype none
`include "gradcore_sizes.vh"

module tile_bank #(
    parameter DEPTH = `TILE_ENTRIES,
    parameter ADDRESS_BITS = `ENTRY_ADDRESS_BITS,
    parameter ENTRY_BITS = 27
) (
    input  wire                    clk,
    input  wire                    write0,
    input  wire [ADDRESS_BITS-1:0] write_address0,
    input  wire [  ENTRY_BITS-1:0] write_data0,
    input  wire                    enable0,
    input  wire [ADDRESS_BITS-1:0] address0,
    output reg  [  ENTRY_BITS-1:0] entry0,
    input  wire                    write1,
    input  wire [ADDRESS_BITS-1:0] write_address1,
    input  wire [  ENTRY_BITS-1:0] write_data1,
    input  wire                    enable1,
    input  wire [ADDRESS_BITS-1:0] address1,
    output reg  [  ENTRY_BITS-1:0] entry1
);

  // A block RAM holds 8192 x 4 bits (or 4096 x 9): slices of that width need no multiplexer behind the RAM.
  localparam SLICE = (DEPTH > 4096) ? 4 : 9;
  localparam SLICES = (ENTRY_BITS + SLICE - 1) / SLICE;

  wire [ADDRESS_BITS-1:0] port0_address = write0 ? write_address0 : address0;
  wire [ADDRESS_BITS-1:0] port1_address = write1 ? write_address1 : address1;

  genvar s;
  generate
    for (s = 0; s < SLICES; s = s + 1) begin : g_slice
      localparam LOW = s * SLICE;
      localparam WIDTH = (ENTRY_BITS - LOW < SLICE) ? ENTRY_BITS - LOW : SLICE;
      (* ram_style = "block", no_rw_check *) reg [WIDTH-1:0] memory[0:DEPTH-1];

      always @(posedge clk) begin
        if (enable0 || write0) begin
          if (write0) memory[port0_address] <= write_data0[LOW+:WIDTH];
          else entry0[LOW+:WIDTH] <= memory[port0_address];
        end
      end

      always @(posedge clk) begin
        if (enable1 || write1) begin
          if (write1) memory[port1_address] <= write_data1[LOW+:WIDTH];
          else entry1[LOW+:WIDTH] <= memory[port1_address];
        end
      end
    end
  endgenerate

endmodule

`default_nettype wire
