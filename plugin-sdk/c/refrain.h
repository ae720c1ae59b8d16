// Refrain plugins in C: what all kinds share. Include refrain_fold.h, refrain_transform.h or refrain_process.h, not this.
//
// Owns rows as structs (made of lists of fields), the memory of one call, the description and the options. An author sees structs; columns, spans and bitmaps stay in here. docs/raw-contract.md draws them.
//
// Natively (no __wasm__) nothing is exported, so that a test may include plugin.c and call its functions.

#ifndef REFRAIN_H
#define REFRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// ---- values ------------------------------------------------------------------------------------

typedef bool refrain_bool;
typedef int64_t refrain_i64;
typedef double refrain_f64;
typedef int64_t refrain_timestamp; // microseconds since 1970, UTC
typedef int64_t refrain_span;      // a length of time in microseconds; an option as text, "90s"

// So much later, or earlier; at the end of time, the end.
static inline refrain_timestamp refrain_plus(refrain_timestamp time, refrain_span span) {
  refrain_timestamp sum;
  if (!__builtin_add_overflow(time, span, &sum)) return sum;
  return span < 0 ? INT64_MIN : INT64_MAX;
}

// Bytes that belong to someone else: an input row's until the call ends. Text is UTF-8, without a zero at its end.
typedef struct {
  const uint8_t *ptr;
  uint32_t len;
} refrain_slice;
typedef refrain_slice refrain_text;
typedef refrain_slice refrain_bytes;

// A field declared with NULLABLE.
typedef struct { bool there; refrain_bool value; } refrain_maybe_bool;
typedef struct { bool there; refrain_i64 value; } refrain_maybe_i64;
typedef struct { bool there; refrain_f64 value; } refrain_maybe_f64;
typedef struct { bool there; refrain_timestamp value; } refrain_maybe_timestamp;
typedef struct { bool there; refrain_text value; } refrain_maybe_text;
typedef struct { bool there; refrain_bytes value; } refrain_maybe_bytes;

// Whether a text is this word. Short words are compared as numbers, without a call.
static inline __attribute__((always_inline)) bool refrain_is(refrain_text text, const char *word) {
  size_t len = __builtin_strlen(word);
  if (text.len != len) return false;
  if (len == 0) return true;
  if (len > 8) return memcmp(text.ptr, word, len) == 0;
  uint64_t one = 0, other = 0;
  __builtin_memcpy(&one, text.ptr, len);
  __builtin_memcpy(&other, word, len);
  return one == other;
}

// A C string as a text.
static inline refrain_text refrain_string(const char *word) {
  return (refrain_text){(const uint8_t *)word, (uint32_t)__builtin_strlen(word)};
}

// ---- a voice -----------------------------------------------------------------------------------

// Lines for the log of the host. A release drops them; with `refrain plugin build --talk`, and in `refrain dev`, they go
// through the import `logging`.
typedef enum { REFRAIN_DEBUG, REFRAIN_INFO, REFRAIN_WARN, REFRAIN_ERROR } refrain_level;

#if defined(REFRAIN_TALK) && defined(__wasm__)
__attribute__((import_module("refrain:plugin/logging@0.1.0"), import_name("log")))
void refrain__log(int32_t level, const uint8_t *text, size_t len);
#else
static inline void refrain__log(int32_t level, const uint8_t *text, size_t len) {
  (void)level, (void)text, (void)len;
}
#endif

static inline void refrain_log(refrain_level level, const char *text) {
  refrain__log(level, (const uint8_t *)text, __builtin_strlen(text));
}

// Says `plugin.c:12: what`, and ends the instance: the row is refused as one that traps.
_Noreturn static inline __attribute__((cold)) void refrain__fall(const char *file, int line, const char *what) {
  char said[512], digits[12];
  size_t len = 0, count = 0;
  for (; *file && len < 200; file++) said[len++] = *file;
  said[len++] = ':';
  do digits[count++] = (char)('0' + line % 10); while (line /= 10);
  while (count) said[len++] = digits[--count];
  said[len++] = ':', said[len++] = ' ';
  for (; *what && len < sizeof said; what++) said[len++] = *what;
  refrain__log(REFRAIN_ERROR, (const uint8_t *)said, len);
  __builtin_trap();
}

