// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// The fields of a job of the tile loader, by the names of the TILE descriptor. Include it in a module with
// input [`TILE_LOADER_JOB_BITS-1:0] job.
wire [23:0] wait_tiles = job[23:0];
wire [23:0] wait_vectors = job[47:24];
wire [31:0] source_address = job[79:48];
wire [31:0] source_row_pitch = job[111:80];
wire [7:0] source_rows = job[119:112];
wire [7:0] source_columns = job[127:120];
wire [9:0] words_per_pixel = job[137:128];
wire [31:0] tag_address = job[169:138];
wire [31:0] tag_row_pitch = job[201:170];
wire load_relu = job[202];
wire unpool = job[203];
wire tags = job[204];
wire by_pixel = job[205];
wire crop_row = job[206];
wire crop_column = job[207];
wire index_channel = job[208];
wire [7:0] buffer_rows = job[216:209];
wire [7:0] buffer_columns = job[224:217];
wire [10:0] slot = job[235:225];
wire [12:0] row_entries = job[248:236];
wire [15:0] source_pixel_pitch = job[264:249];
wire [15:0] tag_pixel_pitch = job[280:265];
