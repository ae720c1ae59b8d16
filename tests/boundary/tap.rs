//! Rows on their way through a node, looked at beside a host and without one.

use std::fs;
use std::process::{Child, Stdio};

use refrain_tests::{Done, Home, events_csv, poll};
use serde_json::Value;

/// `refrain tap ARGUMENTS`, once it waits for commits.
fn tapping(home: &Home, arguments: &[&str]) -> Child {
    let talk = home.path(&format!("{}.err", arguments[0]));
    let err = fs::File::create(&talk).unwrap();
    let mut command = home.command(&[&["tap", "--output", "json"], arguments].concat());
    let child = command.stdout(Stdio::piped()).stderr(err).spawn().unwrap();
    poll("the tap to wait", || {
        let said = fs::read_to_string(&talk).unwrap();
        said.contains("waiting for commits").then_some(())
    });
    child
}

fn rows(child: Child) -> Vec<Value> {
    let done = Done::from(child.wait_with_output().unwrap()).ok();
    let lines = done.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_tap_shows_what_a_running_node_takes_and_writes() {
    let home = Home::engagement();
    home.write("first.csv", events_csv(1, 2_000));
    home.append("events", "first.csv", "p").ok();
    let host = home.start();
    home.wait_until_taken();
    let taken = home.rows("events");
    let written = home.rows("views");
    let before = home.digest("total");

    let changes = tapping(&home, &["total", "--limit", "4"]);
    let liked = tapping(&home, &["total.in", "--limit", "3", "--where", "kind=like"]);
    let views = tapping(&home, &["views_only.out", "--limit", "5"]);
    home.write("second.csv", events_csv(2, 3_000));
    home.append("events", "second.csv", "q").ok();

    let changes = rows(changes);
    assert_eq!(changes.len(), 4);
    assert!(
        changes.iter().all(|row| row["@change"] == "put"),
        "{changes:?}"
    );
    let liked = rows(liked);
    assert_eq!(liked.len(), 3);
    assert!(
        liked
            .iter()
            .all(|row| row["kind"] == "like" && row["@topic"] == "events")
    );
    let views = rows(views);
    assert_eq!(views.len(), 5);
    assert!(views.iter().all(|row| row["@topic"] == "views"));
    home.wait_until_taken();
    // What was looked at is what is there.
    let total = home.view("total");
    for row in &changes {
        let there = total.iter().find(|t| t["content_id"] == row["content_id"]);
        assert!(there.is_some(), "{row}");
    }
    let offset = |row: &Value| row["@offset"].as_u64().unwrap();
    let all = home.topic("events");
    for row in &liked {
        let same = |other: &&Value| {
            other["@offset"] == row["@offset"] && other["@partition"] == row["@partition"]
        };
        assert_eq!(all.iter().find(same).unwrap()["user_id"], row["user_id"]);
    }
    assert!(taken + 3_000 == home.rows("events") && written < home.rows("views"));
    assert!(views.iter().all(|row| offset(row) < home.rows("views")));
    assert_ne!(home.digest("total"), before);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn without_a_host_a_tap_shows_the_last_rows_of_topics() {
    let home = Home::engagement();
    home.write("events.csv", events_csv(3, 2_000));
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    // Rows that no node has taken are not on their way through one.
    home.append("events", "events.csv", "q").ok();
    let done = home
        .refrain(&["tap", "total.in", "--limit", "4", "--output", "json"])
        .ok();
    let rows: Vec<Value> = done
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(rows.len(), 4);
    let taken = home.topic("events").len() as u64 / 2;
    assert!(
        rows.iter()
            .all(|row| row["@offset"].as_u64().unwrap() < taken)
    );
    let csv = home
        .refrain(&["tap", "views_only", "--limit", "3", "--output", "csv"])
        .ok()
        .out;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let refused = home.refrain(&["tap", "total.out"]).code(2);
    refused.says(&["no host runs", "refrain view scan total"]);
    home.refrain(&["tap", "totl"])
        .code(2)
        .says(&["did you mean total?"]);
    let wrong = home
        .refrain(&["tap", "total.in", "--where", "kin=like"])
        .code(2);
    wrong.says(&["there is no field kin"]);
}
