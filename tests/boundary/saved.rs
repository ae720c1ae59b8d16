//! Replays that begin at a savepoint: what comes out is what a replay from the beginning comes to, after kill -9 and after
//! retention has taken what the savepoint was made of.

use std::process::Stdio;
use std::time::Duration;

use refrain_tests::{Home, Luck, events_csv_parts, pipeline, repository};
use serde_json::Value;

use crate::groups;

const ROWS: usize = 16_000;
const PARTS: usize = 8;
const VIEWS: [&str; 2] = ["engagement", "total"];
const RETAINED: &str = "[retention]\nevents = { bytes = \"128KiB\" }\n";

fn home(more: &str) -> Home {
    let text = pipeline().replace("1MiB", "64KiB");
    let home = Home::new(&format!("{text}\n{more}")).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
    ]);
    for (i, part) in events_csv_parts(51, ROWS, PARTS).iter().enumerate() {
        home.write(&format!("{i}.csv"), part);
    }
    home
}

fn append(home: &Home, parts: std::ops::Range<usize>) {
    for part in parts {
        home.append("events", &format!("{part}.csv"), &format!("p{part}"))
            .ok();
    }
}

fn digests(home: &Home) -> [String; 2] {
    VIEWS.map(|view| home.digest(view))
}

/// The results of a life in which nothing happens.
fn calm(parts: usize) -> [String; 2] {
    let home = home("");
    append(&home, 0..parts);
    home.run().ok();
    digests(&home)
}

fn digest(home: &Home, view: &str, version: &str) -> String {
    let arguments = [
        "view",
        "digest",
        view,
        "--version",
        version,
        "--output",
        "json",
    ];
    let rows = home.refrain(&arguments).ok().json();
    rows[0]["digest"].as_str().unwrap().to_owned()
}

fn versions(home: &Home, node: &str) -> usize {
    let list = home.refrain(&["view", "versions", node, "--output", "json"]);
    list.ok().json()["versions"].as_array().unwrap().len()
}

/// The builds that the receipt of a version names; it is proven.
fn proven(home: &Home, view: &str, version: &str) -> Vec<Value> {
    home.refrain(&["receipt", view, "--version", version, "-o", "r.receipt"])
        .ok();
    home.refrain(&["prove", "r.receipt"]).ok().says(&["equal"]);
    let text = std::fs::read_to_string(home.path("r.receipt")).unwrap();
    let receipt: Value = serde_json::from_str(&text).unwrap();
    receipt["lineage"][0]["builds"].as_array().unwrap().clone()
}

#[test]
fn a_replay_from_a_savepoint_is_one_from_the_beginning() {
    let home = home("");
    append(&home, 0..3);
    home.run().ok();
    home.refrain(&["savepoint", "create", "early"]).ok();
    append(&home, 3..6);
    home.run().ok();
    for (view, from) in [("total", "early"), ("engagement", "savepoint:early")] {
        home.refrain(&["replay", view, "--from", from])
            .ok()
            .says(&["to take: 6,000 rows", "@2: begun"]);
        home.refrain(&["validate", view]).ok().says(&["digest"]);
        home.refrain(&["validate", view, "--first-divergence"])
            .ok()
            .says(&["equal"]);
        let how: Vec<Value> = proven(&home, view, "2")
            .iter()
            .map(|build| build["how"].clone())
            .collect();
        assert_eq!(how, ["begin", "replace"], "{view}");
        // The same again is there already.
        home.refrain(&["replay", view, "--from", from])
            .ok()
            .says(&["goes on where it stood"]);
        assert_eq!(versions(&home, view), 2);
        home.refrain(&["replay", view]).ok();
        assert_eq!(digest(&home, view, "2"), digest(&home, view, "3"));
        home.refrain(&["cutover", view, "--candidate", "2"]).ok();
    }
    append(&home, 6..PARTS);
    home.run().ok();
    assert_eq!(digests(&home), calm(PARTS));
    // Whoever was live then may go, and the savepoint too.
    for view in VIEWS {
        home.refrain(&["retire", view, "1", "--confirm"]).ok();
    }
    home.refrain(&["savepoint", "delete", "early", "--confirm"])
        .ok();
    home.run().ok();
    for view in VIEWS {
        proven(&home, view, "2");
    }
    assert!(!home.path("data/opened").exists());
}

#[test]
fn a_running_total_is_built_though_its_first_rows_are_gone() {
    let home = home(RETAINED);
    for part in 0..6 {
        append(&home, part..part + 1);
        home.run().ok();
    }
    home.refrain(&["replay", "total"])
        .code(2)
        .says(&["retention has removed the first", "--from base"]);
    let running = home.start();
    append(&home, 6..7);
    home.wait_until_taken();
    home.refrain(&["replay", "total", "--from", "base"]).ok();
    home.refrain(&["validate", "total"]).ok().says(&["digest"]);
    home.refrain(&["cutover", "total", "--require", "validated"])
        .ok();
    append(&home, 7..PARTS);
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    home.run().ok();
    assert_eq!(digests(&home), calm(PARTS));
}

