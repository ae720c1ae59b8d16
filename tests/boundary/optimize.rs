//! Small frames that are merged, as users meet it: less room, fewer frames, and nothing else that anybody could tell.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use refrain_tests::strace::{Accident, Strace, strace_is_there};
use refrain_tests::{Done, Home, Luck, count, events_csv_parts, pipeline};
use serde_json::Value;

use crate::keep::copied;

const ROWS: usize = 9_000;
const PARTS: usize = 150;
const OPTIMIZE: [&str; 5] = ["topic", "optimize", "events", "--output", "json"];

/// The usual pipeline with the smallest segments there are, in which each append is a frame of some thirty rows.
fn home() -> Home {
    let home = Home::new(&pipeline().replace("1MiB", "64KiB")).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
    ]);
    for (i, part) in events_csv_parts(53, ROWS, PARTS).iter().enumerate() {
        home.write(&format!("{i}.csv"), part);
    }
    home
}

fn append(home: &Home, parts: std::ops::Range<usize>) {
    for part in parts {
        let (file, producer) = (format!("{part}.csv"), format!("p{}", part % 3));
        // Each producer's rows are numbered on and on by its own name.
        home.append("events", &file, &format!("{producer}-{part}"))
            .ok();
    }
}

fn filled() -> Home {
    let home = home();
    let host = home.start();
    append(&home, 0..PARTS);
    home.wait_until_taken();
    host.kill();
    home.run().ok();
    home
}

fn digests(home: &Home) -> [String; 2] {
    ["engagement", "total"].map(|view| home.digest(view))
}

fn topics(home: &Home) -> [String; 2] {
    ["events", "views"].map(|topic| home.topic_text(topic))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

fn sum(rows: &Value, name: &str) -> u64 {
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| number(&row[name])).sum()
}

/// The segments of a partition, in their order.
fn segments(home: &Home, partition: u32) -> Vec<PathBuf> {
    let folder = home.path(&format!("data/topics/events/{partition}"));
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(
        !paths
            .iter()
            .any(|path| path.extension().is_some_and(|kind| kind == "merging"))
    );
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "segment"));
    paths.sort();
    paths
}

