// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// The fields of a job of the vector engine, by the names of the VECTOR descriptor. Include it in a module with
// input [`VECTOR_ENGINE_JOB_BITS-1:0] job.
wire [23:0] wait_tiles = job[23:0];
wire [23:0] wait_vectors = job[47:24];
wire [31:0] vector_address = job[79:48];
wire [19:0] vector_words = job[99:80];
wire [31:0] tag_address = job[131:100];
wire load_relu = job[132];
wire tags = job[133];
wire has_bias = job[134];
wire relu = job[135];
wire store_tags = job[136];
wire keep = job[137];
wire [3:0] pitch_log2 = job[141:138];
wire [5:0] shift = job[147:142];
wire [31:0] matrix_address0 = job[179:148];
wire [31:0] matrix_address1 = job[211:180];
wire [31:0] bias_address0 = job[243:212];
wire [31:0] bias_address1 = job[275:244];
wire [31:0] destination_address0 = job[307:276];
wire [31:0] destination_address1 = job[339:308];
wire [7:0] destination_words0 = job[347:340];
wire [7:0] destination_words1 = job[355:348];
wire [31:0] tag_destination0 = job[387:356];
wire [31:0] tag_destination1 = job[419:388];
