// SPDX-License-Identifier: Apache-2.0
// Finds the moment in which the last job of a layer finishes, for the time stamps of the layers.
//
// Every job that is pushed leaves (last of layer, layer) in a FIFO of its kind; jobs of a kind finish in order. A
// pulse of `tile_stored`, `vector_done` or `seed_done` takes the oldest entry of that kind; if it is the last of its
// layer, mark_valid pulses in the next cycle with mark_layer. Mark 0 comes from tiles, mark 1 from vectors and
// seeds; when both of the latter finish in one cycle, the seed's mark waits for a cycle without a vector.
// `ready` is up when all FIFOs (16 jobs a kind) have room; a job may be pushed only then.
`default_nettype none
module layer_marks (
    input  wire        clk,
    input  wire        rst,
    output wire        ready,
    input  wire        push_tile,
    input  wire        push_vector,
    input  wire        push_seed,
    input  wire        last_of_layer,
    input  wire [ 7:0] layer,
    input  wire        tile_stored,
    input  wire        vector_done,
    input  wire        seed_done,
    output reg  [ 1:0] mark_valid,
    output reg  [15:0] mark_layer
);
  localparam KINDS = 3;

  wire [KINDS-1:0] push = {push_seed, push_vector, push_tile};
  wire [KINDS-1:0] in_ready;
  wire [KINDS-1:0] pop;
  wire [KINDS-1:0] held;
  wire [KINDS-1:0] last;
  wire [8*KINDS-1:0] layers;
  reg [4:0] seeds_waiting;  // seeds that gave way

  wire take_seed = (seed_done || seeds_waiting != 5'd0) && !vector_done;

  // A seed gives way to a vector that finishes in the same cycle.
  assign pop = {take_seed, vector_done, tile_stored};
  assign ready = &in_ready;

  genvar k;
  generate
    for (k = 0; k < KINDS; k = k + 1) begin : g_kind
      wire [4:0] unused_level;
      fifo #(
          .WIDTH(9),
          .DEPTH(16)
      ) queue (
          .clk(clk),
          .rst(rst),
          .in_valid(push[k]),
          .in_ready(in_ready[k]),
          .in_data({last_of_layer, layer}),
          .out_valid(held[k]),
          .out_ready(pop[k]),
          .out_data({last[k], layers[8*k+:8]}),
          .level(unused_level)
      );
    end
  endgenerate

  wire [KINDS-1:0] mark = pop & held & last;

  always @(posedge clk) begin
    seeds_waiting <= seeds_waiting + {4'd0, seed_done} - {4'd0, take_seed};
    mark_valid <= {mark[2] || mark[1], mark[0]};
    mark_layer <= {pop[1] ? layers[15:8] : layers[23:16], layers[7:0]};
    if (rst) begin
      seeds_waiting <= 5'd0;
      mark_valid <= 2'b00;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(pushed_when_ready, push == 0 || ready)
  `ASSERT(finished_was_pushed, (pop & ~held) == 0)
  `ASSERT(seeds_fit, seeds_waiting <= 5'd16)
`endif
endmodule
`default_nettype wire
