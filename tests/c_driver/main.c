// SPDX-License-Identifier: Apache-2.0
//
// Runs the driver of software/c against the simulated core: registers and memory are at the other end of two pipes, which
// tests/test_c_driver.py serves. A message is a letter and two words; F carries memory there, I brings it back.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradcore.h"
#include "gradcore_program.h"
#include "gradcore_sample.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static uint8_t *memory, *image;
static int forget;  // F or I: this message is not sent

static void send(char letter, uint32_t first, uint32_t second) {
  const uint32_t words[3] = {(uint32_t)letter, first, second};
  fwrite(words, sizeof words, 1, stdout);
}

static void receive(void *data, size_t bytes) {
  fflush(stdout);
  if (fread(data, 1, bytes, stdin) != bytes) exit(99);
}

static uint32_t read32(void *context, uint32_t offset) {
  uint32_t value;
  (void)context;
  send('R', offset, 0);
  receive(&value, sizeof value);
  return value;
}

static void write32(void *context, uint32_t offset, uint32_t value) {
  (void)context;
  send('W', offset, value);
}

static void flush(void *context, void *start, uint32_t bytes) {
  (void)context;
  if (forget == 'F') return;
  send('F', (uint32_t)((uint8_t *)start - memory), bytes);
  fwrite(start, bytes, 1, stdout);
}

static void invalidate(void *context, void *start, uint32_t bytes) {
  (void)context;
  if (forget == 'I') return;
  send('I', (uint32_t)((uint8_t *)start - memory), bytes);
  receive(start, bytes);
}

static int differ(const char *what, const int16_t *values, const int16_t *wanted, int count) {
  int wrong = 0;
  for (int i = 0; i < count; i++) wrong += values[i] != wanted[i];
  if (wrong) fprintf(stderr, "%s: %d of %d values differ\n", what, wrong, count);
  return wrong;
}

static int fail(const char *what, int status) {
  fprintf(stderr, "%s: %d\n", what, status);
  return 1;
}

int main(int argc, char **argv) {
  static const struct gradcore_io io = {NULL, read32, write32, flush, invalidate};
  static int16_t logits[COUNT(gradcore_sample_logits)], attribution[COUNT(gradcore_sample_guided)];
  const int16_t *wanted[] = {gradcore_sample_saliency, gradcore_sample_deconvnet, gradcore_sample_guided};
  const uint32_t polls = argc > 3 ? (uint32_t)atoi(argv[3]) : 1000000;
  struct gradcore core;
  int status, wrong = 0;
  forget = argc > 2 ? argv[2][0] : 0;
  memory = aligned_alloc(4096, gradcore_program.memory_bytes);
  image = malloc(gradcore_program.image_bytes);
  FILE *file = fopen(argv[1], "rb");
  if (!memory || !image || !file || fread(image, 1, gradcore_program.image_bytes, file) != gradcore_program.image_bytes) return 98;
  if ((status = gradcore_open(&core, &io))) return fail("open", status);
  if ((status = gradcore_put_picture(&core, gradcore_sample_picture)) != GRADCORE_NO_PROGRAM) return fail("no program", status);
  if ((status = gradcore_load(&core, &gradcore_program, image, memory))) return fail("load", status);
  gradcore_put_picture(&core, gradcore_sample_picture);
  for (int target = COUNT(gradcore_sample_logits); target >= -2; target -= COUNT(gradcore_sample_logits) + 2) {
    if (gradcore_run(&core, GRADCORE_METHOD_GUIDED, target, polls) != GRADCORE_BAD_ARGUMENT) return fail("target", target);
  }
  for (int method = 0; method < 3; method++) {
    for (int again = 0; again < 2; again++) {  // the predicted class, then the same by its number
      const int target = again ? core.predicted : GRADCORE_PREDICTED;
      if ((status = gradcore_run(&core, (enum gradcore_method)method, target, polls))) {
        fprintf(stderr, "code %u descriptor %u address %#x\n", core.code, core.descriptor, core.address);
        return fail("run", status);
      }
      gradcore_get(&core, &gradcore_program.logits, logits);
      gradcore_get(&core, &gradcore_program.attribution, attribution);
      wrong += differ("logits", logits, gradcore_sample_logits, COUNT(logits));
      wrong += differ("attribution", attribution, wanted[method], COUNT(attribution));
    }
  }
  fprintf(stderr, "class %d, %llu cycles\n", core.predicted, (unsigned long long)core.cycles);
  return wrong ? 2 : 0;
}
