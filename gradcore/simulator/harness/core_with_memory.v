// SPDX-License-Identifier: Apache-2.0
//
// The core wired to the memory model: what the harness and tb/system/system.v both run. Not for synthesis.
//
// Outside are clock, resets (the memory has one of its own), AXI4-Lite and interrupt. `main_memory` has the back door
// (load, dump); m0_* and m1_* are the two ports between core and memory.
`default_nettype none

module core_with_memory #(
  parameter        GROUPS = 4,
  parameter        MEMORY_BYTES = 67108864,
  parameter [31:0] MEMORY_BASE = 32'h0000_0000,
  parameter        FATAL = 1  // end the simulation at a violation
) (
  input  wire        clk,
  input  wire        rst,
  input  wire        memory_rst,
  output wire        irq,
  output wire        violation,
  input  wire [11:0] s_axil_awaddr,
  input  wire [2:0]  s_axil_awprot,
  input  wire        s_axil_awvalid,
  output wire        s_axil_awready,
  input  wire [31:0] s_axil_wdata,
  input  wire [3:0]  s_axil_wstrb,
  input  wire        s_axil_wvalid,
  output wire        s_axil_wready,
  output wire [1:0]  s_axil_bresp,
  output wire        s_axil_bvalid,
  input  wire        s_axil_bready,
  input  wire [11:0] s_axil_araddr,
  input  wire [2:0]  s_axil_arprot,
  input  wire        s_axil_arvalid,
  output wire        s_axil_arready,
  output wire [31:0] s_axil_rdata,
  output wire [1:0]  s_axil_rresp,
  output wire        s_axil_rvalid,
  input  wire        s_axil_rready
);

  wire [31:0] m0_araddr;
  wire [7:0]  m0_arlen;
  wire [2:0]  m0_arsize;
  wire [1:0]  m0_arburst;
  wire [3:0]  unused_m0_arcache;
  wire [2:0]  unused_m0_arprot;
  wire        m0_arvalid;
  wire        m0_arready;
  wire [63:0] m0_rdata;
  wire [1:0]  m0_rresp;
  wire        m0_rlast;
  wire        m0_rvalid;
  wire        m0_rready;
  wire [31:0] m0_awaddr;
  wire [7:0]  m0_awlen;
  wire [2:0]  m0_awsize;
  wire [1:0]  m0_awburst;
  wire [3:0]  unused_m0_awcache;
  wire [2:0]  unused_m0_awprot;
  wire        m0_awvalid;
  wire        m0_awready;
  wire [63:0] m0_wdata;
  wire [7:0]  m0_wstrb;
  wire        m0_wlast;
  wire        m0_wvalid;
  wire        m0_wready;
  wire [1:0]  m0_bresp;
  wire        m0_bvalid;
  wire        m0_bready;
  wire [31:0] m1_araddr;
  wire [7:0]  m1_arlen;
  wire [2:0]  m1_arsize;
  wire [1:0]  m1_arburst;
  wire [3:0]  unused_m1_arcache;
  wire [2:0]  unused_m1_arprot;
  wire        m1_arvalid;
  wire        m1_arready;
  wire [63:0] m1_rdata;
  wire [1:0]  m1_rresp;
  wire        m1_rlast;
  wire        m1_rvalid;
  wire        m1_rready;
  wire [31:0] m1_awaddr;
  wire [7:0]  m1_awlen;
  wire [2:0]  m1_awsize;
  wire [1:0]  m1_awburst;
  wire [3:0]  unused_m1_awcache;
  wire [2:0]  unused_m1_awprot;
  wire        m1_awvalid;
  wire        m1_awready;
  wire [63:0] m1_wdata;
  wire [7:0]  m1_wstrb;
  wire        m1_wlast;
  wire        m1_wvalid;
  wire        m1_wready;
  wire [1:0]  m1_bresp;
  wire        m1_bvalid;
  wire        m1_bready;

  gradcore #(.GROUPS(GROUPS)) core (
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
    .m_axi0_araddr(m0_araddr),
    .m_axi0_arlen(m0_arlen),
    .m_axi0_arsize(m0_arsize),
    .m_axi0_arburst(m0_arburst),
    .m_axi0_arcache(unused_m0_arcache),
    .m_axi0_arprot(unused_m0_arprot),
    .m_axi0_arvalid(m0_arvalid),
    .m_axi0_arready(m0_arready),
    .m_axi0_rdata(m0_rdata),
    .m_axi0_rresp(m0_rresp),
    .m_axi0_rlast(m0_rlast),
    .m_axi0_rvalid(m0_rvalid),
    .m_axi0_rready(m0_rready),
    .m_axi0_awaddr(m0_awaddr),
    .m_axi0_awlen(m0_awlen),
    .m_axi0_awsize(m0_awsize),
    .m_axi0_awburst(m0_awburst),
    .m_axi0_awcache(unused_m0_awcache),
    .m_axi0_awprot(unused_m0_awprot),
    .m_axi0_awvalid(m0_awvalid),
    .m_axi0_awready(m0_awready),
    .m_axi0_wdata(m0_wdata),
    .m_axi0_wstrb(m0_wstrb),
    .m_axi0_wlast(m0_wlast),
    .m_axi0_wvalid(m0_wvalid),
    .m_axi0_wready(m0_wready),
    .m_axi0_bresp(m0_bresp),
    .m_axi0_bvalid(m0_bvalid),
    .m_axi0_bready(m0_bready),
    .m_axi1_araddr(m1_araddr),
    .m_axi1_arlen(m1_arlen),
    .m_axi1_arsize(m1_arsize),
    .m_axi1_arburst(m1_arburst),
    .m_axi1_arcache(unused_m1_arcache),
    .m_axi1_arprot(unused_m1_arprot),
    .m_axi1_arvalid(m1_arvalid),
    .m_axi1_arready(m1_arready),
    .m_axi1_rdata(m1_rdata),
    .m_axi1_rresp(m1_rresp),
    .m_axi1_rlast(m1_rlast),
    .m_axi1_rvalid(m1_rvalid),
    .m_axi1_rready(m1_rready),
    .m_axi1_awaddr(m1_awaddr),
    .m_axi1_awlen(m1_awlen),
    .m_axi1_awsize(m1_awsize),
    .m_axi1_awburst(m1_awburst),
    .m_axi1_awcache(unused_m1_awcache),
    .m_axi1_awprot(unused_m1_awprot),
    .m_axi1_awvalid(m1_awvalid),
    .m_axi1_awready(m1_awready),
    .m_axi1_wdata(m1_wdata),
    .m_axi1_wstrb(m1_wstrb),
    .m_axi1_wlast(m1_wlast),
    .m_axi1_wvalid(m1_wvalid),
    .m_axi1_wready(m1_wready),
    .m_axi1_bresp(m1_bresp),
    .m_axi1_bvalid(m1_bvalid),
    .m_axi1_bready(m1_bready)
  );

  axi_memory #(.BYTES(MEMORY_BYTES), .BASE(MEMORY_BASE), .FATAL(FATAL)) main_memory (
    .clk(clk),
    .rst(memory_rst),
    .violation(violation),
    .s_axi0_araddr(m0_araddr),
    .s_axi0_arlen(m0_arlen),
    .s_axi0_arsize(m0_arsize),
    .s_axi0_arburst(m0_arburst),
    .s_axi0_arvalid(m0_arvalid),
    .s_axi0_arready(m0_arready),
    .s_axi0_rdata(m0_rdata),
    .s_axi0_rresp(m0_rresp),
    .s_axi0_rlast(m0_rlast),
    .s_axi0_rvalid(m0_rvalid),
    .s_axi0_rready(m0_rready),
    .s_axi0_awaddr(m0_awaddr),
    .s_axi0_awlen(m0_awlen),
    .s_axi0_awsize(m0_awsize),
    .s_axi0_awburst(m0_awburst),
    .s_axi0_awvalid(m0_awvalid),
    .s_axi0_awready(m0_awready),
    .s_axi0_wdata(m0_wdata),
    .s_axi0_wstrb(m0_wstrb),
    .s_axi0_wlast(m0_wlast),
    .s_axi0_wvalid(m0_wvalid),
    .s_axi0_wready(m0_wready),
    .s_axi0_bresp(m0_bresp),
    .s_axi0_bvalid(m0_bvalid),
    .s_axi0_bready(m0_bready),
    .s_axi1_araddr(m1_araddr),
    .s_axi1_arlen(m1_arlen),
    .s_axi1_arsize(m1_arsize),
    .s_axi1_arburst(m1_arburst),
    .s_axi1_arvalid(m1_arvalid),
    .s_axi1_arready(m1_arready),
    .s_axi1_rdata(m1_rdata),
    .s_axi1_rresp(m1_rresp),
    .s_axi1_rlast(m1_rlast),
    .s_axi1_rvalid(m1_rvalid),
    .s_axi1_rready(m1_rready),
    .s_axi1_awaddr(m1_awaddr),
    .s_axi1_awlen(m1_awlen),
    .s_axi1_awsize(m1_awsize),
    .s_axi1_awburst(m1_awburst),
    .s_axi1_awvalid(m1_awvalid),
    .s_axi1_awready(m1_awready),
    .s_axi1_wdata(m1_wdata),
    .s_axi1_wstrb(m1_wstrb),
    .s_axi1_wlast(m1_wlast),
    .s_axi1_wvalid(m1_wvalid),
    .s_axi1_wready(m1_wready),
    .s_axi1_bresp(m1_bresp),
    .s_axi1_bvalid(m1_bvalid),
    .s_axi1_bready(m1_bready)
  );

endmodule

`default_nettype wire
