//! Money as whole millionths of a unit of the currency, so that parts sum exactly.

use serde::{Deserialize, Serialize};

use crate::pipeline::Nanos;

/// A month for prices: 30 days, in microseconds.
pub const MONTH_US: i64 = 30 * 86_400_000_000;

/// Millionths of a unit of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub i64);

impl Money {
    /// `amount` of something of which `unit` cost `price`, to the nearest millionth.
    pub fn of(amount: u128, unit: u128, price: Nanos) -> Money {
        let nanos = amount.saturating_mul(u128::from(price.unsigned_abs())) / (unit.max(1));
        let micros = nanos.saturating_add(500) / 1000;
        Money(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// CPU time at a price for a core-hour.
    pub fn of_cpu(cpu_ns: u128, core_hour: Nanos) -> Money {
        Money::of(cpu_ns, 3_600_000_000_000, core_hour)
    }

    /// With its currency, in as many decimals as tell it.
    pub fn text(self, currency: &str) -> String {
        format!("{self} {currency}")
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(parts: I) -> Money {
        parts.fold(Money(0), |a, b| a + b)
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let text = format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let keep = text.find('.').map_or(text.len(), |dot| dot + 3);
        let trimmed = text.trim_end_matches('0').len();
        f.write_str(&text[..trimmed.max(keep)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown() {
        let table = [
            (0, "0.00"),
            (1, "0.000001"),
            (1_500_000, "1.50"),
            (-20_000, "-0.02"),
        ];
        for (micros, text) in table {
            assert_eq!(Money(micros).to_string(), text);
        }
    }

    #[test]
    fn prices_are_multiplied() {
        assert_eq!(Money::of_cpu(3_600_000_000_000, 40_000_000), Money(40_000));
        assert_eq!(
            Money::of(1_500_000_000, 1_000_000_000, 80_000_000),
            Money(120_000)
        );
        assert_eq!(Money::of(u128::MAX, 1, 1), Money(i64::MAX));
    }
}
