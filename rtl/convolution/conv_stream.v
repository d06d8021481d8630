// SPDX-License-Identifier: Apache-2.0
//
// conv_stream: everything of one stream of a conv group but its tile-buffer port and its lanes.
//
// Scans the receptive field of the units it is given (tap_scanner), reads one non-zero entry a cycle from the tile
// buffer (entry_issuer), forms weight addresses for the lanes, supplies the lanes' initial values, and drains their
// sums (stream_drain) into a small queue of transfers for the output buffer.
//
// Contract: units are taken by `unit_valid && unit_ready`; the configuration inputs hold while `busy`. `enable`
//   freezes the stream; the lanes of this stream take `lane_enable`. `entry` is the tile buffer's answer one
//   lane_enable cycle after `entry_address`. `unit_done` (with its bank) pulses when a unit's last transfer has been
//   taken by the output buffer. Transfers: valid/ready; units leave in the order in which they came. The sums of a job with
//   to_partial stay in the stream (partial_sums), and those of one with from_partial go on with them: `partial_done` pulses
//   instead, with the job's bank, when a unit's sums stand there.
// Numbers: as in lane_array and stream_drain.
`default_nettype none
`include "gradcore_sizes.vh"
`include "gradcore_jobs.vh"

module conv_stream (
    input  wire                           clk,
    input  wire                           rst,
    input  wire                           enable,
    output wire                           lane_enable,
    output wire                           busy,
    // Configuration of the tile job.
    input  wire                           bank,
    input  wire                           output_bank,
    input  wire [`CONV_GROUP_JOB_BITS-1:0] job,
    input  wire [ `ENTRY_ADDRESS_BITS-1:0] line_entries,
    input  wire [         `PIXEL_BITS-1:0] line_pixels,
    // Units.
    input  wire                           unit_valid,
    output wire                           unit_ready,
    input  wire signed [             9:0] unit_row,
    input  wire signed [             9:0] unit_column,
    input  wire [         `PIXEL_BITS-1:0] unit_pixel,
    input  wire [ `ENTRY_ADDRESS_BITS-1:0] unit_entry,
    input  wire                           unit_parity,
    input  wire [                    1:0] unit_quarters,
    input  wire [`OUTPUT_ADDRESS_BITS-1:0] unit_word_address,
    input  wire [`OUTPUT_ADDRESS_BITS-1:0] unit_tag_address,
    output wire                           unit_done,
    output wire                           unit_done_bank,
    output wire                           partial_done,
    output wire                           partial_done_bank,
    // Counts and initial values are written here; entries are read outside.
    input  wire                           count_write,
    input  wire [           `PIXEL_BITS:0] count_write_address,
    input  wire [         `COUNT_BITS-1:0] count_write_data,
    input  wire                           initial_write,
    input  wire [                    4:0] initial_write_address,
    input  wire [                   47:0] initial_write_data,
    output wire [ `ENTRY_ADDRESS_BITS-1:0] entry_address,
    output reg                            entry_bank,
    input  wire [        `COUNT_BITS+15:0] entry,
    // Lanes.
    output reg  [`WEIGHT_ADDRESS_BITS-1:0] lane_address,
    output reg                            lane_first,
    output reg  [                   15:0] lane_value,
    output reg  [                   47:0] lane_initial,
    input  wire [           `LANES*48-1:0] accumulators,
    // Transfers to the output buffer.
    output reg                            out_valid,
    input  wire                           out_ready,
    output reg                            out_tag,
    output reg                            out_bank,
    output reg                            out_parity,
    output reg  [`OUTPUT_ADDRESS_BITS-1:0] out_address,
    output reg  [                   63:0] out_data,
    // Events for the counters: an entry issued; frozen by the output; a value saturated, and its unit's bank.
    output wire                           event_issue,
    output wire                           event_output_wait,
    output wire                           event_saturated,
    output wire                           event_saturated_bank
);

  `include "conv_group_job.vh"

  wire transfer_ready;
  assign lane_enable = enable && transfer_ready;

  // ---- Counts: one block RAM a stream, both banks. Bit `COUNT_BITS says that the count is not 0: found out here, it needs
  // no logic between the memory's late output and the scanner's registers.
  (* ram_style = "block" *) reg [`COUNT_BITS:0] counts[0:(2<<`PIXEL_BITS)-1];
  reg [`COUNT_BITS:0] count;
  wire [`PIXEL_BITS-1:0] count_address;
  always @(posedge clk) begin
    if (count_write) counts[count_write_address] <= {|count_write_data, count_write_data};
    count <= counts[{bank, count_address}];
  end

  // ---- Units, taps, issues.
  localparam TAP_BITS = `ENTRY_ADDRESS_BITS + `COUNT_BITS + `WEIGHT_ADDRESS_BITS + 5;
  localparam UNIT_BITS = 16 + 2 * `OUTPUT_ADDRESS_BITS;

  wire scanner_ready, description_ready;
  assign unit_ready = scanner_ready && description_ready;
  wire unit_taken = unit_valid && unit_ready;

  wire tap_valid, tap_final, tap_outside;
  wire [`ENTRY_ADDRESS_BITS-1:0] tap_entry;
  wire [`COUNT_BITS-1:0] tap_count;
  wire [`WEIGHT_ADDRESS_BITS-1:0] tap_weight;
  wire [4:0] tap_level;

  tap_scanner tap_scanner (
      .clk(clk),
      .rst(rst),
      .busy(busy),
      .job(job),
      .line_entries(line_entries),
      .line_pixels(line_pixels),
      .unit_valid(unit_valid && description_ready),
      .unit_ready(scanner_ready),
      .unit_row(unit_row),
      .unit_column(unit_column),
      .unit_pixel(unit_pixel),
      .unit_entry(unit_entry),
      .count_address(count_address),
      .count(count[`COUNT_BITS-1:0]),
      .count_some(count[`COUNT_BITS]),
      .tap_space(tap_level < 5'd10),
      .tap_valid(tap_valid),
      .tap_entry(tap_entry),
      .tap_count(tap_count),
      .tap_weight(tap_weight),
      .tap_final(tap_final),
      .tap_outside(tap_outside)
  );

  wire next_tap_valid, next_tap_ready;
  wire [TAP_BITS-1:0] next_tap;
  wire unused_tap_in_ready;
  fifo #(
      .WIDTH(TAP_BITS),
      .DEPTH(16)
  ) tap_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(tap_valid),
      .in_ready(unused_tap_in_ready),
      .in_data({from_partial, bias_bank, bank, tap_outside, tap_final, tap_weight, tap_count, tap_entry}),
      .out_valid(next_tap_valid),
      .out_ready(next_tap_ready),
      .out_data(next_tap),
      .level(tap_level)
  );

  wire issue_entry, issue_bank, issue_bias_bank, issue_from_partial, issue_first, issue_last, issue_outside;
  wire partial_here, partial_claim;
  wire [`WEIGHT_ADDRESS_BITS-1:0] issue_weight;

  entry_issuer entry_issuer (
      .clk(clk),
      .rst(rst),
      .enable(lane_enable),
      .tap_valid(next_tap_valid),
      .tap_ready(next_tap_ready),
      .tap_entry(next_tap[`ENTRY_ADDRESS_BITS-1:0]),
      .tap_count(next_tap[`ENTRY_ADDRESS_BITS+:`COUNT_BITS]),
      .tap_weight(next_tap[`ENTRY_ADDRESS_BITS+`COUNT_BITS+:`WEIGHT_ADDRESS_BITS]),
      .tap_final(next_tap[TAP_BITS-5]),
      .tap_outside(next_tap[TAP_BITS-4]),
      .tap_bank(next_tap[TAP_BITS-3]),
      .tap_bias_bank(next_tap[TAP_BITS-2]),
      .tap_from_partial(next_tap[TAP_BITS-1]),
      .partial_here(partial_here),
      .partial_claim(partial_claim),
      .issue_entry(issue_entry),
      .issue_address(entry_address),
      .issue_weight(issue_weight),
      .issue_bank(issue_bank),
      .issue_bias_bank(issue_bias_bank),
      .issue_from_partial(issue_from_partial),
      .issue_first(issue_first),
      .issue_last(issue_last),
      .issue_outside(issue_outside)
  );

  assign event_issue = issue_entry && lane_enable;
  assign event_output_wait = !transfer_ready;

  // ---- From the entry's address to the lanes: read (1), select the bank (2), add the channel (3); the value follows
  // one cycle later. A bubble multiplies row 0 of the weights by 0.
  reg [2:1] stage_entry, stage_first;
  reg [7:1] stage_last, stage_outside;
  reg [`WEIGHT_ADDRESS_BITS-1:0] weight1, weight2;
  reg [`COUNT_BITS-1:0] channel2;
  reg [15:0] value2, value3;
  reg [5:1] stage_bias_bank, stage_from_partial;
  reg [5:4] late_first;

  always @(posedge clk) begin
    if (lane_enable) begin
      stage_entry <= {stage_entry[1], issue_entry};
      stage_first <= {stage_first[1], issue_first};
      stage_last <= {stage_last[6:1], issue_last};
      stage_outside <= {stage_outside[6:1], issue_outside};
      stage_bias_bank <= {stage_bias_bank[4:1], issue_bias_bank};
      stage_from_partial <= {stage_from_partial[4:1], issue_from_partial};
      entry_bank <= issue_bank;
      weight1 <= issue_weight;
      weight2 <= weight1;
      channel2 <= entry[16+:`COUNT_BITS];
      value2 <= stage_entry[1] ? entry[15:0] : 16'd0;
      lane_address <= {`WEIGHT_ADDRESS_BITS{1'b0}};
      if (stage_entry[2]) lane_address <= weight2 + channel2[`WEIGHT_ADDRESS_BITS-1:0];
      lane_first <= stage_first[2];
      value3 <= value2;
      lane_value <= value3;
      late_first <= {late_first[4], lane_first};
    end
    if (rst) begin
      stage_entry <= 2'd0;
      stage_first <= 2'd0;
      stage_last  <= 7'd0;
      lane_first  <= 1'b0;
      late_first  <= 2'd0;
    end
  end

  // ---- Initial accumulator values: lane l's must stand 4 + l cycles after lane_address of the pixel's first issue.
  (* ram_style = "distributed" *) reg [47:0] initial_values[0:31];
  reg [3:0] initial_lane;
  reg initial_from_bank, initial_from_partial;
  wire partial_write;
  wire [3:0] partial_lane;
  wire [47:0] partial_sum, drained_sum;

  partial_sums partial_sums (
      .clk(clk),
      .rst(rst),
      .enable(lane_enable),
      .write(partial_write),
      .write_lane(partial_lane),
      .write_sum(drained_sum),
      .here(partial_here),
      .claim(partial_claim),
      .start(late_first[5]),
      .start_partial(stage_from_partial[5]),
      .lane(initial_lane),
      .sum(partial_sum)
  );

  always @(posedge clk) begin
    if (initial_write) initial_values[initial_write_address] <= initial_write_data;
    if (lane_enable) begin
      if (late_first[5]) begin
        initial_lane <= 4'd0;
        initial_from_bank <= stage_bias_bank[5];
        initial_from_partial <= stage_from_partial[5];
      end else begin
        initial_lane <= initial_lane + 4'd1;
      end
      lane_initial <= initial_from_partial ? partial_sum : initial_values[{initial_from_bank, initial_lane}];
    end
  end

  // ---- Drain. A unit's bank is that of the output, or, if nothing of it is stored, of the job.
  wire unit_bank = to_partial ? bank : output_bank;
  wire [1:0] unit_window = {window[1], pool || window[0]};
  wire unit_pop, unused_description_valid;
  wire [UNIT_BITS-1:0] description;
  wire [4:0] unused_description_level;
  fifo #(
      .WIDTH(UNIT_BITS),
      .DEPTH(16)
  ) unit_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(unit_taken),
      .in_ready(description_ready),
      .in_data({
        to_partial, shift, relu, clip, unit_window, store_tags, unit_bank, unit_parity, unit_quarters, unit_word_address, unit_tag_address
      }),
      .out_valid(unused_description_valid),
      .out_ready(unit_pop),
      .out_data(description),
      .level(unused_description_level)
  );

  wire drain_valid, drain_tag, drain_bank, drain_parity, drain_unit_end;
  wire [`OUTPUT_ADDRESS_BITS-1:0] drain_address;
  wire [63:0] drain_data;

  stream_drain #(
      .ADDRESS_BITS(`OUTPUT_ADDRESS_BITS)
  ) stream_drain (
      .clk(clk),
      .rst(rst),
      .enable(lane_enable),
      .start(stage_last[7]),
      .outside(stage_outside[7]),
      .accumulators(accumulators),
      .unit_pop(unit_pop),
      .unit_to_partial(description[UNIT_BITS-1]),
      .unit_shift(description[UNIT_BITS-2-:6]),
      .unit_relu(description[UNIT_BITS-8]),
      .unit_clip(description[UNIT_BITS-9]),
      .unit_window(description[UNIT_BITS-10-:2]),
      .unit_store_tags(description[UNIT_BITS-12]),
      .unit_bank(description[UNIT_BITS-13]),
      .unit_parity(description[UNIT_BITS-14]),
      .unit_quarters(description[UNIT_BITS-15-:2]),
      .unit_word_address(description[`OUTPUT_ADDRESS_BITS+:`OUTPUT_ADDRESS_BITS]),
      .unit_tag_address(description[`OUTPUT_ADDRESS_BITS-1:0]),
      .out_valid(drain_valid),
      .out_tag(drain_tag),
      .out_bank(drain_bank),
      .out_parity(drain_parity),
      .out_address(drain_address),
      .out_data(drain_data),
      .out_unit_end(drain_unit_end),
      .saturated(event_saturated),
      .saturated_bank(event_saturated_bank),
      .partial_write(partial_write),
      .partial_lane(partial_lane),
      .partial_sum(drained_sum),
      .partial_done(partial_done),
      .partial_bank(partial_done_bank)
  );

  reg out_unit_end;
  wire next_valid;
  wire next_ready = !out_valid || out_ready;
  wire [`OUTPUT_ADDRESS_BITS+67:0] next_transfer;
  wire [3:0] unused_transfer_level;
  fifo #(
      .WIDTH(`OUTPUT_ADDRESS_BITS + 68),
      .DEPTH(8)
  ) transfer_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(drain_valid && lane_enable),
      .in_ready(transfer_ready),
      .in_data({drain_unit_end, drain_tag, drain_bank, drain_parity, drain_address, drain_data}),
      .out_valid(next_valid),
      .out_ready(next_ready),
      .out_data(next_transfer),
      .level(unused_transfer_level)
  );

  always @(posedge clk) begin
    if (next_ready) begin
      out_valid <= next_valid;
      {out_unit_end, out_tag, out_bank, out_parity, out_address, out_data} <= next_transfer;
    end
    if (rst) out_valid <= 1'b0;
  end

  assign unit_done = out_valid && out_ready && out_unit_end;
  assign unit_done_bank = out_bank;

  wire unused_channel = &{1'b0, channel2[`COUNT_BITS-1:`WEIGHT_ADDRESS_BITS]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(taps_have_room, !tap_valid || unused_tap_in_ready)
  `ASSERT(drains_a_unit, !unit_pop || unused_description_valid)
  `ASSERT(transfers_have_room, !(drain_valid && lane_enable) || transfer_ready)
  // Units leave that have come.
  reg [5:0] units_inside;
  always @(posedge clk) units_inside <= rst ? 6'd0 : units_inside + {5'd0, unit_taken} - {5'd0, unit_done} - {5'd0, partial_done};
  `ASSERT(done_was_taken, {5'd0, unit_done} + {5'd0, partial_done} <= units_inside)
  stream_checker #(
      .WIDTH(TAP_BITS)
  ) taps (
      .clk(clk),
      .rst(rst),
      .valid(next_tap_valid),
      .ready(next_tap_ready),
      .data(next_tap)
  );
`endif

endmodule

`default_nettype wire
