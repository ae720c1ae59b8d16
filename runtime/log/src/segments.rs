//! A run of segment files: what a partition and the commit log have in common. Append, sync, publish, read, recover.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::Result;
use crate::cursor::Cursor;
use crate::frame::FrameKind;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::log::Finding;
use crate::schema::Schema;
use crate::storage::Storage;

/// How a run of segments is kept.
#[derive(Clone, Debug)]
pub struct SegmentOptions {
    /// Largest size of a segment in bytes.
    pub segment_bytes: u64,
    /// Keep the next segment allocated, so that a full disk does not stop the next appends.
    pub spare: bool,
    /// Name for messages: `topic`, `commits`.
    pub name: String,
    /// Partition for messages and headers.
    pub partition: u32,
}

/// A frame to append.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it holds.
    pub kind: FrameKind,
    /// Its sequence.
    pub sequence: Sequence,
    /// Its append time.
    pub append_time: Timestamp,
    /// Its rows, in the schema of the run; none for ticks and marks.
    pub rows: Option<RecordBatch>,
}

/// An append-only run of segment files. One writer; readers through [`Segments::cursor`].
#[derive(Debug)]
pub struct Segments {
    _private: (),
}

impl Segments {
    /// Opens and recovers the run in `folder`. `durable` is an end offset known from elsewhere to have been durable
    /// (damage before it is damage to acknowledged data).
    pub fn open(
        _storage: Arc<dyn Storage>,
        _folder: PathBuf,
        _options: SegmentOptions,
        _schema: Arc<Schema>,
        _durable: Option<Offset>,
    ) -> Result<(Segments, Vec<Finding>)> {
        todo!()
    }

    /// Appends frames with one write (per segment touched). Not durable, not seen by readers yet.
    pub fn append(&mut self, _frames: &[Draft]) -> Result<()> {
        todo!()
    }

    /// Makes all that was appended durable and seen by readers; the end offset.
    pub fn sync(&mut self) -> Result<Offset> {
        todo!()
    }

    /// Offset after the last appended row.
    pub fn end(&self) -> Offset {
        todo!()
    }

    /// Bytes in frames, over all segments.
    pub fn bytes(&self) -> u64 {
        todo!()
    }

    /// A cursor over the frames from this offset on.
    pub fn cursor(&self, _from: Offset) -> Result<Cursor> {
        todo!()
    }

    /// Starts a new segment, so that everything before it can be dropped as a whole later.
    pub fn roll(&mut self) -> Result<Offset> {
        todo!()
    }

    /// Removes all segments that end at or before this offset.
    pub fn drop_before(&mut self, _offset: Offset) -> Result<()> {
        todo!()
    }
}
