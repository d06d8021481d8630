// SPDX-License-Identifier: Apache-2.0
//
// nonzero_squeezer: of each word the marked values leave, each once, lowest first, and nothing else; a word with n of
// them stays max(1, n) cycles beside those in which it is held in its last; the next one comes in with its last cycle.
`default_nettype none

module nonzero_squeezer_formal (
    input wire        clk,
    input wire        rst,
    input wire        in_valid,
    input wire [63:0] in_values,
    input wire [ 3:0] in_write,
    input wire        finish_ready
);

  wire in_ready, word_valid, finish, pick_valid;
  wire [ 1:0] pick_position;
  wire [15:0] pick_value;

  nonzero_squeezer dut (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_values(in_values),
      .in_write(in_write),
      .word_valid(word_valid),
      .finish(finish),
      .finish_ready(finish_ready),
      .pick_valid(pick_valid),
      .pick_position(pick_position),
      .pick_value(pick_value)
  );

  // The specification: which values of the word at hand have not left yet.
  reg here;
  reg [63:0] values;
  reg [3:0] waiting;
  wire [2:0] number = {2'd0, waiting[0]} + {2'd0, waiting[1]} + {2'd0, waiting[2]} + {2'd0, waiting[3]};
  wire leaves = here && (number > 3'd1 || (number == 3'd1 && finish_ready));
  wire ends = here && number <= 3'd1 && finish_ready;
  always @(posedge clk) begin
    if (leaves) waiting[pick_position] <= 1'b0;
    if (ends) here <= 1'b0;
    if (in_valid && in_ready) begin
      here <= 1'b1;
      values <= in_values;
      waiting <= in_write;
    end
    if (rst) here <= 1'b0;
  end

  (* hierconn *) wire [63:0] \dut.values ;
  (* hierconn *) wire [3:0] \dut.remaining ;
  (* hierconn *) wire \dut.last ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  wire [3:0] lower = waiting & ~(4'b1111 << pick_position);

  always @* begin
    if (!started) assume (rst);
    else begin
      valid: assert (word_valid == here);
      ready: assert (in_ready == (!here || ends));
      ends_once: assert (finish == ends);
      picks: assert (pick_valid == leaves);
      lowest_first: assert (!pick_valid || (waiting[pick_position] && lower == 4'd0));
      value: assert (!pick_valid || pick_value == values[16*pick_position+:16]);
      inside_word: assert (!here || (\dut.remaining == waiting && \dut.values == values && \dut.last == (number <= 3'd1)));
      four: cover (here && waiting == 4'b1111 && values == 64'h0004_0003_0002_0001);
      held_last: cover (here && number == 3'd1 && !finish_ready && waiting[3]);
      back_to_back: cover (ends && in_valid && number == 3'd1 && in_write == 4'b1010);
      none: cover (ends && number == 3'd0);
    end
  end

endmodule

`default_nettype wire
