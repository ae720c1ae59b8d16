//! Says which orders were not paid in time: rows of two inputs with the same key, and a timer.

use refrain_sdk::prelude::*;

/// The input fields that are wanted, with the names and types that they have in the topic.
#[derive(Row)]
struct Order {
    order_id: i64,
}

#[derive(Row)]
struct Payment {
    order_id: i64,
}

/// The inputs. The pipeline file says which topic each is: input = { orders = "..", payments = ".." }
#[derive(Inputs)]
enum Shop {
    Orders(Order),
    Payments(Payment),
}

/// What is kept for each key.
#[state]
#[derive(Default)]
struct Open {
    order_id: Option<i64>,
}

/// The fields of the rows that it gives, beside the key.
#[derive(Row, Debug, PartialEq)]
struct Unpaid {
    order_id: i64,
}

/// Orders that were not paid in time.
#[derive(Plugin)]
struct Plugin {
    /// How long after an order its payment is waited for.
    #[setting(default = "10m")]
    patience: Span,
}

impl Process for Plugin {
    type Input<'a> = Shop;
    type State = Open;
    type Output = Unpaid;

    fn process(&self, open: &mut Open, row: Shop, context: &mut Context<Unpaid>) {
        match row {
            Shop::Orders(order) => {
                open.order_id = Some(order.order_id);
                context.set_timer(context.time().plus(self.patience));
            }
            Shop::Payments(payment) if open.order_id == Some(payment.order_id) => {
                open.order_id = None;
            }
            Shop::Payments(_) => {}
        }
    }

    fn fire(&self, open: &mut Open, context: &mut Context<Unpaid>) {
        if let Some(order_id) = open.order_id.take() {
            context.emit(Unpaid { order_id });
        }
    }
}

export_process!(Plugin);

#[test]
fn an_order_without_payment_is_told() {
    let minutes = |minutes: i64| Timestamp(minutes * 60_000_000);
    let shop = TestProcess::new(Plugin { patience: "10m".into() })
        .row("anna", minutes(0), Shop::Orders(Order { order_id: 1 }))
        .row("ben", minutes(0), Shop::Orders(Order { order_id: 2 }))
        .row("anna", minutes(9), Shop::Payments(Payment { order_id: 1 }))
        .watermark(minutes(10));
    assert_eq!(shop.rows(), [("ben", &Unpaid { order_id: 2 })]);
}
