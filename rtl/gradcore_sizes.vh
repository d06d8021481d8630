// SPDX-License-Identifier: Apache-2.0
// Generated from registers/sizes.toml by `make registers`: do not edit.
// Include it before a module.
`ifndef GRADCORE_SIZES
`define GRADCORE_SIZES

// Groups of the largest preset: the default of the top.
`define GROUPS 4
// Streams of a group.
`define STREAMS 2
// Lanes (MACs) of a stream: a block of output channels, and the bits of a tag piece.
`define LANES 16
// Lanes of the vector engine, both halves.
`define VECTOR_LANES 8
// Entries (non-zero values) of a bank of the tile buffer.
`define TILE_ENTRIES 8192
// Pixels of a bank of the tile buffer.
`define TILE_PIXELS 512
// Rows of a group's weight buffer, one weight a lane each.
`define WEIGHT_ROWS 1024
// Words, and tag pieces, of one side and bank of the output buffer.
`define OUTPUT_WORDS 512
// Pixels of a stream whose partial sums may wait.
`define PARTIAL_PIXELS 64
// Bits of a pixel's number of entries, and of an entry's channel.
`define COUNT_BITS 11
// Descriptors of a program at most.
`define PROGRAM_LIMIT 65536
// Bursts of an AXI port in flight.
`define OUTSTANDING 8
// Words of the response FIFO of a read client.
`define RESPONSE_WORDS 64
// Bits of a performance counter.
`define COUNTER_BITS 40
// Bits of the number of zeros skipped in a cycle.
`define ZERO_BITS 5
// Cycles for which the units are cleared at least.
`define CLEAR_CYCLES 4
// Cycles after which a run that does not stop is given up.
`define STOP_LIMIT 4096

// Bits of addresses.
`define ENTRY_ADDRESS_BITS 13
`define PIXEL_BITS 9
`define WEIGHT_ADDRESS_BITS 10
`define OUTPUT_ADDRESS_BITS 9
`define PARTIAL_BITS 6

// The read clients on the bus, from 0 on:
// TILE_VALUES0, TILE_TAGS0, TILE_VALUES1, TILE_TAGS1, WEIGHTS0, WEIGHTS1, MATRIX0, MATRIX1, VECTOR, LOGITS, DESCRIPTORS.
`define READ_CLIENTS 11
// Those of one path: their bits of a signal with `width` bits a client. CONV_READS: how many.
`define CONV_READS 6
`define CONV_READ(width) (width)*0+:(width)*6
// Those of one path: their bits of a signal with `width` bits a client. VECTOR_READS: how many.
`define VECTOR_READS 4
`define VECTOR_READ(width) (width)*6+:(width)*4
// Those of one path: their bits of a signal with `width` bits a client. SEQUENCER_READS: how many.
`define SEQUENCER_READS 1
`define SEQUENCER_READ(width) (width)*10+:(width)*1
// Port 0: how many it serves, and their places on the bus, a digit each, the first one last.
`define READ_CLIENTS0 5
`define READ_ORDER0 44'ha6410
`define READ_SHORT0 11'b10010
// Port 1: how many it serves, and their places on the bus, a digit each, the first one last.
`define READ_CLIENTS1 6
`define READ_ORDER1 44'h987532
`define READ_SHORT1 11'b100010

// The write clients on the bus, from 0 on:
// TILE0, TILE1, OUTPUTS0, OUTPUTS1, SEED.
`define WRITE_CLIENTS 5
// Those of one path: their bits of a signal with `width` bits a client. CONV_WRITES: how many.
`define CONV_WRITES 2
`define CONV_WRITE(width) (width)*0+:(width)*2
// Those of one path: their bits of a signal with `width` bits a client. VECTOR_WRITES: how many.
`define VECTOR_WRITES 3
`define VECTOR_WRITE(width) (width)*2+:(width)*3
// Port 0: how many it serves, and their places on the bus, a digit each, the first one last.
`define WRITE_CLIENTS0 3
`define WRITE_ORDER0 20'h420
// Port 1: how many it serves, and their places on the bus, a digit each, the first one last.
`define WRITE_CLIENTS1 2
`define WRITE_ORDER1 20'h31

`endif
