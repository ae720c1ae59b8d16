//! Interval join: each purchase with what its user had looked at before it.

use refrain_sdk::join::{Interval, IntervalJoin};
use refrain_sdk::prelude::*;

#[state]
#[derive(Row, Default)]
struct Purchase {
    order_id: i64,
    amount: i64,
}

#[state]
#[derive(Row, Default)]
struct View {
    content_id: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Led {
    order_id: i64,
    amount: i64,
    content_id: Option<i64>,
}

/// Purchases with what their users looked at before; one that nothing led to has no content.
#[derive(Plugin)]
struct PurchasesWithViews {
    /// How long before a purchase a view counts.
    #[setting(default = "1h")]
    before: Span,
}

impl IntervalJoin for PurchasesWithViews {
    type Left = Purchase;
    type Right = View;
    type Output = Led;
    const LEFT: &'static str = "purchases";
    const RIGHT: &'static str = "views";

    fn within(&self) -> (Span, Span) {
        (-self.before, Span(0))
    }

    fn pair(&self, purchase: &Purchase, view: &View) -> Option<Led> {
        Some(Led {
            order_id: purchase.order_id,
            amount: purchase.amount,
            content_id: Some(view.content_id),
        })
    }

    fn left_alone(&self, purchase: &Purchase) -> Option<Led> {
        Some(Led {
            order_id: purchase.order_id,
            amount: purchase.amount,
            content_id: None,
        })
    }
}

export_process!(Interval<PurchasesWithViews>);

#[cfg(test)]
mod tests {
    use refrain_sdk::join::IntervalInput::{Left, Right};

    use super::*;

    fn minutes(minutes: i64) -> Timestamp {
        Timestamp(minutes * 60_000_000)
    }

    #[test]
    fn a_purchase_finds_the_views_of_the_hour_before_it() {
        let view = |content_id| Right(View { content_id });
        let purchase = |order_id| {
            Left(Purchase {
                order_id,
                amount: 5,
            })
        };
        let before = Span::from("1h");
        let led = TestProcess::new(Interval::new(PurchasesWithViews { before }))
            .row("anna", minutes(0), view(1))
            .row("anna", minutes(1), view(2))
            .row("ben", minutes(1), view(3))
            .row("anna", minutes(61), purchase(7))
            .row("cleo", minutes(61), purchase(8))
            .watermark(minutes(62));
        let contents: Vec<_> = led
            .rows()
            .into_iter()
            .map(|(key, led)| (key, led.order_id, led.content_id))
            .collect();
        assert_eq!(contents, [("anna", 7, Some(2)), ("cleo", 8, None)]);
    }
}
