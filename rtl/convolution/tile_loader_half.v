// SPDX-License-Identifier: Apache-2.0
//
// tile_loader_half: turns the words of source rows HALF, HALF+2, ... into list entries and counts of a tile bank.
//
// Pipeline: a word meets its tags (ReLU rule, pooling index, test for zero and for positions outside the buffer) -> the
// squeezer offers its non-zero values, one a cycle or two of the same list -> + count of the list -> + position within the
// unpooled window. An entry leaves three cycles after its value was picked, the counts of a pixel through a FIFO after
// its last value.
//
// Contract: `start` is a pulse while `done`; the job's fields are stable from it until `done` is high again, which says
// that all entries but those that may be at the output in this cycle, and all counts, have left. A word with n(p) values to
// write to the list of place p of the window takes max(1, sum over p of ceil(n(p) / 2)) cycles, without unpooling
// max(1, ceil(n / 2)); there is no gap between words, pixels and rows. Words wait for tags and for room for
// counts. `dropped` is the number of values that are not written, of the word taken two cycles before. With entry_write,
// pair_write says that pair_data is the list's next entry, written in the same cycle: at entry_address + 1.
// Format: entry {channel[10:0], value[15:0]} at row * row_entries + column * slot + k modulo 8192; count addresses
// row * buffer_columns + column modulo 512.

`default_nettype none
`include "gradcore_jobs.vh"

