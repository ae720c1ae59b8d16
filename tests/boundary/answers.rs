//! Answers that are larger than what is held at a time: pages of one commit, pipes that close, input that is interrupted.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use refrain_tests::{EVENTS, Home, events_csv, poll};
use rustix::process::{Pid, Signal, kill_process};

/// A total by user, of many users: more rows than a page has.
fn users(rows: u64) -> Home {
    let file = "[topic.numbers]\nschema = { value = \"i64\", id = \"i64\" }\nkey = [\"id\"]\npartitions = 2\n\
        [node.bad]\nplugin = \"bad\"\ninput = \"numbers\"\nkey = [\"id\"]\nview = \"sums\"\n\
        [run]\ncommit_interval = \"10ms\"\n";
    let home = Home::new(file);
    home.write("plugins/bad.wasm", crate::guest("bad.wasm"));
    let mut text = "value,id\n".to_string();
    (0..rows).for_each(|id| text.push_str(&format!("1,{id}\n")));
    home.write("numbers.csv", text);
    home
}

#[test]
fn a_view_of_many_pages_is_of_one_commit() {
    const ROWS: u64 = 150_000;
    let home = users(ROWS);
    home.append("numbers", "numbers.csv", "0").ok();
    let running = home.start();
    home.wait_until_taken();
    // While each round of rows changes every sum, a scan shows sums of one round only.
    let mut changing = home.command(&[
        "topic",
        "append",
        "numbers",
        "numbers.csv",
        "numbers.csv",
        "numbers.csv",
    ]);
    let mut changing = changing
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut scans = 0;
    loop {
        let ended = changing.try_wait().unwrap().is_some();
        let csv = home
            .refrain(&["view", "scan", "sums", "--output", "csv"])
            .ok()
            .out;
        let ids = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').next().unwrap().parse::<u64>().unwrap());
        assert!(ids.eq(0..ROWS), "every row once, in order");
        scans += 1;
        if ended {
            break;
        }
    }
    println!("{scans} scans beside the appends");
    home.wait_until_taken();
    for file in ["sums.csv", "sums.jsonl", "sums.parquet"] {
        home.refrain(&["view", "export", "sums", file])
            .ok()
            .says(&["150,000 rows"]);
    }
    let lines = |file: &str| {
        std::fs::read_to_string(home.path(file))
            .unwrap()
            .lines()
            .count() as u64
    };
    assert_eq!((lines("sums.csv"), lines("sums.jsonl")), (ROWS + 1, ROWS));
    // What was exported is the view: appended elsewhere, it is as many rows again.
    let other = Home::new("[topic.sums]\nschema = { id = \"i64\", sum = \"i64\" }\n");
    let parquet = home.path("sums.parquet").display().to_string();
    other.append("sums", &parquet, "p").ok();
    assert_eq!(other.rows("sums"), ROWS);
    let some = home
        .refrain(&[
            "view", "scan", "sums", "--limit", "70000", "--output", "csv",
        ])
        .ok();
    assert_eq!(some.out.lines().count(), 70_001);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_closed_pipe_ends_what_is_printed() {
    let home = users(100_000);
    home.append("numbers", "numbers.csv", "0").ok();
    home.run().ok();
    for command in [
        &["view", "scan", "sums"][..],
        &["topic", "read", "numbers", "--limit", "1000000"],
        &[
            "topic", "read", "numbers", "--limit", "1000000", "--output", "json",
        ],
    ] {
        let mut child = home
            .command(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        drop(reader);
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), said.as_str()),
            (Some(0), ""),
            "{command:?}"
        );
    }
}

#[test]
fn ctrl_c_ends_an_append_with_what_is_acknowledged() {
    let home = Home::new(&format!("{EVENTS}2\n"));
    let text = events_csv(81, 60_000);
    let mut command = home.command(&[
        "topic",
        "append",
        "events",
        "--format",
        "csv",
        "--producer",
        "p",
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    input.flush().unwrap();
    // The pipe stays open, as that of `tail -f`: the segments show that rows have come through.
    poll("rows to be appended", || {
        let folder = home.path("data/topics/events/0");
        let files = std::fs::read_dir(folder).ok()?;
        files
            .flatten()
            .find(|f| f.path().extension().is_some_and(|e| e == "segment"))
    });
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(
        said.contains("interrupted") && said.contains("is acknowledged"),
        "{said}"
    );
    drop(input);
    home.write("events.csv", text);
    let done = home.append("events", "events.csv", "p").ok();
    done.says(&[
        "were there already",
        "all input up to row 60,000 is acknowledged",
    ]);
    assert_eq!(home.rows("events"), 60_000);
}
