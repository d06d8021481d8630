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
wire clip = job[138];
wire [3:0] pitch_log2 = job[142:139];
wire [5:0] shift = job[148:143];
wire [31:0] matrix_address0 = job[180:149];
wire [31:0] matrix_address1 = job[212:181];
wire [31:0] bias_address0 = job[244:213];
wire [31:0] bias_address1 = job[276:245];
wire [31:0] destination_address0 = job[308:277];
wire [31:0] destination_address1 = job[340:309];
wire [7:0] destination_words0 = job[348:341];
wire [7:0] destination_words1 = job[356:349];
wire [31:0] tag_destination0 = job[388:357];
wire [31:0] tag_destination1 = job[420:389];
