//! The fold task: rows into slots, windows closed by the watermark, totals and open windows shown at each commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use refrain_log::ids::{Offset, Sequence};
use refrain_plugin::{Entries, FaultKind, Input, Instance, States};
use refrain_state::commit::TaskChanges;
use refrain_state::store::{Spans, StateChanges};
use refrain_state::view::ViewChanges;

use super::letters::Letters;
use super::out::Out;
use super::slots::{BatchKeys, Slots, Table};
use super::{CallRows, Counts, Failure, Memo, NodeSetup, Prepared, Spot, Suspicion, Task};
use crate::error::{Error, Result};
use crate::input::{Batch, Reader, Run};
use crate::keys;
use crate::pipeline::Output;
use crate::watermark::{NEVER, Running, Watermark};
use crate::window::{Index, Tumbling};

/// Rows asked of the reader at once: enough to fill the largest call many times over.
const BATCH_ROWS: usize = 16_384;

/// Where a fold task begins: what the last commit says of it.
pub struct FoldStart {
    /// What the task remembered.
    pub memo: Option<Memo>,
    /// Its states.
    pub states: Vec<(Box<[u8]>, Box<[u8]>)>,
    /// What is known of rows that trap.
    pub suspicion: Suspicion,
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
    lanes: Vec<u32>,
    reader: Reader,
    instance: Instance,
    core: Core,
    outs: FoldOuts,
    suspicion: Suspicion,
    counts: Counts,
    ends: BTreeMap<usize, Offset>,
    /// View rows of closed windows since the last commit.
    closed: Vec<RecordBatch>,
    /// Keys of closed windows for which the plugin shows no row.
    hidden: Vec<RecordBatch>,
    /// Store keys of closed windows since the last commit.
    deleted: Spans,
}

/// The part of a fold that a row goes through: time, windows, slots, the call being filled.
struct Core {
    windows: Option<Tumbling>,
    mark: Watermark,
    slots: Slots,
    /// Open windows, by index. A total has one.
    tables: Vec<Table>,
    first_open: Index,
    /// Watermark at which `first_open` closes.
    next_close: i64,
    call: Call,
}

/// Rows collected for one `update`.
#[derive(Default)]
struct Call {
    /// First row in the batch.
    from: usize,
    /// Rows so far, skipped ones included.
    count: usize,
    /// Whether a row was skipped; then `rows` has one entry a slot.
    sparse: bool,
    rows: Vec<u32>,
    slots: Vec<u32>,
}

impl Call {
    #[inline(always)]
    fn take(&mut self, slot: u32) {
        if self.sparse {
            self.rows.push(self.count as u32);
        }
        self.slots.push(slot);
        self.count += 1;
    }

    fn skip(&mut self) {
        if !self.sparse {
            self.sparse = true;
            self.rows.extend(0..self.count as u32);
        }
        self.count += 1;
    }

    fn next(&mut self) {
        self.from += self.count;
        self.count = 0;
        self.sparse = false;
        self.rows.clear();
        self.slots.clear();
    }

    /// (row in the batch, slot) of each entry.
    fn entries(&self) -> impl Iterator<Item = (usize, u32)> {
        let row = |i: usize| {
            if self.sparse {
                self.rows[i] as usize
            } else {
                i
            }
        };
        self.slots
            .iter()
            .enumerate()
            .map(move |(i, slot)| (self.from + row(i), *slot))
    }
}

impl Core {
    fn new(windows: Option<Tumbling>, mark: Watermark, slots: Slots) -> Self {
        let mut core = Core {
            windows,
            slots,
            tables: Vec::new(),
            first_open: Index::MIN,
            next_close: i64::MAX,
            call: Call::default(),
            mark,
        };
        core.open_until(core.mark.current().0);
        core
    }

    /// Moves the border between closed and open windows.
    fn open_until(&mut self, watermark: i64) {
        if let Some(windows) = self.windows {
            self.first_open = windows.first_open(watermark);
            self.next_close = windows.closes_at(self.first_open).max(NEVER + 1);
        }
    }

