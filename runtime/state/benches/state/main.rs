//! What state costs, in ns of this thread's CPU time per row (waiting for the disk is not in it), and the longest commit in
//! wall time: `cargo bench -p refrain-state`. `state disk KEYS CACHE_MIB`: states and view rows on the disk.
#![expect(
    clippy::disallowed_methods,
    reason = "durations are measured for people"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at any surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::BooleanBuffer;
use refrain_log::clock::SystemClock;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::storage::DiskStorage;
use refrain_state::commit::{Lineage, NodeCommit, State, TaskChanges};
use refrain_state::digest::row_hashes;
use refrain_state::store::{MemoryStore, StateChanges, Store};
use refrain_state::view::{ViewChanges, ViewSpec};

mod disk;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [what, keys, cache_mib] = arguments.as_slice()
        && *what == "disk"
    {
        let number = |text: &str| text.parse::<u64>().unwrap();
        return disk::measure(number(keys), number(cache_mib) << 20);
    }
    digest();
    store();
    views();
    commits();
}

/// CPU time of this thread.
struct Cpu(u64);

impl Cpu {
    fn now() -> Cpu {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Cpu(text.split(' ').next().unwrap().parse().unwrap())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(Cpu::now().0 - self.0)
    }
}

fn report(what: &str, count: u64, spent: Duration) {
    println!(
        "{what:<60} {:>9.1} ns each, {count} in {spent:.1?}",
        spent.as_nanos() as f64 / count as f64
    );
}

fn engage() -> Schema {
    let ints = ["views", "likes", "completes", "watch_ms"].map(|name| Field::new(name, Kind::I64));
    let mut fields = vec![
        Field::new("content_id", Kind::I64),
        Field::new("window_start", Kind::Timestamp),
    ];
    fields.extend(ints);
    fields.push(Field::new("completion_rate", Kind::F64));
    Schema::new(fields)
}

fn rows(minute: i64, count: i64) -> RecordBatch {
    let ints = |factor: i64| {
        Arc::new(Int64Array::from_iter_values((0..count).map(|i| i * factor))) as ArrayRef
    };
    let start = TimestampMicrosecondArray::from(vec![minute * 60_000_000; count as usize])
        .with_timezone("UTC");
    let rates = Float64Array::from_iter_values((0..count).map(|i| i as f64 / 7.0));
    let columns = vec![
        ints(1),
        Arc::new(start),
        ints(3),
        ints(5),
        ints(7),
        ints(1100),
        Arc::new(rates),
    ];
    RecordBatch::try_new(engage().arrow(), columns).unwrap()
}

fn digest() {
    let (rows, schema) = (rows(1, 100_000), engage());
    row_hashes(&rows, &schema);
    let start = Cpu::now();
    for _ in 0..10 {
        std::hint::black_box(row_hashes(&rows, &schema));
    }
    report("digest of a row of 7 fields", 1_000_000, start.elapsed());
}

fn store() {
    let mut store = MemoryStore::default();
    for (what, round) in [
        ("state put, new key", 0_u64),
        ("state put, same length", 1),
        ("state put, other length", 2),
    ] {
        let state = vec![round as u8; 40 + (round / 2) as usize];
        let start = Cpu::now();
        for key in 0..1_000_000_u64 {
            store
                .put(&(key * 7_919 % 1_000_000).to_be_bytes(), &state)
                .unwrap();
        }
        report(what, 1_000_000, start.elapsed());
    }
}

fn lineage() -> Lineage {
    Lineage {
        component: "c".into(),
        configuration: "d".into(),
    }
}

fn commit(node: &str, cut: u64, state: StateChanges, view: Option<ViewChanges>) -> NodeCommit {
    NodeCommit {
        node: node.into(),
        cut: Sequence(cut),
        lineage: lineage(),
        tasks: vec![TaskChanges {
            task: 0,
            state,
            view,
            memo: vec![1; 64],
        }],
        sources: Vec::new(),
        derived: Vec::new(),
        watermark: Timestamp(0),
        counts: BTreeMap::new(),
    }
}

fn open(folder: &std::path::Path) -> State {
    let storage = Arc::new(DiskStorage);
    let (state, findings) =
        State::open(storage, Arc::new(SystemClock), folder.join("commits")).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    state
}

fn spec() -> ViewSpec {
    ViewSpec {
        name: "engage".into(),
        node: "engage".into(),
        schema: engage(),
        key_fields: 2,
    }
}

