//! All topics of a host, and the one writer thread that appends to them.

mod append;
mod core;
mod keep;
mod reopen;
mod stored;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::append::{Append, Appended, Finding, Pending, Producer, Undecoded};
pub(crate) use self::core::Core;
use self::core::Durable;
pub use self::reopen::Shut;
use self::stored::Stored;
use crate::clock::Clock;
pub use crate::derived::DerivedWriter;
use crate::ids::{Sequence, Timestamp};
use crate::meter::{Used, so_far};
use crate::prepare::prepare;
pub use crate::prepare::{producer_hash, rejected_schema};
use crate::queue::{Alter, Job, Reply};
use crate::schemas::{Defaults, History};
use crate::storage::Storage;
use crate::topic::{Origin, Topic, TopicSpec};
use crate::writer::Writer;
use crate::{Error, Result, alter};

/// The topics of a host, open. One process at a time. Dropped, it finishes what was submitted and marks what is durable.
#[derive(Debug)]
pub struct Log {
    pub(crate) core: Arc<Core>,
    writer: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log in `folder`, making it when absent, and recovers it. Does not take the folder's lock: the host
    /// holds one for the log and the state together.
    pub fn open(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        folder: PathBuf,
    ) -> Result<(Log, Vec<Finding>)> {
        Log::open_declared(storage, clock, folder, &[])
    }

    /// The same with the declarations of source topics as the pipeline file has them: they take the place of stored ones
    /// that are lost. Of a lost one that is not among them, the topic is not there, and a finding says so.
    pub fn open_declared(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        folder: PathBuf,
        declared: &[TopicSpec],
    ) -> Result<(Log, Vec<Finding>)> {
        let io = |e| Core::io("open", &folder, e);
        storage.create_dir_all(&folder).map_err(io)?;
        let names = storage.list(&folder).map_err(io)?;
        let core = Core::new(storage, clock, folder.clone());
        let declared: Vec<TopicSpec> = declared.iter().flat_map(with_rejected).collect();
        let mut findings = Vec::new();
        let mut past = (Sequence(0), Timestamp::MIN);
        for name in names {
            let topic = match core.stored(&name)? {
                Stored::Nothing => continue,
                Stored::Whole(stored) => {
                    let (spec, history) = *stored;
                    core.open_topic(spec, history, false, &mut findings)?
                }
                Stored::Lost(lost) => {
                    let spec = declared.iter().find(|spec| spec.name == name).cloned();
                    let Some(spec) = spec else {
                        let (sequence, time) = core.past_of_lost(&lost)?;
                        past = (past.0.max(sequence), past.1.max(time));
                        findings.push(lost.unopened());
                        continue;
                    };
                    core.open_lost(&lost, spec, &mut findings)?
                }
            };
            core.insert(topic);
        }
        Ok((Log::start(core, past), findings))
    }

