// What became of each order: paid, or not within the patience. One order of a customer is open at a time.

import { Process, exportProcess, input, options, outputs } from "../../.sdk/assemblyscript/process";

const orders = input("orders");
const orderId = orders.i64("order_id");
const orderCents = orders.i64("cents", true);

const payments = input("payments");
const paymentOrder = payments.i64("order_id");
const paymentCents = payments.i64("cents");
const paymentMethod = payments.text("method", true);

const settledOrder = outputs.i64("order_id");
const paid = outputs.bool("paid");
const share = outputs.f64("share", true);
const method = outputs.text("method", true);

const patience = options.span("patience", "10m", "How long after an order its payment is waited for.");
const renew = options.bool("renew", false, "Take back what a view shows of an order that comes again.");

// What is kept for each customer.
@unmanaged
class Customer {
  orderId: i64;
  cents: i64;
  due: i64;
  open: bool;
  priced: bool;
}

class Settled extends Process<Customer> {
  get name(): string {
    return "settled";
  }
  get doc(): string {
    return "What became of each order: paid, or not within the patience.";
  }
  get viewKey(): string[] {
    return ["order_id"];
  }

  check(customer: Customer): string | null {
    if (payments.isAtHand) return paymentCents.value < 0 ? "less than nothing is paid" : null;
    if (this.time < this.watermark) return "too late";
    return customer.open ? "another order is open" : null;
  }

  process(customer: Customer): void {
    if (orders.isAtHand) this.ordered(customer);
    else if (customer.open && customer.orderId == paymentOrder.value) this.paid(customer);
  }

  fire(customer: Customer): void {
    if (customer.open) {
      settledOrder.set(customer.orderId);
      this.emit();
    }
    forget(customer);
  }

  private ordered(customer: Customer): void {
    customer.open = true;
    customer.orderId = orderId.value;
    customer.priced = !orderCents.isNull;
    customer.cents = customer.priced ? orderCents.value : 0;
    customer.due = this.later(patience.value);
    this.setTimer(customer.due);
    if (renew.value) {
      settledOrder.set(customer.orderId);
      this.delete();
    }
  }

  private paid(customer: Customer): void {
    this.clearTimer(customer.due);
    settledOrder.set(customer.orderId);
    paid.set(true);
    if (customer.priced) share.set(<f64>paymentCents.value / <f64>customer.cents);
    if (!paymentMethod.isNull) method.set(paymentMethod.value);
    this.emit();
    forget(customer);
  }
}

function forget(customer: Customer): void {
  memory.fill(changetype<usize>(customer), 0, offsetof<Customer>());
}

exportProcess(new Settled());