/// kill -9 of the command, or of the host that does its work, at any moment: the version is not there, or there with all
/// that the savepoint has.
#[test]
fn a_killed_replay_from_a_savepoint_is_whole_or_not_there() {
    let mut luck = Luck::printed("killed_saved");
    let wanted = calm(PARTS);
    let home = home("");
    append(&home, 0..4);
    home.run().ok();
    home.refrain(&["savepoint", "create", "early"]).ok();
    append(&home, 4..PARTS);
    home.run().ok();
    let replay = ["replay", "total", "--from", "early", "--rate", "20000"];
    for round in 0..8 {
        let host = (round % 2 == 1).then(|| home.start());
        let mut child = home
            .command(&replay)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        luck.pause(Duration::from_millis(300));
        if let Some(host) = host {
            host.kill();
        }
        child.kill().ok();
        child.wait().unwrap();
        assert!(versions(&home, "total") <= 2, "round {round}");
        assert_eq!(digests(&home), wanted, "round {round}");
    }
    home.refrain(&replay).ok();
    assert_eq!(versions(&home, "total"), 2);
    assert_eq!(digest(&home, "total", "2"), wanted[1]);
    proven(&home, "total", "2");
}

#[test]
fn what_does_not_fit_is_refused() {
    let home = home("");
    append(&home, 0..2);
    home.refrain(&["run", "--once", "--node", "total"]).ok();
    home.refrain(&["savepoint", "create", "early"]).ok();
    home.run().ok();
    home.refrain(&["replay", "total", "--from", "erly"])
        .code(2)
        .says(&["no savepoint erly; did you mean early?"]);
    home.refrain(&["replay", "engagement", "--from", "early"])
        .code(2)
        .says(&["savepoint early has no results of node engagement"]);
    home.refrain(&["replay", "views_only", "--from", "early"])
        .code(2)
        .says(&[
            "savepoint early has no results of node views_only",
            "from the beginning",
        ]);
    let text = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    let other = text.replace(
        "plugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"content_id\"]",
        "plugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"user_id\"]",
    );
    assert_ne!(other, text);
    home.write("refrain.toml", other);
    home.refrain(&["replay", "total", "--from", "early"])
        .code(2)
        .says(&[
            "node total cannot go on from savepoint early",
            "its key was",
        ]);
    assert_eq!(versions(&home, "total"), 1);
    // A savepoint that was damaged is no beginning.
    home.write("refrain.toml", text);
    let folder = home.path("data/savepoints/early/commits");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "segment"))
        .collect();
    names.sort();
    std::fs::remove_file(&names[0]).unwrap();
    home.refrain(&["replay", "total", "--from", "early"])
        .code(5)
        .says(&["early", "is not there"]);
}

const UPGRADE: &str = r#"[topic.events]
schema = { at = "timestamp", id = "i64", amount = "i64" }
time = "at"
key = ["id"]
disorder = "1m"

[node.total]
plugin = "up"
input = "events"
key = ["id"]
view = "total"
"#;

/// Another component goes on from the savepoint's states, migrated where that is due: what came since is mended, without
/// all that was before.
#[test]
fn another_component_goes_on_from_the_states_of_a_savepoint() {
    let home = Home::new(UPGRADE);
    let guest = |name: &str| {
        let path = repository().join(format!("tests/guests/upgrade/{name}.wasm"));
        std::fs::read(path).unwrap()
    };
    home.write("plugins/up.wasm", guest("first"));
    for name in ["fixed", "second", "silent"] {
        home.write(&format!("{name}.wasm"), guest(name));
    }
    let append = |name: &str, amount: i64| {
        let mut text = "at,id,amount\n".to_owned();
        for id in 0..10 {
            text += &format!("2001-01-01T00:00:00Z,{id},{amount}\n");
        }
        home.write(name, text);
        home.append("events", name, name).ok();
        home.run().ok();
    };
    append("a.csv", -5);
    append("b.csv", 7);
    home.refrain(&["savepoint", "create", "monday"]).ok();
    append("c.csv", -1);
    home.refrain(&[
        "replay",
        "total",
        "--from",
        "monday",
        "--plugin",
        "silent.wasm",
    ])
    .code(2)
    .says(&["two ways", "refrain replay total"]);
    let sums = |version: &str| {
        let scan = [
            "view",
            "scan",
            "total",
            "--version",
            version,
            "--output",
            "json",
        ];
        let rows = home.refrain(&scan).ok().json();
        let rows = rows.as_array().unwrap().clone();
        let sum: i64 = rows.iter().map(|row| row["sum"].as_i64().unwrap()).sum();
        (sum, rows[0]["version"].clone())
    };
    for (version, plugin, how, made_by) in [
        ("2", "fixed.wasm", "replace", 2),
        ("3", "second.wasm", "migrate", 3),
    ] {
        home.refrain(&["replay", "total", "--from", "monday", "--plugin", plugin])
            .ok();
        // Negative amounts count from the savepoint on.
        assert_eq!(sums(version), (60, made_by.into()));
        let builds = proven(&home, "total", version);
        assert_eq!(builds[1]["how"], how);
    }
    assert_eq!(sums("1"), (70, 1.into()));
    append("d.csv", 1);
    home.run().ok();
    assert_eq!(sums("3"), (70, 3.into()));
    proven(&home, "total", "3");
}