/// What `engage` closes over 20 M rows: 59 minutes of 10,000 rows, each commit also replacing the open rows.
fn views() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let view = state.declare_view(spec()).unwrap();
    let start = Cpu::now();
    for minute in 0..59 {
        let rows = rows(minute, 10_000);
        let changes = ViewChanges {
            finals: BooleanBuffer::new_set(10_000),
            rows,
            deletes: None,
        };
        state
            .commit(vec![commit(
                "engage",
                minute as u64 + 1,
                StateChanges::default(),
                Some(changes),
            )])
            .unwrap();
    }
    report(
        "view row put, commit and sync included",
        590_000,
        start.elapsed(),
    );
    let start = Cpu::now();
    let rows = rows(58, 10_000);
    for n in 0..20 {
        let changes = ViewChanges {
            finals: BooleanBuffer::new_set(10_000),
            rows: rows.clone(),
            deletes: None,
        };
        state
            .commit(vec![commit(
                "engage",
                n + 60,
                StateChanges::default(),
                Some(changes),
            )])
            .unwrap();
    }
    report(
        "view row replaced, commit and sync included",
        200_000,
        start.elapsed(),
    );
    let bytes = view.state().bytes;
    println!(
        "view holds {bytes} bytes for 590000 rows of 7 fields: {:.1} a row",
        bytes as f64 / 590_000.0
    );
    let start = Cpu::now();
    assert_eq!(view.scan(None).unwrap().rows.num_rows(), 590_000);
    report("row of a scan in key order", 590_000, start.elapsed());
    drop(state);
    let start = Cpu::now();
    let state = open(folder.path());
    report(
        "view row read at opening (790,000 in the log)",
        790_000,
        start.elapsed(),
    );
    assert_eq!(
        state.view("engage").unwrap().state().digest,
        view.state().digest
    );
}

/// 1 % of a million keys with states of 40 bytes.
fn commits() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let changes = |keys: &mut dyn Iterator<Item = u64>, fill: u8| {
        let mut changes = StateChanges::default();
        for key in keys {
            changes.put_keys.push(&key.to_be_bytes());
            changes.put_states.push(&[fill; 40]);
        }
        changes
    };
    let start = Cpu::now();
    state
        .commit(vec![commit("n", 1, changes(&mut (0..1_000_000), 0), None)])
        .unwrap();
    report(
        "state put by one commit of 1 M keys",
        1_000_000,
        start.elapsed(),
    );
    let whole = state.log_bytes();
    let small = |what: &str, rounds: std::ops::Range<u64>, whole: u64| {
        let count = rounds.end - rounds.start;
        let (mut times, mut longest_bytes, mut all_bytes, mut longest_cpu) =
            (Vec::new(), 0, 0, Duration::ZERO);
        for n in rounds {
            let keys = &mut (0..10_000).map(|i| i * 100 + n % 100);
            let commit = commit("n", n + 2, changes(keys, 1), None);
            let (start, cpu, before) = (Instant::now(), Cpu::now(), state.log_bytes());
            state.commit(vec![commit]).unwrap();
            times.push(start.elapsed());
            longest_cpu = longest_cpu.max(cpu.elapsed());
            // Segments removed with it hide what it wrote.
            let bytes = state.log_bytes().saturating_sub(before);
            all_bytes += bytes;
            longest_bytes = longest_bytes.max(bytes);
        }
        times.sort_unstable();
        let share = |bytes: u64| bytes as f64 / whole as f64 * 100.0;
        println!(
            "{what}: {:.2} % of {whole} bytes, at most {:.2} %; median {:.1?}, 99 in 100 {:.1?}, longest {:.1?}, longest without waiting {longest_cpu:.1?}",
            share(all_bytes / count),
            share(longest_bytes),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times[times.len() - 1],
        );
    };
    small("commit of 1 % of 1 M keys", 0..100, whole);
    small("the same, a base under way", 100..400, whole);
    let twenty = changes(&mut (0..20_000), 2);
    let start = Cpu::now();
    state.commit(vec![commit("n", 500, twenty, None)]).unwrap();
    report(
        "state put by a commit of 20,000 keys, sync included",
        20_000,
        start.elapsed(),
    );
    let start = Cpu::now();
    state.compact().unwrap();
    report("key of a base of 1 M keys", 1_000_000, start.elapsed());
    drop(state);
    let start = Cpu::now();
    let state = open(folder.path());
    report("key read at opening", 1_000_000, start.elapsed());
    assert_eq!(
        state
            .task_state("n", 0, &7_u64.to_be_bytes())
            .unwrap()
            .unwrap()
            .len(),
        40
    );
}
