// SPDX-License-Identifier: Apache-2.0
//
// tile_loader: fills the tile banks: reads a tile, applies the ReLU rule and the unpooling, drops zeros.
//
// The job at the head of the FIFO outside is prepared (words and pieces of a run), waits for its tokens and for its
// bank, and has its rows requested through port 0 (even rows) and port 1 (odd rows), whole or by pixel, while the job before may still be
// loading. It is taken (job_ready, one pulse) when all its rows are requested and the job before has been loaded.
//
// Contract: `bank_free` says that the bank of the job at the head may be filled; it is looked at once, at least eight
// cycles after the job came to the head, and must from then on be kept free by the other side. Entries and counts are
// always accepted. `loaded` is a pulse, after the last write of a job; `bank` changes one cycle later. Of rows, columns
// and words each job has at least one. A tile has at most 512 pixels and 8192 entries; jobs must not exceed this. Of
// every cycle with a job at most one of active, waiting_data (tokens included) and waiting_bank is high. zeros_dropped:
// values read and not written in this cycle; entries + zeros_dropped = 4 * words read.

`default_nettype none
`include "gradcore_jobs.vh"

module tile_loader (
    input  wire        clk,
    input  wire        rst,

    input  wire        job_valid,
    output wire        job_ready,
    input  wire [`TILE_LOADER_JOB_BITS-1:0] job,

    input  wire [1:0]  method,
    input  wire [23:0] tiles_stored,
    input  wire [23:0] vectors_done,
    input  wire        bank_free,
    output reg         loaded,
    output reg         bank,
    output wire        busy,

    // Read clients: values and tags of half 0, of half 1.
    output wire [3:0]   read_request_valid,
    input  wire [3:0]   read_request_ready,
    output wire [127:0] read_request_address,
    output wire [63:0]  read_request_words,
    input  wire [3:0]   read_response_valid,
    output wire [3:0]   read_response_ready,
    input  wire [255:0] read_response_data,

    // Tile bank (see tile_bank.v): for each half the even and the odd RAM; counts.
    output wire [3:0]   entry_write,
    output wire [47:0]  entry_row,
    output wire [107:0] entry_data,
    output reg         count_write,
    output reg  [8:0]  count_address,
    output reg  [10:0] count_data,

    output reg  [3:0]  zeros_dropped,
    output wire        active,
    output wire        waiting_data,
    output wire        waiting_bank
);

  `include "gradcore_constants.vh"
  `include "tile_loader_job.vh"

  // ---- Preparation of the job at the head: words and pieces of a run (a row, or with by_pixel a pixel), by shift and add
  // over the bits of its columns ----
  reg         prepared;
  reg  [3:0]  step;             // 0: blocks; 1: pieces of a pixel; 2..9: one bit of columns each
  reg  [8:0]  blocks;
  reg  [7:0]  column_bits;      // the highest comes next
  reg  [9:0]  pixel_pieces;
  reg  [15:0] run_words;
  reg  [15:0] run_pieces;
  reg         tokens_ok;
  reg         started;          // tokens and bank were there: requests may go out
  reg         taken;            // the halves work on this job
  reg         issue_start;
  reg         consume_start;
  reg         consuming;        // the halves work on a job, this one or the one before
  wire [1:0]  issue_busy;

  wire [10:0] round_up_words = {1'b0, words_per_pixel} + 11'd3;
  wire        column_bit = column_bits[7];
  wire [1:0]  unused_bits = round_up_words[1:0];
  // A DeconvNet ReLU without unpooling has no use for the tags.
  wire        use_tags = tags && !(load_relu && method == METHOD_DECONVNET && !unpool);

  assign job_ready = started && taken && !issue_start && issue_busy == 2'b00;
  assign busy = job_valid || consuming || loaded;

  always @(posedge clk) begin
    tokens_ok <= job_valid && tiles_stored >= wait_tiles && vectors_done >= wait_vectors;
    issue_start <= 1'b0;
    if (step == 4'd0) blocks <= round_up_words[10:2];
    if (step == 4'd1) begin
      pixel_pieces <= index_channel ? words_per_pixel : {1'b0, blocks} + (unpool ? {blocks, 1'b0} : 10'd0);
      column_bits <= by_pixel ? 8'd1 : source_columns;
      run_words <= 16'd0;
      run_pieces <= 16'd0;
    end else if (!prepared) begin
      column_bits <= {column_bits[6:0], 1'b0};
      run_words <= {run_words[14:0], 1'b0} + (column_bit ? {6'd0, words_per_pixel} : 16'd0);
      run_pieces <= {run_pieces[14:0], 1'b0} + (column_bit ? {6'd0, pixel_pieces} : 16'd0);
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
  wire [1:0] done;
  wire take = started && !taken && !consuming;
  wire finished = consuming && !consume_start && (&done);

  reg  [`TILE_LOADER_JOB_BITS-1:0] taken_job;
  reg [9:0] last_word, before_last;
  reg  [15:0] pieces;
  reg  [1:0]  rule;
  reg         with_tags;
  reg  [12:0] diagonal;
  // Entry and count address of the halves' first pixel, from the fields of the job at the head: in two steps, the window
  // of the first row beginning `crop` above and left of the buffer. They are there long before the job is taken.
  reg [12:0] top_entry0, top_entry1;
  reg [25:0] next_entry, first_entry;
  reg [8:0] top_count0, top_count1;
  reg [17:0] next_count, first_count;
  wire        crops_row = unpool && crop_row;
  wire        crops_column = unpool && crop_column;
  wire        two_rows_down = unpool && !crop_row;

  always @(posedge clk) begin
    top_entry0 <= crops_row ? -row_entries : 13'd0;
    top_count0 <= crops_row ? -{1'b0, buffer_columns} : 9'd0;
    top_entry1 <= two_rows_down ? {row_entries[11:0], 1'b0} : row_entries;
    top_count1 <= two_rows_down ? {buffer_columns, 1'b0} : {1'b0, buffer_columns};
    next_entry[12:0] <= top_entry0 - (crops_column ? {2'd0, slot} : 13'd0);
    next_entry[25:13] <= top_entry1 - (crops_column ? {2'd0, slot} : 13'd0);
    next_count[8:0] <= top_count0 - {8'd0, crops_column};
    next_count[17:9] <= top_count1 - {8'd0, crops_column};
  end

  always @(posedge clk) begin
    consume_start <= take;
    loaded <= finished;
    if (loaded) bank <= !bank;
    if (take) begin
      taken <= 1'b1;
      consuming <= 1'b1;
    end else if (finished) begin
      consuming <= 1'b0;
    end
    if (job_ready) taken <= 1'b0;
    if (take) begin
      taken_job <= job;
      last_word <= words_per_pixel - 10'd1;
      before_last <= words_per_pixel - 10'd2;
      rule <= method;
      with_tags <= use_tags;
      pieces <= run_pieces;
      first_entry <= next_entry;
      first_count <= next_count;
      diagonal <= row_entries + {2'd0, slot};
    end
    if (rst) begin
      consume_start <= 1'b0;
      loaded <= 1'b0;
      bank <= 1'b0;
      taken <= 1'b0;
      consuming <= 1'b0;
    end
  end

  // ---- The two halves, each with its requests ----
  wire [1:0] count_valid, count_grant, half_active;
  wire [17:0] half_count_address;
  wire [21:0] half_count_data;
  wire [5:0]  dropped;
  wire [1:0] half_write, half_pair;
  wire [25:0] half_address;
  wire [53:0] half_data, half_pair_data;

  genvar half;
  generate
    for (half = 0; half < 2; half = half + 1) begin : g_half
      tile_row_requester #(
          .HALF(half)
      ) tile_row_requester (
          .clk(clk),
          .rst(rst),
          .start(issue_start),
          .busy(issue_busy[half]),
          .source_rows(source_rows),
          .source_columns(source_columns),
          .by_pixel(by_pixel),
          .source_address(source_address),
          .source_row_pitch(source_row_pitch),
          .source_pixel_pitch(source_pixel_pitch),
          .run_words(run_words),
          .use_tags(use_tags),
          .tag_address(tag_address),
          .tag_row_pitch(tag_row_pitch),
          .tag_pixel_pitch(tag_pixel_pitch),
          .run_pieces(run_pieces),
          .value_request_valid(read_request_valid[2*half]),
          .value_request_ready(read_request_ready[2*half]),
          .value_request_address(read_request_address[64*half+:32]),
          .value_request_words(read_request_words[32*half+:16]),
          .tag_request_valid(read_request_valid[2*half+1]),
          .tag_request_ready(read_request_ready[2*half+1]),
          .tag_request_address(read_request_address[64*half+32+:32]),
          .tag_request_words(read_request_words[32*half+16+:16])
      );

      tile_loader_half #(
          .HALF(half)
      ) tile_loader_half (
          .clk(clk),
          .rst(rst),
          .start(consume_start),
          .done(done[half]),
          .active(half_active[half]),
          .job(taken_job),
          .last_word(last_word),
          .before_last(before_last),
          .method(rule),
          .use_tags(with_tags),
          .run_pieces(pieces),
          .first_entry(first_entry[13*half+:13]),
          .first_count(first_count[9*half+:9]),
          .diagonal(diagonal),
          .value_valid(read_response_valid[2*half]),
          .value_ready(read_response_ready[2*half]),
          .value_data(read_response_data[128*half+:64]),
          .tag_valid(read_response_valid[2*half+1]),
          .tag_ready(read_response_ready[2*half+1]),
          .tag_data(read_response_data[128*half+64+:64]),
          .entry_write(half_write[half]),
          .entry_address(half_address[13*half+:13]),
          .entry_data(half_data[27*half+:27]),
          .pair_write(half_pair[half]),
          .pair_data(half_pair_data[27*half+:27]),
          .count_valid(count_valid[half]),
          .count_ready(count_grant[half]),
          .count_address(half_count_address[9*half+:9]),
          .count_data(half_count_data[11*half+:11]),
          .dropped(dropped[3*half+:3])
      );

      // Even entries go to one RAM, odd ones to the other. The even neighbour of an odd entry stands one row further.
      wire odd = half_address[13*half];
      wire [11:0] row = half_address[13*half+1+:12];
      wire [26:0] first = half_data[27*half+:27];
      wire [26:0] second = half_pair_data[27*half+:27];
      assign entry_write[2*half+:2] = {half_write[half] && odd || half_pair[half], half_write[half] && !odd || half_pair[half]};
      assign entry_row[24*half+:24] = {row, row + {11'd0, odd}};
      assign entry_data[54*half+:54] = odd ? {first, second} : {second, first};
    end
  endgenerate

  // ---- One count a cycle, in turns; counters' events ----
  reg turn;  // the half that is served when both offer

  assign count_grant = {count_valid[1] && (turn || !count_valid[0]), count_valid[0] && (!turn || !count_valid[1])};

  always @(posedge clk) begin
    count_write <= count_valid != 2'd0;
    count_address <= count_grant[1] ? half_count_address[17:9] : half_count_address[8:0];
    count_data <= count_grant[1] ? half_count_data[21:11] : half_count_data[10:0];
    turn <= count_grant[0];
    zeros_dropped <= {1'b0, dropped[2:0]} + {1'b0, dropped[5:3]};
    if (rst) begin
      count_write <= 1'b0;
      turn <= 1'b0;
      zeros_dropped <= 4'd0;
    end
  end

  wire ready_but_for_bank = prepared && tokens_ok && !bank_free && !started;

  assign active = |half_active;
  assign waiting_bank = !consuming && ready_but_for_bank;
  assign waiting_data = !active && (consuming || (job_valid && !ready_but_for_bank));

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_step, step, 4'd10)
  `ASSERT(prepared_in_steps, prepared == (step == 4'd10))
  `ASSERT(started_when_prepared, !started || (job_valid && prepared))
  `ASSERT(taken_when_started, !taken || started)
  `ASSERT(one_loaded, !(loaded && consume_start))
  `ASSERT(one_class, {1'b0, active} + {1'b0, waiting_data} + {1'b0, waiting_bank} <= 2'd1)
  `ASSERT(counts_in_turns, (count_grant & ~count_valid) == 2'b00 && count_grant != 2'b11)
`endif

endmodule

`default_nettype wire
