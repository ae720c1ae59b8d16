//! All topics of a host, and the one writer thread that appends to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
pub use crate::derived::DerivedWriter;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::open::{Opening, recover};
use crate::prepare::prepare;
pub use crate::prepare::{producer_hash, rejected_schema};
use crate::schema::Schema;
use crate::segment::{Run, RunName};
use crate::storage::Storage;
use crate::tail::TailOptions;
use crate::topic::{Origin, Partition, Topic, TopicSpec};
use crate::writer::{Job, Queue, Reply, Writer};
use crate::{Error, Result, codec};

/// The topics of a host, open. One process at a time. Dropped, it finishes what was submitted and marks what is durable.
#[derive(Debug)]
pub struct Log {
    core: Arc<Core>,
    writer: Option<JoinHandle<()>>,
}

/// What the log shares with its writer.
#[derive(Debug)]
pub(crate) struct Core {
    storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    folder: PathBuf,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    pub(crate) queue: Queue,
    durable: Mutex<Durable>,
    moved: Condvar,
    sequence_floor: AtomicU64,
    /// Largest append time that was there at opening, or seen since.
    time_floor: Mutex<Timestamp>,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct Durable {
    sequence: Sequence,
    wakes: u64,
}

/// What opening found and did, one entry for each thing an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Whether acknowledged rows are concerned (they are not served), or only a torn, never acknowledged tail.
    pub acknowledged: bool,
    /// First and last offset concerned, when known.
    pub offsets: Option<(Offset, Offset)>,
    /// A sentence.
    pub what: String,
}

/// Who produced rows, so that an append can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its name.
    pub name: String,
    /// Input row number of the first row of the batch, from 1. Numbers rise by one for each input row,
    /// rejected ones included.
    pub first_row: u64,
}

/// An input row that did not decode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecoded {
    /// Name of the input: a file name, `-`.
    pub input: String,
    /// Line (or row) in that input, from 1.
    pub line: u64,
    /// Input row number, as the producer counts.
    pub row: u64,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// Why.
    pub reason: String,
}

/// One append to a source topic.
#[derive(Clone, Debug)]
pub struct Append {
    /// The topic.
    pub topic: String,
    /// Rows that decoded, in input order, in the topic's schema.
    pub rows: RecordBatch,
    /// Input row number of each row of `rows` (rising); empty: consecutive.
    pub row_numbers: Vec<u64>,
    /// Name of the input, for rows that the log itself rejects.
    pub input: String,
    /// Rows that did not decode: they go to `<topic>.rejected` in the same act.
    pub undecoded: Vec<Undecoded>,
    /// Makes the append safe to repeat.
    pub producer: Option<Producer>,
}

/// The answer to an append: everything it names is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Rows appended now.
    pub rows: u64,
    /// Rows left out because an earlier append of the same producer had them.
    pub duplicates: u64,
    /// Rows that went to `<topic>.rejected` now, undecoded ones included.
    pub rejected: u64,
    /// Sequence of its last frame.
    pub sequence: Sequence,
}

/// An append under way.
#[derive(Debug)]
pub struct Pending(Arc<Reply>);

impl Pending {
    /// Waits until it is durable.
    pub fn wait(self) -> Result<Appended> {
        self.0.wait()
    }
}

/// File name of a topic's declaration.
const SPEC: &str = "topic.spec";

