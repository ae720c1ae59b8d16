//! Says which orders were not paid in time: rows of two inputs with the same key, and a timer.

const refrain = @import("refrain");

/// The input fields that are wanted, with the names and types that they have in the topic.
const Order = struct { order_id: i64 };
const Payment = struct { order_id: i64 };

/// The inputs. The pipeline file says which topic each is: input = { orders = "..", payments = ".." }
const Shop = union(enum) { orders: Order, payments: Payment };

/// What is kept for each key: plain values, no pointers.
const Customer = struct { open: bool = false, order_id: i64 = 0 };

/// The fields of the rows that it gives, beside the key.
const Unpaid = struct { order_id: i64 };

const Plugin = struct {
    pub const name = "NAME";
    pub const doc = "Orders that were not paid in time.";
    pub const Input = Shop;
    pub const State = Customer;
    pub const Output = Unpaid;

    pub const Options = struct {
        /// How long after an order its payment is waited for.
        patience: refrain.Span = .of("10m"),
    };
    pub var options: Options = .{};

    pub fn process(customer: *Customer, row: Shop, context: *refrain.Context(Plugin)) void {
        switch (row) {
            .orders => |order| {
                customer.* = .{ .open = true, .order_id = order.order_id };
                context.setTimer(context.now.time.plus(options.patience));
            },
            .payments => |payment| {
                if (customer.open and customer.order_id == payment.order_id) customer.* = .{};
            },
        }
    }

    /// The watermark has reached the time of a timer.
    pub fn fire(customer: *Customer, context: *refrain.Context(Plugin)) void {
        if (customer.open) context.emit(.{ .order_id = customer.order_id });
        customer.* = .{};
    }
};

comptime {
    refrain.exportProcess(Plugin);
}
