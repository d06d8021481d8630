// SPDX-License-Identifier: Apache-2.0
//
// tap_scanner: walks the receptive fields of one output unit and lists the taps that hold something.
//
// A unit is one output position (1 pixel to compute) or, with `pool` or `window`, a window of 2 x 2 or 3 x 3 (4 or 9
// pixels, row-major). For each pixel the kernel_h x kernel_w taps are visited, one a cycle, and two cycles more; a tap
// outside the tile buffer is outside the picture; so is a pixel of a `window`, whose kernel has one tap. Each tap inside
// costs one read of the count memory; taps with a count of 0 are dropped.
//
// Contract: a unit is taken when `unit_valid && unit_ready`; the configuration inputs hold while `busy`, and since the
//   cycle before the first unit. Taps leave on
//   `tap_*` in order, the last one of each pixel with `tap_final`; a pixel without any gives one tap of count 0, with
//   `tap_outside` when it is a pixel of a `window` outside the picture.
//   There is no back-pressure on taps: a scan step is made only while `tap_space` says that at least 5 more fit.
// Numbers: rows and columns signed, indices and addresses modulo their width.
`default_nettype none
`include "gradcore_sizes.vh"
`include "gradcore_jobs.vh"

module tap_scanner (
    input  wire                           clk,
    input  wire                           rst,
    output wire                           busy,
    // Configuration, constant for one tile job.
    input  wire [`CONV_GROUP_JOB_BITS-1:0] job,
    input  wire [ `ENTRY_ADDRESS_BITS-1:0] line_entries,  // from the last tap of a line to the first of the next
    input  wire [         `PIXEL_BITS-1:0] line_pixels,
    // One output unit: input position of tap (0, 0) of its first pixel.
    input  wire                           unit_valid,
    output wire                           unit_ready,
    input  wire signed [             9:0] unit_row,
    input  wire signed [             9:0] unit_column,
    input  wire [         `PIXEL_BITS-1:0] unit_pixel,
    input  wire [ `ENTRY_ADDRESS_BITS-1:0] unit_entry,
    // Count memory: address now; count, and whether it is not 0, one cycle later.
    output wire [         `PIXEL_BITS-1:0] count_address,
    input  wire [         `COUNT_BITS-1:0] count,
    input  wire                           count_some,
    // Taps.
    input  wire                           tap_space,
    output reg                            tap_valid,
    output reg  [ `ENTRY_ADDRESS_BITS-1:0] tap_entry,
    output reg  [         `COUNT_BITS-1:0] tap_count,
    output reg  [`WEIGHT_ADDRESS_BITS-1:0] tap_weight,
    output reg                            tap_final,
    output reg                            tap_outside
);

  `include "conv_group_job.vh"

  localparam IDLE = 2'd0, BEGIN = 2'd1, SCAN = 2'd2, NEXT_PIXEL = 2'd3;

  reg [1:0] state;
  reg [1:0] window_row, window_column;  // of the pixel
  reg [3:0] kernel_row;
  reg [3:0] kernel_column;
  // Input position, count address and entry address of the pixel's tap (0, 0) and of its current tap.
  reg signed [9:0] pixel_row, pixel_column, tap_row, tap_column;
  reg [`PIXEL_BITS-1:0] pixel_index, tap_index;
  reg [`ENTRY_ADDRESS_BITS-1:0] pixel_entry, current_entry;
  reg [`WEIGHT_ADDRESS_BITS-1:0] current_weight;

  // What follows from the configuration: the last tap, the last pixel, and the step down and back left in a window.
  reg [3:0] last_kernel_column, last_kernel_row;
  reg [1:0] last_pixel;  // row, and column
  reg [`PIXEL_BITS-1:0] down_index;
  reg [`ENTRY_ADDRESS_BITS-1:0] down_entries;
  wire [`ENTRY_ADDRESS_BITS-1:0] slot_entries = {{(`ENTRY_ADDRESS_BITS - 11) {1'b0}}, slot};
  always @(posedge clk) begin
    last_kernel_column <= kernel_w - 4'd1;
    last_kernel_row <= kernel_h - 4'd1;
    last_pixel <= {window == 2'd3, pool || window == 2'd2};
    down_index <= {{(`PIXEL_BITS - 8) {1'b0}}, buffer_columns} - {{(`PIXEL_BITS - 2) {1'b0}}, last_pixel};
    down_entries <= row_entries - (last_pixel[1] ? slot_entries << 1 : slot_entries);
  end

  wire step = (state == SCAN) && tap_space;
  wire last_column = (kernel_column == last_kernel_column);
  wire last_row = (kernel_row == last_kernel_row);
  wire row_inside = !tap_row[9] && (tap_row[8:0] < {1'b0, buffer_rows});
  wire column_inside = !tap_column[9] && (tap_column[8:0] < {1'b0, buffer_columns});
  wire go_right = (window_column != last_pixel);
  wire go_down = (window_row != last_pixel);
  wire [`PIXEL_BITS-1:0] one_pixel = {{(`PIXEL_BITS - 1) {1'b0}}, 1'b1};

  assign unit_ready = (state == IDLE);
  assign count_address = tap_index;

  always @(posedge clk) begin
    case (state)
      IDLE: begin
        window_row <= 2'd0;
        window_column <= 2'd0;
        pixel_row <= unit_row;
        pixel_column <= unit_column;
        pixel_index <= unit_pixel;
        pixel_entry <= unit_entry;
        if (unit_valid) state <= BEGIN;
      end
      BEGIN: begin
        kernel_row <= 4'd0;
        kernel_column <= 4'd0;
        tap_row <= pixel_row;
        tap_column <= pixel_column;
        tap_index <= pixel_index;
        current_entry <= pixel_entry;
        current_weight <= weight_base;
        state <= SCAN;
      end
      SCAN:
      if (step) begin
        current_weight <= current_weight + tap_rows[`WEIGHT_ADDRESS_BITS-1:0];
        tap_index <= tap_index + (last_column ? line_pixels : one_pixel);
        current_entry <= current_entry + (last_column ? line_entries : slot_entries);
        kernel_column <= last_column ? 4'd0 : kernel_column + 4'd1;
        tap_column <= last_column ? pixel_column : tap_column + 10'sd1;
        if (last_column) begin
          kernel_row <= kernel_row + 4'd1;
          tap_row <= tap_row + 10'sd1;
          if (last_row) state <= NEXT_PIXEL;
        end
      end
      default: begin  // NEXT_PIXEL; this cycle is also the gap in which the pixel's final tap is pushed
        window_row <= window_row + {1'b0, !go_right};
        window_column <= go_right ? window_column + 2'd1 : 2'd0;
        pixel_row <= pixel_row + {9'd0, !go_right};
        pixel_column <= go_right ? pixel_column + 10'sd1 : pixel_column - {8'd0, last_pixel};
        pixel_index <= pixel_index + (go_right ? one_pixel : down_index);
        pixel_entry <= pixel_entry + (go_right ? slot_entries : down_entries);
        state <= (go_right || go_down) ? BEGIN : IDLE;
      end
    endcase
    if (rst) state <= IDLE;
  end

  // Second stage: the count stands at the memory's output. Third stage: in a register, and whether it is zero. One tap is
  // held back until it is known whether another one follows.
  reg read_valid, read_inside, read_last;
  reg [`ENTRY_ADDRESS_BITS-1:0] read_entry;
  reg [`WEIGHT_ADDRESS_BITS-1:0] read_weight;
  reg seen_valid, seen_some, seen_last, seen_outside;
  reg [`COUNT_BITS-1:0] seen_count;
  reg [`ENTRY_ADDRESS_BITS-1:0] seen_entry;
  reg [`WEIGHT_ADDRESS_BITS-1:0] seen_weight;
  reg held_valid, flush, outside;
  reg [`ENTRY_ADDRESS_BITS-1:0] held_entry;
  reg [`COUNT_BITS-1:0] held_count;
  reg [`WEIGHT_ADDRESS_BITS-1:0] held_weight;

  wire something = seen_valid && seen_some;

  assign busy = (state != IDLE) || read_valid || seen_valid || flush;

  always @(posedge clk) begin
    read_valid <= step;
    read_inside <= row_inside && column_inside;
    read_last <= last_column && last_row;
    read_entry <= current_entry;
    read_weight <= current_weight;

    seen_valid <= read_valid;
    seen_some <= read_inside && count_some;
    seen_outside <= !read_inside && (window != 2'd0);
    seen_last <= read_last;
    seen_count <= count;
    seen_entry <= read_entry;
    seen_weight <= read_weight;

    if (something) begin
      held_entry  <= seen_entry;
      held_count  <= seen_count;
      held_weight <= seen_weight;
    end
    held_valid <= (held_valid && !flush) || something;
    flush <= seen_valid && seen_last;
    outside <= seen_outside;

    tap_valid <= flush || (something && held_valid);
    tap_final <= flush;
    tap_outside <= outside;
    tap_entry <= held_entry;
    tap_weight <= held_weight;
    tap_count <= held_valid ? held_count : {`COUNT_BITS{1'b0}};

    if (rst) begin
      read_valid <= 1'b0;
      seen_valid <= 1'b0;
      held_valid <= 1'b0;
      flush <= 1'b0;
      tap_valid <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(known_state, (^state) === 1'b0 || (^state) === 1'b1)  // all four are legal
  `ASSERT(kernel_is_inside, state != SCAN || (kernel_row < kernel_h && kernel_column < kernel_w))
  `ASSERT(final_is_a_tap, !(flush && something) || !seen_last)
`endif

endmodule

`default_nettype wire
