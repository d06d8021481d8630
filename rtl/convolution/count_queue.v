// SPDX-License-Identifier: Apache-2.0
//
// count_queue: turns the four list lengths of a source pixel into writes of the count memory, one at a time.
//
// A source pixel reaches up to four buffer pixels: itself, or with unpooling the 2 x 2 pixels of its window. Position i
// (= {row, column}) lies at `in_address` plus (i[0] ? 1 : 0) plus (i[1] ? row_pixels : 0); it is written when
// in_write[i].
//
// Contract: in_ready may be low only while the counts of the pixel before are being pushed in the FIFO, one a cycle, so
// a pixel with n positions takes max(1, n) cycles. The output is a valid/ready stream in order. `empty` is high when
// nothing is held. row_pixels may change only while empty.
// Format: addresses are modulo 512 buffer pixels; counts unsigned, count i in bits [11i+10:11i].

`default_nettype none

module count_queue (
    input  wire        clk,
    input  wire        rst,
    input  wire [7:0]  row_pixels,

    input  wire        in_valid,
    output wire        in_ready,
    input  wire [3:0]  in_write,
    input  wire [8:0]  in_address,
    input  wire [43:0] in_counts,

    output wire        out_valid,
    input  wire        out_ready,
    output wire [8:0]  out_address,
    output wire [10:0] out_count,
    output wire        empty
);

  reg [3:0]  pending;  // positions still to be pushed
  reg [8:0]  address;
  reg [43:0] counts;

  wire       fifo_ready;
  wire [3:0] without_lowest = pending & {|pending[2:0], |pending[1:0], pending[0], 1'b0};

  reg        last;  // at most one position is pending, and `idle` says that none is
  reg        idle;

  assign in_ready = idle || (last && fifo_ready);
  assign empty = pending == 4'd0 && !out_valid;

  reg [1:0]  position;
  reg [10:0] count;

  always @* begin
    if (pending[0]) position = 2'd0;
    else if (pending[1]) position = 2'd1;
    else if (pending[2]) position = 2'd2;
    else position = 2'd3;
    case (position)
      2'd0: count = counts[10:0];
      2'd1: count = counts[21:11];
      2'd2: count = counts[32:22];
      default: count = counts[43:33];
    endcase
  end

  wire [8:0] row_offset = position[1] ? {1'b0, row_pixels} : 9'd0;
  wire [8:0] position_address = address + row_offset + {8'd0, position[0]};

  always @(posedge clk) begin
    if (in_ready) begin
      pending <= in_valid ? in_write : 4'd0;
      idle <= !in_valid || in_write == 4'd0;
      last <= (in_write & {|in_write[2:0], |in_write[1:0], in_write[0], 1'b0}) == 4'd0;
      address <= in_address;
      counts <= in_counts;
    end else if (fifo_ready) begin
      pending <= without_lowest;
      last <= (without_lowest & {|without_lowest[2:0], |without_lowest[1:0], without_lowest[0], 1'b0}) == 4'd0;
    end
    if (rst) begin
      pending <= 4'd0;
      idle <= 1'b1;
    end
  end

  wire [4:0] unused_level;

  fifo #(
      .WIDTH(20),
      .DEPTH(16)
  ) u_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(pending != 4'd0),
      .in_ready(fifo_ready),
      .in_data({position_address, count}),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data({out_address, out_count}),
      .level(unused_level)
  );

endmodule

`default_nettype wire
