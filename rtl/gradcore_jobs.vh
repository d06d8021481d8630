// SPDX-License-Identifier: Apache-2.0
// Generated from registers/gradcore.rdl by `make registers`: do not edit.
// Include it before a module. A job is what a unit takes of a descriptor: `x_JOB_BITS is its width, `x_JOB(descriptor) picks
// it; x_job.vh, included inside a module with a port `job`, gives its fields their names.
`ifndef GRADCORE_JOBS
`define GRADCORE_JOBS

// Of a TILE descriptor.
`define TILE_LOADER_JOB_BITS 281
`define TILE_LOADER_JOB(descriptor) { \
  descriptor[767:736], descriptor[380:368], descriptor[362:352], descriptor[343:327], descriptor[325:256], \
  descriptor[249:160], descriptor[119:96], descriptor[87:64]}

// Of a TILE descriptor.
`define CONV_GROUP_JOB_BITS 169
`define CONV_GROUP_JOB(descriptor) { \
  descriptor[712:704], descriptor[600:592], descriptor[479], descriptor[476:464], descriptor[457:448], \
  descriptor[445:416], descriptor[414:384], descriptor[380:368], descriptor[362:352], descriptor[345:328], \
  descriptor[151:128]}

// Of a TILE descriptor.
`define TILE_STORE_JOB_BITS 222
`define TILE_STORE_JOB(descriptor) { \
  descriptor[712:704], descriptor[695:608], descriptor[600:575], descriptor[569:480], descriptor[442], \
  descriptor[391:384]}

// Of a WEIGHTS descriptor.
`define WEIGHT_LOADER_JOB_BITS 114
`define WEIGHT_LOADER_JOB(descriptor) { \
  descriptor[287], descriptor[265:256], descriptor[248], descriptor[242:240], descriptor[234:160], \
  descriptor[151:128]}

// Of a VECTOR descriptor.
`define VECTOR_ENGINE_JOB_BITS 421
`define VECTOR_ENGINE_JOB(descriptor) { \
  descriptor[575:512], descriptor[503:496], descriptor[487:288], descriptor[285:280], descriptor[275:272], \
  descriptor[263:258], descriptor[256:224], descriptor[211:160], descriptor[119:96], descriptor[87:64]}

// Of a SEED descriptor.
`define SEED_UNIT_JOB_BITS 166
`define SEED_UNIT_JOB(descriptor) { \
  descriptor[303:256], descriptor[235:208], descriptor[201:160], descriptor[119:96], descriptor[87:64]}

`endif
