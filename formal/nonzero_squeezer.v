// SPDX-License-Identifier: Apache-2.0
//
// nonzero_squeezer: of each word the marked values leave, each once, and nothing else: the lowest in each cycle, and with it
// the next one that goes to the same place. A word with n(p) of them for place p stays max(1, sum of ceil(n(p) / 2)) cycles
// beside those in which it is held in its last; the next one comes in with its last cycle.
`default_nettype none

module nonzero_squeezer_formal (
    input wire        clk,
    input wire        rst,
    input wire        in_valid,
    input wire [63:0] in_values,
    input wire [ 3:0] in_write,
    input wire [ 7:0] in_place,
    input wire        finish_ready
);

  wire in_ready, word_valid, finish, pick_valid, pick_pair;
  wire [1:0] pick_position, pair_position;
  wire [15:0] pick_value, pair_value;

  nonzero_squeezer dut (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_values(in_values),
      .in_write(in_write),
      .in_place(in_place),
      .word_valid(word_valid),
      .finish(finish),
      .finish_ready(finish_ready),
      .pick_valid(pick_valid),
      .pick_position(pick_position),
      .pick_value(pick_value),
      .pick_pair(pick_pair),
      .pair_position(pair_position),
      .pair_value(pair_value)
  );

  // The specification: which values of the word at hand have not left yet, and how many cycles they take, counted for each
  // place.
  reg here;
  reg [63:0] values;
  reg [3:0] waiting;
  reg [7:0] places;
  wire [15:0] goes;  // bit 4p + i: value i is waiting, for place p
  wire [7:0] takes;  // cycles of each place, 0 to 2
  genvar p, i;
  generate
    for (p = 0; p < 4; p = p + 1) begin : g_place
      for (i = 0; i < 4; i = i + 1) assign goes[4*p+i] = waiting[i] && places[2*i+:2] == p;
      wire [2:0] number = {2'd0, goes[4*p]} + {2'd0, goes[4*p+1]} + {2'd0, goes[4*p+2]} + {2'd0, goes[4*p+3]};
      assign takes[2*p+:2] = number > 3'd2 ? 2'd2 : number != 3'd0 ? 2'd1 : 2'd0;
    end
  endgenerate
  wire [2:0] cycles = {1'b0, takes[1:0]} + {1'b0, takes[3:2]} + {1'b0, takes[5:4]} + {1'b0, takes[7:6]};
  wire leaves = here && (cycles > 3'd1 || (cycles == 3'd1 && finish_ready));
  wire ends = here && cycles <= 3'd1 && finish_ready;
  reg again;  // some of the word have left, and `due` cycles must remain
  reg [2:0] due;
  wire [3:0] behind = goes[4*places[2*pick_position+:2]+:4] & ~(4'b0001 << pick_position);  // the others of the pick's place
  wire [3:0] picked = (4'b0001 << pick_position) | (pick_pair ? 4'b0001 << pair_position : 4'b0000);
  always @(posedge clk) begin
    if (leaves) waiting <= waiting & ~picked;
    if (leaves) due <= cycles - 3'd1;
    if (leaves) again <= 1'b1;
    if (ends) here <= 1'b0;
    if (in_valid && in_ready) begin
      here <= 1'b1;
      values <= in_values;
      waiting <= in_write;
      places <= in_place;
      again <= 1'b0;
    end
    if (rst) here <= 1'b0;
  end

  (* hierconn *) wire [63:0] \dut.values ;
  (* hierconn *) wire [3:0] \dut.remaining ;
  (* hierconn *) wire [5:0] \dut.same ;
  (* hierconn *) wire \dut.last ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  wire [3:0] lower = waiting & ~(4'b1111 << pick_position);
  wire [3:0] between = behind & ~(4'b1111 << pair_position);
  wire [5:0] same = {places[5:4] == places[7:6], places[3:2] == places[7:6], places[3:2] == places[5:4],
                     places[1:0] == places[7:6], places[1:0] == places[5:4], places[1:0] == places[3:2]};

  always @* begin
    if (!started) assume (rst);
    else begin
      valid: assert (word_valid == here);
      ready: assert (in_ready == (!here || ends));
      ends_once: assert (finish == ends);
      picks: assert (pick_valid == leaves);
      lowest_first: assert (!pick_valid || (waiting[pick_position] && lower == 4'd0));
      value: assert (!pick_valid || pick_value == values[16*pick_position+:16]);
      with_another: assert (!pick_valid || pick_pair == (behind != 4'd0));
      next_one: assert (!(pick_valid && pick_pair) || (behind[pair_position] && between == 4'd0));
      second_value: assert (!(pick_valid && pick_pair) || pair_value == values[16*pair_position+:16]);
      one_less: assert (!(here && again) || cycles == due);
      inside_word: assert (!here || (\dut.remaining == waiting && \dut.values == values));
      inside_places: assert (!here || (\dut.same == same && \dut.last == (cycles <= 3'd1)));
      four: cover (here && waiting == 4'b1111 && places == 8'b00_11_00_11 && values == 64'h0004_0003_0002_0001);
      held_last: cover (here && cycles == 3'd1 && !finish_ready && waiting == 4'b1001);
      back_to_back: cover (ends && in_valid && cycles == 3'd1 && in_write == 4'b1010);
      longest: cover (here && cycles == 3'd4);
      none: cover (ends && waiting == 4'd0);
    end
  end

endmodule

`default_nettype wire
