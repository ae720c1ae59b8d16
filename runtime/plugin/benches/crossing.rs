//! What a row costs on its way through a plugin, in nanoseconds of thread CPU time.
//!
//! `cargo bench -p refrain-plugin --bench crossing -- engagement.wasm` takes the component of plugins/engagement.
//! Printed for 1, 256 and 4,096 rows a call: the fold as a loop of this program, a guest that does nothing (the
//! crossing alone), the plugin, and the smallest of several runs of each, taken in turns.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark handles files and measures time"
)]

#[path = "../tests/guests/guest.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod guest;
#[path = "../tests/guests/memory.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod memory;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use refrain_plugin::{Entries, Host, HostOptions, Input, Instance, Limits};

const BATCH_ROWS: usize = 4096;
const BATCHES: usize = 64;
const KEYS: usize = 10_000;
const RUNS: usize = 7;

struct Batch {
    columns: Vec<ArrayRef>,
    slots: Vec<u32>,
}

fn main() {
    let Some(path) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) else {
        println!("crossing: give the path of engagement.wasm");
        return;
    };
    let host = Host::new(HostOptions::default()).expect("the host starts");
    let mut plugin = instance(&host, "engagement", &read(&path));
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
    answers(&mut plugin);
    starts(&read(&path));
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

fn update(fold: &mut Instance, input: Input<'_>, entries: Entries<'_>) {
    let rejects = fold
        .update(input, entries)
        .expect("the plugin takes the rows");
    assert!(rejects.is_empty());
}

fn native(states: &mut [[i64; 4]], input: Input<'_>, entries: Entries<'_>) {
    let kinds = input.columns[0].as_string::<i32>();
    let watched = input.columns[1].as_primitive::<Int64Type>();
    for (i, &slot) in entries.slots.iter().enumerate() {
        let row = input.start + i;
        let state = &mut states[slot as usize];
        match kinds.value(row) {
            "view" => state[0] += 1,
            "like" => state[1] += 1,
            "complete" => state[2] += 1,
            _ => {}
        }
        state[3] = state[3].wrapping_add(watched.value(row));
    }
}

/// Nanoseconds a row over all batches, `rows` a call.
fn timed(batches: &[Batch], rows: usize, mut call: impl FnMut(Input<'_>, Entries<'_>)) -> f64 {
    let wanted = if rows == 1 { 2 } else { batches.len() };
    let start = cpu_ns();
    for batch in &batches[..wanted] {
        for from in (0..BATCH_ROWS).step_by(rows) {
            let input = Input {
                columns: &batch.columns,
                start: from,
                count: rows,
            };
            let slots = &batch.slots[from..from + rows];
            call(input, Entries { rows: &[], slots });
        }
    }
    (cpu_ns() - start) as f64 / (wanted * BATCH_ROWS) as f64
}

/// What the plugin's answers cost a slot.
fn answers(fold: &mut Instance) {
    let slots: Vec<u32> = (0..KEYS as u32).collect();
    let none = Input {
        columns: &[],
        start: 0,
        count: KEYS,
    };
    let mut best = [f64::INFINITY; 3];
    for _ in 0..RUNS {
        let t0 = cpu_ns();
        fold.evaluate(&slots, none).expect("evaluates");
        let t1 = cpu_ns();
        let states = fold.save(&slots).expect("saves");
        let t2 = cpu_ns();
        fold.restore(&slots, &states).expect("restores");
        let t3 = cpu_ns();
        let turns = [t1 - t0, t2 - t1, t3 - t2].map(|ns| ns as f64 / KEYS as f64);
        best = std::array::from_fn(|i| best[i].min(turns[i]));
    }
    println!(
        "{KEYS} slots: evaluate {:.1}, save {:.1}, restore {:.1} ns a slot; {} KiB held",
        best[0],
        best[1],
        best[2],
        fold.memory_bytes() >> 10
    );
}

/// CPU time of this thread. The kernel brings it up to date when the thread yields.
fn cpu_ns() -> u64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("it is a number")
}

fn batches() -> Vec<Batch> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let keys = zipf();
    (0..BATCHES).map(|_| batch(&mut random, &keys)).collect()
}

fn batch(random: &mut Random, keys: &[f64]) -> Batch {
    let kinds: Vec<&str> = (0..BATCH_ROWS)
        .map(|_| match random.unit() {
            p if p < 0.7 => "view",
            p if p < 0.9 => "like",
            _ => "complete",
        })
        .collect();
    let watched: Vec<i64> = (0..BATCH_ROWS)
        .map(|_| (random.unit() * 60_000.0) as i64)
        .collect();
    let slots = (0..BATCH_ROWS)
        .map(|_| {
            let at = random.unit();
            keys.partition_point(|&p| p < at).min(KEYS - 1) as u32
        })
        .collect();
    Batch {
        columns: vec![
            Arc::new(StringArray::from(kinds)),
            Arc::new(Int64Array::from(watched)),
        ],
        slots,
    }
}

/// Cumulative shares of keys by rank.
fn zipf() -> Vec<f64> {
    let total: f64 = (1..=KEYS).map(|rank| 1.0 / rank as f64).sum();
    let mut sum = 0.0;
    (1..=KEYS)
        .map(|rank| {
            sum += 1.0 / rank as f64 / total;
            sum
        })
        .collect()
}

struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
