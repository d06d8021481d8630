// SPDX-License-Identifier: Apache-2.0
//
// gradcore: the accelerator. AXI4-Lite slave for registers, two 64-bit AXI4 masters (bursts of at most 16 beats, none
// across 4 KiB, in order, no IDs: fit for the HP ports of a Zynq-7000), one interrupt (level, active high).
//
// Contract: software writes program, weights and picture to memory inside the window, then the registers, then START.
//   The interrupt comes when the program has ended or failed; see docs/registers.md. All outputs to AXI follow a
//   flush: accepted bursts are always completed. Parameters: GROUPS 1, 2 or 4 conv groups of two streams of 16
//   multipliers; TILE_DEPTH entries of a tile bank, WEIGHT_DEPTH rows of a weight buffer.
// Numbers: see docs/architecture.md.
`default_nettype none
`include "gradcore_sizes.vh"

module gradcore #(
    parameter GROUPS = 4,
    parameter TILE_DEPTH = 8192,
    parameter WEIGHT_DEPTH = 1024
) (
    input  wire         clk,
    input  wire         rst,
    output wire         irq,
    input  wire [11:0]  s_axil_awaddr,
    input  wire [2:0]   s_axil_awprot,
    input  wire         s_axil_awvalid,
    output wire         s_axil_awready,
    input  wire [31:0]  s_axil_wdata,
    input  wire [3:0]   s_axil_wstrb,
    input  wire         s_axil_wvalid,
    output wire         s_axil_wready,
    output wire [1:0]   s_axil_bresp,
    output wire         s_axil_bvalid,
    input  wire         s_axil_bready,
    input  wire [11:0]  s_axil_araddr,
    input  wire [2:0]   s_axil_arprot,
    input  wire         s_axil_arvalid,
    output wire         s_axil_arready,
    output wire [31:0]  s_axil_rdata,
    output wire [1:0]   s_axil_rresp,
    output wire         s_axil_rvalid,
    input  wire         s_axil_rready,
    output wire [31:0]  m_axi0_araddr,
    output wire [7:0]   m_axi0_arlen,
    output wire [2:0]   m_axi0_arsize,
    output wire [1:0]   m_axi0_arburst,
    output wire [3:0]   m_axi0_arcache,
    output wire [2:0]   m_axi0_arprot,
    output wire         m_axi0_arvalid,
    input  wire         m_axi0_arready,
    input  wire [63:0]  m_axi0_rdata,
    input  wire [1:0]   m_axi0_rresp,
    input  wire         m_axi0_rlast,
    input  wire         m_axi0_rvalid,
    output wire         m_axi0_rready,
    output wire [31:0]  m_axi0_awaddr,
    output wire [7:0]   m_axi0_awlen,
    output wire [2:0]   m_axi0_awsize,
    output wire [1:0]   m_axi0_awburst,
    output wire [3:0]   m_axi0_awcache,
    output wire [2:0]   m_axi0_awprot,
    output wire         m_axi0_awvalid,
    input  wire         m_axi0_awready,
    output wire [63:0]  m_axi0_wdata,
    output wire [7:0]   m_axi0_wstrb,
    output wire         m_axi0_wlast,
    output wire         m_axi0_wvalid,
    input  wire         m_axi0_wready,
    input  wire [1:0]   m_axi0_bresp,
    input  wire         m_axi0_bvalid,
    output wire         m_axi0_bready,
    output wire [31:0]  m_axi1_araddr,
    output wire [7:0]   m_axi1_arlen,
    output wire [2:0]   m_axi1_arsize,
    output wire [1:0]   m_axi1_arburst,
    output wire [3:0]   m_axi1_arcache,
    output wire [2:0]   m_axi1_arprot,
    output wire         m_axi1_arvalid,
    input  wire         m_axi1_arready,
    input  wire [63:0]  m_axi1_rdata,
    input  wire [1:0]   m_axi1_rresp,
    input  wire         m_axi1_rlast,
    input  wire         m_axi1_rvalid,
    output wire         m_axi1_rready,
    output wire [31:0]  m_axi1_awaddr,
    output wire [7:0]   m_axi1_awlen,
    output wire [2:0]   m_axi1_awsize,
    output wire [1:0]   m_axi1_awburst,
    output wire [3:0]   m_axi1_awcache,
    output wire [2:0]   m_axi1_awprot,
    output wire         m_axi1_awvalid,
    input  wire         m_axi1_awready,
    output wire [63:0]  m_axi1_wdata,
    output wire [7:0]   m_axi1_wstrb,
    output wire         m_axi1_wlast,
    output wire         m_axi1_wvalid,
    input  wire         m_axi1_wready,
    input  wire [1:0]   m_axi1_bresp,
    input  wire         m_axi1_bvalid,
    output wire         m_axi1_bready
);

  // ---- What goes between the blocks. A half of the vector engine is active when it begins its four multiplications.
  // Run control and registers.
  wire explain, clear, flush, sequencer_start, finished, error_illegal;
  wire [1:0] method, seed_mode, error_read, error_write, read_beat, write_beat;
  wire [3:0] error_window, port_idle;
  wire [15:0] descriptor_index, class_value;
  wire [31:0] seed_index, program_address, window_base, window_limit, class_index;
  wire [127:0] port_error_address;
  wire unit_rst = rst || clear;
  // Jobs, what has finished, and the tokens counted from it.
  wire [1023:0] descriptor;
  wire tile_job_valid, tile_job_ready, weights_job_valid, weights_job_ready;
  wire vector_job_valid, vector_job_ready, seed_job_valid, seed_job_ready;
  wire tile_computed, tile_stored, weights_done, vector_done, seed_done;
  wire [23:0] tiles_stored, vectors_done, weights_loaded, tiles_computed;
  wire [1:0] mark_valid;
  wire [15:0] mark_layer;
  wire [15:0] tile_saturated;
  wire [9:0] vector_saturated;
  // Events for the counters.
  wire [2*GROUPS-1:0] event_issue, event_output_wait;
  wire [2:0] event_loader, event_store, vector_zeros;
  wire [3:0] tile_zeros, vector_macs;
  wire vector_active, vector_waiting_input, vector_waiting_output;
  // The bus of the AXI ports' clients.
  wire [`READ_CLIENTS-1:0] read_request_valid, read_request_ready, read_response_valid, read_response_ready;
  wire [32*`READ_CLIENTS-1:0] read_request_address;
  wire [16*`READ_CLIENTS-1:0] read_request_words;
  wire [64*`READ_CLIENTS-1:0] read_response_data;
  wire [`WRITE_CLIENTS-1:0] write_request_valid, write_request_ready, write_data_valid, write_data_ready, write_done;
  wire [32*`WRITE_CLIENTS-1:0] write_request_address;
  wire [16*`WRITE_CLIENTS-1:0] write_request_words;
  wire [64*`WRITE_CLIENTS-1:0] write_data;
  wire [8*`WRITE_CLIENTS-1:0] write_strobe;

  control_unit #(
      .GROUPS(GROUPS),
      .TILE_DEPTH(TILE_DEPTH),
      .WEIGHT_DEPTH(WEIGHT_DEPTH)
  ) control_unit (
      .clk(clk),
      .rst(rst),
      .irq(irq),
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
      .explain(explain),
      .method(method),
      .seed_mode(seed_mode),
      .seed_index(seed_index),
      .program_address(program_address),
      .window_base(window_base),
      .window_limit(window_limit),
      .clear(clear),
      .flush(flush),
      .sequencer_start(sequencer_start),
      .finished(finished),
      .error_illegal(error_illegal),
      .descriptor_index(descriptor_index),
      .error_window(error_window),
      .error_read(error_read),
      .error_write(error_write),
      .port_error_address(port_error_address),
      .port_idle(port_idle),
      .class_index(class_index),
      .class_value(class_value),
      .mark_valid(mark_valid),
      .mark_layer(mark_layer),
      .tile_stored(tile_stored),
      .tile_saturated(tile_saturated),
      .vector_done(vector_done),
      .vector_saturated(vector_saturated),
      .loader_active(event_loader[0]),
      .loader_blocked(event_loader[2]),
      .conv_active(event_issue),
      .conv_blocked(event_output_wait),
      .vector_active({vector_macs[3], vector_macs[3] || vector_macs[2]}),
      .vector_blocked(vector_waiting_output),
      .store_active(event_store[0]),
      .store_blocked(event_store[2]),
      .zeros_skipped({1'b0, tile_zeros} + {2'd0, vector_zeros}),
      .read_beat(read_beat),
      .write_beat(write_beat)
  );

  axi_ports axi_ports (
      .clk(clk),
      .rst(rst),
      .flush(flush),
      .window_base(window_base),
      .window_limit(window_limit),
      .port_idle(port_idle),
      .error_window(error_window),
      .error_read(error_read),
      .error_write(error_write),
      .port_error_address(port_error_address),
      .read_beat(read_beat),
      .write_beat(write_beat),
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
      .write_done(write_done),
      .m_axi_araddr({m_axi1_araddr, m_axi0_araddr}),
      .m_axi_arlen({m_axi1_arlen, m_axi0_arlen}),
      .m_axi_arsize({m_axi1_arsize, m_axi0_arsize}),
      .m_axi_arburst({m_axi1_arburst, m_axi0_arburst}),
      .m_axi_arcache({m_axi1_arcache, m_axi0_arcache}),
      .m_axi_arprot({m_axi1_arprot, m_axi0_arprot}),
      .m_axi_arvalid({m_axi1_arvalid, m_axi0_arvalid}),
      .m_axi_arready({m_axi1_arready, m_axi0_arready}),
      .m_axi_rdata({m_axi1_rdata, m_axi0_rdata}),
      .m_axi_rresp({m_axi1_rresp, m_axi0_rresp}),
      .m_axi_rlast({m_axi1_rlast, m_axi0_rlast}),
      .m_axi_rvalid({m_axi1_rvalid, m_axi0_rvalid}),
      .m_axi_rready({m_axi1_rready, m_axi0_rready}),
      .m_axi_awaddr({m_axi1_awaddr, m_axi0_awaddr}),
      .m_axi_awlen({m_axi1_awlen, m_axi0_awlen}),
      .m_axi_awsize({m_axi1_awsize, m_axi0_awsize}),
      .m_axi_awburst({m_axi1_awburst, m_axi0_awburst}),
      .m_axi_awcache({m_axi1_awcache, m_axi0_awcache}),
      .m_axi_awprot({m_axi1_awprot, m_axi0_awprot}),
      .m_axi_awvalid({m_axi1_awvalid, m_axi0_awvalid}),
      .m_axi_awready({m_axi1_awready, m_axi0_awready}),
      .m_axi_wdata({m_axi1_wdata, m_axi0_wdata}),
      .m_axi_wstrb({m_axi1_wstrb, m_axi0_wstrb}),
      .m_axi_wlast({m_axi1_wlast, m_axi0_wlast}),
      .m_axi_wvalid({m_axi1_wvalid, m_axi0_wvalid}),
      .m_axi_wready({m_axi1_wready, m_axi0_wready}),
      .m_axi_bresp({m_axi1_bresp, m_axi0_bresp}),
      .m_axi_bvalid({m_axi1_bvalid, m_axi0_bvalid}),
      .m_axi_bready({m_axi1_bready, m_axi0_bready})
  );

  sequencer #(
      .GROUPS(GROUPS),
      .WEIGHT_DEPTH(WEIGHT_DEPTH),
      .TILE_ENTRIES(TILE_DEPTH),
      .PROGRAM_LIMIT(`PROGRAM_LIMIT)
  ) sequencer (
      .clk(clk),
      .rst(unit_rst),
      .start(sequencer_start),
      .program_address(program_address),
      .explain(explain),
      .finished(finished),
      .error_illegal(error_illegal),
      .request_valid(read_request_valid[`SEQUENCER_READ(1)]),
      .request_ready(read_request_ready[`SEQUENCER_READ(1)]),
      .request_address(read_request_address[`SEQUENCER_READ(32)]),
      .request_words(read_request_words[`SEQUENCER_READ(16)]),
      .response_valid(read_response_valid[`SEQUENCER_READ(1)]),
      .response_ready(read_response_ready[`SEQUENCER_READ(1)]),
      .response_data(read_response_data[`SEQUENCER_READ(64)]),
      .job_tile_valid(tile_job_valid),
      .job_tile_ready(tile_job_ready),
      .job_weights_valid(weights_job_valid),
      .job_weights_ready(weights_job_ready),
      .job_vector_valid(vector_job_valid),
      .job_vector_ready(vector_job_ready),
      .job_seed_valid(seed_job_valid),
      .job_seed_ready(seed_job_ready),
      .descriptor(descriptor),
      .descriptor_index(descriptor_index),
      .tile_stored(tile_stored),
      .vector_done(vector_done),
      .seed_done(seed_done),
      .weight_loaded(weights_done),
      .tile_computed(tile_computed),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .weights_loaded(weights_loaded),
      .tiles_computed(tiles_computed),
      .mark_valid(mark_valid),
      .mark_layer(mark_layer)
  );

  conv_path #(
      .GROUPS(GROUPS),
      .TILE_DEPTH(TILE_DEPTH),
      .WEIGHT_DEPTH(WEIGHT_DEPTH)
  ) conv_path (
      .clk(clk),
      .rst(unit_rst),
      .method(method),
      .descriptor(descriptor),
      .tile_job_valid(tile_job_valid),
      .tile_job_ready(tile_job_ready),
      .weights_job_valid(weights_job_valid),
      .weights_job_ready(weights_job_ready),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .weights_loaded(weights_loaded),
      .tiles_computed(tiles_computed),
      .tile_computed(tile_computed),
      .tile_stored(tile_stored),
      .tile_saturated(tile_saturated),
      .weights_done(weights_done),
      .read_request_valid(read_request_valid[`CONV_READ(1)]),
      .read_request_ready(read_request_ready[`CONV_READ(1)]),
      .read_request_address(read_request_address[`CONV_READ(32)]),
      .read_request_words(read_request_words[`CONV_READ(16)]),
      .read_response_valid(read_response_valid[`CONV_READ(1)]),
      .read_response_ready(read_response_ready[`CONV_READ(1)]),
      .read_response_data(read_response_data[`CONV_READ(64)]),
      .write_request_valid(write_request_valid[`CONV_WRITE(1)]),
      .write_request_ready(write_request_ready[`CONV_WRITE(1)]),
      .write_request_address(write_request_address[`CONV_WRITE(32)]),
      .write_request_words(write_request_words[`CONV_WRITE(16)]),
      .write_data_valid(write_data_valid[`CONV_WRITE(1)]),
      .write_data_ready(write_data_ready[`CONV_WRITE(1)]),
      .write_data(write_data[`CONV_WRITE(64)]),
      .write_strobe(write_strobe[`CONV_WRITE(8)]),
      .write_done(write_done[`CONV_WRITE(1)]),
      .event_issue(event_issue),
      .event_output_wait(event_output_wait),
      .event_zeros(tile_zeros),
      .event_loader(event_loader),
      .event_store(event_store)
  );

  vector_path vector_path (
      .clk(clk),
      .rst(unit_rst),
      .method(method),
      .explain(explain),
      .seed_mode(seed_mode),
      .seed_index(seed_index),
      .class_index(class_index),
      .class_value(class_value),
      .descriptor(descriptor),
      .vector_job_valid(vector_job_valid),
      .vector_job_ready(vector_job_ready),
      .seed_job_valid(seed_job_valid),
      .seed_job_ready(seed_job_ready),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .vector_done(vector_done),
      .vector_saturated(vector_saturated),
      .seed_done(seed_done),
      .read_request_valid(read_request_valid[`VECTOR_READ(1)]),
      .read_request_ready(read_request_ready[`VECTOR_READ(1)]),
      .read_request_address(read_request_address[`VECTOR_READ(32)]),
      .read_request_words(read_request_words[`VECTOR_READ(16)]),
      .read_response_valid(read_response_valid[`VECTOR_READ(1)]),
      .read_response_ready(read_response_ready[`VECTOR_READ(1)]),
      .read_response_data(read_response_data[`VECTOR_READ(64)]),
      .write_request_valid(write_request_valid[`VECTOR_WRITE(1)]),
      .write_request_ready(write_request_ready[`VECTOR_WRITE(1)]),
      .write_request_address(write_request_address[`VECTOR_WRITE(32)]),
      .write_request_words(write_request_words[`VECTOR_WRITE(16)]),
      .write_data_valid(write_data_valid[`VECTOR_WRITE(1)]),
      .write_data_ready(write_data_ready[`VECTOR_WRITE(1)]),
      .write_data(write_data[`VECTOR_WRITE(64)]),
      .write_strobe(write_strobe[`VECTOR_WRITE(8)]),
      .write_done(write_done[`VECTOR_WRITE(1)]),
      .event_macs(vector_macs),
      .event_zeros(vector_zeros),
      .event_active(vector_active),
      .event_waiting_input(vector_waiting_input),
      .event_waiting_output(vector_waiting_output)
  );

  wire unused_events = &{1'b0, event_loader[1], event_store[1], vector_active, vector_waiting_input, vector_macs[1:0]};

endmodule

`default_nettype wire
