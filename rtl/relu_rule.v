// SPDX-License-Identifier: Apache-2.0
//
// relu_rule: the four values of a word after a ReLU's backward rule.
//
// Combinational. With `enable` a value g of a channel whose forward mask bit is m becomes
//   method 0, saliency : g * m
//   method 1, deconvnet: max(g, 0)        (the mask is ignored)
//   method 2, guided   : max(g, 0) * m    (3 behaves as 2)
// and without `enable` the values pass unchanged. relu_keep.v decides; what it does not keep becomes zero.
//
// Format: values and result hold four signed 16-bit values, value k in bits [16k+15:16k]; mask bit k belongs to value
// k.

`default_nettype none

module relu_rule (
  input  wire [63:0] values,
  input  wire [3:0]  mask,
  input  wire [1:0]  method,
  input  wire        enable,
  output wire [63:0] result
);

  wire [3:0] keep;

  relu_keep u_keep (
    .negative({values[63], values[47], values[31], values[15]}),
    .mask(mask),
    .method(method),
    .enable(enable),
    .keep(keep)
  );

  assign result = values & {{16{keep[3]}}, {16{keep[2]}}, {16{keep[1]}}, {16{keep[0]}}};

endmodule

`default_nettype wire
