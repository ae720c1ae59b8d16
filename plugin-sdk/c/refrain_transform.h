// A transform in C: each row gives no, one or several rows, or is refused. Before the include:
//
//     #define REFRAIN_NAME "..."
//     #define REFRAIN_INPUTS(FIELD, NULLABLE) FIELD(name, text) FIELD(value, i64)
//     #define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELD(name, text) FIELD(value, i64)
//     #include "refrain_transform.h"
//
// and after it the function declared below.

#include "refrain.h"

// Turns a row into rows, each given to emit. NULL: done; otherwise why the row is refused, and what it gave goes away.
static const char *process(const input *row);

static refrain__builder refrain__out[REFRAIN__OUTPUTS + 1];
static uint32_t refrain__out_len, refrain__row, refrain__origins_room;
static uint32_t *refrain__origins;

// Gives a row.
static inline void emit(const output *row) {
  if (refrain__out_len == refrain__origins_room) {
    uint32_t room = refrain__origins_room ? refrain__origins_room * 2 : 64;
    refrain__origins = (uint32_t *)refrain__grown(refrain__origins, refrain__origins_room * 4, room * 4);
    refrain__origins_room = room;
  }
  refrain__origins[refrain__out_len] = refrain__row;
  refrain__write(refrain__out, refrain__out_len++, row);
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
  return refrain__describe(0);
}

REFRAIN__EXPORT("cabi_post_refrain:plugin/transform@0.1.0#process") void refrain__after_process(void *said) {
  (void)said;
  refrain__forget();
}

REFRAIN__EXPORT("refrain:plugin/transform@0.1.0#process")
const refrain__transformed *refrain__export_process(uint32_t count, const refrain__column *columns, uint32_t len) {
  static refrain__transformed said;
  said = (refrain__transformed){0};
  if (!refrain__fit(columns, len)) {
    said.failed = 1;
    said.is.failure.text = REFRAIN__STRING("the host sent other columns than declared");
    return &said;
  }
  memset(refrain__out, 0, sizeof refrain__out);
  refrain__out_len = refrain__origins_room = 0;
  refrain__reject *rejects = NULL;
  uint32_t rejects_len = 0;
  for (refrain__row = 0; refrain__row < count; refrain__row++) {
    input row = refrain__read(columns, refrain__row);
    uint32_t before = refrain__out_len;
    const char *reason = process(&row);
    if (!reason) continue;
    refrain__out_len = before;
    refrain__take_back(refrain__out, before);
    if (!rejects) rejects = (refrain__reject *)refrain__allot(count * sizeof(refrain__reject), 8);
    size_t text_len = strlen(reason);
    uint8_t *copy = (uint8_t *)refrain_take(text_len + 1);
    memcpy(copy, reason, text_len);
    rejects[rejects_len++] = (refrain__reject){refrain__row, {copy, (uint32_t)text_len}};
  }
  said.is.done.rows = refrain__written(refrain__out, refrain__out_len);
  said.is.done.origins = (refrain__list){refrain__origins, refrain__out_len};
  said.is.done.rejects = (refrain__list){rejects, rejects_len};
  return &said;
}
#endif
