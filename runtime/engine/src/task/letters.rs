//! Rows that a node does not take: late ones and rejected ones, with where they stand and why.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use refrain_log::ids::Offset;

use super::out::Out;
use crate::error::Result;
use crate::input::Batch;
use crate::pipeline::dead_letter_schema;
use crate::watermark::NEVER;

/// One row not taken.
#[derive(Debug)]
struct Letter {
    /// Row in the batch.
    row: usize,
    topic: Arc<str>,
    partition: u32,
    offset: u64,
    /// Row in its source frame.
    origin_row: u32,
    reason: String,
}

/// The writing end of `<node>.late` or `<node>.rejected` for one task. It carries no watermark: nobody windows it.
#[derive(Debug)]
pub struct Letters {
    out: Out,
    pending: Vec<Letter>,
    count: u64,
}

impl Letters {
    /// No letters yet.
    pub fn new(out: Out) -> Self {
        Self {
            out,
            pending: Vec::new(),
            count: 0,
        }
    }

    /// One row of the batch, in any order.
    pub fn push(&mut self, batch: &Batch, row: usize, reason: String) {
        let run = batch.run_of(row);
        let lane = batch.lane(run);
        self.pending.push(Letter {
            row,
            topic: Arc::clone(&lane.topic),
            partition: lane.partition,
            offset: batch.offset(run, row).0,
            origin_row: batch.origin_row(run, row),
            reason,
        });
        self.count += 1;
    }

    /// Ends the batch: its letters are sorted into its runs.
    pub fn end_batch(&mut self, batch: &Batch) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.sort_by_key(|letter| letter.row);
        let mut letters = std::mem::take(&mut self.pending).into_iter().peekable();
        for run in &batch.runs {
            let mut of_run = Vec::new();
            while let Some(letter) = letters.next_if(|letter| letter.row < run.end) {
                of_run.push(letter);
            }
            if !of_run.is_empty() {
                self.out
                    .push(rows(&of_run), of_run.iter().map(|l| (l.origin_row, NEVER)));
            }
            self.out.end_run(run, NEVER)?;
        }
        Ok(())
    }

    /// How many since this was last asked.
    pub fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }

    /// See [`Out::sync`].
    pub fn sync(&mut self) -> Result<Offset> {
        self.out.sync()
    }

    /// See [`Out::publish`].
    pub fn publish(&mut self) {
        self.out.publish();
    }

    /// See [`Out::rollback`].
    pub fn rollback(&mut self) -> Result<()> {
        self.out.rollback()
    }
}

fn rows(letters: &[Letter]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            letters.iter().map(|l| &l.topic),
        )),
        Arc::new(Int64Array::from_iter_values(
            letters.iter().map(|l| i64::from(l.partition)),
        )),
        Arc::new(Int64Array::from_iter_values(
            letters.iter().map(|l| l.offset as i64),
        )),
        Arc::new(StringArray::from_iter_values(
            letters.iter().map(|l| l.reason.as_str()),
        )),
    ];
    RecordBatch::try_new(dead_letter_schema().arrow(), columns).expect("letters have their schema")
}
