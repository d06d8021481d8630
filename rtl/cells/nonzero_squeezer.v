// SPDX-License-Identifier: Apache-2.0
//
// nonzero_squeezer: takes a word of four values and offers those marked in `in_write`, lowest first, each to its place:
// one in a cycle, or two that go to the same place.
//
// Contract: value i goes to place in_place[2i+1:2i]. In a cycle with `pick_valid` the lowest marked value that has not
// left, `pick_value` at position `pick_position` of the word, goes out, and, with `pick_pair`, the next one behind it with
// the same place, if there is one: `pair_value` at `pair_position`. It is not asked whether somebody takes them. So the
// values of a place leave in order, and a word with n(p) marked values for place p occupies the squeezer for
// max(1, sum over p of ceil(n(p) / 2)) cycles. The next word is accepted in its last one: no cycle is lost. `finish` marks
// the last cycle of a word. In that cycle, and only in it, `finish_ready` low holds everything. A word is seen at the output
// in the cycle after it was accepted. in_ready and finish depend combinationally on finish_ready only.

`default_nettype none

module nonzero_squeezer (
    input  wire        clk,
    input  wire        rst,

    input  wire        in_valid,
    output wire        in_ready,
    input  wire [63:0] in_values,
    input  wire [3:0]  in_write,
    input  wire [7:0]  in_place,

    output reg         word_valid,
    output wire        finish,
    input  wire        finish_ready,

    output wire        pick_valid,
    output wire [1:0]  pick_position,
    output wire [15:0] pick_value,
    output wire        pick_pair,
    output wire [1:0]  pair_position,
    output wire [15:0] pair_value
);

  // Which two values go to the same place: bit 0 of 0 and 1, 1 of 0 and 2, 2 of 0 and 3, 3 of 1 and 2, 4 of 1 and 3, 5 of 2 and 3.
  function [5:0] alike(input [7:0] place);
    alike = {
      place[5:4] == place[7:6],
      place[3:2] == place[7:6],
      place[3:2] == place[5:4],
      place[1:0] == place[7:6],
      place[1:0] == place[5:4],
      place[1:0] == place[3:2]
    };
  endfunction

  // That the marked values leave in one cycle: no three, and no two with different places.
  function at_once(input [3:0] marks, input [5:0] same);
    at_once = !(marks[0] && marks[1] && (!same[0] || marks[2] || marks[3]) || marks[0] && marks[2] && (!same[1] || marks[3]) ||
                marks[0] && marks[3] && !same[2] || marks[1] && marks[2] && (!same[3] || marks[3]) ||
                marks[1] && marks[3] && !same[4] || marks[2] && marks[3] && !same[5]);
  endfunction

  reg  [63:0] values;
  reg  [3:0]  remaining;
  reg  [5:0]  same;
  reg         last;  // what remains leaves at once

  // The lowest value that remains, and the next one with its place.
  wire [3:0] lowest = remaining & ~{|remaining[2:0], |remaining[1:0], remaining[0], 1'b0};
  wire [3:1] partner = remaining[3:1] & (lowest[0] ? same[2:0] : lowest[1] ? {same[4:3], 1'b0} : lowest[2] ? {same[5], 2'b00} : 3'b000);
  wire [3:1] pair = partner & ~{|partner[2:1], partner[1], 1'b0};
  wire [3:0] left = remaining & ~lowest & ~{pair, 1'b0};
  wire [5:0] in_same = alike(in_place);

  assign finish = word_valid && last && finish_ready;
  assign in_ready = !word_valid || finish;
  assign pick_valid = word_valid && remaining != 4'd0 && (!last || finish_ready);
  assign pick_pair = |partner;
  assign pick_position = {lowest[3] | lowest[2], lowest[3] | lowest[1]};
  assign pair_position = {pair[3] | pair[2], pair[3] | pair[1]};
  assign pick_value = values[16*pick_position+:16];
  assign pair_value = values[16*pair_position+:16];

  always @(posedge clk) begin
    if (in_ready) begin
      word_valid <= in_valid;
      values <= in_values;
      remaining <= in_write;
      same <= in_same;
      last <= at_once(in_write, in_same);
    end else if (pick_valid) begin
      remaining <= left;
      last <= at_once(left, same);
    end
    if (rst) word_valid <= 1'b0;
  end

endmodule

`default_nettype wire
