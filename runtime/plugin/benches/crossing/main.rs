//! What a row costs on its way through a plugin, in nanoseconds of thread CPU time: the smallest of several runs, taken in
//! turns.
//!
//! - `crossing engagement.wasm`, the component of plugins/engagement, for 1, 256 and 4,096 rows a call: the fold as a loop of
//!   this program, a guest that does nothing (the crossing alone), the plugin.
//! - `crossing languages [NAME..]`: the table of docs/languages.md, of the languages whose compilers are here, or of these.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark handles files and measures time"
)]

mod fold;
#[path = "../../tests/guests/guest.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod guest;
mod languages;
#[path = "../../tests/guests/memory.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod memory;

use refrain_plugin::{Host, HostOptions, Instance, Limits};

use self::fold::{KEYS, RUNS, answers, batches, cpu_ns, native, timed, update};

fn main() {
    let words = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let words: Vec<String> = words.collect();
    match &words[..] {
        [] => println!("crossing: give the path of engagement.wasm, or `languages`"),
        [first, names @ ..] if first == "languages" => languages::table(names),
        [path, ..] => one(path),
    }
}

/// What a row costs in a call of each size.
fn one(path: &str) {
    let host = Host::new(HostOptions::default()).expect("the host starts");
    let mut plugin = instance(&host, "engagement", &read(path));
    let mut nothing = instance(&host, "nothing", &nothing());
    let batches = batches();
    println!("rows a call   native   crossing   plugin    ns a row");
    for rows in [1, 256, 4096] {
        let mut best = [f64::INFINITY; 3];
        for _ in 0..RUNS {
            let mut states = vec![[0i64; 4]; KEYS];
            let turns = [
                timed(&batches, rows, |input, entries| {
                    native(&mut states, input, entries)
                }),
                timed(&batches, rows, |input, entries| {
                    update(&mut nothing, input, entries)
                }),
                timed(&batches, rows, |input, entries| {
                    update(&mut plugin, input, entries)
                }),
            ];
            best = std::array::from_fn(|i| best[i].min(turns[i]));
            std::hint::black_box(&states);
        }
        println!(
            "{rows:>11} {:>8.1} {:>10.1} {:>8.1}",
            best[0], best[1], best[2]
        );
    }
    let [evaluate, save, restore] = answers(&mut plugin, RUNS);
    println!(
        "{KEYS} slots: evaluate {evaluate:.1}, save {save:.1}, restore {restore:.1} ns a slot; {} KiB held",
        plugin.memory_bytes() >> 10
    );
    starts(&read(path));
}

/// What it costs to begin.
fn starts(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for compiled code");
    let mut times = [0; 4];
    let mut timed = |i: usize, start: u64| times[i] = (cpu_ns() - start) / 1000;
    for i in 1..3 {
        let start = cpu_ns();
        let options = HostOptions {
            cache: Some(folder.path().to_owned()),
            ..HostOptions::default()
        };
        let host = Host::new(options).expect("the host starts");
        timed(0, start);
        let start = cpu_ns();
        let plugin = host.load("engagement", bytes).expect("the plugin loads");
        timed(i, start);
        let start = cpu_ns();
        for _ in 0..100 {
            plugin
                .instantiate(&[], Limits::default())
                .expect("the plugin starts");
        }
        timed(3, start);
    }
    println!(
        "host {} us, load {} us in this thread when compiled, {} us from the cache, instance {:.1} us",
        times[0],
        times[1],
        times[2],
        times[3] as f64 / 100.0
    );
}

fn instance(host: &Host, name: &str, bytes: &[u8]) -> Instance {
    let plugin = host.load(name, bytes).expect("the plugin loads");
    plugin
        .instantiate(&[], Limits::default())
        .expect("the plugin starts")
}

#[expect(
    clippy::disallowed_methods,
    reason = "reads the component that the user names"
)]
fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).expect("the component can be read")
}

/// A fold over engagement's fields that looks at nothing.
fn nothing() -> Vec<u8> {
    let said = memory::Description {
        name: "nothing",
        inputs: vec![("kind", "text", false), ("watch_ms", "i64", false)],
        outputs: vec![],
        wants_keys: false,
        settings: vec![],
    };
    guest::Guest::fold(&said)
        .answer("update", |memory| memory.updated(&[]))
        .build()
}
