// SPDX-License-Identifier: Apache-2.0
//
// Two-word buffer that cuts all combinational paths of a valid/ready stream.
//
// Contract: latency 1, one word a cycle. in_ready, out_valid and out_data are registers, so out_ready never reaches
// in_ready within a cycle. Words leave in order; nothing is lost or repeated.
`default_nettype none

module skid_buffer #(
    parameter WIDTH = 64
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             in_valid,
    output reg              in_ready,
    input  wire [WIDTH-1:0] in_data,
    output reg              out_valid,
    input  wire             out_ready,
    output reg  [WIDTH-1:0] out_data
);

  // The spare word is held exactly while in_ready is low.
  reg [WIDTH-1:0] spare;

  wire out_free = !out_valid || out_ready;

  always @(posedge clk) begin
    if (in_ready) spare <= in_data;
    if (out_free) out_data <= in_ready ? in_data : spare;

    if (out_free) begin
      out_valid <= in_valid || !in_ready;
      in_ready  <= 1'b1;
    end else if (in_valid) begin
      in_ready <= 1'b0;
    end

    if (rst) begin
      out_valid <= 1'b0;
      in_ready  <= 1'b1;
    end
  end

endmodule

`default_nettype wire
