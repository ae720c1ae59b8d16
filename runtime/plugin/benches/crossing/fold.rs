//! The fold of plugins/engagement over made-up rows, natively and in an instance, and how long it takes.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use refrain_plugin::{Entries, Input, Instance};

pub(crate) const BATCH_ROWS: usize = 4096;
const BATCHES: usize = 64;
pub(crate) const KEYS: usize = 10_000;
pub(crate) const RUNS: usize = 7;

pub(crate) struct Batch {
    columns: Vec<ArrayRef>,
    slots: Vec<u32>,
}

pub(crate) fn update(fold: &mut Instance, input: Input<'_>, entries: Entries<'_>) {
    let rejects = fold
        .update(input, entries)
        .expect("the plugin takes the rows");
    assert!(rejects.is_empty());
}

pub(crate) fn native(states: &mut [[i64; 4]], input: Input<'_>, entries: Entries<'_>) {
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
pub(crate) fn timed(
    batches: &[Batch],
    rows: usize,
    mut call: impl FnMut(Input<'_>, Entries<'_>),
) -> f64 {
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

/// What the plugin's answers cost, in nanoseconds a slot: evaluate, save, restore.
pub(crate) fn answers(fold: &mut Instance, runs: usize) -> [f64; 3] {
    let slots: Vec<u32> = (0..KEYS as u32).collect();
    let none = Input {
        columns: &[],
        start: 0,
        count: KEYS,
    };
    let mut best = [f64::INFINITY; 3];
    for _ in 0..runs {
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
    best
}

/// CPU time of this thread. The kernel brings it up to date when the thread yields.
pub(crate) fn cpu_ns() -> u64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("it is a number")
}

pub(crate) fn batches() -> Vec<Batch> {
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
