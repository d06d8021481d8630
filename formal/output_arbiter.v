// SPDX-License-Identifier: Apache-2.0
//
// output_arbiter: the grant is one-hot, `index` is its number, and the next one is that of a loop over the sources behind
// it; a source that requests without a pause is granted within SOURCES transfers. For 2, 4 and 8 sources.
`default_nettype none

module output_arbiter_formal (
    input wire       clk,
    input wire       rst,
    input wire [7:0] request,
    input wire [2:0] choice
);

  genvar w;
  generate
    for (w = 1; w <= 3; w = w + 1) begin : g_bits
      output_arbiter_proof #(.BITS(w)) proof (
          .clk(clk),
          .rst(rst),
          .request(request[(1<<w)-1:0]),
          .choice(choice[w-1:0])
      );
    end
  endgenerate

endmodule

module output_arbiter_proof #(
    parameter BITS = 3,
    parameter SOURCES = 1 << BITS
) (
    input wire               clk,
    input wire               rst,
    input wire [SOURCES-1:0] request,
    input wire [   BITS-1:0] choice
);

  wire [SOURCES-1:0] grant;
  wire [BITS-1:0] index;

  output_arbiter #(
      .SOURCES(SOURCES),
      .INDEX_BITS(BITS)
  ) dut (
      .clk(clk),
      .rst(rst),
      .request(request),
      .grant(grant),
      .index(index)
  );

  // The specification: from the source behind `last` on, which itself comes last.
  reg [BITS-1:0] last, turn, winner;
  reg found;
  integer i;
  always @* begin
    found = 1'b0;
    winner = last;
    turn = last;
    for (i = 0; i < SOURCES; i = i + 1) begin
      turn = turn + 1'b1;
      if (!found && request[turn]) begin
        found = 1'b1;
        winner = turn;
      end
    end
  end
  always @(posedge clk) last <= rst ? {BITS{1'b0}} : winner;

  // Fairness: transfers of others while source `follow` requested.
  reg [BITS-1:0] follow;
  reg [BITS:0] passed;
  wire waits = request[follow];
  wire others = |(request & grant) && !grant[follow];
  always @(posedge clk) begin
    if (!started) follow <= choice;
    if (!waits || grant[follow] || rst || !started) passed <= {(BITS + 1) {1'b0}};
    else if (others) passed <= passed + 1'b1;
  end
  // Sources between the granted one and this one; a grant that the source gave up before it came counts for nothing.
  wire [BITS-1:0] between = follow - last - 1'b1;

  (* hierconn *) wire [SOURCES-1:0] \dut.above ;
  wire [SOURCES-1:0] ones = {SOURCES{1'b1}};

  reg started = 1'b0;
  reg [SOURCES-1:0] pending;  // requested and not granted in the cycle before
  always @(posedge clk) begin
    started <= 1'b1;
    pending <= request & ~grant & {SOURCES{!rst}};
  end

  always @* begin
    if (!started) assume (rst);
    else begin
      assume ((pending & ~request) == 0);  // contract: a request stays until it was granted
      index_is_last: assert (index == last);
      grant_is_one_hot: assert (grant == ({{(SOURCES - 1) {1'b0}}, 1'b1} << last));
      inside_memory: assert (\dut.above == ((ones << last) << 1));
      bounded_wait: assert (grant[follow] || passed + between <= SOURCES - 1);
      waits_longest: cover (waits && passed == SOURCES - 2 && grant[follow]);
      alone: cover (request == grant && found);
    end
  end

endmodule

`default_nettype wire
