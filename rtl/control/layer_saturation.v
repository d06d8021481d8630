// SPDX-License-Identifier: Apache-2.0
//
// layer_saturation: adds the saturated values of jobs up, and gives a layer's sum with the mark of its end.
//
// Jobs of a kind finish in the order of the program, and a layer's jobs follow one another, so a layer has saturated
// what the jobs of its kind have since the mark before. TILE and VECTOR jobs are added up apart: jobs of the next layer
// may finish before this one's last, but only when they are of the other kind. A seed saturates nothing.
//
// Contract: tile_saturated and vector_saturated stand with `tile_stored` and `vector_done`. The mark of a job that is its
//   layer's last comes in the cycle after (see layer_marks): mark 0 of tiles, mark 1 of vectors, or of a seed when no
//   vector was done in the cycle before. mark_saturated of writer w, in bits [32w+31:32w], stands from the cycle after a
//   mark of that writer until its next one. `clear` (the start of a run) begins anew.
// Numbers: sums never overflow: a program has at most 65,536 jobs of at most 36,864 values, or 512 of a vector.
`default_nettype none

module layer_saturation (
    input  wire        clk,
    input  wire        rst,
    input  wire        clear,
    input  wire        tile_stored,
    input  wire [15:0] tile_saturated,
    input  wire        vector_done,
    input  wire [9:0]  vector_saturated,
    input  wire [1:0]  mark_valid,
    output wire [63:0] mark_saturated
);
  localparam TILE_BITS = 32, VECTOR_BITS = 25;

  // The jobs just finished, a cycle late, as the marks are.
  reg         vector_late;
  reg  [15:0] tile_count;
  reg  [9:0]  vector_count;
  reg [TILE_BITS-1:0] tile_total, tile_mark;
  reg [VECTOR_BITS-1:0] vector_total, vector_mark;
  wire [TILE_BITS-1:0] tile_sum = tile_total + {{(TILE_BITS - 16) {1'b0}}, tile_count};
  wire [VECTOR_BITS-1:0] vector_sum = vector_total + {{(VECTOR_BITS - 10) {1'b0}}, vector_count};

  assign mark_saturated = {{(32 - VECTOR_BITS) {1'b0}}, vector_mark, tile_mark};

  always @(posedge clk) begin
    vector_late  <= vector_done;
    tile_count   <= tile_stored ? tile_saturated : 16'd0;
    vector_count <= vector_done ? vector_saturated : 10'd0;
    tile_total   <= tile_sum;
    vector_total <= vector_sum;
    if (mark_valid[0]) begin
      tile_mark  <= tile_sum;
      tile_total <= {TILE_BITS{1'b0}};
    end
    if (mark_valid[1]) vector_mark <= vector_late ? vector_sum : {VECTOR_BITS{1'b0}};
    if (mark_valid[1] && vector_late) vector_total <= {VECTOR_BITS{1'b0}};
    if (rst || clear) begin
      vector_late  <= 1'b0;
      tile_count   <= 16'd0;
      vector_count <= 10'd0;
      tile_total   <= {TILE_BITS{1'b0}};
      vector_total <= {VECTOR_BITS{1'b0}};
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  reg tile_late;
  always @(posedge clk) tile_late <= tile_stored;
  `ASSERT(mark_after_its_tile, !mark_valid[0] || tile_late)
  `ASSERT(tiles_fit, tile_sum >= tile_total)
  `ASSERT(vectors_fit, vector_sum >= vector_total)
`endif
endmodule

`default_nettype wire
