//! States larger than what stays in memory: totals of many keys, all in memory, and with a tenth of them there.

use std::path::Path;

use refrain_engine::host::{Host, Project};
use refrain_engine::request::{Request, Response};
use refrain_engine::run::RunOptions;

use crate::events::Events;
use crate::throughput::{BASE_MS, anonymous_mib, append, print_result, run, timed};
use crate::{cpu_seconds, project};

const NODE: &str = "engagement_total";
/// Bytes of one open total, as the cache counts them: key, state, tables.
const TOTAL_BYTES: u64 = 200;

/// Prints rows per CPU-second of totals over `keys` keys, drawn evenly and by Zipf's law, by where their states are.
pub(crate) fn measure(plugins: &Path, rows: u64, keys: u64) {
    for (law, exponent) in [("evenly", 0.0), ("by Zipf's law", 1.0)] {
        println!("{rows} rows over {keys} keys, drawn {law}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = project(folder.path(), plugins, 1, "1s");
        let host = Host::open(project.clone()).expect("the host opens");
        append(&host, Events::over(rows, BASE_MS, keys as usize, exponent));
        drop(host);
        let text = std::fs::read_to_string(project.pipeline_file()).expect("the pipeline file");
        for (what, share) in [
            ("memory", None),
            ("on the disk, room for all", Some(2)),
            ("on the disk, room for a tenth", Some(0)),
        ] {
            let text = share.map_or(text.clone(), |share| {
                let bytes = (keys * TOTAL_BYTES * 10 * share).max(keys * TOTAL_BYTES / 10);
                on_disk(&text, bytes)
            });
            #[expect(clippy::disallowed_methods, reason = "a file of the benchmark")]
            std::fs::write(project.pipeline_file(), text).expect("the pipeline file is written");
            one(&project, what, rows, folder.path());
        }
    }
}

fn on_disk(text: &str, cache_bytes: u64) -> String {
    let node = format!("[node.{NODE}]\n");
    let cached = format!("{node}cache = \"{cache_bytes}B\"\n");
    text.replace(&node, &cached) + "\n[state]\nstore = \"disk\"\ncache = \"16MiB\"\n"
}

fn one(project: &Project, what: &str, rows: u64, folder: &Path) {
    let host = Host::open(project.clone()).expect("the host opens");
    let options = RunOptions {
        once: true,
        nodes: vec![NODE.into()],
        ..RunOptions::default()
    };
    timed(what, rows, || run(&host, &options, folder, rows));
    print_result(&host, NODE);
    if let Response::Status(status) = host.handle(Request::Status) {
        let node = status.nodes.iter().find(|node| node.name == NODE);
        if let Some(cache) = node.and_then(|node| node.cache) {
            println!(
                "    {} states in memory, {} fetched, {} evicted, {} hits",
                cache.slots, cache.fetched, cache.evicted, cache.hits
            );
        }
    }
    drop(host);
    let (cpu, before) = (cpu_seconds(), bytes_read());
    let host = Host::open(project.clone()).expect("the host opens");
    println!(
        "    opened again: {:.3} CPU-s, {} KiB read, {} MiB of anonymous memory",
        cpu_seconds() - cpu,
        (bytes_read() - before) / 1024,
        anonymous_mib()
    );
    host.state().forget(NODE).expect("the node is forgotten");
}

/// Bytes that this process asked the system to read; what it looks at through maps is not among them.
pub(crate) fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}
