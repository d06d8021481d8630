// SPDX-License-Identifier: Apache-2.0
//
// tile_row_requester: asks one read port for the rows of a tile that belong to one half of the tile loader.
//
// Half h has source rows h, h+2, ... A run is a row, or with `by_pixel` a pixel. For each run the requester offers one
// request for the values and, with `use_tags`, one for the tags, aligned down to 8 bytes and long enough to cover the
// run's pieces. It runs ahead as far as the read port lets it.
//
// Contract: `start` is a pulse while idle; the job's fields must be stable from some cycles before it until `busy` is low
// again. Both request ports are valid/ready; the requests of the next run are offered when both of this run have been
// taken.
// Format: addresses and pitches in bytes; run_words in words of 64 bits, run_pieces in pieces of 16 bits.

`default_nettype none

module tile_row_requester #(
    parameter HALF = 0
) (
    input  wire        clk,
    input  wire        rst,

    input  wire        start,
    output wire        busy,
    input  wire [7:0]  source_rows,
    input  wire [7:0]  source_columns,
    input  wire        by_pixel,
    input  wire [31:0] source_address,
    input  wire [31:0] source_row_pitch,
    input  wire [15:0] source_pixel_pitch,
    input  wire [15:0] run_words,
    input  wire        use_tags,
    input  wire [31:0] tag_address,
    input  wire [31:0] tag_row_pitch,
    input  wire [15:0] tag_pixel_pitch,
    input  wire [15:0] run_pieces,

    output reg         value_request_valid,
    input  wire        value_request_ready,
    output wire [31:0] value_request_address,
    output wire [15:0] value_request_words,
    output reg         tag_request_valid,
    input  wire        tag_request_ready,
    output wire [31:0] tag_request_address,
    output wire [15:0] tag_request_words
);

  initial begin
    if (HALF != 0 && HALF != 1) begin
      $display("%m: HALF is %0d but must be 0 or 1", HALF);
      $finish;
    end
  end

  reg [7:0]  rows_left;      // the row of the offered run included
  reg        working;        // rows_left != 0
  reg        last_row;       // rows_left == 1
  reg [7:0]  columns_left;   // with by_pixel, the offered pixel included
  reg        last_run;       // of its row
  reg [31:0] value_row, value_address;  // of the first run of the row, of the offered run
  reg [31:0] tag_row, tag_position;  // the same of their first pieces

  wire [8:0] half_rows = (HALF == 0) ? {1'b0, source_rows} + 9'd1 : {1'b0, source_rows};
  wire       unused_row_bit = half_rows[0];
  reg any_row, one_row;  // half_rows[8:1] != 0, == 1; the job comes some cycles before `start`
  reg one_run;  // a row is one run
  always @(posedge clk) begin
    any_row <= source_rows[7:1] != 7'd0 || (HALF == 0 && source_rows[0]);
    one_row <= (HALF == 0) ? source_rows == 8'd1 || source_rows == 8'd2 : source_rows[7:1] == 7'd1;
    one_run <= !by_pixel || source_columns == 8'd1;
  end

  wire run_taken = (!value_request_valid || value_request_ready) && (!tag_request_valid || tag_request_ready);
  wire advance = working && run_taken;
  wire next_row = advance && last_run;
  wire done = next_row && last_row;

  // The first row's address, or the step of two rows; one adder each.
  wire [31:0] value_first = (start ? source_address : value_row) +
      (start ? (HALF == 0 ? 32'd0 : source_row_pitch) : {source_row_pitch[30:0], 1'b0});
  wire [31:0] tag_first = (start ? tag_address : tag_row) +
      (start ? (HALF == 0 ? 32'd0 : tag_row_pitch) : {tag_row_pitch[30:0], 1'b0});

  wire [16:0] covered_pieces = {1'b0, run_pieces} + {15'd0, tag_position[2:1]} + 17'd3;
  wire [2:0]  unused_bits = {tag_position[0], covered_pieces[1:0]};

  assign busy = working;
  assign value_request_address = value_address;
  assign value_request_words = run_words;
  assign tag_request_address = {tag_position[31:3], 3'd0};
  assign tag_request_words = {1'b0, covered_pieces[16:2]};

  always @(posedge clk) begin
    if (start || next_row) begin
      value_row <= value_first;
      value_address <= value_first;
      tag_row <= tag_first;
      tag_position <= tag_first;
      columns_left <= source_columns;
      last_run <= one_run;
    end else if (advance) begin
      value_address <= value_address + {16'd0, source_pixel_pitch};
      tag_position <= tag_position + {16'd0, tag_pixel_pitch};
      columns_left <= columns_left - 8'd1;
      last_run <= columns_left == 8'd2;
    end
    if (value_request_ready) value_request_valid <= 1'b0;
    if (tag_request_ready) tag_request_valid <= 1'b0;
    if (start) begin
      rows_left <= half_rows[8:1];
      working <= any_row;
      last_row <= one_row;
    end else if (next_row) begin
      rows_left <= rows_left - 8'd1;
      working <= !last_row;
      last_row <= rows_left == 8'd2;
    end
    if (start ? any_row : advance && !done) begin
      value_request_valid <= 1'b1;
      tag_request_valid <= use_tags;
    end
    if (rst) begin
      working <= 1'b0;
      value_request_valid <= 1'b0;
      tag_request_valid <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(started_when_idle, !start || !busy)
  `ASSERT(rows_marked, !working || (last_row == (rows_left == 8'd1) && rows_left != 8'd0))
  `ASSERT(runs_marked, !(working && by_pixel) || (last_run == (columns_left == 8'd1) && columns_left != 8'd0))
  `ASSERT(offers_a_run, !(value_request_valid || tag_request_valid) || working)
`endif

endmodule

`default_nettype wire
