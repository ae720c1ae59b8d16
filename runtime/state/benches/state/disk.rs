//! States and view rows on the disk, many times the cache: commits over keys drawn evenly, each of whose states is looked up
//! before, as a node does whose states are not in memory; then opening.

use std::time::Instant;

use refrain_state::commit::StateOptions;
use refrain_state::store::{Spans, StoreOptions};

use super::*;

/// Keys of one commit.
const COMMIT_KEYS: u64 = 50_000;
/// So many times as many rows as keys are committed.
const ROUNDS: u64 = 2;
/// Bytes of a key with its state, and of a row.
const CHANGED_BYTES: u64 = 8 + 24 + 7 * 8;
/// Commits are told in so many parts.
const PARTS: u64 = 5;

/// Prints what a key takes, part after part, and what opening takes.
pub(crate) fn measure(keys: u64, cache_bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let options = StateOptions {
            store: StoreOptions::Disk {
                folder: folder.path().join("store"),
                cache_bytes,
            },
            ..StateOptions::default()
        };
        let storage = Arc::new(DiskStorage);
        let path = folder.path().join("commits");
        let opened = State::open_with(storage, Arc::new(SystemClock), path, options);
        opened.unwrap().0
    };
    let state = open();
    state.declare_view(spec()).unwrap();
    let mut random = 42_u64;
    let commits = keys * ROUNDS / COMMIT_KEYS;
    let mut cut = 0;
    for part in 0..PARTS {
        let (cpu, wall, written) = (process_cpu(), Instant::now(), bytes_written());
        let mut looked = Duration::ZERO;
        for _ in 0..commits / PARTS {
            let mut drawn: Vec<u64> = (0..COMMIT_KEYS).map(|_| draw(&mut random) % keys).collect();
            drawn.sort_unstable_by_key(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            drawn.dedup();
            let mut asked = Spans::default();
            drawn.iter().for_each(|key| asked.push(&key.to_be_bytes()));
            let start = Cpu::now();
            let found = state.task_reader("engage", 0).lookup(&asked).unwrap();
            looked += start.elapsed();
            cut += 1;
            let counts = found
                .iter()
                .map(|state| state.as_deref().map_or(0, |state| state[0]));
            let counts: Vec<u8> = counts.map(|count| count.wrapping_add(1)).collect();
            state.commit(vec![changed(cut, &drawn, &counts)]).unwrap();
        }
        let rows = commits / PARTS * COMMIT_KEYS;
        println!(
            "part {}: {:.1} ns of CPU a key (looking up {:.1}), {:.1} ns of wall time, {:.1} bytes written (commit log and store) for one changed; {} rows, {} MiB, {} MiB of anonymous memory",
            part + 1,
            (process_cpu() - cpu).as_nanos() as f64 / rows as f64,
            looked.as_nanos() as f64 / rows as f64,
            wall.elapsed().as_nanos() as f64 / rows as f64,
            (bytes_written() - written) as f64 / (rows * CHANGED_BYTES) as f64,
            state.view("engage").unwrap().state().rows,
            state.bytes() >> 20,
            anonymous_mib(),
        );
    }
    let digest = state.view("engage").unwrap().state().digest;
    drop(state);
    let (cpu, wall) = (process_cpu(), Instant::now());
    let state = open();
    println!(
        "opening: {:.1?} of CPU, {:.1?}, {} MiB of anonymous memory",
        process_cpu() - cpu,
        wall.elapsed(),
        anonymous_mib()
    );
    assert_eq!(state.view("engage").unwrap().state().digest, digest);
}

/// States and rows of these keys.
fn changed(cut: u64, keys: &[u64], counts: &[u8]) -> NodeCommit {
    let mut states = StateChanges::default();
    for (key, count) in keys.iter().zip(counts) {
        states.put_keys.push(&key.to_be_bytes());
        states.put_states.push(&[*count; 24]);
    }
    let ints = |factor: i64| {
        let values = keys.iter().zip(counts);
        let values = values.map(|(key, count)| *key as i64 * factor + i64::from(*count));
        Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
    };
    let ids = Int64Array::from_iter_values(keys.iter().map(|key| *key as i64));
    let start = TimestampMicrosecondArray::from(vec![0; keys.len()]).with_timezone("UTC");
    let rates = Float64Array::from_iter_values(counts.iter().map(|count| f64::from(*count) / 7.0));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids),
        Arc::new(start),
        ints(3),
        ints(5),
        ints(7),
        ints(1100),
        Arc::new(rates),
    ];
    let rows = ViewChanges {
        finals: BooleanBuffer::new_unset(keys.len()),
        rows: RecordBatch::try_new(engage().arrow(), columns).unwrap(),
        deletes: None,
    };
    commit("engage", cut, states, Some(rows))
}

fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// CPU time of all threads of the process.
fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Bytes that this process asked the system to write.
fn bytes_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar:"));
    line.unwrap().trim().parse().unwrap()
}

fn anonymous_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() / 1024
}
