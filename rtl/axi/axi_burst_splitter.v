// SPDX-License-Identifier: Apache-2.0
//
// Cuts a request (first word, number of words) in AXI bursts: one after every 128-byte boundary inside it. So a
// burst has at most 16 beats of 8 bytes and none crosses 4 KiB.
//
// Contract: load (a pulse, only while free is high) takes a request of at least 1 word; its first burst is offered 2
// cycles later, one burst a cycle from then on. refuse, in the cycle after load, drops the request instead. free
// rises as soon as the last burst is offered. burst_* are registers, held until burst_take. burst_last marks the last
// burst of its request. clear drops everything. load_room: words before the next boundary, 16 - load_address[6:3].
`default_nettype none

module axi_burst_splitter (
    input  wire        clk,
    input  wire        rst,
    input  wire        clear,
    input  wire        load,
    input  wire [31:3] load_address,
    input  wire [15:0] load_words,
    input  wire [4:0]  load_room,
    input  wire        refuse,
    output wire        free,
    output reg         burst_valid,
    input  wire        burst_take,
    output reg  [31:3] burst_address,
    output reg  [4:0]  burst_beats,   // 1 to 16
    output reg         burst_last
);

  reg        busy;
  reg [31:3] address;
  reg [15:0] words;
  reg [4:0]  room;  // words before the next boundary

  wire last = words <= {11'd0, room};
  wire move = busy && !refuse && (!burst_valid || burst_take);

  assign free = !busy;

  always @(posedge clk) begin
    if (move) begin
      burst_address <= address;
      burst_beats   <= last ? words[4:0] : room;
      burst_last    <= last;
      address       <= {address[31:7] + 25'd1, 4'd0};
      words         <= words - {11'd0, room};
      room          <= 5'd16;
    end
    if (load) begin
      address <= load_address;
      words   <= load_words;
      room    <= load_room;
    end

    if (move) burst_valid <= 1'b1;
    else if (burst_take) burst_valid <= 1'b0;
    if (load) busy <= 1'b1;
    else if (refuse || (move && last)) busy <= 1'b0;

    if (rst || clear) begin
      busy        <= 1'b0;
      burst_valid <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(loaded_when_free, !load || free)
  `ASSERT(taken_when_offered, !burst_take || burst_valid)
  `ASSERT(no_crossing, !burst_valid || {2'b00, burst_address[6:3]} + {1'b0, burst_beats} <= 6'd16)
  stream_checker #(.WIDTH(35)) bursts (
    .clk(clk), .rst(rst || clear),
    .valid(burst_valid), .ready(burst_take), .data({burst_address, burst_beats, burst_last})
  );
`endif

endmodule

`default_nettype wire
