// SPDX-License-Identifier: Apache-2.0
#include "gradcore.h"

#include <stddef.h>
#include <string.h>  // memcpy

#define REGISTER(name) ((uint32_t)offsetof(gradcore_registers_t, name))
#define MASK(name) GRADCORE_REGISTERS__##name##_bm
#define RESET(name) GRADCORE_REGISTERS__##name##_reset
#define FIELD(value, name) (((value) & MASK(name)) >> GRADCORE_REGISTERS__##name##_bp)
#define CACHE_LINE 32u
#define WATCHDOG_CYCLES 1000000u
#define RESET_POLLS 1000000u

uint32_t gradcore_mmio_read32(void *context, uint32_t offset) {
  return *(volatile uint32_t *)((uintptr_t)context + offset);
}

void gradcore_mmio_write32(void *context, uint32_t offset, uint32_t value) {
  *(volatile uint32_t *)((uintptr_t)context + offset) = value;
}

static uint32_t get(struct gradcore *core, uint32_t offset) { return core->io->read32(core->io->context, offset); }

static void put(struct gradcore *core, uint32_t offset, uint32_t value) { core->io->write32(core->io->context, offset, value); }

static uint32_t lines(uint32_t bytes) { return (bytes + CACHE_LINE - 1) & ~(CACHE_LINE - 1); }

static uint32_t map_bytes(const struct gradcore_map *map) { return 2u * map->height * map->width * map->pitch; }

static void flush(struct gradcore *core, uint32_t offset, uint32_t bytes) {
  if (core->io->flush) core->io->flush(core->io->context, core->memory + offset, lines(bytes));
}

static void invalidate(struct gradcore *core, uint32_t offset, uint32_t bytes) {
  if (core->io->invalidate) core->io->invalidate(core->io->context, core->memory + offset, lines(bytes));
}

// End a run: nothing is written to memory afterwards.
static int stop(struct gradcore *core) {
  put(core, REGISTER(CONTROL), MASK(CONTROL__SOFT_RESET));
  for (uint32_t polls = 0; polls < RESET_POLLS; polls++) {
    if (!(get(core, REGISTER(STATUS)) & MASK(STATUS__BUSY))) return GRADCORE_OK;
  }
  return GRADCORE_STUCK;
}

int gradcore_open(struct gradcore *core, const struct gradcore_io *io) {
  core->io = io;
  core->program = NULL;
  if (get(core, REGISTER(IDENTIFIER)) != RESET(IDENTIFIER__VALUE)) return GRADCORE_NO_CORE;
  const uint32_t version = get(core, REGISTER(VERSION)), configuration = get(core, REGISTER(CONFIGURATION));
  if (FIELD(version, VERSION__MAJOR) != RESET(VERSION__MAJOR) || FIELD(version, VERSION__MINOR) < RESET(VERSION__MINOR) ||
      FIELD(configuration, CONFIGURATION__DESCRIPTOR_VERSION) != RESET(CONFIGURATION__DESCRIPTOR_VERSION)) {
    return GRADCORE_WRONG_VERSION;
  }
  return get(core, REGISTER(STATUS)) & MASK(STATUS__BUSY) ? stop(core) : GRADCORE_OK;
}

int gradcore_load(struct gradcore *core, const struct gradcore_program *program, const void *image, void *memory) {
  const uint32_t configuration = get(core, REGISTER(CONFIGURATION)), tile = get(core, REGISTER(CONFIGURATION_TILE));
  const uint32_t buffers = get(core, REGISTER(CONFIGURATION_BUFFERS));
  core->program = NULL;
  if (FIELD(configuration, CONFIGURATION__GROUPS) != program->groups || FIELD(configuration, CONFIGURATION__LANES) != program->lanes ||
      FIELD(tile, CONFIGURATION_TILE__ENTRIES) != program->tile_entries || FIELD(tile, CONFIGURATION_TILE__PIXELS) != program->tile_pixels ||
      FIELD(buffers, CONFIGURATION_BUFFERS__WEIGHT_ROWS) != program->weight_rows ||
      FIELD(buffers, CONFIGURATION_BUFFERS__OUTPUT_WORDS) != program->output_words) {
    return GRADCORE_WRONG_PRESET;
  }
  core->memory = memory;
  memcpy(core->memory, image, program->image_bytes);
  flush(core, 0, program->memory_bytes);  // all: what the cache holds of the rest must not be written over results
  put(core, REGISTER(PROGRAM_ADDRESS), program->base + program->descriptor_offset);
  put(core, REGISTER(WINDOW_BASE), program->base);
  put(core, REGISTER(WINDOW_LIMIT), program->base + program->memory_bytes);
  put(core, REGISTER(WATCHDOG), WATCHDOG_CYCLES);
  core->program = program;
  return GRADCORE_OK;
}

