//! An author's loop: an edit, a build, what it changes. Edits are files, answers are lines; nothing sleeps.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use refrain_tests::{EVENTS, Home, events_csv, patience, pipeline, repository};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// `refrain dev` with its answers, one a look.
struct Loop {
    child: Child,
    lines: Receiver<String>,
    talk: std::path::PathBuf,
}

impl Loop {
    fn start(home: &Home, arguments: &[&str]) -> Loop {
        let mut command = home.command(&[&["dev", "--output", "json"], arguments].concat());
        let talk = home.path("dev.err");
        let err = fs::File::create(&talk).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(err).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Loop { child, lines, talk }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.talk).unwrap()
    }

    #[track_caller]
    fn next(&self, result: &str) -> Value {
        // A build may come with the first look.
        let line = self.lines.recv_timeout(patience() * 5);
        let line = line.unwrap_or_else(|_| panic!("no answer:\n{}", self.said()));
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["result"], result, "{line}\n{}", self.said());
        answer
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Changes a file as an editor does: a whole one takes its place.
fn edit(home: &Home, name: &str, content: impl AsRef<[u8]>) {
    let beside = home.write(".edit", content);
    fs::rename(beside, home.path(name)).unwrap();
}

fn output<'a>(answer: &'a Value, node: &str) -> &'a Value {
    let outputs = answer["outputs"].as_array().unwrap();
    outputs.iter().find(|o| o["node"] == node).unwrap()
}

#[test]
fn a_trial_over_all_rows_comes_to_what_a_run_comes_to() {
    // Rows without a key go to partitions by their number.
    let keyless = pipeline()
        .replace("key = [\"content_id\"]\ndisorder", "disorder")
        .replace("partitions = 2", "partitions = 3");
    for text in [pipeline(), keyless] {
        let home = Home::new(&text).with_plugins(&["engagement", "engagement_total", "views_only"]);
        home.write("events.csv", events_csv(1, 20_000));
        home.append("events", "events.csv", "p").ok();
        home.run().ok();
        let beside = Loop::start(&home, &["--rows", "1000000"]);
        let first = beside.next("tried");
        for view in ["engagement", "total"] {
            assert_eq!(output(&first, view)["digest"], home.digest(view));
        }
        let views = output(&first, "views_only");
        assert_eq!(views["rows"], home.rows("views"));
        let topics = home.topic_text("views");
        let file = repository().join("tests/guests/languages/c.wasm");
        edit(&home, "plugins/engagement.wasm", fs::read(file).unwrap());
        let same = beside.next("tried");
        for node in ["engagement", "total", "views_only"] {
            assert_eq!(output(&same, node)["difference"], Value::Null);
        }
        assert_eq!(home.topic_text("views"), topics);
    }
}

