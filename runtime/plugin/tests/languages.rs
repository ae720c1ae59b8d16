//! The contract from several languages: the same rows give the same view rows, whatever the guest is written in and
//! however often its states are saved, released and restored. Guests: plugins/engagement (Rust), tests/guests.

#![allow(clippy::disallowed_methods, reason = "tests handle files of their own")]
#![expect(clippy::unwrap_used, reason = "a test file")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use refrain_plugin::{Entries, Host, HostOptions, Input, Instance, Limits};

const KINDS: [&str; 6] = ["view", "like", "complete", "share", "", "views"];
const SLOTS: u32 = 50;

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests")
}

fn load(host: &Host, path: &Path) -> Instance {
    #[expect(clippy::disallowed_methods, reason = "a component of the test")]
    let bytes = std::fs::read(path).unwrap();
    let plugin = host.load("engagement", &bytes).unwrap();
    plugin.instantiate(&[], Limits::default()).unwrap()
}

/// A small generator; its seed is the batch.
fn next(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

fn columns(seed: &mut u64, count: usize) -> Vec<ArrayRef> {
    let kinds: Vec<&str> = (0..count)
        .map(|_| KINDS[next(seed) as usize % KINDS.len()])
        .collect();
    let watch: Vec<i64> = (0..count)
        .map(|_| next(seed) as i64 % 100_000 - 50_000)
        .collect();
    vec![
        Arc::new(StringArray::from(kinds)),
        Arc::new(Int64Array::from(watch)),
    ]
}

/// Some rows into one or two slots each, others into none.
fn entries(seed: &mut u64, count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut entries = (Vec::new(), Vec::new());
    for row in 0..count as u32 {
        let first = next(seed) as u32 % SLOTS;
        for slot in 0..next(seed) as u32 % 3 {
            entries.0.push(row);
            entries.1.push((first + slot) % SLOTS);
        }
    }
    entries
}

/// Feeds batches, moving the states out and back in between, and returns what the view would show.
fn feed(instance: &mut Instance) -> Vec<ArrayRef> {
    let all: Vec<u32> = (0..SLOTS).collect();
    let mut seed = 7;
    for count in [1, 7, 300, 64] {
        let batch = columns(&mut seed, count);
        let input = Input {
            columns: &batch,
            start: 0,
            count,
        };
        let (rows, slots) = entries(&mut seed, count);
        let entries = Entries {
            rows: &rows,
            slots: &slots,
        };
        assert!(instance.update(input, entries).unwrap().is_empty());
        let each: Vec<u32> = (0..count).map(|_| next(&mut seed) as u32 % SLOTS).collect();
        instance
            .update(
                input,
                Entries {
                    rows: &[],
                    slots: &each,
                },
            )
            .unwrap();
        let states = instance.save(&all).unwrap();
        instance.release(&all).unwrap();
        instance.restore(&all, &states).unwrap();
    }
    let keys = Input {
        columns: &[],
        start: 0,
        count: all.len(),
    };
    instance.evaluate(&all, keys).unwrap().columns
}

fn expect_equal(one: &[ArrayRef], other: &[ArrayRef]) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one.to_data(), other.to_data());
    }
}

#[test]
#[ignore = "compiles plugins/engagement: half a minute the first time"]
fn c_and_rust_agree() {
    let host = Host::new(HostOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let package = guests().join("../../plugins/engagement");
    let out = folder.path().join("engagement.wasm");
    let cache = refrain_plugin::build::default_cache();
    refrain_plugin::build::build_plugin(&package, &out, &cache, &mut |_| {}).unwrap();
    let rust = feed(&mut load(&host, &out));
    let c = feed(&mut load(&host, &guests().join("c/engagement_c.wasm")));
    expect_equal(&rust, &c);
}
