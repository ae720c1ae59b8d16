// Views, likes and completions of content, with the time watched and the share of views that were completed.

#include <stdbool.h>
#include <stdint.h>

// What is kept for each key and window.
typedef struct {
  int64_t views, likes, completes, watch_ms;
} state;

#define REFRAIN_NAME "engagement"
#define REFRAIN_DOC "How much a piece of content was viewed, liked, watched and completed."
#define REFRAIN_INPUTS(FIELD, NULLABLE) FIELD(kind, text) FIELD(watch_ms, i64)
#define REFRAIN_OUTPUTS(FIELD, NULLABLE) \
  FIELD(views, i64) FIELD(likes, i64) FIELD(completes, i64) FIELD(watch_ms, i64) FIELD(completion_rate, f64)
#include "refrain_fold.h"

static void update(state *totals, const input *event) {
  if (refrain_is(event->kind, "view")) totals->views++;
  else if (refrain_is(event->kind, "like")) totals->likes++;
  else if (refrain_is(event->kind, "complete")) totals->completes++;
  totals->watch_ms = (int64_t)((uint64_t)totals->watch_ms + (uint64_t)event->watch_ms);
}

static bool evaluate(const state *totals, output *shown) {
  shown->views = totals->views;
  shown->likes = totals->likes;
  shown->completes = totals->completes;
  shown->watch_ms = totals->watch_ms;
  shown->completion_rate = totals->views ? (double)totals->completes / (double)totals->views : 0.0;
  return true;
}
