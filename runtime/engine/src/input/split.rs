//! The split of an exchange: batches of all partitions into a batch for each task, by key. Pure but for the reading.
//!
//! Rows keep log order. Each carries the node's watermark before it, which all rows have moved, those of other tasks too;
//! and the batches share where it moved, so that a window closes at the row that closed it whichever task has that row.

use std::sync::Arc;

use arrow_array::{ArrayRef, UInt32Array};
use refrain_log::ids::Sequence;
use refrain_log::key_hash;

use super::batch::{Apart, Batch, Mover, Run};
use super::reader::Reader;
use crate::error::Result;
use crate::watermark::{NEVER, Running, Watermark};

/// Rows asked of the reader at once.
const BATCH_ROWS: usize = 16_384;

/// Reads all partitions once and gives each row to the task of its key.
#[derive(Debug)]
pub struct Splitter {
    reader: Reader,
    mark: Watermark,
    /// Whether the node has use for event time.
    timed: bool,
    tasks: u32,
}

impl Splitter {
    /// Over what `reader` reads; `mark` is the node's watermark there.
    pub fn new(reader: Reader, mark: Watermark, timed: bool, tasks: u32) -> Self {
        Self {
            reader,
            mark,
            timed,
            tasks,
        }
    }

    /// The node's watermark after all rows split so far.
    pub fn mark(&self) -> &Watermark {
        &self.mark
    }

    /// The next rows up to the cut, a batch for each task; none when all up to the cut is split.
    pub fn next(&mut self, cut: Sequence) -> Result<Option<Vec<Batch>>> {
        let Some(batch) = self.reader.next(cut, BATCH_ROWS)? else {
            return Ok(None);
        };
        let track = match self.timed {
            true => Track::of(&batch, &mut self.mark),
            false => Track::untimed(&batch),
        };
        let chosen = choose(&batch.keys, batch.rows, self.tasks);
        let parts = chosen.iter().map(|rows| part(&batch, &track, rows));
        Ok(Some(parts.collect()))
    }
}

/// How the watermark went through a batch.
struct Track {
    /// Before each row, as the row meets it.
    before: Vec<i64>,
    /// After each run.
    after: Vec<i64>,
    movers: Arc<[Mover]>,
}

impl Track {
    fn untimed(batch: &Batch) -> Track {
        Track {
            before: vec![NEVER; batch.rows],
            after: vec![NEVER; batch.runs.len()],
            movers: Arc::default(),
        }
    }

    fn of(batch: &Batch, mark: &mut Watermark) -> Track {
        let mut before = Vec::with_capacity(batch.rows);
        let mut after = Vec::with_capacity(batch.runs.len());
        let mut movers = Vec::new();
        for (index, run) in batch.runs.iter().enumerate() {
            let mut now = mark.current().0;
            let mut note = |running: &Running, origin_row: u32| {
                if running.current > now {
                    movers.push(Mover {
                        origin_row,
                        before: now,
                        after: running.current,
                    });
                    now = running.current;
                }
            };
            let mut running = batch.begin(index, mark);
            note(&running, 0);
            let carries = batch.carries(run);
            let disorder_us = batch.lane(run).disorder_us;
            for row in run.start..run.end {
                if carries {
                    running.advance(batch.watermarks[row]);
                    note(&running, batch.origin_row(run, row));
                }
                before.push(running.current);
                if !carries {
                    running.advance(batch.time(run, row).saturating_sub(disorder_us));
                    note(&running, batch.origin_row(run, row));
                }
            }
            if let Some(carried) = batch.carried_after(run) {
                running.advance(carried);
                note(&running, u32::MAX);
            }
            batch.finish(run, running, mark);
            after.push(mark.current().0);
        }
        Track {
            before,
            after,
            movers: movers.into(),
        }
    }
}

/// The rows of each task, in order.
fn choose(keys: &[ArrayRef], rows: usize, tasks: u32) -> Vec<Vec<u32>> {
    let mut chosen = vec![Vec::new(); tasks as usize];
    let mut scratch = Vec::new();
    for row in 0..rows {
        let task = key_hash(keys, row, &mut scratch) % u64::from(tasks);
        chosen[task as usize].push(row as u32);
    }
    chosen
}

/// The batch of a task: these rows, and all runs that begin or end something.
fn part(batch: &Batch, track: &Track, rows: &[u32]) -> Batch {
    let (apart, input_of) = apart(batch, rows);
    let mut part = Batch {
        apart,
        input_of,
        lanes: Arc::clone(&batch.lanes),
        rows: rows.len(),
        columns: taken(&batch.columns, rows),
        keys: taken(&batch.keys, rows),
        times: batch
            .times
            .as_ref()
            .map(|times| rows.iter().map(|row| times[*row as usize]).collect()),
        origin_rows: Vec::with_capacity(rows.len()),
        offsets: Vec::with_capacity(rows.len()),
        watermarks: rows.iter().map(|row| track.before[*row as usize]).collect(),
        runs: Vec::new(),
        movers: Some(Arc::clone(&track.movers)),
    };
    let mut next = 0;
    for (run, after) in batch.runs.iter().zip(&track.after) {
        let start = next;
        while next < rows.len() && (rows[next] as usize) < run.end {
            let row = rows[next] as usize;
            part.origin_rows.push(batch.origin_row(run, row));
            part.offsets.push(batch.offset(run, row).0);
            next += 1;
        }
        if next > start || run.begins || run.ends {
            part.runs.push(Run {
                start,
                end: next,
                watermark: *after,
                ..*run
            });
        }
    }
    part
}

/// These rows of each input, where they are apart.
fn apart(batch: &Batch, rows: &[u32]) -> (Vec<Apart>, Vec<u32>) {
    if batch.apart.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let input_of: Vec<u32> = rows.iter().map(|r| batch.input_of[*r as usize]).collect();
    let of_input = |(input, apart): (u32, &Apart)| {
        let mut places = Vec::new();
        let mut kept = Vec::new();
        let mut place = 0;
        for (at, row) in (0..).zip(rows) {
            if input_of[at as usize] != input {
                continue;
            }
            place += apart.rows[place..].partition_point(|r| r < row);
            places.push(place as u32);
            kept.push(at);
        }
        Apart {
            columns: taken(&apart.columns, &places),
            rows: kept,
        }
    };
    let apart = (0..).zip(&batch.apart).map(of_input).collect();
    (apart, input_of)
}

fn taken(columns: &[ArrayRef], rows: &[u32]) -> Vec<ArrayRef> {
    let rows = UInt32Array::from(rows.to_vec());
    let take = |column: &ArrayRef| arrow_select::take::take(column, &rows, None);
    columns
        .iter()
        .map(|column| take(column).expect("rows of the batch, of at most its size"))
        .collect()
}
