// A process in C: a state for each key over the rows of several inputs, timers in event time, rows out. Before the include:
//
//     typedef struct { int64_t order_id; } state;                 // plain values, no pointers; starts as zeroes
//     #define REFRAIN_NAME "..."
//     #define ORDERS(FIELD, NULLABLE) FIELD(order_id, i64)        // the fields that are read of each input
//     #define PAYMENTS(FIELD, NULLABLE) FIELD(order_id, i64) NULLABLE(note, text)
//     #define REFRAIN_INPUTS(INPUT) INPUT(orders, ORDERS) INPUT(payments, PAYMENTS)
//     #define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELD(order_id, i64)
//     #include "refrain_process.h"
//
// and after it a function for each input, named after it, and `fire` for timers:
//
//     static void on_orders(state *state, const orders_row *row, moment now) { set_timer(now.time + ..); }
//     static void on_payments(state *state, const payments_row *row, moment now) { emit(&(output){..}); }
//     static void fire(state *state, moment now) { .. }
//
// With REFRAIN_CHECK, also `check_orders` and so on, asked before: NULL takes the row, a text refuses it, and it leaves no
// trace. `#define REFRAIN_VIEW_KEY "a", "b"` names the fields of the output that make, behind the node's key, the key of
// a view's row; `#define REFRAIN_TIMED 0` does without times and timers, for larger calls. A state of zeroes is the
// initial one, and its key is forgotten unless it has timers.

#include "refrain_states.h"

#ifndef REFRAIN_INPUTS
#error "define REFRAIN_INPUTS(INPUT) before this include: INPUT(name, FIELDS) for each input, with the list of its fields"
#endif
#ifndef REFRAIN_TIMED
#define REFRAIN_TIMED 1
#endif
#ifndef REFRAIN_VIEW_KEY
#define REFRAIN_VIEW_KEY
#endif

// When a row or timer comes. Without times both are the least timestamp.
typedef struct {
  refrain_timestamp time;      // event time of the row; the time that the timer was set for
  refrain_timestamp watermark; // the node's, rounded down to a step: no older row is expected
} moment;

#define REFRAIN__ROW_OF(name, FIELDS) REFRAIN__ROW(name##_row, FIELDS)
REFRAIN_INPUTS(REFRAIN__ROW_OF)
#define REFRAIN__PART(name, FIELDS) REFRAIN__PART_##name,
enum { REFRAIN_INPUTS(REFRAIN__PART) REFRAIN__PARTS };

// Takes a row of this input into the state of its key.
#define REFRAIN__ON(name, FIELDS) static void on_##name(state *state, const name##_row *row, moment now);
REFRAIN_INPUTS(REFRAIN__ON)
#ifdef REFRAIN_CHECK
#define REFRAIN__CHECKS(name, FIELDS) static const char *check_##name(const state *state, const name##_row *row, moment now);
REFRAIN_INPUTS(REFRAIN__CHECKS)
#endif
#if REFRAIN_TIMED
// A timer of this key: the watermark has reached its time.
static void fire(state *state, moment now);
#endif

static refrain__builder refrain__out[REFRAIN__OUTPUTS + 1];
static refrain__growing refrain__origins, refrain__deleted, refrain__timers;
static uint32_t refrain__origin, refrain__slot;

typedef struct { int64_t time; uint32_t slot; bool cleared; } refrain__timer;

static inline void refrain__give(const output *row, bool deleted) {
  refrain__write(refrain__out, refrain__origins.len, row);
  *(uint32_t *)refrain__more(&refrain__origins, sizeof(uint32_t)) = refrain__origin;
  *(uint8_t *)refrain__more(&refrain__deleted, 1) = deleted;
}

// Gives a row: the next one of a topic, or the view's row of its key.
static inline void emit(const output *row) { refrain__give(row, false); }

// Takes the view's row of this key away; only the fields of REFRAIN_VIEW_KEY matter. Not for a node that writes a topic.
static inline void delete(const output *row) { refrain__give(row, true); }

#if REFRAIN_TIMED
// Asks for `fire` when the watermark reaches this time; a key has one timer for each time.
static inline void set_timer(refrain_timestamp at) {
  *(refrain__timer *)refrain__more(&refrain__timers, sizeof(refrain__timer)) = (refrain__timer){at, refrain__slot, false};
}

