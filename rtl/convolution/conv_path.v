// SPDX-License-Identifier: Apache-2.0
//
// conv_path: everything that a TILE or WEIGHTS job passes through: tile loader, weight loader, conv engine, output
// buffer and tile store, with their job FIFOs.
//
// Contract: a TILE descriptor is offered to loader, groups and store together, a WEIGHTS descriptor to the weight
//   loader; each ready says that its FIFOs have room. Pulses: tile_computed, tile_stored, weights_done, one a job, in
//   job order; a TILE job with to_partial is computed, but not stored: the store does not see it. tile_saturated, the
//   number of the tile's values that saturated, stands with tile_stored. Clients: see axi_ports.
// Numbers: as in the units.
`default_nettype none
`include "gradcore_sizes.vh"
`include "gradcore_jobs.vh"

module conv_path #(
    parameter GROUPS = `GROUPS,
    parameter TILE_DEPTH = `TILE_ENTRIES,
    parameter WEIGHT_DEPTH = `WEIGHT_ROWS
) (
    input  wire                clk,
    input  wire                rst,
    input  wire [         1:0] method,
    input  wire [      1023:0] descriptor,
    input  wire                tile_job_valid,
    output wire                tile_job_ready,
    input  wire                weights_job_valid,
    output wire                weights_job_ready,
    // Tokens.
    input  wire [        23:0] tiles_stored,
    input  wire [        23:0] vectors_done,
    input  wire [        23:0] weights_loaded,
    input  wire [        23:0] tiles_computed,
    output wire                tile_computed,
    output wire                tile_stored,
    output wire [        15:0] tile_saturated,
    output wire                weights_done,
    // Read clients.
    output wire [         5:0] read_request_valid,
    input  wire [         5:0] read_request_ready,
    output wire [       191:0] read_request_address,
    output wire [        95:0] read_request_words,
    input  wire [         5:0] read_response_valid,
    output wire [         5:0] read_response_ready,
    input  wire [       383:0] read_response_data,
    // Write clients.
    output wire [         1:0] write_request_valid,
    input  wire [         1:0] write_request_ready,
    output wire [        63:0] write_request_address,
    output wire [        31:0] write_request_words,
    output wire [         1:0] write_data_valid,
    input  wire [         1:0] write_data_ready,
    output wire [       127:0] write_data,
    output wire [        15:0] write_strobe,
    input  wire [         1:0] write_done,
    // Events for the counters.
    output wire [2*GROUPS-1:0] event_issue,
    output wire [2*GROUPS-1:0] event_output_wait,
    output wire [         3:0] event_zeros,
    output wire [         2:0] event_loader,  // waiting for a bank, waiting for data, active
    output wire [         2:0] event_store    // waiting for a port, waiting for a tile, active
);

  `include "gradcore_constants.vh"

  // ---- Tile loader.
  wire load_queue_ready, group_queue_ready, store_queue_ready;
  assign tile_job_ready = load_queue_ready && group_queue_ready && store_queue_ready;
  wire push_tile = tile_job_valid && tile_job_ready;
  wire stores = !descriptor[DESCRIPTOR_TILE_TO_PARTIAL];

  wire load_valid, load_ready;
  wire [`TILE_LOADER_JOB_BITS-1:0] load_job;
  wire [4:0] unused_load_level;
  fifo #(
      .WIDTH(`TILE_LOADER_JOB_BITS),
      .DEPTH(16)
  ) load_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(push_tile),
      .in_ready(load_queue_ready),
      .in_data(`TILE_LOADER_JOB(descriptor)),
      .out_valid(load_valid),
      .out_ready(load_ready),
      .out_data(load_job),
      .level(unused_load_level)
  );

  // Banks that no group still reads: two, less one for each job taken and not yet computed.
  reg [1:0] free_banks;
  always @(posedge clk) begin
    free_banks <= free_banks + {1'b0, tile_computed} - {1'b0, load_ready};
    if (rst) free_banks <= 2'd2;
  end

  wire tile_loaded, entry_bank, count_write, unused_loader_busy;
  wire [3:0] entry_write;
  wire [47:0] entry_row;
  wire [107:0] entry_data;
  wire [8:0] count_address;
  wire [10:0] count_data;

  tile_loader tile_loader (
      .clk(clk),
      .rst(rst),
      .job_valid(load_valid),
      .job_ready(load_ready),
      .job(load_job),
      .method(method),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .bank_free(free_banks != 2'd0),
      .loaded(tile_loaded),
      .bank(entry_bank),
      .busy(unused_loader_busy),
      .read_request_valid(read_request_valid[3:0]),
      .read_request_ready(read_request_ready[3:0]),
      .read_request_address(read_request_address[127:0]),
      .read_request_words(read_request_words[63:0]),
      .read_response_valid(read_response_valid[3:0]),
      .read_response_ready(read_response_ready[3:0]),
      .read_response_data(read_response_data[255:0]),
      .entry_write(entry_write),
      .entry_row(entry_row),
      .entry_data(entry_data),
      .count_write(count_write),
      .count_address(count_address),
      .count_data(count_data),
      .zeros_dropped(event_zeros),
      .active(event_loader[0]),
      .waiting_data(event_loader[1]),
      .waiting_bank(event_loader[2])
  );

  // ---- Weight loader.
  wire weights_valid, weights_ready;
  wire [`WEIGHT_LOADER_JOB_BITS-1:0] weights_job;
  wire [4:0] unused_weights_level;
  fifo #(
      .WIDTH(`WEIGHT_LOADER_JOB_BITS),
      .DEPTH(16)
  ) weights_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(weights_job_valid),
      .in_ready(weights_job_ready),
      .in_data(`WEIGHT_LOADER_JOB(descriptor)),
      .out_valid(weights_valid),
      .out_ready(weights_ready),
      .out_data(weights_job),
      .level(unused_weights_level)
  );

  wire [GROUPS-1:0] weight_write, initial_write;
  wire [9:0] weight_address;
  wire [`LANES*16-1:0] weight_data;
  wire [4:0] initial_address;
  wire [47:0] initial_data;
  wire unused_weights_busy;

  weight_loader #(
      .GROUPS(GROUPS),
      .WEIGHT_DEPTH(WEIGHT_DEPTH)
  ) weight_loader (
      .clk(clk),
      .rst(rst),
      .job_valid(weights_valid),
      .job_ready(weights_ready),
      .job(weights_job),
      .tiles_computed(tiles_computed),
      .loaded(weights_done),
      .busy(unused_weights_busy),
      .read_request_valid(read_request_valid[5:4]),
      .read_request_ready(read_request_ready[5:4]),
      .read_request_address(read_request_address[191:128]),
      .read_request_words(read_request_words[95:64]),
      .read_response_valid(read_response_valid[5:4]),
      .read_response_ready(read_response_ready[5:4]),
      .read_response_data(read_response_data[383:256]),
      .weight_write(weight_write),
      .weight_address(weight_address),
      .weight_data(weight_data),
      .initial_write(initial_write),
      .initial_address(initial_address),
      .initial_data(initial_data)
  );

  // ---- Conv engine and output buffer.
  wire [2*GROUPS-1:0] transfer_valid, transfer_ready, transfer_tag, transfer_bank, transfer_parity;
  wire [18*GROUPS-1:0] transfer_address;
  wire [128*GROUPS-1:0] transfer_data;
  wire buffer_released;
  wire [2*GROUPS-1:0] event_saturated, event_saturated_bank;

  conv_engine #(
      .GROUPS(GROUPS),
      .TILE_DEPTH(TILE_DEPTH),
      .WEIGHT_DEPTH(WEIGHT_DEPTH)
  ) conv_engine (
      .clk(clk),
      .rst(rst),
      .tile_loaded(tile_loaded),
      .bank_released(buffer_released),
      .weights_loaded(weights_loaded),
      .tile_computed(tile_computed),
      .job_valid(push_tile),
      .job_ready(group_queue_ready),
      .descriptor(descriptor),
      .entry_bank(entry_bank),
      .entry_write(entry_write),
      .entry_row(entry_row),
      .entry_data(entry_data),
      .count_write(count_write),
      .count_address(count_address),
      .count_data(count_data),
      .weight_write(weight_write),
      .weight_address(weight_address),
      .weight_data(weight_data),
      .initial_write(initial_write),
      .initial_address(initial_address),
      .initial_data(initial_data),
      .transfer_valid(transfer_valid),
      .transfer_ready(transfer_ready),
      .transfer_tag(transfer_tag),
      .transfer_bank(transfer_bank),
      .transfer_parity(transfer_parity),
      .transfer_address(transfer_address),
      .transfer_data(transfer_data),
      .event_issue(event_issue),
      .event_output_wait(event_output_wait),
      .event_saturated(event_saturated),
      .event_saturated_bank(event_saturated_bank)
  );

  tile_saturation #(
      .STREAMS(2 * GROUPS)
  ) tile_saturation (
      .clk(clk),
      .rst(rst),
      .saturated(event_saturated),
      .saturated_bank(event_saturated_bank),
      .released(buffer_released),
      .stored(tile_stored),
      .count(tile_saturated)
  );

  wire [1:0] word_read_enable, tag_read_enable;
  wire [19:0] word_read_address, tag_read_address;
  wire [127:0] word_read_data;
  wire [31:0] tag_read_data;

  output_buffer #(
      .GROUPS(GROUPS)
  ) output_buffer (
      .clk(clk),
      .rst(rst),
      .source_valid(transfer_valid),
      .source_ready(transfer_ready),
      .source_kind(transfer_tag),
      .source_bank(transfer_bank),
      .source_parity(transfer_parity),
      .source_address(transfer_address),
      .source_data(transfer_data),
      .word_read_enable(word_read_enable),
      .word_read_address(word_read_address),
      .word_read_data(word_read_data),
      .tag_read_enable(tag_read_enable),
      .tag_read_address(tag_read_address),
      .tag_read_data(tag_read_data)
  );

  // ---- Tile store: a job is shown to it when its tile has been computed.
  wire store_valid, store_ready;
  wire [`TILE_STORE_JOB_BITS-1:0] store_job;
  wire [4:0] unused_store_level;
  fifo #(
      .WIDTH(`TILE_STORE_JOB_BITS),
      .DEPTH(16)
  ) store_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(push_tile && stores),
      .in_ready(store_queue_ready),
      .in_data(`TILE_STORE_JOB(descriptor)),
      .out_valid(store_valid),
      .out_ready(store_ready),
      .out_data(store_job),
      .level(unused_store_level)
  );

  // Of the jobs that are not computed, in order, whether they store. Only the groups' queues, of 16, hold others.
  wire computed_stores, unused_kinds_ready, unused_kinds_valid;
  wire [5:0] unused_kinds_level;
  fifo #(
      .WIDTH(1),
      .DEPTH(32)
  ) kind_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(push_tile),
      .in_ready(unused_kinds_ready),
      .in_data(stores),
      .out_valid(unused_kinds_valid),
      .out_ready(tile_computed),
      .out_data(computed_stores),
      .level(unused_kinds_level)
  );

  reg [1:0] computed_tiles;  // computed, to be stored and not yet released
  always @(posedge clk) begin
    computed_tiles <= computed_tiles + {1'b0, tile_computed && computed_stores} - {1'b0, store_ready};
    if (rst) computed_tiles <= 2'd0;
  end

  tile_store tile_store (
      .clk(clk),
      .rst(rst),
      .job_valid(store_valid && computed_tiles != 2'd0),
      .job_ready(store_ready),
      .job(store_job),
      .buffer_released(buffer_released),
      .stored(tile_stored),
      .active(event_store[0]),
      .wait_input(event_store[1]),
      .wait_output(event_store[2]),
      .word_read_enable(word_read_enable),
      .word_read_address(word_read_address),
      .word_read_data(word_read_data),
      .tag_read_enable(tag_read_enable),
      .tag_read_address(tag_read_address),
      .tag_read_data(tag_read_data),
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

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(bank_was_free, free_banks <= 2'd2 && !(load_ready && free_banks == 2'd0))
  `ASSERT(bank_comes_back_once, !(tile_computed && free_banks == 2'd2 && !load_ready))
  `ASSERT(kinds_have_room, !push_tile || unused_kinds_ready)
  `ASSERT(computed_has_kind, !tile_computed || unused_kinds_valid)
  `ASSERT(stored_after_computed, tiles_stored <= tiles_computed)
  `ASSERT(stored_was_computed, computed_tiles <= 2'd2 && !(store_ready && computed_tiles == 2'd0))
`endif

endmodule

`default_nettype wire
