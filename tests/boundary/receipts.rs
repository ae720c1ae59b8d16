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
fn segment(root: &Path, topic: &str) -> PathBuf {
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
