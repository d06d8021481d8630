// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// The fields of a job of the conv group, by the names of the TILE descriptor. Include it in a module with
// input [`CONV_GROUP_JOB_BITS-1:0] job.
wire [23:0] wait_weights = job[23:0];
wire [7:0] buffer_rows = job[31:24];
wire [7:0] buffer_columns = job[39:32];
wire [10:0] slot = job[50:40];
wire [12:0] row_entries = job[63:51];
wire [7:0] unit_rows = job[71:64];
wire [7:0] unit_columns = job[79:72];
wire [3:0] kernel_h = job[83:80];
wire [3:0] kernel_w = job[87:84];
wire [3:0] pack_pixels = job[91:88];
wire [2:0] blocks = job[94:92];
wire [7:0] origin_row = job[102:95];
wire [7:0] origin_column = job[110:103];
wire [5:0] shift = job[116:111];
wire [1:0] stride_y_log2 = job[118:117];
wire relu = job[119];
wire pool = job[120];
wire store_tags = job[121];
wire clip = job[122];
wire from_partial = job[123];
wire to_partial = job[124];
wire [9:0] weight_base = job[134:125];
wire [10:0] tap_rows = job[145:135];
wire [1:0] stride_x_log2 = job[147:146];
wire bias_bank = job[148];
wire [8:0] buffer_row_words = job[157:149];
wire [8:0] buffer_row_pieces = job[166:158];
