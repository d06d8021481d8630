// SPDX-License-Identifier: Apache-2.0
//
// block_ram: what RAMB18E1 and RAMB36E1 do, for simulation of netlists: Yosys ships these cells without a memory.
//
// Contract: two ports on one clock. A byte has 9 bits, with its parity on top; a word of port p has READ_BYTES or
//   WRITE_BYTES bytes (0: the port does not read or write; equal where it does both). `address` counts bits of data, and
//   those of them inside a word are ignored. An enabled port writes the bytes whose `write` is set, and reads: the word
//   stands one cycle later and holds; `reset` makes that RESET_VALUE instead. A port that reads and writes at once reads
//   the new word (mode 0), the old word (1), or keeps what it read before (2).
//   A byte that one port reads while the other writes it is the old byte if the writing port has mode 1, and else
//   unknown, as in the device; a byte that both write is unknown, and so is what an unknown enable or write leaves.
`default_nettype none

module block_ram #(
    parameter ADDRESS_BITS = 15,
    parameter BYTES = 8,  // of the widest word
    parameter READ_BYTES0 = 1,
    parameter READ_BYTES1 = 1,
    parameter WRITE_BYTES0 = 1,
    parameter WRITE_BYTES1 = 1,
    parameter MODE0 = 0,
    parameter MODE1 = 0,
    parameter [9*BYTES-1:0] INITIAL0 = 0,
    parameter [9*BYTES-1:0] INITIAL1 = 0,
    parameter [9*BYTES-1:0] RESET_VALUE0 = 0,
    parameter [9*BYTES-1:0] RESET_VALUE1 = 0,
    parameter [(1<<ADDRESS_BITS)-1:0] CONTENT = 0,
    parameter [(1<<(ADDRESS_BITS-3))-1:0] PARITY = 0
) (
    input  wire                      clk,
    input  wire [               1:0] enable,
    input  wire [               1:0] reset,
    input  wire [       2*BYTES-1:0] write,
    input  wire [2*ADDRESS_BITS-1:0] address,
    input  wire [    2*9*BYTES-1:0] write_data,
    output wire [    2*9*BYTES-1:0] read_data
);

  localparam WHERE = ADDRESS_BITS - 3;

  reg [8:0] memory[0:(1<<WHERE)-1];

  // In steps, from variables: Icarus builds a constant anew, and copies a whole vector, for each selection.
  reg [(1<<ADDRESS_BITS)-1:0] content;
  reg [(1<<WHERE)-1:0] parity;
  reg [255:0] bytes;
  reg [31:0] parities;
  integer row;
  integer place;
  initial begin
    content = CONTENT;
    parity = PARITY;
    for (row = 0; row < 1 << (WHERE - 5); row = row + 1) begin
      bytes = content[256*row+:256];
      parities = parity[32*row+:32];
      for (place = 0; place < 32; place = place + 1) memory[32*row+place] = {parities[place], bytes[8*place+:8]};
    end
  end

  genvar p;
  generate
    for (p = 0; p < 2; p = p + 1) begin : g_port
      localparam READ_BYTES = p ? READ_BYTES1 : READ_BYTES0;
      localparam WRITE_BYTES = p ? WRITE_BYTES1 : WRITE_BYTES0;
      localparam OTHER_BYTES = p ? WRITE_BYTES0 : WRITE_BYTES1;
      localparam MODE = p ? MODE1 : MODE0;
      localparam OTHER_MODE = p ? MODE0 : MODE1;
      localparam [9*BYTES-1:0] INITIAL = p ? INITIAL1 : INITIAL0;
      localparam [9*BYTES-1:0] RESET_VALUE = p ? RESET_VALUE1 : RESET_VALUE0;

      wire [WHERE-1:0] first = address[ADDRESS_BITS*p+3+:WHERE];
      wire [WHERE-1:0] other_first = address[ADDRESS_BITS*(1-p)+3+:WHERE];
      wire [BYTES-1:0] own_write = write[BYTES*p+:BYTES] & {BYTES{enable[p]}};
      wire [BYTES-1:0] other_write = write[BYTES*(1-p)+:BYTES] & {BYTES{enable[1-p]}};
      wire [9*BYTES-1:0] data = write_data[9*BYTES*p+:9*BYTES];

      reg [9*BYTES-1:0] word;
      reg [WHERE-1:0] at;
      reg hit;
      integer i;

      assign read_data[9*BYTES*p+:9*BYTES] = word;
      initial word = INITIAL;

      // Whether the other port writes the byte `at`, for certain or perhaps.
      always @(posedge clk) begin
        for (i = 0; i < WRITE_BYTES; i = i + 1) begin
          at = (first & ~(WRITE_BYTES - 1)) | i;
          hit = 1'b0;
          if (OTHER_BYTES != 0 && (at & ~(OTHER_BYTES - 1)) == (other_first & ~(OTHER_BYTES - 1)))
            hit = other_write[at&(OTHER_BYTES-1)] !== 1'b0;
          if (own_write[i] === 1'b1) memory[at] <= hit ? 9'bx : data[9*i+:9];
          else if (own_write[i] !== 1'b0) memory[at] <= 9'bx;
        end

        if (enable[p] === 1'b1) begin
          if (reset[p]) begin
            word <= RESET_VALUE;
          end else begin
            for (i = 0; i < READ_BYTES; i = i + 1) begin
              at = (first & ~(READ_BYTES - 1)) | i;
              hit = 1'b0;
              if (OTHER_BYTES != 0 && (at & ~(OTHER_BYTES - 1)) == (other_first & ~(OTHER_BYTES - 1)))
                hit = other_write[at&(OTHER_BYTES-1)] !== 1'b0 && OTHER_MODE != 1;
              if (MODE == 2 && WRITE_BYTES != 0 && own_write != 0) word[9*i+:9] <= word[9*i+:9];
              else if (hit) word[9*i+:9] <= 9'bx;
              else if (MODE == 0 && WRITE_BYTES != 0 && own_write[i]) word[9*i+:9] <= data[9*i+:9];
              else word[9*i+:9] <= memory[at];
            end
          end
        end else if (enable[p] !== 1'b0) begin
          word <= {9 * BYTES{1'bx}};
        end
      end
    end
  endgenerate

endmodule

`default_nettype wire
