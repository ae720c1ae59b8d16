//! Rows of a topic, sorted into the runs of the batch that caused them.

use arrow_array::RecordBatch;

use super::clock::Walk;
use super::out::Out;
use crate::error::Result;
use crate::input::Batch;

/// Where in the log a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Run of the batch.
    pub(super) run: usize,
    /// Row of its source frame.
    pub(super) row: u32,
    /// The node's watermark before that row.
    pub(super) before: i64,
}

/// Rows of a topic on their way into the runs of one batch.
#[derive(Default)]
pub(super) struct Produced {
    parts: Vec<RecordBatch>,
    /// Of each row, in the order of the runs.
    origins: Vec<Origin>,
}

impl Produced {
    pub(super) fn push(&mut self, rows: RecordBatch, origins: impl Iterator<Item = Origin>) {
        self.parts.push(rows);
        self.origins.extend(origins);
    }

    /// Writes them, and ends the runs of the batch.
    pub(super) fn write(self, batch: &Batch, walk: &Walk, out: &mut Out) -> Result<()> {
        let all = match self.parts.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            parts => Some(
                arrow_select::concat::concat_batches(&parts[0].schema(), parts)
                    .expect("rows of one node have one schema"),
            ),
        };
        let mut done = 0;
        for (index, (run, after)) in batch.runs.iter().zip(&walk.after).enumerate() {
            let end = self.origins.partition_point(|origin| origin.run <= index);
            if let (Some(all), true) = (&all, end > done) {
                let origins = self.origins[done..end].iter();
                let origins = origins.map(|origin| (origin.row, origin.before));
                out.push(all.slice(done, end - done), origins);
            }
            out.end_run(run, *after)?;
            done = end;
        }
        Ok(())
    }
}