    /// Place of a window's table, made now if there is none.
    fn table(&mut self, window: Index) -> usize {
        match self.tables.iter().rposition(|t| t.window == window) {
            Some(place) => place,
            None => {
                self.tables.push(self.slots.table(window));
                self.tables.len() - 1
            }
        }
    }

    /// The slot of a row in a window.
    #[inline(always)]
    fn touch(&mut self, place: usize, keys: &BatchKeys<'_>, row: usize) -> u32 {
        self.slots.touch(&mut self.tables[place], keys, row)
    }

    /// Tables of windows that are closed now, earliest first.
    fn closing(&mut self) -> Vec<Table> {
        let first_open = self.first_open;
        let mut closing: Vec<Table> = self
            .tables
            .extract_if(.., |t| t.window < first_open)
            .collect();
        closing.sort_by_key(|t| t.window);
        closing
    }

    /// Bytes under which the store knows a slot.
    fn state_key(&self, slot: u32, out: &mut Vec<u8>) {
        out.clear();
        if self.windows.is_some() {
            out.extend_from_slice(&keys::sortable(self.slots.get(slot).window));
        }
        self.slots.encode_key(slot, out);
    }
}

/// The window that the last row was in, so that most rows cost two comparisons.
#[derive(Clone, Copy)]
struct Here {
    start: i64,
    end: i64,
    window: Index,
    /// Place of its table; none: look it up.
    place: Option<usize>,
}

impl Here {
    const NOWHERE: Here = Here {
        start: 0,
        end: 0,
        window: 0,
        place: None,
    };

    #[inline(always)]
    fn go(&mut self, windows: &Tumbling, time: i64) {
        if time < self.start || time >= self.end {
            let window = windows.of(time);
            *self = Here {
                start: windows.start(window),
                end: windows.end(window),
                window,
                place: None,
            };
        }
    }
}

impl FoldTask {
    /// Opens the task where its last commit left it.
    pub fn open(
        setup: Arc<NodeSetup>,
        task: u32,
        reader: Reader,
        outs: FoldOuts,
        start: FoldStart,
    ) -> Result<Self> {
        let plan = &setup.plan;
        let lanes = setup.lanes(task);
        let fields = plan.key.iter().map(|k| {
            plan.input_schema
                .field(k)
                .expect("keys are checked")
                .clone()
        });
        let windows = plan
            .window
            .as_ref()
            .map(|w| Tumbling::new(w.size_us, w.lateness_us));
        let mark = start
            .memo
            .map_or_else(|| Watermark::new(lanes.len()), |memo| memo.watermark);
        let instance = setup
            .plugin
            .instantiate(&plan.options, plan.limits)
            .map_err(|f| setup.fault(f, None))?;
        let mut task = FoldTask {
            core: Core::new(windows, mark, Slots::new(fields.collect())),
            task,
            lanes,
            reader,
            instance,
            outs,
            suspicion: start.suspicion,
            counts: Counts::default(),
            ends: BTreeMap::new(),
            closed: Vec::new(),
            hidden: Vec::new(),
            deleted: Spans::default(),
            setup,
        };
        task.restore(&start.states)?;
        Ok(task)
    }

    fn restore(&mut self, states: &[(Box<[u8]>, Box<[u8]>)]) -> Result<()> {
        for block in states.chunks(self.setup.plan.call_rows) {
            let mut slots = Vec::with_capacity(block.len());
            let mut saved = States::default();
            for (key, state) in block {
                let (window, key) = match self.core.windows {
                    Some(_) => {
                        let (window, key) = key
                            .split_first_chunk()
                            .expect("a windowed state key begins with its window");
                        (keys::from_sortable(*window), key)
                    }
                    None => (0, &**key),
                };
                let place = self.core.table(window);
                slots.push(self.core.slots.restore(&mut self.core.tables[place], key));
                saved.push(state);
            }
            self.instance
                .restore(&slots, &saved)
                .map_err(|f| self.setup.fault(f, None))?;
        }
        self.core.slots.fresh.clear();
        Ok(())
    }

