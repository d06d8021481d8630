// SPDX-License-Identifier: Apache-2.0
//
// Watches one AXI port in simulation: raises violation, and prints the first breach, when
// - a master's valid or ready is unknown, or an address, data with a strobe, or other payload is, while valid;
// - a valid falls, or its payload changes, before ready;
// - a burst has more than 16 beats, a size other than 8 bytes, a kind other than INCR, or is not on 8 bytes;
// - a burst crosses 4 KiB, or leaves the memory [BASE, BASE + BYTES);
// - last is not on the last beat, or data or a response come without an address.
`default_nettype none

/* verilator lint_off BLKSEQ */    // state of a behavioural model, used in one block alone
/* verilator lint_off UNSIGNED */  // BASE may be 0

module axi_checker #(
  parameter        PORT = 0,
  parameter [31:0] BASE = 32'h0000_0000,
  parameter        BYTES = 67108864
) (
  input  wire        clk,
  input  wire        rst,
  output reg         violation,
  input  wire [31:0] araddr,
  input  wire [7:0]  arlen,
  input  wire [2:0]  arsize,
  input  wire [1:0]  arburst,
  input  wire        arvalid,
  input  wire        arready,
  input  wire [63:0] rdata,
  input  wire [1:0]  rresp,
  input  wire        rlast,
  input  wire        rvalid,
  input  wire        rready,
  input  wire [31:0] awaddr,
  input  wire [7:0]  awlen,
  input  wire [2:0]  awsize,
  input  wire [1:0]  awburst,
  input  wire        awvalid,
  input  wire        awready,
  input  wire [63:0] wdata,
  input  wire [7:0]  wstrb,
  input  wire        wlast,
  input  wire        wvalid,
  input  wire        wready,
  input  wire [1:0]  bresp,
  input  wire        bvalid,
  input  wire        bready
);

  localparam [32:0] END = {1'b0, BASE} + BYTES;

  reg        known;  // the previous cycle was not in reset
  reg [4:0]  held;   // valid without ready in the previous cycle: r, b, w, aw, ar
  reg [44:0] previous_ar;
  reg [44:0] previous_aw;
  reg [72:0] previous_w;
  reg [66:0] previous_r;
  reg [1:0]  previous_b;

  reg [7:0]  read_length [0:255];
  reg [7:0]  read_head;
  reg [7:0]  read_tail;
  reg [7:0]  read_beat;
  reg [7:0]  write_length [0:255];
  reg [7:0]  write_head;
  reg [7:0]  write_tail;
  reg [7:0]  write_beat;
  integer    answers;  // write bursts with all data and no response
  reg [63:0] mask;
  integer    i;

  task fail(input [8*48-1:0] message, input [31:0] address);
    begin
      if (!violation)
        $display("VIOLATION port %0d: %0s at %h", PORT, message, address);
      violation = 1'b1;
    end
  endtask

  task check_address(input [31:0] address, input [7:0] length, input [2:0] size, input [1:0] burst);
    begin
      if ((^{address, length, size, burst}) === 1'bx) fail("unknown bits in the address channel", address);
      if (length > 8'd15) fail("burst of more than 16 beats", address);
      if (size != 3'd3) fail("beat size is not 8 bytes", address);
      if (burst != 2'b01) fail("burst kind is not INCR", address);
      if (address[2:0] != 3'd0) fail("burst does not start on 8 bytes", address);
      if ({1'b0, address[11:3]} + {2'b00, length} > 10'd511) fail("burst crosses 4 KiB", address);
      if (address < BASE || {1'b0, address} + {22'd0, length, 3'd0} + 33'd8 > END) fail("outside the memory", address);
    end
  endtask

  initial begin
    violation = 1'b0;
    known = 1'b0;
  end

  always @(posedge clk) begin
    if (rst) begin
      known = 1'b0;
      held = 5'd0;
      read_head = 8'd0;
      read_tail = 8'd0;
      read_beat = 8'd0;
      write_head = 8'd0;
      write_tail = 8'd0;
      write_beat = 8'd0;
      answers = 0;
    end else begin
      if ((^{arvalid, awvalid, wvalid, rready, bready}) === 1'bx) fail("unknown valid or ready", 32'd0);
      if (known) begin
        if (held[0] && (!arvalid || previous_ar !== {araddr, arlen, arsize, arburst}))
          fail("read address withdrawn or changed", araddr);
        if (held[1] && (!awvalid || previous_aw !== {awaddr, awlen, awsize, awburst}))
          fail("write address withdrawn or changed", awaddr);
        if (held[2] && (!wvalid || previous_w !== {wdata, wstrb, wlast}))
          fail("write data withdrawn or changed", 32'd0);
        if (held[3] && (!bvalid || previous_b !== bresp))
          fail("write response withdrawn or changed", 32'd0);
        if (held[4] && (!rvalid || previous_r !== {rdata, rresp, rlast}))
          fail("read data withdrawn or changed", 32'd0);
      end
      if (arvalid)
        check_address(araddr, arlen, arsize, arburst);
      if (awvalid)
        check_address(awaddr, awlen, awsize, awburst);

      if (wvalid) begin
        for (i = 0; i < 8; i = i + 1)
          mask[8*i +: 8] = {8{wstrb[i]}};
        if ((^{wstrb, wlast, wdata & mask}) === 1'bx) fail("unknown bits in the write data", 32'd0);
      end

      // Order: responses first, so that nothing is answered in the cycle of its own address.
      if (rvalid && read_head == read_tail)
        fail("read data without an address", 32'd0);
      if (rvalid && rready) begin
        if (rlast != (read_beat == read_length[read_head])) fail("rlast is not on the last beat", 32'd0);
        read_beat = rlast ? 8'd0 : read_beat + 8'd1;
        if (rlast)
          read_head = read_head + 8'd1;
      end
      if (bvalid && answers == 0)
        fail("write response without data", 32'd0);
      if (bvalid && bready)
        answers = answers - 1;
      if (arvalid && arready) begin
        read_length[read_tail] = arlen;
        read_tail = read_tail + 8'd1;
      end
      if (awvalid && awready) begin
        write_length[write_tail] = awlen;
        write_tail = write_tail + 8'd1;
      end
      if (wvalid && wready) begin
        if (write_head == write_tail)
          fail("write data accepted without an address", 32'd0);
        if (wlast != (write_beat == write_length[write_head])) fail("wlast is not on the last beat", 32'd0);
        write_beat = wlast ? 8'd0 : write_beat + 8'd1;
        if (wlast) begin
          write_head = write_head + 8'd1;
          answers = answers + 1;
        end
      end

      known = 1'b1;
      held = {rvalid && !rready, bvalid && !bready, wvalid && !wready, awvalid && !awready, arvalid && !arready};
      previous_ar = {araddr, arlen, arsize, arburst};
      previous_aw = {awaddr, awlen, awsize, awburst};
      previous_w = {wdata, wstrb, wlast};
      previous_r = {rdata, rresp, rlast};
      previous_b = bresp;
    end
  end

endmodule

/* verilator lint_on UNSIGNED */
/* verilator lint_on BLKSEQ */
`default_nettype wire
