// SPDX-License-Identifier: Apache-2.0
//
// The core with the memory model, for cocotb: AXI4-Lite and interrupt outside. Not for synthesis.
//
// `stall` is the memory's probability, in 1/1000, of withholding a ready or valid. In a cycle with `load` or `dump`
// `words` 64-bit words at `address` are read from the file load.hex, or written to the file dump.hex. `request` pulses
// with each address that the memory accepts (read port 0, read port 1, write port 0, write port 1), `request_any` with
// any; `request_address` and `request_beats` (32 and 8 bits a port) say which, and how many beats.
`default_nettype none

/* verilator lint_off BLKSEQ */  // load and dump are a program

module system #(
  parameter GROUPS = 1,
  parameter MEMORY_BYTES = 1048576
) (
  input  wire         clk,
  input  wire         rst,
  output wire         irq,
  output wire         violation,
  input  wire [9:0]   stall,
  input  wire         load,
  input  wire         dump,
  input  wire [31:0]  address,
  input  wire [31:0]  words,
  output wire [3:0]   request,
  output wire         request_any,
  output wire [127:0] request_address,
  output wire [31:0]  request_beats,
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
  input  wire         s_axil_rready
);

  assign request = {core_with_memory.m1_awvalid && core_with_memory.m1_awready,
                    core_with_memory.m0_awvalid && core_with_memory.m0_awready,
                    core_with_memory.m1_arvalid && core_with_memory.m1_arready,
                    core_with_memory.m0_arvalid && core_with_memory.m0_arready};
  assign request_any = |request;
  assign request_address = {request[3] ? core_with_memory.m1_awaddr : 32'd0,
                            request[2] ? core_with_memory.m0_awaddr : 32'd0,
                            request[1] ? core_with_memory.m1_araddr : 32'd0,
                            request[0] ? core_with_memory.m0_araddr : 32'd0};
  assign request_beats = {request[3] ? core_with_memory.m1_awlen + 8'd1 : 8'd0,
                          request[2] ? core_with_memory.m0_awlen + 8'd1 : 8'd0,
                          request[1] ? core_with_memory.m1_arlen + 8'd1 : 8'd0,
                          request[0] ? core_with_memory.m0_arlen + 8'd1 : 8'd0};

  // Inputs may start with random bits (in Verilator), which look like a clock edge without reset: nothing may happen.
  reg started;
  initial started = 1'b0;
  always @(posedge clk) if (rst) started <= 1'b1;

  core_with_memory #(.GROUPS(GROUPS), .MEMORY_BYTES(MEMORY_BYTES), .FATAL(0)) core_with_memory (
    .clk(clk),
    .rst(rst),
    .memory_rst(rst || !started),
    .irq(irq),
    .violation(violation),
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
    .s_axil_rready(s_axil_rready)
  );

  always @(posedge clk) if (started) begin
    core_with_memory.main_memory.stall = {22'd0, stall};
    if (load) core_with_memory.main_memory.load("load.hex", address, words);
    if (dump) core_with_memory.main_memory.dump("dump.hex", address, words);
  end

endmodule

/* verilator lint_on BLKSEQ */

`default_nettype wire
