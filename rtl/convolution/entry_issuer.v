// SPDX-License-Identifier: Apache-2.0
//
// entry_issuer: turns taps into one tile-buffer read a cycle.
//
// Contract: with `enable`, every cycle is an issue: an entry of the current tap, or a bubble (`issue_entry` low).
//   `issue_first` marks the first issue of a pixel, `issue_last` its last; both fall on an entry or a bubble. A pixel
//   lasts at least LANES issues, since the lanes share one bus for initial values and one for results; shorter ones
//   are filled with bubbles. Taps follow one another without a bubble while `tap_valid`. A pixel with `tap_from_partial`
//   does not start before `partial_here`, and then with `partial_claim`. `issue_outside` stands with issue_last: what the
//   pixel's final tap had. Outputs are registered. Without `enable` all
//   holds.
// Numbers: entry address and weight row are modulo their width; counts up to 2^`COUNT_BITS - 1.
`default_nettype none
`include "gradcore_sizes.vh"

module entry_issuer (
    input  wire                           clk,
    input  wire                           rst,
    input  wire                           enable,
    input  wire                           tap_valid,
    output wire                           tap_ready,
    input  wire [ `ENTRY_ADDRESS_BITS-1:0] tap_entry,
    input  wire [         `COUNT_BITS-1:0] tap_count,
    input  wire [`WEIGHT_ADDRESS_BITS-1:0] tap_weight,
    input  wire                           tap_final,
    input  wire                           tap_outside,
    input  wire                           tap_bank,
    input  wire                           tap_bias_bank,
    input  wire                           tap_from_partial,
    input  wire                           partial_here,
    output wire                           partial_claim,
    output reg                            issue_entry,
    output reg  [ `ENTRY_ADDRESS_BITS-1:0] issue_address,
    output reg  [`WEIGHT_ADDRESS_BITS-1:0] issue_weight,
    output reg                            issue_bank,
    output reg                            issue_bias_bank,
    output reg                            issue_from_partial,
    output reg                            issue_first,
    output reg                            issue_last,
    output reg                            issue_outside
);

  reg loaded;  // a tap with entries left, or an empty pixel's tap, is held
  reg padding;  // all entries are issued, the pixel is still shorter than LANES issues
  reg in_pixel;  // the first issue of the pixel has been made
  reg final_tap, outside;
  reg [`ENTRY_ADDRESS_BITS-1:0] address;
  reg [`COUNT_BITS-1:0] used_up;  // ~entries left: counting up takes less logic than counting down
  reg some, last_entry;  // entries left != 0, <= 1
  localparam [`COUNT_BITS-1:0] TWO_LEFT = {{(`COUNT_BITS - 2) {1'b1}}, 2'b01};
  reg [`WEIGHT_ADDRESS_BITS-1:0] weight;
  reg bank, bias_bank, from_partial;
  reg [4:0] issues;  // issues of this pixel so far, at most LANES - 1
  reg long_enough;  // issues == LANES - 1

  wire tap_done = loaded && last_entry;
  wire pixel_done = ((tap_done && final_tap) || padding) && long_enough;
  wire start_padding = tap_done && final_tap && !long_enough;
  // The next tap is taken as the current one ends, but not while its pixel is being padded.
  wire take = enable && (pixel_done || (tap_done && !final_tap) || (!loaded && !padding));

  // The first tap of a pixel that goes on with partial sums waits for them.
  wire starts = pixel_done || !(loaded || in_pixel);
  wire blocked = starts && tap_from_partial && !partial_here;
  assign partial_claim = take && starts && tap_valid && tap_from_partial && partial_here;
  assign tap_ready = take && !blocked;

  always @(posedge clk) begin
    if (enable) begin
      issue_entry <= loaded && some;
      issue_address <= address;
      issue_weight <= weight;
      issue_bank <= bank;
      issue_bias_bank <= bias_bank;
      issue_from_partial <= from_partial;
      issue_first <= loaded && !in_pixel;
      issue_last <= pixel_done;
      issue_outside <= outside;

      address <= address + 1'b1;
      used_up <= used_up + 1'b1;
      some <= !last_entry;
      last_entry <= last_entry || (used_up == TWO_LEFT);
      if (pixel_done) begin
        in_pixel <= 1'b0;
        issues <= 5'd0;
        long_enough <= 1'b0;
      end else if (loaded || in_pixel) begin
        in_pixel <= 1'b1;
        if (!long_enough) issues <= issues + 5'd1;
        if (issues == `LANES - 2) long_enough <= 1'b1;
      end
      padding <= (padding || start_padding) && !pixel_done;
      if (take) begin
        loaded <= tap_valid && !blocked;
        address <= tap_entry;
        used_up <= ~tap_count;
        some <= (tap_count != {`COUNT_BITS{1'b0}});
        last_entry <= (tap_count <= 1);
        weight <= tap_weight;
        final_tap <= tap_final;
        outside <= tap_outside;
        bank <= tap_bank;
        bias_bank <= tap_bias_bank;
        from_partial <= tap_from_partial;
      end else if (start_padding) begin
        loaded <= 1'b0;
      end
    end
    if (rst) begin
      loaded <= 1'b0;
      padding <= 1'b0;
      in_pixel <= 1'b0;
      issues <= 5'd0;
      long_enough <= 1'b0;
      issue_entry <= 1'b0;
      issue_first <= 1'b0;
      issue_last <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(one_tap, !(loaded && padding))
  `ASSERT(issues_fit, issues <= `LANES - 1 && long_enough == (issues == `LANES - 1))
  `ASSERT(ends_what_began, !(enable && pixel_done) || loaded || padding)
`endif

endmodule

`default_nettype wire
