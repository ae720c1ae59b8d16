//! What a task takes: the rows of its input up to a cut, in log order, as batches of columns.
//!
//! Frames of all partitions that feed the task are merged by sequence. Small frames are packed into one batch, a large
//! one is a batch by itself and is not copied.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::ScalarBuffer;
use refrain_log::cursor::Cursor;
use refrain_log::frame::{Frame, FrameKind, OriginRun};
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::topic::Topic;

use crate::error::Result;

/// Rows of one source frame within a batch: the unit of log order.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which of the task's input partitions, counted from 0.
    pub lane: usize,
    /// The source frame.
    pub sequence: Sequence,
    /// When it was appended.
    pub append_time: Timestamp,
    /// Whether the source frame held rows.
    pub data: bool,
    /// Its rows in the batch: from here,
    pub start: usize,
    /// to before here.
    pub end: usize,
    /// Offset of row `start` in the input partition.
    pub offset: Offset,
    /// Row of the source frame that row `start` is, when each row follows the last (a source topic).
    pub origin_row: u32,
    /// The upstream node's watermark after the source frame (a derived topic).
    pub watermark: i64,
}

/// Rows in log order. `origin_rows` and `watermarks` have an entry a row for a derived topic, none for a source topic.
#[derive(Clone, Debug)]
pub struct Batch {
    /// How many rows.
    pub rows: usize,
    /// Fields the plugin reads.
    pub columns: Vec<ArrayRef>,
    /// Fields of the key.
    pub keys: Vec<ArrayRef>,
    /// Event times; none: the append time of each run.
    pub times: Option<ScalarBuffer<i64>>,
    /// Row in the source frame of each row.
    pub origin_rows: Vec<u32>,
    /// The upstream node's watermark before each row.
    pub watermarks: Vec<i64>,
    /// In log order. Runs without rows are there too.
    pub runs: Vec<Run>,
}

impl Batch {
    /// Place of the run that holds a row.
    pub fn run_of(&self, row: usize) -> usize {
        self.runs.partition_point(|run| run.end <= row)
    }

    /// Row in its source frame of a row of this run.
    pub fn origin_row(&self, run: &Run, row: usize) -> u32 {
        match self.origin_rows.get(row) {
            Some(origin) => *origin,
            None => run.origin_row + (row - run.start) as u32,
        }
    }

    /// Event time of a row of this run.
    #[inline(always)]
    pub fn time(&self, run: &Run, row: usize) -> i64 {
        match &self.times {
            Some(times) => times[row],
            None => run.append_time.0,
        }
    }
}

/// Which fields of the input a task reads, as places in the topic's schema.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// For the plugin.
    pub columns: Vec<usize>,
    /// Of the key.
    pub keys: Vec<usize>,
    /// The event time.
    pub time: Option<usize>,
}

