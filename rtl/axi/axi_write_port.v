// SPDX-License-Identifier: Apache-2.0
//
// AXI4 write master (no IDs) shared by several clients.
//
// Contract: a client asks to write a run of 64-bit words (address in bytes, low 3 bits ignored; at least 1 word) and
// then hands over exactly that many beats with byte strobes, in order of its requests; done pulses once a request,
// when its last write response has arrived. Requests are cut in bursts of at most 16 beats inside 128-byte blocks,
// so none crosses 4 KiB; bursts of different clients are interleaved by round robin. A client is chosen only while
// it offers data; from then on the port waits for it until the burst is complete. Up to OUTSTANDING bursts are in
// flight, addresses up to 4 bursts ahead of data. From an accepted request to awvalid: 6 cycles; from data to
// wvalid: 1 cycle; sustained: one beat a cycle.
// Errors: a request not wholly inside [window_base, window_limit) causes no access, takes no data, is never done,
// and pulses error_window; a response other than OKAY pulses error_response (done pulses all the same).
// error_address goes with either pulse: the request's address, or the first address of the burst.
// flush (a level) drops requests and issues nothing; bursts whose address is out are completed with beats without
// strobes, also after flush falls; no done pulses. idle: no request in hand, nothing on the bus.
`default_nettype none
`include "gradcore_sizes.vh"

