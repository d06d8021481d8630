// SPDX-License-Identifier: Apache-2.0
// Counts what the engines do while a run goes on. docs/registers.md says what each counter means.
//
// `clear` (pulse, the start of a run) sets all to 0. Events count in cycles with `running`; three cycles later they
// show in `counters` (64 bits each, in the order of the registers: COUNTER_x of gradcore_constants.vh; BITS of them
// are real, the rest is 0). For each unit of an engine (half of tile loader, vector engine and tile store; stream of
// the convolution engine): active = it works in this cycle; blocked = it could, but its output does not take it
// (blocked counts only when not active); neither = it waits for input. So active + wait_input + wait_output = units x
// cycles. A conv stream is active when it issues an entry. `cycle` is the number of cycles with running so far, this
// one not included, without delay: for time stamps.
`default_nettype none
`include "gradcore_sizes.vh"
module performance_counters #(
    parameter GROUPS        = `GROUPS,
    parameter ZERO_WIDTH    = `ZERO_BITS,  // bits of the number of zeros skipped in a cycle
    parameter BITS          = `COUNTER_BITS,
    parameter COUNTER_TOTAL = 17
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  clear,
    input  wire                  running,
    input  wire [1:0]            loader_active,
    input  wire [1:0]            loader_blocked,
    input  wire [2*GROUPS-1:0]   conv_active,
    input  wire [2*GROUPS-1:0]   conv_blocked,
    input  wire [1:0]            vector_active,
    input  wire [1:0]            vector_blocked,
    input  wire [1:0]            store_active,
    input  wire [1:0]            store_blocked,
    input  wire [ZERO_WIDTH-1:0] zeros_skipped,
    input  wire [1:0]            read_beat,
    input  wire [1:0]            write_beat,
    output reg  [31:0]           cycle,
    output wire [64*COUNTER_TOTAL-1:0] counters
);
  `include "gradcore_constants.vh"

  localparam STREAMS = 2 * GROUPS;
  localparam SUM = 16;  // bits of what one cycle may add

  initial begin
    if (GROUPS < 1 || GROUPS > 64 || ZERO_WIDTH < 1 || ZERO_WIDTH > 15 || BITS < 33 || BITS > 64 || COUNTER_TOTAL != COUNTERS) begin
      $display("%m: needs GROUPS 1..64, ZERO_WIDTH 1..15, BITS 33..64, COUNTER_TOTAL as in the registers");
      $finish;
    end
  end

  // Number of ones of a vector.
  function [SUM-1:0] ones;
    input [STREAMS+1:0] bits;
    integer i;
    begin
      ones = {SUM{1'b0}};
      for (i = 0; i < STREAMS + 2; i = i + 1) ones = ones + {{SUM - 1{1'b0}}, bits[i]};
    end
  endfunction

  localparam [STREAMS-1:0] NO_STREAM = {STREAMS{1'b0}};

  // What each unit does in this cycle, a cycle late; nothing unless running.
  reg counting;
  reg [1:0] loader_on, loader_starved, loader_stuck, vector_on, vector_starved, vector_stuck;
  reg [1:0] store_on, store_starved, store_stuck, read_now, write_now;
  reg [STREAMS-1:0] conv_on, conv_starved, conv_stuck;
  reg [ZERO_WIDTH-1:0] zeros_now;
  wire count_now = running && !clear;
  wire [1:0] pair = {2{count_now}};
  wire [STREAMS-1:0] all = {STREAMS{count_now}};
  always @(posedge clk) begin
    counting       <= count_now;
    loader_on      <= pair & loader_active;
    loader_starved <= pair & ~loader_active & ~loader_blocked;
    loader_stuck   <= pair & ~loader_active & loader_blocked;
    conv_on        <= all & conv_active;
    conv_starved   <= all & ~conv_active & ~conv_blocked;
    conv_stuck     <= all & ~conv_active & conv_blocked;
    vector_on      <= pair & vector_active;
    vector_starved <= pair & ~vector_active & ~vector_blocked;
    vector_stuck   <= pair & ~vector_active & vector_blocked;
    store_on       <= pair & store_active;
    store_starved  <= pair & ~store_active & ~store_blocked;
    store_stuck    <= pair & ~store_active & store_blocked;
    zeros_now      <= {ZERO_WIDTH{count_now}} & zeros_skipped;
    read_now       <= pair & read_beat;
    write_now      <= pair & write_beat;
  end

  wire [SUM-1:0] conv_sum = ones({2'b00, conv_on});
  wire [SUM-1:0] vector_sum = ones({NO_STREAM, vector_on});
  wire [SUM-1:0] reads = ones({NO_STREAM, read_now});
  wire [SUM-1:0] writes = ones({NO_STREAM, write_now});

  // What this cycle adds to each counter.
  wire [SUM*COUNTERS-1:0] add;
  assign add[SUM*COUNTER_CYCLES+:SUM] = {{SUM - 1{1'b0}}, counting};
  assign add[SUM*COUNTER_LOADER_ACTIVE+:SUM] = ones({NO_STREAM, loader_on});
  assign add[SUM*COUNTER_LOADER_WAIT_INPUT+:SUM] = ones({NO_STREAM, loader_starved});
  assign add[SUM*COUNTER_LOADER_WAIT_OUTPUT+:SUM] = ones({NO_STREAM, loader_stuck});
  assign add[SUM*COUNTER_CONV_ACTIVE+:SUM] = conv_sum;
  assign add[SUM*COUNTER_CONV_WAIT_INPUT+:SUM] = ones({2'b00, conv_starved});
  assign add[SUM*COUNTER_CONV_WAIT_OUTPUT+:SUM] = ones({2'b00, conv_stuck});
  assign add[SUM*COUNTER_VECTOR_ACTIVE+:SUM] = vector_sum;
  assign add[SUM*COUNTER_VECTOR_WAIT_INPUT+:SUM] = ones({NO_STREAM, vector_starved});
  assign add[SUM*COUNTER_VECTOR_WAIT_OUTPUT+:SUM] = ones({NO_STREAM, vector_stuck});
  assign add[SUM*COUNTER_STORE_ACTIVE+:SUM] = ones({NO_STREAM, store_on});
  assign add[SUM*COUNTER_STORE_WAIT_INPUT+:SUM] = ones({NO_STREAM, store_starved});
  assign add[SUM*COUNTER_STORE_WAIT_OUTPUT+:SUM] = ones({NO_STREAM, store_stuck});
  assign add[SUM*COUNTER_MACS_ISSUED+:SUM] = (conv_sum << 4) + (vector_sum << 2);
  assign add[SUM*COUNTER_ZEROS_SKIPPED+:SUM] = {{SUM - ZERO_WIDTH{1'b0}}, zeros_now};
  assign add[SUM*COUNTER_BYTES_READ+:SUM] = reads << 3;
  assign add[SUM*COUNTER_BYTES_WRITTEN+:SUM] = writes << 3;

  always @(posedge clk) begin
    if (running) cycle <= cycle + 32'd1;
    if (clear || rst) cycle <= 32'd0;
  end

  genvar k;
  generate
    for (k = 0; k < COUNTERS; k = k + 1) begin : g_counter
      reg [SUM-1:0]  pending;
      reg [BITS-1:0] count;
      assign counters[64*k+:64] = {{64 - BITS{1'b0}}, count};
      always @(posedge clk) begin
        pending <= add[SUM*k+:SUM];
        count   <= count + {{BITS - SUM{1'b0}}, pending};
        if (clear || rst) begin
          pending <= {SUM{1'b0}};
          count   <= {BITS{1'b0}};
        end
      end
    end
  endgenerate

`ifdef SIMULATION
  `include "assertions.vh"
  // Each unit is in one class in each cycle that counts, and in none in others.
  `ASSERT(one_class_loader, (loader_on ^ loader_starved ^ loader_stuck) == {2{counting}})
  `ASSERT(one_class_conv, (conv_on ^ conv_starved ^ conv_stuck) == {STREAMS{counting}})
  `ASSERT(one_class_vector, (vector_on ^ vector_starved ^ vector_stuck) == {2{counting}})
  `ASSERT(one_class_store, (store_on ^ store_starved ^ store_stuck) == {2{counting}})
  `ASSERT(cycle_known, ^cycle !== 1'bx)
`endif
endmodule
`default_nettype wire
