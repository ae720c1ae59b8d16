//! The rule by which readers share what a node costs, and its exactness: parts are whole millionths and sum to the whole.
//!
//! Readers are put in the order of what the node would cost if it had to be no fresher than each of them needs. What it
//! costs for the loosest is paid by all in equal parts; each step to the next is paid in equal parts by those who need
//! at least that: the marginal cost of a tier by those who cause it, the remainder by all.

use super::money::Money;

/// A step of the rule, as one reader pays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The reader whose need it goes up to, by its place.
    pub up_to: usize,
    /// Whether it is the first: what the loosest need takes, which all pay.
    pub first: bool,
    /// All of it.
    pub of: Money,
    /// What this reader pays of it.
    pub pays: Money,
    /// By how many it is paid.
    pub payers: usize,
}

/// Shares `total` among readers, step by step. `alone` is what the node would cost for each of them, in any unit; what each
/// pays comes in the same order, steps of nothing left out, and all of it sums to `total` exactly. Without readers there
/// are no shares.
pub fn steps(total: Money, alone: &[f64]) -> Vec<Vec<Step>> {
    let mut shares = vec![Vec::new(); alone.len()];
    let mut order: Vec<usize> = (0..alone.len()).collect();
    order.sort_by(|a, b| alone[*a].total_cmp(&alone[*b]).then(a.cmp(b)));
    let Some(most) = order.last().map(|last| alone[*last]) else {
        return shares;
    };
    let mut paid = 0;
    for (place, reader) in order.iter().enumerate() {
        let level = match place + 1 == order.len() || most <= 0.0 {
            true => total.0,
            false => ((total.0 as f64 * (alone[*reader] / most)) as i64).clamp(paid, total.0),
        };
        let payers = &order[place..];
        for (share, payer) in equal(level - paid, payers.len()).zip(payers) {
            if level > paid {
                shares[*payer].push(Step {
                    up_to: *reader,
                    first: paid == 0,
                    of: Money(level - paid),
                    pays: Money(share),
                    payers: payers.len(),
                });
            }
        }
        paid = level;
    }
    shares
}

/// Parts of `amount`, as equal as whole numbers are, the larger ones first.
fn equal(amount: i64, parts: usize) -> impl Iterator<Item = i64> {
    let count = parts.max(1) as i64;
    (0..count).map(move |i| amount / count + i64::from(i < amount % count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(total: Money, alone: &[f64]) -> Vec<Money> {
        let steps = steps(total, alone).into_iter();
        steps.map(|own| own.iter().map(|s| s.pays).sum()).collect()
    }

    proptest! {
        /// Parts sum to the whole, none is below zero, and who needs less never pays more (but for what cannot be split).
        #[test]
        fn parts_sum_to_the_whole(total in 0..i64::MAX / 4, alone in prop::collection::vec(0.0..1e12_f64, 1..12)) {
            let shares = shares(Money(total), &alone);
            prop_assert_eq!(shares.iter().map(|s| i128::from(s.0)).sum::<i128>(), i128::from(total));
            prop_assert!(shares.iter().all(|s| s.0 >= 0));
            for (a, share_a) in alone.iter().zip(&shares) {
                for (b, share_b) in alone.iter().zip(&shares) {
                    if a < b {
                        prop_assert!(share_a.0 <= share_b.0 + alone.len() as i64);
                    }
                }
            }
        }
    }

    #[test]
    fn the_marginal_cost_is_paid_by_its_cause() {
        // A nightly node costs 10, an hourly one 30, by the second 100.
        let paid = shares(Money(100), &[10.0, 30.0, 100.0]);
        assert_eq!(paid, [Money(4), Money(13), Money(83)]);
        assert_eq!(shares(Money(7), &[5.0, 5.0]), [Money(4), Money(3)]);
        assert!(shares(Money(7), &[]).is_empty());
        let steps = steps(Money(100), &[10.0, 30.0, 100.0]);
        let told: Vec<(usize, i64, usize)> = steps[2]
            .iter()
            .map(|s| (s.up_to, s.of.0, s.payers))
            .collect();
        assert_eq!(told, [(0, 10, 3), (1, 20, 2), (2, 70, 1)]);
        assert!(steps[2][0].first && !steps[2][1].first);
    }
}
