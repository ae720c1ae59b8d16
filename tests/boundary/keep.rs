//! Retention and savepoints, as users meet them: what goes, what stays, and that no result changes.

use std::path::{Path, PathBuf};

use refrain_tests::strace::{Accident, Strace, strace_is_there};
use refrain_tests::{Done, Home, Luck, events_csv_parts, pipeline, poll};
use serde_json::Value;

const ROWS: usize = 40_000;
const PARTS: usize = 16;

/// The usual pipeline in small segments, with what more the file says.
pub(crate) fn home(more: &str) -> Home {
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

const RETAINED: &str =
    "[retention]\nevents = { bytes = \"256KiB\" }\nviews = { bytes = \"128KiB\" }\n";

pub(crate) fn append(home: &Home, part: usize) -> Done {
    home.append("events", &format!("{part}.csv"), &format!("p{part}"))
}

fn digests(home: &Home) -> [String; 2] {
    ["engagement", "total"].map(|view| home.digest(view))
}

/// The results of a life in which nothing happens, and everything is kept.
fn calm() -> [String; 2] {
    let home = home("");
    (0..PARTS).for_each(|part| drop(append(&home, part).ok()));
    home.run().ok();
    digests(&home)
}

/// Topics as `refrain retention` tells them.
fn kept(home: &Home, topic: &str) -> Value {
    let all = home.refrain(&["retention", "--output", "json"]).ok().json();
    let found = all.as_array().unwrap().iter().find(|t| t["topic"] == topic);
    found.unwrap().clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

fn savepoints(home: &Home) -> Vec<Value> {
    let list = home.refrain(&["savepoint", "list", "--output", "json"]);
    list.ok().json().as_array().unwrap().clone()
}

/// Digests of a savepoint, by view.
fn digests_of(savepoint: &Value) -> [String; 2] {
    ["engagement", "total"].map(|node| {
        let nodes = savepoint["nodes"].as_array().unwrap();
        let found = nodes.iter().find(|n| n["node"] == node).unwrap();
        found["view"][2].as_str().unwrap().to_owned()
    })
}

#[test]
fn retention_changes_no_result() {
    let (home, calm) = (home(RETAINED), calm());
    for part in 0..PARTS {
        append(&home, part).ok();
        home.run().ok();
    }
    assert_eq!(digests(&home), calm);
    let events = kept(&home, "events");
    assert!(number(&events["removed_rows"]) > 10_000, "{events}");
    assert!(number(&events["bytes"]) < 450 << 10, "{events}");
    assert!(number(&kept(&home, "views")["removed_rows"]) > 5_000);
    assert_eq!(number(&kept(&home, "engagement.late")["removed_rows"]), 0);
    // What a producer has appended is known, though its rows are gone.
    for part in 0..PARTS {
        append(&home, part).ok().says(&["0 rows appended"]);
    }
    // Who reads from before is told what is there.
    let read = ["topic", "read", "events", "--partition", "0", "--from", "0"];
    home.refrain(&read).code(2).says(&[
        "events/0: retention has removed the rows before offset",
        "begin at",
    ]);
    home.refrain(&["topic", "read", "events", "--limit", "5"])
        .ok();
    let described = home.refrain(&["topic", "describe", "events"]).ok().out;
    assert!(described.contains("256KiB"), "{described}");
    // What cannot be computed from what is left is not, and it is said why.
    let gone = "retention has removed the first";
    home.refrain(&["replay", "total"])
        .code(2)
        .says(&[gone, "running total"]);
    home.refrain(&["run", "--once", "--rebuild", "total"])
        .code(2)
        .says(&[gone, "running total"]);
    assert_eq!(digests(&home), calm);
    // Windows can, from there on: as a candidate, beside what is live.
    home.refrain(&["replay", "engagement"]).ok();
    assert_eq!(digests(&home), calm);
}

#[test]
fn results_outlive_their_rows_and_the_commit_log() {
    let (home, calm) = (home(RETAINED), calm());
    for part in 0..PARTS - 1 {
        append(&home, part).ok();
        home.run().ok();
    }
    let all = savepoints(&home);
    let [base] = &all[..] else {
        panic!("one base savepoint");
    };
    assert!(base["base"].as_bool().unwrap());
    append(&home, PARTS - 1).ok();
    std::fs::remove_dir_all(home.path("data/commits")).unwrap();
    home.run()
        .code(2)
        .says(&["savepoint restore base --confirm"]);
    home.refrain(&["savepoint", "restore", "base", "--into", "other"])
        .code(2)
        .says(&["no topics"]);
    home.refrain(&["savepoint", "restore", "base"])
        .ok()
        .says(&["would go back", "--confirm"]);
    home.refrain(&["savepoint", "restore", "bass"])
        .code(2)
        .says(&["no savepoint", "bass"]);
    home.run()
        .code(2)
        .says(&["savepoint restore base --confirm"]);
    home.refrain(&["savepoint", "restore", "base", "--confirm"])
        .ok();
    assert_eq!(digests(&home), digests_of(base));
    home.run().ok();
    assert_eq!(digests(&home), calm);
}

#[test]
fn rows_that_are_needed_stay() {
    let home = home(RETAINED);
    append(&home, 0).ok();
    home.run().ok();
    home.refrain(&["savepoint", "create", "early"]).ok();
    (1..8).for_each(|part| drop(append(&home, part).ok()));
    // A node that did not run needs its rows.
    home.refrain(&["run", "--once", "--node", "total"]).ok();
    assert!(number(&kept(&home, "events")["removed_rows"]) < 2_500);
    home.run().ok();
    // So does the savepoint.
    let events = kept(&home, "events");
    assert!(number(&events["removed_rows"]) < 2_500, "{events}");
    assert_eq!(events["slowest"], "savepoint early");
    let trim = ["topic", "trim", "events", "--before", "2100-01-01"];
    home.refrain(&trim).ok().says(&[
        "savepoint early has still to read them",
        "nothing has been changed",
    ]);
    home.refrain(&["savepoint", "delete", "early"])
        .ok()
        .says(&["would go"]);
    home.refrain(&["savepoint", "delete", "early", "--confirm"])
        .ok();
    assert!(number(&kept(&home, "events")["removed_rows"]) < 2_500);
    home.run().ok();
    assert!(number(&kept(&home, "events")["removed_rows"]) > 2_500);
    home.refrain(&["topic", "trim", "events", "--before", "5"])
        .code(2)
        .says(&["--partition"]);
    let dry = [&trim[..], &["--dry-run"]].concat();
    let told = home.refrain(&dry).ok().err;
    assert!(told.contains("would go"), "{told}");
    let done = [&trim[..], &["--confirm", "--output", "json"]].concat();
    let done = home.refrain(&done).ok().json();
    assert!(number(&done["rows"]) > 0, "{done}");
    for first in done["firsts"].as_array().unwrap() {
        let partition = first[0].to_string();
        let from = first[1].to_string();
        let read = [
            "topic",
            "read",
            "events",
            "--partition",
            &partition,
            "--from",
            &from,
        ];
        home.refrain(&read).ok();
    }
}

#[test]
fn kills_while_rows_go_change_nothing() {
    let (home, calm) = (home(RETAINED), calm());
    let mut luck = Luck::of(77);
    for part in 0..PARTS {
        let host = home.start();
        append(&home, part).ok();
        // Sometimes in the middle of it, sometimes when it is done.
        std::thread::sleep(std::time::Duration::from_millis(luck.below(120)));
        if luck.below(3) == 0 {
            home.wait_until_taken();
        }
        host.kill();
    }
    home.run().ok();
    assert_eq!(digests(&home), calm);
    assert!(number(&kept(&home, "events")["removed_rows"]) > 10_000);
}

/// Copies of a folder, as `cp -a` makes them: links within it are files of their own then.
pub(crate) fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copied(&entry.path(), &to),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), to).unwrap()),
            _ => {}
        }
    }
}

