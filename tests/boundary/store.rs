//! States on the disk, through the real program: many keys, kills, a store that is gone, and states ten times what stays in
//! memory come to the digests that states in memory come to.

use std::fmt::Write;
use std::time::Duration;

use refrain_tests::{EVENTS, Home, Luck, pipeline};

const ON_DISK: &str = "\n[state]\nstore = \"disk\"\ncache = \"1MiB\"\n";
const KEYS: u64 = 50_000;
const PARTS: usize = 6;

/// Events over many contents: each part touches most of the earlier ones again.
fn part(seed: u64) -> String {
    let mut luck = Luck::of(seed);
    let mut text = "event_time,content_id,user_id,kind,watch_ms\n".to_string();
    for i in 0..20_000 {
        let time = 1_700_000_000_000 + (seed * 20_000 + i) * 10;
        let (content, watch) = (luck.below(KEYS), luck.below(60_000));
        writeln!(text, "{time},{content},{i},view,{watch}").unwrap();
    }
    text
}

fn home(more: &str) -> Home {
    let home = Home::new(&(pipeline() + more)).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
    ]);
    for n in 0..PARTS {
        home.write(&format!("{n}.csv"), part(n as u64));
    }
    home
}

fn append(home: &Home, n: usize) {
    home.append("events", &format!("{n}.csv"), &format!("part {n}"))
        .ok();
}

fn digests(home: &Home) -> [String; 2] {
    ["engagement", "total"].map(|view| home.digest(view))
}

fn in_memory() -> [String; 2] {
    let home = home("");
    (0..PARTS).for_each(|n| append(&home, n));
    home.run().ok();
    digests(&home)
}

#[test]
fn states_on_the_disk_come_to_the_same_digests() {
    let wanted = in_memory();
    let home = home(ON_DISK);
    let running = home.start();
    (0..PARTS).for_each(|n| append(&home, n));
    home.wait_until_taken();
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    for node in status["nodes"].as_array().unwrap() {
        let bytes = node["state_bytes"].as_u64().unwrap();
        // It was 0 for every node once. The transform has none.
        assert_eq!(bytes > 100_000, node["name"] != "views_only", "{node}");
        assert!(
            bytes <= status["state_bytes"].as_u64().unwrap() * 2,
            "{node}"
        );
    }
    assert_eq!(running.stop(), Some(0));
    assert_eq!(digests(&home), wanted);
}

#[test]
fn kills_and_a_store_that_is_gone_change_nothing() {
    let wanted = in_memory();
    let home = home(ON_DISK);
    let mut luck = Luck::printed("kills_and_a_store");
    for n in 0..PARTS {
        let running = home.start();
        append(&home, n);
        luck.pause(Duration::from_millis(400));
        running.kill();
        if n == 2 {
            std::fs::remove_dir_all(home.path("data/store")).unwrap();
        }
    }
    home.run().ok();
    assert_eq!(digests(&home), wanted);
    // Kept in memory from here on, and on the disk again: the commit log has it all.
    home.write("refrain.toml", pipeline());
    home.run().ok();
    assert_eq!(digests(&home), wanted);
}

/// What stays in memory of each node below.
const CACHE: &str = "256KiB";
/// Keys of the nodes below: so many open states that hardly a tenth of them stay.
const WIDE_KEYS: u64 = 20_000;
const WIDE_ROWS: u64 = 12_000;
const WIDE_PARTS: usize = 5;
/// Rows of a last, small file.
const FEW: u64 = 10;
const WIDE_VIEWS: [&str; 7] = [
    "all", "tumbling", "kept", "sliding", "visits", "dozens", "first",
];

/// Every kind of window and a process node with timers over the same events; with `on_disk`, states there and little of them in memory.
fn wide_pipeline(on_disk: bool) -> String {
    let node = |name: &str, plugin: &str, more: &str| {
        let cache = if on_disk {
            format!("cache = \"{CACHE}\"\n")
        } else {
            String::new()
        };
        format!(
            "\n[node.{name}]\nplugin = \"{plugin}\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"{name}\"\n{more}{cache}"
        )
    };
    let state = if on_disk { ON_DISK } else { "" };
    [
        format!("{EVENTS}2\n\n[run]\ncommit_interval = \"50ms\"\n"),
        node("all", "engagement_total", ""),
        node(
            "tumbling",
            "engagement_total",
            "window = { tumbling = \"4m\", lateness = \"10s\" }\n",
        ),
        node(
            "kept",
            "engagement_total",
            "window = { tumbling = \"1m\" }\nkeep = \"3m\"\n",
        ),
        node(
            "sliding",
            "engagement_total",
            "window = { sliding = \"4m\", every = \"2m\" }\n",
        ),
        node(
            "visits",
            "sessions",
            "window = { session = \"100s\", lateness = \"10s\" }\nkeep = \"5m\"\n",
        ),
        node("dozens", "engagement_total", "window = { count = 3 }\n"),
        node("first", "first_seen", "options = { horizon = \"100s\" }\n"),
        state.to_owned(),
    ]
    .concat()
}

