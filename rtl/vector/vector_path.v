// SPDX-License-Identifier: Apache-2.0
//
// vector_path: what VECTOR and SEED jobs pass through: the vector engine and the seed unit, with their job FIFOs.
//
// Contract: a descriptor is offered with its kind's valid; ready says that its FIFO has room. Pulses vector_done and
//   seed_done, one a job, in job order of each kind; vector_saturated, the number of the job's outputs that saturated,
//   stands with vector_done. Clients: see vector_engine and seed_unit.
// Numbers: as in the units.
`default_nettype none

module vector_path (
    input  wire          clk,
    input  wire          rst,
    input  wire [1:0]    method,
    input  wire          explain,
    input  wire [1:0]    seed_mode,
    input  wire [31:0]   seed_index,
    output wire [31:0]   class_index,
    output wire [15:0]   class_value,
    input  wire [1023:0] descriptor,
    input  wire          vector_job_valid,
    output wire          vector_job_ready,
    input  wire          seed_job_valid,
    output wire          seed_job_ready,
    input  wire [23:0]   tiles_stored,
    input  wire [23:0]   vectors_done,
    output wire          vector_done,
    output wire [9:0]    vector_saturated,
    output wire          seed_done,
    output wire          rows0_request_valid,
    input  wire          rows0_request_ready,
    output wire [31:0]   rows0_request_address,
    output wire [15:0]   rows0_request_words,
    input  wire          rows0_response_valid,
    output wire          rows0_response_ready,
    input  wire [63:0]   rows0_response_data,
    output wire          rows1_request_valid,
    input  wire          rows1_request_ready,
    output wire [31:0]   rows1_request_address,
    output wire [15:0]   rows1_request_words,
    input  wire          rows1_response_valid,
    output wire          rows1_response_ready,
    input  wire [63:0]   rows1_response_data,
    output wire          vector_request_valid,
    input  wire          vector_request_ready,
    output wire [31:0]   vector_request_address,
    output wire [15:0]   vector_request_words,
    input  wire          vector_response_valid,
    output wire          vector_response_ready,
    input  wire [63:0]   vector_response_data,
    output wire          write0_request_valid,
    input  wire          write0_request_ready,
    output wire [31:0]   write0_request_address,
    output wire [15:0]   write0_request_words,
    output wire          write0_data_valid,
    input  wire          write0_data_ready,
    output wire [63:0]   write0_data,
    output wire [7:0]    write0_strobe,
    input  wire          write0_done,
    output wire          write1_request_valid,
    input  wire          write1_request_ready,
    output wire [31:0]   write1_request_address,
    output wire [15:0]   write1_request_words,
    output wire          write1_data_valid,
    input  wire          write1_data_ready,
    output wire [63:0]   write1_data,
    output wire [7:0]    write1_strobe,
    input  wire          write1_done,
    output wire          read_request_valid,
    input  wire          read_request_ready,
    output wire [31:0]   read_request_address,
    output wire [15:0]   read_request_words,
    input  wire          read_response_valid,
    output wire          read_response_ready,
    input  wire [63:0]   read_response_data,
    output wire          write_request_valid,
    input  wire          write_request_ready,
    output wire [31:0]   write_request_address,
    output wire [15:0]   write_request_words,
    output wire          write_data_valid,
    input  wire          write_data_ready,
    output wire [63:0]   write_data,
    output wire [7:0]    write_strobe,
    input  wire          write_done,
    output wire [3:0]    event_macs,
    output wire [2:0]    event_zeros,
    output wire          event_active,
    output wire          event_waiting_input,
    output wire          event_waiting_output
);

  `include "gradcore_constants.vh"

  // ---- Vector engine.
  localparam VECTOR_BITS = 419;
  wire vector_valid, vector_ready;
  wire [VECTOR_BITS-1:0] vector_job;
  wire [4:0] unused_vector_level;
  fifo #(
      .WIDTH(VECTOR_BITS),
      .DEPTH(16)
  ) vector_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(vector_job_valid),
      .in_ready(vector_job_ready),
      .in_data({
        descriptor[DESCRIPTOR_WAIT_TILES+:DESCRIPTOR_WAIT_TILES_WIDTH],
        descriptor[DESCRIPTOR_WAIT_VECTORS+:DESCRIPTOR_WAIT_VECTORS_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_VECTOR_ADDRESS+:DESCRIPTOR_VECTOR_VECTOR_ADDRESS_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_VECTOR_WORDS+:DESCRIPTOR_VECTOR_VECTOR_WORDS_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_TAG_ADDRESS+:DESCRIPTOR_VECTOR_TAG_ADDRESS_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_LOAD_RELU],
        descriptor[DESCRIPTOR_VECTOR_TAGS],
        descriptor[DESCRIPTOR_VECTOR_PITCH_LOG2+:DESCRIPTOR_VECTOR_PITCH_LOG2_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_HAS_BIAS],
        descriptor[DESCRIPTOR_VECTOR_SHIFT+:DESCRIPTOR_VECTOR_SHIFT_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_RELU],
        descriptor[DESCRIPTOR_VECTOR_STORE_TAGS],
        descriptor[DESCRIPTOR_VECTOR_MATRIX_ADDRESS0+:DESCRIPTOR_VECTOR_MATRIX_ADDRESS0_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_MATRIX_ADDRESS1+:DESCRIPTOR_VECTOR_MATRIX_ADDRESS1_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_BIAS_ADDRESS0+:DESCRIPTOR_VECTOR_BIAS_ADDRESS0_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_BIAS_ADDRESS1+:DESCRIPTOR_VECTOR_BIAS_ADDRESS1_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_DESTINATION_ADDRESS0+:DESCRIPTOR_VECTOR_DESTINATION_ADDRESS0_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_DESTINATION_ADDRESS1+:DESCRIPTOR_VECTOR_DESTINATION_ADDRESS1_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_DESTINATION_WORDS0+:DESCRIPTOR_VECTOR_DESTINATION_WORDS0_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_DESTINATION_WORDS1+:DESCRIPTOR_VECTOR_DESTINATION_WORDS1_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_TAG_DESTINATION0+:DESCRIPTOR_VECTOR_TAG_DESTINATION0_WIDTH],
        descriptor[DESCRIPTOR_VECTOR_TAG_DESTINATION1+:DESCRIPTOR_VECTOR_TAG_DESTINATION1_WIDTH]
      }),
      .out_valid(vector_valid),
      .out_ready(vector_ready),
      .out_data(vector_job),
      .level(unused_vector_level)
  );

  wire [23:0] engine_wait_tiles;
  wire [23:0] engine_wait_vectors;
  wire [31:0] engine_vector_address;
  wire [19:0] engine_vector_words;
  wire [31:0] engine_tag_address;
  wire engine_load_relu;
  wire engine_tags;
  wire [3:0] engine_pitch_log2;
  wire engine_has_bias;
  wire [5:0] engine_shift;
  wire engine_relu;
  wire engine_store_tags;
  wire [31:0] engine_matrix_address0;
  wire [31:0] engine_matrix_address1;
  wire [31:0] engine_bias_address0;
  wire [31:0] engine_bias_address1;
  wire [31:0] engine_destination_address0;
  wire [31:0] engine_destination_address1;
  wire [7:0] engine_destination_words0;
  wire [7:0] engine_destination_words1;
  wire [31:0] engine_tag_destination0;
  wire [31:0] engine_tag_destination1;
  assign {
    engine_wait_tiles, engine_wait_vectors, engine_vector_address, engine_vector_words, engine_tag_address,
    engine_load_relu, engine_tags, engine_pitch_log2, engine_has_bias, engine_shift, engine_relu,
    engine_store_tags, engine_matrix_address0, engine_matrix_address1, engine_bias_address0,
    engine_bias_address1, engine_destination_address0, engine_destination_address1, engine_destination_words0,
    engine_destination_words1, engine_tag_destination0, engine_tag_destination1
  } = vector_job;
  wire unused_vector_busy;

  vector_engine vector_engine (
      .clk(clk),
      .rst(rst),
      .method(method),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .job_valid(vector_valid),
      .job_ready(vector_ready),
      .job_wait_tiles(engine_wait_tiles),
      .job_wait_vectors(engine_wait_vectors),
      .job_vector_address(engine_vector_address),
      .job_vector_words(engine_vector_words),
      .job_tag_address(engine_tag_address),
      .job_load_relu(engine_load_relu),
      .job_tags(engine_tags),
      .job_pitch_log2(engine_pitch_log2),
      .job_has_bias(engine_has_bias),
      .job_shift(engine_shift),
      .job_relu(engine_relu),
      .job_store_tags(engine_store_tags),
      .job_matrix_address0(engine_matrix_address0),
      .job_matrix_address1(engine_matrix_address1),
      .job_bias_address0(engine_bias_address0),
      .job_bias_address1(engine_bias_address1),
      .job_destination_address0(engine_destination_address0),
      .job_destination_address1(engine_destination_address1),
      .job_destination_words0(engine_destination_words0),
      .job_destination_words1(engine_destination_words1),
      .job_tag_destination0(engine_tag_destination0),
      .job_tag_destination1(engine_tag_destination1),
      .done(vector_done),
      .saturated(vector_saturated),
      .rows0_request_valid(rows0_request_valid),
      .rows0_request_ready(rows0_request_ready),
      .rows0_request_address(rows0_request_address),
      .rows0_request_words(rows0_request_words),
      .rows0_response_valid(rows0_response_valid),
      .rows0_response_ready(rows0_response_ready),
      .rows0_response_data(rows0_response_data),
      .rows1_request_valid(rows1_request_valid),
      .rows1_request_ready(rows1_request_ready),
      .rows1_request_address(rows1_request_address),
      .rows1_request_words(rows1_request_words),
      .rows1_response_valid(rows1_response_valid),
      .rows1_response_ready(rows1_response_ready),
      .rows1_response_data(rows1_response_data),
      .vector_request_valid(vector_request_valid),
      .vector_request_ready(vector_request_ready),
      .vector_request_address(vector_request_address),
      .vector_request_words(vector_request_words),
      .vector_response_valid(vector_response_valid),
      .vector_response_ready(vector_response_ready),
      .vector_response_data(vector_response_data),
      .write0_request_valid(write0_request_valid),
      .write0_request_ready(write0_request_ready),
      .write0_request_address(write0_request_address),
      .write0_request_words(write0_request_words),
      .write0_data_valid(write0_data_valid),
      .write0_data_ready(write0_data_ready),
      .write0_data(write0_data),
      .write0_strobe(write0_strobe),
      .write0_done(write0_done),
      .write1_request_valid(write1_request_valid),
      .write1_request_ready(write1_request_ready),
      .write1_request_address(write1_request_address),
      .write1_request_words(write1_request_words),
      .write1_data_valid(write1_data_valid),
      .write1_data_ready(write1_data_ready),
      .write1_data(write1_data),
      .write1_strobe(write1_strobe),
      .write1_done(write1_done),
      .macs(event_macs),
      .zeros(event_zeros),
      .busy(unused_vector_busy),
      .active(event_active),
      .waiting_input(event_waiting_input),
      .waiting_output(event_waiting_output)
  );

  // ---- Seed unit.
  localparam SEED_BITS = 166;
  wire seed_valid, seed_ready;
  wire [SEED_BITS-1:0] seed_job;
  wire [2:0] unused_seed_level;
  fifo #(
      .WIDTH(SEED_BITS),
      .DEPTH(4)
  ) seed_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(seed_job_valid),
      .in_ready(seed_job_ready),
      .in_data({
        descriptor[DESCRIPTOR_WAIT_TILES+:DESCRIPTOR_WAIT_TILES_WIDTH],
        descriptor[DESCRIPTOR_WAIT_VECTORS+:DESCRIPTOR_WAIT_VECTORS_WIDTH],
        descriptor[DESCRIPTOR_SEED_LOGITS_ADDRESS+:DESCRIPTOR_SEED_LOGITS_ADDRESS_WIDTH],
        descriptor[DESCRIPTOR_SEED_WORDS_PER_PIXEL+:DESCRIPTOR_SEED_WORDS_PER_PIXEL_WIDTH],
        descriptor[DESCRIPTOR_SEED_PIXELS+:DESCRIPTOR_SEED_PIXELS_WIDTH],
        descriptor[DESCRIPTOR_SEED_CHANNELS+:DESCRIPTOR_SEED_CHANNELS_WIDTH],
        descriptor[DESCRIPTOR_SEED_SEED_ADDRESS+:DESCRIPTOR_SEED_SEED_ADDRESS_WIDTH],
        descriptor[DESCRIPTOR_SEED_SEED_VALUE+:DESCRIPTOR_SEED_SEED_VALUE_WIDTH]
      }),
      .out_valid(seed_valid),
      .out_ready(seed_ready),
      .out_data(seed_job),
      .level(unused_seed_level)
  );

  wire [23:0] unit_wait_tiles;
  wire [23:0] unit_wait_vectors;
  wire [31:0] unit_logits_address;
  wire [9:0] unit_words_per_pixel;
  wire [15:0] unit_pixels;
  wire [11:0] unit_channels;
  wire [31:0] unit_seed_address;
  wire [15:0] unit_seed_value;
  assign {
    unit_wait_tiles, unit_wait_vectors, unit_logits_address, unit_words_per_pixel, unit_pixels, unit_channels,
    unit_seed_address, unit_seed_value
  } = seed_job;
  wire unused_seed_busy;

  seed_unit seed_unit (
      .clk(clk),
      .rst(rst),
      .seed_mode(seed_mode),
      .seed_index(seed_index),
      .explain(explain),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .job_valid(seed_valid),
      .job_ready(seed_ready),
      .job_wait_tiles(unit_wait_tiles),
      .job_wait_vectors(unit_wait_vectors),
      .job_logits_address(unit_logits_address),
      .job_words_per_pixel(unit_words_per_pixel),
      .job_pixels(unit_pixels),
      .job_channels(unit_channels),
      .job_seed_address(unit_seed_address),
      .job_seed_value(unit_seed_value),
      .done(seed_done),
      .busy(unused_seed_busy),
      .class_index(class_index),
      .max_value(class_value),
      .read_request_valid(read_request_valid),
      .read_request_ready(read_request_ready),
      .read_request_address(read_request_address),
      .read_request_words(read_request_words),
      .read_response_valid(read_response_valid),
      .read_response_ready(read_response_ready),
      .read_response_data(read_response_data),
      .write_request_valid(write_request_valid),
      .write_request_ready(write_request_ready),
      .write_request_address(write_request_address),
      .write_request_words(write_request_words),
      .write_data_valid(write_data_valid),
      .write_data_ready(write_data_ready),
      .write_data(write_data),
      .write_strobe(write_strobe),
      .write_done(write_done)
  );

endmodule

`default_nettype wire
