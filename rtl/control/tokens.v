// SPDX-License-Identifier: Apache-2.0
// Token counters: jobs finished since the start of the program.
//
// A job waits in its unit until the counters that its descriptor names have reached the values given there. A pulse
// counts in the next cycle. A vector job and a seed job both count in vectors_done, also when they finish in the
// same cycle. `clear` (the start of a program) and rst set all counters to 0. 24 bits each: no program comes near a
// wrap-around.
`default_nettype none
module tokens (
    input  wire        clk,
    input  wire        rst,
    input  wire        clear,
    input  wire        tile_stored,
    input  wire        vector_done,
    input  wire        seed_done,
    input  wire        weight_loaded,
    input  wire        tile_computed,
    output reg  [23:0] tiles_stored,
    output reg  [23:0] vectors_done,
    output reg  [23:0] weights_loaded,
    output reg  [23:0] tiles_computed
);
  wire [1:0] vectors_now = {1'b0, vector_done} + {1'b0, seed_done};

  always @(posedge clk) begin
    tiles_stored   <= tiles_stored + {23'd0, tile_stored};
    vectors_done   <= vectors_done + {22'd0, vectors_now};
    weights_loaded <= weights_loaded + {23'd0, weight_loaded};
    tiles_computed <= tiles_computed + {23'd0, tile_computed};
    if (rst || clear) begin
      tiles_stored   <= 24'd0;
      vectors_done   <= 24'd0;
      weights_loaded <= 24'd0;
      tiles_computed <= 24'd0;
    end
  end
endmodule
`default_nettype wire
