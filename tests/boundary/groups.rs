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
const VIEWS: [&str; 2] = ["near", "far"];

fn home() -> Home {
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

fn append(home: &Home, part: usize, rows: usize) {
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

fn digest(home: &Home, view: &str, version: u64) -> String {
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
