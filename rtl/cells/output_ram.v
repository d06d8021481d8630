// SPDX-License-Identifier: Apache-2.0
// Simple dual-port block RAM: one write port, one read port, one clock.
//
// Read latency 1: `read_data` follows a cycle with `read_enable` and then stays until the next one. A word written
// in cycle t can be read from cycle t + 1 on; reading an address in the very cycle in which it is written gives an
// undefined word.
`default_nettype none
module output_ram #(
    parameter WIDTH        = 64,
    parameter ADDRESS_BITS = 10
) (
    input  wire                    clk,
    input  wire                    write_enable,
    input  wire [ADDRESS_BITS-1:0] write_address,
    input  wire [       WIDTH-1:0] write_data,
    input  wire                    read_enable,
    input  wire [ADDRESS_BITS-1:0] read_address,
    output reg  [       WIDTH-1:0] read_data
);
  (* ram_style = "block", no_rw_check *)
  reg [WIDTH-1:0] memory[0:(1<<ADDRESS_BITS)-1];

  always @(posedge clk) begin
    if (write_enable) memory[write_address] <= write_data;
  end

  always @(posedge clk) begin
    if (read_enable) read_data <= memory[read_address];
  end
endmodule
`default_nettype wire
