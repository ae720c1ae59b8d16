//! Slots as a cache of the store, for states that need not fit into memory.
//!
//! A pair of key and window that has no slot is looked up in what is committed, with the others of its call, and what is
//! found is restored, all before the plugin gets the rows. Slots beyond the limit are given back: such as did not change
//! since the last commit, found by a hand that goes round and passes over what was changed lately (second chance). A slot
//! given back loses nothing, since the store has its state; so none of this can influence results.
//!
//! A window with pairs that have no slot is *cold*. When it closes, its pairs are read from the store in order of key, a
//! page at a time, between those that have a slot.

use std::collections::BTreeSet;

use refrain_plugin::States;
use refrain_state::TaskReader;
use refrain_state::store::Spans;

use super::core::Shape;
use super::index::{COMPLETE, Indexed};
use super::{FoldTask, KeyedState};
use crate::error::Result;
use crate::input::Batch;
use crate::keys;
use crate::task::Failure;
use crate::task::room::{CacheCounts, Page, Room};
use crate::task::slots::{BatchKeys, Found, Table};
use crate::window::Index;

/// Where pairs without a slot are looked up, and how many pairs have one.
#[derive(Debug)]
pub struct Cache {
    pub(super) reader: TaskReader,
    pub(super) indexed: Indexed,
    room: Room,
    /// Cold windows; 0 where windows have no index.
    cold: BTreeSet<Index>,
    /// The store had nothing when the task was opened, and no commit was made since.
    new: bool,
}

impl Cache {
    /// A cache of about so many bytes.
    pub fn new(reader: TaskReader, bytes_max: u64) -> Self {
        Cache {
            reader,
            indexed: Indexed::new(),
            room: Room::new(bytes_max),
            cold: BTreeSet::new(),
            new: true,
        }
    }

    /// A commit is made.
    pub(super) fn committed(&mut self) {
        self.room.committed();
        self.new = false;
    }

    /// Whether the store has nothing of the task.
    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    /// Whether there may be pairs without a slot.
    pub(super) fn is_cold(&self) -> bool {
        !self.cold.is_empty()
    }

    /// Everything that the store has.
    fn all(&self) -> Result<Vec<KeyedState>> {
        let mut all = self.reader.unordered()?;
        let mut pages = Page::begin(Vec::new());
        while let Some(page) = pages.next(&self.reader)? {
            all.extend(page);
        }
        Ok(all)
    }
}

impl FoldTask {
    /// Begins without states: finds out which windows the store has pairs of.
    pub(super) fn open_cold(&mut self) -> Result<()> {
        let needs_indexes = self.needs_indexes();
        let Some(cache) = &mut self.cache else {
            return Ok(());
        };
        let mut complete = Spans::default();
        complete.push(&COMPLETE);
        let unordered = cache.reader.unordered()?;
        cache.new = unordered.is_empty() && cache.reader.after(&[], 1)?.is_empty();
        if cache.new {
            return Ok(());
        }
        if needs_indexes && cache.reader.lookup(&complete)?[0].is_none() {
            return self.open_unindexed();
        }
        cache.indexed.complete = true;
        match self.core.shape {
            Shape::Total | Shape::Count | Shape::Session => {
                cache.cold.insert(0);
            }
            Shape::Tumbling(_) | Shape::Sliding(_) => {
                let mut from = keys::sortable(self.core.first_open).to_vec();
                while let Some((key, _)) = cache.reader.after(&from, 1)?.first() {
                    let window = key.first_chunk();
                    let window = window.expect("a windowed state key begins with its window");
                    let window = keys::from_sortable(*window);
                    cache.cold.insert(window);
                    from = keys::sortable(window.saturating_add(1)).to_vec();
                }
            }
        }
        if self.core.shape.in_store_keys() {
            let (entries, states): (Vec<_>, Vec<_>) = unordered
                .into_iter()
                .partition(|(key, _)| self.is_index(key));
            self.restore(&states)?;
            self.meet_unordered(&entries).map_err(super::stop)?;
        }
        Ok(())
    }

    /// Begins with all states, where the store has no indexes yet, and makes them with the next commit.
    fn open_unindexed(&mut self) -> Result<()> {
        let Some(cache) = &self.cache else {
            return Ok(());
        };
        let states = cache.all()?;
        self.drop_indexes(&states);
        let slots = self.restore(&states)?;
        if matches!(self.core.shape, Shape::Session) {
            slots.iter().for_each(|slot| self.core.slots.mark(*slot));
        }
        self.kept.iter_mut().for_each(|kept| kept.put_again());
        Ok(())
    }

    /// Notes the size of a state.
    pub(super) fn measure(&mut self, key: &[u8], state: &[u8]) {
        if let Some(cache) = &mut self.cache {
            cache.room.measure(key, state);
        }
    }

