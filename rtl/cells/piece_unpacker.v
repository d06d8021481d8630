// SPDX-License-Identifier: Apache-2.0
//
// piece_unpacker: cuts the 64-bit words of tag reads into 16-bit tag pieces.
//
// A row of pieces starts inside its first word, `row_skip` pieces from its beginning, and holds `row_pieces` pieces; it
// is therefore made of ceil((row_skip + row_pieces) / 4) words. Pieces before and after the row in its words are
// dropped without costing a cycle. The word is not stored: it must stay at the input until `word_ready`, which comes
// with the last piece that is wanted from it.
//
// Contract: valid/ready on all three ports. One piece a cycle; a new row is accepted together with the last piece of
// the row before, so there is no gap between rows. word_ready and row_ready depend combinationally on piece_ready,
// piece_valid and piece_data on word_valid and word_data.
// Format: piece k of a word in bits [16k+15:16k]; row_pieces is unsigned and at least 1.

`default_nettype none

module piece_unpacker #(
    parameter PIECES_WIDTH = 16
) (
    input  wire                    clk,
    input  wire                    rst,

    input  wire                    row_valid,
    output wire                    row_ready,
    input  wire [1:0]              row_skip,
    input  wire [PIECES_WIDTH-1:0] row_pieces,

    input  wire                    word_valid,
    output wire                    word_ready,
    input  wire [63:0]             word_data,

    output wire                    piece_valid,
    input  wire                    piece_ready,
    output reg  [15:0]             piece_data
);

  reg                    active;       // a row is being unpacked
  reg                    row_last;     // the piece at the output is the last of its row
  reg [1:0]              position;     // of the next piece in the word
  reg [PIECES_WIDTH-1:0] pieces_left;

  wire take = piece_valid && piece_ready;

  assign piece_valid = active && word_valid;
  assign word_ready = active && piece_ready && (row_last || position == 2'd3);
  assign row_ready = !active || (take && row_last);

  always @* begin
    case (position)
      2'd0: piece_data = word_data[15:0];
      2'd1: piece_data = word_data[31:16];
      2'd2: piece_data = word_data[47:32];
      default: piece_data = word_data[63:48];
    endcase
  end

  localparam [PIECES_WIDTH-1:0] ONE = 1;
  localparam [PIECES_WIDTH-1:0] TWO = 2;

  always @(posedge clk) begin
    if (row_ready) begin
      active <= row_valid;
      position <= row_skip;
      pieces_left <= row_pieces;
      row_last <= row_pieces == ONE;
    end else if (take) begin
      position <= position + 2'd1;
      pieces_left <= pieces_left - ONE;
      row_last <= pieces_left == TWO;
    end
    if (rst) active <= 1'b0;
  end

endmodule

`default_nettype wire
