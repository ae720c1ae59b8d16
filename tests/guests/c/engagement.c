// The fold of plugins/engagement in C, against the bindings of wit-bindgen and nothing else.
//
// Who owns what: arguments belong to the callee, which frees them; what an answer points to belongs to the bindings,
// which free it after the host has read it, so it must come from malloc.

#include <stdlib.h>
#include <string.h>

#include "bindings/fold_plugin.h"

typedef struct {
  int64_t views, likes, completes, watch_ms;
} state_t;

static state_t *states;
static size_t states_len;

static state_t *state_of(uint32_t slot) {
  if (slot >= states_len) {
    size_t len = states_len ? states_len : 64;
    while (len <= slot) len *= 2;
    states = realloc(states, len * sizeof(state_t));
    if (!states) abort();
    memset(states + states_len, 0, (len - states_len) * sizeof(state_t));
    states_len = len;
  }
  return &states[slot];
}

static void *take(size_t size) {
  void *memory = malloc(size ? size : 1);
  if (!memory) abort();
  return memory;
}

static bool fatal(refrain_plugin_types_failure_t *err, const char *text) {
  err->tag = REFRAIN_PLUGIN_TYPES_FAILURE_FATAL;
  fold_plugin_string_dup(&err->val.fatal, text);
  return false;
}

// ---- about -----------------------------------------------------------------------------------

static void fields(exports_refrain_plugin_about_list_field_t *list, size_t len,
                   const char *const names[][2]) {
  list->len = len;
  list->ptr = take(len * sizeof *list->ptr);
  for (size_t i = 0; i < len; i++) {
    fold_plugin_string_dup(&list->ptr[i].name, names[i][0]);
    fold_plugin_string_dup(&list->ptr[i].kind, names[i][1]);
    list->ptr[i].nullable = false;
  }
}

void exports_refrain_plugin_about_describe(exports_refrain_plugin_about_description_t *ret) {
  static const char *const inputs[][2] = {{"kind", "text"}, {"watch_ms", "i64"}};
  static const char *const outputs[][2] = {{"views", "i64"},
                                           {"likes", "i64"},
                                           {"completes", "i64"},
                                           {"watch_ms", "i64"},
                                           {"completion_rate", "f64"}};
  memset(ret, 0, sizeof *ret);
  fold_plugin_string_dup(&ret->name, "engagement_c");
  fold_plugin_string_dup(&ret->version, "0.1.0");
  fold_plugin_string_dup(&ret->doc, "How much a piece of content was viewed, liked, watched and completed.");
  fields(&ret->inputs, 2, inputs);
  fields(&ret->outputs, 5, outputs);
  ret->state_version = 1;
}

bool exports_refrain_plugin_about_configure(fold_plugin_list_tuple2_string_string_t *options,
                                            fold_plugin_string_t *err) {
  (void)err;
  fold_plugin_list_tuple2_string_string_free(options);
  return true;
}

// ---- fold ------------------------------------------------------------------------------------

static bool is(const uint8_t *text, size_t len, const char *word) {
  return len == strlen(word) && memcmp(text, word, len) == 0;
}

static void add(state_t *state, const uint8_t *kind, size_t len, int64_t watch_ms) {
  if (is(kind, len, "view")) state->views++;
  else if (is(kind, len, "like")) state->likes++;
  else if (is(kind, len, "complete")) state->completes++;
  state->watch_ms = (int64_t)((uint64_t)state->watch_ms + (uint64_t)watch_ms);
}

bool exports_refrain_plugin_fold_update(exports_refrain_plugin_fold_rows_t *input,
                                        exports_refrain_plugin_fold_entries_t *entries,
                                        exports_refrain_plugin_fold_list_reject_t *ret,
                                        exports_refrain_plugin_fold_failure_t *err) {
  if (input->columns.len != 2 || input->columns.ptr[0].values.tag != REFRAIN_PLUGIN_TYPES_VALUES_SPANS ||
      input->columns.ptr[1].values.tag != REFRAIN_PLUGIN_TYPES_VALUES_INTS)
    return fatal(err, "the host sent other columns than declared");
  const refrain_plugin_types_spans_t *kinds = &input->columns.ptr[0].values.val.spans;
  const int64_t *watch_ms = input->columns.ptr[1].values.val.ints.ptr;
  for (size_t i = 0; i < entries->slots.len; i++) {
    uint32_t row = entries->rows.len ? entries->rows.ptr[i] : (uint32_t)i;
    uint32_t start = row ? kinds->ends.ptr[row - 1] : 0;
    add(state_of(entries->slots.ptr[i]), kinds->bytes.ptr + start, kinds->ends.ptr[row] - start, watch_ms[row]);
  }
  ret->len = 0;
  ret->ptr = NULL;
  exports_refrain_plugin_fold_rows_free(input);
  exports_refrain_plugin_fold_entries_free(entries);
  return true;
}

