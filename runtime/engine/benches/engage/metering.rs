//! What metering takes: each node over all rows with and without it, in turns in one process, so that what the machine does
//! beside comes to both alike.

use std::path::Path;

use refrain_engine::host::{Host, Project};
use refrain_engine::run::RunOptions;
use refrain_log::meter;

use crate::events::Events;
use crate::throughput::{BASE_MS, append, run};
use crate::{cpu_seconds, project};

/// Metering is to take no more than this part of the work.
const LIMIT: f64 = 0.01;

/// Prints, for each node in both rhythms, the CPU time of each pair, and by how much metering makes it longer.
pub(crate) fn measure(plugins: &Path, rows: u64, pairs: u64) {
    println!(
        "{rows} rows, {pairs} pairs; CPU-s without metering, with it; then the mean by which it is longer with it"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), plugins, 1, "1s");
    let host = Host::open(project.clone()).expect("the host opens");
    append(&host, Events::new(rows, BASE_MS));
    drop(host);
    let mut all = Vec::new();
    for node in ["engagement", "engagement_total"] {
        for once in [true, false] {
            let rhythm = if once { "run --once" } else { "continuous" };
            let one = |paused| stage(&project, folder.path(), (node, once), rows, paused);
            // Compiles, and brings the log into memory.
            let (_, digest) = one(false);
            let mut ratios = Vec::new();
            for pair in 0..pairs.max(1) {
                // Who comes second has warmer caches: by turns the one and the other.
                let first_without = pair % 2 == 0;
                let (a, b) = (one(first_without), one(!first_without));
                let (without, with) = if first_without { (a, b) } else { (b, a) };
                assert_eq!(
                    (without.1, with.1),
                    (digest, digest),
                    "metering changes no digest"
                );
                println!("    {:.3} {:.3}", without.0, with.0);
                ratios.push(with.0 / without.0 - 1.0);
            }
            println!("{rhythm} {node}: {}", Sum::of(&mut ratios).told());
            all.extend(ratios);
        }
    }
    println!("all pairs: {}", Sum::of(&mut all).told());
}

/// CPU time of a node over all rows, and the digest of its view.
fn stage(
    project: &Project,
    folder: &Path,
    (node, once): (&str, bool),
    rows: u64,
    paused: bool,
) -> (f64, u128) {
    let host = Host::open(project.clone()).expect("the host opens");
    let options = RunOptions {
        once,
        workers: 1,
        nodes: vec![node.into()],
        ..RunOptions::default()
    };
    meter::pause(paused);
    let before = cpu_seconds();
    run(&host, &options, folder, rows);
    let took = cpu_seconds() - before;
    meter::pause(false);
    let views = host.state().views();
    let view = views.iter().find(|v| v.spec().name == node);
    let digest = view.expect("the node keeps it").state().digest;
    host.state().forget(node).expect("the node is forgotten");
    (took, digest)
}

/// What pairs come to.
struct Sum {
    median: f64,
    mean: f64,
    /// The mean of many such measurements lies so far from this one at most, in 95 of 100 cases.
    give: f64,
    least: f64,
    most: f64,
}

impl Sum {
    /// Of the ratios of pairs, less one.
    fn of(ratios: &mut [f64]) -> Sum {
        ratios.sort_by(f64::total_cmp);
        let count = ratios.len().max(1) as f64;
        let mean = ratios.iter().sum::<f64>() / count;
        let squares: f64 = ratios.iter().map(|r| (r - mean).powi(2)).sum();
        let error = (squares / (count - 1.0).max(1.0) / count).sqrt();
        Sum {
            median: (ratios[ratios.len() / 2] + ratios[(ratios.len() - 1) / 2]) / 2.0,
            mean,
            give: 2.0 * error,
            least: ratios[0],
            most: ratios[ratios.len() - 1],
        }
    }

    /// All of it in percent, and what it says about the limit.
    fn told(&self) -> String {
        let verdict = match () {
            () if self.mean + self.give < LIMIT => "below 1 %",
            () if self.mean - self.give > LIMIT => "ABOVE 1 %",
            () => "not decided: more pairs, or a quieter machine",
        };
        format!(
            "{:+.2} % ± {:.2} (median {:+.2}, pairs from {:+.2} to {:+.2}): {verdict}",
            self.mean * 100.0,
            self.give * 100.0,
            self.median * 100.0,
            self.least * 100.0,
            self.most * 100.0
        )
    }
}
