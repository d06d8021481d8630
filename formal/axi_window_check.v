// SPDX-License-Identifier: Apache-2.0
//
// axi_window_check: for every request and every window `legal` says, two cycles later, that no byte of a request of at
// least one word lies outside; in 40 bits, where no sum wraps. And the words before the next boundary of 128 bytes.
`default_nettype none

module axi_window_check_formal (
    input wire        clk,
    input wire [28:0] address,
    input wire [15:0] words,
    input wire [31:0] window_base,
    input wire [31:0] window_limit
);

  wire [31:3] checked_address;
  wire [15:0] checked_words;
  wire [4:0] checked_room;
  wire legal;

  axi_window_check dut (
      .clk(clk),
      .address(address),
      .words(words),
      .window_base(window_base),
      .window_limit(window_limit),
      .checked_address(checked_address),
      .checked_words(checked_words),
      .checked_room(checked_room),
      .legal(legal)
  );

  reg [28:0] address_1, address_2;
  reg [15:0] words_1, words_2;
  reg [1:0] known = 2'b00;
  always @(posedge clk) begin
    known <= {known[0], 1'b1};
    {address_2, address_1} <= {address_1, address};
    {words_2, words_1} <= {words_1, words};
  end

  // The request's first byte, and its last.
  wire [39:0] first = {11'd0, address_2} * 40'd8;
  wire [39:0] last = first + {24'd0, words_2} * 40'd8 - 40'd1;
  wire inside = first >= {8'd0, window_base} && last < {8'd0, window_limit};
  // The first byte of the next block of 128.
  wire [39:0] boundary = (first / 40'd128 + 40'd1) * 40'd128;

  (* hierconn *) wire [28:0] \dut.held_address ;
  (* hierconn *) wire [15:0] \dut.held_words ;
  (* hierconn *) wire [29:0] \dut.request_end ;
  (* hierconn *) wire \dut.empty ;

  always @* begin
    if (known[0]) inside_first_step: assert (\dut.held_address == address_1 && \dut.held_words == words_1);
    if (known[1]) begin
      passed_on: assert (checked_address == address_2 && checked_words == words_2);
      window: assert (legal == (words_2 != 16'd0 && inside));
      room: assert (first + {35'd0, checked_room} * 40'd8 == boundary);
      inside_second_step: assert (\dut.request_end == {1'b0, address_2} + {14'd0, words_2} && \dut.empty == (words_2 == 16'd0));
      whole_window: cover (legal && first == {8'd0, window_base} && last + 40'd1 == {8'd0, window_limit});
      wraps: cover (!legal && last[32] && words_2 != 16'd0);
    end
  end

endmodule

`default_nettype wire
