//! kill -9 at random moments: what was acknowledged is there, nothing is there twice, and the results are those of a
//! life without accidents. `REFRAIN_KILLS` kills in all (50), `REFRAIN_SEED` chooses the moments. Rhythms and workers
//! are others after each kill: they decide when, never what.

use std::process::{Command, Stdio};
use std::time::Duration;

use refrain_tests::{Done, Home, Luck, count, events_csv, pipeline};
use rustix::process::Signal;

const ROWS: usize = 40_000;
const VIEWS: [&str; 2] = ["engagement", "total"];
const TOPICS: [&str; 5] = [
    "events",
    "events.rejected",
    "views",
    "engagement.late",
    "engagement.rejected",
];

/// A home with its events in a file, nothing appended.
fn home(seed: u64, rows: usize) -> Home {
    let home = Home::engagement();
    home.write("events.csv", events_csv(seed, rows));
    home
}

/// Gives each node another rhythm.
fn change_rhythms(home: &Home, luck: &mut Luck) {
    let mut text = pipeline();
    for last in [
        "view = \"engagement\"",
        "topic = \"views\"",
        "view = \"total\"",
    ] {
        let rhythm = ["continuous", "continuous", "every 20ms", "every 150ms"];
        let rhythm = rhythm[luck.below(4) as usize];
        text = text.replace(last, &format!("{last}\nrhythm = \"{rhythm}\""));
    }
    let interval = ["1ms", "20ms", "200ms"][luck.below(3) as usize];
    text = text.replace("\"20ms\"\n", &format!("\"{interval}\"\n"));
    home.write("refrain.toml", text);
}

/// What a life without accidents leaves.
#[derive(PartialEq)]
struct Outcome {
    digests: Vec<String>,
    topics: Vec<String>,
}

fn outcome(home: &Home) -> Outcome {
    Outcome {
        digests: VIEWS.map(|view| home.digest(view)).to_vec(),
        topics: TOPICS.map(|topic| home.topic_text(topic)).to_vec(),
    }
}

fn uninterrupted(seed: u64, rows: usize) -> Outcome {
    let home = home(seed, rows);
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    outcome(&home)
}

#[track_caller]
fn same(found: &Outcome, wanted: &Outcome) {
    assert_eq!(found.digests, wanted.digests, "digests of {VIEWS:?}");
    for (i, topic) in TOPICS.iter().enumerate() {
        let (found, wanted) = (&found.topics[i], &wanted.topics[i]);
        assert_eq!(found.lines().count(), wanted.lines().count(), "{topic}");
        assert!(found == wanted, "rows of {topic} differ");
    }
}

/// How long something takes now: kills later than that miss.
fn duration(act: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    act();
    start.elapsed()
}

fn kills(share: usize) -> usize {
    count("REFRAIN_KILLS", 50).div_ceil(share)
}

/// Starts a command and kills it within `longest`; none: it was killed.
fn killed(mut command: Command, luck: &mut Luck, longest: Duration) -> Option<Done> {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    luck.pause(longest);
    let _ = child.kill();
    let done = Done::from(child.wait_with_output().unwrap());
    done.code.is_some().then_some(done)
}

#[test]
fn killed_appends_lose_nothing_that_was_acknowledged() {
    let mut luck = Luck::printed("killed_appends");
    let rounds = kills(3);
    let mut longest = Duration::ZERO;
    let wanted = {
        let home = home(5, ROWS);
        longest += duration(|| drop(home.append("events", "events.csv", "p").ok()));
        home.topic_text("events")
    };
    let mut killed_count = 0;
    while killed_count < rounds {
        let home = home(5, ROWS);
        home.write("acknowledged.csv", events_csv(6, 500));
        let append = ["topic", "append", "events", "events.csv", "--producer", "p"];
        for _ in 0..5 {
            if killed(home.command(&append), &mut luck, longest).is_none() {
                killed_count += 1;
            }
        }
        let producer = format!("q{killed_count}");
        home.append("events", "acknowledged.csv", &producer).ok();
        let before = home.rows("events");
        if killed(home.command(&append), &mut luck, Duration::from_millis(60)).is_none() {
            killed_count += 1;
        }
        assert!(home.rows("events") >= before, "acknowledged rows are gone");
        home.append("events", "acknowledged.csv", &producer)
            .ok()
            .says(&["0 rows appended, 500 were there already"]);
        home.append("events", "events.csv", "p").ok();
        home.append("events", "events.csv", "p")
            .ok()
            .says(&["0 rows appended, 40,000 were there already"]);
        assert_eq!(home.rows("events"), 40_500);
        assert_same_rows(&home.topic_text("events"), &wanted);
    }
}

