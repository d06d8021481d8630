// SPDX-License-Identifier: Apache-2.0
//
// axi_burst_issue: never more than OUTSTANDING bursts on the bus, never fewer than none; a burst is taken only while it
// is offered, one at a time, and shows on the bus in the next cycle as it was; the address channel holds until accepted;
// `clear` starts nothing. For 2 and 6 clients.
`default_nettype none

module axi_burst_issue_formal (
    input wire         clk,
    input wire         rst,
    input wire         clear,
    input wire [  5:0] burst_valid,
    input wire [  5:0] burst_allowed,
    input wire [173:0] burst_address,
    input wire [ 29:0] burst_beats,
    input wire         completed,
    input wire         axi_ready
);

  axi_burst_issue_proof #(
      .CLIENTS(2),
      .OUTSTANDING(8)
  ) two (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .burst_valid(burst_valid[1:0]),
      .burst_allowed(burst_allowed[1:0]),
      .burst_address(burst_address[57:0]),
      .burst_beats(burst_beats[9:0]),
      .completed(completed),
      .axi_ready(axi_ready)
  );

  axi_burst_issue_proof #(
      .CLIENTS(6),
      .OUTSTANDING(2)
  ) six (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .burst_valid(burst_valid),
      .burst_allowed(burst_allowed),
      .burst_address(burst_address),
      .burst_beats(burst_beats),
      .completed(completed),
      .axi_ready(axi_ready)
  );

endmodule

module axi_burst_issue_proof #(
    parameter CLIENTS = 2,
    parameter OUTSTANDING = 8
) (
    input wire                  clk,
    input wire                  rst,
    input wire                  clear,
    input wire [   CLIENTS-1:0] burst_valid,
    input wire [   CLIENTS-1:0] burst_allowed,
    input wire [29*CLIENTS-1:0] burst_address,
    input wire [ 5*CLIENTS-1:0] burst_beats,
    input wire                  completed,
    input wire                  axi_ready
);

  wire [CLIENTS-1:0] burst_take;
  wire taken, empty, axi_valid;
  wire [28:0] taken_address;
  wire [4:0] taken_beats;
  wire [31:0] axi_address;
  wire [7:0] axi_length;

  axi_burst_issue #(
      .CLIENTS(CLIENTS),
      .OUTSTANDING(OUTSTANDING)
  ) dut (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .burst_valid(burst_valid),
      .burst_allowed(burst_allowed),
      .burst_take(burst_take),
      .taken(taken),
      .burst_address(burst_address),
      .burst_beats(burst_beats),
      .taken_address(taken_address),
      .taken_beats(taken_beats),
      .completed(completed),
      .empty(empty),
      .axi_address(axi_address),
      .axi_length(axi_length),
      .axi_valid(axi_valid),
      .axi_ready(axi_ready)
  );

  // The specification.
  reg [7:0] outstanding;
  reg expected, held;
  reg [28:0] address;
  reg [7:0] length;
  reg [CLIENTS-1:0] waiting;  // offered and not taken in the cycle before
  always @(posedge clk) begin
    outstanding <= rst ? 8'd0 : outstanding + {7'd0, taken} - {7'd0, completed};
    expected <= taken && !rst;
    held <= axi_valid && !axi_ready && !rst;
    waiting <= (rst || clear) ? {CLIENTS{1'b0}} : burst_valid & ~burst_take;
    if (taken) {address, length} <= {taken_address, {3'd0, taken_beats} - 8'd1};
  end

  (* hierconn *) wire [CLIENTS-1:0] \dut.chosen ;
  (* hierconn *) wire [$clog2(OUTSTANDING):0] \dut.count ;
  wire [CLIENTS-1:0] chosen = \dut.chosen ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  wire [CLIENTS-1:0] offered;
  genvar c;
  generate
    for (c = 0; c < CLIENTS; c = c + 1) begin : g_client
      reg [33:0] offer;
      always @(posedge clk) offer <= {burst_address[29*c+:29], burst_beats[5*c+:5]};
      always @*
        if (started) begin
          assume (!waiting[c] || (burst_valid[c] && offer == {burst_address[29*c+:29], burst_beats[5*c+:5]}));
        end
      assign offered[c] = burst_valid[c] && taken_address == burst_address[29*c+:29] && taken_beats == burst_beats[5*c+:5];
    end
  endgenerate

  always @* begin
    if (!started) assume (rst);
    else begin
      assume (!completed || outstanding != 8'd0);
      limit: assert (outstanding <= OUTSTANDING);
      takes_offer: assert ((burst_take & ~offered) == 0);
      inside_count: assert (\dut.count == outstanding);
      inside_chosen: assert ((chosen & ~waiting) == 0 && (chosen & (chosen - 1'b1)) == 0);
      inside_room: assert (chosen == 0 || outstanding < OUTSTANDING);
      one_at_a_time: assert ((burst_take & (burst_take - 1'b1)) == 0);
      taken_says_so: assert (taken == (burst_take != 0));
      empty_says_so: assert (empty == (outstanding == 8'd0));
      nothing_in_clear: assert (!(clear && taken));
      on_the_bus: assert (!expected || axi_valid);
      as_it_was: assert (!axi_valid || (axi_address == {address, 3'b000} && axi_length == length));
      holds: assert (!held || axi_valid);
      last_client: cover (burst_take[CLIENTS-1] && outstanding == OUTSTANDING - 1);
      full_bus: cover (outstanding == OUTSTANDING && axi_valid);
    end
  end

endmodule

`default_nettype wire
