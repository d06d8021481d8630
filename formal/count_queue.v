// SPDX-License-Identifier: Apache-2.0
//
// count_queue: each pixel gives one write for each of its marked positions, lowest first, with that position's address and
// count, in the order of the pixels; none is lost or repeated. A pixel with n positions takes max(1, n) cycles while the
// FIFO has room.
`default_nettype none

module count_queue_formal (
    input wire        clk,
    input wire        rst,
    input wire [ 7:0] row_pixels,
    input wire        in_valid,
    input wire [ 3:0] in_write,
    input wire [ 8:0] in_address,
    input wire [43:0] in_counts,
    input wire        out_ready,
    input wire        choose,
    input wire [ 1:0] choice
);

  wire in_ready, out_valid, empty;
  wire [ 8:0] out_address;
  wire [10:0] out_count;

  count_queue dut (
      .clk(clk),
      .rst(rst),
      .row_pixels(row_pixels),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_write(in_write),
      .in_address(in_address),
      .in_counts(in_counts),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_address(out_address),
      .out_count(out_count),
      .empty(empty)
  );

  function [2:0] ones(input [3:0] bits);
    ones = {2'd0, bits[0]} + {2'd0, bits[1]} + {2'd0, bits[2]} + {2'd0, bits[3]};
  endfunction

  // The specification: how many writes are inside, and one of them, any one: position `choice` of some pixel.
  reg [5:0] held, before;
  reg chosen;
  reg [1:0] position;
  reg [19:0] word;
  reg [8:0] pixel_address;
  reg [10:0] pixel_count;
  reg [7:0] row;  // row_pixels in the cycle before
  wire take = in_valid && in_ready;
  wire pop = out_valid && out_ready;
  always @(posedge clk) begin
    row <= row_pixels;
    held <= held + (take ? {3'd0, ones(in_write)} : 6'd0) - {5'd0, pop};
    if (chosen && pop) before <= before - 6'd1;
    if (chosen && pop && before == 6'd0) chosen <= 1'b0;
    if (take && choose && !chosen && in_write[choice]) begin
      chosen <= 1'b1;
      position <= choice;
      before <= held - {5'd0, pop} + {3'd0, ones(in_write & ~(4'b1111 << choice))};
      word <= {in_address + (choice[1] ? {1'b0, row_pixels} : 9'd0) + (choice[0] ? 9'd1 : 9'd0), in_counts[11*choice+:11]};
      pixel_address <= in_address;
      pixel_count <= in_counts[11*choice+:11];
    end
    if (rst) begin
      held <= 6'd0;
      chosen <= 1'b0;
    end
  end

  // Induction: the followed write is in the FIFO, or waits to go there.
  (* hierconn *) wire [3:0] \dut.pending ;
  (* hierconn *) wire [8:0] \dut.address ;
  (* hierconn *) wire [43:0] \dut.counts ;
  (* hierconn *) wire \dut.last , \dut.idle , \dut.fifo_ready ;
  (* hierconn *) wire [3:0] \dut.u_fifo.read_address , \dut.u_fifo.write_address ;
  (* hierconn *) wire [4:0] \dut.u_fifo.level ;
  wire [3:0] pending = \dut.pending ;
  wire [4:0] level = \dut.u_fifo.level ;
  wire [2:0] to_go = ones(pending);
  wire in_fifo = before < {1'b0, level};
  wire [19:0] kept;
  memory_probe #(
      .MEMID("\\dut.u_fifo.memory"),
      .ABITS(4),
      .WIDTH(20)
  ) probe (
      .CLK(1'b0),
      .EN(1'b1),
      .ADDR(\dut.u_fifo.read_address + before[3:0]),
      .DATA(kept)
  );
  wire [5:0] lower = {3'd0, ones(pending & ~(4'b1111 << position))};
  wire [43:0] counts = \dut.counts ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    else begin
      assume (held == 6'd0 || row_pixels == row);
      inside_counted: assert (held == {1'b0, level} + {3'd0, to_go} && level <= 5'd16);
      inside_last: assert (\dut.last == (to_go <= 3'd1) || \dut.idle );
      inside_idle: assert (\dut.idle == (to_go == 3'd0) || (\dut.last && to_go == 3'd0));
      inside_fifo: assert (out_valid == (level != 5'd0) && \dut.fifo_ready == (level != 5'd16));
      inside_addresses: assert (\dut.u_fifo.write_address - \dut.u_fifo.read_address == level[3:0]);
      empty_says_so: assert (empty == (held == 6'd0));
      takes_its_time: assert (in_ready == (to_go == 3'd0 || (to_go == 3'd1 && level != 5'd16)));
      inside_place: assert (!chosen || before < held);
      inside_fifo_word: assert (!(chosen && in_fifo) || kept == word);
      inside_pending: assert (!(chosen && !in_fifo) || (pending[position] && before == {1'b0, level} + lower));
      inside_fields: assert (!(chosen && !in_fifo) || (\dut.address == pixel_address && counts[11*position+:11] == pixel_count));
      inside_sum: assert (!(chosen && !in_fifo) || word == {pixel_address + (position[1] ? {1'b0, row} : 9'd0) +
                                                          {8'd0, position[0]}, pixel_count});
      order: assert (!(chosen && before == 6'd0 && out_valid) || {out_address, out_count} == word);
      four: cover (chosen && position == 2'd3 && before == 6'd0 && out_valid);
      back_to_back: cover (take && to_go == 3'd1 && in_write == 4'b1111);
      nothing: cover (take && in_write == 4'd0 && held == 6'd0);
    end
  end

endmodule

`default_nettype wire
