// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// The fields of a job of the seed unit, by the names of the SEED descriptor. Include it in a module with
// input [`SEED_UNIT_JOB_BITS-1:0] job.
wire [23:0] wait_tiles = job[23:0];
wire [23:0] wait_vectors = job[47:24];
wire [31:0] logits_address = job[79:48];
wire [9:0] words_per_pixel = job[89:80];
wire [15:0] pixels = job[105:90];
wire [11:0] channels = job[117:106];
wire [31:0] seed_address = job[149:118];
wire [15:0] seed_value = job[165:150];
