//! A project of the oracle: its folder, its disk, its clock, and the rows that were appended to it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use refrain_engine::host::{Host, Project};
use refrain_engine::request::{Request, Response};
use refrain_engine::run::{RunOptions, RunReport};
use refrain_log::clock::ManualClock;
use refrain_log::frame::FrameKind;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::Append;
use refrain_log::storage::{DiskStorage, MemoryStorage, Storage};
use xxhash_rust::xxh3::xxh3_64;

use crate::graph::{Graph, Source};
use crate::model::{Frame, InRow, NEVER};
use crate::random::BASE_US;
use crate::value::{Row, Value, canonical, counted, to_batch};

/// Rows without a key go to partitions in blocks of this many.
const BLOCK_ROWS: u64 = 4096;
const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

pub struct Home {
    pub graph: Graph,
    folder: tempfile::TempDir,
    storage: Arc<dyn Storage>,
    memory: Option<MemoryStorage>,
    clock: Arc<ManualClock>,
    pub now: i64,
    /// Rows that the log must have taken, by partition, in order of their appends.
    pub taken: Vec<Vec<Row>>,
    /// Rows that the log must have refused, with the reason's beginning.
    pub refused: Vec<String>,
    /// Rows that the open log has counted for topics without a key.
    rows: Cell<u64>,
    /// An append that was refused.
    unsure: Option<Fate>,
}

/// What must become of the rows of an append: taken, by partition, or refused with a reason.
struct Fate {
    taken: Vec<Vec<Row>>,
    refused: Vec<String>,
}

impl Fate {
    fn new(partitions: u32) -> Fate {
        Fate {
            taken: vec![Vec::new(); partitions as usize],
            refused: Vec::new(),
        }
    }
}

impl Home {
    pub fn new(graph: Graph, on_disk: bool) -> Home {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plugins = folder.path().join("plugins");
        std::fs::create_dir_all(&plugins).expect("a folder");
        for name in [
            "oracle.wasm",
            "oracle_transform.wasm",
            "oracle_process.wasm",
        ] {
            std::fs::copy(guests().join(name), plugins.join(name)).expect("a guest");
        }
        let memory = (!on_disk).then(|| MemoryStorage::new(1));
        let storage: Arc<dyn Storage> = match &memory {
            None => Arc::new(DiskStorage),
            Some(memory) => Arc::new(memory.clone()),
        };
        let taken = vec![Vec::new(); graph.source.partitions as usize];
        Home {
            graph,
            folder,
            storage,
            memory,
            unsure: None,
            clock: Arc::new(ManualClock::new(Timestamp(BASE_US))),
            now: BASE_US,
            taken,
            refused: Vec::new(),
            rows: Cell::new(0),
        }
    }

    /// Opens the host with the pipeline file as the graph says now.
    pub fn open(&self) -> Host {
        self.try_open()
            .unwrap_or_else(|e| panic!("the host does not open: {e}\n{}", self.graph.text()))
    }

    /// The same on a disk that may fail.
    pub fn try_open(&self) -> refrain_engine::Result<Host> {
        self.write_pipeline();
        self.count_again();
        let project = Project::new(self.folder.path());
        Host::open_in(project, self.storage.clone(), self.clock.clone())
    }

