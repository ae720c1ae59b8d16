//! The one thread that appends to source topics: collects appends into a group, gives each frame its sequence, writes,
//! syncs, publishes, answers. It also writes ticks for quiet partitions and marks when it is idle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::frame::header::frame_bytes;
use crate::frame::{FrameHeader, FrameKind};
use crate::ids::{Offset, Sequence, Timestamp};
use crate::limits::{MARK_AFTER_MS, TICK_POLL_MS};
use crate::log::{Appended, Core};
use crate::meter::so_far;
use crate::prepare::{Part, Prepared, part};
use crate::queue::{Act, Alter, Job, Wanted};
use crate::tail::{Built, Tail};
use crate::topic::{Origin, Topic};
use crate::{Error, Result};

type Place = (String, u32);

/// The writer's own knowledge.
#[derive(Debug)]
pub(crate) struct Writer {
    core: Arc<Core>,
    /// Where a producer's rows are missing since a failed append of it: by topic and producer.
    missing: BTreeMap<(String, u64), u64>,
    sequence: Sequence,
    append_time: Timestamp,
    marked: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.core.queue.close();
        self.core.queue.abandon();
    }
}

/// Frames for one partition.
struct Batch {
    topic: Arc<Topic>,
    partition: u32,
    frames: Vec<Built>,
}

