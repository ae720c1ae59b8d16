//! The oracle: whatever the rhythm, the call size, the number of workers and the order of sittings, a host says exactly
//! what a straightforward model says that takes the rows one by one in log order.
//!
//! `REFRAIN_CASES` is the number of random cases. A failing case prints its seed; `REFRAIN_SEED=<seed>` runs it alone.

#![allow(clippy::disallowed_methods, reason = "tests handle files of their own")]
#![expect(clippy::unwrap_used, unreachable_pub, reason = "modules of one test")]

mod accidents;
mod beginnings;
mod compare;
mod graduation;
mod graph;
mod graphs;
mod guests;
mod home;
mod inputs;
mod model;
mod process;
mod processes;
mod producers;
mod program;
mod random;
mod rhythm;
mod scenes;
mod segments;
mod value;
mod versions;
mod windows;

use refrain_engine::run::RunOptions;

use compare::{Seen, compare};
use graduation::Changes;
use home::{Home, run_meanwhile, run_once};
use random::{Case, Dice, Rows, Step};

/// Random cases when `REFRAIN_CASES` says nothing.
const CASES: u64 = 120;
const SEED: u64 = 20_261_122_000;

#[test]
fn every_way_to_run_says_what_the_model_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("REFRAIN_SEED") {
        Some(seed) => vec![seed],
        None => (SEED..SEED + number("REFRAIN_CASES").unwrap_or(CASES)).collect(),
    };
    let mut seen = Seen::default();
    for seed in &seeds {
        let ran = std::panic::catch_unwind(|| run_case(*seed));
        match ran {
            Ok(of_case) => seen.add(of_case),
            Err(_) => {
                let case = random::case(*seed);
                panic!(
                    "case {seed} failed (above). Again: REFRAIN_SEED={seed} cargo nextest run --release --workspace \
                     -E 'test(every_way_to_run)' --no-capture\n{}\n{:#?}",
                    case.graph.text(),
                    case.steps
                );
            }
        }
    }
    println!("{} cases: {seen:?}", seeds.len());
    if seeds.len() > 50 {
        let each = [
            seen.rows,
            seen.finals,
            seen.late,
            seen.rejected,
            seen.derived,
            seen.sliding,
            seen.missed,
            seen.sessions,
            seen.merged,
            seen.counted,
            seen.gone,
            seen.fired,
            seen.fetched,
            seen.keys_fetched,
            seen.graduated,
            seen.cuts,
            seen.faults,
            seen.optimized,
        ];
        assert!(
            each.iter().all(|n| *n > 20),
            "the cases are too tame: {seen:?}"
        );
    }
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.rows += other.rows;
        self.finals += other.finals;
        self.late += other.late;
        self.rejected += other.rejected;
        self.derived += other.derived;
        self.sliding += other.sliding;
        self.missed += other.missed;
        self.sessions += other.sessions;
        self.merged += other.merged;
        self.counted += other.counted;
        self.gone += other.gone;
        self.fired += other.fired;
        self.fetched += other.fetched;
        self.keys_fetched += other.keys_fetched;
        self.graduated += other.graduated;
        self.cuts += other.cuts;
        self.faults += other.faults;
        self.optimized += other.optimized;
    }
}

fn run_case(seed: u64) -> Seen {
    let Case {
        graph,
        steps,
        rows,
        on_disk,
    } = random::case(seed);
    let mut rows = Rows::new(seed, rows, graph.source.fields.clone());
    let mut home = Home::new(graph, on_disk);
    let mut host = Some(home.open());
    let mut seen = Seen::default();
    let mut dice = Dice::new(seed ^ 0x5e61);
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append(sizes) => {
                let host = host.as_ref().unwrap();
                append_all(&mut home, host, &mut rows, &sizes);
            }
            Step::Wait(us) => home.wait(us),
            Step::Accident(accident) => {
                let before = host.take().unwrap();
                host = Some(accident.happen(&mut home, before, &mut rows, &mut seen));
            }
            Step::Forget { derived } => {
                drop(host.take());
                home.forget(derived);
                host = Some(home.open());
            }
            Step::Run {
                rhythm,
                workers,
                call_rows,
                drop_instances,
                meanwhile,
                cache,
                reopen,
            } => {
                let mut changed = home.graph.cache != cache;
                home.graph.cache = cache;
                for (place, node) in home.graph.nodes.iter_mut().enumerate() {
                    let rhythm = own_rhythm(rhythm, place + call_rows);
                    changed |= node.call_rows != call_rows || node.rhythm != rhythm;
                    node.call_rows = call_rows;
                    node.rhythm = rhythm.into();
                }
                if changed || reopen {
                    drop(host.take());
                    host = Some(home.open());
                }
                let host = host.as_ref().unwrap();
                let options = RunOptions {
                    once: rhythm == "once",
                    workers,
                    drop_instances,
                    optimize_after: segments::OPTIMIZE_AFTER,
                    ..RunOptions::default()
                };
                let report = match rhythm {
                    "once" => {
                        let report = run_once(host, &options);
                        append_all(&mut home, host, &mut rows, &meanwhile);
                        report
                    }
                    _ => {
                        let mut changes = Changes::new(seed + number as u64);
                        let report = run_meanwhile(host, &options, || {
                            for size in &meanwhile {
                                changes.some(&home.graph, host);
                                append_all(&mut home, host, &mut rows, &[*size]);
                                shape(host, &mut dice);
                            }
                            changes.back(&home.graph, host);
                        });
                        seen.graduated += changes.count;
                        report
                    }
                };
                assert!(report.stopped.is_empty(), "stopped: {:?}", report.stopped);
                compare(&home, host, &mut seen);
                shape(host, &mut dice);
            }
        }
    }
    seen.optimized += host.as_ref().map_or(0, segments::merged);
    seen
}

/// Some segments end, and some are encoded anew.
fn shape(host: &refrain_engine::host::Host, dice: &mut Dice) {
    if dice.one_in(2) {
        segments::end_some(host, dice);
    }
    if dice.one_in(3) {
        segments::optimize(host);
    }
}

/// The rhythm of a node in a run that does not end by itself: every other one has the other rhythm.
fn own_rhythm(of_run: &'static str, place: usize) -> &'static str {
    match (of_run, place % 2) {
        ("continuous", 1) => "every 10ms",
        ("every 10ms", 1) => "continuous",
        _ => of_run,
    }
}

fn append_all(
    home: &mut Home,
    host: &refrain_engine::host::Host,
    rows: &mut Rows,
    sizes: &[usize],
) {
    for size in sizes {
        let batch: Vec<_> = (0..*size).map(|_| rows.row()).collect();
        home.append(host, &batch);
        home.wait(size.cast_signed() as i64 * 1000);
    }
}

/// Builds the guests of tests/guests/oracle again; with `REFRAIN_KEEP_GUESTS` set they take the place of the committed.
#[test]
#[ignore = "needs a guest toolchain"]
fn build_the_guests() {
    let cache = refrain_plugin::build::default_cache();
    let folder = tempfile::tempdir().unwrap();
    let place = match std::env::var_os("REFRAIN_KEEP_GUESTS") {
        Some(_) => home::guests(),
        None => folder.path().to_owned(),
    };
    for name in ["oracle", "oracle_transform", "oracle_process"] {
        let package = home::guests().join("..").join(name);
        let out = place.join(format!("{name}.wasm"));
        refrain_plugin::build::build_plugin(&package, &out, &cache, &mut |line| println!("{line}"))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
