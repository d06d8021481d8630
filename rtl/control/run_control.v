// SPDX-License-Identifier: Apache-2.0
// Controller of a run: start, watchdog, first error, orderly stop, soft reset.
//
// start -> `clear` and `flush` are up until the AXI ports are idle, at least CLEAR_CYCLES -> `sequencer_start`
// pulses -> running until `finished` or the first error. An error or a soft reset puts up `clear` (reset of all
// units) and `flush` (of the AXI ports) again, for at least CLEAR_CYCLES and until all ports are idle: bursts on the
// bus are completed, nothing new is begun. The end of a run sets `done` (and `error` with code, index and address)
// and pulses `interrupt_event`; after an error in the cycle in which the ports are idle, or after STOP_LIMIT cycles
// if a memory does not answer; `busy` stays up until they are. A soft reset ends a run without done and interrupt,
// clears done and error, and comes first. A start while busy does nothing but set `start_while_busy`. `running` is
// up from the start until the interrupt: the cycle counter's enable. First error wins; in one cycle: illegal
// descriptor, window, read response, write response, watchdog. The watchdog fires after `watchdog_limit` cycles of
// running without `progress` (0 = off).
`default_nettype none
`include "gradcore_sizes.vh"
module run_control #(
    parameter CLEAR_CYCLES = `CLEAR_CYCLES,
    parameter STOP_LIMIT   = `STOP_LIMIT
) (
    input  wire         clk,
    input  wire         rst,
    // registers
    input  wire         start,              // pulse
    input  wire         soft_reset,         // pulse
    input  wire [ 31:0] watchdog_limit,
    output wire         busy,
    output reg          done,
    output reg          error,
    output reg  [  7:0] code,
    output reg  [ 15:0] error_index,        // descriptor index of the error
    output reg  [ 31:0] error_address,      // of the access (window, responses), else 0
    output reg          start_while_busy,   // since the last accepted start or soft reset
    output reg          interrupt_event,    // pulse
    output reg          running,
    // core
    output reg          clear,              // a register: resets all units
    output reg          flush,
    output reg          sequencer_start,    // pulse
    input  wire         finished,           // pulse
    input  wire [ 15:0] descriptor_index,
    input  wire         progress,           // anything that shows that the run goes on
    input  wire         error_illegal,      // pulses
    input  wire [  3:0] error_window,       // read port 0, read port 1, write port 0, write port 1
    input  wire [  1:0] error_read,         // read port 0, 1
    input  wire [  1:0] error_write,        // write port 0, 1
    input  wire [127:0] port_error_address, // 32 bits a port, order as error_window
    input  wire [  3:0] port_idle
);
  `include "gradcore_constants.vh"

  localparam IDLE = 3'd0, PREPARE = 3'd1, RUNNING = 3'd2, STOPPING = 3'd3, ABORTING = 3'd4;
  localparam COUNT_BITS = 16;
  localparam integer CLEAR_LAST_WIDE = CLEAR_CYCLES - 1;
  localparam integer STOP_LAST_WIDE = STOP_LIMIT - 1;
  localparam [COUNT_BITS-1:0] CLEAR_LAST = CLEAR_LAST_WIDE[COUNT_BITS-1:0];
  localparam [COUNT_BITS-1:0] STOP_LAST = STOP_LAST_WIDE[COUNT_BITS-1:0];

  initial begin
    if (CLEAR_CYCLES < 2 || STOP_LIMIT <= CLEAR_CYCLES || STOP_LIMIT > 65536) begin
      $display("%m: needs 2 <= CLEAR_CYCLES < STOP_LIMIT <= 65536");
      $finish;
    end
  end

  reg [2:0] state;
  reg [COUNT_BITS-1:0] count;  // cycles in PREPARE, STOPPING or ABORTING, up to STOP_LAST
  reg [31:0] idle_cycles;      // of the watchdog, with the next one

  reg settled;    // count >= CLEAR_LAST
  reg given_up;   // count == STOP_LAST
  reg expired;    // of the watchdog: idle_cycles, this one included, >= watchdog_limit
  wire watchdog = expired && !progress;
  wire quiet = settled && (&port_idle);
  wire any_error = error_illegal || (|error_window) || (|error_read) || (|error_write) || watchdog;

  reg [7:0] new_code;
  reg [1:0] new_port;
  always @* begin
    new_port = 2'd0;
    if (error_illegal) new_code = CODE_ILLEGAL_DESCRIPTOR;
    else if (|error_window) begin
      new_code = CODE_WINDOW;
      new_port = error_window[0] ? 2'd0 : error_window[1] ? 2'd1 : error_window[2] ? 2'd2 : 2'd3;
    end else if (|error_read) begin
      new_code = CODE_READ_RESPONSE;
      new_port = error_read[0] ? 2'd0 : 2'd1;
    end else if (|error_write) begin
      new_code = CODE_WRITE_RESPONSE;
      new_port = error_write[0] ? 2'd2 : 2'd3;
    end else new_code = CODE_WATCHDOG;
  end
  wire has_address = new_code == CODE_WINDOW || new_code == CODE_READ_RESPONSE || new_code == CODE_WRITE_RESPONSE;

  assign busy = state != IDLE;

  always @(posedge clk) begin
    sequencer_start <= 1'b0;
    interrupt_event <= 1'b0;
    if (count != STOP_LAST) count <= count + {{(COUNT_BITS - 1) {1'b0}}, 1'b1};
    idle_cycles <= (progress || state != RUNNING) ? 32'd2 : idle_cycles + 32'd1;
    expired <= (progress || state != RUNNING) ? watchdog_limit == 32'd1
                                              : watchdog_limit != 32'd0 && idle_cycles >= watchdog_limit;
    // The count begins with the state, which is neither IDLE nor RUNNING in the cycle before these hold.
    settled <= state != IDLE && state != RUNNING && !soft_reset && count >= CLEAR_LAST - 1;
    given_up <= state == STOPPING && count >= STOP_LAST - 1;
    if (start && busy) start_while_busy <= 1'b1;

    case (state)
      IDLE: begin
        if (start) begin
          state <= PREPARE;
          {clear, flush, running} <= 3'b111;
          {done, error, start_while_busy} <= 3'b000;
          code <= 8'd0;
          error_index <= 16'd0;
          error_address <= 32'd0;
          count <= {COUNT_BITS{1'b0}};
        end
      end
      PREPARE: begin
        if (quiet) begin
          state <= RUNNING;
          {clear, flush} <= 2'b00;
          sequencer_start <= 1'b1;
        end
      end
      RUNNING: begin
        if (any_error) begin
          state <= STOPPING;
          {clear, flush} <= 2'b11;
          error <= 1'b1;
          code <= new_code;
          error_index <= descriptor_index;
          error_address <= has_address ? port_error_address[32*new_port+:32] : 32'd0;
          count <= {COUNT_BITS{1'b0}};
        end else if (finished) begin
          state <= IDLE;
          {done, interrupt_event} <= 2'b11;
          running <= 1'b0;
        end
      end
      STOPPING: begin
        if (running && (quiet || given_up)) begin
          {done, interrupt_event} <= 2'b11;
          running <= 1'b0;
        end
        if (quiet) begin
          state <= IDLE;
          {clear, flush} <= 2'b00;
        end
      end
      default: begin  // ABORTING
        if (quiet) begin
          state <= IDLE;
          {clear, flush} <= 2'b00;
        end
      end
    endcase

    if (soft_reset) begin
      state <= ABORTING;
      {clear, flush} <= 2'b11;
      {done, error, start_while_busy, sequencer_start, interrupt_event, running} <= 6'b000000;
      code <= 8'd0;
      error_index <= 16'd0;
      error_address <= 32'd0;
      count <= {COUNT_BITS{1'b0}};
    end
    if (rst) begin
      state <= IDLE;
      {clear, flush} <= 2'b00;
      {done, error, start_while_busy, sequencer_start, interrupt_event, running} <= 6'b000000;
      code <= 8'd0;
      error_index <= 16'd0;
      error_address <= 32'd0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, ABORTING)
  `ASSERT(clear_flushes, clear == flush)
  `ASSERT(cleared_between_runs, clear == (state == PREPARE || state == STOPPING || state == ABORTING))
  `ASSERT(running_is_busy, !running || (state != IDLE && state != ABORTING))
  `ASSERT(started_once, !sequencer_start || (state == RUNNING && running))
  `ASSERT(done_is_over, !done || !running)
  `ASSERT(interrupt_says_done, !interrupt_event || done)
  `ASSERT(error_has_code, error == (code != 8'd0))
`endif
endmodule
`default_nettype wire
