// SPDX-License-Identifier: Apache-2.0
//
// conv_path: everything that a TILE or WEIGHTS job passes through: tile loader, weight loader, conv engine, output
// buffer and tile store, with their job FIFOs.
//
// Contract: a TILE descriptor is offered to loader, groups and store together, a WEIGHTS descriptor to the weight
//   loader; each ready says that its FIFOs have room. Pulses: tile_computed, tile_stored, weights_done, one a job, in
//   job order; tile_saturated, the number of the tile's values that saturated, stands with tile_stored. Read clients,
//   for port p: 3p values, 3p + 1 tags, 3p + 2 weights. Write client of port p: p.
// Numbers: as in the units.
`default_nettype none

module conv_path #(
    parameter GROUPS = 4,
    parameter LANES = 16,
    parameter TILE_DEPTH = 8192,
    parameter WEIGHT_DEPTH = 1024
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
    output wire [        14:0] tile_saturated,
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
  localparam LOAD_BITS = 247;
  wire load_queue_ready, group_queue_ready, store_queue_ready;
  assign tile_job_ready = load_queue_ready && group_queue_ready && store_queue_ready;
  wire push_tile = tile_job_valid && tile_job_ready;

  wire load_valid, load_ready;
  wire [LOAD_BITS-1:0] load_job;
  wire [4:0] unused_load_level;
  fifo #(
      .WIDTH(LOAD_BITS),
      .DEPTH(16)
  ) load_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(push_tile),
      .in_ready(load_queue_ready),
      .in_data({
        descriptor[DESCRIPTOR_WAIT_TILES+:DESCRIPTOR_WAIT_TILES_WIDTH],
        descriptor[DESCRIPTOR_WAIT_VECTORS+:DESCRIPTOR_WAIT_VECTORS_WIDTH],
        descriptor[DESCRIPTOR_TILE_SOURCE_ADDRESS+:DESCRIPTOR_TILE_SOURCE_ADDRESS_WIDTH],
        descriptor[DESCRIPTOR_TILE_SOURCE_ROW_PITCH+:DESCRIPTOR_TILE_SOURCE_ROW_PITCH_WIDTH],
        descriptor[DESCRIPTOR_TILE_SOURCE_ROWS+:DESCRIPTOR_TILE_SOURCE_ROWS_WIDTH],
        descriptor[DESCRIPTOR_TILE_SOURCE_COLUMNS+:DESCRIPTOR_TILE_SOURCE_COLUMNS_WIDTH],
        descriptor[DESCRIPTOR_TILE_WORDS_PER_PIXEL+:DESCRIPTOR_TILE_WORDS_PER_PIXEL_WIDTH],
        descriptor[DESCRIPTOR_TILE_TAG_ADDRESS+:DESCRIPTOR_TILE_TAG_ADDRESS_WIDTH],
        descriptor[DESCRIPTOR_TILE_TAG_ROW_PITCH+:DESCRIPTOR_TILE_TAG_ROW_PITCH_WIDTH],
        descriptor[DESCRIPTOR_TILE_LOAD_RELU],
        descriptor[DESCRIPTOR_TILE_UNPOOL],
        descriptor[DESCRIPTOR_TILE_TAGS],
        descriptor[DESCRIPTOR_TILE_CROP_ROW],
        descriptor[DESCRIPTOR_TILE_CROP_COLUMN],
        descriptor[DESCRIPTOR_TILE_BUFFER_ROWS+:DESCRIPTOR_TILE_BUFFER_ROWS_WIDTH],
        descriptor[DESCRIPTOR_TILE_BUFFER_COLUMNS+:DESCRIPTOR_TILE_BUFFER_COLUMNS_WIDTH],
        descriptor[DESCRIPTOR_TILE_SLOT+:DESCRIPTOR_TILE_SLOT_WIDTH],
        descriptor[DESCRIPTOR_TILE_ROW_ENTRIES+:DESCRIPTOR_TILE_ROW_ENTRIES_WIDTH]
      }),
      .out_valid(load_valid),
      .out_ready(load_ready),
      .out_data(load_job),
      .level(unused_load_level)
  );

  wire [23:0] load_wait_tiles, load_wait_vectors;
  wire [31:0] source_address, source_row_pitch, tag_address, tag_row_pitch;
  wire [7:0] source_rows, source_columns, buffer_rows, buffer_columns;
  wire [9:0] words_per_pixel;
  wire load_relu, unpool, tags, crop_row, crop_column;
  wire [10:0] slot;
  wire [12:0] row_entries;
  assign {load_wait_tiles, load_wait_vectors, source_address, source_row_pitch, source_rows, source_columns,
          words_per_pixel, tag_address, tag_row_pitch, load_relu, unpool, tags, crop_row, crop_column, buffer_rows,
          buffer_columns, slot, row_entries} = load_job;

  // Banks that no group still reads: two, less one for each job taken and not yet computed.
  reg [1:0] free_banks;
  always @(posedge clk) begin
    free_banks <= free_banks + {1'b0, tile_computed} - {1'b0, load_ready};
    if (rst) free_banks <= 2'd2;
  end

  wire tile_loaded, entry_bank, count_write, unused_loader_busy;
  wire [1:0] entry_write;
  wire [25:0] entry_address;
  wire [53:0] entry_data;
  wire [8:0] count_address;
  wire [10:0] count_data;

  tile_loader tile_loader (
      .clk(clk),
      .rst(rst),
      .job_valid(load_valid),
      .job_ready(load_ready),
      .job_source_address(source_address),
      .job_source_row_pitch(source_row_pitch),
      .job_source_rows(source_rows),
      .job_source_columns(source_columns),
      .job_words_per_pixel(words_per_pixel),
      .job_tag_address(tag_address),
      .job_tag_row_pitch(tag_row_pitch),
      .job_relu(load_relu),
      .job_unpool(unpool),
      .job_tags(tags),
      .job_crop_row(crop_row),
      .job_crop_column(crop_column),
      .job_buffer_rows(buffer_rows),
      .job_buffer_columns(buffer_columns),
      .job_slot(slot),
      .job_row_entries(row_entries),
      .job_wait_tiles(load_wait_tiles),
      .job_wait_vectors(load_wait_vectors),
      .method(method),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .bank_free(free_banks != 2'd0),
      .loaded(tile_loaded),
      .bank(entry_bank),
      .busy(unused_loader_busy),
      .value0_request_valid(read_request_valid[0]),
      .value0_request_ready(read_request_ready[0]),
      .value0_request_address(read_request_address[31:0]),
      .value0_request_words(read_request_words[15:0]),
      .value0_response_valid(read_response_valid[0]),
      .value0_response_ready(read_response_ready[0]),
      .value0_response_data(read_response_data[63:0]),
      .tag0_request_valid(read_request_valid[1]),
      .tag0_request_ready(read_request_ready[1]),
      .tag0_request_address(read_request_address[63:32]),
      .tag0_request_words(read_request_words[31:16]),
      .tag0_response_valid(read_response_valid[1]),
      .tag0_response_ready(read_response_ready[1]),
      .tag0_response_data(read_response_data[127:64]),
      .value1_request_valid(read_request_valid[3]),
      .value1_request_ready(read_request_ready[3]),
      .value1_request_address(read_request_address[127:96]),
      .value1_request_words(read_request_words[63:48]),
      .value1_response_valid(read_response_valid[3]),
      .value1_response_ready(read_response_ready[3]),
      .value1_response_data(read_response_data[255:192]),
      .tag1_request_valid(read_request_valid[4]),
      .tag1_request_ready(read_request_ready[4]),
      .tag1_request_address(read_request_address[159:128]),
      .tag1_request_words(read_request_words[79:64]),
      .tag1_response_valid(read_response_valid[4]),
      .tag1_response_ready(read_response_ready[4]),
      .tag1_response_data(read_response_data[319:256]),
      .entry0_write(entry_write[0]),
      .entry0_address(entry_address[12:0]),
      .entry0_data(entry_data[26:0]),
      .entry1_write(entry_write[1]),
      .entry1_address(entry_address[25:13]),
      .entry1_data(entry_data[53:27]),
      .count_write(count_write),
      .count_address(count_address),
      .count_data(count_data),
      .zeros_dropped(event_zeros),
      .active(event_loader[0]),
      .waiting_data(event_loader[1]),
      .waiting_bank(event_loader[2])
  );

  // ---- Weight loader.
  localparam WEIGHTS_BITS = 113;
  wire weights_valid, weights_ready;
  wire [WEIGHTS_BITS-1:0] weights_job;
  wire [4:0] unused_weights_level;
  fifo #(
      .WIDTH(WEIGHTS_BITS),
      .DEPTH(16)
  ) weights_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(weights_job_valid),
      .in_ready(weights_job_ready),
      .in_data({
        descriptor[DESCRIPTOR_WEIGHTS_WAIT_COMPUTED+:DESCRIPTOR_WEIGHTS_WAIT_COMPUTED_WIDTH],
        descriptor[DESCRIPTOR_WEIGHTS_ADDRESS0+:DESCRIPTOR_WEIGHTS_ADDRESS0_WIDTH],
        descriptor[DESCRIPTOR_WEIGHTS_ADDRESS1+:DESCRIPTOR_WEIGHTS_ADDRESS1_WIDTH],
        descriptor[DESCRIPTOR_WEIGHTS_ROWS+:DESCRIPTOR_WEIGHTS_ROWS_WIDTH],
        descriptor[DESCRIPTOR_WEIGHTS_BLOCKS+:DESCRIPTOR_WEIGHTS_BLOCKS_WIDTH],
        descriptor[DESCRIPTOR_WEIGHTS_WEIGHT_BASE+:DESCRIPTOR_WEIGHTS_WEIGHT_BASE_WIDTH],
        descriptor[DESCRIPTOR_WEIGHTS_BIAS_BANK]
      }),
      .out_valid(weights_valid),
      .out_ready(weights_ready),
      .out_data(weights_job),
      .level(unused_weights_level)
  );

  wire [23:0] wait_computed;
  wire [31:0] weights_address0, weights_address1;
  wire [10:0] weights_rows;
  wire [2:0] weights_blocks;
  wire [9:0] weights_base;
  wire weights_bias_bank;
  assign {wait_computed, weights_address0, weights_address1, weights_rows, weights_blocks, weights_base,
          weights_bias_bank} = weights_job;

  wire [GROUPS-1:0] weight_write, initial_write;
  wire [9:0] weight_address;
  wire [LANES*16-1:0] weight_data;
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
      .job_address0(weights_address0),
      .job_address1(weights_address1),
      .job_rows(weights_rows),
      .job_blocks(weights_blocks),
      .job_base(weights_base),
      .job_bias_bank(weights_bias_bank),
      .job_wait_computed(wait_computed),
      .tiles_computed(tiles_computed),
      .loaded(weights_done),
      .busy(unused_weights_busy),
      .weight0_request_valid(read_request_valid[2]),
      .weight0_request_ready(read_request_ready[2]),
      .weight0_request_address(read_request_address[95:64]),
      .weight0_request_words(read_request_words[47:32]),
      .weight0_response_valid(read_response_valid[2]),
      .weight0_response_ready(read_response_ready[2]),
      .weight0_response_data(read_response_data[191:128]),
      .weight1_request_valid(read_request_valid[5]),
      .weight1_request_ready(read_request_ready[5]),
      .weight1_request_address(read_request_address[191:160]),
      .weight1_request_words(read_request_words[95:80]),
      .weight1_response_valid(read_response_valid[5]),
      .weight1_response_ready(read_response_ready[5]),
      .weight1_response_data(read_response_data[383:320]),
      .weight_write(weight_write),
      .weight_address(weight_address),
      .weight_data(weight_data),
      .initial_write(initial_write),
      .initial_lane(initial_address[3:0]),
      .initial_bank(initial_address[4]),
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
      .LANES(LANES),
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
      .entry_address(entry_address),
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
  localparam STORE_BITS = 222;
  wire store_valid, store_ready;
  wire [STORE_BITS-1:0] store_job;
  wire [4:0] unused_store_level;
  fifo #(
      .WIDTH(STORE_BITS),
      .DEPTH(16)
  ) store_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(push_tile),
      .in_ready(store_queue_ready),
      .in_data({
        descriptor[DESCRIPTOR_TILE_DESTINATION_ADDRESS+:DESCRIPTOR_TILE_DESTINATION_ADDRESS_WIDTH],
        descriptor[DESCRIPTOR_TILE_DESTINATION_ROW_PITCH+:DESCRIPTOR_TILE_DESTINATION_ROW_PITCH_WIDTH],
        descriptor[DESCRIPTOR_TILE_DESTINATION_PIXEL_PITCH+:DESCRIPTOR_TILE_DESTINATION_PIXEL_PITCH_WIDTH],
        descriptor[DESCRIPTOR_TILE_UNIT_ROWS+:DESCRIPTOR_TILE_UNIT_ROWS_WIDTH],
        descriptor[DESCRIPTOR_TILE_COLUMNS_STORED+:DESCRIPTOR_TILE_COLUMNS_STORED_WIDTH],
        descriptor[DESCRIPTOR_TILE_WORDS_PER_PIXEL_STORED+:DESCRIPTOR_TILE_WORDS_PER_PIXEL_STORED_WIDTH],
        descriptor[DESCRIPTOR_TILE_BUFFER_PIXEL_WORDS+:DESCRIPTOR_TILE_BUFFER_PIXEL_WORDS_WIDTH],
        descriptor[DESCRIPTOR_TILE_BUFFER_ROW_WORDS+:DESCRIPTOR_TILE_BUFFER_ROW_WORDS_WIDTH],
        descriptor[DESCRIPTOR_TILE_CONTIGUOUS],
        descriptor[DESCRIPTOR_TILE_STORE_TAGS],
        descriptor[DESCRIPTOR_TILE_TAG_DESTINATION+:DESCRIPTOR_TILE_TAG_DESTINATION_WIDTH],
        descriptor[DESCRIPTOR_TILE_TAG_DESTINATION_ROW_PITCH+:DESCRIPTOR_TILE_TAG_DESTINATION_ROW_PITCH_WIDTH],
        descriptor[DESCRIPTOR_TILE_TAG_DESTINATION_PIXEL_PITCH+:DESCRIPTOR_TILE_TAG_DESTINATION_PIXEL_PITCH_WIDTH],
        descriptor[DESCRIPTOR_TILE_PIECES_PER_PIXEL+:DESCRIPTOR_TILE_PIECES_PER_PIXEL_WIDTH],
        descriptor[DESCRIPTOR_TILE_BUFFER_ROW_PIECES+:DESCRIPTOR_TILE_BUFFER_ROW_PIECES_WIDTH]
      }),
      .out_valid(store_valid),
      .out_ready(store_ready),
      .out_data(store_job),
      .level(unused_store_level)
  );

  wire [31:0] destination_address, destination_row_pitch, tag_destination, tag_destination_row_pitch;
  wire [15:0] destination_pixel_pitch, tag_destination_pixel_pitch;
  wire [7:0] store_rows, store_columns, buffer_pixel_words, pieces_per_pixel;
  wire [9:0] words_per_pixel_stored;
  wire [8:0] buffer_row_words, buffer_row_pieces;
  wire contiguous, store_tags;
  assign {destination_address, destination_row_pitch, destination_pixel_pitch, store_rows, store_columns,
          words_per_pixel_stored, buffer_pixel_words, buffer_row_words, contiguous, store_tags, tag_destination,
          tag_destination_row_pitch, tag_destination_pixel_pitch, pieces_per_pixel, buffer_row_pieces} = store_job;

  reg [1:0] computed_tiles;  // computed and not yet released
  always @(posedge clk) begin
    computed_tiles <= computed_tiles + {1'b0, tile_computed} - {1'b0, store_ready};
    if (rst) computed_tiles <= 2'd0;
  end

  tile_store tile_store (
      .clk(clk),
      .rst(rst),
      .job_valid(store_valid && computed_tiles != 2'd0),
      .job_ready(store_ready),
      .destination_address(destination_address),
      .destination_row_pitch(destination_row_pitch),
      .destination_pixel_pitch(destination_pixel_pitch),
      .rows(store_rows),
      .columns(store_columns),
      .words_per_pixel(words_per_pixel_stored),
      .buffer_pixel_words(buffer_pixel_words),
      .buffer_row_words(buffer_row_words),
      .contiguous(contiguous),
      .store_tags(store_tags),
      .tag_destination(tag_destination),
      .tag_row_pitch(tag_destination_row_pitch),
      .tag_pixel_pitch(tag_destination_pixel_pitch),
      .pieces_per_pixel(pieces_per_pixel),
      .buffer_row_pieces(buffer_row_pieces),
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

endmodule

`default_nettype wire
