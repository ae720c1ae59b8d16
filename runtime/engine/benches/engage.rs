//! The engagement workload from append to view, in one process: rows per CPU-second of each stage.
//!
//! `cargo bench -p refrain-engine --bench engage -- FOLDER ROWS` where FOLDER holds `engagement.wasm` and
//! `engagement_total.wasm` (see docs/benchmarks.md). The rows are those of the baselines: seed 42, one hour of event
//! time, 10,000 contents by Zipf's law, 30 % up to 5 s late, 0.1 % 6 to 60 s late.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use refrain_engine::host::{Host, Project};
use refrain_engine::run::RunOptions;
use refrain_log::log::Append;

const BATCH_ROWS: u64 = 65_536;
const BASE_MS: i64 = 1_700_000_040_000;
const CONTENTS: usize = 10_000;
const KINDS: [&str; 4] = ["view", "like", "complete", "heartbeat"];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let [plugins, rows] = arguments.as_slice() else {
        println!("engage: give the folder with engagement.wasm and the number of rows");
        return;
    };
    let rows: u64 = rows.parse().expect("a number of rows");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), Path::new(plugins));
    let host = Host::open(project.clone()).expect("the host opens");
    measure("append (columns in, fsync)", rows, || append(&host, rows));
    drop(host);
    for node in ["engagement", "engagement_total"] {
        for once in [true, false] {
            let host = Host::open(project.clone()).expect("the host opens");
            let options = RunOptions {
                once,
                workers: 1,
                nodes: vec![node.into()],
                ..RunOptions::default()
            };
            let rhythm = if once {
                "run --once"
            } else {
                "continuous, a commit a second:"
            };
            measure(&format!("{rhythm} {node}"), rows, || {
                run(&host, &options, folder.path(), rows)
            });
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
            host.state().forget(node).expect("the node is forgotten");
        }
    }
}

/// Runs until every row is taken.
fn run(host: &Host, options: &RunOptions, folder: &Path, rows: u64) {
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

fn project(folder: &Path, plugins: &Path) -> Project {
    let root: PathBuf = folder.join("project");
    std::fs::create_dir_all(root.join("plugins")).expect("a folder");
    for name in ["engagement", "engagement_total"] {
        std::fs::copy(
            plugins.join(format!("{name}.wasm")),
            root.join(format!("plugins/{name}.wasm")),
        )
        .expect("a component");
    }
    #[expect(clippy::disallowed_methods, reason = "a file of the benchmark")]
    std::fs::write(
        root.join("refrain.toml"),
        r#"
[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]
disorder = "5s"

[node.engagement]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = { tumbling = "1m", lateness = "10s" }
view = "engagement"

[node.engagement_total]
plugin = "engagement_total"
input = "events"
key = ["content_id"]
view = "engagement_total"
"#,
    )
    .expect("the pipeline file is written");
    Project::new(root)
}

fn measure(what: &str, rows: u64, act: impl FnOnce()) {
    let (cpu, wall) = (cpu_seconds(), wall());
    act();
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    let million = rows as f64 / cpu / 1e6;
    println!(
        "{what}: {million:.2} M rows/CPU-s, {:.1} ns a row, {cpu:.2} CPU-s, {wall:.2} s",
        cpu * 1e9 / rows as f64
    );
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn wall() -> std::time::Instant {
    std::time::Instant::now()
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[expect(clippy::disallowed_methods, reason = "a benchmark asks the system")]
fn anonymous_mib() -> u64 {
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find(|l| l.starts_with("RssAnon:"));
    line.and_then(|l| l.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

fn append(host: &Host, rows: u64) {
    let mut events = Events::new(rows);
    let mut pending = std::collections::VecDeque::new();
    while let Some(batch) = events.next_batch() {
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

/// The generator of the baselines.
struct Events {
    state: u64,
    cdf: Vec<f64>,
    contents: Vec<i64>,
    next: u64,
    rows: u64,
}

impl Events {
    fn new(rows: u64) -> Self {
        let mut state = 42;
        let mut total = 0.0;
        let cdf = (1..=CONTENTS)
            .map(|i| {
                total += 1.0 / i as f64;
                total
            })
            .collect();
        let mut contents: Vec<i64> = (0..CONTENTS as i64).collect();
        for i in (1..CONTENTS).rev() {
            contents.swap(i, (split_mix(&mut state) % (i as u64 + 1)) as usize);
        }
        Events {
            state,
            cdf,
            contents,
            next: 0,
            rows,
        }
    }

    fn unit(&mut self) -> f64 {
        (split_mix(&mut self.state) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, limit: u64) -> i64 {
        (split_mix(&mut self.state) % limit) as i64
    }

    fn row(&mut self) -> (i64, i64, i64, &'static str, i64) {
        let arrival = BASE_MS + (u128::from(self.next) * 3_600_000 / u128::from(self.rows)) as i64;
        let r = self.unit();
        let behind = match r {
            r if r < 0.001 => 6_000 + self.below(54_000),
            r if r < 0.301 => self.below(5_000),
            _ => 0,
        };
        let total = *self.cdf.last().expect("there are contents");
        let x = self.unit() * total;
        let content = self.contents[self.cdf.partition_point(|v| *v <= x).min(CONTENTS - 1)];
        let user = self.below(1_000_000);
        let (kind, watch) = match self.unit() {
            k if k < 0.25 => (0, 0),
            k if k < 0.30 => (1, 0),
            k if k < 0.40 => (2, 5_000 + self.below(55_000)),
            _ => (3, 1_000 + self.below(9_000)),
        };
        self.next += 1;
        (
            (arrival - behind).max(BASE_MS) * 1000,
            content,
            user,
            KINDS[kind],
            watch,
        )
    }

    fn next_batch(&mut self) -> Option<RecordBatch> {
        let count = BATCH_ROWS.min(self.rows - self.next);
        if count == 0 {
            return None;
        }
        let rows: Vec<_> = (0..count).map(|_| self.row()).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "event_time",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.0))
                        .with_timezone("UTC"),
                ),
            ),
            (
                "content_id",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1))),
            ),
            (
                "user_id",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2))),
            ),
            (
                "kind",
                Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.3))),
            ),
            (
                "watch_ms",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.4))),
            ),
        ];
        Some(
            RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(n, c)| (n, c, false)),
            )
            .expect("equal lengths"),
        )
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
