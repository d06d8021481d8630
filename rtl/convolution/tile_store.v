// SPDX-License-Identifier: Apache-2.0
// Tile store: writes finished tiles from the output buffer to memory, two halves on two write ports.
//
// Jobs in order; job_valid must be given only when the tile has been computed (all its words are in the output
// buffer). The fields are used until job_ready pulses; the bank is job number modulo 2, starting with 0 after rst.
// Half h writes the unit rows r with r % 2 == h: first the words of all its rows, then the tag pieces.
// `buffer_released` pulses with job_ready: the bank has been read out; the next job may start two cycles later while
// responses of this one are still on their way. `stored` pulses once a job, in order, when its last write response
// is in (up to 4 jobs between release and stored). Sustained: one word (or one tag piece) a cycle and half; 4 cycles
// of overhead a job. Word requests: a row when `contiguous`, else a pixel. Tag requests: a row when
// tag_destination_pixel_pitch == 2 * pieces_per_pixel. `active`, `wait_input`, `wait_output`: exactly one is up in
// every cycle: busy / no job / busy but no port takes data.
`default_nettype none
`include "gradcore_jobs.vh"
module tile_store (
    input  wire         clk,
    input  wire         rst,
    input  wire         job_valid,
    output wire         job_ready,
    input  wire [`TILE_STORE_JOB_BITS-1:0] job,
    output wire         buffer_released,
    output wire         stored,
    output wire         active,
    output wire         wait_input,
    output wire         wait_output,
    // output buffer, one part a side
    output wire [  1:0] word_read_enable,
    output wire [ 19:0] word_read_address,
    input  wire [127:0] word_read_data,
    output wire [  1:0] tag_read_enable,
    output wire [ 19:0] tag_read_address,
    input  wire [ 31:0] tag_read_data,
    // write clients, one part a port
    output wire [  1:0] write_request_valid,
    input  wire [  1:0] write_request_ready,
    output wire [ 63:0] write_request_address,
    output wire [ 31:0] write_request_words,
    output wire [  1:0] write_data_valid,
    input  wire [  1:0] write_data_ready,
    output wire [127:0] write_data,
    output wire [ 15:0] write_strobe,
    input  wire [  1:0] write_done
);
  `include "tile_store_job.vh"

  localparam IDLE = 2'd0, START = 2'd1, RUN = 2'd2;

  reg [1:0] state;
  reg bank;
  // The job's derived fields, in registers: the factors one cycle after the job has come, the products two (in START),
  // the runs three: the halves use them a cycle later.
  reg [15:0] half_rows;  // rows of half 1, of half 0
  reg tag_contiguous;
  reg [7:0] factor_columns, factor_pieces;
  reg [9:0] factor_words;
  reg [17:0] row_words;
  reg [15:0] row_pieces;
  reg [9:0] word_run;  // words of a word request
  reg [9:0] tag_run;   // pieces of a tag run

  wire [1:0] finished;
  wire [1:0] close_ready;
  wire [1:0] written;

  assign job_ready = state == RUN && (&finished) && (&close_ready);
  assign buffer_released = job_ready;
  // The halves show a written job until it is taken, in the cycle of `stored`.
  reg all_written;
  assign stored = all_written;

  wire [1:0] blocked = write_data_valid & ~write_data_ready;
  wire [1:0] moving = write_data_valid & write_data_ready;
  wire nothing = state == IDLE && !job_valid && !(|write_data_valid);
  assign wait_output = (|blocked) && !(|moving);
  assign wait_input = nothing;
  assign active = !wait_output && !wait_input;

  always @(posedge clk) begin
    case (state)
      IDLE: if (job_valid) state <= START;
      START: state <= RUN;
      default: begin
        if (job_ready) begin
          state <= IDLE;
          bank  <= ~bank;
        end
      end
    endcase
    half_rows <= {1'b0, unit_rows[7:1], {1'b0, unit_rows[7:1]} + {7'd0, unit_rows[0]}};
    tag_contiguous <= tag_destination_pixel_pitch == {7'd0, pieces_per_pixel, 1'b0};
    factor_columns <= columns_stored;
    factor_words <= words_per_pixel_stored;
    factor_pieces <= pieces_per_pixel;
    // The buffer holds 512 words a side and bank, so 10 bits hold any row.
    row_words <= {10'd0, factor_columns} * {8'd0, factor_words};
    row_pieces <= {8'd0, factor_columns} * {8'd0, factor_pieces};
    word_run <= contiguous ? row_words[9:0] : words_per_pixel_stored;
    tag_run <= tag_contiguous ? row_pieces[9:0] : {2'd0, pieces_per_pixel};
    all_written <= (&written) && !all_written;
    if (rst) begin
      state <= IDLE;
      bank  <= 1'b0;
      all_written <= 1'b0;
    end
  end

  genvar h;
  generate
    for (h = 0; h < 2; h = h + 1) begin : g_half
      tile_store_half #(
          .HALF(h)
      ) half (
          .clk(clk),
          .rst(rst),
          .start(state == START),
          .finished(finished[h]),
          .close(job_ready),
          .close_ready(close_ready[h]),
          .written(written[h]),
          .written_take(stored),
          .bank(bank),
          .job(job),
          .half_rows(half_rows[8*h+:8]),
          .word_run(word_run),
          .tag_contiguous(tag_contiguous),
          .tag_run(tag_run),
          .word_read_enable(word_read_enable[h]),
          .word_read_address(word_read_address[10*h+:10]),
          .word_read_data(word_read_data[64*h+:64]),
          .tag_read_enable(tag_read_enable[h]),
          .tag_read_address(tag_read_address[10*h+:10]),
          .tag_read_data(tag_read_data[16*h+:16]),
          .request_valid(write_request_valid[h]),
          .request_ready(write_request_ready[h]),
          .request_address(write_request_address[32*h+:32]),
          .request_words(write_request_words[16*h+:16]),
          .data_valid(write_data_valid[h]),
          .data_ready(write_data_ready[h]),
          .data(write_data[64*h+:64]),
          .strobe(write_strobe[8*h+:8]),
          .write_done(write_done[h])
      );
    end
  endgenerate

  wire unused_bits = &{1'b0, row_words[17:10], row_pieces[15:10]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, RUN)
  `ASSERT(one_class, {1'b0, active} + {1'b0, wait_input} + {1'b0, wait_output} == 2'd1)
  reg [2:0] released;  // jobs released and not stored
  always @(posedge clk) released <= rst ? 3'd0 : released + {2'd0, job_ready} - {2'd0, stored};
  `ASSERT(stored_was_released, !stored || released != 3'd0)
  `ASSERT(four_wait, released <= 3'd4)
  `ASSERT(released_a_job, !job_ready || job_valid)
`endif
endmodule
`default_nettype wire
