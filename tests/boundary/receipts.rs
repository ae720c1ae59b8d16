//! Receipts: the same bytes whatever the rhythm, the workers and the call size; proven from the log anywhere; changed
//! receipts, logs and components are told, with the place.

use std::path::{Path, PathBuf};

use refrain_engine::receipt::Receipt;
use refrain_tests::{Home, Luck};
use serde_json::Value;

use crate::versions::{flights_csv, home};

/// The receipt of the live version, in a file.
fn receipt(home: &Home, view: &str, file: &str) -> Value {
    home.refrain(&["receipt", view, "-o", file]).ok();
    serde_json::from_str(&std::fs::read_to_string(home.path(file)).unwrap()).unwrap()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false if entry.file_name() == "control.sock" => {}
            false => {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
}

/// Another machine: a folder with a copy of the log and nothing else.
fn elsewhere(home: &Home) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let topics = folder.path().join("data/topics");
    copy(&home.path("data/topics"), &topics);
    folder
}

/// The largest segment of a topic, and how many bytes of it are frames.
pub(crate) fn segment(root: &Path, topic: &str) -> PathBuf {
    let mut found = Vec::new();
    for partition in ["0", "1"] {
        let folder = root.join("data/topics").join(topic).join(partition);
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        found.extend(entries.map(|e| e.unwrap().path()));
    }
    found.retain(|path| path.extension().is_some_and(|e| e == "segment"));
    found.sort();
    found.remove(0)
}

#[test]
fn a_receipt_is_proven_beside_the_host_without_it_and_elsewhere() {
    let home = home(6_000);
    let running = home.start();
    home.wait_until_taken();
    let beside = receipt(&home, "delays", "beside.receipt");
    home.refrain(&["prove", "beside.receipt"])
        .ok()
        .says(&["equal"]);
    assert_eq!(running.stop(), Some(0));
    assert_eq!(beside["output"]["digest"], home.digest("delays"));
    let total = receipt(&home, "total", "total.receipt");
    assert_eq!(total["format"], "refrain receipt 1");
    let before = std::fs::read_dir(home.path("data")).unwrap().count();
    let done = home
        .refrain(&["prove", "total.receipt", "--output", "json"])
        .ok();
    assert_eq!(done.json()["equal"], true);
    assert_eq!(done.json()["rows_taken"], 6_000);
    assert_eq!(
        std::fs::read_dir(home.path("data")).unwrap().count(),
        before
    );

    let other = elsewhere(&home);
    let root = other.path().to_str().unwrap();
    home.refrain(&["prove", "beside.receipt", "--project", root])
        .code(2)
        .says(&["component", "is not there", "--component FILE"]);
    let given = ["prove", "beside.receipt", "--project", root, "--component"];
    home.refrain(&[&given[..], &["plugins/flights.wasm"]].concat())
        .ok()
        .says(&["equal"]);
    home.refrain(&[&given[..], &["flights.csv"]].concat())
        .code(2)
        .says(&["the receipt names"]);
}

/// The same log, taken with other rhythms, workers and call sizes: the same bytes.
#[test]
fn a_receipt_is_the_same_bytes_whatever_the_way() {
    let mut luck = Luck::printed("receipt_bytes");
    let first = home(3_000);
    for part in 0..6 {
        let file = format!("part-{part}.csv");
        first.write(&file, flights_csv(3_000 + part * 300, 300));
        first.append("flights", &file, &file).ok();
    }
    let topics = elsewhere(&first);
    let mut wanted: Option<(String, String)> = None;
    for way in 0..6 {
        let rhythm = ["continuous", "once", "every 1s"][luck.below(3) as usize];
        let calls = [1, 7, 256, 4096][luck.below(4) as usize];
        let interval = ["1ms", "50ms", "5s"][luck.below(3) as usize];
        let pipeline = std::fs::read_to_string(first.path("refrain.toml")).unwrap();
        let pipeline = pipeline
            .replace(
                "input = \"flights\"\n",
                &format!("input = \"flights\"\nrhythm = \"{rhythm}\"\ncall_rows = {calls}\n"),
            )
            .replace("20ms", interval);
        let home = Home::new(&pipeline).with_plugins(&["flights"]);
        copy(&topics.path().join("data"), &home.path("data"));
        let workers = (1 + luck.below(3)).to_string();
        // Some are interrupted on their way.
        if luck.below(2) == 0 {
            let mut child = home
                .command(&["run", "--once", "--workers", &workers])
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            luck.pause(std::time::Duration::from_millis(300));
            child.kill().ok();
            child.wait().unwrap();
        }
        home.refrain(&["run", "--once", "--workers", &workers]).ok();
        let of = |view: &str| home.refrain(&["receipt", view]).ok().out;
        let found = (of("delays"), of("total"));
        let wanted = wanted.get_or_insert_with(|| found.clone());
        assert!(*wanted == found, "way {way}: {rhythm}, {calls}, {interval}");
    }
}

