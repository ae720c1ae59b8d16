// What became of each order: paid, or not within the patience. One order of a customer is open at a time.

#include <stdbool.h>
#include <stdint.h>

enum { NONE, OPEN, PRICED }; // no order is open; one is; one with a price

// What is kept for each customer.
typedef struct {
  int64_t open, order_id, cents, due;
} state;

#define REFRAIN_NAME "settled"
#define REFRAIN_DOC "What became of each order: paid, or not within the patience."
#define ORDERS(FIELD, NULLABLE) FIELD(order_id, i64) NULLABLE(cents, i64)
#define PAYMENTS(FIELD, NULLABLE) FIELD(order_id, i64) FIELD(cents, i64) NULLABLE(method, text)
#define REFRAIN_INPUTS(INPUT) INPUT(orders, ORDERS) INPUT(payments, PAYMENTS)
#define REFRAIN_OUTPUTS(FIELD, NULLABLE) \
  FIELD(order_id, i64) FIELD(paid, bool) NULLABLE(share, f64) NULLABLE(method, text)
#define REFRAIN_VIEW_KEY "order_id"
#define REFRAIN_OPTIONS(OPTION)                                                   \
  OPTION(patience, span, "10m", "How long after an order its payment is waited for.") \
  OPTION(renew, bool, "false", "Take back what a view shows of an order that comes again.")
#define REFRAIN_CHECK
#include "refrain_process.h"

static const char *check_orders(const state *customer, const orders_row *order, moment now) {
  (void)order;
  if (now.time < now.watermark) return "too late";
  return customer->open ? "another order is open" : NULL;
}

static void on_orders(state *customer, const orders_row *order, moment now) {
  *customer = (state){order->cents.there ? PRICED : OPEN, order->order_id, order->cents.value,
                      refrain_plus(now.time, options.patience)};
  set_timer(customer->due);
  if (options.renew) delete(&(output){.order_id = order->order_id});
}

static const char *check_payments(const state *customer, const payments_row *payment, moment now) {
  (void)customer, (void)now;
  return payment->cents < 0 ? "less than nothing is paid" : NULL;
}

static void on_payments(state *customer, const payments_row *payment, moment now) {
  (void)now;
  if (!customer->open || customer->order_id != payment->order_id) return;
  clear_timer(customer->due);
  emit(&(output){
      .order_id = payment->order_id,
      .paid = true,
      .share = {customer->open == PRICED, (double)payment->cents / (double)customer->cents},
      .method = payment->method,
  });
  *customer = (state){0};
}

static void fire(state *customer, moment now) {
  (void)now;
  if (customer->open) emit(&(output){.order_id = customer->order_id, .paid = false});
  *customer = (state){0};
}
