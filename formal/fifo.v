// SPDX-License-Identifier: Apache-2.0
//
// fifo: order, nothing lost or repeated, level, latency 1, one word a cycle in and out, reset at any moment; for every
// depth of the core. Words do not depend on each other's bits, so three bits stand for any width.
`default_nettype none

module fifo_formal (
    input wire       clk,
    input wire       rst,
    input wire       in_valid,
    input wire [2:0] in_data,
    input wire       out_ready,
    input wire       choose
);

  genvar d;
  generate
    for (d = 1; d <= 6; d = d + 1) begin : g_depth
      fifo_proof #(.DEPTH(1 << d)) proof (
          .clk(clk),
          .rst(rst),
          .in_valid(in_valid),
          .in_data(in_data),
          .out_ready(out_ready),
          .choose(choose)
      );
    end
  endgenerate

endmodule

module fifo_proof #(
    parameter DEPTH = 4
) (
    input wire       clk,
    input wire       rst,
    input wire       in_valid,
    input wire [2:0] in_data,
    input wire       out_ready,
    input wire       choose
);

  localparam BITS = $clog2(DEPTH);

  wire in_ready, out_valid;
  wire [2:0] out_data;
  wire [BITS:0] level;

  fifo #(
      .WIDTH(3),
      .DEPTH(DEPTH)
  ) dut (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_data(in_data),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data),
      .level(level)
  );

  wire [BITS:0] held, before;
  wire chosen;
  wire [2:0] word;
  queue_specification #(
      .WIDTH(3),
      .COUNT_BITS(BITS + 1)
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

  // Induction: where the followed word lies.
  (* hierconn *) wire [BITS-1:0] \dut.read_address ;
  (* hierconn *) wire [BITS-1:0] \dut.write_address ;
  wire [2:0] kept;
  memory_probe #(
      .MEMID("\\dut.memory"),
      .ABITS(BITS),
      .WIDTH(3)
  ) probe (
      .CLK(1'b0),
      .EN(1'b1),
      .ADDR(\dut.read_address + before[BITS-1:0]),
      .DATA(kept)
  );

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    else begin
      level_counts: assert (level == held && held <= DEPTH);
      valid_when_held: assert (out_valid == (held != 0));
      ready_when_room: assert (in_ready == (held != DEPTH));
      inside_addresses: assert (\dut.write_address - \dut.read_address == held[BITS-1:0]);
      inside_place: assert (!chosen || (before < held && kept == word));
      order: assert (!(chosen && before == 0) || out_data == word);
    end
  end

  generate
    if (DEPTH <= 4) begin : g_cover
      reg was_full;
      always @(posedge clk) was_full <= !rst && (was_full || held == DEPTH);
      always @* begin
        full: cover (started && held == DEPTH);
        emptied: cover (started && was_full && held == 0 && !rst);
        through: cover (started && held == 1 && in_valid && out_ready && chosen);
      end
    end
  endgenerate

endmodule

`default_nettype wire
