// SPDX-License-Identifier: Apache-2.0
//
// What every queue must do, for proofs: `held` counts the words inside; and of all words any one, which the solver
// chooses with `choose`, is followed: `word` is what it was when it went in, `before` how many must leave before it.
// When `chosen` and before == 0 the queue must offer `word`.
`default_nettype none

module queue_specification #(
    parameter WIDTH = 1,
    parameter COUNT_BITS = 8
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  choose,
    input  wire                  push,
    input  wire [     WIDTH-1:0] push_word,
    input  wire                  pop,
    output reg  [COUNT_BITS-1:0] held,
    output reg                   chosen,
    output reg  [COUNT_BITS-1:0] before,
    output reg  [     WIDTH-1:0] word
);

  always @(posedge clk) begin
    held <= held + {{(COUNT_BITS - 1) {1'b0}}, push} - {{(COUNT_BITS - 1) {1'b0}}, pop};
    if (chosen && pop) before <= before - 1'b1;
    if (chosen && pop && before == 0) chosen <= 1'b0;
    if (push && choose && !chosen) begin
      chosen <= 1'b1;
      word   <= push_word;
      before <= held - {{(COUNT_BITS - 1) {1'b0}}, pop};
    end
    if (rst) begin
      held   <= 0;
      chosen <= 1'b0;
    end
  end

endmodule

`default_nettype wire
