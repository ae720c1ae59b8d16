//! The engagement workload from append to view, in one process. FOLDER holds `engagement.wasm` and
//! `engagement_total.wasm` (see docs/benchmarks.md).
//!
//! - `engage FOLDER ROWS [WORKERS [PARTITIONS]]`: rows per CPU-second and per second of each stage.
//! - `engage FOLDER latency SECONDS [ROWS_PER_SECOND [INTERVAL]]`: time from the append of a batch to the commit that
//!   shows it, while rows come at a steady rate.
//! - `engage FOLDER cache ROWS KEYS`: totals of many keys, with all states in memory and with a tenth of them there.
//! - `engage FOLDER large ROWS KEYS`: totals of keys that are many times what stays in memory, and opening them.
//! - `engage FOLDER kinds ROWS [WORKERS]`: every kind of node; FOLDER holds the other components of plugins/ as well.
//! - `engage FOLDER metering [ROWS [PAIRS]]`: each stage with and without metering, in turns in one process.
//! - `engage FOLDER whatif ROWS`: what other rhythms would take, as `cost` foretells it, and as it then is.
//! - `engage FOLDER upgrade KEYS`: how long a node of so many states stands still when another component takes over;
//!   FOLDER holds the components of tests/guests/upgrade.
//! - `engage FOLDER replay SECONDS [ROWS_PER_SECOND [INTERVAL]]`: the same without and with replays of the same node.
//! - `engage FOLDER optimize SECONDS [ROWS_PER_SECOND [INTERVAL]]`: the same without and with small frames being merged.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark handles files and measures time"
)]

mod beside;
mod cache;
mod events;
mod kinds;
mod large;
mod latency;
mod metering;
mod throughput;
mod upgrade;
mod whatif;

use std::path::{Path, PathBuf};

use refrain_engine::host::Project;
use refrain_log::heap;

fn main() {
    heap::keep_free(heap::FREE_BYTES);
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [plugins, "latency", seconds, rest @ ..] => latency::measure(
            Path::new(plugins),
            number(seconds),
            rest.first().map_or(50_000, |rate| number(rate)),
            rest.get(1).unwrap_or(&"10ms"),
        ),
        [plugins, "whatif", rows] => whatif::measure(Path::new(plugins), number(rows)),
        [plugins, "upgrade", keys] => upgrade::measure(Path::new(plugins), number(keys)),
        [plugins, "cache", rows, keys] => {
            cache::measure(Path::new(plugins), number(rows), number(keys));
        }
        [plugins, "large", rows, keys] => {
            large::measure(Path::new(plugins), number(rows), number(keys));
        }
        [plugins, "kinds", rows, rest @ ..] => kinds::measure(
            Path::new(plugins),
            number(rows),
            rest.first().map_or(1, |workers| number(workers)),
        ),
        [plugins, "metering", rest @ ..] => metering::measure(
            Path::new(plugins),
            rest.first().map_or(3_000_000, |rows| number(rows)),
            rest.get(1).map_or(12, |pairs| number(pairs)),
        ),
        [plugins, other @ ("replay" | "optimize"), seconds, rest @ ..] => beside::measure(
            Path::new(plugins),
            number(seconds),
            rest.first().map_or(50_000, |rate| number(rate)),
            rest.get(1).unwrap_or(&"10ms"),
            match *other {
                "replay" => beside::Other::Replays,
                _ => beside::Other::Merging,
            },
        ),
        [plugins, rows, rest @ ..] => throughput::measure(
            Path::new(plugins),
            number(rows),
            rest.first().map_or(1, |workers| number(workers)),
            rest.get(1).map_or(1, |partitions| number(partitions)),
        ),
        _ => println!("engage: give the folder with engagement.wasm and the number of rows"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// A project with the topic `events` and the nodes `engagement` and `engagement_total`.
fn project(folder: &Path, plugins: &Path, partitions: u64, interval: &str) -> Project {
    let root: PathBuf = folder.join("project");
    std::fs::create_dir_all(root.join("plugins")).expect("a folder");
    for name in ["engagement", "engagement_total"] {
        std::fs::copy(
            plugins.join(format!("{name}.wasm")),
            root.join(format!("plugins/{name}.wasm")),
        )
        .expect("a component");
    }
    let pipeline = format!(
        r#"
[run]
commit_interval = "{interval}"

[topic.events]
schema = {{ event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }}
time = "event_time"
key = ["content_id"]
partitions = {partitions}
disorder = "5s"

[node.engagement]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = {{ tumbling = "1m", lateness = "10s" }}
view = "engagement"

[node.engagement_total]
plugin = "engagement_total"
input = "events"
key = ["content_id"]
view = "engagement_total"
"#
    );
    #[expect(clippy::disallowed_methods, reason = "a file of the benchmark")]
    std::fs::write(root.join("refrain.toml"), pipeline).expect("the pipeline file is written");
    Project::new(root)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn wall() -> std::time::Instant {
    std::time::Instant::now()
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
