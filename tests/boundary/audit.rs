//! Audits: a view is computed again on and on, through appends, upgrades, cutovers and rollbacks; a row that does not follow
//! from the log and a log that was changed are found, and stay told until they are mended.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_buffer::BooleanBuffer;
use refrain_log::clock::SystemClock;
use refrain_log::storage::DiskStorage;
use refrain_state::commit::{NodeCommit, State, TaskChanges};
use refrain_state::view::ViewChanges;
use refrain_tests::{Home, Luck, events_csv_parts, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::observe::{address, figure, get};
use crate::receipts::{copy, segment};
use crate::versions::{flights_csv, home};

/// What `status` tells of the audit of a version.
fn standing(home: &Home, view: &str, version: u32) -> Value {
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    let audits = status["audits"].as_array().unwrap();
    let its = |a: &&Value| a["view"] == view && a["version"] == version;
    audits.iter().find(its).cloned().unwrap_or(Value::Null)
}

/// An audit that goes on, and what it says a round.
struct Going {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Going {
    fn of(home: &Home, arguments: &[&str]) -> Going {
        let going = [
            &["audit"],
            arguments,
            &["--every", "10ms", "--output", "json"],
        ]
        .concat();
        let mut command = home.command(&going);
        let talk = std::fs::File::create(home.path("audit.err")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(talk).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Going { child, lines }
    }

    /// The next round that is as wanted; all before it must have been equal.
    fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the audit ended");
            let round: Value = serde_json::from_str(&line).unwrap();
            if wanted(&round) {
                return round;
            }
            assert_eq!(round["verdict"], "equal", "{round}");
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its exit code, once it has ended.
    fn ended(mut self) -> Option<i32> {
        poll("the audit to end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cut(home: &Home, view: &str) -> u64 {
    let receipt = home.refrain(&["receipt", view]).ok().json();
    receipt["cut"].as_u64().unwrap()
}

#[test]
fn an_audit_leaves_the_receipt_and_nothing_else() {
    let home = home(4_000);
    home.run().ok();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().to_str().unwrap();
    let audit = ["audit", "delays", "--once", "--scratch", folder];
    home.refrain(&audit)
        .ok()
        .says(&["equal", "4,000 rows executed"]);
    let made = home.refrain(&["receipt", "delays"]).ok().out;
    let kept = std::fs::read_to_string(home.path("data/audits/delays.receipt")).unwrap();
    assert_eq!(kept, made, "the same receipt, found by computing it");
    home.refrain(&["prove", "data/audits/delays.receipt"]).ok();
    let told = standing(&home, "delays", 1);
    assert_eq!(told["verdict"], "equal");
    assert_eq!((&told["rounds"], &told["failures"]), (&1.into(), &0.into()));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

    // Beside a host, of another version, of a node that is no fold.
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    let running = home.start();
    home.refrain(&["audit", "delays", "--once", "--version", "2"])
        .ok();
    assert_eq!(standing(&home, "delays", 2)["verdict"], "equal");
    home.refrain(&["audit", "delays", "--once", "--version", "7"])
        .code(2)
        .says(&["has no version 7"]);
    home.refrain(&["audit", "delays", "--sample", "0%"]).code(2);
    assert_eq!(running.stop(), Some(0));
    home.refrain(&["retire", "delays", "2", "--confirm"]).ok();
    assert_eq!(standing(&home, "delays", 2), Value::Null, "it is gone");
}

/// What is done to a view the honest way changes nothing of the verdict, and as little as possible is executed again.
#[test]
fn an_audit_goes_on_through_appends_upgrades_cutovers_and_rollbacks() {
    let home = crate::upgrade::home(500);
    let running = home.start();
    home.wait_until_taken();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().to_str().unwrap();
    let mut audit = Going::of(&home, &["total", "--scratch", folder]);
    let first = audit.next(|round| round["cut"].as_u64() >= Some(cut(&home, "total")));
    assert_eq!(first["verdict"], "equal");

    let mut at = 500;
    let mut grow = |home: &Home| {
        crate::upgrade::append(home, at, 300);
        at += 300;
        home.wait_until_taken();
        cut(home, "total")
    };
    let goes_on = |audit: &mut Going, wanted: u64, version: u32| {
        let reached =
            |round: &Value| round["cut"].as_u64() >= Some(wanted) && round["version"] == version;
        let round = audit.next(reached);
        assert_eq!(
            (&round["verdict"], &round["anew"]),
            (&"equal".into(), &false.into())
        );
        round
    };
    let wanted = grow(&home);
    let round = goes_on(&mut audit, wanted, 1);
    assert!(round["rows_taken"].as_u64() <= Some(300), "{round}");

    // Other builds take over between rounds: states as they are, migrated.
    crate::upgrade::upgrade(&home, "total", "fixed");
    let wanted = grow(&home);
    goes_on(&mut audit, wanted, 1);
    crate::upgrade::upgrade(&home, "total", "second");
    let wanted = grow(&home);
    goes_on(&mut audit, wanted, 1);

    // Another version is read: begun anew. Back again: anew, too.
    home.refrain(&["replay", "total", "--plugin", "first.wasm"])
        .ok();
    home.refrain(&["cutover", "total"]).ok();
    let round = audit.next(|round| round["version"] == 2);
    assert_eq!(
        (&round["verdict"], &round["anew"]),
        (&"equal".into(), &true.into())
    );
    let wanted = grow(&home);
    goes_on(&mut audit, wanted, 2);
    home.refrain(&["rollback", "total"]).ok();
    let round = audit.next(|round| round["version"] == 1);
    assert_eq!(
        (&round["verdict"], &round["anew"]),
        (&"equal".into(), &true.into())
    );
    let wanted = grow(&home);
    goes_on(&mut audit, wanted, 1);

    // A host that is started again is waited for.
    assert_eq!(running.stop(), Some(0));
    let running = home.start();
    let wanted = grow(&home);
    audit.next(|round| round["cut"].as_u64() >= Some(wanted));
    audit.signal(Signal::INT);
    assert_eq!(audit.ended(), Some(0));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert_eq!(standing(&home, "total", 1)["failures"], 0);
    assert_eq!(running.stop(), Some(0));
}

/// Puts a row into a view that does not follow from the log, as a commit with fitting checksums; nobody has the folder.
fn forge(home: &Home, node: &str) {
    let folder = home.path("data/commits");
    let storage = Arc::new(DiskStorage);
    let (state, _) = State::open(storage, Arc::new(SystemClock), folder).unwrap();
    let last = state.node(node).unwrap();
    let view = state.view(node).unwrap();
    let rows = view.scan(Some(1)).unwrap().rows;
    let place = view.schema().index_of("flights").unwrap();
    let flights = rows.column(place).as_primitive::<Int64Type>().value(0);
    let mut columns = rows.columns().to_vec();
    columns[place] = Arc::new(Int64Array::from(vec![flights + 1])) as ArrayRef;
    let forged = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let commit = NodeCommit {
        node: node.to_owned(),
        cut: last.cut,
        lineage: last.lineage,
        tasks: vec![TaskChanges {
            task: 0,
            view: Some(ViewChanges {
                rows: forged,
                finals: BooleanBuffer::new_unset(1),
                deletes: None,
            }),
            memo: last.memos[&0].clone(),
            ..TaskChanges::default()
        }],
        sources: last.sources,
        derived: last.derived,
        watermark: last.watermark,
        counts: last.counts,
    };
    state.commit(vec![commit]).unwrap();
}

#[test]
fn a_forged_row_is_found_and_told_until_it_is_mended() {
    let home = home(3_000);
    home.run().ok();
    home.refrain(&["audit", "total", "--once"]).ok();
    let before = home.digest("total");
    forge(&home, "total");
    assert_ne!(home.digest("total"), before, "readers see the forged row");
    for _ in 0..2 {
        home.refrain(&["audit", "total", "--once"]).code(3).says(&[
            "the audit failed",
            "the rows differ",
            "first difference",
            "came out",
        ]);
    }
    home.refrain(&["audit", "total", "--once", "--sample", "100%"])
        .code(3)
        .says(&["in the sample of 100 % of the keys"]);
    let told = standing(&home, "total", 1);
    assert_eq!(
        (&told["verdict"], &told["failures"]),
        (&"differs".into(), &3.into())
    );
    home.refrain(&["status"])
        .ok()
        .says(&["audit-failed", "1 failed audit(s)"]);

    // It outlives the audit and the host.
    let running = home.start_under(home.command(&["run", "--metrics", "0"]));
    let figures = address(&running);
    let ok = "refrain_audit_ok{view=\"total\",version=\"1\"}";
    let text = get(&figures, "/metrics").1;
    assert_eq!(figure(&text, ok), Some(0.0), "{text}");
    let failures = "refrain_audit_failures_total{view=\"total\",version=\"1\"}";
    assert_eq!(figure(&text, failures), Some(3.0));
    let (head, body) = get(&figures, "/healthz");
    assert!(head.contains("503"), "{head}");
    assert!(body.contains("audit of view total"), "{body}");
    // A round that goes on beside the host finds it as well, and ends.
    let going = Going::of(&home, &["total"]);
    assert_eq!(going.ended(), Some(3));
    assert_eq!(running.stop(), Some(0));

    home.refrain(&["run", "--once", "--rebuild", "total"]).ok();
    assert_eq!(home.digest("total"), before);
    home.refrain(&["audit", "total", "--once"]).ok();
    let running = home.start_under(home.command(&["run", "--metrics", "0"]));
    let figures = poll("the second address", || {
        let told = running.said();
        (told.matches("figures at").count() == 2).then(|| address_last(&told))
    });
    let text = get(&figures, "/metrics").1;
    assert_eq!(figure(&text, ok), Some(1.0), "{text}");
    let age = "refrain_audit_age_seconds{view=\"total\",version=\"1\"}";
    assert!(figure(&text, age) >= Some(0.0), "{text}");
    poll("good health", || {
        (get(&figures, "/healthz").1 == "ok\n").then_some(())
    });
    assert_eq!(running.stop(), Some(0));
}

fn address_last(said: &str) -> String {
    let (_, rest) = said.rsplit_once("figures at http://").unwrap();
    rest.split_once("/metrics").unwrap().0.to_owned()
}

/// A log that was changed below the cut that was audited last is found, with fitting checksums too.
#[test]
fn a_log_that_changed_behind_an_audit_is_found() {
    let mut luck = Luck::printed("audit_of_a_changed_log");
    let home = home(4_000);
    home.run().ok();
    home.refrain(&["audit", "delays", "--once"]).ok();
    let file = segment(home.root(), "flights");
    let whole = std::fs::read(&file).unwrap();
    let mut found = 0;
    for _ in 0..12 {
        let mut bytes = whole.clone();
        let end = bytes.iter().rposition(|b| *b != 0).unwrap();
        let place = luck.below(end as u64) as usize;
        bytes[place] ^= 1 << luck.below(8);
        std::fs::write(&file, &bytes).unwrap();
        let done = home.refrain(&["audit", "delays", "--once"]);
        // Padding and marks are no content.
        let code = done.code.unwrap();
        assert!([0, 3, 5].contains(&code), "byte {place}: {}", done.err);
        if code != 0 {
            assert!(done.err.contains("flights"), "{}", done.err);
            assert_ne!(standing(&home, "delays", 1)["failures"], 0);
            found += 1;
        }
        restore(&home, &file, &whole);
    }
    assert!(found >= 5, "{found}");
    home.refrain(&["audit", "delays", "--once"]).ok();

    // Another row in the middle, as a log of its own.
    let other = Home::new(&std::fs::read_to_string(home.path("refrain.toml")).unwrap())
        .with_plugins(&["flights"]);
    let csv = flights_csv(0, 4_000);
    let mut lines: Vec<String> = csv.lines().map(str::to_owned).collect();
    lines[2_000] = lines[2_001].clone();
    other.write("flights.csv", lines.join("\n") + "\n");
    other.append("flights", "flights.csv", "p").ok();
    let topic = home.path("data/topics/flights");
    std::fs::remove_dir_all(&topic).unwrap();
    copy(&other.path("data/topics/flights"), &topic);
    home.refrain(&["audit", "delays", "--once"]).code(3).says(&[
        "the log differs from offset",
        "topic flights",
        "when the last audit ended",
    ]);
}

/// The file as it was, without what an opening has quarantined meanwhile.
fn restore(home: &Home, file: &Path, whole: &[u8]) {
    std::fs::write(file, whole).unwrap();
    let folder = file.parent().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "footer") {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(home.rows("flights"), 4_000);
}

/// Whoever is killed leaves a folder that the next one takes away, and no verdict.
#[test]
fn a_killed_audit_leaves_nothing_that_the_next_one_minds() {
    let home = home(50);
    let running = home.start();
    // Many frames, so that a rate makes many rounds of them: in the middle of it, it is for seconds.
    for part in 1..100 {
        home.write("part.csv", flights_csv(part * 50, 50));
        home.append("flights", "part.csv", &format!("part-{part}"))
            .ok();
    }
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().to_str().unwrap();
    let left = || std::fs::read_dir(scratch.path()).unwrap().count();
    for _ in 0..3 {
        let arguments = ["delays", "--scratch", folder, "--rate", "500"];
        let mut audit = Going::of(&home, &arguments);
        poll("the folder of the work", || (left() > 0).then_some(()));
        poll("some work in it", || {
            let folder = std::fs::read_dir(scratch.path()).unwrap().next()?.ok()?;
            folder.path().join("commits").is_dir().then_some(())
        });
        audit.child.kill().unwrap();
        assert_eq!(audit.ended(), None, "killed in the middle");
        assert_eq!(left(), 1, "one folder at a time is left");
        assert_eq!(standing(&home, "delays", 1), Value::Null);
    }
    let audit = ["audit", "delays", "--once", "--scratch", folder];
    home.refrain(&audit).ok().says(&["equal"]);
    assert_eq!(left(), 0);
    // ctrl-C in the middle of it leaves no folder and no verdict, and is no failure.
    let arguments = [
        "delays",
        "--scratch",
        folder,
        "--rate",
        "500",
        "--afresh",
        "1ms",
    ];
    let audit = Going::of(&home, &arguments);
    poll("the folder of the work", || (left() > 0).then_some(()));
    audit.signal(Signal::TERM);
    assert_eq!(audit.ended(), Some(0));
    assert_eq!(left(), 0);
    assert_eq!(standing(&home, "delays", 1)["rounds"], 1);
}

/// Rows that retention takes: an audit that has had them goes on; one that has not cannot decide, and never fails.
#[test]
fn rows_that_go_meanwhile_are_no_failure() {
    let home = crate::receipts::chained();
    let running = home.start();
    for (i, part) in events_csv_parts(50, 4_000, 80).iter().enumerate() {
        home.write("small.csv", part);
        home.append("events", "small.csv", &format!("small-{i}"))
            .ok();
    }
    let append = |parts: std::ops::Range<usize>| {
        parts.for_each(|part| drop(crate::keep::append(&home, part).ok()));
        home.wait_until_taken();
    };
    append(0..6);
    let trim = [
        "topic",
        "trim",
        "events",
        "--before",
        "2100-01-01",
        "--confirm",
    ];
    let mut audits = ["seen", "engagement"].map(|view| (view, Going::of(&home, &[view])));
    let mut reach = || {
        for (view, audit) in &mut audits {
            let wanted = cut(&home, view);
            let round = audit.next(|round| round["cut"].as_u64() >= Some(wanted));
            assert_eq!(round["verdict"], "equal");
        }
    };
    reach();
    // One that is in the middle of it when rows go.
    let mut slow = Going::of(&home, &["total", "--rate", "1000"]);
    home.refrain(&trim).ok();
    assert!(home.rows("events") < 10_000);
    append(6..9);
    reach();
    home.refrain(&trim).ok();
    append(9..10);
    reach();
    let mut line = String::new();
    slow.lines.read_line(&mut line).unwrap();
    let round: Value = serde_json::from_str(&line).unwrap();
    match round["verdict"].as_str() {
        Some("equal") => drop(slow),
        Some("undecided") => assert_eq!(slow.ended(), Some(2)),
        other => panic!("{other:?}: {round}"),
    }
    // They would go on to report what they find.
    drop(audits);
    for view in ["seen", "engagement", "total"] {
        home.refrain(&["audit", view, "--once"])
            .code(2)
            .says(&["cannot be decided", "retention has removed the rows"]);
        let told = standing(&home, view, 1);
        assert_eq!(told["failures"], 0, "{told}");
        assert!(told["undecided"].is_string(), "{told}");
    }
    // A version that begins behind them can be audited.
    append(10..12);
    home.refrain(&["replay", "engagement"]).ok();
    home.refrain(&["audit", "engagement", "--version", "2", "--once"])
        .ok();
    assert_eq!(running.stop(), Some(0));
}

const SAMPLED: &str = r#"[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]
disorder = "5s"
partitions = 2

[node.tumbling]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = { tumbling = "1m", lateness = "10s" }
keep = "5m"
view = "tumbling"

[node.sliding]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = { sliding = "2m", every = "30s" }
view = "sliding"

[node.session]
plugin = "sessions"
input = "events"
key = ["content_id", "kind"]
window = { session = "20s", lateness = "5s" }
view = "session"

[node.count]
plugin = "engagement"
input = "events"
key = ["kind", "user_id"]
window = { count = 3 }
partitions = 3
view = "count"

[node.sum]
plugin = "engagement_total"
input = "events"
key = ["content_id"]
view = "sum"

[node.views_only]
plugin = "views_only"
input = "events"
topic = "views"

[node.chained]
plugin = "titles"
input = "views"
key = ["content_id"]
window = { tumbling = "1m", lateness = "10s" }
view = "chained"

[run]
commit_interval = "20ms"
"#;

/// A part of the keys is judged by itself: of every kind of window, of the last node of a chain.
#[test]
fn a_sample_is_what_its_keys_give_whatever_the_window() {
    let home = Home::new(SAMPLED).with_plugins(&[
        "engagement",
        "engagement_total",
        "sessions",
        "titles",
        "views_only",
    ]);
    for (i, part) in events_csv_parts(61, 12_000, 2).iter().enumerate() {
        home.write(&format!("{i}.csv"), part);
        home.append("events", &format!("{i}.csv"), &format!("p{i}"))
            .ok();
        home.run().ok();
    }
    let views = ["tumbling", "sliding", "session", "count", "sum", "chained"];
    for view in views {
        for sample in ["0.5%", "20%", "100%"] {
            let audit = ["audit", view, "--once", "--sample", sample];
            home.refrain(&audit).ok().says(&["equal", "of its keys"]);
        }
    }
    let told = standing(&home, "sum", 1);
    assert_eq!(told["sample_ppm"], 1_000_000);
    // The log of another history: some rows of the view do not follow from it.
    let other = Home::new(SAMPLED);
    let text = std::fs::read_to_string(home.path("1.csv")).unwrap();
    other.write("0.csv", std::fs::read(home.path("0.csv")).unwrap());
    other.write("1.csv", text.replace(",view,", ",like,"));
    for i in 0..2 {
        other
            .append("events", &format!("{i}.csv"), &format!("p{i}"))
            .ok();
    }
    let topic = home.path("data/topics/events");
    std::fs::remove_dir_all(&topic).unwrap();
    copy(&other.path("data/topics/events"), &topic);
    for view in views {
        let audit = ["audit", view, "--once", "--sample", "60%"];
        home.refrain(&audit)
            .code(3)
            .says(&["in the sample of 60 %"]);
    }
}

#[test]
fn what_is_no_fold_is_audited_as_a_whole() {
    let pipeline = SAMPLED.split("[node.tumbling]").next().unwrap().to_owned()
        + "[node.top]\nplugin = \"top_content\"\nkey = [\"kind\"]\ninput = \"events\"\noptions = { count = 5, horizon = \"1h\" }\nview = \"top\"\n\n\
           [node.rows]\nplugin = \"views_only\"\ninput = \"events\"\nview = \"rows\"\n";
    let home = Home::new(&pipeline).with_plugins(&["top_content", "views_only"]);
    home.write("events.csv", &events_csv_parts(62, 5_000, 1)[0]);
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    for view in ["top", "rows"] {
        home.refrain(&["audit", view, "--once", "--sample", "10%"])
            .ok()
            .says(&["--sample is of folds alone", "equal"]);
        assert_eq!(standing(&home, view, 1)["sample_ppm"], 1_000_000);
    }
}
