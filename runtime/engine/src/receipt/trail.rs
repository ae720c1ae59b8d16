//! The hash of a part of a partition: over what its rows and frames say, not over the bytes that say it, so that segments
//! may move and be encoded anew.
//!
//! Values go column by column into hashers that run over the whole part, so the hash does not know where frames were cut
//! in the file; what a frame says (its sequence, its append time, how many rows came with it) goes into a hasher of its
//! own. A column's values go in as they lie in memory, which makes the hash about as fast as BLAKE3 itself. Drawn in
//! docs/formats.md.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, GenericByteArray, types::ByteArrayType};
use blake3::{Hash, Hasher};
use refrain_log::Error as LogError;
use refrain_log::cursor::Cursor;
use refrain_log::frame::Frame;
use refrain_log::ids::{Offset, Sequence};
use refrain_log::schema::{Kind, Schema};
use refrain_log::topic::Topic;

use super::{Mark, Range};
use crate::error::{Error, Result};

/// What the hash of a part begins with.
const TAG: &[u8] = b"refrain log 1\0";
/// Marks of a part, at most about so many.
const MARKS_MAX: u64 = 32;
/// Rows between marks at least.
const MARK_ROWS_MIN: u64 = 1024;

/// Which part of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) partition: u32,
    /// Frames up to this one are left out.
    pub(crate) after: Sequence,
    /// And those behind this one.
    pub(crate) cut: Sequence,
    /// Marks are set as for so many rows; none: for those that are there.
    pub(crate) marked_for: Option<u64>,
}

/// The fields of a topic that are hashed, as name and type.
pub(crate) fn fields_of(schema: &Schema) -> Vec<(String, String)> {
    let fields = schema.fields().iter();
    fields
        .map(|f| (f.name.clone(), f.kind.name().to_owned()))
        .collect()
}

/// Hashes a part of a partition, in these fields.
pub(crate) fn range(topic: &Topic, part: Part, fields: &[(String, String)]) -> Result<Range> {
    let mut trail = Trail::begin(topic, part, fields)?;
    trail.go(topic, part.cut)?;
    Ok(trail.range())
}

/// Stands on the first frame with a greater sequence that retention has left.
fn kept_cursor(topic: &Topic, partition: u32, after: Sequence) -> Result<Cursor> {
    loop {
        let removed = match topic.cursor_after(partition, after) {
            Err(removed @ LogError::Removed { .. }) => removed,
            cursor => return Ok(cursor?),
        };
        // Frames of greater sequences may be gone, and of those up to it some may be there.
        let start = topic.start(partition);
        match topic.cursor(partition, start) {
            // Retention went on meanwhile.
            Err(LogError::Removed { .. }) if topic.start(partition) > start => {}
            Err(LogError::Removed { .. }) => return Err(removed.into()),
            cursor => {
                let mut cursor = cursor?;
                while cursor.peek()?.is_some_and(|sequence| sequence <= after) {
                    cursor.next(after)?;
                }
                return Ok(cursor);
            }
        }
    }
}

/// Rows between marks: a power of two, so that marks stand at the same offsets for ever while a log grows by little.
fn mark_rows(rows: u64) -> u64 {
    rows.div_ceil(MARKS_MAX)
        .next_power_of_two()
        .max(MARK_ROWS_MIN)
}

fn columns(topic: &Topic, fields: &[(String, String)]) -> Result<Vec<Column>> {
    let column = |(name, kind): &(String, String)| {
        let place = topic.schema().index_of(name);
        let place = place.filter(|i| topic.schema().fields()[*i].kind.name() == kind);
        let place = place.ok_or_else(|| {
            Error::Refused(format!(
                "topic {} has no field {name} of type {kind} any more, which was hashed",
                topic.spec().name
            ))
        })?;
        Ok(Column {
            place,
            name: name.clone(),
            kind: topic.schema().fields()[place].kind,
            values: Hasher::new(),
            lengths: Hasher::new(),
            nulls: Hasher::new(),
        })
    };
    fields.iter().map(column).collect()
}

/// A part of a partition, hashed so far. It can go on when there is more.
pub(crate) struct Trail {
    fields: Vec<(String, String)>,
    columns: Vec<Column>,
    frames: Hasher,
    count: u64,
    sequences: Option<(Sequence, Sequence)>,
    mark_rows: u64,
    marks: Vec<Mark>,
    name: (String, u32, Offset),
    /// All frames up to this one are in it, or were left out.
    after: Sequence,
    /// Offset of the next row.
    end: Offset,
}

/// One field.
struct Column {
    place: usize,
    name: String,
    kind: Kind,
    values: Hasher,
    lengths: Hasher,
    nulls: Hasher,
}

impl Trail {
    /// Nothing is hashed yet. Marks are set as for the part that is wanted, if its rows are there.
    pub(crate) fn begin(topic: &Topic, part: Part, fields: &[(String, String)]) -> Result<Trail> {
        let columns = columns(topic, fields)?;
        let first = kept_cursor(topic, part.partition, part.after)?.offset();
        let rows = match part.marked_for {
            Some(rows) => rows,
            None => kept_cursor(topic, part.partition, part.cut)?.offset().0 - first.0,
        };
        Ok(Trail {
            fields: fields.to_vec(),
            columns,
            frames: Hasher::new(),
            count: 0,
            sequences: None,
            mark_rows: mark_rows(rows),
            marks: Vec::new(),
            name: (topic.spec().name.clone(), part.partition, first),
            after: part.after,
            end: first,
        })
    }

