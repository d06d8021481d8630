// SPDX-License-Identifier: Apache-2.0
// Keeps the time at which each layer's last job finished, how many of its values saturated, and how many layers have
// finished in this run.
//
// Two writers: mark_valid[w] (pulse) with mark_layer[8w+7:8w] stores `cycle` of that cycle, and
// mark_saturated[32w+31:32w], which stands from the next cycle until the writer's next mark. Marks of one writer are
// at least two cycles apart; both writers may mark in the same cycle. `clear` (pulse, the start of a run) forgets all
// marks. `layers_finished` = 1 + the highest layer marked in this run, 0 before the first. `layer_cycles` and
// `layer_saturated` follow layer_index by two cycles and a mark by five: 0 for a layer that is not below
// layers_finished. Layers finish in the order of their numbers; a number that the program leaves out shows what the
// memory held. A block RAM of 256 x 64.
`default_nettype none
module layer_timestamps (
    input  wire        clk,
    input  wire        rst,
    input  wire        clear,
    input  wire [31:0] cycle,
    input  wire [1:0]  mark_valid,
    input  wire [15:0] mark_layer,
    input  wire [63:0] mark_saturated,
    input  wire [7:0]  layer_index,
    output reg  [8:0]  layers_finished,
    output reg  [31:0] layer_cycles,
    output reg  [31:0] layer_saturated
);
  // One mark of each writer waits here; writer 0 first.
  reg held0, held1;
  reg [7:0] layer0, layer1;
  reg [31:0] cycle0, cycle1;

  wire       write = held0 || held1;
  wire [7:0] write_layer = held0 ? layer0 : layer1;

  always @(posedge clk) begin
    held0 <= mark_valid[0];
    held1 <= mark_valid[1] || (held1 && held0);
    if (mark_valid[0]) begin
      layer0 <= mark_layer[7:0];
      cycle0 <= cycle;
    end
    if (mark_valid[1]) begin
      layer1 <= mark_layer[15:8];
      cycle1 <= cycle;
    end
    if (rst || clear) begin
      held0 <= 1'b0;
      held1 <= 1'b0;
    end
  end

  (* ram_style = "block", no_rw_check *) reg [63:0] memory [0:255];
  reg [63:0] stored;
  always @(posedge clk) begin
    if (write) memory[write_layer] <= held0 ? {mark_saturated[31:0], cycle0} : {mark_saturated[63:32], cycle1};
    stored <= memory[layer_index];
  end

  // The bound goes up a cycle after the write, so that a word is never shown while it is being written.
  reg       written;
  reg [8:0] written_bound;
  reg       finished;  // layer_index was below the bound in the cycle of the read
  always @(posedge clk) begin
    written <= write;
    written_bound <= {1'b0, write_layer} + 9'd1;
    if (written && written_bound > layers_finished) layers_finished <= written_bound;
    finished <= {1'b0, layer_index} < layers_finished;
    {layer_saturated, layer_cycles} <= finished ? stored : 64'd0;
    if (rst || clear) begin
      written <= 1'b0;
      finished <= 1'b0;
      layers_finished <= 9'd0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(no_mark_lost, !(mark_valid[1] && held1 && held0))
  `ASSERT(layers_fit, layers_finished <= 9'd256)
`endif
endmodule
`default_nettype wire
