//! Versions of several nodes that read each other: built, moved and moved back as one, with readers at full speed and with
//! kill -9 at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use refrain_tests::{Home, Luck, count, poll, repository};
use serde_json::Value;

/// A transform, a transform of what it writes, and a fold of each.
const CHAIN: &str = r#"[topic.events]
schema = { at = "timestamp", ka = "text?", kb = "i64?", kc = "bool?", kd = "timestamp?", ke = "bytes?", flag = "bool?", number = "i64?", real = "f64?", name = "text?", blob = "bytes?", moment = "timestamp?" }
time = "at"
key = ["ka"]
partitions = 2
disorder = "5m"

[node.clean]
plugin = "oracle_transform"
input = "events"
topic = "cleaned"

[node.again]
plugin = "oracle_transform"
input = "cleaned"
topic = "twice"

[node.near]
plugin = "oracle"
input = "cleaned"
key = ["kb"]
partitions = 2
window = { tumbling = "1m", lateness = "10m" }
view = "near"

[node.far]
plugin = "oracle"
input = "twice"
key = ["ka"]
window = { tumbling = "1m", lateness = "10m" }
view = "far"

[run]
commit_interval = "20ms"
"#;
const NODES: [&str; 4] = ["clean", "again", "near", "far"];
pub(crate) const VIEWS: [&str; 2] = ["near", "far"];

pub(crate) fn home() -> Home {
    let home = Home::new(CHAIN);
    for name in ["oracle", "oracle_transform"] {
        let guest = repository().join(format!("tests/guests/oracle/{name}.wasm"));
        home.write(
            &format!("plugins/{name}.wasm"),
            std::fs::read(guest).unwrap(),
        );
    }
    home
}

pub(crate) fn append(home: &Home, part: usize, rows: usize) {
    let mut text = String::new();
    for row in part * 1000..part * 1000 + rows {
        let mut luck = Luck::of(row as u64);
        text += &format!(
            "{{\"at\":\"2020-01-01T{:02}:{:02}:{:02}Z\",\"ka\":\"k{}\",\"kb\":{},\"number\":{},\"flag\":false,\"name\":\"n\"}}\n",
            row / 3600,
            row / 60 % 60,
            row % 60,
            luck.below(9),
            luck.below(9),
            luck.below(1000)
        );
    }
    let file = format!("events-{part}.jsonl");
    home.write(&file, text);
    home.append("events", &file, &file).ok();
}

fn live(home: &Home, node: &str) -> u64 {
    let list = home.refrain(&["view", "versions", node, "--output", "json"]);
    list.ok().json()["live"].as_u64().unwrap()
}

fn lives(home: &Home) -> Vec<u64> {
    NODES.iter().map(|node| live(home, node)).collect()
}