impl Core {
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().expect("no holder of this lock panics");
        topics.values().cloned().collect()
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let topics = self.topics.read().expect("no holder of this lock panics");
        let found = topics.get(name).cloned();
        found.ok_or_else(|| Error::Invalid(format!("there is no topic {name}; declare it first")))
    }

    fn insert(&self, topic: Arc<Topic>) {
        let mut topics = self.topics.write().expect("no holder of this lock panics");
        topics.insert(topic.spec().name.clone(), topic);
    }

    pub(crate) fn durable(&self) -> Sequence {
        self.durable
            .lock()
            .expect("no holder of this lock panics")
            .sequence
    }

    pub(crate) fn set_durable(&self, sequence: Sequence) {
        let mut durable = self.durable.lock().expect("no holder of this lock panics");
        durable.sequence = durable.sequence.max(sequence);
        self.moved.notify_all();
    }

    pub(crate) fn sequence_floor(&self) -> Sequence {
        Sequence(self.sequence_floor.load(Ordering::Acquire))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Now, never before any earlier now or append.
    fn now(&self) -> Timestamp {
        let mut floor = self
            .time_floor
            .lock()
            .expect("no holder of this lock panics");
        *floor = floor.max(self.clock.now());
        *floor
    }

    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::Io {
            action,
            path: path.display().to_string(),
            source,
        }
    }

    fn opening(&self, spec: &TopicSpec, schema: &Arc<Schema>, partition: u32) -> Opening {
        let folder = self.folder.join(&spec.name);
        Opening {
            name: RunName {
                topic: spec.name.clone(),
                partition,
            },
            storage: self.storage.clone(),
            quarantine: folder.join("quarantine"),
            folder: folder.join(partition.to_string()),
            schema: schema.clone(),
            options: TailOptions {
                segment_bytes: spec.segment_bytes,
                spare: false,
            },
            durable: None,
            cut: None,
        }
    }

    /// Opens a topic's partitions. Those of a derived topic that was there before wait for their cut.
    fn open_topic(
        &self,
        spec: TopicSpec,
        new: bool,
        findings: &mut Vec<Finding>,
    ) -> Result<Arc<Topic>> {
        let schema = Arc::new(spec.schema.clone());
        let mut partitions = Vec::new();
        for partition in 0..spec.partitions {
            let opening = self.opening(&spec, &schema, partition);
            let run = Arc::new(Run::new(
                opening.name.clone(),
                opening.storage.clone(),
                opening.folder.clone(),
                opening.quarantine.clone(),
                opening.schema.clone(),
            ));
            let tail = if spec.origin == Origin::Source || new {
                let (_, tail, found) = recover(run.clone(), &opening)?;
                findings.extend(found);
                Some(tail)
            } else {
                None
            };
            partitions.push(Partition {
                run,
                tail: Arc::new(Mutex::new(tail)),
                opened: self.clock.now(),
                taken: Arc::default(),
            });
        }
        Ok(Arc::new(Topic::new(spec, Arc::new(partitions))))
    }

    /// Whether nothing was ever appended to a source topic: its declaration may still change altogether.
    fn is_unused(&self, topic: &Topic) -> Result<bool> {
        let spec = topic.spec();
        let empty = (0..spec.partitions).all(|p| topic.end(p) == Offset(0));
        let quarantine = self.folder.join(&spec.name).join("quarantine");
        let kept = self
            .storage
            .list(&quarantine)
            .map_err(|e| Core::io("list", &quarantine, e))?;
        Ok(spec.origin == Origin::Source && empty && kept.is_empty())
    }

    /// Forgets a topic with all its files.
    fn remove(&self, name: &str) -> Result<()> {
        self.topics
            .write()
            .expect("no holder of this lock panics")
            .remove(name);
        let folder = self.folder.join(name);
        self.storage
            .remove_dir_all(&folder)
            .and_then(|()| self.storage.sync_dir(&self.folder))
            .map_err(|e| Core::io("remove", &folder, e))
    }

    fn write_spec(&self, spec: &TopicSpec) -> Result<()> {
        let folder = self.folder.join(&spec.name);
        let path = folder.join(SPEC);
        self.storage
            .create_dir_all(&folder)
            .and_then(|()| self.storage.replace(&path, &codec::encode(spec)))
            .map_err(|e| Core::io("write", &path, e))
    }
}

impl Log {
    /// Opens the log in `folder`, making it when absent, and recovers it. Does not take the folder's lock: the host
    /// holds one for the log and the state together.
    pub fn open(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        folder: PathBuf,
    ) -> Result<(Log, Vec<Finding>)> {
        let io = |e| Core::io("open", &folder, e);
        storage.create_dir_all(&folder).map_err(io)?;
        let names = storage.list(&folder).map_err(io)?;
        let core = Core {
            storage,
            clock,
            folder: folder.clone(),
            topics: RwLock::default(),
            queue: Queue::default(),
            durable: Mutex::default(),
            moved: Condvar::new(),
            sequence_floor: AtomicU64::new(0),
            time_floor: Mutex::new(Timestamp::MIN),
            stopped: AtomicBool::new(false),
        };
        let mut findings = Vec::new();
        for name in names {
            let path = folder.join(&name).join(SPEC);
            let bytes = match core.storage.read(&path) {
                Err(e)
                    if e.kind() == std::io::ErrorKind::NotFound
                        || e.kind() == std::io::ErrorKind::NotADirectory =>
                {
                    continue;
                }
                bytes => bytes.map_err(|e| Core::io("read", &path, e))?,
            };
            let spec: TopicSpec = codec::decode(&bytes).map_err(|e| {
                Error::Invalid(format!("{}: {e}; restore it from a copy", path.display()))
            })?;
            let topic = core.open_topic(spec, false, &mut findings)?;
            core.insert(topic);
        }
        Ok((Log::start(core), findings))
    }

