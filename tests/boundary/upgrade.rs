//! Upgrades with real components of several versions: at a commit, no row lost or doubled, states migrated or the node
//! untouched, and every receipt proven over its lineage.

use std::process::Stdio;
use std::time::Duration;

use refrain_tests::{Home, Luck, poll, repository};
use serde_json::Value;

const PIPELINE: &str = r#"[topic.events]
schema = { at = "timestamp", id = "i64", amount = "i64" }
time = "at"
key = ["id"]
partitions = 2
disorder = "1m"

[node.total]
plugin = "up"
input = "events"
key = ["id"]
view = "total"

[node.hourly]
plugin = "up"
input = "events"
key = ["id"]
window = { tumbling = "1h", lateness = "5m", as = "hour" }
keep = "12h"
view = "hourly"

[run]
commit_interval = "10ms"
"#;

fn guests() -> std::path::PathBuf {
    repository().join("tests/guests/upgrade")
}

fn guest(name: &str) -> Vec<u8> {
    std::fs::read(guests().join(format!("{name}.wasm"))).unwrap()
}

/// `rows` events from number `from` on, seven seconds apart, of 40 ids, some negative.
fn events(from: usize, rows: usize) -> String {
    let mut text = "at,id,amount\n".to_owned();
    for i in from..from + rows {
        let mut luck = Luck::of(i as u64);
        let second = i * 7;
        let (hour, rest) = (second / 3600, second % 3600);
        let (day, hour) = (1 + hour / 24, hour % 24);
        let amount = luck.below(100) as i64 - 30;
        text += &format!(
            "2001-01-{day:02}T{hour:02}:{:02}:{:02}Z,{},{amount}\n",
            rest / 60,
            rest % 60,
            luck.below(40)
        );
    }
    text
}

pub(crate) fn append(home: &Home, from: usize, rows: usize) {
    let file = format!("events-{from}.csv");
    home.write(&file, events(from, rows));
    home.append("events", &file, &file).ok();
}

pub(crate) fn home(rows: usize) -> Home {
    let home = Home::new(PIPELINE);
    home.write("plugins/up.wasm", guest("first"));
    for name in ["first", "fixed", "second", "silent"] {
        home.write(&format!("{name}.wasm"), guest(name));
    }
    append(&home, 0, rows);
    home
}

fn rows_taken(home: &Home) -> i64 {
    let rows = home.view("total");
    rows.iter().map(|row| row["rows"].as_i64().unwrap()).sum()
}

pub(crate) fn upgrade(home: &Home, node: &str, plugin: &str) -> Value {
    let plugin = format!("{plugin}.wasm");
    let done = home.refrain(&["upgrade", node, "--plugin", &plugin, "--output", "json"]);
    done.ok().json()
}

/// The builds of the receipt of a view, which is proven.
fn proven(home: &Home, view: &str) -> Vec<Value> {
    home.refrain(&["receipt", view, "-o", "r.receipt"]).ok();
    home.refrain(&["prove", "r.receipt"]).ok().says(&["equal"]);
    let text = std::fs::read_to_string(home.path("r.receipt")).unwrap();
    let receipt: Value = serde_json::from_str(&text).unwrap();
    receipt["lineage"][0]["builds"].as_array().unwrap().clone()
}