#define refrain_panic(what) refrain__fall(__FILE__, __LINE__, what)
// What must hold. The contract's way to refuse a row is `check`; this is for what cannot be.
#define refrain_assert(holds) ((holds) ? (void)0 : refrain__fall(__FILE__, __LINE__, "does not hold: " #holds))

// ---- the memory of one call --------------------------------------------------------------------

// Arguments, answers and what refrain_take gives live in blocks that are used again by the next call.
typedef struct refrain__block {
  struct refrain__block *before;
  size_t size, used;
} refrain__block;

static refrain__block *refrain__newest;
static size_t refrain__taken;

static void *refrain__allot(size_t size, size_t align) {
  refrain__block *block = refrain__newest;
  size_t start = block ? (block->used + align - 1) & ~(align - 1) : 0;
  if (!block || start + size > block->size) {
    size_t wanted = size + align > 65536 ? size + align : 65536;
    if (wanted < refrain__taken) wanted = refrain__taken;
    block = (refrain__block *)malloc(sizeof *block + 8 + wanted);
    if (!block) abort();
    block->before = refrain__newest;
    block->size = wanted;
    block->used = 0;
    refrain__taken += wanted;
    refrain__newest = block;
    start = 0;
  }
  block->used = start + size;
  return (uint8_t *)(((uintptr_t)(block + 1) + 7) & ~(uintptr_t)7) + start;
}

// Memory until the end of the call, not cleared: for texts that are made.
static inline void *refrain_take(size_t bytes) { return refrain__allot(bytes, 8); }

// Forgets all memory of the call; keeps one block, as large as all were together.
static inline void refrain__forget(void) {
  if (!refrain__newest) return;
  if (refrain__newest->before) {
    size_t all = refrain__taken;
    for (refrain__block *block = refrain__newest; block;) {
      refrain__block *before = block->before;
      free(block);
      block = before;
    }
    refrain__newest = NULL;
    refrain__taken = 0;
    refrain__allot(all, 8);
  }
  refrain__newest->used = 0;
}

// ---- columns -----------------------------------------------------------------------------------

// As they lie in memory on the boundary.
typedef struct { const uint8_t *ptr; uint32_t len; } refrain__string;
typedef struct { const void *ptr; uint32_t len; } refrain__list;
typedef struct { const uint32_t *ends; uint32_t ends_len; const uint8_t *bytes; uint32_t bytes_len; } refrain__spans;
enum { REFRAIN__BOOLS, REFRAIN__INTS, REFRAIN__FLOATS, REFRAIN__SPANS };
typedef struct {
  uint8_t tag;
  union { refrain__list list; refrain__spans spans; } values;
  const uint8_t *valid;
  uint32_t valid_len;
} refrain__column;
typedef struct { uint32_t count; refrain__column *columns; uint32_t columns_len; } refrain__rows;
typedef struct { uint32_t row; refrain__string reason; } refrain__reject;
typedef struct { refrain__string name, kind; uint8_t nullable; } refrain__field;
typedef struct { refrain__string name, kind; uint8_t has_default; refrain__string fallback, doc; } refrain__setting;
typedef struct { refrain__string name, value; } refrain__option;

#ifdef __wasm__
_Static_assert(sizeof(refrain__column) == 28 && sizeof(refrain__setting) == 36, "the layout of the boundary");
#endif

#define REFRAIN__TAG_bool REFRAIN__BOOLS
#define REFRAIN__TAG_i64 REFRAIN__INTS
#define REFRAIN__TAG_timestamp REFRAIN__INTS
#define REFRAIN__TAG_f64 REFRAIN__FLOATS
#define REFRAIN__TAG_text REFRAIN__SPANS
#define REFRAIN__TAG_bytes REFRAIN__SPANS

static inline bool refrain__there(const refrain__column *column, uint32_t row) {
  return column->valid_len == 0 || (column->valid[row / 8] >> (row % 8) & 1);
}

