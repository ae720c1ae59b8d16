//! Rhythms and their alerts over hours, by a clock that jumps from one moment to the next: a host in this process, on a real
//! disk, with real components.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use refrain_engine::Result;
use refrain_engine::cost::{Bill, Question};
use refrain_engine::host::{Host, Project};
use refrain_engine::objective::ObjectiveReport;
use refrain_engine::request::{Request, Response};
use refrain_engine::run::RunOptions;
use refrain_engine::run::time::{Arrivals, Simulated};
use refrain_log::clock::ManualClock;
use refrain_log::ids::Timestamp;
use refrain_log::log::{Append, Log};
use refrain_log::storage::DiskStorage;
use refrain_tests::Home;

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
/// Midnight of some day, UTC.
const MIDNIGHT_US: i64 = 1_700_006_400_000_000;

fn at(hours: i64, minutes: i64) -> Timestamp {
    Timestamp(MIDNIGHT_US + hours * HOUR_US + minutes * MINUTE_US)
}

fn text(rhythm: &str, more: &str) -> String {
    format!(
        r#"[topic.events]
schema = {{ event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }}
time = "event_time"
key = ["content_id"]

[node.sums]
plugin = "engagement_total"
input = "events"
key = ["content_id"]
view = "sums"
rhythm = "{rhythm}"
{more}"#
    )
}

/// A project with one node, and the clock that it goes by.
struct World {
    home: Home,
    clock: Arc<ManualClock>,
}

impl World {
    fn new(rhythm: &str, more: &str, now: Timestamp) -> World {
        World {
            home: Home::new(&text(rhythm, more)).with_plugins(&["engagement_total"]),
            clock: Arc::new(ManualClock::new(now)),
        }
    }

    fn open(&self) -> Host {
        let project = Project::new(self.home.root());
        Host::open_in(project, Arc::new(DiskStorage), self.clock.clone()).unwrap()
    }

    /// Runs until then; a row comes every so often.
    fn run(&self, host: &Host, until: Timestamp, every_us: i64) -> u64 {
        let rows = Rows {
            log: Arc::clone(host.log()),
            next_us: self.now().0 + every_us,
            every_us,
        };
        let time = Simulated::new(Arc::clone(&self.clock), until, Box::new(rows));
        let options = RunOptions {
            time: Arc::new(time),
            ..RunOptions::default()
        };
        let before = host.board().commits();
        let report = host.run(&options, None).unwrap();
        assert!(report.stopped.is_empty(), "{:?}", report.stopped);
        assert_eq!(self.now(), until);
        host.board().commits() - before
    }

    fn now(&self) -> Timestamp {
        use refrain_log::clock::Clock;
        self.clock.now()
    }
}

/// A row every so often.
struct Rows {
    log: Arc<Log>,
    next_us: i64,
    every_us: i64,
}

impl Arrivals for Rows {
    fn next_at(&mut self) -> Option<Timestamp> {
        Some(Timestamp(self.next_us))
    }

    fn bring(&mut self) -> Result<()> {
        append(&self.log, self.next_us);
        self.next_us += self.every_us;
        Ok(())
    }
}

fn append(log: &Log, time_us: i64) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "event_time",
            Arc::new(TimestampMicrosecondArray::from(vec![time_us]).with_timezone("UTC")),
        ),
        ("content_id", Arc::new(Int64Array::from(vec![7]))),
        ("user_id", Arc::new(Int64Array::from(vec![1]))),
        ("kind", Arc::new(StringArray::from(vec!["view"]))),
        ("watch_ms", Arc::new(Int64Array::from(vec![10]))),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, false));
    let appended = log.append(Append {
        topic: "events".into(),
        rows: RecordBatch::try_from_iter_with_nullable(columns).unwrap(),
        row_numbers: Vec::new(),
        input: "rows".into(),
        undecoded: Vec::new(),
        producer: None,
    });
    assert_eq!(appended.unwrap().rows, 1);
}

fn report(host: &Host) -> ObjectiveReport {
    match host.handle(Request::Freshness) {
        Response::Freshness(report) => report,
        other => panic!("{other:?}"),
    }
}