/// Every change of the log below the cut is found, and told with its place.
#[test]
fn flipped_bits_of_the_log_are_found() {
    let mut luck = Luck::printed("flipped_bits");
    let home = home(4_000);
    home.run().ok();
    receipt(&home, "delays", "r.receipt");
    let path = home.path("r.receipt");
    let component = home.path("plugins/flights.wasm");
    let arguments = |root: &Path| -> Vec<String> {
        let text = |p: &Path| p.to_str().unwrap().to_owned();
        vec![
            "prove".into(),
            text(&path),
            "--project".into(),
            text(root),
            "--component".into(),
            text(&component),
        ]
    };
    let mut codes = std::collections::BTreeMap::new();
    for _ in 0..20 {
        let other = elsewhere(&home);
        let file = segment(other.path(), "flights");
        let mut bytes = std::fs::read(&file).unwrap();
        let end = bytes.iter().rposition(|b| *b != 0).unwrap();
        let place = luck.below(end as u64) as usize;
        bytes[place] ^= 1 << luck.below(8);
        std::fs::write(&file, &bytes).unwrap();
        let arguments = arguments(other.path());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let done = home.refrain(&arguments);
        // Padding and marks are no content.
        if done.code == Some(0) {
            *codes.entry(0).or_insert(0) += 1;
            continue;
        }
        let code = done.code.unwrap();
        assert!(code == 3 || code == 5, "byte {place}: {}", done.err);
        assert!(done.err.contains("flights"), "{}", done.err);
        assert_eq!(
            std::fs::read(&file).unwrap(),
            bytes,
            "the log is not touched"
        );
        *codes.entry(code).or_insert(0) += 1;
    }
    let found: u32 = codes
        .iter()
        .filter(|(code, _)| **code != 0)
        .map(|(_, n)| n)
        .sum();
    assert!(found >= 10, "{codes:?}");
}

/// A log with other rows of the same number, and one that ends early.
#[test]
fn another_log_is_told_with_the_place() {
    let home = home(4_000);
    home.run().ok();
    receipt(&home, "delays", "r.receipt");
    let other = Home::new(&std::fs::read_to_string(home.path("refrain.toml")).unwrap())
        .with_plugins(&["flights"]);
    let csv = flights_csv(0, 4_000);
    let mut lines: Vec<String> = csv.lines().map(str::to_owned).collect();
    let (row, cell) = (3_500, lines[3_500].split(',').nth(2).unwrap().to_owned());
    lines[row] = lines[row].replacen(&cell, &format!("{}", cell.parse::<i64>().unwrap() + 1), 1);
    other.write("flights.csv", lines.join("\n") + "\n");
    other.append("flights", "flights.csv", "p").ok();
    let root = other.root().to_str().unwrap();
    home.refrain(&["prove", "r.receipt", "--project", root])
        .code(3)
        .says(&["the log differs from offset", "topic flights"]);
    let short = Home::new(&std::fs::read_to_string(home.path("refrain.toml")).unwrap())
        .with_plugins(&["flights"]);
    short.write("flights.csv", flights_csv(0, 1_000));
    short.append("flights", "flights.csv", "p").ok();
    let root = short.root().to_str().unwrap();
    home.refrain(&["prove", "r.receipt", "--project", root])
        .code(3)
        .says(&["ends at offset", "when the receipt was made"]);
}

