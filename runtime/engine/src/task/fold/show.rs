//! What a fold shows: rows of closed windows, and at each commit states and rows of what changed.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use refrain_plugin::Input;
use refrain_state::store::StateChanges;
use refrain_state::view::ViewChanges;

use super::FoldTask;
use super::core::Shape;
use super::keep::{Due, Kept};
use super::stored;
use crate::input::Batch;
use crate::keys;
use crate::pipeline::Output;
use crate::task::Failure;
use crate::watermark::Running;

/// View rows of windows that closed together.
pub(super) struct Closed {
    rows: RecordBatch,
    /// With `keep`: the end of each row's window.
    ends: Vec<i64>,
}

/// What the plugin shows of some slots.
pub(super) struct Shown {
    pub(super) rows: RecordBatch,
    /// Keys of those of which it shows nothing.
    pub(super) hidden: Option<RecordBatch>,
    /// Which slots have a row; none: all.
    pub(super) present: Option<BooleanBuffer>,
}

impl Shown {
    pub(super) fn has(&self, place: usize) -> bool {
        self.present.as_ref().is_none_or(|p| p.value(place))
    }
}

impl FoldTask {
    /// Closes the windows that the watermark has passed.
    pub(super) fn close_passed(
        &mut self,
        batch: &Batch,
        running: &Running,
        origin_row: u32,
        before: i64,
    ) -> Result<(), Failure> {
        if running.current < self.core.next_close {
            return Ok(());
        }
        // Rows of other tasks have moved it too: one movement after the other.
        while let Some(mover) = batch.mover(self.core.next_close).copied() {
            if mover.after > running.current || mover.after < self.core.next_close {
                break;
            }
            self.close_at(batch, mover.after, mover.origin_row, mover.before)?;
        }
        if running.current < self.core.next_close {
            return Ok(());
        }
        self.close_at(batch, running.current, origin_row, before)
    }

    /// Closes the windows that end before this watermark.
    fn close_at(
        &mut self,
        batch: &Batch,
        watermark: i64,
        origin_row: u32,
        before: i64,
    ) -> Result<(), Failure> {
        self.flush(batch)?;
        self.core.open_until(watermark);
        let (closing, cold) = self.closing();
        for table in closing {
            if cold.contains(&table.window) {
                self.close_cold(table, origin_row, before)?;
                continue;
            }
            let mut slots = table.slots();
            self.core.slots.sort(&mut slots);
            self.close(&slots, origin_row, before)?;
            slots
                .iter()
                .for_each(|slot| self.core.slots.give_back(*slot));
        }
        Ok(())
    }

    /// Shows windows for the last time and lets the plugin forget them. The slots are still the caller's.
    pub(super) fn close(
        &mut self,
        slots: &[u32],
        origin_row: u32,
        before: i64,
    ) -> Result<(), Failure> {
        for block in slots.chunks(self.setup.plan.call_rows) {
            let shown = self.show_last(block)?;
            if let (Some(out), Some(Shown { rows, .. })) = (&mut self.outs.topic, shown) {
                let count = rows.num_rows();
                out.push(rows, std::iter::repeat_n((origin_row, before), count));
            }
        }
        Ok(())
    }

    /// The same of some of them. What goes to a topic is the caller's to write.
    pub(super) fn show_last(&mut self, slots: &[u32]) -> Result<Option<Shown>, Failure> {
        let shown = self.evaluate(slots)?;
        self.counts.out += shown.rows.num_rows() as u64;
        let ends = self.leave_store(slots, &shown);
        let released = self.instance.release(slots);
        released.map_err(|f| self.since_commit(f))?;
        if self.outs.topic.is_some() {
            return Ok(Some(shown));
        }
        self.closed.push(Closed {
            rows: shown.rows,
            ends,
        });
        self.hidden.extend(shown.hidden);
        Ok(None)
    }

    /// States of closing windows leave the store; with `keep`, the ends of those shown.
    fn leave_store(&mut self, slots: &[u32], shown: &Shown) -> Vec<i64> {
        match self.core.shape {
            Shape::Count => return Vec::new(),
            Shape::Session => {
                let moved = |slot: &u32| {
                    let mark = self.core.slots.get(*slot).window;
                    self.core.sessions.known(*slot).is_some_and(|k| k != mark)
                };
                let moved: Vec<u32> = slots.iter().copied().filter(moved).collect();
                self.unknow(&moved);
                self.unnote(slots);
            }
            Shape::Total | Shape::Tumbling(_) | Shape::Sliding(_) => {}
        }
        let mut key = Vec::new();
        let mut ends = Vec::new();
        for (i, slot) in slots.iter().enumerate() {
            let stored = self.core.slots.get(*slot).stored;
            let end = self.end(*slot);
            match &mut self.kept {
                Some(kept) if shown.has(i) => {
                    self.core.state_key(*slot, &mut key);
                    kept.close(end, &key, stored);
                    ends.push(end);
                }
                _ if stored => {
                    self.core.state_key(*slot, &mut key);
                    self.deleted.push(&key);
                }
                _ => {}
            }
        }
        ends
    }

