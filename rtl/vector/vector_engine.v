// SPDX-License-Identifier: Apache-2.0
//
// vector_engine: vector-matrix products for fully connected layers, skipping the zeros of the vector.
//
// A job computes one chunk of at most 512 outputs: half h accumulates `destination_words_h` words (4 outputs each)
// from matrix plane h, one word of four weights a cycle and half, and stores them through its own port. A job is
// accepted when tiles_stored and vectors_done have reached its wait counts and there is room; up to four are inside
// at once: the vector and the rows of the next job are read while this one is drained. `done` pulses once a job, in
// order, when all its write responses have arrived; `saturated`, how many of its outputs were clipped (as vector_drain
// says), stands with it. A job with `keep` stores nothing and is done when its last row has been used; the next job, with
// the same destination_words, goes on with its sums: so a vector can be taken in slices, as they come.
//
// Format: values and weights signed 16 bits, accumulators 48 bits exact. Input i's weights lie at plane address + (i
// << pitch_log2); the bias words (48-bit initial accumulators, rounding constant included) at the bias address, one
// an output; without bias the rounding constant is made here. Rows are fetched only as far as they are stored (>= 4
// words).
// Resources: eight DSP48E1. Contract of a job: vector_words >= 1, destination_words_h <= 64, 8 * max(4, words) <=
// pitch.
//
// Events: macs = multiplications begun in this cycle; zeros = zero inputs met; busy = active + waiting_input +
// waiting_output.

`default_nettype none
`include "gradcore_jobs.vh"

