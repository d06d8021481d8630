// SPDX-License-Identifier: Apache-2.0
//
// stream_drain: takes the finished sums of a stream, one lane a cycle, and makes output words and tag pieces of them.
//
// Requantises, applies ReLU, and for a pooling unit keeps the largest of the window's pixels with its index (the first wins a
// tie, one that is `outside` never wins). Four values make a word. A unit of `unit_window` 0 is one pixel; its tag piece, the
// mask, comes after its last lane; 1: 2 x 2 pixels, mask and two pieces of indices of two bits; 2, 3: 2 x 2 or 3 x 3 pixels,
// after each word a piece of four indices, 3 x row + column.
//
// Contract: `start`, with `outside`, says that lane 0's sum stands on `accumulators` in the next enabled cycle, lane l's l
//   cycles later; starts are LANES or more enabled cycles apart. A unit's description is taken from `unit_*`
//   (first-word-fall-through, `unit_pop`) with its first lane. Transfers leave on `out_*` in enabled cycles, at most
//   one a cycle; the caller drops `enable` while it cannot take one. `out_unit_end` marks a unit's last transfer.
//   `saturated` pulses, whatever `enable` is then, once for each value that was clipped before pooling; a value below
//   the range does not count with ReLU, and none outside, or with a clip, a ReLU whose mask is 0 at the largest value, too.
//   With unit_quarters 1 to 3 only lanes below 4 x unit_quarters count: the pixels of a pack that are stored; with 0 all do.
//   `saturated_bank` is the unit's bank. The sums of a unit with `unit_to_partial` stay: they leave on `partial_*`, one in an
//   enabled cycle, and nothing comes of them on `out_*`. `partial_done` pulses, whatever `enable` is then, when the last one
//   has left; `partial_bank` is the unit's bank.
// Numbers: accumulators signed 48 bits (rounding constant included), values signed 16 bits.
`default_nettype none
`include "gradcore_sizes.vh"

