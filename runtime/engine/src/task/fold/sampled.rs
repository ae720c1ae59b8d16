//! A fold for a part of its keys: rows of the others are read and move the watermark, and take no slot.

use super::FoldTask;
use super::timed::{Assign, At};
use crate::input::Batch;
use crate::receipt::sample::Sample;
use crate::task::Failure;
use crate::task::slots::BatchKeys;

/// Another way to find slots, for keys of the sample alone.
pub(super) struct OfSample<A> {
    assign: A,
    sample: Sample,
    scratch: Vec<u8>,
}

impl<A> OfSample<A> {
    pub(super) fn new(assign: A, sample: Sample) -> OfSample<A> {
        OfSample {
            assign,
            sample,
            scratch: Vec::new(),
        }
    }
}

impl<A: Assign> Assign for OfSample<A> {
    fn row(&mut self, task: &mut FoldTask, at: &At<'_>) -> Result<(), Failure> {
        let fields = &task.setup.plan.key_fields;
        let keys = &at.batch.keys;
        match self
            .sample
            .takes_row(keys, fields, at.row, &mut self.scratch)
        {
            true => self.assign.row(task, at),
            false => {
                task.core.call.skip();
                Ok(())
            }
        }
    }

    fn closed(&mut self) {
        self.assign.closed();
    }
}

impl FoldTask {
    /// Rows of one frame into windows, of all keys or of the sample.
    pub(super) fn take_assigned<A: Assign>(
        &mut self,
        batch: &Batch,
        index: usize,
        keys: &BatchKeys<'_>,
        assign: A,
    ) -> Result<(), Failure> {
        match self.setup.sample {
            None => self.take_timed(batch, index, keys, assign),
            Some(sample) => self.take_timed(batch, index, keys, OfSample::new(assign, sample)),
        }
    }

    /// Rows of one frame into running totals of the sample.
    pub(super) fn take_total_of(
        &mut self,
        sample: Sample,
        batch: &Batch,
        index: usize,
        keys: &BatchKeys<'_>,
    ) -> Result<(), Failure> {
        let run = batch.runs[index];
        let place = self.core.table(0);
        let mut scratch = Vec::new();
        for row in run.start..run.end {
            let fields = &self.setup.plan.key_fields;
            match sample.takes_row(&batch.keys, fields, row, &mut scratch) {
                true => {
                    let slot = self.core.touch(place, keys, row);
                    self.core.call.take(slot);
                }
                false => self.core.call.skip(),
            }
            if self.core.call.count >= self.setup.plan.call_rows {
                self.flush(batch)?;
            }
        }
        Ok(())
    }
}