    /// Begins to write after everything that source topics have, and after `past`.
    fn start(core: Core, past: (Sequence, Timestamp)) -> Log {
        let (mut sequence, mut time) = past;
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
        core.start_time(time);
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
    /// which may change. [`Error::Altered`]: it can be had by [`Log::alter`].
    pub fn declare(&self, spec: TopicSpec) -> Result<Arc<Topic>> {
        spec.check()?;
        if let Some(rejected) = rejected_of(&spec) {
            self.declare_one(rejected)?;
        }
        self.declare_one(spec)
    }

    fn declare_one(&self, spec: TopicSpec) -> Result<Arc<Topic>> {
        let topic = match self.topic(&spec.name) {
            Some(topic) if topic.spec().agrees(&spec) => {
                let spec = TopicSpec {
                    schema: topic.spec().schema.clone(),
                    ..spec
                };
                if *topic.spec() == spec {
                    return Ok(topic);
                }
                self.core.write_spec(&spec, topic.history())?;
                for partition in topic.partitions.iter() {
                    if let Some(tail) = partition.tail().as_mut() {
                        tail.options.segment_bytes = spec.segment_bytes;
                    }
                }
                Arc::new(topic.redeclared(spec))
            }
            Some(topic) if self.core.is_unused(&topic)? => {
                self.core.remove(&spec.name)?;
                self.declare_new(spec)?
            }
            Some(topic) => return Err(alter::error(topic.spec(), &spec)),
            None => self.declare_new(spec)?,
        };
        self.core.insert(topic.clone());
        self.core.queue.nudge();
        Ok(topic)
    }

    fn declare_new(&self, spec: TopicSpec) -> Result<Arc<Topic>> {
        let mut findings = Vec::new();
        let topic = match self.core.stored(&spec.name)? {
            Stored::Lost(lost) => self.core.open_lost(&lost, spec, &mut findings)?,
            _ => {
                let history = History::first(spec.schema.clone(), spec.defaults.clone());
                self.core.write_spec(&spec, &history)?;
                self.core.open_topic(spec, history, true, &mut findings)?
            }
        };
        for finding in findings {
            let (topic, partition) = (finding.topic, finding.partition);
            tracing::warn!(topic, partition, "{}", finding.what);
        }
        Ok(topic)
    }

    /// Gives a topic the schema of a declaration, where [`crate::alter`] lets it: one more version, which rows appended
    /// from now on are written under, and which all rows are read as. Durable when it returns. Readers that are under way
    /// go on with the schema that they began with.
    pub fn alter(&self, declared: TopicSpec) -> Result<Arc<Topic>> {
        declared.check()?;
        let (name, reply) = (declared.name.clone(), Arc::new(Reply::default()));
        self.core.queue.alter(Alter {
            declared,
            reply: reply.clone(),
        })?;
        reply.wait()?;
        self.core.topic(&name)
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
        let before = so_far();
        let prepared = prepare(append, &topic, &rejected, self.core.now());
        self.core.charge(&topic.spec().name, so_far().since(before));
        let prepared = prepared?;
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

    /// What appends to each topic have used since this log was opened, whoever did the work.
    pub fn used(&self) -> BTreeMap<String, Used> {
        self.core.used()
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

    /// How often [`Log::wake`] was called. Who waits for more than rows reads it before looking whether to wait at all.
    pub fn wakes(&self) -> u64 {
        self.lock_durable().wakes
    }

    /// Waits until [`Log::durable`] is greater than `after`, or for at most `patience`, or until [`Log::wake`] was called
    /// more than `wakes` times; what is durable then.
    pub fn wait_beyond(&self, after: Sequence, wakes: u64, patience: Duration) -> Sequence {
        let durable = self.lock_durable();
        let waits = |d: &mut Durable| d.sequence <= after && d.wakes == wakes;
        let (durable, _) = self
            .core
            .moved
            .wait_timeout_while(durable, patience, waits)
            .expect("no holder of this lock panics");
        durable.sequence
    }

    /// The host's clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.core.clock
    }

    /// What the host's clock shows.
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// Wakes all who wait in [`Log::wait_beyond`], and makes the writer look at the clock.
    pub fn wake(&self) {
        self.lock_durable().wakes += 1;
        self.core.moved.notify_all();
        self.core.queue.nudge();
    }

    fn lock_durable(&self) -> MutexGuard<'_, Durable> {
        let durable = self.core.durable.lock();
        durable.expect("no holder of this lock panics")
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

/// The topic of the rows that a source topic refuses.
fn rejected_of(spec: &TopicSpec) -> Option<TopicSpec> {
    let takes = spec.origin == Origin::Source && !spec.name.ends_with(".rejected");
    takes.then(|| TopicSpec {
        name: format!("{}.rejected", spec.name),
        origin: Origin::Source,
        schema: rejected_schema(),
        key: Vec::new(),
        time: None,
        partitions: 1,
        ahead_us: 0,
        idle_us: None,
        segment_bytes: spec.segment_bytes,
        defaults: Defaults::new(),
    })
}

fn with_rejected(spec: &TopicSpec) -> impl Iterator<Item = TopicSpec> {
    rejected_of(spec).into_iter().chain([spec.clone()])
}

#[cfg(test)]
mod tests;