// Forgets the timer of this time. Nothing changes when there is none.
static inline void clear_timer(refrain_timestamp at) {
  *(refrain__timer *)refrain__more(&refrain__timers, sizeof(refrain__timer)) = (refrain__timer){at, refrain__slot, true};
}
#endif

#ifdef __wasm__
typedef struct { refrain__string name, doc; refrain__list fields; } refrain__input;
typedef struct { refrain__list inputs, view_key; uint8_t timed; } refrain__declaration;
typedef struct {
  uint32_t count;
  const refrain__column *columns;
  uint32_t columns_len;
  const uint32_t *slots;
  uint32_t slots_len;
  const int64_t *times;
  uint32_t times_len;
} refrain__part;
typedef struct {
  uint8_t failed;
  union {
    struct { refrain__rows rows; refrain__list origins, deleted, rejects, slots, times, cleared; } done;
    struct { uint8_t tag; refrain__string text; } failure;
  } is;
} refrain__processed;
_Static_assert(sizeof(refrain__part) == 28 && sizeof(refrain__processed) == 64, "the layout of the boundary");

REFRAIN__EXPORT("refrain:plugin/about@0.1.0#describe") const refrain__description *refrain__export_describe(void) {
  return refrain__describe((refrain__list){0}, REFRAIN_STATE_VERSION);
}

