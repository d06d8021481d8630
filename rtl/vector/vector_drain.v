// SPDX-License-Identifier: Apache-2.0
//
// vector_drain: from finished accumulators to memory: bias, requantisation, ReLU, packing, mask pieces, writing.
//
// `start` begins a job whose accumulators are in the lanes' result memory (`start_empty`: they are all zero). One
// output a cycle passes: stage 1 reads the lanes' accumulators and takes the next word of the bias stream, stage 2
// picks one, stage 3 adds bias or rounding constant, stages 4 and 5 requantise; then four values make a word and sixteen
// mask bits a piece. The job's `words` words are written first, then, with `store_tags`, ceil(words / 4) pieces, byte
// strobes covering just them (mask bits of outputs beyond `words` are 0). `busy` falls with `done` when all write
// responses have arrived. While `bias_owner` the response stream of the read port belongs to this module.
//
// `saturated` pulses once for each output of `words` that was clipped, before the words are written; one below the
// range does not count with ReLU, and none with a clip, a ReLU whose mask is 0 at the largest value, too.
//
// Stalls: the whole pipeline holds when a packed word waits behind one that the write port has not taken (registered
// condition: no path from data_ready to the pipeline), and when a bias word is missing.

`default_nettype none

module vector_drain (
    input  wire         clk,
    input  wire         rst,
    input  wire         start,
    input  wire         start_empty,
    output reg          busy,
    output wire         done,
    // job: stable from start to done
    input  wire         job_has_bias,
    input  wire [5:0]   job_shift,
    input  wire         job_relu,
    input  wire         job_clip,
    input  wire         job_store_tags,
    input  wire [31:0]  job_destination_address,
    input  wire [31:0]  job_tag_destination,
    input  wire [6:0]   job_destination_words,
    // the four lanes' result memories
    output wire         result_read,
    output wire [5:0]   result_row,
    input  wire [191:0] result,
    // bias words
    output wire         bias_owner,
    input  wire         bias_valid,
    output wire         bias_ready,
    input  wire [47:0]  bias_data,
    // write client
    output wire         request_valid,
    input  wire         request_ready,
    output wire [31:0]  request_address,
    output wire [15:0]  request_words,
    output reg          data_valid,
    input  wire         data_ready,
    output reg  [63:0]  data,
    output reg  [7:0]   strobe,
    input  wire         write_done,
    // events
    output wire         active,
    output wire         blocked,
    output reg          saturated
);

  localparam [2:0] IDLE = 3'd0;
  localparam [2:0] LANES = 3'd1;  // outputs enter the pipeline
  localparam [2:0] FLUSH = 3'd2;  // the last ones leave it
  localparam [2:0] PIECES = 3'd3;  // mask pieces are packed
  localparam [2:0] FINISH = 3'd4;  // wait for the write responses
  reg [2:0] state;

  // ---- The job, in registers from the first cycle after `start` on
  reg has_bias, relu, clip, store_tags;
  reg  [5:0] shift;
  reg  [5:0] last_word;
  reg  [1:0] skip;                                                   // pieces before ours in the first tag word
  wire [6:0] last_word_wide = job_destination_words - 7'd1;
  wire [3:0] last_piece = last_word[5:2];
  reg  [4:0] end_position;                                           // place of the last piece
  wire [4:0] last_position = {end_position[4:2], 2'b11};             // the end of the last tag word

  always @(posedge clk) begin
    has_bias <= job_has_bias;
    relu <= job_relu;
    clip <= job_clip;
    store_tags <= job_store_tags;
    shift <= job_shift;
    last_word <= last_word_wide[5:0];
    skip <= job_tag_destination[2:1];
    end_position <= {1'b0, last_piece} + {3'd0, skip};
  end

  // ---- Stage 0: walk through the outputs, whole pieces
  reg  [7:0] lane;
  reg        wanted;  // the lane's word is stored
  wire       stall;
  reg        wants_bias;  // in LANES, with bias, the lane's word being stored
  wire       step = state == LANES && !stall && (!wants_bias || bias_valid);
  wire       last_lane = lane == {last_piece, 4'hf};

  assign result_read = !stall;
  assign result_row = lane[7:2];
  assign bias_owner = wants_bias;
  assign bias_ready = wants_bias && !stall;

  // ---- Stages 1 to 5: the word of accumulators and the initial value, accumulator, sum, shifted sum, value
  reg empty;
  reg valid_1, valid_2, valid_3, valid_4, valid_5;
  reg wanted_1, wanted_2, wanted_3, wanted_4, wanted_5;
  reg piece_end_1, piece_end_2, piece_end_3, piece_end_4, piece_end_5;
  reg        [47:0] accumulator_2;
  reg        [1:0]  place_1;
  reg        [47:0] bias_1;
  reg        [47:0] bias_2;
  reg        [47:0] sum_3;
  reg signed [15:0] value_5;
  wire signed [15:0] requantised;
  wire              clipped;
  reg clipped_5, moved;  // what stage 5 took counts, and it took it in the cycle before
  wire       [7:0]  power_low = 8'd1 << shift[2:0];
  wire       [7:0]  power_high = 8'd1 << shift[5:3];
  wire       [47:0] half;  // the rounding constant: bit i is set when the shift is i + 1
  wire       [47:0] picked = place_1[1] ? (place_1[0] ? result[191:144] : result[143:96]) :
                                       (place_1[0] ? result[95:48] : result[47:0]);

  genvar i;
  generate
    for (i = 0; i < 48; i = i + 1) begin : g_half
      assign half[i] = power_high[(i+1)/8] && power_low[(i+1)%8];
    end
  endgenerate

  requantise requantise_i (
      .clk(clk),
      .enable(!stall),
      .accumulator(sum_3),
      .shift(shift),
      .value(requantised),
      .saturated(clipped)
  );

  always @(posedge clk) begin
    if (!stall) begin
      if (empty) accumulator_2 <= 48'd0;
      else accumulator_2 <= picked;
      place_1 <= lane[1:0];
      bias_1 <= bias_data;
      bias_2 <= bias_1;
      sum_3 <= accumulator_2 + (has_bias ? bias_2 : half);
      value_5 <= requantised;
      {wanted_1, wanted_2, wanted_3, wanted_4, wanted_5} <= {wanted, wanted_1, wanted_2, wanted_3, wanted_4};
      {piece_end_1, piece_end_2, piece_end_3, piece_end_4, piece_end_5} <=
          {lane[3:0] == 4'hf, piece_end_1, piece_end_2, piece_end_3, piece_end_4};
    end
    clipped_5 <= clipped && !(relu && requantised[15]) && !clip && wanted_4 && valid_4;
    moved <= !stall;
    saturated <= moved && clipped_5 && !rst;
  end

  // ---- Mask pieces
  (* ram_style = "distributed" *) reg [15:0] pieces [0:15];
  reg  [14:0] mask;
  reg  [3:0]  piece_count;
  wire        mask_bit = wanted_5 && !value_5[15] && value_5 != 16'sd0 && !(clip && (&value_5[14:0]));
  wire        mask_step = valid_5 && !stall;

  always @(posedge clk) begin
    if (mask_step) mask <= {mask_bit, mask[14:1]};
    if (mask_step && piece_end_5) pieces[piece_count] <= {mask_bit, mask};
  end

  // ---- Packing: four steps fill a word, of values first, of pieces later
  reg  [4:0]  position;
  wire [4:0]  piece_wide = position - {3'd0, skip};
  wire        piece_inside = position >= {3'd0, skip} && position <= end_position;
  wire [15:0] piece = pieces[piece_wide[3:0]] & {16{piece_inside}};
  wire [15:0] relu_value = (relu && value_5[15]) ? 16'd0 : value_5;
  wire        value_step = mask_step && wanted_5;
  wire        piece_step = state == PIECES && !stall;
  wire        pack_step = value_step || piece_step;
  reg  [1:0]  fill;
  reg         full;
  reg  [63:0] packed_data;
  reg  [7:0]  packed_strobe;
  wire        unload = full && (!data_valid || data_ready);

  assign stall = full && data_valid;

  always @(posedge clk) begin
    if (pack_step) begin
      packed_data <= {state == PIECES ? piece : relu_value, packed_data[63:16]};
      packed_strobe <= {{2{state != PIECES || piece_inside}}, packed_strobe[7:2]};
    end
    if (unload) begin
      data <= packed_data;
      strobe <= packed_strobe;
    end
  end

  // ---- Write requests: words, then tags
  reg        request_pending;
  reg        tags_pending;
  reg  [1:0] outstanding;
  wire       accepted = request_valid && request_ready;

  assign request_valid = request_pending || tags_pending;
  assign request_address = request_pending ? job_destination_address : {job_tag_destination[31:3], 3'd0};
  assign request_words = request_pending ? {9'd0, job_destination_words} : {13'd0, end_position[4:2]} + 16'd1;

  // ---- Control
  wire all_out = !full && !data_valid && !request_valid && outstanding == 2'd0;

  assign done = state == FINISH && all_out;
  assign active = step || piece_step;
  assign blocked = busy && (stall || state == FINISH);

  always @(posedge clk) begin
    if (!stall) {valid_1, valid_2, valid_3, valid_4, valid_5} <= {step, valid_1, valid_2, valid_3, valid_4};
    if (mask_step && piece_end_5) piece_count <= piece_count + 4'd1;
    if (pack_step) fill <= fill + 2'd1;
    if (pack_step && fill == 2'd3) full <= 1'b1;
    else if (unload) full <= 1'b0;
    if (unload) data_valid <= 1'b1;
    else if (data_ready) data_valid <= 1'b0;

    if (accepted && request_pending) request_pending <= 1'b0;
    else if (accepted) tags_pending <= 1'b0;
    outstanding <= outstanding + {1'b0, accepted} - {1'b0, write_done};

    case (state)
      IDLE: begin
        if (start) begin
          busy <= 1'b1;
          state <= (job_destination_words == 7'd0) ? FINISH : LANES;
          request_pending <= job_destination_words != 7'd0;
          tags_pending <= job_destination_words != 7'd0 && job_store_tags;
        end
        empty <= start_empty;
        lane <= 8'd0;
        wanted <= 1'b1;
        wants_bias <= start && job_destination_words != 7'd0 && job_has_bias;
        position <= 5'd0;
        piece_count <= 4'd0;
        fill <= 2'd0;
      end
      LANES: begin
        if (step) lane <= lane + 8'd1;
        if (step && lane == {last_word, 2'd3}) {wanted, wants_bias} <= 2'b00;
        if (step && last_lane) state <= FLUSH;
      end
      FLUSH: begin
        if (!valid_1 && !valid_2 && !valid_3 && !valid_4 && !valid_5) state <= store_tags ? PIECES : FINISH;
      end
      PIECES: begin
        if (piece_step) position <= position + 5'd1;
        if (piece_step && position == last_position) state <= FINISH;
      end
      default: begin
        if (all_out) begin
          state <= IDLE;
          busy <= 1'b0;
        end
      end
    endcase

    if (rst) begin
      state <= IDLE;
      busy <= 1'b0;
      {valid_1, valid_2, valid_3, valid_4, valid_5} <= 5'd0;
      full <= 1'b0;
      data_valid <= 1'b0;
      wants_bias <= 1'b0;
      request_pending <= 1'b0;
      tags_pending <= 1'b0;
      outstanding <= 2'd0;
    end
  end

  wire unused_drain = &{1'b0, last_word_wide[6], end_position[1:0], piece_wide[4], power_high[7], job_tag_destination[0]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, FINISH)
  `ASSERT(busy_in_states, busy == (state != IDLE))
  `ASSERT(started_when_idle, !start || state == IDLE)
  `ASSERT(word_has_room, !(pack_step && fill == 2'd3 && full && !unload))
  `ASSERT(response_was_asked, !write_done || outstanding != 2'd0)
  `ASSERT(two_requests, !(accepted && outstanding == 2'd2 && !write_done))
`endif

endmodule

`default_nettype wire
