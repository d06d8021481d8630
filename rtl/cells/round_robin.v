// SPDX-License-Identifier: Apache-2.0
//
// Round-robin arbiter: grant is one-hot, or zero when nobody requests.
//
// Contract: grant is combinational (3 to 4 LUT levels for up to 8 requesters). When advance is high in a cycle with
// a grant, the granted requester becomes the last in the order. A requester that stays is served within WIDTH
// advances.
`default_nettype none

module round_robin #(
    parameter WIDTH = 4
) (
    input  wire             clk,
    input  wire             rst,
    input  wire [WIDTH-1:0] request,
    input  wire             advance,
    output wire [WIDTH-1:0] grant
);

  localparam [WIDTH-1:0] ONES = {WIDTH{1'b1}};

  // Ones at the requesters that come before the wrap-around: those above the last one granted.
  reg [WIDTH-1:0] above;

  wire [WIDTH-1:0] preferred = request & above;
  wire             any_preferred = |preferred;

  // Bit i: somebody below i requests.
  reg [WIDTH-1:0] below_preferred;
  reg [WIDTH-1:0] below_request;
  integer i;
  always @(*) begin
    below_preferred = {WIDTH{1'b0}};
    below_request   = {WIDTH{1'b0}};
    for (i = 1; i < WIDTH; i = i + 1) begin
      below_preferred[i] = |(preferred & ~(ONES << i));
      below_request[i]   = |(request & ~(ONES << i));
    end
  end

  assign grant = any_preferred ? preferred & ~below_preferred : request & ~below_request;

  always @(posedge clk) begin
    if (advance && (|request)) above <= any_preferred ? below_preferred : below_request;
    if (rst) above <= {WIDTH{1'b1}};
  end

endmodule

`default_nettype wire
