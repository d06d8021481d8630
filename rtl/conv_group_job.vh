// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// The fields of a job of the conv group, by the names of the TILE descriptor. Include it in a module with
// input [`CONV_GROUP_JOB_BITS-1:0] job.
wire [23:0] wait_weights = job[23:0];
wire [7:0] buffer_rows = job[31:24];
wire [7:0] buffer_columns = job[39:32];
wire [1:0] window = job[41:40];
wire [10:0] slot = job[52:42];
wire [12:0] row_entries = job[65:53];
wire [7:0] unit_rows = job[73:66];
wire [7:0] unit_columns = job[81:74];
wire [3:0] kernel_h = job[85:82];
wire [3:0] kernel_w = job[89:86];
wire [3:0] pack_pixels = job[93:90];
wire [2:0] blocks = job[96:94];
wire [7:0] origin_row = job[104:97];
wire [7:0] origin_column = job[112:105];
wire [5:0] shift = job[118:113];
wire [1:0] stride_y_log2 = job[120:119];
wire relu = job[121];
wire pool = job[122];
wire store_tags = job[123];
wire clip = job[124];
wire from_partial = job[125];
wire to_partial = job[126];
wire [9:0] weight_base = job[136:127];
wire [10:0] tap_rows = job[147:137];
wire [1:0] stride_x_log2 = job[149:148];
wire bias_bank = job[150];
wire [8:0] buffer_row_words = job[159:151];
wire [8:0] buffer_row_pieces = job[168:160];
