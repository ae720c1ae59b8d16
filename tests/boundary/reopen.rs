//! A write or a sync that failed under a running host is final until `refrain reopen`; then everything goes on in the same
//! process, and nothing that was acknowledged is lost.

use refrain_tests::strace::{Accident, Strace, strace_is_there};
use refrain_tests::{Done, Home, Running, events_csv_parts, poll};
use serde_json::Value;

const PARTS: usize = 6;

fn home() -> Home {
    let home = Home::engagement();
    for (i, part) in events_csv_parts(41, 9_000, PARTS).iter().enumerate() {
        home.write(&format!("{i}.csv"), part);
    }
    home
}

fn append(home: &Home, part: usize) -> Done {
    home.append("events", &format!("{part}.csv"), &format!("p{part}"))
}

fn outcome(home: &Home) -> Vec<String> {
    let topics = ["events", "views", "engagement.late"].map(|topic| home.topic_text(topic));
    let digests = ["engagement", "total"].map(|view| home.digest(view));
    topics.into_iter().chain(digests).collect()
}

fn calm() -> Vec<String> {
    let home = home();
    for part in 0..PARTS {
        append(&home, part).ok();
    }
    home.run().ok();
    outcome(&home)
}

/// A host one of whose syncs of the first segment in this folder of its data fails.
fn start(home: &Home, folder: &str, nth: usize) -> Running {
    let accident = Accident {
        name: "fdatasync".into(),
        how: "error=EIO".into(),
        when: nth.to_string(),
        path: Some(format!("{folder}/00000000000000000000.segment")),
    };
    let prefix = Strace::of(home.root()).prefix(Some(&accident));
    home.start_under(home.command_under(&prefix, &["run", "--workers", "1"]))
}

fn status(home: &Home) -> Value {
    home.refrain(&["status", "--output", "json"]).ok().json()
}

/// The first place that takes no writes.
fn shut(home: &Home) -> Option<String> {
    let status = status(home);
    status["shut"][0]["place"].as_str().map(str::to_owned)
}

/// Appends part after part, each when the one before is taken, until something that nodes write is shut: what, and how many
/// parts were appended.
fn append_until_shut(home: &Home) -> (String, usize) {
    for part in 0..PARTS - 2 {
        append(home, part).ok();
        let place = poll("nodes to take a part, or a sync to fail", || {
            let status = status(home);
            let nodes = status["nodes"].as_array().unwrap();
            let taken = nodes.iter().all(|node| node["lag_rows"] == 0);
            let place = status["shut"][0]["place"].as_str().map(str::to_owned);
            (taken || place.is_some()).then_some(place)
        });
        if let Some(place) = place {
            return (place, part + 1);
        }
    }
    panic!("no sync failed");
}

fn reopen(home: &Home) -> Done {
    home.refrain(&["reopen", "--output", "csv"]).ok()
}

#[test]
fn a_topic_whose_sync_failed_takes_rows_again_after_reopen() {
    if !strace_is_there() {
        return;
    }
    let wanted = calm();
    let home = home();
    let mut running = start(&home, "topics/events/0", 2);
    append(&home, 0).ok();
    // The second sync is that of an append, or of the mark that follows the first: appends are refused from then on.
    let refused = (1..PARTS).find(|part| append(&home, *part).code != Some(0));
    let refused = refused.expect("a sync failed");
    let rows = home.rows("events");
    for _ in 0..2 {
        append(&home, refused).code(9).says(&[
            "events/0: sync failed",
            "os error 5",
            "reopened with `refrain reopen`",
        ]);
    }
    assert_eq!(
        home.rows("events"),
        rows,
        "nothing of what was refused is there"
    );
    assert_eq!(shut(&home).as_deref(), Some("events/0"));
    home.refrain(&["status"])
        .ok()
        .says(&["takes no writes until `refrain reopen`: events/0"]);
    let done = reopen(&home);
    assert!(done.out.contains("events/0"), "{}", done.out);
    for part in refused..PARTS {
        append(&home, part).ok().says(&["1,500 rows appended"]);
    }
    for part in 0..PARTS {
        append(&home, part).ok().says(&["0 rows appended"]);
    }
    reopen(&home).says(&["nothing was shut"]);
    home.wait_until_taken();
    assert!(running.lives(), "{}", running.said());
    assert_eq!(running.stop(), Some(0));
    assert!(outcome(&home) == wanted);
}

/// A sync fails of what nodes write.
fn nodes_go_on_after_reopen(folder: &str, nth: usize, place: &str) {
    if !strace_is_there() {
        return;
    }
    let wanted = calm();
    let home = home();
    let running = start(&home, folder, nth);
    let (found, appended) = append_until_shut(&home);
    assert_eq!(found, place);
    let stopped = poll("a node to stop", || {
        let status = status(&home);
        let nodes = status["nodes"].as_array().unwrap();
        let why = nodes
            .iter()
            .find_map(|node| node["phase"]["stopped"].as_str());
        why.map(str::to_owned)
    });
    assert!(stopped.contains("refrain reopen"), "{stopped}");
    // Rows are taken meanwhile.
    append(&home, appended).ok();
    let done = reopen(&home).says(&["these nodes go on"]);
    assert!(done.out.contains(place), "{}", done.out);
    for part in appended + 1..PARTS {
        append(&home, part).ok();
    }
    home.wait_until_taken();
    assert_eq!(status(&home)["shut"].as_array().unwrap().len(), 0);
    assert_eq!(running.stop(), Some(0));
    assert!(outcome(&home) == wanted);
}

#[test]
fn nodes_go_on_after_reopen_of_the_commit_log() {
    nodes_go_on_after_reopen("commits", 3, "the commit log");
}

#[test]
fn nodes_go_on_after_reopen_of_a_derived_topic() {
    nodes_go_on_after_reopen("topics/views/0", 2, "views/0");
}

#[test]
fn a_host_that_leaves_with_something_shut_says_so_with_its_exit_code() {
    if !strace_is_there() {
        return;
    }
    let home = home();
    let mut running = start(&home, "commits", 3);
    append_until_shut(&home);
    poll("the run to notice", || {
        let status = status(&home);
        let nodes = status["nodes"].as_array().unwrap();
        let stopped = nodes
            .iter()
            .any(|node| node["phase"]["stopped"].is_string());
        stopped.then_some(())
    });
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait(), Some(9), "{}", running.said());
    // A new one does the same as a reopening.
    home.run().ok();
    reopen(&home).says(&["nothing was shut"]);
}