    /// End of a slot's window.
    fn end(&self, slot: u32) -> i64 {
        let window = self.core.slots.get(slot).window;
        match self.core.shape {
            Shape::Tumbling(windows) => windows.end(window),
            Shape::Sliding(windows) => windows.end(window),
            Shape::Session => self.core.sessions.end(slot),
            Shape::Total | Shape::Count => i64::MAX,
        }
    }

    /// The key fields of these slots, the window included.
    fn key_columns(&self, slots: &[u32]) -> Vec<ArrayRef> {
        let mut columns = self.core.slots.key_columns(slots);
        let shape = self.core.shape;
        match shape {
            Shape::Total => {}
            Shape::Tumbling(_) | Shape::Sliding(_) | Shape::Session => {
                let start = |s: &u32| shape.start(self.core.slots.get(*s).window);
                columns.push(times(slots.iter().map(start)));
            }
            Shape::Count => {
                let number = |s: &u32| self.core.counted.get(*s).number;
                let numbers = Int64Array::from_iter_values(slots.iter().map(number));
                columns.push(Arc::new(numbers));
            }
        }
        columns
    }

    /// Rows of these slots as the view shows them, and the keys of those that it does not show.
    pub(super) fn evaluate(&mut self, slots: &[u32]) -> Result<Shown, Failure> {
        let mut columns = self.key_columns(slots);
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
            .map_err(|f| self.since_commit(f))?;
        let key_fields = columns.len();
        if matches!(self.core.shape, Shape::Session) {
            columns.push(times(slots.iter().map(|s| self.core.sessions.end(*s))));
        }
        columns.extend(answer.columns);
        let rows = RecordBatch::try_new(self.setup.plan.output_schema.arrow(), columns)
            .expect("answers are checked against the description, and keys against the schema");
        Ok(match answer.present {
            None => Shown {
                rows,
                hidden: None,
                present: None,
            },
            Some(present) => split(&rows, present, key_fields),
        })
    }

    /// Deletes what the store and the view know of these sessions under the mark that they had at the last commit.
    pub(super) fn unknow(&mut self, sessions: &[u32]) {
        let known = |slot: &u32| Some((*slot, self.core.sessions.known(*slot)?));
        let known: Vec<(u32, i64)> = sessions.iter().filter_map(known).collect();
        let mut key = Vec::new();
        for (slot, mark) in &known {
            self.core.state_key_at(*slot, *mark, &mut key);
            self.deleted.push(&key);
            self.core.slots.get_mut(*slot).stored = false;
        }
        self.hide(&known);
    }

    /// Deletes the view's rows of these slots under marks that their sessions have no more.
    fn hide(&mut self, slots: &[(u32, i64)]) {
        if slots.is_empty() || !self.to_view() {
            return;
        }
        let of: Vec<u32> = slots.iter().map(|s| s.0).collect();
        let mut columns = self.core.slots.key_columns(&of);
        columns.push(times(slots.iter().map(|s| s.1)));
        self.hidden.push(self.key_rows(columns));
    }

    fn key_rows(&self, columns: Vec<ArrayRef>) -> RecordBatch {
        let schema = self.setup.plan.output_schema.arrow();
        let places: Vec<usize> = (0..columns.len()).collect();
        let schema = schema.project(&places).expect("key fields come first");
        RecordBatch::try_new(Arc::new(schema), columns).expect("keys have the schema's fields")
    }

    fn to_view(&self) -> bool {
        matches!(self.setup.plan.output, Output::View(_))
    }

    /// States of changed slots, and their rows when they go to a view.
    pub(super) fn changes(&mut self) -> Result<(StateChanges, Option<ViewChanges>), Failure> {
        let dirty = self.take_dirty();
        let indexed = self.index(&dirty);
        if matches!(self.core.shape, Shape::Session) {
            self.move_known(&dirty);
        }
        let due = self.take_due()?;
        let mut state = StateChanges {
            deleted: std::mem::take(&mut self.deleted),
            ..Default::default()
        };
        due.deleted.iter().for_each(|key| state.deleted.push(key));
        for (key, end) in &due.put {
            state.put_keys.push(key);
            state.put_states.push(&stored::closed(*end));
        }
        for (key, value) in indexed.iter().chain(&self.index_kept(&due)) {
            state.put_keys.push(key);
            state.put_states.push(value);
        }
        let mut rows = self.take_closed();
        let mut hidden = std::mem::take(&mut self.hidden);
        hidden.extend(self.gone(&due));
        let finals: usize = rows.iter().map(RecordBatch::num_rows).sum();
        let to_view = self.to_view();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for block in dirty.chunks(self.setup.plan.call_rows) {
            let saved = self
                .instance
                .save(block)
                .map_err(|f| self.since_commit(f))?;
            for (i, slot) in block.iter().enumerate() {
                self.core.state_key(*slot, &mut key);
                self.seal(*slot, saved.get(i), &mut value);
                self.measure(&key, &value);
                state.put_keys.push(&key);
                state.put_states.push(&value);
            }
            let open = self.with_rows(block);
            if to_view && !open.is_empty() {
                let shown = self.evaluate(&open)?;
                rows.push(shown.rows);
                hidden.extend(shown.hidden);
            }
        }
        let view = to_view.then(|| self.view_changes(&rows, finals, &hidden));
        Ok((state, view))
    }

