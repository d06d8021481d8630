// SPDX-License-Identifier: Apache-2.0
//
// conv_mac: one multiply-accumulate, shaped to pack into one DSP48E1.
//
// Contract: with `enable`, value and weight enter the input registers, the product register one cycle later, the
//   accumulator one more. `first` and `initial_value` belong to the product register: in the cycle in which the product
//   of the first value stands there, the accumulator starts at `initial_value` instead of its own content. Without
//   `enable` everything holds. There is no reset: `first` starts every sum.
// Numbers: value and weight signed 16 bits, product 32, accumulator signed 48 bits, exact.
`default_nettype none

module conv_mac (
    input  wire               clk,
    input  wire               enable,
    input  wire               first,
    input  wire signed [47:0] initial_value,
    input  wire signed [15:0] value,
    input  wire signed [15:0] weight,
    output reg  signed [47:0] accumulator
);

  reg signed [15:0] value_register;
  reg signed [15:0] weight_register;
  reg signed [31:0] product;

  always @(posedge clk) begin
    if (enable) begin
      value_register  <= value;
      weight_register <= weight;
      product         <= value_register * weight_register;
      accumulator     <= (first ? initial_value : accumulator) + {{16{product[31]}}, product};
    end
  end

endmodule

`default_nettype wire