impl Writer {
    pub(crate) fn new(core: Arc<Core>, sequence: Sequence, append_time: Timestamp) -> Writer {
        Writer {
            core,
            missing: BTreeMap::new(),
            sequence,
            append_time,
            marked: false,
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(group) = self.core.queue.next(self.patience()) {
            self.sequence = self.sequence.max(self.core.sequence_floor());
            let idle = group.is_empty();
            if !idle {
                self.marked = false;
                self.commit_metered(group);
            }
            for wanted in self.core.queue.wanted() {
                let done = match wanted.act {
                    Act::Seal => self.seal(&wanted),
                    Act::Tick => self.tick_one(&wanted),
                };
                wanted.reply.set(done.map(|()| Appended::default()));
            }
            for alter in self.core.queue.alters() {
                self.alter(&alter);
            }
            self.tick();
            if idle && !self.marked {
                self.mark();
            }
        }
        self.mark();
    }

    fn patience(&self) -> Duration {
        let ticks = self
            .core
            .topics()
            .iter()
            .any(|t| t.spec().idle_us.is_some());
        Duration::from_millis(match (self.marked, ticks) {
            (false, _) => MARK_AFTER_MS,
            (true, true) => TICK_POLL_MS,
            (true, false) => 3_600_000,
        })
    }

    fn stamp(&mut self) -> Timestamp {
        self.append_time = self.append_time.max(self.core.clock.now());
        self.append_time
    }

    /// Commits a group, and charges what that used to the topics of its appends, by their bytes.
    fn commit_metered(&mut self, group: Vec<Job>) {
        let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
        for job in &group {
            match bytes.get_mut(&job.prepared.topic) {
                Some(sum) => *sum += job.prepared.bytes,
                None => drop(bytes.insert(job.prepared.topic.clone(), job.prepared.bytes)),
            }
        }
        let before = so_far();
        self.commit(group);
        let used = so_far().since(before);
        let parts = bytes.values().copied().collect::<Vec<u64>>();
        for (topic, used) in bytes.keys().zip(used.shared(&parts)) {
            self.core.charge(topic, used);
        }
    }

    /// Commits a group; when it does not go as a whole, its appends one by one.
    fn commit(&mut self, group: Vec<Job>) {
        let mut ready = Vec::new();
        for job in group {
            match self.admit(&job.prepared) {
                Ok(()) => ready.push(job),
                Err(e) => job.reply.set(Err(e)),
            }
        }
        match self.attempt(&ready) {
            Ok(answers) => {
                for (job, answer) in ready.into_iter().zip(answers) {
                    self.missing.remove(&owner(&job.prepared));
                    job.reply.set(Ok(answer));
                }
            }
            Err(Attempt::Unwritten(e)) if ready.len() == 1 => self.refuse(&ready[0], e),
            Err(Attempt::Unwritten(_)) => ready.into_iter().for_each(|job| self.commit(vec![job])),
            Err(Attempt::Failed(e)) => ready.iter().for_each(|job| self.refuse(job, again(&e))),
        }
    }

    fn refuse(&mut self, job: &Job, e: Error) {
        if job.prepared.producer != 0 {
            let first = job.prepared.first_row;
            let missing = self.missing.entry(owner(&job.prepared)).or_insert(first);
            *missing = first.min(*missing);
        }
        job.reply.set(Err(e));
    }

    /// A producer goes on where it was refused: later rows would make the missing ones look like repeated ones.
    fn admit(&self, prepared: &Prepared) -> Result<()> {
        if self.core.is_stopped() {
            return Err(Error::Stopped);
        }
        match self.missing.get(&owner(prepared)) {
            Some(missing) if prepared.producer != 0 && prepared.first_row > *missing => {
                Err(Error::Invalid(format!(
                    "rows from {missing} on were not kept; append again from there"
                )))
            }
            _ => Ok(()),
        }
    }

    fn attempt(&mut self, jobs: &[Job]) -> Result<Vec<Appended>, Attempt> {
        let mut batches: BTreeMap<Place, Batch> = BTreeMap::new();
        let mut highs = BTreeMap::new();
        let mut answers = vec![Appended::default(); jobs.len()];
        let mut sequence = self.sequence;
        let append_time = self.stamp();
        for (job, answer) in jobs.iter().zip(&mut answers) {
            for part in &job.prepared.parts {
                let producer = job.prepared.producer;
                let fresh = fresh(part, producer, &mut highs).map_err(Attempt::Unwritten)?;
                let rows = fresh.as_ref().map_or(0, |f| u64::from(f.payload.rows()));
                answer.duplicates += part.rows.num_rows() as u64 - rows;
                let kept = if part.rejected {
                    &mut answer.rejected
                } else {
                    &mut answer.rows
                };
                *kept += rows;
                if let Some(fresh) = fresh {
                    sequence = Sequence(sequence.0 + 1);
                    answer.sequence = sequence;
                    batch_of(&mut batches, part).frames.push(fresh.built(
                        producer,
                        sequence,
                        append_time,
                    ));
                }
            }
        }
        self.write(batches, sequence)?;
        let durable = self.core.durable();
        for answer in &mut answers {
            answer.sequence = if answer.sequence.0 == 0 {
                durable
            } else {
                answer.sequence
            };
        }
        Ok(answers)
    }

    /// Reserves, writes, syncs and publishes, all or nothing.
    fn write(&mut self, batches: BTreeMap<Place, Batch>, last: Sequence) -> Result<(), Attempt> {
        let batches: Vec<Batch> = batches.into_values().collect();
        for batch in &batches {
            let bytes = batch.frames.iter().map(|f| frame_bytes(&f.payload)).sum();
            batch
                .act(|tail| tail.reserve(bytes))
                .map_err(|e| self.unwritten(&batches, e))?;
        }
        self.sequence = last;
        for batch in &batches {
            let frames = batch.frames.clone();
            batch
                .act(|tail| tail.write(frames))
                .map_err(|e| self.abort(&batches, e))?;
        }
        for batch in &batches {
            batch.act(Tail::sync).map_err(|e| self.abort(&batches, e))?;
        }
        for batch in &batches {
            let published = batch.act(|tail| {
                tail.publish();
                Ok(())
            });
            debug_assert!(published.is_ok(), "publishing does not fail");
        }
        self.core.set_durable(last);
        Ok(())
    }

    fn unwritten(&self, batches: &[Batch], e: Error) -> Attempt {
        self.note_stop(batches);
        Attempt::Unwritten(e)
    }

    /// Takes back what the group wrote into files that did not fail.
    fn abort(&self, batches: &[Batch], e: Error) -> Attempt {
        for batch in batches {
            let back = batch.act(Tail::rollback);
            if let Err(e) = back {
                tracing::error!(error = %e, "a group was refused");
            }
        }
        self.note_stop(batches);
        Attempt::Failed(e)
    }

    fn note_stop(&self, batches: &[Batch]) {
        if batches
            .iter()
            .any(|batch| batch.act(|tail| Ok(tail.void_unknown)).unwrap_or(true))
        {
            self.core.stop();
        }
    }

    /// One tick for each partition that has been quiet for longer than its topic's `idle`.
    fn tick(&mut self) {
        let now = self.append_time.max(self.core.clock.now());
        let mut batches = BTreeMap::new();
        let mut sequence = self.sequence;
        for topic in self.core.topics() {
            for partition in quiet(&topic, now) {
                sequence = Sequence(sequence.0 + 1);
                batches.insert(
                    (topic.spec().name.clone(), partition),
                    Batch {
                        topic: topic.clone(),
                        partition,
                        frames: vec![tick_frame(sequence, now)],
                    },
                );
            }
        }
        if batches.is_empty() || self.core.is_stopped() {
            return;
        }
        self.append_time = now;
        self.marked = false;
        if let Err(Attempt::Unwritten(e) | Attempt::Failed(e)) = self.write(batches, sequence) {
            tracing::warn!(error = %e, "no tick was written");
        }
    }

    /// Between groups nothing is written that is not published: a segment can end here.
    fn seal(&self, wanted: &Wanted) -> Result<()> {
        if self.core.is_stopped() {
            return Ok(());
        }
        let mut tail = wanted.partition()?.tail();
        let tail = tail.as_mut().expect("a source topic is open");
        let sealed = tail.seal().map(drop);
        if tail.void_unknown {
            self.core.stop();
        }
        sealed
    }

    /// A tick that somebody wants.
    fn tick_one(&mut self, wanted: &Wanted) -> Result<()> {
        if self.core.is_stopped() {
            return Err(Error::Stopped);
        }
        let sequence = Sequence(self.sequence.0 + 1);
        let now = self.stamp();
        self.marked = false;
        let place = (wanted.topic.spec().name.clone(), wanted.partition);
        let batch = Batch {
            topic: wanted.topic.clone(),
            partition: wanted.partition,
            frames: vec![tick_frame(sequence, now)],
        };
        let written = self.write([(place, batch)].into(), sequence);
        written.map_err(|(Attempt::Unwritten(e) | Attempt::Failed(e))| e)
    }

    /// Between groups nothing is written: all frames that are there are of earlier versions, and so are those that were
    /// encoded before and come later, which do no harm.
    fn alter(&self, alter: &Alter) {
        let since = self.sequence.max(self.core.durable());
        let altered = self.core.alter(&alter.declared, since);
        alter.reply.set(altered.map(|()| Appended::default()));
    }

    fn mark(&mut self) {
        self.marked = true;
        if self.core.is_stopped() {
            return;
        }
        for topic in self.core.topics() {
            for partition in topic
                .partitions
                .iter()
                .filter(|_| topic.spec().origin == Origin::Source)
            {
                if let Some(tail) = partition.tail().as_mut()
                    && let Err(e) = tail.mark()
                {
                    tracing::warn!(error = %e, "no mark was written");
                    if tail.void_unknown {
                        self.core.stop();
                    }
                }
            }
        }
    }
}

/// How an attempt ended.
enum Attempt {
    /// Nothing was written.
    Unwritten(Error),
    /// Something was written and taken back, or its file is out of order.
    Failed(Error),
}

impl Batch {
    fn act<T>(&self, act: impl FnOnce(&mut Tail) -> Result<T>) -> Result<T> {
        let mut tail = self.topic.partition(self.partition)?.tail();
        act(tail.as_mut().expect("a source topic is open"))
    }
}

/// Rows of a part that were not appended before.
struct Fresh {
    payload: crate::columns::Payload,
    times: Option<(Timestamp, Timestamp)>,
    last_row: u64,
    schema_version: u32,
}

impl Fresh {
    fn built(self, producer: u64, sequence: Sequence, append_time: Timestamp) -> Built {
        Built {
            header: FrameHeader {
                kind: FrameKind::Rows,
                schema_version: self.schema_version,
                rows: self.payload.rows(),
                base_offset: Offset(0),
                sequence,
                append_time,
                times: self.times,
                producer,
                producer_row: if producer == 0 { 0 } else { self.last_row },
            },
            payload: self.payload,
            origins: false,
        }
    }
}

/// Leaves out what the partition has of this producer already. `highs` are those of this group.
fn fresh(
    part: &Part,
    producer: u64,
    highs: &mut BTreeMap<(String, u32, u64), u64>,
) -> Result<Option<Fresh>> {
    let last_row = part.numbers.last().copied().unwrap_or_default();
    let whole = |p: &Part| Fresh {
        payload: p.payload.clone(),
        times: p.times,
        last_row,
        schema_version: p.topic.version(),
    };
    if producer == 0 {
        return Ok(Some(whole(part)).filter(|f| f.payload.rows() > 0));
    }
    let key = (part.topic.spec().name.clone(), part.partition, producer);
    let high = highs.get(&key).copied().or_else(|| {
        let tail = part.topic.partitions[part.partition as usize].tail();
        tail.as_ref()?.past.producers.get(&producer).copied()
    });
    let had = part
        .numbers
        .partition_point(|&n| n <= high.unwrap_or_default());
    if had == part.numbers.len() {
        return Ok(None);
    }
    highs.insert(key, last_row);
    if had == 0 {
        return Ok(Some(whole(part)));
    }
    let rows = part.rows.slice(had, part.rows.num_rows() - had);
    let rest = self::part(
        &part.topic,
        part.partition,
        rows,
        part.numbers[had..].to_vec(),
        part.rejected,
    )?;
    Ok(Some(whole(&rest)))
}

fn batch_of<'a>(batches: &'a mut BTreeMap<Place, Batch>, part: &Part) -> &'a mut Batch {
    let place = (part.topic.spec().name.clone(), part.partition);
    batches.entry(place).or_insert_with(|| Batch {
        topic: part.topic.clone(),
        partition: part.partition,
        frames: Vec::new(),
    })
}

