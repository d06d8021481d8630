// SPDX-License-Identifier: Apache-2.0
//
// tag_collector: a block has one piece, or three with `indexed`, and shows them in order: masks, then indices; blocks keep
// their order, none is lost or repeated; at most two wait, and the first pieces of a third.
`default_nettype none

module tag_collector_formal (
    input wire        clk,
    input wire        rst,
    input wire        indexed,
    input wire        piece_valid,
    input wire [15:0] piece_data,
    input wire        tags_ready,
    input wire        choose
);

  wire piece_ready, tags_valid;
  wire [15:0] tags_mask;
  wire [31:0] tags_index;

  tag_collector dut (
      .clk(clk),
      .rst(rst),
      .indexed(indexed),
      .piece_valid(piece_valid),
      .piece_ready(piece_ready),
      .piece_data(piece_data),
      .tags_valid(tags_valid),
      .tags_ready(tags_ready),
      .tags_mask(tags_mask),
      .tags_index(tags_index)
  );

  // The specification: the pieces of the block that is gathered, in order; with its last one it becomes a word of a queue.
  reg [1:0] number;
  reg [15:0] first, second;
  reg was_indexed;
  wire take = piece_valid && piece_ready;
  wire closes = !indexed || number == 2'd2;
  always @(posedge clk) begin
    was_indexed <= indexed;
    if (take) begin
      number <= closes ? 2'd0 : number + 2'd1;
      if (number == 2'd0) first <= piece_data;
      if (number == 2'd1) second <= piece_data;
    end
    if (rst) number <= 2'd0;
  end

  wire [1:0] held, before;
  wire chosen, chosen_indexed;
  wire [47:0] word;
  queue_specification #(
      .WIDTH(49),
      .COUNT_BITS(2)
  ) specification (
      .clk(clk),
      .rst(rst),
      .choose(choose),
      .push(take && closes),
      .push_word({indexed, indexed ? {piece_data, second, first} : {32'd0, piece_data}}),
      .pop(tags_valid && tags_ready),
      .held(held),
      .chosen(chosen),
      .before(before),
      .word({chosen_indexed, word})
  );

  (* hierconn *) wire \dut.block_ready ;
  (* hierconn *) wire [1:0] \dut.gathered ;
  (* hierconn *) wire [15:0] \dut.next_mask ;
  (* hierconn *) wire [15:0] \dut.next_index ;
  (* hierconn *) wire [47:0] \dut.blocks.spare ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    else begin
      assume (number == 2'd0 || indexed == was_indexed);
      valid: assert (held <= 2'd2 && tags_valid == (held != 2'd0));
      ready: assert (piece_ready == (!closes || held != 2'd2));
      inside_ready: assert (\dut.block_ready == (held != 2'd2));
      inside_gathered: assert (number <= 2'd2 && \dut.gathered == number && (number == 2'd0 || was_indexed));
      inside_mask: assert (number == 2'd0 || \dut.next_mask == first);
      inside_index: assert (number != 2'd2 || \dut.next_index == second);
      inside_place: assert (!chosen || before < held);
      mask: assert (!(chosen && before == 0) || tags_mask == word[15:0]);
      index: assert (!(chosen && before == 0 && chosen_indexed) || tags_index == word[47:16]);
      inside_spare_mask: assert (!(chosen && before == 1) || \dut.blocks.spare [15:0] == word[15:0]);
      inside_spare_index: assert (!(chosen && before == 1 && chosen_indexed) || \dut.blocks.spare [47:16] == word[47:16]);
      full: cover (held == 2'd2 && number == 2'd2 && chosen && before == 1);
      plain: cover (held == 2'd1 && take && !indexed && tags_ready);
    end
  end

endmodule

`default_nettype wire