    fn start(core: Core) -> Log {
        let (mut sequence, mut time) = (Sequence(0), Timestamp::MIN);
        for topic in core
            .topics()
            .iter()
            .filter(|t| t.spec().origin == Origin::Source)
        {
            for partition in topic.partitions.iter() {
                if let Some(tail) = partition.tail().as_ref() {
                    sequence = sequence.max(tail.past.sequence);
                    time = time.max(tail.past.append_time.unwrap_or(Timestamp::MIN));
                }
            }
        }
        core.set_durable(sequence);
        *core
            .time_floor
            .lock()
            .expect("no holder of this lock panics") = time;
        let core = Arc::new(core);
        let writer = Writer::new(core.clone(), sequence, time);
        let thread = std::thread::Builder::new().name("log-writer".into());
        let thread = thread
            .spawn(move || writer.run())
            .expect("a process can start a thread");
        Log {
            core,
            writer: Some(thread),
        }
    }

    /// Makes the topic, and for a source topic its `<topic>.rejected`. The same declaration again is no change; a
    /// changed one is refused with a sentence that says what to do, except for `ahead`, `idle` and `segment_bytes`,
    /// which may change.
    pub fn declare(&self, spec: TopicSpec) -> Result<Arc<Topic>> {
        spec.check()?;
        if spec.origin == Origin::Source && !spec.name.ends_with(".rejected") {
            self.declare_one(TopicSpec {
                name: format!("{}.rejected", spec.name),
                origin: Origin::Source,
                schema: rejected_schema(),
                key: Vec::new(),
                time: None,
                partitions: 1,
                ahead_us: 0,
                idle_us: None,
                segment_bytes: spec.segment_bytes,
            })?;
        }
        self.declare_one(spec)
    }

    fn declare_one(&self, spec: TopicSpec) -> Result<Arc<Topic>> {
        let topic = match self.topic(&spec.name) {
            Some(topic) if *topic.spec() == spec => return Ok(topic),
            Some(topic) if topic.spec().agrees(&spec) => {
                self.core.write_spec(&spec)?;
                for partition in topic.partitions.iter() {
                    if let Some(tail) = partition.tail().as_mut() {
                        tail.options.segment_bytes = spec.segment_bytes;
                    }
                }
                Arc::new(topic.redeclared(spec))
            }
            Some(topic) if self.core.is_unused(&topic)? => {
                self.core.remove(&spec.name)?;
                self.core.write_spec(&spec)?;
                self.core.open_topic(spec, true, &mut Vec::new())?
            }
            Some(topic) => return Err(changed(topic.spec(), &spec)),
            None => {
                self.core.write_spec(&spec)?;
                self.core.open_topic(spec, true, &mut Vec::new())?
            }
        };
        self.core.insert(topic.clone());
        self.core.queue.nudge();
        Ok(topic)
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.core.topic(name).ok()
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.core.topics()
    }

    /// Hands an append to the writer. Blocks while its queue (bounded in bytes) is full. The rows are checked and
    /// encoded here, on the caller's thread.
    pub fn submit(&self, append: Append) -> Result<Pending> {
        let topic = self.core.topic(&append.topic)?;
        if topic.spec().origin == Origin::Derived {
            return Err(Error::Invalid(format!(
                "{} is written by its node; append to a source topic",
                append.topic
            )));
        }
        let rejected = self
            .core
            .topic(&format!("{}.rejected", append.topic))
            .unwrap_or_else(|_| topic.clone());
        let prepared = prepare(append, &topic, &rejected, self.core.now())?;
        let reply = Arc::new(Reply::default());
        self.core.queue.push(Job {
            prepared,
            reply: reply.clone(),
        })?;
        Ok(Pending(reply))
    }

    /// [`Log::submit`] and [`Pending::wait`].
    pub fn append(&self, append: Append) -> Result<Appended> {
        self.submit(append)?.wait()
    }

    /// Every source frame with a sequence up to this is durable and published.
    pub fn durable(&self) -> Sequence {
        self.core.durable()
    }

