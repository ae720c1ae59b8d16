//! How long rows take to be visible while the same host does other work, against without it.
//!
//! Rows come at a steady rate all the time. In the first half nothing else happens. In the second half a candidate of the
//! same node takes a backlog, and when it has caught up it is retired and another one begins; or small frames of sealed
//! segments are merged.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use refrain_engine::host::Host;
use refrain_engine::keep::request::OptimizeOrder;
use refrain_engine::request::From;
use refrain_engine::run::RunOptions;
use refrain_engine::versions::VersionName;
use refrain_engine::versions::request::{Beginning, ReplayOrder};
use refrain_log::ids::Offset;
use refrain_log::log::{Append, Pending};

use crate::events::Events;
use crate::latency::{WARM_UP, cut, feed, tell};
use crate::{project, wall};

/// Rows that are there before live ones come: those that each replay takes before it has caught up.
const BACKLOG_ROWS: u64 = 4_000_000;
const GLANCE: Duration = Duration::from_micros(200);

/// The other work.
#[derive(Clone, Copy)]
pub(crate) enum Other {
    /// Replays of the node, one after another.
    Replays,
    /// Merging a backlog of appends of ten rows.
    Merging,
}

impl Other {
    fn batch_rows(self) -> u64 {
        match self {
            Other::Replays => 16_384,
            Other::Merging => 10,
        }
    }

    /// Does one piece of it; the rows that it took.
    fn work(self, host: &Host, on: &AtomicBool) -> u64 {
        match self {
            Other::Replays => replay(host, on),
            Other::Merging => merge(host, on),
        }
    }
}

/// Prints the percentiles of `seconds` without and `seconds` with the other work, and their ratios.
pub(crate) fn measure(plugins: &Path, seconds: u64, rate: u64, interval: &str, other: Other) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), plugins, 1, interval);
    let host = Host::open(project).expect("the host opens");
    let options = RunOptions {
        nodes: vec!["engagement".into()],
        ..RunOptions::default()
    };
    let mut events = Events::new(BACKLOG_ROWS * 2 + rate * 3600, 1_700_000_040_000);
    preload(&host, &mut events, other.batch_rows());
    let (working, worked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let (host, working, worked) = (&host, &working, &worked);
        scope.spawn(move || {
            while cut(host) < host.log().durable() {
                std::thread::sleep(GLANCE);
            }
            feed(host, &mut events, 2 * seconds, rate, &sender);
        });
        scope.spawn(move || {
            let (without, during) = watch(host, receiver, seconds, working);
            println!(
                "{rate} rows/s, commit interval {interval}; {} rows taken by the other work",
                worked.load(Ordering::Relaxed)
            );
            let without = tell("append to visible, without", without);
            let during = tell("append to visible, beside it", during);
            let ratio = |i: usize| during[i] / without[i];
            println!(
                "    ratio: p50 {:.2}, p95 {:.2}, p99 {:.2}",
                ratio(0),
                ratio(1),
                ratio(2)
            );
            working.store(false, Ordering::Relaxed);
            host.stopper().stop();
        });
        scope.spawn(move || {
            while !working.load(Ordering::Relaxed) {
                std::thread::sleep(GLANCE);
            }
            while working.load(Ordering::Relaxed) {
                worked.fetch_add(other.work(host, working), Ordering::Relaxed);
            }
        });
        let report = host
            .run(&options, Some(folder.path().join("cache")))
            .expect("the run ends");
        assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    });
}

fn preload(host: &Host, events: &mut Events, batch_rows: u64) {
    let submit = |_| {
        let append = Append {
            topic: "events".into(),
            rows: events.next_batch(batch_rows).expect("there are more"),
            row_numbers: Vec::new(),
            input: "generated".into(),
            undecoded: Vec::new(),
            producer: None,
        };
        host.log().submit(append).expect("the log takes rows")
    };
    let pending: Vec<Pending> = (0..BACKLOG_ROWS / batch_rows).map(submit).collect();
    for batch in pending {
        batch.wait().expect("rows are durable");
    }
}

/// Merges the small frames of all sealed segments, or of those that it comes to; the rows in them.
fn merge(host: &Host, on: &AtomicBool) -> u64 {
    let (mut from, mut rows) = (Some(Offset(0)), 0);
    while let Some(offset) = from.filter(|_| on.load(Ordering::Relaxed)) {
        let order = OptimizeOrder {
            topic: "events".into(),
            partition: 0,
            from: offset,
            dry_run: false,
        };
        let segment = host.optimize(&order).expect("segments can be merged");
        rows += segment
            .as_ref()
            .map_or(0, |s| if s.done { s.rows } else { 0 });
        from = segment.and_then(|segment| segment.next);
    }
    if rows == 0 {
        std::thread::sleep(GLANCE);
    }
    rows
}

/// Builds a candidate until it has caught up, and takes it away; the rows that it took.
fn replay(host: &Host, replaying: &AtomicBool) -> u64 {
    let order = ReplayOrder {
        name: "engagement".into(),
        from: Beginning::Log(From::Earliest),
        component: None,
        set: Vec::new(),
        downstream: false,
        rate: None,
    };
    let begun = host.replay(&order).expect("a replay begins");
    let name = VersionName::parse(&begun.nodes[0]);
    let last = || host.state().node(&begun.nodes[0]);
    while replaying.load(Ordering::Relaxed) && last().is_none_or(|last| last.cut < begun.goal) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let rows = last().and_then(|last| last.counts.get("rows").copied());
    if replaying.load(Ordering::Relaxed) {
        host.retire("engagement", name.number, true)
            .expect("nobody reads it");
    }
    rows.unwrap_or(0)
}

/// Both halves; the second one begins the other work.
fn watch(
    host: &Host,
    batches: mpsc::Receiver<(Instant, Pending)>,
    seconds: u64,
    working: &AtomicBool,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut without, mut during) = (Vec::new(), Vec::new());
    let mut began = None;
    let half = Duration::from_secs(seconds);
    for (due, pending) in batches {
        let sequence = pending.wait().expect("rows are durable").sequence;
        while cut(host) < sequence {
            std::thread::sleep(GLANCE);
        }
        let since = due.saturating_duration_since(*began.get_or_insert(due));
        let took = wall() - due;
        match since {
            s if s < WARM_UP => {}
            s if s < half => without.push(took),
            _ => {
                working.store(true, Ordering::Relaxed);
                during.push(took);
            }
        }
    }
    (without, during)
}
