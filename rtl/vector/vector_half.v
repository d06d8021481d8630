// SPDX-License-Identifier: Apache-2.0
//
// vector_half: one half of the vector engine: fetches the rows of its matrix plane through one port and accumulates
// them.
//
// Entries (non-zero inputs) enter through a FIFO and become row requests (vector_fetch). The words of the rows come
// back in order; each word is four weights for the four lanes and is used in the cycle in which it is taken: one
// word a cycle, no bubble between rows or jobs. Word j of a row updates accumulator row j of the lanes. The last row
// of a job also goes to the lanes' result memories, and vector_drain takes it from there while the next job's rows
// are accumulated; only the last row of that next job waits for the drain to be free. Jobs complete in order. A job
// with `keep` is done when its last row has been used; the next one goes on with its sums.
//
// Stalls: without weights; in the last row of a job while the drain is busy with the job before; while bias words
// are taken.

`default_nettype none

module vector_half (
    input  wire        clk,
    input  wire        rst,
    // job
    input  wire        job_valid,
    output wire        job_ready,
    input  wire [31:0] job_matrix_address,
    input  wire [31:0] job_bias_address,
    input  wire        job_has_bias,
    input  wire [5:0]  job_shift,
    input  wire        job_relu,
    input  wire        job_clip,
    input  wire        job_store_tags,
    input  wire        job_keep,
    input  wire [31:0] job_destination_address,
    input  wire [31:0] job_tag_destination,
    input  wire [6:0]  job_destination_words,
    output wire        done,
    // entries of the vector
    input  wire        entry_valid,
    output wire        entry_ready,
    input  wire        entry_last,
    input  wire        entry_empty,
    input  wire [31:0] entry_offset,
    input  wire [15:0] entry_value,
    // read client
    output wire        read_request_valid,
    input  wire        read_request_ready,
    output wire [31:0] read_request_address,
    output wire [15:0] read_request_words,
    input  wire        read_response_valid,
    output wire        read_response_ready,
    input  wire [63:0] read_response_data,
    // write client
    output wire        write_request_valid,
    input  wire        write_request_ready,
    output wire [31:0] write_request_address,
    output wire [15:0] write_request_words,
    output wire        write_data_valid,
    input  wire        write_data_ready,
    output wire [63:0] write_data,
    output wire [7:0]  write_strobe,
    input  wire        write_done,
    // events
    output wire        beat,          // a word of weights is used: four multiplications
    output wire        drain_active,  // an output or a mask piece moves
    output wire        drain_blocked, // the drain waits for the write port
    output wire        saturated      // an output was clipped; before the job's `done`
);

  // ---- Jobs: what the fetch needs, and what the drain needs later
  wire fetch_job_room, fetch_job_valid, fetch_job_ready, fetch_has_bias, fetch_keep;
  wire [31:0] fetch_matrix_address, fetch_bias_address;
  wire [6:0] fetch_words;
  wire drain_job_room, drain_job_valid, drain_has_bias, drain_relu, drain_clip, drain_store_tags;
  wire [5:0] drain_shift;
  wire [31:0] drain_destination_address, drain_tag_destination;
  wire [6:0] drain_words;
  wire [2:0] fetch_jobs_level, drain_jobs_level;

  assign job_ready = fetch_job_room && drain_job_room;

  fifo #(
      .WIDTH(73),
      .DEPTH(4)
  ) fetch_jobs (
      .clk(clk),
      .rst(rst),
      .in_valid(job_valid && drain_job_room),
      .in_ready(fetch_job_room),
      .in_data({job_matrix_address, job_bias_address, job_has_bias, job_keep, job_destination_words}),
      .out_valid(fetch_job_valid),
      .out_ready(fetch_job_ready),
      .out_data({fetch_matrix_address, fetch_bias_address, fetch_has_bias, fetch_keep, fetch_words}),
      .level(fetch_jobs_level)
  );

  fifo #(
      .WIDTH(81),
      .DEPTH(4)
  ) drain_jobs (
      .clk(clk),
      .rst(rst),
      .in_valid(job_valid && fetch_job_room),
      .in_ready(drain_job_room),
      .in_data({
        job_destination_address, job_tag_destination, job_shift, job_has_bias, job_relu, job_clip, job_store_tags, job_destination_words
      }),
      .out_valid(drain_job_valid),
      .out_ready(done),
      .out_data({
        drain_destination_address, drain_tag_destination, drain_shift, drain_has_bias, drain_relu, drain_clip, drain_store_tags, drain_words
      }),
      .level(drain_jobs_level)
  );

  // ---- Entries -> row requests -> rows to expect
  wire queued_valid, queued_ready, queued_last, queued_empty;
  wire [31:0] queued_offset;
  wire [15:0] queued_value;
  wire [4:0]  entries_level;
  wire asked_valid, asked_ready, asked_last, asked_empty, asked_keep;
  wire [5:0]  asked_last_word;
  wire [15:0] asked_value;
  wire next_valid, next_ready, next_last, next_empty, next_keep;
  wire [5:0]  next_last_word;
  wire [15:0] next_value;
  wire [5:0]  rows_level;

  fifo #(
      .WIDTH(50),
      .DEPTH(16)
  ) entries (
      .clk(clk),
      .rst(rst),
      .in_valid(entry_valid),
      .in_ready(entry_ready),
      .in_data({entry_last, entry_empty, entry_offset, entry_value}),
      .out_valid(queued_valid),
      .out_ready(queued_ready),
      .out_data({queued_last, queued_empty, queued_offset, queued_value}),
      .level(entries_level)
  );

  vector_fetch fetch (
      .clk(clk),
      .rst(rst),
      .job_valid(fetch_job_valid),
      .job_ready(fetch_job_ready),
      .job_matrix_address(fetch_matrix_address),
      .job_bias_address(fetch_bias_address),
      .job_has_bias(fetch_has_bias),
      .job_keep(fetch_keep),
      .job_destination_words(fetch_words),
      .entry_valid(queued_valid),
      .entry_ready(queued_ready),
      .entry_last(queued_last),
      .entry_empty(queued_empty),
      .entry_offset(queued_offset),
      .entry_value(queued_value),
      .row_valid(asked_valid),
      .row_ready(asked_ready),
      .row_last(asked_last),
      .row_empty(asked_empty),
      .row_keep(asked_keep),
      .row_last_word(asked_last_word),
      .row_value(asked_value),
      .request_valid(read_request_valid),
      .request_ready(read_request_ready),
      .request_address(read_request_address),
      .request_words(read_request_words)
  );

  fifo #(
      .WIDTH(25),
      .DEPTH(32)
  ) rows (
      .clk(clk),
      .rst(rst),
      .in_valid(asked_valid),
      .in_ready(asked_ready),
      .in_data({asked_last, asked_empty, asked_keep, asked_last_word, asked_value}),
      .out_valid(next_valid),
      .out_ready(next_ready),
      .out_data({next_last, next_empty, next_keep, next_last_word, next_value}),
      .level(rows_level)
  );

  // ---- The row in use
  reg row_valid, row_last, row_empty, row_keep;
  reg  [15:0] row_value;
  reg  [5:0]  words_left;  // after the current one
  reg         row_end;     // the current word is the row's last
  wire        row_ready;

  assign next_ready = !row_valid || row_ready;

  always @(posedge clk) begin
    if (next_ready) begin
      row_valid <= next_valid;
      row_last <= next_last;
      row_empty <= next_empty;
      row_keep <= next_keep;
      row_value <= next_value;
      words_left <= next_last_word;
      row_end <= next_last_word == 6'd0;
    end else if (beat) begin
      words_left <= words_left - 6'd1;
      row_end <= words_left == 6'd1;
    end
    if (rst) row_valid <= 1'b0;
  end

  // ---- Stage 0: use a word of weights
  wire drain_busy;
  wire bias_owner, bias_ready;
  reg  [5:0] word;       // place of the word in its row
  reg        first_row;  // of a job that goes on with no sums
  wire       go = row_valid && !bias_owner && !(row_last && drain_busy);
  wire       job_end = row_ready && row_last;  // of the oldest job inside: the drain is free
  wire       drain_start = job_end && !row_keep;
  wire       drain_done;

  assign done = drain_done || (job_end && row_keep);

  assign beat = go && !row_empty && read_response_valid;
  assign read_response_ready = bias_owner ? bias_ready : go && !row_empty;
  assign row_ready = go && (row_empty || (read_response_valid && row_end));

  // ---- Stages 1 to 3 of the lanes
  reg valid_1, valid_2, valid_3;
  reg last_1, last_2, last_3;
  reg first_1;
  reg [5:0] word_1, word_2, word_3;

  always @(posedge clk) begin
    first_1 <= first_row;
    {last_1, last_2, last_3} <= {row_last, last_1, last_2};
    {word_1, word_2, word_3} <= {word, word_1, word_2};
    {valid_1, valid_2, valid_3} <= {beat, valid_1, valid_2};
    if (beat) word <= row_end ? 6'd0 : word + 6'd1;
    if (row_ready) first_row <= row_last && (!row_keep || (first_row && row_empty));

    if (rst) begin
      {valid_1, valid_2, valid_3} <= 3'b000;
      word <= 6'd0;
      first_row <= 1'b1;
    end
  end

  // The sums of a job's last row, from where vector_drain reads them while the next job accumulates. A job of zeros alone
  // leaves those of the job before, with which it goes on.
  (* ram_style = "block", no_rw_check *) reg [191:0] results [0:63];
  wire         result_read;
  wire [5:0]   result_row;
  reg  [191:0] result;
  wire [191:0] sums;

  always @(posedge clk) begin
    if (valid_3 && last_3) results[word_3] <= sums;
    if (result_read) result <= results[result_row];
  end

  genvar l;
  generate
    for (l = 0; l < 4; l = l + 1) begin : g_lane
      vector_lane lane (
          .clk(clk),
          .weight(read_response_data[16*l+:16]),
          .value(row_value),
          .read_row(word_1),
          .first(first_1),
          .write_row(word_3),
          .write(valid_3),
          .sum(sums[48*l+:48])
      );
    end
  endgenerate

  vector_drain drain (
      .clk(clk),
      .rst(rst),
      .start(drain_start),
      .start_empty(row_empty && first_row),
      .busy(drain_busy),
      .done(drain_done),
      .job_has_bias(drain_has_bias),
      .job_shift(drain_shift),
      .job_relu(drain_relu),
      .job_clip(drain_clip),
      .job_store_tags(drain_store_tags),
      .job_destination_address(drain_destination_address),
      .job_tag_destination(drain_tag_destination),
      .job_destination_words(drain_words),
      .result_read(result_read),
      .result_row(result_row),
      .result(result),
      .bias_owner(bias_owner),
      .bias_valid(read_response_valid),
      .bias_ready(bias_ready),
      .bias_data(read_response_data[47:0]),
      .request_valid(write_request_valid),
      .request_ready(write_request_ready),
      .request_address(write_request_address),
      .request_words(write_request_words),
      .data_valid(write_data_valid),
      .data_ready(write_data_ready),
      .data(write_data),
      .strobe(write_strobe),
      .write_done(write_done),
      .active(drain_active),
      .blocked(drain_blocked),
      .saturated(saturated)
  );

  wire unused_half = &{1'b0, fetch_jobs_level, drain_jobs_level, entries_level, rows_level, drain_job_valid};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(queues_agree, !(job_valid && job_ready) || (fetch_job_room && drain_job_room))
  `ASSERT(drain_is_free, !drain_start || !drain_busy)
  `ASSERT(done_was_started, !drain_done || (drain_busy && drain_job_valid))
  `ASSERT(ends_a_job, !job_end || (drain_job_valid && !drain_busy))
  `ASSERT(words_marked, !row_valid || row_end == (words_left == 6'd0))
  `ASSERT(one_reader, !(beat && bias_ready))
  stream_checker #(.WIDTH(25)) asked_rows (
    .clk(clk), .rst(rst), .valid(asked_valid), .ready(asked_ready),
    .data({asked_last, asked_empty, asked_keep, asked_last_word, asked_value})
  );
  stream_checker #(.WIDTH(25)) next_rows (
    .clk(clk), .rst(rst), .valid(next_valid), .ready(next_ready),
    .data({next_last, next_empty, next_keep, next_last_word, next_value})
  );
`endif

endmodule

`default_nettype wire
