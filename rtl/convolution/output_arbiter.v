// SPDX-License-Identifier: Apache-2.0
// Fair arbiter with a registered grant: one source may transfer in a cycle.
//
// `grant` is one-hot (and `index` the same in binary); a source transfers in every cycle in which it is granted and
// requests. The choice for the next cycle is made from the requests of this one, starting behind the source granted
// now, which itself comes last: a source that requests without a pause is granted once in SOURCES transfers at the
// latest, and a source alone transfers in every cycle. Without any request the grant stays where it is. Contract: a
// request, once up, stays up until it was granted. Then a cycle is lost only when a source is granted twice in a row
// and stops requesting, and in the first cycle after a pause of all sources.
`default_nettype none
module output_arbiter #(
    parameter SOURCES    = 8,
    parameter INDEX_BITS = 3
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [   SOURCES-1:0] request,
    output reg  [   SOURCES-1:0] grant,
    output reg  [INDEX_BITS-1:0] index
);
  initial begin
    if (SOURCES < 1 || SOURCES > (1 << INDEX_BITS)) begin
      $display("%m: SOURCES must be 1 to 2**INDEX_BITS, not %0d", SOURCES);
      $finish;
    end
  end

  localparam [SOURCES-1:0] ONES = {SOURCES{1'b1}};

  // The choice is that of round_robin.v.
  reg [SOURCES-1:0] above;  // the sources behind the granted one
  wire [SOURCES-1:0] preferred = request & above;
  wire any_preferred = |preferred;
  reg [SOURCES-1:0] below_preferred, below_request;
  integer i;
  always @* begin
    below_preferred = {SOURCES{1'b0}};
    below_request = {SOURCES{1'b0}};
    for (i = 1; i < SOURCES; i = i + 1) begin
      below_preferred[i] = |(preferred & ~(ONES << i));
      below_request[i] = |(request & ~(ONES << i));
    end
    index = {INDEX_BITS{1'b0}};
    for (i = 0; i < SOURCES; i = i + 1) if (grant[i]) index = index | i[INDEX_BITS-1:0];
  end

  always @(posedge clk) begin
    if (|request) begin
      grant <= any_preferred ? preferred & ~below_preferred : request & ~below_request;
      above <= any_preferred ? below_preferred : below_request;
    end
    if (rst) begin
      grant <= {{(SOURCES - 1) {1'b0}}, 1'b1};
      above <= {{(SOURCES - 1) {1'b1}}, 1'b0};
    end
  end
endmodule
`default_nettype wire