    /// Writes the pipeline file as the graph says now.
    #[expect(clippy::disallowed_methods, reason = "a file of the test")]
    pub fn write_pipeline(&self) {
        let path = Project::new(self.folder()).pipeline_file();
        std::fs::write(path, self.graph.text()).expect("a file");
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Somebody else appends these rows, and the log must take them all.
    pub fn must_take(&mut self, rows: &[Row]) {
        for row in rows {
            let partition = partition(&self.graph.source, row, 0);
            self.taken[partition].push(canonical(row));
        }
    }

    /// A project of its own with a copy of the source topics, as they are on the disk.
    pub fn another(&self, graph: Graph) -> Home {
        let other = Home::new(graph, true);
        other.clock.set(Timestamp(self.now));
        for topic in ["events", "events.rejected"] {
            let place = |root: &Path| root.join("data/topics").join(topic);
            copy(&place(self.folder()), &place(other.folder()));
        }
        other
    }

    pub fn wait(&mut self, us: i64) {
        self.now += us;
        self.clock.set(Timestamp(self.now));
    }

    /// Appends rows and notes what must become of them.
    pub fn append(&mut self, host: &Host, rows: &[Row]) {
        let appended = self.try_append(host, rows);
        appended.expect("the log takes rows");
    }

    /// The same on a disk that may fail. Rows that the log does not take are not there; after a power cut they may be, see
    /// [`Home::settle`].
    pub fn try_append(&mut self, host: &Host, rows: &[Row]) -> refrain_log::Result<()> {
        let source = self.graph.source.clone();
        let appended = host.log().append(Append {
            topic: "events".into(),
            rows: to_batch(&source.schema(), rows),
            row_numbers: Vec::new(),
            input: "oracle".into(),
            undecoded: Vec::new(),
            producer: None,
        });
        let mut fate = Fate::new(source.partitions);
        for row in rows {
            match refusal(&source, row, self.now) {
                Some(reason) => fate.refused.push(reason),
                None => {
                    let partition = partition(&source, row, self.rows.get());
                    self.rows.set(self.rows.get() + 1);
                    fate.taken[partition].push(canonical(row));
                }
            }
        }
        match appended {
            Ok(appended) => {
                let taken: usize = fate.taken.iter().map(Vec::len).sum();
                let counts = (taken as u64, fate.refused.len() as u64);
                assert_eq!(
                    (appended.rows, appended.rejected),
                    counts,
                    "rows taken and refused"
                );
                self.meets(fate);
                Ok(())
            }
            Err(e) => {
                self.unsure = Some(fate);
                Err(e)
            }
        }
    }

    fn meets(&mut self, fate: Fate) {
        for (taken, more) in self.taken.iter_mut().zip(fate.taken) {
            taken.extend(more);
        }
        self.refused.extend(fate.refused);
    }

    /// The log was opened again. Of an append that was refused, each partition has all its rows or none: none, unless
    /// the power was cut meanwhile.
    pub fn settle(&mut self, host: &Host, power_cut: bool) {
        if let Some(unsure) = self.unsure.take() {
            let mut fate = Fate::new(self.graph.source.partitions);
            let end = |topic: &str, partition: usize| {
                let topic = host.log().topic(topic).expect("it is declared");
                topic.end(partition as u32).0 as usize
            };
            for (partition, rows) in unsure.taken.into_iter().enumerate() {
                let more = end("events", partition) - self.taken[partition].len();
                let all = power_cut && more == rows.len();
                assert!(more == 0 || all, "{more} rows of {} came back", rows.len());
                fate.taken[partition].extend(rows.into_iter().take(more));
            }
            let more = end("events.rejected", 0) - self.refused.len();
            let all = power_cut && more == unsure.refused.len();
            assert!(more == 0 || all, "{more} refused rows came back");
            fate.refused.extend(unsure.refused.into_iter().take(more));
            self.meets(fate);
        }
        if power_cut {
            self.count_again();
        }
    }

    /// A log that is opened counts what it has.
    fn count_again(&self) {
        let there = self.taken.iter().map(|rows| rows.len() as u64);
        self.rows.set(there.sum());
    }

    /// The disk in memory, where there is one.
    pub fn memory(&self) -> Option<&MemoryStorage> {
        self.memory.as_ref()
    }

    /// The frames of the log up to a cut, in log order, with the rows that the test knows to be in them.
    pub fn frames(&self, host: &Host, cut: Sequence) -> Vec<Frame> {
        let topic = host.log().topic("events").expect("it is declared");
        let mut frames = Vec::new();
        for (partition, rows) in self.taken.iter().enumerate() {
            let mut cursor = topic.cursor(partition as u32, Offset(0)).expect("a cursor");
            let mut next = 0;
            while let Some(frame) = cursor.next(cut).expect("a frame") {
                let header = frame.header();
                assert_eq!(header.base_offset.0, next as u64, "offsets have no holes");
                let values = &rows[next..next + header.rows as usize];
                let row = |(i, values): (usize, &Row)| InRow {
                    values: values.clone(),
                    offset: (next + i) as u64,
                    origin: i as u32,
                    watermark: NEVER,
                };
                frames.push(Frame {
                    partition: partition as u32,
                    sequence: header.sequence.0,
                    append_time: header.append_time.0,
                    data: header.kind == FrameKind::Rows,
                    rows: values.iter().enumerate().map(row).collect(),
                    watermark: NEVER,
                });
                next += header.rows as usize;
            }
            if cut.0 == u64::MAX {
                assert_eq!(next, rows.len(), "rows in partition {partition}");
            }
        }
        frames.sort_by_key(|f| f.sequence);
        frames
    }

    /// Removes the commit log, and the derived topics as well or not. No host is open.
    pub fn forget(&self, derived: bool) {
        let data = self.folder.path().join("data");
        let remove = |path: PathBuf| self.storage.remove_dir_all(&path).expect("a folder");
        remove(data.join("commits"));
        if derived {
            for node in &self.graph.nodes {
                for topic in derived_topics(node) {
                    remove(data.join("topics").join(topic));
                }
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a kind").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file")),
        }
    }
}

