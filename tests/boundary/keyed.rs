//! A plugin that asks for its keys is shown each state with the key and window of that state, and no other: at once, while
//! rows come in and after kill -9, with many keys in windows that open and close.

use std::time::Duration;

use refrain_tests::{EVENTS, Home, Luck, events_csv_parts};
use serde_json::Value;

const ROWS: usize = 3_000;

fn home() -> Home {
    Home::new(&format!(
        r#"{EVENTS}2

[node.titles]
plugin = "titles"
input = "events"
key = ["content_id"]
window = {{ tumbling = "5s", lateness = "10s" }}
view = "titles"

[node.engagement]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = {{ tumbling = "5s", lateness = "10s" }}
view = "engagement"

[run]
commit_interval = "20ms"
"#
    ))
    .with_plugins(&["titles", "engagement"])
}

/// Second of the epoch at which the row's window begins, such as 2023-11-14T22:13:20Z: all events are of that day.
fn start_second(row: &Value) -> i64 {
    let text = row["window_start"].as_str().unwrap();
    let time = text.strip_prefix("2023-11-14T").unwrap();
    let part = |at: usize| time[at..at + 2].parse::<i64>().unwrap();
    1_699_920_000 + part(0) * 3600 + part(3) * 60 + part(6)
}

#[test]
fn rows_are_shown_with_their_own_keys() {
    let mut luck = Luck::printed("keyed");
    let parts = events_csv_parts(luck.next(), ROWS, 5);
    let once = home();
    let live = home();
    for (i, part) in parts.iter().enumerate() {
        let name = format!("part{i}");
        for home in [&once, &live] {
            home.write(&format!("{name}.csv"), part);
        }
        once.append("events", &format!("{name}.csv"), &name).ok();
        let running = live.start();
        live.append("events", &format!("{name}.csv"), &name).ok();
        luck.pause(Duration::from_millis(50));
        running.kill();
    }
    once.run().ok();
    live.run().ok();
    assert_eq!(once.digest("titles"), live.digest("titles"));
    let rows = once.view("titles");
    for row in &rows {
        let (content, second) = (&row["content_id"], start_second(row));
        let title = format!("content {content} from second {second}");
        assert_eq!(row["title"], title, "{row}");
    }
    // as many windows as a fold of the same rows has that does not look at its keys
    assert_eq!(rows.len(), once.view("engagement").len());
    assert!(rows.len() > 100, "many keys in many windows");
}
