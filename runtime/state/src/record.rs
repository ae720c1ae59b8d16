//! Records of the commit log as bytes. Drawn in docs/formats.md.
//!
//! A changelog record is a short head (through the log's codec) and a tail of raw bytes, so that bulk data is copied and
//! never walked. A closing record is the codec's alone.

use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use refrain_log::frame::FrameKind;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::segments::Draft;
use refrain_log::{codec, columns};
use serde::{Deserialize, Serialize};

use crate::commit::NodeState;
use crate::store::{Spans, StateChanges};
use crate::view::{ViewSpec, rows_bytes};

/// A changelog frame is closed before it grows beyond this, unless one record alone does.
pub(crate) const FRAME_BYTES_MAX: usize = 4 << 20;
/// Changes are split into records of about this size.
pub(crate) const RECORD_BYTES: usize = 1 << 20;

const _: () = assert!(RECORD_BYTES < FRAME_BYTES_MAX);

/// The one field of the commit log.
pub(crate) fn log_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("record", Kind::Bytes)]))
}

/// What a changelog record is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The commit that it is a part of.
    pub(crate) commit: u64,
    /// The node.
    pub(crate) node: String,
    /// The task; 0 for view rows in a base.
    pub(crate) task: u32,
    /// What follows.
    pub(crate) tail: Tail,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tail {
    /// Keys put, states put, keys deleted: of each the ends (u32 LE), then the bytes.
    States { puts: u32, deletes: u32 },
    /// Rows of the view as the log's columns in so many bytes, then a bitmap of those that are final.
    Rows { rows: u32, bytes: u64 },
    /// Keys of deleted view rows as the log's columns.
    Keys,
    /// As `States` without deletes, for a base: states as they were before this commit.
    StatesAgain { puts: u32 },
    /// As `Rows`, for a base: rows as they were before this commit.
    RowsAgain { rows: u32, bytes: u64 },
    /// An entry of the registry, named where other records name their node: its text; or that it is gone.
    Entry { present: bool },
}

impl Tail {
    /// The note of frames that have records of its sort.
    fn note(self) -> u64 {
        match self {
            Tail::States { .. } | Tail::StatesAgain { .. } => NOTE_STATES,
            Tail::Rows { .. } | Tail::RowsAgain { .. } | Tail::Keys => NOTE_ROWS,
            Tail::Entry { .. } => NOTE_REST,
        }
    }
}

/// Of a frame with records of any sort, the note in its header.
const NOTE_REST: u64 = 0;
/// Of a frame with records of states alone: who has the states need not touch it.
pub(crate) const NOTE_STATES: u64 = 1;
/// Of a frame with records of view rows alone: who has the rows need not touch it.
pub(crate) const NOTE_ROWS: u64 = 2;

/// Whether a closing record completes a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Base {
    /// It does not.
    None,
    /// Its own records hold all there is, so that nothing before them is needed. Not written any more.
    Whole,
    /// All records from this offset up to it hold, together, all there is.
    Rolled {
        /// The first of them.
        from: Offset,
    },
}

/// The record that closes a commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Closing {
    /// Its number in the whole host, from 1.
    pub(crate) commit: u64,
    /// When it was made.
    pub(crate) time: Timestamp,
    /// Whether it completes a base.
    pub(crate) base: Base,
    /// Its first record: from here to this record, all belong to it.
    pub(crate) first: Offset,
    /// Views declared.
    pub(crate) declared: Vec<ViewSpec>,
    /// Nodes forgotten, before anything else of this commit.
    pub(crate) forgotten: Vec<String>,
    /// Nodes that committed. Memos, sources and derived ends that are not mentioned stay.
    pub(crate) nodes: Vec<ClosedNode>,
}

/// A node in a closing record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClosedNode {
    pub(crate) node: String,
    pub(crate) state: NodeState,
    /// Rows and digest of its view before this commit: what a reader must have come to. In a base: after it.
    pub(crate) before: Option<(u64, u128)>,
}

/// Collects records into frames.
#[derive(Debug)]
pub(crate) struct Frames {
    commit: u64,
    time: Timestamp,
    /// What they hold was there before.
    again: bool,
    drafts: Vec<Draft>,
    ends: Vec<i32>,
    bytes: Vec<u8>,
    /// The note of the open frame.
    note: u64,
    taken_bytes: usize,
}

impl Frames {
    pub(crate) fn new(commit: u64, time: Timestamp) -> Frames {
        Frames {
            commit,
            time,
            again: false,
            drafts: Vec::new(),
            ends: vec![0],
            bytes: Vec::new(),
            note: NOTE_REST,
            taken_bytes: 0,
        }
    }

    /// Records of what was there before the commit, for a base.
    pub(crate) fn again(commit: u64, time: Timestamp) -> Frames {
        Frames {
            again: true,
            ..Frames::new(commit, time)
        }
    }