/// Topics that a node writes.
pub fn derived_topics(node: &crate::graph::Node) -> Vec<String> {
    let letters = ["late", "rejected"].map(|kind| format!("{}.{kind}", node.name));
    let out = node.to_topic.then(|| node.output());
    letters.into_iter().chain(out).collect()
}

pub fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/oracle")
}

/// Compiled plugins, shared by all cases and runs of the test.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// Why the log must refuse a row, if it must.
pub fn refusal(source: &Source, row: &Row, now: i64) -> Option<String> {
    for (field, value) in source.fields.iter().zip(row) {
        if *value == Value::Null && !field.nullable {
            return Some(format!("{} is null", field.name));
        }
        if field.name == "at" {
            let time = value.as_int().expect("not null");
            if !YEARS.contains(&time) {
                return Some("at lies outside the years 1 to 9999".into());
            }
            if time > now.saturating_add(source.ahead_us) {
                return Some("at is more than".into());
            }
        }
    }
    None
}

/// Hash of a key in its canonical form.
pub fn key_hash(key: &[Value]) -> u64 {
    let mut bytes = Vec::new();
    for value in key {
        let canonical = match value {
            Value::Null => {
                bytes.push(0);
                continue;
            }
            Value::Bool(v) => vec![u8::from(*v)],
            Value::Int(v) | Value::Time(v) => v.to_le_bytes().to_vec(),
            Value::Text(v) => counted(v.as_bytes()),
            Value::Bytes(v) => counted(v),
            Value::Float(_) => unreachable!("an f64 is no key"),
        };
        bytes.push(1);
        bytes.extend(canonical);
    }
    xxh3_64(&bytes)
}

/// Where the log must put a row; `number` counts the rows of a topic without a key.
pub fn partition(source: &Source, row: &Row, number: u64) -> usize {
    let value = |key: &String| {
        let place = source.fields.iter().position(|f| f.name == *key);
        row[place.expect("keys are fields")].clone()
    };
    let key: Row = source.key.iter().map(value).collect();
    let partitions = u64::from(source.partitions);
    let chosen = match source.key.is_empty() {
        true => number / BLOCK_ROWS % partitions,
        false => key_hash(&key) % partitions,
    };
    chosen as usize
}

/// Runs until all that is there is done.
pub fn run_once(host: &Host, options: &RunOptions) -> RunReport {
    host.run(options, Some(cache())).expect("the run ends")
}

/// Runs while `act` works, then until every node has committed the last frame of `events`, then stops.
pub fn run_meanwhile(host: &Host, options: &RunOptions, act: impl FnOnce()) -> RunReport {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| host.run(options, Some(cache())));
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        let last = last_sequence(host);
        let caught_up = || status(host).iter().all(|node| node.cut.0 >= last);
        if acted.is_ok() {
            wait_until(|| run.is_finished() || caught_up());
        }
        host.stopper().stop();
        let report = run.join().expect("the run does not panic");
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        report.expect("the run ends")
    })
}

/// Nodes as the host tells of them.
pub fn status(host: &Host) -> Vec<refrain_engine::status::NodeStatus> {
    match host.handle(Request::Status) {
        Response::Status(status) => status.nodes,
        other => panic!("not a status: {other:?}"),
    }
}

/// Sequence of the last frame of `events`; 0 for none.
pub fn last_sequence(host: &Host) -> u64 {
    let topic = host.log().topic("events").expect("it is declared");
    let mut last = 0;
    for partition in 0..topic.spec().partitions {
        let mut cursor = topic.cursor(partition, Offset(0)).expect("a cursor");
        while let Some(frame) = cursor.next(Sequence(u64::MAX)).expect("a frame") {
            last = last.max(frame.header().sequence.0);
        }
    }
    last
}

/// Looks until it is so; a minute without it is a failure.
#[expect(
    clippy::disallowed_methods,
    reason = "bounds how long a hanging test takes; no result depends on it"
)]
pub fn wait_until(done: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !done() && began.elapsed().as_secs() < 60 {
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
}