module stream_drain #(
    parameter ADDRESS_BITS = `OUTPUT_ADDRESS_BITS
) (
    input  wire                    clk,
    input  wire                    rst,
    input  wire                    enable,
    input  wire                    start,
    input  wire                    outside,
    input  wire [    `LANES*48-1:0] accumulators,
    output wire                    unit_pop,
    input  wire [             5:0] unit_shift,
    input  wire                    unit_relu,
    input  wire                    unit_clip,
    input  wire [             1:0] unit_window,
    input  wire                    unit_store_tags,
    input  wire                    unit_to_partial,
    input  wire                    unit_bank,
    input  wire                    unit_parity,
    input  wire [             1:0] unit_quarters,
    input  wire [ADDRESS_BITS-1:0] unit_word_address,
    input  wire [ADDRESS_BITS-1:0] unit_tag_address,
    output reg                     out_valid,
    output reg                     out_tag,
    output reg                     out_bank,
    output reg                     out_parity,
    output reg  [ADDRESS_BITS-1:0] out_address,
    output reg  [            63:0] out_data,
    output reg                     out_unit_end,
    output reg                     saturated,
    output reg                     saturated_bank,
    output wire                    partial_write,
    output wire [             3:0] partial_lane,
    output wire [            47:0] partial_sum,
    output reg                     partial_done,
    output reg                     partial_bank
);

  localparam UNIT_BITS = 6 + 2 * ADDRESS_BITS;
  localparam [3:0] LAST_LANE = 4'd15;

  initial begin
    if (`LANES != 16) begin
      $display("%m: LANES must be 16, the width of a tag piece, not %0d", `LANES);
      $finish;
    end
  end

  // Stage 0: select the lane's sum.
  reg active;
  reg [3:0] lane;
  reg [3:0] pixel;  // place in a pooling window: what its index says
  reg first_lane;
  reg pixel_outside;
  wire unit_begin = first_lane && (pixel == 4'd0);
  assign unit_pop = enable && unit_begin;

  reg sum_valid;
  reg [3:0] sum_lane;
  reg [3:0] sum_pixel;
  reg sum_outside;
  reg [47:0] sum;
  reg [5:0] sum_shift;
  reg sum_relu;
  reg [1:0] sum_quarters;
  reg sum_counts;  // as a saturated one if it is clipped; lane 0 always does: the unit's quarters come with it
  reg sum_to_partial;
  reg [UNIT_BITS-1:0] sum_unit;
  wire [1:0] sum_unit_window = sum_unit[UNIT_BITS-1-:2];
  wire sum_unit_clip = sum_unit[UNIT_BITS-3];
  // The last pixel of its unit: 0, 3, 4 or 8.
  wire sum_last_pixel = sum_unit_window[1] ? (sum_unit_window[0] ? sum_pixel[3] : sum_pixel[2])
                                           : (!sum_unit_window[0] || (&sum_pixel[1:0]));
  wire skips_place = (sum_unit_window == 2'd2) && pixel[0] && !pixel[1];  // from 1 to 3

  always @(posedge clk) begin
    if (enable) begin
      first_lane <= start;
      if (start) begin
        active <= 1'b1;
        lane   <= 4'd0;
        pixel_outside <= outside;
      end else if (active) begin
        lane <= lane + 4'd1;
        if (lane == LAST_LANE) active <= 1'b0;
      end
      // By its last lane the sums of a pixel have followed it.
      if (active && lane == LAST_LANE) pixel <= sum_last_pixel ? 4'd0 : pixel + {2'd0, skips_place, !skips_place};
      sum_valid <= active;
      sum_lane  <= lane;
      sum_pixel <= pixel;
      sum_outside <= pixel_outside;
      sum       <= accumulators[lane*48+:48];
      sum_counts <= lane[3:2] == 2'd0 || sum_quarters == 2'd0 || lane[3:2] < sum_quarters;
      if (unit_begin) begin
        sum_shift <= unit_shift;
        sum_relu  <= unit_relu;
        sum_quarters <= unit_quarters;
        sum_to_partial <= unit_to_partial;
        sum_unit  <= {unit_window, unit_clip, unit_store_tags, unit_bank, unit_parity, unit_word_address, unit_tag_address};
      end
    end
    if (rst) begin
      active <= 1'b0;
      first_lane <= 1'b0;
      pixel <= 4'd0;
      sum_valid <= 1'b0;
    end
  end

  // Sums that stay.
  wire sum_stored = sum_valid && !sum_to_partial;
  assign partial_write = sum_valid && sum_to_partial;
  assign partial_lane  = sum_lane;
  assign partial_sum   = sum;
  always @(posedge clk) begin
    partial_done <= enable && partial_write && sum_lane == LAST_LANE && sum_last_pixel;
    partial_bank <= sum_unit[2*ADDRESS_BITS+1];
    if (rst) partial_done <= 1'b0;
  end

  // Stages 1 and 2: requantise.
  wire signed [15:0] requantised;
  wire clipped;
  requantise requantise (
      .clk(clk),
      .enable(enable),
      .accumulator(sum),
      .shift(sum_shift),
      .value(requantised),
      .saturated(clipped)
  );

  reg shifted_valid;
  reg [3:0] shifted_lane;
  reg [3:0] shifted_pixel;
  reg shifted_last_pixel, shifted_outside;
  reg shifted_relu;
  reg shifted_counts;
  reg [UNIT_BITS-1:0] shifted_unit;
  reg value_valid;
  reg [3:0] value_lane;
  reg [3:0] value_pixel;
  reg value_last_pixel;
  reg signed [16:0] value;  // less than any of 16 bits when the pixel is outside
  reg [UNIT_BITS-1:0] value_unit;
  always @(posedge clk) begin
    if (enable) begin
      shifted_valid <= sum_stored;
      shifted_lane  <= sum_lane;
      shifted_pixel <= sum_pixel;
      shifted_last_pixel <= sum_last_pixel;
      shifted_outside <= sum_outside;
      shifted_relu  <= sum_relu;
      shifted_counts <= sum_stored && sum_counts && !sum_unit_clip && !sum_outside;
      shifted_unit  <= sum_unit;
      value_valid   <= shifted_valid;
      value_lane    <= shifted_lane;
      value_pixel   <= shifted_pixel;
      value_last_pixel <= shifted_last_pixel;
      value[14:0]   <= (shifted_relu && requantised[15]) ? 15'd0 : requantised[14:0];
      value[15]     <= requantised[15] && !shifted_relu && !shifted_outside;
      value[16]     <= (requantised[15] && !shifted_relu) || shifted_outside;
      value_unit    <= shifted_unit;
    end
    saturated      <= enable && shifted_counts && clipped && !(shifted_relu && requantised[15]);
    saturated_bank <= shifted_unit[2*ADDRESS_BITS+1];
    if (rst) begin
      shifted_valid  <= 1'b0;
      shifted_counts <= 1'b0;
      value_valid    <= 1'b0;
      saturated      <= 1'b0;
    end
  end

  // Stage 3: pool. Each lane's largest value so far, with its index.
  (* ram_style = "distributed" *) reg [20:0] pool_memory[0:`LANES-1];
  wire [20:0] best = pool_memory[value_lane];
  wire signed [16:0] best_value = best[16:0];
  wire better = (value_pixel == 4'd0) || (value > best_value);
  wire [20:0] pooled = better ? {value_pixel, value} : best;

  always @(posedge clk) begin
    if (enable && value_valid) pool_memory[value_lane] <= pooled;
  end

  reg result_valid;
  reg [3:0] result_lane;
  reg [19:0] result;  // index and value
  reg [UNIT_BITS-1:0] result_unit;
  always @(posedge clk) begin
    if (enable) begin
      result_valid <= value_valid && value_last_pixel;
      result_lane  <= value_lane;
      result       <= {pooled[20:17], pooled[15:0]};
      result_unit  <= value_unit;
    end
    if (rst) result_valid <= 1'b0;
  end

  // Stage 4: pack.
  wire [1:0] result_window;
  wire result_clip, result_tags, result_bank, result_parity;
  wire [ADDRESS_BITS-1:0] result_word_address, result_tag_address;
  assign {result_window, result_clip, result_tags, result_bank, result_parity, result_word_address, result_tag_address} = result_unit;

  wire [15:0] result_value = result[15:0];
  wire result_mask = !result_value[15] && (result_value != 16'd0) && !(result_clip && (&result_value[14:0]));
  wire word_done = result_valid && (result_lane[1:0] == 2'd3);
  wire unit_done = result_valid && (result_lane == LAST_LANE);
  wire piece_a_word = result_window[1];

  reg [47:0] earlier_values;
  reg [`LANES-1:1] mask;
  reg [2*`LANES-1:2] index;
  reg [11:0] earlier_places;
  wire [`LANES-1:0] next_mask = {result_mask, mask};
  wire [2*`LANES-1:0] next_index = {result[17:16], index};
  // The tag pieces of the unit, or of the word, just done; they leave while the next values arrive.
  reg [3*`LANES-1:0] pieces;
  reg [1:0] pieces_left;
  reg pieces_end_unit;
  reg [ADDRESS_BITS-1:0] piece_address;
  reg piece_bank, piece_parity;

  always @(posedge clk) begin
    if (enable) begin
      if (result_valid) begin
        earlier_values <= {result_value, earlier_values[47:16]};
        mask  <= next_mask[`LANES-1:1];
        index <= next_index[2*`LANES-1:2];
        earlier_places <= {result[19:16], earlier_places[11:4]};
      end
      out_valid <= word_done || (pieces_left != 2'd0);
      out_tag   <= !word_done;
      if (word_done) begin
        out_unit_end <= unit_done && !result_tags;
        out_bank <= result_bank;
        out_parity <= result_parity;
        out_address <= result_word_address + {{(ADDRESS_BITS - 2) {1'b0}}, result_lane[3:2]};
        out_data <= {result_value, earlier_values};
      end else begin
        out_unit_end <= (pieces_left == 2'd1) && pieces_end_unit;
        out_bank <= piece_bank;
        out_parity <= piece_parity;
        out_address <= piece_address;
        out_data <= {48'd0, pieces[`LANES-1:0]};
      end
      if (unit_done || (word_done && piece_a_word)) begin
        pieces[3*`LANES-1:`LANES] <= next_index;
        pieces[`LANES-1:0] <= piece_a_word ? {result[19:16], earlier_places} : next_mask;
        pieces_left <= !result_tags ? 2'd0 : (result_window == 2'd1) ? 2'd3 : 2'd1;
        pieces_end_unit <= unit_done;
        // The address of a word's piece follows that of the one before.
        if (!piece_a_word || result_lane[3:2] == 2'd0) piece_address <= result_tag_address;
        piece_bank <= result_bank;
        piece_parity <= result_parity;
      end else if (pieces_left != 2'd0) begin
        pieces <= {{`LANES{1'b0}}, pieces[3*`LANES-1:`LANES]};
        pieces_left <= pieces_left - 2'd1;
        piece_address <= piece_address + 1'b1;
      end
    end
    if (rst) begin
      out_valid   <= 1'b0;
      pieces_left <= 2'd0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(starts_apart, !(enable && start && active && lane != LAST_LANE))
  `ASSERT(pieces_have_left, !(enable && (unit_done || (word_done && piece_a_word)) && pieces_left != 2'd0))
`endif

endmodule

`default_nettype wire
