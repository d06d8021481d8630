// SPDX-License-Identifier: Apache-2.0
//
// axi_burst_splitter: the bursts of a request follow one another without gap or overlap, hold its words and no more,
// have 1 to 16 beats and none crosses 128 bytes; only the last is marked. They hold until taken, come one a cycle, the
// first two cycles after the request; `free` rises with the last; a refused or cleared request gives none.
`default_nettype none

module axi_burst_splitter_formal (
    input wire        clk,
    input wire        rst,
    input wire        clear,
    input wire        load,
    input wire [28:0] load_address,
    input wire [15:0] load_words,
    input wire        refuse,
    input wire        burst_take
);

  wire free, burst_valid, burst_last;
  wire [31:3] burst_address;
  wire [4:0] burst_beats;

  axi_burst_splitter dut (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .load(load),
      .load_address(load_address),
      .load_words(load_words),
      .load_room(5'd16 - {1'b0, load_address[3:0]}),
      .refuse(refuse),
      .free(free),
      .burst_valid(burst_valid),
      .burst_take(burst_take),
      .burst_address(burst_address),
      .burst_beats(burst_beats),
      .burst_last(burst_last)
  );

  // The specification: from which word on bursts are still to be cut, and how many words.
  reg loaded;  // in the cycle before
  reg [28:0] next;
  reg [16:0] left;
  reg offered;  // a burst that was not taken in the cycle before
  reg [28:0] address;
  reg [4:0] beats;
  reg last;
  reg promised;  // a burst must be offered now
  reg [2:0] bursts;  // of this request that were taken
  wire appears = burst_valid && !offered;  // a new burst

  always @(posedge clk) begin
    loaded <= load;
    offered <= burst_valid && !burst_take;
    if (burst_take) bursts <= burst_last ? 3'd0 : bursts + 3'd1;
    {address, beats, last} <= {burst_address, burst_beats, burst_last};
    promised <= left_now != 17'd0 && !refuse && (!burst_valid || burst_take);
    next <= next_now;
    left <= refuse ? 17'd0 : left_now;
    if (load) begin
      next <= load_address;
      left <= {1'b0, load_words};
    end
    if (rst || clear) begin
      loaded <= 1'b0;
      offered <= 1'b0;
      promised <= 1'b0;
      bursts <= 3'd0;
      left <= 17'd0;
    end
  end
  // With this cycle's new burst.
  wire [28:0] next_now = appears ? next + {24'd0, burst_beats} : next;
  wire [16:0] left_now = appears ? left - {12'd0, burst_beats} : left;
  wire [4:0] room = 5'd16 - {1'b0, next[3:0]};

  (* hierconn *) wire \dut.busy ;
  (* hierconn *) wire [28:0] \dut.address ;
  (* hierconn *) wire [15:0] \dut.words ;
  (* hierconn *) wire [4:0] \dut.room ;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    assume (!load || (free && load_words != 16'd0));
    assume (!refuse || loaded);
    assume (!burst_take || burst_valid);
    if (started) begin
      never_without_request: assert (!appears || left != 17'd0);
      address_follows: assert (!appears || burst_address == next);
      cut_at_boundary: assert (!appears || burst_beats == (left <= {12'd0, room} ? left[4:0] : room));
      size: assert (!burst_valid || (burst_beats >= 5'd1 && burst_beats <= 5'd16));
      no_crossing: assert (!burst_valid || {2'b00, burst_address[6:3]} + {1'b0, burst_beats} <= 6'd16);
      last_marked: assert (!appears || burst_last == (left == {12'd0, burst_beats}));
      holds: assert (!offered || (burst_valid && {burst_address, burst_beats, burst_last} == {address, beats, last}));
      one_a_cycle: assert (!promised || appears);
      free_with_last: assert (free == (left_now == 17'd0));
      inside_address: assert (free || (\dut.busy && \dut.address == next_now && {1'b0, \dut.words } == left_now));
      inside_room: assert (free || \dut.room == 5'd16 - {1'b0, next_now[3:0]});
      three: cover (appears && burst_last && bursts == 3'd2 && burst_beats == 5'd3);
      refused: cover (refuse && !burst_valid);
      waits: cover (offered && load && bursts == 3'd1);
    end
  end

endmodule

`default_nettype wire
