// States by slot, of folds and processes: an array that grows, saved as the bytes of the struct `state`. Included by
// refrain_fold.h and refrain_process.h.

#include "refrain.h"

#ifndef REFRAIN_STATE_VERSION
#define REFRAIN_STATE_VERSION 1
#endif

static state *refrain__states;
static size_t refrain__states_len;

static __attribute__((noinline)) void refrain__widen(uint32_t slot) {
  size_t len = refrain__states_len ? refrain__states_len : 64;
  while (len <= slot) len *= 2;
  state *wider = (state *)realloc(refrain__states, len * sizeof(state));
  if (!wider) abort();
  memset(wider + refrain__states_len, 0, (len - refrain__states_len) * sizeof(state));
  refrain__states = wider;
  refrain__states_len = len;
}

static inline state *refrain__state(uint32_t slot) {
  if (slot >= refrain__states_len) refrain__widen(slot);
  return &refrain__states[slot];
}

#ifdef __wasm__
typedef struct { uint8_t failed; union { refrain__spans states; struct { uint8_t tag; refrain__string text; } failure; } is; } refrain__saved;
typedef struct { uint8_t failed; struct { uint8_t tag; refrain__string text; } failure; } refrain__restored;

// `forgetful`: the initial state, all zeroes, is saved as no bytes, so that the host can forget its key.
static inline const refrain__saved *refrain__save(const uint32_t *slots, uint32_t len, bool forgetful) {
  static const state initial;
  static refrain__saved said;
  uint32_t *ends = (uint32_t *)refrain__allot(len * sizeof(uint32_t), 8);
  state *states = (state *)refrain__allot(len * sizeof(state), 8);
  uint32_t count = 0;
  for (uint32_t i = 0; i < len; i++) {
    const state *kept = refrain__state(slots[i]);
    if (!forgetful || memcmp(kept, &initial, sizeof(state))) memcpy(&states[count++], kept, sizeof(state));
    ends[i] = count * (uint32_t)sizeof(state);
  }
  said = (refrain__saved){0};
  said.is.states = (refrain__spans){ends, len, (const uint8_t *)states, count * (uint32_t)sizeof(state)};
  return &said;
}

static inline const refrain__restored *refrain__restore(const uint32_t *slots, uint32_t len, const uint32_t *ends,
                                                        uint32_t ends_len, const uint8_t *bytes) {
  static refrain__restored said;
  said = (refrain__restored){0};
  bool fit = ends_len == len;
  for (uint32_t i = 0; fit && i < len; i++) fit = ends[i] == (i + 1) * sizeof(state);
  if (!fit) {
    said.failed = 1;
    said.failure.text = REFRAIN__STRING("a saved state is of another size: raise REFRAIN_STATE_VERSION");
    return &said;
  }
  for (uint32_t i = 0; i < len; i++) memcpy(refrain__state(slots[i]), bytes + i * sizeof(state), sizeof(state));
  return &said;
}

static inline void refrain__release(const uint32_t *slots, uint32_t len) {
  for (uint32_t i = 0; i < len; i++) memset(refrain__state(slots[i]), 0, sizeof(state));
  refrain__forget();
}
#endif
