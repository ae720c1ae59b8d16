//! As-of join: each sale with the price that was in force at its time.

use refrain_sdk::join::{AsOf, AsOfJoin};
use refrain_sdk::prelude::*;

#[state]
#[derive(Row, Default)]
struct Sale {
    sale_id: i64,
    pieces: i64,
}

#[derive(Row)]
struct Price {
    /// Null: not sold from then on.
    cents: Option<i64>,
}

#[derive(Row, Debug, PartialEq)]
struct Priced {
    sale_id: i64,
    pieces: i64,
    cents: Option<i64>,
    total_cents: Option<i64>,
}

/// Sales with the price of their time, null where there was none.
#[derive(Plugin)]
struct PricedPlugin;

impl AsOfJoin for PricedPlugin {
    type Row = Sale;
    type Table<'a> = Price;
    type Version = i64;
    type Output = Priced;
    const ROWS: &'static str = "sales";
    const TABLE: &'static str = "prices";

    fn version(&self, price: Price) -> Option<i64> {
        price.cents
    }

    fn join(&self, sale: &Sale, cents: Option<&i64>) -> Option<Priced> {
        Some(Priced {
            sale_id: sale.sale_id,
            pieces: sale.pieces,
            cents: cents.copied(),
            total_cents: cents.map(|cents| cents.wrapping_mul(sale.pieces)),
        })
    }
}

export_process!(AsOf<PricedPlugin>);

#[cfg(test)]
mod tests {
    use refrain_sdk::join::AsOfInput::{Row, Table};

    use super::*;

    #[test]
    fn a_sale_has_the_price_of_its_time_whatever_comes_first() {
        let sale = |sale_id| Row(Sale { sale_id, pieces: 2 });
        let price = |cents| Table(Price { cents });
        let seconds = |seconds: i64| Timestamp(seconds * 1_000_000);
        let priced = TestProcess::new(AsOf::new(PricedPlugin))
            .row("tea", seconds(20), sale(1))
            .row("tea", seconds(9), sale(2))
            .row("tea", seconds(30), sale(3))
            .row("tea", seconds(10), price(Some(300)))
            .row("tea", seconds(20), price(Some(350)))
            .row("tea", seconds(25), price(None))
            .watermark(seconds(31));
        let totals: Vec<_> = priced
            .rows()
            .into_iter()
            .map(|(_, priced)| (priced.sale_id, priced.total_cents))
            .collect();
        assert_eq!(totals, [(2, None), (1, Some(700)), (3, None)]);
    }
}
