// SPDX-License-Identifier: Apache-2.0
//
// weight_loader: copies blocks of weights and initial accumulators from memory into the groups' weight buffers.
//
// A job is `blocks` blocks, one after another in two planes of memory (plane h, read by port h, holds lanes 8h..8h+7):
// per block `rows` rows of 2 words, then 8 words of initial accumulators. Of a row n of a `diagonal` job only the weight of
// lane n modulo 16 is in memory, the others are 0: two words a plane for each 16 rows, and `rows` is a multiple of 16.
// Block b goes to each group g with g % blocks == b and g < blocks * floor(GROUPS / blocks), always to weight rows
// weight_base, weight_base+1, ... (modulo WEIGHT_DEPTH).
//
// The requests of the job at the head of the FIFO outside go out at once, one a block and port; its data stay in the
// read port until the job before is done and tiles_computed >= wait_computed. Then it is taken (job_ready, one pulse).
//
// Contract: one row in two cycles (in one of a diagonal), one initial accumulator a cycle, while the ports deliver. Writes are always
// accepted. `loaded` is a pulse, after the last write of a job. A job has at least one block and one row.
// Format: weight_data holds 16 signed 16-bit weights, lane l in bits [16l+15:16l]; initial_data is signed, 48 bits.

`default_nettype none
`include "gradcore_sizes.vh"
`include "gradcore_jobs.vh"

module weight_loader #(
    parameter GROUPS = `GROUPS,
    parameter WEIGHT_DEPTH = `WEIGHT_ROWS
) (
    input  wire              clk,
    input  wire              rst,

    input  wire              job_valid,
    output wire              job_ready,
    input  wire [`WEIGHT_LOADER_JOB_BITS-1:0] job,

    input  wire [23:0]       tiles_computed,
    output reg               loaded,
    output wire              busy,

    // Read clients, one part a port.
    output reg  [1:0]        read_request_valid,
    input  wire [1:0]        read_request_ready,
    output reg  [63:0]       read_request_address,
    output wire [31:0]       read_request_words,
    input  wire [1:0]        read_response_valid,
    output wire [1:0]        read_response_ready,
    input  wire [127:0]      read_response_data,

    output reg  [GROUPS-1:0] weight_write,
    output reg  [9:0]        weight_address,
    output reg  [255:0]      weight_data,
    output reg  [GROUPS-1:0] initial_write,
    output reg  [4:0]        initial_address,  // {bank, lane}
    output reg  [47:0]       initial_data
);

  `include "weight_loader_job.vh"

  localparam [31:0] LAST_ROW = WEIGHT_DEPTH - 1;
  localparam [9:0] ADDRESS_MASK = LAST_ROW[9:0];

  initial begin
    if (GROUPS < 1 || WEIGHT_DEPTH < 2 || WEIGHT_DEPTH > 1024 || (WEIGHT_DEPTH & (WEIGHT_DEPTH - 1)) != 0) begin
      $display("%m: GROUPS is %0d, WEIGHT_DEPTH %0d; GROUPS must be at least 1, WEIGHT_DEPTH a power of two up to 1024", GROUPS,
               WEIGHT_DEPTH);
      $finish;
    end
  end

  // ---- Requests of the job at the head ----
  reg        issuing;
  reg        issued;
  reg        taken;
  reg  [2:0] requests_left;  // blocks, the offered one included

  wire requests_taken = (read_request_valid & ~read_request_ready) == 2'b00;
  wire issue = job_valid && ready_to_issue && !issuing && !issued;
  wire issue_next = issuing && requests_taken;

  reg [15:0] request_words;  // of one block; a cycle after the job has come
  reg        ready_to_issue;
  assign read_request_words = {2{request_words}};
  assign job_ready = issued && taken;

  always @(posedge clk) begin
    request_words <= (diagonal ? {8'd0, rows[10:3]} : {4'd0, rows, 1'b0}) + 16'd8;
    ready_to_issue <= job_valid && !job_ready;
    read_request_valid <= read_request_valid & ~read_request_ready;
    if (issue) begin
      issuing <= 1'b1;
      requests_left <= blocks;
      read_request_valid <= 2'b11;
      read_request_address <= {address1, address0};
    end else if (issue_next) begin
      requests_left <= requests_left - 3'd1;
      if (requests_left == 3'd1) begin
        issuing <= 1'b0;
        issued <= 1'b1;
      end else begin
        read_request_valid <= 2'b11;
        read_request_address[31:0] <= read_request_address[31:0] + {13'd0, request_words, 3'd0};
        read_request_address[63:32] <= read_request_address[63:32] + {13'd0, request_words, 3'd0};
      end
    end
    if (job_ready) issued <= 1'b0;
    if (rst) begin
      ready_to_issue <= 1'b0;
      issuing <= 1'b0;
      issued <= 1'b0;
      read_request_valid <= 2'b00;
    end
  end

  // ---- The job whose data are written ----
  reg        consuming;
  reg        tokens_ok;
  reg        tokens_checked;  // tokens_ok belongs to the job at the head
  reg [10:0] block_rows;      // rows, blocks, diagonal, weight_base and bias_bank of that job
  reg [2:0]  job_blocks;
  reg        job_diagonal;
  reg [9:0]  first_row;
  reg        bank;

  reg        last_block;
  reg        one_row;         // block_rows == 1
  reg        in_rows;         // rows_left != 0
  reg        last_row;        // rows_left == 1
  reg [10:0] rows_left;
  reg [9:0]  row_address;
  reg [2:0]  block;
  reg        second_word;     // of a row
  reg [3:0]  row_lane;        // of the one weight of a diagonal's row
  reg [1:0]  word_ends;       // that weight is the last one of a word of port 0, of port 1
  reg [3:0]  lane;            // of the initial accumulators, in the order 0, 8, 1, 9, ...: {plane last}

  wire take = job_valid && !taken && !consuming && tokens_checked && tokens_ok;
  wire diagonal_valid = row_lane[3] ? read_response_valid[1] : read_response_valid[0];
  wire take_row_words = consuming && in_rows && (job_diagonal ? diagonal_valid : &read_response_valid);
  wire take_initial = consuming && !in_rows && (lane[0] ? read_response_valid[1] : read_response_valid[0]);
  wire row_end = take_row_words && (job_diagonal || second_word);
  wire block_end = take_initial && lane == 4'd15;
  wire job_end = block_end && last_block;

  assign read_response_ready[0] = consuming && (!in_rows ? !lane[0] : job_diagonal ? word_ends[0] : read_response_valid[1]);
  assign read_response_ready[1] = consuming && (!in_rows ? lane[0] : job_diagonal ? word_ends[1] : read_response_valid[0]);
  reg finished;
  assign busy = job_valid || consuming || finished || loaded;

  // Groups that get the current block.
  reg [GROUPS-1:0] targets;
  integer g, n;

  always @* begin
    targets = {GROUPS{1'b0}};
    for (g = 0; g < GROUPS; g = g + 1)
    for (n = 1; n <= 7; n = n + 1) if (job_blocks == n[2:0] && g < n * (GROUPS / n) && {29'd0, block} == g % n) targets[g] = 1'b1;
  end

  always @(posedge clk) begin
    tokens_ok <= tiles_computed >= wait_computed;
    tokens_checked <= job_valid && !job_ready;
    one_row <= block_rows == 11'd1;
    if (take) begin
      taken <= 1'b1;
      consuming <= 1'b1;
      block_rows <= rows;
      job_blocks <= blocks;
      job_diagonal <= diagonal;
      first_row <= weight_base & ADDRESS_MASK;
      bank <= bias_bank;
      rows_left <= rows;
      in_rows <= 1'b1;
      last_row <= rows == 11'd1;
      row_address <= weight_base & ADDRESS_MASK;
      block <= 3'd0;
      last_block <= blocks == 3'd1;
      second_word <= 1'b0;
      row_lane <= 4'd0;
      word_ends <= 2'b00;
      lane <= 4'd0;
    end else begin
      if (job_end) consuming <= 1'b0;
      if (take_row_words) second_word <= !second_word;
      if (row_end) begin
        row_lane <= row_lane + 4'd1;
        word_ends <= row_lane[1:0] == 2'd2 ? {row_lane[3], !row_lane[3]} : 2'b00;
        rows_left <= rows_left - 11'd1;
        in_rows <= !last_row;
        last_row <= rows_left == 11'd2;
        row_address <= (row_address + 10'd1) & ADDRESS_MASK;
      end
      if (take_initial) lane <= lane + 4'd1;
      if (block_end) begin
        rows_left <= block_rows;
        in_rows <= 1'b1;
        last_row <= one_row;
        row_address <= first_row;
        block <= block + 3'd1;
        last_block <= block + 3'd2 == job_blocks;
      end
    end
    if (job_ready) taken <= 1'b0;
    if (rst) begin
      taken <= 1'b0;
      consuming <= 1'b0;
      tokens_checked <= 1'b0;
    end
  end

  // ---- Writes: a row is collected in place; it is written while the next row's first words may arrive ----
  integer l;
  always @(posedge clk) begin
    for (l = 0; l < 16; l = l + 1)
    if (take_row_words) begin
      if (job_diagonal && row_lane != l[3:0]) weight_data[16*l+:16] <= 16'd0;
      else if (job_diagonal || second_word == l[2]) weight_data[16*l+:16] <= read_response_data[64*(l/8)+16*(l%4)+:16];
    end
    weight_write <= row_end ? targets : {GROUPS{1'b0}};
    weight_address <= row_address;
    initial_write <= take_initial ? targets : {GROUPS{1'b0}};
    initial_address <= {bank, lane[0], lane[3:1]};
    initial_data <= lane[0] ? read_response_data[111:64] : read_response_data[47:0];
    finished <= job_end;
    loaded <= finished;
    if (rst) begin
      weight_write <= {GROUPS{1'b0}};
      initial_write <= {GROUPS{1'b0}};
      finished <= 1'b0;
      loaded <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(issues_once, !(issuing && issued) && (!issuing || requests_left != 3'd0))
  `ASSERT(takes_a_job, !taken || job_valid)
  `ASSERT(rows_marked, !consuming || (in_rows == (rows_left != 11'd0) && (!in_rows || last_row == (rows_left == 11'd1))))
  `ASSERT(words_marked, !consuming || !job_diagonal || word_ends == ({row_lane[3], !row_lane[3]} & {2{row_lane[1:0] == 2'd3}}))
  `ASSERT(whole_diagonals, !consuming || !job_diagonal || block_rows[3:0] == 4'd0)
  `ASSERT(blocks_marked, !consuming || (block < job_blocks && last_block == (block + 3'd1 == job_blocks)))
  `ASSERT(writes_somewhere, !(row_end || take_initial) || targets != 0)
  `ASSERT(one_kind_of_write, weight_write == 0 || initial_write == 0)
`endif

endmodule

`default_nettype wire
