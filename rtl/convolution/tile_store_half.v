// SPDX-License-Identifier: Apache-2.0
// One half of the tile store: writes the unit rows r of a tile with r % 2 == HALF through one write port.
//
// `start` (pulse) begins a job whose fields must be stable until `finished`; `finished` is up when all requests have
// been accepted and all words and pieces have been read out of the bank; it falls in the cycle after `start`.
// `close` (pulse, while finished, `close_ready` up) ends the job: `written` goes up when all write responses up to
// the oldest job that was closed and not yet taken by `written_take` have arrived. Up to 4 jobs may wait for
// responses. Data flow: walk -> RAM (latency 1) -> [piece packer] -> FIFO of 8 words -> write port; one word or one
// piece a cycle. The number of words in the pipeline is bounded by the FIFO's room, so the RAM and the packer never
// stall.
`default_nettype none
`include "gradcore_jobs.vh"
module tile_store_half #(
    parameter HALF = 0
) (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    output wire        finished,
    input  wire        close,
    output wire        close_ready,
    output wire        written,
    input  wire        written_take,
    // job
    input  wire        bank,
    input  wire [`TILE_STORE_JOB_BITS-1:0] job,
    input  wire [ 7:0] half_rows,  // rows of this half
    input  wire [ 9:0] word_run,
    input  wire        tag_contiguous,
    input  wire [ 9:0] tag_run,
    // output buffer side
    output wire        word_read_enable,
    output wire [ 9:0] word_read_address,
    input  wire [63:0] word_read_data,
    output wire        tag_read_enable,
    output wire [ 9:0] tag_read_address,
    input  wire [15:0] tag_read_data,
    // write client
    output wire        request_valid,
    input  wire        request_ready,
    output wire [31:0] request_address,
    output wire [15:0] request_words,
    output wire        data_valid,
    input  wire        data_ready,
    output wire [63:0] data,
    output wire [ 7:0] strobe,
    input  wire        write_done
);
  `include "tile_store_job.vh"

  // The rows of this half.
  wire [31:0] word_address = destination_address + ((HALF != 0) ? destination_row_pitch : 32'd0);
  wire [31:0] tag_address = tag_destination + ((HALF != 0) ? tag_destination_row_pitch : 32'd0);

  // Requests.
  wire requests_finished;
  tile_store_request requests (
      .clk(clk),
      .rst(rst),
      .start(start),
      .finished(requests_finished),
      .rows(half_rows),
      .columns(columns_stored),
      .store_tags(store_tags),
      .word_address(word_address),
      .word_row_step({destination_row_pitch[30:0], 1'b0}),
      .word_pixel_pitch(destination_pixel_pitch),
      .word_contiguous(contiguous),
      .word_run(word_run),
      .tag_address(tag_address),
      .tag_row_step({tag_destination_row_pitch[30:0], 1'b0}),
      .tag_pixel_pitch(tag_destination_pixel_pitch),
      .tag_contiguous(tag_contiguous),
      .tag_run(tag_run),
      .request_valid(request_valid),
      .request_ready(request_ready),
      .request_address(request_address),
      .request_words(request_words)
  );

  // Reads of the output buffer.
  wire walk_finished;
  wire walk_valid;
  wire walk_tag;
  wire walk_last_of_run;
  wire [1:0] walk_position;
  wire [9:0] walk_address;
  wire [3:0] level;
  wire room = level < 4'd6;  // with at most two items on the way and one that is read now, 8 places suffice
  wire advance = walk_valid && room;

  tile_store_walk walk (
      .clk(clk),
      .rst(rst),
      .start(start),
      .finished(walk_finished),
      .bank(bank),
      .rows(half_rows),
      .columns(columns_stored),
      .store_tags(store_tags),
      .words(words_per_pixel_stored),
      .word_pixel_step(buffer_pixel_words),
      .word_row_step(buffer_row_words),
      .pieces(pieces_per_pixel),
      .piece_row_step(buffer_row_pieces),
      .tag_contiguous(tag_contiguous),
      .tag_start(tag_address[2:1]),
      .tag_row_step({tag_destination_row_pitch[1], 1'b0}),
      .tag_pixel_pitch(tag_destination_pixel_pitch[2:1]),
      .valid(walk_valid),
      .advance(advance),
      .tag(walk_tag),
      .address(walk_address),
      .position(walk_position),
      .last_of_run(walk_last_of_run)
  );

  assign word_read_enable = advance && !walk_tag;
  assign tag_read_enable = advance && walk_tag;
  assign word_read_address = walk_address;
  assign tag_read_address = walk_address;

  reg word_read;
  reg tag_read;
  reg tag_read_last;
  reg [1:0] tag_read_position;
  wire packed_valid;
  wire [63:0] packed_data;
  wire [7:0] packed_strobe;
  wire unused_packer_ready;

  piece_packer packer (
      .clk(clk),
      .rst(rst),
      .in_valid(tag_read),
      .in_ready(unused_packer_ready),
      .in_piece(tag_read_data),
      .in_position(tag_read_position),
      .in_last(tag_read_last),
      .out_valid(packed_valid),
      .out_ready(1'b1),
      .out_data(packed_data),
      .out_strobe(packed_strobe)
  );

  wire unused_fifo_ready;
  fifo #(
      .WIDTH(72),
      .DEPTH(8)
  ) data_fifo (
      .clk(clk),
      .rst(rst),
      .in_valid(word_read || packed_valid),
      .in_ready(unused_fifo_ready),
      .in_data(packed_valid ? {packed_strobe, packed_data} : {8'hff, word_read_data}),
      .out_valid(data_valid),
      .out_ready(data_ready),
      .out_data({strobe, data}),
      .level(level)
  );

  // Order of responses: running totals of requests and responses; a closed job is written when the responses have
  // reached the number of requests at its end.
  reg [15:0] requested;
  reg [15:0] responded;
  wire [15:0] closed_at;
  wire closed_valid;
  wire [2:0] unused_closed_level;
  wire [15:0] ahead = responded - closed_at;

  assign finished = requests_finished && walk_finished;
  assign written  = closed_valid && !ahead[15];

  fifo #(
      .WIDTH(16),
      .DEPTH(4)
  ) closed_jobs (
      .clk(clk),
      .rst(rst),
      .in_valid(close),
      .in_ready(close_ready),
      .in_data(requested),
      .out_valid(closed_valid),
      .out_ready(written_take),
      .out_data(closed_at),
      .level(unused_closed_level)
  );

  always @(posedge clk) begin
    word_read <= word_read_enable;
    tag_read <= tag_read_enable;
    tag_read_last <= walk_last_of_run;
    tag_read_position <= walk_position;
    if (request_valid && request_ready) requested <= requested + 16'd1;
    if (write_done) responded <= responded + 16'd1;
    if (rst) begin
      word_read <= 1'b0;
      tag_read  <= 1'b0;
      requested <= 16'd0;
      responded <= 16'd0;
    end
  end

  wire unused_bits = &{1'b0, ahead[14:0]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(started_when_finished, !start || finished)
  `ASSERT(closed_when_finished, !close || (finished && close_ready))
  `ASSERT(taken_when_written, !written_take || closed_valid)
  `ASSERT(data_have_room, !(word_read || packed_valid) || unused_fifo_ready)
  `ASSERT(one_source, !(word_read && packed_valid))
  `ASSERT(packer_takes, !tag_read || unused_packer_ready)
  wire [15:0] open_requests = requested - responded;
  `ASSERT(responses_were_asked, !open_requests[15] && !(write_done && open_requests == 16'd0))
  stream_checker #(
      .WIDTH(72)
  ) words (
      .clk  (clk),
      .rst  (rst),
      .valid(data_valid),
      .ready(data_ready),
      .data ({strobe, data})
  );
`endif
endmodule
`default_nettype wire
