//! How long a node stands still when another component takes over its states: drain, states tried out or migrated, one
//! commit, and on. FOLDER holds `first.wasm`, `fixed.wasm` (the same states) and `second.wasm` (which migrates them).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use refrain_engine::host::{Host, Project};
use refrain_engine::run::RunOptions;
use refrain_engine::upgrade::UpgradeOrder;
use refrain_log::ids::Sequence;
use refrain_log::log::Append;

use crate::wall;

const NODE: &str = "total";
const BATCH_ROWS: u64 = 65_536;
const GLANCE: Duration = Duration::from_micros(200);
/// Time between two rows while the node is upgraded.
const STEP: Duration = Duration::from_millis(5);
const BASE_US: i64 = 1_700_000_000_000_000;
const PIPELINE: &str = r#"[topic.events]
schema = { at = "timestamp", id = "i64", amount = "i64" }
time = "at"
key = ["id"]

[node.total]
plugin = "first"
input = "events"
key = ["id"]
view = "total"

[run]
commit_interval = "10ms"
"#;

/// What is upgraded to, one after another; back where there is nothing.
const STEPS: [(&str, Option<&str>); 4] = [
    ("the same states", Some("fixed")),
    ("and back", None),
    ("the same states", Some("fixed")),
    ("migrated states", Some("second")),
];

/// Prints how long each upgrade of `keys` states took, and for how long nobody saw a commit.
pub(crate) fn measure(plugins: &Path, keys: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = Host::open(project(folder.path(), plugins)).expect("the host opens");
    for from in (0..keys).step_by(BATCH_ROWS as usize) {
        append(&host, from..keys.min(from + BATCH_ROWS));
    }
    let cache = folder.path().join("cache");
    println!("{keys} states; a row every {STEP:?}, commit interval 10 ms");
    std::thread::scope(|scope| {
        let host = &host;
        let over = Arc::new(AtomicBool::new(false));
        let longest = Arc::new(AtomicU64::new(0));
        let run = scope.spawn(move || host.run(&RunOptions::default(), Some(cache)));
        while cut(host) < host.log().durable() {
            std::thread::sleep(GLANCE);
        }
        {
            let over = Arc::clone(&over);
            scope.spawn(move || {
                for id in (0..keys).cycle() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    append(host, id..id + 1);
                    std::thread::sleep(STEP);
                }
            });
        }
        {
            let (over, longest) = (Arc::clone(&over), Arc::clone(&longest));
            scope.spawn(move || watch(host, &over, &longest));
        }
        for (what, component) in STEPS {
            std::thread::sleep(STEP * 100);
            longest.store(0, Ordering::Relaxed);
            let began = wall();
            let order = UpgradeOrder {
                name: NODE.into(),
                component: component.map(|name| (name.to_owned(), read(plugins, name))),
                back: component.is_none(),
            };
            let done = host.upgrade(&order).expect("the component takes over");
            let took = began.elapsed();
            // Until it has gone on.
            let upgraded = host.log().durable();
            while cut(host) <= upgraded {
                std::thread::sleep(GLANCE);
            }
            std::thread::sleep(STEP * 10);
            println!(
                "    {what:<16} {:>9} states, pause {:>8.1} ms, no commit for {:>8.1} ms, command {:>8.1} ms",
                done.states,
                done.pause_us.unwrap_or(0) as f64 / 1e3,
                longest.load(Ordering::Relaxed) as f64 / 1e3,
                took.as_secs_f64() * 1e3
            );
        }
        over.store(true, Ordering::Relaxed);
        host.stopper().stop();
        let report = run.join().expect("no panic").expect("the run ends");
        assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    });
}

/// Keeps the longest time between two commits, in microseconds.
fn watch(host: &Host, over: &AtomicBool, longest: &AtomicU64) {
    let mut last: (Sequence, Instant) = (cut(host), wall());
    while !over.load(Ordering::Relaxed) {
        let now = cut(host);
        if now > last.0 {
            longest.fetch_max(last.1.elapsed().as_micros() as u64, Ordering::Relaxed);
            last = (now, wall());
        }
        std::thread::sleep(GLANCE);
    }
}

fn cut(host: &Host) -> Sequence {
    host.state().node(NODE).map_or(Sequence(0), |last| last.cut)
}

fn append(host: &Host, ids: std::ops::Range<u64>) {
    let rows = ids.end - ids.start;
    let times = (0..rows).map(|i| BASE_US + i as i64);
    let columns: [(&str, ArrayRef); 3] = [
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        ),
        (
            "id",
            Arc::new(Int64Array::from_iter_values(ids.map(|id| id as i64))),
        ),
        ("amount", Arc::new(Int64Array::from(vec![1; rows as usize]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let append = Append {
        topic: "events".into(),
        rows,
        row_numbers: Vec::new(),
        input: "generated".into(),
        undecoded: Vec::new(),
        producer: None,
    };
    host.log().append(append).expect("the log takes rows");
}

fn project(folder: &Path, plugins: &Path) -> Project {
    let root = folder.join("project");
    std::fs::create_dir_all(root.join("plugins")).expect("a folder");
    std::fs::copy(plugins.join("first.wasm"), root.join("plugins/first.wasm"))
        .expect("a component");
    #[expect(clippy::disallowed_methods, reason = "a file of the benchmark")]
    std::fs::write(root.join("refrain.toml"), PIPELINE).expect("the pipeline file is written");
    Project::new(root)
}

fn read(plugins: &Path, name: &str) -> Vec<u8> {
    std::fs::read(plugins.join(format!("{name}.wasm"))).expect("a component")
}
