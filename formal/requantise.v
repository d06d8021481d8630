// SPDX-License-Identifier: Apache-2.0
//
// requantise: for every accumulator and every legal shift s the value is the largest number v with v * 2**s <=
// accumulator, clipped to 16 bits, and `saturated` says whether it was; a cycle later, and it holds without `enable`.
// The specification knows products with powers of two and comparisons only, no shift to the right.
`default_nettype none

module requantise_formal (
    input wire               clk,
    input wire               enable,
    input wire signed [47:0] accumulator,
    input wire        [ 5:0] shift
);

  wire signed [15:0] value;
  wire saturated;

  requantise dut (
      .clk(clk),
      .enable(enable),
      .accumulator(accumulator),
      .shift(shift),
      .value(value),
      .saturated(saturated)
  );

  reg known = 1'b0;
  reg signed [47:0] taken;
  reg [5:0] power;
  always @(posedge clk) begin
    if (enable) begin
      known <= 1'b1;
      taken <= accumulator;
      power <= shift;
    end
  end

  // In 66 bits nothing overflows: 17 bits times 2**47.
  wire signed [65:0] number = {{18{taken[47]}}, taken};
  wire signed [65:0] floor = {{50{value[15]}}, value} << power;
  wire signed [65:0] next = ({{50{value[15]}}, value} + 66'sd1) << power;
  wire signed [65:0] high = 66'sd32768 << power;
  wire signed [65:0] low = -66'sd32768 << power;

  (* hierconn *) wire \dut.held_sign , \dut.held_lost ;
  (* hierconn *) wire [18:0] \dut.held_middle ;
  (* hierconn *) wire [1:0] \dut.held_shift ;

  always @* begin
    assume (shift <= 6'd47);
    if (known) begin
      inside_legal: assert (power <= 6'd47);
      clipped_high: assert (!(number >= high) || (saturated && value == 16'sh7fff));
      clipped_low: assert (!(number < low) || (saturated && value == 16'sh8000));
      in_range: assert (!(number < high && number >= low) || (!saturated && floor <= number && number < next));
      clips: cover (saturated && value[15] && power == 6'd31);
      largest: cover (!saturated && value == 16'sh7fff && power == 6'd32);
      deepest: cover (!saturated && power == 6'd47 && value == -16'sd1);
    end
  end

endmodule

`default_nettype wire
