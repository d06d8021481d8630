// SPDX-License-Identifier: Apache-2.0
//
// piece_unpacker: a row of n pieces that starts at place s gives the pieces at places s, s + 1, ... of its words, n and no
// more; a word leaves with the last piece wanted from it, a row comes in with the last piece of the one before.
`default_nettype none

module piece_unpacker_formal (
    input wire        clk,
    input wire        rst,
    input wire        row_valid,
    input wire [ 1:0] row_skip,
    input wire [15:0] row_pieces,
    input wire        word_valid,
    input wire [63:0] word_data,
    input wire        piece_ready
);

  wire row_ready, word_ready, piece_valid;
  wire [15:0] piece_data;

  piece_unpacker #(
      .PIECES_WIDTH(16)
  ) dut (
      .clk(clk),
      .rst(rst),
      .row_valid(row_valid),
      .row_ready(row_ready),
      .row_skip(row_skip),
      .row_pieces(row_pieces),
      .word_valid(word_valid),
      .word_ready(word_ready),
      .word_data(word_data),
      .piece_valid(piece_valid),
      .piece_ready(piece_ready),
      .piece_data(piece_data)
  );

  // The specification: the row at hand, the number of its next piece, counted from its first word's place 0.
  reg here;
  reg [17:0] number, behind;
  wire moves = here && word_valid && piece_ready;
  wire last = number + 18'd1 == behind;
  always @(posedge clk) begin
    if (moves) number <= number + 18'd1;
    if (moves && last) here <= 1'b0;
    if (row_valid && (!here || (moves && last))) begin
      here <= 1'b1;
      number <= {16'd0, row_skip};
      behind <= {16'd0, row_skip} + {2'd0, row_pieces};
    end
    if (rst) here <= 1'b0;
  end

  (* hierconn *) wire [1:0] \dut.position ;
  (* hierconn *) wire [15:0] \dut.pieces_left ;
  (* hierconn *) wire \dut.row_last ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    else begin
      assume (row_pieces != 16'd0);
      valid: assert (piece_valid == (here && word_valid));
      data: assert (!piece_valid || piece_data == word_data[16*number[1:0]+:16]);
      word_leaves: assert (word_ready == (here && piece_ready && (last || number[1:0] == 2'd3)));
      row_enters: assert (row_ready == (!here || (moves && last)));
      inside_number: assert (!here || number < behind);
      inside_row: assert (!here || (\dut.position == number[1:0] && {2'd0, \dut.pieces_left } == behind - number));
      inside_last: assert (!here || \dut.row_last == last);
      five: cover (moves && last && number == 18'd7);
      back_to_back: cover (moves && last && row_valid && row_skip == 2'd2);
    end
  end

endmodule

`default_nettype wire
