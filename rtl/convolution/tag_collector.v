// SPDX-License-Identifier: Apache-2.0
//
// tag_collector: gathers the tag pieces of one block of 16 channels and holds them while the block's words are used.
//
// Without `indexed` a block has one piece, its masks; with it, three: the masks, then the pooling indices of channels
// 0..7 and 8..15. The tags at the output stay until `tags_ready`; one more block, and the first pieces of the one after
// it, are gathered meanwhile. `indexed` may only change while no piece is held (between jobs).
//
// Contract: valid/ready on both sides, one piece a cycle, so one block a cycle without `indexed` and one in three
// cycles with it. piece_ready does not depend on tags_ready within a cycle.
// Format: mask bit l and index bits [2l+1:2l] belong to channel l of the block; an index is {row, column}.

`default_nettype none

module tag_collector (
    input  wire        clk,
    input  wire        rst,
    input  wire        indexed,

    input  wire        piece_valid,
    output wire        piece_ready,
    input  wire [15:0] piece_data,

    output wire        tags_valid,
    input  wire        tags_ready,
    output wire [15:0] tags_mask,
    output wire [31:0] tags_index
);

  reg [1:0]  gathered;    // pieces of the next block that are held: 0, 1 or 2
  reg [15:0] next_mask;
  reg [15:0] next_index;  // of channels 0..7

  wire completes = !indexed || gathered == 2'd2;  // the piece at the input is the last of its block
  wire block_ready;

  assign piece_ready = !completes || block_ready;

  skid_buffer #(
      .WIDTH(48)
  ) blocks (
      .clk(clk),
      .rst(rst),
      .in_valid(piece_valid && completes),
      .in_ready(block_ready),
      .in_data({piece_data, next_index, indexed ? next_mask : piece_data}),
      .out_valid(tags_valid),
      .out_ready(tags_ready),
      .out_data({tags_index, tags_mask})
  );

  always @(posedge clk) begin
    if (piece_valid && !completes) begin
      if (gathered == 2'd0) next_mask <= piece_data;
      next_index <= piece_data;
      gathered <= gathered + 2'd1;
    end
    if (piece_valid && completes && block_ready) gathered <= 2'd0;
    if (rst) gathered <= 2'd0;
  end

endmodule

`default_nettype wire
