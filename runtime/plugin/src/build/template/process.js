// Says which orders were not paid in time: rows of two inputs with the same key, and a timer.

import { exportProcess } from "SDK/javascript/refrain.js";

let patience = 0;

export const { about, process } = exportProcess({
  name: "NAME",
  doc: "Orders that were not paid in time.",
  // The inputs, each with the fields that are wanted, with the names and types that they have in the topic. The pipeline
  // file says which topic each is: input = { orders = "..", payments = ".." }
  inputs: { orders: { order_id: "i64" }, payments: { order_id: "i64" } },
  // The fields of the rows that it gives, beside the key.
  outputs: { order_id: "i64" },

  options: { patience: { kind: "span", default: "10m", doc: "How long after an order its payment is waited for." } },
  configure(options) {
    patience = options.patience;
  },

  // What is kept for each key.
  state: () => ({ orderId: null }),

  process: {
    orders(open, order, context) {
      open.orderId = order.order_id;
      context.setTimer(context.time + patience);
    },
    payments(open, payment) {
      if (open.orderId === payment.order_id) open.orderId = null;
    },
  },

  fire(open, context) {
    if (open.orderId !== null) context.emit({ order_id: open.orderId });
    open.orderId = null;
  },
});