static inline refrain_bool refrain__get_bool(const refrain__column *column, uint32_t row) {
  return ((const uint8_t *)column->values.list.ptr)[row] != 0;
}
static inline refrain_i64 refrain__get_i64(const refrain__column *column, uint32_t row) {
  return ((const int64_t *)column->values.list.ptr)[row];
}
static inline refrain_f64 refrain__get_f64(const refrain__column *column, uint32_t row) {
  return ((const double *)column->values.list.ptr)[row];
}
static inline refrain_slice refrain__get_slice(const refrain__column *column, uint32_t row) {
  uint32_t start = row ? column->values.spans.ends[row - 1] : 0;
  return (refrain_slice){column->values.spans.bytes + start, column->values.spans.ends[row] - start};
}
#define refrain__get_timestamp refrain__get_i64
#define refrain__get_text refrain__get_slice
#define refrain__get_bytes refrain__get_slice

// A column being written.
typedef struct {
  uint8_t *values;  // numbers, or the ends of spans
  uint32_t room;    // values that fit
  uint8_t *bytes;   // of spans
  uint32_t bytes_len, bytes_room;
  uint8_t *there;   // one byte a value; NULL: no null so far
} refrain__builder;

static void *refrain__grown(void *old, size_t old_bytes, size_t new_bytes) {
  void *wider = refrain__allot(new_bytes, 8);
  if (old_bytes) memcpy(wider, old, old_bytes);
  return wider;
}

// A list that grows by doubling.
typedef struct { void *all; uint32_t len, room; } refrain__growing;

// The place of one more value of this width.
static inline void *refrain__more(refrain__growing *to, uint32_t width) {
  if (to->len == to->room) {
    uint32_t room = to->room ? to->room * 2 : 64;
    to->all = refrain__grown(to->all, (size_t)to->len * width, (size_t)room * width);
    to->room = room;
  }
  return (uint8_t *)to->all + (size_t)to->len++ * width;
}

// Adds a refused row.
static inline void refrain__refuse(refrain__growing *rejects, uint32_t row, const char *reason) {
  size_t len = strlen(reason);
  uint8_t *copy = (uint8_t *)refrain_take(len);
  memcpy(copy, reason, len);
  *(refrain__reject *)refrain__more(rejects, sizeof(refrain__reject)) = (refrain__reject){row, {copy, (uint32_t)len}};
}

// Makes room for one more value of this width after `count`.
static inline void refrain__room(refrain__builder *to, uint32_t count, uint32_t width) {
  if (count < to->room) return;
  uint32_t room = to->room ? to->room * 2 : 64;
  to->values = (uint8_t *)refrain__grown(to->values, (size_t)count * width, (size_t)room * width);
  if (to->there) to->there = (uint8_t *)refrain__grown(to->there, count, room);
  to->room = room;
}

static inline void refrain__put_bool(refrain__builder *to, uint32_t count, refrain_bool value) {
  refrain__room(to, count, 1);
  to->values[count] = value;
}
static inline void refrain__put_i64(refrain__builder *to, uint32_t count, refrain_i64 value) {
  refrain__room(to, count, 8);
  ((int64_t *)to->values)[count] = value;
}
static inline void refrain__put_f64(refrain__builder *to, uint32_t count, refrain_f64 value) {
  refrain__room(to, count, 8);
  ((double *)to->values)[count] = value;
}
static inline void refrain__put_slice(refrain__builder *to, uint32_t count, refrain_slice value) {
  refrain__room(to, count, 4);
  if (to->bytes_len + value.len > to->bytes_room) {
    uint32_t room = (to->bytes_len + value.len) * 2 + 64;
    to->bytes = (uint8_t *)refrain__grown(to->bytes, to->bytes_len, room);
    to->bytes_room = room;
  }
  if (value.len) memcpy(to->bytes + to->bytes_len, value.ptr, value.len);
  to->bytes_len += value.len;
  ((uint32_t *)to->values)[count] = to->bytes_len;
}
#define refrain__put_timestamp refrain__put_i64
#define refrain__put_text refrain__put_slice
#define refrain__put_bytes refrain__put_slice

static inline void refrain__put_there(refrain__builder *to, uint32_t count, bool there) {
  if (!to->there) {
    if (there) return;
    to->there = (uint8_t *)refrain__allot(to->room, 1);
    memset(to->there, 1, count);
  }
  to->there[count] = there;
}

static const uint8_t *refrain__bitmap(const uint8_t *flags, uint32_t count) {
  uint8_t *bits = (uint8_t *)refrain__allot((count + 7) / 8, 1);
  memset(bits, 0, (count + 7) / 8);
  for (uint32_t i = 0; i < count; i++) bits[i / 8] |= (uint8_t)(flags[i] << (i % 8));
  return bits;
}

