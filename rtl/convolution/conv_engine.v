// SPDX-License-Identifier: Apache-2.0
//
// conv_engine: the conv groups with their job FIFOs, and the tokens that all groups together give.
//
// Contract: a TILE descriptor is offered to all groups at once (`job_valid && job_ready`); each group works through
//   its jobs at its own pace. `tile_computed` pulses, in job order, when every group has reported the tile.
//   `tile_loaded` and `bank_released` go to all groups. The broadcast writes of the two loaders are registered once
//   on their way to the groups, which keeps their wires short; `tile_loaded` and `weights_loaded` are delayed with
//   them. event_saturated: the values of a tile that saturate, before its tile_computed, and without those of a last
//   pack of a row that lie behind columns_stored.
// Numbers: as in conv_group.
`default_nettype none
`include "gradcore_sizes.vh"
`include "gradcore_jobs.vh"

module conv_engine #(
    parameter GROUPS = `GROUPS,
    parameter TILE_DEPTH = `TILE_ENTRIES,
    parameter WEIGHT_DEPTH = `WEIGHT_ROWS
) (
    input  wire                  clk,
    input  wire                  rst,
    // Tokens.
    input  wire                  tile_loaded,
    input  wire                  bank_released,
    input  wire [          23:0] weights_loaded,
    output reg                   tile_computed,
    // Jobs: TILE descriptors.
    input  wire                  job_valid,
    output wire                  job_ready,
    input  wire [        1023:0] descriptor,
    // From the tile loader.
    input  wire                  entry_bank,
    input  wire [           3:0] entry_write,
    input  wire [          47:0] entry_row,
    input  wire [         107:0] entry_data,
    input  wire                  count_write,
    input  wire [           8:0] count_address,
    input  wire [          10:0] count_data,
    // From the weight loader.
    input  wire [    GROUPS-1:0] weight_write,
    input  wire [           9:0] weight_address,
    input  wire [  `LANES*16-1:0] weight_data,
    input  wire [    GROUPS-1:0] initial_write,
    input  wire [           4:0] initial_address,
    input  wire [          47:0] initial_data,
    // To the output buffer.
    output wire [  2*GROUPS-1:0] transfer_valid,
    input  wire [  2*GROUPS-1:0] transfer_ready,
    output wire [  2*GROUPS-1:0] transfer_tag,
    output wire [  2*GROUPS-1:0] transfer_bank,
    output wire [  2*GROUPS-1:0] transfer_parity,
    output wire [ 18*GROUPS-1:0] transfer_address,
    output wire [128*GROUPS-1:0] transfer_data,
    // Events of each stream: an entry issued; frozen because the output is not taken; a value saturated, and its bank.
    output wire [  2*GROUPS-1:0] event_issue,
    output wire [  2*GROUPS-1:0] event_output_wait,
    output wire [  2*GROUPS-1:0] event_saturated,
    output wire [  2*GROUPS-1:0] event_saturated_bank
);

  `include "gradcore_constants.vh"

  // ---- Packed pixels: quarters of the 16 lanes that are stored of a row's last unit, 0 when all are.
  wire [1:0] columns = descriptor[DESCRIPTOR_TILE_COLUMNS_STORED+:2];
  wire [1:0] pack_log2 = descriptor[DESCRIPTOR_TILE_PACK_PIXELS+1+:2];  // of 1, 2, 4 pixels: 0, 1, 2
  wire [1:0] quarters = descriptor[DESCRIPTOR_TILE_POOL] ? 2'd0
                      : pack_log2[1] ? columns : pack_log2[0] ? {columns[0], 1'b0} : 2'd0;

  // ---- Broadcast registers.
  reg loaded_tile;
  reg [23:0] loaded_weights;
  reg bank_of_entries;
  reg [3:0] write_entry;
  reg [47:0] row_of_entry;
  reg [107:0] data_of_entry;
  reg write_count;
  reg [9:0] address_of_count;
  reg [10:0] data_of_count;
  reg [GROUPS-1:0] write_weight, write_initial;
  reg [9:0] address_of_weight;
  reg [`LANES*16-1:0] data_of_weight;
  reg [4:0] address_of_initial;
  reg [47:0] data_of_initial;

  always @(posedge clk) begin
    loaded_tile <= tile_loaded;
    loaded_weights <= weights_loaded;
    bank_of_entries <= entry_bank;
    write_entry <= entry_write;
    row_of_entry <= entry_row;
    data_of_entry <= entry_data;
    write_count <= count_write;
    address_of_count <= {entry_bank, count_address};
    data_of_count <= count_data;
    write_weight <= weight_write;
    address_of_weight <= weight_address;
    data_of_weight <= weight_data;
    write_initial <= initial_write;
    address_of_initial <= initial_address;
    data_of_initial <= initial_data;
    if (rst) begin
      loaded_tile <= 1'b0;
      loaded_weights <= 24'd0;
      write_entry <= 4'b0000;
      write_count <= 1'b0;
      write_weight <= {GROUPS{1'b0}};
      write_initial <= {GROUPS{1'b0}};
    end
  end

  // ---- The geometry of a job, once for all groups; then the job enters their queues.
  wire [GROUPS-1:0] queue_ready, computed, reported;
  wire all_reported = &reported;
  wire geometry_busy, geometry_done;
  reg [`CONV_GROUP_JOB_BITS-1:0] held_job;
  reg [1:0] held_quarters;
  wire take = job_valid && job_ready;
  reg starting;
  assign job_ready = (&queue_ready) && !starting && !geometry_busy && !geometry_done;

  always @(posedge clk) begin
    starting <= take;
    if (take) begin
      held_job <= `CONV_GROUP_JOB(descriptor);
      held_quarters <= quarters;
    end
    if (rst) starting <= 1'b0;
  end

  wire [12:0] origin_entry, line_entries;
  wire [8:0] origin_pixel, line_pixels;
  tile_geometry tile_geometry (
      .clk(clk),
      .rst(rst),
      .start(starting),
      .job(held_job),
      .busy(geometry_busy),
      .done(geometry_done),
      .origin_entry(origin_entry),
      .origin_pixel(origin_pixel),
      .line_entries(line_entries),
      .line_pixels(line_pixels)
  );

  localparam QUEUE_BITS = 46 + `CONV_GROUP_JOB_BITS;
  wire [QUEUE_BITS-1:0] queued = {origin_entry, origin_pixel, line_entries, line_pixels, held_quarters, held_job};

  // ---- Groups.
  genvar group;
  generate
    for (group = 0; group < GROUPS; group = group + 1) begin : g_group
      wire group_job_valid, group_job_ready;
      wire [QUEUE_BITS-1:0] head;
      reg [QUEUE_BITS-1:0] late_head;  // which the group allows for
      always @(posedge clk) late_head <= head;
      wire [4:0] unused_level;
      fifo #(
          .WIDTH(QUEUE_BITS),
          .DEPTH(16)
      ) job_fifo (
          .clk(clk),
          .rst(rst),
          .in_valid(geometry_done),
          .in_ready(queue_ready[group]),
          .in_data(queued),
          .out_valid(group_job_valid),
          .out_ready(group_job_ready),
          .out_data(head),
          .level(unused_level)
      );

      wire [12:0] group_origin_entry, group_line_entries;
      wire [8:0] group_origin_pixel, group_line_pixels;
      wire [1:0] group_quarters;
      wire [`CONV_GROUP_JOB_BITS-1:0] job;
      assign {group_origin_entry, group_origin_pixel, group_line_entries, group_line_pixels, group_quarters, job} = late_head;

      conv_group #(
          .GROUPS(GROUPS),
          .GROUP(group),
          .TILE_DEPTH(TILE_DEPTH),
          .WEIGHT_DEPTH(WEIGHT_DEPTH)
      ) conv_group (
          .clk(clk),
          .rst(rst),
          .tile_loaded(loaded_tile),
          .bank_released(bank_released),
          .weights_loaded(loaded_weights),
          .computed(computed[group]),
          .job_valid(group_job_valid),
          .job_ready(group_job_ready),
          .job(job),
          .origin_entry(group_origin_entry),
          .origin_pixel(group_origin_pixel),
          .line_entries(group_line_entries),
          .line_pixels(group_line_pixels),
          .quarters(group_quarters),
          .entry_bank(bank_of_entries),
          .entry_write(write_entry),
          .entry_write_row(row_of_entry),
          .entry_write_data(data_of_entry),
          .count_write(write_count),
          .count_write_address(address_of_count),
          .count_write_data(data_of_count),
          .weight_write(write_weight[group]),
          .weight_write_address(address_of_weight),
          .weight_write_data(data_of_weight),
          .initial_write(write_initial[group]),
          .initial_write_address(address_of_initial),
          .initial_write_data(data_of_initial),
          .transfer_valid(transfer_valid[2*group+:2]),
          .transfer_ready(transfer_ready[2*group+:2]),
          .transfer_tag(transfer_tag[2*group+:2]),
          .transfer_bank(transfer_bank[2*group+:2]),
          .transfer_parity(transfer_parity[2*group+:2]),
          .transfer_address(transfer_address[18*group+:18]),
          .transfer_data(transfer_data[128*group+:128]),
          .event_issue(event_issue[2*group+:2]),
          .event_output_wait(event_output_wait[2*group+:2]),
          .event_saturated(event_saturated[2*group+:2]),
          .event_saturated_bank(event_saturated_bank[2*group+:2])
      );

      // Tiles that this group has computed and another one has not yet: two at most, one for each bank.
      reg [1:0] ahead;
      assign reported[group] = (ahead != 2'd0);
      always @(posedge clk) begin
        ahead <= ahead + {1'b0, computed[group]} - {1'b0, all_reported};
        if (rst) ahead <= 2'd0;
      end
    end
  endgenerate

  always @(posedge clk) tile_computed <= all_reported && !rst;

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(queues_have_room, !geometry_done || (&queue_ready))
  `ASSERT(geometry_is_idle, !starting || !(geometry_busy || geometry_done))
  generate
    for (group = 0; group < GROUPS; group = group + 1) begin : g_check
      `ASSERT(two_banks, g_group[group].ahead <= 2'd2 && !(computed[group] && g_group[group].ahead == 2'd2 && !all_reported))
      stream_checker #(
          .WIDTH(QUEUE_BITS)
      ) jobs (
          .clk(clk),
          .rst(rst),
          .valid(g_group[group].group_job_valid),
          .ready(g_group[group].group_job_ready),
          .data(g_group[group].head)
      );
    end
  endgenerate
`endif

endmodule

`default_nettype wire
