//! What the log shares with its writer: topics by name, the queue, how far everything is durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};

use super::Finding;
use crate::clock::Clock;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::meter::Used;
use crate::open::{Opening, recover};
use crate::queue::Queue;
use crate::schemas::History;
use crate::segment::{Run, RunName};
use crate::storage::Storage;
use crate::tail::TailOptions;
use crate::topic::{Origin, Partition, Topic, TopicSpec};
use crate::{Error, Result, alter};

/// What the log shares with its writer.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) folder: PathBuf,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    pub(crate) queue: Queue,
    pub(super) durable: Mutex<Durable>,
    pub(super) moved: Condvar,
    pub(super) sequence_floor: AtomicU64,
    /// Largest append time that was there at opening, or seen since.
    time_floor: Mutex<Timestamp>,
    stopped: AtomicBool,
    /// Held by who encodes a segment anew.
    optimizing: Mutex<()>,
    /// What appends to each topic have used since this was opened.
    used: Mutex<BTreeMap<String, Used>>,
}

#[derive(Debug, Default)]
pub(super) struct Durable {
    pub(super) sequence: Sequence,
    pub(super) wakes: u64,
}

impl Core {
    pub(super) fn new(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, folder: PathBuf) -> Core {
        Core {
            storage,
            clock,
            folder,
            topics: RwLock::default(),
            queue: Queue::default(),
            durable: Mutex::default(),
            moved: Condvar::new(),
            sequence_floor: AtomicU64::new(0),
            time_floor: Mutex::new(Timestamp::MIN),
            stopped: AtomicBool::new(false),
            optimizing: Mutex::default(),
            used: Mutex::default(),
        }
    }

    /// Appends to a topic have used this.
    pub(crate) fn charge(&self, topic: &str, used: Used) {
        let mut all = self.used.lock().expect("no holder of this lock panics");
        match all.get_mut(topic) {
            Some(so_far) => so_far.add(used),
            None => {
                all.insert(topic.to_owned(), used);
            }
        }
    }

    pub(super) fn used(&self) -> BTreeMap<String, Used> {
        let used = self.used.lock();
        used.expect("no holder of this lock panics").clone()
    }

    /// No append from now on is earlier than this.
    pub(super) fn start_time(&self, time: Timestamp) {
        *self
            .time_floor
            .lock()
            .expect("no holder of this lock panics") = time;
    }

    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().expect("no holder of this lock panics");
        topics.values().cloned().collect()
    }

    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let topics = self.topics.read().expect("no holder of this lock panics");
        let found = topics.get(name).cloned();
        found.ok_or_else(|| Error::Invalid(format!("there is no topic {name}; declare it first")))
    }

    pub(crate) fn insert(&self, topic: Arc<Topic>) {
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

    /// One segment at a time is encoded anew.
    pub(crate) fn optimizing(&self) -> MutexGuard<'_, ()> {
        let optimizing = self.optimizing.lock();
        optimizing.expect("no holder of this lock panics")
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// What was stopped goes on.
    pub(super) fn go_on(&self) {
        self.stopped.store(false, Ordering::Release);
    }

    /// Now, never before any earlier now or append.
    pub(crate) fn now(&self) -> Timestamp {
        let mut floor = self
            .time_floor
            .lock()
            .expect("no holder of this lock panics");
        *floor = floor.max(self.clock.now());
        *floor
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::Io {
            action,
            path: path.display().to_string(),
            source,
        }
    }

    pub(crate) fn opening(
        &self,
        spec: &TopicSpec,
        history: &Arc<History>,
        partition: u32,
    ) -> Opening {
        let folder = self.folder.join(&spec.name);
        Opening {
            name: RunName {
                topic: spec.name.clone(),
                partition,
            },
            storage: self.storage.clone(),
            quarantine: folder.join("quarantine"),
            folder: folder.join(partition.to_string()),
            history: history.clone(),
            options: TailOptions {
                segment_bytes: spec.segment_bytes,
                spare: false,
            },
            durable: None,
            cut: None,
            retained: true,
        }
    }

    /// A partition, before it is opened.
    pub(super) fn run(&self, topic: &str, history: &Arc<History>, partition: u32) -> Run {
        let folder = self.folder.join(topic);
        let name = RunName {
            topic: topic.to_owned(),
            partition,
        };
        Run::new(
            name,
            self.storage.clone(),
            folder.join(partition.to_string()),
            folder.join("quarantine"),
            history.clone(),
        )
    }

    /// Opens a topic's partitions. Those of a derived topic that was there before wait for their cut.
    pub(crate) fn open_topic(
        &self,
        spec: TopicSpec,
        history: History,
        new: bool,
        findings: &mut Vec<Finding>,
    ) -> Result<Arc<Topic>> {
        let history = Arc::new(history);
        let mut partitions = Vec::new();
        for partition in 0..spec.partitions {
            let opening = self.opening(&spec, &history, partition);
            let run = Arc::new(self.run(&spec.name, &history, partition));
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
        Ok(Arc::new(Topic::new(spec, history, Arc::new(partitions))))
    }

    /// Whether nothing was ever appended to a source topic: its declaration may still change altogether.
    pub(crate) fn is_unused(&self, topic: &Topic) -> Result<bool> {
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
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let removed = {
            let mut topics = self.topics.write().expect("no holder of this lock panics");
            topics.remove(name)
        };
        for partition in removed.iter().flat_map(|topic| topic.partitions.iter()) {
            partition.run.files().is_gone = true;
        }
        let folder = self.folder.join(name);
        self.storage
            .remove_dir_all(&folder)
            .and_then(|()| self.storage.sync_dir(&self.folder))
            .map_err(|e| Core::io("remove", &folder, e))
    }

    /// Gives a topic the schema of this declaration, from the frames behind `since` on. Nothing is written meanwhile.
    /// After an error the topic is as it was for this process; the next one may find it altered.
    pub(crate) fn alter(&self, declared: &TopicSpec, since: Sequence) -> Result<()> {
        let topic = self.topic(&declared.name)?;
        let decided = alter::decide(topic.spec(), declared);
        let spec = decided.map_err(|_| alter::error(topic.spec(), declared))?;
        if topic.spec().agrees(&spec) {
            return Ok(());
        }
        let (schema, defaults) = (spec.schema.clone(), spec.defaults.clone());
        let history = Arc::new(topic.history().and(since, schema, defaults));
        self.write_spec(&spec, &history)?;
        for partition in topic.partitions.iter() {
            partition.run.set_history(Arc::clone(&history));
        }
        self.insert(Arc::new(topic.altered(spec, history)));
        Ok(())
    }
}
