// A fold in C: a state for each key and window, in an array by slot. Before the include:
//
//     typedef struct { int64_t rows; } state;      // plain values, no pointers; starts as zeroes
//     #define REFRAIN_NAME "..."
//     #define REFRAIN_INPUTS(FIELD, NULLABLE) FIELD(value, i64)
//     #define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELD(rows, i64) NULLABLE(mean, f64)
//     #include "refrain_fold.h"
//
// and after it the functions declared below. A state is saved as its own bytes: change the struct, and raise
// REFRAIN_STATE_VERSION.

#include "refrain.h"

#ifndef REFRAIN_STATE_VERSION
#define REFRAIN_STATE_VERSION 1
#endif

// Takes a row into the state of its key and window.
static void update(state *state, const input *row);
// What the view shows for the state; false: nothing, and a row shown before goes away.
static bool evaluate(const state *state, output *shown);
#ifdef REFRAIN_CHECK
// NULL: the row is taken. Otherwise why not; asked before update, so that nothing has been touched.
static const char *check(const state *state, const input *row);
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
typedef struct { uint8_t failed; union { refrain__list rejects; struct { uint8_t tag; refrain__string text; } failure; } is; } refrain__updated;
typedef struct { uint8_t failed; union { struct { refrain__rows rows; refrain__list present; } done; struct { uint8_t tag; refrain__string text; } failure; } is; } refrain__evaluated;
typedef struct { uint8_t failed; union { refrain__spans states; struct { uint8_t tag; refrain__string text; } failure; } is; } refrain__saved;
typedef struct { uint8_t failed; struct { uint8_t tag; refrain__string text; } failure; } refrain__restored;

REFRAIN__EXPORT("refrain:plugin/about@0.1.0#describe") const refrain__description *refrain__export_describe(void) {
  return refrain__describe(REFRAIN_STATE_VERSION);
}

#define REFRAIN__AFTER(function, name) \
  REFRAIN__EXPORT("cabi_post_refrain:plugin/fold@0.1.0#" function) void name(void *said) { (void)said; refrain__forget(); }
REFRAIN__AFTER("update", refrain__after_update)
REFRAIN__AFTER("evaluate", refrain__after_evaluate)
REFRAIN__AFTER("save", refrain__after_save)
REFRAIN__AFTER("restore", refrain__after_restore)

