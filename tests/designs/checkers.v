// SPDX-License-Identifier: Apache-2.0
//
// Drives stream_checker and count_checker, and breaks their rules: +breach=N breaks the Nth, 0 none.
`default_nettype none
`timescale 1ns / 1ps

module checkers;

  reg clk = 1'b0;
  reg rst = 1'b1;
  reg valid = 1'bx;
  reg ready = 1'b0;
  reg [7:0] data = 8'hxx;
  reg [15:0] asked = 16'd0;
  reg [3:0] given = 4'd0;
  reg settled = 1'b0;
  integer breach;

  always #5 clk = !clk;

  stream_checker #(.WIDTH(8)) stream (
      .clk(clk), .rst(rst), .valid(valid), .ready(ready), .data(data)
  );
  count_checker counts (
      .clk(clk), .rst(rst), .asked(asked), .given(given), .settled(settled)
  );

  task cycle;
    begin
      @(posedge clk);
      #1;
    end
  endtask

  initial begin
    if (!$value$plusargs("breach=%d", breach)) breach = 0;
    cycle;
    cycle;
    rst = 1'b0;
    valid = (breach == 1) ? 1'bx : 1'b0;
    cycle;
    {valid, data} = {1'b1, 8'h55};
    if (breach == 2) ready = 1'bx;
    cycle;
    if (breach == 3) valid = 1'b0;
    if (breach == 4) data = 8'h54;
    cycle;
    ready = 1'b1;
    cycle;
    {valid, data} = {1'b1, 8'h56};  // no pause
    cycle;
    valid = 1'b0;
    asked = 16'd5;
    cycle;
    asked = 16'd0;
    given = 4'd4;
    cycle;
    given = (breach == 5) ? 4'd2 : (breach == 6) ? 4'd0 : 4'd1;
    cycle;
    given = 4'd0;
    settled = 1'b1;
    cycle;
    cycle;
    $display("END");
    $finish;
  end

endmodule

`default_nettype wire
