// SPDX-License-Identifier: Apache-2.0
//
// round_robin: the grant is that of a loop over the requesters behind the last one granted, for 2 to 6 of them; and
// any requester that stays is served within WIDTH advances.
`default_nettype none

module round_robin_formal (
    input wire       clk,
    input wire       rst,
    input wire [5:0] request,
    input wire       advance,
    input wire [2:0] choice
);

  genvar w;
  generate
    for (w = 2; w <= 6; w = w + 1) begin : g_width
      round_robin_proof #(.WIDTH(w)) proof (
          .clk(clk),
          .rst(rst),
          .request(request[w-1:0]),
          .advance(advance),
          .choice(choice)
      );
    end
  endgenerate

endmodule

module round_robin_proof #(
    parameter WIDTH = 4
) (
    input wire             clk,
    input wire             rst,
    input wire [WIDTH-1:0] request,
    input wire             advance,
    input wire [      2:0] choice
);

  wire [WIDTH-1:0] grant;

  round_robin #(
      .WIDTH(WIDTH)
  ) dut (
      .clk(clk),
      .rst(rst),
      .request(request),
      .advance(advance),
      .grant(grant)
  );

  // The specification: requesters in turn, from the one behind the last.
  reg [3:0] last;
  reg [3:0] turn, winner;
  reg found;
  reg [WIDTH-1:0] expected;
  integer i;
  always @* begin
    found = 1'b0;
    winner = last;
    turn = last;
    expected = {WIDTH{1'b0}};
    for (i = 0; i < WIDTH; i = i + 1) begin
      turn = (turn == WIDTH - 1) ? 4'd0 : turn + 4'd1;
      if (!found && request[turn]) begin
        found = 1'b1;
        winner = turn;
        expected[turn] = 1'b1;
      end
    end
  end
  always @(posedge clk) begin
    if (found && advance) last <= winner;
    if (rst) last <= WIDTH - 1;
  end

  // Fairness: how often others were served while requester `follow` waited.
  reg [2:0] follow;
  reg [3:0] passed;
  wire waits = request[follow];
  always @(posedge clk) begin
    if (!started) follow <= choice;
    if (!waits || rst || !started) passed <= 4'd0;
    else if (advance && found) passed <= grant[follow] ? 4'd0 : passed + 4'd1;
  end
  wire [3:0] behind_last = (last == WIDTH - 1) ? 4'd0 : last + 4'd1;
  wire [3:0] between = (follow >= behind_last) ? follow - behind_last : follow + WIDTH - behind_last;

  (* hierconn *) wire [WIDTH-1:0] \dut.above ;
  wire [WIDTH-1:0] ones = {WIDTH{1'b1}};

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst && choice < WIDTH);
    else begin
      inside_range: assert (follow < WIDTH && last < WIDTH);
      inside_memory: assert (\dut.above == (ones << behind_last) || (\dut.above == 0 && last == WIDTH - 1));
      grant_is_next: assert (grant == expected);
      bounded_wait: assert (passed + between <= WIDTH - 1);
      waits_longest: cover (waits && passed == WIDTH - 1);
    end
  end

endmodule

`default_nettype wire
