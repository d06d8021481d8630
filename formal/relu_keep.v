// SPDX-License-Identifier: Apache-2.0
//
// relu_keep: the three rules, for all inputs: a table of method and mask, written for one value.
`default_nettype none

module relu_keep_formal (
    input wire [3:0] negative,
    input wire [3:0] mask,
    input wire [1:0] method,
    input wire       enable
);

  wire [3:0] keep;

  relu_keep dut (
      .negative(negative),
      .mask(mask),
      .method(method),
      .enable(enable),
      .keep(keep)
  );

  reg [3:0] expected;
  integer k;
  always @* begin
    for (k = 0; k < 4; k = k + 1)
      if (!enable) expected[k] = 1'b1;
      else
        case (method)
          2'd0: expected[k] = mask[k];
          2'd1: expected[k] = !negative[k];
          default: expected[k] = mask[k] ? !negative[k] : 1'b0;
        endcase
    rule: assert (keep == expected);
    dropped: cover (enable && method == 2'd2 && mask == 4'b1010 && keep == 4'b1000);
    kept: cover (enable && method == 2'd1 && mask == 4'b0000 && keep == 4'b0110);
  end

endmodule

`default_nettype wire
