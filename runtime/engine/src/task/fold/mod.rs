//! The fold task: rows into slots, windows closed by the watermark, totals and open windows shown at each commit.

mod cache;
mod core;
mod counted;
mod index;
mod keep;
mod pin;
mod sampled;
mod session;
mod show;
mod stored;
mod timed;
mod waves;

pub(crate) use self::stored::lead_bytes;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use refrain_log::ids::{Offset, Sequence};
use refrain_plugin::{Entries, Fault, Input, Instance};
use refrain_state::commit::TaskChanges;
use refrain_state::store::Spans;

pub use self::cache::Cache;
use self::core::{Call, Core, Here, Shape};
use self::counted::Numbered;
use self::keep::Kept;
use self::show::Closed;
use self::timed::{Several, Single};
use super::care::{Careful, Refused};
use super::letters::Letters;
use super::out::Out;
use super::slots::{BatchKeys, Slots};
use super::{Care, Counts, Failure, Memo, NodeSetup, Prepared, Progress, Taken, Task};
use crate::error::{Error, Extent, Result};
use crate::input::{Batch, Feed, Lanes, Next};
use crate::pipeline::Output;
use crate::watermark::Watermark;

/// Key, behind its window when there are windows, and the state that the plugin saved.
pub type KeyedState = (Box<[u8]>, Box<[u8]>);

/// Where a fold task begins: what the last commit says of it.
pub struct FoldStart {
    /// What the task remembered.
    pub memo: Option<Memo>,
    /// Its states; none with a cache.
    pub states: Vec<KeyedState>,
    /// Where states are looked up when they are needed, when not all of them are to be in memory.
    pub cache: Option<Cache>,
    /// Whether calls are tried out before.
    pub care: Care,
}

/// The writing ends of a fold task.
pub struct FoldOuts {
    /// Closed windows, when they go to a topic.
    pub topic: Option<Out>,
    /// `<node>.late`, of a windowed node.
    pub late: Option<Letters>,
    /// `<node>.rejected`.
    pub rejected: Letters,
}

/// A fold on one partition of its key.
pub struct FoldTask {
    setup: Arc<NodeSetup>,
    task: u32,
    lanes: Lanes,
    feed: Feed,
    instance: Instance,
    core: Core,
    outs: FoldOuts,
    cache: Option<Cache>,
    careful: Option<Careful>,
    counts: Counts,
    /// Rows since the last commit, those of the batch in hand included.
    taken: Taken,
    /// Rows handed to the plugin since the last commit.
    handed: u64,
    ends: BTreeMap<usize, Offset>,
    /// View rows of closed windows since the last commit.
    closed: Vec<Closed>,
    /// Rows that go from the view again after a time.
    kept: Option<Kept>,
    /// Keys of windows for which the plugin shows no row, or which are no more.
    hidden: Vec<RecordBatch>,
    /// Store keys of windows that are no more since the last commit.
    deleted: Spans,
}

impl FoldTask {
    /// Opens the task where its last commit left it.
    pub fn open(
        setup: Arc<NodeSetup>,
        task: u32,
        feed: Feed,
        outs: FoldOuts,
        start: FoldStart,
    ) -> Result<Self> {
        let plan = &setup.plan;
        let lanes = setup.lanes(task);
        let mark = start
            .memo
            .map_or_else(|| Watermark::new(plan.marks(&lanes)), |memo| memo.watermark);
        let instance = setup.instance().map_err(|f| setup.fault(f, None))?;
        let mut task = FoldTask {
            core: Core::new(
                plan.window.as_ref(),
                mark,
                Slots::new(plan.key_fields.clone()),
            ),
            kept: plan
                .keep_us
                .map(|keep| Kept::new(keep, start.cache.is_some())),
            cache: start.cache,
            task,
            lanes,
            feed,
            instance,
            outs,
            careful: Careful::new(start.care),
            counts: Counts::default(),
            taken: Taken::default(),
            handed: 0,
            ends: BTreeMap::new(),
            closed: Vec::new(),
            hidden: Vec::new(),
            deleted: Spans::default(),
            setup,
        };
        match task.cache {
            Some(_) => task.open_cold()?,
            None => {
                task.drop_indexes(&start.states);
                task.restore(&start.states)?;
            }
        }
        Ok(task)
    }

