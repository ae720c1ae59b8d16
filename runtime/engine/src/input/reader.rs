//! Reads the partitions that feed a task and merges their frames into batches in log order.
//!
//! Small frames are packed into one batch; a large one is a batch by itself and is not copied, and neither are the rows of
//! frames that stand next to each other in one merged frame. Frames of derived topics that were made from one source frame
//! are merged row by row, by the rows that theirs come from.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::ScalarBuffer;
use refrain_log::cursor::Cursor;
use refrain_log::frame::{Frame, FrameKind, OriginRun};
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::topic::Topic;

use super::batch::{Apart, Batch, Lanes, Run};
use crate::error::Result;
use crate::watermark::NEVER;

/// Which fields of an input a task reads, as places in the topic's schema.
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

/// One input of a task, to be read.
#[derive(Clone, Debug)]
pub struct Source {
    topic: Arc<Topic>,
    wanted: Wanted,
    fields: Vec<usize>,
}

impl Source {
    /// These fields of this topic.
    pub fn new(topic: Arc<Topic>, wanted: Wanted) -> Source {
        Source {
            fields: wanted.fields(),
            topic,
            wanted,
        }
    }

    /// Place among the fields read of a field of the topic.
    fn place(&self, field: usize) -> usize {
        self.fields
            .binary_search(&field)
            .expect("wanted fields are read")
    }
}

