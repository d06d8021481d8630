// SPDX-License-Identifier: Apache-2.0
//
// unit_dispatcher: starts tile jobs in one conv group and hands their output units to its two streams.
//
// With B blocks of output channels in a job, group g computes block g % B and, of the units, those with
// (row + column) % copies == g / B, copies = GROUPS / B. Whichever stream is free gets the next unit; in a job with
// from_partial or to_partial the streams take turns, stream 0 first, since partial sums stay with their stream. The
// dispatcher walks over all units, one a cycle, and stops at this group's: a stream works 16 cycles or more on a unit.
//
// Contract: a job starts when its tile is loaded (`tile_loaded` pulses, one a job), its weights are there
//   (`weights_loaded` >= wait_weights) and, unless it has to_partial and stores nothing, its output bank has been read
//   out (`bank_released` pulses, two banks to begin with). The job's fields stand from the cycle after `job_valid` until
//   `job_ready`, when both scanners have finished with it. `computed` pulses, in job order, when every unit of a job has
//   left the group, or its sums stand in the streams. `bank`, of the input, is the job number modulo 2, `output_bank` the
//   same among the jobs that store. A group without work in a job reports it all the same.
// Numbers: positions signed in input pixels, addresses modulo their width.
`default_nettype none
`include "gradcore_sizes.vh"
`include "gradcore_jobs.vh"

module unit_dispatcher #(
    parameter GROUPS = `GROUPS,
    parameter GROUP = 0
) (
    input  wire                           clk,
    input  wire                           rst,
    // Tokens.
    input  wire                           tile_loaded,
    input  wire                           bank_released,
    input  wire [                   23:0] weights_loaded,
    output reg                            computed,
    // Job.
    input  wire                           job_valid,
    output wire                           job_ready,
    input  wire [`CONV_GROUP_JOB_BITS-1:0] job,
    input  wire [ `ENTRY_ADDRESS_BITS-1:0] origin_entry,
    input  wire [         `PIXEL_BITS-1:0] origin_pixel,
    output reg                            bank,
    output reg                            output_bank,
    // Units to the two streams.
    output wire [                    1:0] unit_valid,
    input  wire [                    1:0] unit_ready,
    output reg signed [              9:0] unit_row,
    output reg signed [              9:0] unit_column,
    output reg  [         `PIXEL_BITS-1:0] unit_pixel,
    output reg  [ `ENTRY_ADDRESS_BITS-1:0] unit_entry,
    output wire                           unit_parity,
    output reg                            unit_last,  // of its row
    output reg  [`OUTPUT_ADDRESS_BITS-1:0] unit_word_address,
    output reg  [`OUTPUT_ADDRESS_BITS-1:0] unit_tag_address,
    input  wire [                    1:0] scanner_busy,
    input  wire [                    1:0] unit_done,
    input  wire [                    1:0] unit_done_bank,  // of the output
    input  wire [                    1:0] partial_done,
    input  wire [                    1:0] partial_done_bank  // of the job
);

  `include "conv_group_job.vh"

  initial begin
    if (GROUPS != 1 && GROUPS != 2 && GROUPS != 4) begin
      $display("%m: GROUPS must be 1, 2 or 4, not %0d", GROUPS);
      $finish;
    end
  end

  localparam WAIT = 3'd0, STEPS = 3'd1, ROW = 3'd2, WALK = 3'd3, UNIT = 3'd4, NEXT_ROW = 3'd5, SCANNERS = 3'd6;
  // What the number of blocks means for this group.
  localparam [31:0] GROUP_NUMBER = GROUP, GROUP_HALF = GROUP / 2, GROUP_ODD = GROUP % 2, GROUP_THIRD = GROUP % 3;
  wire [1:0] group = GROUP_NUMBER[1:0];
  wire one_block = (blocks == 3'd1);
  wire two_blocks = (blocks == 3'd2);
  wire [1:0] copies_log2 = (GROUPS == 4) ? (one_block ? 2'd2 : two_blocks ? 2'd1 : 2'd0)
                         : (GROUPS == 2) ? (one_block ? 2'd1 : 2'd0) : 2'd0;
  wire [1:0] set = one_block ? group : two_blocks ? GROUP_HALF[1:0] : 2'd0;
  wire [1:0] block = one_block ? 2'd0 : two_blocks ? GROUP_ODD[1:0] : (blocks == 3'd3) ? GROUP_THIRD[1:0] : group;
  wire idle_group = (blocks == 3'd3) && (GROUP == 3);

  reg [2:0] state;
  reg [7:0] row, column;
  // From one unit to the next.
  reg [`ENTRY_ADDRESS_BITS-1:0] step_entries;
  reg [2:0] step_pixels;
  reg [`OUTPUT_ADDRESS_BITS-1:0] step_words, step_pieces;
  reg [1:0] skip, skip_mask;  // units before this group's first one in the row: (set - row) modulo copies
  reg [2:0] walk;  // units to pass before the next one of this group
  // Values of the row's unit 0.
  reg signed [9:0] row_input;
  reg [`PIXEL_BITS-1:0] row_pixel;
  reg [`ENTRY_ADDRESS_BITS-1:0] row_entry;
  reg [`OUTPUT_ADDRESS_BITS-1:0] row_words, row_pieces;

  // ---- Credits and completion.
  reg [2:0] loaded_tiles;
  reg [1:0] free_banks;
  reg [8:0] outstanding0, outstanding1;  // units on their way, for each bank
  reg [1:0] dispatched;
  reg oldest;  // bank of the oldest job not yet reported

  wire weights_ready = (weights_loaded >= wait_weights);
  reg fields_up, can_start;
  wire job_start = (state == WAIT) && can_start && job_valid;
  reg scanners_idle, last_row;  // a cycle late
  assign job_ready = (state == SCANNERS) && scanners_idle;

  wire have_unit = (state == UNIT);
  reg prefer;
  wire in_turn = from_partial || to_partial;
  wire choice = (in_turn || unit_ready[prefer]) ? prefer : !prefer;
  assign unit_valid = have_unit ? (choice ? 2'b10 : 2'b01) : 2'b00;
  wire unit_taken = have_unit && unit_ready[choice];
  assign unit_parity = row[0];

  reg [1:0] job_bank;  // of the jobs in both banks of the output
  wire [1:0] done_bank = {job_bank[unit_done_bank[1]], job_bank[unit_done_bank[0]]};
  reg [1:0] finish0, finish1;  // a cycle late
  reg [1:0] all_done;  // of each bank: outstanding == 0, a cycle late
  wire report = dispatched[oldest] && all_done[oldest];

  // What a cycle adds to a bank's count: -2 to 1.
  function [8:0] change;
    input taken;
    input [1:0] finish;
    case ({
      taken, finish
    })
      3'b100: change = 9'd1;
      3'b000, 3'b101, 3'b110: change = 9'd0;
      3'b001, 3'b010, 3'b111: change = -9'd1;
      default: change = -9'd2;
    endcase
  endfunction

  always @(posedge clk) begin
    finish0 <= (unit_done & ~done_bank) | (partial_done & ~partial_done_bank);
    finish1 <= (unit_done & done_bank) | (partial_done & partial_done_bank);
    computed <= report;
    if (report) oldest <= !oldest;
    loaded_tiles <= loaded_tiles + {2'd0, tile_loaded} - {2'd0, job_start};
    free_banks <= free_banks + {1'b0, bank_released} - {1'b0, job_start && !to_partial};
    fields_up <= job_valid && !job_ready;
    can_start <= job_valid && fields_up && weights_ready && !job_start
                 && (loaded_tiles != 3'd0) && (free_banks != 2'd0 || to_partial) && (state == WAIT);
    outstanding0 <= outstanding0 + change(unit_taken && !bank, finish0);
    outstanding1 <= outstanding1 + change(unit_taken && bank, finish1);
    all_done <= {outstanding1 == 9'd0, outstanding0 == 9'd0};
    if (job_ready) dispatched[bank] <= 1'b1;
    if (report) dispatched[oldest] <= 1'b0;
    if (rst) begin
      computed <= 1'b0;
      oldest <= 1'b0;
      loaded_tiles <= 3'd0;
      free_banks <= 2'd2;
      fields_up <= 1'b0;
      can_start <= 1'b0;
      outstanding0 <= 9'd0;
      outstanding1 <= 9'd0;
      all_done <= 2'b00;
      dispatched <= 2'b00;
    end
  end

  // From one unit to the next, 1, 2 or 4 buffer columns, and rows: a pooling window, or the stride, times the pixels of a pack.
  wire four_columns = pack_pixels[2] || stride_x_log2[1] || (pack_pixels[1] && stride_x_log2[0]);
  wire [1:0] columns_log2 = {four_columns, pool || (pack_pixels[1] != stride_x_log2[0])};
  wire [1:0] rows_log2 = {stride_y_log2[1], pool || stride_y_log2[0]};
  wire [`OUTPUT_ADDRESS_BITS-1:0] blocks_wide = {{(`OUTPUT_ADDRESS_BITS - 3) {1'b0}}, blocks};
  wire [`OUTPUT_ADDRESS_BITS-1:0] block_wide = {{(`OUTPUT_ADDRESS_BITS - 2) {1'b0}}, block};
  wire [`ENTRY_ADDRESS_BITS-1:0] slot_wide = {{(`ENTRY_ADDRESS_BITS - 11) {1'b0}}, slot};
  wire [`PIXEL_BITS-1:0] columns_wide = {{(`PIXEL_BITS - 8) {1'b0}}, buffer_columns};
  wire signed [9:0] origin_column_wide = {{2{origin_column[7]}}, origin_column};

  always @(posedge clk) begin
    if (unit_taken) prefer <= !choice;
    scanners_idle <= (scanner_busy == 2'b00);
    last_row <= (row + 8'd1 == unit_rows);
    unit_last <= (column + 8'd1 == unit_columns);  // the column stands since the cycle before UNIT
    case (state)
      WAIT: if (job_start) state <= idle_group ? SCANNERS : STEPS;
      STEPS: begin
        row <= 8'd0;
        step_entries <= slot_wide << columns_log2;
        step_pixels <= 3'd1 << columns_log2;
        step_words <= blocks_wide << 2;
        step_pieces <= window != 2'd0 ? blocks_wide << 2 : pool ? blocks_wide + (blocks_wide << 1) : blocks_wide;
        skip <= set & {copies_log2[1], copies_log2 != 2'd0};
        skip_mask <= {copies_log2[1], copies_log2 != 2'd0};
        row_input <= {{2{origin_row[7]}}, origin_row};
        row_pixel <= origin_pixel;
        row_entry <= origin_entry;
        row_words <= block_wide << 2;
        row_pieces <= window != 2'd0 ? block_wide << 2 : pool ? block_wide + (block_wide << 1) : block_wide;
        state <= ROW;
      end
      ROW: begin
        column <= 8'd0;
        walk <= {1'b0, skip};
        unit_row <= row_input;
        unit_column <= origin_column_wide;
        unit_pixel <= row_pixel;
        unit_entry <= row_entry;
        unit_word_address <= row_words;
        unit_tag_address <= row_pieces;
        state <= WALK;
      end
      WALK:
      if (column == unit_columns) begin
        state <= NEXT_ROW;
      end else if (walk == 3'd0) begin
        state <= UNIT;
      end else begin
        walk <= walk - 3'd1;
        column <= column + 8'd1;
        unit_column <= unit_column + {7'd0, step_pixels};
        unit_pixel <= unit_pixel + {{(`PIXEL_BITS - 3) {1'b0}}, step_pixels};
        unit_entry <= unit_entry + step_entries;
        unit_word_address <= unit_word_address + step_words;
        unit_tag_address <= unit_tag_address + step_pieces;
      end
      UNIT:
      if (unit_taken) begin
        walk <= {1'b0, skip_mask} + 3'd1;  // copies
        state <= WALK;
      end
      NEXT_ROW: begin
        row <= row + 8'd1;
        skip <= (skip - 2'd1) & skip_mask;
        row_input <= row_input + (10'sd1 <<< rows_log2);
        row_pixel <= row_pixel + (columns_wide << rows_log2);
        row_entry <= row_entry + (row_entries << rows_log2);
        if (row[0]) begin
          row_words  <= row_words + buffer_row_words;
          row_pieces <= row_pieces + buffer_row_pieces;
        end
        state <= last_row ? SCANNERS : ROW;
      end
      default: if (job_ready) state <= WAIT;  // SCANNERS
    endcase
    if (job_start && in_turn) prefer <= 1'b0;
    if (job_start && !to_partial) job_bank[output_bank] <= bank;
    if (job_ready) bank <= !bank;
    if (job_ready && !to_partial) output_bank <= !output_bank;
    if (rst) begin
      state  <= WAIT;
      bank   <= 1'b0;
      output_bank <= 1'b0;
      job_bank <= 2'b00;
      prefer <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, SCANNERS)
  `ASSERT(credits_fit, free_banks <= 2'd2 && !(bank_released && free_banks == 2'd2 && (!job_start || to_partial)))
  `ASSERT(credits_are_there, !job_start || (loaded_tiles != 3'd0 && (free_banks != 2'd0 || to_partial)))
  // Of a job all units are stored, or none: one count a bank does for both.
  `ASSERT(one_kind_a_bank, (unit_done & partial_done & (done_bank ~^ partial_done_bank)) == 2'b00)
  `ASSERT(tiles_fit, !(tile_loaded && loaded_tiles == 3'd7))
  // change() takes away no more than there is.
  `ASSERT(units_come_back_once, {1'b0, outstanding0} + {9'd0, unit_taken && !bank} >= {9'd0, finish0[0]} + {9'd0, finish0[1]} &&
          {1'b0, outstanding1} + {9'd0, unit_taken && bank} >= {9'd0, finish1[0]} + {9'd0, finish1[1]})
  `ASSERT(no_job_overtaken, !(job_ready && dispatched[bank]))
  stream_checker #(
      .WIDTH(22 + `PIXEL_BITS + `ENTRY_ADDRESS_BITS + 2 * `OUTPUT_ADDRESS_BITS)
  ) units (
      .clk(clk),
      .rst(rst),
      .valid(have_unit),
      .ready(unit_taken),
      .data({unit_row, unit_column, unit_pixel, unit_entry, unit_parity, unit_last, unit_word_address, unit_tag_address})
  );
`endif

endmodule

`default_nettype wire
