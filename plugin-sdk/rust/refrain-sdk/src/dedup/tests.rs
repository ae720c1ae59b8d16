//! De-duplication against a model that knows all rows at once.

use super::{Dedup, DedupInput, First};
use crate::prelude::*;
use crate::tests::lives::{Life, Random, check};

#[derive(Row, Debug, PartialEq)]
struct Seen {
    id: i64,
}

#[derive(Plugin)]
struct FirstSeen {
    horizon: Span,
    lateness: Span,
}

impl Dedup for FirstSeen {
    type Row<'a> = Seen;
    type Output = Seen;
    const INPUT: &'static str = "events";

    fn horizon(&self) -> Span {
        self.horizon
    }

    fn lateness(&self) -> Span {
        self.lateness
    }

    fn first(&self, row: Seen) -> Seen {
        row
    }
}

export_process!(First<FirstSeen>);

fn first_seen(seed: u64) -> FirstSeen {
    let mut random = Random::new(seed + 3_000_000);
    FirstSeen {
        horizon: Span(1 + random.below(30)),
        lateness: Span(random.below(2) * random.below(10)),
    }
}

#[test]
fn of_rows_near_each_other_the_first_is_let_through() {
    check(|seed| {
        let life = Life::new(seed, 1);
        let FirstSeen { horizon, lateness } = first_seen(seed);
        let mut passed: Vec<(&str, i64, i64)> = Vec::new();
        for (_, row) in life.in_time(lateness) {
            let is_near = |(key, at, _): &(&str, i64, i64)| {
                *key == row.key && (row.at - at).abs() < horizon.0
            };
            if !passed.iter().any(is_near) {
                passed.push((row.key, row.at, row.id));
            }
        }
        for one_by_one in [true, false] {
            let input = |event: &crate::tests::lives::Event| DedupInput(Seen { id: event.id });
            let test = life.live(First::new(first_seen(seed)), one_by_one, input, |_, _| {});
            let given: Vec<i64> = test.rows().into_iter().map(|(_, row)| row.id).collect();
            let expected: Vec<i64> = passed.iter().map(|(_, _, id)| *id).collect();
            assert_eq!(given, expected, "{life:?}");
            let test = test.watermark(Timestamp(1_000_000));
            assert_eq!(test.keys(), [""; 0], "nothing is kept for ever");
        }
    });
}

#[test]
fn a_horizon_of_nothing_is_refused() {
    let options = ["horizon", "lateness"].map(|name| (name.to_string(), "0s".to_string()));
    let refused = First::<FirstSeen>::configure(&crate::Options::new(options.to_vec())).err();
    assert_eq!(
        refused.as_deref(),
        Some("refrain-sdk: the horizon is 0s, and has to be longer than zero")
    );
}
