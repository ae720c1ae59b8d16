//! What became of each order: paid, or not within the patience. One order of a customer is open at a time.

use refrain_sdk::prelude::*;

#[derive(Row)]
struct Order {
    order_id: i64,
    cents: Option<i64>,
}

#[derive(Row)]
struct Payment {
    order_id: i64,
    cents: i64,
    method: Option<String>,
}

#[derive(Inputs)]
enum Shop {
    Orders(Order),
    Payments(Payment),
}

/// What is kept for each customer.
#[state]
#[derive(Default)]
struct Customer {
    open: Option<Open>,
}

/// An order that is not settled.
#[state]
#[derive(Default)]
struct Open {
    order_id: i64,
    cents: Option<i64>,
    due: Timestamp,
}

#[derive(Row, Debug, Default, PartialEq)]
struct Settled {
    order_id: i64,
    paid: bool,
    share: Option<f64>,
    method: Option<String>,
}

/// What became of each order: paid, or not within the patience.
#[derive(Plugin)]
struct SettledPlugin {
    /// How long after an order its payment is waited for.
    #[setting(default = "10m")]
    patience: Span,
    /// Take back what a view shows of an order that comes again.
    #[setting(default = false)]
    renew: bool,
}

impl Process for SettledPlugin {
    type Input<'a> = Shop;
    type State = Customer;
    type Output = Settled;
    const VIEW_KEY: &'static [&'static str] = &["order_id"];

    fn check(&self, customer: &Customer, row: &Shop, now: Moment) -> Result<(), Reject> {
        match row {
            Shop::Orders(_) if now.time < now.watermark => Err("too late".into()),
            Shop::Orders(_) if customer.open.is_some() => Err("another order is open".into()),
            Shop::Payments(payment) if payment.cents < 0 => Err("less than nothing is paid".into()),
            _ => Ok(()),
        }
    }

    fn process(&self, customer: &mut Customer, row: Shop, context: &mut Context<Settled>) {
        match row {
            Shop::Orders(Order { order_id, cents }) => {
                let due = context.time().plus(self.patience);
                customer.open = Some(Open {
                    order_id,
                    cents,
                    due,
                });
                context.set_timer(due);
                if self.renew {
                    context.delete(Settled {
                        order_id,
                        ..Settled::default()
                    });
                }
            }
            Shop::Payments(payment) => {
                let paid = |open: &mut Open| open.order_id == payment.order_id;
                let Some(open) = customer.open.take_if(paid) else {
                    return;
                };
                context.clear_timer(open.due);
                context.emit(Settled {
                    order_id: open.order_id,
                    paid: true,
                    share: open.cents.map(|cents| payment.cents as f64 / cents as f64),
                    method: payment.method,
                });
            }
        }
    }

    fn fire(&self, customer: &mut Customer, context: &mut Context<Settled>) {
        if let Some(Open { order_id, .. }) = customer.open.take() {
            context.emit(Settled {
                order_id,
                ..Settled::default()
            });
        }
    }
}

export_process!(SettledPlugin);

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: i64) -> Timestamp {
        Timestamp(minutes * 60_000_000)
    }

    fn order(order_id: i64) -> Shop {
        Shop::Orders(Order {
            order_id,
            cents: Some(200),
        })
    }

    fn payment(order_id: i64, cents: i64) -> Shop {
        let method = Some("card".to_string());
        Shop::Payments(Payment {
            order_id,
            cents,
            method,
        })
    }

    #[test]
    fn an_order_is_paid_or_its_time_runs_out() {
        let plugin = SettledPlugin {
            patience: "10m".into(),
            renew: false,
        };
        let shop = TestProcess::new(plugin)
            .row("anna", minutes(0), order(1))
            .row("ben", minutes(0), order(2))
            .row("anna", minutes(9), payment(1, 50))
            .row("ben", minutes(9), payment(1, 50))
            .watermark(minutes(10));
        let paid: Vec<_> = shop
            .rows()
            .into_iter()
            .map(|(key, row)| (key, row.order_id, row.share))
            .collect();
        assert_eq!(paid, [("anna", 1, Some(0.25)), ("ben", 2, None)]);
        assert_eq!(shop.keys(), [""; 0]);
    }
}
