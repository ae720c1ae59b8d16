//! The process task: rows of all inputs into the slots of their keys, timers at the steps of the watermark, rows out.

mod cache;
mod call;
mod out;
mod pin;
mod stored;
mod timers;

pub use self::cache::Cache;
pub(crate) use self::stored::lead_bytes;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use refrain_log::ids::{Offset, Sequence};
use refrain_plugin::{Fault, FaultKind, Instance, Processed, States};
use refrain_state::commit::TaskChanges;
use refrain_state::store::StateChanges;

use self::call::{Call, Shape};
use self::out::Shown;
use self::timers::Timers;
use super::care::{self, Careful, Refused};
use super::clock::{Clock, Crossing, Walk};
use super::fold::KeyedState;
use super::letters::Letters;
use super::out::Out;
use super::produced::{Origin, Produced};
use super::slots::{BatchKeys, Slots, Table};
use super::{Care, Counts, Failure, Memo, NodeSetup, Prepared, Progress, Taken, Task};
use crate::error::{Error, Extent, Result};
use crate::input::{Batch, Feed, Lanes, Next};
use crate::pipeline::Output;
use crate::watermark::Watermark;

/// Where a process task begins: what the last commit says of it.
pub struct ProcessStart {
    /// What the task remembered.
    pub memo: Option<Memo>,
    /// Its states and timers; none with a cache.
    pub states: Vec<KeyedState>,
    /// Where states are looked up when they are needed, when not all of them are to be in memory.
    pub cache: Option<Cache>,
    /// Whether calls are tried out before.
    pub care: Care,
}

/// The writing ends of a process task.
pub struct ProcessOuts {
    /// The derived topic, when there is one.
    pub topic: Option<Out>,
    /// `<node>.rejected`.
    pub rejected: Letters,
}

/// A process node on one partition of its key.
pub struct ProcessTask {
    setup: Arc<NodeSetup>,
    task: u32,
    lanes: Lanes,
    feed: Feed,
    instance: Instance,
    shape: Shape,
    clock: Clock,
    mark: Watermark,
    slots: Slots,
    table: Table,
    timers: Timers,
    cache: Option<Cache>,
    outs: ProcessOuts,
    /// Rows of the batch in hand, for a topic.
    produced: Produced,
    /// Rows since the last commit, for a view.
    shown: Option<Shown>,
    /// Places of the plugin's outputs in the order of the results.
    output_order: Vec<usize>,
    careful: Option<Careful>,
    counts: Counts,
    /// Rows since the last commit, those of the batch in hand included.
    taken: Taken,
    /// Rows handed to the plugin since the last commit.
    handed: u64,
    ends: BTreeMap<usize, Offset>,
}

impl ProcessTask {
    /// Opens the task where its last commit left it.
    pub fn open(
        setup: Arc<NodeSetup>,
        task: u32,
        feed: Feed,
        outs: ProcessOuts,
        start: ProcessStart,
    ) -> Result<Self> {
        let plan = &setup.plan;
        let lanes = setup.lanes(task);
        let mark = start
            .memo
            .map_or_else(|| Watermark::new(plan.marks(&lanes)), |memo| memo.watermark);
        let slots = Slots::new(plan.key_fields.clone());
        let to_view = matches!(plan.output, Output::View(_));
        let mut task = ProcessTask {
            instance: setup.instance().map_err(|f| setup.fault(f, None))?,
            shape: Shape::of(&plan.about),
            clock: Clock {
                step_us: plan.timer_step_us,
                carried_on: !to_view,
            },
            mark,
            table: slots.table(0),
            slots,
            timers: Timers::new(plan.timer_step_us.unwrap_or(1)),
            cache: start.cache,
            produced: Produced::default(),
            shown: to_view.then(|| Shown::new(plan.output_schema.clone(), plan.output_key_fields)),
            output_order: plan.about.output_order(to_view),
            careful: Careful::new(start.care),
            counts: Counts::default(),
            taken: Taken::default(),
            handed: 0,
            ends: BTreeMap::new(),
            task,
            lanes,
            feed,
            outs,
            setup,
        };
        match task.cache {
            Some(_) => task.open_cold()?,
            None => task.restore(&start.states)?,
        }
        Ok(task)
    }