impl Wanted {
    /// Each field once, rising.
    fn fields(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self
            .columns
            .iter()
            .chain(&self.keys)
            .chain(&self.time)
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// A frame at the head of a lane, or what is left of it.
#[derive(Debug)]
struct Head {
    columns: Vec<ArrayRef>,
    base: Offset,
    /// Rising; of a source frame there is one.
    runs: Vec<OriginRun>,
    next: usize,
    row: usize,
    origin_rows: Vec<u32>,
    watermarks: Vec<i64>,
}

impl Head {
    fn read(frame: &Frame, fields: &[usize]) -> Result<Head> {
        let header = frame.header();
        let columns = match header.rows {
            0 => Vec::new(),
            _ => fields
                .iter()
                .map(|f| frame.column(*f))
                .collect::<Result<_, _>>()?,
        };
        let head = |runs| Head {
            columns,
            base: header.base_offset,
            runs,
            next: 0,
            row: 0,
            origin_rows: Vec::new(),
            watermarks: Vec::new(),
        };
        Ok(match frame.origins()? {
            None => head(vec![OriginRun {
                sequence: header.sequence,
                append_time: header.append_time,
                data: header.kind == FrameKind::Rows,
                rows_end: header.rows,
                watermark: Timestamp::MIN,
            }]),
            Some(origins) => Head {
                origin_rows: origins.rows,
                watermarks: origins.watermarks.into_iter().map(|w| w.0).collect(),
                ..head(origins.runs)
            },
        })
    }

    fn sequence(&self) -> Option<Sequence> {
        self.runs.get(self.next).map(|run| run.sequence)
    }
}

#[derive(Debug)]
struct Lane {
    cursor: Cursor,
    head: Option<Head>,
}

impl Lane {
    /// Sees to it that the head is the next run beyond `after`, if there is one up to `cut`.
    fn load(
        &mut self,
        fields: &[usize],
        derived: bool,
        after: Sequence,
        cut: Sequence,
    ) -> Result<Option<Sequence>> {
        loop {
            if let Some(sequence) = self.head.as_ref().and_then(Head::sequence) {
                return Ok((sequence <= cut).then_some(sequence));
            }
            // A derived frame may cover sequences on both sides of a cut: it is cut finer here, run by run.
            let limit = if derived { Sequence(u64::MAX) } else { cut };
            let Some(frame) = self.cursor.next(limit)? else {
                self.head = None;
                return Ok(None);
            };
            let mut head = Head::read(&frame, fields)?;
            while head.sequence().is_some_and(|s| s <= after) {
                head.row = head.runs[head.next].rows_end as usize;
                head.next += 1;
            }
            self.head = Some(head);
        }
    }
}

/// A stretch of rows of one frame on its way into a batch.
struct Piece {
    lane: usize,
    columns: Vec<ArrayRef>,
    start: usize,
    end: usize,
}

/// Reads the input of one task.
#[derive(Debug)]
pub struct Reader {
    lanes: Vec<Lane>,
    fields: Vec<usize>,
    wanted: Wanted,
    derived: bool,
    /// Runs up to this were taken before the reader was opened.
    after: Sequence,
}

impl Reader {
    /// Opens these partitions of a topic after a cut.
    pub fn open(
        topic: &Arc<Topic>,
        partitions: &[u32],
        wanted: Wanted,
        derived: bool,
        after: Sequence,
    ) -> Result<Reader> {
        let lanes = partitions
            .iter()
            .map(|p| {
                Ok(Lane {
                    cursor: topic.cursor_after(*p, after)?,
                    head: None,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Reader {
            lanes,
            fields: wanted.fields(),
            wanted,
            derived,
            after,
        })
    }

    /// The next rows up to the cut, about `rows_target` of them; none when all up to the cut is taken.
    pub fn next(&mut self, cut: Sequence, rows_target: usize) -> Result<Option<Batch>> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut batch = Batch {
            rows: 0,
            columns: Vec::new(),
            keys: Vec::new(),
            times: None,
            origin_rows: Vec::new(),
            watermarks: Vec::new(),
            runs: Vec::new(),
        };
        while batch.rows < rows_target {
            let Some(lane) = self.first_lane(cut)? else {
                break;
            };
            self.take(lane, &mut batch, &mut pieces);
        }
        if batch.runs.is_empty() {
            return Ok(None);
        }
        self.join(&pieces, &mut batch);
        Ok(Some(batch))
    }

    /// The lane whose head comes first in log order.
    fn first_lane(&mut self, cut: Sequence) -> Result<Option<usize>> {
        let mut first: Option<(Sequence, usize)> = None;
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(sequence) = lane.load(&self.fields, self.derived, self.after, cut)?
                && first.is_none_or(|f| (sequence, i) < f)
            {
                first = Some((sequence, i));
            }
        }
        Ok(first.map(|f| f.1))
    }

    /// Moves the head's next run into the batch.
    fn take(&mut self, index: usize, batch: &mut Batch, pieces: &mut Vec<Piece>) {
        let head = self.lanes[index]
            .head
            .as_mut()
            .expect("the first lane has a head");
        let run = head.runs[head.next];
        let (from, to) = (head.row, run.rows_end as usize);
        batch.runs.push(Run {
            lane: index,
            sequence: run.sequence,
            append_time: run.append_time,
            data: run.data,
            start: batch.rows,
            end: batch.rows + (to - from),
            offset: Offset(head.base.0 + from as u64),
            origin_row: 0,
            watermark: run.watermark.0,
        });
        if self.derived {
            batch
                .origin_rows
                .extend_from_slice(&head.origin_rows[from..to]);
            batch
                .watermarks
                .extend_from_slice(&head.watermarks[from..to]);
        }
        if to > from {
            match pieces.last_mut() {
                Some(last) if from > 0 && last.lane == index && last.end == from => last.end = to,
                _ => pieces.push(Piece {
                    lane: index,
                    columns: head.columns.clone(),
                    start: from,
                    end: to,
                }),
            }
            batch.rows += to - from;
        }
        head.row = to;
        head.next += 1;
    }

    /// Puts the columns of the pieces into the batch.
    fn join(&self, pieces: &[Piece], batch: &mut Batch) {
        if pieces.is_empty() {
            return;
        }
        let column = |field: usize| -> ArrayRef {
            let place = self
                .fields
                .binary_search(&field)
                .expect("wanted fields are read");
            let slice = |p: &Piece| p.columns[place].slice(p.start, p.end - p.start);
            if let [one] = pieces {
                return slice(one);
            }
            let parts: Vec<ArrayRef> = pieces.iter().map(slice).collect();
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            arrow_select::concat::concat(&parts)
                .expect("pieces of one field have one type, and a batch stays small")
        };
        batch.columns = self.wanted.columns.iter().map(|f| column(*f)).collect();
        batch.keys = self.wanted.keys.iter().map(|f| column(*f)).collect();
        batch.times = self.wanted.time.map(|f| {
            column(f)
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .clone()
        });
    }
}
