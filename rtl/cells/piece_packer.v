// SPDX-License-Identifier: Apache-2.0
// Packs a stream of 16-bit pieces into 64-bit words with byte strobes, for runs that start at any 2-byte aligned
// address.
//
// `in_position` is bits 2:1 of the piece's byte address: its place in the word. Pieces of a run come at consecutive
// addresses; `in_last` marks the last piece of a run. A word leaves when its place 3 is filled or its run ends; the
// strobe covers exactly the pieces that were given; the other bytes of the word are 0. Valid/ready streams, latency
// 1, one piece a cycle without a pause as long as `out_ready` is up.
`default_nettype none
module piece_packer (
    input  wire        clk,
    input  wire        rst,
    input  wire        in_valid,
    output wire        in_ready,
    input  wire [15:0] in_piece,
    input  wire [ 1:0] in_position,
    input  wire        in_last,
    output reg         out_valid,
    input  wire        out_ready,
    output reg  [63:0] out_data,
    output wire [ 7:0] out_strobe
);
  reg [3:0] filled;
  wire [3:0] place = 4'b0001 << in_position;

  assign in_ready = !out_valid || out_ready;
  assign out_strobe = {{2{filled[3]}}, {2{filled[2]}}, {2{filled[1]}}, {2{filled[0]}}};

  integer i;
  always @(posedge clk) begin
    if (in_ready) begin
      out_valid <= in_valid && (in_last || place[3]);
      for (i = 0; i < 4; i = i + 1) begin
        if (in_valid && place[i]) out_data[16*i+:16] <= in_piece;
        else if (out_valid || !filled[i]) out_data[16*i+:16] <= 16'd0;
      end
      filled <= (out_valid ? 4'b0000 : filled) | (in_valid ? place : 4'b0000);
    end
    if (rst) begin
      out_valid <= 1'b0;
      filled <= 4'b0000;
    end
  end
endmodule
`default_nettype wire
