// SPDX-License-Identifier: Apache-2.0
//
// nonzero_squeezer: takes a word of four values and offers those marked in `in_write` one after another, lowest first.
//
// Contract: a word with n marked values occupies the squeezer for max(1, n) cycles, and the next word is accepted in
// its last one: no cycle is lost. In a cycle with `pick_valid` the value `pick_value` at position `pick_position` of
// the word goes out; it is not asked whether somebody takes it. `finish` marks the last cycle of a word. In that cycle,
// and only in it, `finish_ready` low holds everything. A word is seen at the output in the cycle after it was accepted.
// in_ready and finish depend combinationally on finish_ready only.

`default_nettype none

module nonzero_squeezer (
    input  wire        clk,
    input  wire        rst,

    input  wire        in_valid,
    output wire        in_ready,
    input  wire [63:0] in_values,
    input  wire [3:0]  in_write,

    output reg         word_valid,
    output wire        finish,
    input  wire        finish_ready,

    output wire        pick_valid,
    output reg  [1:0]  pick_position,
    output reg  [15:0] pick_value
);

  reg [63:0] values;
  reg [3:0]  remaining;

  wire [3:0] without_lowest = remaining & {|remaining[2:0], |remaining[1:0], remaining[0], 1'b0};
  reg        last;  // at most one value remains

  assign finish = word_valid && last && finish_ready;
  assign in_ready = !word_valid || finish;
  assign pick_valid = word_valid && remaining != 4'd0 && (!last || finish_ready);

  always @* begin
    if (remaining[0]) pick_position = 2'd0;
    else if (remaining[1]) pick_position = 2'd1;
    else if (remaining[2]) pick_position = 2'd2;
    else pick_position = 2'd3;
    case (pick_position)
      2'd0: pick_value = values[15:0];
      2'd1: pick_value = values[31:16];
      2'd2: pick_value = values[47:32];
      default: pick_value = values[63:48];
    endcase
  end

  always @(posedge clk) begin
    if (in_ready) begin
      word_valid <= in_valid;
      values <= in_values;
      remaining <= in_write;
      last <= (in_write & {|in_write[2:0], |in_write[1:0], in_write[0], 1'b0}) == 4'd0;
    end else if (pick_valid) begin
      remaining <= without_lowest;
      last <= (without_lowest & {|without_lowest[2:0], |without_lowest[1:0], without_lowest[0], 1'b0}) == 4'd0;
    end
    if (rst) word_valid <= 1'b0;
  end

endmodule

`default_nettype wire