fn alerts(host: &Host) -> Vec<String> {
    report(host)
        .alerts()
        .into_iter()
        .map(|alert| alert.kind)
        .collect()
}

/// Rows that a node has taken with its last commit.
fn taken(host: &Host) -> u64 {
    host.state()
        .node("sums")
        .map_or(0, |last| last.counts["rows"])
}

/// Hours of a rhythm take as long as their work, and begin when they should.
#[test]
fn each_rhythm_commits_as_often_as_it_says() {
    // Rhythm, seconds between rows, commits of an hour. A pass takes 64 sequences at once when nothing is known of the node.
    let table = [
        // The commit interval is 1 s: each row is a commit of its own.
        ("continuous", 5, 720),
        ("every 10s", 5, 360),
        ("every 1m", 5, 60),
        ("every 15m", 30, 4),
        ("0 * * * *", 30, 1),
        ("*/20 * * * *", 30, 3),
    ];
    for (rhythm, seconds, commits) in table {
        let world = World::new(rhythm, "", at(1, 30));
        let host = world.open();
        // To the last row and a second, so that it is seen by whoever sees it at once.
        let until = Timestamp(at(2, 30).0 + 1_000_000);
        assert_eq!(
            world.run(&host, until, seconds * 1_000_000),
            commits,
            "{rhythm}"
        );
        let rows = 3_600 / seconds.unsigned_abs();
        match rhythm {
            "continuous" => assert_eq!(taken(&host), rows),
            _ => assert!((1..=rows).contains(&taken(&host)), "{rhythm}"),
        }
    }
}

/// A node of the calendar works at its times and in between not at all.
#[test]
fn a_calendar_ticks_within_a_run() {
    let world = World::new("0 * * * *", "", at(0, 30));
    let host = world.open();
    assert_eq!(world.run(&host, at(0, 59), MINUTE_US), 0);
    assert_eq!(taken(&host), 0);
    assert_eq!(world.run(&host, at(1, 59), MINUTE_US), 1);
    // The clock shows 01:00 when the rows of 00:31 to 00:59 are there, and the one of 01:00 or not.
    assert!((29..=30).contains(&taken(&host)), "{}", taken(&host));
    assert_eq!(world.run(&host, at(4, 30), MINUTE_US), 3);
    // Its work began with the first run, not with the first pass; rates are those of all that time.
    assert!((0..=2_000_000).contains(&(cost(&host, None).metered_us - 4 * HOUR_US)));
    let run = &report(&host).runs[0];
    assert_eq!(
        (run.last, run.due, run.missed),
        (Some(at(4, 0)), Some(at(5, 0)), 0)
    );
    assert!(alerts(&host).is_empty());
}

/// Times that passed while no host ran are found without one, are one pass at the next start, and are no alert any more when
/// it has come, but stay counted. Nothing else is wrong.
#[test]
fn missed_times_of_a_calendar_are_one_pass_at_the_next_start() {
    let consumer = "[consumer.night]\nview = \"sums\"\nfreshness = \"6h\"\n";
    let world = World::new("0 * * * *", consumer, at(0, 30));
    let host = world.open();
    assert_eq!(world.run(&host, at(1, 30), MINUTE_US), 1);
    let before = taken(&host);
    drop(host);
    world.clock.set(at(4, 30));
    let host = world.open();
    assert_eq!(alerts(&host), ["missed-run"], "found while nobody runs");
    assert_eq!(report(&host).runs[0].missed, 3, "02:00, 03:00 and 04:00");
    // Until before the next time: the one pass that catches up.
    assert_eq!(world.run(&host, at(4, 45), HOUR_US), 1);
    assert!(taken(&host) > before, "what waited was taken");
    let run = &report(&host).runs[0];
    assert_eq!((run.last, run.missed), (Some(at(4, 30)), 3));
    assert!(
        alerts(&host).is_empty(),
        "one has come: nothing is left to do"
    );
    assert_eq!(world.run(&host, at(5, 10), MINUTE_US), 1);
    assert!(alerts(&host).is_empty(), "the one of 05:00 was punctual");
    assert_eq!(
        report(&host).runs[0].missed,
        3,
        "and those are told as past"
    );
}