static int64_t *ints(refrain_plugin_types_column_t *column, size_t len) {
  column->values.tag = REFRAIN_PLUGIN_TYPES_VALUES_INTS;
  column->values.val.ints.len = len;
  return column->values.val.ints.ptr = take(len * sizeof(int64_t));
}

bool exports_refrain_plugin_fold_evaluate(fold_plugin_list_u32_t *slots,
                                          exports_refrain_plugin_fold_rows_t *keys,
                                          exports_refrain_plugin_fold_evaluated_t *ret,
                                          exports_refrain_plugin_fold_failure_t *err) {
  (void)err;
  size_t len = slots->len;
  memset(ret, 0, sizeof *ret);
  ret->rows.count = (uint32_t)len;
  ret->rows.columns.len = 5;
  refrain_plugin_types_column_t *columns = ret->rows.columns.ptr = take(5 * sizeof *columns);
  memset(columns, 0, 5 * sizeof *columns);
  int64_t *views = ints(&columns[0], len), *likes = ints(&columns[1], len);
  int64_t *completes = ints(&columns[2], len), *watch_ms = ints(&columns[3], len);
  columns[4].values.tag = REFRAIN_PLUGIN_TYPES_VALUES_FLOATS;
  columns[4].values.val.floats.len = len;
  double *rates = columns[4].values.val.floats.ptr = take(len * sizeof(double));
  for (size_t i = 0; i < len; i++) {
    const state_t *state = state_of(slots->ptr[i]);
    views[i] = state->views;
    likes[i] = state->likes;
    completes[i] = state->completes;
    watch_ms[i] = state->watch_ms;
    rates[i] = state->views ? (double)state->completes / (double)state->views : 0.0;
  }
  fold_plugin_list_u32_free(slots);
  exports_refrain_plugin_fold_rows_free(keys);
  return true;
}

bool exports_refrain_plugin_fold_save(fold_plugin_list_u32_t *slots, exports_refrain_plugin_fold_spans_t *ret,
                                      exports_refrain_plugin_fold_failure_t *err) {
  (void)err;
  ret->ends.len = slots->len;
  ret->ends.ptr = take(slots->len * sizeof(uint32_t));
  ret->bytes.len = slots->len * sizeof(state_t);
  ret->bytes.ptr = take(ret->bytes.len);
  for (size_t i = 0; i < slots->len; i++) {
    memcpy(ret->bytes.ptr + i * sizeof(state_t), state_of(slots->ptr[i]), sizeof(state_t));
    ret->ends.ptr[i] = (uint32_t)((i + 1) * sizeof(state_t));
  }
  fold_plugin_list_u32_free(slots);
  return true;
}

bool exports_refrain_plugin_fold_restore(fold_plugin_list_u32_t *slots, exports_refrain_plugin_fold_spans_t *saved,
                                         exports_refrain_plugin_fold_failure_t *err) {
  if (saved->bytes.len != slots->len * sizeof(state_t)) return fatal(err, "a saved state is of another size");
  for (size_t i = 0; i < slots->len; i++)
    memcpy(state_of(slots->ptr[i]), saved->bytes.ptr + i * sizeof(state_t), sizeof(state_t));
  fold_plugin_list_u32_free(slots);
  exports_refrain_plugin_fold_spans_free(saved);
  return true;
}

void exports_refrain_plugin_fold_release(fold_plugin_list_u32_t *slots) {
  for (size_t i = 0; i < slots->len; i++) memset(state_of(slots->ptr[i]), 0, sizeof(state_t));
  fold_plugin_list_u32_free(slots);
}
