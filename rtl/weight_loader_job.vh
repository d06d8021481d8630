// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// The fields of a job of the weight loader, by the names of the WEIGHTS descriptor. Include it in a module with
// input [`WEIGHT_LOADER_JOB_BITS-1:0] job.
wire [23:0] wait_computed = job[23:0];
wire [31:0] address0 = job[55:24];
wire [31:0] address1 = job[87:56];
wire [10:0] rows = job[98:88];
wire [2:0] blocks = job[101:99];
wire diagonal = job[102];
wire [9:0] weight_base = job[112:103];
wire bias_bank = job[113];
