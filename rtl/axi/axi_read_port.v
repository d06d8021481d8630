// SPDX-License-Identifier: Apache-2.0
//
// AXI4 read master (no IDs: data come back in order) shared by several clients.
//
// Contract: a client asks for runs of 64-bit words (address in bytes, low 3 bits ignored; at least 1 word) and gets
// the words of all its requests in order. Requests are cut in bursts of at most 16 beats inside 128-byte blocks, so
// none crosses 4 KiB. Bursts of different clients are interleaved by round robin. A burst is issued only when the
// client's response FIFO has room for 16 more words, so m_axi_rready is always 1 and no client blocks another. Up to
// OUTSTANDING bursts are in flight. From an accepted request to arvalid: 6 cycles; from a beat to response_valid: 2
// cycles; sustained: one beat a cycle.
// Errors: a request not wholly inside [window_base, window_limit) causes no access and no response, and pulses
// error_window; a beat with RRESP other than OKAY pulses error_response (its data are passed on). error_address goes
// with either pulse: the request's address, or the first address of the burst.
// flush (a level) drops requests and FIFO contents and issues nothing; bursts on the bus are completed and their
// beats discarded, also after flush falls. idle: no request in hand, nothing on the bus.
`default_nettype none
`include "gradcore_sizes.vh"

