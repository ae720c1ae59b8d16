// A transform in C: each row gives no, one or several rows, or is refused. Before the include:
//
//     #define REFRAIN_NAME "..."
//     #define REFRAIN_INPUTS(FIELD, NULLABLE) FIELD(name, text) FIELD(value, i64)
//     #define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELD(name, text) FIELD(value, i64)
//     #include "refrain_transform.h"
//
// and after it the function declared below.

#include "refrain.h"

#ifndef REFRAIN_INPUTS
#error "define REFRAIN_INPUTS(FIELD, NULLABLE) before this include: FIELD(name, type) for each field that is read"
#endif
REFRAIN__ROW(input, REFRAIN_INPUTS)

// Turns a row into rows, each given to emit. NULL: done; otherwise why the row is refused, and what it gave goes away.
static const char *process(const input *row);

static refrain__builder refrain__out[REFRAIN__OUTPUTS + 1];
static refrain__growing refrain__origins;
static uint32_t refrain__row;

// Gives a row.
static inline void emit(const output *row) {
  refrain__write(refrain__out, refrain__origins.len, row);
  *(uint32_t *)refrain__more(&refrain__origins, sizeof(uint32_t)) = refrain__row;
}

#ifdef __wasm__
typedef struct {
  uint8_t failed;
  union {
    struct { refrain__rows rows; refrain__list origins, rejects; } done;
    struct { uint8_t tag; refrain__string text; } failure;
  } is;
} refrain__transformed;

REFRAIN__EXPORT("refrain:plugin/about@0.1.0#describe") const refrain__description *refrain__export_describe(void) {
  return refrain__describe((refrain__list){refrain__fields_input, REFRAIN__WIDTH_input}, 0);
}

REFRAIN__EXPORT("cabi_post_refrain:plugin/transform@0.1.0#process") void refrain__after_process(void *said) {
  (void)said;
  refrain__forget();
}

REFRAIN__EXPORT("refrain:plugin/transform@0.1.0#process")
const refrain__transformed *refrain__export_process(uint32_t count, const refrain__column *columns, uint32_t len) {
  static refrain__transformed said;
  said = (refrain__transformed){0};
  if (!refrain__fit_input(columns, len)) {
    said.failed = 1;
    said.is.failure.text = REFRAIN__STRING("the host sent other columns than declared");
    return &said;
  }
  memset(refrain__out, 0, sizeof refrain__out);
  refrain__origins = (refrain__growing){0};
  refrain__growing rejects = {0};
  for (refrain__row = 0; refrain__row < count; refrain__row++) {
    input row = refrain__read_input(columns, refrain__row);
    uint32_t before = refrain__origins.len;
    const char *reason = process(&row);
    if (!reason) continue;
    refrain__origins.len = before;
    refrain__take_back(refrain__out, before);
    refrain__refuse(&rejects, refrain__row, reason);
  }
  said.is.done.rows = refrain__written(refrain__out, refrain__origins.len);
  said.is.done.origins = refrain__listed(&refrain__origins);
  said.is.done.rejects = refrain__listed(&rejects);
  return &said;
}
#endif
