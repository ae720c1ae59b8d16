//! The table of docs/languages.md: the example `engagement` of each language, built, compiled and run here.
//!
//! Wall time for what an author waits for (a build of the same source again, the compilation of the component), thread CPU time
//! for rows and states. Languages are measured in turns.

use std::path::{Path, PathBuf};
use std::time::Instant;

use refrain_plugin::build::{Language, Talk, build_component, default_cache, examine};
use refrain_plugin::{Host, HostOptions, Instance, Limits, Plugin};

use crate::fold::{KEYS, RUNS, answers, batches, cpu_ns, native, timed, update};

/// Rows of a call.
const CALL_ROWS: usize = 4096;
/// Batches that a language takes in a turn when a row costs it this much, in nanoseconds.
const SLOW: (f64, usize) = (500.0, 4);

/// One line.
struct Line {
    language: Language,
    component_bytes: usize,
    build_ms: u128,
    compile_ms: u128,
    start_us: u64,
    instance: Instance,
    update_ns: f64,
    states_ns: [f64; 3],
}

/// Prints the table for these languages, or for all that can be built here.
pub(crate) fn table(names: &[String]) {
    let wanted: Vec<Language> = examine(&default_cache())
        .iter()
        .filter(|check| check.ready || check.fetches)
        .map(|check| check.language)
        .filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == name))
        .map(|name| name.parse().expect("a language that was examined"))
        .collect();
    let mut lines: Vec<Line> = wanted.into_iter().map(begin).collect();
    let host_ns = measure(&mut lines);
    print(&lines, host_ns);
}

fn begin(language: Language) -> Line {
    let package = example(language);
    let build = || {
        let say = &mut |line: &str| eprintln!("{line}");
        build_component(&package, Talk::Silent, &default_cache(), say).expect("the example builds")
    };
    build();
    let start = Instant::now();
    let component = build();
    let build_ms = start.elapsed().as_millis();
    let start = Instant::now();
    let host = Host::new(HostOptions::default()).expect("the host starts");
    let plugin = host
        .load(language.name(), &component)
        .expect("the plugin loads");
    let compile_ms = start.elapsed().as_millis();
    Line {
        language,
        component_bytes: component.len(),
        build_ms,
        compile_ms,
        start_us: start_us(&plugin),
        instance: instance(&plugin),
        update_ns: f64::INFINITY,
        states_ns: [f64::INFINITY; 3],
    }
}

fn example(language: Language) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match language {
        Language::Rust => repository.join("plugins/engagement"),
        other => repository.join(format!("plugin-sdk/{}/engagement", other.name())),
    }
}

fn instance(plugin: &Plugin) -> Instance {
    plugin
        .instantiate(&[], Limits::default())
        .expect("the plugin starts")
}

fn start_us(plugin: &Plugin) -> u64 {
    const STARTS: u64 = 20;
    let start = cpu_ns();
    for _ in 0..STARTS {
        instance(plugin);
    }
    (cpu_ns() - start) / STARTS / 1000
}

/// Takes rows through all of them by turns; nanoseconds a row of the same loop in this program.
fn measure(lines: &mut [Line]) -> f64 {
    let batches = batches();
    let mut host_ns = f64::INFINITY;
    for _ in 0..RUNS {
        let mut states = vec![[0i64; 4]; KEYS];
        let turn = timed(&batches, CALL_ROWS, |input, entries| {
            native(&mut states, input, entries);
        });
        host_ns = host_ns.min(turn);
        for line in &mut *lines {
            let wanted = if line.update_ns < SLOW.0 || line.update_ns.is_infinite() {
                &batches[..]
            } else {
                &batches[..SLOW.1]
            };
            let turn = timed(wanted, CALL_ROWS, |input, entries| {
                update(&mut line.instance, input, entries);
            });
            line.update_ns = line.update_ns.min(turn);
            let turn = answers(&mut line.instance, 1);
            line.states_ns = std::array::from_fn(|i| line.states_ns[i].min(turn[i]));
        }
    }
    host_ns
}

fn print(lines: &[Line], host_ns: f64) {
    let rust_ns = lines
        .iter()
        .find(|line| line.language == Language::Rust)
        .map_or(f64::NAN, |line| line.update_ns);
    println!(
        "| language | component | build again | compile | instance | update, ns a row | M rows/s | against Rust | evaluate, save, restore, ns a slot | memory |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| the same loop in the host | | | | | {host_ns:.1} | {:.2} | {:.2} | | |",
        1e3 / host_ns,
        host_ns / rust_ns
    );
    for line in lines {
        let [evaluate, save, restore] = line.states_ns;
        println!(
            "| {} | {} KiB | {:.1} s | {:.2} s | {} µs | {:.1} | {:.2} | {:.1} | {evaluate:.0}, {save:.0}, {restore:.0} | {:.1} MiB |",
            line.language.title(),
            line.component_bytes.div_ceil(1024),
            line.build_ms as f64 / 1e3,
            line.compile_ms as f64 / 1e3,
            line.start_us,
            line.update_ns,
            1e3 / line.update_ns,
            line.update_ns / rust_ns,
            line.instance.memory_bytes() as f64 / f64::from(1 << 20),
        );
    }
}
