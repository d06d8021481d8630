// SPDX-License-Identifier: Apache-2.0
//
// A core with the ports of gradcore that only copies memory: what tests/test_simulator.py runs in the harness.
//
// Registers: 0 start (any write), 4 source, 8 destination, c words, 10 limit of the window, 14 misbehave (1: registers no
// longer answer; 2: misaligned reads), 18 errors (read only; any error raises irq). Port 1 copies at 64 KiB above port 0.
`default_nettype none

module gradcore #(
  parameter GROUPS = 4
) (
  input  wire clk,
  input  wire rst,
  output wire irq,
  input  wire [11:0] s_axil_awaddr,
  input  wire [2:0] s_axil_awprot,
  input  wire s_axil_awvalid,
  output wire s_axil_awready,
  input  wire [31:0] s_axil_wdata,
  input  wire [3:0] s_axil_wstrb,
  input  wire s_axil_wvalid,
  output wire s_axil_wready,
  output wire [1:0] s_axil_bresp,
  output reg  s_axil_bvalid,
  input  wire s_axil_bready,
  input  wire [11:0] s_axil_araddr,
  input  wire [2:0] s_axil_arprot,
  input  wire s_axil_arvalid,
  output wire s_axil_arready,
  output reg  [31:0] s_axil_rdata,
  output wire [1:0] s_axil_rresp,
  output reg  s_axil_rvalid,
  input  wire s_axil_rready,
  output wire [31:0] m_axi0_araddr,
  output wire [7:0] m_axi0_arlen,
  output wire [2:0] m_axi0_arsize,
  output wire [1:0] m_axi0_arburst,
  output wire [3:0] m_axi0_arcache,
  output wire [2:0] m_axi0_arprot,
  output wire m_axi0_arvalid,
  input  wire m_axi0_arready,
  input  wire [63:0] m_axi0_rdata,
  input  wire [1:0] m_axi0_rresp,
  input  wire m_axi0_rlast,
  input  wire m_axi0_rvalid,
  output wire m_axi0_rready,
  output wire [31:0] m_axi0_awaddr,
  output wire [7:0] m_axi0_awlen,
  output wire [2:0] m_axi0_awsize,
  output wire [1:0] m_axi0_awburst,
  output wire [3:0] m_axi0_awcache,
  output wire [2:0] m_axi0_awprot,
  output wire m_axi0_awvalid,
  input  wire m_axi0_awready,
  output wire [63:0] m_axi0_wdata,
  output wire [7:0] m_axi0_wstrb,
  output wire m_axi0_wlast,
  output wire m_axi0_wvalid,
  input  wire m_axi0_wready,
  input  wire [1:0] m_axi0_bresp,
  input  wire m_axi0_bvalid,
  output wire m_axi0_bready,
  output wire [31:0] m_axi1_araddr,
  output wire [7:0] m_axi1_arlen,
  output wire [2:0] m_axi1_arsize,
  output wire [1:0] m_axi1_arburst,
  output wire [3:0] m_axi1_arcache,
  output wire [2:0] m_axi1_arprot,
  output wire m_axi1_arvalid,
  input  wire m_axi1_arready,
  input  wire [63:0] m_axi1_rdata,
  input  wire [1:0] m_axi1_rresp,
  input  wire m_axi1_rlast,
  input  wire m_axi1_rvalid,
  output wire m_axi1_rready,
  output wire [31:0] m_axi1_awaddr,
  output wire [7:0] m_axi1_awlen,
  output wire [2:0] m_axi1_awsize,
  output wire [1:0] m_axi1_awburst,
  output wire [3:0] m_axi1_awcache,
  output wire [2:0] m_axi1_awprot,
  output wire m_axi1_awvalid,
  input  wire m_axi1_awready,
  output wire [63:0] m_axi1_wdata,
  output wire [7:0] m_axi1_wstrb,
  output wire m_axi1_wlast,
  output wire m_axi1_wvalid,
  input  wire m_axi1_wready,
  input  wire [1:0] m_axi1_bresp,
  input  wire m_axi1_bvalid,
  output wire m_axi1_bready
);

  reg  [31:0]  source;
  reg  [31:0]  destination;
  reg  [31:0]  words;
  reg  [31:0]  limit;
  reg  [31:0]  misbehave;
  reg  [7:0]   error;
  reg  [1:0]   read_request;
  reg  [1:0]   write_request;
  reg  [1:0]   finished;
  wire [1:0]   read_accepted;
  wire [1:0]   write_accepted;
  wire [1:0]   done;
  wire [7:0]   errors;
  wire [127:0] data;
  wire [1:0]   data_valid;
  wire [1:0]   data_ready;
  wire [3:0]   unused_idle;
  wire [3:0]   unused_beat;
  wire [127:0] unused_error_address;
  wire         unused_inputs = &{1'b0, s_axil_wstrb, s_axil_awprot, s_axil_arprot, GROUPS[0]};

  wire write = s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid && !misbehave[0];
  wire start = write && s_axil_awaddr == 12'd0;

  assign irq            = (&finished) || (|error);
  assign s_axil_awready = write;
  assign s_axil_wready  = write;
  assign s_axil_bresp   = s_axil_awaddr > 12'h018 ? 2'b10 : 2'b00;
  assign s_axil_arready = !s_axil_rvalid && !misbehave[0];
  assign s_axil_rresp   = 2'b00;

  always @(posedge clk) begin
    if (write) begin
      s_axil_bvalid <= 1'b1;
      case (s_axil_awaddr)
        12'h004: source <= s_axil_wdata;
        12'h008: destination <= s_axil_wdata;
        12'h00c: words <= s_axil_wdata;
        12'h010: limit <= s_axil_wdata;
        12'h014: misbehave <= s_axil_wdata;
        default: ;
      endcase
    end else if (s_axil_bready) begin
      s_axil_bvalid <= 1'b0;
    end
    if (s_axil_arvalid && s_axil_arready) begin
      s_axil_rvalid <= 1'b1;
      s_axil_rdata  <= s_axil_araddr == 12'h018 ? {24'd0, error} : source;
    end else if (s_axil_rready) begin
      s_axil_rvalid <= 1'b0;
    end

    read_request  <= start ? 2'b11 : read_request & ~read_accepted;
    write_request <= start ? 2'b11 : write_request & ~write_accepted;
    finished      <= start ? 2'b00 : finished | done;
    error         <= start ? 8'd0 : error | errors;
    if (rst) begin
      s_axil_bvalid <= 1'b0;
      s_axil_rvalid <= 1'b0;
      misbehave     <= 32'd0;
      read_request  <= 2'b00;
      write_request <= 2'b00;
      finished      <= 2'b00;
      error         <= 8'd0;
    end
  end

  wire [31:0] read_address0;
  assign m_axi0_araddr = read_address0 + (misbehave[1] ? 32'd4 : 32'd0);

  axi_read_port #(.CLIENTS(1)) read_port0 (
    .clk(clk),
    .rst(rst),
    .flush(1'b0),
    .idle(unused_idle[0]),
    .window_base(32'd0),
    .window_limit(limit),
    .error_window(errors[0]),
    .error_response(errors[1]),
    .error_address(unused_error_address[0 +: 32]),
    .beat(unused_beat[0]),
    .request_valid(read_request[0]),
    .request_ready(read_accepted[0]),
    .request_address(source + {15'd0, 1'b0, 16'd0}),
    .request_words(words[15:0]),
    .response_valid(data_valid[0]),
    .response_ready(data_ready[0]),
    .response_data(data[0 +: 64]),
    .m_axi_araddr(read_address0),
    .m_axi_arlen(m_axi0_arlen),
    .m_axi_arsize(m_axi0_arsize),
    .m_axi_arburst(m_axi0_arburst),
    .m_axi_arcache(m_axi0_arcache),
    .m_axi_arprot(m_axi0_arprot),
    .m_axi_arvalid(m_axi0_arvalid),
    .m_axi_arready(m_axi0_arready),
    .m_axi_rdata(m_axi0_rdata),
    .m_axi_rresp(m_axi0_rresp),
    .m_axi_rlast(m_axi0_rlast),
    .m_axi_rvalid(m_axi0_rvalid),
    .m_axi_rready(m_axi0_rready)
  );

  axi_write_port #(.CLIENTS(1)) write_port0 (
    .clk(clk),
    .rst(rst),
    .flush(1'b0),
    .idle(unused_idle[1]),
    .window_base(32'd0),
    .window_limit(limit),
    .error_window(errors[2]),
    .error_response(errors[3]),
    .error_address(unused_error_address[32 +: 32]),
    .beat(unused_beat[1]),
    .request_valid(write_request[0]),
    .request_ready(write_accepted[0]),
    .request_address(destination + {15'd0, 1'b0, 16'd0}),
    .request_words(words[15:0]),
    .data_valid(data_valid[0]),
    .data_ready(data_ready[0]),
    .data(data[0 +: 64]),
    .strobe(8'hff),
    .done(done[0]),
    .m_axi_awaddr(m_axi0_awaddr),
    .m_axi_awlen(m_axi0_awlen),
    .m_axi_awsize(m_axi0_awsize),
    .m_axi_awburst(m_axi0_awburst),
    .m_axi_awcache(m_axi0_awcache),
    .m_axi_awprot(m_axi0_awprot),
    .m_axi_awvalid(m_axi0_awvalid),
    .m_axi_awready(m_axi0_awready),
    .m_axi_wdata(m_axi0_wdata),
    .m_axi_wstrb(m_axi0_wstrb),
    .m_axi_wlast(m_axi0_wlast),
    .m_axi_wvalid(m_axi0_wvalid),
    .m_axi_wready(m_axi0_wready),
    .m_axi_bresp(m_axi0_bresp),
    .m_axi_bvalid(m_axi0_bvalid),
    .m_axi_bready(m_axi0_bready)
  );

  wire [31:0] read_address1;
  assign m_axi1_araddr = read_address1 + (misbehave[1] ? 32'd4 : 32'd0);

  axi_read_port #(.CLIENTS(1)) read_port1 (
    .clk(clk),
    .rst(rst),
    .flush(1'b0),
    .idle(unused_idle[2]),
    .window_base(32'd0),
    .window_limit(limit),
    .error_window(errors[4]),
    .error_response(errors[5]),
    .error_address(unused_error_address[64 +: 32]),
    .beat(unused_beat[2]),
    .request_valid(read_request[1]),
    .request_ready(read_accepted[1]),
    .request_address(source + {15'd0, 1'b1, 16'd0}),
    .request_words(words[15:0]),
    .response_valid(data_valid[1]),
    .response_ready(data_ready[1]),
    .response_data(data[64 +: 64]),
    .m_axi_araddr(read_address1),
    .m_axi_arlen(m_axi1_arlen),
    .m_axi_arsize(m_axi1_arsize),
    .m_axi_arburst(m_axi1_arburst),
    .m_axi_arcache(m_axi1_arcache),
    .m_axi_arprot(m_axi1_arprot),
    .m_axi_arvalid(m_axi1_arvalid),
    .m_axi_arready(m_axi1_arready),
    .m_axi_rdata(m_axi1_rdata),
    .m_axi_rresp(m_axi1_rresp),
    .m_axi_rlast(m_axi1_rlast),
    .m_axi_rvalid(m_axi1_rvalid),
    .m_axi_rready(m_axi1_rready)
  );

  axi_write_port #(.CLIENTS(1)) write_port1 (
    .clk(clk),
    .rst(rst),
    .flush(1'b0),
    .idle(unused_idle[3]),
    .window_base(32'd0),
    .window_limit(limit),
    .error_window(errors[6]),
    .error_response(errors[7]),
    .error_address(unused_error_address[96 +: 32]),
    .beat(unused_beat[3]),
    .request_valid(write_request[1]),
    .request_ready(write_accepted[1]),
    .request_address(destination + {15'd0, 1'b1, 16'd0}),
    .request_words(words[15:0]),
    .data_valid(data_valid[1]),
    .data_ready(data_ready[1]),
    .data(data[64 +: 64]),
    .strobe(8'hff),
    .done(done[1]),
    .m_axi_awaddr(m_axi1_awaddr),
    .m_axi_awlen(m_axi1_awlen),
    .m_axi_awsize(m_axi1_awsize),
    .m_axi_awburst(m_axi1_awburst),
    .m_axi_awcache(m_axi1_awcache),
    .m_axi_awprot(m_axi1_awprot),
    .m_axi_awvalid(m_axi1_awvalid),
    .m_axi_awready(m_axi1_awready),
    .m_axi_wdata(m_axi1_wdata),
    .m_axi_wstrb(m_axi1_wstrb),
    .m_axi_wlast(m_axi1_wlast),
    .m_axi_wvalid(m_axi1_wvalid),
    .m_axi_wready(m_axi1_wready),
    .m_axi_bresp(m_axi1_bresp),
    .m_axi_bvalid(m_axi1_bvalid),
    .m_axi_bready(m_axi1_bready)
  );

endmodule

`default_nettype wire