pub(crate) fn digest(home: &Home, view: &str, version: u64) -> String {
    let version = version.to_string();
    let arguments = [
        "view",
        "digest",
        view,
        "--version",
        &version,
        "--output",
        "json",
    ];
    let rows = home.refrain(&arguments).ok().json();
    rows[0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_group_moves_as_one_or_not_at_all() {
    let home = home();
    append(&home, 0, 800);
    home.run().ok();
    // Alone it would leave those who read its topic with a mixture.
    home.refrain(&["replay", "clean", "--set", "shift=60000000"])
        .ok();
    home.refrain(&["cutover", "clean"])
        .code(2)
        .says(&["would mix two versions", "--downstream"]);
    assert_eq!(lives(&home), [1, 1, 1, 1]);
    home.refrain(&["retire", "clean", "2", "--confirm"]).ok();

    home.refrain(&["replay", "clean", "--set", "shift=60000000", "--downstream"])
        .ok()
        .says(&["clean@3", "again@2", "near@2", "far@2"]);
    for view in VIEWS {
        home.refrain(&["validate", view]).code(3);
        assert_ne!(digest(&home, view, 1), digest(&home, view, 2));
    }
    // What a view would say in a life with the option from the beginning is what its candidate says.
    let other = self::home();
    other.write(
        "refrain.toml",
        CHAIN.replace(
            "topic = \"cleaned\"",
            "topic = \"cleaned\"\noptions = { shift = 60000000 }",
        ),
    );
    append(&other, 0, 800);
    other.run().ok();
    for view in VIEWS {
        assert_eq!(digest(&home, view, 2), other.digest(view), "{view}");
    }
    home.refrain(&["cutover", "clean", "--consumer", "somebody"])
        .code(2)
        .says(&["all its readers move together"]);
    home.refrain(&["cutover", "clean"]).ok();
    assert_eq!(lives(&home), [3, 2, 2, 2]);
    for view in VIEWS {
        assert_eq!(home.digest(view), other.digest(view), "{view}");
    }
    home.refrain(&["retire", "clean", "3", "--confirm"]).code(2);
    // One command takes all of them back.
    home.refrain(&["rollback", "clean"]).ok();
    assert_eq!(lives(&home), [1, 1, 1, 1]);
    home.refrain(&["retire", "clean", "3", "--confirm"])
        .code(2)
        .says(&["again@2"]);
}

/// Beside a running host, with rows coming in: an answer is all of one version, and of no earlier cut than the one before.
#[test]
fn readers_of_a_group_see_no_mixture_and_no_gap() {
    let home = Arc::new(home());
    append(&home, 0, 800);
    let running = home.start();
    home.wait_until_taken();
    home.refrain(&["replay", "clean", "--set", "shift=60000000", "--downstream"])
        .ok();
    let over = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = VIEWS
        .into_iter()
        .map(|view| {
            let (home, over, answers) = (home.clone(), over.clone(), answers.clone());
            std::thread::spawn(move || {
                // By cut, what was answered.
                let mut seen: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    let json = home.refrain(&["view", "digest", view, "--output", "json"]);
                    let row = &json.ok().json()[0];
                    let cut = row["cut"].as_u64().unwrap();
                    assert!(cut >= last, "{view}: cut {cut} after cut {last}");
                    assert!(row["rows"].as_u64().unwrap() > 0, "{view}: a gap");
                    last = cut;
                    let said = seen.entry(cut).or_default();
                    said.insert(row["digest"].as_str().unwrap().to_owned());
                    assert!(said.len() <= 2, "{view}: of no version at cut {cut}");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..7 {
        append(&home, round, 100);
        match round % 2 {
            1 => home.refrain(&["cutover", "clean", "--candidate", "2"]).ok(),
            _ => home.refrain(&["rollback", "clean"]).ok(),
        };
        let all = lives(&home);
        assert!(all.iter().all(|version| *version == all[0]), "{all:?}");
        let seen = answers.load(Ordering::Relaxed);
        poll("readers to look", || {
            (answers.load(Ordering::Relaxed) > seen + 4).then_some(())
        });
    }
    over.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|r| r.join().unwrap());
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    // All that was read is what a life without moves says.
    let calm = self::home();
    append(&calm, 0, 800);
    (1..7).for_each(|round| append(&calm, round, 100));
    calm.run().ok();
    home.run().ok();
    for view in VIEWS {
        assert_eq!(digest(&home, view, 1), calm.digest(view), "{view}");
    }
}

/// kill -9 of the command, or of the host that does its work, in the middle of replay, validate, cutover, rollback, retire.
#[test]
fn a_group_survives_kill_9_at_every_step() {
    let mut luck = Luck::printed("killed_group");
    let home = home();
    append(&home, 0, 800);
    home.run().ok();
    home.refrain(&["replay", "clean", "--set", "shift=60000000", "--downstream"])
        .ok();
    let wanted = |view: &str| [digest(&home, view, 1), digest(&home, view, 2)];
    let wanted: Vec<[String; 2]> = VIEWS.iter().map(|view| wanted(view)).collect();
    let mut ended_well = 0;
    for round in 0..count("REFRAIN_KILLS", 50) / 2 {
        let newest = newest_candidate(&home, "far");
        let retire = newest.map(|n| n.to_string()).unwrap_or("9".into());
        let operations: [Vec<&str>; 5] = [
            vec!["replay", "far", "--set", "hide=3"],
            vec!["validate", "near", "--candidate", "2", "--first-divergence"],
            vec!["cutover", "clean", "--candidate", "2"],
            vec!["rollback", "clean"],
            vec!["retire", "far", &retire, "--confirm"],
        ];
        let operation = &operations[luck.below(5) as usize];
        let host = (luck.below(2) == 0).then(|| home.start());
        let mut child = home
            .command(operation)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        luck.pause(Duration::from_millis(250));
        match host {
            Some(host) => {
                host.kill();
                let _ = child.kill();
            }
            None => child.kill().unwrap_or_default(),
        }
        ended_well += u32::from(child.wait().unwrap().success());
        // All are in the one version or in the other, and say what it says.
        let all = lives(&home);
        let (far, others) = all.split_last().unwrap();
        // The newest version of `far` that reads what the group writes follows it: one of a replay in between, too.
        let follows = *far == all[0] || all[0] == 2 && *far > 2;
        assert!(
            follows && others.iter().all(|version| *version == all[0]),
            "round {round}, {operation:?}: {all:?}"
        );
        for (view, digests) in VIEWS.iter().zip(&wanted) {
            if *view == "far" && *far > 2 {
                continue;
            }
            let said = home.digest(view);
            assert_eq!(said, digests[all[0] as usize - 1], "round {round}, {view}");
        }
    }
    println!("{ended_well} operations were faster than the kill");
    home.run().ok();
    home.refrain(&["replay", "far", "--set", "hide=3"]).ok();
}

fn newest_candidate(home: &Home, node: &str) -> Option<u64> {
    let list = home
        .refrain(&["view", "versions", node, "--output", "json"])
        .ok()
        .json();
    let versions = list["versions"].as_array().unwrap().iter().rev();
    let mut candidates = versions.filter(|v: &&Value| v["standing"] == "candidate");
    candidates.next()?["version"].as_u64().filter(|n| *n > 2)
}

/// A group that begins at one cut: windows are compared where they are whole, whatever is between them and the log.
#[test]
fn a_group_begins_later_as_one() {
    let home = home();
    (0..8).for_each(|part| append(&home, part, 400));
    home.run().ok();
    let replay = ["replay", "clean", "--downstream", "--from"];
    home.refrain(&[&replay[..], &["2020-01-01T01:00:00Z"]].concat())
        .ok()
        .says(&[
            "clean@2",
            "again@2",
            "near@2",
            "far@2",
            "windows before are not whole",
        ]);
    for view in VIEWS {
        let report = home.refrain(&["validate", view, "--output", "json"]);
        let report = report.ok().json();
        let drift = &report["drift"];
        let count = |what: &str| drift[what][0].as_u64().unwrap();
        assert!(count("rows") > 100 && count("skipped") > 100, "{report}");
        let receipt = home.refrain(&["receipt", view, "--version", "2"]).ok();
        home.write("later.receipt", &receipt.out);
        let lineage = receipt.json()["lineage"].as_array().unwrap().clone();
        let after = |node: &Value| node["after"].as_u64().unwrap();
        assert!(lineage.iter().all(|node| after(node) == after(&lineage[0])));
        assert!(after(&lineage[0]) > 0);
        home.refrain(&["prove", "later.receipt"])
            .ok()
            .says(&["equal"]);
    }
    // The topic of the group has what came behind the cut, and its readers move along.
    let rows = home.rows("cleaned");
    home.refrain(&["cutover", "clean"])
        .ok()
        .says(&["version 2 of node clean begins after sequence"]);
    assert!(home.topic("cleaned").len() < rows as usize);
    // Of a changed group the same rows are compared, and differ.
    home.refrain(&["rollback", "clean"]).ok();
    let replay = [&replay[..], &["1000", "--set", "shift=60000000"]].concat();
    home.refrain(&replay).ok();
    home.refrain(&["validate", "near"]).code(3);
    append(&home, 8, 400);
    home.run().ok();
    home.refrain(&["validate", "near", "--candidate", "2"]).ok();
}

/// What a change of one node means for those that read what it writes.
#[test]
fn a_plan_follows_a_change_down_the_chain() {
    let home = home();
    append(&home, 0, 300);
    home.run().ok();
    let changed = CHAIN.replace(
        "topic = \"cleaned\"",
        "topic = \"cleaned\"\noptions = { shift = 60000000 }",
    );
    home.write("refrain.toml", changed);
    let needs = |home: &Home| -> Vec<(String, String, String)> {
        let plan = home.refrain(&["plan", "--output", "json"]);
        let plan = plan.json();
        let nodes = plan["nodes"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        nodes
            .map(|node| {
                let reason = &node["reasons"][0];
                (
                    text(&node["need"]),
                    text(&reason["what"]),
                    text(&reason["is"]),
                )
            })
            .collect()
    };
    let found = needs(&home);
    assert_eq!(
        (found[0].0.as_str(), found[0].1.as_str()),
        ("replay", "options")
    );
    for (node, topic) in [
        (1, "cleaned, written anew by node clean"),
        (2, "cleaned"),
        (3, "twice"),
    ] {
        assert_eq!(
            (found[node].0.as_str(), found[node].1.as_str()),
            ("replay", "input")
        );
        assert!(found[node].2.contains(topic), "{found:?}");
    }
    // One that begins later is not what the file asks for.
    home.refrain(&["replay", "clean", "--downstream", "--from", "100"])
        .ok();
    assert_eq!(needs(&home)[0].0, "cutover", "one append is one frame");
    home.refrain(&["retire", "far", "2", "--confirm"]).ok();
    for node in ["near", "again", "clean"] {
        home.refrain(&["retire", node, "2", "--confirm"]).ok();
    }
    append(&home, 1, 300);
    home.run().ok();
    home.refrain(&[
        "replay",
        "clean",
        "--downstream",
        "--from",
        "2020-01-01T00:17:00Z",
    ])
    .ok();
    assert_eq!(needs(&home)[0].0, "replay");
    home.refrain(&["replay", "clean", "--downstream"]).ok();
    let found = needs(&home);
    assert!(found.iter().all(|node| node.0 == "cutover"), "{found:?}");
    home.refrain(&["cutover", "clean"]).ok();
    home.refrain(&["plan"]).ok().says(&["nothing differs"]);
}