/// Replaced and gone back from while rows come in: each row is taken once, by the one or the other.
#[test]
fn a_component_is_replaced_while_rows_come_in_and_back() {
    let home = std::sync::Arc::new(home(500));
    let running = home.start();
    home.wait_until_taken();
    let feeder = {
        let home = home.clone();
        std::thread::spawn(move || {
            for part in 1..12 {
                append(&home, part * 500, 500);
            }
        })
    };
    poll("some rows to be taken", || {
        (rows_taken(&home) > 1_000).then_some(())
    });
    let done = upgrade(&home, "total", "fixed");
    assert_eq!(done["how"], "replace");
    assert!(done["pause_us"].as_u64().unwrap() > 0, "{done}");
    let daily = upgrade(&home, "hourly", "fixed");
    assert_eq!(daily["how"], "replace");
    poll("more rows to be taken", || {
        (rows_taken(&home) > 3_500).then_some(())
    });
    let back = home.refrain(&["upgrade", "total", "--back", "--output", "json"]);
    let back = back.ok().json();
    assert_eq!((&back["is"], &back["was"]), (&done["was"], &done["is"]));
    feeder.join().unwrap();
    home.wait_until_taken();
    assert_eq!(rows_taken(&home), 6_000);
    append(&home, 6_000, 100);
    home.wait_until_taken();
    let builds = proven(&home, "total");
    let how: Vec<&str> = builds.iter().map(|b| b["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["begin", "replace", "replace"]);
    assert_eq!(builds[1]["from"], done["cut"]);
    assert_eq!(builds[2]["from"], back["cut"]);
    assert_eq!(proven(&home, "hourly").len(), 2);
    assert_eq!(running.stop(), Some(0));
    let digests = [home.digest("total"), home.digest("hourly")];
    // What took over goes on after a restart, and with the file of before in plugins/.
    home.run().ok();
    assert_eq!([home.digest("total"), home.digest("hourly")], digests);
    assert_eq!(rows_taken(&home), 6_100);
}

#[test]
fn states_are_migrated_and_the_file_agrees_afterwards() {
    let home = home(2_000);
    home.run().ok();
    let before = home.view("total");
    home.write("plugins/up.wasm", guest("second"));
    home.refrain(&["plan", "--output", "json"]).code(3);
    let plan = home.refrain(&["plan"]).code(3);
    assert_eq!(
        plan.out.matches("state migration").count(),
        2,
        "{}",
        plan.out
    );
    assert!(plan.out.contains("state version"), "{}", plan.out);
    home.run().ok().says(&["goes on as it was built"]);
    let done = home
        .refrain(&["upgrade", "total", "--output", "json"])
        .ok()
        .json();
    assert_eq!(done["how"], "migrate");
    assert_eq!(done["state_versions"], serde_json::json!([1, 2]));
    assert_eq!(done["states"], 40);
    assert_eq!(home.view("total"), before, "what is there stays as it is");
    home.refrain(&["upgrade", "total"])
        .code(2)
        .says(&["runs this component already"]);
    home.refrain(&["upgrade", "hourly"])
        .ok()
        .says(&["migrated from version 1 to 2"]);
    home.refrain(&["plan"]).ok();
    append(&home, 2_000, 600);
    home.run().ok();
    assert_eq!(rows_taken(&home), 2_600);
    let rows = home.view("total");
    assert!(
        rows.iter().all(|row| row["version"] == 3),
        "600 rows meet 40 ids"
    );
    // Negative amounts count from the cut on: the sums are those of before and all that came since.
    let since: i64 = events(2_000, 600)
        .lines()
        .skip(1)
        .map(|l| l.rsplit(',').next().unwrap().parse::<i64>().unwrap())
        .sum();
    let sum = |rows: &[Value]| rows.iter().map(|r| r["sum"].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum(&rows), sum(&before) + since);
    assert_eq!(proven(&home, "total").len(), 2);
    assert_eq!(proven(&home, "hourly").len(), 2);
    home.refrain(&["upgrade", "total", "--back"])
        .code(2)
        .says(&["no way back for states", "refrain replay total"]);
    home.refrain(&["upgrade", "total", "--plugin", "first.wasm"])
        .code(2)
        .says(&["states are not taken back"]);
}

#[test]
fn without_migrate_it_is_refused_with_two_ways_out() {
    let home = home(1_000);
    let running = home.start();
    home.wait_until_taken();
    let before = home.digest("total");
    home.refrain(&["upgrade", "total", "--plugin", "silent.wasm"])
        .code(2)
        .says(&[
            "two ways",
            "export_fold!(Name, migrate)",
            "refrain replay total",
        ]);
    assert_eq!(home.digest("total"), before);
    home.refrain(&["upgrade", "total", "--plugin", "events-0.csv"])
        .code(2);
    home.refrain(&["upgrade", "total", "--back"])
        .code(2)
        .says(&["was not upgraded"]);
    home.refrain(&["upgrade", "nothing"]).code(2);
    append(&home, 1_000, 200);
    home.wait_until_taken();
    assert_eq!(rows_taken(&home), 1_200);
    assert!(home.view("total").iter().all(|row| row["version"] == 1));
    assert_eq!(running.stop(), Some(0));
}

/// A trap and a refusal in the middle of the states: nothing has changed, and the node takes rows.
#[test]
fn a_failed_migration_leaves_the_old_version_running() {
    let home = home(1_000);
    home.write(
        "special.csv",
        "at,id,amount\n2001-01-01T02:00:00Z,900,666\n",
    );
    home.append("events", "special.csv", "special").ok();
    let running = home.start();
    home.wait_until_taken();
    let before = home.digest("total");
    for node in ["total", "hourly"] {
        home.refrain(&["upgrade", node, "--plugin", "second.wasm"])
            .code(2)
            .says(&["goes on as it was", "trap"]);
    }
    assert_eq!(home.digest("total"), before);
    home.write("more.csv", "at,id,amount\n2001-01-01T02:00:00Z,900,1\n");
    home.append("events", "more.csv", "more").ok();
    home.wait_until_taken();
    home.refrain(&["upgrade", "total", "--plugin", "second.wasm"])
        .code(2)
        .says(&["goes on as it was", "the sum 667 is refused"]);
    assert_eq!(rows_taken(&home), 1_002);
    assert!(home.view("total").iter().all(|row| row["version"] == 1));
    home.append("events", "more.csv", "again").ok();
    home.wait_until_taken();
    upgrade(&home, "total", "second");
    append(&home, 1_000, 400);
    home.wait_until_taken();
    assert_eq!(rows_taken(&home), 1_403);
    assert_eq!(proven(&home, "total").len(), 2);
    assert_eq!(running.stop(), Some(0));
}

/// kill -9 of the command and of the host, at any moment: the one or the other build, with states that fit it.
#[test]
fn a_killed_upgrade_is_done_or_not_done() {
    let mut luck = Luck::printed("killed_upgrade");
    let (mut done, mut undone) = (0, 0);
    for round in 0..10 {
        let home = home(1_500);
        home.run().ok();
        let mut host = (round % 2 == 1).then(|| home.start());
        let mut child = home
            .command(&["upgrade", "total", "--plugin", "second.wasm"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        luck.pause(Duration::from_millis(250));
        match host.take() {
            Some(host) => host.kill(),
            None => child.kill().unwrap(),
        }
        child.wait().ok();
        append(&home, 1_500, 300);
        home.run().ok();
        assert_eq!(rows_taken(&home), 1_800);
        let builds = proven(&home, "total").len();
        *(if builds == 2 { &mut done } else { &mut undone }) += 1;
        let versions: Vec<Value> = home
            .view("total")
            .iter()
            .map(|r| r["version"].clone())
            .collect();
        let wanted = if builds == 2 { 3 } else { 1 };
        assert!(versions.iter().all(|v| *v == wanted), "{versions:?}");
    }
    eprintln!("{done} done, {undone} not done");
}

/// The search computes an upgraded version as the builds that it was, each from its cut on.
#[test]
fn an_upgraded_version_parts_where_its_builds_say() {
    let home = home(1_000);
    home.run().ok();
    append(&home, 1_000, 500);
    home.run().ok();
    let cut = upgrade(&home, "total", "fixed")["cut"].as_u64().unwrap();
    append(&home, 1_500, 500);
    home.run().ok();
    let search = |candidate: &str| {
        let search = [
            "validate",
            "total",
            "--candidate",
            candidate,
            "--first-divergence",
            "--output",
            "json",
        ];
        let found = home.refrain(&search).code(3).json();
        found["first_divergence"]["outcome"]["found"].clone()
    };
    // Against the mended component from the beginning: at the first negative amount of all.
    home.refrain(&["replay", "total", "--plugin", "fixed.wasm"])
        .ok();
    let found = search("2");
    let amount = |found: &Value| {
        let fields = found["row"]["fields"].as_array().unwrap().iter();
        let mut its = fields.filter(|field| field[0] == "amount");
        let text = its.next().unwrap()[1].as_str().unwrap().to_owned();
        text.parse::<i64>().unwrap()
    };
    assert!(amount(&found) < 0, "{found}");
    assert!(found["sequence"].as_u64().unwrap() <= 2, "{found}");
    // Against the first component to the end: at the first row after the cut, whose view says which component made it.
    home.refrain(&["replay", "total", "--plugin", "first.wasm"])
        .ok();
    let found = search("3");
    assert_eq!(found["sequence"], cut + 1, "{found}");
    assert_eq!(found["equal_up_to"], cut, "{found}");
    assert_eq!(
        found["row"]["offset"].as_u64(),
        Some(first_after(&home, &found))
    );
    // By states taken as they are, and by states migrated.
    upgrade(&home, "hourly", "second");
    append(&home, 2_000, 300);
    home.run().ok();
    home.refrain(&["replay", "hourly", "--plugin", "second.wasm"])
        .ok();
    let search = [
        "validate",
        "hourly",
        "--first-divergence",
        "--output",
        "json",
    ];
    let found = home.refrain(&search).code(3).json();
    let found = &found["first_divergence"]["outcome"]["found"];
    // All rows name the component that made them.
    assert_eq!(found["sequence"], 1, "{found}");
}

/// The first offset of the third append in the partition of the row that was found.
fn first_after(home: &Home, found: &Value) -> u64 {
    let rows = home.topic("events");
    let its = rows
        .iter()
        .filter(|row| row["@partition"] == found["partition"]);
    let id = |i: usize| {
        let text = events(i, 1);
        let line = text.lines().nth(1).unwrap().to_owned();
        line.split(',').next().unwrap().to_owned()
    };
    let from = id(1_500);
    let mut offsets = its.filter(|row| row["at"].as_str().unwrap() >= from.as_str());
    offsets.next().unwrap()["@offset"].as_u64().unwrap()
}

const OTHER_KINDS: &str = r#"[topic.events]
schema = { at = "timestamp", id = "i64", amount = "i64" }
time = "at"
key = ["id"]
partitions = 2
disorder = "1m"

[node.visits]
plugin = "session"
input = "events"
key = ["id"]
window = { session = "5m", lateness = "2m", as = "began", end_as = "ended" }
view = "visits"

[node.pending]
plugin = "process"
input = { events = "events" }
key = ["id"]
timer_step = "30s"
view = "pending"
"#;
const ON_DISK: &str = "\n[state]\nstore = \"disk\"\ncache = \"1MiB\"\n";

fn other_kinds(more: &str) -> Home {
    let home = Home::new(&(OTHER_KINDS.to_owned() + more));
    for kind in ["session", "process"] {
        home.write(
            &format!("plugins/{kind}.wasm"),
            guest(&format!("{kind}_first")),
        );
        home.write(&format!("{kind}.wasm"), guest(&format!("{kind}_second")));
    }
    home
}

/// `rows` events from number `from` on, as [`events`], none of them negative.
fn append_positive(home: &Home, from: usize, rows: usize) {
    let file = format!("positive-{from}.csv");
    let text: String = events(from, rows)
        .lines()
        .map(|line| line.replace(",-", ",") + "\n")
        .collect();
    home.write(&file, text);
    home.append("events", &file, &file).ok();
}

/// The rows of a version of a view, but for the component that made each; and those components.
fn shown(home: &Home, view: &str, version: &str) -> (Vec<Value>, Vec<Value>) {
    let scan = [
        "view",
        "scan",
        view,
        "--limit",
        "100000",
        "--version",
        version,
    ];
    let rows = home.refrain(&[&scan[..], &["--output", "json"]].concat());
    let mut rows = rows.ok().json().as_array().unwrap().clone();
    let of = |row: &mut Value| row.as_object_mut().unwrap().remove("version").unwrap();
    let versions = rows.iter_mut().map(of).collect();
    (rows, versions)
}

/// Open sessions, and states with timers that have still to fire, are taken over by a component with states of another
/// shape, at rest and from a savepoint: what comes out is what the first component comes to.
fn sessions_and_timers_are_migrated(more: &str) {
    let calm = other_kinds("");
    append_positive(&calm, 0, 1_500);
    calm.run().ok();
    append_positive(&calm, 1_500, 1_500);
    calm.run().ok();
    let home = other_kinds(more);
    append_positive(&home, 0, 1_500);
    home.run().ok();
    home.refrain(&["savepoint", "create", "early"]).ok();
    for (node, plugin) in [("visits", "session"), ("pending", "process")] {
        let before = shown(&home, node, "1");
        let done = upgrade(&home, node, plugin);
        assert_eq!(done["how"], "migrate", "{node}");
        assert!(done["states"].as_u64().unwrap() > 10, "{done}");
        assert_eq!(shown(&home, node, "1"), before, "{node}");
    }
    append_positive(&home, 1_500, 1_500);
    home.run().ok();
    for (node, plugin, new) in [("visits", "session", 3), ("pending", "process", 2)] {
        let (rows, versions) = shown(&home, node, "1");
        assert_eq!(rows, shown(&calm, node, "1").0, "{node}");
        assert!(versions.contains(&new.into()), "{node}: {versions:?}");
        let builds = proven(&home, node);
        assert_eq!((builds.len(), &builds[1]["how"]), (2, &"migrate".into()));
        // The same by a replay that begins with the states of the savepoint.
        let plugin = format!("{plugin}.wasm");
        home.refrain(&["replay", node, "--from", "early", "--plugin", &plugin])
            .ok();
        assert_eq!(shown(&home, node, "2").0, rows, "{node}");
        home.refrain(&["validate", node]).ok().says(&["digest"]);
    }
    let fired = |row: &Value| row["fired"].as_i64().unwrap();
    let pending = shown(&home, "pending", "1").0;
    assert!(
        pending.iter().map(fired).sum::<i64>() > 2_000,
        "timers were there"
    );
}

#[test]
fn states_of_sessions_and_of_processes_with_timers_are_migrated() {
    sessions_and_timers_are_migrated("");
}

#[test]
fn states_of_sessions_and_of_processes_with_timers_are_migrated_on_the_disk() {
    sessions_and_timers_are_migrated(ON_DISK);
}

/// Builds the guests anew, and keeps them with REFRAIN_KEEP_GUESTS.
#[test]
#[ignore = "compiles guests; .ci/full runs it"]
fn build_the_upgrade_guests() {
    let cache = refrain_plugin::build::default_cache();
    let folder = tempfile::tempdir().unwrap();
    let place = match std::env::var_os("REFRAIN_KEEP_GUESTS") {
        Some(_) => guests(),
        None => folder.path().to_owned(),
    };
    for name in [
        "first",
        "fixed",
        "second",
        "silent",
        "session_first",
        "session_second",
        "process_first",
        "process_second",
    ] {
        let out = place.join(format!("{name}.wasm"));
        let built =
            refrain_plugin::build::build_plugin(&guests().join(name), &out, &cache, &mut |line| {
                println!("{line}");
            });
        built.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// A running host picks up another component by an explicit act alone: bytes that are put in the plugin's place are nothing to it,
/// nor to a later start, until someone says so.
#[test]
fn a_component_that_is_overwritten_under_a_live_host_changes_nothing() {
    let home = home(500);
    let shown = |home: &Home| -> Vec<i64> {
        let rows = home.view("total");
        rows.iter()
            .map(|row| row["version"].as_i64().unwrap())
            .collect()
    };
    let running = home.start();
    home.wait_until_taken();
    home.write("plugins/up.wasm", guest("fixed"));
    append(&home, 500, 500);
    home.wait_until_taken();
    assert_eq!(rows_taken(&home), 1000);
    assert!(shown(&home).iter().all(|version| *version == 1));
    let live = home.digest("total");
    assert_eq!(running.stop(), Some(0));
    // What it came to is what the component that it started with makes of all rows.
    let other = Home::new(PIPELINE);
    other.write("plugins/up.wasm", guest("first"));
    append(&other, 0, 500);
    append(&other, 500, 500);
    other.run().ok();
    assert_eq!(other.digest("total"), live);
    // A start is no such act either: the live version goes on as it was built.
    let running = home.start();
    append(&home, 1000, 100);
    home.wait_until_taken();
    assert!(shown(&home).iter().all(|version| *version == 1));
    upgrade(&home, "total", "fixed");
    append(&home, 1100, 100);
    home.wait_until_taken();
    assert!(shown(&home).contains(&2), "an upgrade is one");
    assert_eq!(rows_taken(&home), 1200);
    assert_eq!(running.stop(), Some(0));
}