#[test]
fn a_changed_receipt_and_a_changed_component_are_told() {
    let home = home(2_000);
    home.run().ok();
    let made = receipt(&home, "delays", "r.receipt");
    let text = std::fs::read_to_string(home.path("r.receipt")).unwrap();
    let digest = made["output"]["digest"].as_str().unwrap();
    home.write("changed.receipt", text.replace(digest, &"0".repeat(32)));
    home.refrain(&["prove", "changed.receipt"])
        .code(2)
        .says(&["was changed after it was made"]);
    home.write(
        "other.receipt",
        text.replace("refrain receipt 1", "refrain receipt 9"),
    );
    home.refrain(&["prove", "other.receipt"])
        .code(2)
        .says(&["`refrain receipt 9`", "`refrain receipt 1`"]);
    home.write("none.receipt", "not a receipt");
    home.refrain(&["prove", "none.receipt"])
        .code(2)
        .says(&["no receipt"]);
    let component = made["lineage"][0]["builds"][0]["component"]
        .as_str()
        .unwrap();
    home.write(
        &format!("data/components/{component}.wasm"),
        b"\0asm else".as_slice(),
    );
    home.write("plugins/flights.wasm", b"\0asm else".as_slice());
    home.refrain(&["prove", "r.receipt"]).code(2).says(&[
        "does not have the digest in its name any more",
        "is not there",
    ]);
}

/// A forged result with a seal that fits: what comes out says otherwise, and where.
#[test]
fn rows_that_do_not_follow_from_the_log_are_told_with_their_place() {
    let home = home(2_000);
    home.run().ok();
    receipt(&home, "delays", "r.receipt");
    // The same log and another option: what a tampered state would show.
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    let other = home.refrain(&["receipt", "delays", "--version", "2"]).ok();
    let text = std::fs::read_to_string(home.path("r.receipt")).unwrap();
    let mut forged = Receipt::read(&text).unwrap();
    forged.output = Receipt::read(&other.out).unwrap().output;
    let text = forged.sealed().text();
    home.write("forged.receipt", text);
    home.refrain(&["prove", "forged.receipt"]).code(3).says(&[
        "the rows differ",
        "first difference",
        "came out",
    ]);
}

/// The pipeline of tests of retention with a chain of two nodes: `seen` counts what `views_only` lets through.
pub(crate) fn chained() -> Home {
    let seen = "[node.seen]\nplugin = \"titles\"\ninput = \"views\"\nkey = [\"content_id\"]\n\
        window = { tumbling = \"1m\", lateness = \"10s\" }\nview = \"seen\"\n";
    crate::keep::home(seen).with_plugins(&["titles"])
}