module tile_loader_half #(
    parameter HALF = 0
) (
    input  wire        clk,
    input  wire        rst,

    input  wire        start,
    output wire        done,
    output wire        active,
    input  wire [`TILE_LOADER_JOB_BITS-1:0] job,
    input  wire [9:0]  last_word,        // words a pixel - 1
    input  wire [9:0]  before_last,      // words a pixel - 2
    input  wire [1:0]  method,
    input  wire        use_tags,
    input  wire [15:0] run_pieces,       // of a row, or with by_pixel of a pixel
    input  wire [12:0] diagonal,         // row_entries + slot
    input  wire [12:0] first_entry,      // of this half's first pixel, or of its window's first pixel
    input  wire [8:0]  first_count,

    input  wire        value_valid,
    output wire        value_ready,
    input  wire [63:0] value_data,
    input  wire        tag_valid,
    output wire        tag_ready,
    input  wire [63:0] tag_data,

    output reg         entry_write,
    output reg  [12:0] entry_address,
    output reg  [26:0] entry_data,
    output reg         pair_write,
    output reg  [26:0] pair_data,
    output wire        count_valid,
    input  wire        count_ready,
    output wire [8:0]  count_address,
    output wire [10:0] count_data,
    output reg  [2:0]  dropped
);

  `include "gradcore_constants.vh"
  `include "tile_loader_job.vh"

  wire       crops_row = unpool && crop_row;
  wire       crops_column = unpool && crop_column;
  wire [1:0] tag_skip = tag_address[2:1];         // pieces before the tile's first piece in its word
  wire [1:0] tag_skip_step = tag_row_pitch[2:1];  // the same, gained from row to row
  wire [1:0] tag_skip_pixel = tag_pixel_pitch[2:1];  // and, with by_pixel, from pixel to pixel

  // ---- Tags: pieces, then blocks ----
  reg  [7:0] tag_rows_left;     // the run that the unpacker gets next included
  reg  [7:0] tag_columns_left;  // with by_pixel
  reg [1:0] row_skip, run_skip;
  wire       tag_run_ready;
  wire       tag_row_end = !by_pixel || tag_columns_left == 8'd1;
  wire piece_valid, piece_ready;
  wire [15:0] piece_data;
  wire tags_valid, tags_ready;
  wire [15:0] tags_mask;
  wire [31:0] tags_index;

  piece_unpacker #(
      .PIECES_WIDTH(16)
  ) u_pieces (
      .clk(clk),
      .rst(rst),
      .row_valid(tag_rows_left != 8'd0),
      .row_ready(tag_run_ready),
      .row_skip(run_skip),
      .row_pieces(run_pieces),
      .word_valid(tag_valid),
      .word_ready(tag_ready),
      .word_data(tag_data),
      .piece_valid(piece_valid),
      .piece_ready(piece_ready),
      .piece_data(piece_data)
  );

  tag_collector u_tags (
      .clk(clk),
      .rst(rst),
      .indexed(unpool),
      .piece_valid(piece_valid),
      .piece_ready(piece_ready),
      .piece_data(piece_data),
      .tags_valid(tags_valid),
      .tags_ready(tags_ready),
      .tags_mask(tags_mask),
      .tags_index(tags_index)
  );

  // ---- The word at hand, and which of its values are not zero ----
  wire        word_here;
  wire [63:0] word_data;
  wire [3:0]  nonzero;
  wire        take;

  skid_buffer #(
      .WIDTH(68)
  ) u_word (
      .clk(clk),
      .rst(rst),
      .in_valid(value_valid),
      .in_ready(value_ready),
      .in_data({|value_data[63:48], |value_data[47:32], |value_data[31:16], |value_data[15:0], value_data}),
      .out_valid(word_here),
      .out_ready(take),
      .out_data({nonzero, word_data})
  );

  // ---- Walk over the words of the source rows ----
  wire [8:0] half_rows = (HALF == 0) ? {1'b0, source_rows} + 9'd1 : {1'b0, source_rows};
  wire       unused_row_bit = half_rows[0];

  reg  [7:0] rows_left;             // the current row included; 0: all words are in
  reg  [7:0] columns_left;
  reg  [8:0] word;
  reg signed [9:0] rows_inside;     // buffer rows from the current pixel's first one to the end; may fall below 0
  reg signed [9:0] columns_inside;
  reg [1:0] row_ok, column_ok;  // the window's {second, first} row or column is inside; without unpooling both bits are the pixel's
  reg        running;               // rows_left != 0
  reg        last_row_left;         // rows_left == 1

  wire       squeezer_ready;
  reg        pixel_last;            // word == last_word
  wire       row_last = pixel_last && columns_left == 8'd1;
  reg        block_last;            // the last word that its tags are for: pixel_last || word % 4 == 3 || index_channel

  assign take = word_here && running && squeezer_ready && (tags_valid || !use_tags);
  assign tags_ready = take && block_last && use_tags;

  wire signed [9:0] all_columns_inside = {2'b00, buffer_columns} + {9'd0, crops_column};
  wire signed [9:0] row_step_inside = unpool ? 10'sd4 : 10'sd2;
  wire signed [9:0] column_step_inside = unpool ? 10'sd2 : 10'sd1;
  // The first row of half 1 is one source row further down;
  wire signed [9:0] first_rows_inside = {2'b00, buffer_rows} +
      (HALF == 0 ? (crops_row ? 10'sd1 : 10'sd0) : (unpool && !crops_row) ? -10'sd2 : -10'sd1);
  // Of the first window: {its second row is inside, its first one is}; the buffer has a row at least.
  wire [1:0] first_row_ok = (HALF == 0) ? {!unpool || crop_row || buffer_rows > 8'd1, !crops_row} :
      !unpool ? {2{buffer_rows > 8'd1}} : crop_row ? {buffer_rows > 8'd2, buffer_rows > 8'd1} :
      {buffer_rows > 8'd3, buffer_rows > 8'd2};
  wire signed [9:0] next_rows_inside = rows_inside - row_step_inside;
  wire signed [9:0] next_columns_inside = columns_inside - column_step_inside;
  wire [1:0] next_row_skip = start ? (HALF == 0 ? tag_skip : tag_skip + tag_skip_step) : row_skip + {tag_skip_step[0], 1'b0};

  always @(posedge clk) begin
    if (start) begin
      columns_left <= source_columns;
      word <= 9'd0;
      pixel_last <= last_word == 10'd0;
      block_last <= last_word == 10'd0 || index_channel;
      rows_inside <= first_rows_inside;
      columns_inside <= all_columns_inside;
      row_ok <= first_row_ok;
      column_ok <= {all_columns_inside > $signed({9'd0, unpool}), !crops_column};
    end else if (take) begin
      word <= pixel_last ? 9'd0 : word + 9'd1;
      pixel_last <= pixel_last ? last_word == 10'd0 : {1'b0, word} == before_last;
      block_last <= index_channel || (pixel_last ? last_word == 10'd0 : {1'b0, word} == before_last || word[1:0] == 2'd2);
      if (row_last) begin
        columns_left <= source_columns;
        rows_inside <= next_rows_inside;
        columns_inside <= all_columns_inside;
        row_ok <= {next_rows_inside > $signed({9'd0, unpool}), next_rows_inside > 10'sd0};
        column_ok <= {all_columns_inside > $signed({9'd0, unpool}), !crops_column};
      end else if (pixel_last) begin
        columns_left <= columns_left - 8'd1;
        columns_inside <= next_columns_inside;
        column_ok <= {next_columns_inside > $signed({9'd0, unpool}), next_columns_inside > 10'sd0};
      end
    end
    if (start || (tag_run_ready && tag_row_end)) begin
      row_skip <= next_row_skip;
      run_skip <= next_row_skip;
      tag_columns_left <= source_columns;
    end else if (tag_run_ready) begin
      run_skip <= run_skip + tag_skip_pixel;
      tag_columns_left <= tag_columns_left - 8'd1;
    end

    if (start) begin
      rows_left <= half_rows[8:1];
      running <= half_rows[8:1] != 8'd0;
      last_row_left <= half_rows[8:1] == 8'd1;
    end else if (take && row_last) begin
      rows_left <= rows_left - 8'd1;
      running <= !last_row_left;
      last_row_left <= rows_left == 8'd2;
    end
    if (start) tag_rows_left <= use_tags ? half_rows[8:1] : 8'd0;
    else if (tag_run_ready && tag_row_end && tag_rows_left != 8'd0) tag_rows_left <= tag_rows_left - 8'd1;
    if (rst) begin
      running <= 1'b0;
      tag_rows_left <= 8'd0;
    end
  end

  // ---- What of the word is to be written ----
  // Which places of the window are inside the buffer.
  wire [3:0] positions = {{2{row_ok[1] && unpool}}, {2{row_ok[0]}}} & {2{column_ok[1] && unpool, column_ok[0]}};
  reg  [3:0]  mask;
  reg  [7:0]  tag_index;
  // Of the job, which is there before its words: what its tags bring, and its rule; without one that of Saliency with all masks 1.
  reg masked, indexed;
  reg  [1:0]  rule;
  wire [3:0]  keep;
  wire [3:0]  write;

  always @(posedge clk) begin
    masked <= use_tags && load_relu;
    indexed <= use_tags && unpool;
    rule <= load_relu ? method : METHOD_SALIENCY;
  end

  always @* begin
    case (word[1:0])
      2'd0: {mask, tag_index} = {tags_mask[3:0], tags_index[7:0]};
      2'd1: {mask, tag_index} = {tags_mask[7:4], tags_index[15:8]};
      2'd2: {mask, tag_index} = {tags_mask[11:8], tags_index[23:16]};
      default: {mask, tag_index} = {tags_mask[15:12], tags_index[31:24]};
    endcase
    if (!masked) mask = 4'b1111;
  end

  wire [7:0] index = tag_index & {8{indexed}};

  relu_keep u_rule (
      .negative({word_data[63], word_data[47], word_data[31], word_data[15]}),
      .mask(mask),
      .method(rule),
      .enable(1'b1),
      .keep(keep)
  );

  genvar k;
  generate
    for (k = 0; k < 4; k = k + 1) begin : g_write
      wire [1:0] place = tag_index[2*k+:2];  // unknown without indices: then both rows and both columns are alike
      wire lands = (place[1] ? row_ok[1] : row_ok[0]) && (place[0] ? column_ok[1] : column_ok[0]);
      assign write[k] = nonzero[k] && keep[k] && lands;
    end
  endgenerate

  // ---- One value a cycle, or two of the same list ----
  wire word_valid, finish, finish_ready, pick_valid, pick_pair;
  wire [1:0] pick_position, pair_position;
  wire [15:0] pick_value, pair_value;
  reg  [7:0]  held_index;
  reg  [15:0] held_places;  // with index_channel: the word's tags
  reg  [8:0]  held_word;
  reg  [3:0]  held_positions;
  reg  [3:0]  held_write;   // of the word that was taken in the cycle before, with held_new
  reg         held_new;
  reg held_pixel_last, held_row_last;
  wire counts_ready;

  assign finish_ready = !held_pixel_last || counts_ready;

  nonzero_squeezer u_squeezer (
      .clk(clk),
      .rst(rst),
      .in_valid(take),
      .in_ready(squeezer_ready),
      .in_values(word_data),
      .in_write(write),
      .in_place(index),
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

  always @(posedge clk) begin
    if (take) begin
      held_index <= index;
      held_places <= tags_mask;
      held_word <= word;
      held_positions <= positions;
      held_pixel_last <= pixel_last;
      held_row_last <= row_last;
    end
    held_write <= write;
    held_new <= take;
    dropped <= held_new ? {2'd0, !held_write[0]} + {2'd0, !held_write[1]} + {2'd0, !held_write[2]} +
                          {2'd0, !held_write[3]} : 3'd0;
    if (rst) begin
      held_new <= 1'b0;
      dropped <= 3'd0;
    end
  end

  // ---- Where it goes: first entry and count address of the pixel, or of its window's first pixel ----
  wire pixel_end = finish && held_pixel_last;
  reg [12:0] pixel_entry, row_entry;
  reg [8:0] pixel_count, row_count;
  reg  [43:0] counts;
  reg  [43:0] next_counts;
  reg  [1:0]  pick_index;
  reg  [10:0] pick_count;
  wire [10:0] picked = {9'd0, pick_pair, !pick_pair};  // 1 or 2 values

  wire [12:0] next_row_entry = row_entry + (unpool ? {row_entries[10:0], 2'd0} : {row_entries[11:0], 1'b0});
  wire [8:0]  next_row_count = row_count + (unpool ? {buffer_columns[6:0], 2'd0} : {buffer_columns, 1'b0});
  wire [12:0] pixel_entries = unpool ? {1'b0, slot, 1'b0} : {2'd0, slot};
  always @* begin
    case (pick_position)
      2'd0: pick_index = held_index[1:0];
      2'd1: pick_index = held_index[3:2];
      2'd2: pick_index = held_index[5:4];
      default: pick_index = held_index[7:6];
    endcase
    case (pick_index)
      2'd0: pick_count = counts[10:0];
      2'd1: pick_count = counts[21:11];
      2'd2: pick_count = counts[32:22];
      default: pick_count = counts[43:33];
    endcase
    next_counts[10:0] = counts[10:0] + (pick_valid && pick_index == 2'd0 ? picked : 11'd0);
    next_counts[21:11] = counts[21:11] + (pick_valid && pick_index == 2'd1 ? picked : 11'd0);
    next_counts[32:22] = counts[32:22] + (pick_valid && pick_index == 2'd2 ? picked : 11'd0);
    next_counts[43:33] = counts[43:33] + (pick_valid && pick_index == 2'd3 ? picked : 11'd0);
  end

  always @(posedge clk) begin
    if (start) begin
      pixel_entry <= first_entry;
      row_entry <= first_entry;
      pixel_count <= first_count;
      row_count <= first_count;
    end else if (pixel_end) begin
      if (held_row_last) begin
        pixel_entry <= next_row_entry;
        row_entry <= next_row_entry;
        pixel_count <= next_row_count;
        row_count <= next_row_count;
      end else begin
        pixel_entry <= pixel_entry + pixel_entries;
        pixel_count <= pixel_count + (unpool ? 9'd2 : 9'd1);
      end
    end
    if (start || pixel_end) counts <= 44'd0;
    else counts <= next_counts;
  end

  // ---- Address: list, then place in the window; channel: word and position, then with index_channel the index before them ----
  reg sum_valid, sum_pair;
  reg  [12:0] sum_address;
  reg  [1:0]  sum_index;
  reg [26:0] sum_data, sum_pair_data;
  reg [12:0] window_offset;
  reg [15:0] sum_places;

  // An entry whose channel holds the index of its own position.
  function [26:0] with_index;
    input [26:0] entry;
    input [15:0] places;
    input enable;
    with_index = enable ? {3'd0, places[4*entry[17:16]+:4], entry[19:0]} : entry;
  endfunction

  always @* begin
    case (sum_index)
      2'd0: window_offset = 13'd0;
      2'd1: window_offset = {2'd0, slot};
      2'd2: window_offset = row_entries;
      default: window_offset = diagonal;
    endcase
  end

  always @(posedge clk) begin
    sum_valid <= pick_valid;
    sum_pair <= pick_valid && pick_pair;
    sum_address <= pixel_entry + {2'd0, pick_count};
    sum_index <= pick_index;
    sum_data <= {held_word, pick_position, pick_value};
    sum_pair_data <= {held_word, pair_position, pair_value};
    sum_places <= held_places;
    entry_write <= sum_valid;
    entry_address <= sum_address + window_offset;
    entry_data <= with_index(sum_data, sum_places, index_channel);
    pair_write <= sum_pair;
    pair_data <= with_index(sum_pair_data, sum_places, index_channel);
    if (rst) begin
      sum_valid <= 1'b0;
      sum_pair <= 1'b0;
      entry_write <= 1'b0;
      pair_write <= 1'b0;
    end
  end

  // ---- Counts ----
  wire counts_empty;

  count_queue u_counts (
      .clk(clk),
      .rst(rst),
      .row_pixels(buffer_columns),
      .in_valid(pixel_end),
      .in_ready(counts_ready),
      .in_write(held_positions),
      .in_address(pixel_count),
      .in_counts(next_counts),
      .out_valid(count_valid),
      .out_ready(count_ready),
      .out_address(count_address),
      .out_count(count_data),
      .empty(counts_empty)
  );

  assign active = word_valid || !counts_empty;
  assign done = !running && !word_valid && !sum_valid && counts_empty;

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(started_when_done, !start || done)
  `ASSERT(rows_marked, running == (rows_left != 8'd0) || !started_once)
  `ASSERT(last_word_marked, !running || pixel_last == ({1'b0, word} == last_word))
  `ASSERT(counts_have_room, !pixel_end || counts_ready)
  // Of the words taken every value is written or dropped, once.
  reg started_once;
  reg [15:0] open;
  reg [2:0] quiet;  // cycles since all was done
  always @(posedge clk) begin
    started_once <= !rst && (started_once || start);
    open <= rst ? 16'd0 : open + {13'd0, take, 2'b00} - {15'd0, entry_write} - {15'd0, pair_write} - {13'd0, dropped};
    quiet <= {quiet[1:0], done && !start && !rst};
  end
  `ASSERT(pair_follows_an_entry, !pair_write || entry_write)
  `ASSERT(pair_within_the_bank, !pair_write || entry_address != 13'h1fff)
  `ASSERT(values_conserved, quiet != 3'b111 || open == 16'd0)
  stream_checker #(.WIDTH(16)) pieces (
    .clk(clk), .rst(rst), .valid(piece_valid), .ready(piece_ready), .data(piece_data)
  );
  stream_checker #(.WIDTH(16)) masks (
    .clk(clk), .rst(rst), .valid(tags_valid), .ready(tags_ready), .data(tags_mask)
  );
  stream_checker #(.WIDTH(68)) words (
    .clk(clk), .rst(rst), .valid(word_here), .ready(take), .data({nonzero, word_data})
  );
  stream_checker #(.WIDTH(20)) counted (
    .clk(clk), .rst(rst), .valid(count_valid), .ready(count_ready), .data({count_address, count_data})
  );
`endif

endmodule

`default_nettype wire
