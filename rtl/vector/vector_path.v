// SPDX-License-Identifier: Apache-2.0
//
// vector_path: what VECTOR and SEED jobs pass through: the vector engine and the seed unit, with their job FIFOs.
//
// Contract: a descriptor is offered with its kind's valid; ready says that its FIFO has room. Pulses vector_done and
//   seed_done, one a job, in job order of each kind; vector_saturated, the number of the job's outputs that saturated,
//   stands with vector_done. Clients: see axi_ports.
// Numbers: as in the units.
`default_nettype none
`include "gradcore_jobs.vh"

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
    // Read clients.
    output wire [3:0]    read_request_valid,
    input  wire [3:0]    read_request_ready,
    output wire [127:0]  read_request_address,
    output wire [63:0]   read_request_words,
    input  wire [3:0]    read_response_valid,
    output wire [3:0]    read_response_ready,
    input  wire [255:0]  read_response_data,
    // Write clients.
    output wire [2:0]    write_request_valid,
    input  wire [2:0]    write_request_ready,
    output wire [95:0]   write_request_address,
    output wire [47:0]   write_request_words,
    output wire [2:0]    write_data_valid,
    input  wire [2:0]    write_data_ready,
    output wire [191:0]  write_data,
    output wire [23:0]   write_strobe,
    input  wire [2:0]    write_done,
    // Events for the counters.
    output wire [3:0]    event_macs,
    output wire [2:0]    event_zeros,
    output wire          event_active,
    output wire          event_waiting_input,
    output wire          event_waiting_output
);

  // ---- Vector engine.
  wire vector_valid, vector_ready;
  wire [`VECTOR_ENGINE_JOB_BITS-1:0] vector_job;
  wire [4:0] unused_vector_level;
  fifo #(
      .WIDTH(`VECTOR_ENGINE_JOB_BITS),
      .DEPTH(16)
  ) vector_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(vector_job_valid),
      .in_ready(vector_job_ready),
      .in_data(`VECTOR_ENGINE_JOB(descriptor)),
      .out_valid(vector_valid),
      .out_ready(vector_ready),
      .out_data(vector_job),
      .level(unused_vector_level)
  );

  wire unused_vector_busy;

  vector_engine vector_engine (
      .clk(clk),
      .rst(rst),
      .method(method),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .job_valid(vector_valid),
      .job_ready(vector_ready),
      .job(vector_job),
      .done(vector_done),
      .saturated(vector_saturated),
      .read_request_valid(read_request_valid[2:0]),
      .read_request_ready(read_request_ready[2:0]),
      .read_request_address(read_request_address[95:0]),
      .read_request_words(read_request_words[47:0]),
      .read_response_valid(read_response_valid[2:0]),
      .read_response_ready(read_response_ready[2:0]),
      .read_response_data(read_response_data[191:0]),
      .write_request_valid(write_request_valid[1:0]),
      .write_request_ready(write_request_ready[1:0]),
      .write_request_address(write_request_address[63:0]),
      .write_request_words(write_request_words[31:0]),
      .write_data_valid(write_data_valid[1:0]),
      .write_data_ready(write_data_ready[1:0]),
      .write_data(write_data[127:0]),
      .write_strobe(write_strobe[15:0]),
      .write_done(write_done[1:0]),
      .macs(event_macs),
      .zeros(event_zeros),
      .busy(unused_vector_busy),
      .active(event_active),
      .waiting_input(event_waiting_input),
      .waiting_output(event_waiting_output)
  );

  // ---- Seed unit.
  wire seed_valid, seed_ready;
  wire [`SEED_UNIT_JOB_BITS-1:0] seed_job;
  wire [2:0] unused_seed_level;
  fifo #(
      .WIDTH(`SEED_UNIT_JOB_BITS),
      .DEPTH(4)
  ) seed_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(seed_job_valid),
      .in_ready(seed_job_ready),
      .in_data(`SEED_UNIT_JOB(descriptor)),
      .out_valid(seed_valid),
      .out_ready(seed_ready),
      .out_data(seed_job),
      .level(unused_seed_level)
  );

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
      .job(seed_job),
      .done(seed_done),
      .busy(unused_seed_busy),
      .class_index(class_index),
      .class_value(class_value),
      .read_request_valid(read_request_valid[3]),
      .read_request_ready(read_request_ready[3]),
      .read_request_address(read_request_address[127:96]),
      .read_request_words(read_request_words[63:48]),
      .read_response_valid(read_response_valid[3]),
      .read_response_ready(read_response_ready[3]),
      .read_response_data(read_response_data[255:192]),
      .write_request_valid(write_request_valid[2]),
      .write_request_ready(write_request_ready[2]),
      .write_request_address(write_request_address[95:64]),
      .write_request_words(write_request_words[47:32]),
      .write_data_valid(write_data_valid[2]),
      .write_data_ready(write_data_ready[2]),
      .write_data(write_data[191:128]),
      .write_strobe(write_strobe[23:16]),
      .write_done(write_done[2])
  );

  wire unused_bits = &{1'b0, descriptor};

endmodule

`default_nettype wire