    fn take(&mut self, batch: &Batch) -> Result<(), Failure> {
        let keys = self.core.slots.batch_keys(&batch.keys);
        self.core.call = Call::default();
        for run in 0..batch.runs.len() {
            if self.core.windows.is_some() {
                self.take_windowed(batch, run, &keys)?;
            } else {
                self.take_total(batch, run, &keys)?;
            }
            self.counts.frames += 1;
            let run = &batch.runs[run];
            self.ends.insert(
                run.lane,
                Offset(run.offset.0 + (run.end - run.start) as u64),
            );
        }
        self.flush(batch)?;
        self.counts.rows += batch.rows as u64;
        if let Some(late) = &mut self.outs.late {
            late.end_batch(batch)?;
        }
        self.outs.rejected.end_batch(batch)?;
        Ok(())
    }

    /// Rows of one frame into running totals.
    fn take_total(
        &mut self,
        batch: &Batch,
        index: usize,
        keys: &BatchKeys<'_>,
    ) -> Result<(), Failure> {
        let run = batch.runs[index];
        let careful = !self.suspicion.is_empty();
        let place = self.core.table(0);
        for row in run.start..run.end {
            if careful && self.careful(batch, index, row)? {
                continue;
            }
            let slot = self.core.touch(place, keys, row);
            self.core.call.take(slot);
            if careful || self.core.call.count >= self.setup.plan.call_rows {
                self.flush(batch)?;
            }
        }
        Ok(())
    }

    /// Rows of one frame into windows.
    fn take_windowed(
        &mut self,
        batch: &Batch,
        index: usize,
        keys: &BatchKeys<'_>,
    ) -> Result<(), Failure> {
        let run = batch.runs[index];
        let windows = self.core.windows.expect("called for windowed nodes");
        let careful = !self.suspicion.is_empty();
        let derived = self.setup.plan.input_derived;
        let before = self.core.mark.current().0;
        let mut running =
            self.core
                .mark
                .begin(run.lane, run.append_time, run.data, self.setup.plan.idle_us);
        self.close_passed(batch, &running, 0, before)?;
        let mut here = Here::NOWHERE;
        for row in run.start..run.end {
            if derived {
                let before = running.current;
                running.advance(batch.watermarks[row]);
                if running.current >= self.core.next_close {
                    self.close_passed(batch, &running, batch.origin_rows[row], before)?;
                    here = Here::NOWHERE;
                }
            }
            let time = batch.time(&run, row);
            if careful && self.careful(batch, index, row)? {
                // Not taken, but it moves time all the same.
            } else {
                here.go(&windows, time);
                if here.window < self.core.first_open {
                    self.late(batch, index, row, time, running.current);
                } else {
                    let place = match here.place {
                        Some(place) => place,
                        None => *here.place.insert(self.core.table(here.window)),
                    };
                    let slot = self.core.touch(place, keys, row);
                    self.core.call.take(slot);
                }
                if careful || self.core.call.count >= self.setup.plan.call_rows {
                    self.flush(batch)?;
                }
            }
            if !derived {
                let before = running.current;
                running.advance(time.saturating_sub(self.setup.plan.disorder_us));
                if running.current >= self.core.next_close {
                    self.close_passed(batch, &running, batch.origin_row(&run, row), before)?;
                    here = Here::NOWHERE;
                }
            }
        }
        if derived {
            let before = running.current;
            running.advance(run.watermark);
            self.close_passed(batch, &running, u32::MAX, before)?;
        }
        self.core.mark.end(run.lane, running);
        if let Some(out) = &mut self.outs.topic {
            out.end_run(&run, running.current)?;
        }
        Ok(())
    }

    fn late(&mut self, batch: &Batch, index: usize, row: usize, time: i64, watermark: i64) {
        self.core.call.skip();
        self.counts.late += 1;
        let reason = format!(
            "late: event time {time} µs is in a window that was closed at watermark {watermark} µs"
        );
        let partition = self.lanes[batch.runs[index].lane];
        let late = self
            .outs
            .late
            .as_mut()
            .expect("a windowed node has a topic for late rows");
        late.push(batch, index, row, partition, reason);
    }

