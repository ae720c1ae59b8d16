//! Join with the latest row: each sale with the price that stood when the sale was appended.

use refrain_sdk::join::{Latest, LatestJoin};
use refrain_sdk::prelude::*;

#[derive(Row)]
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
struct Charged {
    sale_id: i64,
    pieces: i64,
    cents: Option<i64>,
    total_cents: Option<i64>,
}

/// Sales with the price that came before them, null where there was none.
#[derive(Plugin)]
struct ChargedPlugin;

impl LatestJoin for ChargedPlugin {
    type Row<'a> = Sale;
    type Table<'a> = Price;
    type Entry = i64;
    type Output = Charged;
    const ROWS: &'static str = "sales";
    const TABLE: &'static str = "prices";

    fn entry(&self, price: Price) -> Option<i64> {
        price.cents
    }

    fn join(&self, sale: Sale, cents: Option<&i64>) -> Option<Charged> {
        Some(Charged {
            sale_id: sale.sale_id,
            pieces: sale.pieces,
            cents: cents.copied(),
            total_cents: cents.map(|cents| cents.wrapping_mul(sale.pieces)),
        })
    }
}

export_process!(Latest<ChargedPlugin>);

#[cfg(test)]
mod tests {
    use refrain_sdk::join::LatestInput::{Row, Table};

    use super::*;

    #[test]
    fn a_sale_has_the_price_that_came_before_it_whatever_its_time() {
        let sale = |sale_id| Row(Sale { sale_id, pieces: 2 });
        let price = |cents| Table(Price { cents });
        let seconds = |seconds: i64| Timestamp(seconds * 1_000_000);
        let charged = TestProcess::new(Latest::new(ChargedPlugin))
            .row("tea", seconds(20), sale(1))
            .row("tea", seconds(30), price(Some(300)))
            .row("tea", seconds(20), sale(2))
            .row("tea", seconds(10), price(Some(350)))
            .row("salt", seconds(20), sale(3))
            .row("tea", seconds(20), sale(4))
            .row("tea", seconds(9), price(None))
            .row("tea", seconds(40), sale(5));
        let totals: Vec<_> = charged
            .rows()
            .into_iter()
            .map(|(_, charged)| (charged.sale_id, charged.total_cents))
            .collect();
        let wanted = [
            (1, None),
            (2, Some(600)),
            (3, None),
            (4, Some(700)),
            (5, None),
        ];
        assert_eq!(totals, wanted);
    }
}
