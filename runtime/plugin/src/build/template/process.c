// Says which orders were not paid in time: rows of two inputs with the same key, and a timer.

#include <stdbool.h>
#include <stdint.h>

// What is kept for each key: plain values, no pointers. Zeroes: no order is open.
typedef struct {
  int64_t open, order_id;
} state;

#define REFRAIN_NAME "NAME"
#define REFRAIN_DOC "Orders that were not paid in time."
// The input fields that are wanted, with the names and types that they have in the topic.
#define ORDERS(FIELD, NULLABLE) FIELD(order_id, i64)
#define PAYMENTS(FIELD, NULLABLE) FIELD(order_id, i64)
// The inputs. The pipeline file says which topic each is: input = { orders = "..", payments = ".." }
#define REFRAIN_INPUTS(INPUT) INPUT(orders, ORDERS) INPUT(payments, PAYMENTS)
// The fields of the rows that it gives, beside the key.
#define REFRAIN_OUTPUTS(FIELD, NULLABLE) FIELD(order_id, i64)
#define REFRAIN_OPTIONS(OPTION) \
  OPTION(patience, span, "10m", "How long after an order its payment is waited for.")
#include "refrain_process.h"

static void on_orders(state *customer, const orders_row *order, moment now) {
  *customer = (state){.open = true, .order_id = order->order_id};
  set_timer(refrain_plus(now.time, options.patience));
}

static void on_payments(state *customer, const payments_row *payment, moment now) {
  (void)now;
  if (customer->open && customer->order_id == payment->order_id) *customer = (state){0};
}

// The watermark has reached the time of a timer.
static void fire(state *customer, moment now) {
  (void)now;
  if (customer->open) emit(&(output){.order_id = customer->order_id});
  *customer = (state){0};
}
