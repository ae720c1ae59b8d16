//! Count windows: so many rows of a key, one after another in log order. A window closes at the row that fills it.
//!
//! A row that the plugin refuses does not count. So a call ends where a window may be full, and what was refused is
//! known before the next row of that key. A slot stays with its key for ever; its number goes up.

use super::FoldTask;
use super::timed::{Assign, At};
use crate::pipeline::Window;
use crate::task::Failure;
use crate::task::care::Refused;

/// Window of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// From 0.
    pub(super) number: i64,
    /// Rows in it.
    pub(super) filled: i64,
    /// The same with those of the call being filled.
    maybe: i64,
}

/// Windows by slot.
pub(super) struct Counted {
    /// Rows of a full window.
    rows: i64,
    slots: Vec<Count>,
    /// Rows of the call being filled, with their slots.
    pending: Vec<(usize, u32)>,
}

impl Counted {
    pub(super) fn new(window: Option<&Window>) -> Counted {
        let rows = match window {
            Some(Window::Count { rows, .. }) => *rows,
            _ => 0,
        };
        Counted {
            rows,
            slots: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn at(&mut self, slot: u32) -> &mut Count {
        let slot = slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, Count::default());
        }
        &mut self.slots[slot]
    }

    pub(super) fn get(&self, slot: u32) -> Count {
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, slot: u32, number: i64, filled: i64) {
        *self.at(slot) = Count {
            number,
            filled,
            maybe: filled,
        };
    }

    /// The call was taken but for the refused rows.
    pub(super) fn settle(&mut self, refused: &Refused) {
        let pending = std::mem::take(&mut self.pending);
        for (row, slot) in &pending {
            if refused.binary_search_by_key(row, |r| r.0).is_err() {
                self.at(*slot).filled += 1;
            }
        }
        for (_, slot) in &pending {
            let count = self.at(*slot);
            count.maybe = count.filled;
        }
    }

    /// A slot without a key counts from the beginning again.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(count) = self.slots.get_mut(slot as usize) {
            *count = Count::default();
        }
    }
}

/// Each row in the window that its key is at.
pub(super) struct Numbered;

impl Assign for Numbered {
    fn row(&mut self, task: &mut FoldTask, at: &At<'_>) -> Result<(), Failure> {
        let place = task.core.table(0);
        let slot = task.core.touch(place, at.keys, at.row);
        task.core.call.take(slot);
        task.core.counted.pending.push((at.row, slot));
        let rows = task.core.counted.rows;
        let count = task.core.counted.at(slot);
        count.maybe += 1;
        if count.maybe < rows {
            return Ok(());
        }
        task.flush(at.batch)?;
        // All of its rows may have been refused, and the slot gone with them.
        if task.core.counted.get(slot).filled < rows {
            return Ok(());
        }
        let run = &at.batch.runs[at.index];
        let origin_row = at.batch.origin_row(run, at.row);
        task.close(&[slot], origin_row, at.watermark)?;
        let number = task.core.counted.get(slot).number;
        task.core.counted.set(slot, number + 1, 0);
        Ok(())
    }
}
