// SPDX-License-Identifier: Apache-2.0
// Decides whether a descriptor is legal: version, opcode, checksum, alignment, fields within the limits of the
// hardware.
//
// `check` (pulse) starts; `descriptor` and `checksum` (exclusive-or of all its words) must be stable until `done`
// pulses, together with `illegal`: 4 cycles later, 11 for a TILE, whose eight products go through one multiplier.
// What is checked keeps every unit from waiting for a job of no size and every internal address in its memory;
// external addresses are checked by the AXI ports. The same rules in Python: models/control/descriptor_check.py.
`default_nettype none
`include "gradcore_sizes.vh"
module descriptor_check #(
    parameter GROUPS       = `GROUPS,
    parameter WEIGHT_DEPTH = `WEIGHT_ROWS,  // rows of a weight buffer
    parameter TILE_ENTRIES = `TILE_ENTRIES  // entries of a tile bank
) (
    input  wire          clk,
    input  wire          rst,
    input  wire          check,
    input  wire [1023:0] descriptor,
    input  wire [  31:0] checksum,
    output reg           done,
    output reg           illegal
);
  `include "gradcore_constants.vh"

  localparam [20:0] WEIGHT_LIMIT = WEIGHT_DEPTH;
  localparam [20:0] PIXEL_LIMIT = `TILE_PIXELS;
  localparam [20:0] ENTRY_LIMIT = TILE_ENTRIES;
  localparam [20:0] WORD_LIMIT = `OUTPUT_WORDS;
  localparam [2:0] BLOCK_LIMIT = GROUPS[2:0];
  localparam [5:0] SHIFT_LIMIT = DESCRIPTOR_TILE_SHIFT_MOST;
  localparam [7:0] FORMAT_VERSION = REGISTER_CONFIGURATION_RESET[31:24];

  initial begin
    if (GROUPS < 1 || GROUPS > 7) begin
      $display("%m: GROUPS must be 1 to 7, not %0d", GROUPS);
      $finish;
    end
  end

  wire [3:0] opcode = descriptor[DESCRIPTOR_OPCODE+:DESCRIPTOR_OPCODE_WIDTH];
  wire [7:0] version = descriptor[DESCRIPTOR_VERSION+:DESCRIPTOR_VERSION_WIDTH];

  // TILE: what it loads.
  wire [ 7:0] source_rows = descriptor[DESCRIPTOR_TILE_SOURCE_ROWS+:8];
  wire [ 7:0] source_columns = descriptor[DESCRIPTOR_TILE_SOURCE_COLUMNS+:8];
  wire [ 9:0] words_per_pixel = descriptor[DESCRIPTOR_TILE_WORDS_PER_PIXEL+:10];
  wire [ 7:0] buffer_rows = descriptor[DESCRIPTOR_TILE_BUFFER_ROWS+:8];
  wire [ 7:0] buffer_columns = descriptor[DESCRIPTOR_TILE_BUFFER_COLUMNS+:8];
  wire [10:0] slot = descriptor[DESCRIPTOR_TILE_SLOT+:11];
  wire [12:0] row_entries = descriptor[DESCRIPTOR_TILE_ROW_ENTRIES+:13];
  wire        unpool_without_tags = descriptor[DESCRIPTOR_TILE_UNPOOL] && !descriptor[DESCRIPTOR_TILE_TAGS];
  wire        bad_index = descriptor[DESCRIPTOR_TILE_INDEX_CHANNEL] && (!descriptor[DESCRIPTOR_TILE_TAGS] ||
       descriptor[DESCRIPTOR_TILE_LOAD_RELU] || descriptor[DESCRIPTOR_TILE_UNPOOL] || words_per_pixel > 10'd4);
  wire        source_misaligned = (|descriptor[DESCRIPTOR_TILE_SOURCE_ADDRESS+:3]) ||
       (|descriptor[DESCRIPTOR_TILE_SOURCE_ROW_PITCH+:3]) || descriptor[DESCRIPTOR_TILE_TAG_ADDRESS] ||
       descriptor[DESCRIPTOR_TILE_TAG_ROW_PITCH] || (|descriptor[DESCRIPTOR_TILE_SOURCE_PIXEL_PITCH+:3]) ||
       descriptor[DESCRIPTOR_TILE_TAG_PIXEL_PITCH];
  wire        bad_source = source_rows == 8'd0 || source_columns == 8'd0 || words_per_pixel == 10'd0 ||
       words_per_pixel > DESCRIPTOR_TILE_WORDS_PER_PIXEL_MOST || buffer_rows == 8'd0 || buffer_columns == 8'd0 || slot == 11'd0 ||
       unpool_without_tags || bad_index || source_misaligned;

  // TILE: what it computes.
  wire [ 7:0] unit_rows = descriptor[DESCRIPTOR_TILE_UNIT_ROWS+:8];
  wire [ 7:0] unit_columns = descriptor[DESCRIPTOR_TILE_UNIT_COLUMNS+:8];
  wire [ 3:0] kernel_h = descriptor[DESCRIPTOR_TILE_KERNEL_H+:4];
  wire [ 3:0] kernel_w = descriptor[DESCRIPTOR_TILE_KERNEL_W+:4];
  wire [ 3:0] pack = descriptor[DESCRIPTOR_TILE_PACK_PIXELS+:4];
  wire [ 1:0] stride_x_log2 = descriptor[DESCRIPTOR_TILE_STRIDE_X_LOG2+:2];
  wire [ 1:0] stride_y_log2 = descriptor[DESCRIPTOR_TILE_STRIDE_Y_LOG2+:2];
  wire [ 2:0] tile_blocks = descriptor[DESCRIPTOR_TILE_BLOCKS+:3];
  wire [ 5:0] tile_shift = descriptor[DESCRIPTOR_TILE_SHIFT+:6];
  wire [10:0] tap_rows = descriptor[DESCRIPTOR_TILE_TAP_ROWS+:11];
  reg  [ 6:0] taps;  // a cycle after the descriptor
  always @(posedge clk) taps <= {3'd0, kernel_h} * {3'd0, kernel_w};
  wire        bad_kernel = unit_rows == 8'd0 || unit_columns == 8'd0 || kernel_h == 4'd0 || kernel_h > DESCRIPTOR_TILE_KERNEL_H_MOST ||
       kernel_w == 4'd0 || kernel_w > DESCRIPTOR_TILE_KERNEL_W_MOST || tile_blocks == 3'd0 ||
       tile_blocks > BLOCK_LIMIT || tile_shift > SHIFT_LIMIT;
  // Packs of 1, 2 or 4 pixels, at most 4 columns from unit to unit; pooled units have neither packs nor strides.
  wire        bad_pack = pack == 4'd0 || pack == 4'd3 || pack > DESCRIPTOR_TILE_PACK_PIXELS_MOST ||
       stride_x_log2 > DESCRIPTOR_TILE_STRIDE_X_LOG2_MOST || (pack[1] && stride_x_log2[1]) || (pack[2] && stride_x_log2 != 2'd0);
  wire        pooled_pack = descriptor[DESCRIPTOR_TILE_POOL] && (pack != 4'd1 || stride_x_log2 != 2'd0 || stride_y_log2 != 2'd0);
  wire        last_stays = descriptor[DESCRIPTOR_TILE_TO_PARTIAL] && descriptor[DESCRIPTOR_LAST_OF_LAYER];
  wire [ 1:0] window = descriptor[DESCRIPTOR_TILE_WINDOW+:2];
  wire        bad_window = window == 2'd1 || (window != 2'd0 && (descriptor[DESCRIPTOR_TILE_POOL] ||
       descriptor[DESCRIPTOR_TILE_FROM_PARTIAL] || descriptor[DESCRIPTOR_TILE_TO_PARTIAL] ||
       kernel_h != 4'd1 || kernel_w != 4'd1 || pack != 4'd1));
  wire        no_clip = descriptor[DESCRIPTOR_TILE_CLIP] && !descriptor[DESCRIPTOR_TILE_RELU];
  wire        bad_unit = bad_pack || pooled_pack || stride_y_log2 > DESCRIPTOR_TILE_STRIDE_Y_LOG2_MOST || last_stays || no_clip ||
       bad_window;

  // TILE: what it stores.
  wire [ 7:0] half_rows = {1'b0, unit_rows[7:1]} + {7'd0, unit_rows[0]};
  wire [ 9:0] words_per_pixel_stored = descriptor[DESCRIPTOR_TILE_WORDS_PER_PIXEL_STORED+:10];
  wire [15:0] destination_pixel_pitch = descriptor[DESCRIPTOR_TILE_DESTINATION_PIXEL_PITCH+:16];
  wire [ 7:0] columns_stored = descriptor[DESCRIPTOR_TILE_COLUMNS_STORED+:8];
  wire [ 7:0] buffer_pixel_words = descriptor[DESCRIPTOR_TILE_BUFFER_PIXEL_WORDS+:8];
  wire [ 8:0] buffer_row_words = descriptor[DESCRIPTOR_TILE_BUFFER_ROW_WORDS+:9];
  wire [ 7:0] pieces_per_pixel = descriptor[DESCRIPTOR_TILE_PIECES_PER_PIXEL+:8];
  wire [ 8:0] buffer_row_pieces = descriptor[DESCRIPTOR_TILE_BUFFER_ROW_PIECES+:9];
  wire        store_tags = descriptor[DESCRIPTOR_TILE_STORE_TAGS];
  wire        destination_misaligned = (|descriptor[DESCRIPTOR_TILE_DESTINATION_ADDRESS+:3]) ||
       (|descriptor[DESCRIPTOR_TILE_DESTINATION_ROW_PITCH+:3]) || (|destination_pixel_pitch[2:0]);
  wire        tags_misaligned = descriptor[DESCRIPTOR_TILE_TAG_DESTINATION] ||
       descriptor[DESCRIPTOR_TILE_TAG_DESTINATION_ROW_PITCH] || descriptor[DESCRIPTOR_TILE_TAG_DESTINATION_PIXEL_PITCH];
  wire        bad_destination = columns_stored == 8'd0 || words_per_pixel_stored == 10'd0 ||
       words_per_pixel_stored > {2'd0, buffer_pixel_words} ||
       (descriptor[DESCRIPTOR_TILE_CONTIGUOUS] && destination_pixel_pitch != {3'd0, words_per_pixel_stored, 3'd0}) ||
       destination_misaligned || (store_tags && (pieces_per_pixel == 8'd0 || tags_misaligned));

  // WEIGHTS.
  wire [10:0] weight_rows = descriptor[DESCRIPTOR_WEIGHTS_ROWS+:11];
  wire [ 2:0] weight_blocks = descriptor[DESCRIPTOR_WEIGHTS_BLOCKS+:3];
  wire        bad_weights = weight_rows == 11'd0 || {10'd0, weight_rows} > WEIGHT_LIMIT || weight_blocks == 3'd0 ||
       weight_blocks > BLOCK_LIMIT || (descriptor[DESCRIPTOR_WEIGHTS_DIAGONAL] && (|weight_rows[3:0])) ||
       (|descriptor[DESCRIPTOR_WEIGHTS_ADDRESS0+:3]) ||
       (|descriptor[DESCRIPTOR_WEIGHTS_ADDRESS1+:3]);

  // VECTOR. A row of a plane of the matrix holds 16 * blocks bytes; a half makes 2 * blocks words.
  wire [ 5:0] vector_blocks = descriptor[DESCRIPTOR_VECTOR_BLOCKS+:6];
  reg  [15:0] matrix_pitch;  // a cycle after the descriptor
  always @(posedge clk) matrix_pitch <= 16'd1 << descriptor[DESCRIPTOR_VECTOR_PITCH_LOG2+:4];
  wire        vector_misaligned = (|descriptor[DESCRIPTOR_VECTOR_VECTOR_ADDRESS+:3]) ||
       (|descriptor[DESCRIPTOR_VECTOR_MATRIX_ADDRESS0+:3]) || (|descriptor[DESCRIPTOR_VECTOR_MATRIX_ADDRESS1+:3]) ||
       (|descriptor[DESCRIPTOR_VECTOR_BIAS_ADDRESS0+:3]) || (|descriptor[DESCRIPTOR_VECTOR_BIAS_ADDRESS1+:3]) ||
       (|descriptor[DESCRIPTOR_VECTOR_DESTINATION_ADDRESS0+:3]) ||
       (|descriptor[DESCRIPTOR_VECTOR_DESTINATION_ADDRESS1+:3]) ||
       descriptor[DESCRIPTOR_VECTOR_TAG_ADDRESS] || descriptor[DESCRIPTOR_VECTOR_TAG_DESTINATION0] ||
       descriptor[DESCRIPTOR_VECTOR_TAG_DESTINATION1];
  wire        bad_vector = descriptor[DESCRIPTOR_VECTOR_VECTOR_WORDS+:20] == 20'd0 || vector_blocks == 6'd0 ||
       vector_blocks[0] || vector_blocks > DESCRIPTOR_VECTOR_BLOCKS_MOST ||
       (descriptor[DESCRIPTOR_VECTOR_CLIP] && !descriptor[DESCRIPTOR_VECTOR_RELU]) ||
       descriptor[DESCRIPTOR_VECTOR_SHIFT+:6] > DESCRIPTOR_VECTOR_SHIFT_MOST;
  wire        bad_matrix = {6'd0, vector_blocks, 4'd0} > matrix_pitch ||
       descriptor[DESCRIPTOR_VECTOR_DESTINATION_WORDS0+:8] > {1'b0, vector_blocks, 1'b0} ||
       descriptor[DESCRIPTOR_VECTOR_DESTINATION_WORDS1+:8] > {1'b0, vector_blocks, 1'b0};

  // SEED.
  wire [ 9:0] seed_words = descriptor[DESCRIPTOR_SEED_WORDS_PER_PIXEL+:10];
  wire [11:0] seed_channels = descriptor[DESCRIPTOR_SEED_CHANNELS+:12];
  wire        bad_seed = seed_words == 10'd0 || descriptor[DESCRIPTOR_SEED_PIXELS+:16] == 16'd0 ||
       seed_channels == 12'd0 || seed_channels > {seed_words, 2'd0};
  wire        seed_misaligned =
       (|descriptor[DESCRIPTOR_SEED_LOGITS_ADDRESS+:3]) || (|descriptor[DESCRIPTOR_SEED_SEED_ADDRESS+:3]);

  // The conditions, a cycle after the descriptor has come; they enter the result in the cycle after `check`.
  reg source_found, kernel_found, unit_found, destination_found, weights_found, vector_found, matrix_found, misaligned_found;
  reg seed_found, head_found;
  reg checking;
  always @(posedge clk) begin
    source_found      <= bad_source && opcode == OPCODE_TILE;
    kernel_found      <= bad_kernel && opcode == OPCODE_TILE;
    unit_found        <= bad_unit && opcode == OPCODE_TILE;
    destination_found <= bad_destination && opcode == OPCODE_TILE;
    weights_found     <= bad_weights && opcode == OPCODE_WEIGHTS;
    vector_found      <= bad_vector && opcode == OPCODE_VECTOR;
    matrix_found      <= bad_matrix && opcode == OPCODE_VECTOR;
    misaligned_found  <= (vector_misaligned && opcode == OPCODE_VECTOR) || (seed_misaligned && opcode == OPCODE_SEED);
    seed_found        <= bad_seed && opcode == OPCODE_SEED;
    head_found        <= checksum != DESCRIPTOR_CHECKSUM_KEY || version != FORMAT_VERSION ||
         (opcode != OPCODE_TILE && opcode != OPCODE_WEIGHTS && opcode != OPCODE_VECTOR && opcode != OPCODE_SEED &&
          opcode != OPCODE_END);
    checking          <= check;
    if (rst) checking <= 1'b0;
  end

  // Products of a TILE: operands, product and comparison in three stages, one product a cycle.
  reg [ 2:0] step;
  reg [ 7:0] factor_a;
  reg [12:0] factor_b;
  reg [20:0] factor_limit;
  reg [20:0] product;
  reg [20:0] product_limit;
  reg stepping;       // operands are chosen
  reg multiplying;    // operands are in their registers
  reg comparing;      // the product is in its register

  wire last_step = opcode != OPCODE_TILE || step == 3'd7;

  always @(posedge clk) begin
    case (step)
      3'd0: {factor_a, factor_b, factor_limit} <= {buffer_rows, 5'd0, buffer_columns, PIXEL_LIMIT};
      3'd1: {factor_a, factor_b, factor_limit} <= {buffer_rows, row_entries, ENTRY_LIMIT};
      3'd2: {factor_a, factor_b, factor_limit} <= {buffer_columns, 2'd0, slot, 8'd0, row_entries};
      3'd3: {factor_a, factor_b, factor_limit} <= {1'b0, taps, 2'd0, tap_rows, WEIGHT_LIMIT};
      3'd4: {factor_a, factor_b, factor_limit} <= {half_rows, 4'd0, buffer_row_words, WORD_LIMIT};
      3'd5: {factor_a, factor_b, factor_limit} <= {columns_stored, 5'd0, buffer_pixel_words, WORD_LIMIT};
      3'd6: {factor_a, factor_b, factor_limit} <= {half_rows, 4'd0, buffer_row_pieces & {9{store_tags}}, WORD_LIMIT};
      default: {factor_a, factor_b, factor_limit} <= {columns_stored, 5'd0, pieces_per_pixel & {8{store_tags}}, WORD_LIMIT};
    endcase
    product <= {13'd0, factor_a} * {8'd0, factor_b};
    product_limit <= factor_limit;

    if (check) begin
      stepping <= 1'b1;
      step <= 3'd0;
    end else begin
      if (last_step) stepping <= 1'b0;
      step <= step + 3'd1;
    end
    multiplying <= stepping;
    comparing   <= multiplying;
    done        <= comparing && !multiplying;

    if (checking)
      illegal <= source_found || kernel_found || unit_found || destination_found || weights_found || vector_found ||
                 matrix_found || misaligned_found || seed_found || head_found;
    else if (comparing && opcode == OPCODE_TILE && product > product_limit) illegal <= 1'b1;

    if (rst) begin
      stepping    <= 1'b0;
      multiplying <= 1'b0;
      comparing   <= 1'b0;
      done        <= 1'b0;
    end
  end

  wire unused_bits = &{1'b0, descriptor};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(one_at_a_time, !check || !(checking || stepping || multiplying || comparing))
  `ASSERT(result_is_known, !done || illegal === 1'b0 || illegal === 1'b1)
`endif
endmodule
`default_nettype wire
