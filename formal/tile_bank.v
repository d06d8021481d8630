// SPDX-License-Identifier: Apache-2.0
//
// tile_bank: what either port wrote last at an address, any one, is read there through either port one cycle after the
// enable, all bits of an entry, and holds; in both ways in which entries are sliced (more than 4096 entries, or fewer).
// Ten bits, three slices or two, stand for the 27 of an entry.
// Contract: the two ports never meet on an entry that one of them writes.
`default_nettype none

module tile_bank_formal (
    input wire        clk,
    input wire [ 1:0] write,
    input wire [25:0] write_address,
    input wire [19:0] write_data,
    input wire [ 1:0] enable,
    input wire [25:0] address,
    input wire [12:0] choice
);

  tile_bank_proof #(
      .DEPTH(8192),
      .ADDRESS_BITS(13),
      .SLICE(4)
  ) deep (
      .clk(clk),
      .write(write),
      .write_address(write_address),
      .write_data(write_data),
      .enable(enable),
      .address(address),
      .choice(choice)
  );

  tile_bank_proof #(
      .DEPTH(4096),
      .ADDRESS_BITS(12),
      .SLICE(9)
  ) shallow (
      .clk(clk),
      .write(write),
      .write_address({write_address[24:13], write_address[11:0]}),
      .write_data(write_data),
      .enable(enable),
      .address({address[24:13], address[11:0]}),
      .choice(choice[11:0])
  );

endmodule

module tile_bank_proof #(
    parameter DEPTH = 8192,
    parameter ADDRESS_BITS = 13,
    parameter SLICE = 4
) (
    input wire        clk,
    input wire [ 1:0] write,
    input wire [2*ADDRESS_BITS-1:0] write_address,
    input wire [19:0] write_data,
    input wire [ 1:0] enable,
    input wire [2*ADDRESS_BITS-1:0] address,
    input wire [ADDRESS_BITS-1:0] choice
);

  wire [19:0] entry;

  tile_bank #(
      .DEPTH(DEPTH),
      .ADDRESS_BITS(ADDRESS_BITS),
      .ENTRY_BITS(10)
  ) dut (
      .clk(clk),
      .write0(write[0]),
      .write_address0(write_address[ADDRESS_BITS-1:0]),
      .write_data0(write_data[9:0]),
      .enable0(enable[0]),
      .address0(address[ADDRESS_BITS-1:0]),
      .entry0(entry[9:0]),
      .write1(write[1]),
      .write_address1(write_address[2*ADDRESS_BITS-1:ADDRESS_BITS]),
      .write_data1(write_data[19:10]),
      .enable1(enable[1]),
      .address1(address[2*ADDRESS_BITS-1:ADDRESS_BITS]),
      .entry1(entry[19:10])
  );

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  reg [ADDRESS_BITS-1:0] follow;
  reg known;
  reg [9:0] word;
  wire [1:0] writes = {write[1] && write_address[2*ADDRESS_BITS-1:ADDRESS_BITS] == follow, write[0] && write_address[ADDRESS_BITS-1:0] == follow};
  wire [1:0] reads = ~write & enable & {address[2*ADDRESS_BITS-1:ADDRESS_BITS] == follow, address[ADDRESS_BITS-1:0] == follow};
  always @(posedge clk) begin
    if (!started) follow <= choice;
    if (writes[0]) word <= write_data[9:0];
    if (writes[1]) word <= write_data[19:10];
    known <= started && (known || (|writes));
  end

  reg [1:0] expecting;
  reg [19:0] expected;
  genvar p;
  generate
    for (p = 0; p < 2; p = p + 1) begin : g_port
      always @(posedge clk) begin
        if (enable[p] && !write[p]) expected[10*p+:10] <= word;
        if (!started) expecting[p] <= 1'b0;
        else if (enable[p] && !write[p]) expecting[p] <= reads[p] && known;
      end
    end
  endgenerate

  localparam SLICES = (10 + SLICE - 1) / SLICE;
  localparam [7:0] ZERO = "0";
  wire [SLICES-1:0] same;
  genvar s;
  generate
    for (s = 0; s < SLICES; s = s + 1) begin : g_slice
      localparam LOW = s * SLICE;
      localparam WIDTH = (10 - LOW < SLICE) ? 10 - LOW : SLICE;
      localparam [7:0] DIGIT = ZERO + s;
      wire [WIDTH-1:0] kept;
      memory_probe #(
          .MEMID({"\\dut.g_slice[", DIGIT, "].memory"}),
          .ABITS(ADDRESS_BITS),
          .WIDTH(WIDTH)
      ) probe (
          .CLK(1'b0),
          .EN(1'b1),
          .ADDR(follow),
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
      inside_place: assert (!known || (&same));
      through_both: cover (expecting == 2'b11 && expected[9:0] != word && expected[19:10] != word);
    end
  end

endmodule

`default_nettype wire
