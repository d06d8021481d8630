// SPDX-License-Identifier: Apache-2.0
// Fetches descriptors of 128 bytes, one after the other, through a read client.
//
// `start` (pulse) sets the address of the first one. `fetch` (pulse, at most one descriptor ahead of the one held)
// requests the next one: 16 words. Words are taken as long as the register is not full; then `full` goes up and
// `descriptor` (word i of 32 bits at bits [32i+31:32i]) is stable until `release_descriptor` (pulse). So a
// descriptor fetched ahead waits in the response FIFO of the read port. `checksum` is the exclusive-or of all 32
// words, valid with `full`.
`default_nettype none
module descriptor_fetch (
    input  wire          clk,
    input  wire          rst,
    input  wire          start,
    input  wire [  31:0] program_address,
    input  wire          fetch,
    input  wire          release_descriptor,
    output wire          full,
    output reg  [1023:0] descriptor,
    output reg  [  31:0] checksum,
    // read client
    output reg           request_valid,
    input  wire          request_ready,
    output wire [  31:0] request_address,
    output wire [  15:0] request_words,
    input  wire          response_valid,
    output wire          response_ready,
    input  wire [  63:0] response_data
);
  reg [31:0] address;
  reg [ 4:0] words;

  assign full = words[4];
  assign response_ready = !full;
  assign request_address = address;
  assign request_words = 16'd16;

  wire take = response_valid && response_ready;

  always @(posedge clk) begin
    if (take) begin
      descriptor <= {response_data, descriptor[1023:64]};
      checksum   <= ((words == 5'd0) ? 32'd0 : checksum) ^ response_data[63:32] ^ response_data[31:0];
    end
    if (start) address <= program_address;
    else if (request_valid && request_ready) address <= address + 32'd128;
    if (fetch) request_valid <= 1'b1;
    else if (request_ready) request_valid <= 1'b0;
    if (release_descriptor) words <= 5'd0;
    else if (take) words <= words + 5'd1;
    if (rst) begin
      request_valid <= 1'b0;
      words <= 5'd0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(words_fit, words <= 5'd16)
  `ASSERT(one_request, !fetch || !request_valid || request_ready)
  `ASSERT(released_when_full, !release_descriptor || start || full)
`endif
endmodule
`default_nettype wire
