//! The transform task: rows in, rows out, each with the place in the log that it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use refrain_log::ids::{Offset, Sequence};
use refrain_plugin::{Fault, Input, Instance, Transformed};
use refrain_state::commit::TaskChanges;
use refrain_state::view::ViewChanges;

use super::letters::Letters;
use super::out::Out;
use super::{Counts, Failure, Memo, NodeSetup, Prepared, Progress, Taken, Task, trap_reason};
use crate::error::{Error, Extent, Place, Result};
use crate::input::{Batch, Feed, Lanes, Next, Run};
use crate::pipeline::Output;
use crate::versions::VersionName;
use crate::watermark::{NEVER, Watermark};

/// The writing ends of a transform task.
pub struct TransformOuts {
    /// The derived topic, when there is one.
    pub topic: Option<Out>,
    /// `<node>.rejected`.
    pub rejected: Letters,
}

/// A transform on one partition of its input.
pub struct TransformTask {
    setup: Arc<NodeSetup>,
    task: u32,
    lanes: Lanes,
    feed: Feed,
    instance: Instance,
    outs: TransformOuts,
    mark: Watermark,
    /// Rows handed to the plugin since the last commit.
    handed: u64,
    /// Rows found to trap since the task was opened.
    culprits: u64,
    counts: Counts,
    ends: BTreeMap<usize, Offset>,
    /// View rows since the last commit.
    shown: Vec<RecordBatch>,
}

/// Rows that came out of a batch, before they are sorted into its runs: all in order of the row they come from.
#[derive(Default)]
struct Produced {
    parts: Vec<RecordBatch>,
    /// Row of the batch that each comes from.
    rows: Vec<usize>,
}

impl TransformTask {
    /// Opens the task where its last commit left it.
    pub fn open(
        setup: Arc<NodeSetup>,
        task: u32,
        feed: Feed,
        outs: TransformOuts,
        memo: Option<Memo>,
    ) -> Result<Self> {
        let lanes = setup.lanes(task);
        let instance = setup.instance().map_err(|f| setup.fault(f, None))?;
        let mark = memo.map_or_else(|| Watermark::new(lanes.len()), |memo| memo.watermark);
        Ok(TransformTask {
            task,
            lanes,
            feed,
            instance,
            outs,
            mark,
            handed: 0,
            culprits: 0,
            counts: Counts::default(),
            ends: BTreeMap::new(),
            shown: Vec::new(),
            setup,
        })
    }

    fn take(&mut self, batch: &Batch) -> Result<(), Failure> {
        let mut produced = Produced::default();
        let mut from = 0;
        while from < batch.rows {
            let count = self.setup.plan.call_rows.min(batch.rows - from);
            self.call(batch, from, count, &mut produced)?;
            from += count;
        }
        self.sort_into_runs(batch, &produced)?;
        self.counts.rows += batch.rows as u64;
        Ok(self.outs.rejected.end_batch(batch)?)
    }

    fn call(
        &mut self,
        batch: &Batch,
        from: usize,
        count: usize,
        produced: &mut Produced,
    ) -> Result<(), Failure> {
        let answer = match self.hand(batch, from, count) {
            Ok(answer) => answer,
            Err(fault) if self.setup.may_be_a_rows(&fault) => {
                return self.pin_down(batch, from, count, fault, produced);
            }
            Err(fault) => return Err(self.stop(batch, from, count, fault)),
        };
        self.keep(&answer, from, produced);
        for reject in answer.rejects {
            self.reject(batch, from + reject.row as usize, reject.reason);
        }
        Ok(())
    }

    fn hand(&mut self, batch: &Batch, from: usize, count: usize) -> Result<Transformed, Fault> {
        self.handed += count as u64;
        self.instance.transform(Input {
            columns: &batch.columns,
            start: from,
            count,
        })
    }

    fn reject(&mut self, batch: &Batch, row: usize, reason: String) {
        self.outs.rejected.push(batch, row, reason);
    }

