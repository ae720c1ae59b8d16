// Says which orders were not paid in time: rows of two inputs with the same key, and a timer.

import { Process, exportProcess, input, options, outputs } from "../SDK/assemblyscript/process";

// The inputs, each with the fields that are wanted, with the names and types that they have in the topic. The pipeline file
// says which topic each is: input = { orders = "..", payments = ".." }
const orders = input("orders");
const orderId = orders.i64("order_id");
const payments = input("payments");
const paidId = payments.i64("order_id");

// The fields of the rows that it gives, beside the key.
const unpaidId = outputs.i64("order_id");

const patience = options.span("patience", "10m", "How long after an order its payment is waited for.");

// What is kept for each key: plain numbers, 0 before the first row. When all are 0 again, the key is forgotten.
@unmanaged
class Customer {
  orderId: i64;
  open: bool;
}

class Plugin extends Process<Customer> {
  get name(): string {
    return "NAME";
  }
  get doc(): string {
    return "Orders that were not paid in time.";
  }

  process(customer: Customer): void {
    if (orders.isAtHand) {
      customer.orderId = orderId.value;
      customer.open = true;
      this.setTimer(this.later(patience.value));
    } else if (customer.orderId == paidId.value) {
      close(customer);
    }
  }

  // The watermark has reached the time of a timer.
  fire(customer: Customer): void {
    if (customer.open) {
      unpaidId.set(customer.orderId);
      this.emit();
    }
    close(customer);
  }
}

function close(customer: Customer): void {
  customer.orderId = 0;
  customer.open = false;
}

exportProcess(new Plugin());
