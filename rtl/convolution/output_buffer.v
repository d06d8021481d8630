// SPDX-License-Identifier: Apache-2.0
// Output buffer: collects the words and tag pieces of all streams of a tile for the tile store; two banks.
//
// Two sides: side p holds the output units of rows with row % 2 == p, because tile store half p writes them through
// port p. Sources (two streams a group, up to 8) are valid/ready streams: kind 0 = word of four values, 1 = tag
// piece in data[15:0]; `parity` picks the side, {bank, address} the place. Each side takes one transfer a cycle,
// sources in fair rotation, with a registered grant: a source waits one cycle when the side was idle. A transfer of
// cycle t can be read with an enable in cycle t + 2 or later, so `computed` of a tile may be reported to the store
// in the cycle after its last transfer. Reads: latency 1, one word and one piece a cycle and side. Contract: a
// source's fields are stable while it is valid and not ready. Nobody writes the bank that is being read.
`default_nettype none
`include "gradcore_sizes.vh"
module output_buffer #(
    parameter GROUPS = `GROUPS
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [  2*GROUPS-1:0] source_valid,
    output wire [  2*GROUPS-1:0] source_ready,
    input  wire [  2*GROUPS-1:0] source_kind,
    input  wire [  2*GROUPS-1:0] source_bank,
    input  wire [  2*GROUPS-1:0] source_parity,
    input  wire [ 18*GROUPS-1:0] source_address,     // 9 bits a source
    input  wire [128*GROUPS-1:0] source_data,        // 64 bits a source
    input  wire [           1:0] word_read_enable,   // one bit a side
    input  wire [          19:0] word_read_address,  // {bank, 9 bits} a side
    output wire [         127:0] word_read_data,
    input  wire [           1:0] tag_read_enable,
    input  wire [          19:0] tag_read_address,
    output wire [          31:0] tag_read_data
);
  localparam SOURCES = 2 * GROUPS;
  localparam INDEX_BITS = (SOURCES <= 2) ? 1 : (SOURCES <= 4) ? 2 : 3;

  initial begin
    if (GROUPS < 1 || GROUPS > 4) begin
      $display("%m: GROUPS must be 1 to 4, not %0d", GROUPS);
      $finish;
    end
  end

  wire [SOURCES-1:0] request[0:1];
  wire [SOURCES-1:0] grant[0:1];

  assign request[0] = source_valid & ~source_parity;
  assign request[1] = source_valid & source_parity;
  assign source_ready = (grant[0] & ~source_parity) | (grant[1] & source_parity);

  genvar p;
  generate
    for (p = 0; p < 2; p = p + 1) begin : g_side
      output_side #(
          .SOURCES   (SOURCES),
          .INDEX_BITS(INDEX_BITS)
      ) side (
          .clk(clk),
          .rst(rst),
          .request(request[p]),
          .grant(grant[p]),
          .source_kind(source_kind),
          .source_bank(source_bank),
          .source_address(source_address),
          .source_data(source_data),
          .word_read_enable(word_read_enable[p]),
          .word_read_address(word_read_address[10*p+:10]),
          .word_read_data(word_read_data[64*p+:64]),
          .tag_read_enable(tag_read_enable[p]),
          .tag_read_address(tag_read_address[10*p+:10]),
          .tag_read_data(tag_read_data[16*p+:16])
      );
    end
  endgenerate

`ifdef SIMULATION
  genvar s;
  generate
    for (s = 0; s < SOURCES; s = s + 1) begin : g_check
      stream_checker #(
          .WIDTH(76)
      ) transfers (
          .clk  (clk),
          .rst  (rst),
          .valid(source_valid[s]),
          .ready(source_ready[s]),
          .data ({source_kind[s], source_bank[s], source_parity[s], source_address[9*s+:9], source_data[64*s+:64]})
      );
    end
  endgenerate
`endif
endmodule
`default_nettype wire