module axi_read_port #(
    parameter CLIENTS     = 2,
    parameter FIFO_DEPTH  = `RESPONSE_WORDS,  // words a client; a power of two, at least 32
    parameter SHALLOW     = 0,   // bit c: client c has 32 words only
    parameter OUTSTANDING = `OUTSTANDING    // a power of two, at least 2
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

    output wire [CLIENTS-1:0]    response_valid,
    input  wire [CLIENTS-1:0]    response_ready,
    output wire [64*CLIENTS-1:0] response_data,

    output wire [31:0]           m_axi_araddr,
    output wire [7:0]            m_axi_arlen,
    output wire [2:0]            m_axi_arsize,
    output wire [1:0]            m_axi_arburst,
    output wire [3:0]            m_axi_arcache,
    output wire [2:0]            m_axi_arprot,
    output wire                  m_axi_arvalid,
    input  wire                  m_axi_arready,
    input  wire [63:0]           m_axi_rdata,
    input  wire [1:0]            m_axi_rresp,
    input  wire                  m_axi_rlast,
    input  wire                  m_axi_rvalid,
    output wire                  m_axi_rready
);

  initial begin
    if (FIFO_DEPTH < 32) begin
      $display("%m: FIFO_DEPTH is %0d but must be at least 32", FIFO_DEPTH);
      $finish;
    end
  end

  // Flushing goes on until the last beat of the bursts on the bus has been discarded.
  reg  flushing;
  wire clear = flush || flushing;

  // Requests, checked and cut in bursts -----------------------------------------------------------------------------

  wire [CLIENTS-1:0]    burst_valid;
  wire [CLIENTS-1:0]    burst_take;
  wire [29*CLIENTS-1:0] burst_address;
  wire [5*CLIENTS-1:0]  burst_beats;
  wire [CLIENTS-1:0]    unused_burst_last;
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
      .burst_last(unused_burst_last),
      .empty(requests_empty),
      .error_window(error_window),
      .error_address(request_error_address)
  );

  // Read addresses --------------------------------------------------------------------------------------------------

  wire               bus_empty;
  wire [CLIENTS-1:0] fits;
  wire [28:0]        issue_address;
  wire [4:0]         unused_issue_beats;

  wire burst_taken;

  axi_burst_issue #(
      .CLIENTS(CLIENTS),
      .OUTSTANDING(OUTSTANDING)
  ) burst_issue (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .burst_valid(burst_valid),
      .burst_allowed(fits),
      .burst_take(burst_take),
      .taken(burst_taken),
      .burst_address(burst_address),
      .burst_beats(burst_beats),
      .taken_address(issue_address),
      .taken_beats(unused_issue_beats),
      .completed(m_axi_rvalid && m_axi_rlast),
      .empty(bus_empty),
      .axi_address(m_axi_araddr),
      .axi_length(m_axi_arlen),
      .axi_valid(m_axi_arvalid),
      .axi_ready(m_axi_arready)
  );

  assign m_axi_arsize  = 3'd3;
  assign m_axi_arburst = 2'b01;
  assign m_axi_arcache = 4'b0011;
  assign m_axi_arprot  = 3'b000;
  assign m_axi_rready  = 1'b1;

  // Whose burst comes next, and where it started.
  wire [CLIENTS-1:0] owner;
  wire [31:3]        owner_address;

  wire unused_order_ready;
  wire unused_order_valid;
  wire [$clog2(OUTSTANDING):0] unused_order_level;

  fifo #(
      .WIDTH(CLIENTS + 29),
      .DEPTH(OUTSTANDING)
  ) order (
      .clk(clk),
      .rst(rst),
      .in_valid(burst_taken),
      .in_ready(unused_order_ready),
      .in_data({burst_take, issue_address}),
      .out_valid(unused_order_valid),
      .out_ready(m_axi_rvalid && m_axi_rlast),
      .out_data({owner, owner_address}),
      .level(unused_order_level)
  );

  // Data ------------------------------------------------------------------------------------------------------------

  reg                data_valid;
  reg  [CLIENTS-1:0] data_owner;
  reg  [63:0]        data;
  reg  [31:3]        data_address;

  assign beat = data_valid;

  always @(posedge clk) begin
    data           <= m_axi_rdata;
    data_owner     <= owner & {CLIENTS{m_axi_rvalid}};
    data_valid     <= m_axi_rvalid;
    data_address   <= owner_address;
    error_response <= m_axi_rvalid && m_axi_rresp != 2'b00 && !clear;
    flushing       <= clear && (flush || !bus_empty || data_valid);
    idle           <= requests_empty && bus_empty && !data_valid;
    if (rst) begin
      data_owner     <= {CLIENTS{1'b0}};
      data_valid     <= 1'b0;
      error_response <= 1'b0;
      flushing       <= 1'b0;
      idle           <= 1'b1;
    end
  end

  assign error_address = {error_window ? request_error_address : data_address, 3'b000};

  genvar c;
  generate
    for (c = 0; c < CLIENTS; c = c + 1) begin : client
      localparam DEPTH = ((SHALLOW >> c) % 2 != 0) ? 32 : FIFO_DEPTH;
      localparam LEVEL_BITS = $clog2(DEPTH) + 1;
      localparam [31:0] FULL_ROOM = DEPTH;
      wire                  unused_ready;
      wire [LEVEL_BITS-1:0] unused_level;
      reg  [LEVEL_BITS-1:0] room;  // words of the FIFO neither filled nor promised to a burst
      reg                   pop;   // a word left in the cycle before

      // Whether one more burst fits is kept in a register of its own, from the same sum.
      wire [4:0]            promised = burst_beats[5*c +: 5] & {5{burst_take[c]}};
      wire [LEVEL_BITS-1:0] next_room = room - {{(LEVEL_BITS - 5){1'b0}}, promised} + {{(LEVEL_BITS - 1){1'b0}}, pop};
      reg                   fitting;
      assign fits[c] = fitting;

      fifo #(
          .WIDTH(64),
          .DEPTH(DEPTH)
      ) response (
          .clk(clk),
          .rst(rst || clear),
          .in_valid(data_owner[c]),
          .in_ready(unused_ready),
          .in_data(data),
          .out_valid(response_valid[c]),
          .out_ready(response_ready[c]),
          .out_data(response_data[64*c+:64]),
          .level(unused_level)
      );

      always @(posedge clk) begin
        pop     <= response_valid[c] && response_ready[c];
        room    <= next_room;
        fitting <= |next_room[LEVEL_BITS-1:4];
        if (rst || clear) begin
          pop     <= 1'b0;
          room    <= FULL_ROOM[LEVEL_BITS-1:0];
          fitting <= 1'b1;
        end
      end
    end
  endgenerate

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(no_beat_unasked, !m_axi_rvalid || unused_order_valid)
  `ASSERT(order_has_room, !burst_taken || unused_order_ready)
  `ASSERT(one_owner, (data_owner & (data_owner - 1'b1)) == 0)
  reg refused;  // a request had no response, since the last flush
  always @(posedge clk) refused <= !rst && !clear && (refused || error_window);
  generate
    for (c = 0; c < CLIENTS; c = c + 1) begin : checks
      `ASSERT(response_has_room, clear || !data_owner[c] || client[c].unused_ready)
      `ASSERT(credit_fits, {1'b0, client[c].room} + {1'b0, client[c].unused_level} <= (((SHALLOW >> c) % 2 != 0) ? 32 : FIFO_DEPTH))
      stream_checker #(.WIDTH(48)) requests (
        .clk(clk), .rst(rst || clear),
        .valid(request_valid[c]), .ready(request_ready[c]),
        .data({request_address[32*c +: 32], request_words[16*c +: 16]})
      );
      stream_checker #(.WIDTH(64)) responses (
        .clk(clk), .rst(rst || clear),
        .valid(response_valid[c]), .ready(response_ready[c]), .data(response_data[64*c +: 64])
      );
      count_checker words (
        .clk(clk), .rst(rst || clear),
        .asked(request_words[16*c +: 16] & {16{request_valid[c] && request_ready[c]}}),
        .given({3'd0, response_valid[c] && response_ready[c]}),
        .settled(idle && !(|response_valid) && !refused)
      );
    end
  endgenerate
`endif

endmodule

`default_nettype wire
