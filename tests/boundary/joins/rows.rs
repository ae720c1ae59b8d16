//! Rows of five topics in the order in which they are appended: keys that meet, times out of order, a few far too late.

use std::fmt::Write;

use refrain_tests::{Home, Luck};

/// One row of one topic.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) topic: &'static str,
    pub(crate) at_ms: i64,
    pub(crate) key: i64,
    /// What the topic's other columns are made of.
    pub(crate) a: Option<i64>,
    pub(crate) b: Option<i64>,
    pub(crate) kind: i64,
}

/// Name, columns behind the time, of each topic.
const TOPICS: [(&str, &str); 5] = [
    ("purchases", "user,order_id,amount"),
    ("views", "user,content_id"),
    ("sales", "product,sale_id,pieces"),
    ("prices", "product,cents"),
    ("events", "event_id,content_id,watch_ms,kind"),
];

/// Rows of all topics, one after the other; times are not before 2023.
pub(crate) fn rows(seed: u64, count: usize) -> Vec<Row> {
    let mut luck = Luck::of(seed);
    let mut now = 1_700_000_000_000;
    let mut topic = TOPICS[0].0;
    let row = |id: usize| {
        if luck.below(12) == 0 {
            topic = TOPICS[luck.below(5) as usize].0;
        }
        now += luck.below(700) as i64;
        let early = if luck.below(15) == 0 { 60_000 } else { 5_000 };
        let keys = if topic == "events" { 300 } else { 12 };
        let (key, small) = (luck.below(keys) as i64, luck.below(9) as i64);
        let id = id as i64;
        let (a, b) = match topic {
            "views" => (Some(id), None),
            "prices" => ((small > 0).then_some(small * 50), None),
            "events" => (Some(small * small), Some(1 + id)),
            _ => (Some(id), Some(small)),
        };
        Row {
            topic,
            at_ms: now - luck.below(early) as i64,
            key,
            a,
            b,
            kind: luck.below(3) as i64,
        }
    };
    (0..count).map(row).collect()
}

/// Appends rows so that the log has them in this order: a file for each stretch of one topic, under a name of its own.
pub(crate) fn append(home: &Home, name: &str, rows: &[Row]) {
    let stretches = rows.chunk_by(|a, b| a.topic == b.topic);
    for (i, stretch) in stretches.enumerate() {
        let name = format!("{name}-{i}");
        let file = format!("{name}.csv");
        home.write(&file, csv(stretch));
        home.append(stretch[0].topic, &file, &name).ok();
    }
}

/// The rows in so many parts, none of which cuts a stretch of one topic in two: what is one frame of the log stays one.
pub(crate) fn parts(rows: &[Row], count: usize) -> Vec<&[Row]> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for stretch in rows.chunk_by(|a, b| a.topic == b.topic) {
        end += stretch.len();
        if end - start > rows.len() / count || end == rows.len() {
            parts.push(&rows[start..end]);
            start = end;
        }
    }
    parts
}

fn csv(rows: &[Row]) -> String {
    let topic = rows[0].topic;
    let columns = TOPICS.iter().find(|(name, _)| *name == topic);
    let mut text = format!("at,{}\n", columns.map_or("", |(_, columns)| columns));
    for row in rows {
        let shown = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
        write!(text, "{},{},{}", row.at_ms, row.key, shown(row.a)).unwrap();
        if !matches!(topic, "views" | "prices") {
            write!(text, ",{}", shown(row.b)).unwrap();
        }
        if topic == "events" {
            write!(text, ",{}", row.kind).unwrap();
        }
        text.push('\n');
    }
    text
}
