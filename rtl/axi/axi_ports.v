// SPDX-License-Identifier: Apache-2.0
//
// axi_ports: the read and the write engine of both AXI masters.
//
// The clients stand on one bus, a path's together; which port serves which, and in which order, is said in
// registers/sizes.toml. Vectors of the AXI masters: port 0 in the lower half. Order of port_idle, error_window and
// port_error_address: read 0, read 1, write 0, write 1.
//
// Contract: see axi_read_port and axi_write_port.
`default_nettype none
`include "gradcore_sizes.vh"

module axi_ports (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          flush,
    input  wire [31:0]                   window_base,
    input  wire [31:0]                   window_limit,
    output wire [3:0]                    port_idle,
    output wire [3:0]                    error_window,
    output wire [1:0]                    error_read,
    output wire [1:0]                    error_write,
    output wire [127:0]                  port_error_address,
    output wire [1:0]                    read_beat,
    output wire [1:0]                    write_beat,
    // The bus.
    input  wire [`READ_CLIENTS-1:0]      read_request_valid,
    output wire [`READ_CLIENTS-1:0]      read_request_ready,
    input  wire [32*`READ_CLIENTS-1:0]   read_request_address,
    input  wire [16*`READ_CLIENTS-1:0]   read_request_words,
    output wire [`READ_CLIENTS-1:0]      read_response_valid,
    input  wire [`READ_CLIENTS-1:0]      read_response_ready,
    output wire [64*`READ_CLIENTS-1:0]   read_response_data,
    input  wire [`WRITE_CLIENTS-1:0]     write_request_valid,
    output wire [`WRITE_CLIENTS-1:0]     write_request_ready,
    input  wire [32*`WRITE_CLIENTS-1:0]  write_request_address,
    input  wire [16*`WRITE_CLIENTS-1:0]  write_request_words,
    input  wire [`WRITE_CLIENTS-1:0]     write_data_valid,
    output wire [`WRITE_CLIENTS-1:0]     write_data_ready,
    input  wire [64*`WRITE_CLIENTS-1:0]  write_data,
    input  wire [8*`WRITE_CLIENTS-1:0]   write_strobe,
    output wire [`WRITE_CLIENTS-1:0]     write_done,
    // AXI.
    output wire [63:0]                   m_axi_araddr,
    output wire [15:0]                   m_axi_arlen,
    output wire [5:0]                    m_axi_arsize,
    output wire [3:0]                    m_axi_arburst,
    output wire [7:0]                    m_axi_arcache,
    output wire [5:0]                    m_axi_arprot,
    output wire [1:0]                    m_axi_arvalid,
    input  wire [1:0]                    m_axi_arready,
    input  wire [127:0]                  m_axi_rdata,
    input  wire [3:0]                    m_axi_rresp,
    input  wire [1:0]                    m_axi_rlast,
    input  wire [1:0]                    m_axi_rvalid,
    output wire [1:0]                    m_axi_rready,
    output wire [63:0]                   m_axi_awaddr,
    output wire [15:0]                   m_axi_awlen,
    output wire [5:0]                    m_axi_awsize,
    output wire [3:0]                    m_axi_awburst,
    output wire [7:0]                    m_axi_awcache,
    output wire [5:0]                    m_axi_awprot,
    output wire [1:0]                    m_axi_awvalid,
    input  wire [1:0]                    m_axi_awready,
    output wire [127:0]                  m_axi_wdata,
    output wire [15:0]                   m_axi_wstrb,
    output wire [1:0]                    m_axi_wlast,
    output wire [1:0]                    m_axi_wvalid,
    input  wire [1:0]                    m_axi_wready,
    input  wire [3:0]                    m_axi_bresp,
    input  wire [1:0]                    m_axi_bvalid,
    output wire [1:0]                    m_axi_bready
);

  genvar port, client;
  generate
    for (port = 0; port < 2; port = port + 1) begin : g_read
      localparam CLIENTS = (port == 0) ? `READ_CLIENTS0 : `READ_CLIENTS1;
      localparam [4*`READ_CLIENTS-1:0] ORDER = (port == 0) ? `READ_ORDER0 : `READ_ORDER1;
      wire [CLIENTS-1:0] request_valid, request_ready, response_valid, response_ready;
      wire [32*CLIENTS-1:0] request_address;
      wire [16*CLIENTS-1:0] request_words;
      wire [64*CLIENTS-1:0] response_data;
      for (client = 0; client < CLIENTS; client = client + 1) begin : g_client
        localparam integer PLACE = {28'd0, ORDER[4*client+:4]};  // on the bus
        assign request_valid[client] = read_request_valid[PLACE];
        assign read_request_ready[PLACE] = request_ready[client];
        assign request_address[32*client +: 32] = read_request_address[32*PLACE +: 32];
        assign request_words[16*client +: 16] = read_request_words[16*PLACE +: 16];
        assign read_response_valid[PLACE] = response_valid[client];
        assign response_ready[client] = read_response_ready[PLACE];
        assign read_response_data[64*PLACE +: 64] = response_data[64*client +: 64];
      end

      axi_read_port #(
          .CLIENTS(CLIENTS),
          .FIFO_DEPTH(`RESPONSE_WORDS),
          .OUTSTANDING(`OUTSTANDING),
          .SHALLOW((port == 0) ? `READ_SHORT0 : `READ_SHORT1)
      ) read_port (
          .clk(clk),
          .rst(rst),
          .flush(flush),
          .idle(port_idle[port]),
          .window_base(window_base),
          .window_limit(window_limit),
          .error_window(error_window[port]),
          .error_response(error_read[port]),
          .error_address(port_error_address[32*port+:32]),
          .beat(read_beat[port]),
          .request_valid(request_valid),
          .request_ready(request_ready),
          .request_address(request_address),
          .request_words(request_words),
          .response_valid(response_valid),
          .response_ready(response_ready),
          .response_data(response_data),
          .m_axi_araddr(m_axi_araddr[32*port+:32]),
          .m_axi_arlen(m_axi_arlen[8*port+:8]),
          .m_axi_arsize(m_axi_arsize[3*port+:3]),
          .m_axi_arburst(m_axi_arburst[2*port+:2]),
          .m_axi_arcache(m_axi_arcache[4*port+:4]),
          .m_axi_arprot(m_axi_arprot[3*port+:3]),
          .m_axi_arvalid(m_axi_arvalid[port]),
          .m_axi_arready(m_axi_arready[port]),
          .m_axi_rdata(m_axi_rdata[64*port+:64]),
          .m_axi_rresp(m_axi_rresp[2*port+:2]),
          .m_axi_rlast(m_axi_rlast[port]),
          .m_axi_rvalid(m_axi_rvalid[port]),
          .m_axi_rready(m_axi_rready[port])
      );
    end

    for (port = 0; port < 2; port = port + 1) begin : g_write
      localparam CLIENTS = (port == 0) ? `WRITE_CLIENTS0 : `WRITE_CLIENTS1;
      localparam [4*`WRITE_CLIENTS-1:0] ORDER = (port == 0) ? `WRITE_ORDER0 : `WRITE_ORDER1;
      wire [CLIENTS-1:0] request_valid, request_ready, data_valid, data_ready, done;
      wire [32*CLIENTS-1:0] request_address;
      wire [16*CLIENTS-1:0] request_words;
      wire [64*CLIENTS-1:0] data;
      wire [8*CLIENTS-1:0] strobe;
      for (client = 0; client < CLIENTS; client = client + 1) begin : g_client
        localparam integer PLACE = {28'd0, ORDER[4*client+:4]};  // on the bus
        assign request_valid[client] = write_request_valid[PLACE];
        assign write_request_ready[PLACE] = request_ready[client];
        assign request_address[32*client +: 32] = write_request_address[32*PLACE +: 32];
        assign request_words[16*client +: 16] = write_request_words[16*PLACE +: 16];
        assign data_valid[client] = write_data_valid[PLACE];
        assign write_data_ready[PLACE] = data_ready[client];
        assign data[64*client +: 64] = write_data[64*PLACE +: 64];
        assign strobe[8*client +: 8] = write_strobe[8*PLACE +: 8];
        assign write_done[PLACE] = done[client];
      end

      axi_write_port #(
          .CLIENTS(CLIENTS),
          .OUTSTANDING(`OUTSTANDING)
      ) write_port (
          .clk(clk),
          .rst(rst),
          .flush(flush),
          .idle(port_idle[2+port]),
          .window_base(window_base),
          .window_limit(window_limit),
          .error_window(error_window[2+port]),
          .error_response(error_write[port]),
          .error_address(port_error_address[32*(2+port)+:32]),
          .beat(write_beat[port]),
          .request_valid(request_valid),
          .request_ready(request_ready),
          .request_address(request_address),
          .request_words(request_words),
          .data_valid(data_valid),
          .data_ready(data_ready),
          .data(data),
          .strobe(strobe),
          .done(done),
          .m_axi_awaddr(m_axi_awaddr[32*port+:32]),
          .m_axi_awlen(m_axi_awlen[8*port+:8]),
          .m_axi_awsize(m_axi_awsize[3*port+:3]),
          .m_axi_awburst(m_axi_awburst[2*port+:2]),
          .m_axi_awcache(m_axi_awcache[4*port+:4]),
          .m_axi_awprot(m_axi_awprot[3*port+:3]),
          .m_axi_awvalid(m_axi_awvalid[port]),
          .m_axi_awready(m_axi_awready[port]),
          .m_axi_wdata(m_axi_wdata[64*port+:64]),
          .m_axi_wstrb(m_axi_wstrb[8*port+:8]),
          .m_axi_wlast(m_axi_wlast[port]),
          .m_axi_wvalid(m_axi_wvalid[port]),
          .m_axi_wready(m_axi_wready[port]),
          .m_axi_bresp(m_axi_bresp[2*port+:2]),
          .m_axi_bvalid(m_axi_bvalid[port]),
          .m_axi_bready(m_axi_bready[port])
      );
    end
  endgenerate

endmodule

`default_nettype wire