    /// Those of these slots whose window has rows: a count window that has just closed has none.
    fn with_rows(&self, slots: &[u32]) -> Vec<u32> {
        let counts = matches!(self.core.shape, Shape::Count);
        let has = |slot: &u32| !counts || self.core.counted.get(*slot).filled > 0;
        slots.iter().copied().filter(has).collect()
    }

    /// What the store and the view know of sessions whose mark has moved goes; from now on they know the mark as it is.
    fn move_known(&mut self, sessions: &[u32]) {
        let mark = |slot: u32| self.core.slots.get(slot).window;
        let moved = |slot: &u32| {
            self.core
                .sessions
                .known(*slot)
                .is_some_and(|k| k != mark(*slot))
        };
        let moved: Vec<u32> = sessions.iter().copied().filter(moved).collect();
        self.unknow(&moved);
        for slot in sessions {
            let mark = self.core.slots.get(*slot).window;
            self.core.sessions.set_known(*slot, mark);
            self.core.slots.get_mut(*slot).stored = true;
        }
    }

    fn take_due(&mut self) -> Result<Due, Failure> {
        let watermark = self.core.mark.current().0;
        let Some(kept) = &mut self.kept else {
            return Ok(Due::default());
        };
        let mut due = kept.due(watermark);
        self.due_in_store(watermark, &mut due)?;
        Ok(due)
    }

    /// Rows of windows closed since the last commit, but for those that are due already.
    fn take_closed(&mut self) -> Vec<RecordBatch> {
        let watermark = self.core.mark.current().0;
        let young = |kept: &Kept, closed: &Closed| {
            let mask = closed.ends.iter().map(|end| !kept.is_due(*end, watermark));
            let mask: BooleanBuffer = mask.collect();
            arrow_select::filter::filter_record_batch(&closed.rows, &BooleanArray::new(mask, None))
                .expect("a mask of equal length")
        };
        let closed = std::mem::take(&mut self.closed).into_iter();
        match &self.kept {
            None => closed.map(|closed| closed.rows).collect(),
            Some(kept) => closed.map(|closed| young(kept, &closed)).collect(),
        }
    }

    /// Keys of rows that are due, for the view.
    fn gone(&self, due: &Due) -> Option<RecordBatch> {
        if due.gone.is_empty() {
            return None;
        }
        let parts = due.gone.iter().map(|key| {
            let (window, key) = key
                .split_first_chunk()
                .expect("a windowed state key begins with its window");
            (keys::from_sortable(*window), key)
        });
        let (windows, keys): (Vec<i64>, Vec<&[u8]>) = parts.unzip();
        let mut columns = self.core.slots.decode_keys(keys.into_iter());
        let shape = self.core.shape;
        columns.push(times(windows.into_iter().map(|w| shape.start(w))));
        Some(self.key_rows(columns))
    }

    pub(super) fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.core.slots.dirty);
        dirty.retain(|slot| {
            let state = self.core.slots.get_mut(*slot);
            state.stored |= state.dirty;
            state.recent |= state.dirty;
            std::mem::take(&mut state.dirty)
        });
        dirty
    }

    pub(super) fn view_changes(
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

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

/// Rows that are present, and the keys of those that are not.
fn split(rows: &RecordBatch, present: BooleanBuffer, key_fields: usize) -> Shown {
    let filter = |rows: &RecordBatch, mask: BooleanBuffer| {
        arrow_select::filter::filter_record_batch(rows, &BooleanArray::new(mask, None))
            .expect("a mask of equal length")
    };
    if present.count_set_bits() == rows.num_rows() {
        return Shown {
            rows: rows.clone(),
            hidden: None,
            present: None,
        };
    }
    let key_places: Vec<usize> = (0..key_fields).collect();
    let keys = rows.project(&key_places).expect("key fields come first");
    Shown {
        rows: filter(rows, present.clone()),
        hidden: Some(filter(&keys, !&present)),
        present: Some(present),
    }
}
