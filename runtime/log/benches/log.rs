//! Speed of the log on a real disk: durable append of 256-byte rows, scan of a warm log, and of one of small appends before
//! and after its frames were merged. Prints what it measured.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark handles files and measures time"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use refrain_log::clock::SystemClock;
use refrain_log::columns::{from_bytes, to_bytes};
use refrain_log::ids::{Offset, Sequence};
use refrain_log::log::{Append, Log, Producer};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::storage::DiskStorage;
use refrain_log::topic::{Origin, TopicSpec};

const ROWS: usize = 4_000_000;
const BATCH_ROWS: usize = 16_384;
/// One segment has them all, so that a crash leaves a tail of all of them.
const TAIL_SEGMENT_BYTES: u64 = 2 << 30;
/// Rows of the topic of small appends, of 32 bytes each.
const SMALL_ROWS: usize = 1_000_000;
/// Rows of a small append.
const SMALL_BATCH_ROWS: usize = 10;

fn schema() -> Schema {
    let numbers = (0..4).map(|i| Field::new(format!("n{i}"), Kind::I64));
    let text = Field::new("text", Kind::Text);
    Schema::new(numbers.chain([text]).collect())
}

/// 32 bytes of numbers and 220 of text, with its offset 256 bytes a row.
fn batch(first: usize, rows: usize) -> RecordBatch {
    let number = |i: usize| -> ArrayRef {
        let values = (0..rows).map(|row| ((first + row) * (i + 1)) as i64);
        Arc::new(Int64Array::from_iter_values(values))
    };
    let text = "x".repeat(220);
    let mut columns: Vec<ArrayRef> = (0..4).map(number).collect();
    columns.push(Arc::new(StringArray::from_iter_values(
        (0..rows).map(|_| &text),
    )));
    RecordBatch::try_new(schema().arrow(), columns).expect("columns fit the schema")
}

/// CPU seconds of the whole process.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs it and prints seconds, CPU per row, and bytes per second.
#[expect(
    clippy::disallowed_methods,
    reason = "durations for people to read; nothing is decided by them"
)]
fn measure<T>(what: &str, rows: usize, bytes: usize, act: impl FnOnce() -> T) -> T {
    let (wall, busy) = (Instant::now(), cpu());
    let result = act();
    let (wall, busy) = (wall.elapsed().as_secs_f64(), cpu() - busy);
    let giga = bytes as f64 / 1e9;
    println!(
        "{what:44} {rows:>9} rows {wall:7.3} s wall {:8.1} ns CPU/row {:6.2} GB/CPU-s {:6.2} GB/s",
        busy * 1e9 / rows as f64,
        giga / busy,
        giga / wall,
    );
    result
}

fn append(first: usize, rows: RecordBatch, topic: &str) -> Append {
    Append {
        topic: topic.into(),
        rows,
        row_numbers: Vec::new(),
        input: "bench".into(),
        undecoded: Vec::new(),
        producer: Some(Producer {
            name: "bench".into(),
            first_row: first as u64 + 1,
        }),
    }
}

fn main() {
    if std::env::args().any(|arg| arg == "--list" || arg == "--test") {
        return;
    }
    let folder = std::env::var_os("REFRAIN_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = folder.join("log-bench");
    let _ = std::fs::remove_dir_all(&folder);
    let open = || {
        Log::open(Arc::new(DiskStorage), Arc::new(SystemClock), folder.clone())
            .expect("a fresh folder opens")
            .0
    };
    let log = open();
    for (name, segment_bytes) in [
        ("large", 256 << 20),
        ("small", 256 << 20),
        ("tail", TAIL_SEGMENT_BYTES),
    ] {
        let spec = TopicSpec {
            name: name.into(),
            origin: Origin::Source,
            schema: schema(),
            key: Vec::new(),
            time: None,
            partitions: 1,
            ahead_us: 0,
            idle_us: None,
            defaults: Default::default(),
            segment_bytes,
        };
        log.declare(spec).expect("a fresh topic");
    }
    let batches: Vec<RecordBatch> = (0..8).map(|i| batch(i * BATCH_ROWS, BATCH_ROWS)).collect();
    measure(
        "append, 16,384 rows a batch, synced",
        ROWS,
        ROWS * 256,
        || append_all(&log, &batches, "large"),
    );
    measure("append, 1 row a batch, each synced", 1000, 256_000, || {
        for i in 0..1000 {
            let done = log.append(append(i, batches[0].slice(i, 1), "small"));
            done.expect("it becomes durable");
        }
    });
    measure(
        "append, 1 row a batch, pipelined",
        20_000,
        20_000 * 256,
        || {
            let submit = |i: usize| {
                let row = batches[0].slice(i % BATCH_ROWS, 1);
                log.submit(append(1000 + i, row, "small"))
                    .expect("the log takes it")
            };
            let pending: Vec<_> = (0..20_000).map(submit).collect();
            for pending in pending {
                pending.wait().expect("it becomes durable");
            }
        },
    );
    for _ in 0..2 {
        measure("scan, all columns", ROWS, ROWS * 256, || {
            scan(&log, &[0, 1, 2, 3, 4])
        });
    }
    measure("scan, one column of 8 bytes", ROWS, ROWS * 8, || {
        scan(&log, &[1])
    });
    let bytes = to_bytes(&batches[0], &schema()).expect("it encodes");
    measure("to_bytes", 40 * BATCH_ROWS, 40 * bytes.len(), || {
        (0..40).for_each(|_| drop(to_bytes(&batches[0], &schema())));
    });
    measure("from_bytes", 40 * BATCH_ROWS, 40 * bytes.len(), || {
        (0..40).for_each(|_| drop(from_bytes(&bytes, &schema())));
    });
    append_all(&log, &batches, "tail");
    let crashed = folder.with_extension("crashed");
    let _ = std::fs::remove_dir_all(&crashed);
    copy(&folder, &crashed);
    measure(
        "open after a crash, all of it the tail",
        ROWS,
        ROWS * 256,
        || {
            Log::open(
                Arc::new(DiskStorage),
                Arc::new(SystemClock),
                crashed.clone(),
            )
            .expect("a log that crashed opens")
        },
    );
    let _ = std::fs::remove_dir_all(&crashed);
    tens(&log);
    drop(log);
    measure("open after a clean end", 2 * ROWS, 2 * ROWS * 256, open);
    let _ = std::fs::remove_dir_all(&folder);
}

fn append_all(log: &Log, batches: &[RecordBatch], topic: &str) {
    let mut pending = Vec::new();
    for (i, first) in (0..ROWS).step_by(BATCH_ROWS).enumerate() {
        let rows = batches[i % 8].slice(0, BATCH_ROWS.min(ROWS - first));
        let submitted = log.submit(append(first, rows, topic));
        pending.push(submitted.expect("the log takes it"));
    }
    for pending in pending {
        pending.wait().expect("it becomes durable");
    }
}

/// What `kill -9` leaves: the files as they are, and no end written.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a file");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a file").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("a file is copied")),
        }
    }
}

