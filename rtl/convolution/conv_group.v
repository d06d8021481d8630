// SPDX-License-Identifier: Apache-2.0
//
// conv_group: LANES lanes for two streams, with their weight buffer and their copy of the tile buffer.
//
// Contract: tile entries, counts, weights and initial values are broadcast to all groups and may come at any time
//   that the tokens allow. Jobs come by valid/ready; the fields hold until ready. See unit_dispatcher for when a job
//   starts and what `computed` means. Stream s sends its output on transfer s. A weight write freezes stream 1 for a
//   cycle. Each value that saturates gives one pulse of event_saturated, with its tile's output bank, before `computed` of
//   its job; but in a row's last unit, with quarters 1 to 3, only lanes below 4 x quarters count (see stream_drain).
//   A job with to_partial sends nothing and needs no output bank: its sums stay in the streams, in the order of its units,
//   until a job with from_partial goes on with them. Such jobs must fit together: see models/convolution/partial_sums.py.
// Numbers: values and weights signed 16 bits, sums exact in 48 bits, one requantisation for each output.
`default_nettype none
`include "gradcore_sizes.vh"
`include "gradcore_jobs.vh"

module conv_group #(
    parameter GROUPS = `GROUPS,
    parameter GROUP = 0,
    parameter TILE_DEPTH = `TILE_ENTRIES,
    parameter WEIGHT_DEPTH = `WEIGHT_ROWS
) (
    input  wire                             clk,
    input  wire                             rst,
    // Tokens.
    input  wire                             tile_loaded,
    input  wire                             bank_released,
    input  wire [                     23:0] weights_loaded,
    output wire                             computed,
    // Job.
    input  wire                             job_valid,
    output wire                             job_ready,
    input  wire [`CONV_GROUP_JOB_BITS-1:0] job,
    input  wire [   `ENTRY_ADDRESS_BITS-1:0] origin_entry,
    input  wire [           `PIXEL_BITS-1:0] origin_pixel,
    input  wire [   `ENTRY_ADDRESS_BITS-1:0] line_entries,
    input  wire [           `PIXEL_BITS-1:0] line_pixels,
    input  wire [                      1:0] quarters,
    // From the tile loader: for each half an even and an odd entry, or two neighbours (see tile_bank); one count.
    input  wire                             entry_bank,
    input  wire [                      3:0] entry_write,
    input  wire [ 4*`ENTRY_ADDRESS_BITS-5:0] entry_write_row,
    input  wire [    4*(`COUNT_BITS+16)-1:0] entry_write_data,
    input  wire                             count_write,
    input  wire [               `PIXEL_BITS:0] count_write_address,
    input  wire [           `COUNT_BITS-1:0] count_write_data,
    // From the weight loader.
    input  wire                             weight_write,
    input  wire [  `WEIGHT_ADDRESS_BITS-1:0] weight_write_address,
    input  wire [             `LANES*16-1:0] weight_write_data,
    input  wire                             initial_write,
    input  wire [                      4:0] initial_write_address,
    input  wire [                     47:0] initial_write_data,
    // To the output buffer, for each stream.
    output wire [                      1:0] transfer_valid,
    input  wire [                      1:0] transfer_ready,
    output wire [                      1:0] transfer_tag,
    output wire [                      1:0] transfer_bank,
    output wire [                      1:0] transfer_parity,
    output wire [2*`OUTPUT_ADDRESS_BITS-1:0] transfer_address,
    output wire [                    127:0] transfer_data,
    // Events for the counters.
    output wire [                      1:0] event_issue,
    output wire [                      1:0] event_output_wait,
    output wire [                      1:0] event_saturated,
    output wire [                      1:0] event_saturated_bank
);

  localparam ENTRY_BITS = `COUNT_BITS + 16;
  localparam ROW_BITS = `ENTRY_ADDRESS_BITS - 1;

  wire bank, output_bank;
  wire [1:0] unit_valid, unit_ready, scanner_busy, unit_done, unit_done_bank, partial_done, partial_done_bank;
  wire signed [9:0] unit_row, unit_column;
  wire [`PIXEL_BITS-1:0] unit_pixel;
  wire [`ENTRY_ADDRESS_BITS-1:0] unit_entry;
  wire unit_parity, unit_last;
  wire [`OUTPUT_ADDRESS_BITS-1:0] unit_word_address, unit_tag_address;

  unit_dispatcher #(
      .GROUPS(GROUPS),
      .GROUP (GROUP)
  ) unit_dispatcher (
      .clk(clk),
      .rst(rst),
      .tile_loaded(tile_loaded),
      .bank_released(bank_released),
      .weights_loaded(weights_loaded),
      .computed(computed),
      .job_valid(job_valid),
      .job_ready(job_ready),
      .job(job),
      .origin_entry(origin_entry),
      .origin_pixel(origin_pixel),
      .bank(bank),
      .output_bank(output_bank),
      .unit_valid(unit_valid),
      .unit_ready(unit_ready),
      .unit_row(unit_row),
      .unit_column(unit_column),
      .unit_pixel(unit_pixel),
      .unit_entry(unit_entry),
      .unit_parity(unit_parity),
      .unit_last(unit_last),
      .unit_word_address(unit_word_address),
      .unit_tag_address(unit_tag_address),
      .scanner_busy(scanner_busy),
      .unit_done(unit_done),
      .unit_done_bank(unit_done_bank),
      .partial_done(partial_done),
      .partial_done_bank(partial_done_bank)
  );

  wire [1:0] lane_enable, read_bank, lane_first;
  wire [2*`ENTRY_ADDRESS_BITS-1:0] read_address;
  wire [2*ENTRY_BITS-1:0] bank_entry0, bank_entry1;
  wire [2*`WEIGHT_ADDRESS_BITS-1:0] lane_address;
  wire [31:0] lane_value;
  wire [95:0] lane_initial;
  wire [2*`LANES*48-1:0] accumulators;

  genvar index;
  generate
    for (index = 0; index < 2; index = index + 1) begin : g_bank
      wire [ENTRY_BITS-1:0] entry0, entry1;
      tile_bank #(
          .DEPTH(TILE_DEPTH),
          .ADDRESS_BITS(`ENTRY_ADDRESS_BITS),
          .ENTRY_BITS(ENTRY_BITS)
      ) tile_bank (
          .clk(clk),
          .write0(entry_bank == index ? entry_write[1:0] : 2'b00),
          .write_row0(entry_write_row[2*ROW_BITS-1:0]),
          .write_data0(entry_write_data[2*ENTRY_BITS-1:0]),
          .enable0(lane_enable[0]),
          .address0(read_address[`ENTRY_ADDRESS_BITS-1:0]),
          .entry0(entry0),
          .write1(entry_bank == index ? entry_write[3:2] : 2'b00),
          .write_row1(entry_write_row[4*ROW_BITS-1:2*ROW_BITS]),
          .write_data1(entry_write_data[4*ENTRY_BITS-1:2*ENTRY_BITS]),
          .enable1(lane_enable[1]),
          .address1(read_address[2*`ENTRY_ADDRESS_BITS-1:`ENTRY_ADDRESS_BITS]),
          .entry1(entry1)
      );
      if (index == 0) begin : g_even
        assign bank_entry0 = {entry1, entry0};
      end else begin : g_odd
        assign bank_entry1 = {entry1, entry0};
      end
    end

    for (index = 0; index < 2; index = index + 1) begin : g_stream
      conv_stream conv_stream (
          .clk(clk),
          .rst(rst),
          .enable(index == 0 || !weight_write),
          .lane_enable(lane_enable[index]),
          .busy(scanner_busy[index]),
          .bank(bank),
          .output_bank(output_bank),
          .job(job),
          .line_entries(line_entries),
          .line_pixels(line_pixels),
          .unit_valid(unit_valid[index]),
          .unit_ready(unit_ready[index]),
          .unit_row(unit_row),
          .unit_column(unit_column),
          .unit_pixel(unit_pixel),
          .unit_entry(unit_entry),
          .unit_parity(unit_parity),
          .unit_quarters(unit_last ? quarters : 2'd0),
          .unit_word_address(unit_word_address),
          .unit_tag_address(unit_tag_address),
          .unit_done(unit_done[index]),
          .unit_done_bank(unit_done_bank[index]),
          .partial_done(partial_done[index]),
          .partial_done_bank(partial_done_bank[index]),
          .count_write(count_write),
          .count_write_address(count_write_address),
          .count_write_data(count_write_data),
          .initial_write(initial_write),
          .initial_write_address(initial_write_address),
          .initial_write_data(initial_write_data),
          .entry_address(read_address[index*`ENTRY_ADDRESS_BITS+:`ENTRY_ADDRESS_BITS]),
          .entry_bank(read_bank[index]),
          .entry(read_bank[index] ? bank_entry1[index*ENTRY_BITS+:ENTRY_BITS] : bank_entry0[index*ENTRY_BITS+:ENTRY_BITS]),
          .lane_address(lane_address[index*`WEIGHT_ADDRESS_BITS+:`WEIGHT_ADDRESS_BITS]),
          .lane_first(lane_first[index]),
          .lane_value(lane_value[index*16+:16]),
          .lane_initial(lane_initial[index*48+:48]),
          .accumulators(accumulators[index*`LANES*48+:`LANES*48]),
          .out_valid(transfer_valid[index]),
          .out_ready(transfer_ready[index]),
          .out_tag(transfer_tag[index]),
          .out_bank(transfer_bank[index]),
          .out_parity(transfer_parity[index]),
          .out_address(transfer_address[index*`OUTPUT_ADDRESS_BITS+:`OUTPUT_ADDRESS_BITS]),
          .out_data(transfer_data[index*64+:64]),
          .event_issue(event_issue[index]),
          .event_output_wait(event_output_wait[index]),
          .event_saturated(event_saturated[index]),
          .event_saturated_bank(event_saturated_bank[index])
      );
    end
  endgenerate

  lane_array #(
      .WEIGHT_DEPTH(WEIGHT_DEPTH),
      .ADDRESS_BITS(`WEIGHT_ADDRESS_BITS)
  ) lane_array (
      .clk(clk),
      .enable(lane_enable),
      .address(lane_address),
      .first(lane_first),
      .value(lane_value),
      .initial_value(lane_initial),
      .accumulators(accumulators),
      .weight_write(weight_write),
      .weight_address(weight_write_address),
      .weight_data(weight_write_data)
  );

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(weight_port_is_free, !weight_write || !lane_enable[1])
  `ASSERT(one_unit_offered, unit_valid != 2'b11)
  `ASSERT(even_writes_apart, !(entry_write[0] && entry_write[2]) ||
                             entry_write_row[ROW_BITS-1:0] != entry_write_row[2*ROW_BITS+:ROW_BITS])
  `ASSERT(odd_writes_apart, !(entry_write[1] && entry_write[3]) ||
                            entry_write_row[ROW_BITS+:ROW_BITS] != entry_write_row[3*ROW_BITS+:ROW_BITS])
`endif

endmodule

`default_nettype wire