static inline refrain__list refrain__listed(const refrain__growing *from) {
  return (refrain__list){from->all, from->len};
}

static inline refrain__column refrain__finish(refrain__builder *from, uint8_t tag, uint32_t count) {
  refrain__column column = {.tag = tag};
  if (tag == REFRAIN__SPANS) {
    column.values.spans = (refrain__spans){(const uint32_t *)from->values, count, from->bytes, from->bytes_len};
  } else {
    column.values.list = (refrain__list){from->values, count};
  }
  if (from->there && count) {
    column.valid = refrain__bitmap(from->there, count);
    column.valid_len = (count + 7) / 8;
  }
  return column;
}

// ---- rows as structs ---------------------------------------------------------------------------

#ifndef REFRAIN_OUTPUTS
#error "define REFRAIN_OUTPUTS(FIELD, NULLABLE) before this include: FIELD(name, type) for each field that is written"
#endif
#ifndef REFRAIN_NAME
#error "define REFRAIN_NAME, the plugin's name as a string"
#endif
#ifndef REFRAIN_VERSION
#define REFRAIN_VERSION "0.1.0"
#endif
#ifndef REFRAIN_DOC
#define REFRAIN_DOC ""
#endif
#ifndef REFRAIN_OPTIONS
#define REFRAIN_OPTIONS(OPTION)
#endif

#define REFRAIN__MEMBER(name, type) refrain_##type name;
#define REFRAIN__MAYBE(name, type) refrain_maybe_##type name;
#define REFRAIN__ONE(name, type) +1
#define REFRAIN__FIELD(name, type) {{(const uint8_t *)#name, sizeof(#name) - 1}, {(const uint8_t *)#type, sizeof(#type) - 1}, 0},
#define REFRAIN__FIELD_MAYBE(name, type) {{(const uint8_t *)#name, sizeof(#name) - 1}, {(const uint8_t *)#type, sizeof(#type) - 1}, 1},
#define REFRAIN__FITS(name, type) fit = fit && (column++)->tag == REFRAIN__TAG_##type;
#define REFRAIN__READ(name, type) read.name = refrain__get_##type(column++, row);
#define REFRAIN__READ_MAYBE(name, type)             \
  read.name.there = refrain__there(column, row);    \
  read.name.value = refrain__get_##type(column++, row);

// A row that is read, as a struct of this name, of the list of its fields: how many there are, whether the host sent
// the columns that were declared, and one row of them.
#define REFRAIN__ROW(of, FIELDS)                                                                                       \
  typedef struct { FIELDS(REFRAIN__MEMBER, REFRAIN__MAYBE) } of;                                                       \
  enum { REFRAIN__WIDTH_##of = 0 FIELDS(REFRAIN__ONE, REFRAIN__ONE) };                                                 \
  static const refrain__field refrain__fields_##of[] = {FIELDS(REFRAIN__FIELD, REFRAIN__FIELD_MAYBE) {.nullable = 0}}; \
  static inline bool refrain__fit_##of(const refrain__column *column, uint32_t len) {                                  \
    bool fit = len == REFRAIN__WIDTH_##of;                                                                             \
    (void)column;                                                                                                      \
    FIELDS(REFRAIN__FITS, REFRAIN__FITS)                                                                               \
    return fit;                                                                                                        \
  }                                                                                                                    \
  static inline __attribute__((always_inline)) of refrain__read_##of(const refrain__column *column, uint32_t row) {    \
    of read;                                                                                                           \
    (void)column, (void)row;                                                                                           \
    FIELDS(REFRAIN__READ, REFRAIN__READ_MAYBE)                                                                         \
    return read;                                                                                                       \
  }

typedef struct { REFRAIN_OUTPUTS(REFRAIN__MEMBER, REFRAIN__MAYBE) } output;

#define REFRAIN__OUT(name, type) REFRAIN__OUT_##name,
enum { REFRAIN_OUTPUTS(REFRAIN__OUT, REFRAIN__OUT) REFRAIN__OUTPUTS };