const TOPICS: [&str; 2] = ["cleaned", "twice"];

/// What a group has come to, as it is read.
fn group_outcome(home: &Home) -> Vec<String> {
    let topics = TOPICS.map(|topic| home.topic_text(topic));
    let views = groups::VIEWS.map(|view| home.digest(view));
    topics.into_iter().chain(views).collect()
}

/// What a group comes to in a life in which nothing happens.
fn group_calm(parts: usize) -> Vec<String> {
    let home = groups::home();
    (0..parts).for_each(|part| groups::append(&home, part, 200));
    home.run().ok();
    group_outcome(&home)
}

/// Nodes that write topics, and all who read them, go on from a savepoint that was made while rows came in, after kill -9
/// of the command or of its host: topics, views and receipts are those of a calm life.
#[test]
fn a_group_goes_on_from_a_savepoint() {
    let mut luck = Luck::printed("group_saved");
    let home = groups::home();
    let running = home.start();
    groups::append(&home, 0, 200);
    // All nodes have come to something; how far each of them gets with what follows is open.
    home.wait_until_taken();
    for part in 1..4 {
        groups::append(&home, part, 200);
    }
    home.refrain(&["savepoint", "create", "early"]).ok();
    for part in 4..8 {
        groups::append(&home, part, 200);
    }
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    let wanted = group_calm(8);
    assert_eq!(group_outcome(&home), wanted);
    let replay = [
        "replay",
        "clean",
        "--from",
        "early",
        "--downstream",
        "--rate",
        "3000",
    ];
    for round in 0..8 {
        let host = (round % 2 == 1).then(|| home.start());
        let mut child = home
            .command(&replay)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        luck.pause(Duration::from_millis(400));
        if let Some(host) = host {
            host.kill();
        }
        child.kill().ok();
        child.wait().unwrap();
        // All four, or none of them.
        let counts = ["clean", "again", "near", "far"].map(|node| versions(&home, node));
        assert!(
            counts == [1; 4] || counts == [2; 4],
            "round {round}: {counts:?}"
        );
        assert_eq!(group_outcome(&home), wanted, "round {round}");
    }
    home.refrain(&replay).ok();
    assert_eq!(versions(&home, "clean"), 2);
    for view in groups::VIEWS {
        home.refrain(&["validate", view]).ok().says(&["digest"]);
        home.refrain(&["validate", view, "--first-divergence"])
            .ok()
            .says(&["equal"]);
        let how: Vec<Value> = proven(&home, view, "2")
            .iter()
            .map(|build| build["how"].clone())
            .collect();
        assert_eq!(how, ["begin", "replace"], "{view}");
    }
    home.refrain(&["cutover", "clean"]).ok();
    assert_eq!(group_outcome(&home), wanted);
    for node in ["far", "near", "again", "clean"] {
        home.refrain(&["retire", node, "1", "--confirm"]).ok();
    }
    groups::append(&home, 8, 200);
    home.run().ok();
    assert_eq!(group_outcome(&home), group_calm(9));
    for view in groups::VIEWS {
        proven(&home, view, "2");
    }
    // What wrote the topics then is not there any more.
    home.refrain(&["replay", "clean", "--from", "early", "--downstream"])
        .code(2)
        .says(&["topic cleaned, as version 1 of it wrote it, is not there any more"]);
    home.refrain(&["savepoint", "delete", "early", "--confirm"])
        .ok();
    home.run().ok();
}

/// A topic whose first rows retention has taken begins in the new version where it begins in the old one.
#[test]
fn a_topic_that_begins_later_is_gone_on_with() {
    let home = groups::home();
    let file = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    let rule = "\n[retention]\ncleaned = { bytes = \"48KiB\" }\n";
    home.write("refrain.toml", file + rule);
    for part in 0..5 {
        groups::append(&home, part, 200);
        home.run().ok();
    }
    let replay = ["replay", "clean", "--from", "base", "--downstream"];
    home.refrain(&replay).ok().says(&["clean@2", "far@2"]);
    for view in groups::VIEWS {
        home.refrain(&["validate", view]).ok().says(&["digest"]);
    }
    let before = home.topic("cleaned");
    let goes_on = |row: &Value| row["@partition"] == 1 || row["@offset"].as_u64() > Some(0);
    assert!(
        !before.is_empty() && before.iter().all(goes_on),
        "{before:?}"
    );
    home.refrain(&["cutover", "clean"]).ok();
    groups::append(&home, 5, 200);
    home.run().ok();
    let wanted = group_calm(6);
    for (view, wanted) in groups::VIEWS.iter().zip(&wanted[2..]) {
        assert_eq!(home.digest(view), *wanted, "{view}");
    }
    // At the offsets that they have in a life in which nothing is removed.
    let rows = home.topic_text("cleaned");
    let last = |text: &str| text.lines().last().unwrap().to_owned();
    assert_eq!(last(&rows), last(&wanted[0]));
}
