// SPDX-License-Identifier: Apache-2.0
//
// requantise: from an accumulator to a 16-bit value, value = saturate16(accumulator >>> shift).
//
// The accumulator has started at bias + half (half = 1 << (shift - 1), 0 when shift is 0), so this is round half up.
// Combinational: three levels of multiplexers beside the overflow test; give it a register in front and one behind.
//
// Format: accumulator signed 48 bits; shift 0..47 (48..63 act as 47: only the sign is left); value signed 16 bits.
// The value fits exactly when every accumulator bit from position shift + 15 upwards equals the sign; a mask made of
// the shift tests those bits while the shifter works, so that saturation does not wait for the shifted number.

`default_nettype none

module requantise (
  input  wire signed [47:0] accumulator,
  input  wire        [5:0]  shift,
  output wire signed [15:0] value
);

  wire       sign = accumulator[47];
  wire [5:0] amount = (shift > 6'd47) ? 6'd47 : shift;

  // Shift by 0, 16 or 32, then by 0, 4, 8 or 12, then by 0 to 3; each level keeps only the bits still needed.
  wire [30:0] coarse = amount[5] ? {{15{sign}}, accumulator[47:32]} :
                       amount[4] ? accumulator[46:16] : accumulator[30:0];
  wire [18:0] middle = amount[3] ? (amount[2] ? coarse[30:12] : coarse[26:8]) :
                                   (amount[2] ? coarse[22:4] : coarse[18:0]);
  wire [15:0] fine = amount[1] ? (amount[0] ? middle[18:3] : middle[17:2]) :
                                 (amount[0] ? middle[16:1] : middle[15:0]);

  wire [31:0] differs = accumulator[46:15] ^ {32{sign}};
  wire [31:0] relevant = amount[5] ? 32'h0 : 32'hffff_ffff << amount[4:0];
  wire        overflow = |(differs & relevant);

  assign value = overflow ? {sign, {15{~sign}}} : fine;

endmodule

`default_nettype wire