    /// So many states came from the store.
    pub(super) fn fetched(&mut self, count: usize) {
        if let Some(cache) = &mut self.cache {
            cache.room.fetched(count);
        }
    }

    /// Before the rows of a batch find their slots, where these say more than which state: what is open of their keys.
    pub(super) fn prefetch(&mut self, batch: &Batch, keys: &BatchKeys<'_>) -> Result<(), Failure> {
        let is_cold = self.cache.as_ref().is_some_and(Cache::is_cold);
        let sessions = matches!(self.core.shape, Shape::Session);
        if !is_cold || !(sessions || matches!(self.core.shape, Shape::Count)) {
            return Ok(());
        }
        let place = self.core.table(0);
        let table = &self.core.tables[place];
        let (mut missing, mut key): (Vec<Box<[u8]>>, _) = (Vec::new(), Vec::new());
        for row in batch.runs.iter().flat_map(|run| run.start..run.end) {
            if self.core.slots.lacks(table, keys, row, &mut key) {
                missing.push(key.as_slice().into());
            }
        }
        missing.sort_unstable();
        missing.dedup();
        match sessions {
            true => self.fetch_sessions(&missing),
            false => self.fetch(&missing),
        }
    }

    /// Takes up what the store has under these keys.
    fn fetch(&mut self, missing: &[Box<[u8]>]) -> Result<(), Failure> {
        let Some(cache) = &self.cache else {
            return Ok(());
        };
        let mut asked = Spans::default();
        missing.iter().for_each(|key| asked.push(key));
        let found = cache.reader.lookup(&asked)?;
        let found = missing.iter().zip(found);
        let states: Vec<KeyedState> = found
            .filter_map(|(key, state)| Some((key.clone(), state?)))
            .collect();
        self.restore(&states)?;
        self.fetched(states.len());
        Ok(())
    }

    /// Before a call: the states of its new pairs, where they have any.
    pub(super) fn load(&mut self) -> Result<(), Failure> {
        let Some(cache) = &mut self.cache else {
            return Ok(());
        };
        let by_call = !matches!(self.core.shape, Shape::Session | Shape::Count);
        if !by_call || !cache.is_cold() || self.core.slots.fresh.is_empty() {
            return Ok(());
        }
        let fresh = std::mem::take(&mut self.core.slots.fresh);
        let cold = |slot: &u32| cache.cold.contains(&self.core.slots.get(*slot).window);
        let (asked, mut fresh): (Vec<u32>, Vec<u32>) = fresh.into_iter().partition(cold);
        let (mut names, mut key) = (Spans::default(), Vec::new());
        for slot in &asked {
            self.core.state_key(*slot, &mut key);
            names.push(&key);
        }
        let found = cache.reader.lookup(&names)?;
        let (mut slots, mut saved) = (Vec::new(), States::default());
        for (slot, state) in asked.into_iter().zip(found) {
            match state {
                None => fresh.push(slot),
                Some(state) => {
                    slots.push(slot);
                    saved.push(self.opened(&state));
                    self.core.slots.get_mut(slot).stored = true;
                }
            }
        }
        self.core.slots.fresh = fresh;
        self.fetched(slots.len());
        let restored = self.instance.restore(&slots, &saved);
        restored.map_err(|fault| self.since_commit(fault).into())
    }

    /// Tables of windows that are closed now, earliest first, and which of these windows are cold.
    pub(super) fn closing(&mut self) -> (Vec<Table>, BTreeSet<Index>) {
        let mut closing = self.core.closing();
        let Some(cache) = self.cache.as_mut().filter(|cache| cache.is_cold()) else {
            return (closing, BTreeSet::new());
        };
        let open = cache.cold.split_off(&self.core.first_open);
        let cold = std::mem::replace(&mut cache.cold, open);
        for window in &cold {
            if !closing.iter().any(|table| table.window == *window) {
                closing.push(self.core.slots.table(*window));
            }
        }
        closing.sort_by_key(|table| table.window);
        (closing, cold)
    }

