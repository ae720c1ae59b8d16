//! The part of a fold that every row goes through: time, windows, slots, and the call being filled.

use crate::keys;
use crate::pipeline::Window;
use crate::task::slots::{BatchKeys, Slots, Table};
use crate::watermark::{NEVER, Watermark};
use crate::window::{Index, Sliding, Tumbling};

use super::counted::Counted;
use super::session::{NONE, Sessions};

/// Which kind of window the node has. Decided once a frame, never per row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Total,
    Tumbling(Tumbling),
    Sliding(Sliding),
    Session,
    Count,
}

impl Shape {
    pub(super) fn of(window: Option<&Window>) -> Shape {
        match window {
            None => Shape::Total,
            Some(Window::Tumbling {
                size_us,
                lateness_us,
                ..
            }) => Shape::Tumbling(Tumbling::new(*size_us, *lateness_us)),
            Some(Window::Sliding {
                size_us,
                every_us,
                lateness_us,
                ..
            }) => Shape::Sliding(Sliding::new(*size_us, *every_us, *lateness_us)),
            Some(Window::Session { .. }) => Shape::Session,
            Some(Window::Count { .. }) => Shape::Count,
        }
    }

    /// Whether keys of the store begin with the window (of a session: its mark).
    pub(super) fn in_store_keys(&self) -> bool {
        !matches!(self, Shape::Total | Shape::Count)
    }

    /// The first open window at a watermark, and the watermark at which it closes; none when windows have no index.
    fn open_until(&self, watermark: i64) -> Option<(Index, i64)> {
        match self {
            Shape::Tumbling(windows) => {
                let first = windows.first_open(watermark);
                Some((first, windows.closes_at(first)))
            }
            Shape::Sliding(windows) => {
                let first = windows.first_open(watermark);
                Some((first, windows.closes_at(first)))
            }
            Shape::Total | Shape::Session | Shape::Count => None,
        }
    }

    /// Start of a window, in microseconds. A session's index is its mark.
    pub(super) fn start(&self, index: Index) -> i64 {
        match self {
            Shape::Tumbling(windows) => windows.start(index),
            Shape::Sliding(windows) => windows.start(index),
            Shape::Total | Shape::Session | Shape::Count => index,
        }
    }
}

/// Time, windows, slots, and the call being filled.
pub(super) struct Core {
    pub(super) shape: Shape,
    pub(super) mark: Watermark,
    pub(super) slots: Slots,
    /// Open windows, by index. A total has one.
    pub(super) tables: Vec<Table>,
    pub(super) first_open: Index,
    /// Watermark at which `first_open` closes.
    pub(super) next_close: i64,
    pub(super) call: Call,
    /// Of session windows.
    pub(super) sessions: Sessions,
    /// Of count windows.
    pub(super) counted: Counted,
}

/// A call that has an entry for less than one in so many rows gives the plugin these rows alone.
const THIN: usize = 8;

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

    /// One of several slots of the row at hand, which [`Call::end_row`] ends.
    #[inline(always)]
    pub(super) fn add(&mut self, slot: u32) {
        self.list();
        self.rows.push(self.count as u32);
        self.slots.push(slot);
    }

    #[inline(always)]
    pub(super) fn end_row(&mut self) {
        self.count += 1;
    }

    #[inline(always)]
    fn list(&mut self) {
        if !self.sparse {
            self.sparse = true;
            self.rows.extend(0..self.count as u32);
        }
    }

    pub(super) fn skip(&mut self) {
        self.list();
        self.count += 1;
    }

    pub(super) fn next(&mut self) {
        self.from += self.count;
        self.count = 0;
        self.sparse = false;
        self.rows.clear();
        self.slots.clear();
    }

    /// Becomes a call of these entries: rows of the batch, rising.
    pub(super) fn fill(&mut self, entries: &[(usize, u32)]) {
        let (first, last) = (entries[0].0, entries[entries.len() - 1].0);
        (self.from, self.count) = (first, last + 1 - first);
        self.keep(entries.iter().copied());
    }

    /// Whether it is about few of the rows that it spans, about each once.
    pub(super) fn is_thin(&self) -> bool {
        self.sparse && self.slots.len() * THIN < self.count && self.rows.is_sorted_by(|a, b| a < b)
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
    pub(super) fn new(window: Option<&Window>, mark: Watermark, slots: Slots) -> Self {
        let mut core = Core {
            shape: Shape::of(window),
            slots,
            tables: Vec::new(),
            first_open: Index::MIN,
            next_close: i64::MAX,
            call: Call::default(),
            sessions: Sessions::new(window),
            counted: Counted::new(window),
            mark,
        };
        core.open_until(core.mark.current().0);
        if matches!(core.shape, Shape::Session) {
            core.table(0);
        }
        core
    }

    /// Moves the border between closed and open windows.
    pub(super) fn open_until(&mut self, watermark: i64) {
        if let Some((first, closes)) = self.shape.open_until(watermark) {
            self.first_open = first;
            self.next_close = closes.max(NEVER + 1);
        }
    }

    /// Gives a slot back of which nothing is left.
    pub(super) fn forget(&mut self, slot: u32) {
        if matches!(self.shape, Shape::Session) {
            self.detach(slot);
            self.give_back(slot);
            return;
        }
        self.counted.forget(slot);
        let place = self.table(self.slots.get(slot).window);
        self.slots.forget(&mut self.tables[place], slot);
    }

    /// Takes a session out of the chain of its key.
    pub(super) fn detach(&mut self, slot: u32) {
        let head = self.slots.head(&self.tables[0], slot);
        let first = self.sessions.unlink(head, slot);
        self.lead(head, first);
    }

    /// The table finds this session of a key from now on where it found the other one; none: the key has none.
    pub(super) fn lead(&mut self, from: u32, to: u32) {
        match to {
            NONE => self.slots.leave(&mut self.tables[0], from),
            to if to != from => self.slots.repoint(&mut self.tables[0], from, to),
            _ => {}
        }
    }

    /// Gives the slot of a session back that is in no chain.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.sessions.forget(slot);
        self.slots.give_back(slot);
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
        self.state_key_at(slot, self.slots.get(slot).window, out);
    }

    /// The same, of the slot as it would be in another window.
    pub(super) fn state_key_at(&self, slot: u32, window: Index, out: &mut Vec<u8>) {
        out.clear();
        if self.shape.in_store_keys() {
            out.extend_from_slice(&keys::sortable(window));
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