/// A frame at the head of a lane, or what is left of it.
#[derive(Debug)]
struct Head {
    columns: Vec<ArrayRef>,
    base: Offset,
    /// Rising; of a source topic one for each appended frame.
    runs: Vec<OriginRun>,
    next: usize,
    /// Where the run `next` begins.
    begin: usize,
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
            begin: 0,
            row: 0,
            origin_rows: Vec::new(),
            watermarks: Vec::new(),
        };
        Ok(match frame.origins()? {
            None => {
                let runs = frame.runs().map(|run| OriginRun {
                    sequence: run.sequence,
                    append_time: run.append_time,
                    data: run.kind == FrameKind::Rows,
                    rows_end: run.rows_end,
                    watermark: Timestamp::MIN,
                });
                head(runs.collect())
            }
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

    /// Leaves of a source frame only what was made from rows before this one, as if the frame ended there.
    fn clip(&mut self, (sequence, rows): (Sequence, u32)) {
        let mut start = 0;
        for place in 0..self.runs.len() {
            let run = self.runs[place];
            let end = run.rows_end as usize;
            if run.sequence == sequence {
                let kept = (start..end).take_while(|row| self.origin_in(start, *row) < rows);
                let end_then = start + kept.count();
                self.runs[place].rows_end = end_then as u32;
                if let Some(watermark) = self.watermarks.get(end_then).filter(|_| end_then < end) {
                    self.runs[place].watermark = Timestamp(*watermark);
                }
            }
            start = end;
        }
    }

    /// Where the run at the head ends.
    fn run_end(&self) -> usize {
        self.runs[self.next].rows_end as usize
    }

    /// Row in the source frame that a row of the run at the head was made from.
    fn origin(&self, row: usize) -> u32 {
        self.origin_in(self.begin, row)
    }

    /// The same of a row of the run that begins at `begin`.
    fn origin_in(&self, begin: usize, row: usize) -> u32 {
        let carried = self.origin_rows.get(row).copied();
        carried.unwrap_or_else(|| (row - begin) as u32)
    }

    /// Moves past the run at the head.
    fn pass(&mut self) {
        self.begin = self.run_end();
        self.row = self.begin;
        self.next += 1;
    }
}

#[derive(Debug)]
struct LaneCursor {
    cursor: Cursor,
    head: Option<Head>,
    /// Number of the head's columns in the batch under way.
    part: Option<usize>,
}

impl LaneCursor {
    /// Sees to it that the head is the next run beyond `after`, if there is one up to `cut`.
    fn load(
        &mut self,
        fields: &[usize],
        derived: bool,
        after: Sequence,
        cut: Sequence,
        clip: Option<(Sequence, u32)>,
    ) -> Result<Option<Sequence>> {
        loop {
            if let Some(sequence) = self.head.as_ref().and_then(Head::sequence) {
                return Ok((sequence <= cut).then_some(sequence));
            }
            // A derived frame may cover sequences on both sides of a cut: it is cut finer here, run by run.
            let limit = if derived { Sequence(u64::MAX) } else { cut };
            self.part = None;
            let Some(frame) = self.cursor.next_merged(limit)? else {
                self.head = None;
                return Ok(None);
            };
            let mut head = Head::read(&frame, fields)?;
            if let Some(clip) = clip {
                head.clip(clip);
            }
            while head.sequence().is_some_and(|s| s <= after) {
                head.pass();
            }
            self.head = Some(head);
        }
    }

    fn head(&self) -> &Head {
        self.head.as_ref().expect("a lane that is taken has a head")
    }
}

/// A stretch of rows of one frame on its way into a batch.
struct Piece {
    /// Which frame's columns.
    part: usize,
    start: usize,
    end: usize,
}

/// A batch in the making.
struct Draft {
    batch: Batch,
    /// Columns of each frame, and the input that it is of.
    parts: Vec<(usize, Vec<ArrayRef>)>,
    pieces: Vec<Piece>,
    /// Whether frames were merged row by row.
    merged: bool,
}

/// Reads the inputs of one task.
#[derive(Debug)]
pub struct Reader {
    lanes: Lanes,
    cursors: Vec<LaneCursor>,
    sources: Vec<Source>,
    /// Whether a lane is derived.
    carries: bool,
    /// Whether each input has fields of its own.
    apart: bool,
    /// Runs up to this were taken before the reader was opened.
    after: Sequence,
    /// Of this source frame only the rows before this one are there.
    clip: Option<(Sequence, u32)>,
}

impl Reader {
    /// Opens these lanes of these inputs after a cut.
    pub fn open(lanes: Lanes, sources: Vec<Source>, after: Sequence) -> Result<Reader> {
        let cursors = lanes.iter().map(|lane| {
            let topic = &sources[lane.input].topic;
            Ok(LaneCursor {
                cursor: topic.cursor_after(lane.partition, after)?,
                head: None,
                part: None,
            })
        });
        Ok(Reader {
            cursors: cursors.collect::<Result<_>>()?,
            carries: lanes.iter().any(|lane| lane.derived),
            apart: false,
            lanes,
            sources,
            after,
            clip: None,
        })
    }

    /// Keeps the rows of each input apart: their fields differ.
    #[must_use]
    pub fn apart(self) -> Reader {
        Reader {
            apart: true,
            ..self
        }
    }

    /// As if a source frame had only the rows before this one. Nothing behind that frame is to be read.
    #[must_use]
    pub fn clipped(self, clip: Option<(Sequence, u32)>) -> Reader {
        Reader { clip, ..self }
    }

    /// What it reads.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// The next rows up to the cut, about `rows_target` of them; none when all up to the cut is taken.
    pub fn next(&mut self, cut: Sequence, rows_target: usize) -> Result<Option<Batch>> {
        let mut draft = Draft {
            batch: Batch {
                lanes: Arc::clone(&self.lanes),
                ..Batch::default()
            },
            parts: Vec::new(),
            pieces: Vec::new(),
            merged: false,
        };
        self.cursors.iter_mut().for_each(|lane| lane.part = None);
        while draft.batch.rows < rows_target {
            let lanes = self.first_lanes(cut)?;
            match lanes.as_slice() {
                [] => break,
                [one] => self.take_frame(*one, &mut draft),
                several => self.merge_frames(several, &mut draft),
            }
        }
        if draft.batch.runs.is_empty() {
            return Ok(None);
        }
        self.join(&mut draft);
        Ok(Some(draft.batch))
    }

    /// The lanes whose heads are of the source frame that comes first in log order.
    fn first_lanes(&mut self, cut: Sequence) -> Result<Vec<usize>> {
        let mut first: Option<Sequence> = None;
        let mut lanes = Vec::new();
        for (i, cursor) in self.cursors.iter_mut().enumerate() {
            let lane = &self.lanes[i];
            let fields = &self.sources[lane.input].fields;
            let Some(sequence) = cursor.load(fields, lane.derived, self.after, cut, self.clip)?
            else {
                continue;
            };
            if first.is_none_or(|f| sequence < f) {
                first = Some(sequence);
                lanes.clear();
            }
            if first == Some(sequence) {
                lanes.push(i);
            }
        }
        Ok(lanes)
    }

    /// Moves the run at the head of one lane, which has its source frame alone, into the batch.
    fn take_frame(&mut self, lane: usize, draft: &mut Draft) {
        let to = self.cursors[lane].head().run_end();
        let whole = (true, true, true);
        self.take_rows(lane, to, whole, draft);
        self.pass(lane);
    }

    /// Moves the runs of one source frame at the heads of several lanes into the batch, row by row in order of the source
    /// frame's rows, then of the lanes.
    fn merge_frames(&mut self, lanes: &[usize], draft: &mut Draft) {
        draft.merged = true;
        for lane in lanes {
            let at = self.cursors[*lane].head().row;
            self.take_rows(*lane, at, (true, false, false), draft);
        }
        while let Some((lane, to)) = self.next_stretch(lanes) {
            self.take_rows(lane, to, (false, false, false), draft);
        }
        for (i, lane) in lanes.iter().enumerate() {
            let to = self.cursors[*lane].head().run_end();
            let last = i + 1 == lanes.len();
            self.take_rows(*lane, to, (false, true, last), draft);
            self.pass(*lane);
        }
    }

    /// The lane with the first row, and how far its rows come before those of the others.
    fn next_stretch(&self, lanes: &[usize]) -> Option<(usize, usize)> {
        let at = |lane: &usize| {
            let head = self.cursors[*lane].head();
            (head.row < head.run_end()).then(|| (head.origin(head.row), *lane))
        };
        let mut firsts = lanes.iter().filter_map(at);
        let mut first = firsts.next()?;
        let mut limit = (u32::MAX, usize::MAX);
        for other in firsts {
            if other < first {
                (first, limit) = (other, first);
            } else {
                limit = limit.min(other);
            }
        }
        let lane = first.1;
        let head = self.cursors[lane].head();
        let mut to = head.row + 1;
        while to < head.run_end() && (head.origin(to), lane) < limit {
            to += 1;
        }
        Some((lane, to))
    }

    /// Moves rows of the run at a head into the batch, as a run of the batch.
    fn take_rows(
        &mut self,
        lane: usize,
        to: usize,
        (begins, ends, last): (bool, bool, bool),
        draft: &mut Draft,
    ) {
        let cursor = &mut self.cursors[lane];
        let head = cursor
            .head
            .as_mut()
            .expect("a lane that is taken has a head");
        let run = head.runs[head.next];
        let from = head.row;
        let batch = &mut draft.batch;
        batch.runs.push(Run {
            lane,
            sequence: run.sequence,
            append_time: run.append_time,
            data: run.data,
            start: batch.rows,
            end: batch.rows + (to - from),
            offset: Offset(head.base.0 + from as u64),
            offset_end: Offset(head.base.0 + to as u64),
            origin_row: (from - head.begin) as u32,
            watermark: run.watermark.0,
            begins,
            ends,
            last,
        });
        if to == from {
            return;
        }
        if self.lanes[lane].derived {
            batch
                .origin_rows
                .extend_from_slice(&head.origin_rows[from..to]);
            batch
                .watermarks
                .extend_from_slice(&head.watermarks[from..to]);
        } else if self.carries {
            let (first, end) = (from - head.begin, to - head.begin);
            batch.origin_rows.extend(first as u32..end as u32);
            batch
                .watermarks
                .extend(std::iter::repeat_n(NEVER, to - from));
        }
        let part = *cursor.part.get_or_insert_with(|| {
            let input = self.lanes[lane].input;
            draft.parts.push((input, head.columns.clone()));
            draft.parts.len() - 1
        });
        match draft.pieces.last_mut() {
            Some(last) if last.part == part && last.end == from => last.end = to,
            _ => draft.pieces.push(Piece {
                part,
                start: from,
                end: to,
            }),
        }
        batch.rows += to - from;
        head.row = to;
    }

    /// Moves past the run at a head, all of whose rows are taken.
    fn pass(&mut self, lane: usize) {
        let head = self.cursors[lane].head.as_mut();
        let head = head.expect("a lane that is taken has a head");
        debug_assert_eq!(head.row, head.run_end());
        head.pass();
    }

    /// Puts the columns of the pieces into the batch.
    fn join(&self, draft: &mut Draft) {
        if draft.pieces.is_empty() {
            return;
        }
        let wanted = &self.sources[0].wanted;
        if self.apart {
            let inputs = 0..self.sources.len();
            draft.batch.apart = inputs.map(|input| self.of_input(draft, input)).collect();
            draft.batch.input_of = input_of(&draft.batch);
        } else {
            let columns = 0..wanted.columns.len();
            draft.batch.columns = columns
                .map(|i| self.column(draft, &|w| w.columns[i]))
                .collect();
        }
        draft.batch.keys = (0..wanted.keys.len())
            .map(|i| self.column(draft, &|w| w.keys[i]))
            .collect();
        draft.batch.times = self.times(draft);
    }

    /// One column of the batch; `field` says which field of an input it is.
    fn column(&self, draft: &Draft, field: &dyn Fn(&Wanted) -> usize) -> ArrayRef {
        let arrays: Vec<&ArrayRef> = draft
            .parts
            .iter()
            .map(|(input, columns)| {
                let source = &self.sources[*input];
                &columns[source.place(field(&source.wanted))]
            })
            .collect();
        joined(&arrays, &draft.pieces, draft.merged, draft.batch.rows)
    }

    /// The rows of one input.
    fn of_input(&self, draft: &Draft, input: usize) -> Apart {
        let source = &self.sources[input];
        // Its frames, and the number that each has among them.
        let mut frames: Vec<&Vec<ArrayRef>> = Vec::new();
        let numbers: Vec<usize> = draft
            .parts
            .iter()
            .map(|(of, columns)| {
                if *of == input {
                    frames.push(columns);
                }
                frames.len().saturating_sub(1)
            })
            .collect();
        let mut pieces = Vec::new();
        let mut rows = Vec::new();
        let mut at = 0;
        for piece in &draft.pieces {
            let count = piece.end - piece.start;
            if draft.parts[piece.part].0 == input {
                rows.extend(at as u32..(at + count) as u32);
                pieces.push(Piece {
                    part: numbers[piece.part],
                    ..*piece
                });
            }
            at += count;
        }
        if rows.is_empty() {
            return Apart::default();
        }
        let column = |field: &usize| {
            let place = source.place(*field);
            let arrays: Vec<&ArrayRef> = frames.iter().map(|columns| &columns[place]).collect();
            joined(&arrays, &pieces, draft.merged, rows.len())
        };
        Apart {
            columns: source.wanted.columns.iter().map(column).collect(),
            rows,
        }
    }

    /// Event times; the append time where a topic has none. None when no topic has one.
    fn times(&self, draft: &Draft) -> Option<ScalarBuffer<i64>> {
        let timed = |source: &Source| source.wanted.time.is_some();
        if self.sources.iter().all(timed) {
            let field = |w: &Wanted| w.time.expect("all have one");
            let column = self.column(draft, &field);
            let times = column.as_primitive::<TimestampMicrosecondType>();
            return Some(times.values().clone());
        }
        if !self.sources.iter().any(timed) {
            return None;
        }
        let mut times = Vec::with_capacity(draft.batch.rows);
        for piece in &draft.pieces {
            let (input, columns) = &draft.parts[piece.part];
            let source = &self.sources[*input];
            match source.wanted.time {
                Some(field) => {
                    let column = columns[source.place(field)].as_primitive();
                    let column: &arrow_array::TimestampMicrosecondArray = column;
                    times.extend_from_slice(&column.values()[piece.start..piece.end]);
                }
                None => times.resize(times.len() + piece.end - piece.start, i64::MAX),
            }
        }
        for run in &draft.batch.runs {
            if !timed(&self.sources[self.lanes[run.lane].input]) {
                times[run.start..run.end].fill(run.append_time.0);
            }
        }
        Some(times.into())
    }
}

/// Input of each row of a batch whose rows are apart.
fn input_of(batch: &Batch) -> Vec<u32> {
    let mut inputs = vec![0; batch.rows];
    for (input, apart) in (0..).zip(&batch.apart) {
        apart
            .rows
            .iter()
            .for_each(|row| inputs[*row as usize] = input);
    }
    inputs
}

/// The pieces of arrays of one field, one after another.
fn joined(arrays: &[&ArrayRef], pieces: &[Piece], merged: bool, rows: usize) -> ArrayRef {
    let slice = |p: &Piece| arrays[p.part].slice(p.start, p.end - p.start);
    if let [one] = pieces {
        return slice(one);
    }
    if !merged {
        let parts: Vec<ArrayRef> = pieces.iter().map(slice).collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        return arrow_select::concat::concat(&parts)
            .expect("pieces of one field have one type, and a batch stays small");
    }
    let mut places = Vec::with_capacity(rows);
    for piece in pieces {
        places.extend((piece.start..piece.end).map(|row| (piece.part, row)));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
    arrow_select::interleave::interleave(&arrays, &places)
        .expect("pieces of one field have one type, and a batch stays small")
}
