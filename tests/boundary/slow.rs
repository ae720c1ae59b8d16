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

/// `direct` is fed from its own partitions, `spread` by an exchange, `behind` by a topic that a fast node writes.
const PIPELINE: &str = r#"
[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64", note = "text" }
time = "event_time"
key = ["content_id"]
partitions = 2

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
input = "events"
key = ["content_id"]
view = "fast"

[run]
commit_interval = "10ms"
"#;

const SLOW: [&str; 3] = ["direct", "spread", "behind"];
const FAST: [&str; 2] = ["views_only", "fast"];
const PART_ROWS: u64 = 25_000;
const PARTS: u64 = 8;
/// Of each row, so that rows kept in memory would show.
const NOTE_BYTES: usize = 400;

/// Nine rows in ten are of one key.
fn part(n: u64) -> String {
    let mut text = "event_time,content_id,user_id,kind,watch_ms,note\n".to_string();
    let note = "n".repeat(NOTE_BYTES);
    for i in 0..PART_ROWS {
        let key = if i % 10 == 0 { i % 50 } else { 7 };
        let time = 1_700_000_000_000 + n * PART_ROWS + i;
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

fn append(home: &Home, n: u64) {
    home.write("part.csv", part(n));
    home.append("events", "part.csv", &format!("part {n}")).ok();
}

fn wait_for_fast(home: &Home) {
    poll("the fast nodes to catch up", || {
        let nodes = nodes(home);
        FAST.iter().all(|name| lag(&nodes, name) == 0).then_some(())
    });
}

/// One worker for all of them, and most rows are of one key. Tasks take turns batch by batch, so the fast nodes are done
/// while most batches still wait for the slow ones: in the log.
#[test]
fn slow_nodes_keep_neither_fast_ones_nor_rows_in_memory() {
    let home = home();
    let running = home.start_under(home.command(&["run", "--workers", "1"]));
    append(&home, 0);
    wait_for_fast(&home);
    let before_kib = own_kib(&running);
    (1..PARTS).for_each(|n| append(&home, n));
    wait_for_fast(&home);
    let grown_kib = own_kib(&running).saturating_sub(before_kib);
    let nodes = nodes(&home);
    for name in SLOW {
        assert!(lag(&nodes, name) > 0, "{name} was meant to be slow");
    }
    let appended_kib = (PARTS - 1) * PART_ROWS * NOTE_BYTES as u64 / 1024;
    assert!(
        grown_kib < appended_kib / 2,
        "the host grew by {grown_kib} KiB while {appended_kib} KiB came"
    );
    running.kill();
}
