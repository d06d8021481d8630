// SPDX-License-Identifier: Apache-2.0
//
// control_unit: what software sees: registers, run control, counters, layer time stamps and saturated values of layers.
//
// Contract: see register_file, run_control, performance_counters, layer_saturation and layer_timestamps. `clear` resets all units,
//   `flush` empties the AXI ports; both hold until the ports are idle. Events are counted while a run goes on.
`default_nettype none
`include "gradcore_sizes.vh"

module control_unit #(
    parameter GROUPS = `GROUPS,
    parameter TILE_DEPTH = `TILE_ENTRIES,
    parameter WEIGHT_DEPTH = `WEIGHT_ROWS
) (
    input  wire                clk,
    input  wire                rst,
    output wire                irq,
    input  wire [11:0]         s_axil_awaddr,
    input  wire [2:0]          s_axil_awprot,
    input  wire                s_axil_awvalid,
    output wire                s_axil_awready,
    input  wire [31:0]         s_axil_wdata,
    input  wire [3:0]          s_axil_wstrb,
    input  wire                s_axil_wvalid,
    output wire                s_axil_wready,
    output wire [1:0]          s_axil_bresp,
    output wire                s_axil_bvalid,
    input  wire                s_axil_bready,
    input  wire [11:0]         s_axil_araddr,
    input  wire [2:0]          s_axil_arprot,
    input  wire                s_axil_arvalid,
    output wire                s_axil_arready,
    output wire [31:0]         s_axil_rdata,
    output wire [1:0]          s_axil_rresp,
    output wire                s_axil_rvalid,
    input  wire                s_axil_rready,
    // Run.
    output wire                explain,
    output wire [1:0]          method,
    output wire [1:0]          seed_mode,
    output wire [31:0]         seed_index,
    output wire [31:0]         program_address,
    output wire [31:0]         window_base,
    output wire [31:0]         window_limit,
    output wire                clear,
    output wire                flush,
    output wire                sequencer_start,
    input  wire                finished,
    input  wire                error_illegal,
    input  wire [15:0]         descriptor_index,
    input  wire [3:0]          error_window,
    input  wire [1:0]          error_read,
    input  wire [1:0]          error_write,
    input  wire [127:0]        port_error_address,
    input  wire [3:0]          port_idle,
    input  wire [31:0]         class_index,
    input  wire [15:0]         class_value,
    input  wire [1:0]          mark_valid,
    input  wire [15:0]         mark_layer,
    input  wire                tile_stored,
    input  wire [15:0]         tile_saturated,
    input  wire                vector_done,
    input  wire [9:0]          vector_saturated,
    // Events for the counters, a bit for each unit of an engine.
    input  wire                loader_active,
    input  wire                loader_blocked,
    input  wire [2*GROUPS-1:0] conv_active,
    input  wire [2*GROUPS-1:0] conv_blocked,
    input  wire [1:0]          vector_active,
    input  wire                vector_blocked,
    input  wire                store_active,
    input  wire                store_blocked,
    input  wire [4:0]          zeros_skipped,
    input  wire [1:0]          read_beat,
    input  wire [1:0]          write_beat
);

  `include "gradcore_constants.vh"

  wire start, soft_reset, busy, done, error, start_while_busy, interrupt_event, running;
  wire [7:0] code, layer_index;
  wire [8:0] layers_finished;
  wire [15:0] error_index;
  wire [31:0] watchdog_limit, error_address, cycle, layer_cycles, layer_saturated;
  wire [63:0] mark_saturated;
  wire [64*COUNTERS-1:0] counters;

  register_file #(
      .GROUPS(GROUPS),
      .TILE_ENTRIES(TILE_DEPTH),
      .WEIGHT_DEPTH(WEIGHT_DEPTH),
      .COUNTER_TOTAL(COUNTERS)
  ) register_file (
      .clk(clk),
      .rst(rst),
      .s_axil_awaddr(s_axil_awaddr),
      .s_axil_awprot(s_axil_awprot),
      .s_axil_awvalid(s_axil_awvalid),
      .s_axil_awready(s_axil_awready),
      .s_axil_wdata(s_axil_wdata),
      .s_axil_wstrb(s_axil_wstrb),
      .s_axil_wvalid(s_axil_wvalid),
      .s_axil_wready(s_axil_wready),
      .s_axil_bresp(s_axil_bresp),
      .s_axil_bvalid(s_axil_bvalid),
      .s_axil_bready(s_axil_bready),
      .s_axil_araddr(s_axil_araddr),
      .s_axil_arprot(s_axil_arprot),
      .s_axil_arvalid(s_axil_arvalid),
      .s_axil_arready(s_axil_arready),
      .s_axil_rdata(s_axil_rdata),
      .s_axil_rresp(s_axil_rresp),
      .s_axil_rvalid(s_axil_rvalid),
      .s_axil_rready(s_axil_rready),
      .irq(irq),
      .start(start),
      .soft_reset(soft_reset),
      .explain(explain),
      .method(method),
      .seed_mode(seed_mode),
      .seed_index(seed_index),
      .program_address(program_address),
      .window_base(window_base),
      .window_limit(window_limit),
      .watchdog_limit(watchdog_limit),
      .layer_index(layer_index),
      .busy(busy),
      .done(done),
      .error(error),
      .start_while_busy(start_while_busy),
      .code(code),
      .interrupt_event(interrupt_event),
      .descriptor_index(descriptor_index),
      .error_index(error_index),
      .error_address(error_address),
      .class_index(class_index),
      .class_value(class_value),
      .layers_finished(layers_finished),
      .layer_cycles(layer_cycles),
      .layer_saturated(layer_saturated),
      .counters(counters)
  );

  // Progress and errors, a cycle late.
  reg progress, illegal;
  reg [3:0] window_broken;
  reg [1:0] read_failed, write_failed;
  reg [127:0] failed_address;
  always @(posedge clk) begin
    progress <= (|read_beat) || (|write_beat) || (|conv_active);
    illegal <= error_illegal;
    window_broken <= error_window;
    read_failed <= error_read;
    write_failed <= error_write;
    failed_address <= port_error_address;
    if (rst) {illegal, window_broken, read_failed, write_failed} <= 9'd0;
  end

  run_control #(
      .CLEAR_CYCLES(`CLEAR_CYCLES),
      .STOP_LIMIT  (`STOP_LIMIT)
  ) run_control (
      .clk(clk),
      .rst(rst),
      .start(start),
      .soft_reset(soft_reset),
      .watchdog_limit(watchdog_limit),
      .busy(busy),
      .done(done),
      .error(error),
      .code(code),
      .error_index(error_index),
      .error_address(error_address),
      .start_while_busy(start_while_busy),
      .interrupt_event(interrupt_event),
      .running(running),
      .clear(clear),
      .flush(flush),
      .sequencer_start(sequencer_start),
      .finished(finished),
      .descriptor_index(descriptor_index),
      .progress(progress),
      .error_illegal(illegal),
      .error_window(window_broken),
      .error_read(read_failed),
      .error_write(write_failed),
      .port_error_address(failed_address),
      .port_idle(port_idle)
  );

  // ---- Counters. A half of the vector engine is active when it begins its four multiplications.
  performance_counters #(
      .GROUPS(GROUPS),
      .ZERO_WIDTH(`ZERO_BITS),
      .BITS(`COUNTER_BITS),
      .COUNTER_TOTAL(COUNTERS)
  ) performance_counters (
      .clk(clk),
      .rst(rst),
      .clear(start && !busy),
      .running(running),
      .loader_active({2{loader_active}}),
      .loader_blocked({2{loader_blocked}}),
      .conv_active(conv_active),
      .conv_blocked(conv_blocked),
      .vector_active(vector_active),
      .vector_blocked({2{vector_blocked}}),
      .store_active({2{store_active}}),
      .store_blocked({2{store_blocked}}),
      .zeros_skipped(zeros_skipped),
      .read_beat(read_beat),
      .write_beat(write_beat),
      .cycle(cycle),
      .counters(counters)
  );

  layer_saturation layer_saturation (
      .clk(clk),
      .rst(rst),
      .clear(start && !busy),
      .tile_stored(tile_stored),
      .tile_saturated(tile_saturated),
      .vector_done(vector_done),
      .vector_saturated(vector_saturated),
      .mark_valid(mark_valid),
      .mark_saturated(mark_saturated)
  );

  layer_timestamps layer_timestamps (
      .clk(clk),
      .rst(rst),
      .clear(start && !busy),
      .cycle(cycle),
      .mark_valid(mark_valid),
      .mark_layer(mark_layer),
      .mark_saturated(mark_saturated),
      .layer_index(layer_index),
      .layers_finished(layers_finished),
      .layer_cycles(layer_cycles),
      .layer_saturated(layer_saturated)
  );

endmodule

`default_nettype wire
