//! A batch: rows of the inputs of a task in log order, and the runs that say where they come from.
//!
//! Log order is (sequence, row in the source frame). Rows that share both, since they were made from one row, stand in
//! the order of the inputs in the pipeline file, then of their partitions, then as they were written.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use refrain_log::ids::{Offset, Sequence, Timestamp};

use crate::watermark::{Running, Watermark};

/// One partition of one input of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Place of the input in the pipeline file.
    pub input: usize,
    /// Its topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// Whether the topic is derived: its rows then carry a watermark.
    pub derived: bool,
    /// How far event times may run behind the newest seen, of a source topic.
    pub disorder_us: i64,
    /// Without rows for longer than this it is idle; none: never.
    pub idle_us: Option<i64>,
}

/// All that a task reads: input by input as in the pipeline file, partition by partition.
pub type Lanes = Arc<[Lane]>;

/// Rows of one source frame that came by one lane, next to each other in log order. When several lanes carry rows of one
/// source frame, the frame is a number of runs: one for each of these lanes where it begins, without rows, then the rows,
/// then one for each lane where it ends, without rows.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which lane.
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
    /// Offset of row `start` in the lane's partition.
    pub offset: Offset,
    /// Offset after the last row of the run in the lane's partition, rows of other tasks included.
    pub offset_end: Offset,
    /// Row of the source frame that row `start` is, when each row follows the last (a source topic).
    pub origin_row: u32,
    /// The upstream node's watermark after the source frame (a derived topic).
    pub watermark: i64,
    /// Whether the source frame begins in this lane.
    pub begins: bool,
    /// Whether it ends in this lane.
    pub ends: bool,
    /// Whether it ends in all lanes.
    pub last: bool,
}

/// Rows in log order. `origin_rows` and `watermarks` have an entry a row where a lane is derived; else none.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What the runs speak of.
    pub lanes: Lanes,
    /// How many rows.
    pub rows: usize,
    /// Fields the plugin reads.
    pub columns: Vec<ArrayRef>,
    /// Where each input has fields of its own: the rows of each input apart. `columns` is empty then.
    pub apart: Vec<Apart>,
    /// Input of each row, then.
    pub input_of: Vec<u32>,
    /// Fields of the key.
    pub keys: Vec<ArrayRef>,
    /// Event times; none: the append time of each run.
    pub times: Option<ScalarBuffer<i64>>,
    /// Row in the source frame of each row.
    pub origin_rows: Vec<u32>,
    /// Offset of each row, where rows of other tasks stood between; else none.
    pub offsets: Vec<u64>,
    /// The upstream node's watermark before each row; from an exchange, the node's own.
    pub watermarks: Vec<i64>,
    /// In log order. Runs without rows are there too.
    pub runs: Vec<Run>,
    /// From an exchange: what moved the node's watermark, rows of other tasks included.
    pub movers: Option<Arc<[Mover]>>,
}

/// The rows of one input.
#[derive(Clone, Debug, Default)]
pub struct Apart {
    /// Fields that the plugin reads of it.
    pub columns: Vec<ArrayRef>,
    /// Row of the batch that each is. Rising.
    pub rows: Vec<u32>,
}

/// What moved a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mover {
    /// Row of its source frame; 0 where the frame begins, `u32::MAX` where it ends.
    pub origin_row: u32,
    /// The watermark before,
    pub before: i64,
    /// and after. Rising from mover to mover.
    pub after: i64,
}

impl Batch {
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

    /// Event time of a row.
    #[inline(always)]
    pub fn time_of(&self, row: usize) -> i64 {
        match &self.times {
            Some(times) => times[row],
            None => self.run_of(row).append_time.0,
        }
    }

    /// The run that a row is in.
    pub fn run_of(&self, row: usize) -> &Run {
        &self.runs[self.runs.partition_point(|run| run.end <= row)]
    }

    /// The lane of a run.
    pub fn lane(&self, run: &Run) -> &Lane {
        &self.lanes[run.lane]
    }

    /// Offset in its partition of a row of this run.
    pub fn offset(&self, run: &Run, row: usize) -> Offset {
        match self.offsets.get(row) {
            Some(offset) => Offset(*offset),
            None => Offset(run.offset.0 + (row - run.start) as u64),
        }
    }

    /// Begins a run: whether partitions are idle is decided where a source frame begins, knowing all that it has rows in.
    pub fn begin(&self, run: usize, mark: &mut Watermark) -> Running {
        let this = &self.runs[run];
        if self.movers.is_some() {
            return mark.resume();
        }
        let same = |r: &&Run| r.begins && r.sequence == this.sequence;
        for run in self.runs[run..].iter().take_while(same) {
            mark.hear(run.lane, run.append_time, run.data);
        }
        mark.begin(this.lane, this.append_time, |lane| self.lanes[lane].idle_us)
    }

    /// Ends a run that was begun.
    pub fn finish(&self, run: &Run, running: Running, mark: &mut Watermark) {
        let lane = if self.movers.is_some() { 0 } else { run.lane };
        mark.end(lane, running);
    }

    /// What moved the watermark to this or beyond, and was not seen by the task itself: it came from an exchange.
    pub fn mover(&self, watermark: i64) -> Option<&Mover> {
        let movers = self.movers.as_ref()?;
        movers.get(movers.partition_point(|m| m.after < watermark))
    }

    /// Whether each row of the run brings its partition's watermark before it along (`watermarks`). Else the row moves it,
    /// to its event time less the lane's disorder.
    pub fn carries(&self, run: &Run) -> bool {
        self.movers.is_some() || self.lane(run).derived
    }

    /// The watermark of the run's partition after the run, where it is carried.
    pub fn carried_after(&self, run: &Run) -> Option<i64> {
        (run.ends && self.carries(run)).then_some(run.watermark)
    }
}