    /// Takes up what the store has; due keys are passed over.
    fn restore(&mut self, states: &[KeyedState]) -> Result<()> {
        let fresh = self.slots.fresh.len();
        for block in states.chunks(self.setup.plan.call_rows) {
            let mut slots = Vec::with_capacity(block.len());
            let mut saved = States::default();
            for (name, value) in block {
                let Some(key) = stored::of_state(name) else {
                    continue;
                };
                let slot = self.slots.restore(&mut self.table, key).slot();
                let (times, state) = stored::open(value);
                times.for_each(|time| self.timers.set(slot, time));
                self.timers.note(slot, self.timers.next_step(slot));
                if !state.is_empty() {
                    slots.push(slot);
                    saved.push(state);
                }
            }
            self.instance
                .restore(&slots, &saved)
                .map_err(|f| self.since_commit(f))?;
        }
        self.slots.fresh.truncate(fresh);
        Ok(())
    }

    fn take(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.taken.push_batch(batch);
        let keys = self.slots.batch_keys(&batch.keys);
        let mut watermark = self.clock.told(self.mark.current().0);
        let walk = self.clock.walk(batch, &mut self.mark);
        let mut from = 0;
        for crossing in &walk.crossings {
            self.take_rows(batch, &keys, from..crossing.row, watermark, &walk)?;
            (from, watermark) = (crossing.row, crossing.step);
            self.fire(crossing)?;
        }
        self.take_rows(batch, &keys, from..batch.rows, watermark, &walk)?;
        if let Some(out) = &mut self.outs.topic {
            std::mem::take(&mut self.produced).write(batch, &walk, out)?;
        }
        for run in &batch.runs {
            self.ends.insert(run.lane, run.offset_end);
        }
        self.counts.frames += batch.runs.len() as u64;
        self.counts.rows += batch.rows as u64;
        Ok(self.outs.rejected.end_batch(batch)?)
    }

    /// Rows between two steps of the watermark.
    fn take_rows(
        &mut self,
        batch: &Batch,
        keys: &BatchKeys<'_>,
        rows: Range<usize>,
        watermark: i64,
        walk: &Walk,
    ) -> Result<(), Failure> {
        let call_rows = self.setup.plan.call_rows;
        for start in rows.clone().step_by(call_rows) {
            let rows = start..rows.end.min(start + call_rows);
            let of_row = |row| self.slots.touch(&mut self.table, keys, row);
            let slots: Vec<u32> = rows.clone().map(of_row).collect();
            self.load()?;
            let call = Call {
                batch,
                rows,
                slots: &slots,
                watermark,
            };
            self.call(&call, walk)?;
            self.slots.fresh.clear();
        }
        Ok(())
    }

    /// Hands the rows of a call over: all at once, or those between the rows that are known to trap.
    fn call(&mut self, call: &Call<'_>, walk: &Walk) -> Result<(), Failure> {
        let culprits = match self.careful {
            None => Refused::new(),
            Some(_) => self.sift(call)?,
        };
        let base = call.rows.start;
        let mut refused = Refused::new();
        let mut start = base;
        for (row, reason) in culprits {
            self.hand(&between(call, start..row), walk, &mut refused)?;
            refused.push((row, reason));
            start = row + 1;
        }
        self.hand(&between(call, start..call.rows.end), walk, &mut refused)?;
        if !refused.is_empty() {
            self.reject(call, refused)?;
        }
        Ok(())
    }

    fn hand(&mut self, call: &Call<'_>, walk: &Walk, refused: &mut Refused) -> Result<(), Failure> {
        if call.rows.is_empty() {
            return Ok(());
        }
        self.handed += call.rows.len() as u64;
        let mut answer = match self.shape.make(&mut self.instance, call) {
            Ok(answer) => answer,
            Err(fault) => return Err(self.failed(call, fault)),
        };
        let rejects = std::mem::take(&mut answer.rejects).into_iter();
        refused.extend(rejects.map(|r| (call.rows.start + r.row as usize, r.reason)));
        let origin = |cause: usize| {
            let row = call.rows.start + cause;
            let run = call.batch.runs.partition_point(|run| run.end <= row);
            Origin {
                run,
                row: call.batch.origin_row(&call.batch.runs[run], row),
                before: walk.before.get(row).copied().unwrap_or_default(),
            }
        };
        if let Err(fault) = self.keep(answer, "process.process", call.slots, origin) {
            return Err(self.failed(call, fault));
        }
        Ok(())
    }