    fn take(&mut self, batch: &Batch) -> Result<(), Failure> {
        let keys = self.core.slots.batch_keys(&batch.keys);
        self.prefetch(batch, &keys)?;
        self.taken.push_batch(batch);
        self.core.call = Call::default();
        match self.core.shape {
            Shape::Session => self.take_sessions(batch, &keys)?,
            _ => self.take_runs(batch, &keys)?,
        }
        for run in &batch.runs {
            self.ends.insert(run.lane, run.offset_end);
        }
        self.counts.frames += batch.runs.len() as u64;
        self.counts.rows += batch.rows as u64;
        if let Some(late) = &mut self.outs.late {
            late.end_batch(batch)?;
        }
        self.outs.rejected.end_batch(batch)?;
        Ok(())
    }

    /// Rows of one frame after another, each into its slots.
    fn take_runs(&mut self, batch: &Batch, keys: &BatchKeys<'_>) -> Result<(), Failure> {
        for run in 0..batch.runs.len() {
            match self.core.shape {
                Shape::Total => match self.setup.sample {
                    None => self.take_total(batch, run, keys)?,
                    Some(sample) => self.take_total_of(sample, batch, run, keys)?,
                },
                Shape::Tumbling(windows) => {
                    let here = Here::NOWHERE;
                    self.take_assigned(batch, run, keys, Single { windows, here })?;
                }
                Shape::Sliding(windows) => {
                    self.take_assigned(batch, run, keys, Several::new(windows))?;
                }
                Shape::Count => self.take_assigned(batch, run, keys, Numbered)?,
                Shape::Session => unreachable!("sessions take a whole batch"),
            }
        }
        self.flush(batch)
    }

    /// Rows of one frame into running totals.
    fn take_total(
        &mut self,
        batch: &Batch,
        index: usize,
        keys: &BatchKeys<'_>,
    ) -> Result<(), Failure> {
        let run = batch.runs[index];
        let place = self.core.table(0);
        for row in run.start..run.end {
            let slot = self.core.touch(place, keys, row);
            self.core.call.take(slot);
            if self.core.call.count >= self.setup.plan.call_rows {
                self.flush(batch)?;
            }
        }
        Ok(())
    }

    /// Hands the collected rows to the plugin.
    fn flush(&mut self, batch: &Batch) -> Result<(), Failure> {
        if self.core.call.slots.is_empty() {
            self.core.call.next();
            return Ok(());
        }
        self.load()?;
        let mut refused = match self.careful {
            None => Refused::new(),
            Some(_) => self.sift(batch, &[])?,
        };
        if !self.core.call.slots.is_empty() {
            self.update(batch, &mut refused)?;
        }
        if matches!(self.core.shape, Shape::Count) {
            self.core.counted.settle(&refused);
        }
        if !refused.is_empty() {
            self.reject(batch, refused)?;
        }
        self.core.slots.fresh.clear();
        self.core.call.next();
        Ok(())
    }

    fn update(&mut self, batch: &Batch, refused: &mut Refused) -> Result<(), Failure> {
        let call = &self.core.call;
        self.handed += call.slots.len() as u64;
        let thin = call.is_thin().then(|| gather(&batch.columns, call));
        let input = match &thin {
            Some(columns) => Input {
                columns,
                start: 0,
                count: call.slots.len(),
            },
            None => Input {
                columns: &batch.columns,
                start: call.from,
                count: call.count,
            },
        };
        let listed = call.sparse && thin.is_none();
        let entries = Entries {
            rows: if listed { &call.rows } else { &[] },
            slots: &call.slots,
        };
        let rejects = match self.instance.update(input, entries) {
            Ok(rejects) => rejects,
            Err(fault) => return Err(self.failed(batch, fault)),
        };
        if !rejects.is_empty() {
            let row = |row: u32| match &thin {
                Some(_) => call.from + call.rows[row as usize] as usize,
                None => call.from + row as usize,
            };
            refused.extend(rejects.into_iter().map(|r| (row(r.row), r.reason)));
            refused.sort_unstable_by_key(|r| r.0);
        }
        Ok(())
    }