    /// Adds a task's changed states, in as many records as they need.
    pub(crate) fn add_states(&mut self, node: &str, task: u32, changes: &StateChanges) {
        let size = |i: usize| changes.put_keys.get(i).len() + changes.put_states.get(i).len();
        for (from, to) in split(changes.put_keys.len(), size) {
            let put = [
                (&changes.put_keys, from, to),
                (&changes.put_states, from, to),
            ];
            self.add_spans(node, task, (to - from, 0), &put);
        }
        for (from, to) in split(changes.deleted.len(), |i| changes.deleted.get(i).len()) {
            self.add_spans(node, task, (0, to - from), &[(&changes.deleted, from, to)]);
        }
    }

    fn add_spans(
        &mut self,
        node: &str,
        task: u32,
        counts: (usize, usize),
        spans: &[(&Spans, usize, usize)],
    ) {
        let (puts, deletes) = (counts.0 as u32, counts.1 as u32);
        let tail = if self.again {
            Tail::StatesAgain { puts }
        } else {
            Tail::States { puts, deletes }
        };
        let bytes: usize = spans
            .iter()
            .map(|s| (s.2 - s.1) * 4 + range(s.0, s.1, s.2).len())
            .sum();
        self.add(node, task, tail, bytes, |out| {
            for (spans, from, to) in spans {
                let start = start_of(spans, *from);
                let ends = &spans.ends[*from..*to];
                out.extend(ends.iter().flat_map(|end| (end - start).to_le_bytes()));
                out.extend_from_slice(range(spans, *from, *to));
            }
        });
    }

    /// Adds rows of a node's view, in as many records as they need.
    pub(crate) fn add_rows(
        &mut self,
        node: &str,
        task: u32,
        rows: &RecordBatch,
        finals: &BooleanBuffer,
        schema: &Schema,
    ) -> crate::Result<()> {
        for (at, count) in slices(rows) {
            let columns = columns::to_bytes(&rows.slice(at, count), schema)?;
            let (rows_count, bytes) = (count as u32, columns.len() as u64);
            let tail = match self.again {
                true => Tail::RowsAgain {
                    rows: rows_count,
                    bytes,
                },
                false => Tail::Rows {
                    rows: rows_count,
                    bytes,
                },
            };
            let bitmap = finals.slice(at, count).sliced();
            self.add(node, task, tail, columns.len() + bitmap.len(), |out| {
                out.extend_from_slice(&columns);
                out.extend_from_slice(&bitmap.as_slice()[..count.div_ceil(8)]);
            });
        }
        Ok(())
    }

    /// Adds keys of deleted rows of a node's view.
    pub(crate) fn add_keys(
        &mut self,
        node: &str,
        task: u32,
        keys: &RecordBatch,
        schema: &Schema,
    ) -> crate::Result<()> {
        for (at, count) in slices(keys) {
            let columns = columns::to_bytes(&keys.slice(at, count), schema)?;
            self.add(node, task, Tail::Keys, columns.len(), |out| {
                out.extend_from_slice(&columns)
            });
        }
        Ok(())
    }

    /// Adds an entry of the registry, or that it is gone.
    pub(crate) fn add_entry(&mut self, name: &str, text: Option<&str>) {
        let present = text.is_some();
        let text = text.unwrap_or_default();
        self.add(name, 0, Tail::Entry { present }, text.len(), |out| {
            out.extend_from_slice(text.as_bytes());
        });
    }

    fn add(
        &mut self,
        node: &str,
        task: u32,
        tail: Tail,
        bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let head = codec::encode(&Head {
            commit: self.commit,
            node: node.to_owned(),
            task,
            tail,
        });
        self.make_room(bytes + head.len() + 4, tail.note());
        let length = u32::try_from(head.len()).expect("heads are short");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        write(&mut self.bytes);
        self.ends
            .push(i32::try_from(self.bytes.len()).expect("a record stays below 2 GiB"));
    }

    /// Records of states and those of rows have frames of their own.
    fn make_room(&mut self, bytes: usize, note: u64) {
        if self.note != note || self.bytes.len() + bytes > FRAME_BYTES_MAX {
            self.end_frame();
        }
        self.note = note;
    }

    fn end_frame(&mut self) {
        if self.ends.len() > 1 {
            let bytes = std::mem::take(&mut self.bytes);
            let ends = std::mem::replace(&mut self.ends, vec![0]);
            self.push(FrameKind::Rows, bytes, ends);
        }
    }

    fn push(&mut self, kind: FrameKind, bytes: Vec<u8>, ends: Vec<i32>) {
        self.taken_bytes += bytes.len();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let records = BinaryArray::new(offsets, Buffer::from_vec(bytes), None);
        let rows = RecordBatch::try_new(log_schema().arrow(), vec![Arc::new(records)]);
        self.drafts.push(Draft {
            kind,
            sequence: Sequence(self.commit),
            append_time: self.time,
            note: match kind {
                FrameKind::Rows => self.note,
                _ => NOTE_REST,
            },
            rows: Some(rows.expect("one column of records")),
        });
    }