/// All rows of `part` stand in `whole`, in their order; what is between them are the 500 others.
#[track_caller]
fn assert_same_rows(whole: &str, part: &str) {
    let without_offset = |line: &'_ str| {
        let mut cells = line.splitn(3, ',');
        let partition = cells.next().unwrap_or_default().to_string();
        (partition, cells.nth(1).unwrap_or_default().to_string())
    };
    let mut left = whole.lines().map(without_offset);
    let wanted = part.lines().map(without_offset);
    for (count, line) in wanted.enumerate() {
        assert!(
            left.any(|other| other == line),
            "row {count} is missing: {line:?}"
        );
    }
}

#[test]
fn killed_runs_end_in_the_same_results() {
    let mut luck = Luck::printed("killed_runs");
    let wanted = uninterrupted(7, ROWS);
    let rounds = kills(3);
    let longest = {
        let home = home(7, ROWS);
        home.append("events", "events.csv", "p").ok();
        duration(|| drop(home.run().ok()))
    };
    let mut killed_count = 0;
    while killed_count < rounds {
        let home = home(7, ROWS);
        home.append("events", "events.csv", "p").ok();
        for _ in 0..8 {
            change_rhythms(&home, &mut luck);
            let workers = ["1", "2", "4"][luck.below(3) as usize];
            let run = home.command(&["run", "--once", "--workers", workers]);
            match killed(run, &mut luck, longest) {
                None => killed_count += 1,
                Some(done) => {
                    done.ok();
                }
            }
        }
        home.run().ok();
        same(&outcome(&home), &wanted);
    }
}

#[test]
fn killed_hosts_end_in_the_same_results() {
    let mut luck = Luck::printed("killed_hosts");
    let wanted = uninterrupted(8, ROWS);
    let rounds = kills(3);
    let home = home(8, ROWS);
    for _ in 0..rounds {
        change_rhythms(&home, &mut luck);
        let workers = ["1", "2", "4"][luck.below(3) as usize];
        let running = home.start_under(home.command(&["run", "--workers", workers]));
        let append = ["topic", "append", "events", "events.csv", "--producer", "p"];
        let mut command = home.command(&append);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut append = command.spawn().unwrap();
        luck.pause(Duration::from_millis(300));
        running.kill();
        append.wait().unwrap();
    }
    let running = home.start();
    home.append("events", "events.csv", "p").ok();
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    same(&outcome(&home), &wanted);
}

#[test]
fn a_terminated_host_finishes_and_commits() {
    let mut luck = Luck::printed("terminated");
    let wanted = uninterrupted(9, ROWS);
    let home = home(9, ROWS);
    home.append("events", "events.csv", "p").ok();
    for signal in [Signal::TERM, Signal::INT, Signal::TERM] {
        let mut running = home.start();
        luck.pause(Duration::from_millis(100));
        running.signal(signal);
        assert_eq!(running.wait(), Some(0), "{}", running.said());
        assert!(running.said().contains("stopping"), "{}", running.said());
        assert!(!home.path("data/control.sock").exists());
    }
    home.run().ok();
    same(&outcome(&home), &wanted);
}

#[test]
fn a_second_signal_leaves_at_once_without_damage() {
    let mut luck = Luck::printed("second_signal");
    let wanted = uninterrupted(10, ROWS);
    let home = home(10, ROWS);
    home.append("events", "events.csv", "p").ok();
    for _ in 0..5 {
        let mut running = home.start();
        luck.pause(Duration::from_millis(60));
        running.signal(Signal::TERM);
        running.signal(Signal::INT);
        let code = running.wait();
        assert!(
            matches!(code, Some(0 | 130)),
            "{code:?}: {}",
            running.said()
        );
    }
    home.run().ok();
    same(&outcome(&home), &wanted);
}

#[test]
fn the_store_can_be_deleted_at_any_time() {
    let home = home(11, ROWS);
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    let wanted = outcome(&home);
    std::fs::remove_dir_all(home.path("data/commits")).unwrap();
    home.run().ok();
    same(&outcome(&home), &wanted);
}