/// A node that works all the time and does not get on lags; its runs are not missed, and its reader, who needs little, is
/// not served late.
#[test]
fn rows_that_wait_make_a_node_lag() {
    let consumer = "[consumer.board]\nview = \"sums\"\nfreshness = \"1h\"\n";
    let world = World::new("continuous", consumer, at(1, 0));
    let host = world.open();
    append(host.log(), world.now().0);
    world.clock.set(at(1, 1));
    assert!(alerts(&host).is_empty(), "a minute is granted");
    world.clock.set(at(1, 3));
    assert_eq!(alerts(&host), ["lagging"]);
    let lag = &report(&host).lagging[0];
    assert_eq!(
        (lag.node.as_str(), lag.staleness_us),
        ("sums", 2 * MINUTE_US + MINUTE_US)
    );
    assert_eq!(world.run(&host, at(1, 4), HOUR_US), 1);
    assert!(alerts(&host).is_empty());
}

/// What a consumer got is exact, since time stands still while work is done: rows every 5 s wait for a pass every minute.
#[test]
fn freshness_is_that_of_the_rhythm() {
    let consumer = "[consumer.board]\nview = \"sums\"\nfreshness = \"30s\"\nobjective = \"50%\"\n";
    let world = World::new("every 1m", consumer, at(1, 0));
    let host = world.open();
    world.run(&host, at(3, 0), 5_000_000);
    let board = &report(&host).consumers[0];
    assert_eq!(board.observed_us, 2 * HOUR_US);
    assert!(board.worst_us <= MINUTE_US, "{board:?}");
    // In each minute, the row of its fifth second has waited for more than 30 s from the 35th second on.
    let minutes = board.missed_us as f64 / (25.0 * 1e6);
    assert!((118.0..=121.0).contains(&minutes), "{board:?}");
}

fn cost(host: &Host, file: Option<String>) -> Bill {
    let question = Question {
        file,
        ..Question::default()
    };
    match host.handle(Request::Cost(question)) {
        Response::Cost(bill) => *bill,
        other => panic!("{other:?}"),
    }
}

/// Commits, syncs and rows of the one node.
fn counts(bill: &Bill) -> [i64; 3] {
    let item = bill.items.iter().find(|item| item.name == "sums").unwrap();
    let work = item.work.clone().unwrap();
    [work.commits, work.syncs, work.rows].map(|count| count as i64)
}

/// The same hour in another rhythm makes the commits that were foretold for it, in each direction.
#[test]
fn what_another_rhythm_would_commit_is_foretold() {
    let rhythms = ["continuous", "every 10s", "every 1m", "0 * * * *"];
    let until = Timestamp(at(3, 0).0 + 1_000_000);
    let played = rhythms.map(|rhythm| {
        let world = World::new(rhythm, "", at(2, 0));
        let host = world.open();
        world.run(&host, until, 60_000_000);
        let bill = cost(&host, None);
        let foretold = rhythms.map(|then| cost(&host, Some(text(then, ""))));
        (bill, foretold)
    });
    for (now, (_, foretold)) in rhythms.iter().zip(&played) {
        for (then, (bill, (happened, _))) in rhythms.iter().zip(foretold.iter().zip(&played)) {
            let told = counts(bill.then.as_ref().unwrap());
            let off: Vec<i64> = told
                .iter()
                .zip(counts(happened))
                .map(|(a, b)| (a - b).abs())
                .collect();
            assert!(
                off[0] <= 1 && off[1] <= 3 && off[2] <= 1,
                "{now} to {then}: {told:?}, {off:?}"
            );
            assert_eq!(bill.changes.is_empty(), now == then, "{now} to {then}");
            for change in &bill.changes {
                assert!(change.tried_rounds > 1, "{now} to {then}: {change:?}");
            }
        }
    }
}
