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

  wire [SOURCES-1:0] behind = request & ~(grant | (grant - 1'b1));
  wire [SOURCES-1:0] candidates = (|behind) ? behind : request;
  wire [SOURCES-1:0] chosen = candidates & (~candidates + 1'b1);

  reg [INDEX_BITS-1:0] chosen_index;
  integer i;
  always @* begin
    chosen_index = {INDEX_BITS{1'b0}};
    for (i = 0; i < SOURCES; i = i + 1) begin
      if (chosen[i]) chosen_index = chosen_index | i[INDEX_BITS-1:0];
    end
  end

  always @(posedge clk) begin
    if (|request) begin
      grant <= chosen;
      index <= chosen_index;
    end
    if (rst) begin
      grant <= {{(SOURCES - 1) {1'b0}}, 1'b1};
      index <= {INDEX_BITS{1'b0}};
    end
  end
endmodule
`default_nettype wire
