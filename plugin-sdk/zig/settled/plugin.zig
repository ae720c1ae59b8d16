//! What became of each order: paid, or not within the patience. One order of a customer is open at a time.

const refrain = @import("refrain");

const Order = struct { order_id: i64, cents: ?i64 };
const Payment = struct { order_id: i64, cents: i64, method: ?[]const u8 };
const Shop = union(enum) { orders: Order, payments: Payment };

/// What is kept for each customer.
const Customer = struct {
    open: bool = false,
    order_id: i64 = 0,
    cents: ?i64 = null,
    due: refrain.Timestamp = .{ .us = 0 },
};

const Settled = struct { order_id: i64, paid: bool, share: ?f64, method: ?[]const u8 };

const Plugin = struct {
    pub const name = "settled";
    pub const doc = "What became of each order: paid, or not within the patience.";
    pub const Input = Shop;
    pub const State = Customer;
    pub const Output = Settled;
    pub const view_key = [_][]const u8{"order_id"};

    pub const Options = struct {
        /// How long after an order its payment is waited for.
        patience: refrain.Span = .of("10m"),
        /// Take back what a view shows of an order that comes again.
        renew: bool = false,
    };
    pub var options: Options = .{};

    pub fn check(customer: *const Customer, row: Shop, now: refrain.Moment) ?[]const u8 {
        switch (row) {
            .orders => {
                if (now.time.us < now.watermark.us) return "too late";
                return if (customer.open) "another order is open" else null;
            },
            .payments => |payment| return if (payment.cents < 0) "less than nothing is paid" else null,
        }
    }

    pub fn process(customer: *Customer, row: Shop, context: *refrain.Context(Plugin)) void {
        switch (row) {
            .orders => |order| {
                customer.* = .{
                    .open = true,
                    .order_id = order.order_id,
                    .cents = order.cents,
                    .due = context.now.time.plus(options.patience),
                };
                context.setTimer(customer.due);
                if (options.renew) context.delete(.{ .order_id = order.order_id, .paid = false, .share = null, .method = null });
            },
            .payments => |payment| {
                if (!customer.open or customer.order_id != payment.order_id) return;
                context.clearTimer(customer.due);
                const paid: f64 = @floatFromInt(payment.cents);
                context.emit(.{
                    .order_id = payment.order_id,
                    .paid = true,
                    .share = if (customer.cents) |cents| paid / @as(f64, @floatFromInt(cents)) else null,
                    .method = payment.method,
                });
                customer.* = .{};
            },
        }
    }

    pub fn fire(customer: *Customer, context: *refrain.Context(Plugin)) void {
        if (customer.open) context.emit(.{ .order_id = customer.order_id, .paid = false, .share = null, .method = null });
        customer.* = .{};
    }
};

comptime {
    refrain.exportProcess(Plugin);
}