#[test]
fn merged_frames_change_nothing_that_a_user_sees() {
    let home = filled();
    let (digests_before, topics_before) = (digests(&home), topics(&home));
    home.refrain(&["receipt", "total", "-o", "before.receipt"])
        .ok();
    home.refrain(&["savepoint", "create", "before"]).ok();
    let files: Vec<Vec<u8>> = segments(&home, 0)
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let dry = home.refrain(&[&OPTIMIZE[..], &["--dry-run"]].concat()).ok();
    let now = segments(&home, 0);
    let now = now.iter().map(|path| std::fs::read(path).unwrap());
    assert!(now.eq(files), "a dry run changes nothing");
    assert!(dry.err.contains("would be"), "{}", dry.err);

    // Beside a host.
    let host = home.start();
    let told = home.refrain(&OPTIMIZE).ok();
    let (dry, done) = (dry.json(), told.json());
    assert!(number(&done[0]["rows"]) > 0, "{done}");
    for (would, did) in dry.as_array().unwrap().iter().zip(done.as_array().unwrap()) {
        assert_eq!(
            (&would["done"], &did["done"]),
            (&false.into(), &true.into())
        );
        for name in [
            "file",
            "rows",
            "frames",
            "frames_after",
            "bytes",
            "bytes_after",
        ] {
            assert_eq!(would[name], did[name], "{name}");
        }
    }
    assert!(sum(&done, "frames") > 100, "{done}");
    assert!(sum(&done, "frames_after") * 10 < sum(&done, "frames"));
    assert!(
        sum(&done, "bytes_after") * 5 < sum(&done, "bytes") * 4,
        "{done}"
    );
    let again = home.refrain(&OPTIMIZE).ok().json();
    assert_eq!(sum(&again, "frames"), sum(&done, "frames_after"));
    assert!(
        again
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["done"] == false)
    );
    home.refrain(&["topic", "optimize", "views"]).ok();
    let same = |home: &Home| {
        assert_eq!(digests(home), digests_before);
        assert_eq!(topics(home), topics_before);
        home.refrain(&["topic", "verify"]).ok().says(&["all whole"]);
    };
    same(&home);
    host.kill();
    same(&home);
    home.refrain(&["receipt", "total", "-o", "after.receipt"])
        .ok();
    let receipt = |name: &str| std::fs::read_to_string(home.path(name)).unwrap();
    assert_eq!(receipt("before.receipt"), receipt("after.receipt"));
    home.refrain(&["prove", "before.receipt"]).ok();

    // What a producer has appended is known.
    for part in [0, 1, 77, PARTS - 1] {
        let (file, producer) = (format!("{part}.csv"), format!("p{}-{part}", part % 3));
        home.append("events", &file, &producer)
            .ok()
            .says(&["0 rows appended"]);
    }
    // Read from the beginning, by offset and by time.
    for from in ["0", "17", "1500"] {
        let read = [
            "topic",
            "read",
            "events",
            "--partition",
            "1",
            "--from",
            from,
        ];
        let first = home.refrain(&[&read[..], &["--limit", "1", "--output", "csv"]].concat());
        let start = format!("1,{from},");
        assert!(first.ok().out.lines().nth(1).unwrap().starts_with(&start));
    }
    home.refrain(&[
        "run",
        "--once",
        "--rebuild",
        "engagement",
        "--rebuild",
        "total",
    ])
    .ok();
    assert_eq!(digests(&home), digests_before);
    // The savepoint has the old files, and is a project as it was.
    home.refrain(&["savepoint", "restore", "before", "--into", "other"])
        .ok();
    same(&Home::at(&home.path("other")));
    // In place: derived topics are cut where the savepoint was, inside of what is merged.
    home.refrain(&["savepoint", "restore", "before", "--confirm"])
        .ok();
    home.run().ok();
    same(&home);
    home.refrain(&[
        "topic",
        "trim",
        "events",
        "--before",
        "2100-01-01",
        "--confirm",
    ])
    .ok();
    assert_eq!(digests(&home), digests_before);
}

/// A savepoint in the middle of what is merged later: restored in place, derived topics are cut there.
#[test]
fn results_go_back_into_the_middle_of_a_merged_frame() {
    let home = home();
    let host = home.start();
    append(&home, 0..PARTS / 2);
    home.wait_until_taken();
    home.refrain(&["savepoint", "create", "half"]).ok();
    append(&home, PARTS / 2..PARTS);
    home.wait_until_taken();
    host.kill();
    home.run().ok();
    let (digests_before, topics_before) = (digests(&home), topics(&home));
    let mut views = 0;
    for topic in ["events", "views", "events.rejected", "engagement.late"] {
        let done = home.refrain(&["topic", "optimize", topic, "--output", "json"]);
        views += sum(&done.ok().json(), "frames_after");
    }
    assert!(views > 4, "{views}");
    home.refrain(&["savepoint", "restore", "half", "--confirm"])
        .ok();
    let half: usize = home.topic_text("views").lines().count();
    assert!(half < topics_before[1].lines().count(), "{half}");
    home.run().ok();
    assert_eq!(
        (digests(&home), topics(&home)),
        (digests_before, topics_before)
    );
}

#[test]
fn what_is_killed_at_any_call_leaves_the_old_file_or_the_new_one() {
    if !strace_is_there() {
        return;
    }
    let first = filled();
    let (expected, rows) = (digests(&first), first.topic_text("events"));
    let (mut met, mut merged) = (0, 0);
    for name in [
        "rename",
        "unlink",
        "fsync",
        "fdatasync",
        "fallocate",
        "pwritev",
    ] {
        for nth in [1, 2, 4, 9] {
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
            let done = Done::of(home.command_under(&strace.prefix(Some(&accident)), &OPTIMIZE));
            let killed = done.code.is_none();
            met += usize::from(killed);
            assert_eq!(home.topic_text("events"), rows, "{name} {nth}");
            assert_eq!(digests(&home), expected, "{name} {nth}");
            home.refrain(&["topic", "verify"]).ok();
            segments(&home, 0);
            let again = home.refrain(&OPTIMIZE).ok();
            assert!(!again.err.contains("damage"), "{}", again.err);
            let again = again.json();
            merged += again
                .as_array()
                .unwrap()
                .iter()
                .filter(|row| row["done"] == false)
                .count();
            assert_eq!(home.topic_text("events"), rows, "{name} {nth}");
            home.append("events", "0.csv", "p0-0")
                .ok()
                .says(&["0 rows appended"]);
            if !killed {
                break;
            }
        }
    }
    assert!(
        met > 8 && merged > 0,
        "{met} kills, {merged} segments were merged before"
    );
}