    /// An error of a call about states: it names the rows since the last commit.
    fn since_commit(&self, fault: Fault) -> Error {
        let place = self.taken.place(&self.lanes, Extent::SinceCommit);
        self.setup.fault(fault, place)
    }

    /// Dead-letters rejected rows and takes back slots that only they would have begun.
    fn reject(&mut self, batch: &Batch, rejects: Refused) -> Result<(), Failure> {
        let rejected: Vec<usize> = rejects.iter().map(|r| r.0).collect();
        let mut kept: Vec<u32> = Vec::new();
        for (row, slot) in self.core.call.entries() {
            if rejected.binary_search(&row).is_err() {
                kept.push(slot);
            }
        }
        kept.sort_unstable();
        let fresh = std::mem::take(&mut self.core.slots.fresh);
        let unborn: Vec<u32> = fresh
            .into_iter()
            .filter(|s| kept.binary_search(s).is_err())
            .collect();
        if !unborn.is_empty() {
            self.instance
                .release(&unborn)
                .map_err(|f| self.since_commit(f))?;
            unborn.iter().for_each(|slot| self.core.forget(*slot));
        }
        for (row, reason) in rejects {
            self.outs.rejected.push(batch, row, reason);
        }
        Ok(())
    }
}

/// The rows of a call, one after another.
fn gather(columns: &[ArrayRef], call: &Call) -> Vec<ArrayRef> {
    let places = call.rows.iter().map(|row| (call.from as u32) + row);
    let places = UInt32Array::from_iter_values(places);
    let take = |column: &ArrayRef| arrow_select::take::take(column, &places, None);
    let taken = columns.iter().map(take).collect::<Result<_, _>>();
    taken.expect("the rows of a call are in its batch")
}

/// Why a task cannot be opened.
fn stop(failure: Failure) -> Error {
    match failure {
        Failure::Stop(error) => error,
        Failure::Suspect(_) => unreachable!("only calls with rows are suspected"),
    }
}

impl Task for FoldTask {
    fn step(&mut self, cut: Sequence) -> Result<Progress, Failure> {
        self.evict()?;
        match self.feed.next(cut)? {
            Next::Batch(batch) => self.take(&batch)?,
            Next::Wait => return Ok(Progress::Wait),
            Next::End => return Ok(Progress::Done),
        }
        self.feed.rest();
        Ok(Progress::More)
    }

    fn abandon(&mut self) {
        self.feed.abandon();
    }

    fn prepare(&mut self) -> Result<Prepared, Failure> {
        self.settle_suspicion()?;
        let (state, view) = self.changes()?;
        let cache = self.cache_counts(state.put_keys.len());
        let node = &self.setup.plan.name;
        self.counts.rejected = self.outs.rejected.take_count();
        let mut derived = vec![(format!("{node}.rejected"), self.outs.rejected.sync()?)];
        if let Some(late) = &mut self.outs.late {
            derived.push((format!("{node}.late"), late.sync()?));
        }
        if let (Some(out), Output::Topic(topic)) = (&mut self.outs.topic, &self.setup.plan.output) {
            derived.push((topic.clone(), out.sync()?));
        }
        let memo = Memo {
            watermark: self.core.mark.clone(),
            shared: self.feed.shared_mark(),
        };
        Ok(Prepared {
            changes: TaskChanges {
                task: self.task,
                state,
                view,
                memo: refrain_log::codec::encode(&memo),
            },
            derived,
            counts: std::mem::take(&mut self.counts),
            watermark: self.core.mark.current(),
            ends: std::mem::take(&mut self.ends),
            handed: std::mem::take(&mut self.handed),
            cache,
        })
    }

    fn publish(&mut self) {
        self.taken.clear();
        self.relax();
        self.cache.iter_mut().for_each(Cache::committed);
        self.outs.late.as_mut().map(Letters::publish);
        self.outs.rejected.publish();
        if let Some(out) = &mut self.outs.topic {
            out.publish();
        }
    }

    fn rollback(&mut self) -> Result<(), Error> {
        self.outs.late.as_mut().map_or(Ok(()), Letters::rollback)?;
        self.outs.rejected.rollback()?;
        self.outs.topic.as_mut().map_or(Ok(()), Out::rollback)
    }
}