    /// While rows that trap are pinned down: dead-letters a row known to trap (true: it is not taken), and sees to it
    /// that a suspect is alone in its call.
    fn careful(&mut self, batch: &Batch, index: usize, row: usize) -> Result<bool, Failure> {
        let spot = spot(&batch.runs[index], row);
        if let Some(reason) = self.suspicion.poison.get(&spot) {
            let partition = self.lanes[spot.lane];
            self.outs
                .rejected
                .push(batch, index, row, partition, reason.clone());
            self.core.call.skip();
            return Ok(true);
        }
        if self.suspicion.suspects(spot) {
            self.flush(batch)?;
        }
        Ok(false)
    }

    /// Hands the collected rows to the plugin.
    fn flush(&mut self, batch: &Batch) -> Result<(), Failure> {
        let call = &self.core.call;
        if call.slots.is_empty() {
            self.core.call.next();
            return Ok(());
        }
        let alone = !self.suspicion.is_empty() && self.is_suspect_alone(batch);
        let before = if alone {
            Some(self.states_before()?)
        } else {
            None
        };
        let call = &self.core.call;
        let input = Input {
            columns: &batch.columns,
            start: call.from,
            count: call.count,
        };
        let entries = Entries {
            rows: if call.sparse { &call.rows } else { &[] },
            slots: &call.slots,
        };
        match self.instance.update(input, entries) {
            Ok(rejects) if rejects.is_empty() => {}
            Ok(rejects) => {
                let rows: Vec<(usize, String)> = rejects
                    .into_iter()
                    .map(|r| (call.from + r.row as usize, r.reason))
                    .collect();
                self.reject(batch, rows)?;
            }
            Err(fault) => return Err(self.failed(batch, fault, before)),
        }
        self.core.slots.fresh.clear();
        self.core.call.next();
        Ok(())
    }

