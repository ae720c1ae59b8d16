//! Replay, validation, the first row at which versions part, and upgrades of nodes of every kind, with states in memory and
//! on the disk: session windows, count windows, windows that are kept for a while, and process nodes.

use refrain_tests::{EVENTS, Home, events_csv_parts};
use serde_json::Value;

use crate::process;

const ROWS: usize = 6_000;
const PARTS: usize = 6;
const VIEWS: [&str; 4] = ["visits", "counted", "kept", "total"];
const ON_DISK: &str = "\n[state]\nstore = \"disk\"\ncache = \"1MiB\"\n";

fn pipeline(more: &str) -> String {
    format!(
        r#"{EVENTS}2

[node.visits]
plugin = "sessions"
input = "events"
key = ["content_id"]
window = {{ session = "30s", lateness = "10s" }}
view = "visits"

[node.counted]
plugin = "engagement_total"
input = "events"
key = ["content_id"]
window = {{ count = 20 }}
view = "counted"

[node.kept]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = {{ tumbling = "10s", lateness = "5s" }}
keep = "30s"
view = "kept"

[node.total]
plugin = "engagement_total"
input = "events"
key = ["content_id"]
view = "total"

[run]
commit_interval = "10ms"
{more}"#
    )
}

fn home(more: &str) -> Home {
    let plugins = ["sessions", "engagement", "engagement_total"];
    let home = Home::new(&pipeline(more)).with_plugins(&plugins);
    for (part, text) in events_csv_parts(7, ROWS, PARTS).iter().enumerate() {
        home.write(&format!("{part}.csv"), text);
    }
    home
}

fn append(home: &Home, parts: std::ops::Range<usize>) {
    for part in parts {
        let file = format!("{part}.csv");
        home.append("events", &file, &file).ok();
    }
}

fn digests(home: &Home) -> Vec<String> {
    VIEWS.iter().map(|view| home.digest(view)).collect()
}

fn calm() -> Vec<String> {
    let home = home("");
    append(&home, 0..PARTS);
    home.run().ok();
    digests(&home)
}

/// The same component with a word more in it that means nothing: another digest.
pub(crate) fn noted(home: &Home, plugin: &str, word: &str) -> String {
    let mut bytes = std::fs::read(home.path(&format!("plugins/{plugin}.wasm"))).unwrap();
    let name = word.as_bytes();
    bytes.extend([0, name.len() as u8 + 1, name.len() as u8]);
    bytes.extend(name);
    let file = format!("{plugin}-{word}.wasm");
    home.write(&file, bytes);
    file
}

fn upgrade(home: &Home, node: &str, plugin: &str, word: &str) {
    let file = noted(home, plugin, word);
    let done = home.refrain(&["upgrade", node, "--plugin", &file, "--output", "json"]);
    let done = done.ok().json();
    assert_eq!(done["how"], "replace", "{node}");
    assert!(done["states"].as_u64().unwrap() > 0, "{node}: {done}");
}

fn proven(home: &Home, view: &str) {
    home.refrain(&["receipt", view, "-o", "r.receipt"]).ok();
    home.refrain(&["prove", "r.receipt"]).ok().says(&["equal"]);
}

const NODES: [(&str, &str); 4] = [
    ("visits", "sessions"),
    ("counted", "engagement_total"),
    ("kept", "engagement"),
    ("total", "engagement_total"),
];

/// Two upgrades, at rest and beside a running host, and a restart: what comes out is what comes out without.
fn upgrades_change_nothing(more: &str) {
    let wanted = calm();
    let home = home(more);
    append(&home, 0..2);
    home.run().ok();
    for (node, plugin) in NODES {
        upgrade(&home, node, plugin, "once");
    }
    let running = home.start();
    append(&home, 2..4);
    for (node, plugin) in NODES {
        upgrade(&home, node, plugin, "twice");
    }
    append(&home, 4..5);
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    append(&home, 5..PARTS);
    home.run().ok();
    assert_eq!(digests(&home), wanted);
    for view in VIEWS {
        proven(&home, view);
        // What was upgraded is what a replay by the component of the file is.
        home.refrain(&["replay", view]).ok();
        home.refrain(&["validate", view]).ok().says(&["digest"]);
        home.refrain(&["validate", view, "--first-divergence"])
            .ok()
            .says(&["equal"]);
    }
}

#[test]
fn upgrades_of_every_kind_change_nothing() {
    upgrades_change_nothing("");
}

#[test]
fn upgrades_of_every_kind_change_nothing_on_the_disk() {
    upgrades_change_nothing(ON_DISK);
}