    /// Fires the timers that are due at a step: by time, then by key. All of them are gone before the first is fired.
    fn fire(&mut self, crossing: &Crossing) -> Result<(), Failure> {
        self.load_due(crossing.step)?;
        let mut due = self.timers.take_due(crossing.step);
        self.sort_by_key(&mut due);
        let origin = |_| Origin {
            run: crossing.run,
            row: crossing.origin_row,
            before: crossing.before,
        };
        for block in due.chunks(self.setup.plan.call_rows) {
            let (times, slots): (Vec<i64>, Vec<u32>) = block.iter().copied().unzip();
            slots.iter().for_each(|slot| self.slots.mark(*slot));
            let answer = self.instance.fire(&slots, &times, crossing.step);
            let answer = answer.map_err(|f| self.since_commit(f))?;
            self.keep(answer, "process.fire", &slots, origin)
                .map_err(|f| self.since_commit(f))?;
        }
        Ok(())
    }

    /// Puts timers of one time, which stand together, in the order of their keys.
    fn sort_by_key(&self, due: &mut [(i64, u32)]) {
        for same in due.chunk_by_mut(|a, b| a.0 == b.0) {
            let mut slots: Vec<u32> = same.iter().map(|timer| timer.1).collect();
            self.slots.sort(&mut slots);
            same.iter_mut()
                .zip(slots)
                .for_each(|(timer, slot)| timer.1 = slot);
        }
    }

    /// Keeps the rows and timers of an answer; `slots` are those of what may have caused them.
    fn keep(
        &mut self,
        answer: Processed,
        function: &'static str,
        slots: &[u32],
        origin: impl Fn(usize) -> Origin,
    ) -> std::result::Result<(), Fault> {
        let timers = &answer.timers;
        for (i, (slot, time)) in timers.slots.iter().zip(&timers.times).enumerate() {
            match timers.cleared.as_ref().is_some_and(|c| c.value(i)) {
                true => self.timers.clear(*slot, *time),
                false => self.timers.set(*slot, *time),
            }
        }
        if answer.count == 0 {
            return Ok(());
        }
        self.counts.out += answer.count as u64;
        let causes = answer.origins.iter().map(|origin| *origin as usize);
        let of_rows: Vec<u32> = causes.clone().map(|cause| slots[cause]).collect();
        let mut columns = self.slots.key_columns(&of_rows);
        let outputs = self.output_order.iter();
        columns.extend(outputs.map(|place| Arc::clone(&answer.columns[*place])));
        let rows = RecordBatch::try_new(self.setup.plan.output_schema.arrow(), columns)
            .expect("answers are checked against the description, and keys against the schema");
        match (&mut self.shown, &answer.deleted) {
            (Some(shown), deleted) => shown.push(rows, deleted.as_ref()),
            (None, None) => self.produced.push(rows, causes.map(origin)),
            (None, Some(_)) => return Err(self.cannot_delete(function)),
        }
        Ok(())
    }

    fn cannot_delete(&self, function: &'static str) -> Fault {
        Fault {
            plugin: self.setup.plugin.name().to_owned(),
            function,
            kind: FaultKind::Malformed,
            what: "took back a row of a topic: what is appended stays; write a view, or leave `deleted` empty".into(),
            said: String::new(),
        }
    }

    /// An error of a call about states or timers: it names the rows since the last commit.
    fn since_commit(&self, fault: Fault) -> Error {
        let place = self.taken.place(&self.lanes, Extent::SinceCommit);
        self.setup.fault(fault, place)
    }

