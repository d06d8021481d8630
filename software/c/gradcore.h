// SPDX-License-Identifier: Apache-2.0
//
// Driver of the core for software without an operating system: C99, nothing of libc but memcpy. `gradcore bundle` writes
// what it runs: c/gradcore_program.h and c/gradcore_image.bin. docs/board.md has an example.
#ifndef GRADCORE_H
#define GRADCORE_H

#include <stdint.h>

#include "gradcore_registers.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gradcore_status {
  GRADCORE_OK = 0,
  GRADCORE_NO_CORE = -1,        // IDENTIFIER is another: wrong bitstream or address
  GRADCORE_WRONG_VERSION = -2,  // the bitstream is of another version than the headers
  GRADCORE_WRONG_PRESET = -3,   // the program is for a core of other sizes
  GRADCORE_NO_PROGRAM = -4,     // gradcore_load has not succeeded
  GRADCORE_BAD_ARGUMENT = -5,   // no such method or class
  GRADCORE_TIMEOUT = -6,        // the run did not end in time; it was stopped
  GRADCORE_STOPPED = -7,        // the run ended with an error: code, descriptor and address of struct gradcore
  GRADCORE_STUCK = -8,          // the core stays busy after a soft reset: its memory does not answer
};

#define GRADCORE_PREDICTED (-1)  // as target: the class that the network sees

// A feature map in memory: height x width pixels of `channels` values of 16 bits each, which take the place of `pitch`.
struct gradcore_map {
  uint32_t offset;  // bytes from the program's base
  uint16_t height, width, channels, pitch;
};

// What `gradcore bundle` says of a program.
struct gradcore_program {
  uint32_t base;                                          // physical address of the image
  uint32_t memory_bytes, image_bytes, descriptor_offset;  // memory that it needs, image, first descriptor
  uint16_t groups, lanes, tile_entries, tile_pixels, weight_rows, output_words;
  struct gradcore_map picture, logits, seed, attribution;
  int16_t logit_fraction, attribution_fraction;  // real value = raw * 2^-fraction
  const int16_t *pixel_values;                   // 256 x channels: the quantised value of each pixel value
};

// What the board gives. Caches: `start` and `bytes` are whole lines of 32 bytes, and both functions end with a barrier, as
// Xil_DCacheFlushRange and Xil_DCacheInvalidateRange do; without caches leave both NULL.
struct gradcore_io {
  void *context;
  uint32_t (*read32)(void *context, uint32_t offset);
  void (*write32)(void *context, uint32_t offset, uint32_t value);
  void (*flush)(void *context, void *start, uint32_t bytes);
  void (*invalidate)(void *context, void *start, uint32_t bytes);
};

struct gradcore {
  const struct gradcore_io *io;
  const struct gradcore_program *program;
  uint8_t *memory;                     // where the processor sees the program's base
  uint32_t code, descriptor, address;  // of the last run that failed: enum gradcore_code, DESCRIPTOR_INDEX, ERROR_ADDRESS
  uint64_t cycles;                     // of the last run
  int32_t predicted;                   // class of the last run, by its number
};

// Registers that are mapped in memory, for struct gradcore_io; context is their address (0x43C00000 in our block design).
uint32_t gradcore_mmio_read32(void *context, uint32_t offset);
void gradcore_mmio_write32(void *context, uint32_t offset, uint32_t value);

// Check that there is a core of this version; end a run that goes on.
int gradcore_open(struct gradcore *core, const struct gradcore_io *io);
// Put a program in `memory`, where the processor sees program->base: memory_bytes, whole pages.
int gradcore_load(struct gradcore *core, const struct gradcore_program *program, const void *image, void *memory);
// Quantise pixels, height x width x channels, and put them in memory.
int gradcore_put_picture(struct gradcore *core, const uint8_t *pixels);
// Run, forward and backward. target: a class, or GRADCORE_PREDICTED. polls: most reads of STATUS before the run is given up.
int gradcore_run(struct gradcore *core, enum gradcore_method method, int32_t target, uint32_t polls);
// Results as C x H x W values: attribution, and logits in the order of the classes.
int gradcore_get(struct gradcore *core, const struct gradcore_map *map, int16_t *values);

#ifdef __cplusplus
}
#endif
#endif
