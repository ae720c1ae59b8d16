//! One frame: a 128-byte header, a column directory, columns. Drawn in docs/formats.md.

pub(crate) mod header;
pub(crate) mod origins;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;

use crate::checksum::crc32c;
use crate::columns::{self, Entry};
use crate::frame::header::RawHeader;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::limits::FRAME_HEADER_BYTES;
use crate::schema::{Field, Schema};
use crate::schemas::{Lift, Reading, missing};
use crate::segment::RunName;
use crate::widen::widen;
use crate::{Error, Result};

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Rows.
    Rows = 0,
    /// No rows: says that time went on.
    Tick = 1,
    /// No rows: says how much is durable.
    Mark = 2,
    /// A record of the commit log that closes a commit.
    Close = 3,
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

/// One published frame, read through the map: columns are checked when they are asked for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: RawHeader,
    reading: Arc<Reading>,
    run: Arc<RunName>,
    segment: Arc<str>,
    entries: Vec<Entry>,
    columns: Buffer,
    /// One for each region: its checksum was verified.
    verified: Vec<AtomicBool>,
}

impl Frame {
    /// A frame whose header and directory were verified; `bytes` are the whole frame.
    pub(crate) fn new(
        raw: RawHeader,
        bytes: Buffer,
        reading: Arc<Reading>,
        run: Arc<RunName>,
        segment: Arc<str>,
    ) -> Frame {
        let head = raw.head_bytes() as usize;
        let directory = &bytes[FRAME_HEADER_BYTES as usize..head];
        Frame(Arc::new(Inner {
            entries: columns::read_directory(directory, raw.regions),
            columns: bytes.slice(head),
            verified: (0..raw.regions).map(|_| AtomicBool::new(false)).collect(),
            raw,
            reading,
            run,
            segment,
        }))
    }

    /// Its header.
    pub fn header(&self) -> &FrameHeader {
        &self.0.raw.header
    }

    /// The schema of its columns, as its reader sees them: it may have been written under an earlier one.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.0.reading.read
    }

    /// Bytes that it takes in its segment.
    pub fn bytes(&self) -> u64 {
        FRAME_HEADER_BYTES + self.0.raw.payload_bytes
    }

    /// One column, by its place in the schema; its checksum is verified, its bytes are not copied.
    pub fn column(&self, field: usize) -> Result<ArrayRef> {
        let reading = &self.0.reading;
        let read = reading.read.fields().get(field);
        let (Some(read), Some(lift)) = (read, reading.lifts.get(field)) else {
            let what = format!("a frame of {} has no field {field}", self.0.run);
            return Err(Error::Invalid(what));
        };
        match lift {
            Lift::Region(region) => self.written(*region, read),
            Lift::Widened(region, was) => {
                let field = Field::new(&read.name, *was);
                Ok(widen(&self.written(*region, &field)?, *was))
            }
            Lift::Null => Ok(missing(read.kind, None, self.rows())),
            Lift::Constant(value) => Ok(missing(read.kind, Some(value), self.rows())),
            Lift::Narrower(was) => Err(Error::Invalid(format!(
                "field {} of {} is {} in rows from offset {} on, and is read as {}",
                read.name,
                self.0.run,
                was.name(),
                self.0.raw.header.base_offset,
                read.kind.name()
            ))),
        }
    }

    /// A column as it was written.
    fn written(&self, region: usize, field: &Field) -> Result<ArrayRef> {
        let (region, entry) = self.region(region)?;
        crate::meter::read(region.len());
        columns::decode_column(region, &entry, field, self.rows())
            .map_err(|what| self.damaged(&format!("field {}: {what}", field.name)))
    }

    /// Several columns as a batch, in the order asked for.
    pub fn batch(&self, fields: &[usize]) -> Result<RecordBatch> {
        let arrays = fields
            .iter()
            .map(|&field| self.column(field))
            .collect::<Result<Vec<_>>>()?;
        let schema = self
            .schema()
            .arrow()
            .project(fields)
            .map_err(|e| Error::Invalid(e.to_string()))?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows()));
        RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)
            .map_err(|e| self.damaged(&e.to_string()))
    }

    /// The origins of its rows; `None` in a source topic.
    pub fn origins(&self) -> Result<Option<Origins>> {
        if !self.0.raw.origins {
            return Ok(None);
        }
        let first = self.0.reading.written.fields().len();
        let (runs, _) = self.region(first)?;
        let (rows, _) = self.region(first + 1)?;
        let (spans, _) = self.region(first + 2)?;
        origins::read([&runs, &rows, &spans], self.rows())
            .map(Some)
            .map_err(|what| self.damaged(what))
    }

    pub(crate) fn raw(&self) -> &RawHeader {
        &self.0.raw
    }

    fn rows(&self) -> usize {
        self.0.raw.header.rows as usize
    }

    /// The bytes of a region, verified once.
    fn region(&self, index: usize) -> Result<(Buffer, Entry)> {
        let entry = *self
            .0
            .entries
            .get(index)
            .filter(|entry| entry.fits(self.0.columns.len() as u64))
            .ok_or_else(|| self.damaged("a column is missing in the directory"))?;
        let region = self
            .0
            .columns
            .slice_with_length(entry.offset as usize, entry.length as usize);
        if !self.0.verified[index].load(Ordering::Relaxed) {
            if crc32c(&region) != entry.check {
                return Err(self.damaged("the checksum of a column does not match"));
            }
            self.0.verified[index].store(true, Ordering::Relaxed);
        }
        Ok((region, entry))
    }

    fn damaged(&self, what: &str) -> Error {
        let first = self.0.raw.header.base_offset;
        Error::Damaged {
            topic: self.0.run.topic.clone(),
            partition: self.0.run.partition,
            first,
            last: Offset(self.0.raw.end_offset().0.saturating_sub(1).max(first.0)),
            segment: self.0.segment.to_string(),
            what: what.to_owned(),
        }
    }
}
