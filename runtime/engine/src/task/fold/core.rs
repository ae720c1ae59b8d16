//! The part of a fold that every row goes through: time, windows, slots, and the call being filled.

use crate::keys;
use crate::task::slots::{BatchKeys, Slots, Table};
use crate::watermark::{NEVER, Watermark};
use crate::window::{Index, Tumbling};

/// Time, windows, slots, and the call being filled.
pub(super) struct Core {
    pub(super) windows: Option<Tumbling>,
    pub(super) mark: Watermark,
    pub(super) slots: Slots,
    /// Open windows, by index. A total has one.
    pub(super) tables: Vec<Table>,
    pub(super) first_open: Index,
    /// Watermark at which `first_open` closes.
    pub(super) next_close: i64,
    pub(super) call: Call,
}

/// Rows collected for one `update`.
#[derive(Default)]
pub(super) struct Call {
    /// First row in the batch.
    pub(super) from: usize,
    /// Rows so far, skipped ones included.
    pub(super) count: usize,
    /// Whether a row was skipped; then `rows` has one entry a slot.
    pub(super) sparse: bool,
    pub(super) rows: Vec<u32>,
    pub(super) slots: Vec<u32>,
}

impl Call {
    #[inline(always)]
    pub(super) fn take(&mut self, slot: u32) {
        if self.sparse {
            self.rows.push(self.count as u32);
        }
        self.slots.push(slot);
        self.count += 1;
    }

    pub(super) fn skip(&mut self) {
        if !self.sparse {
            self.sparse = true;
            self.rows.extend(0..self.count as u32);
        }
        self.count += 1;
    }

    pub(super) fn next(&mut self) {
        self.from += self.count;
        self.count = 0;
        self.sparse = false;
        self.rows.clear();
        self.slots.clear();
    }

    /// Only these entries stay; the call still spans the same rows.
    pub(super) fn keep(&mut self, entries: impl Iterator<Item = (usize, u32)>) {
        self.sparse = true;
        self.rows.clear();
        self.slots.clear();
        for (row, slot) in entries {
            self.rows.push((row - self.from) as u32);
            self.slots.push(slot);
        }
    }

    /// (row in the batch, slot) of each entry.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, u32)> {
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
    pub(super) fn new(windows: Option<Tumbling>, mark: Watermark, slots: Slots) -> Self {
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
    pub(super) fn open_until(&mut self, watermark: i64) {
        if let Some(windows) = self.windows {
            self.first_open = windows.first_open(watermark);
            self.next_close = windows.closes_at(self.first_open).max(NEVER + 1);
        }
    }

    /// Place of a window's table, made now if there is none.
    pub(super) fn table(&mut self, window: Index) -> usize {
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
    pub(super) fn touch(&mut self, place: usize, keys: &BatchKeys<'_>, row: usize) -> u32 {
        self.slots.touch(&mut self.tables[place], keys, row)
    }

    /// Tables of windows that are closed now, earliest first.
    pub(super) fn closing(&mut self) -> Vec<Table> {
        let first_open = self.first_open;
        let mut closing: Vec<Table> = self
            .tables
            .extract_if(.., |t| t.window < first_open)
            .collect();
        closing.sort_by_key(|t| t.window);
        closing
    }

    /// Bytes under which the store knows a slot.
    pub(super) fn state_key(&self, slot: u32, out: &mut Vec<u8>) {
        out.clear();
        if self.windows.is_some() {
            out.extend_from_slice(&keys::sortable(self.slots.get(slot).window));
        }
        self.slots.encode_key(slot, out);
    }
}

/// The window that the last row was in, so that most rows cost two comparisons.
#[derive(Clone, Copy)]
pub(super) struct Here {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) window: Index,
    /// Place of its table; none: look it up.
    pub(super) place: Option<usize>,
}

impl Here {
    pub(super) const NOWHERE: Here = Here {
        start: 0,
        end: 0,
        window: 0,
        place: None,
    };

    #[inline(always)]
    pub(super) fn go(&mut self, windows: &Tumbling, time: i64) {
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
