//! How long a row takes from its append to the commit that shows it, while rows come at a steady rate.
//!
//! Batches are appended on a fixed timetable, whether or not earlier ones are through, so that a stall counts for every
//! batch behind it. A batch is visible when the last commit of `engagement` has its sequence.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use refrain_engine::host::Host;
use refrain_engine::run::RunOptions;
use refrain_log::ids::Sequence;
use refrain_log::log::{Append, Pending};

use crate::events::Events;
use crate::{cpu_seconds, project, wall};

/// Time between two batches.
const STEP: Duration = Duration::from_millis(5);
/// How often a waiting reader looks.
const GLANCE: Duration = Duration::from_micros(200);
/// The first batches find cold caches and an instance that is not there yet.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Prints the percentiles over `seconds`, at `rate` rows a second and a commit every `interval`.
pub(crate) fn measure(plugins: &Path, seconds: u64, rate: u64, interval: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), plugins, 1, interval);
    let host = Host::open(project).expect("the host opens");
    let options = RunOptions {
        nodes: vec!["engagement".into()],
        ..RunOptions::default()
    };
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let host = &host;
        scope.spawn(move || {
            let mut events = Events::new(rate * 3600, 1_700_000_040_000);
            feed(host, &mut events, seconds, rate, &sender);
        });
        scope.spawn(move || {
            let began = (wall(), cpu_seconds());
            let latencies = watch(host, receiver);
            print(latencies, interval, rate, began);
            host.stopper().stop();
        });
        let report = host
            .run(&options, Some(folder.path().join("cache")))
            .expect("the run ends");
        assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    });
}

/// Appends on the timetable, and tells when each batch was due.
pub(crate) fn feed(
    host: &Host,
    events: &mut Events,
    seconds: u64,
    rate: u64,
    sent: &mpsc::Sender<(Instant, Pending)>,
) {
    let batch_rows = rate * STEP.as_micros() as u64 / 1_000_000;
    let steps = seconds * 1_000_000 / STEP.as_micros() as u64;
    let began = wall();
    for step in 0..steps {
        let due = began + STEP * step as u32;
        std::thread::sleep(due.saturating_duration_since(wall()));
        let rows = events.next_batch(batch_rows).expect("an hour is enough");
        let append = Append {
            topic: "events".into(),
            rows,
            row_numbers: Vec::new(),
            input: "generated".into(),
            undecoded: Vec::new(),
            producer: None,
        };
        let pending = host.log().submit(append).expect("the log takes rows");
        sent.send((due, pending)).expect("somebody watches");
    }
}

/// Waits for each batch to be durable and then visible; both delays of each, counted from when it was due.
fn watch(
    host: &Host,
    batches: mpsc::Receiver<(Instant, Pending)>,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut durable, mut visible) = (Vec::new(), Vec::new());
    let mut began = None;
    for (due, pending) in batches {
        let sequence = pending.wait().expect("rows are durable").sequence;
        let acknowledged = wall();
        while cut(host) < sequence {
            std::thread::sleep(GLANCE);
        }
        if due.saturating_duration_since(*began.get_or_insert(due)) >= WARM_UP {
            durable.push(acknowledged - due);
            visible.push(wall() - due);
        }
    }
    (durable, visible)
}

pub(crate) fn cut(host: &Host) -> Sequence {
    host.state()
        .node("engagement")
        .map_or(Sequence(0), |n| n.cut)
}

fn print(
    (durable, visible): (Vec<Duration>, Vec<Duration>),
    interval: &str,
    rate: u64,
    (began, cpu): (Instant, f64),
) {
    println!("{rate} rows/s, commit interval {interval}");
    tell("append to durable", durable);
    tell("append to visible", visible);
    println!(
        "    {:.1} % of one core",
        (cpu_seconds() - cpu) / began.elapsed().as_secs_f64() * 100.0
    );
}

/// Prints percentiles in milliseconds: the half, 95, 99 and all in 100.
pub(crate) fn tell(what: &str, mut latencies: Vec<Duration>) -> [f64; 4] {
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies[place.min(latencies.len() - 1)].as_secs_f64() * 1e3
    };
    let found = [at(0.50), at(0.95), at(0.99), at(1.0)];
    println!(
        "    {what}: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms of {} batches",
        found[0],
        found[1],
        found[2],
        found[3],
        latencies.len()
    );
    found
}
