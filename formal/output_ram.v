// SPDX-License-Identifier: Apache-2.0
//
// output_ram: what was written last at an address, any one, is read there from the next cycle on, one cycle after the
// enable, and the data hold without one. At the core's size; bits do not depend on each other: 2 stand for any width.
`default_nettype none

module output_ram_formal (
    input wire       clk,
    input wire       write_enable,
    input wire [9:0] write_address,
    input wire [1:0] write_data,
    input wire       read_enable,
    input wire [9:0] read_address,
    input wire [9:0] choice
);

  wire [1:0] read_data;

  output_ram #(
      .WIDTH(2),
      .ADDRESS_BITS(10)
  ) dut (
      .clk(clk),
      .write_enable(write_enable),
      .write_address(write_address),
      .write_data(write_data),
      .read_enable(read_enable),
      .read_address(read_address),
      .read_data(read_data)
  );

  reg [9:0] follow;
  reg known, expecting;
  reg [1:0] word, expected;
  wire writes = started && write_enable && write_address == follow;
  wire reads = read_enable && read_address == follow;
  always @(posedge clk) begin
    if (!started) follow <= choice;
    if (writes) {known, word} <= {1'b1, write_data};
    if (read_enable) {expecting, expected} <= {started && reads && known && !writes, word};
    if (!started) {known, expecting} <= 2'b00;
  end

  wire [1:0] kept;
  memory_probe #(
      .MEMID("\\dut.memory"),
      .ABITS(10),
      .WIDTH(2)
  ) probe (
      .CLK(1'b0),
      .EN(1'b1),
      .ADDR(follow),
      .DATA(kept)
  );

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (started) begin
      inside_place: assert (!known || kept == word);
      read_back: assert (!expecting || read_data == expected);
      reads_it: cover (expecting && !read_enable && known && expected != word);
    end
  end

endmodule

`default_nettype wire
