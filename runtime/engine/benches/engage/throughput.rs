//! All rows appended, then each node over all of them, in one go and continuously.

use std::collections::VecDeque;
use std::path::Path;

use refrain_engine::host::Host;
use refrain_engine::run::RunOptions;
use refrain_log::log::Append;

use crate::events::Events;
use crate::{cpu_seconds, project, wall};

pub(crate) const BATCH_ROWS: u64 = 65_536;
pub(crate) const BASE_MS: i64 = 1_700_000_040_000;

/// Prints rows per CPU-second and per second of append and of each node in both rhythms.
pub(crate) fn measure(plugins: &Path, rows: u64, workers: u64, partitions: u64) {
    println!("{rows} rows, {workers} workers, {partitions} partitions");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), plugins, partitions, "1s");
    let host = Host::open(project.clone()).expect("the host opens");
    timed("append (columns in, fsync)", rows, || {
        append(&host, Events::new(rows, BASE_MS));
    });
    drop(host);
    for node in ["engagement", "engagement_total"] {
        for once in [true, false] {
            let host = Host::open(project.clone()).expect("the host opens");
            let options = RunOptions {
                once,
                workers: workers as usize,
                nodes: vec![node.into()],
                ..RunOptions::default()
            };
            let rhythm = if once {
                "run --once"
            } else {
                "continuous, a commit a second:"
            };
            timed(&format!("{rhythm} {node}"), rows, || {
                run(&host, &options, folder.path(), rows)
            });
            print_result(&host, node);
            host.state().forget(node).expect("the node is forgotten");
        }
    }
}

pub(crate) fn print_result(host: &Host, node: &str) {
    let views = host.state().views();
    let view = views
        .iter()
        .find(|v| v.spec().name == node)
        .expect("the node keeps it");
    let state = view.state();
    println!(
        "    {} rows, {} final, digest {:032x}",
        state.rows, state.finals, state.digest
    );
    println!(
        "    {} commits, {} MiB of anonymous memory",
        host.board().commits(),
        anonymous_mib()
    );
}

/// Runs until every row is taken.
pub(crate) fn run(host: &Host, options: &RunOptions, folder: &Path, rows: u64) {
    std::thread::scope(|scope| {
        if !options.once {
            scope.spawn(|| {
                while host.board().rows() < rows {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                host.stopper().stop();
            });
        }
        let report = host
            .run(options, Some(folder.join("cache")))
            .expect("the run ends");
        assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    });
}

pub(crate) fn timed(what: &str, rows: u64, act: impl FnOnce()) {
    let (cpu, began) = (cpu_seconds(), wall());
    act();
    let (cpu, wall) = (cpu_seconds() - cpu, began.elapsed().as_secs_f64());
    println!(
        "{what}: {:.2} M rows/CPU-s, {:.2} M rows/s, {:.1} ns a row, {cpu:.2} CPU-s, {wall:.2} s",
        rows as f64 / cpu / 1e6,
        rows as f64 / wall / 1e6,
        cpu * 1e9 / rows as f64
    );
}

#[expect(clippy::disallowed_methods, reason = "a benchmark asks the system")]
pub(crate) fn anonymous_mib() -> u64 {
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find(|l| l.starts_with("RssAnon:"));
    line.and_then(|l| l.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

pub(crate) fn append(host: &Host, mut events: Events) {
    let mut pending = VecDeque::new();
    while let Some(batch) = events.next_batch(BATCH_ROWS) {
        let append = Append {
            topic: "events".into(),
            rows: batch,
            row_numbers: Vec::new(),
            input: "generated".into(),
            undecoded: Vec::new(),
            producer: None,
        };
        pending.push_back(host.log().submit(append).expect("the log takes rows"));
        if pending.len() > 4 {
            pending
                .pop_front()
                .map(|p| p.wait().expect("rows are durable"));
        }
    }
    pending.into_iter().for_each(|p| {
        p.wait().expect("rows are durable");
    });
}
