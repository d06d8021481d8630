// SPDX-License-Identifier: Apache-2.0
//
// conv_lane: one output channel of a conv group: its column of the weight buffer and one MAC for each of two streams.
//
// Contract: stream s presents a weight address; the weight stands at the MAC one enabled cycle later, together with
//   the value that the caller presents then. Port 0 of the memory serves stream 0. Port 1 serves stream 1 and the
//   writes: in a cycle with `weight_write` the caller must hold `enable1` low; the weight read before is kept. A row must
//   not be written in the cycle in which port 0 reads it for a value other than 0 (the program's tokens see to that; bubbles read row 0 for
//   a value of 0): what is read is undefined.
// Numbers: weights and values signed 16 bits, accumulators signed 48 bits.
`default_nettype none
`include "gradcore_sizes.vh"

module conv_lane #(
    parameter DEPTH = `WEIGHT_ROWS,
    parameter ADDRESS_BITS = `WEIGHT_ADDRESS_BITS
) (
    input  wire                    clk,
    input  wire                    enable0,
    input  wire [ADDRESS_BITS-1:0] address0,
    input  wire [            15:0] value0,
    input  wire                    first0,
    input  wire [            47:0] initial0,
    output wire [            47:0] accumulator0,
    input  wire                    enable1,
    input  wire [ADDRESS_BITS-1:0] address1,
    input  wire [            15:0] value1,
    input  wire                    first1,
    input  wire [            47:0] initial1,
    output wire [            47:0] accumulator1,
    input  wire                    weight_write,
    input  wire [ADDRESS_BITS-1:0] weight_address,
    input  wire [            15:0] weight_data
);

  (* ram_style = "block", no_rw_check *) reg [15:0] memory[0:DEPTH-1];
  reg [15:0] weight0;
  reg [15:0] weight1;

  wire [ADDRESS_BITS-1:0] port1_address = weight_write ? weight_address : address1;

  always @(posedge clk) begin
    if (enable0) weight0 <= memory[address0];
  end

  always @(posedge clk) begin
    if (enable1 || weight_write) begin
      if (weight_write) memory[port1_address] <= weight_data;
      else weight1 <= memory[port1_address];
    end
  end

  conv_mac mac0 (
      .clk(clk),
      .enable(enable0),
      .first(first0),
      .initial_value(initial0),
      .value(value0),
      .weight(weight0),
      .accumulator(accumulator0)
  );

  conv_mac mac1 (
      .clk(clk),
      .enable(enable1),
      .first(first1),
      .initial_value(initial1),
      .value(value1),
      .weight(weight1),
      .accumulator(accumulator1)
  );

endmodule

`default_nettype wire
