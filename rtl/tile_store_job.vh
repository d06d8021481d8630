// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// The fields of a job of the tile store, by the names of the TILE descriptor. Include it in a module with
// input [`TILE_STORE_JOB_BITS-1:0] job.
wire [7:0] unit_rows = job[7:0];
wire store_tags = job[8];
wire [31:0] destination_address = job[40:9];
wire [31:0] destination_row_pitch = job[72:41];
wire [15:0] destination_pixel_pitch = job[88:73];
wire [9:0] words_per_pixel_stored = job[98:89];
wire contiguous = job[99];
wire [7:0] columns_stored = job[107:100];
wire [7:0] buffer_pixel_words = job[115:108];
wire [8:0] buffer_row_words = job[124:116];
wire [31:0] tag_destination = job[156:125];
wire [31:0] tag_destination_row_pitch = job[188:157];
wire [15:0] tag_destination_pixel_pitch = job[204:189];
wire [7:0] pieces_per_pixel = job[212:205];
wire [8:0] buffer_row_pieces = job[221:213];
