//! How many states of a task may stay in memory, when the store is on the disk, and how the store is read page by page.
//! Which of them go is the slots' choice ([`super::slots::Slots::sweep`]).

use refrain_state::TaskReader;

use super::fold::KeyedState;
use crate::error::Result;

/// What a slot takes beside its key and state: tables, the plugin's own.
const SLOT_BYTES: u64 = 160;
/// A round may change so many slots whatever the limit.
const CHANGED_MIN: usize = 4096;
/// Entries of the store that are read at once, at most.
const PAGE: usize = 1024;

/// What a cache of states did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// States read from the store.
    pub fetched: u64,
    /// Slots given back.
    pub evicted: u64,
    /// Times that a row's state was in memory.
    pub hits: u64,
    /// Slots in use now.
    pub slots: u64,
    /// Slots changed since the last commit, in thousandths of those that may stay.
    pub changed_permille: u64,
}

impl CacheCounts {
    /// Of two tasks together.
    #[must_use]
    pub fn and(self, other: CacheCounts) -> CacheCounts {
        CacheCounts {
            fetched: self.fetched + other.fetched,
            evicted: self.evicted + other.evicted,
            hits: self.hits + other.hits,
            slots: self.slots + other.slots,
            changed_permille: self.changed_permille.max(other.changed_permille),
        }
    }
}

/// Room for slots, in bytes.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: u64,
    /// Of keys and states seen, for their mean.
    seen_bytes: u64,
    seen: u64,
    /// Where the hand stands that looks for slots to be given back.
    pub(super) hand: usize,
    /// A commit was made since slots were last given back.
    due: bool,
    /// Slots in use at which they are given back before a commit.
    full: usize,
    counts: CacheCounts,
}

impl Room {
    /// Of about so many bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        Room {
            bytes_max,
            seen_bytes: 0,
            seen: 0,
            hand: 0,
            due: false,
            full: 0,
            counts: CacheCounts::default(),
        }
    }

    /// Slots that may stay.
    pub(super) fn slots_max(&self) -> usize {
        let mean = self.seen_bytes / self.seen.max(1) + SLOT_BYTES;
        usize::try_from(self.bytes_max / mean)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Notes the size of a state.
    pub(super) fn measure(&mut self, key: &[u8], state: &[u8]) {
        self.seen += 1;
        self.seen_bytes += (key.len() + state.len()) as u64;
    }

    /// So many states came from the store.
    pub(super) fn fetched(&mut self, count: usize) {
        self.counts.fetched += count as u64;
    }

    /// A commit is made.
    pub(super) fn committed(&mut self) {
        self.due = true;
    }

    /// How many of the slots in use are to go now; none: it is not the time to look for any.
    pub(super) fn surplus(&mut self, used: usize) -> Option<usize> {
        if !std::mem::take(&mut self.due) && used < self.full {
            return None;
        }
        Some(used.saturating_sub(self.slots_max()))
    }

    /// So many slots went, and so many are in use.
    pub(super) fn evicted(&mut self, count: usize, used: usize) {
        let max = self.slots_max();
        self.full = used.max(max) + max / 4 + 1;
        self.counts.evicted += count as u64;
    }

    /// What happened since the last commit, in which so many rows were handed over and so many states changed.
    pub(super) fn take_counts(&mut self, used: usize, handed: u64, changed: usize) -> CacheCounts {
        let may = self.slots_max().max(CHANGED_MIN);
        let counts = std::mem::take(&mut self.counts);
        CacheCounts {
            hits: handed.saturating_sub(counts.fetched),
            slots: used as u64,
            changed_permille: (changed as u64).saturating_mul(1000) / may as u64,
            ..counts
        }
    }
}

/// Entries of the store in order of their keys, page by page.
pub(super) struct Page {
    from: Option<Vec<u8>>,
}

impl Page {
    /// From this key on.
    pub(super) fn begin(from: Vec<u8>) -> Page {
        Page { from: Some(from) }
    }

    /// No more are wanted.
    pub(super) fn end(&mut self) {
        self.from = None;
    }

    /// The next ones.
    pub(super) fn next(&mut self, reader: &TaskReader) -> Result<Option<Vec<KeyedState>>> {
        let Some(from) = self.from.take() else {
            return Ok(None);
        };
        let page = reader.after(&from, PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(None);
        };
        self.from = Some([last, &[0][..]].concat());
        Ok(Some(page))
    }
}