int gradcore_put_picture(struct gradcore *core, const uint8_t *pixels) {
  if (!core->program) return GRADCORE_NO_PROGRAM;
  const struct gradcore_map *map = &core->program->picture;
  int16_t *to = (int16_t *)(core->memory + map->offset);
  for (uint32_t pixel = 0; pixel < (uint32_t)map->height * map->width; pixel++) {
    for (uint32_t channel = 0; channel < map->pitch; channel++) {
      *to++ = channel < map->channels ? core->program->pixel_values[*pixels++ * map->channels + channel] : 0;
    }
  }
  flush(core, map->offset, map_bytes(map));
  return GRADCORE_OK;
}

// A class's place among the logits in memory, padding included: classes are numbered C x H x W, memory is H x W x pitch.
static uint32_t place_of(const struct gradcore_map *map, uint32_t class) {
  const uint32_t pixels = (uint32_t)map->height * map->width;
  return class % pixels * map->pitch + class / pixels;
}

int gradcore_run(struct gradcore *core, enum gradcore_method method, int32_t target, uint32_t polls) {
  if (!core->program) return GRADCORE_NO_PROGRAM;
  const struct gradcore_map *logits = &core->program->logits;
  const uint32_t classes = (uint32_t)logits->height * logits->width * logits->channels;
  if ((uint32_t)method > GRADCORE_METHOD_GUIDED || (target != GRADCORE_PREDICTED && (target < 0 || (uint32_t)target >= classes))) {
    return GRADCORE_BAD_ARGUMENT;
  }
  put(core, REGISTER(METHOD), method);
  put(core, REGISTER(SEED_MODE), target == GRADCORE_PREDICTED ? GRADCORE_SEED_MODE_ARG_MAX : GRADCORE_SEED_MODE_INDEX);
  if (target != GRADCORE_PREDICTED) put(core, REGISTER(SEED_INDEX), place_of(logits, (uint32_t)target));
  put(core, REGISTER(CONTROL), MASK(CONTROL__START) | MASK(CONTROL__EXPLAIN));
  uint32_t status = 0;
  while (polls-- && !(status & MASK(STATUS__DONE))) status = get(core, REGISTER(STATUS));
  core->code = FIELD(status, STATUS__CODE);
  core->descriptor = get(core, REGISTER(DESCRIPTOR_INDEX));
  core->address = get(core, REGISTER(ERROR_ADDRESS));
  if (!(status & MASK(STATUS__DONE))) return stop(core) == GRADCORE_OK ? GRADCORE_TIMEOUT : GRADCORE_STUCK;
  put(core, REGISTER(INTERRUPT), MASK(INTERRUPT__PENDING));
  core->cycles = get(core, REGISTER(CYCLES.LOW));  // keeps the high word of this moment
  core->cycles |= (uint64_t)get(core, REGISTER(CYCLES.HIGH)) << 32;
  if (status & MASK(STATUS__ERROR)) return GRADCORE_STOPPED;
  const uint32_t place = get(core, REGISTER(CLASS_INDEX)), pixels = (uint32_t)logits->height * logits->width;
  core->predicted = (int32_t)(place % logits->pitch * pixels + place / logits->pitch);
  return GRADCORE_OK;
}

int gradcore_get(struct gradcore *core, const struct gradcore_map *map, int16_t *values) {
  if (!core->program) return GRADCORE_NO_PROGRAM;
  const uint32_t pixels = (uint32_t)map->height * map->width;
  const int16_t *from = (const int16_t *)(core->memory + map->offset);
  invalidate(core, map->offset, map_bytes(map));
  for (uint32_t channel = 0; channel < map->channels; channel++) {
    for (uint32_t pixel = 0; pixel < pixels; pixel++) *values++ = from[pixel * map->pitch + channel];
  }
  return GRADCORE_OK;
}
