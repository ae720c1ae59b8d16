//! What a fold shows: rows of closed windows, and at each commit states and rows of what changed.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use refrain_plugin::Input;
use refrain_state::store::StateChanges;
use refrain_state::view::ViewChanges;

use super::FoldTask;
use crate::input::Batch;
use crate::pipeline::Output;
use crate::task::Failure;
use crate::task::slots::Table;
use crate::watermark::Running;

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
        self.flush(batch)?;
        self.core.open_until(running.current);
        for table in self.core.closing() {
            self.close(table, origin_row, before)?;
        }
        Ok(())
    }

    pub(super) fn close(
        &mut self,
        table: Table,
        origin_row: u32,
        before: i64,
    ) -> Result<(), Failure> {
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
                .map_err(|f| self.since_commit(f))?;
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
    pub(super) fn evaluate(
        &mut self,
        slots: &[u32],
    ) -> Result<(RecordBatch, Option<RecordBatch>), Failure> {
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
            .map_err(|f| self.since_commit(f))?;
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
    pub(super) fn changes(&mut self) -> Result<(StateChanges, Option<ViewChanges>), Failure> {
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
                .map_err(|f| self.since_commit(f))?;
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

    pub(super) fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.core.slots.dirty);
        dirty.retain(|slot| {
            let state = self.core.slots.get_mut(*slot);
            state.stored |= state.dirty;
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
