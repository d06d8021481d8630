// SPDX-License-Identifier: Apache-2.0
//
// Checks whether the words of a request lie inside the window [window_base, window_limit) of byte addresses.
//
// Contract: one request a cycle. The request registers (1), its end follows, one bit wider than an address, so that no
// request wraps around (2): then checked_* hold the request and legal says, combinationally, whether both comparisons
// hold. checked_room: words from checked_address to the next boundary of 128 bytes. A request of 0 words is never legal.
`default_nettype none

module axi_window_check (
    input  wire        clk,
    input  wire [31:3] address,       // first word
    input  wire [15:0] words,
    input  wire [31:0] window_base,   // first byte
    input  wire [31:0] window_limit,  // byte after the last one
    output reg  [31:3] checked_address,
    output reg  [15:0] checked_words,
    output reg  [4:0]  checked_room,
    output wire        legal
);

  reg [31:3] held_address;
  reg [15:0] held_words;
  reg [32:3] request_end;  // word after the last one
  reg        empty;

  assign legal = !empty && {checked_address, 3'b000} >= window_base && {request_end, 3'b000} <= {1'b0, window_limit};

  always @(posedge clk) begin
    held_address    <= address;
    held_words      <= words;
    checked_address <= held_address;
    checked_words   <= held_words;
    checked_room    <= {held_address[6:3] == 4'd0, ~held_address[6:3] + 4'd1};
    request_end     <= {1'b0, held_address} + {14'd0, held_words};
    empty           <= held_words == 16'd0;
  end

endmodule

`default_nettype wire
