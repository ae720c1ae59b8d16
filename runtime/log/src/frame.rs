//! One frame: a 128-byte header, a column directory, columns. Drawn in docs/formats.md.
//!
//! What readers are given is a view: a frame as it was appended, or several that stand in one merged frame, as one.

pub(crate) mod header;
pub(crate) mod origins;
pub(crate) mod runs;

use std::iter;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;

use crate::checksum::crc32c;
use crate::columns::{self, Entry, Payload};
use crate::frame::header::RawHeader;
pub use crate::frame::runs::FrameRun;
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

/// The header of a frame, decoded. Of several appended frames as one: what holds for the last of them, and for all rows
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// A published frame, or several that were merged, read through the map: columns are checked when they are asked for.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Frame {
    stored: Arc<Stored>,
    header: FrameHeader,
    /// Which runs of a merged frame; all of a plain one.
    runs: Range<usize>,
}

/// A frame as it stands in its segment.
#[derive(Debug)]
struct Stored {
    raw: RawHeader,
    reading: Arc<Reading>,
    run: Arc<RunName>,
    segment: Arc<str>,
    entries: Vec<Entry>,
    columns: Buffer,
    /// One for each region of a field, once it was verified and decoded.
    arrays: Vec<OnceLock<ArrayRef>>,
    /// Once they were verified and decoded.
    origins: OnceLock<Origins>,
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
        Frame {
            header: raw.header.clone(),
            runs: 0..raw.count(),
            stored: Arc::new(Stored {
                entries: columns::read_directory(directory, raw.regions),
                columns: bytes.slice(head),
                arrays: (0..raw.regions).map(|_| OnceLock::new()).collect(),
                origins: OnceLock::new(),
                raw,
                reading,
                run,
                segment,
            }),
        }
    }

    /// Its header.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Offset of the next row.
    pub fn end_offset(&self) -> Offset {
        Offset(self.header.base_offset.0 + u64::from(self.header.rows))
    }

    /// The appended frames that it stands for, in order, with their rows counted from its first one.
    pub fn runs(&self) -> impl Iterator<Item = FrameRun> {
        let raw = &self.stored.raw;
        let merged = raw.runs().map(|runs| &runs[self.runs.clone()]);
        let start = self.first_row();
        let merged = merged.into_iter().flatten().map(move |run| FrameRun {
            rows_end: run.rows_end - start,
            ..*run
        });
        let header = &self.header;
        let plain = iter::once_with(|| FrameRun {
            kind: header.kind,
            sequence: header.sequence,
            append_time: header.append_time,
            rows_end: header.rows,
            times: header.times,
            producer: header.producer,
            producer_row: header.producer_row,
        });
        plain.filter(|_| raw.runs().is_none()).chain(merged)
    }

    /// Sequence of the first appended frame in it.
    pub(crate) fn first_sequence(&self) -> Sequence {
        match self.stored.raw.runs() {
            Some(runs) => runs[self.runs.start].sequence,
            None => self.header.sequence,
        }
    }

    /// Its first so many appended frames.
    fn head(&self, count: usize) -> Frame {
        self.part(self.runs.start..self.runs.start + count)
    }

    /// Its first appended frame.
    pub(crate) fn first(&self) -> Frame {
        self.head(1)
    }

    /// Its appended frames up to a sequence; none: there is none.
    pub(crate) fn up_to(&self, limit: Sequence) -> Option<Frame> {
        let count = match self.stored.raw.runs() {
            Some(runs) => runs[self.runs.clone()].partition_point(|run| run.sequence <= limit),
            None => usize::from(self.header.sequence <= limit),
        };
        (count > 0).then(|| self.head(count))
    }

    /// What stands behind a part that begins where it does; none: nothing.
    pub(crate) fn behind(&self, part: &Frame) -> Option<Frame> {
        let rest = part.runs.end..self.runs.end;
        (!rest.is_empty()).then(|| self.part(rest))
    }

    fn part(&self, runs: Range<usize>) -> Frame {
        if runs == self.runs {
            return self.clone();
        }
        Frame {
            stored: Arc::clone(&self.stored),
            header: self.stored.raw.of_runs(runs.clone()),
            runs,
        }
    }

    /// Whether it is all of the frame that stands in the segment.
    pub(crate) fn is_whole(&self) -> bool {
        self.runs.len() == self.stored.raw.count()
    }

    /// The row of the frame in the segment that its first one is.
    fn first_row(&self) -> u32 {
        self.stored.raw.row_of_run(self.runs.start)
    }

    /// The schema of its columns, as its reader sees them: it may have been written under an earlier one.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.stored.reading.read
    }

    /// Bytes that it takes in its segment; of a part, by its rows.
    pub fn bytes(&self) -> u64 {
        self.share(FRAME_HEADER_BYTES + self.stored.raw.payload_bytes)
    }

    fn share(&self, bytes: u64) -> u64 {
        match self.is_whole() {
            true => bytes,
            false => {
                let rows = u64::from(self.stored.raw.header.rows).max(1);
                (u128::from(bytes) * u128::from(self.header.rows) / u128::from(rows)) as u64
            }
        }
    }

    /// One column, by its place in the schema; its checksum is verified, its bytes are not copied.
    pub fn column(&self, field: usize) -> Result<ArrayRef> {
        let reading = &self.stored.reading;
        let read = reading.read.fields().get(field);
        let (Some(read), Some(lift)) = (read, reading.lifts.get(field)) else {
            let what = format!("a frame of {} has no field {field}", self.stored.run);
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
                self.stored.run,
                was.name(),
                self.header.base_offset,
                read.kind.name()
            ))),
        }
    }

    /// A column as it was written.
    fn written(&self, region: usize, field: &Field) -> Result<ArrayRef> {
        let length = self.stored.entries.get(region).map_or(0, |e| e.length);
        crate::meter::read(self.share(length.into()) as usize);
        let all = self.decoded(region, field)?;
        match self.is_whole() {
            true => Ok(all),
            false => Ok(all.slice(self.first_row() as usize, self.rows())),
        }
    }

    /// A column of the frame in the segment, verified and decoded once.
    fn decoded(&self, region: usize, field: &Field) -> Result<ArrayRef> {
        let known = self.stored.arrays.get(region);
        if let Some(array) = known.and_then(OnceLock::get) {
            return Ok(array.clone());
        }
        let (bytes, entry) = self.region(region)?;
        let rows = self.stored.raw.header.rows as usize;
        let array = columns::decode_column(bytes, &entry, field, rows)
            .map_err(|what| self.damaged(&format!("field {}: {what}", field.name)))?;
        Ok(self.stored.arrays[region].get_or_init(|| array).clone())
    }

    /// All columns as they were written, in the order of the schema that they were written under.
    pub(crate) fn columns_as_written(&self) -> Result<Vec<ArrayRef>> {
        let fields = self.stored.reading.written.fields().iter().enumerate();
        fields.map(|(i, field)| self.written(i, field)).collect()
    }

    /// The schema that its columns were written under.
    pub(crate) fn schema_as_written(&self) -> &Arc<Schema> {
        &self.stored.reading.written
    }

    /// The columns of a whole frame with their directory, byte for byte, verified.
    pub(crate) fn payload(&self) -> Result<Payload> {
        for region in 0..self.stored.raw.regions {
            self.region(region)?;
        }
        let stored = &self.stored;
        Ok(Payload::stored(
            stored
                .columns
                .slice_with_length(0, stored.raw.column_bytes() as usize),
            stored.entries.clone(),
            stored.raw.header.rows,
        ))
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
        let stored = &self.stored;
        if !stored.raw.origins {
            return Ok(None);
        }
        if stored.origins.get().is_none() {
            let first = stored.reading.written.fields().len();
            let (runs, _) = self.region(first)?;
            let (rows, _) = self.region(first + 1)?;
            let (spans, _) = self.region(first + 2)?;
            let rows_count = stored.raw.header.rows as usize;
            let read = origins::read([&runs, &rows, &spans], rows_count);
            let read = read.map_err(|what| self.damaged(what))?;
            stored.origins.get_or_init(|| read);
        }
        let all = stored.origins.get();
        let all = all.expect("they were read");
        if self.is_whole() {
            return Ok(Some(all.clone()));
        }
        let runs = stored.raw.runs();
        let before = self.runs.start.checked_sub(1).zip(runs);
        let after = before.map_or(Sequence(0), |(before, runs)| runs[before].sequence);
        let first = self.first_row();
        Ok(Some(all.part(
            after,
            self.header.sequence,
            first..first + self.header.rows,
        )))
    }

    /// The frame as it stands in its segment.
    pub(crate) fn raw(&self) -> &RawHeader {
        &self.stored.raw
    }

    fn rows(&self) -> usize {
        self.header.rows as usize
    }

    /// The bytes of a region, verified.
    fn region(&self, index: usize) -> Result<(Buffer, Entry)> {
        let columns = &self.stored.columns;
        let entry = *self
            .stored
            .entries
            .get(index)
            .filter(|entry| entry.fits(columns.len() as u64))
            .ok_or_else(|| self.damaged("a column is missing in the directory"))?;
        let region = columns.slice_with_length(entry.offset as usize, entry.length as usize);
        match crc32c(&region) == entry.check {
            true => Ok((region, entry)),
            false => Err(self.damaged("the checksum of a column does not match")),
        }
    }

    /// A column of a merged frame has one checksum: where it is wrong, the rows of all its runs are damaged.
    fn damaged(&self, what: &str) -> Error {
        let raw = &self.stored.raw;
        let first = raw.header.base_offset;
        Error::Damaged {
            topic: self.stored.run.topic.clone(),
            partition: self.stored.run.partition,
            first,
            last: Offset(raw.end_offset().0.saturating_sub(1).max(first.0)),
            segment: self.stored.segment.to_string(),
            what: what.to_owned(),
        }
    }
}