static inline void refrain__write(refrain__builder *to, uint32_t count, const output *row) {
#define REFRAIN__WRITE(name, type) refrain__put_##type(&to[REFRAIN__OUT_##name], count, row->name);
#define REFRAIN__WRITE_MAYBE(name, type)                                               \
  {                                                                                    \
    refrain_maybe_##type field = row->name;                                            \
    if (!field.there) memset(&field.value, 0, sizeof field.value);                     \
    refrain__put_##type(&to[REFRAIN__OUT_##name], count, field.value);                 \
    refrain__put_there(&to[REFRAIN__OUT_##name], count, field.there);                  \
  }
  REFRAIN_OUTPUTS(REFRAIN__WRITE, REFRAIN__WRITE_MAYBE)
}

// Takes back rows of text that were written beyond `count`; numbers are simply written over.
static inline void refrain__take_back(refrain__builder *to, uint32_t count) {
  for (uint32_t i = 0; i < REFRAIN__OUTPUTS; i++)
    if (to[i].bytes_len) to[i].bytes_len = count ? ((uint32_t *)to[i].values)[count - 1] : 0;
}

static refrain__rows refrain__written(refrain__builder *from, uint32_t count) {
  refrain__column *columns = (refrain__column *)refrain__allot(REFRAIN__OUTPUTS * sizeof(refrain__column), 8);
#define REFRAIN__DONE(name, type) \
  columns[REFRAIN__OUT_##name] = refrain__finish(&from[REFRAIN__OUT_##name], REFRAIN__TAG_##type, count);
  REFRAIN_OUTPUTS(REFRAIN__DONE, REFRAIN__DONE)
  return (refrain__rows){count, columns, REFRAIN__OUTPUTS};
}

// ---- options -----------------------------------------------------------------------------------

// REFRAIN_OPTIONS(OPTION): OPTION(name, type, "default", "what it is for") for each; a default of NULL: it must be
// given. Read them in the struct `options`.
#define REFRAIN__CHOSEN(name, type, fallback, doc) refrain_##type name;
static struct {
  REFRAIN_OPTIONS(REFRAIN__CHOSEN)
  char refrain__none;
} options;

// How the type of an option is told to the host.
#define REFRAIN__KIND_bool "bool"
#define REFRAIN__KIND_i64 "i64"
#define REFRAIN__KIND_f64 "f64"
#define REFRAIN__KIND_text "text"
#define REFRAIN__KIND_timestamp "timestamp"
#define REFRAIN__KIND_span "text"

// The host has checked that the text is a value of the type; false: it is no span.
static inline bool refrain__parse_bool(refrain__string text, refrain_bool *to) {
  *to = text.len == 4;
  return true;
}
static inline bool refrain__parse_i64(refrain__string text, refrain_i64 *to) {
  uint64_t number = 0;
  bool minus = text.len && text.ptr[0] == '-';
  for (uint32_t i = 0; i < text.len; i++)
    if (text.ptr[i] >= '0' && text.ptr[i] <= '9') number = number * 10 + (uint64_t)(text.ptr[i] - '0');
  *to = (int64_t)(minus ? 0 - number : number);
  return true;
}
static inline bool refrain__parse_timestamp(refrain__string text, refrain_timestamp *to) {
  return refrain__parse_i64(text, to);
}
static inline bool refrain__parse_f64(refrain__string text, refrain_f64 *to) {
  char *copy = (char *)refrain__allot(text.len + 1, 1);
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = 0;
  *to = strtod(copy, NULL);
  return true;
}
static inline bool refrain__parse_text(refrain__string text, refrain_text *to) {
  uint8_t *copy = (uint8_t *)malloc(text.len + 1); // lives as long as the instance
  if (!copy) abort();
  memcpy(copy, text.ptr, text.len);
  *to = (refrain_text){copy, text.len};
  return true;
}
// A number and a unit.
static inline bool refrain__parse_span(refrain__string text, refrain_span *to) {
  static const struct { const char *name; int64_t us; } units[] = {
      {"d", 86400000000}, {"h", 3600000000}, {"m", 60000000}, {"s", 1000000}, {"ms", 1000}, {"us", 1}};
  uint32_t at = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'), end = at;
  int64_t count = 0;
  for (; end < text.len && text.ptr[end] >= '0' && text.ptr[end] <= '9'; end++)
    if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, text.ptr[end] - '0', &count)) return false;
  if (end == at) return false;
  if (text.ptr[0] == '-') count = -count;
  while (end < text.len && text.ptr[end] == ' ') end++;
  refrain_text unit = {text.ptr + end, text.len - end};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (refrain_is(unit, units[i].name)) return !__builtin_mul_overflow(count, units[i].us, to);
  return false;
}

// ---- exports -----------------------------------------------------------------------------------

#define REFRAIN__STRING(text) ((refrain__string){(const uint8_t *)(text), sizeof(text) - 1})

typedef struct { uint8_t failed; refrain__string text; } refrain__configured;
typedef struct {
  refrain__string name, version, doc;
  refrain__list inputs, outputs;
  uint8_t wants_keys;
  uint32_t state_version;
  refrain__list settings;
} refrain__description;

static inline refrain__string refrain__text_or_none(const char *text) {
  return (refrain__string){(const uint8_t *)text, text ? (uint32_t)strlen(text) : 0};
}

// `inputs` are the fields read, of a fold or transform; a process declares its own.
static inline const refrain__description *refrain__describe(refrain__list inputs, uint32_t state_version) {
  static const refrain__field outputs[] = {REFRAIN_OUTPUTS(REFRAIN__FIELD, REFRAIN__FIELD_MAYBE) {.nullable = 0}};
  static refrain__setting settings[32];
  uint32_t count = 0;
#define REFRAIN__SETTING(name_, type_, default_, doc_)                                                       \
  settings[count++] = (refrain__setting){REFRAIN__STRING(#name_), REFRAIN__STRING(REFRAIN__KIND_##type_), (default_) != 0, \
                                         refrain__text_or_none(default_), refrain__text_or_none(doc_)};
  REFRAIN_OPTIONS(REFRAIN__SETTING)
  static refrain__description said;
  said = (refrain__description){
      REFRAIN__STRING(REFRAIN_NAME), REFRAIN__STRING(REFRAIN_VERSION), REFRAIN__STRING(REFRAIN_DOC),
      inputs, {outputs, REFRAIN__OUTPUTS},
      0, state_version, {settings, count}};
  return &said;
}

// Why the option is refused.
static inline refrain__string refrain__no_span(const refrain__option *given) {
  const refrain__string parts[] = {REFRAIN__STRING("option `"), given->name, REFRAIN__STRING("`: `"), given->value,
                                   REFRAIN__STRING("` is not a length of time, as in \"90s\"")};
  refrain__string text = {(uint8_t *)refrain_take(128 + given->name.len + given->value.len), 0};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    memcpy((uint8_t *)text.ptr + text.len, parts[i].ptr, parts[i].len);
    text.len += parts[i].len;
  }
  return text;
}

static inline refrain__configured refrain__configure(const refrain__option *given, uint32_t count) {
  (void)given;
  for (uint32_t i = 0; i < count; i++) {
#define REFRAIN__CHOOSE(name_, type_, default_, doc_)                                                    \
  if (given[i].name.len == sizeof(#name_) - 1 && !memcmp(given[i].name.ptr, #name_, sizeof(#name_) - 1)  \
      && !refrain__parse_##type_(given[i].value, &options.name_))                                        \
    return (refrain__configured){1, refrain__no_span(&given[i])};
    REFRAIN_OPTIONS(REFRAIN__CHOOSE)
  }
  return (refrain__configured){0};
}

#ifdef __wasm__
#define REFRAIN__EXPORT(name) __attribute__((export_name(name)))

REFRAIN__EXPORT("cabi_realloc") void *refrain__realloc(void *old, size_t old_size, size_t align, size_t size) {
  void *block = refrain__allot(size, align);
  if (old_size) memcpy(block, old, old_size < size ? old_size : size);
  return block;
}

REFRAIN__EXPORT("cabi_post_refrain:plugin/about@0.1.0#describe") void refrain__after_describe(void *said) {
  (void)said;
  refrain__forget();
}

REFRAIN__EXPORT("refrain:plugin/about@0.1.0#configure")
const refrain__configured *refrain__export_configure(const refrain__option *given, uint32_t count) {
  static refrain__configured said;
  said = refrain__configure(given, count);
  return &said;
}

REFRAIN__EXPORT("cabi_post_refrain:plugin/about@0.1.0#configure") void refrain__after_configure(void *said) {
  (void)said;
  refrain__forget();
}
#endif

#endif
