// SPDX-License-Identifier: Apache-2.0
// Read addresses in the output buffer of one half of the tile store for one job: first all words, then all tag pieces.
//
// Walks rows x columns x items; an item is a word (phase 0) or a tag piece (phase 1; pixels lie densely in a row).
// One address a cycle while `advance` is up, without a pause inside a phase. `start` begins a job (fields stable
// until `finished`); `finished` goes up when the last address has been taken and stays up until the next start. For
// tag pieces `position` is the piece's place in its 64-bit memory word (byte address bits 2:1) and `last_of_run`
// marks the last one of a run of consecutive addresses (a row when contiguous, else a pixel).
`default_nettype none
module tile_store_walk (
    input  wire       clk,
    input  wire       rst,
    input  wire       start,
    output wire       finished,
    input  wire       bank,
    input  wire [7:0] rows,             // rows of this half
    input  wire [7:0] columns,
    input  wire       store_tags,
    input  wire [9:0] words,            // words read of a pixel
    input  wire [7:0] word_pixel_step,
    input  wire [8:0] word_row_step,
    input  wire [7:0] pieces,           // pieces of a pixel
    input  wire [8:0] piece_row_step,
    input  wire       tag_contiguous,
    input  wire [1:0] tag_start,        // bits 2:1 of the first row's tag address
    input  wire [1:0] tag_row_step,     // bits 2:1 of the step between two rows of this half
    input  wire [1:0] tag_pixel_pitch,  // bits 2:1
    output wire       valid,
    input  wire       advance,          // take the address; only with valid
    output wire       tag,              // phase: 0 word, 1 tag piece
    output wire [9:0] address,          // {bank, 9 bits}
    output wire [1:0] position,
    output wire       last_of_run
);
  localparam IDLE = 2'd0, LOAD = 2'd1, RUN = 2'd2;

  reg [1:0] state;
  reg tag_phase;
  reg [8:0] row_address, pixel_address, item_address;
  reg [1:0] row_position, pixel_position, item_position;
  reg [7:0] rows_left, columns_left;  // after this one
  reg [9:0] items_left;               // after this one

  wire [9:0] items_to_go = (tag_phase ? {2'd0, pieces} : words) - 10'd1;
  wire [8:0] next_row = row_address + (tag_phase ? piece_row_step : word_row_step);
  wire [8:0] next_pixel = pixel_address + {1'b0, tag_phase ? pieces : word_pixel_step};
  wire [1:0] next_row_position = row_position + tag_row_step;
  wire [1:0] next_pixel_position = pixel_position + tag_pixel_pitch;
  wire last_item = items_left == 10'd0;
  wire last_column = columns_left == 8'd0;
  wire last = last_item && last_column && rows_left == 8'd0;

  assign finished = state == IDLE;
  assign valid = state == RUN;
  assign tag = tag_phase;
  assign address = {bank, item_address};
  assign position = item_position;
  assign last_of_run = last_item && (last_column || !tag_contiguous);

  always @(posedge clk) begin
    case (state)
      LOAD: begin
        state <= RUN;
        row_address <= 9'd0;
        pixel_address <= 9'd0;
        item_address <= 9'd0;
        row_position <= tag_start;
        pixel_position <= tag_start;
        item_position <= tag_start;
        rows_left <= rows - 8'd1;
        columns_left <= columns - 8'd1;
        items_left <= items_to_go;
      end
      RUN: begin
        if (advance) begin
          if (last) begin
            state <= (store_tags && !tag_phase) ? LOAD : IDLE;
            tag_phase <= 1'b1;
          end
          items_left <= last_item ? items_to_go : items_left - 10'd1;
          if (!last_item) begin
            item_address <= item_address + 9'd1;
            item_position <= item_position + 2'd1;
          end else if (!last_column) begin
            pixel_address <= next_pixel;
            item_address <= next_pixel;
            pixel_position <= next_pixel_position;
            item_position <= next_pixel_position;
            columns_left <= columns_left - 8'd1;
          end else begin
            row_address <= next_row;
            pixel_address <= next_row;
            item_address <= next_row;
            row_position <= next_row_position;
            pixel_position <= next_row_position;
            item_position <= next_row_position;
            columns_left <= columns - 8'd1;
            rows_left <= rows_left - 8'd1;
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

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, RUN)
  `ASSERT(started_when_idle, !start || finished)
  `ASSERT(advanced_when_valid, !advance || valid)
`endif
endmodule
`default_nettype wire