    /// Dead-letters rejected rows and takes back slots that only they would have begun.
    fn reject(&mut self, call: &Call<'_>, refused: Refused) -> Result<(), Failure> {
        let is_refused = |row: usize| refused.binary_search_by_key(&row, |r| r.0).is_ok();
        let rows = call.rows.clone().zip(call.slots);
        let mut kept: Vec<u32> = rows
            .filter(|(row, _)| !is_refused(*row))
            .map(|(_, slot)| *slot)
            .collect();
        kept.sort_unstable();
        let fresh = std::mem::take(&mut self.slots.fresh).into_iter();
        let unborn: Vec<u32> = fresh.filter(|s| kept.binary_search(s).is_err()).collect();
        self.forget(&unborn)?;
        for (row, reason) in refused {
            self.outs.rejected.push(call.batch, row, reason);
        }
        Ok(())
    }

    /// Lets go of keys of which nothing is left.
    fn forget(&mut self, slots: &[u32]) -> Result<(), Failure> {
        if slots.is_empty() {
            return Ok(());
        }
        self.instance
            .release(slots)
            .map_err(|f| self.since_commit(f))?;
        for slot in slots {
            self.timers.forget(*slot);
            self.slots.forget(&mut self.table, *slot);
        }
        Ok(())
    }

    /// States and timers that changed.
    fn state_changes(&mut self) -> Result<StateChanges, Failure> {
        let dirty = self.take_dirty();
        let mut changes = StateChanges::default();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for block in dirty.chunks(self.setup.plan.call_rows) {
            let saved = self
                .instance
                .save(block)
                .map_err(|f| self.since_commit(f))?;
            let mut initial = Vec::new();
            for (i, slot) in block.iter().enumerate() {
                key.clear();
                self.slots.encode_key(*slot, &mut key);
                self.note_due(*slot, &key, &mut changes);
                let (times, state) = (self.timers.of(*slot), saved.get(i));
                let name = stored::state_key(&key);
                let stored = &mut self.slots.get_mut(*slot).stored;
                if !times.is_empty() || !state.is_empty() {
                    *stored = true;
                    stored::seal(times, state, &mut value);
                    if let Some(cache) = &mut self.cache {
                        cache.room.measure(&name, &value);
                    }
                    changes.put_keys.push(&name);
                    changes.put_states.push(&value);
                    continue;
                }
                if *stored {
                    changes.deleted.push(&name);
                }
                initial.push(*slot);
            }
            self.forget(&initial)?;
        }
        Ok(changes)
    }

    /// When the store has a key as due changes with its next timer.
    fn note_due(&mut self, slot: u32, key: &[u8], changes: &mut StateChanges) {
        let (before, next) = (self.timers.noted(slot), self.timers.next_step(slot));
        if before == next {
            return;
        }
        if let Some(step) = before {
            changes.deleted.push(&stored::due_key(step, key));
        }
        if let Some(step) = next {
            changes.put_keys.push(&stored::due_key(step, key));
            changes.put_states.push(&[]);
        }
        self.timers.note(slot, next);
    }

    fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.slots.dirty);
        dirty.retain(|slot| {
            let state = self.slots.get_mut(*slot);
            state.recent |= state.dirty;
            std::mem::take(&mut state.dirty)
        });
        dirty
    }
}

/// Some rows of a call.
fn between<'a>(call: &Call<'a>, rows: Range<usize>) -> Call<'a> {
    let base = call.rows.start;
    Call {
        slots: &call.slots[rows.start - base..rows.end - base],
        rows,
        ..*call
    }
}

impl Task for ProcessTask {
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
        care::settle(&mut self.careful, &self.setup)?;
        let state = self.state_changes()?;
        let cache = self.cache_counts(state.put_keys.len());
        let view = self.shown.as_mut().map(Shown::take);
        self.counts.rejected = self.outs.rejected.take_count();
        let rejected = format!("{}.rejected", self.setup.plan.name);
        let mut derived = vec![(rejected, self.outs.rejected.sync()?)];
        if let (Some(out), Output::Topic(topic)) = (&mut self.outs.topic, &self.setup.plan.output) {
            derived.push((topic.clone(), out.sync()?));
        }
        let memo = Memo {
            watermark: self.mark.clone(),
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
            watermark: self.mark.current(),
            ends: std::mem::take(&mut self.ends),
            handed: std::mem::take(&mut self.handed),
            cache,
        })
    }

    fn publish(&mut self) {
        self.taken.clear();
        care::relax(&mut self.careful);
        if let Some(cache) = &mut self.cache {
            cache.room.committed();
        }
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