    /// Closes a cold window, in order of key.
    pub(super) fn close_cold(
        &mut self,
        mut table: Table,
        origin_row: u32,
        before: i64,
    ) -> Result<(), Failure> {
        let mut warm = table.slots();
        self.core.slots.sort(&mut warm);
        let mut warm = warm.into_iter().peekable();
        let prefix = keys::sortable(table.window);
        let mut pages = Page::begin(prefix.to_vec());
        let (mut last, mut key) = (Vec::new(), Vec::new());
        let reader = self.cache.as_ref().map(|cache| cache.reader.clone());
        let reader = reader.expect("what is cold has a cache");
        while let Some(page) = pages.next(&reader)? {
            let in_window = |entry: &&KeyedState| entry.0.starts_with(&prefix);
            let entries = page.iter().take_while(in_window).count();
            if entries < page.len() {
                pages.end();
            }
            let Some((to, _)) = page[..entries].last() else {
                break;
            };
            last.clone_from(&to.to_vec());
            let mut slots = self.adopt(&mut table, &page[..entries])?;
            while let Some(slot) = warm.peek().copied() {
                self.core.state_key(slot, &mut key);
                if key > last {
                    break;
                }
                slots.push(slot);
                warm.next();
            }
            self.core.slots.sort(&mut slots);
            self.close(&slots, origin_row, before)?;
            let give_back = |slot: &u32| self.core.slots.forget(&mut table, *slot);
            slots.iter().for_each(give_back);
        }
        let rest: Vec<u32> = warm.collect();
        self.close(&rest, origin_row, before)?;
        rest.iter()
            .for_each(|slot| self.core.slots.give_back(*slot));
        Ok(())
    }

    /// Takes up those of a window's pairs that have no slot.
    fn adopt(&mut self, table: &mut Table, entries: &[KeyedState]) -> Result<Vec<u32>, Failure> {
        let fresh = self.core.slots.fresh.len();
        let mut slots = Vec::new();
        let mut saved = States::default();
        for (key, state) in entries {
            let (_, key) = key.split_at(8);
            if let Found::New(slot) = self.core.slots.restore(table, key) {
                slots.push(slot);
                saved.push(self.opened(state));
            }
        }
        self.core.slots.fresh.truncate(fresh);
        self.fetched(slots.len());
        let restored = self.instance.restore(&slots, &saved);
        restored.map_err(|fault| self.since_commit(fault))?;
        Ok(slots)
    }

    /// Gives slots back that are too many.
    pub(super) fn evict(&mut self) -> Result<(), Failure> {
        let Some(cache) = &mut self.cache else {
            return Ok(());
        };
        let Some(surplus) = cache.room.surplus(self.core.slots.in_use()) else {
            return Ok(());
        };
        let mut hand = cache.room.hand;
        let leaving = match surplus > 0 {
            true => self.choose(&mut hand, surplus),
            false => Vec::new(),
        };
        for block in leaving.chunks(self.setup.plan.call_rows) {
            let released = self.instance.release(block);
            released.map_err(|fault| self.since_commit(fault))?;
        }
        let cache = self.cache.as_mut().expect("looked at above");
        let core = &mut self.core;
        for slot in &leaving {
            if !matches!(core.shape, Shape::Session) {
                cache.cold.insert(core.slots.get(*slot).window);
                continue;
            }
            cache.cold.insert(0);
            if let Some(end) = core.sessions.noted(*slot) {
                cache.indexed.next = cache.indexed.next.min(end);
            }
        }
        leaving.iter().for_each(|slot| self.core.forget(*slot));
        let used = self.core.slots.in_use();
        self.core.sessions.trim(used);
        let cache = self.cache.as_mut().expect("looked at above");
        cache.room.hand = hand;
        cache.room.evicted(leaving.len(), used);
        Ok(())
    }

    /// Slots that go, about so many: all of a key, of sessions.
    fn choose(&mut self, hand: &mut usize, wanted: usize) -> Vec<u32> {
        let core = &mut self.core;
        if !matches!(core.shape, Shape::Session) {
            return core.slots.sweep(hand, wanted, |_, _| true);
        }
        let Some(cache) = &self.cache else {
            return Vec::new();
        };
        let (sessions, table, indexed) = (&core.sessions, &core.tables[0], &cache.indexed);
        let mut renoted = Vec::new();
        let mut key = Vec::new();
        let heads = core.slots.sweep(hand, wanted, |slots, slot| {
            if slots.head(table, slot) != slot {
                return false;
            }
            key.clear();
            slots.encode_key(slot, &mut key);
            if indexed.touched.contains(key.as_slice()) {
                return false;
            }
            let chain = sessions.of_key(slot);
            let passed = |s: &u32| sessions.noted(*s).is_none_or(|end| end <= indexed.seen);
            if chain.iter().any(passed) {
                renoted.extend(chain);
                return false;
            }
            let clean = |s: &u32| !slots.get(*s).dirty && slots.get(*s).stored;
            chain.iter().all(clean)
        });
        let leaving = heads
            .iter()
            .flat_map(|head| sessions.of_key(*head))
            .collect();
        // Noted anew with the next commit, and free to go then.
        renoted.iter().for_each(|slot| core.slots.mark(*slot));
        leaving
    }

    /// What the cache did since the last commit.
    pub(super) fn cache_counts(&mut self, changed: usize) -> Option<CacheCounts> {
        let (used, handed) = (self.core.slots.in_use(), self.handed);
        let cache = self.cache.as_mut()?;
        Some(cache.room.take_counts(used, handed, changed))
    }
}