    /// These rows trapped together. A transform has no state, so a fresh instance goes on where the last one ended: half
    /// by half, until the culprits are alone. One that traps again, alone in a fresh instance, is a dead letter.
    fn pin_down(
        &mut self,
        batch: &Batch,
        from: usize,
        count: usize,
        fault: Fault,
        produced: &mut Produced,
    ) -> Result<(), Failure> {
        self.refresh()?;
        let before = self.culprits;
        if count > 1 {
            let half = count / 2;
            self.call(batch, from, half, produced)?;
            self.call(batch, from + half, count - half, produced)?;
        } else {
            match self.hand(batch, from, 1) {
                Err(again) if self.setup.may_be_a_rows(&again) => {
                    self.culprits += 1;
                    self.reject(batch, from, trap_reason(&again));
                    self.refresh()?;
                }
                Err(other) => return Err(self.stop(batch, from, 1, other)),
                Ok(_) => {}
            }
        }
        if self.culprits == before {
            let place = self.place(batch, from, count);
            return Err(Failure::Stop(self.setup.not_again(fault, place)));
        }
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        self.instance = self
            .setup
            .instance()
            .map_err(|f| self.setup.fault(f, None))?;
        Ok(())
    }

    fn place(&self, batch: &Batch, from: usize, count: usize) -> Option<Place> {
        Taken::of_rows(batch, from..from + count).place(&self.lanes, Extent::Call)
    }

    fn stop(&self, batch: &Batch, from: usize, count: usize, fault: Fault) -> Failure {
        Failure::Stop(self.setup.fault(fault, self.place(batch, from, count)))
    }

    fn keep(&self, answer: &Transformed, from: usize, produced: &mut Produced) {
        if answer.count == 0 {
            return;
        }
        match answer.origins.is_empty() {
            true => produced.rows.extend(from..from + answer.count),
            false => produced
                .rows
                .extend(answer.origins.iter().map(|o| from + *o as usize)),
        }
        let fields = self.setup.plan.about.outputs.clone();
        let schema = refrain_log::schema::Schema::new(fields).arrow();
        let rows =
            RecordBatch::try_new(schema, answer.columns.clone()).expect("answers are checked");
        produced.parts.push(rows);
    }

