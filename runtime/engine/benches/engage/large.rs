//! States and a view many times what may stay in memory: totals of keys drawn evenly, part after part, with a host opened
//! anew for each. Whether it keeps going shows in the rates of the later parts, and that opening does not read it all in what
//! opening took.

use std::path::Path;

use refrain_engine::host::{Host, Project};
use refrain_engine::request::{Request, Response};
use refrain_engine::run::RunOptions;

use crate::cache::bytes_read;
use crate::events::Events;
use crate::throughput::{BASE_MS, anonymous_mib, append, print_result, run, timed};
use crate::{cpu_seconds, project, wall};

const NODE: &str = "engagement_total";
const PARTS: u64 = 5;
const HOUR_MS: i64 = 3_600_000;
/// Bytes of the block cache for each key, and of open states: together a tenth of what a key has on the disk, about.
const CACHE_BYTES: u64 = 12;
const OPEN_BYTES: u64 = 12;

/// Prints what opening takes, and rows per CPU-second, for each part.
pub(crate) fn measure(plugins: &Path, rows: u64, keys: u64) {
    println!("{rows} rows over {keys} keys in {PARTS} parts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), plugins, 1, "1s");
    let text = std::fs::read_to_string(project.pipeline_file()).expect("the pipeline file");
    let node = format!("[node.{NODE}]\n");
    let cached = format!("{node}cache = \"{}B\"\n", keys * OPEN_BYTES);
    let cache = (keys * CACHE_BYTES).max(1 << 20);
    let text = text.replace(&node, &cached)
        + &format!("\n[state]\nstore = \"disk\"\ncache = \"{cache}B\"\n");
    #[expect(clippy::disallowed_methods, reason = "a file of the benchmark")]
    std::fs::write(project.pipeline_file(), text).expect("the pipeline file is written");
    let part_rows = rows / PARTS;
    for part in 0..PARTS {
        let host = opened(&project);
        let base_ms = BASE_MS + part as i64 * HOUR_MS;
        append(
            &host,
            Events::seeded(part, part_rows, base_ms, keys as usize, 0.0),
        );
        let options = RunOptions {
            once: true,
            nodes: vec![NODE.into()],
            ..RunOptions::default()
        };
        let what = format!("part {}", part + 1);
        timed(&what, part_rows, || {
            run(&host, &options, folder.path(), part_rows)
        });
        print_result(&host, NODE);
        if let Response::Status(status) = host.handle(Request::Status) {
            let mib = |bytes: u64| bytes >> 20;
            println!(
                "    {} MiB on the disk, {} MiB of cache, {} MiB of open states",
                mib(status.state_bytes),
                mib(cache),
                mib(keys * OPEN_BYTES)
            );
        }
    }
    drop(opened(&project));
}

fn opened(project: &Project) -> Host {
    let (cpu, before, began) = (cpu_seconds(), bytes_read(), wall());
    let host = Host::open(project.clone()).expect("the host opens");
    println!(
        "opened: {:.3} CPU-s, {:.3} s, {} KiB read, {} MiB of anonymous memory",
        cpu_seconds() - cpu,
        began.elapsed().as_secs_f64(),
        (bytes_read() - before) / 1024,
        anonymous_mib()
    );
    host
}