/// A view that began before rows that retention has removed once got no receipt at all.
#[test]
fn a_receipt_says_how_many_rows_are_gone_and_is_not_proven_from_the_rest() {
    let home = chained();
    (0..8).for_each(|part| drop(crate::keep::append(&home, part).ok()));
    home.run().ok();
    let views = ["engagement", "total", "seen"];
    for view in views {
        let whole = receipt(&home, view, &format!("{view}.whole"));
        assert_eq!(whole["rows_gone"], 0, "{view}");
        home.refrain(&["prove", &format!("{view}.whole")]).ok();
    }
    let kept = elsewhere(&home);
    let trim = ["topic", "trim", "events", "--before", "2100-01-01"];
    let trim = [&trim[..], &["--confirm", "--output", "json"]].concat();
    let trimmed = home.refrain(&trim).ok().json();
    let gone = trimmed["rows"].as_u64().unwrap();
    assert!(gone > 1_000, "{trimmed}");

    for view in views {
        let (name, old) = (format!("{view}.rest"), format!("{view}.whole"));
        let rest = receipt(&home, view, &name);
        assert_eq!(rest["rows_gone"], gone, "{view}");
        for node in rest["lineage"].as_array().unwrap() {
            assert_eq!(node["after"], 0, "{view} began with the first row");
        }
        let whole = std::fs::read_to_string(home.path(&old)).unwrap();
        let whole: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(rest["output"], whole["output"], "{view}");
        home.refrain(&["prove", &name])
            .code(2)
            .says(&[&format!("has taken {gone} rows"), "a savepoint at a cut of"]);
        home.refrain(&["prove", &name, "--base", "base"])
            .ok()
            .says(&["equal", "savepoint base"]);
        home.refrain(&["prove", &old, "--base", "base"])
            .ok()
            .says(&["could not be compared", "equal", "savepoint base"]);
        home.refrain(&["prove", &name, "--base", "bas"])
            .code(2)
            .says(&["no savepoint bas; did you mean base?"]);
        // With the receipt from before, and on a machine that kept the rows.
        home.refrain(&["prove", &old])
            .code(2)
            .says(&["this log begins at offset", "retention has removed rows"]);
        let root = kept.path().to_str().unwrap();
        let prove = ["prove", &old, "--project", root];
        let mut prove = prove.map(str::to_owned).to_vec();
        for plugin in plugins_of(&whole) {
            prove.extend(["--component".into(), plugin]);
        }
        let prove: Vec<&str> = prove.iter().map(String::as_str).collect();
        home.refrain(&prove).ok().says(&["equal"]);
    }

    // A candidate that begins behind what is gone lacks nothing of what it has taken.
    (8..12).for_each(|part| drop(crate::keep::append(&home, part).ok()));
    home.refrain(&["replay", "engagement"]).ok();
    let second = ["receipt", "engagement", "--version", "2", "-o", "second"];
    home.refrain(&second).ok();
    let second = std::fs::read_to_string(home.path("second")).unwrap();
    let second: Value = serde_json::from_str(&second).unwrap();
    assert_eq!(second["rows_gone"], 0);
    assert!(second["lineage"][0]["after"].as_u64().unwrap() > 0);
    home.refrain(&["prove", "second"]).ok().says(&["equal"]);
    // What goes after its beginning it has taken, and has counted.
    (12..16).for_each(|part| drop(crate::keep::append(&home, part).ok()));
    home.run().ok();
    home.refrain(&trim).ok();
    let (taken, there) = (8 * 2_500, home.rows("events"));
    assert!(there < taken, "{there}");
    let second = ["receipt", "engagement", "--version", "2"];
    let second = home.refrain(&second).ok().json();
    assert_eq!(second["rows_gone"], taken - there);
}

/// The components of `plugins` that a receipt names.
fn plugins_of(receipt: &Value) -> Vec<String> {
    let plugin = |node: &Value| {
        let plan = &node["builds"][0]["plan"];
        format!("plugins/{}.wasm", plan["plugin"].as_str().unwrap())
    };
    let lineage = receipt["lineage"].as_array().unwrap();
    lineage.iter().map(plugin).collect()
}

