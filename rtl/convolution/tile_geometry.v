// SPDX-License-Identifier: Apache-2.0
//
// tile_geometry: what all conv groups need of a tile job and none should compute for itself: where the receptive field
// of the job's first unit begins in the tile buffer, and the step from the end of one line of taps to the next.
//
//   origin_entry = origin_row * row_entries + origin_column * slot      line_entries = row_entries - (taps - 1) * slot
//   origin_pixel = origin_row * buffer_columns + origin_column          line_pixels = buffer_columns - (taps - 1)
//
// with taps = kernel_w, 1 to 8. By shift and add, a bit of the small factors a cycle.
//
// Contract: `start` (a pulse, not while busy) begins; the fields stand from then on until `done` pulses, 6 cycles later,
//   with the results, which hold until the next start.
// Numbers: origins signed, -8 to 7; entries modulo 2^13, pixels modulo 2^9.
`default_nettype none
`include "gradcore_jobs.vh"

module tile_geometry (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    input  wire [`CONV_GROUP_JOB_BITS-1:0] job,
    output reg         busy,
    output reg         done,
    output reg  [12:0] origin_entry,
    output reg  [ 8:0] origin_pixel,
    output reg  [12:0] line_entries,
    output reg  [ 8:0] line_pixels
);

  `include "conv_group_job.vh"

  localparam [2:0] SIGN = 3'd3, LAST = 3'd4;

  reg [2:0] step;
  // The factors' bits, lowest first, and the other factors times the bits' weights.
  reg [3:0] row_bits, column_bits, tap_bits;
  reg [12:0] scaled_row, scaled_slot;
  reg [8:0] scaled_columns;
  reg [12:0] row_product, column_product, tap_product;
  reg [8:0] pixel_product;
  wire [3:0] taps_less_one = kernel_w - 4'd1;
  wire negative = (step == SIGN);  // the weight of a sign bit: add the one's complement and one
  wire [12:0] row_addend = scaled_row ^ {13{negative}};
  wire [12:0] slot_addend = scaled_slot ^ {13{negative}};
  wire [8:0] columns_addend = scaled_columns ^ {9{negative}};

  always @(posedge clk) begin
    done <= 1'b0;
    if (start) begin
      busy <= 1'b1;
      step <= 3'd0;
      row_bits <= origin_row[3:0];
      column_bits <= origin_column[3:0];
      tap_bits <= taps_less_one;
      scaled_row <= row_entries;
      scaled_slot <= {2'd0, slot};
      scaled_columns <= {1'b0, buffer_columns};
      row_product <= 13'd0;
      column_product <= 13'd0;
      tap_product <= 13'd0;
      pixel_product <= 9'd0;
    end else if (busy) begin
      step <= step + 3'd1;
      row_bits <= {1'b0, row_bits[3:1]};
      column_bits <= {1'b0, column_bits[3:1]};
      tap_bits <= {1'b0, tap_bits[3:1]};
      scaled_row <= {scaled_row[11:0], 1'b0};
      scaled_slot <= {scaled_slot[11:0], 1'b0};
      scaled_columns <= {scaled_columns[7:0], 1'b0};
      if (row_bits[0]) begin
        row_product <= row_product + row_addend + {12'd0, negative};
        pixel_product <= pixel_product + columns_addend + {8'd0, negative};
      end
      if (column_bits[0]) column_product <= column_product + slot_addend + {12'd0, negative};
      if (tap_bits[0]) tap_product <= tap_product + scaled_slot;
      if (step == LAST) begin
        busy <= 1'b0;
        done <= 1'b1;
        origin_entry <= row_product + column_product;
        origin_pixel <= pixel_product + {origin_column[7], origin_column};
        line_entries <= row_entries - tap_product;
        line_pixels <= {1'b0, buffer_columns} - {5'd0, taps_less_one};
      end
    end
    if (rst) begin
      busy <= 1'b0;
      done <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(started_when_idle, !start || !busy)
  `ASSERT_STATE(legal_step, (busy ? step : 3'd0), LAST)
`endif

endmodule

`default_nettype wire
