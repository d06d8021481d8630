// SPDX-License-Identifier: Apache-2.0
//
// piece_packer: every piece lies in exactly one word, at its place, with its strobe; all else in the word is 0; a word
// leaves a cycle after the piece that fills its place 3 or ends its run, and holds until taken.
`default_nettype none

module piece_packer_formal (
    input wire        clk,
    input wire        rst,
    input wire        in_valid,
    input wire [15:0] in_piece,
    input wire [ 1:0] in_position,
    input wire        in_last,
    input wire        out_ready
);

  wire in_ready, out_valid;
  wire [63:0] out_data;
  wire [ 7:0] out_strobe;

  piece_packer dut (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_piece(in_piece),
      .in_position(in_position),
      .in_last(in_last),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data),
      .out_strobe(out_strobe)
  );

  // The specification: the word that is gathered, and the one that is complete.
  reg complete;
  reg [3:0] filled;
  reg [63:0] word;
  wire take = in_valid && (!complete || out_ready);
  wire fresh = complete && out_ready;
  integer k;
  always @(posedge clk) begin
    if (fresh) begin
      complete <= 1'b0;
      filled <= 4'd0;
      word <= 64'd0;
    end
    if (take) begin
      for (k = 0; k < 4; k = k + 1)
        if (in_position == k) begin
          filled[k] <= 1'b1;
          word[16*k+:16] <= in_piece;
        end
      complete <= in_last || in_position == 2'd3;
    end
    if (rst) begin
      complete <= 1'b0;
      filled <= 4'd0;
      word <= 64'd0;
    end
  end

  // Contract: within a run places follow one another.
  reg inside;
  reg [1:0] expected_place;
  always @(posedge clk) begin
    if (take) begin
      inside <= !in_last;
      expected_place <= in_position + 2'd1;
    end
    if (rst) inside <= 1'b0;
  end

  (* hierconn *) wire [3:0] \dut.filled ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  wire [63:0] bits = {{16{filled[3]}}, {16{filled[2]}}, {16{filled[1]}}, {16{filled[0]}}};

  always @* begin
    if (!started) assume (rst);
    else begin
      assume (!in_valid || !inside || in_position == expected_place);
      strobe: assert (!complete || out_strobe == {{2{filled[3]}}, {2{filled[2]}}, {2{filled[1]}}, {2{filled[0]}}});
      data: assert (!complete || out_data == word);
      inside_word: assert (((out_data ^ word) & bits) == 64'd0 && (word & ~bits) == 64'd0);
      valid: assert (out_valid == complete);
      ready: assert (in_ready == (!complete || out_ready));
      inside_places: assert (\dut.filled == filled && (!complete || filled != 4'd0));
      whole: cover (complete && filled == 4'b1111 && word == 64'h0004_0003_0002_0001);
      short_run: cover (complete && filled == 4'b0110);
      no_pause: cover (fresh && take && filled == 4'b1000);
    end
  end

endmodule

`default_nettype wire
