//! Counts the rows of each key and sums one of their fields.

use refrain_sdk::prelude::*;

/// The input fields that are wanted, with the names and types that they have in the topic.
#[derive(Row)]
struct Event {
    value: i64,
}

/// What is kept for each key and window.
#[state]
#[derive(Default)]
struct Totals {
    rows: i64,
    value_sum: i64,
}

/// The fields of the view, beside the key and the window.
#[derive(Row, Debug, PartialEq)]
struct Summary {
    rows: i64,
    value_mean: f64,
}

/// How many rows there were and the mean of their value.
#[derive(Plugin)]
struct Plugin;

impl Fold for Plugin {
    type Input<'a> = Event;
    type State = Totals;
    type Output = Summary;

    fn update(&self, totals: &mut Totals, event: Event) {
        totals.rows += 1;
        totals.value_sum += event.value;
    }

    fn evaluate(&self, totals: &Totals) -> Option<Summary> {
        let value_mean = totals.value_sum as f64 / totals.rows as f64;
        Some(Summary { rows: totals.rows, value_mean })
    }
}

export_fold!(Plugin);

#[test]
fn the_mean_of_two_rows() {
    let summary = TestFold::new(Plugin).row(Event { value: 1 }).row(Event { value: 2 }).output();
    assert_eq!(summary, Some(Summary { rows: 2, value_mean: 1.5 }));
}
