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
    topic: String,
    pending: Vec<Letter>,
    count: u64,
}

impl Letters {
    /// For rows of this topic.
    pub fn new(out: Out, topic: &str) -> Self {
        Self {
            out,
            topic: topic.to_owned(),
            pending: Vec::new(),
            count: 0,
        }
    }

    /// One row of the batch, in any order.
    pub fn push(&mut self, batch: &Batch, run: usize, row: usize, partition: u32, reason: String) {
        let run = &batch.runs[run];
        let offset = run.offset.0 + (row - run.start) as u64;
        let origin_row = batch.origin_row(run, row);
        self.pending.push(Letter {
            row,
            partition,
            offset,
            origin_row,
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
                self.out.push(
                    self.rows(&of_run),
                    of_run.iter().map(|l| (l.origin_row, NEVER)),
                );
                self.out.end_run(run, NEVER)?;
            }
        }
        Ok(())
    }

    fn rows(&self, letters: &[Letter]) -> RecordBatch {
        let topic = std::iter::repeat_n(self.topic.as_str(), letters.len());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(topic)),
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
        RecordBatch::try_new(dead_letter_schema().arrow(), columns)
            .expect("letters have their schema")
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
