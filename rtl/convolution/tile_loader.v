// SPDX-License-Identifier: Apache-2.0
//
// tile_loader: fills the tile banks: reads a tile, applies the ReLU rule and the unpooling, drops zeros.
//
// The job at the head of the FIFO outside is prepared (words and pieces of a row), waits for its tokens and for its
// bank, and has its rows requested through port 0 (even rows) and port 1 (odd rows), while the job before may still be
// loading. It is taken (job_ready, one pulse) when all its rows are requested and the job before has been loaded.
//
// Contract: `bank_free` says that the bank of the job at the head may be filled; it is looked at once, at least eight
// cycles after the job came to the head, and must from then on be kept free by the other side. Entries and counts are
// always accepted. `loaded` is a pulse, after the last write of a job; `bank` changes one cycle later. Of rows, columns
// and words each job has at least one. A tile has at most 512 pixels and 8192 entries; jobs must not exceed this. Of
// every cycle with a job at most one of active, waiting_data (tokens included) and waiting_bank is high. zeros_dropped:
// values read and not written in this cycle; entries + zeros_dropped = 4 * words read.

`default_nettype none

module tile_loader (
  input  wire        clk,
  input  wire        rst,

  input  wire        job_valid,
  output wire        job_ready,
  input  wire [31:0] job_source_address,
  input  wire [31:0] job_source_row_pitch,
  input  wire [7:0]  job_source_rows,
  input  wire [7:0]  job_source_columns,
  input  wire [9:0]  job_words_per_pixel,
  input  wire [31:0] job_tag_address,
  input  wire [31:0] job_tag_row_pitch,
  input  wire        job_relu,
  input  wire        job_unpool,
  input  wire        job_tags,
  input  wire        job_crop_row,
  input  wire        job_crop_column,
  input  wire [7:0]  job_buffer_rows,
  input  wire [7:0]  job_buffer_columns,
  input  wire [10:0] job_slot,
  input  wire [12:0] job_row_entries,
  input  wire [23:0] job_wait_tiles,
  input  wire [23:0] job_wait_vectors,

  input  wire [1:0]  method,
  input  wire [23:0] tiles_stored,
  input  wire [23:0] vectors_done,
  input  wire        bank_free,
  output reg         loaded,
  output reg         bank,
  output wire        busy,

  // Read ports 0 and 1, client 0 (values) and client 1 (tags).
  output wire        value0_request_valid,
  input  wire        value0_request_ready,
  output wire [31:0] value0_request_address,
  output wire [15:0] value0_request_words,
  input  wire        value0_response_valid,
  output wire        value0_response_ready,
  input  wire [63:0] value0_response_data,
  output wire        tag0_request_valid,
  input  wire        tag0_request_ready,
  output wire [31:0] tag0_request_address,
  output wire [15:0] tag0_request_words,
  input  wire        tag0_response_valid,
  output wire        tag0_response_ready,
  input  wire [63:0] tag0_response_data,
  output wire        value1_request_valid,
  input  wire        value1_request_ready,
  output wire [31:0] value1_request_address,
  output wire [15:0] value1_request_words,
  input  wire        value1_response_valid,
  output wire        value1_response_ready,
  input  wire [63:0] value1_response_data,
  output wire        tag1_request_valid,
  input  wire        tag1_request_ready,
  output wire [31:0] tag1_request_address,
  output wire [15:0] tag1_request_words,
  input  wire        tag1_response_valid,
  output wire        tag1_response_ready,
  input  wire [63:0] tag1_response_data,

  output wire        entry0_write,
  output wire [12:0] entry0_address,
  output wire [26:0] entry0_data,
  output wire        entry1_write,
  output wire [12:0] entry1_address,
  output wire [26:0] entry1_data,
  output reg         count_write,
  output reg  [8:0]  count_address,
  output reg  [10:0] count_data,

  output reg  [3:0]  zeros_dropped,
  output wire        active,
  output wire        waiting_data,
  output wire        waiting_bank
);

  localparam [1:0] DECONVNET = 2'd1;

  // ---- Preparation of the job at the head: words and pieces of a row, by shift and add over the bits of columns ----
  reg         prepared;
  reg  [3:0]  step;             // 0: blocks; 1: pieces of a pixel; 2..9: one bit of columns each
  reg  [8:0]  blocks;
  reg  [7:0]  column_bits;      // the highest comes next
  reg  [9:0]  pixel_pieces;
  reg  [15:0] row_words;
  reg  [15:0] row_pieces;
  reg         tokens_ok;
  reg         started;          // tokens and bank were there: requests may go out
  reg         taken;            // the halves work on this job
  reg         issue_start;
  reg         consume_start;
  reg         consuming;        // the halves work on a job, this one or the one before
  wire        issue_busy0, issue_busy1;

  wire [10:0] round_up_words = {1'b0, job_words_per_pixel} + 11'd3;
  wire        column_bit = column_bits[7];
  wire [1:0]  unused_bits = round_up_words[1:0];
  // A DeconvNet ReLU without unpooling has no use for the tags.
  wire        use_tags = job_tags && !(job_relu && method == DECONVNET && !job_unpool);

  assign job_ready = started && taken && !issue_start && !issue_busy0 && !issue_busy1;
  assign busy = job_valid || consuming || loaded;

  always @(posedge clk) begin
    tokens_ok <= job_valid && tiles_stored >= job_wait_tiles && vectors_done >= job_wait_vectors;
    issue_start <= 1'b0;
    if (step == 4'd0)
      blocks <= round_up_words[10:2];
    if (step == 4'd1) begin
      pixel_pieces <= {1'b0, blocks} + (job_unpool ? {blocks, 1'b0} : 10'd0);
      column_bits <= job_source_columns;
      row_words <= 16'd0;
      row_pieces <= 16'd0;
    end else if (!prepared) begin
      column_bits <= {column_bits[6:0], 1'b0};
      row_words <= {row_words[14:0], 1'b0} + (column_bit ? {6'd0, job_words_per_pixel} : 16'd0);
      row_pieces <= {row_pieces[14:0], 1'b0} + (column_bit ? {6'd0, pixel_pieces} : 16'd0);
    end
    if (job_ready) begin
      step <= 4'd0;
      prepared <= 1'b0;
      started <= 1'b0;
    end else begin
      if (job_valid && !prepared) begin
        step <= step + 4'd1;
        prepared <= step == 4'd9;
      end
      if (prepared && tokens_ok && bank_free && !started) begin
        started <= 1'b1;
        issue_start <= 1'b1;
      end
    end
    if (rst) begin
      step <= 4'd0;
      prepared <= 1'b0;
      started <= 1'b0;
      issue_start <= 1'b0;
    end
  end

  // ---- The halves take the job when they have finished the one before ----
  wire done0, done1;
  wire take = started && !taken && !consuming;
  wire finished = consuming && !consume_start && done0 && done1;

  reg  [7:0]  source_rows, source_columns, buffer_rows, buffer_columns;
  reg  [9:0]  last_word;
  reg  [15:0] pieces;
  reg  [1:0]  rule, tag_skip, tag_skip_step;
  reg         relu, unpool, tags, crop_row, crop_column;
  reg  [10:0] slot;
  reg  [12:0] row_entries, diagonal;
  // Entry and count address of the halves' first pixel, from the fields of the job at the head: in two steps, the window
  // of the first row beginning `crop` above and left of the buffer. They are there long before the job is taken.
  reg  [12:0] top_entry0, top_entry1, next_entry0, next_entry1, first_entry0, first_entry1;
  reg  [8:0]  top_count0, top_count1, next_count0, next_count1, first_count0, first_count1;
  wire        crops_row = job_unpool && job_crop_row;
  wire        crops_column = job_unpool && job_crop_column;
  wire        two_rows_down = job_unpool && !job_crop_row;

  always @(posedge clk) begin
    top_entry0 <= crops_row ? -job_row_entries : 13'd0;
    top_count0 <= crops_row ? -{1'b0, job_buffer_columns} : 9'd0;
    top_entry1 <= two_rows_down ? {job_row_entries[11:0], 1'b0} : job_row_entries;
    top_count1 <= two_rows_down ? {job_buffer_columns, 1'b0} : {1'b0, job_buffer_columns};
    next_entry0 <= top_entry0 - (crops_column ? {2'd0, job_slot} : 13'd0);
    next_entry1 <= top_entry1 - (crops_column ? {2'd0, job_slot} : 13'd0);
    next_count0 <= top_count0 - {8'd0, crops_column};
    next_count1 <= top_count1 - {8'd0, crops_column};
  end

  always @(posedge clk) begin
    consume_start <= take;
    loaded <= finished;
    if (loaded)
      bank <= !bank;
    if (take) begin
      taken <= 1'b1;
      consuming <= 1'b1;
    end else if (finished) begin
      consuming <= 1'b0;
    end
    if (job_ready)
      taken <= 1'b0;
    if (take) begin
      source_rows <= job_source_rows;
      source_columns <= job_source_columns;
      last_word <= job_words_per_pixel - 10'd1;
      relu <= job_relu;
      rule <= method;
      unpool <= job_unpool;
      tags <= use_tags;
      pieces <= row_pieces;
      tag_skip <= job_tag_address[2:1];
      tag_skip_step <= job_tag_row_pitch[2:1];
      crop_row <= crops_row;
      crop_column <= crops_column;
      first_entry0 <= next_entry0;
      first_entry1 <= next_entry1;
      first_count0 <= next_count0;
      first_count1 <= next_count1;
      buffer_rows <= job_buffer_rows;
      buffer_columns <= job_buffer_columns;
      slot <= job_slot;
      row_entries <= job_row_entries;
      diagonal <= job_row_entries + {2'd0, job_slot};
    end
    if (rst) begin
      consume_start <= 1'b0;
      loaded <= 1'b0;
      bank <= 1'b0;
      taken <= 1'b0;
      consuming <= 1'b0;
    end
  end

  // ---- Requests ----
  tile_row_requester #(
    .HALF(0)
  ) u_requester0 (
    .clk(clk),
    .rst(rst),
    .start(issue_start),
    .busy(issue_busy0),
    .source_rows(job_source_rows),
    .source_address(job_source_address),
    .source_row_pitch(job_source_row_pitch),
    .row_words(row_words),
    .tags(use_tags),
    .tag_address(job_tag_address),
    .tag_row_pitch(job_tag_row_pitch),
    .row_pieces(row_pieces),
    .value_request_valid(value0_request_valid),
    .value_request_ready(value0_request_ready),
    .value_request_address(value0_request_address),
    .value_request_words(value0_request_words),
    .tag_request_valid(tag0_request_valid),
    .tag_request_ready(tag0_request_ready),
    .tag_request_address(tag0_request_address),
    .tag_request_words(tag0_request_words)
  );

  tile_row_requester #(
    .HALF(1)
  ) u_requester1 (
    .clk(clk),
    .rst(rst),
    .start(issue_start),
    .busy(issue_busy1),
    .source_rows(job_source_rows),
    .source_address(job_source_address),
    .source_row_pitch(job_source_row_pitch),
    .row_words(row_words),
    .tags(use_tags),
    .tag_address(job_tag_address),
    .tag_row_pitch(job_tag_row_pitch),
    .row_pieces(row_pieces),
    .value_request_valid(value1_request_valid),
    .value_request_ready(value1_request_ready),
    .value_request_address(value1_request_address),
    .value_request_words(value1_request_words),
    .tag_request_valid(tag1_request_valid),
    .tag_request_ready(tag1_request_ready),
    .tag_request_address(tag1_request_address),
    .tag_request_words(tag1_request_words)
  );

  // ---- The two halves ----
  wire [1:0]  count_valid;
  wire [1:0]  count_grant;
  wire [8:0]  count_address0, count_address1;
  wire [10:0] count_data0, count_data1;
  wire [2:0]  dropped0, dropped1;
  wire        active0, active1;

  tile_loader_half #(
    .HALF(0)
  ) u_half0 (
    .clk(clk),
    .rst(rst),
    .start(consume_start),
    .done(done0),
    .active(active0),
    .source_rows(source_rows),
    .source_columns(source_columns),
    .last_word(last_word),
    .relu(relu),
    .method(rule),
    .unpool(unpool),
    .tags(tags),
    .row_pieces(pieces),
    .tag_skip(tag_skip),
    .tag_skip_step(tag_skip_step),
    .crop_row(crop_row),
    .crop_column(crop_column),
    .buffer_rows(buffer_rows),
    .buffer_columns(buffer_columns),
    .slot(slot),
    .row_entries(row_entries),
    .first_entry(first_entry0),
    .first_count(first_count0),
    .diagonal(diagonal),
    .value_valid(value0_response_valid),
    .value_ready(value0_response_ready),
    .value_data(value0_response_data),
    .tag_valid(tag0_response_valid),
    .tag_ready(tag0_response_ready),
    .tag_data(tag0_response_data),
    .entry_write(entry0_write),
    .entry_address(entry0_address),
    .entry_data(entry0_data),
    .count_valid(count_valid[0]),
    .count_ready(count_grant[0]),
    .count_address(count_address0),
    .count_data(count_data0),
    .dropped(dropped0)
  );

  tile_loader_half #(
    .HALF(1)
  ) u_half1 (
    .clk(clk),
    .rst(rst),
    .start(consume_start),
    .done(done1),
    .active(active1),
    .source_rows(source_rows),
    .source_columns(source_columns),
    .last_word(last_word),
    .relu(relu),
    .method(rule),
    .unpool(unpool),
    .tags(tags),
    .row_pieces(pieces),
    .tag_skip(tag_skip),
    .tag_skip_step(tag_skip_step),
    .crop_row(crop_row),
    .crop_column(crop_column),
    .buffer_rows(buffer_rows),
    .buffer_columns(buffer_columns),
    .slot(slot),
    .row_entries(row_entries),
    .first_entry(first_entry1),
    .first_count(first_count1),
    .diagonal(diagonal),
    .value_valid(value1_response_valid),
    .value_ready(value1_response_ready),
    .value_data(value1_response_data),
    .tag_valid(tag1_response_valid),
    .tag_ready(tag1_response_ready),
    .tag_data(tag1_response_data),
    .entry_write(entry1_write),
    .entry_address(entry1_address),
    .entry_data(entry1_data),
    .count_valid(count_valid[1]),
    .count_ready(count_grant[1]),
    .count_address(count_address1),
    .count_data(count_data1),
    .dropped(dropped1)
  );

  // ---- One count a cycle, in turns; counters' events ----
  reg turn;  // the half that is served when both offer

  assign count_grant = {count_valid[1] && (turn || !count_valid[0]), count_valid[0] && (!turn || !count_valid[1])};

  always @(posedge clk) begin
    count_write <= count_valid != 2'd0;
    count_address <= count_grant[1] ? count_address1 : count_address0;
    count_data <= count_grant[1] ? count_data1 : count_data0;
    turn <= count_grant[0];
    zeros_dropped <= {1'b0, dropped0} + {1'b0, dropped1};
    if (rst) begin
      count_write <= 1'b0;
      turn <= 1'b0;
      zeros_dropped <= 4'd0;
    end
  end

  wire ready_but_for_bank = prepared && tokens_ok && !bank_free && !started;

  assign active = active0 || active1;
  assign waiting_bank = !consuming && ready_but_for_bank;
  assign waiting_data = !active && (consuming || (job_valid && !ready_but_for_bank));

endmodule

`default_nettype wire