#[test]
fn a_removal_that_is_killed_at_any_call_leaves_a_whole_log() {
    if !strace_is_there() {
        return;
    }
    let first = home("");
    (0..8).for_each(|part| drop(append(&first, part).ok()));
    first.run().ok();
    let expected = digests(&first);
    let rows = first.rows("events");
    let trim = [
        "topic",
        "trim",
        "events",
        "--before",
        "2100-01-01",
        "--confirm",
    ];
    let mut met = 0;
    for name in ["rename", "unlink", "unlinkat", "fsync", "linkat", "write"] {
        for nth in [1, 2, 3, 5, 8, 13, 21, 34] {
            let folder = tempfile::tempdir().unwrap();
            copied(first.root(), folder.path());
            let home = Home::at(folder.path());
            let strace = Strace::of(home.root());
            let accident = Accident {
                name: name.into(),
                how: "signal=KILL".into(),
                when: nth.to_string(),
                path: None,
            };
            let done = Done::of(home.command_under(&strace.prefix(Some(&accident)), &trim));
            let killed = done.code.is_none();
            met += usize::from(killed);
            assert_eq!(digests(&home), expected, "{name} {nth}");
            let events = kept(&home, "events");
            let (there, gone) = (number(&events["rows"]), number(&events["removed_rows"]));
            assert_eq!(there + gone, rows, "{name} {nth}");
            let again = home.refrain(&trim).ok();
            assert!(!again.err.contains("damage"), "{}", again.err);
            let read = home.refrain(&["topic", "read", "events", "--limit", "10000000"]);
            assert!(!read.ok().err.contains("damage"));
            append(&home, 0).ok().says(&["0 rows appended"]);
            if !killed {
                break;
            }
        }
    }
    assert!(met > 12, "{met} kills");
}