    /// Bytes in frames that have not been taken.
    pub(crate) fn all_bytes(&self) -> usize {
        self.taken_bytes + self.bytes.len()
    }

    /// The frames so far.
    pub(crate) fn take(&mut self) -> Vec<Draft> {
        self.end_frame();
        self.taken_bytes = 0;
        std::mem::take(&mut self.drafts)
    }

    /// The remaining frames and the closing one.
    pub(crate) fn close(mut self, closing: &Closing) -> Vec<Draft> {
        self.end_frame();
        let record = codec::encode(closing);
        let end = i32::try_from(record.len()).expect("a closing record stays below 2 GiB");
        self.push(FrameKind::Close, record, vec![0, end]);
        self.drafts
    }
}

/// Ranges whose values together take about [`RECORD_BYTES`].
fn split(count: usize, size: impl Fn(usize) -> usize) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for i in 0..count {
        bytes += size(i) + 8;
        if bytes >= RECORD_BYTES || i + 1 == count {
            ranges.push((from, i + 1));
            (from, bytes) = (i + 1, 0);
        }
    }
    ranges
}

/// Places and lengths of slices of about [`RECORD_BYTES`].
fn slices(rows: &RecordBatch) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.num_rows();
    let row_bytes = rows_bytes(rows) as usize / count.max(1) + 1;
    let step = (RECORD_BYTES / row_bytes).max(1);
    (0..count)
        .step_by(step)
        .map(move |at| (at, step.min(count - at)))
}

fn start_of(spans: &Spans, from: usize) -> u32 {
    if from == 0 { 0 } else { spans.ends[from - 1] }
}

fn range(spans: &Spans, from: usize, to: usize) -> &[u8] {
    &spans.bytes[start_of(spans, from) as usize..start_of(spans, to) as usize]
}

/// A changelog record, taken apart.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) head: Head,
    tail: &'a [u8],
}

impl<'a> Part<'a> {
    pub(crate) fn read(record: &'a [u8]) -> Result<Part<'a>, String> {
        let (length, rest) = record.split_first_chunk::<4>().ok_or("too short")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (head, tail) = rest.split_at_checked(length).ok_or("its head is cut off")?;
        let head = codec::decode(head).map_err(|e| e.to_string())?;
        Ok(Part { head, tail })
    }

    /// The states of a [`Tail::States`].
    pub(crate) fn states(&self, puts: u32, deletes: u32) -> Result<StateChanges, String> {
        let (put_keys, rest) = read_spans(self.tail, puts)?;
        let (put_states, rest) = read_spans(rest, puts)?;
        let (deleted, rest) = read_spans(rest, deletes)?;
        if !rest.is_empty() {
            return Err("bytes are left over after its states".into());
        }
        Ok(StateChanges {
            put_keys,
            put_states,
            deleted,
        })
    }

    /// The rows of a [`Tail::Rows`].
    pub(crate) fn rows(
        &self,
        rows: u32,
        bytes: u64,
        schema: &Schema,
    ) -> Result<(RecordBatch, BooleanBuffer), String> {
        let (columns, bitmap) = self
            .tail
            .split_at_checked(bytes as usize)
            .ok_or("its rows are cut off")?;
        let batch = columns::from_bytes(columns, schema).map_err(|e| e.to_string())?;
        if batch.num_rows() != rows as usize || bitmap.len() != batch.num_rows().div_ceil(8) {
            return Err("another number of rows than it says".into());
        }
        let finals = BooleanBuffer::new(Buffer::from(bitmap), 0, batch.num_rows());
        Ok((batch, finals))
    }

    /// The text of a [`Tail::Entry`].
    pub(crate) fn entry(&self, present: bool) -> Result<Option<String>, String> {
        let text = std::str::from_utf8(self.tail).map_err(|e| e.to_string())?;
        Ok(present.then(|| text.to_owned()))
    }

    /// The keys of a [`Tail::Keys`].
    pub(crate) fn keys(&self, schema: &Schema) -> Result<RecordBatch, String> {
        columns::from_bytes(self.tail, schema).map_err(|e| e.to_string())
    }
}

fn read_spans(bytes: &[u8], count: u32) -> Result<(Spans, &[u8]), String> {
    let (ends, rest) = bytes
        .split_at_checked(count as usize * 4)
        .ok_or("its lengths are cut off")?;
    let ends: Vec<u32> = ends
        .chunks_exact(4)
        .map(|e| u32::from_le_bytes([e[0], e[1], e[2], e[3]]))
        .collect();
    if !ends.is_sorted() {
        return Err("its lengths are out of order".into());
    }
    let total = ends.last().map_or(0, |end| *end as usize);
    let (bytes, rest) = rest
        .split_at_checked(total)
        .ok_or("its values are cut off")?;
    Ok((
        Spans {
            ends,
            bytes: bytes.to_vec(),
        },
        rest,
    ))
}

#[cfg(test)]
mod tests;
