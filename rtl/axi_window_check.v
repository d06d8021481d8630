// SPDX-License-Identifier: Apache-2.0
//
// Checks whether the words of a request lie inside the window [window_base, window_limit) of byte addresses.
//
// Contract: one request a cycle, latency 1: the request registers, with its end (one bit wider than an address, so
// that no request wraps around); the two comparisons follow the registers. A request of 0 words is never legal.
`default_nettype none

module axi_window_check (
  input  wire        clk,
  input  wire [31:3] address,       // first word
  input  wire [15:0] words,
  input  wire [31:0] window_base,   // first byte
  input  wire [31:0] window_limit,  // byte after the last one
  output reg  [31:3] checked_address,
  output reg  [15:0] checked_words,
  output wire        legal
);

  reg [32:3] request_end;  // word after the last one
  reg        empty;

  assign legal = !empty && {checked_address, 3'b000} >= window_base && {request_end, 3'b000} <= {1'b0, window_limit};

  always @(posedge clk) begin
    checked_address <= address;
    checked_words   <= words;
    request_end     <= {1'b0, address} + {14'd0, words};
    empty           <= words == 16'd0;
  end

endmodule

`default_nettype wire
