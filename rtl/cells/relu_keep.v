// SPDX-License-Identifier: Apache-2.0
//
// relu_keep: which of the four values of a word a backward pass lets through a ReLU.
//
// Combinational. With `enable` a value g of a channel whose forward mask bit is m is kept
//   method 0, saliency : when m
//   method 1, deconvnet: when g is not negative   (the mask is ignored)
//   method 2, guided   : when both                (3 behaves as 2)
// and without `enable` always. A value that is not kept counts as zero; zeros may be kept or not.
//
// Format: bit k of each port belongs to value k of the word; `negative` is the value's sign bit.

`default_nettype none

module relu_keep (
    input  wire [3:0] negative,
    input  wire [3:0] mask,
    input  wire [1:0] method,
    input  wire       enable,
    output wire [3:0] keep
);

  `include "gradcore_constants.vh"

  // What the method asks for: the forward mask, and that the value is not negative.
  wire needs_mask = enable && method != METHOD_DECONVNET;
  wire needs_positive = enable && method != METHOD_SALIENCY;

  assign keep = (mask | {4{!needs_mask}}) & (~negative | {4{!needs_positive}});

endmodule

`default_nettype wire
