// Counts the rows of each key and sums one of their fields.

#include <stdbool.h>
#include <stdint.h>

// What is kept for each key and window: plain values, no pointers.
typedef struct {
  int64_t rows, value_sum;
} state;

#define REFRAIN_NAME "NAME"
#define REFRAIN_DOC "How many rows there were and the mean of their value."
// The input fields that are wanted, with the names and types that they have in the topic.
#define REFRAIN_INPUTS(FIELD, NULLABLE) FIELD(value, i64)
// The fields of the view, beside the key and the window.
#define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELD(rows, i64) FIELD(value_mean, f64)
#include "refrain_fold.h"

static void update(state *totals, const input *event) {
  totals->rows++;
  totals->value_sum += event->value;
}

static bool evaluate(const state *totals, output *summary) {
  summary->rows = totals->rows;
  summary->value_mean = (double)totals->value_sum / (double)totals->rows;
  return true;
}