    /// Takes what follows, up to a cut.
    pub(crate) fn go(&mut self, topic: &Topic, cut: Sequence) -> Result<()> {
        let partition = self.name.1;
        let mut cursor = match self.count {
            0 => kept_cursor(topic, partition, self.after)?,
            _ => topic.cursor_after(partition, self.after)?,
        };
        if cursor.offset() != self.end {
            // What was to follow is gone.
            return Err(Error::Log(LogError::Removed {
                topic: self.name.0.clone(),
                partition,
                first: cursor.offset(),
            }));
        }
        while let Some(frame) = cursor.next(cut)? {
            self.take(&frame)?;
        }
        self.end = cursor.offset();
        self.after = self.after.max(cut);
        Ok(())
    }

    /// What was hashed, with the marks that it would have if it had been hashed in one go.
    pub(crate) fn range(&mut self) -> Range {
        self.thin();
        let (topic, partition, first) = self.name.clone();
        Range {
            topic,
            partition,
            first,
            end: self.end,
            sequences: self.sequences,
            frames: self.count,
            fields: self.fields.clone(),
            hash: self.hash(self.end).to_hex().to_string(),
            marks: self.marks.clone(),
        }
    }

    /// Fewer marks for more rows.
    fn thin(&mut self) {
        let (_, _, first) = &self.name;
        self.mark_rows = self.mark_rows.max(mark_rows(self.end.0 - first.0));
        let mark_rows = self.mark_rows;
        self.marks.retain(|mark| mark.offset.0 % mark_rows == 0);
    }

    fn take(&mut self, frame: &Frame) -> Result<()> {
        let header = frame.header();
        self.frames.update(&header.sequence.0.to_le_bytes());
        self.frames.update(&header.append_time.0.to_le_bytes());
        self.frames.update(&header.rows.to_le_bytes());
        self.count += 1;
        let first = self.sequences.map_or(header.sequence, |(first, _)| first);
        self.sequences = Some((first, header.sequence));
        if header.rows == 0 {
            // A tick has no columns.
            return Ok(());
        }
        let arrays = self.columns.iter().map(|c| frame.column(c.place));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let (mut row, rows) = (0, header.rows as usize);
        while row < rows {
            let offset = header.base_offset.0 + row as u64;
            let until_mark = self.mark_rows - offset % self.mark_rows;
            let count = (rows - row).min(usize::try_from(until_mark).unwrap_or(usize::MAX));
            for (column, array) in self.columns.iter_mut().zip(&arrays) {
                column.take(&array.slice(row, count), offset);
            }
            row += count;
            if count as u64 == until_mark {
                let offset = Offset(offset + until_mark);
                let hash = half(&self.hash(offset));
                self.marks.push(Mark { offset, hash });
            }
        }
        Ok(())
    }

    /// The hash of all that was taken, which ends at this offset.
    fn hash(&self, end: Offset) -> Hash {
        let (topic, partition, first) = &self.name;
        let mut hasher = Hasher::new();
        hasher.update(TAG);
        text(&mut hasher, topic);
        hasher.update(&partition.to_le_bytes());
        hasher.update(&first.0.to_le_bytes());
        hasher.update(&end.0.to_le_bytes());
        hasher.update(self.frames.finalize().as_bytes());
        for column in &self.columns {
            text(&mut hasher, &column.name);
            text(&mut hasher, column.kind.name());
            for part in [&column.values, &column.lengths, &column.nulls] {
                hasher.update(part.finalize().as_bytes());
            }
        }
        hasher.finalize()
    }
}

impl Column {
    /// Rows from an offset on. Null slots are zero or empty, and their offsets are hashed apart.
    fn take(&mut self, array: &ArrayRef, offset: u64) {
        if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
            let null = (offset..)
                .zip(nulls.iter())
                .filter(|(_, is_valid)| !is_valid);
            null.for_each(|(offset, _)| {
                self.nulls.update(&offset.to_le_bytes());
            });
        }
        match self.kind {
            Kind::I64 => self.plain(array.as_primitive::<Int64Type>().values().inner()),
            Kind::F64 => self.plain(array.as_primitive::<Float64Type>().values().inner()),
            Kind::Timestamp => {
                self.plain(
                    array
                        .as_primitive::<TimestampMicrosecondType>()
                        .values()
                        .inner(),
                );
            }
            Kind::Bool => {
                let values = array.as_boolean().values().iter();
                self.plain(&values.map(u8::from).collect::<Vec<u8>>());
            }
            Kind::Text => self.spans(array.as_string::<i32>()),
            Kind::Bytes => self.spans(array.as_binary::<i32>()),
        }
    }

    fn plain(&mut self, bytes: &[u8]) {
        self.values.update(bytes);
    }

    fn spans<T: ByteArrayType<Offset = i32>>(&mut self, array: &GenericByteArray<T>) {
        let ends = array.value_offsets();
        let mut lengths = Vec::with_capacity(array.len() * 4);
        for pair in ends.windows(2) {
            lengths.extend_from_slice(&(pair[1] - pair[0]).to_le_bytes());
        }
        self.lengths.update(&lengths);
        let (from, to) = (ends[0] as usize, ends[array.len()] as usize);
        self.values.update(&array.value_data()[from..to]);
    }
}

fn text(hasher: &mut Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// The first half of a hash, hex: enough to find a place.
pub(super) fn half(hash: &Hash) -> String {
    hash.to_hex()[..32].to_owned()
}