/// Appends of ten rows, read as they were appended and merged.
fn tens(log: &Log) {
    let schema = Schema::new(schema().fields()[..4].to_vec());
    let spec = TopicSpec {
        name: "tens".into(),
        schema: schema.clone(),
        segment_bytes: 16 << 20,
        ..log.topic("large").expect("it was declared").spec().clone()
    };
    let topic = log.declare(spec).expect("a fresh topic");
    let rows = batch(0, BATCH_ROWS).project(&[0, 1, 2, 3]);
    let rows = rows.expect("it has these columns");
    let places = BATCH_ROWS / SMALL_BATCH_ROWS;
    let appends = SMALL_ROWS / SMALL_BATCH_ROWS;
    measure(
        "append, 10 rows of 32 bytes a batch, pipelined",
        SMALL_ROWS,
        SMALL_ROWS * 32,
        || {
            let submit = |i: usize| {
                let rows = rows.slice(i % places * SMALL_BATCH_ROWS, SMALL_BATCH_ROWS);
                let submitted = log.submit(append(i * SMALL_BATCH_ROWS, rows, "tens"));
                submitted.expect("the log takes it")
            };
            let pending: Vec<_> = (0..appends).map(submit).collect();
            for pending in pending {
                pending.wait().expect("it becomes durable");
            }
        },
    );
    log.seal("tens", 0).expect("it can be sealed");
    let told = |what: &str| {
        let bytes = topic.bytes() as usize;
        println!(
            "{what:44} {:6.1} bytes a row",
            bytes as f64 / SMALL_ROWS as f64
        );
        for _ in 0..2 {
            measure("  scan, all columns", SMALL_ROWS, bytes, || {
                scan_of(log, "tens", &[0, 1, 2, 3])
            });
        }
        measure("  scan, one column", SMALL_ROWS, SMALL_ROWS * 8, || {
            scan_of(log, "tens", &[1])
        });
    };
    told("small appends, as they were appended");
    let bytes = topic.bytes() as usize;
    let mut frames = (0, 0);
    measure("  optimize, synced", SMALL_ROWS, bytes, || {
        let mut from = Some(Offset(0));
        while let Some(base) = from {
            let told = log.optimize("tens", 0, base, false, &mut || true);
            let told = told.expect("it is whole");
            from = told.as_ref().and_then(|told| told.next);
            if let Some(told) = told {
                frames.0 += told.frames;
                frames.1 += told.frames_after;
            }
        }
    });
    println!("  {} frames are {} now", frames.0, frames.1);
    told("small appends, merged");
}

fn scan(log: &Log, fields: &[usize]) -> i64 {
    scan_of(log, "large", fields)
}

fn scan_of(log: &Log, topic: &str, fields: &[usize]) -> i64 {
    let topic = log.topic(topic).expect("it was declared");
    let mut cursor = topic.cursor(0, Offset(0)).expect("it can be read");
    let mut sum = 0;
    while let Some(frame) = cursor.next_merged(Sequence(u64::MAX)).expect("it is whole") {
        let batch = frame.batch(fields).expect("it is whole");
        let first = batch.column(0).as_primitive::<Int64Type>();
        sum += first
            .values()
            .iter()
            .fold(0i64, |sum, v| sum.wrapping_add(*v));
    }
    sum
}
