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

#include "refrain_states.h"

#ifndef REFRAIN_INPUTS
#error "define REFRAIN_INPUTS(FIELD, NULLABLE) before this include: FIELD(name, type) for each field that is read"
#endif
REFRAIN__ROW(input, REFRAIN_INPUTS)

// Takes a row into the state of its key and window.
static void update(state *state, const input *row);
// What the view shows for the state; false: nothing, and a row shown before goes away.
static bool evaluate(const state *state, output *shown);
#ifdef REFRAIN_CHECK
// NULL: the row is taken. Otherwise why not; asked before update, so that nothing has been touched.
static const char *check(const state *state, const input *row);
#endif

#ifdef __wasm__
typedef struct { uint8_t failed; union { refrain__list rejects; struct { uint8_t tag; refrain__string text; } failure; } is; } refrain__updated;
typedef struct { uint8_t failed; union { struct { refrain__rows rows; refrain__list present; } done; struct { uint8_t tag; refrain__string text; } failure; } is; } refrain__evaluated;

REFRAIN__EXPORT("refrain:plugin/about@0.1.0#describe") const refrain__description *refrain__export_describe(void) {
  return refrain__describe((refrain__list){refrain__fields_input, REFRAIN__WIDTH_input}, REFRAIN_STATE_VERSION);
}

#define REFRAIN__AFTER(function, name) \
  REFRAIN__EXPORT("cabi_post_refrain:plugin/fold@0.1.0#" function) void name(void *said) { (void)said; refrain__forget(); }
REFRAIN__AFTER("update", refrain__after_update)
REFRAIN__AFTER("evaluate", refrain__after_evaluate)
REFRAIN__AFTER("save", refrain__after_save)
REFRAIN__AFTER("restore", refrain__after_restore)

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#update")
const refrain__updated *refrain__export_update(uint32_t count, const refrain__column *given, uint32_t given_len,
                                               const uint32_t *rows, uint32_t rows_len, const uint32_t *slots,
                                               uint32_t slots_len) {
  static refrain__updated said;
  said = (refrain__updated){0};
  (void)count;
  if (!refrain__fit_input(given, given_len)) {
    said.failed = 1;
    said.is.failure.text = REFRAIN__STRING("the host sent other columns than declared");
    return &said;
  }
  refrain__column columns[REFRAIN__WIDTH_input + 1];
  memcpy(columns, given, REFRAIN__WIDTH_input * sizeof(refrain__column));
#ifdef REFRAIN_CHECK
  refrain__growing rejects = {0};
  // The entries of a row stand together: all of its states are asked before any is touched.
  for (uint32_t i = 0, end; i < slots_len; i = end) {
    uint32_t row = rows_len ? rows[i] : i;
    end = i + 1;
    while (rows_len && end < rows_len && rows[end] == row) end++;
    input read = refrain__read_input(columns, row);
    const char *reason = NULL;
    for (uint32_t at = i; at < end && !reason; at++) reason = check(refrain__state(slots[at]), &read);
    if (reason) {
      refrain__refuse(&rejects, row, reason);
      continue;
    }
    for (uint32_t at = i; at < end; at++) update(refrain__state(slots[at]), &read);
  }
  said.is.rejects = refrain__listed(&rejects);
#else
  if (rows_len == 0) {
    for (uint32_t i = 0; i < slots_len; i++) {
      input read = refrain__read_input(columns, i);
      update(refrain__state(slots[i]), &read);
    }
  } else {
    for (uint32_t i = 0; i < slots_len; i++) {
      input read = refrain__read_input(columns, rows[i]);
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
  return refrain__save(slots, len, false);
}

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#restore")
const refrain__restored *refrain__export_restore(const uint32_t *slots, uint32_t len, const uint32_t *ends,
                                                 uint32_t ends_len, const uint8_t *bytes, uint32_t bytes_len) {
  (void)bytes_len;
  return refrain__restore(slots, len, ends, ends_len, bytes);
}

REFRAIN__EXPORT("refrain:plugin/fold@0.1.0#release")
void refrain__export_release(const uint32_t *slots, uint32_t len) { refrain__release(slots, len); }
#endif
