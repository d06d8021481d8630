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

  localparam [WIDTH-1:0] ONE = 1;

  // Ones at the requesters that come before the wrap-around: those above the last one granted.
  reg [WIDTH-1:0] above;

  wire [WIDTH-1:0] preferred = request & above;
  wire [WIDTH-1:0] lowest_preferred = preferred & (~preferred + ONE);
  wire [WIDTH-1:0] lowest_request   = request & (~request + ONE);

  assign grant = (|preferred) ? lowest_preferred : lowest_request;

  always @(posedge clk) begin
    if (advance && (|request))
      above <= ~(grant | (grant - ONE));
    if (rst)
      above <= {WIDTH{1'b1}};
  end

endmodule

`default_nettype wire