module axi_write_port #(
    parameter CLIENTS     = 2,
    parameter OUTSTANDING = `OUTSTANDING  // a power of two, at least 2
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  flush,
    output reg                   idle,

    input  wire [31:0]           window_base,
    input  wire [31:0]           window_limit,
    output wire                  error_window,
    output reg                   error_response,
    output wire [31:0]           error_address,
    output wire                  beat,

    input  wire [CLIENTS-1:0]    request_valid,
    output wire [CLIENTS-1:0]    request_ready,
    input  wire [32*CLIENTS-1:0] request_address,
    input  wire [16*CLIENTS-1:0] request_words,

    input  wire [CLIENTS-1:0]    data_valid,
    output wire [CLIENTS-1:0]    data_ready,
    input  wire [64*CLIENTS-1:0] data,
    input  wire [8*CLIENTS-1:0]  strobe,
    output reg  [CLIENTS-1:0]    done,

    output wire [31:0]           m_axi_awaddr,
    output wire [7:0]            m_axi_awlen,
    output wire [2:0]            m_axi_awsize,
    output wire [1:0]            m_axi_awburst,
    output wire [3:0]            m_axi_awcache,
    output wire [2:0]            m_axi_awprot,
    output wire                  m_axi_awvalid,
    input  wire                  m_axi_awready,
    output wire [63:0]           m_axi_wdata,
    output wire [7:0]            m_axi_wstrb,
    output wire                  m_axi_wlast,
    output wire                  m_axi_wvalid,
    input  wire                  m_axi_wready,
    input  wire [1:0]            m_axi_bresp,
    input  wire                  m_axi_bvalid,
    output wire                  m_axi_bready
);

  // Flushing goes on until the last response of the bursts on the bus has arrived.
  reg  flushing;
  wire clear = flush || flushing;

  // Requests, checked and cut in bursts -----------------------------------------------------------------------------

  wire [CLIENTS-1:0]    burst_valid;
  wire [CLIENTS-1:0]    burst_take;
  wire [29*CLIENTS-1:0] burst_address;
  wire [5*CLIENTS-1:0]  burst_beats;
  wire [CLIENTS-1:0]    burst_last;
  wire                  requests_empty;
  wire [31:3]           request_error_address;

  axi_request_stage #(
      .CLIENTS(CLIENTS)
  ) request_stage (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .window_base(window_base),
      .window_limit(window_limit),
      .request_valid(request_valid),
      .request_ready(request_ready),
      .request_address(request_address),
      .request_words(request_words),
      .burst_valid(burst_valid),
      .burst_take(burst_take),
      .burst_address(burst_address),
      .burst_beats(burst_beats),
      .burst_last(burst_last),
      .empty(requests_empty),
      .error_window(error_window),
      .error_address(request_error_address)
  );

  // Write addresses -------------------------------------------------------------------------------------------------

  wire        bus_empty;
  wire [28:0] issue_address;
  wire [4:0]  issue_beats;
  wire        issue_last = |(burst_last & burst_take);
  wire [2:0]  data_level;

  // The choice of a burst takes a cycle, so one place is left for a burst that is chosen already.
  wire data_room = data_level < 3'd3;

  wire burst_taken;

  axi_burst_issue #(
      .CLIENTS(CLIENTS),
      .OUTSTANDING(OUTSTANDING)
  ) burst_issue (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .burst_valid(burst_valid),
      .burst_allowed(data_valid & {CLIENTS{data_room}}),
      .burst_take(burst_take),
      .taken(burst_taken),
      .burst_address(burst_address),
      .burst_beats(burst_beats),
      .taken_address(issue_address),
      .taken_beats(issue_beats),
      .completed(m_axi_bvalid),
      .empty(bus_empty),
      .axi_address(m_axi_awaddr),
      .axi_length(m_axi_awlen),
      .axi_valid(m_axi_awvalid),
      .axi_ready(m_axi_awready)
  );

  assign m_axi_awsize  = 3'd3;
  assign m_axi_awburst = 2'b01;
  assign m_axi_awcache = 4'b0011;
  assign m_axi_awprot  = 3'b000;
  assign m_axi_bready  = 1'b1;

  // Write data ------------------------------------------------------------------------------------------------------

  // Whose data come next, and how many beats: the bursts whose address is out.
  wire               next_valid;
  wire               next_take;
  wire [CLIENTS-1:0] next_owner;
  wire [3:0]         next_last_beat;
  reg                data_order_valid;
  wire               data_order_next;
  reg  [CLIENTS-1:0] data_owner;
  reg  [3:0]         data_last_beat;
  wire               unused_data_order_ready;

  wire [4:0] issue_beats_less_one = issue_beats - 5'd1;
  wire       unused_beats_bit = issue_beats_less_one[4];

  fifo #(
      .WIDTH(CLIENTS + 4),
      .DEPTH(4)
  ) data_order (
      .clk(clk),
      .rst(rst),
      .in_valid(burst_taken),
      .in_ready(unused_data_order_ready),
      .in_data({burst_take, issue_beats_less_one[3:0]}),
      .out_valid(next_valid),
      .out_ready(next_take),
      .out_data({next_owner, next_last_beat}),
      .level(data_level)
  );

  assign next_take = !data_order_valid || data_order_next;

  always @(posedge clk) begin
    if (next_take) begin
      data_order_valid <= next_valid;
      data_owner       <= next_owner;
      data_last_beat   <= next_last_beat;
    end
    if (rst) data_order_valid <= 1'b0;
  end

  reg  [3:0]  beats_sent;  // of the burst at the head
  reg  [63:0] owner_data;
  reg  [7:0]  owner_strobe;
  wire        send_ready;
  wire        send_valid = data_order_valid && (clear || (|(data_owner & data_valid)));
  wire        send_last  = beats_sent == data_last_beat;
  wire        send       = send_valid && send_ready;

  assign data_ready      = data_owner & {CLIENTS{data_order_valid && send_ready && !clear}};
  assign data_order_next = send && send_last;

  integer i;
  always @(*) begin
    owner_data   = 64'd0;
    owner_strobe = 8'd0;
    for (i = 0; i < CLIENTS; i = i + 1) begin
      owner_data   = owner_data | (data[64*i +: 64] & {64{data_owner[i]}});
      owner_strobe = owner_strobe | (strobe[8*i +: 8] & {8{data_owner[i]}});
    end
  end

  skid_buffer #(
      .WIDTH(73)
  ) data_register (
      .clk(clk),
      .rst(rst),
      .in_valid(send_valid),
      .in_ready(send_ready),
      .in_data({send_last, clear ? 8'd0 : owner_strobe, owner_data}),
      .out_valid(m_axi_wvalid),
      .out_ready(m_axi_wready),
      .out_data({m_axi_wlast, m_axi_wstrb, m_axi_wdata})
  );

  assign beat = m_axi_wvalid && m_axi_wready;

  // Write responses -------------------------------------------------------------------------------------------------

  wire               response_last;
  wire [CLIENTS-1:0] response_owner;
  wire [31:3]        response_address;
  reg  [31:3]        response_error_address;
  wire               unused_response_order_ready;
  wire               unused_response_order_valid;
  wire [$clog2(OUTSTANDING):0] unused_response_order_level;

  fifo #(
      .WIDTH(CLIENTS + 30),
      .DEPTH(OUTSTANDING)
  ) response_order (
      .clk(clk),
      .rst(rst),
      .in_valid(burst_taken),
      .in_ready(unused_response_order_ready),
      .in_data({burst_take, issue_last, issue_address}),
      .out_valid(unused_response_order_valid),
      .out_ready(m_axi_bvalid),
      .out_data({response_owner, response_last, response_address}),
      .level(unused_response_order_level)
  );

  always @(posedge clk) begin
    if (send) beats_sent <= send_last ? 4'd0 : beats_sent + 4'd1;
    response_error_address <= response_address;
    error_response         <= m_axi_bvalid && m_axi_bresp != 2'b00 && !clear;
    done                   <= response_owner & {CLIENTS{m_axi_bvalid && response_last && !clear}};
    flushing               <= clear && (flush || !bus_empty);
    idle                   <= requests_empty && bus_empty;
    if (rst) begin
      beats_sent     <= 4'd0;
      error_response <= 1'b0;
      done           <= {CLIENTS{1'b0}};
      flushing       <= 1'b0;
      idle           <= 1'b1;
    end
  end

  assign error_address = {error_window ? request_error_address : response_error_address, 3'b000};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(no_response_unasked, !m_axi_bvalid || unused_response_order_valid)
  `ASSERT(data_order_has_room, !burst_taken || unused_data_order_ready)
  `ASSERT(response_order_has_room, !burst_taken || unused_response_order_ready)
  reg refused;  // a request is never done, since the last flush
  always @(posedge clk) refused <= !rst && !clear && (refused || error_window);
  generate
    genvar c;
    for (c = 0; c < CLIENTS; c = c + 1) begin : checks
      stream_checker #(.WIDTH(48)) requests (
        .clk(clk), .rst(rst || clear),
        .valid(request_valid[c]), .ready(request_ready[c]),
        .data({request_address[32*c +: 32], request_words[16*c +: 16]})
      );
      stream_checker #(.WIDTH(72)) words (
        .clk(clk), .rst(rst || clear),
        .valid(data_valid[c]), .ready(data_ready[c]), .data({strobe[8*c +: 8], data[64*c +: 64]})
      );
      count_checker beats (
        .clk(clk), .rst(rst || clear),
        .asked(request_words[16*c +: 16] & {16{request_valid[c] && request_ready[c]}}),
        .given({3'd0, data_valid[c] && data_ready[c]}),
        .settled(idle && !refused)
      );
      count_checker dones (
        .clk(clk), .rst(rst || clear),
        .asked({15'd0, request_valid[c] && request_ready[c]}), .given({3'd0, done[c]}),
        .settled(idle && !refused && !(|done))
      );
    end
  endgenerate
`endif

endmodule

`default_nettype wire
