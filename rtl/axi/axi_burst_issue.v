// SPDX-License-Identifier: Apache-2.0
//
// Chooses bursts among several clients by round robin and puts them on an AXI address channel (AR or AW).
//
// Contract: a burst is chosen when it is offered, its client is allowed (burst_allowed) and fewer than OUTSTANDING
// bursts are on the bus. One cycle later burst_take pulses for it (one-hot; delayed while the address register is
// held by axi_ready = 0) and in the cycle after that axi_valid shows it. One burst a cycle in all, one every 2
// cycles a client. completed counts a burst off. clear drops the choice, but axi_valid stays up until accepted.
// empty: no burst on the bus.
`default_nettype none
`include "gradcore_sizes.vh"

module axi_burst_issue #(
    parameter CLIENTS     = 2,
    parameter OUTSTANDING = `OUTSTANDING  // a power of two, at least 2
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  clear,
    input  wire [CLIENTS-1:0]    burst_valid,
    input  wire [CLIENTS-1:0]    burst_allowed,
    output wire [CLIENTS-1:0]    burst_take,
    output wire                  taken,          // any of them
    input  wire [29*CLIENTS-1:0] burst_address,
    input  wire [5*CLIENTS-1:0]  burst_beats,
    output reg  [28:0]           taken_address,  // of burst_take, in words
    output reg  [4:0]            taken_beats,
    input  wire                  completed,
    output wire                  empty,
    output wire [31:0]           axi_address,
    output reg  [7:0]            axi_length,
    output reg                   axi_valid,
    input  wire                  axi_ready
);

  localparam COUNT_BITS = $clog2(OUTSTANDING) + 1;
  localparam [COUNT_BITS-1:0] ONE = 1;
  localparam integer LIMIT = OUTSTANDING;
  localparam [COUNT_BITS-1:0] FULL = LIMIT[COUNT_BITS-1:0];

  reg [CLIENTS-1:0]    chosen;  // one-hot or zero
  reg [COUNT_BITS-1:0] count;   // bursts on the bus
  reg [28:0]           address;

  wire [CLIENTS-1:0] grant;
  wire take = (|chosen) && (!axi_valid || axi_ready) && !clear;
  wire room = count < FULL - ONE || (count == FULL - ONE && !(|chosen));

  assign burst_take  = chosen & {CLIENTS{(!axi_valid || axi_ready) && !clear}};
  assign taken       = take;
  assign empty       = count == {COUNT_BITS{1'b0}};
  assign axi_address = {address, 3'b000};

  round_robin #(
      .WIDTH(CLIENTS)
  ) arbiter (
      .clk(clk),
      .rst(rst),
      .request(burst_valid & burst_allowed & ~chosen),
      .advance(room && (take || !(|chosen))),
      .grant(grant)
  );

  integer i;
  always @(*) begin
    taken_address = 29'd0;
    taken_beats   = 5'd0;
    for (i = 0; i < CLIENTS; i = i + 1) begin
      taken_address = taken_address | (burst_address[29*i +: 29] & {29{chosen[i]}});
      taken_beats   = taken_beats | (burst_beats[5*i +: 5] & {5{chosen[i]}});
    end
  end

  always @(posedge clk) begin
    if (take) begin
      address    <= taken_address;
      axi_length <= {3'b000, taken_beats} - 8'd1;
    end

    if (take) axi_valid <= 1'b1;
    else if (axi_ready) axi_valid <= 1'b0;

    if (take || !(|chosen)) chosen <= room ? grant : {CLIENTS{1'b0}};
    if (take && !completed) count <= count + ONE;
    else if (completed && !take) count <= count - ONE;

    if (rst || clear) chosen <= {CLIENTS{1'b0}};
    if (rst) begin
      axi_valid <= 1'b0;
      count     <= {COUNT_BITS{1'b0}};
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(one_is_chosen, (chosen & (chosen - 1'b1)) == 0)
  `ASSERT(outstanding_fits, count <= FULL)
  `ASSERT(completed_was_taken, !completed || count != 0)
`endif

endmodule

`default_nettype wire