    fn sort_into_runs(&mut self, batch: &Batch, produced: &Produced) -> Result<(), Failure> {
        let all = match produced.parts.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            parts => Some(
                arrow_select::concat::concat_batches(&parts[0].schema(), parts)
                    .expect("answers have one schema"),
            ),
        };
        let mut done = 0;
        for (index, run) in batch.runs.iter().enumerate() {
            let end = produced.rows.partition_point(|row| *row < run.end);
            let watermarks = self.watermarks(batch, index);
            if let (Some(all), true) = (&all, end > done) {
                self.write(
                    batch,
                    run,
                    &all.slice(done, end - done),
                    &produced.rows[done..end],
                    &watermarks,
                );
                self.counts.out += (end - done) as u64;
            }
            if let Some(out) = &mut self.outs.topic {
                out.end_run(run, self.mark.current().0)?;
            }
            done = end;
            self.counts.frames += 1;
            self.ends.insert(run.lane, run.offset_end);
        }
        Ok(())
    }

    /// The node's watermark before each row of a run; moves it past the run.
    fn watermarks(&mut self, batch: &Batch, index: usize) -> Vec<i64> {
        let run = &batch.runs[index];
        let mut running = batch.begin(index, &mut self.mark);
        let mut before = Vec::new();
        if self.outs.topic.is_some() {
            before.reserve(run.end - run.start);
            let carries = batch.carries(run);
            let disorder_us = batch.lane(run).disorder_us;
            for row in run.start..run.end {
                if carries {
                    running.advance(batch.watermarks[row]);
                    before.push(running.current);
                } else {
                    before.push(running.current);
                    running.advance(batch.time(run, row).saturating_sub(disorder_us));
                }
            }
            running.advance(batch.carried_after(run).unwrap_or(NEVER));
        }
        batch.finish(run, running, &mut self.mark);
        before
    }

    fn write(
        &mut self,
        batch: &Batch,
        run: &Run,
        rows: &RecordBatch,
        from: &[usize],
        watermarks: &[i64],
    ) {
        match &mut self.outs.topic {
            Some(out) => {
                let origins = from
                    .iter()
                    .map(|row| (batch.origin_row(run, *row), watermarks[row - run.start]));
                out.push(rows.clone(), origins);
            }
            None => {
                let rows = self.keyed(batch, run, rows, from);
                self.shown.push(rows);
            }
        }
    }

    /// Rows for a view: keyed by partition, offset and ordinal of the input row, behind its topic where there are several.
    fn keyed(&self, batch: &Batch, run: &Run, rows: &RecordBatch, from: &[usize]) -> RecordBatch {
        let lane = batch.lane(run);
        let mut ordinal = 0;
        let ordinals = from.iter().enumerate().map(|(i, row)| {
            ordinal = if i > 0 && from[i - 1] == *row {
                ordinal + 1
            } else {
                0
            };
            ordinal
        });
        let ordinals: Int64Array = ordinals.collect();
        let offsets = from.iter().map(|row| batch.offset(run, *row).0 as i64);
        let mut columns: Vec<ArrayRef> = Vec::new();
        if self.setup.plan.inputs.len() > 1 {
            // Whichever version of it is read: a row is the same one in all versions.
            let topic = VersionName::parse(&lane.topic).name;
            let topic = std::iter::repeat_n(&topic, from.len());
            columns.push(Arc::new(StringArray::from_iter_values(topic)));
        }
        let partition = i64::from(lane.partition);
        columns.push(Arc::new(Int64Array::from(vec![partition; from.len()])));
        columns.push(Arc::new(Int64Array::from_iter_values(offsets)));
        columns.push(Arc::new(ordinals));
        columns.extend(rows.columns().iter().cloned());
        RecordBatch::try_new(self.setup.plan.output_schema.arrow(), columns)
            .expect("the plan gives the view's schema")
    }

    fn view_changes(&mut self) -> Option<ViewChanges> {
        if !matches!(self.setup.plan.output, Output::View(_)) {
            return None;
        }
        let schema = self.setup.plan.output_schema.arrow();
        let shown = std::mem::take(&mut self.shown);
        let rows = arrow_select::concat::concat_batches(&schema, &shown)
            .expect("rows of one node have one schema");
        let finals = BooleanBuffer::new_set(rows.num_rows());
        Some(ViewChanges {
            rows,
            finals,
            deletes: None,
        })
    }
}

impl Task for TransformTask {
    fn step(&mut self, cut: Sequence) -> Result<Progress, Failure> {
        match self.feed.next(cut)? {
            Next::Batch(batch) => self.take(&batch)?,
            Next::Wait => return Ok(Progress::Wait),
            Next::End => return Ok(Progress::Done),
        }
        Ok(Progress::More)
    }

    fn abandon(&mut self) {
        self.feed.abandon();
    }

    fn prepare(&mut self) -> Result<Prepared, Failure> {
        self.counts.rejected = self.outs.rejected.take_count();
        let rejected = format!("{}.rejected", self.setup.plan.name);
        let mut derived = vec![(rejected, self.outs.rejected.sync()?)];
        if let (Some(out), Output::Topic(topic)) = (&mut self.outs.topic, &self.setup.plan.output) {
            derived.push((topic.clone(), out.sync()?));
        }
        let memo = Memo {
            watermark: self.mark.clone(),
            shared: None,
        };
        Ok(Prepared {
            changes: TaskChanges {
                task: self.task,
                view: self.view_changes(),
                memo: refrain_log::codec::encode(&memo),
                ..Default::default()
            },
            derived,
            counts: std::mem::take(&mut self.counts),
            watermark: self.mark.current(),
            ends: std::mem::take(&mut self.ends),
            handed: std::mem::take(&mut self.handed),
            cache: None,
        })
    }

    fn publish(&mut self) {
        self.outs.rejected.publish();
        if let Some(out) = &mut self.outs.topic {
            out.publish();
        }
    }

    fn rollback(&mut self) -> Result<(), Error> {
        self.outs.rejected.rollback()?;
        self.outs.topic.as_mut().map_or(Ok(()), Out::rollback)
    }
}
