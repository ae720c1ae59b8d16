// Keeps the rows whose value is not negative.

#include <stdbool.h>
#include <stdint.h>

#define REFRAIN_NAME "NAME"
#define REFRAIN_DOC "Rows with a value of at least 0."
// The input fields that are wanted, with the names and types that they have in the topic.
#define REFRAIN_INPUTS(FIELD, NULLABLE) FIELD(name, text) FIELD(value, i64)
// The fields of the rows that are given.
#define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELD(name, text) FIELD(value, i64)
#include "refrain_transform.h"

static const char *process(const input *event) {
  if (event->name.len == 0) return "the name is empty";
  if (event->value >= 0) emit(&(output){.name = event->name, .value = event->value});
  return NULL;
}
