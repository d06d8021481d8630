// SPDX-License-Identifier: Apache-2.0
// One parity side of the output buffer: arbiter, register stage, word RAM and tag RAM.
//
// Takes one transfer a cycle from the sources that request (a fair arbiter, see output_arbiter.v). A transfer of
// cycle t is in the register stage in t + 1 and can be read with a read enable in cycle t + 2 or later. Words: 2
// banks x 512 x 64 bits; tag pieces: 2 banks x 512 x 16 bits, from bits 15:0 of the data; address = {bank, 9 bits}.
`default_nettype none
module output_side #(
    parameter SOURCES    = 8,
    parameter INDEX_BITS = 3
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [   SOURCES-1:0] request,
    output wire [   SOURCES-1:0] grant,
    input  wire [   SOURCES-1:0] source_kind,        // 0 word, 1 tag piece
    input  wire [   SOURCES-1:0] source_bank,
    input  wire [ 9*SOURCES-1:0] source_address,
    input  wire [64*SOURCES-1:0] source_data,
    input  wire                  word_read_enable,
    input  wire [           9:0] word_read_address,
    output wire [          63:0] word_read_data,
    input  wire                  tag_read_enable,
    input  wire [           9:0] tag_read_address,
    output wire [          15:0] tag_read_data
);
  localparam PACKET = 75;  // kind, bank, address, data
  localparam PADDED = 1 << INDEX_BITS;

  wire [INDEX_BITS-1:0] index;

  output_arbiter #(
      .SOURCES   (SOURCES),
      .INDEX_BITS(INDEX_BITS)
  ) arbiter (
      .clk(clk),
      .rst(rst),
      .request(request),
      .grant(grant),
      .index(index)
  );

  wire [PACKET*PADDED-1:0] packets;
  wire [PACKET-1:0] selected = packets[PACKET*index+:PACKET];
  genvar s;
  generate
    for (s = 0; s < PADDED; s = s + 1) begin : g_packet
      if (s < SOURCES) begin : g_used
        assign packets[PACKET*s+:PACKET] = {source_kind[s], source_bank[s], source_address[9*s+:9], source_data[64*s+:64]};
      end else begin : g_unused
        assign packets[PACKET*s+:PACKET] = {PACKET{1'b0}};
      end
    end
  endgenerate

  wire transfer = |(request & grant);

  reg         write_word;
  reg         write_tag;
  reg  [ 9:0] write_address;
  reg  [63:0] write_data;

  always @(posedge clk) begin
    write_word <= transfer && !selected[PACKET-1];
    write_tag <= transfer && selected[PACKET-1];
    write_address <= selected[PACKET-2:64];
    write_data <= selected[63:0];
    if (rst) begin
      write_word <= 1'b0;
      write_tag <= 1'b0;
    end
  end

  output_ram #(
      .WIDTH       (64),
      .ADDRESS_BITS(10)
  ) words (
      .clk(clk),
      .write_enable(write_word),
      .write_address(write_address),
      .write_data(write_data),
      .read_enable(word_read_enable),
      .read_address(word_read_address),
      .read_data(word_read_data)
  );

  output_ram #(
      .WIDTH       (16),
      .ADDRESS_BITS(10)
  ) tags (
      .clk(clk),
      .write_enable(write_tag),
      .write_address(write_address),
      .write_data(write_data[15:0]),
      .read_enable(tag_read_enable),
      .read_address(tag_read_address),
      .read_data(tag_read_data)
  );

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(one_grant, (grant & (grant - 1'b1)) == 0 && grant != 0)
  `ASSERT(word_not_read_while_written, !(write_word && word_read_enable && write_address == word_read_address))
  `ASSERT(tag_not_read_while_written, !(write_tag && tag_read_enable && write_address == tag_read_address))
`endif
endmodule
`default_nettype wire
