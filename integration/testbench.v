// SPDX-License-Identifier: Apache-2.0
//
// A small testbench for those who use the core in a design of their own: it writes the registers over AXI4-Lite, runs a tiny
// network forward and backward, and compares the attribution in memory with what the golden model gave. Ends with PASS or FAIL.
//
//   fusesoc --cores-root . run --target sim gradcore:ip:gradcore
//
// core_with_memory is the core with a model of memory at both of its ports: what a design of yours takes the place of. The
// program, with the picture, is in program.hex; its addresses are in program.vh, those of the registers in
// gradcore_constants.vh.
`default_nettype none
`timescale 1ns / 1ps

module testbench #(
  parameter GROUPS = 1
);

  `include "gradcore_constants.vh"
  `include "program.vh"

  reg         clk;
  reg         rst;
  wire        irq;
  wire        unused_violation;
  reg  [11:0] awaddr;
  reg         awvalid;
  wire        awready;
  reg  [31:0] wdata;
  reg         wvalid;
  wire        wready;
  wire [1:0]  bresp;
  wire        bvalid;
  reg  [11:0] araddr;
  reg         arvalid;
  wire        arready;
  wire [31:0] rdata;
  wire [1:0]  rresp;
  wire        rvalid;

  reg  [63:0] expected [0:RESULT_WORDS-1];
  reg  [63:0] found [0:RESULT_WORDS-1];
  reg  [31:0] value;
  integer     errors;
  integer     waited;
  integer     word;

  core_with_memory #(.GROUPS(GROUPS), .MEMORY_BYTES(65536)) system (
    .clk(clk),
    .rst(rst),
    .memory_rst(rst),
    .irq(irq),
    .violation(unused_violation),
    .s_axil_awaddr(awaddr),
    .s_axil_awprot(3'd0),
    .s_axil_awvalid(awvalid),
    .s_axil_awready(awready),
    .s_axil_wdata(wdata),
    .s_axil_wstrb(4'hF),
    .s_axil_wvalid(wvalid),
    .s_axil_wready(wready),
    .s_axil_bresp(bresp),
    .s_axil_bvalid(bvalid),
    .s_axil_bready(1'b1),
    .s_axil_araddr(araddr),
    .s_axil_arprot(3'd0),
    .s_axil_arvalid(arvalid),
    .s_axil_arready(arready),
    .s_axil_rdata(rdata),
    .s_axil_rresp(rresp),
    .s_axil_rvalid(rvalid),
    .s_axil_rready(1'b1)
  );

  always #5 clk = !clk;

  task fail(input [8*40-1:0] text, input [31:0] seen);
    begin
      $display("FAIL: %0s (%h)", text, seen);
      errors = errors + 1;
    end
  endtask

  // Both channels are offered at once; each is withdrawn at the edge at which it was taken.
  task write(input [11:0] address, input [31:0] data);
    begin
      awaddr <= address;
      wdata <= data;
      awvalid <= 1'b1;
      wvalid <= 1'b1;
      @(posedge clk);
      while (awvalid || wvalid) begin
        if (awready) awvalid <= 1'b0;
        if (wready) wvalid <= 1'b0;
        @(posedge clk);
      end
      while (!bvalid) @(posedge clk);
      if (bresp != 2'd0) fail("a write was refused", {20'd0, address});
      @(posedge clk);
    end
  endtask

  task read(input [11:0] address);
    begin
      araddr <= address;
      arvalid <= 1'b1;
      @(posedge clk);
      while (arvalid) begin
        if (arready) arvalid <= 1'b0;
        @(posedge clk);
      end
      while (!rvalid) @(posedge clk);
      value = rdata;
      if (rresp != 2'd0) fail("a read was refused", {20'd0, address});
      @(posedge clk);
    end
  endtask

  initial begin
    clk = 1'b0;
    rst = 1'b1;
    awvalid = 1'b0;
    wvalid = 1'b0;
    arvalid = 1'b0;
    errors = 0;
    waited = 0;
    $readmemh("expected.hex", expected);
    system.main_memory.load("program.hex", WINDOW_BASE, PROGRAM_WORDS);
    repeat (8) @(posedge clk);
    rst <= 1'b0;
    @(posedge clk);

    read(REGISTER_IDENTIFIER_ADDRESS);
    if (value != REGISTER_IDENTIFIER_RESET) fail("IDENTIFIER is not GRAD", value);
    write(REGISTER_PROGRAM_ADDRESS_ADDRESS, PROGRAM_ADDRESS);
    write(REGISTER_WINDOW_BASE_ADDRESS, WINDOW_BASE);
    write(REGISTER_WINDOW_LIMIT_ADDRESS, WINDOW_LIMIT);
    write(REGISTER_WATCHDOG_ADDRESS, 32'd100000);
    write(REGISTER_METHOD_ADDRESS, 32'd2);      // guided backpropagation
    write(REGISTER_CONTROL_ADDRESS, 32'h111);   // START, EXPLAIN, INTERRUPT_ENABLE
    while (!irq && waited < 100000) begin
      @(posedge clk);
      waited = waited + 1;
    end
    read(REGISTER_STATUS_ADDRESS);
    if (value != 32'h2) fail("the run did not end well: STATUS", value);
    write(REGISTER_INTERRUPT_ADDRESS, 32'd1);
    if (irq) fail("the interrupt stays", 32'd1);
    read(REGISTER_CLASS_INDEX_ADDRESS);
    if (value != PREDICTED) fail("another class", value);

    system.main_memory.dump("found.hex", RESULT_ADDRESS, RESULT_WORDS);
    $readmemh("found.hex", found);
    for (word = 0; word < RESULT_WORDS; word = word + 1) begin
      if (found[word] !== expected[word]) fail("a word of the attribution differs", word);
    end
    if (errors == 0) $display("PASS: %0d words of attribution, %0d cycles", RESULT_WORDS, waited);
    $finish;
  end

endmodule

`default_nettype wire
