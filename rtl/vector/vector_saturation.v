// SPDX-License-Identifier: Apache-2.0
//
// vector_saturation: counts the saturated values of each job of the vector engine, of both halves together.
//
// Either half may be some jobs ahead of the other: the counts of its finished jobs wait until the other half has
// finished them, too.
//
// Contract: `saturated` pulses come before `finished` of the job in that half, those of its next job after it.
//   `complete` pulses for each job that both halves have finished, in order, at least a cycle after the later of the two;
//   at most eight jobs wait in a half. `count` stands in the cycle after `complete` until the one after the next.
// Numbers: a half makes at most 256 values in a job.
`default_nettype none

module vector_saturation (
    input  wire       clk,
    input  wire       rst,
    input  wire [1:0] saturated,  // of each half: a value in this cycle
    input  wire [1:0] finished,   // of each half: a job
    input  wire       complete,
    output reg  [9:0] count
);

  reg  [2:0] oldest;  // place of the oldest job that waits
  wire [17:0] waiting;

  genvar h;
  generate
    for (h = 0; h < 2; h = h + 1) begin : g_half
      (* ram_style = "distributed" *) reg [8:0] done_jobs [0:7];
      reg [2:0] place;
      reg [8:0] so_far;

      assign waiting[9*h+:9] = done_jobs[oldest];

      always @(posedge clk) begin
        if (finished[h]) done_jobs[place] <= so_far;
        if (finished[h]) place <= place + 3'd1;
        if (finished[h]) so_far <= 9'd0;
        else if (saturated[h]) so_far <= so_far + 9'd1;
        if (rst) begin
          place <= 3'd0;
          so_far <= 9'd0;
        end
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (complete) begin
      oldest <= oldest + 3'd1;
      count <= {1'b0, waiting[8:0]} + {1'b0, waiting[17:9]};
    end
    if (rst) oldest <= 3'd0;
  end

`ifdef SIMULATION
  `include "assertions.vh"
  reg [3:0] waits0, waits1;  // jobs that a half has finished and the other has not
  always @(posedge clk) begin
    waits0 <= rst ? 4'd0 : waits0 + {3'd0, finished[0]} - {3'd0, complete};
    waits1 <= rst ? 4'd0 : waits1 + {3'd0, finished[1]} - {3'd0, complete};
  end
  `ASSERT(complete_was_finished, !complete || (waits0 != 4'd0 && waits1 != 4'd0))
  `ASSERT(eight_wait, waits0 <= 4'd8 && waits1 <= 4'd8)
`endif

endmodule

`default_nettype wire
