//! A named log: its declaration, its partitions, and which partition a row belongs to.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::limits::{PARTITIONS_MAX, SEGMENT_BYTES_MIN, TOPIC_NAME_BYTES_MAX};
use crate::schema::{Kind, Schema};
use crate::schemas::{Defaults, History, Readings};
use crate::segment::Run;
use crate::tail::Tail;
use crate::{Error, Result};

/// Who appends to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Producers: its frames are stamped with a new sequence, and are ground state.
    Source,
    /// A node: its frames carry origins and can be rebuilt. Readers see it up to the last commit.
    Derived,
}

/// The declaration of a topic, kept beside its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// Name: letters, digits, `-`, `_`, `.`, and `@` for a derived topic (versions of a node); at most 120 bytes.
    pub name: String,
    /// Source or derived.
    pub origin: Origin,
    /// Its fields.
    pub schema: Schema,
    /// The fields of the partition key, none: by blocks of row numbers.
    pub key: Vec<String>,
    /// The event-time field; none: arrival time.
    pub time: Option<String>,
    /// How many partitions.
    pub partitions: u32,
    /// Event times further than this past the append time are rejected, in microseconds.
    pub ahead_us: i64,
    /// A partition without rows for longer than this is idle, in microseconds; none: never.
    pub idle_us: Option<i64>,
    /// Largest size of a segment in bytes.
    pub segment_bytes: u64,
    /// Values of fields that a row is given without.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
}

