//! One call with rows: of a stretch of a batch, each with its slot, all between two steps of the watermark.

use std::ops::Range;

use arrow_array::{ArrayRef, new_empty_array};
use refrain_plugin::{About, Fault, Input, Instance, Part, Processed};

use crate::input::Batch;

/// What the calls of a node have in common.
#[derive(Debug)]
pub(super) struct Shape {
    timed: bool,
    /// Columns of each input for a call without rows of it.
    empty: Vec<Vec<ArrayRef>>,
}

/// Rows for one call.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) batch: &'a Batch,
    pub(super) rows: Range<usize>,
    /// Slot of each row.
    pub(super) slots: &'a [u32],
    /// As the plugin is told it.
    pub(super) watermark: i64,
}

impl Shape {
    pub(super) fn of(about: &About) -> Shape {
        let inputs = about.declared_inputs().iter();
        let empty = inputs.map(|input| {
            let fields = input.fields.iter();
            fields.map(|f| new_empty_array(&f.kind.arrow())).collect()
        });
        Shape {
            timed: about.timed(),
            empty: empty.collect(),
        }
    }

    /// Makes a call.
    pub(super) fn make(
        &self,
        instance: &mut Instance,
        call: &Call<'_>,
    ) -> Result<Processed, Fault> {
        match self.empty.len() {
            1 => self.make_one(instance, call),
            _ => self.make_apart(instance, call),
        }
    }

    /// The rows come as they stand.
    fn make_one(&self, instance: &mut Instance, call: &Call<'_>) -> Result<Processed, Fault> {
        let part = Part {
            input: Input {
                columns: &call.batch.columns,
                start: call.rows.start,
                count: call.rows.len(),
            },
            slots: call.slots,
            times: &self.times(call.batch)[self.span(&call.rows)],
        };
        instance.process(&[part], &[], call.watermark)
    }

    /// The rows of each input by themselves.
    fn make_apart(&self, instance: &mut Instance, call: &Call<'_>) -> Result<Processed, Fault> {
        let (batch, rows) = (call.batch, &call.rows);
        let stretches: Vec<Range<usize>> = (0..self.empty.len())
            .map(|input| {
                let rows_of = batch.apart.get(input).map_or(&[][..], |apart| &apart.rows);
                let place = |row: usize| rows_of.partition_point(|r| (*r as usize) < row);
                place(rows.start)..place(rows.end)
            })
            .collect();
        let times = self.times(batch);
        let slots: Vec<Vec<u32>> = self.gather(batch, &stretches, |row| {
            call.slots[row as usize - rows.start]
        });
        let times: Vec<Vec<i64>> = match self.timed {
            true => self.gather(batch, &stretches, |row| times[row as usize]),
            false => vec![Vec::new(); stretches.len()],
        };
        let part = |(input, stretch): (usize, &Range<usize>)| Part {
            input: match stretch.is_empty() {
                true => Input {
                    columns: &self.empty[input],
                    start: 0,
                    count: 0,
                },
                false => Input {
                    columns: &batch.apart[input].columns,
                    start: stretch.start,
                    count: stretch.len(),
                },
            },
            slots: &slots[input],
            times: &times[input],
        };
        let parts: Vec<Part<'_>> = stretches.iter().enumerate().map(part).collect();
        instance.process(&parts, &batch.input_of[rows.clone()], call.watermark)
    }

    /// Something of each row of each input.
    fn gather<T>(
        &self,
        batch: &Batch,
        stretches: &[Range<usize>],
        of_row: impl Fn(u32) -> T,
    ) -> Vec<Vec<T>> {
        let of_input = |(input, stretch): (usize, &Range<usize>)| match stretch.is_empty() {
            true => Vec::new(),
            false => {
                let rows = batch.apart[input].rows[stretch.clone()].iter();
                rows.map(|row| of_row(*row)).collect()
            }
        };
        stretches.iter().enumerate().map(of_input).collect()
    }

    fn times<'a>(&self, batch: &'a Batch) -> &'a [i64] {
        match &batch.times {
            Some(times) if self.timed => times,
            _ => &[],
        }
    }

    fn span(&self, rows: &Range<usize>) -> Range<usize> {
        if self.timed { rows.clone() } else { 0..0 }
    }
}
