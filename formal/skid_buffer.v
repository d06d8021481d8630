// SPDX-License-Identifier: Apache-2.0
//
// skid_buffer: order, nothing lost or repeated, at most two words, latency 1, one word a cycle.
`default_nettype none

module skid_buffer_formal (
    input wire       clk,
    input wire       rst,
    input wire       in_valid,
    input wire [2:0] in_data,
    input wire       out_ready,
    input wire       choose
);

  wire in_ready, out_valid;
  wire [2:0] out_data;

  skid_buffer #(
      .WIDTH(3)
  ) dut (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_data(in_data),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

  wire [1:0] held, before;
  wire chosen;
  wire [2:0] word;
  queue_specification #(
      .WIDTH(3),
      .COUNT_BITS(2)
  ) specification (
      .clk(clk),
      .rst(rst),
      .choose(choose),
      .push(in_valid && in_ready),
      .push_word(in_data),
      .pop(out_valid && out_ready),
      .held(held),
      .chosen(chosen),
      .before(before),
      .word(word)
  );

  (* hierconn *) wire [2:0] \dut.spare ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    else begin
      valid_when_held: assert (held <= 2 && out_valid == (held != 0));
      ready_when_room: assert (in_ready == (held != 2));
      inside_place: assert (!chosen || before < held);
      order: assert (!(chosen && before == 0) || out_data == word);
      inside_spare: assert (!(chosen && before == 1) || \dut.spare == word);
      full: cover (held == 2 && chosen && before == 1);
      through: cover (held == 1 && in_valid && out_ready && chosen);
    end
  end

endmodule

`default_nettype wire