REFRAIN__EXPORT("refrain:plugin/process@0.1.0#declare") const refrain__declaration *refrain__export_declare(void) {
#define REFRAIN__DECLARE(name, FIELDS) \
  {REFRAIN__STRING(#name), {0}, {refrain__fields_##name##_row, REFRAIN__WIDTH_##name##_row}},
  static const refrain__input inputs[] = {REFRAIN_INPUTS(REFRAIN__DECLARE)};
  static const char *const names[] = {NULL, REFRAIN_VIEW_KEY}; // the NULL is there for a key without fields
  static refrain__string view_key[sizeof names / sizeof *names];
  static refrain__declaration said;
  uint32_t count = sizeof names / sizeof *names - 1;
  for (uint32_t i = 0; i < count; i++) view_key[i] = refrain__text_or_none(names[i + 1]);
  said = (refrain__declaration){{inputs, REFRAIN__PARTS}, {view_key, count}, REFRAIN_TIMED};
  return &said;
}

#define REFRAIN__AFTER(function, name) \
  REFRAIN__EXPORT("cabi_post_refrain:plugin/process@0.1.0#" function) void name(void *said) { (void)said; refrain__forget(); }
REFRAIN__AFTER("declare", refrain__after_declare)
REFRAIN__AFTER("process", refrain__after_process)
REFRAIN__AFTER("fire", refrain__after_fire)
REFRAIN__AFTER("save", refrain__after_save)
REFRAIN__AFTER("restore", refrain__after_restore)

static void refrain__begin(void) {
  memset(refrain__out, 0, sizeof refrain__out);
  refrain__origins = refrain__deleted = refrain__timers = (refrain__growing){0};
}

// A bitmap of these flags; nothing when none is set.
static refrain__list refrain__marks(const uint8_t *flags, uint32_t len) {
  for (uint32_t i = 0; i < len; i++)
    if (flags[i]) return (refrain__list){refrain__bitmap(flags, len), (len + 7) / 8};
  return (refrain__list){0};
}

// What came of the call.
static const refrain__processed *refrain__processed_of(const refrain__growing *rejects) {
  static refrain__processed said;
  const refrain__timer *timers = (const refrain__timer *)refrain__timers.all;
  uint32_t len = refrain__timers.len;
  uint32_t *slots = (uint32_t *)refrain__allot(len * sizeof(uint32_t), 8);
  int64_t *times = (int64_t *)refrain__allot(len * sizeof(int64_t), 8);
  uint8_t *cleared = (uint8_t *)refrain__allot(len, 1);
  for (uint32_t i = 0; i < len; i++) {
    slots[i] = timers[i].slot;
    times[i] = timers[i].time;
    cleared[i] = timers[i].cleared;
  }
  said = (refrain__processed){0};
  said.is.done.rows = refrain__written(refrain__out, refrain__origins.len);
  said.is.done.origins = refrain__listed(&refrain__origins);
  said.is.done.deleted = refrain__marks((const uint8_t *)refrain__deleted.all, refrain__deleted.len);
  said.is.done.rejects = refrain__listed(rejects);
  said.is.done.slots = (refrain__list){slots, len};
  said.is.done.times = (refrain__list){times, len};
  said.is.done.cleared = refrain__marks(cleared, len);
  return &said;
}

// Whether the parts are those of the inputs, with the columns that were declared.
static bool refrain__fit_parts(const refrain__part *parts, uint32_t len) {
  bool fit = len == REFRAIN__PARTS;
#define REFRAIN__FIT_PART(name, FIELDS) \
  fit = fit && refrain__fit_##name##_row(parts[REFRAIN__PART_##name].columns, parts[REFRAIN__PART_##name].columns_len);
  REFRAIN_INPUTS(REFRAIN__FIT_PART)
  return fit;
}

#ifdef REFRAIN_CHECK
#define REFRAIN__ASK(name) check_##name(of, &row, now)
#else
#define REFRAIN__ASK(name) NULL
#endif

REFRAIN__EXPORT("refrain:plugin/process@0.1.0#process")
const refrain__processed *refrain__export_process(const refrain__part *parts, uint32_t parts_len, const uint32_t *order,
                                                  uint32_t order_len, int64_t watermark) {
  if (!refrain__fit_parts(parts, parts_len)) {
    static refrain__processed failed = {1, {.failure = {0, {0}}}};
    failed.is.failure.text = REFRAIN__STRING("the host sent other columns than declared");
    return &failed;
  }
  refrain__begin();
  refrain__growing rejects = {0};
  uint32_t next[REFRAIN__PARTS] = {0};
  uint32_t count = order_len ? order_len : REFRAIN__PARTS == 1 ? parts[0].count : 0;
  for (refrain__origin = 0; refrain__origin < count; refrain__origin++) {
    uint32_t input = order_len ? order[refrain__origin] : 0;
    const refrain__part *part = &parts[input];
    uint32_t at = next[input]++;
    moment now = {REFRAIN_TIMED ? part->times[at] : INT64_MIN, watermark};
    refrain__slot = part->slots[at];
    state *of = refrain__state(refrain__slot);
    const char *reason = NULL;
    switch (input) {
#define REFRAIN__TAKE(name, FIELDS)                                      \
  case REFRAIN__PART_##name: {                                           \
    name##_row row = refrain__read_##name##_row(part->columns, at);      \
    reason = REFRAIN__ASK(name);                                         \
    if (!reason) on_##name(of, &row, now);                               \
    break;                                                               \
  }
      REFRAIN_INPUTS(REFRAIN__TAKE)
    }
    if (reason) refrain__refuse(&rejects, refrain__origin, reason);
  }
  return refrain__processed_of(&rejects);
}

REFRAIN__EXPORT("refrain:plugin/process@0.1.0#fire")
const refrain__processed *refrain__export_fire(const uint32_t *slots, uint32_t len, const int64_t *times,
                                               uint32_t times_len, int64_t watermark) {
  static const refrain__growing none;
  (void)slots, (void)len, (void)times, (void)times_len, (void)watermark;
  refrain__begin();
#if REFRAIN_TIMED
  for (refrain__origin = 0; refrain__origin < len; refrain__origin++) {
    refrain__slot = slots[refrain__origin];
    fire(refrain__state(refrain__slot), (moment){times[refrain__origin], watermark});
  }
#endif
  return refrain__processed_of(&none);
}

REFRAIN__EXPORT("refrain:plugin/process@0.1.0#save")
const refrain__saved *refrain__export_save(const uint32_t *slots, uint32_t len) {
  return refrain__save(slots, len, true);
}

REFRAIN__EXPORT("refrain:plugin/process@0.1.0#restore")
const refrain__restored *refrain__export_restore(const uint32_t *slots, uint32_t len, const uint32_t *ends,
                                                 uint32_t ends_len, const uint8_t *bytes, uint32_t bytes_len) {
  (void)bytes_len;
  return refrain__restore(slots, len, ends, ends_len, bytes);
}

REFRAIN__EXPORT("refrain:plugin/process@0.1.0#release")
void refrain__export_release(const uint32_t *slots, uint32_t len) { refrain__release(slots, len); }
#endif
