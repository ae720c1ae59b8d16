//! Engagement events, the same for the same seed, as CSV and as JSON lines, and the pipeline that the tests run on them.

use std::fmt::Write;

use crate::luck::Luck;

/// The topic of engagement events; `partitions` is put in.
pub const EVENTS: &str = r#"[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]
disorder = "5s"
segment_bytes = "1MiB"
partitions = "#;

/// A fold over windows, a transform into a topic, and a total over all time, on two partitions.
pub fn pipeline() -> String {
    format!(
        r#"{EVENTS}2

[node.engagement]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = {{ tumbling = "1m", lateness = "10s" }}
view = "engagement"

[node.views_only]
plugin = "views_only"
input = "events"
topic = "views"

[node.total]
plugin = "engagement_total"
input = "events"
key = ["content_id"]
view = "total"

[run]
commit_interval = "20ms"
"#
    )
}

struct Event {
    time_ms: i64,
    content: u64,
    user: u64,
    kind: &'static str,
    watch_ms: u64,
}

/// Rows some milliseconds apart, up to 7 seconds out of order, so that a few come too late; small contents often.
fn events(seed: u64, rows: usize) -> impl Iterator<Item = Event> {
    let mut luck = Luck::of(seed);
    (0..rows as i64).map(move |i| {
        let kind = ["view", "view", "view", "complete", "like"][luck.below(5) as usize];
        let most = 1 + luck.below(1000);
        let early = if luck.below(1000) == 0 { 90_000 } else { 5_000 };
        Event {
            time_ms: 1_700_000_000_000 + i * 20 - luck.below(early) as i64,
            content: luck.below(most),
            user: luck.below(100_000),
            kind,
            watch_ms: luck.below(60_000),
        }
    })
}

/// `rows` events with a header line.
pub fn events_csv(seed: u64, rows: usize) -> String {
    let mut text = "event_time,content_id,user_id,kind,watch_ms\n".to_string();
    for e in events(seed, rows) {
        writeln!(
            text,
            "{},{},{},{},{}",
            e.time_ms, e.content, e.user, e.kind, e.watch_ms
        )
        .expect("a string takes everything");
    }
    text
}

/// `rows` events, one JSON object a line.
pub fn events_jsonl(seed: u64, rows: usize) -> String {
    let mut text = String::new();
    for e in events(seed, rows) {
        let (time, content, user, kind, watch) = (e.time_ms, e.content, e.user, e.kind, e.watch_ms);
        writeln!(
            text,
            r#"{{"event_time":{time},"content_id":{content},"user_id":{user},"kind":"{kind}","watch_ms":{watch}}}"#
        )
        .expect("a string takes everything");
    }
    text
}

/// The same events in `parts` files of their own, each with its header line.
pub fn events_csv_parts(seed: u64, rows: usize, parts: usize) -> Vec<String> {
    let whole = events_csv(seed, rows);
    let (header, rows_text) = whole.split_once('\n').expect("there is a header line");
    let lines: Vec<&str> = rows_text.lines().collect();
    let part = |lines: &[&str]| format!("{header}\n{}\n", lines.join("\n"));
    lines.chunks(rows.div_ceil(parts)).map(part).collect()
}
