// SPDX-License-Identifier: Apache-2.0
// Sequencer: fetches the program's descriptors, checks them, hands them to the job FIFOs, and knows when all is
// finished.
//
// `start` (pulse, after rst) begins at program_address; descriptor n lies at program_address + 128 n. A legal
// descriptor is offered to its unit: exactly one job_*_valid is up until its ready, `descriptor` (word i of 32 bits
// at [32i+31:32i]) and `descriptor_index` being stable meanwhile. A TILE is one handshake for loader, groups and
// store together. The next descriptor is fetched while this one is offered; nothing is read behind the last one
// (END, or a SEED with forward_end when `explain` is 0). After the last one `finished` pulses as soon as all jobs
// that were pushed have finished. An illegal descriptor (see descriptor_check.v), a misaligned program or
// PROGRAM_LIMIT descriptors without an end pulse `error_illegal` with descriptor_index; nothing is pushed or fetched
// from then on until the next start; likewise if the last TILE before the end leaves partial sums (to_partial), which
// no job would take up. Tokens: pulses of finished jobs in, counts out (tokens.v). Marks: end of the
// last job of a layer (layer_marks.v).
`default_nettype none
`include "gradcore_sizes.vh"
module sequencer #(
    parameter GROUPS        = `GROUPS,
    parameter WEIGHT_DEPTH  = `WEIGHT_ROWS,
    parameter TILE_ENTRIES  = `TILE_ENTRIES,
    parameter PROGRAM_LIMIT = `PROGRAM_LIMIT
) (
    input  wire          clk,
    input  wire          rst,
    input  wire          start,
    input  wire [  31:0] program_address,
    input  wire          explain,
    output wire          finished,
    output wire          error_illegal,
    // read client
    output wire          request_valid,
    input  wire          request_ready,
    output wire [  31:0] request_address,
    output wire [  15:0] request_words,
    input  wire          response_valid,
    output wire          response_ready,
    input  wire [  63:0] response_data,
    // jobs
    output wire          job_tile_valid,
    input  wire          job_tile_ready,
    output wire          job_weights_valid,
    input  wire          job_weights_ready,
    output wire          job_vector_valid,
    input  wire          job_vector_ready,
    output wire          job_seed_valid,
    input  wire          job_seed_ready,
    output wire [1023:0] descriptor,
    output reg  [  15:0] descriptor_index,
    // finished jobs
    input  wire          tile_stored,
    input  wire          vector_done,
    input  wire          seed_done,
    input  wire          weight_loaded,
    input  wire          tile_computed,
    output wire [  23:0] tiles_stored,
    output wire [  23:0] vectors_done,
    output wire [  23:0] weights_loaded,
    output wire [  23:0] tiles_computed,
    // layers
    output wire [   1:0] mark_valid,
    output wire [  15:0] mark_layer
);
  `include "gradcore_constants.vh"

  localparam IDLE = 3'd0, RECEIVE = 3'd1, CHECK = 3'd2, PUSH = 3'd3, DRAIN = 3'd4, FINISHED = 3'd5, FAILED = 3'd6;
  localparam integer LAST_INDEX_WIDE = PROGRAM_LIMIT - 1;
  localparam [15:0] LAST_INDEX = LAST_INDEX_WIDE[15:0];

  initial begin
    if (PROGRAM_LIMIT < 1 || PROGRAM_LIMIT > 65536) begin
      $display("%m: PROGRAM_LIMIT must be 1 to 65536, not %0d", PROGRAM_LIMIT);
      $finish;
    end
  end

  reg [2:0] state;
  reg check;
  reg failed;
  reg [23:0] tiles_pushed, vectors_pushed, weights_pushed;  // tiles that store

  wire full, check_done, illegal, marks_ready;
  wire [31:0] checksum;

  wire [3:0] opcode = descriptor[DESCRIPTOR_OPCODE+:4];
  // What a descriptor is, a cycle after it has come: before it is checked.
  reg last, is_tile, is_weights, is_vector, is_seed, is_end, stores;
  always @(posedge clk) begin
    last <= opcode == OPCODE_END || (opcode == OPCODE_SEED && descriptor[DESCRIPTOR_FORWARD_END] && !explain);
    is_tile <= opcode == OPCODE_TILE;
    is_weights <= opcode == OPCODE_WEIGHTS;
    is_vector <= opcode == OPCODE_VECTOR;
    is_seed <= opcode == OPCODE_SEED;
    is_end <= opcode == OPCODE_END;
    stores <= !descriptor[DESCRIPTOR_TILE_TO_PARTIAL];  // of a TILE
  end
  reg  last_index;  // the descriptor at hand is the last that a program may have
  wire over_limit = last_index && !last;
  wire misaligned = |program_address[2:0];
  reg  sums_left;  // by the last TILE: it does not store. Jobs finish in order: when one that stores is done, those before are
  wire accepted = check_done && !illegal && !over_limit && !(last && sums_left);

  wire offer = state == PUSH && marks_ready;
  assign job_tile_valid = offer && is_tile;
  assign job_weights_valid = offer && is_weights;
  assign job_vector_valid = offer && is_vector;
  assign job_seed_valid = offer && is_seed;
  wire push_tile = job_tile_valid && job_tile_ready;
  wire push_weights = job_weights_valid && job_weights_ready;
  wire push_vector = job_vector_valid && job_vector_ready;
  wire push_seed = job_seed_valid && job_seed_ready;
  wire push = push_tile || push_weights || push_vector || push_seed;

  reg tiles_quiet, vectors_quiet, weights_quiet;  // in DRAIN, a cycle late: all that was pushed is done
  wire quiet = tiles_quiet && vectors_quiet && weights_quiet;
  assign finished = state == FINISHED;
  assign error_illegal = failed;

  descriptor_fetch fetcher (
      .clk(clk),
      .rst(rst),
      .start(start),
      .program_address(program_address),
      .fetch((start && !misaligned) || (accepted && !last)),
      .release_descriptor(push || start),
      .full(full),
      .descriptor(descriptor),
      .checksum(checksum),
      .request_valid(request_valid),
      .request_ready(request_ready),
      .request_address(request_address),
      .request_words(request_words),
      .response_valid(response_valid),
      .response_ready(response_ready),
      .response_data(response_data)
  );

  descriptor_check #(
      .GROUPS      (GROUPS),
      .WEIGHT_DEPTH(WEIGHT_DEPTH),
      .TILE_ENTRIES(TILE_ENTRIES)
  ) checker_unit (
      .clk(clk),
      .rst(rst),
      .check(check),
      .descriptor(descriptor),
      .checksum(checksum),
      .done(check_done),
      .illegal(illegal)
  );

  tokens token_counters (
      .clk(clk),
      .rst(rst),
      .clear(start),
      .tile_stored(tile_stored),
      .vector_done(vector_done),
      .seed_done(seed_done),
      .weight_loaded(weight_loaded),
      .tile_computed(tile_computed),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .weights_loaded(weights_loaded),
      .tiles_computed(tiles_computed)
  );

  layer_marks marks (
      .clk(clk),
      .rst(rst),
      .ready(marks_ready),
      .push_tile(push_tile && stores),
      .push_vector(push_vector),
      .push_seed(push_seed),
      .last_of_layer(descriptor[DESCRIPTOR_LAST_OF_LAYER]),
      .layer(descriptor[DESCRIPTOR_LAYER+:8]),
      .tile_stored(tile_stored),
      .vector_done(vector_done),
      .seed_done(seed_done),
      .mark_valid(mark_valid),
      .mark_layer(mark_layer)
  );

  always @(posedge clk) begin
    check  <= 1'b0;
    failed <= 1'b0;
    last_index <= descriptor_index == LAST_INDEX;
    tiles_quiet <= state == DRAIN && tiles_pushed == tiles_stored;
    vectors_quiet <= state == DRAIN && vectors_pushed == vectors_done;
    weights_quiet <= state == DRAIN && weights_pushed == weights_loaded;
    case (state)
      RECEIVE: begin
        if (full) begin
          state <= CHECK;
          check <= 1'b1;
        end
      end
      CHECK: begin
        if (check_done) begin
          state  <= !accepted ? FAILED : is_end ? DRAIN : PUSH;
          failed <= !accepted;
        end
      end
      PUSH: begin
        if (push) begin
          state <= last ? DRAIN : RECEIVE;
          if (!last) descriptor_index <= descriptor_index + 16'd1;
        end
      end
      DRAIN: if (quiet) state <= FINISHED;
      FINISHED: state <= IDLE;
      default: begin  // IDLE, FAILED
        if (start) begin
          state  <= misaligned ? FAILED : RECEIVE;
          failed <= misaligned;
          descriptor_index <= 16'd0;
        end
      end
    endcase

    if (push_tile) sums_left <= !stores;
    if (push_tile && stores) tiles_pushed <= tiles_pushed + 24'd1;
    if (push_vector || push_seed) vectors_pushed <= vectors_pushed + 24'd1;
    if (push_weights) weights_pushed <= weights_pushed + 24'd1;
    if (rst || start) begin
      sums_left      <= 1'b0;
      tiles_pushed   <= 24'd0;
      vectors_pushed <= 24'd0;
      weights_pushed <= 24'd0;
    end
    if (rst) begin
      state  <= IDLE;
      check  <= 1'b0;
      failed <= 1'b0;
      descriptor_index <= 16'd0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, FAILED)
  wire [3:0] offers = {job_tile_valid, job_weights_valid, job_vector_valid, job_seed_valid};
  `ASSERT(one_job_offered, (offers & (offers - 4'd1)) == 4'd0)
  // Jobs finish after they were pushed.
  `ASSERT(tiles_in_order, tiles_stored <= tiles_pushed)
  `ASSERT(vectors_in_order, vectors_done <= vectors_pushed)
  `ASSERT(weights_in_order, weights_loaded <= weights_pushed)
  `ASSERT(finished_when_quiet, !finished || (tiles_pushed == tiles_stored && vectors_pushed == vectors_done))
  stream_checker #(
      .WIDTH(1044)
  ) jobs (
      .clk  (clk),
      .rst  (rst || start),
      .valid(|offers),
      .ready(push),
      .data ({offers, descriptor_index, descriptor})
  );
`endif
endmodule
`default_nettype wire