#ifdef REFRAIN_CHECK
// Adds a reject; the list grows by doubling.
static void refrain__refuse(refrain__list *list, uint32_t *room, uint32_t row, const char *reason) {
  if (list->len == *room) {
    uint32_t wider = *room ? *room * 2 : 16;
    list->ptr = refrain__grown((void *)list->ptr, *room * sizeof(refrain__reject), wider * sizeof(refrain__reject));
    *room = wider;
  }
  size_t len = strlen(reason);
  uint8_t *copy = (uint8_t *)refrain_take(len + 1);
  memcpy(copy, reason, len);
  ((refrain__reject *)list->ptr)[list->len++] = (refrain__reject){row, {copy, (uint32_t)len}};
}
#endif

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#update")
const refrain__updated *refrain__export_update(uint32_t count, const refrain__column *given, uint32_t given_len,
                                               const uint32_t *rows, uint32_t rows_len, const uint32_t *slots,
                                               uint32_t slots_len) {
  static refrain__updated said;
  said = (refrain__updated){0};
  (void)count;
  if (!refrain__fit(given, given_len)) {
    said.failed = 1;
    said.is.failure.text = REFRAIN__STRING("the host sent other columns than declared");
    return &said;
  }
  refrain__column columns[REFRAIN__INPUTS + 1];
  memcpy(columns, given, REFRAIN__INPUTS * sizeof(refrain__column));
#ifdef REFRAIN_CHECK
  uint32_t room = 0;
  // The entries of a row stand together: all of its states are asked before any is touched.
  for (uint32_t i = 0, end; i < slots_len; i = end) {
    uint32_t row = rows_len ? rows[i] : i;
    end = i + 1;
    while (rows_len && end < rows_len && rows[end] == row) end++;
    input read = refrain__read(columns, row);
    const char *reason = NULL;
    for (uint32_t at = i; at < end && !reason; at++) reason = check(refrain__state(slots[at]), &read);
    if (reason) {
      refrain__refuse(&said.is.rejects, &room, row, reason);
      continue;
    }
    for (uint32_t at = i; at < end; at++) update(refrain__state(slots[at]), &read);
  }
#else
  if (rows_len == 0) {
    for (uint32_t i = 0; i < slots_len; i++) {
      input read = refrain__read(columns, i);
      update(refrain__state(slots[i]), &read);
    }
  } else {
    for (uint32_t i = 0; i < slots_len; i++) {
      input read = refrain__read(columns, rows[i]);
      update(refrain__state(slots[i]), &read);
    }
  }
#endif
  return &said;
}

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#evaluate")
const refrain__evaluated *refrain__export_evaluate(const uint32_t *slots, uint32_t slots_len, uint32_t keys_count,
                                                   const refrain__column *keys, uint32_t keys_len) {
  static refrain__evaluated said;
  refrain__builder columns[REFRAIN__OUTPUTS + 1];
  (void)keys_count, (void)keys, (void)keys_len;
  memset(columns, 0, sizeof columns);
  uint8_t *present = (uint8_t *)refrain__allot(slots_len, 1);
  bool all = true;
  for (uint32_t i = 0; i < slots_len; i++) {
    output shown;
    memset(&shown, 0, sizeof shown);
    present[i] = evaluate(refrain__state(slots[i]), &shown);
    if (!present[i]) {
      all = false;
      memset(&shown, 0, sizeof shown);
    }
    refrain__write(columns, i, &shown);
  }
  said = (refrain__evaluated){0};
  said.is.done.rows = refrain__written(columns, slots_len);
  if (!all) said.is.done.present = (refrain__list){refrain__bitmap(present, slots_len), (slots_len + 7) / 8};
  return &said;
}

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#save")
const refrain__saved *refrain__export_save(const uint32_t *slots, uint32_t len) {
  static refrain__saved said;
  uint32_t *ends = (uint32_t *)refrain__allot(len * sizeof(uint32_t), 8);
  state *states = (state *)refrain__allot(len * sizeof(state), 8);
  for (uint32_t i = 0; i < len; i++) {
    memcpy(&states[i], refrain__state(slots[i]), sizeof(state));
    ends[i] = (i + 1) * (uint32_t)sizeof(state);
  }
  said = (refrain__saved){0};
  said.is.states = (refrain__spans){ends, len, (const uint8_t *)states, len * (uint32_t)sizeof(state)};
  return &said;
}

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#restore")
const refrain__restored *refrain__export_restore(const uint32_t *slots, uint32_t len, const uint32_t *ends,
                                                 uint32_t ends_len, const uint8_t *bytes, uint32_t bytes_len) {
  static refrain__restored said;
  said = (refrain__restored){0};
  bool fit = ends_len == len && bytes_len == (uint64_t)len * sizeof(state);
  for (uint32_t i = 0; fit && i < len; i++) fit = ends[i] == (i + 1) * sizeof(state);
  if (!fit) {
    said.failed = 1;
    said.failure.text = REFRAIN__STRING("a saved state is of another size: raise REFRAIN_STATE_VERSION");
    return &said;
  }
  for (uint32_t i = 0; i < len; i++) memcpy(refrain__state(slots[i]), bytes + i * sizeof(state), sizeof(state));
  return &said;
}

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#release")
void refrain__export_release(const uint32_t *slots, uint32_t len) {
  for (uint32_t i = 0; i < len; i++) memset(refrain__state(slots[i]), 0, sizeof(state));
  refrain__forget();
}
#endif