module vector_engine (
    input  wire        clk,
    input  wire        rst,
    input  wire [1:0]  method,
    input  wire [23:0] tiles_stored,
    input  wire [23:0] vectors_done,
    // job
    input  wire        job_valid,
    output wire        job_ready,
    input  wire [`VECTOR_ENGINE_JOB_BITS-1:0] job,
    output reg         done,
    output wire [9:0]  saturated,
    // read clients: matrix rows and bias of half 0, of half 1; vector and tags
    output wire [2:0]   read_request_valid,
    input  wire [2:0]   read_request_ready,
    output wire [95:0]  read_request_address,
    output wire [47:0]  read_request_words,
    input  wire [2:0]   read_response_valid,
    output wire [2:0]   read_response_ready,
    input  wire [191:0] read_response_data,
    // write clients: outputs of half 0, of half 1
    output wire [1:0]   write_request_valid,
    input  wire [1:0]   write_request_ready,
    output wire [63:0]  write_request_address,
    output wire [31:0]  write_request_words,
    output wire [1:0]   write_data_valid,
    input  wire [1:0]   write_data_ready,
    output wire [127:0] write_data,
    output wire [15:0]  write_strobe,
    input  wire [1:0]   write_done,
    // events
    output reg  [3:0]  macs,
    output reg  [2:0]  zeros,
    output wire        busy,
    output reg         active,
    output reg         waiting_input,
    output reg         waiting_output
);

  `include "vector_engine_job.vh"

  // ---- Acceptance
  wire loader_ready;
  wire [1:0] half_ready;
  reg  ready;  // for the job at the input, one cycle late: what it waits for stays until it is accepted

  assign job_ready = ready;

  wire accept = job_valid && job_ready;

  always @(posedge clk) begin
    ready <= job_valid && !accept && loader_ready && (&half_ready) && tiles_stored >= wait_tiles && vectors_done >= wait_vectors;
    if (rst) ready <= 1'b0;
  end

  // ---- Vector
  wire entry_valid, entry_last, entry_empty;
  wire [1:0]  entry_room;
  wire [31:0] entry_offset;
  wire [15:0] entry_value;
  wire [2:0]  loader_zeros;

  vector_loader loader (
      .clk(clk),
      .rst(rst),
      .method(method),
      .job_valid(accept),
      .job_ready(loader_ready),
      .job(job),
      .request_valid(read_request_valid[2]),
      .request_ready(read_request_ready[2]),
      .request_address(read_request_address[95:64]),
      .request_words(read_request_words[47:32]),
      .response_valid(read_response_valid[2]),
      .response_ready(read_response_ready[2]),
      .response_data(read_response_data[191:128]),
      .entry_valid(entry_valid),
      .entry_ready(&entry_room),
      .entry_last(entry_last),
      .entry_empty(entry_empty),
      .entry_offset(entry_offset),
      .entry_value(entry_value),
      .zeros(loader_zeros)
  );

  // ---- Halves
  wire [1:0] half_done, half_beat, half_active, half_blocked, half_saturated;
  wire [63:0] matrix_address = {matrix_address1, matrix_address0};
  wire [63:0] bias_address = {bias_address1, bias_address0};
  wire [63:0] destination_address = {destination_address1, destination_address0};
  wire [63:0] tag_destination = {tag_destination1, tag_destination0};
  wire [15:0] destination_words = {destination_words1, destination_words0};

  genvar half;
  generate
    for (half = 0; half < 2; half = half + 1) begin : g_half
      vector_half vector_half (
          .clk(clk),
          .rst(rst),
          .job_valid(accept),
          .job_ready(half_ready[half]),
          .job_matrix_address(matrix_address[32*half+:32]),
          .job_bias_address(bias_address[32*half+:32]),
          .job_has_bias(has_bias),
          .job_shift(shift),
          .job_relu(relu),
          .job_clip(clip),
          .job_store_tags(store_tags),
          .job_keep(keep),
          .job_destination_address(destination_address[32*half+:32]),
          .job_tag_destination(tag_destination[32*half+:32]),
          .job_destination_words(destination_words[8*half+:7]),
          .done(half_done[half]),
          .entry_valid(entry_valid && entry_room[1-half]),
          .entry_ready(entry_room[half]),
          .entry_last(entry_last),
          .entry_empty(entry_empty),
          .entry_offset(entry_offset),
          .entry_value(entry_value),
          .read_request_valid(read_request_valid[half]),
          .read_request_ready(read_request_ready[half]),
          .read_request_address(read_request_address[32*half+:32]),
          .read_request_words(read_request_words[16*half+:16]),
          .read_response_valid(read_response_valid[half]),
          .read_response_ready(read_response_ready[half]),
          .read_response_data(read_response_data[64*half+:64]),
          .write_request_valid(write_request_valid[half]),
          .write_request_ready(write_request_ready[half]),
          .write_request_address(write_request_address[32*half+:32]),
          .write_request_words(write_request_words[16*half+:16]),
          .write_data_valid(write_data_valid[half]),
          .write_data_ready(write_data_ready[half]),
          .write_data(write_data[64*half+:64]),
          .write_strobe(write_strobe[8*half+:8]),
          .write_done(write_done[half]),
          .beat(half_beat[half]),
          .drain_active(half_active[half]),
          .drain_blocked(half_blocked[half]),
          .saturated(half_saturated[half])
      );
    end
  endgenerate

  // ---- Completion: a job is done when both halves are; either may be some jobs ahead
  reg [2:0] finished0;
  reg [2:0] finished1;
  reg [3:0] jobs;  // accepted and not done
  wire      complete = finished0 != 3'd0 && finished1 != 3'd0;

  assign busy = jobs != 4'd0;

  always @(posedge clk) begin
    finished0 <= finished0 + {2'b00, half_done[0]} - {2'b00, complete};
    finished1 <= finished1 + {2'b00, half_done[1]} - {2'b00, complete};
    jobs <= jobs + {3'b000, accept} - {3'b000, done};
    done <= complete;
    if (rst) begin
      finished0 <= 3'd0;
      finished1 <= 3'd0;
      jobs <= 4'd0;
      done <= 1'b0;
    end
  end

  vector_saturation saturation (
      .clk(clk),
      .rst(rst),
      .saturated(half_saturated),
      .finished(half_done),
      .complete(complete),
      .count(saturated)
  );

  // ---- Events, one cycle late
  wire working = (|half_beat) || (|half_active);
  wire blocked = |half_blocked;

  always @(posedge clk) begin
    macs <= {1'b0, half_beat[0], 2'b00} + {1'b0, half_beat[1], 2'b00};
    zeros <= loader_zeros;
    active <= busy && working;
    waiting_input <= busy && !working && !blocked;
    waiting_output <= busy && !working && blocked;
    if (rst) begin
      macs <= 4'd0;
      zeros <= 3'd0;
      active <= 1'b0;
      waiting_input <= 1'b0;
      waiting_output <= 1'b0;
    end
  end

  wire unused_engine = &{1'b0, destination_words[15], destination_words[7]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(done_was_accepted, !done || jobs != 4'd0)
  `ASSERT(jobs_fit, jobs <= 4'd8 && {1'b0, finished0} <= jobs && {1'b0, finished1} <= jobs)
  `ASSERT(one_class, {1'b0, active} + {1'b0, waiting_input} + {1'b0, waiting_output} <= 2'd1)
  stream_checker #(.WIDTH(49)) entries (
    .clk(clk), .rst(rst), .valid(entry_valid), .ready(&entry_room),
    .data({entry_last, entry_offset, entry_value & {16{!entry_empty}}})
  );
`endif

endmodule

`default_nettype wire
