//! One frame: a 128-byte header, a column directory, columns. Drawn in docs/formats.md.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};

use crate::Result;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::schema::Schema;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Rows.
    Rows,
    /// No rows: says that time went on.
    Tick,
    /// No rows: says how much is durable.
    Mark,
    /// A record of the commit log that closes a commit.
    Close,
}

/// The header of a frame, decoded.
#[derive(Clone, Debug)]
pub struct FrameHeader {
    /// Rows, tick, mark or close.
    pub kind: FrameKind,
    /// Version of the topic's schema that the columns follow.
    pub schema_version: u32,
    /// Rows in the frame.
    pub rows: u32,
    /// Offset of its first row; of the next row for a frame without rows.
    pub base_offset: Offset,
    /// Its sequence. In a derived topic: of the last source frame that it covers.
    pub sequence: Sequence,
    /// When it was appended.
    pub append_time: Timestamp,
    /// Smallest and largest event time; `None` without rows or without an event-time field.
    pub times: Option<(Timestamp, Timestamp)>,
    /// xxh3-64 of the producer's name, 0 for none.
    pub producer: u64,
    /// Input row number of its last row, counted by the producer.
    pub producer_row: u64,
}

/// Where the rows of a derived topic come from, for the rows of one frame. One [`OriginRun`] for each source frame that
/// the node took, also for those that gave no rows, so that a reader knows the watermark wherever it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// In rising order of sequence.
    pub runs: Vec<OriginRun>,
    /// For each derived row, the row in its source frame. Never decreasing within a run.
    pub rows: Vec<u32>,
    /// For each derived row, the node's watermark before its source row.
    pub watermarks: Vec<Timestamp>,
}

/// The derived rows of one source frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginRun {
    /// The source frame.
    pub sequence: Sequence,
    /// Its append time.
    pub append_time: Timestamp,
    /// Whether it held rows (a tick does not end idleness).
    pub data: bool,
    /// Index in the derived frame after its last derived row.
    pub rows_end: u32,
    /// The node's watermark after it.
    pub watermark: Timestamp,
}

/// One published frame, read through the map: columns are checked when they are asked for.
#[derive(Clone, Debug)]
pub struct Frame {
    _private: (),
}

impl Frame {
    /// Its header.
    pub fn header(&self) -> &FrameHeader {
        todo!()
    }

    /// The schema of its columns.
    pub fn schema(&self) -> &Arc<Schema> {
        todo!()
    }

    /// One column, by its place in the schema; its checksum is verified, its bytes are not copied.
    pub fn column(&self, _field: usize) -> Result<ArrayRef> {
        todo!()
    }

    /// Several columns as a batch, in the order asked for.
    pub fn batch(&self, _fields: &[usize]) -> Result<RecordBatch> {
        todo!()
    }

    /// The origins of its rows; `None` in a source topic.
    pub fn origins(&self) -> Result<Option<Origins>> {
        todo!()
    }
}