/// The rows of a day, and of a range of offsets, are those that a trial gets; a pipeline file that is wrong is told.
#[test]
fn a_part_of_the_log_is_played_and_the_pipeline_file_is_watched() {
    let home = Home::engagement();
    home.write("events.csv", events_csv(2, 3_000));
    home.append("events", "events.csv", "p").ok();
    let rows = home.topic("events");
    let part = |from: u64, to: u64| {
        let within = |row: &&Value| (from..to).contains(&row["@offset"].as_u64().unwrap());
        rows.iter().filter(within).count()
    };
    let beside = Loop::start(&home, &["--node", "total", "--from", "100", "--to", "700"]);
    let first = beside.next("tried");
    assert_eq!(first["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(output(&first, "total")["counts"]["rows"], part(100, 700));
    let file = fs::read_to_string(home.path("refrain.toml")).unwrap();
    edit(
        &home,
        "refrain.toml",
        file.replace("engagement_total", "engagement_totals"),
    );
    let failed = beside.next("failed");
    assert!(
        failed["why"]
            .as_str()
            .unwrap()
            .contains("engagement_totals")
    );
    assert!(
        beside.said().contains("the last good one stays"),
        "{}",
        beside.said()
    );
    // Windows make another view of it, with another key.
    let windowed = "plugin = \"engagement_total\"\nwindow = { tumbling = \"1m\" }";
    edit(
        &home,
        "refrain.toml",
        file.replace("plugin = \"engagement_total\"", windowed),
    );
    let other = beside.next("tried");
    let difference = &output(&other, "total")["difference"];
    assert_eq!(difference["key_before"].as_array().unwrap().len(), 1);
    assert_eq!(difference["key"].as_array().unwrap().len(), 2);
    home.refrain(&["dev", "--node", "totl"])
        .code(2)
        .says(&["did you mean total?"]);
    home.refrain(&["dev", "--from", "yesterday"])
        .code(2)
        .says(&["write an offset"]);
}

/// A process node, whose rows are those of a span of event time. Another component in its place is tried as it comes.
#[test]
fn a_span_of_event_time_is_played_through_a_process_node() {
    let node = "[node.top]\nplugin = \"top_content\"\ninput = { events = \"events\" }\nkey = [\"kind\"]\nview = \"top\"\n\
                options = { count = 3 }\n";
    let home = Home::new(&format!("{EVENTS}2\n\n{node}")).with_plugins(&["top_content"]);
    home.write("events.csv", events_csv(4, 3_000));
    home.append("events", "events.csv", "p").ok();
    let (from, to) = ("2023-11-14T22:13:30Z", "2023-11-14T22:13:50Z");
    let within = |row: &&Value| {
        let time = row["event_time"].as_str().unwrap();
        ("2023-11-14T22:13:30".."2023-11-14T22:13:50").contains(&time)
    };
    let rows = home.topic("events");
    let wanted = rows.iter().filter(within).count();
    assert!(wanted > 100 && wanted < rows.len(), "{wanted}");
    let beside = Loop::start(&home, &["--from", from, "--to", to]);
    let first = beside.next("tried");
    let counts = &output(&first, "top")["counts"];
    let taken = counts["rows"].as_u64().unwrap() + counts["late"].as_u64().unwrap_or(0);
    assert_eq!(taken, wanted as u64, "{counts}");
    let file = fs::read_to_string(home.path("refrain.toml")).unwrap();
    edit(
        &home,
        "refrain.toml",
        file.replace("count = 3", "count = 1"),
    );
    let fewer = beside.next("tried");
    let removed = output(&fewer, "top")["difference"]["removed"].as_u64();
    assert!(removed.unwrap() > 0, "{fewer}");
    // A fold where a process was is told, and what worked last stays.
    let fold = fs::read(repository().join("tests/guests/languages/c.wasm")).unwrap();
    edit(&home, "plugins/top_content.wasm", fold);
    beside.next("failed");
    let said = beside.said();
    assert!(said.contains("the last good one stays"), "{said}");
}

const COUNTS: &str = r#"use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event {
    watch_ms: i64,
}

#[derive(Row)]
struct Shown {
    rows: i64,
}

#[state]
#[derive(Default)]
struct Counted {
    rows: i64,
}

/// Counts rows.
#[derive(Plugin)]
struct Counts;

impl Fold for Counts {
    type Input<'a> = Event;
    type Output = Shown;
    type State = Counted;

    fn update(&self, counted: &mut Counted, event: Event) {
        if event.watch_ms >= 0 {
            counted.rows += 1;
        }
    }

    fn evaluate(&self, counted: &Counted) -> Option<Shown> {
        Some(Shown { rows: counted.rows })
    }
}

export_fold!(Counts);
"#;

/// In a folder of its own that stays, so that the compiler finds what it has built before.
#[test]
fn an_author_edits_and_sees_what_it_changes() {
    let folder = refrain_tests::program().with_file_name("test-dev");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let home = Home::at(&folder);
    let node = "[node.counts]\nplugin = \"counts\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"counts\"\n";
    home.write("refrain.toml", format!("{EVENTS}2\n\n{node}"));
    home.refrain(&["plugin", "new", "counts"]).ok();
    let source = "plugins/counts/src/lib.rs";
    home.write(source, COUNTS);
    home.refrain(&["plugin", "build", "counts"]).ok();
    home.write("events.csv", events_csv(3, 5_000));
    home.append("events", "events.csv", "p").ok();
    let mut host = home.start();
    home.wait_until_taken();
    let live = home.digest("counts");

    let mut beside = Loop::start(&home, &["--rows", "10000"]);
    let first = beside.next("tried");
    assert_eq!(output(&first, "counts")["digest"], live);
    assert_eq!(output(&first, "counts")["counts"]["rows"], 5_000);

    edit(&home, source, COUNTS.replace("rows += 1", "rows += 2"));
    let twice = beside.next("tried");
    let drift = &output(&twice, "counts")["difference"];
    assert_eq!(drift["changed"], output(&first, "counts")["rows"]);
    assert_eq!((&drift["added"], &drift["removed"]), (&0.into(), &0.into()));
    assert_eq!(drift["fields"][0]["field"], "rows");

    edit(
        &home,
        source,
        COUNTS.replace("counted.rows += 1", "counted.rowz += 1"),
    );
    beside.next("failed");
    let said = beside.said();
    assert!(
        said.contains("no field `rowz`") && said.contains("src/lib.rs"),
        "{said}"
    );

    // A row that traps stops nothing here but is counted: the difference is to the last good one.
    let traps = COUNTS.replace(
        "counted.rows += 1",
        "assert!(event.watch_ms < 900); counted.rows += 2",
    );
    let line = 1 + traps.lines().position(|l| l.contains("assert!")).unwrap();
    edit(&home, source, traps);
    let rejects = beside.next("tried");
    let counts = &output(&rejects, "counts")["counts"];
    assert!(counts["rejected"].as_u64().unwrap() > 0, "{counts}");
    // Built with a voice, it says which line it was.
    let said = beside.said();
    let place = format!("src/lib.rs:{line}:");
    assert!(
        said.contains(&place) && said.contains("assertion failed: event.watch_ms < 900"),
        "{said}"
    );

    edit(&home, source, COUNTS);
    let back = beside.next("tried");
    assert_eq!(output(&back, "counts")["digest"], live);
    edit(&home, source, format!("{COUNTS}// It is done.\n"));
    beside.next("same");

    assert_eq!(home.digest("counts"), live);
    assert!(host.lives());
    let pid = Pid::from_raw(beside.child.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(!beside.child.wait().unwrap().success());
    assert_eq!(host.stop(), Some(0));
}

/// An author's edits in one language: what is there, and what takes its place.
struct Edits {
    language: &'static str,
    source: &'static str,
    /// Of what `plugin new` makes: a line, and one that counts twice.
    counts: &'static str,
    twice: &'static str,
    /// One that does not compile, and what the compiler says of it.
    wrong: &'static str,
    told: [&'static str; 2],
    /// One that traps for a value of 13 and says something of others, and what is heard.
    traps: &'static str,
    heard: [&'static str; 2],
}

const EDITS: &[Edits] = &[
    Edits {
        language: "c",
        source: "plugin.c",
        counts: "  totals->rows++;",
        twice: "  totals->rows += 2;",
        wrong: "  totals->rowz++;",
        told: ["plugin.c:20", "no member named 'rowz'"],
        traps: "  refrain_log(REFRAIN_WARN, \"a row\"); refrain_assert(event->value != 13); totals->rows++;",
        heard: ["a row", "plugin.c:20: does not hold: event->value != 13"],
    },
    Edits {
        language: "zig",
        source: "plugin.zig",
        counts: "        totals.rows += 1;",
        twice: "        totals.rows += 2;",
        wrong: "        totals.rowz += 1;",
        told: ["plugin.zig:22", "no field named 'rowz'"],
        traps: "        @import(\"std\").log.warn(\"a row of {d}\", .{event.value}); if (event.value == 13) @panic(\"thirteen\"); totals.rows += 1;",
        heard: ["a row of 1", "it trapped at plugin.zig:22"],
    },
];

/// The loop in C and Zig: a compile error leaves the last good one, and a fall says where.
#[test]
#[ignore = "needs the compiler of C and Zig"]
fn an_author_edits_in_c_and_zig() {
    for edits in EDITS {
        let node = "[node.counts]\nplugin = \"counts\"\ninput = \"values\"\nkey = [\"name\"]\nview = \"counts\"\n";
        let topic =
            "[topic.values]\nschema = { name = \"text\", value = \"i64\" }\nkey = [\"name\"]\n\n";
        let home = Home::new(&format!("{topic}{node}"));
        let new = ["plugin", "new", "counts", "--language", edits.language];
        home.refrain(&new).ok();
        let rows =
            (0..2_000).map(|i| format!("{{\"name\":\"n{}\",\"value\":{}}}\n", i % 7, i % 20));
        home.write("values.jsonl", rows.collect::<String>());
        home.append("values", "values.jsonl", "p").ok();
        home.refrain(&["plugin", "build", "counts"]).ok();
        home.run().ok();
        let live = home.digest("counts");

        let source = format!("plugins/counts/{}", edits.source);
        let text = fs::read_to_string(home.path(&source)).unwrap();
        assert!(text.contains(edits.counts), "{text}");
        let change = |line: &str| edit(&home, &source, text.replace(edits.counts, line));
        let beside = Loop::start(&home, &["--rows", "10000"]);
        let first = beside.next("tried");
        assert_eq!(output(&first, "counts")["digest"], live);
        change(edits.twice);
        let twice = beside.next("tried");
        assert_eq!(output(&twice, "counts")["difference"]["changed"], 7);
        change(edits.wrong);
        beside.next("failed");
        let said = beside.said();
        for words in edits.told.iter().chain(&["the last good one stays"]) {
            assert!(said.contains(words), "{words}: {said}");
        }
        // The difference is to the last good one, which counted twice.
        change(edits.traps);
        let rejects = beside.next("tried");
        let counts = &output(&rejects, "counts")["counts"];
        assert_eq!(counts["rejected"], 100, "{counts}");
        assert_eq!(output(&rejects, "counts")["difference"]["changed"], 7);
        let said = beside.said();
        for words in edits.heard {
            assert!(said.contains(words), "{words}: {said}");
        }
        change(edits.counts);
        let back = beside.next("tried");
        assert_eq!(output(&back, "counts")["digest"], live);
        assert_eq!(home.digest("counts"), live);
    }
}