/// A replay from a savepoint comes to what the live version has come to.
fn savepoints_change_nothing(more: &str) {
    let home = home(more);
    append(&home, 0..2);
    home.run().ok();
    home.refrain(&["savepoint", "create", "early"]).ok();
    append(&home, 2..4);
    let running = home.start();
    for view in VIEWS {
        home.refrain(&["replay", view, "--from", "early"]).ok();
    }
    append(&home, 4..PARTS);
    home.wait_until_taken();
    for view in VIEWS {
        home.refrain(&["validate", view]).ok().says(&["digest"]);
        home.refrain(&["cutover", view]).ok();
    }
    assert_eq!(running.stop(), Some(0));
    home.run().ok();
    assert_eq!(digests(&home), calm());
    VIEWS.iter().for_each(|view| proven(&home, view));
}

#[test]
fn a_savepoint_is_gone_on_from_by_every_kind() {
    savepoints_change_nothing("");
}

#[test]
fn a_savepoint_is_gone_on_from_by_every_kind_on_the_disk() {
    savepoints_change_nothing(ON_DISK);
}

/// A process node with a view and one with a topic: upgraded, replayed, gone on from a savepoint, and searched.
fn process_nodes(more: &str) {
    let way = process::Way {
        partitions: 3,
        call_rows: 64,
        rhythm: "continuous",
    };
    let calm = process::home(way);
    process::append(&calm, 0..process::FILES);
    calm.run().ok();
    let home = process::home(way);
    let file = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    home.write("refrain.toml", file + more);
    process::append(&home, 0..2);
    home.run().ok();
    for node in ["pairs", "written"] {
        upgrade(&home, node, "oracle_process", "once");
    }
    process::append(&home, 2..4);
    home.run().ok();
    home.refrain(&["savepoint", "create", "early"]).ok();
    process::append(&home, 4..process::FILES);
    home.run().ok();
    process::same(
        &process::outcome(&home),
        &process::outcome(&calm),
        "upgraded",
    );
    proven(&home, "pairs");
    for from in ["earliest", "early"] {
        home.refrain(&["replay", "pairs", "--from", from]).ok();
        home.refrain(&["validate", "pairs"]).ok().says(&["digest"]);
        home.refrain(&["validate", "pairs", "--first-divergence"])
            .ok()
            .says(&["equal"]);
    }
    home.refrain(&["cutover", "pairs"]).ok();
    proven(&home, "pairs");
    // Timers that fire later: the first row of the view that differs is equal before the row that is named.
    home.refrain(&["replay", "pairs", "--set", "gap=3000000"])
        .ok();
    let search = [
        "validate",
        "pairs",
        "--first-divergence",
        "--output",
        "json",
    ];
    let found = home.refrain(&search).code(3).json();
    equal_before_and_not_after(&found["first_divergence"]["outcome"]["found"]);
}

#[test]
fn process_nodes_are_upgraded_replayed_and_searched() {
    process_nodes("");
}

#[test]
fn process_nodes_are_upgraded_replayed_and_searched_on_the_disk() {
    process_nodes(ON_DISK);
}

/// The search for the first row at which a version parts from one by another window.
fn parts(home: &Home, node: &str, was: &str, is: &str) -> Value {
    let file = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    home.write("refrain.toml", file.replace(was, is));
    home.refrain(&["replay", node]).ok();
    home.refrain(&["validate", node]).code(3);
    let search = ["validate", node, "--first-divergence", "--output", "json"];
    let found = home.refrain(&search).code(3).json();
    found["first_divergence"]["outcome"]["found"].clone()
}

/// What a search found is the row before which nothing differs, and after which something does.
fn equal_before_and_not_after(found: &Value) {
    assert!(found["row"]["offset"].is_u64(), "{found}");
    let views = found["views"].as_array().unwrap();
    assert!(!views.is_empty(), "{found}");
    for row in views {
        assert_eq!(row["left_before"], row["right_before"], "{found}");
        assert_ne!(row["left_after"], row["right_after"], "{found}");
    }
}

#[test]
fn a_count_window_parts_where_the_shorter_one_is_full() {
    let home = home("");
    // With one partition, rows by offset are rows in log order.
    let one = pipeline("").replace("partitions = 2", "partitions = 1");
    home.write("refrain.toml", one);
    append(&home, 0..PARTS);
    home.run().ok();
    let found = parts(&home, "counted", "count = 20", "count = 15");
    // The sixteenth row of a key is the first that another window takes.
    let mut seen = std::collections::BTreeMap::new();
    let rows = home.topic("events");
    let wanted = rows.iter().find(|row| {
        let count: &mut u32 = seen.entry(row["content_id"].as_i64()).or_default();
        *count += 1;
        *count == 16
    });
    let wanted = wanted.unwrap();
    assert_eq!(found["row"]["offset"], wanted["@offset"], "{found}");
}

#[test]
fn a_session_parts_where_the_lateness_tells() {
    let home = home("");
    append(&home, 0..PARTS);
    home.run().ok();
    let found = parts(
        &home,
        "visits",
        "session = \"30s\", lateness = \"10s\"",
        "session = \"30s\", lateness = \"0s\"",
    );
    equal_before_and_not_after(&found);
}
