//! Keeps the rows whose value is not negative.

use refrain_sdk::prelude::*;

/// The input fields that are wanted, with the names and types that they have in the topic.
#[derive(Row)]
struct Event<'a> {
    name: &'a str,
    value: i64,
}

/// The fields of the rows that are given.
#[derive(Row, Debug, PartialEq)]
struct Kept<'a> {
    name: &'a str,
    value: i64,
}

/// Rows with a value of at least 0.
#[derive(Plugin)]
struct Plugin;

impl Transform for Plugin {
    type Input<'a> = Event<'a>;
    type Output<'a> = Kept<'a>;

    fn process<'a>(&self, event: Event<'a>, out: &mut Out<'a, Kept<'a>>) -> Result<(), Reject> {
        if event.name.is_empty() {
            return Err("the name is empty".into());
        }
        if event.value >= 0 {
            out.push(Kept { name: event.name, value: event.value });
        }
        Ok(())
    }
}

export_transform!(Plugin);

#[test]
fn a_negative_value_is_dropped() {
    let event = Event { name: "a", value: -1 };
    TestTransform::new(Plugin).row(event, |rows| assert_eq!(rows, Ok(vec![])));
}