fn owner(prepared: &Prepared) -> (String, u64) {
    (prepared.topic.clone(), prepared.producer)
}

/// Partitions of a topic that want a tick.
fn quiet(topic: &Topic, now: Timestamp) -> Vec<u32> {
    let Some(idle_us) = topic
        .spec()
        .idle_us
        .filter(|_| topic.spec().origin == Origin::Source)
    else {
        return Vec::new();
    };
    let wants = |i: &u32| {
        let partition = &topic.partitions[*i as usize];
        let tail = partition.tail();
        let Some(tail) = tail.as_ref().filter(|t| t.check_open().is_ok()) else {
            return false;
        };
        let since = tail.past.data_time.unwrap_or(partition.opened);
        !tail.past.ticked && now.0.saturating_sub(since.0) > idle_us
    };
    (0..topic.spec().partitions).filter(wants).collect()
}

fn tick_frame(sequence: Sequence, append_time: Timestamp) -> Built {
    Built {
        header: FrameHeader {
            kind: FrameKind::Tick,
            schema_version: 1,
            rows: 0,
            base_offset: Offset(0),
            sequence,
            append_time,
            times: None,
            producer: 0,
            producer_row: 0,
        },
        payload: crate::columns::Payload::empty(),
        origins: false,
    }
}

/// The same error for another who waits.
fn again(e: &Error) -> Error {
    match e {
        Error::NoSpace { topic, partition } => Error::NoSpace {
            topic: topic.clone(),
            partition: *partition,
        },
        Error::Failed {
            topic,
            partition,
            action,
            durable,
            source,
        } => Error::Failed {
            topic: topic.clone(),
            partition: *partition,
            action,
            durable: *durable,
            source: match source.raw_os_error() {
                Some(errno) => std::io::Error::from_raw_os_error(errno),
                None => source.kind().into(),
            },
        },
        Error::Stopped => Error::Stopped,
        other => Error::Invalid(other.to_string()),
    }
}
