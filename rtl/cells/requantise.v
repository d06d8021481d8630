// SPDX-License-Identifier: Apache-2.0
//
// requantise: from an accumulator to a 16-bit value, value = saturate16(accumulator >>> shift).
//
// The accumulator has started at bias + half (half = 1 << (shift - 1), 0 when shift is 0), so this is round half up.
//
// Contract: latency 1: accumulator and shift are taken in a cycle with `enable`; the value stands in the next one,
// combinationally behind the register (three levels of LUTs), and holds without `enable`. Give it a register behind.
// `saturated` stands with the value and says that it did not fit and was clipped. A value at the end of the range that
// fits is not saturated.
//
// Format: accumulator signed 48 bits; shift 0..47, others are illegal; value signed 16 bits. Each level of the
// shifter keeps only the bits that the next one can still need. The value fits exactly when all that a level drops
// above, and the last level's upper bits, equal the sign; so overflow costs a few gates a level.

`default_nettype none

module requantise (
    input  wire               clk,
    input  wire               enable,
    input  wire signed [47:0] accumulator,
    input  wire        [5:0]  shift,
    output wire signed [15:0] value,
    output wire               saturated
);

  wire sign = accumulator[47];

  // By 0, 16 or 32; only without a shift can bits be lost above.
  wire [30:0] coarse = shift[5] ? {{15{sign}}, accumulator[47:32]} : shift[4] ? accumulator[46:16] : accumulator[30:0];
  wire        coarse_lost = shift[5:4] == 2'd0 && accumulator[46:31] != {16{sign}};

  // By 0, 4, 8 or 12.
  wire [18:0] middle = shift[3] ? (shift[2] ? coarse[30:12] : coarse[26:8]) :
                                  (shift[2] ? coarse[22:4] : coarse[18:0]);
  wire [2:0]  nibble_differs = {coarse[30:27] != {4{sign}}, coarse[26:23] != {4{sign}}, coarse[22:19] != {4{sign}}};
  wire        middle_lost = nibble_differs[2] && shift[3:2] != 2'd3 || nibble_differs[1] && !shift[3] ||
                            nibble_differs[0] && shift[3:2] == 2'd0;

  reg        held_sign;
  reg        held_lost;
  reg [18:0] held_middle;
  reg [1:0]  held_shift;

  always @(posedge clk) begin
    if (enable) begin
      held_sign   <= sign;
      held_lost   <= coarse_lost || middle_lost;
      held_middle <= middle;
      held_shift  <= shift[1:0];
    end
  end

  // By 0 to 3; what remains from the value's sign bit upwards must be sign bits.
  wire [15:0] fine = held_shift[1] ? (held_shift[0] ? held_middle[18:3] : held_middle[17:2]) :
                                     (held_shift[0] ? held_middle[16:1] : held_middle[15:0]);
  wire [3:0]  upper_differs = held_middle[18:15] ^ {4{held_sign}};
  wire        fine_lost = upper_differs[3] || upper_differs[2] && held_shift != 2'd3 ||
                          upper_differs[1] && !held_shift[1] || upper_differs[0] && held_shift == 2'd0;

  assign saturated = held_lost || fine_lost;
  assign value = saturated ? {held_sign, {15{~held_sign}}} : fine;

endmodule

`default_nettype wire
