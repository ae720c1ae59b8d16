//! A slow node beside fast ones: it takes its time, and neither theirs nor the host's memory.

use std::fmt::Write;

use refrain_tests::{Home, Running, poll};
use serde_json::Value;

/// Some tens of microseconds a row.
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
struct Slow;

impl Fold for Slow {
    type Input<'a> = Event;
    type State = Total;
    type Output = Shown;

    fn update(&self, total: &mut Total, event: Event) {
        total.rows += 1;
        for i in 0..10_000 {
            total.mixed = std::hint::black_box((total.mixed ^ event.watch_ms).wrapping_mul(31).wrapping_add(i));
        }
    }

    fn evaluate(&self, total: &Total) -> Option<Shown> {
        Some(Shown { rows: total.rows, mixed: total.mixed })
    }
}

export_fold!(Slow);
"#;

/// `direct` is fed from its own partitions, `spread` by an exchange, `behind` by a topic that a fast node writes; `fast` has
/// nothing to do with any of them.
const PIPELINE: &str = r#"
[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64", note = "text" }
time = "event_time"
key = ["content_id"]
partitions = 2

[topic.live]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64", note = "text" }
time = "event_time"
key = ["content_id"]

[node.direct]
plugin = "slow"
input = "events"
key = ["content_id"]
view = "direct"

[node.spread]
plugin = "slow"
input = "events"
key = ["user_id"]
view = "spread"

[node.views_only]
plugin = "views_only"
input = "events"
topic = "views"

[node.behind]
plugin = "slow_views"
input = "views"
key = ["user_id"]
view = "behind"

[node.fast]
plugin = "engagement_total"
input = "live"
key = ["content_id"]
view = "fast"

[run]
commit_interval = "10ms"
"#;

const SLOW: [&str; 3] = ["direct", "spread", "behind"];
/// Of each part.
const ROWS: u64 = 150_000;
/// So many before memory is measured, and as many after: each slow task has dozens of batches to go.
const PARTS: u64 = 3;
/// Of each row, so that rows kept in memory would show.
const NOTE_BYTES: usize = 300;

/// Nine rows in ten are of one key.
fn rows(from: u64, count: u64) -> String {
    let mut text = "event_time,content_id,user_id,kind,watch_ms,note\n".to_string();
    let note = "n".repeat(NOTE_BYTES);
    for i in from..from + count {
        let key = if i % 10 == 0 { i % 50 } else { 7 };
        let time = 1_700_000_000_000 + i;
        writeln!(text, "{time},{key},{key},view,{i},{note}").unwrap();
    }
    text
}

fn home() -> Home {
    let home = Home::new(PIPELINE).with_plugins(&["engagement_total", "views_only"]);
    for (name, source) in [
        ("slow", PLUGIN.to_string()),
        (
            "slow_views",
            PLUGIN
                .replace("watch_ms: i64", "user_id: i64")
                .replace("event.watch_ms", "event.user_id"),
        ),
    ] {
        home.refrain(&["plugin", "new", name]).ok();
        home.write(&format!("plugins/{name}/src/lib.rs"), source);
        home.refrain(&["plugin", "build", name]).ok();
    }
    home
}

fn nodes(home: &Home) -> Vec<Value> {
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    status["nodes"].as_array().unwrap().clone()
}

fn lag(nodes: &[Value], name: &str) -> u64 {
    let node = nodes.iter().find(|node| node["name"] == name).unwrap();
    node["lag_rows"].as_u64().unwrap()
}

/// Memory of the host that is its own: no mapped file.
fn own_kib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

fn append(home: &Home, topic: &str, from: u64, count: u64) {
    home.write("part.csv", rows(from, count));
    home.append(topic, "part.csv", &format!("from {from}")).ok();
}

fn fast_is_served(home: &Home, turn: u64) {
    append(home, "live", turn * 100, 100);
    poll("the fast node to catch up", || {
        (lag(&nodes(home), "fast") == 0).then_some(())
    });
}

/// One worker for all of them, and most rows are of one key. Tasks take turns batch by batch: what comes for the fast node is
/// in its view while most of what came before waits for the slow ones, in the log.
#[test]
fn slow_nodes_keep_neither_fast_ones_nor_rows_in_memory() {
    let home = home();
    let running = home.start_under(home.command(&["run", "--workers", "1"]));
    // What is on its way into the log is held for a moment, up to a bound, and the room is kept: measured from there on.
    (0..PARTS).for_each(|part| append(&home, "events", part * ROWS, ROWS));
    fast_is_served(&home, 0);
    let before_kib = own_kib(&running);
    (PARTS..2 * PARTS).for_each(|part| append(&home, "events", part * ROWS, ROWS));
    (1..4).for_each(|turn| fast_is_served(&home, turn));
    let grown_kib = own_kib(&running).saturating_sub(before_kib);
    let nodes = nodes(&home);
    for name in SLOW {
        assert!(lag(&nodes, name) > 0, "{name} was meant to be slow");
    }
    let appended_kib = PARTS * ROWS * NOTE_BYTES as u64 / 1024;
    assert!(
        grown_kib < appended_kib / 2,
        "the host grew by {grown_kib} KiB while {appended_kib} KiB came"
    );
    running.kill();
}
