// Gives back each row as it is.

#include <stdbool.h>
#include <stdint.h>

#define REFRAIN_NAME "echo"
#define FIELDS(FIELD, NULLABLE)                                                                 \
  FIELD(id, i64) FIELD(flag, bool) FIELD(count, i64) FIELD(real, f64) FIELD(word, text)         \
  FIELD(blob, bytes) FIELD(at, timestamp) NULLABLE(flag_or, bool) NULLABLE(count_or, i64)       \
  NULLABLE(real_or, f64) NULLABLE(word_or, text) NULLABLE(blob_or, bytes) NULLABLE(at_or, timestamp)
#define REFRAIN_INPUTS(FIELD, NULLABLE) FIELDS(FIELD, NULLABLE)
#define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELDS(FIELD, NULLABLE)
#include "refrain_transform.h"

static const char *process(const input *row) {
  emit(&(output){row->id, row->flag, row->count, row->real, row->word, row->blob, row->at, row->flag_or, row->count_or,
                 row->real_or, row->word_or, row->blob_or, row->at_or});
  return NULL;
}
