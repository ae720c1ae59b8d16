//! A run of segment files: what a partition and the commit log have in common. Append, sync, publish, read, recover.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::Result;
use crate::columns::{self, Payload};
use crate::cursor::Cursor;
use crate::frame::{FrameHeader, FrameKind};
use crate::ids::{Offset, Sequence, Timestamp};
use crate::log::Finding;
use crate::open::{Opening, open};
use crate::parts::Part;
use crate::schema::Schema;
use crate::schemas::{Defaults, History};
use crate::segment::{Run, RunName};
use crate::storage::Storage;
use crate::tail::{Built, Tail, TailOptions};

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
    /// The writer's own note about it, kept in its header in the place of a producer's row number; 0 for none.
    pub note: u64,
    /// Its rows, in the schema of the run; none for ticks and marks.
    pub rows: Option<RecordBatch>,
}

/// An append-only run of segment files. One writer; readers through [`Segments::cursor`]. Dropped, it leaves a mark of
/// what is durable.
#[derive(Debug)]
pub struct Segments {
    run: Arc<Run>,
    tail: Tail,
    schema: Arc<Schema>,
}

impl Segments {
    /// Opens and recovers the run in `folder`. `durable` is an end offset known from elsewhere to have been durable
    /// (damage before it is damage to acknowledged data). Bytes that recovery takes out go to `quarantine` in it.
    pub fn open(
        storage: Arc<dyn Storage>,
        folder: PathBuf,
        options: SegmentOptions,
        schema: Arc<Schema>,
        durable: Option<Offset>,
    ) -> Result<(Segments, Vec<Finding>)> {
        let (run, tail, findings) = open(Opening {
            name: RunName {
                topic: options.name,
                partition: options.partition,
            },
            storage,
            quarantine: folder.join("quarantine"),
            folder,
            history: Arc::new(History::first((*schema).clone(), Defaults::new())),
            options: TailOptions {
                segment_bytes: options.segment_bytes,
                spare: options.spare,
            },
            durable,
            cut: None,
            retained: false,
        })?;
        Ok((Segments { run, tail, schema }, findings))
    }

    /// Appends frames with one write (all into one segment, which grows past its size if they are larger). Not durable,
    /// not seen by readers yet. After [`crate::Error::NoSpace`] nothing of it is kept, and it may be tried again.
    pub fn append(&mut self, frames: &[Draft]) -> Result<()> {
        let built = frames.iter().map(|draft| self.build(draft));
        let built = built.collect::<Result<Vec<_>>>()?;
        if built.is_empty() {
            return Ok(());
        }
        self.tail.append(built)
    }

    fn build(&self, draft: &Draft) -> Result<Built> {
        let payload = match &draft.rows {
            Some(rows) => columns::encode(rows, &self.schema)?,
            None => Payload::empty(),
        };
        Ok(Built {
            header: FrameHeader {
                kind: draft.kind,
                schema_version: 1,
                rows: payload.rows(),
                base_offset: Offset(0),
                sequence: draft.sequence,
                append_time: draft.append_time,
                times: None,
                producer: 0,
                producer_row: draft.note,
            },
            payload,
            origins: false,
        })
    }

    /// Makes all that was appended durable and seen by readers; the end offset.
    pub fn sync(&mut self) -> Result<Offset> {
        self.tail.sync()?;
        self.tail.publish();
        Ok(self.tail.end())
    }

    /// Takes back all that was appended since the last sync, as if it had never been.
    pub fn rollback(&mut self) -> Result<()> {
        self.tail.rollback()
    }

    /// Opens it again after [`crate::Error::Failed`], at what was synced.
    pub fn reopen(&mut self) -> Result<()> {
        self.tail.reopen()
    }

    /// Writes a durable mark of what is durable, so that damage to it is told from a torn write. For idle times.
    pub fn mark(&mut self) -> Result<()> {
        self.tail.mark()
    }

    /// Offset after the last appended row.
    pub fn end(&self) -> Offset {
        self.tail.end()
    }

    /// First offset that is there.
    pub fn start(&self) -> Offset {
        self.run.start()
    }

    /// Bytes in frames, over all segments.
    pub fn bytes(&self) -> u64 {
        self.run.bytes()
    }

    /// A cursor over the frames from this offset on.
    pub fn cursor(&self, from: Offset) -> Result<Cursor> {
        Cursor::at_offset(self.run.clone(), self.run.readings(), from)
    }

    /// Gives every segment a second name in `folder`, which is there and empty, up to what was synced; see
    /// [`crate::parts::lay_out`].
    pub fn link_into(&self, folder: &Path) -> Result<Vec<Part>> {
        self.run.link_into(folder, false)
    }

    pub(crate) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// Starts a new segment, so that everything before it can be dropped as a whole later. What was appended is synced.
    /// The offset with which the new segment begins.
    pub fn roll(&mut self) -> Result<Offset> {
        self.tail.seal()
    }

    /// Removes all segments that end at or before this offset.
    pub fn drop_before(&mut self, offset: Offset) -> Result<()> {
        while self.drop_first_before(offset)? {}
        Ok(())
    }

    /// Whether the blocks of a segment that was removed are still being given back, bit by bit.
    pub fn is_freeing(&self) -> bool {
        self.run.is_freeing()
    }

    /// Removes the first segment if it ends at or before this offset; whether it did. The last segment stays. After an
    /// error all segments are still there.
    pub fn drop_first_before(&mut self, offset: Offset) -> Result<bool> {
        self.run
            .drop_first(|segment| segment.end_offset() <= offset)
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        // A mark only helps the next recovery: without it nothing is lost.
        let _ = self.tail.mark();
    }
}
