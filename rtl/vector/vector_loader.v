// SPDX-License-Identifier: Apache-2.0
//
// vector_loader: reads a job's input vector, applies the ReLU rule of the method and sends its non-zero values on.
//
// Values and tags come through one read client, in turn: a tag word, then the up to 16 words of values (64 inputs)
// that its 64 mask bits cover, and so on; the first stretch is shorter when the tags do not start on a word. Tags
// are read only when the rule looks at them (relu, tags and not deconvnet). Output: one entry a cycle for each
// non-zero value, in order: value, and byte offset of its matrix row = input number << pitch_log2. An entry is held
// back until it is known whether another follows, so that the last one of the job can say so; a vector of zeros
// makes one entry that is last and empty. A word with k non-zero values takes max(1, k) cycles.
//
// Stalls: when an entry is not accepted or words are missing. words >= 1.

`default_nettype none
`include "gradcore_jobs.vh"

module vector_loader (
    input  wire        clk,
    input  wire        rst,
    input  wire [1:0]  method,
    // job
    input  wire        job_valid,
    output wire        job_ready,
    input  wire [`VECTOR_ENGINE_JOB_BITS-1:0] job,
    // read client
    output reg         request_valid,
    input  wire        request_ready,
    output reg  [31:0] request_address,
    output reg  [15:0] request_words,
    input  wire        response_valid,
    output wire        response_ready,
    input  wire [63:0] response_data,
    // entries
    output wire        entry_valid,
    input  wire        entry_ready,
    output wire        entry_last,
    output wire        entry_empty,
    output reg  [31:0] entry_offset,
    output reg  [15:0] entry_value,
    // event: zero values met in the cycle before
    output wire [2:0]  zeros
);

  `include "gradcore_constants.vh"
  `include "vector_engine_job.vh"

  localparam [4:0] STRETCH = 5'd16;  // words of values that one tag word covers

  // ---- Job
  reg        busy;
  reg        apply_rule;
  reg        with_tags;
  reg  [3:0] row_shift;
  wire       take_job = job_valid && job_ready;
  wire       use_tags = load_relu && tags && method != METHOD_DECONVNET;
  wire [1:0] job_skip = use_tags ? tag_address[2:1] : 2'd0;

  assign job_ready = !busy;

  // ---- Requests
  reg         requesting;
  reg         request_tags;   // the next request is for a tag word
  reg  [4:0]  stretch;
  reg  [19:0] request_left;
  reg  [31:0] value_address;
  reg  [31:0] next_tag_address;
  wire        request_free = !request_valid || request_ready;
  wire        last_stretch = request_left <= {15'd0, stretch};

  always @(posedge clk) begin
    if (take_job) begin
      value_address <= vector_address;
      next_tag_address <= {tag_address[31:3], 3'd0};
      request_left <= vector_words;
      stretch <= STRETCH - {1'b0, job_skip, 2'b00};
      request_tags <= use_tags;
    end else if (requesting && request_free) begin
      request_tags <= with_tags && !request_tags;
      if (request_tags) begin
        request_address <= next_tag_address;
        request_words <= 16'd1;
        next_tag_address <= next_tag_address + 32'd8;
      end else begin
        request_address <= value_address;
        request_words <= last_stretch ? {11'd0, request_left[4:0]} : {11'd0, stretch};
        value_address <= value_address + {24'd0, stretch, 3'd0};
        request_left <= request_left - {15'd0, stretch};
        stretch <= STRETCH;
      end
    end
  end

  // ---- The word at hand, and which of its values are not zero
  reg         here_valid;
  reg  [63:0] here_data;
  reg  [3:0]  here_non_zero;
  wire        here_taken;

  assign response_ready = !here_valid || here_taken;

  always @(posedge clk) begin
    if (response_ready) begin
      here_valid <= response_valid;
      here_data <= response_data;
      here_non_zero <= {|response_data[63:48], |response_data[47:32], |response_data[31:16], |response_data[15:0]};
    end
    if (rst) here_valid <= 1'b0;
  end

  // ---- Responses: a tag word or a word of values, to which the rule is applied
  reg         responding;
  reg         tag_next;
  reg  [3:0]  nibble;         // number of the next word's four mask bits in its tag word
  reg  [63:0] tag_word;
  reg  [19:0] response_left;
  reg  [19:0] next_word_number;
  reg  [19:0] word_number;
  reg  [63:0] word;
  reg  [3:0]  non_zero;       // values of `word` that are still to be sent
  (* keep *) wire word_free;  // not spread over what follows it, which would make the path to the read port longer
  wire        load_tag = responding && tag_next && here_valid;
  wire        load_word = responding && !tag_next && here_valid && word_free;
  reg  [3:0]  mask;           // of the next word
  reg  [3:0]  next_nibble;    // the one after
  wire [3:0]  passed;
  wire [3:0]  passed_non_zero = passed & here_non_zero;
  reg         word_loaded;    // in the cycle before

  assign here_taken = responding && (tag_next || word_free);
  assign zeros = word_loaded ? {2'b00, !non_zero[3]} + {2'b00, !non_zero[2]} + {2'b00, !non_zero[1]} +
                               {2'b00, !non_zero[0]} : 3'd0;

  relu_keep rule (
      .negative({here_data[63], here_data[47], here_data[31], here_data[15]}),
      .mask(mask),
      .method(method),
      .enable(apply_rule),
      .keep(passed)
  );

  // A vector may begin at any piece of its first tag word: nibble is a multiple of 4 when a tag word comes.
  always @(posedge clk) begin
    if (load_tag) begin
      tag_word <= here_data;
      case (nibble[3:2])
        2'd0: mask <= here_data[3:0];
        2'd1: mask <= here_data[19:16];
        2'd2: mask <= here_data[35:32];
        default: mask <= here_data[51:48];
      endcase
    end else if (load_word) mask <= tag_word[4*next_nibble+:4] | {4{!with_tags}};
    if (take_job) mask <= 4'b1111;
    if (load_word) begin
      word <= here_data;
      word_number <= next_word_number;
    end
  end

  function at_most_one;
    input [3:0] bits;
    at_most_one = (bits & {|bits[2:0], |bits[1:0], bits[0], 1'b0}) == 4'd0;
  endfunction

  // ---- Entries: the lowest non-zero value first, through the holding register
  reg         held;
  wire [1:0]  lowest = non_zero[0] ? 2'd0 : non_zero[1] ? 2'd1 : non_zero[2] ? 2'd2 : 2'd3;
  wire [3:0]  non_zero_rest = non_zero & {|non_zero[2:0], |non_zero[1:0], non_zero[0], 1'b0};
  reg found, last_value;  // non_zero has a bit, has one at most
  wire        hold = found && (!held || entry_ready);
  wire        finish = busy && !responding && !found;

  assign word_free = !found || (last_value && (!held || entry_ready));
  assign entry_valid = finish || (held && found);
  assign entry_last = finish;
  assign entry_empty = !held;

  always @(posedge clk) begin
    if (hold) begin
      entry_offset <= {10'd0, word_number, lowest} << row_shift;
      entry_value <= word[16*lowest +: 16];
    end
  end

  // ---- Control
  always @(posedge clk) begin
    if (request_free) request_valid <= requesting;
    if (requesting && request_free && !request_tags && last_stretch) requesting <= 1'b0;

    if (load_tag) tag_next <= 1'b0;
    if (load_word) begin
      nibble <= next_nibble;
      next_nibble <= next_nibble + 4'd1;
      tag_next <= with_tags && nibble == 4'd15;
      next_word_number <= next_word_number + 20'd1;
      response_left <= response_left - 20'd1;
      responding <= response_left != 20'd1;
    end

    word_loaded <= load_word;
    if (load_word) begin
      non_zero <= passed_non_zero;
      found <= passed_non_zero != 4'd0;
      last_value <= at_most_one(passed_non_zero);
    end else if (hold) begin
      non_zero <= non_zero_rest;
      found <= !last_value;
      last_value <= at_most_one(non_zero_rest);
    end

    if (hold) held <= 1'b1;
    if (finish && entry_ready) begin
      held <= 1'b0;
      busy <= 1'b0;
    end

    if (take_job) begin
      busy <= 1'b1;
      apply_rule <= load_relu;
      with_tags <= use_tags;
      row_shift <= pitch_log2;
      requesting <= 1'b1;
      responding <= 1'b1;
      tag_next <= use_tags;
      nibble <= {job_skip, 2'b00};
      next_nibble <= {job_skip, 2'b01};
      next_word_number <= 20'd0;
      response_left <= vector_words;
    end

    if (rst) begin
      busy <= 1'b0;
      requesting <= 1'b0;
      responding <= 1'b0;
      request_valid <= 1'b0;
      word_loaded <= 1'b0;
      non_zero <= 4'd0;
      found <= 1'b0;
      held <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(marks_agree, found == (non_zero != 4'd0) && (!found || last_value == at_most_one(non_zero)))
  `ASSERT(working_is_busy, !(requesting || responding || found || held) || busy)
  `ASSERT(words_left, !responding || response_left != 20'd0)
  `ASSERT(entry_of_a_job, !entry_valid || busy)
`endif

endmodule

`default_nettype wire