#[test]
fn kills_while_segments_are_encoded_anew_change_nothing() {
    let calm = {
        let home = filled();
        (
            digests(&home),
            topics(&home).map(|text| text.lines().count()),
        )
    };
    let home = home();
    let mut luck = Luck::printed("encoded anew");
    let rounds = count("REFRAIN_KILLS", 50).div_ceil(8);
    let (mut killed, each) = (0, PARTS.div_ceil(rounds));
    for round in 0..rounds {
        let host = home.start();
        append(
            &home,
            (round * each).min(PARTS)..((round + 1) * each).min(PARTS),
        );
        let mut command = home.command(&OPTIMIZE);
        let quiet = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut optimize = quiet.spawn().unwrap();
        luck.pause(std::time::Duration::from_millis(60));
        killed += usize::from(optimize.try_wait().unwrap().is_none());
        host.kill();
        optimize.wait().unwrap();
    }
    home.run().ok();
    home.refrain(&["topic", "verify"]).ok();
    let now = (
        digests(&home),
        topics(&home).map(|text| text.lines().count()),
    );
    assert_eq!(now, calm);
    assert!(killed > 0, "no kill met the work");
}

#[test]
fn a_flipped_bit_in_a_merged_frame_is_told_with_its_rows() {
    let home = filled();
    home.refrain(&OPTIMIZE).ok();
    let whole = home.topic_text("events");
    let path = &segments(&home, 0)[1];
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut head = [0; 192];
    file.read_exact_at(&mut head, 0).unwrap();
    assert_eq!(
        (&head[..8], &head[64..69]),
        (&b"REFRAIN\x02"[..], &b"RFRM\x04"[..])
    );
    let word = |at: usize, bytes: usize| {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(&head[at..at + bytes]);
        u64::from_le_bytes(word)
    };
    let (regions, rows, first) = (word(64 + 6, 2), word(64 + 12, 4), word(64 + 24, 8));
    assert!(word(64 + 108, 4) > 10, "runs");
    let head_bytes = (16 * regions).next_multiple_of(64) + word(64 + 112, 4).next_multiple_of(64);
    let last = first + rows - 1;
    // A value of the first column, and a byte of the runs.
    for position in [
        64 + 128 + head_bytes + 16,
        64 + 128 + (16 * regions).next_multiple_of(64) + 3,
    ] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, position).unwrap();
        file.write_all_at(&[byte[0] ^ 4], position).unwrap();
        let told = format!("events/0: rows {first} to {last} are damaged");
        let read = |from: u64| {
            let from = from.to_string();
            home.refrain(&[
                "topic",
                "read",
                "events",
                "--partition",
                "0",
                "--from",
                &from,
                "--limit",
                "1000000",
                "--output",
                "csv",
            ])
        };
        read(first).code(5).says(&[&told, "segment"]);
        home.refrain(&["topic", "verify", "events"]).code(5);
        let rest = read(last + 1).ok().out;
        let after = |line: &&str| {
            let mut cells = line.split(',');
            cells.next() == Some("0") && cells.next().unwrap().parse::<u64>().unwrap() > last
        };
        assert!(rest.lines().skip(1).eq(whole.lines().filter(after)));
        file.write_all_at(&byte, position).unwrap();
    }
    assert_eq!(home.topic_text("events"), whole);
}
