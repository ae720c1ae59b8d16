//! A named log: its declaration, its partitions, and which partition a row belongs to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::cursor::Cursor;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::schema::Schema;

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
    /// Name: letters, digits, `-`, `_`, `.`; at most 120 bytes.
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
}

/// One topic of an open log.
#[derive(Debug)]
pub struct Topic {
    _private: (),
}

impl Topic {
    /// Its declaration.
    pub fn spec(&self) -> &TopicSpec {
        todo!()
    }

    /// Its schema.
    pub fn schema(&self) -> &Arc<Schema> {
        todo!()
    }

    /// First offset that is there.
    pub fn start(&self, _partition: u32) -> Offset {
        todo!()
    }

    /// Offset after the last published row.
    pub fn end(&self, _partition: u32) -> Offset {
        todo!()
    }

    /// Bytes of its published frames.
    pub fn bytes(&self) -> u64 {
        todo!()
    }

    /// Largest event time of the published rows.
    pub fn time_max(&self) -> Option<Timestamp> {
        todo!()
    }

    /// A cursor that stands on the frame with this offset, or at the end.
    pub fn cursor(&self, _partition: u32, _from: Offset) -> Result<Cursor> {
        todo!()
    }

    /// A cursor that stands on the first frame with a sequence greater than `after`.
    pub fn cursor_after(&self, _partition: u32, _after: Sequence) -> Result<Cursor> {
        todo!()
    }

    /// Offset of the first row of the first frame that may hold event times ≥ `time`, by the sparse index.
    pub fn seek_time(&self, _partition: u32, _time: Timestamp) -> Result<Offset> {
        todo!()
    }
}
