// SPDX-License-Identifier: Apache-2.0
//
// vector_engine: vector-matrix products for fully connected layers, skipping the zeros of the vector.
//
// A job computes one chunk of at most 512 outputs: half h accumulates `destination_words_h` words (4 outputs each)
// from matrix plane h, one word of four weights a cycle and half, and stores them through its own port. A job is
// accepted when tiles_stored and vectors_done have reached its wait counts and there is room; up to four are inside
// at once: the vector and the rows of the next job are read while this one is drained. `done` pulses once a job, in
// order, when all its write responses have arrived; `saturated`, how many of its outputs were clipped (as vector_drain
// says), stands with it.
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

module vector_engine (
  input  wire        clk,
  input  wire        rst,
  input  wire [1:0]  method,
  input  wire [23:0] tiles_stored,
  input  wire [23:0] vectors_done,
  // job
  input  wire        job_valid,
  output wire        job_ready,
  input  wire [23:0] job_wait_tiles,
  input  wire [23:0] job_wait_vectors,
  input  wire [31:0] job_vector_address,
  input  wire [19:0] job_vector_words,
  input  wire [31:0] job_tag_address,
  input  wire        job_load_relu,
  input  wire        job_tags,
  input  wire [3:0]  job_pitch_log2,
  input  wire        job_has_bias,
  input  wire [5:0]  job_shift,
  input  wire        job_relu,
  input  wire        job_store_tags,
  input  wire [31:0] job_matrix_address0,
  input  wire [31:0] job_matrix_address1,
  input  wire [31:0] job_bias_address0,
  input  wire [31:0] job_bias_address1,
  input  wire [31:0] job_destination_address0,
  input  wire [31:0] job_destination_address1,
  input  wire [7:0]  job_destination_words0,
  input  wire [7:0]  job_destination_words1,
  input  wire [31:0] job_tag_destination0,
  input  wire [31:0] job_tag_destination1,
  output reg         done,
  output wire [9:0]  saturated,
  // matrix rows and bias of half 0: port 0 client 3
  output wire        rows0_request_valid,
  input  wire        rows0_request_ready,
  output wire [31:0] rows0_request_address,
  output wire [15:0] rows0_request_words,
  input  wire        rows0_response_valid,
  output wire        rows0_response_ready,
  input  wire [63:0] rows0_response_data,
  // matrix rows and bias of half 1: port 1 client 3
  output wire        rows1_request_valid,
  input  wire        rows1_request_ready,
  output wire [31:0] rows1_request_address,
  output wire [15:0] rows1_request_words,
  input  wire        rows1_response_valid,
  output wire        rows1_response_ready,
  input  wire [63:0] rows1_response_data,
  // vector and tags: port 1 client 4
  output wire        vector_request_valid,
  input  wire        vector_request_ready,
  output wire [31:0] vector_request_address,
  output wire [15:0] vector_request_words,
  input  wire        vector_response_valid,
  output wire        vector_response_ready,
  input  wire [63:0] vector_response_data,
  // outputs of half 0: port 0 write client 1
  output wire        write0_request_valid,
  input  wire        write0_request_ready,
  output wire [31:0] write0_request_address,
  output wire [15:0] write0_request_words,
  output wire        write0_data_valid,
  input  wire        write0_data_ready,
  output wire [63:0] write0_data,
  output wire [7:0]  write0_strobe,
  input  wire        write0_done,
  // outputs of half 1: port 1 write client 1
  output wire        write1_request_valid,
  input  wire        write1_request_ready,
  output wire [31:0] write1_request_address,
  output wire [15:0] write1_request_words,
  output wire        write1_data_valid,
  input  wire        write1_data_ready,
  output wire [63:0] write1_data,
  output wire [7:0]  write1_strobe,
  input  wire        write1_done,
  // events
  output reg  [3:0]  macs,
  output reg  [2:0]  zeros,
  output wire        busy,
  output reg         active,
  output reg         waiting_input,
  output reg         waiting_output
);

  // ---- Acceptance
  wire loader_ready, half0_ready, half1_ready;
  reg  ready;  // for the job at the input, one cycle late: what it waits for stays until it is accepted

  assign job_ready = ready;

  wire accept = job_valid && job_ready;

  always @(posedge clk) begin
    ready <= job_valid && !accept && loader_ready && half0_ready && half1_ready &&
             tiles_stored >= job_wait_tiles && vectors_done >= job_wait_vectors;
    if (rst)
      ready <= 1'b0;
  end

  // ---- Vector
  wire        entry_valid, entry_last, entry_empty, entry_room0, entry_room1;
  wire [31:0] entry_offset;
  wire [15:0] entry_value;
  wire [2:0]  loader_zeros;

  vector_loader loader (
    .clk(clk), .rst(rst), .method(method),
    .job_valid(accept), .job_ready(loader_ready),
    .job_vector_address(job_vector_address), .job_vector_words(job_vector_words), .job_tag_address(job_tag_address),
    .job_relu(job_load_relu), .job_tags(job_tags), .job_pitch_log2(job_pitch_log2),
    .request_valid(vector_request_valid), .request_ready(vector_request_ready),
    .request_address(vector_request_address), .request_words(vector_request_words),
    .response_valid(vector_response_valid), .response_ready(vector_response_ready),
    .response_data(vector_response_data),
    .entry_valid(entry_valid), .entry_ready(entry_room0 && entry_room1), .entry_last(entry_last),
    .entry_empty(entry_empty), .entry_offset(entry_offset), .entry_value(entry_value),
    .zeros(loader_zeros)
  );

  // ---- Halves
  wire half0_done, half0_beat, half0_active, half0_blocked;
  wire half1_done, half1_beat, half1_active, half1_blocked;
  wire [1:0] half_saturated;

  vector_half half0 (
    .clk(clk), .rst(rst),
    .job_valid(accept), .job_ready(half0_ready),
    .job_matrix_address(job_matrix_address0), .job_bias_address(job_bias_address0), .job_has_bias(job_has_bias),
    .job_shift(job_shift), .job_relu(job_relu), .job_store_tags(job_store_tags),
    .job_destination_address(job_destination_address0), .job_tag_destination(job_tag_destination0),
    .job_words(job_destination_words0[6:0]), .done(half0_done),
    .entry_valid(entry_valid && entry_room1), .entry_ready(entry_room0), .entry_last(entry_last),
    .entry_empty(entry_empty), .entry_offset(entry_offset), .entry_value(entry_value),
    .read_request_valid(rows0_request_valid), .read_request_ready(rows0_request_ready),
    .read_request_address(rows0_request_address), .read_request_words(rows0_request_words),
    .read_response_valid(rows0_response_valid), .read_response_ready(rows0_response_ready),
    .read_response_data(rows0_response_data),
    .write_request_valid(write0_request_valid), .write_request_ready(write0_request_ready),
    .write_request_address(write0_request_address), .write_request_words(write0_request_words),
    .write_data_valid(write0_data_valid), .write_data_ready(write0_data_ready),
    .write_data(write0_data), .write_strobe(write0_strobe), .write_done(write0_done),
    .beat(half0_beat), .drain_active(half0_active), .drain_blocked(half0_blocked),
    .saturated(half_saturated[0])
  );

  vector_half half1 (
    .clk(clk), .rst(rst),
    .job_valid(accept), .job_ready(half1_ready),
    .job_matrix_address(job_matrix_address1), .job_bias_address(job_bias_address1), .job_has_bias(job_has_bias),
    .job_shift(job_shift), .job_relu(job_relu), .job_store_tags(job_store_tags),
    .job_destination_address(job_destination_address1), .job_tag_destination(job_tag_destination1),
    .job_words(job_destination_words1[6:0]), .done(half1_done),
    .entry_valid(entry_valid && entry_room0), .entry_ready(entry_room1), .entry_last(entry_last),
    .entry_empty(entry_empty), .entry_offset(entry_offset), .entry_value(entry_value),
    .read_request_valid(rows1_request_valid), .read_request_ready(rows1_request_ready),
    .read_request_address(rows1_request_address), .read_request_words(rows1_request_words),
    .read_response_valid(rows1_response_valid), .read_response_ready(rows1_response_ready),
    .read_response_data(rows1_response_data),
    .write_request_valid(write1_request_valid), .write_request_ready(write1_request_ready),
    .write_request_address(write1_request_address), .write_request_words(write1_request_words),
    .write_data_valid(write1_data_valid), .write_data_ready(write1_data_ready),
    .write_data(write1_data), .write_strobe(write1_strobe), .write_done(write1_done),
    .beat(half1_beat), .drain_active(half1_active), .drain_blocked(half1_blocked),
    .saturated(half_saturated[1])
  );

  // ---- Completion: a job is done when both halves are; either may be some jobs ahead
  reg [2:0] finished0;
  reg [2:0] finished1;
  reg [3:0] jobs;  // accepted and not done
  wire      complete = finished0 != 3'd0 && finished1 != 3'd0;

  assign busy = jobs != 4'd0;

  always @(posedge clk) begin
    finished0 <= finished0 + {2'b00, half0_done} - {2'b00, complete};
    finished1 <= finished1 + {2'b00, half1_done} - {2'b00, complete};
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
    .clk(clk), .rst(rst),
    .saturated(half_saturated), .finished({half1_done, half0_done}), .complete(complete), .count(saturated)
  );

  // ---- Events, one cycle late
  wire working = half0_beat || half1_beat || half0_active || half1_active;
  wire blocked = half0_blocked || half1_blocked;

  always @(posedge clk) begin
    macs <= {1'b0, half0_beat, 2'b00} + {1'b0, half1_beat, 2'b00};
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

  wire unused_engine = &{1'b0, job_destination_words0[7], job_destination_words1[7]};

endmodule

`default_nettype wire
