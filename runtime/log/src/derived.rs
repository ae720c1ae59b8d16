//! Appends to one partition of a derived topic. What it appends is seen by readers when it is published.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;

use crate::frame::{FrameHeader, FrameKind, Origins, origins};
use crate::ids::{Offset, Sequence};
use crate::log::Log;
use crate::open::{Opening, recover};
use crate::prepare;
use crate::retention::Kept;
use crate::tail::{Built, Tail};
use crate::topic::{Origin, Topic};
use crate::{Error, Result, columns};

/// Appends to one partition of a derived topic. What it appends is seen by readers when it is published.
#[derive(Debug)]
pub struct DerivedWriter {
    topic: Arc<Topic>,
    partition: u32,
}

impl DerivedWriter {
    pub(crate) fn new(topic: Arc<Topic>, partition: u32) -> Result<DerivedWriter> {
        let name = &topic.spec().name;
        let place = topic.partition(partition)?;
        if place.tail().is_none() {
            return Err(Error::Invalid(format!(
                "{name}/{partition} was not cut to its last commit yet"
            )));
        }
        if place.taken.swap(true, Ordering::AcqRel) {
            return Err(Error::Invalid(format!(
                "{name}/{partition} has a writer already"
            )));
        }
        Ok(DerivedWriter { topic, partition })
    }

    /// Appends one frame. `rows` in the topic's schema; `origins` has one entry of `rows` for each row.
    pub fn append(&mut self, rows: &RecordBatch, origins: &Origins) -> Result<()> {
        origins::check(origins, rows.num_rows())?;
        let mut builder = columns::build(rows, self.topic.schema())?;
        origins::write(origins, &mut builder)?;
        let last = origins.runs.last().expect("checked: at least one run");
        let built = Built {
            header: FrameHeader {
                kind: FrameKind::Rows,
                schema_version: self.topic.version(),
                rows: rows.num_rows() as u32,
                base_offset: Offset(0),
                sequence: last.sequence,
                append_time: last.append_time,
                times: prepare::times(self.topic.spec(), rows),
                producer: 0,
                producer_row: 0,
            },
            payload: builder.finish(rows.num_rows()),
            origins: true,
        };
        self.with_tail(|tail| tail.append(vec![built]))
    }

    /// Makes all that was appended durable; the end offset for the commit record.
    pub fn sync(&mut self) -> Result<Offset> {
        self.with_tail(|tail| tail.sync().map(|()| tail.end()))
    }

    /// Readers see everything that the last [`DerivedWriter::sync`] made durable from now on: the commit that names
    /// `end`, its answer, is durable. Frames appended since stay unseen.
    pub fn publish(&mut self, end: Offset) {
        let published = self.with_tail(|tail| {
            debug_assert!(tail.end() >= end, "a commit names the end that was synced");
            tail.publish();
            Ok(())
        });
        debug_assert!(published.is_ok(), "publishing does not fail");
    }

    /// Forgets all that was appended since the last publish: the node's attempt failed.
    pub fn rollback(&mut self) -> Result<()> {
        self.with_tail(Tail::rollback)
    }

    fn with_tail<T>(&self, act: impl FnOnce(&mut Tail) -> Result<T>) -> Result<T> {
        let mut tail = self.topic.partition(self.partition)?.tail();
        act(tail
            .as_mut()
            .expect("a writer is made of an open partition"))
    }
}

impl Drop for DerivedWriter {
    fn drop(&mut self) {
        if let Ok(partition) = self.topic.partition(self.partition) {
            partition.taken.store(false, Ordering::Release);
        }
    }
}

impl Log {
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
            ..self.core.opening(topic.spec(), topic.history(), partition)
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

    /// Lets a partition of a derived topic that has no rows yet begin where another one does: at that offset, as if
    /// retention had taken what came before. Durable when it returns.
    pub fn begin_derived(&self, topic: &str, partition: u32, kept: &Kept) -> Result<()> {
        let found = self.derived_topic(topic)?;
        let run = &found.partition(partition)?.run;
        if run.end() > Offset(0) {
            return Err(Error::Invalid(format!(
                "{topic}/{partition} has rows already: it cannot begin at row {}",
                kept.start
            )));
        }
        if kept.start > Offset(0) || kept.removed_up_to > Sequence(0) {
            run.note_removed(kept)?;
        }
        self.cut_derived(topic, partition, kept.start, kept.removed_up_to)
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
}