#[test]
fn a_savepoint_beside_a_running_host_is_a_project_of_its_own() {
    let (home, calm) = (home(RETAINED), calm());
    let host = home.start();
    for part in 0..6 {
        append(&home, part).ok();
    }
    // While the host works.
    let made = home.refrain(&["savepoint", "create", "monday", "--output", "json"]);
    let made = made.ok().json();
    home.refrain(&["savepoint", "create", "monday"])
        .code(2)
        .says(&["there is a savepoint monday already"]);
    for part in 6..PARTS {
        append(&home, part).ok();
    }
    home.wait_until_taken();
    home.refrain(&["savepoint", "restore", "monday", "--confirm"])
        .code(6);
    let into = home.path("copy");
    let into = into.to_str().unwrap();
    home.refrain(&["savepoint", "restore", "monday", "--into", into])
        .ok();
    assert_eq!(host.stop(), Some(0));
    assert_eq!(digests(&home), calm);
    let copy = Home::at(&home.path("copy"));
    assert_eq!(digests(&copy), digests_of(&made));
    // It goes on from there, each row once, and its parent sees nothing of it.
    for part in 0..PARTS {
        let path = home.path(&format!("{part}.csv"));
        std::fs::copy(path, copy.path(&format!("{part}.csv"))).unwrap();
        append(&copy, part).ok();
    }
    copy.run().ok();
    assert_eq!(digests(&copy), calm);
    assert_eq!(digests(&home), calm);
    home.refrain(&["savepoint", "restore", "monday", "--into", into])
        .code(2)
        .says(&["is not empty"]);
    // Back in place, and on again.
    home.refrain(&["savepoint", "restore", "monday", "--confirm"])
        .ok();
    assert_eq!(digests(&home), digests_of(&made));
    home.run().ok();
    assert_eq!(digests(&home), calm);
    // The savepoint is as it was.
    let again = home.path("again");
    home.refrain(&[
        "savepoint",
        "restore",
        "monday",
        "--into",
        again.to_str().unwrap(),
    ])
    .ok();
    assert_eq!(digests(&Home::at(&again)), digests_of(&made));
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn a_savepoint_that_is_damaged_says_so() {
    let home = home("");
    (0..4).for_each(|part| drop(append(&home, part).ok()));
    home.run().ok();
    home.refrain(&["savepoint", "create", "s"]).ok();
    let before = digests(&home);
    let restore = ["savepoint", "restore", "s", "--confirm"];
    let kept = home.path("kept");
    copied(&home.path("data/savepoints"), &kept);
    let parts: Vec<PathBuf> = files(&kept.join("s"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "segment"))
        .collect();
    assert!(parts.len() > 4);
    for (i, part) in parts.iter().enumerate() {
        // In bodies of their own, so that the project is not harmed with them.
        std::fs::remove_dir_all(home.path("data/savepoints")).unwrap();
        copied(&kept, &home.path("data/savepoints"));
        let path = home
            .path("data/savepoints")
            .join(part.strip_prefix(&kept).unwrap());
        match i % 2 {
            0 => std::fs::remove_file(&path).unwrap(),
            _ => {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[100] ^= 4;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let told = home
            .refrain(&restore)
            .code(5)
            .says(&["savepoint s is damaged"]);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(told.err.contains(name), "{name}: {}", told.err);
        assert_eq!(digests(&home), before);
    }
    home.refrain(&["savepoint", "restore", "t", "--confirm"])
        .code(2)
        .says(&["there is no savepoint t"]);
    home.refrain(&["savepoint", "create", "a/b"]).code(2);
    home.refrain(&["savepoint", "create", "base"]).code(2);
}

#[test]
fn what_rots_is_found_before_somebody_reads_it() {
    let home = home("");
    (0..4).for_each(|part| drop(append(&home, part).ok()));
    home.run().ok();
    let host = home.start();
    home.refrain(&["topic", "verify"]).ok().says(&["all whole"]);
    assert_eq!(host.stop(), Some(0));
    let segments = files(&home.path("data/topics/events/0"));
    let first = segments
        .iter()
        .find(|p| p.extension().is_some_and(|e| e == "segment"));
    let first = first.unwrap();
    let mut bytes = std::fs::read(first).unwrap();
    bytes[20_000] ^= 16;
    std::fs::write(first, bytes).unwrap();
    home.refrain(&["topic", "verify", "views"]).ok();
    home.refrain(&["topic", "verify"]).code(5).says(&[
        "damage: events/0: 00000000000000000000.segment",
        "1 places are damaged",
    ]);
    let json = home.refrain(&["topic", "verify", "events", "--output", "json"]);
    let json = json.code(5).json();
    assert_eq!(json["findings"].as_array().unwrap().len(), 1);
    assert!(json["findings"][0]["offsets"][0].is_u64(), "{json}");
}

/// Rows go when they are older than the rule says, in a topic that others are appended to after it, and in one that nobody
/// appends to any more.
#[test]
fn rows_go_by_their_age_though_nothing_more_comes() {
    let home = home("[retention]\nevents = \"2s\"\nviews = \"2s\"\n");
    append(&home, 0).ok();
    home.run().ok();
    let rows = home.rows("events");
    let expected = digests(&home);
    assert_eq!(number(&kept(&home, "events")["removed_rows"]), 0);
    // The host runs, and nothing comes.
    poll("old rows to go", || {
        home.run().ok();
        let gone = |topic: &str| number(&kept(&home, topic)["removed_rows"]);
        (gone("events") == rows && gone("views") > 0).then_some(())
    });
    assert_eq!(home.rows("events"), 0);
    assert_eq!(digests(&home), expected);
    append(&home, 0).ok().says(&["0 rows appended"]);
    append(&home, 1).ok();
    home.run().ok();
    assert!(home.rows("events") > 0, "new rows are young");
}
