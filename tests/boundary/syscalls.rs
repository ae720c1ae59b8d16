//! kill -9 and failing system calls at every place of the write path, through strace. After each: run again, and
//! nothing is lost, nothing is there twice, and the results are those of a life without accidents.

use std::process::{Command, Stdio};

use refrain_tests::{Done, Home, Luck, count, events_csv};

const ROWS: usize = 3_000;
const CALLS: [&str; 6] = [
    "pwritev",
    "pwrite64",
    "fdatasync",
    "fallocate",
    "rename",
    "openat",
];
const APPEND: [&str; 6] = ["topic", "append", "events", "events.csv", "--producer", "p"];
const RUN: [&str; 4] = ["run", "--once", "--workers", "2"];

fn strace() -> bool {
    let quiet = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let there = quiet.is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: install strace to test failing system calls");
    }
    there
}

fn home() -> Home {
    let home = Home::engagement();
    home.write("events.csv", events_csv(31, ROWS));
    home
}

/// Under `strace`, with this accident; only calls on files of the data folder count.
fn with_accident(home: &Home, call: &str, accident: &str, arguments: &[&str]) -> Done {
    let word = |text: &str| text.to_string();
    let mut prefix = vec![
        word("strace"),
        word("-f"),
        word("-qqq"),
        word("-o"),
        word("/dev/null"),
    ];
    prefix.extend([
        word("-e"),
        format!("trace={call}"),
        word("-e"),
        format!("inject={call}:{accident}"),
    ]);
    Done::of(home.command_under(&prefix, arguments))
}

/// How often a command makes each call.
fn calls_made(home: &Home, arguments: &[&str]) -> Vec<(&'static str, usize)> {
    let trace = home.path("trace");
    let mut prefix: Vec<String> = ["strace", "-f", "-qqq", "-o"].map(String::from).to_vec();
    prefix.push(trace.display().to_string());
    prefix.extend(["-e".to_string(), format!("trace={}", CALLS.join(","))]);
    Done::of(home.command_under(&prefix, arguments)).ok();
    let text = std::fs::read_to_string(trace).unwrap();
    let times = |call: &'static str| {
        let name = format!(" {call}(");
        (
            call,
            text.lines().filter(|line| line.contains(&name)).count(),
        )
    };
    CALLS.map(times).to_vec()
}

#[derive(Debug, PartialEq)]
struct Outcome(Vec<String>);

fn outcome(home: &Home) -> Outcome {
    let topics = ["events", "views", "engagement.late"].map(|topic| home.topic_text(topic));
    let digests = ["engagement", "total"].map(|view| home.digest(view));
    Outcome(topics.into_iter().chain(digests).collect())
}

/// Every accident once, at a random place among the calls that are made; finishes afterwards, and compares.
fn accidents(step: &str, accidents: &[&str], codes: &[i32]) {
    if !strace() {
        return;
    }
    let mut luck = Luck::printed(step);
    let (prepare, arguments): (&[&str], &[&str]) = match step {
        "append" => (&[], &APPEND),
        _ => (&APPEND, &RUN),
    };
    let calm = home();
    if !prepare.is_empty() {
        calm.refrain(prepare).ok();
    }
    let made = calls_made(&calm, arguments);
    calm.run().ok();
    let wanted = outcome(&calm);
    println!("{step}: {made:?}");
    let rounds = count("REFRAIN_KILLS", 50).div_ceil(25);
    for (call, times) in made.into_iter().filter(|(_, times)| *times > 0) {
        for accident in accidents {
            for _ in 0..rounds {
                let when = 1 + luck.below(times as u64);
                let accident = format!("{accident}:when={when}");
                let home = home();
                if !prepare.is_empty() {
                    home.refrain(prepare).ok();
                }
                let done = with_accident(&home, call, &accident, arguments);
                let told = format!("{step}, {call}:{accident}: {:?} {}", done.code, done.err);
                let expected = done.code.is_none_or(|code| codes.contains(&code));
                assert!(expected, "{told}");
                assert!(
                    done.code != Some(101) && !done.err.contains("panicked"),
                    "{told}"
                );
                home.refrain(&APPEND).ok();
                home.run().ok();
                assert!(outcome(&home) == wanted, "{told}");
            }
        }
    }
}

#[test]
fn an_append_killed_at_any_call() {
    accidents("append", &["signal=KILL"], &[0, 137]);
}

#[test]
fn a_run_killed_at_any_call() {
    accidents("run", &["signal=KILL"], &[0, 137]);
}

#[test]
fn an_append_whose_calls_fail() {
    accidents("append", &["error=EIO", "error=ENOSPC"], &[0, 1, 2, 7, 127]);
}

#[test]
fn a_run_whose_calls_fail() {
    accidents("run", &["error=EIO"], &[0, 1, 2, 7, 127]);
}
