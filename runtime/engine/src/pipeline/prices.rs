//! What resources cost, as a pipeline file says it: `[prices]`. Money is whole numbers, so that parts sum exactly.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;
use toml::de::DeValue;

use super::section::{Reader, Section};

/// Billionths of a unit of the currency.
pub type Nanos = i64;

/// Most that one price can be, in units of the currency.
const PRICE_MAX: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;

/// The price sheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// What the prices are in, for people.
    pub currency: String,
    /// One core for one hour.
    pub core_hour: Nanos,
    /// 10^9 bytes on local disks or in memory for a month of 30 days.
    pub gb_month_hot: Nanos,
    /// The same in the cold tier.
    pub gb_month_cold: Nanos,
    /// 10^9 bytes read from the log.
    pub gb_read: Nanos,
    /// One durable write: a sync of a disk, or a request of an object store.
    pub request: Nanos,
    /// Whether the file has said any of it.
    pub stated: bool,
}

impl Default for Prices {
    /// Of the order of public clouds' list prices: 0.04 a core-hour, 0.08 and 0.02 a GB-month, reads and syncs of local
    /// disks for nothing.
    fn default() -> Self {
        Prices {
            currency: "USD".into(),
            core_hour: 40_000_000,
            gb_month_hot: 80_000_000,
            gb_month_cold: 20_000_000,
            gb_read: 0,
            request: 0,
            stated: false,
        }
    }
}

/// Reads `[prices]`.
pub(super) fn prices(span: Range<usize>, value: &Spanned<DeValue>, reader: &mut Reader) -> Prices {
    let mut prices = Prices::default();
    let Some(mut section) = Section::open("[prices]".into(), span, value, reader) else {
        return prices;
    };
    prices.stated = true;
    if let Some(currency) = section.text("currency", reader) {
        prices.currency = currency.into_inner();
    }
    price("core_hour", &mut prices.core_hour, &mut section, reader);
    price(
        "gb_month_hot",
        &mut prices.gb_month_hot,
        &mut section,
        reader,
    );
    price(
        "gb_month_cold",
        &mut prices.gb_month_cold,
        &mut section,
        reader,
    );
    if let Some(cold) = section.get("gb_month_cold") {
        let message = "`gb_month_cold` has no effect: there is no cold tier, and every bill has 0 bytes in it";
        let help = "leave it out until segments move to an object store";
        reader
            .findings
            .warning("unused-price", cold.span(), message, help);
    }
    price("gb_read", &mut prices.gb_read, &mut section, reader);
    price("request", &mut prices.request, &mut section, reader);
    section.close(reader);
    prices
}

fn price(key: &'static str, target: &mut Nanos, section: &mut Section, reader: &mut Reader) {
    let Some(value) = section.get(key) else {
        return;
    };
    let nanos = match value.get_ref() {
        DeValue::Integer(n) => decimal(n.as_str()),
        DeValue::Float(x) => decimal(x.as_str()),
        DeValue::String(_) => reader.text(key, value).and_then(|t| decimal(t.get_ref())),
        other => {
            reader.wrong_type(key, value.span(), other, "a number");
            return;
        }
    };
    match nanos {
        Some(nanos) => *target = nanos,
        None => {
            let message =
                format!("`{key}` is a price from 0 to {PRICE_MAX} with at most nine decimals");
            let help = format!("write such as `{key} = 0.04`");
            reader
                .findings
                .error("bad-price", value.span(), message, help);
        }
    }
}

/// A plain decimal as billionths, exactly.
fn decimal(text: &str) -> Option<Nanos> {
    let text = text.trim().replace('_', "");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 9 || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: i64 = whole.parse().ok().filter(|w| *w <= PRICE_MAX)?;
    let part: i64 = format!("{part:0<9}").parse().ok()?;
    Some(whole * NANOS + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let table = [
            ("0.04", Some(40_000_000)),
            ("3", Some(3_000_000_000)),
            ("0.000000001", Some(1)),
            ("0.0000000001", None),
            ("-1", None),
            ("1e-3", None),
            ("", None),
            ("1000001", None),
        ];
        for (text, nanos) in table {
            assert_eq!(decimal(text), nanos, "{text}");
        }
    }
}
