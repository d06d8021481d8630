// SPDX-License-Identifier: Apache-2.0
//
// What read and write ports have in common: takes the requests of several clients, checks each against the window
// and cuts it in bursts (axi_burst_splitter), one splitter a client.
//
// Contract: request_ready is a register, high for one cycle a request. Each client has one request in hand at a time
// and may hand over the next one as soon as the last burst of that one is offered: one request every 5 cycles a
// client. Clients do not wait for each other beyond a round robin for the shared window check. From the accepted
// request to its first burst: 4 cycles. A request that is not wholly inside the window makes no burst: error_window
// pulses, with error_address its address. clear drops all requests and accepts none.
`default_nettype none

module axi_request_stage #(
    parameter CLIENTS = 2
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  clear,
    input  wire [31:0]           window_base,
    input  wire [31:0]           window_limit,
    input  wire [CLIENTS-1:0]    request_valid,
    output reg  [CLIENTS-1:0]    request_ready,
    input  wire [32*CLIENTS-1:0] request_address,
    input  wire [16*CLIENTS-1:0] request_words,
    output wire [CLIENTS-1:0]    burst_valid,
    input  wire [CLIENTS-1:0]    burst_take,
    output wire [29*CLIENTS-1:0] burst_address,
    output wire [5*CLIENTS-1:0]  burst_beats,
    output wire [CLIENTS-1:0]    burst_last,
    output wire                  empty,          // no request in hand, no burst offered
    output reg                   error_window,
    output reg  [31:3]           error_address
);

  wire [CLIENTS-1:0] free;
  wire [CLIENTS-1:0] grant;
  wire [CLIENTS-1:0] transfer = request_valid & request_ready;

  reg  [CLIENTS-1:0] held;      // one-hot: whose request the window check has registered
  reg  [CLIENTS-1:0] checking;  // one-hot: whose request it compares with the window
  reg  [CLIENTS-1:0] refuse;    // one-hot: whose request it has found outside
  reg  [31:3]        address;
  reg  [15:0]        words;
  wire [31:3]        checked_address;
  wire [15:0]        checked_words;
  wire [4:0]         checked_room;
  wire               legal;

  assign empty = !(|request_ready) && !(|held) && !(|checking) && (&free) && !(|burst_valid);

  // A client whose request is on its way to the splitter is left out; its splitter must be free.
  round_robin #(
      .WIDTH(CLIENTS)
  ) arbiter (
      .clk(clk),
      .rst(rst),
      .request(request_valid & free & ~request_ready & ~held & ~checking),
      .advance(1'b1),
      .grant(grant)
  );

  always @(posedge clk) begin
    request_ready <= grant;
    held          <= transfer;
    checking      <= held;
    refuse        <= checking & {CLIENTS{!legal}};
    if (rst || clear) begin
      request_ready <= {CLIENTS{1'b0}};
      held          <= {CLIENTS{1'b0}};
      checking      <= {CLIENTS{1'b0}};
      refuse        <= {CLIENTS{1'b0}};
    end
  end

  integer i;
  always @(*) begin
    address = 29'd0;
    words   = 16'd0;
    for (i = 0; i < CLIENTS; i = i + 1) begin
      address = address | (request_address[32*i+3 +: 29] & {29{request_ready[i]}});
      words   = words | (request_words[16*i +: 16] & {16{request_ready[i]}});
    end
  end

  axi_window_check window_check (
      .clk(clk),
      .address(address),
      .words(words),
      .window_base(window_base),
      .window_limit(window_limit),
      .checked_address(checked_address),
      .checked_words(checked_words),
      .checked_room(checked_room),
      .legal(legal)
  );

  always @(posedge clk) begin
    error_window <= (|checking) && !legal && !clear;
    if (|checking) error_address <= checked_address;
    if (rst) error_window <= 1'b0;
  end

  genvar c;
  generate
    for (c = 0; c < CLIENTS; c = c + 1) begin : client
      wire unused_low_address = &{1'b0, request_address[32*c+:3]};

      axi_burst_splitter splitter (
          .clk(clk),
          .rst(rst),
          .clear(clear),
          .load(checking[c]),
          .load_address(checked_address),
          .load_words(checked_words),
          .load_room(checked_room),
          .refuse(refuse[c]),
          .free(free[c]),
          .burst_valid(burst_valid[c]),
          .burst_take(burst_take[c]),
          .burst_address(burst_address[29*c+:29]),
          .burst_beats(burst_beats[5*c+:5]),
          .burst_last(burst_last[c])
      );
    end
  endgenerate

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(one_is_checked, (held & (held - 1'b1)) == 0 && (checking & (checking - 1'b1)) == 0)
  `ASSERT(one_is_ready, (request_ready & (request_ready - 1'b1)) == 0)
  `ASSERT(splitter_is_free, (checking & ~free) == 0)
`endif

endmodule

`default_nettype wire
