//! A node that has input and does not get on is said to be stalled; one that merely has much to do is not, however long its
//! round takes.

use std::fmt::Write;

use refrain_tests::{Home, poll};
use serde_json::Value;

/// Takes its time for every row, and for ever for one whose `watch_ms` is what the option says.
const PLUGIN: &str = r#"
use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event { watch_ms: i64 }

#[state]
#[derive(Default)]
struct Total { rows: i64, mixed: i64 }

#[derive(Row)]
struct Shown { rows: i64, mixed: i64 }

/// Counts rows, and takes its time.
#[derive(Plugin)]
struct Slow {
    /// Watch time at which it hangs.
    #[setting(default = 0)]
    hang_at: i64,
}

impl Fold for Slow {
    type Input<'a> = Event;
    type State = Total;
    type Output = Shown;

    fn update(&self, total: &mut Total, event: Event) {
        total.rows += 1;
        while event.watch_ms == std::hint::black_box(self.hang_at) {}
        for i in 0..4_000 {
            total.mixed = std::hint::black_box((total.mixed ^ event.watch_ms).wrapping_mul(31).wrapping_add(i));
        }
    }

    fn evaluate(&self, total: &Total) -> Option<Shown> {
        Some(Shown { rows: total.rows, mixed: total.mixed })
    }
}

export_fold!(Slow);
"#;

/// `busy` and `hung` read the same rows; `hung` hangs in the first of its calls.
const PIPELINE: &str = r#"
[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]

[node.busy]
plugin = "slow"
input = "events"
key = ["content_id"]
view = "busy"

[node.hung]
plugin = "slow"
input = "events"
key = ["content_id"]
view = "hung"
options = { hang_at = 7 }
limits = { call = "1h" }

[run]
commit_interval = "10ms"
stall_after = "2s"
"#;

/// Of one round: many times what may pass without a sign of life, in batches of 16,384 that are each a small part of it.
const ROWS: u64 = 500_000;

fn home() -> Home {
    let home = Home::new(PIPELINE);
    home.refrain(&["plugin", "new", "slow"]).ok();
    home.write("plugins/slow/src/lib.rs", PLUGIN);
    home.refrain(&["plugin", "build", "slow"]).ok();
    let mut text = "event_time,content_id,watch_ms\n".to_string();
    for i in 0..ROWS {
        writeln!(text, "{},{},{}", 1_700_000_000_000 + i, i % 50, i + 1).unwrap();
    }
    home.write("events.csv", text);
    home
}

fn node(home: &Home, name: &str) -> Value {
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    let nodes = status["nodes"].as_array().unwrap();
    nodes
        .iter()
        .find(|node| node["name"] == name)
        .unwrap()
        .clone()
}

#[test]
fn a_node_that_hangs_is_stalled_and_one_that_is_busy_is_not() {
    let home = home();
    home.append("events", "events.csv", "all").ok();
    let running = home.start_under(home.command(&["run", "--workers", "2"]));
    // Both have had the same input for the same time.
    let stalled = |node: Value| node["phase"]["stalled"].is_string().then_some(());
    poll("a stall", || stalled(node(&home, "hung")));
    let busy = node(&home, "busy");
    assert_eq!(busy["phase"], "running", "{busy}");
    assert_eq!(busy["cut"], 0, "its round has to outlast the bound: {busy}");
    assert!(busy["lag_rows"].as_u64() > Some(0), "{busy}");
    let hung = node(&home, "hung");
    let said = hung["phase"]["stalled"].as_str().unwrap();
    assert!(
        said.starts_with("has input, and got no further since"),
        "{said}"
    );
    let shown = home.refrain(&["status"]).ok().out;
    assert!(shown.contains("stalled"), "{shown}");
    // The busy one comes to its end and is at rest.
    poll("the end of a long round", || {
        let busy = node(&home, "busy");
        assert_eq!(busy["phase"], "running", "{busy}");
        (busy["lag_rows"] == 0).then_some(())
    });
    assert!(stalled(node(&home, "hung")).is_some());
    running.kill();
}
