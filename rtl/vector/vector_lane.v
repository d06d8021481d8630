// SPDX-License-Identifier: Apache-2.0
//
// vector_lane: one multiplier of the vector engine with its 64 accumulators.
//
// No handshake: four fixed stages, steered by vector_half. Stage 0: weight and value enter the multiplier's
// registers. Stage 1: product; the old accumulator of `read_row` is read (zero when `first`). Stage 2: sum. Stage 3:
// the sum, which `sum` shows, goes back to `write_row`. A row may be updated again 3 cycles later: stage 3
// writes before stage 1 reads.
//
// Format: weight, value signed 16 bits; accumulators signed 48 bits, exact (wrapping modulo 2**48).
// Resources: one DSP48E1 (A, B, M, P registers, C input) and a distributed RAM of 64 x 48.

`default_nettype none

module vector_lane (
    input  wire               clk,
    // stage 0
    input  wire signed [15:0] weight,
    input  wire signed [15:0] value,
    // stage 1
    input  wire        [5:0]  read_row,
    input  wire               first,
    // stage 3
    input  wire        [5:0]  write_row,
    input  wire               write,
    output wire signed [47:0] sum
);

  (* ram_style = "distributed" *) reg [47:0] accumulators [0:63];

  reg signed [15:0] weight_1;
  reg signed [15:0] value_1;
  reg signed [31:0] product_2;
  reg signed [47:0] accumulator_2;
  (* use_dsp = "yes" *) reg signed [47:0] sum_3;

  always @(posedge clk) begin
    weight_1 <= weight;
    value_1 <= value;
    product_2 <= weight_1 * value_1;
    sum_3 <= accumulator_2 + {{16{product_2[31]}}, product_2};
  end

  always @(posedge clk) begin
    if (first) accumulator_2 <= 48'd0;
    else accumulator_2 <= accumulators[read_row];
  end

  always @(posedge clk) begin
    if (write) accumulators[write_row] <= sum_3;
  end

  assign sum = sum_3;

endmodule

`default_nettype wire
