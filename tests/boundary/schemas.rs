//! The fields of a topic: the pipeline file edited beside a running host.

use refrain_tests::Home;

use crate::versions::{flights_csv, home};

fn edit(home: &Home, from: &str, to: &str) {
    let path = home.path("refrain.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    home.write("refrain.toml", text.replace(from, to));
}

/// A replay read `distance` as `delay` once, when the file named them in another order than the log.
#[test]
fn fields_in_another_order_are_the_same_fields() {
    let home = home(2_000);
    let running = home.start();
    home.wait_until_taken();
    let live = home.digest("delays");
    edit(
        &home,
        "delay = \"i64\", distance = \"i64\"",
        "distance = \"i64\", delay = \"i64\"",
    );
    home.refrain(&["replay", "delays"]).ok();
    let candidate = [
        "view",
        "digest",
        "delays",
        "--version",
        "2",
        "--output",
        "json",
    ];
    let candidate = home.refrain(&candidate).ok().json();
    assert_eq!(candidate[0]["digest"], live);
    home.refrain(&["plan"]).ok();
    home.write("more.csv", flights_csv(2_000, 500));
    home.append("flights", "more.csv", "q").ok();
    home.wait_until_taken();
    let live = home.digest("delays");
    assert_eq!(running.stop(), Some(0));
    home.run().ok();
    assert_eq!(home.digest("delays"), live);
    assert_eq!(home.rows("flights"), 2_500);
}

/// They read the log by places in the file's schema once.
#[test]
fn nothing_is_planned_for_rows_that_the_log_does_not_have() {
    let home = home(1_000);
    let running = home.start();
    home.wait_until_taken();
    edit(&home, "delay = \"i64\"", "taxi = \"i64?\", delay = \"i64\"");
    let says = ["topic flights", "the field `taxi: i64?` is new"];
    home.refrain(&["replay", "delays"]).code(2).says(&says);
    home.refrain(&["plan"]).code(2).says(&says);
    home.refrain(&["upgrade", "delays"]).code(2).says(&says);
    assert_eq!(running.stop(), Some(0));
}

/// It was dropped once, and nobody was told.
#[test]
fn a_column_that_the_topic_does_not_have_is_not_dropped() {
    let home = home(1_000);
    let running = home.start();
    edit(&home, "delay = \"i64\"", "taxi = \"i64?\", delay = \"i64\"");
    home.write(
        "new.csv",
        "date,delay,distance,origin,taxi\n2001-01-02T00:00:00Z,1,2,A1,7\n",
    );
    home.append("flights", "new.csv", "new").code(2).says(&[
        "topic flights has no field taxi",
        "nothing of the append was kept",
    ]);
    assert_eq!(home.rows("flights"), 1_000);
    assert_eq!(running.stop(), Some(0));
}
