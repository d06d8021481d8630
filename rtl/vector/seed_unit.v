// SPDX-License-Identifier: Apache-2.0
//
// seed_unit: finds the winning class and writes the gradient that the backward pass starts from.
//
// A job reads `pixels` pixels of `words_per_pixel` words from logits_address and finds the largest value (the first
// in memory order on a tie); in each pixel the values from `channels` on are padding and are passed over.
// `class_index` is the winner's number in memory order, padding counted, `class_value` its value; both hold from
// `done` until the next job's reading. Then, when `explain` is set and seed_mode is not 2, it writes as many words
// to seed_address: all zero but seed_value at the winner (mode 0 and 3) or at seed_index (mode 1; an index beyond
// the map leaves zeros only). `done` pulses when the write responses have arrived, or at once when nothing is
// written. seed_mode, seed_index and explain are stable during a job.
//
// Latency: 1 value a cycle (4 cycles a word), one word a cycle written. Stalls: missing words, write port not ready.
// Format: values signed 16 bits, four a word. words_per_pixel, pixels and channels are at least 1.

`default_nettype none
`include "gradcore_jobs.vh"

module seed_unit (
    input  wire        clk,
    input  wire        rst,
    input  wire [1:0]  seed_mode,
    input  wire [31:0] seed_index,
    input  wire        explain,
    input  wire [23:0] tiles_stored,
    input  wire [23:0] vectors_done,
    // job
    input  wire        job_valid,
    output wire        job_ready,
    input  wire [`SEED_UNIT_JOB_BITS-1:0] job,
    output reg         done,
    output wire        busy,
    // result
    output wire [31:0] class_index,
    output reg  [15:0] class_value,
    // read client
    output reg         read_request_valid,
    input  wire        read_request_ready,
    output wire [31:0] read_request_address,
    output wire [15:0] read_request_words,
    input  wire        read_response_valid,
    output wire        read_response_ready,
    input  wire [63:0] read_response_data,
    // write client
    output reg         write_request_valid,
    input  wire        write_request_ready,
    output wire [31:0] write_request_address,
    output wire [15:0] write_request_words,
    output wire        write_data_valid,
    input  wire        write_data_ready,
    output wire [63:0] write_data,
    output wire [7:0]  write_strobe,
    input  wire        write_done
);

  `include "gradcore_constants.vh"
  `include "seed_unit_job.vh"

  localparam [25:0] STRETCH = 26'd64;  // words a request at most

  localparam [2:0] IDLE = 3'd0;
  localparam [2:0] COUNT = 3'd1;  // words = words_per_pixel * pixels, by shift and add
  localparam [2:0] READ = 3'd2;
  localparam [2:0] TARGET = 3'd3;  // the winner is known
  localparam [2:0] WRITE = 3'd4;
  localparam [2:0] AIM = 3'd5;  // before TARGET
  reg [2:0] state;

  // ---- The job at work
  reg  [9:0]  pixel_words;  // words_per_pixel, channels, seed_address, seed_value of that job
  reg  [11:0] valid_channels;
  reg  [31:0] destination;
  reg  [15:0] value_to_write;
  reg  [25:0] addend;
  reg  [15:0] multiplier;
  reg  [25:0] words;
  wire        take_job = job_valid && job_ready;
  wire        writes = explain && seed_mode != SEED_MODE_SUPPLIED;

  reg tokens;  // of the job at the input, a cycle late: they only grow
  assign job_ready = state == IDLE && tokens;

  always @(posedge clk) begin
    tokens <= job_valid && !job_ready && tiles_stored >= wait_tiles && vectors_done >= wait_vectors;
    if (rst) tokens <= 1'b0;
  end

  assign busy = state != IDLE;

  // ---- Requests, for reading and then for writing
  reg  [31:0] address;
  reg  [25:0] left;  // words not yet asked for
  reg         last_stretch;  // left <= STRETCH
  reg         counted;  // COUNT is over: the two below belong to `words`
  reg all_in_one, one_word;  // words <= STRETCH, words == 1
  wire        one_more = left[25:8] == 18'd0 && !(left[7] && left[6:0] != 7'd0);  // left <= 2 * STRETCH
  wire [15:0] stretch_words = last_stretch ? {9'd0, left[6:0]} : STRETCH[15:0];
  wire        asked = read_request_valid && read_request_ready || write_request_valid && write_request_ready;

  assign read_request_address = address;
  assign read_request_words = stretch_words;
  assign write_request_address = address;
  assign write_request_words = stretch_words;

  // ---- Arg-max, a value a cycle
  reg  [25:0] word;       // number of the current word, read or written
  reg  [25:0] words_left;  // from the current word on, read or written
  reg         last_word;
  reg  [25:0] next_word;  // word + 1
  reg  [9:0]  column;     // the current word's place in the pixel
  reg  [9:0]  columns_left;
  reg         last_column;
  reg  [1:0]  place;     // of the value in the word
  reg         found;
  reg  [27:0] winner;
  wire [15:0] value = read_response_data[16*place +: 16];
  wire        valid_channel = {column, place} < valid_channels;
  wire        better = !found || $signed(value) > $signed(class_value);
  reg         reading;  // in READ
  wire        look = reading && read_response_valid;
  wire        read_word = look && place == 2'd3;

  assign read_response_ready = reading && place == 2'd3;
  assign class_index = {4'd0, winner};

  // ---- Words to write
  reg  [31:0] target;  // a cycle late
  reg         hit;  // the current word, when writing, holds it
  reg  [1:0]  target_place;
  reg         writing;
  reg  [5:0]  outstanding;  // the write port holds far fewer requests
  wire        write_word = write_data_valid && write_data_ready;
  wire        all_written = !writing && !write_request_valid && outstanding == 6'd0;

  assign write_data_valid = writing;
  assign write_data = hit ? {48'd0, value_to_write} << {target_place, 4'd0} : 64'd0;
  assign write_strobe = 8'hff;

  always @(posedge clk) begin
    done <= 1'b0;
    all_in_one <= words[25:7] == 19'd0 && !(words[6] && words[5:0] != 6'd0);
    one_word <= words == 26'd1;
    target <= (seed_mode == SEED_MODE_INDEX) ? seed_index : class_index;
    outstanding <= outstanding + {5'd0, write_request_valid && write_request_ready} - {5'd0, write_done};

    if (asked) begin
      address <= address + {3'd0, STRETCH, 3'd0};
      left <= left - STRETCH;
      last_stretch <= one_more;
    end
    if (asked && last_stretch) begin
      read_request_valid <= 1'b0;
      write_request_valid <= 1'b0;
    end

    case (state)
      IDLE: begin
        addend <= {16'd0, words_per_pixel};
        multiplier <= pixels;
        pixel_words <= words_per_pixel;
        valid_channels <= channels;
        destination <= seed_address;
        value_to_write <= seed_value;
        address <= logits_address;
        words <= 26'd0;
        counted <= 1'b0;
        word <= 26'd0;
        next_word <= 26'd1;
        column <= 10'd0;
        columns_left <= words_per_pixel;
        last_column <= words_per_pixel == 10'd1;
        place <= 2'd0;
        if (take_job) state <= COUNT;
      end
      COUNT: begin
        left <= words;
        last_stretch <= all_in_one;
        words_left <= words;
        last_word <= one_word;
        found <= 1'b0;
        addend <= {addend[24:0], 1'b0};
        multiplier <= {1'b0, multiplier[15:1]};
        if (multiplier[0]) words <= words + addend;
        counted <= multiplier == 16'd0;
        if (counted) begin
          state <= READ;
          reading <= 1'b1;
          read_request_valid <= 1'b1;
        end
      end
      READ: begin
        if (look) begin
          place <= place + 2'd1;
          if (valid_channel) begin
            found <= 1'b1;
            if (better) begin
              class_value <= value;
              winner <= {word, place};
            end
          end
        end
        if (read_word) begin
          word <= next_word;
          next_word <= next_word + 26'd1;
          words_left <= words_left - 26'd1;
          last_word <= words_left == 26'd2;
          column <= last_column ? 10'd0 : column + 10'd1;
          columns_left <= last_column ? pixel_words : columns_left - 10'd1;
          last_column <= last_column ? pixel_words == 10'd1 : columns_left == 10'd2;
          if (last_word) begin
            state <= writes ? AIM : IDLE;
            reading <= 1'b0;
            done <= !writes;
          end
        end
      end
      AIM: state <= TARGET;
      TARGET: begin
        state <= WRITE;
        word <= 26'd0;
        next_word <= 26'd1;
        hit <= target[31:2] == 30'd0;
        target_place <= target[1:0];
        address <= destination;
        left <= words;
        last_stretch <= all_in_one;
        words_left <= words;
        last_word <= one_word;
        write_request_valid <= 1'b1;
        writing <= 1'b1;
      end
      default: begin
        if (write_word) begin
          words_left <= words_left - 26'd1;
          last_word <= words_left == 26'd2;
          word <= next_word;
          next_word <= next_word + 26'd1;
          hit <= target[31:2] == {4'd0, next_word};
          writing <= !last_word;
        end
        if (all_written) begin
          state <= IDLE;
          done <= 1'b1;
        end
      end
    endcase

    if (rst) begin
      state <= IDLE;
      reading <= 1'b0;
      read_request_valid <= 1'b0;
      write_request_valid <= 1'b0;
      writing <= 1'b0;
      outstanding <= 6'd0;
      done <= 1'b0;
    end
  end

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT_STATE(legal_state, state, AIM)
  `ASSERT(reads_in_its_state, reading == (state == READ))
  `ASSERT(writes_in_its_state, !writing || state == WRITE)
  `ASSERT(last_is_marked, !(reading || writing) || last_word == (words_left == 26'd1))
  `ASSERT(response_was_asked, !write_done || outstanding != 6'd0)
  `ASSERT(pixel_is_marked, !reading || last_column == (columns_left == 10'd1))
`endif

endmodule

`default_nettype wire