/// Rows of an earlier commit are computed again: the same receipt as was made then.
#[test]
fn a_receipt_of_an_earlier_commit_is_the_one_that_was_made_then() {
    let home = crate::upgrade::home(600);
    home.run().ok();
    let mut made = Vec::new();
    let mut then = |home: &Home| {
        let receipt = home.refrain(&["receipt", "total"]).ok();
        made.push((receipt.json()["cut"].to_string(), receipt.out));
    };
    then(&home);
    crate::upgrade::append(&home, 600, 300);
    home.run().ok();
    then(&home);
    // Another build has taken over since: it has no part in what was before.
    crate::upgrade::upgrade(&home, "total", "fixed");
    crate::upgrade::append(&home, 900, 300);
    home.run().ok();
    then(&home);
    let running = home.start();
    for (cut, receipt) in &made {
        let again = home.refrain(&["receipt", "total", "--cut", cut]).ok();
        assert_eq!(again.out, *receipt, "cut {cut}");
    }
    assert_eq!(running.stop(), Some(0));
    let builds = |receipt: &str| receipt.matches("\"component\"").count();
    assert!(builds(&made[0].1) < builds(&made[2].1));
    for cut in ["0", "1000000"] {
        home.refrain(&["receipt", "total", "--cut", cut])
            .code(2)
            .says(&["there is no commit of it"]);
    }

    let home = chained();
    (0..6).for_each(|part| drop(crate::keep::append(&home, part).ok()));
    home.run().ok();
    let cut = receipt(&home, "seen", "seen.receipt")["cut"].to_string();
    let of_cut = ["receipt", "seen", "--cut", &cut];
    let again = home.refrain(&of_cut).ok().out;
    assert_eq!(
        again,
        std::fs::read_to_string(home.path("seen.receipt")).unwrap()
    );
    let trim = [
        "topic",
        "trim",
        "events",
        "--before",
        "2100-01-01",
        "--confirm",
    ];
    home.refrain(&trim).ok();
    home.refrain(&of_cut)
        .code(2)
        .says(&["retention has removed", "cannot be computed again"]);
}

/// From a savepoint a receipt is proven by what came after it: of views in memory and of chains, made beside a running host,
/// and after retention has taken all that was before.
#[test]
fn a_receipt_is_proven_from_a_savepoint() {
    let home = chained();
    (0..4).for_each(|part| drop(crate::keep::append(&home, part).ok()));
    home.run().ok();
    // Nodes stand at several cuts.
    drop(crate::keep::append(&home, 4).ok());
    home.refrain(&["run", "--once", "--node", "views_only"])
        .ok();
    home.refrain(&["savepoint", "create", "monday"]).ok();
    home.run().ok();
    let views = ["engagement", "total", "seen"];
    for view in views {
        receipt(&home, view, &format!("{view}.then"));
    }
    (5..9).for_each(|part| drop(crate::keep::append(&home, part).ok()));
    home.run().ok();
    home.refrain(&["savepoint", "create", "tuesday"]).ok();
    let read = |name: &str| std::fs::read_to_string(home.path(name)).unwrap();
    for view in views {
        let now = receipt(&home, view, &format!("{view}.now"));
        for name in [format!("{view}.then"), format!("{view}.now")] {
            let proof = ["prove", &name, "--base", "monday", "--output", "json"];
            let proof = home.refrain(&proof).ok().json();
            assert_eq!(proof["base"], "monday");
            assert_eq!(proof["unchecked"], Value::Array(Vec::new()), "{proof}");
        }
        home.refrain(&["prove", &format!("{view}.then"), "--base", "tuesday"])
            .code(2)
            .says(&["savepoint tuesday is no base", "a base is an earlier one"]);
        // One that says something else is found out.
        let other = read(&format!("{view}.now"))
            .replace(now["output"]["blake3"].as_str().unwrap(), &"0".repeat(64));
        home.write("other", other);
        home.refrain(&["prove", "other", "--base", "monday"])
            .code(2)
            .says(&["its seal does not fit"]);
    }
    // A component of another lineage takes over: the savepoint knows nothing of it, and is a base all the same.
    let bytes = std::fs::read(home.path("plugins/engagement_total.wasm")).unwrap();
    home.write(
        "noted.wasm",
        [&bytes[..], &[0, 5, 4, b'n', b'o', b't', b'e']].concat(),
    );
    home.refrain(&["upgrade", "total", "--plugin", "noted.wasm"])
        .ok();
    (9..11).for_each(|part| drop(crate::keep::append(&home, part).ok()));
    home.run().ok();
    receipt(&home, "total", "upgraded");
    home.refrain(&["prove", "upgraded", "--base", "monday"])
        .ok()
        .says(&["equal"]);
    home.refrain(&["replay", "engagement", "--from", "100"])
        .ok();
    let second = ["receipt", "engagement", "--version", "2", "-o", "second"];
    home.refrain(&second).ok();
    home.refrain(&["prove", "second", "--base", "monday"])
        .code(2)
        .says(&["savepoint monday is no base", "has no version 2"]);
}