    /// Sequences given from now on are greater than this. A host calls it with the cut of its last commit, so that no
    /// sequence is given twice even if the log lost its end.
    pub fn raise_sequence(&self, at_least: Sequence) {
        self.core
            .sequence_floor
            .fetch_max(at_least.0, Ordering::AcqRel);
        self.core.set_durable(at_least);
        self.core.queue.nudge();
    }

    /// Waits until [`Log::durable`] is greater than `after`, or for at most `patience`, or until [`Log::wake`]; what it
    /// is then.
    pub fn wait_beyond(&self, after: Sequence, patience: Duration) -> Sequence {
        let durable = self
            .core
            .durable
            .lock()
            .expect("no holder of this lock panics");
        let wakes = durable.wakes;
        let waits = |d: &mut Durable| d.sequence <= after && d.wakes == wakes;
        let (durable, _) = self
            .core
            .moved
            .wait_timeout_while(durable, patience, waits)
            .expect("no holder of this lock panics");
        durable.sequence
    }

    /// What the host's clock shows.
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// Wakes all who wait in [`Log::wait_beyond`], and makes the writer look at the clock.
    pub fn wake(&self) {
        self.core
            .durable
            .lock()
            .expect("no holder of this lock panics")
            .wakes += 1;
        self.core.moved.notify_all();
        self.core.queue.nudge();
    }

    /// The writer of one partition of a derived topic; one at a time.
    pub fn derived(&self, topic: &str, partition: u32) -> Result<DerivedWriter> {
        DerivedWriter::new(self.derived_topic(topic)?, partition)
    }

    fn derived_topic(&self, topic: &str) -> Result<Arc<Topic>> {
        let topic = self.core.topic(topic)?;
        if topic.spec().origin == Origin::Derived {
            return Ok(topic);
        }
        let name = &topic.spec().name;
        Err(Error::Invalid(format!(
            "{name} is a source topic: it is appended to, and never cut"
        )))
    }

    /// After a restart: cuts a partition of a derived topic back to what the last commit names, and publishes it. Frames
    /// that cover source frames up to `cut` are kept, all others go; `end` is the offset after the last row kept. Before
    /// anything reads it.
    pub fn cut_derived(
        &self,
        topic: &str,
        partition: u32,
        end: Offset,
        cut: Sequence,
    ) -> Result<()> {
        let topic = self.derived_topic(topic)?;
        let place = topic.partition(partition)?;
        let mut tail = place.tail();
        let opening = Opening {
            durable: Some(end),
            cut: Some(cut),
            ..self.core.opening(topic.spec(), topic.schema(), partition)
        };
        let (run, recovered, findings) = recover(place.run.clone(), &opening)?;
        for finding in findings {
            tracing::warn!(topic = finding.topic, partition, "{}", finding.what);
        }
        if run.end() != end {
            return Err(Error::Invalid(format!(
                "{}/{partition} ends at row {} where its last commit says {end}; rebuild it by a replay of its node",
                topic.spec().name,
                run.end()
            )));
        }
        *tail = Some(recovered);
        Ok(())
    }

    /// Removes a derived topic with all its rows: its node is computed anew from the beginning. No change when there is
    /// none.
    pub fn drop_derived(&self, name: &str) -> Result<()> {
        match self.topic(name) {
            Some(topic) if topic.spec().origin == Origin::Derived => self.core.remove(name),
            Some(_) => Err(Error::Invalid(format!(
                "{name} is a source topic: its rows are never removed"
            ))),
            None => Ok(()),
        }
    }

    /// Opens a partition again after [`crate::Error::Failed`], as after a restart.
    pub fn reopen(&self, topic: &str, partition: u32) -> Result<Vec<Finding>> {
        let topic = self.core.topic(topic)?;
        if let Some(tail) = topic.partition(partition)?.tail().as_mut() {
            tail.reopen()?;
        }
        Ok(Vec::new())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.core.queue.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to finish.
            let _ = writer.join();
        }
    }
}

fn changed(old: &TopicSpec, new: &TopicSpec) -> Error {
    let what = [
        ("its kind", old.origin != new.origin),
        ("its schema", old.schema != new.schema),
        ("its key", old.key != new.key),
        ("its time field", old.time != new.time),
        ("its number of partitions", old.partitions != new.partitions),
    ];
    let what: Vec<&str> = what
        .iter()
        .filter(|(_, differs)| *differs)
        .map(|(what, _)| *what)
        .collect();
    Error::Invalid(format!(
        "topic {} has rows under another declaration: {} changed; declare a new topic and replay into it",
        old.name,
        what.join(", ")
    ))
}

#[cfg(test)]
mod tests;
