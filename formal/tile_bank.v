// SPDX-License-Identifier: Apache-2.0
//
// tile_bank: what either port wrote last at an address, any one, alone or with a neighbour, is read there through either
// port one cycle after the enable, all bits of an entry, and holds.
// Ten bits, two slices, stand for the 27 of an entry.
// Contract: the two ports never meet on an entry that one of them writes.
`default_nettype none

module tile_bank_formal (
    input wire        clk,
    input wire [ 3:0] write,
    input wire [47:0] write_row,
    input wire [39:0] write_data,
    input wire [ 1:0] enable,
    input wire [25:0] address,
    input wire [12:0] choice
);

  tile_bank_proof #(
      .DEPTH(8192),
      .ADDRESS_BITS(13)
  ) bank (
      .clk(clk),
      .write(write),
      .write_row(write_row),
      .write_data(write_data),
      .enable(enable),
      .address(address),
      .choice(choice)
  );

endmodule

module tile_bank_proof #(
    parameter DEPTH = 8192,
    parameter ADDRESS_BITS = 13
) (
    input wire        clk,
    input wire [ 3:0] write,  // {odd, even} of port 1, of port 0
    input wire [4*ADDRESS_BITS-5:0] write_row,
    input wire [39:0] write_data,
    input wire [ 1:0] enable,
    input wire [2*ADDRESS_BITS-1:0] address,
    input wire [ADDRESS_BITS-1:0] choice
);

  localparam ROW_BITS = ADDRESS_BITS - 1;
  wire [19:0] entry;

  tile_bank #(
      .DEPTH(DEPTH),
      .ADDRESS_BITS(ADDRESS_BITS),
      .ENTRY_BITS(10)
  ) dut (
      .clk(clk),
      .write0(write[1:0]),
      .write_row0(write_row[2*ROW_BITS-1:0]),
      .write_data0(write_data[19:0]),
      .enable0(enable[0]),
      .address0(address[ADDRESS_BITS-1:0]),
      .entry0(entry[9:0]),
      .write1(write[3:2]),
      .write_row1(write_row[4*ROW_BITS-1:2*ROW_BITS]),
      .write_data1(write_data[39:20]),
      .enable1(enable[1]),
      .address1(address[2*ADDRESS_BITS-1:ADDRESS_BITS]),
      .entry1(entry[19:10])
  );

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  reg [ADDRESS_BITS-1:0] follow;
  reg known;
  reg [9:0] word;
  wire [3:0] hits;  // the followed entry is written
  wire [1:0] writes = {|hits[3:2], |hits[1:0]};
  wire [1:0] quiet = {write[3:2] == 2'b00, write[1:0] == 2'b00};
  wire [1:0] reads = quiet & enable & {address[2*ADDRESS_BITS-1:ADDRESS_BITS] == follow, address[ADDRESS_BITS-1:0] == follow};
  genvar part;
  generate
    for (part = 0; part < 4; part = part + 1) begin : g_part
      assign hits[part] = write[part] && {write_row[part*ROW_BITS+:ROW_BITS], 1'b0} + part % 2 == follow;
    end
  endgenerate
  always @(posedge clk) begin
    if (!started) follow <= choice;
    if (hits[0]) word <= write_data[9:0];
    if (hits[1]) word <= write_data[19:10];
    if (hits[2]) word <= write_data[29:20];
    if (hits[3]) word <= write_data[39:30];
    known <= started && (known || (|writes));
  end

  reg [1:0] expecting;
  reg [19:0] expected;
  genvar p;
  generate
    for (p = 0; p < 2; p = p + 1) begin : g_port
      always @(posedge clk) begin
        if (enable[p] && quiet[p]) expected[10*p+:10] <= word;
        if (!started) expecting[p] <= 1'b0;
        else if (enable[p] || !quiet[p]) expecting[p] <= reads[p] && known;
      end
    end
  endgenerate

  localparam [7:0] ZERO = "0";
  wire [3:0] same;  // slices of the even and of the odd RAM
  genvar s;
  generate
    for (s = 0; s < 4; s = s + 1) begin : g_slice
      localparam LOW = s % 2 * 9;
      localparam WIDTH = s % 2 ? 1 : 9;
      localparam [7:0] PARITY = ZERO + s / 2;
      localparam [7:0] DIGIT = ZERO + s % 2;
      wire [WIDTH-1:0] kept;
      memory_probe #(
          .MEMID({"\\dut.g_parity[", PARITY, "].g_slice[", DIGIT, "].memory"}),
          .ABITS(ROW_BITS),
          .WIDTH(WIDTH)
      ) probe (
          .CLK(1'b0),
          .EN(1'b1),
          .ADDR(follow[ADDRESS_BITS-1:1]),
          .DATA(kept)
      );
      assign same[s] = kept == word[LOW+:WIDTH];
    end
  endgenerate

  always @* begin
    assume (writes != 2'b11 && !(writes[0] && reads[1]) && !(writes[1] && reads[0]));
    if (started) begin
      read_back0: assert (!expecting[0] || entry[9:0] == expected[9:0]);
      read_back1: assert (!expecting[1] || entry[19:10] == expected[19:10]);
      inside_choice: assert (follow < DEPTH);
      inside_place: assert (!known || (follow[0] ? (&same[3:2]) : (&same[1:0])));
      through_both: cover (expecting == 2'b11 && expected[9:0] != expected[19:10]);
      from_even: cover (known && write[1:0] == 2'b11 && hits[0] && write_row[ROW_BITS+:ROW_BITS] == write_row[ROW_BITS-1:0]);
      from_odd: cover (known && write[3:2] == 2'b11 && hits[3] && write_row[3*ROW_BITS+:ROW_BITS] + 1 == write_row[2*ROW_BITS+:ROW_BITS]);
    end
  end

endmodule

`default_nettype wire
