// SPDX-License-Identifier: Apache-2.0
//
// vector_fetch: turns the non-zero inputs of a vector into read requests of one half's matrix rows.
//
// For each entry (value, byte offset of its row, last) of a job it asks for the row and hands (value, words) on to
// the accumulating stage, in the same order; after the last entry it asks for the bias words, when the job has bias and
// does not keep its sums.
// So the read port's response stream is: rows of job n, bias words of job n, rows of job n + 1, ... One request a
// cycle. Only what is stored is fetched: a row has `words` words (at least 4: an accumulator row must not be updated
// twice within 4 cycles), the bias 4 * `words`; a half with `words` = 0 fetches nothing and hands on the last entry
// only, as empty. A vector without a non-zero value comes as one entry that is last and empty.
//
// Stalls: when the request is not accepted, or the accumulating stage's FIFO is full.

`default_nettype none

module vector_fetch (
    input  wire        clk,
    input  wire        rst,
    // job: stable until taken, which is when its last request is made
    input  wire        job_valid,
    output wire        job_ready,
    input  wire [31:0] job_matrix_address,
    input  wire [31:0] job_bias_address,
    input  wire        job_has_bias,
    input  wire        job_keep,
    input  wire [6:0]  job_destination_words,
    // entries of the vector
    input  wire        entry_valid,
    output wire        entry_ready,
    input  wire        entry_last,
    input  wire        entry_empty,
    input  wire [31:0] entry_offset,
    input  wire [15:0] entry_value,
    // rows to expect from the read port
    output wire        row_valid,
    input  wire        row_ready,
    output wire        row_last,
    output wire        row_empty,
    output wire        row_keep,
    output wire [5:0]  row_last_word,
    output wire [15:0] row_value,
    // read requests
    output reg         request_valid,
    input  wire        request_ready,
    output reg  [31:0] request_address,
    output reg  [15:0] request_words
);

  localparam [6:0] LEAST_WORDS = 7'd4;

  reg bias_next;  // the rows of this job are asked for, its bias is not yet

  wire stores = job_destination_words != 7'd0;
  wire wants_bias = job_has_bias && stores && !job_keep;
  wire wants_row = stores && !entry_empty;
  wire keep = wants_row || entry_last;
  wire [6:0] row_words = (job_destination_words < LEAST_WORDS) ? LEAST_WORDS : job_destination_words;
  wire [6:0] row_words_less_one = row_words - 7'd1;

  wire request_free = !request_valid || request_ready;
  wire offered = job_valid && entry_valid && !bias_next && request_free;
  wire take = offered && (row_ready || !keep);
  wire take_bias = bias_next && request_free;

  assign entry_ready = take;
  assign row_valid = offered && keep;
  assign row_last = entry_last;
  assign row_empty = !wants_row;
  assign row_keep = job_keep;
  assign row_last_word = row_words_less_one[5:0];
  assign row_value = entry_value;
  assign job_ready = take_bias || (take && entry_last && !wants_bias);

  always @(posedge clk) begin
    if (take) begin
      request_address <= job_matrix_address + entry_offset;
      request_words <= {9'd0, row_words};
    end else if (take_bias) begin
      request_address <= job_bias_address;
      request_words <= {7'd0, job_destination_words, 2'b00};
    end
  end

  always @(posedge clk) begin
    if (take && wants_row || take_bias) request_valid <= 1'b1;
    else if (request_ready) request_valid <= 1'b0;

    if (take && entry_last && wants_bias) bias_next <= 1'b1;
    else if (take_bias) bias_next <= 1'b0;

    if (rst) begin
      request_valid <= 1'b0;
      bias_next <= 1'b0;
    end
  end

  wire unused_fetch = &{1'b0, row_words_less_one[6]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(bias_of_a_job, !bias_next || job_valid)
  `ASSERT(requests_stand, !(take && wants_row || take_bias) || request_free)
`endif

endmodule

`default_nettype wire
