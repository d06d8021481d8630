// SPDX-License-Identifier: Apache-2.0
// Write requests of one half of the tile store for one job: first the word runs, then the tag runs.
//
// A run is a row when it is contiguous in memory, else one pixel of a row. Rows of a half are two row pitches apart.
// `start` begins a job (all fields stable from then until `finished`); `finished` goes up when the last request has
// been accepted and stays up until the next start. A job with `rows` = 0 makes no request. Addresses are bytes. Word
// runs start on 8 bytes; tag runs on 2 bytes: the request then covers all words that they touch. One request a cycle
// while `request_ready` is up, one cycle more at the start of the words and of the tags.
`default_nettype none
module tile_store_request (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    output wire        finished,
    input  wire [ 7:0] rows,             // rows of this half
    input  wire [ 7:0] columns,
    input  wire        store_tags,
    input  wire [31:0] word_address,     // first row of this half
    input  wire [31:0] word_row_step,    // between two rows of this half
    input  wire [15:0] word_pixel_pitch,
    input  wire        word_contiguous,
    input  wire [ 9:0] word_run,         // words in a run
    input  wire [31:0] tag_address,
    input  wire [31:0] tag_row_step,
    input  wire [15:0] tag_pixel_pitch,
    input  wire        tag_contiguous,
    input  wire [ 9:0] tag_run,          // pieces in a run
    output wire        request_valid,
    input  wire        request_ready,
    output wire [31:0] request_address,
    output wire [15:0] request_words
);
  localparam IDLE = 2'd0, LOAD = 2'd1, RUN = 2'd2;

  reg [1:0] state;
  reg tag_phase;
  reg [31:0] row_address;
  reg [31:0] address;
  reg [7:0] rows_left;     // after this one
  reg [7:0] columns_left;  // after this one

  wire contiguous = tag_phase ? tag_contiguous : word_contiguous;
  wire one_column = contiguous || columns == 8'd1;
  wire [7:0] columns_to_go = contiguous ? 8'd0 : columns - 8'd1;
  wire [31:0] next_row = row_address + (tag_phase ? tag_row_step : word_row_step);
  wire [31:0] next_pixel = address + {16'd0, tag_phase ? tag_pixel_pitch : word_pixel_pitch};
  reg last_column, last_row;  // columns_left == 0, rows_left == 0
  wire last_run = last_column && last_row;
  wire [10:0] tag_places = {1'b0, tag_run} + {9'd0, address[2:1]} + 11'd3;

  assign finished = state == IDLE;
  assign request_valid = state == RUN;
  assign request_address = {address[31:3], 3'b000};
  assign request_words = tag_phase ? {7'd0, tag_places[10:2]} : {6'd0, word_run};

  always @(posedge clk) begin
    case (state)
      LOAD: begin
        state <= RUN;
        row_address <= tag_phase ? tag_address : word_address;
        address <= tag_phase ? tag_address : word_address;
        rows_left <= rows - 8'd1;
        last_row <= rows == 8'd1;
        columns_left <= columns_to_go;
        last_column <= one_column;
      end
      RUN: begin
        if (request_ready) begin
          if (last_run) begin
            state <= (store_tags && !tag_phase) ? LOAD : IDLE;
            tag_phase <= 1'b1;
          end
          if (last_column) begin
            row_address <= next_row;
            address <= next_row;
            rows_left <= rows_left - 8'd1;
            last_row <= rows_left == 8'd1;
            columns_left <= columns_to_go;
            last_column <= one_column;
          end else begin
            address <= next_pixel;
            columns_left <= columns_left - 8'd1;
            last_column <= columns_left == 8'd1;
          end
        end
      end
      default: begin
        tag_phase <= 1'b0;
        if (start && rows != 8'd0) state <= LOAD;
      end
    endcase
    if (rst) begin
      state <= IDLE;
      tag_phase <= 1'b0;
    end
  end

  wire unused_bits = &{1'b0, tag_places[1:0]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, RUN)
  `ASSERT(started_when_idle, !start || finished)
  `ASSERT(marks_agree, state != RUN || (last_column == (columns_left == 8'd0) && last_row == (rows_left == 8'd0)))
`endif
endmodule
`default_nettype wire