fn wide(on_disk: bool) -> Home {
    let home = Home::new(&wide_pipeline(on_disk)).with_plugins(&[
        "engagement_total",
        "sessions",
        "first_seen",
    ]);
    let mut luck = Luck::of(7);
    for n in 0..WIDE_PARTS as u64 {
        let mut text = "event_time,content_id,user_id,kind,watch_ms\n".to_string();
        for i in 0..WIDE_ROWS {
            let time = 1_700_000_000_000 + (n * WIDE_ROWS + i) * 10 - luck.below(6_000);
            let (content, watch) = (luck.below(WIDE_KEYS), luck.below(60_000));
            writeln!(text, "{time},{content},{i},view,{watch}").unwrap();
        }
        home.write(&format!("{n}.csv"), text);
    }
    let mut text = "event_time,content_id,user_id,kind,watch_ms\n".to_string();
    let last = 1_700_000_000_000 + WIDE_PARTS as u64 * WIDE_ROWS * 10;
    for i in 0..FEW {
        writeln!(text, "{last},{},0,view,1", i * 7).unwrap();
    }
    home.write("few.csv", text);
    home
}

fn append_few(home: &Home) {
    home.append("events", "few.csv", "few").ok();
}

fn wide_digests(home: &Home) -> Vec<String> {
    WIDE_VIEWS.iter().map(|view| home.digest(view)).collect()
}

fn wide_in_memory() -> Vec<String> {
    let home = wide(false);
    (0..WIDE_PARTS).for_each(|n| append(&home, n));
    append_few(&home);
    home.run().ok();
    wide_digests(&home)
}

/// How often states left the memory of each node and came back, and how many are there now.
fn traffic(home: &Home) -> Vec<(u64, u64, u64)> {
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    let nodes = status["nodes"].as_array().expect("a list of nodes").iter();
    let count = |cache: &serde_json::Value, name: &str| cache[name].as_u64().expect("a count");
    nodes
        .map(|node| {
            let cache = &node["cache"];
            (
                count(cache, "evicted"),
                count(cache, "fetched"),
                count(cache, "slots"),
            )
        })
        .collect()
}

#[test]
fn states_ten_times_the_cache_come_to_the_same_digests() {
    let wanted = wide_in_memory();
    let home = wide(true);
    let running = home.start();
    (0..WIDE_PARTS - 1).for_each(|n| {
        append(&home, n);
        home.wait_until_taken();
    });
    append(&home, WIDE_PARTS - 1);
    home.wait_until_taken();
    for (node, (evicted, fetched, _)) in WIDE_VIEWS.iter().zip(traffic(&home)) {
        assert!(
            evicted > 100 && fetched > 100,
            "{node}: {evicted} left, {fetched} came back"
        );
    }
    let keys = home.view("all").len() as u64;
    let (.., slots) = traffic(&home)[0];
    assert!(
        keys > WIDE_KEYS * 9 / 10 && slots < keys,
        "{slots} of {keys} in memory"
    );
    assert_eq!(running.stop(), Some(0));
    // A host that begins again reads the states of the rows that come, and no others.
    let running = home.start();
    append_few(&home);
    home.wait_until_taken();
    for (node, (evicted, fetched, slots)) in WIDE_VIEWS.iter().zip(traffic(&home)) {
        // Each row is in two windows at most; sessions close all the time, and horizons end.
        let closes = matches!(*node, "visits" | "first");
        assert!(
            closes || fetched <= 2 * FEW,
            "{node}: {fetched} states read"
        );
        assert!(
            closes || evicted == 0 && slots <= 2 * FEW,
            "{node}: {slots} in memory"
        );
    }
    assert_eq!(running.stop(), Some(0));
    assert_eq!(wide_digests(&home), wanted);
}

#[test]
fn states_ten_times_the_cache_survive_kills_and_a_store_that_is_gone() {
    let wanted = wide_in_memory();
    let home = wide(true);
    let mut luck = Luck::printed("ten_times_the_cache");
    for n in 0..WIDE_PARTS {
        let running = home.start();
        append(&home, n);
        luck.pause(Duration::from_millis(600));
        running.kill();
        match n {
            1 => std::fs::remove_dir_all(home.path("data/store")).unwrap(),
            // Some commits with all states in memory, and then on the disk again.
            2 => {
                home.write("refrain.toml", wide_pipeline(false));
                home.run().ok();
                home.write("refrain.toml", wide_pipeline(true));
            }
            3 => drop(home.run().ok()),
            _ => {}
        }
    }
    append_few(&home);
    home.run().ok();
    assert_eq!(wide_digests(&home), wanted);
}
