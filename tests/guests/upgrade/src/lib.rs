//! One plugin in its versions, by feature: the first, a mended one with the same states, a second with states of another
//! shape that takes over those of the first, and the same without `migrate`.

use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event {
    amount: i64,
}

#[cfg(not(feature = "second"))]
#[state]
#[derive(Default)]
struct Total {
    rows: i64,
    sum: i64,
}

/// As the first version kept it.
#[cfg(all(feature = "second", not(feature = "silent")))]
#[state]
#[derive(Default)]
struct First {
    rows: i64,
    sum: i64,
}

#[cfg(feature = "second")]
#[state]
#[derive(Default)]
struct Total {
    sum: i64,
    rows: i64,
    largest: Option<i64>,
}

#[derive(Row)]
struct Shown {
    rows: i64,
    sum: i64,
    version: i64,
}

/// Sums of amounts.
#[derive(Plugin)]
#[cfg_attr(feature = "second", plugin(state_version = 2))]
struct Upgrade;

impl Fold for Upgrade {
    type Input<'a> = Event;
    type State = Total;
    type Output = Shown;

    fn update(&self, total: &mut Total, event: Event) {
        total.rows += 1;
        // The first version has a bug: it loses what is negative.
        if event.amount >= 0 || cfg!(any(feature = "fixed", feature = "second")) {
            total.sum += event.amount;
        }
        #[cfg(feature = "second")]
        {
            total.largest = total.largest.max(Some(event.amount));
        }
    }

    fn evaluate(&self, total: &Total) -> Option<Shown> {
        let version = match (cfg!(feature = "second"), cfg!(feature = "fixed")) {
            (true, _) => 3,
            (_, true) => 2,
            _ => 1,
        };
        Some(Shown {
            rows: total.rows,
            sum: total.sum,
            version,
        })
    }
}

#[cfg(all(feature = "second", not(feature = "silent")))]
impl Migrate for Upgrade {
    fn migrate(&self, from: u32, saved: Saved<'_>) -> Result<Total, String> {
        if from != 1 {
            return Err(format!("states of version {from} are not known"));
        }
        let First { rows, sum } = saved.read()?;
        match sum {
            666 => panic!("a state that is not borne"),
            667 => Err("a state with the sum 667 is refused".into()),
            _ => Ok(Total {
                sum,
                rows,
                largest: None,
            }),
        }
    }
}

#[cfg(feature = "merge")]
impl Merge for Upgrade {
    fn merge(&self, total: &mut Total, other: Total) {
        total.rows += other.rows;
        total.sum += other.sum;
        #[cfg(feature = "second")]
        {
            total.largest = total.largest.max(other.largest);
        }
    }
}

#[cfg(all(feature = "second", not(feature = "silent"), not(feature = "merge")))]
export_fold!(Upgrade, migrate);
#[cfg(all(feature = "second", not(feature = "silent"), feature = "merge"))]
export_fold!(Upgrade, merge, migrate);
#[cfg(all(
    not(all(feature = "second", not(feature = "silent"))),
    feature = "merge"
))]
export_fold!(Upgrade, merge);
#[cfg(not(any(feature = "merge", all(feature = "second", not(feature = "silent")))))]
export_fold!(Upgrade);