    /// Dead-letters rejected rows and takes back slots that only they would have begun.
    fn reject(&mut self, batch: &Batch, rejects: Vec<(usize, String)>) -> Result<(), Failure> {
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
                .map_err(|f| self.setup.fault(f, None))?;
            for slot in unborn {
                let place = self.core.table(self.core.slots.get(slot).window);
                self.core.slots.forget(&mut self.core.tables[place], slot);
            }
        }
        for (row, reason) in rejects {
            let index = batch.runs.partition_point(|run| run.end <= row);
            let partition = self.lanes[batch.runs[index].lane];
            self.outs
                .rejected
                .push(batch, index, row, partition, reason);
        }
        Ok(())
    }

    fn is_suspect_alone(&self, batch: &Batch) -> bool {
        let mut entries = self.core.call.entries();
        match (entries.next(), entries.next()) {
            (Some((row, _)), None) => {
                let run = &batch.runs[batch.runs.partition_point(|run| run.end <= row)];
                self.suspicion.suspects(spot(run, row))
            }
            _ => false,
        }
    }

    /// The states of the call's slots as they are before it, without those that the call begins.
    fn states_before(&mut self) -> Result<(Vec<u32>, States), Failure> {
        let known: Vec<u32> = self
            .core
            .call
            .slots
            .iter()
            .copied()
            .filter(|s| !self.core.slots.fresh.contains(s))
            .collect();
        let states = self
            .instance
            .save(&known)
            .map_err(|f| self.setup.fault(f, None))?;
        Ok((known, states))
    }

    /// What a failed `update` means.
    fn failed(
        &self,
        batch: &Batch,
        fault: refrain_plugin::Fault,
        before: Option<(Vec<u32>, States)>,
    ) -> Failure {
        let mut rows = CallRows::default();
        for (row, _) in self.core.call.entries() {
            let run = &batch.runs[batch.runs.partition_point(|run| run.end <= row)];
            let at = spot(run, row);
            rows.push(at.lane, at.offset..at.offset + 1);
        }
        let place = rows.place(&self.setup, &self.lanes);
        let pin_down = fault.kind == FaultKind::Trap
            && self.setup.plan.on_trap == crate::pipeline::OnTrap::DeadLetter;
        if !pin_down {
            return Failure::Stop(self.setup.fault(fault, place));
        }
        match before {
            None => Failure::Suspect(rows.spots(), self.setup.fault(fault, place)),
            Some((slots, states)) => self.verify(batch, fault, slots, states, rows, place),
        }
    }

    /// A row trapped alone: does it again, in a fresh instance with the states it met?
    fn verify(
        &self,
        batch: &Batch,
        fault: refrain_plugin::Fault,
        slots: Vec<u32>,
        states: States,
        rows: CallRows,
        place: Option<crate::error::Place>,
    ) -> Failure {
        let plan = &self.setup.plan;
        let call = &self.core.call;
        let again = self
            .setup
            .plugin
            .instantiate(&plan.options, plan.limits)
            .and_then(|mut fresh| {
                fresh.restore(&slots, &states)?;
                let input = Input {
                    columns: &batch.columns,
                    start: call.from,
                    count: call.count,
                };
                let entries = Entries {
                    rows: if call.sparse { &call.rows } else { &[] },
                    slots: &call.slots,
                };
                fresh.update(input, entries).map(|_| ())
            });
        match again {
            Err(second) if second.kind == FaultKind::Trap => {
                let first = &rows.spots()[0];
                let spot = Spot {
                    lane: first.lane,
                    offset: first.offsets.start,
                };
                Failure::Poison(spot, format!("trap: {}", second.what))
            }
            Err(second) => Failure::Stop(self.setup.fault(second, place)),
            Ok(()) => {
                let what = format!(
                    "{}, but not again in a fresh instance with the same state: the plugin remembers something                      outside its slots",
                    fault.what
                );
                Failure::Stop(
                    self.setup
                        .fault(refrain_plugin::Fault { what, ..fault }, place),
                )
            }
        }
    }

    /// Closes the windows that the watermark has passed.
    fn close_passed(
        &mut self,
        batch: &Batch,
        running: &Running,
        origin_row: u32,
        before: i64,
    ) -> Result<(), Failure> {
        if running.current < self.core.next_close {
            return Ok(());
        }
        self.flush(batch)?;
        self.core.open_until(running.current);
        for table in self.core.closing() {
            self.close(table, origin_row, before)?;
        }
        Ok(())
    }

    fn close(&mut self, table: Table, origin_row: u32, before: i64) -> Result<(), Failure> {
        let mut slots = table.slots();
        self.core.slots.sort(&mut slots);
        for block in slots.chunks(self.setup.plan.call_rows) {
            let (rows, hidden) = self.evaluate(block)?;
            self.counts.out += rows.num_rows() as u64;
            match &mut self.outs.topic {
                Some(out) => out.push(
                    rows.clone(),
                    std::iter::repeat_n((origin_row, before), rows.num_rows()),
                ),
                None => {
                    self.closed.push(rows);
                    self.hidden.extend(hidden);
                }
            }
            self.instance
                .release(block)
                .map_err(|f| self.setup.fault(f, None))?;
        }
        let mut key = Vec::new();
        for slot in slots {
            if self.core.slots.get(slot).stored {
                self.core.state_key(slot, &mut key);
                self.deleted.push(&key);
            }
            self.core.slots.give_back(slot);
        }
        Ok(())
    }

    /// Rows of these slots as the view shows them, and the keys of those that it does not show.
    fn evaluate(&mut self, slots: &[u32]) -> Result<(RecordBatch, Option<RecordBatch>), Failure> {
        let mut columns = self.core.slots.key_columns(slots);
        if let Some(windows) = self.core.windows {
            let starts = slots
                .iter()
                .map(|s| windows.start(self.core.slots.get(*s).window));
            let starts = TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC");
            columns.push(Arc::new(starts) as ArrayRef);
        }
        let keys: &[ArrayRef] = if self.setup.plugin.about().wants_keys {
            &columns
        } else {
            &[]
        };
        let answer = self
            .instance
            .evaluate(
                slots,
                Input {
                    columns: keys,
                    start: 0,
                    count: slots.len(),
                },
            )
            .map_err(|f| self.setup.fault(f, None))?;
        let key_fields = columns.len();
        columns.extend(answer.columns);
        let rows = RecordBatch::try_new(self.setup.plan.output_schema.arrow(), columns)
            .expect("answers are checked against the description, and keys against the schema");
        Ok(match answer.present {
            None => (rows, None),
            Some(present) => split(&rows, &present, key_fields),
        })
    }

    /// States of changed slots, and their rows when they go to a view.
    fn changes(&mut self) -> Result<(StateChanges, Option<ViewChanges>), Failure> {
        let mut state = StateChanges {
            deleted: std::mem::take(&mut self.deleted),
            ..Default::default()
        };
        let mut rows = std::mem::take(&mut self.closed);
        let mut hidden = std::mem::take(&mut self.hidden);
        let finals: usize = rows.iter().map(RecordBatch::num_rows).sum();
        let to_view = matches!(self.setup.plan.output, Output::View(_));
        let dirty = self.take_dirty();
        let mut key = Vec::new();
        for block in dirty.chunks(self.setup.plan.call_rows) {
            let saved = self
                .instance
                .save(block)
                .map_err(|f| self.setup.fault(f, None))?;
            for (i, slot) in block.iter().enumerate() {
                self.core.state_key(*slot, &mut key);
                state.put_keys.push(&key);
                state.put_states.push(saved.get(i));
            }
            if to_view {
                let (shown, not_shown) = self.evaluate(block)?;
                rows.push(shown);
                hidden.extend(not_shown);
            }
        }
        let view = to_view.then(|| self.view_changes(&rows, finals, &hidden));
        Ok((state, view))
    }

    fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.core.slots.dirty);
        dirty.retain(|slot| {
            let state = self.core.slots.get_mut(*slot);
            state.stored |= state.dirty;
            std::mem::take(&mut state.dirty)
        });
        dirty
    }

    fn view_changes(
        &self,
        rows: &[RecordBatch],
        finals: usize,
        hidden: &[RecordBatch],
    ) -> ViewChanges {
        let schema = self.setup.plan.output_schema.arrow();
        let concat = |schema: &arrow_schema::SchemaRef, parts: &[RecordBatch]| {
            arrow_select::concat::concat_batches(schema, parts)
                .expect("rows of one node have one schema")
        };
        let rows = concat(&schema, rows);
        let mut marks = BooleanBufferBuilder::new(rows.num_rows());
        marks.append_n(finals, true);
        marks.append_n(rows.num_rows() - finals, false);
        let deletes = hidden.first().map(|first| concat(&first.schema(), hidden));
        ViewChanges {
            rows,
            finals: marks.finish(),
            deletes,
        }
    }
}

/// Rows that are present, and the keys of those that are not.
fn split(
    rows: &RecordBatch,
    present: &BooleanBuffer,
    key_fields: usize,
) -> (RecordBatch, Option<RecordBatch>) {
    let filter = |rows: &RecordBatch, mask: BooleanBuffer| {
        arrow_select::filter::filter_record_batch(rows, &BooleanArray::new(mask, None))
            .expect("a mask of equal length")
    };
    if present.count_set_bits() == rows.num_rows() {
        return (rows.clone(), None);
    }
    let key_places: Vec<usize> = (0..key_fields).collect();
    let keys = rows.project(&key_places).expect("key fields come first");
    (filter(rows, present.clone()), Some(filter(&keys, !present)))
}

fn spot(run: &Run, row: usize) -> Spot {
    Spot {
        lane: run.lane,
        offset: run.offset.0 + (row - run.start) as u64,
    }
}

impl Task for FoldTask {
    fn advance(&mut self, cut: Sequence) -> Result<(), Failure> {
        while let Some(batch) = self.reader.next(cut, BATCH_ROWS)? {
            self.take(&batch)?;
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<Prepared, Failure> {
        let (state, view) = self.changes()?;
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
        })
    }

    fn publish(&mut self) {
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
