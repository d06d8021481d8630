// SPDX-License-Identifier: Apache-2.0
//
// partial_sums: any lane of any pixel is on `sum` in its turn, pixels in order, none lost or repeated, even while the
// later lanes of the pixel are still being written; `here` comes in time and never too early; pauses and reset at any
// moment.
// Contract: the lanes of a pixel are written in consecutive enabled cycles; `lane` counts them from each start; a pixel
// is claimed only with `here`, and started after its claim; at most 64 pixels wait. Bits of a sum do not depend on each
// other, so three of them stand for 48.
`default_nettype none

module partial_sums_formal (
    input wire        clk,
    input wire        rst,
    input wire        enable,
    input wire        write,
    input wire [ 2:0] write_sum,
    input wire        claim,
    input wire        start,
    input wire        start_partial,
    input wire        choose,
    input wire [ 3:0] choice
);

  localparam [6:0] PIXELS = 7'd64;
  localparam [3:0] LAST_LANE = 4'd15;

  wire here;
  wire [47:0] sum;
  reg [3:0] turn;  // the lane that is written next: 0 when no pixel is on its way
  reg [3:0] lane;

  partial_sums dut (
      .clk(clk),
      .rst(rst),
      .enable(enable),
      .write(write),
      .write_lane(turn),
      .write_sum({45'd0, write_sum}),
      .here(here),
      .claim(claim),
      .start(start),
      .start_partial(start_partial),
      .lane(lane),
      .sum(sum)
  );

  // Pixels inside, from their lane 0 to their start, and one of them, any one.
  wire arrives = enable && write && turn == 4'd0;
  wire reads = enable && start && start_partial;
  wire takes = enable && claim;
  wire [6:0] held, before;
  wire chosen, nothing;
  reg current;  // the followed pixel was started last: its sums are on their way
  queue_specification #(
      .WIDTH(1),
      .COUNT_BITS(7)
  ) specification (
      .clk(clk),
      .rst(rst),
      .choose(choose && !current),
      .push(arrives),
      .push_word(1'b0),
      .pop(reads),
      .held(held),
      .chosen(chosen),
      .before(before),
      .word(nothing)
  );

  // One lane of it, any one, which the solver chooses with `choice`; and the pixels that nobody has claimed.
  reg started = 1'b0;
  reg straight;  // since the reset a lane was written in every cycle: so that the solver soon finds what takes many
  reg [3:0] followed;
  reg open, known, stood;  // it is being written; its lane was; an unclaimed pixel stood there a cycle ago
  reg [2:0] word;
  reg [6:0] unclaimed;
  wire begins = arrives && choose && !chosen && !current;
  always @(posedge clk) begin
    started <= 1'b1;
    if (!started) followed <= choice;
    straight <= rst || (straight && enable && write);
    if (enable) begin
      if (write) turn <= turn + 4'd1;
      lane  <= start ? 4'd0 : lane + 4'd1;
      stood <= unclaimed != {6'd0, claim};
      if (start || lane == LAST_LANE) current <= 1'b0;
    end
    if (reads && chosen && before == 7'd0) current <= 1'b1;
    unclaimed <= unclaimed + {6'd0, arrives} - {6'd0, takes};
    if (begins) {open, known} <= 2'b10;
    if (enable && write && turn == LAST_LANE) open <= 1'b0;
    if (enable && write && (begins || open) && turn == followed) {known, word} <= {1'b1, write_sum};
    if (rst) begin
      turn <= 4'd0;
      unclaimed <= 7'd0;
      {open, stood, current} <= 3'b000;
    end
  end

  // Induction: where the followed sum lies.
  (* hierconn *) wire [5:0] \dut.write_pixel , \dut.next_pixel , \dut.pixel ;
  (* hierconn *) wire [6:0] \dut.waiting ;
  wire [5:0] place = chosen ? \dut.next_pixel + before[5:0] : \dut.pixel ;
  wire [5:0] inside = \dut.write_pixel - \dut.next_pixel + {5'd0, turn != 4'd0};
  wire newest = chosen && before + 7'd1 == held;
  wire same_place = \dut.write_pixel == \dut.pixel ;
  wire [47:0] kept;
  memory_probe #(
      .MEMID("\\dut.memory"),
      .ABITS(10),
      .WIDTH(48)
  ) probe (
      .CLK(1'b0),
      .EN(1'b1),
      .ADDR({place, followed}),
      .DATA(kept)
  );

  always @* begin
    if (!started) assume (rst);
    else begin
      assume (!enable || turn == 4'd0 || write);
      assume (!arrives || held < PIXELS);
      assume (!takes || here);
      assume (!reads || held != unclaimed);
      interlock: assert (here == stood && (!here || unclaimed != 7'd0));
      order: assert (!(current && lane == followed) || (known && sum == {45'd0, word}));
      inside_counts: assert (\dut.waiting == unclaimed && unclaimed <= held && held <= PIXELS);
      inside_pixels: assert (inside == held[5:0]);
      inside_one: assert (!(chosen && current) && (!chosen || before < held));
      // A pixel is claimed two cycles after its lane 0 was written, or later.
      inside_first_lane: assert (turn != 4'd1 || (unclaimed != 7'd0 && stood == (unclaimed != 7'd1)));
      inside_claimed: assert (turn == 4'd0 || unclaimed != 7'd0 || turn >= 4'd3);
      inside_open: assert (!open || turn != 4'd0);
      inside_newest: assert (!newest || open == (turn != 4'd0));
      inside_older: assert (!(chosen && open) || newest);
      inside_known: assert (!(chosen || current) || known == (!open || turn > followed));
      // The reader stays behind the writer of its own pixel, and ahead of that of the next one in its place.
      inside_behind: assert (!(current && open) || (same_place && {1'b0, turn} >= {1'b0, lane} + 5'd4));
      inside_ahead: assert (!(current && !open && same_place) || turn <= lane);
      inside_kept: assert (!(known && (chosen || (current && lane < followed))) || kept == {45'd0, word});
      closest: cover (straight && current && open && lane == followed && followed == 4'd11);
      back_to_back: cover (straight && current && lane == LAST_LANE && reads);
      two_wait: cover (straight && newest && before == 7'd1 && unclaimed == 7'd2);
      claimed_as_another_comes: cover (straight && arrives && takes);
      start_between: cover (newest && unclaimed == 7'd0 && enable && start && !start_partial);
      pause: cover (current && open && lane == followed && !enable);
      cleared: cover (rst && held != 7'd0 && turn != 4'd0);
    end
  end

endmodule

`default_nettype wire