impl TopicSpec {
    /// Checks everything that can be checked without looking at a disk.
    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |what: String| Err(Error::Invalid(format!("topic {}: {what}", self.name)));
        let versioned = self.origin == Origin::Derived;
        let plain =
            |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || (versioned && c == '@');
        if self.name.is_empty()
            || self.name.len() > TOPIC_NAME_BYTES_MAX
            || self.name.starts_with('.')
            || !self.name.chars().all(plain)
        {
            return invalid(format!(
                "a name has 1 to {TOPIC_NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, and does not begin with `.`"
            ));
        }
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return invalid(format!("it has 1 to {PARTITIONS_MAX} partitions"));
        }
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            return invalid(format!(
                "a segment takes at least {SEGMENT_BYTES_MIN} bytes"
            ));
        }
        for name in &self.key {
            match self.schema.field(name) {
                None => return invalid(format!("the key field {name} is not in its schema")),
                Some(f) if f.kind == Kind::F64 => {
                    return invalid(format!("{name} is f64, which cannot be a key"));
                }
                Some(_) => {}
            }
        }
        match self
            .time
            .as_ref()
            .map(|name| (name, self.schema.field(name)))
        {
            Some((name, None)) => invalid(format!("the time field {name} is not in its schema")),
            Some((name, Some(f))) if f.kind != Kind::Timestamp => invalid(format!(
                "the time field {name} is {}, not timestamp",
                f.kind.name()
            )),
            _ => self.check_defaults().or_else(invalid),
        }
    }

    fn check_defaults(&self) -> Result<(), String> {
        for (name, value) in &self.defaults {
            match self.schema.field(name) {
                Some(field) if field.kind == value.kind() => {}
                Some(_) => return Err(format!("the default of {name} is of another type")),
                None => {
                    return Err(format!(
                        "the field {name} has a default, and is not in its schema"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether it is the same topic, up to what may change. Fields of a source topic may be named in another order.
    pub(crate) fn agrees(&self, declared: &TopicSpec) -> bool {
        match self.origin {
            Origin::Source => self.differences(declared).is_empty(),
            // Its rows are placed by the node that writes it, which answers for its key.
            Origin::Derived => {
                let keyed = TopicSpec {
                    key: self.key.clone(),
                    ..declared.clone()
                };
                self.schema == declared.schema && self.differences(&keyed).is_empty()
            }
        }
    }
}

/// One topic of an open log.
#[derive(Debug)]
pub struct Topic {
    spec: TopicSpec,
    history: Arc<History>,
    /// As which version of its schema its frames are read.
    readings: Readings,
    pub(crate) partitions: Arc<Vec<Partition>>,
    /// Rows without key and producer so far: decides their partition.
    pub(crate) keyless_rows: Arc<AtomicU64>,
}

/// One partition: readers go through its run, its writer holds its tail.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) run: Arc<Run>,
    /// `None`: a derived topic that was not cut to its last commit yet.
    pub(crate) tail: Arc<Mutex<Option<Tail>>>,
    /// When it was opened: a partition that never had rows becomes idle, too.
    pub(crate) opened: Timestamp,
    /// A writer of a derived topic has it.
    pub(crate) taken: Arc<AtomicBool>,
}

impl Partition {
    pub(crate) fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        self.tail.lock().expect("no holder of this lock panics")
    }
}

impl Topic {
    pub(crate) fn new(
        spec: TopicSpec,
        history: Arc<History>,
        partitions: Arc<Vec<Partition>>,
    ) -> Topic {
        let rows: u64 = partitions.iter().map(|p| p.run.end().0).sum();
        Topic {
            readings: Readings::new(&history, history.newest().version),
            history,
            spec,
            partitions,
            keyless_rows: Arc::new(rows.into()),
        }
    }

    /// The same topic under a declaration that agrees with its own, which names its fields in its order.
    pub(crate) fn redeclared(&self, spec: TopicSpec) -> Topic {
        Topic {
            spec,
            history: self.history.clone(),
            readings: self.readings.clone(),
            partitions: self.partitions.clone(),
            keyless_rows: self.keyless_rows.clone(),
        }
    }

    /// The same topic with one more version of its schema, which is the declaration's.
    pub(crate) fn altered(&self, spec: TopicSpec, history: Arc<History>) -> Topic {
        Topic {
            readings: Readings::new(&history, history.newest().version),
            history,
            ..self.redeclared(spec)
        }
    }

    /// The same topic as it was at a cut: with the schema that was in force then. Frames of later versions are read as
    /// that one, where nothing is lost.
    #[must_use]
    pub fn as_of(&self, cut: Sequence) -> Topic {
        self.under(self.history.at(cut).version)
    }

    /// The same topic with the version of its schema that has this number. Panics if there is none.
    #[must_use]
    pub fn under(&self, version: u32) -> Topic {
        let version = &self.history.versions()[version as usize - 1];
        Topic {
            readings: Readings::new(&self.history, version.version),
            ..self.redeclared(TopicSpec {
                schema: version.schema.clone(),
                defaults: version.defaults.clone(),
                ..self.spec.clone()
            })
        }
    }

    /// Its declaration.
    pub fn spec(&self) -> &TopicSpec {
        &self.spec
    }

    /// Its schema, as which frames of all versions are read.
    pub fn schema(&self) -> &Arc<Schema> {
        self.readings.schema()
    }

    /// The number of that version of its schema.
    pub fn version(&self) -> u32 {
        self.readings.version()
    }

    /// All versions of its schema.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// First offset that is there. Panics if there is no such partition.
    pub fn start(&self, partition: u32) -> Offset {
        self.partitions[partition as usize].run.start()
    }

    /// Offset after the last published row. Panics if there is no such partition.
    pub fn end(&self, partition: u32) -> Offset {
        self.partitions[partition as usize].run.end()
    }

    /// Bytes of its published frames.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(|p| p.run.bytes()).sum()
    }

    /// Largest event time of the published rows.
    pub fn time_max(&self) -> Option<Timestamp> {
        let max = |p: &Partition| p.tail().as_ref().and_then(|tail| tail.past.time_max);
        self.partitions.iter().filter_map(max).max()
    }

    /// Largest event time of the kept rows before `end`, where a frame ends.
    pub fn time_max_before(&self, partition: u32, end: Offset) -> Result<Option<Timestamp>> {
        Cursor::time_max_before(self.run(partition)?, end)
    }

    /// A cursor that stands on the frame with this offset, or at the end.
    pub fn cursor(&self, partition: u32, from: Offset) -> Result<Cursor> {
        Cursor::at_offset(self.run(partition)?, self.readings.clone(), from)
    }

    /// A cursor that stands on the first frame with a sequence greater than `after`.
    pub fn cursor_after(&self, partition: u32, after: Sequence) -> Result<Cursor> {
        Cursor::after_sequence(self.run(partition)?, self.readings.clone(), after)
    }

    /// Offset of the first row of the first frame that has an event time ≥ `time`, by the sparse index; where the
    /// topic has no event time, of the first frame appended at `time` or later. At the end when there is none.
    pub fn seek_time(&self, partition: u32, time: Timestamp) -> Result<Offset> {
        let run = self.run(partition)?;
        let cursor = match self.spec.time {
            Some(_) => Cursor::at_time(run, self.readings.clone(), time)?,
            None => Cursor::at_append_time(run, self.readings.clone(), time)?,
        };
        Ok(cursor.offset())
    }

    /// Offset of the first row, in log order, with an event time ≥ `time`; where the topic has no event time, of the
    /// first row appended at `time` or later. At the end when there is none.
    pub fn row_at_time(&self, partition: u32, time: Timestamp) -> Result<Offset> {
        let from = self.seek_time(partition, time)?;
        let field = self.spec.time.as_ref();
        let Some(field) = field.and_then(|name| self.schema().index_of(name)) else {
            return Ok(from);
        };
        let mut cursor = self.cursor(partition, from)?;
        while let Some(frame) = cursor.next(Sequence(u64::MAX))? {
            if frame.header().times.is_none_or(|(_, max)| max < time) {
                continue;
            }
            let batch = frame.batch(&[field])?;
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            let row = times
                .iter()
                .position(|us| us.is_some_and(|us| us >= time.0));
            if let Some(row) = row {
                return Ok(Offset(frame.header().base_offset.0 + row as u64));
            }
        }
        Ok(cursor.offset())
    }

    fn run(&self, partition: u32) -> Result<Arc<Run>> {
        Ok(self.partition(partition)?.run.clone())
    }

    pub(crate) fn partition(&self, partition: u32) -> Result<&Partition> {
        self.partitions.get(partition as usize).ok_or_else(|| {
            Error::Invalid(format!(
                "topic {} has {} partitions, no partition {partition}",
                self.spec.name, self.spec.partitions
            ))
        })
    }
}
