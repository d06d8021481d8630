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
wire [3:0] pitch_log2 = job[140:137];
wire [5:0] shift = job[146:141];
wire [31:0] matrix_address0 = job[178:147];
wire [31:0] matrix_address1 = job[210:179];
wire [31:0] bias_address0 = job[242:211];
wire [31:0] bias_address1 = job[274:243];
wire [31:0] destination_address0 = job[306:275];
wire [31:0] destination_address1 = job[338:307];
wire [7:0] destination_words0 = job[346:339];
wire [7:0] destination_words1 = job[354:347];
wire [31:0] tag_destination0 = job[386:355];
wire [31:0] tag_destination1 = job[418:387];
