// SPDX-License-Identifier: Apache-2.0
// A register with valid and ready for tests of the bench support: adds OFFSET to the value, one cycle later, keeps the tag.
// BREAK 1 drops valid while waiting, 2 changes the data while waiting, 3 loses the lowest bit, 4 never sets the data (X).
`default_nettype none
module stream_register #(
  parameter OFFSET = 1,
  parameter BREAK = 0
) (
  input  wire               clk,
  input  wire               rst,
  input  wire               in_valid,
  output wire               in_ready,
  input  wire signed [15:0] in_value,
  input  wire        [3:0]  in_tag,
  output reg                out_valid,
  input  wire               out_ready,
  output reg  signed [15:0] out_value,
  output reg         [3:0]  out_tag
);
  initial begin
    if (OFFSET > 1000) begin
      $display("%m: OFFSET must be at most 1000");
      $finish;
    end
  end

  wire signed [15:0] sum = in_value + OFFSET[15:0];

  assign in_ready = !out_valid || out_ready;

  always @(posedge clk) begin
    if (in_ready) begin
      out_valid <= in_valid;
      if (BREAK != 4) out_value <= (BREAK == 3) ? {sum[15:1], 1'b0} : sum;
      out_tag <= in_tag;
    end
    else begin
      if (BREAK == 1) out_valid <= 1'b0;
      if (BREAK == 2) out_tag <= out_tag + 4'd1;
    end
    if (rst) out_valid <= 1'b0;
  end
endmodule
`default_nettype wire
