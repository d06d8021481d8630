// SPDX-License-Identifier: Apache-2.0
//
// A read port into a memory of the design under proof: DATA is what memory MEMID (a backslash and its path from the
// module that holds the probe) has at ADDR, in no time. prove.py turns each into one of Yosys' own read ports.
`default_nettype none

(* blackbox *)
module memory_probe #(
    parameter MEMID = "",
    parameter ABITS = 1,
    parameter WIDTH = 1
) (
    input  wire             CLK,
    input  wire             EN,
    input  wire [ABITS-1:0] ADDR,
    output wire [WIDTH-1:0] DATA
);
endmodule

`default_nettype wire
